//! The changes of a checkpoint as the store takes them: by space and key, each key once, the last of it.
//!
//! Guarantees: takes four bytes a change beside the chunks, for millions may change at once under a ceiling of memory;
//! what cannot be read is found before the first is handed out. Writes nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

use super::redo::{self, Change};
use super::{Space, StoreError};

/// The changes of all chunks, in order.
#[derive(Debug, Default)]
pub struct Merged<'c> {
    chunks: Vec<Sorted<'c>>,
}

/// A chunk, and where its changes begin: by space and key, each key once, the last of it.
#[derive(Debug)]
struct Sorted<'c> {
    bytes: &'c [u8],
    at: Vec<u32>,
}

impl<'c> Sorted<'c> {
    /// `None`: it cannot be read.
    fn of(bytes: &'c [u8]) -> Option<Self> {
        let mut all = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = u32::try_from(bytes.len() - rest.len()).ok()?;
            let (change, after) = redo::first(rest)?;
            all.push((change, at));
            rest = after;
        }
        // Of two changes of one key the later one stands behind.
        all.sort_unstable_by_key(|(change, at)| (change.space, change.key, *at));
        all.dedup_by(|later, earlier| {
            let is_same = (later.0.space, later.0.key) == (earlier.0.space, earlier.0.key);
            if is_same {
                *earlier = *later;
            }
            is_same
        });
        Some(Sorted { bytes, at: all.into_iter().map(|(_, at)| at).collect() })
    }

    fn get(&self, number: usize) -> Option<Change<'c>> {
        let at = *self.at.get(number)? as usize;
        redo::first(self.bytes.get(at..)?).map(|(change, _)| change)
    }
}

impl<'c> Merged<'c> {
    /// Those of these chunks; `path` is the file they stand in, where one cannot be read.
    pub(super) fn of(chunks: impl Iterator<Item = &'c [u8]>, path: &dyn Fn() -> PathBuf) -> Result<Self, StoreError> {
        let unreadable = || StoreError::Damaged {
            space: None,
            what: format!("a chunk of {} is right by its checksum and cannot be read", path().display()),
        };
        let chunks = chunks.map(|chunk| Sorted::of(chunk).ok_or_else(unreadable)).collect::<Result<_, _>>()?;
        Ok(Merged { chunks })
    }

    /// How many changes there are, those of one key in several chunks each.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.at.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in order.
    pub fn iter(&self) -> Iter<'_, 'c> {
        let mut iter = Iter { chunks: &self.chunks, next: vec![0; self.chunks.len()], heads: BinaryHeap::new() };
        (0..self.chunks.len()).for_each(|chunk| iter.show(chunk));
        iter
    }
}

/// The changes in order.
#[derive(Debug)]
pub struct Iter<'m, 'c> {
    chunks: &'m [Sorted<'c>],
    /// By chunk.
    next: Vec<usize>,
    /// The first that each chunk still has, the smallest on top; of one key the oldest chunk's.
    heads: BinaryHeap<Reverse<(Space, &'c [u8], usize)>>,
}

impl<'c> Iter<'_, 'c> {
    /// Puts the next change of a chunk among the heads.
    fn show(&mut self, chunk: usize) {
        if let Some(change) = self.peek(chunk) {
            self.heads.push(Reverse((change.space, change.key, chunk)));
        }
    }

    fn peek(&self, chunk: usize) -> Option<Change<'c>> {
        self.chunks.get(chunk)?.get(*self.next.get(chunk)?)
    }

    fn take(&mut self, chunk: usize) -> Option<Change<'c>> {
        let change = self.peek(chunk);
        if let Some(next) = self.next.get_mut(chunk) {
            *next += 1;
        }
        self.show(chunk);
        change
    }
}

impl<'c> Iterator for Iter<'_, 'c> {
    type Item = Change<'c>;

    fn next(&mut self) -> Option<Change<'c>> {
        let Reverse((space, key, chunk)) = self.heads.pop()?;
        let mut last = self.take(chunk);
        while let Some(Reverse((_, _, later))) =
            self.heads.peek().filter(|Reverse(head)| (head.0, head.1) == (space, key))
        {
            let later = *later;
            self.heads.pop();
            last = self.take(later);
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::{Changes as _, Redo};
    use super::*;

    proptest! {
        #[test]
        fn equals_a_map_that_takes_one_after_the_other(
            chunks in prop::collection::vec(
                prop::collection::vec((0u8..3, 0u8..12, prop::option::of(any::<u8>())), 0..30),
                0..8,
            ),
        ) {
            let spaces = [Space::Account, Space::Ip, Space::Device];
            let mut expected = BTreeMap::new();
            let mut bytes = Vec::new();
            for chunk in &chunks {
                let mut redo = Redo::new();
                for (space, key, value) in chunk {
                    let space = spaces[usize::from(*space)];
                    match value {
                        Some(value) => redo.put(space, &[*key], &[*value]),
                        None => redo.delete(space, &[*key]),
                    }
                    expected.insert((space, vec![*key]), value.map(|value| vec![value]));
                }
                bytes.extend(redo.into_chunks().unwrap());
            }
            let merged = Merged::of(bytes.iter().map(Vec::as_slice), &PathBuf::new).unwrap();
            let found: Vec<_> =
                merged.iter().map(|c| ((c.space, c.key.to_vec()), c.value.map(<[u8]>::to_vec))).collect();
            prop_assert!(merged.len() >= found.len() && merged.is_empty() == found.is_empty());
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
