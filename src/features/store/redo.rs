//! The changes of one checkpoint as bytes, in the format of the redo file.
//!
//! Guarantees: what is read back is what was put, in the same order; a byte that changed, a frame that is missing,
//! doubled or from elsewhere is found. Writes no file.

use super::{Changes, KEY_BYTES_MAX, Space, StoreError, VALUE_BYTES_MAX};

/// A chunk is closed once it has so many bytes: as much as the store takes in one batch.
const CHUNK_BYTES: usize = 256 << 10;

/// An entry's first byte.
const PUT: u8 = 1;
/// An entry's first byte.
const DELETE: u8 = 2;

/// What changed since the last checkpoint: a growing list of chunks.
#[derive(Debug, Default)]
pub struct Redo {
    closed: Vec<Vec<u8>>,
    open: Vec<u8>,
    entries: u64,
    bytes: u64,
    refused: Option<StoreError>,
}

/// One change, borrowed from its chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'c> {
    /// What the key belongs to.
    pub space: Space,
    /// The key.
    pub key: &'c [u8],
    /// The new value; `None` takes the key away.
    pub value: Option<&'c [u8]>,
}

impl Redo {
    /// Nothing changed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many changes it holds.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Its size, bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The chunks, or what could not be put.
    pub(super) fn into_chunks(mut self) -> Result<Vec<Vec<u8>>, StoreError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        if !self.open.is_empty() {
            self.closed.push(self.open);
        }
        Ok(self.closed)
    }

    fn push(&mut self, op: u8, space: Space, key: &[u8], value: &[u8]) {
        let of = |what, bytes: usize, bytes_max| {
            (bytes > bytes_max).then_some(StoreError::TooLarge { what, space, bytes, bytes_max })
        };
        if let Some(error) =
            of("a key", key.len(), KEY_BYTES_MAX).or_else(|| of("a value", value.len(), VALUE_BYTES_MAX))
        {
            self.refused.get_or_insert(error);
            return;
        }
        let before = self.open.len();
        // The lengths fit: both limits are far below.
        let key_len = u16::try_from(key.len()).unwrap_or(u16::MAX);
        let value_len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.open.extend_from_slice(&[op, space.number()]);
        self.open.extend_from_slice(&key_len.to_le_bytes());
        self.open.extend_from_slice(key);
        if op == PUT {
            self.open.extend_from_slice(&value_len.to_le_bytes());
            self.open.extend_from_slice(value);
        }
        self.entries += 1;
        self.bytes += (self.open.len() - before) as u64;
        if self.open.len() >= CHUNK_BYTES {
            let full = std::mem::replace(&mut self.open, Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8));
            self.closed.push(full);
        }
    }
}

impl Changes for Redo {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.push(PUT, space, key, value);
    }

    fn delete(&mut self, space: Space, key: &[u8]) {
        self.push(DELETE, space, key, &[]);
    }
}

/// The first change of what is left of a chunk, and what is left behind it. `None` where there is none: the chunk's
/// checksum is to be looked at before.
pub(super) fn first(rest: &[u8]) -> Option<(Change<'_>, &[u8])> {
    let ([op, space], after) = rest.split_first_chunk()?;
    let space = Space::numbered(*space)?;
    let (key_len, after) = after.split_first_chunk()?;
    let (key, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*key_len)))?;
    let (value, after) = match *op {
        PUT => {
            let (value_len, after) = after.split_first_chunk()?;
            let (value, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*value_len)).ok()?)?;
            (Some(value), after)
        }
        DELETE => (None, after),
        _ => return None,
    };
    Some((Change { space, key, value }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(chunk: &[u8]) -> Option<Vec<Change<'_>>> {
        let (mut found, mut rest) = (Vec::new(), chunk);
        while !rest.is_empty() {
            let (change, after) = first(rest)?;
            found.push(change);
            rest = after;
        }
        Some(found)
    }

    #[test]
    fn what_was_put_is_read_back_in_order_over_chunks() {
        let mut redo = Redo::new();
        let large = vec![7u8; CHUNK_BYTES];
        redo.put(Space::Account, b"a", b"1");
        redo.delete(Space::Ip, b"b");
        redo.put(Space::Account, b"a", &large);
        redo.put(Space::Meta, b"", b"");
        assert_eq!(redo.entries(), 4);
        let bytes = redo.bytes();
        let chunks = redo.into_chunks().expect("nothing is too large");
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks.iter().map(Vec::len).sum::<usize>() as u64, bytes);
        let read: Vec<_> = chunks.iter().flat_map(|chunk| changes(chunk).expect("whole")).collect();
        let change = |space, key, value| Change { space, key, value };
        let expected = [
            change(Space::Account, &b"a"[..], Some(&b"1"[..])),
            change(Space::Ip, b"b", None),
            change(Space::Account, b"a", Some(&large)),
            change(Space::Meta, b"", Some(b"")),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn a_chunk_cut_anywhere_but_between_entries_is_none() {
        let mut redo = Redo::new();
        redo.put(Space::Account, b"key", b"value");
        redo.delete(Space::Ip, b"key");
        let chunk = redo.into_chunks().expect("small").concat();
        let first = 2 + 2 + 3 + 4 + 5;
        for cut in 1..chunk.len() {
            assert_eq!(changes(&chunk[..cut]).is_some(), cut == first, "{cut}");
        }
        assert_eq!(changes(&[9, 1, 0, 0]), None, "no such operation");
        assert_eq!(changes(&[PUT, 0, 0, 0]), None, "no such space");
    }

    #[test]
    fn what_is_too_large_is_told_and_nothing_of_it_is_kept() {
        let mut redo = Redo::new();
        redo.put(Space::Account, &[0; KEY_BYTES_MAX + 1], b"");
        redo.put(Space::Account, &[0; KEY_BYTES_MAX], b"");
        assert_eq!(redo.entries(), 1);
        let told = redo.into_chunks().expect_err("a key is too long").to_string();
        assert_eq!(told, "a key of 1025 bytes in account; at most 1024 are kept");
    }
}
