//! Reading the files of the batch log, and telling a torn end from damage.
//!
//! Guarantees: every whole record up to the first place that is none is read. Where whole records follow such a place
//! in the same file and it does not hold zeros alone, it was damaged, and that is an error with file and place; else
//! it was never written out, and the file ends there. Changes nothing on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{self, Digests, Entry, FORMAT, Taken};
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

/// A file of the log: its number is that of its first batch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    pub first: u64,
    pub path: PathBuf,
}

/// A file's end that was never written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub path: PathBuf,
    /// Where its last whole record ends.
    pub at: u64,
    /// Bytes behind that.
    pub bytes: u64,
}

/// What stands in a file.
#[derive(Debug, Default)]
pub struct Content {
    pub batches: Vec<Logged>,
    /// Bytes up to the end of the last whole record.
    pub whole: u64,
    pub torn: Option<Torn>,
}

const PREFIX: &str = "batches-";
const SUFFIX: &str = ".log";

/// The path of the file whose first batch has this number.
pub fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{first:020}{SUFFIX}"))
}

/// The files of the log, oldest first. Others in its folder are left alone.
pub fn files(disk: &dyn Disk, folder: &Path) -> Result<Vec<File>, LogError> {
    let listed = disk.list(folder).map_err(|source| LogError::io("list", folder, source))?;
    let mut files: Vec<File> = listed
        .into_iter()
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            let first = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()?;
            Some(File { first, path })
        })
        .collect();
    files.sort();
    Ok(files)
}

/// Reads one file.
pub fn read(disk: &dyn Disk, file: &File) -> Result<Content, LogError> {
    let bytes = disk.read(&file.path).map_err(|source| LogError::io("read", &file.path, source))?;
    let mut content = Content::default();
    let mut lanes: Arc<[Partition]> = Arc::default();
    let mut in_force = Arc::default();
    let mut place = 0;
    while place < bytes.len() {
        let frame = match frame::at(&bytes, file.first, place) {
            Ok(frame) => frame,
            Err(why) => {
                content.torn = Some(torn_or_damaged(&bytes, file, place, why)?);
                break;
            }
        };
        let read = bytes.get(frame.content.clone()).and_then(|content| Entry::read(frame.kind, content));
        match read {
            Some(Entry::Header(format, first)) if place == 0 => {
                if format != FORMAT {
                    return Err(LogError::Format { file: file.path.clone(), found: format });
                }
                if first != file.first {
                    return Err(LogError::Damaged { file: file.path.clone(), at: 0, why: OTHER_NAME });
                }
            }
            Some(Entry::Lanes(now)) if place > 0 => lanes = now.into(),
            Some(Entry::InForce(now)) if place > 0 => in_force = Arc::new(now),
            Some(Entry::Batch(taken)) if place > 0 => {
                content.batches.push(Logged { taken, lanes: Arc::clone(&lanes), in_force: Arc::clone(&in_force) });
            }
            // Its checksum is right: another build wrote it.
            _ => return Err(LogError::Damaged { file: file.path.clone(), at: place as u64, why: UNKNOWN }),
        }
        place = frame::end(&frame);
    }
    content.whole = place as u64;
    Ok(content)
}

const OTHER_NAME: &str = "the file has another file's name";
const UNKNOWN: &str = "the record is whole and none that this build knows";

/// A place that is no record.
fn torn_or_damaged(bytes: &[u8], file: &File, place: usize, why: frame::NoFrame) -> Result<Torn, LogError> {
    let path = file.path.clone();
    if let Some(next) = frame::next_whole(bytes, file.first, place + 1) {
        let between = bytes.get(place..next).unwrap_or_default();
        // A page that was never written out reads as zeros, whatever was written behind it.
        if between.iter().any(|byte| *byte != 0) {
            let why = match why {
                frame::NoFrame::Cut => "the length of the record is wrong",
                frame::NoFrame::NoMagic => "no record begins here",
                frame::NoFrame::Checksum => "the checksum of the record is wrong",
            };
            return Err(LogError::Damaged { file: path, at: place as u64, why });
        }
    }
    Ok(Torn { path, at: place as u64, bytes: (bytes.len() - place) as u64 })
}

/// All batches of these files that come after a number, in order and without a gap, and the file where they end if
/// that one is torn: what the files behind it hold was written later and follows on nothing.
pub fn batches(disk: &dyn Disk, files: &[File], after: u64) -> Result<(Vec<Logged>, Option<Torn>), LogError> {
    let mut all: Vec<Logged> = Vec::new();
    let mut reached = Vec::new();
    for (at, file) in files.iter().enumerate() {
        // What the checkpoint covers is not looked at.
        if files.get(at + 1).is_some_and(|next| next.first <= after.saturating_add(1)) {
            continue;
        }
        let content = read(disk, file)?;
        for logged in content.batches {
            if logged.taken.number > after {
                let last = all.last().map_or(after, |last| last.taken.number);
                entry::check_order(&logged.taken, last, &mut reached)?;
                all.push(logged);
            }
        }
        if content.torn.is_some() {
            return Ok((all, content.torn));
        }
    }
    Ok((all, None))
}
