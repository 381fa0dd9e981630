//! Frames: how a record of the batch log lies in its file.
//!
//! Guarantees: a frame that is read is the one that was written, at this place of this file: its checksum covers the
//! file's number, the place, the kind and every byte. Writes nothing and does not know what a frame holds.
//!
//! ```text
//! magic 4 | kind 1 | length of the content 4 | checksum 8 | content
//! ```
//! Numbers are little-endian.

use std::ops::Range;

/// What a frame begins with.
const MAGIC: [u8; 4] = *b"\xf7BL\xf9";
/// Bytes before the content.
const HEAD_BYTES: usize = 17;
/// Bytes of a frame's content, at most: what claims more was damaged.
pub const CONTENT_BYTES_MAX: usize = 16 << 20;

/// A frame that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: u8,
    /// Where its content lies.
    pub content: Range<usize>,
}

/// Writes a frame behind `out`, whose first byte lies at `at` of the file.
pub fn put(out: &mut Vec<u8>, file: u64, at: u64, kind: u8, content: &[u8]) {
    let at = at.saturating_add(out.len() as u64);
    out.extend_from_slice(&MAGIC);
    out.push(kind);
    // Contents are far below the limit: a batch has at most 1024 ranges.
    out.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&checksum(file, at, kind, content));
    out.extend_from_slice(content);
}

/// The frame at a place; `None` where there is none, or where it is not what was written.
pub fn at(bytes: &[u8], file: u64, place: usize) -> Option<Frame> {
    let rest = bytes.get(place..)?;
    let (head, behind) = rest.split_at_checked(HEAD_BYTES)?;
    let (magic, head) = head.split_first_chunk::<4>()?;
    let (kind, head) = head.split_first()?;
    let (length, sum) = head.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if *magic != MAGIC || length > CONTENT_BYTES_MAX {
        return None;
    }
    let content = behind.get(..length)?;
    let begin = place + HEAD_BYTES;
    (sum == checksum(file, place as u64, *kind, content)).then(|| Frame { kind: *kind, content: begin..begin + length })
}

/// Where a frame's successor begins.
pub fn end(frame: &Frame) -> usize {
    frame.content.end
}

/// The place of the first whole frame from `place` on.
pub fn next_whole(bytes: &[u8], file: u64, place: usize) -> Option<usize> {
    let rest = bytes.get(place..)?;
    let found = memchr::memmem::find_iter(rest, &MAGIC).map(|found| place + found);
    found.into_iter().find(|found| at(bytes, file, *found).is_some())
}

fn checksum(file: u64, at: u64, kind: u8, content: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&file.to_le_bytes());
    hasher.update(&at.to_le_bytes());
    hasher.update(&[kind]);
    hasher.update(content);
    let mut sum = [0; 8];
    sum.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(sum, byte)| *sum = *byte);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_only_where_it_was_written() {
        let mut bytes = Vec::new();
        put(&mut bytes, 7, 0, 1, b"first");
        let second = bytes.len();
        put(&mut bytes, 7, 0, 2, b"second");
        let frame = at(&bytes, 7, second).expect("a frame");
        assert_eq!((frame.kind, &bytes[frame.content.clone()], end(&frame)), (2, &b"second"[..], bytes.len()));
        assert_eq!(at(&bytes, 8, second), None, "of another file");
        let moved = bytes[second..].to_vec();
        assert_eq!(at(&moved, 7, 0), None, "of another place");
        assert_eq!(at(&bytes, 7, second + 1), None);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let mut whole = Vec::new();
        put(&mut whole, 3, 0, 4, b"0123456789");
        for length in 0..whole.len() {
            assert!(at(&whole[..length], 3, 0).is_none(), "cut to {length}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(at(&flipped, 3, 0).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn the_next_whole_frame_is_found_behind_a_damaged_one() {
        let mut bytes = Vec::new();
        put(&mut bytes, 1, 0, 4, b"damaged");
        let second = bytes.len();
        put(&mut bytes, 1, 0, 4, b"whole");
        bytes[6] ^= 0x80;
        assert_eq!(next_whole(&bytes, 1, 1), Some(second));
        assert_eq!(next_whole(&bytes, 1, second + 1), None);
    }
}
