//! What a table is accounted to take of memory, and who goes when that is too much.
//!
//! Guarantees: the account is a function of what is kept, by lengths: the same after a restart; what is forgotten is
//! chosen as at `entities_max`; a piece of memory that nobody stands in any more is given back. Asks no system.

use super::{CHUNK, Entity, Kept, Table};

/// An entity's part of the index, its marks, and what allocating for it costs, bytes.
pub(super) const OVERHEAD_BYTES: usize = 48;
/// Of so many entities of a kind more than one that came only once: then this kind is the first to lose one.
const ONCE_PART: usize = 10;

impl<T: Kept> Table<T> {
    /// From now on what entities point to is accounted.
    pub fn account(&mut self) {
        let here: usize = self.entities().map(|(_, kept)| kept.heap_bytes()).sum();
        self.heap_bytes = Some(here + self.away_heap_bytes());
    }

    /// Memory it is accounted to take, bytes.
    pub fn accounted_bytes(&self) -> usize {
        self.len() * (size_of::<Entity<T>>() + OVERHEAD_BYTES) + self.heap_bytes.unwrap_or_default()
    }

    /// An entity that pointed to so many bytes points to others now.
    pub fn reaccount(&mut self, before: usize, after: usize) {
        if let Some(bytes) = &mut self.heap_bytes {
            *bytes = (*bytes + after).saturating_sub(before);
        }
    }

    /// Whether so many came only once that those may be the first to go.
    pub fn has_many_once(&self) -> bool {
        self.marks.once(self.len()) > self.len() / ONCE_PART
    }

    /// Forgets the one who is next. False: there is nobody.
    pub fn forget_one(&mut self) -> bool {
        let next = self.marks.next_to_go(self.len(), self.len());
        self.forget(next)
    }

    /// A place is free again: nobody may be left in its piece of memory.
    pub(super) fn leave(&mut self, at: u32) {
        let number = at as usize / CHUNK;
        let Some(standing) = self.standing.get_mut(number) else { return };
        *standing = standing.saturating_sub(1);
        // The last piece says by its length how many places there are.
        if *standing == 0
            && number + 1 < self.chunks.len()
            && let Some(chunk) = self.chunks.get_mut(number)
        {
            *chunk = Vec::new();
            self.thinned.get_mut(number).into_iter().for_each(|thin| *thin = None);
        }
    }

    /// Somebody comes to a place that was free: its piece of memory may have been given back.
    pub(super) fn enter(&mut self, at: u32) {
        let number = at as usize / CHUNK;
        if self.standing.len() <= number {
            self.standing.resize(number + 1, 0);
        }
        if let Some(standing) = self.standing.get_mut(number) {
            *standing += 1;
        }
        // The last piece grows place by place, and one that is thinned has what it needs.
        let is_whole = number + 1 < self.chunks.len() && self.thinned.get(number).is_none_or(Option::is_none);
        if let Some(chunk) = self.chunks.get_mut(number)
            && chunk.is_empty()
            && is_whole
        {
            chunk.reserve_exact(CHUNK);
            chunk.resize_with(CHUNK, || Entity { key: 0, kept: T::default() });
        }
    }
}
