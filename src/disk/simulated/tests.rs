//! The simulated disk: what a crash leaves of what was synced and of what was not.

use super::*;

/// What is left of a file after a failure of the power: `synced` bytes were synced with their name, then
/// `written` more were written.
fn left(seed: u64, crash: Crash) -> (Option<Vec<u8>>, Vec<u8>) {
    let (disk, folder) = (SimulatedDisk::new(seed), Path::new("/d"));
    let path = folder.join("f");
    let mut file = disk.create(&path).expect("new");
    let (synced, written) = (vec![1u8; 700], vec![2u8; 3000]);
    file.write_all(&synced).expect("written");
    file.sync().expect("synced");
    disk.sync_folder(folder).expect("synced");
    file.write_all(&written).expect("written");
    disk.restart(crash);
    let mut bytes = Vec::new();
    let read = disk.open(&path).ok().map(|mut file| file.read_to_end(&mut bytes));
    (read.map(|_| bytes), [synced, written].concat())
}

#[test]
fn what_was_synced_is_always_there_and_what_was_not_is_lost_torn_or_kept() {
    let (mut whole, mut short, mut torn) = (0, 0, 0);
    for seed in 0..500 {
        let (found, all) = left(seed, Crash::Power);
        let found = found.expect("its name was synced");
        assert_eq!(found.get(..700), all.get(..700), "seed {seed}");
        match found {
            found if found == all => whole += 1,
            found if all.starts_with(&found) => short += 1,
            _ => torn += 1,
        }
    }
    assert!(whole > 20 && short > 20 && torn > 100, "{whole} whole, {short} short, {torn} torn");
}

#[test]
fn a_process_that_is_killed_leaves_what_it_wrote() {
    for seed in 0..50 {
        let (found, all) = left(seed, Crash::Process);
        assert_eq!(found, Some(all), "seed {seed}");
    }
}

#[test]
fn names_that_were_not_synced_may_be_lost_each_by_itself() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let (disk, folder) = (SimulatedDisk::new(seed), Path::new("/d"));
        disk.create(&folder.join("old")).expect("new");
        disk.sync_folder(folder).expect("synced");
        disk.remove(&folder.join("old")).expect("there");
        disk.create(&folder.join("a")).expect("new");
        disk.create(&folder.join("b")).expect("new");
        disk.restart(Crash::Power);
        seen.insert(disk.names(folder).expect("a folder"));
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn after_a_crash_nothing_works_until_the_restart_and_a_failure_comes_once() {
    let (disk, path) = (SimulatedDisk::new(7), Path::new("/d/f"));
    disk.fail_after(1, io::ErrorKind::StorageFull);
    let mut file = disk.create(path).expect("the first step");
    assert_eq!(file.write_all(b"abc").map_err(|e| e.kind()), Err(io::ErrorKind::StorageFull));
    assert!(file.write_all(b"abc").is_ok());
    disk.crash_after(0);
    assert!(file.sync().is_err());
    assert!(disk.is_down() && disk.open(path).is_err() && file.write_all(b"x").is_err());
    disk.restart(Crash::Process);
    assert!(disk.open(path).is_ok());
}
