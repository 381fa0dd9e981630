//! The redo file: everything that one checkpoint changes, written whole before the store changes at all.
//!
//! Guarantees: a file that reads as closed is what was written, to the byte; a flipped byte, a lost or torn sector, a
//! frame of another file are found. Does not know what the changes mean, nor what to do with a bad file.
//!
//! ```text
//! magic 15 · format u32 · checksum u64 · frame(checkpoint) · frame(chunk)… · frame(end)
//! frame = length u32 · kind u8 · checksum u64 over number, index, kind and payload · payload
//! ```

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::checkpoint::{FORMAT, Mark, NoMark};
use super::{StoreError, VALUE_BYTES_MAX, io_error};
use crate::disk::{Disk, DiskFile};
use crate::failpoint::{self, reach};
use crate::mutant::{self, Mutant};

/// How a redo file begins.
const MAGIC: &[u8; 15] = b"walletwatchredo";
/// Magic, format and their checksum, bytes.
const HEAD_BYTES: usize = 15 + 4 + 8;
/// Length, kind and checksum before each payload, bytes.
const FRAME_HEAD_BYTES: usize = 4 + 1 + 8;
/// Longest payload: a chunk is closed at a quarter of a MiB, by an entry that may be as large as any.
const PAYLOAD_BYTES_MAX: usize = VALUE_BYTES_MAX + (1 << 20);

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Checkpoint = 1,
    Chunk = 2,
    End = 3,
}

/// What the last frame says of all before it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    chunks: u64,
    /// All checksums, mixed in order.
    sum: u64,
}

/// What a redo file holds.
#[derive(Debug)]
pub(super) enum Found {
    /// Everything, as it was written.
    Closed(ClosedRedo),
    /// It ends before its closing mark: it was never finished.
    Unclosed(String),
    /// It was finished and is not what was written.
    Damaged(String),
    /// Another version wrote it.
    OtherFormat(u32),
}

/// A redo file that is whole.
#[derive(Debug)]
pub(super) struct ClosedRedo {
    /// What it leads to.
    pub mark: Mark,
    bytes: Vec<u8>,
    chunks: Vec<std::ops::Range<usize>>,
}

impl ClosedRedo {
    /// The chunks.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(|range| self.bytes.get(range.clone()).unwrap_or_default())
    }
}

/// The name of a checkpoint's redo file.
pub(super) fn name(number: u64) -> String {
    format!("redo-{number:012}")
}

/// The numbers of the redo files in a folder, rising.
pub(super) fn numbers(disk: &dyn Disk, folder: &Path) -> Result<Vec<u64>, StoreError> {
    let names = disk.names(folder).map_err(io_error("list", folder))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.strip_prefix("redo-")?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Writes a redo file and closes it: when this returns it outlives everything but damage. Its size, bytes.
pub(super) fn write(disk: &dyn Disk, folder: &Path, mark: &Mark, chunks: &[Vec<u8>]) -> Result<u64, StoreError> {
    reach(failpoint::REDO_BEFORE_WRITE);
    let path = folder.join(name(mark.checkpoint.number));
    let file = disk.create(&path).map_err(io_error("create", &path))?;
    let mut frames = Frames { file, number: mark.checkpoint.number, index: 0, sum: 0, bytes: 0 };
    frames.write_all(mark, chunks).map_err(io_error("write", &path))?;
    reach(failpoint::REDO_WRITTEN);
    if !mutant::is(Mutant::NoFileSync) {
        frames.file.sync().map_err(io_error("sync", &path))?;
    }
    reach(failpoint::REDO_SYNCED);
    if !mutant::is(Mutant::NoFolderSync) {
        disk.sync_folder(folder).map_err(io_error("sync", folder))?;
    }
    reach(failpoint::REDO_CLOSED);
    Ok(frames.bytes)
}

/// Writes frame after frame.
struct Frames {
    file: Box<dyn DiskFile>,
    number: u64,
    index: u64,
    sum: u64,
    bytes: u64,
}

impl Frames {
    fn write_all(&mut self, mark: &Mark, chunks: &[Vec<u8>]) -> io::Result<()> {
        self.raw(&head(FORMAT))?;
        self.frame(Kind::Checkpoint, &mark.encode())?;
        for chunk in chunks {
            self.frame(Kind::Chunk, chunk)?;
        }
        let end = End { chunks: chunks.len() as u64, sum: self.sum };
        self.frame(Kind::End, &serde_json::to_vec(&end)?)
    }

    fn frame(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let sum = checksum(self.number, self.index, kind as u8, payload);
        (self.index, self.sum) = (self.index + 1, mixed(self.sum, sum));
        let mut head = Vec::with_capacity(FRAME_HEAD_BYTES);
        head.extend_from_slice(&length.to_le_bytes());
        head.push(kind as u8);
        head.extend_from_slice(&sum.to_le_bytes());
        self.raw(&head)?;
        self.raw(payload)
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

/// Reads a redo file whole. Only the disk is an error: a bad file is an answer.
pub(super) fn read(disk: &dyn Disk, folder: &Path, number: u64) -> Result<Found, StoreError> {
    let path = folder.join(name(number));
    let mut bytes = Vec::new();
    let mut file = disk.open(&path).map_err(io_error("open", &path))?;
    file.read_to_end(&mut bytes).map_err(io_error("read", &path))?;
    Ok(match parse(&bytes, number) {
        Ok((mark, chunks)) => Found::Closed(ClosedRedo { mark, bytes, chunks }),
        Err(Bad::Cut(what)) => Found::Unclosed(what),
        Err(Bad::Wrong(what)) => Found::Damaged(what),
        Err(Bad::Format(found)) => Found::OtherFormat(found),
    })
}

/// What is wrong with a file.
enum Bad {
    Cut(String),
    Wrong(String),
    Format(u32),
}

fn parse(bytes: &[u8], number: u64) -> Result<(Mark, Vec<std::ops::Range<usize>>), Bad> {
    let cut = || Bad::Cut("it ends in its head".to_owned());
    let (found, _) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or_else(cut)?;
    let (_, format) = found.split_at(MAGIC.len());
    let format = format.first_chunk().map_or(0, |format| u32::from_le_bytes(*format));
    // Only what is right by its checksum is another version's: a torn head is none.
    if *found != head(format) {
        return Err(Bad::Wrong("its head is not what was written".to_owned()));
    }
    if format != FORMAT {
        return Err(Bad::Format(format));
    }
    let mut at = Cursor { bytes, at: HEAD_BYTES, number, index: 0, sum: 0 };
    let (kind, range) = at.frame()?;
    let mark = match (kind, Mark::decode(bytes.get(range).unwrap_or_default())) {
        (Kind::Checkpoint, Ok(mark)) if mark.checkpoint.number == number => mark,
        (Kind::Checkpoint, Err(NoMark::OtherFormat(found))) => return Err(Bad::Format(found)),
        _ => return Err(Bad::Wrong("its first frame is no checkpoint of its number".to_owned())),
    };
    let mut chunks = Vec::new();
    loop {
        if mutant::is(Mutant::NoClosingMark) && at.at == bytes.len() {
            return Ok((mark, chunks));
        }
        let sum = at.sum;
        match at.frame()? {
            (Kind::Chunk, range) => chunks.push(range),
            (Kind::End, range) => {
                let end: Option<End> = serde_json::from_slice(bytes.get(range).unwrap_or_default()).ok();
                let expected = End { chunks: chunks.len() as u64, sum };
                let is_end = end == Some(expected) || mutant::is(Mutant::NoChecksums);
                return match is_end && at.at == bytes.len() {
                    true => Ok((mark, chunks)),
                    false => Err(Bad::Wrong("its closing mark does not fit what stands before it".to_owned())),
                };
            }
            (Kind::Checkpoint, _) => return Err(Bad::Wrong("it has two checkpoints".to_owned())),
        }
    }
}

/// Reads frame after frame.
struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
    number: u64,
    index: u64,
    sum: u64,
}

impl Cursor<'_> {
    /// The next frame: its kind and where its payload stands.
    fn frame(&mut self) -> Result<(Kind, std::ops::Range<usize>), Bad> {
        let place = format!("frame {} at byte {}", self.index, self.at);
        let cut = || Bad::Cut(format!("it ends in {place}"));
        let rest = self.bytes.get(self.at..).ok_or_else(cut)?;
        let (length, rest) = rest.split_first_chunk().ok_or_else(cut)?;
        let (kind, rest) = rest.split_first().ok_or_else(cut)?;
        let (sum, rest) = rest.split_first_chunk().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > PAYLOAD_BYTES_MAX {
            return Err(Bad::Wrong(format!("{place} says that it has {length} bytes")));
        }
        let payload = rest.get(..length).ok_or_else(cut)?;
        let sum = u64::from_le_bytes(*sum);
        if sum != checksum(self.number, self.index, *kind, payload) && !mutant::is(Mutant::NoChecksums) {
            return Err(Bad::Wrong(format!("{place} has another checksum than was written")));
        }
        let kind = match kind {
            1 => Kind::Checkpoint,
            2 => Kind::Chunk,
            3 => Kind::End,
            other => return Err(Bad::Wrong(format!("{place} is of no kind: {other}"))),
        };
        let start = self.at + FRAME_HEAD_BYTES;
        (self.index, self.sum, self.at) = (self.index + 1, mixed(self.sum, sum), start + length);
        Ok((kind, start..start + length))
    }
}

/// How a redo file of a format begins.
fn head(format: u32) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    let parts = MAGIC.iter().copied().chain(format.to_le_bytes());
    head.iter_mut().zip(parts).for_each(|(place, byte)| *place = byte);
    let sum = xxh3_64_with_seed(MAGIC, u64::from(format));
    head.iter_mut().skip(MAGIC.len() + 4).zip(sum.to_le_bytes()).for_each(|(place, byte)| *place = byte);
    head
}

/// The seed holds where a frame belongs: one of another file or from another place is found.
fn checksum(number: u64, index: u64, kind: u8, payload: &[u8]) -> u64 {
    let seed = mixed(mixed(number, index), u64::from(kind));
    xxh3_64_with_seed(payload, seed)
}

fn mixed(one: u64, other: u64) -> u64 {
    (one.rotate_left(23) ^ other).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{Change, Changes as _, Checkpoint, Merged, Progress, Redo, Space};
    use super::*;
    use crate::disk::SimulatedDisk;

    fn written() -> (SimulatedDisk, Mark) {
        let disk = SimulatedDisk::new(3);
        let mut redo = Redo::new();
        redo.put(Space::Account, b"b", b"1");
        redo.put(Space::Account, b"a", b"2");
        redo.put(Space::Account, b"b", b"3");
        redo.delete(Space::Ip, b"a");
        let mark = Mark::new("b3-1", Checkpoint { number: 5, progress: Progress::default() });
        let chunks: Vec<Vec<u8>> = redo.into_chunks().expect("small");
        write(&disk, Path::new("/s"), &mark, &[chunks.clone(), vec![Vec::new()]].concat()).expect("written");
        (disk, mark)
    }

    fn found(disk: &SimulatedDisk, number: u64) -> Found {
        read(disk, Path::new("/s"), number).expect("the disk works")
    }

    #[test]
    fn what_was_written_is_read_back_merged_and_sorted() {
        let (disk, mark) = written();
        let Found::Closed(redo) = found(&disk, 5) else { panic!("closed") };
        assert_eq!(redo.mark, mark);
        let change = |space, key, value| Change { space, key, value };
        let expected = [
            change(Space::Account, &b"a"[..], Some(&b"2"[..])),
            change(Space::Account, b"b", Some(b"3")),
            change(Space::Ip, b"a", None),
        ];
        let merged = Merged::of(redo.chunks(), &PathBuf::new).expect("readable");
        assert_eq!(merged.iter().collect::<Vec<_>>(), expected);
        assert_eq!(numbers(&disk, Path::new("/s")).expect("listed"), [5]);
    }

    #[test]
    fn a_flip_of_any_bit_is_found() {
        let (disk, _) = written();
        let path = Path::new("/s").join(name(5));
        let bytes = disk.bytes(&path).expect("there");
        for at in 0..bytes {
            for bit in 0..8 {
                disk.flip(&path, at, 1 << bit);
                let found = found(&disk, 5);
                assert!(!matches!(found, Found::Closed(_)), "byte {at} bit {bit}: {found:?}");
                disk.flip(&path, at, 1 << bit);
            }
        }
        assert!(matches!(found(&disk, 5), Found::Closed(_)));
    }

    #[test]
    fn a_file_cut_anywhere_is_unclosed_and_one_that_goes_on_is_damaged() {
        let (disk, _) = written();
        let path = Path::new("/s").join(name(5));
        disk.append(&path).expect("there").write_all(b"x").expect("written");
        assert!(matches!(found(&disk, 5), Found::Damaged(_)));
        let bytes = disk.bytes(&path).expect("there") as u64 - 1;
        for cut in (0..bytes).rev() {
            disk.cut(&path, cut).expect("cut");
            assert!(matches!(found(&disk, 5), Found::Unclosed(_)), "{cut}");
        }
    }

    #[test]
    fn a_file_under_another_number_or_of_another_format_is_not_taken() {
        let (disk, _) = written();
        let (five, six) = (Path::new("/s").join(name(5)), Path::new("/s").join(name(6)));
        for (at, (one, two)) in head(1).into_iter().zip(head(2)).enumerate() {
            disk.flip(&five, at, one ^ two);
        }
        assert!(matches!(found(&disk, 5), Found::OtherFormat(2)));
        for (at, (one, two)) in head(1).into_iter().zip(head(2)).enumerate() {
            disk.flip(&five, at, one ^ two);
        }
        disk.rename(&five, &six).expect("renamed");
        assert!(matches!(found(&disk, 6), Found::Damaged(_)));
    }
}
