//! The same event twice: the ids of the events accepted lately.
//!
//! Guarantees: an id accepted no longer than the window ago, by the newest accepted event time, is known;
//! at most `ids_max` ids, the oldest go first. Keeps keyed hashes, and only those of accepted events.
//!
//! An id costs one line of memory to look up and to take. Nothing is looked up to be forgotten: what has ended
//! stays where it is, dead, until a broom that goes through the lines in order, one an id, comes by.

use std::collections::VecDeque;

use prefetch_index::prefetch_index;

use super::memory::EVENT_ID_BYTES;

mod durable;

pub use durable::Head;
use durable::Saved;

/// Ids in one line of a cache.
const LINE_IDS: usize = 5;
/// The table grows when so many percent of its places are taken.
const FULL_PERCENT: usize = 80;
/// Into how many turns the ids at the limit are cut, at least: so exact is "the oldest go first".
const TURNS_AT_LIMIT: usize = 1024;

/// One line of a cache. An id stands in the line its hash says, or in one after it where that was full.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Line {
    /// 0: the place is free.
    ids: [u64; LINE_IDS],
    /// The turn each was accepted in.
    turns: [u32; LINE_IDS],
    /// How many ids stand further on because this line was full: at 0 a search ends here.
    passed: u32,
}

/// Ids accepted one after the other while the newest event time stayed the same.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// From the turn before to this one.
    after_ms: u32,
    ids: u32,
}

/// The ids accepted lately.
#[derive(Debug)]
pub struct Duplicates {
    window_ms: i64,
    ids_max: usize,
    newest_ms: i64,
    /// The living turns, oldest first.
    turns: VecDeque<Turn>,
    /// The number of the oldest living turn. Numbers wrap after 2³²: long before, the dead are overwritten.
    oldest: u32,
    /// When the oldest living turn was.
    oldest_ms: i64,
    /// Living ids.
    living: usize,
    lines: Vec<Line>,
    /// Places taken, by the living and by the dead.
    taken: usize,
    /// Ids that were forgotten before the window ended, since the start.
    went_early: u64,
    /// The line the broom comes to next.
    broom: usize,
    /// Ids accepted since the last save; `None`: nothing was ever saved, or they were more than are kept.
    fresh: Option<Vec<u64>>,
    saved: Saved,
}

impl Duplicates {
    /// None yet.
    pub fn new(window_ms: i64, ids_max: usize) -> Self {
        Duplicates {
            window_ms,
            ids_max: ids_max.max(1),
            newest_ms: i64::MIN,
            turns: VecDeque::new(),
            oldest: 0,
            oldest_ms: i64::MIN,
            living: 0,
            lines: vec![Line::default()],
            taken: 0,
            went_early: 0,
            broom: 0,
            fresh: None,
            saved: Saved::default(),
        }
    }

    /// Asks for the memory of an id, so that it is near when it is looked up. Changes nothing.
    pub fn bring_near(&self, id: u64) {
        prefetch_index(&self.lines, self.home(id));
    }

    /// Whether the id was accepted within the window.
    pub fn is_known(&self, id: u64) -> bool {
        let id = id.max(1);
        let mut at = self.home(id);
        for _ in 0..self.lines.len() {
            let Some(line) = self.lines.get(at) else { return false };
            if line.ids.iter().zip(&line.turns).any(|(known, turn)| *known == id && self.is_alive(*turn)) {
                return true;
            }
            if line.passed == 0 {
                return false;
            }
            at = self.after(at);
        }
        false
    }

    /// Takes an accepted event's id.
    pub fn accept(&mut self, id: u64, time_ms: i64) {
        let before_ms = self.newest_ms;
        self.newest_ms = self.newest_ms.max(time_ms);
        while self.living >= self.ids_max
            || self.living > 0 && self.newest_ms.saturating_sub(self.oldest_ms) > self.window_ms
        {
            if self.newest_ms.saturating_sub(self.oldest_ms) <= self.window_ms {
                self.went_early += self.turns.front().map_or(0, |turn| u64::from(turn.ids));
            }
            self.forget_turn();
        }
        let turn_ids_max = (self.ids_max / TURNS_AT_LIMIT).max(1);
        match self.turns.back_mut() {
            Some(turn) if self.newest_ms == before_ms && (turn.ids as usize) < turn_ids_max => turn.ids += 1,
            Some(_) => {
                // While a turn lives, what comes after it is no further away than the window.
                let after_ms = u32::try_from(self.newest_ms.saturating_sub(before_ms)).unwrap_or(u32::MAX);
                self.turns.push_back(Turn { after_ms, ids: 1 });
            }
            None => {
                self.oldest_ms = self.newest_ms;
                self.turns.push_back(Turn { after_ms: 0, ids: 1 });
            }
        }
        self.living += 1;
        match &mut self.fresh {
            Some(fresh) if fresh.len() < self.ids_max => fresh.push(id.max(1)),
            // All that live are fewer than these.
            fresh => *fresh = None,
        }
        self.clean(self.broom);
        self.broom = self.after(self.broom);
        if self.broom == 0 {
            self.shrink();
        }
        if (self.taken + 1) * 100 > self.lines.len() * LINE_IDS * FULL_PERCENT {
            self.grow();
        }
        self.insert(id.max(1), self.oldest.wrapping_add(self.turns.len() as u32).wrapping_sub(1));
    }

    /// The window really held, ms: shorter than asked for where the ids are too many.
    pub fn held_ms(&self) -> i64 {
        if self.living == 0 { 0 } else { self.newest_ms.saturating_sub(self.oldest_ms) }
    }

    /// The newest time of an accepted event, ms; `None` before the first.
    pub fn newest_ms(&self) -> Option<i64> {
        (self.newest_ms != i64::MIN).then_some(self.newest_ms)
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.living
    }

    /// Memory they are accounted to take, bytes.
    pub fn accounted_bytes(&self) -> usize {
        self.living * EVENT_ID_BYTES
    }

    /// How many were forgotten before the window ended, since the start.
    pub fn went_early(&self) -> u64 {
        self.went_early
    }

    fn is_alive(&self, turn: u32) -> bool {
        (turn.wrapping_sub(self.oldest) as usize) < self.turns.len()
    }

    fn forget_turn(&mut self) {
        let Some(gone) = self.turns.pop_front() else { return };
        self.living = self.living.saturating_sub(gone.ids as usize);
        self.oldest = self.oldest.wrapping_add(1);
        if let Some(next) = self.turns.front() {
            self.oldest_ms = self.oldest_ms.saturating_add(i64::from(next.after_ms));
        }
    }

    /// The line an id belongs into. It rises with the id: growing goes through old and new lines in order.
    fn home(&self, id: u64) -> usize {
        ((u128::from(id.max(1)) * self.lines.len() as u128) >> u64::BITS) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 < self.lines.len() { at + 1 } else { 0 }
    }

    /// Puts an id into the first free place from its own line on. There is always one.
    fn insert(&mut self, id: u64, turn: u32) {
        let mut at = self.home(id);
        for _ in 0..self.lines.len() {
            let Some(line) = self.lines.get_mut(at) else { return };
            if let Some((kept, kept_turn)) = line.ids.iter_mut().zip(&mut line.turns).find(|(kept, _)| **kept == 0) {
                (*kept, *kept_turn) = (id, turn);
                self.taken += 1;
                return;
            }
            line.passed += 1;
            at = self.after(at);
        }
    }

    /// Clears the dead out of a line.
    fn clean(&mut self, at: usize) {
        let Some(line) = self.lines.get(at).copied() else { return };
        for (place, (id, turn)) in line.ids.into_iter().zip(line.turns).enumerate() {
            if id == 0 || self.is_alive(turn) {
                continue;
            }
            if let Some(kept) = self.lines.get_mut(at).and_then(|line| line.ids.get_mut(place)) {
                *kept = 0;
            }
            self.taken -= 1;
            self.unpass(id, at);
        }
    }

    /// An id that stood at `at` is gone: the lines it had to pass no longer count it.
    fn unpass(&mut self, id: u64, at: usize) {
        let mut passed = self.home(id);
        while passed != at {
            if let Some(line) = self.lines.get_mut(passed) {
                line.passed = line.passed.saturating_sub(1);
            }
            passed = self.after(passed);
        }
    }

    /// A quarter more lines, where it is not the dead who take the room. These stay behind.
    fn grow(&mut self) {
        let crowded = self.living * 2 > self.lines.len() * LINE_IDS;
        self.spread_over(self.lines.len() + if crowded { self.lines.len() / 4 + 1 } else { 0 });
    }

    /// Gives back what a burst took, once the broom has been everywhere.
    fn shrink(&mut self) {
        let lines = self.living * 2 / LINE_IDS + 1;
        if lines * 2 < self.lines.len() {
            self.spread_over(lines);
            self.turns.shrink_to(2 * self.turns.len());
        }
    }

    fn spread_over(&mut self, lines: usize) {
        let old = std::mem::replace(&mut self.lines, vec![Line::default(); lines]);
        self.taken = 0;
        for line in &old {
            for (id, turn) in line.ids.iter().zip(&line.turns) {
                if *id != 0 && self.is_alive(*turn) {
                    self.insert(*id, *turn);
                }
            }
        }
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

    #[test]
    fn a_steady_stream_needs_no_more_room() {
        let mut ids = Duplicates::new(600, usize::MAX);
        let id = |n: i64| ((n + 1000) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for n in 0..200_000 {
            assert!(!ids.is_known(id(n)));
            ids.accept(id(n), n);
            assert!(ids.is_known(id(n)) && ids.is_known(id((n - 600).max(0))));
            assert!(!ids.is_known(id(n - 601)));
        }
        assert_eq!(ids.len(), 601);
        assert!(ids.lines.len() * LINE_IDS < 2 * 601, "{}", ids.lines.len());
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
