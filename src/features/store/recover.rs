//! What a start makes of what the last end left behind.
//!
//! Guarantees: afterwards the store holds one whole checkpoint: the last one that was closed, or, where its redo file
//! is damaged, the one before it, said aloud. A store that lost more than its redo files can give back, that another
//! format or hash key made, is refused by name and not touched.

use std::path::Path;

use super::checkpoint::{Checkpoint, FORMAT};
use super::merged::Merged;
use super::redo_file::{self, ClosedRedo, Found};
use super::steps::Place;
use super::{StoreError, io_error};
use crate::mutant::{self, Mutant};
use crate::telemetry::state::{RedoApplied, RedoDamaged, RedoUnclosed};

/// Where a start goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The checkpoint that the store holds; `None` where it is new.
    pub checkpoint: Option<Checkpoint>,
    /// What was found, in the order of the numbers.
    pub found: Vec<Redone>,
}

/// What became of a redo file that the store did not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redone {
    /// It was closed: the store has it now.
    Applied(u64),
    /// It was never finished: dropped.
    Unclosed(u64),
    /// It was finished and is damaged: dropped, and the state goes on from the checkpoint before it.
    Damaged(u64),
}

/// Brings the store to the last closed checkpoint. `hash_key` is the id of the key in force.
pub fn recover(place: &Place, key_path: &Path, hash_key: &str) -> Result<Recovered, StoreError> {
    let mut checkpoint = match place.store.mark()? {
        Some(mark) if mark.hash_key != hash_key => {
            return Err(StoreError::Key {
                path: key_path.to_path_buf(),
                stored: mark.hash_key,
                given: hash_key.to_owned(),
            });
        }
        mark => mark.map(|mark| mark.checkpoint),
    };
    let mut found = Vec::new();
    for number in redo_file::numbers(&*place.disk, &place.folder)? {
        let last = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.number);
        if number <= last || mutant::is(Mutant::IgnoresRedo) {
            continue;
        }
        // A redo file is begun only once the store has what comes before it.
        if number != last + 1 && !mutant::is(Mutant::SkipsGaps) {
            return Err(gap(number, last));
        }
        match redo_file::read(&*place.disk, &place.folder, number)? {
            Found::Closed(redo) => {
                apply(place, &redo, key_path, hash_key)?;
                found.push(Redone::Applied(number));
                checkpoint = Some(redo.mark.checkpoint);
                continue;
            }
            Found::Unclosed(why) => {
                RedoUnclosed { number, why: &why }.tell();
                found.push(Redone::Unclosed(number));
            }
            Found::Damaged(why) => {
                RedoDamaged { number, goes_on_from: last, why: &why }.tell();
                found.push(Redone::Damaged(number));
            }
            Found::OtherFormat(found) => {
                return Err(StoreError::Version { path: place.path(number), found, known: FORMAT });
            }
        }
        drop_from(place, number)?;
        break;
    }
    Ok(Recovered { checkpoint, found })
}

/// Drops a redo file that cannot be used and all after it, the last one first: a crash in between leaves no hole.
fn drop_from(place: &Place, number: u64) -> Result<(), StoreError> {
    for found in redo_file::numbers(&*place.disk, &place.folder)?.into_iter().rev().filter(|n| *n >= number) {
        place.drop_file(found)?;
        place.disk.sync_folder(&place.folder).map_err(io_error("sync", &place.folder))?;
    }
    Ok(())
}

fn apply(place: &Place, redo: &ClosedRedo, key_path: &Path, hash_key: &str) -> Result<(), StoreError> {
    let mark = &redo.mark;
    if mark.hash_key != hash_key {
        let (stored, given) = (mark.hash_key.clone(), hash_key.to_owned());
        return Err(StoreError::Key { path: key_path.to_path_buf(), stored, given });
    }
    let number = mark.checkpoint.number;
    let changes = Merged::of(redo.chunks(), &|| place.path(number))?;
    place.take(mark, &changes)?;
    RedoApplied { number, changes: changes.len() }.tell();
    Ok(())
}

fn gap(number: u64, last: u64) -> StoreError {
    let holds = if last == 0 { "nothing".to_owned() } else { format!("checkpoint {last}") };
    let what = format!("it holds {holds}, but checkpoint {} was written to it once", number - 1);
    StoreError::Damaged { space: None, what }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Changes as _, Mark, Progress, Redo, SimulatedStore, Space};
    use super::*;
    use crate::disk::{Crash, Disk as _, SimulatedDisk};

    const KEY: &str = "k-1";

    fn place(disk: &SimulatedDisk, store: &SimulatedStore) -> Place {
        Place { disk: Arc::new(disk.clone()), folder: "/s".into(), store: Arc::new(store.clone()) }
    }

    fn started(place: &Place) -> Result<Recovered, StoreError> {
        recover(place, Path::new("/s/hash.key"), KEY)
    }

    /// Closes a checkpoint that says its number.
    fn close(place: &Place, number: u64) -> (Mark, Vec<Vec<u8>>) {
        let mut redo = Redo::new();
        redo.put(Space::Account, b"a", &[number as u8]);
        let mark = Mark::new(KEY, Checkpoint { number, progress: Progress::default() });
        let chunks = redo.into_chunks().expect("small");
        place.close(&mark, &chunks).expect("closed");
        (mark, chunks)
    }

    #[test]
    fn a_closed_one_is_applied_and_a_damaged_one_is_dropped_for_the_one_before() {
        let disk = SimulatedDisk::new(1);
        let place = place(&disk, &SimulatedStore::new(&disk));
        close(&place, 1);
        assert_eq!(started(&place).expect("whole").found, [Redone::Applied(1)]);
        close(&place, 2);
        disk.flip(&place.path(2), 60, 1);
        let recovered = started(&place).expect("the first is whole");
        assert_eq!(recovered.found, [Redone::Damaged(2)]);
        assert_eq!(recovered.checkpoint.expect("the first").number, 1);
        assert_eq!(place.store.get(Space::Account, b"a").expect("memory"), Some(vec![1]));
        close(&place, 2);
        disk.cut(&place.path(2), 60).expect("cut");
        assert_eq!(started(&place).expect("the first is whole").found, [Redone::Unclosed(2)]);
        assert_eq!(started(&place).expect("the first is whole").found, []);
    }

    #[test]
    fn a_store_that_lost_more_than_redo_files_give_back_is_refused() {
        let disk = SimulatedDisk::new(1);
        let first = place(&disk, &SimulatedStore::new(&disk));
        for number in 1..=3 {
            let (mark, chunks) = close(&first, number);
            first.apply(&mark, &chunks).expect("applied");
        }
        // Somebody has put an empty store in its place.
        let lost = place(&disk, &SimulatedStore::new(&disk));
        let told = started(&lost).expect_err("refused").to_string();
        assert_eq!(
            told,
            "the state store is damaged (whole): it holds nothing, but checkpoint 2 was written to it once; \
             `walletwatch state rebuild --from TIME` makes it anew from Kafka"
        );
        assert_eq!(disk.names(&lost.folder).expect("listed"), [redo_file::name(3)], "nothing was touched");
        mutant::with(Some(Mutant::SkipsGaps), || assert!(started(&lost).is_ok(), "the mutant is seen"));
    }

    #[test]
    fn another_hash_key_is_refused_by_name_in_the_store_and_in_a_redo_file() {
        let disk = SimulatedDisk::new(1);
        let place = place(&disk, &SimulatedStore::new(&disk));
        let other = |place: &Place| recover(place, Path::new("/s/hash.key"), "k-2").expect_err("refused").to_string();
        close(&place, 1);
        let told = other(&place);
        assert!(told.starts_with("the state was made with hash key k-1, but /s/hash.key holds key k-2: "), "{told}");
        started(&place).expect("its own key");
        assert_eq!(other(&place), told);
        assert!(place.store.mark().expect("memory").is_some_and(|mark| mark.hash_key == KEY));
    }

    #[test]
    fn a_crash_while_a_bad_file_is_dropped_leaves_no_hole() {
        for seed in 0..200 {
            let disk = SimulatedDisk::new(seed);
            let store = SimulatedStore::new(&disk);
            let place = place(&disk, &store);
            let (mark, chunks) = close(&place, 1);
            place.apply(&mark, &chunks).expect("applied");
            close(&place, 2);
            close(&place, 3);
            disk.flip(&place.path(2), 60, 1);
            disk.crash_after(disk.random(6));
            if started(&place).is_err() {
                disk.restart(Crash::Power);
            }
            let recovered = started(&place).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(recovered.checkpoint.expect("the first").number, 1, "seed {seed}");
        }
    }
}
