//! The same event twice: the ids of the events accepted lately.
//!
//! Guarantees: an id accepted no longer than the window ago, by the newest accepted event time, is known;
//! at most `ids_max` ids, the oldest go first. Keeps keyed hashes, and only those of accepted events.

use std::collections::VecDeque;

use hashbrown::HashTable;

/// The ids accepted lately.
#[derive(Debug)]
pub struct Duplicates {
    window_ms: i64,
    ids_max: usize,
    newest_ms: i64,
    /// When each was accepted, by the newest event time then; it never falls.
    queue: VecDeque<(i64, u64)>,
    known: HashTable<u64>,
}

impl Duplicates {
    /// None yet.
    pub fn new(window_ms: i64, ids_max: usize) -> Self {
        let (queue, known) = (VecDeque::new(), HashTable::new());
        Duplicates { window_ms, ids_max: ids_max.max(1), newest_ms: i64::MIN, queue, known }
    }

    /// Whether the id was accepted within the window.
    pub fn is_known(&self, id: u64) -> bool {
        self.known.find(id, |known| *known == id).is_some()
    }

    /// Looks up the next `n` ids that will be forgotten, so that their memory is near then. Changes nothing.
    pub fn bring_near(&self, n: usize) -> u64 {
        self.queue.iter().take(n).fold(0, |read, (_, id)| read ^ u64::from(self.is_known(*id)))
    }

    /// Takes an accepted event's id.
    pub fn accept(&mut self, id: u64, time_ms: i64) {
        self.newest_ms = self.newest_ms.max(time_ms);
        while let Some((accepted_ms, old)) = self.queue.front().copied()
            && (self.newest_ms.saturating_sub(accepted_ms) > self.window_ms || self.queue.len() >= self.ids_max)
        {
            self.queue.pop_front();
            if let Ok(found) = self.known.find_entry(old, |known| *known == old) {
                found.remove();
            }
        }
        self.queue.push_back((self.newest_ms, id));
        self.known.insert_unique(id, id, |id| *id);
    }

    /// The window really held, ms: shorter than asked for where the ids are too many.
    pub fn held_ms(&self) -> i64 {
        self.queue.front().map_or(0, |(accepted_ms, _)| self.newest_ms.saturating_sub(*accepted_ms))
    }

    /// The newest time of an accepted event, ms; `None` before the first.
    pub fn newest_ms(&self) -> Option<i64> {
        (self.newest_ms != i64::MIN).then_some(self.newest_ms)
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_window_ends_after_exactly_its_time() {
        let mut ids = Duplicates::new(600, 100);
        ids.accept(1, 1000);
        ids.accept(2, 1600);
        assert!(ids.is_known(1));
        ids.accept(3, 1601);
        assert!(!ids.is_known(1) && ids.is_known(2));
    }

    #[test]
    fn the_oldest_go_first() {
        let mut ids = Duplicates::new(i64::MAX, 3);
        for id in 1..=5 {
            ids.accept(id, 7);
        }
        assert_eq!([1, 2, 3, 4, 5].map(|id| ids.is_known(id)), [false, false, true, true, true]);
        assert_eq!((ids.len(), ids.held_ms()), (3, 0));
    }

    proptest! {
        #[test]
        fn equals_keeping_everything(events in prop::collection::vec((1u64..20, 0i64..400), 1..200)) {
            let mut ids = Duplicates::new(100, usize::MAX);
            let mut all: Vec<(u64, i64)> = Vec::new();
            let mut newest = i64::MIN;
            for (id, time) in events {
                let expected = all.iter().any(|(i, accepted)| *i == id && newest - accepted <= 100);
                prop_assert_eq!(ids.is_known(id), expected);
                if !expected {
                    ids.accept(id, time);
                    newest = newest.max(time);
                    all.push((id, newest));
                }
            }
        }
    }
}
