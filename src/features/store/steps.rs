//! The steps of a checkpoint, one after the other: close the redo file, let the store take it, drop the one before.
//!
//! Guarantees: the store changes only after everything it is to become is safe; the redo file of a checkpoint stays
//! until the next one is in the store, so that a store that lost its last one can be given it again. Has no thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::Mark;
use super::merged::Merged;
use super::{Store, StoreError, io_error, redo_file};
use crate::disk::Disk;
use crate::failpoint::{self, reach};
use crate::mutant::{self, Mutant};

/// Where checkpoints are written.
#[derive(Debug, Clone)]
pub struct Place {
    /// The disk of the redo files.
    pub disk: Arc<dyn Disk>,
    /// Their folder: the state's.
    pub folder: PathBuf,
    /// What takes them.
    pub store: Arc<dyn Store>,
}

impl Place {
    /// Writes and closes the redo file. Its size, bytes.
    pub(super) fn close(&self, mark: &Mark, chunks: &[Vec<u8>]) -> Result<u64, StoreError> {
        redo_file::write(&*self.disk, &self.folder, mark, chunks)
    }

    /// Lets the store take what the closed redo file holds, and drops the file of the checkpoint before.
    pub(super) fn apply(&self, mark: &Mark, chunks: &[Vec<u8>]) -> Result<(), StoreError> {
        let path = || self.folder.join(redo_file::name(mark.checkpoint.number));
        let changes = Merged::of(chunks.iter().map(Vec::as_slice), &path)?;
        self.take(mark, &changes)
    }

    /// The same for changes that are merged.
    pub(super) fn take(&self, mark: &Mark, changes: &Merged<'_>) -> Result<(), StoreError> {
        let number = mark.checkpoint.number;
        if mutant::is(Mutant::DropsFirst) {
            self.drop_below(number + 1)?;
        }
        reach(failpoint::STORE_BEFORE_APPLY);
        self.store.apply(changes, mark)?;
        reach(failpoint::STORE_APPLIED);
        reach(failpoint::REDO_BEFORE_DROP);
        self.drop_below(if mutant::is(Mutant::DropsAtOnce) { number + 1 } else { number })?;
        reach(failpoint::REDO_DROPPED);
        Ok(())
    }

    /// Drops the redo files of all checkpoints before one. That they are gone need not outlive a crash: a leftover is
    /// dropped again.
    pub(super) fn drop_below(&self, number: u64) -> Result<(), StoreError> {
        let numbers = redo_file::numbers(&*self.disk, &self.folder)?;
        numbers.into_iter().filter(|found| *found < number).try_for_each(|found| self.drop_file(found))
    }

    /// Drops one.
    pub(super) fn drop_file(&self, number: u64) -> Result<(), StoreError> {
        let path = self.path(number);
        self.disk.remove(&path).map_err(io_error("remove", &path))
    }

    /// Where the redo file of a checkpoint stands.
    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.folder.join(redo_file::name(number))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
