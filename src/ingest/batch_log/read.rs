//! Reading the files of the batch log, up to the first thing that is not right.
//!
//! Guarantees: what is read are the batches from the asked one on, whole, without a gap and without a record twice;
//! where that ends before the files do, [`Cut`] says at which byte of which file, and why. Nothing behind such a
//! place is believed: what was not synced can be lost in any order. Changes nothing on disk.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{Digests, Entry, FORMAT, FORMAT_OLDEST, Taken};
use super::{LogError, frame};
use crate::disk::Disk;
use crate::ingest::lanes::Partition;

/// A batch as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The batch.
    pub taken: Taken,
    /// The partitions by lane, as far as they were known.
    pub lanes: Arc<[Partition]>,
    /// What the engine decided with.
    pub in_force: Arc<Digests>,
}

/// Where the log ends before its files do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub file: PathBuf,
    /// The end of the last record that is right, bytes from the file's beginning.
    pub at: u64,
    /// Bytes behind that, in this file and in later ones.
    pub bytes: u64,
    /// What is wrong there.
    pub why: Why,
}

/// What is wrong at a place of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The last record was not written out whole.
    Torn,
    /// Bytes are others than were written, and whole records stand behind them.
    Damaged,
    /// A batch is not there that should come next.
    Missing,
    /// A batch takes records that an earlier one has taken.
    Overlap,
}

impl Why {
    /// In a word, for logs.
    pub fn word(self) -> &'static str {
        match self {
            Why::Torn => "torn",
            Why::Damaged => "damaged",
            Why::Missing => "missing",
            Why::Overlap => "overlap",
        }
    }
}

/// A file of the log: its number is that of its first batch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    pub first: u64,
    pub path: PathBuf,
}

const PREFIX: &str = "batches-";
const SUFFIX: &str = ".log";

/// The path of the file whose first batch has this number.
pub fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{first:020}{SUFFIX}"))
}

/// The files of the log, oldest first. Others in its folder are left alone.
pub fn files(disk: &dyn Disk, folder: &Path) -> Result<Vec<File>, LogError> {
    let names = disk.names(folder).map_err(|source| LogError::io("list", folder, source))?;
    let file = |name: String| {
        let first = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()?;
        Some(File { first, path: folder.join(name) })
    };
    let mut files: Vec<File> = names.into_iter().filter_map(file).collect();
    files.sort();
    Ok(files)
}

/// What is read so far, and what may come next.
struct Reading {
    /// The last batch that is not wanted.
    after: u64,
    batches: Vec<Logged>,
    /// By lane, the last offset that was taken.
    reached: Vec<i64>,
    lanes: Arc<[Partition]>,
    in_force: Arc<Digests>,
}

/// All batches of these files that come after a number, and where they end early.
pub fn batches(disk: &dyn Disk, files: &[File], after: u64) -> Result<(Vec<Logged>, Option<Cut>), LogError> {
    let mut reading =
        Reading { after, batches: Vec::new(), reached: Vec::new(), lanes: Arc::default(), in_force: Arc::default() };
    for (at, file) in files.iter().enumerate() {
        let rest = files.get(at + 1..).unwrap_or_default();
        // What the checkpoint covers is not looked at.
        if rest.first().is_some_and(|next| next.first <= after.saturating_add(1)) {
            continue;
        }
        if let Some(mut cut) = reading.read(disk, file)? {
            for later in rest {
                cut.bytes += bytes(disk, later)?.len() as u64;
            }
            return Ok((reading.batches, Some(cut)));
        }
    }
    Ok((reading.batches, None))
}

fn bytes(disk: &dyn Disk, file: &File) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    disk.open(&file.path)
        .and_then(|mut opened| opened.read_to_end(&mut bytes))
        .map_err(|source| LogError::io("read", &file.path, source))?;
    Ok(bytes)
}

impl Reading {
    /// Reads one file, as far as it is right.
    fn read(&mut self, disk: &dyn Disk, file: &File) -> Result<Option<Cut>, LogError> {
        let bytes = bytes(disk, file)?;
        let mut place = 0;
        let why = loop {
            if place == bytes.len() {
                return Ok(None);
            }
            let Some(frame) = frame::at(&bytes, file.first, place) else {
                let is_followed = frame::next_whole(&bytes, file.first, place + 1).is_some();
                break if is_followed { Why::Damaged } else { Why::Torn };
            };
            let content = bytes.get(frame.content.clone()).unwrap_or_default();
            if let Some(why) = self.take(file, place, Entry::read(frame.kind, content))? {
                break why;
            }
            place = frame::end(&frame);
        };
        Ok(Some(Cut { file: file.path.clone(), at: place as u64, bytes: (bytes.len() - place) as u64, why }))
    }

    fn take(&mut self, file: &File, place: usize, entry: Option<Entry>) -> Result<Option<Why>, LogError> {
        match entry {
            Some(Entry::Header(FORMAT_OLDEST..=FORMAT, _)) if place == 0 => Ok(None),
            Some(Entry::Header(found, _)) if place == 0 => Err(LogError::Format { file: file.path.clone(), found }),
            Some(Entry::Lanes(lanes)) => {
                self.lanes = lanes.into();
                Ok(None)
            }
            Some(Entry::InForce(in_force)) => {
                self.in_force = Arc::new(in_force);
                Ok(None)
            }
            Some(Entry::Batch(taken)) => Ok(self.batch(taken)),
            // Its checksum is right: another build wrote it, and forgot to say so in the header.
            Some(Entry::Header(..)) | None => Err(LogError::Unknown { file: file.path.clone(), at: place as u64 }),
        }
    }

    fn batch(&mut self, taken: Taken) -> Option<Why> {
        if taken.number <= self.after {
            return None;
        }
        let last = self.batches.last().map_or(self.after, |last| last.taken.number);
        if taken.number != last.saturating_add(1) {
            return Some(Why::Missing);
        }
        for span in &taken.spans {
            let lane = usize::from(span.lane);
            if self.reached.len() <= lane {
                self.reached.resize(lane + 1, i64::MIN);
            }
            let reached = self.reached.get_mut(lane)?;
            if span.first <= *reached || span.last < span.first {
                return Some(Why::Overlap);
            }
            *reached = span.last;
        }
        let (lanes, in_force) = (Arc::clone(&self.lanes), Arc::clone(&self.in_force));
        self.batches.push(Logged { taken, lanes, in_force });
        None
    }
}
