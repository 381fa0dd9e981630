//! `habit`: how usual a value is for an entity.
//!
//! Guarantees: counts of up to [`VALUES_EXACT_MAX`] values are kept apart, the rest together; an event older
//! than the newest counted reads what has been counted so far. Beyond [`ENTRIES_EXACT_MAX`] entries the
//! oldest of a value run together in steps of 1/64 of the window.

use super::codec::{DecodeError, Decoder, Durable, Encoder, decode_each};
use super::window::{ENTRIES_EXACT_MAX, Span, room_bytes};

/// Values of one entity that are kept apart.
pub const VALUES_EXACT_MAX: usize = 64;
/// The place of all other values together.
const REST: u8 = u8::MAX;
/// How many entries may wait beyond the exact ones before the oldest are run together.
const ENTRIES_WAITING_MAX: usize = 64;
/// How many run-together entries are kept.
const STEPS_KEPT_MAX: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Entry {
    time_ms: i64,
    n: u32,
    place: u8,
}

/// What is known of this event's own value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// Events with the same value.
    pub count: u64,
    /// All events that had a value.
    pub total: u64,
}

/// The values of one entity.
#[derive(Debug, Clone)]
pub struct Habit {
    newest_ms: i64,
    entries: Vec<Entry>,
    values: Vec<(u64, u64)>,
    rest: u64,
}

impl Default for Habit {
    fn default() -> Self {
        Habit { newest_ms: i64::MIN, entries: Vec::new(), values: Vec::new(), rest: 0 }
    }
}

impl Habit {
    /// Adds a value, `n` times, at a time.
    pub fn add(&mut self, time_ms: i64, value: u64, n: u32, span: Span) {
        self.newest_ms = self.newest_ms.max(time_ms);
        let from = self.newest_ms.saturating_sub(span.over_ms);
        self.forget(from);
        if time_ms <= from {
            return;
        }
        let place = self.place_of(value);
        self.add_at(time_ms, place, n, span);
    }

    fn add_at(&mut self, time_ms: i64, place: u8, n: u32, span: Span) {
        *self.counter(place) += u64::from(n);
        let at = match self.entries.last() {
            Some(last) if last.time_ms > time_ms => self.entries.partition_point(|e| e.time_ms <= time_ms),
            _ => self.entries.len(),
        };
        match at.checked_sub(1).and_then(|before| self.entries.get_mut(before)) {
            Some(same) if same.time_ms == time_ms && same.place == place => same.n = same.n.saturating_add(n),
            _ => self.entries.insert(at, Entry { time_ms, n, place }),
        }
        if self.entries.len() > ENTRIES_EXACT_MAX + STEPS_KEPT_MAX + ENTRIES_WAITING_MAX {
            self.run_together(span);
        }
    }

    /// Takes in what another one of the same feature and entity holds.
    pub fn merge(&mut self, other: Self, span: Span) {
        self.newest_ms = self.newest_ms.max(other.newest_ms);
        for entry in other.entries {
            match other.values.get(usize::from(entry.place)) {
                Some((value, _)) => self.add(entry.time_ms, *value, entry.n, span),
                None => self.add_at(entry.time_ms, REST, entry.n, span),
            }
        }
        self.forget(self.newest_ms.saturating_sub(span.over_ms));
    }

    /// How usual a value is at a time; `None` while nothing is known.
    pub fn usual(&self, value: u64, time_ms: i64, over_ms: i64) -> Option<Usual> {
        let from = time_ms.max(self.newest_ms).saturating_sub(over_ms);
        let known = self.values.iter().position(|(v, n)| *v == value && *n > 0);
        let place = known.map_or(REST, |at| at as u8);
        let mut usual = Usual {
            count: known.and_then(|at| self.values.get(at)).map_or(self.rest, |(_, n)| *n),
            total: self.values.iter().map(|(_, n)| n).sum::<u64>() + self.rest,
        };
        for gone in self.entries.iter().take_while(|e| e.time_ms <= from) {
            usual.total = usual.total.saturating_sub(u64::from(gone.n));
            if gone.place == place {
                usual.count = usual.count.saturating_sub(u64::from(gone.n));
            }
        }
        (usual.total > 0).then_some(usual)
    }

    /// All events that had a value, at a time, and how many values are told apart.
    pub fn known(&self, time_ms: i64, over_ms: i64) -> (u64, usize) {
        let from = time_ms.max(self.newest_ms).saturating_sub(over_ms);
        let mut counts: Vec<u64> = self.values.iter().map(|(_, n)| *n).collect();
        let mut rest = self.rest;
        for gone in self.entries.iter().take_while(|e| e.time_ms <= from) {
            let count = counts.get_mut(usize::from(gone.place)).unwrap_or(&mut rest);
            *count = count.saturating_sub(u64::from(gone.n));
        }
        (counts.iter().sum::<u64>() + rest, counts.iter().filter(|n| **n > 0).count())
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        room_bytes::<Entry>(self.entries.len()) + room_bytes::<(u64, u64)>(self.values.len())
    }

    /// The newest time counted.
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    fn place_of(&mut self, value: u64) -> u8 {
        if let Some(at) = self.values.iter().position(|(v, n)| *v == value && *n > 0) {
            return at as u8;
        }
        if let Some(at) = self.values.iter().position(|(_, n)| *n == 0) {
            if let Some(free) = self.values.get_mut(at) {
                *free = (value, 0);
            }
            return at as u8;
        }
        if self.values.len() < VALUES_EXACT_MAX {
            self.values.push((value, 0));
            return (self.values.len() - 1) as u8;
        }
        REST
    }

    fn counter(&mut self, place: u8) -> &mut u64 {
        self.values.get_mut(usize::from(place)).map_or(&mut self.rest, |(_, n)| n)
    }

    fn forget(&mut self, from: i64) {
        let gone = self.entries.partition_point(|e| e.time_ms <= from);
        for at in 0..gone {
            if let Some(entry) = self.entries.get(at).copied() {
                let counter = self.counter(entry.place);
                *counter = counter.saturating_sub(u64::from(entry.n));
            }
        }
        self.entries.drain(..gone);
    }

    fn run_together(&mut self, span: Span) {
        let older = self.entries.len().saturating_sub(ENTRIES_EXACT_MAX);
        let mut steps: Vec<Entry> = Vec::with_capacity(STEPS_KEPT_MAX);
        for entry in self.entries.drain(..older) {
            let step = span.step(entry.time_ms);
            let same_step = steps.iter_mut().rev().take_while(|s| span.step(s.time_ms) == step);
            match same_step.into_iter().find(|s| s.place == entry.place) {
                Some(same) => same.n = same.n.saturating_add(entry.n),
                None => steps.push(entry),
            }
        }
        let beyond = steps.len().saturating_sub(STEPS_KEPT_MAX);
        for gone in steps.drain(..beyond) {
            let counter = self.values.get_mut(usize::from(gone.place)).map_or(&mut self.rest, |(_, n)| n);
            *counter = counter.saturating_sub(u64::from(gone.n));
        }
        self.entries.splice(0..0, steps);
    }
}

impl Durable for Habit {
    fn encode(&self, to: &mut Encoder) {
        to.signed(self.newest_ms);
        to.count(self.entries.len());
        let mut before_ms = self.newest_ms;
        for entry in &self.entries {
            to.time(entry.time_ms, &mut before_ms);
            to.number(entry.n);
            to.byte(entry.place);
        }
        to.count(self.values.len());
        for (value, n) in &self.values {
            to.hash(*value);
            to.number(*n);
        }
        to.number(self.rest);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let newest_ms = from.signed()?;
        let mut before_ms = newest_ms;
        let entries = decode_each(from, 3, |from| {
            Ok(Entry { time_ms: from.time(&mut before_ms)?, n: from.narrow()?, place: from.byte()? })
        })?;
        let values = decode_each(from, 9, |from| Ok((from.hash()?, from.number()?)))?;
        Ok(Habit { newest_ms, entries, values, rest: from.number()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sixty_fifth_value_is_one_of_the_rest() {
        let span = Span { over_ms: 1_000_000, horizon_ms: 0 };
        let mut habit = Habit::default();
        for value in 0..70u64 {
            habit.add(value as i64, value, 1, span);
        }
        assert_eq!(habit.usual(3, 100, 1_000_000), Some(Usual { count: 1, total: 70 }));
        assert_eq!(habit.usual(66, 100, 1_000_000), Some(Usual { count: 6, total: 70 }));
    }

    #[test]
    fn the_rest_of_both_stays_counted_when_they_merge() {
        let span = Span { over_ms: 1_000_000, horizon_ms: 0 };
        let (mut a, mut b) = (Habit::default(), Habit::default());
        for value in 0..70u64 {
            a.add(value as i64, value, 1, span);
            b.add(value as i64, value + 3, 2, span);
        }
        a.merge(b, span);
        assert_eq!(a.usual(3, 100, 1_000_000), Some(Usual { count: 3, total: 210 }));
        assert_eq!(a.usual(0, 100, 1_000_000), Some(Usual { count: 1, total: 210 }));
    }

    #[test]
    fn many_events_run_together_and_stay_counted() {
        let span = Span { over_ms: 64_000_000, horizon_ms: 0 };
        let mut habit = Habit::default();
        for n in 0..10_000i64 {
            habit.add(n * 1000, (n % 4) as u64, 1, span);
        }
        assert_eq!(habit.usual(1, 10_000_000, 64_000_000), Some(Usual { count: 2500, total: 10_000 }));
        assert!(habit.entries.len() <= 2200, "{}", habit.entries.len());
    }

    proptest! {
        #[test]
        fn equals_keeping_everything(
            steps in prop::collection::vec((0i64..300, -500i64..=0, 0u64..6, 1u32..3), 1..150),
            over_ms in 1i64..5000,
        ) {
            let mut habit = Habit::default();
            let mut all: Vec<(i64, u64, u32)> = Vec::new();
            let mut now = 0;
            for (ahead, back, value, n) in steps {
                now += ahead;
                let time_ms = now + back;
                habit.add(time_ms, value, n, Span { over_ms, horizon_ms: now - 500 });
                all.push((time_ms, value, n));
                let newest = all.iter().map(|(t, ..)| *t).max().unwrap_or_default();
                for asked in [time_ms, newest, newest + 77] {
                    let until = asked.max(newest);
                    let inside = |(t, ..): &&(i64, u64, u32)| *t > until - over_ms;
                    let total: u64 = all.iter().filter(inside).map(|(_, _, n)| u64::from(*n)).sum();
                    let same = |e: &&(i64, u64, u32)| inside(e) && e.1 == value;
                    let count: u64 = all.iter().filter(same).map(|(_, _, n)| u64::from(*n)).sum();
                    let expected = (total > 0).then_some(Usual { count, total });
                    prop_assert_eq!(habit.usual(value, asked, over_ms), expected);
                }
            }
        }
    }
}
