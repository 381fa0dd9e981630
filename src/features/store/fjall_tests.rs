//! The store on a real disk: what is read back, what damage does, whom it refuses.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{Checkpoint, Mark, Progress};
use super::*;
use crate::disk::{Disk as _, RealDisk};

const KEY: &str = "k-1";

fn mark(number: u64) -> Mark {
    Mark::new(KEY, Checkpoint { number, progress: Progress::default() })
}

/// Gives a store one checkpoint more.
fn take(store: &FjallStore, number: u64, change: impl FnOnce(&mut Redo)) {
    let mut redo = Redo::new();
    change(&mut redo);
    let chunks = redo.into_chunks().expect("small");
    let changes = Merged::of(chunks.iter().map(Vec::as_slice), &PathBuf::new).expect("readable");
    store.apply(&changes, &mark(number)).expect("the disk works");
}

fn key(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

type Values = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

fn everything(store: &dyn Stored) -> Result<Values, StoreError> {
    let mut values = Values::new();
    for space in Space::ALL {
        store.each(space, &mut |key, value| {
            values.insert((space, key.to_vec()), value.to_vec());
            Ok(())
        })?;
    }
    Ok(values)
}

#[test]
fn what_was_taken_is_read_back_over_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FjallStore::open(folder.path()).expect("made");
    assert_eq!(store.mark().expect("new"), None);
    let mut expected = MemoryStore::new();
    for number in 1..=3 {
        let change = |to: &mut dyn Changes| {
            for n in 0..200 {
                if (u64::from(n) + number) % 3 == 0 {
                    to.put(Space::Account, &key(n), &[number as u8; 50]);
                } else if (u64::from(n) + number) % 3 == 1 {
                    to.delete(Space::Account, &key(n));
                }
            }
            to.put(Space::Meta, b"", &key(number as u32));
            to.put(Space::All, &[0xff; 1024], b"");
        };
        change(&mut expected);
        take(&store, number, |redo| change(redo));
    }
    let values = everything(&expected).expect("memory");
    assert_eq!(everything(&store).expect("whole"), values);
    drop(store);
    let store = FjallStore::open(folder.path()).expect("there");
    assert_eq!(store.mark().expect("whole"), Some(mark(3)));
    assert_eq!(everything(&store).expect("whole"), values);
    assert_eq!(store.get(Space::Meta, b"").expect("whole"), Some(key(3).to_vec()));
    assert_eq!(store.get(Space::Ip, b"").expect("whole"), None);
    let sizes = store.sizes().expect("whole");
    let accounts = sizes.iter().find(|size| size.space == Space::Account).expect("listed");
    let keys = values.keys().filter(|(space, _)| *space == Space::Account).count() as u64;
    assert_eq!((accounts.keys, accounts.bytes), (keys, keys * 54));
}

#[test]
fn a_second_process_is_told_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FjallStore::open(folder.path()).expect("made");
    // A lock belongs to the open file, so that a second one in this process is refused as another process is.
    let told = FjallStore::open(folder.path()).expect_err("held").to_string();
    let path = folder.path().display();
    assert_eq!(
        told,
        format!(
            "the state in {path} is in use by another process; stop that one first, or give this one a \
             state.directory of its own"
        )
    );
    assert!(matches!(FjallStore::open_existing(folder.path()), Err(StoreError::Locked(_))));
    drop(store);
    assert!(FjallStore::open_existing(folder.path()).expect("free").is_some());
}

#[test]
fn another_format_is_refused_by_name_and_nothing_is_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FjallStore::open(folder.path()).expect("made");
    take(&store, 1, |redo| redo.put(Space::Account, b"a", b"1"));
    for format in [0, 2] {
        let nothing = Merged::of(std::iter::empty(), &PathBuf::new).expect("readable");
        store.apply(&nothing, &Mark { format, ..mark(2) }).expect("the disk works");
        let told = store.mark().expect_err("refused").to_string();
        assert!(told.contains(&format!("store has format {format}, this version reads format 1 only")), "{told}");
    }
    drop(store);
    for _ in 0..2 {
        assert!(matches!(FjallStore::open(folder.path()), Err(StoreError::Version { found: 2, .. })));
    }
}

#[test]
fn overwriting_the_same_keys_for_long_does_not_fill_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FjallStore::open(folder.path()).expect("made");
    let mut largest = 0;
    for number in 1..=200u64 {
        take(&store, number, |redo| {
            for n in 0..300 {
                redo.put(Space::Account, &key(n), &[number as u8; 300]);
            }
        });
        largest = largest.max(files(folder.path()).iter().map(|(_, bytes)| blocks(*bytes)).sum::<u64>());
    }
    // 300 values of 300 bytes are 100 kB; the journal's 64 MiB are set aside and never written.
    let bytes: u64 = files(folder.path()).iter().map(|(_, bytes)| blocks(*bytes)).sum();
    assert!(largest < 8 << 20 && bytes < 4 << 20, "{largest} at most, {bytes} in the end");
}

/// A file of this size without the journal's empty space.
fn blocks(bytes: u64) -> u64 {
    if bytes == 64 << 20 { 0 } else { bytes }
}

/// Every file below a folder with its size.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => found.extend(files(&path)),
            Ok(meta) => found.push((path, meta.len())),
            // A merge took it away in between.
            Err(_) => {}
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            // Sparse files stay sparse: only what stands before the first MiB is written at all.
            let bytes = fs::read(&path).expect("there");
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            fs::write(&to, &bytes[..written]).expect("written");
            fs::OpenOptions::new().write(true).open(&to).expect("there").set_len(bytes.len() as u64).expect("longer");
        }
    }
}

/// A store with some checkpoints that was closed, and what it holds.
fn closed_store(folder: &Path) -> Values {
    let store = FjallStore::open(folder).expect("made");
    for number in 1..=6u64 {
        take(&store, number, |redo| {
            for n in 0..400 {
                redo.put(Space::ALL[n as usize % Space::ALL.len()], &key(n / 3), &[(u64::from(n) * number) as u8; 60]);
            }
        });
    }
    everything(&store).expect("whole")
}

/// What a start makes of a state folder.
fn read_all(folder: &Path) -> Result<(Option<Mark>, Values), StoreError> {
    let store = FjallStore::open(folder)?;
    Ok((store.mark()?, everything(&store)?))
}

#[test]
fn a_flipped_byte_in_any_file_of_the_store_is_named_or_harmless_never_silent() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = folder.path().join("good");
    fs::create_dir(&good).expect("a folder");
    let values = closed_store(&good);
    let (mut named, mut harmless) = (0, 0);
    for (path, bytes) in files(&good.join("store")) {
        let bad = folder.path().join("bad");
        // All of small files, a sample of larger ones; behind its first bytes the journal is empty.
        let step = (bytes.min(8192) / 40).max(1) as usize;
        let tail = (bytes.saturating_sub(1024)..bytes).step_by(37);
        for at in (0..bytes.min(8192)).step_by(step).chain(tail.filter(|_| bytes < 1 << 20)) {
            copy(&good, &bad);
            let flipped = bad.join(path.strip_prefix(&good).expect("inside"));
            let file = fs::OpenOptions::new().read(true).write(true).open(&flipped).expect("there");
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).expect("inside");
            file.write_all_at(&[byte[0] ^ (1 << (at % 8))], at).expect("inside");
            let shown = format!("{} byte {at}", flipped.display());
            match read_all(&bad) {
                Ok((found, read)) => {
                    assert_eq!(found, Some(mark(6)), "{shown}");
                    assert!(read == values, "{shown}: other values, and nobody said so");
                    harmless += 1;
                }
                Err(StoreError::Damaged { .. } | StoreError::Version { .. } | StoreError::Io { .. }) => named += 1,
                Err(error) => panic!("{shown}: {error}"),
            }
            fs::remove_dir_all(&bad).expect("removed");
        }
    }
    assert!(named > 100, "{named} named, {harmless} harmless");
}

#[test]
fn a_missing_or_shortened_file_is_named_and_nothing_begins_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = folder.path().join("good");
    fs::create_dir(&good).expect("a folder");
    let values = closed_store(&good);
    for (path, bytes) in files(&good.join("store")) {
        for kept in [None, Some(0), Some(bytes / 2), Some(bytes.saturating_sub(1))] {
            let bad = folder.path().join("bad");
            copy(&good, &bad);
            let broken = bad.join(path.strip_prefix(&good).expect("inside"));
            match kept {
                None => fs::remove_file(&broken).expect("there"),
                Some(kept) => {
                    let file = fs::OpenOptions::new().write(true).open(&broken).expect("there");
                    file.set_len(kept).expect("shorter");
                }
            }
            let shown = format!("{} with {kept:?} of {bytes} bytes", broken.display());
            match read_all(&bad) {
                Ok((found, read)) => {
                    assert!(found == Some(mark(6)) && read == values, "{shown}: silently other");
                }
                Err(StoreError::Damaged { .. } | StoreError::Version { .. } | StoreError::Io { .. }) => {}
                Err(error) => panic!("{shown}: {error}"),
            }
            fs::remove_dir_all(&bad).expect("removed");
        }
    }
}

#[test]
fn a_store_that_was_never_finished_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("store.new/keyspaces")).expect("a folder");
    let store = FjallStore::open(folder.path()).expect("made");
    assert_eq!(store.mark().expect("new"), None);
    assert!(!folder.path().join("store.new").exists());
}

#[test]
fn checkpoints_go_through_redo_files_and_a_start_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || {
        let store = Arc::new(FjallStore::open(folder.path()).expect("opened"));
        Place { disk: Arc::new(RealDisk), folder: folder.path().to_path_buf(), store }
    };
    let start = |place: &Place| recover(place, &folder.path().join("hash.key"), KEY).expect("whole");
    let place = open();
    start(&place);
    for number in 1..=2 {
        let mut redo = Redo::new();
        redo.put(Space::Account, b"a", &key(number));
        let chunks = redo.into_chunks().expect("small");
        place.close(&mark(u64::from(number)), &chunks).expect("closed");
        if number == 1 {
            place.apply(&mark(1), &chunks).expect("applied");
        }
    }
    drop(place);
    let place = open();
    assert_eq!(start(&place).found, [Redone::Applied(2)]);
    assert_eq!(place.store.get(Space::Account, b"a").expect("whole"), Some(key(2).to_vec()));
}

#[test]
fn a_state_that_was_set_aside_is_made_anew_under_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut key = StateKey::of(folder.path(), [1; 16]).expect("drawn");
    key.keep().expect("written");
    closed_store(folder.path());
    RealDisk.create(&folder.path().join(redo_file::name(7))).expect("new");
    for _ in 0..2 {
        FjallStore::set_aside(folder.path()).expect("free");
        assert!(folder.path().join("store.old").exists() && !FjallStore::is_there(folder.path()));
    }
    assert!(redo_file::numbers(&RealDisk, folder.path()).expect("listed").is_empty());
    let again = StateKey::of(folder.path(), [2; 16]).expect("there");
    assert_eq!(again.id, key.id);
    let store = FjallStore::open(folder.path()).expect("made");
    assert!(matches!(FjallStore::set_aside(folder.path()), Err(StoreError::Locked(_))));
    assert_eq!(store.mark().expect("new"), None);
}

#[test]
fn damage_that_shows_while_tables_are_merged_ends_in_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FjallStore::open(folder.path()).expect("made");
    let many = |redo: &mut Redo| (0..400).for_each(|n| redo.put(Space::Account, &key(n), &[7; 200]));
    take(&store, 1, many);
    for (path, bytes) in files(&folder.path().join("store/keyspaces/1/tables")) {
        let file = fs::OpenOptions::new().write(true).open(&path).expect("there");
        file.write_all_at(&[0xa5; 64], bytes / 3).expect("inside");
    }
    for number in 2..1000 {
        let mut redo = Redo::new();
        many(&mut redo);
        let chunks = redo.into_chunks().expect("small");
        let changes = Merged::of(chunks.iter().map(Vec::as_slice), &PathBuf::new).expect("readable");
        if let Err(error) = store.apply(&changes, &mark(number)) {
            assert!(matches!(error, StoreError::Poisoned(_) | StoreError::Damaged { .. }), "{error}");
            assert!(matches!(store.mark(), Err(StoreError::Poisoned(_))), "every later call refuses");
            return;
        }
    }
    panic!("a damaged table was merged, or none ever is");
}
