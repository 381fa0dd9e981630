//! What a start makes of what the last end left behind.
//!
//! Guarantees: afterwards the store holds one whole checkpoint: the last one that was closed, or, where its redo file
//! is damaged, the one before it, said aloud. A store that lost more than its redo files can give back, that another
//! format or hash key made, is refused by name and not touched.

use std::path::Path;

use super::checkpoint::{Checkpoint, FORMAT};
use super::mutant::{self, Mutant};
use super::redo_file::{self, ClosedRedo, Found};
use super::steps::Place;
use super::{StoreError, io_error};
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
        if number <= last {
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
    let changes = redo_file::merged(redo.chunks(), &|| place.path(number))?;
    place.take(mark, &changes)?;
    RedoApplied { number, changes: changes.len() }.tell();
    Ok(())
}

fn gap(number: u64, last: u64) -> StoreError {
    let holds = if last == 0 { "nothing".to_owned() } else { format!("checkpoint {last}") };
    let what = format!("it holds {holds}, but checkpoint {} was written to it once", number - 1);
    StoreError::Damaged { space: None, what }
}
