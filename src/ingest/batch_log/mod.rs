//! The batch log: which records were decided together, so that after a crash they are taken again exactly so.
//!
//! Guarantees: a batch is in the log before anything comes of it (handed to the operating system, not synced: the end
//! of this process loses nothing, a power failure can lose the last moments); numbers rise by one; what is read back
//! is what was written, up to the first place that is torn or damaged: there the log is cut, and file, byte and
//! reason are told. Does not know what the records hold, and syncs by itself only a file that is full.
//!
//! How it is used (its folder is there, and this process alone uses it):
//! - [`BatchLog::open`] with the number of the last batch that the checkpoint covers (0 without one) gives the
//!   batches to take again. They go to `Consumer::open`, which hands them out with [`Batch::again`] set. What was in
//!   force when each was decided stands in [`Logged::in_force`]: whoever decides them again does it with the same.
//! - [`BatchLog::append`] with every batch before it is decided. It returns the batch's number; a batch that is taken
//!   again is in the log already, and nothing is written.
//! - [`BatchLog::roll`] when a checkpoint begins: what it covers then lies in files of its own. The file it returns is
//!   synced by whoever closes the checkpoint, before that: so the log never ends before the checkpoint does.
//! - [`BatchLog::drop_before`] when the checkpoint is closed, with the number of the first batch it does not cover.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Batch, Lanes};
use crate::disk::{Disk, DiskFile};
use crate::failpoint::{self, reach};

mod entry;
mod frame;
mod read;

pub use entry::{Digests, Span, Taken};
pub use read::{Cut, Logged, Why};

use entry::{Entry, FORMAT, FORMAT_OLDEST};
use read::File;

/// Bytes of one file, at most, but for the batch that reaches it.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// Bytes that wait for a checkpoint, from which on [`BatchLog::wants_checkpoint`].
pub const WAITING_BYTES_MAX: u64 = 128 << 20;

/// What went wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file cannot be read or written.
    #[error("batch log: failed to {what} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of another build.
    #[error(
        "batch log: {file} has format {found}, this build knows {FORMAT_OLDEST} to {FORMAT}: start the version that wrote it and stop it \
         cleanly",
        file = .file.display()
    )]
    Format {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u16,
    },
    /// A whole record that this build does not know.
    #[error("batch log: {file} holds a record at byte {at} that this build does not know", file = .file.display())]
    Unknown {
        /// The file.
        file: PathBuf,
        /// The record's place, bytes from the file's beginning.
        at: u64,
    },
    /// An oracle asked for every batch, and some are not there.
    #[error("batch log: {file} is {why} at byte {at}: not every batch was kept", file = .cut.file.display(), at = .cut.at, why = .cut.why.word())]
    NotWhole {
        /// Where it ends.
        cut: Cut,
    },
    /// It failed before, and what stands in its file is not known.
    #[error("batch log: {path} could not be written before; nothing more is decided", path = .path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
    },
}

impl LogError {
    fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        LogError::Io { what, path: path.to_owned(), source }
    }
}

/// The log, open for writing.
pub struct BatchLog {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// Keeps what a closed checkpoint covers: for an oracle that is to see every batch.
    keep_all: bool,
    /// Files that are full or were closed at a checkpoint, oldest first, with their bytes.
    closed: Vec<(File, u64)>,
    open: Option<Open>,
    /// The number of the next batch.
    next: u64,
    /// A write failed.
    poisoned: Option<PathBuf>,
    /// The bytes of one write, and of one entry, used again.
    write: Vec<u8>,
    content: Vec<u8>,
}

/// The file that is written to.
struct Open {
    file: File,
    written: Box<dyn DiskFile>,
    bytes: u64,
    /// How many lanes it was told of.
    lanes: usize,
    /// What it was told to be in force.
    in_force: Option<Digests>,
}

/// A log that was opened.
pub struct Opened {
    /// The log.
    pub log: BatchLog,
    /// The batches to be taken again, in order.
    pub again: Vec<Logged>,
    /// Where it was cut off because what came there was not right.
    pub cut: Option<Cut>,
}

impl BatchLog {
    /// Opens the log in `folder`, which is there. `after` is the number of the last batch that the checkpoint covers,
    /// 0 without a checkpoint.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, after: u64, keep_all: bool) -> Result<Opened, LogError> {
        let mut files = read::files(&*disk, folder)?;
        let (again, cut) = read::batches(&*disk, &files, after)?;
        let next = again.last().map_or(after, |last| last.taken.number).saturating_add(1);
        cut_off(&*disk, folder, &mut files, next, cut.as_ref())?;
        if let Some(cut) = &cut {
            let (file, at, bytes, why) = (cut.file.display(), cut.at, cut.bytes, cut.why.word());
            tracing::warn!(
                %file, at, bytes, why, batches = again.len(),
                "the batch log is not whole: it was cut there; the records of what it held come again from Kafka, in \
                 an order that may differ"
            );
        }
        let mut log = BatchLog {
            disk,
            folder: folder.to_owned(),
            keep_all,
            closed: files.into_iter().map(|file| (file, 0)).collect(),
            open: None,
            next,
            poisoned: None,
            write: Vec::new(),
            content: Vec::new(),
        };
        log.drop_before(after.saturating_add(1))?;
        Ok(Opened { log, again, cut })
    }

    /// Takes every file of the log away: for a start with an empty state.
    pub fn clear(disk: &dyn Disk, folder: &Path) -> Result<(), LogError> {
        for file in read::files(disk, folder)? {
            disk.remove(&file.path).map_err(|source| LogError::io("remove", &file.path, source))?;
        }
        disk.sync_folder(folder).map_err(|source| LogError::io("sync", folder, source))
    }

    /// Every batch in a folder, kept ones too: for an oracle.
    pub fn kept(disk: &dyn Disk, folder: &Path) -> Result<Vec<Logged>, LogError> {
        let files = read::files(disk, folder)?;
        let first = files.first().map_or(1, |file| file.first);
        match read::batches(disk, &files, first.saturating_sub(1))? {
            (batches, None) => Ok(batches),
            (_, Some(cut)) => Err(LogError::NotWhole { cut }),
        }
    }

    /// Writes a batch that was taken live; returns its number. One that is taken again is in the log already.
    pub fn append(&mut self, batch: &Batch, lanes: &Lanes, in_force: &Digests) -> Result<u64, LogError> {
        if let Some(number) = batch.again {
            return Ok(number);
        }
        if let Some(path) = &self.poisoned {
            return Err(LogError::Poisoned { path: path.clone() });
        }
        reach(failpoint::LOG_BEFORE_WRITE);
        let taken =
            Taken { number: self.next, moment: batch.moment, at_end: batch.at_end.clone(), spans: batch.spans() };
        let mut open = match self.open.take() {
            Some(open) if open.bytes < FILE_BYTES_MAX => open,
            Some(open) => {
                self.close(open)?.sync().map_err(|source| LogError::io("sync", &self.folder, source))?;
                self.create()?
            }
            None => self.create()?,
        };
        self.write.clear();
        if lanes.len() > open.lanes {
            let all = lanes.all();
            open.lanes = all.len();
            self.put(&open, &Entry::Lanes(all));
        }
        if open.in_force.as_ref() != Some(in_force) {
            self.put(&open, &Entry::InForce(in_force.clone()));
            open.in_force = Some(in_force.clone());
        }
        self.content.clear();
        let kind = entry::put_batch(&taken, &mut self.content);
        frame::put(&mut self.write, open.file.first, open.bytes, kind, &self.content);
        if let Err(source) = open.written.write_all(&self.write) {
            self.poisoned = Some(open.file.path.clone());
            return Err(LogError::io("write", &open.file.path, source));
        }
        open.bytes += self.write.len() as u64;
        self.open = Some(open);
        self.next += 1;
        reach(failpoint::LOG_WRITTEN);
        Ok(taken.number)
    }

    /// The next batch begins a new file. Returns the one before, where there is one: it is to be synced before the
    /// checkpoint that covers it is closed.
    pub fn roll(&mut self) -> Result<Option<Box<dyn DiskFile>>, LogError> {
        self.open.take().map(|open| self.close(open)).transpose()
    }

    /// A checkpoint is closed that covers every batch before this one: files with nothing else are taken away.
    pub fn drop_before(&mut self, number: u64) -> Result<(), LogError> {
        if self.keep_all {
            return Ok(());
        }
        while let Some((file, _)) = self.closed.first() {
            let next = match self.closed.get(1) {
                Some((next, _)) => next.first,
                None => self.open.as_ref().map_or(self.next, |open| open.file.first),
            };
            if next > number {
                break;
            }
            reach(failpoint::LOG_BEFORE_DROP);
            self.disk.remove(&file.path).map_err(|source| LogError::io("remove", &file.path, source))?;
            reach(failpoint::LOG_DROPPED);
            self.closed.remove(0);
        }
        Ok(())
    }

    /// The number that the next live batch gets.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Whether so much waits for a checkpoint that one should begin now.
    pub fn wants_checkpoint(&self) -> bool {
        !self.keep_all && self.waiting_bytes() >= WAITING_BYTES_MAX
    }

    /// Bytes written by this process that no closed checkpoint covers.
    pub fn waiting_bytes(&self) -> u64 {
        self.closed.iter().map(|(_, bytes)| bytes).sum::<u64>() + self.open.as_ref().map_or(0, |open| open.bytes)
    }

    fn put(&mut self, open: &Open, entry: &Entry) {
        self.content.clear();
        let kind = entry.put(&mut self.content);
        frame::put(&mut self.write, open.file.first, open.bytes, kind, &self.content);
    }

    fn close(&mut self, open: Open) -> Result<Box<dyn DiskFile>, LogError> {
        self.closed.push((open.file, open.bytes));
        Ok(open.written)
    }

    /// The file for the next batch.
    fn create(&mut self) -> Result<Open, LogError> {
        let file = File { first: self.next, path: read::path(&self.folder, self.next) };
        let failed = |source| LogError::io("create", &file.path, source);
        let mut written = self.disk.create(&file.path).map_err(failed)?;
        let (mut head, mut content) = (Vec::new(), Vec::new());
        let kind = Entry::Header(FORMAT, file.first).put(&mut content);
        frame::put(&mut head, file.first, 0, kind, &content);
        written.write_all(&head).map_err(failed)?;
        self.disk.sync_folder(&self.folder).map_err(failed)?;
        Ok(Open { written, bytes: head.len() as u64, lanes: 0, in_force: None, file })
    }
}

/// Takes away what is not believed, so that the next start finds the same whether or not this one survives it.
fn cut_off(
    disk: &dyn Disk,
    folder: &Path,
    files: &mut Vec<File>,
    next: u64,
    cut: Option<&Cut>,
) -> Result<(), LogError> {
    // Files that hold no batch that is right: begun when the machine failed, or behind a cut. The last goes first:
    // as long as one is there, the cut is found again.
    let right = files.partition_point(|file| file.first < next);
    let removed = files.split_off(right);
    for file in removed.iter().rev() {
        disk.remove(&file.path).map_err(|source| LogError::io("remove", &file.path, source))?;
    }
    if !removed.is_empty() {
        disk.sync_folder(folder).map_err(|source| LogError::io("sync", folder, source))?;
    }
    match cut {
        Some(cut) if files.iter().any(|file| file.path == cut.file) => {
            disk.cut(&cut.file, cut.at).map_err(|source| LogError::io("cut", &cut.file, source))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
