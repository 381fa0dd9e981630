//! `distinct`: how many different values a trailing window holds.
//!
//! Guarantees: exact for up to [`EVENTS_EXACT_MAX`] events in whatever order they came, beyond that *at
//! least*; repeats of a value cost no room once no late event can fall between them. Keeps hashes, never
//! values.

use prefetch_index::prefetch_index;
use smallvec::SmallVec;

use super::codec::{DecodeError, Decoder, Durable, Encoder, decode_each};
use super::window::Span;

/// Events of one entity and window that are kept apart.
pub const EVENTS_EXACT_MAX: usize = 1024;
/// How many events may wait beyond that before the oldest go.
const EVENTS_WAITING_MAX: usize = 64;

/// One event's value. The lowest bit of the hash says whether no later entry has the same value.
#[derive(Debug, Clone, Copy)]
struct Entry {
    time_ms: i64,
    value: u64,
}

const NEWEST: u64 = 1;

impl Entry {
    fn is_newest(self) -> bool {
        self.value & NEWEST != 0
    }

    fn same(self, value: u64) -> bool {
        self.value | NEWEST == value | NEWEST
    }
}

/// The values of one entity, by (time, input order).
#[derive(Debug, Clone, Default)]
pub struct Distinct {
    entries: SmallVec<[Entry; 2]>,
    /// How many entries are the newest of their value.
    values: u32,
}

impl Distinct {
    /// Adds a value at a time. Of a value all but the highest bit is told apart: hashes and small numbers alike.
    pub fn add(&mut self, time_ms: i64, value: u64, span: Span) {
        // The lowest bit of an entry is not the value's.
        let value = value << 1;
        self.forget(span);
        let at = match self.entries.last() {
            Some(last) if last.time_ms > time_ms => self.entries.partition_point(|e| e.time_ms <= time_ms),
            _ => self.entries.len(),
        };
        let later = self.entries.iter().skip(at).any(|e| e.same(value));
        let before = self.entries.iter().take(at).rposition(|e| e.same(value));
        if before.and_then(|b| self.entries.get(b)).is_some_and(|e| e.time_ms == time_ms) {
            return;
        }
        let newest = if later { 0 } else { NEWEST };
        self.entries.insert(at, Entry { time_ms, value: value & !NEWEST | newest });
        if !later {
            self.values += 1;
            self.supersede(before);
        }
        if before.is_some() {
            self.drop_settled(value, span);
        }
        if self.entries.len() > EVENTS_EXACT_MAX + EVENTS_WAITING_MAX {
            self.drop_oldest(self.entries.len() - EVENTS_EXACT_MAX);
        }
    }

    fn supersede(&mut self, before: Option<usize>) {
        if let Some(entry) = before.and_then(|at| self.entries.get_mut(at))
            && entry.is_newest()
        {
            entry.value &= !NEWEST;
            self.values -= 1;
        }
    }

    /// Of the entries of a value that no event can fall before any more, the newest says all.
    fn drop_settled(&mut self, value: u64, span: Span) {
        let settled = self.entries.partition_point(|e| e.time_ms <= span.horizon_ms);
        let Some(mut at) = self.entries.iter().take(settled).rposition(|e| e.same(value)) else { return };
        while let Some(older) = self.entries.iter().take(at).rposition(|e| e.same(value)) {
            self.entries.remove(older);
            at = older;
        }
    }

    fn drop_oldest(&mut self, n: usize) {
        let gone = self.entries.drain(..n).filter(|e| e.is_newest()).count();
        self.values -= gone as u32;
    }

    fn forget(&mut self, span: Span) {
        let dead = span.dead();
        if self.entries.first().is_some_and(|e| e.time_ms <= dead) {
            let gone = self.entries.partition_point(|e| e.time_ms <= dead);
            if gone * 8 >= self.entries.len() {
                self.drop_oldest(gone);
            }
        }
    }

    /// The number of values in (time − over, time]. `scratch` is memory used again.
    pub fn count(&self, time_ms: i64, over_ms: i64, scratch: &mut Vec<u64>) -> u64 {
        let from = time_ms.saturating_sub(over_ms);
        let outside = self.entries.iter().take_while(|e| e.time_ms <= from);
        if self.entries.last().is_none_or(|last| last.time_ms <= time_ms) {
            let gone = outside.filter(|e| e.is_newest()).count() as u64;
            return u64::from(self.values) - gone;
        }
        scratch.clear();
        let inside = self.entries.iter().skip_while(|e| e.time_ms <= from).take_while(|e| e.time_ms <= time_ms);
        scratch.extend(inside.map(|e| e.value | NEWEST));
        scratch.sort_unstable();
        scratch.dedup();
        scratch.len() as u64
    }

    /// Takes in what another one of the same feature and entity holds.
    pub fn merge(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.entries.sort_by_key(|e| (e.time_ms, e.value | NEWEST));
        self.entries.dedup_by(|later, earlier| later.time_ms == earlier.time_ms && later.same(earlier.value));
        let mut seen: Vec<u64> = Vec::new();
        for entry in self.entries.iter_mut().rev() {
            let value = entry.value | NEWEST;
            match seen.binary_search(&value) {
                Ok(_) => entry.value &= !NEWEST,
                Err(at) => {
                    seen.insert(at, value);
                    entry.value = value;
                }
            }
        }
        self.values = seen.len() as u32;
        if self.entries.len() > EVENTS_EXACT_MAX + EVENTS_WAITING_MAX {
            self.drop_oldest(self.entries.len() - EVENTS_EXACT_MAX);
        }
    }

    /// Gives back memory that is not needed now.
    pub fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        super::window::spilled_bytes(&self.entries)
    }

    /// Whether nothing in it can be asked for any more.
    pub fn is_dead(&self, span: Span) -> bool {
        self.newest_ms() <= span.dead()
    }

    /// Asks for the memory of its newest entry.
    pub fn bring_near(&self) {
        prefetch_index(&self.entries, self.entries.len().saturating_sub(1));
    }

    /// The newest time in it.
    pub fn newest_ms(&self) -> i64 {
        self.entries.last().map_or(i64::MIN, |e| e.time_ms)
    }
}

impl Durable for Distinct {
    fn encode(&self, to: &mut Encoder) {
        to.count(self.entries.len());
        let mut before_ms = 0;
        for entry in &self.entries {
            to.time(entry.time_ms, &mut before_ms);
            to.hash(entry.value);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut before_ms = 0;
        let entry = |from: &mut Decoder<'_>| Ok(Entry { time_ms: from.time(&mut before_ms)?, value: from.hash()? });
        let entries: SmallVec<[Entry; 2]> = decode_each(from, 9, entry)?;
        let values = entries.iter().filter(|entry| entry.is_newest()).count();
        Ok(Distinct { entries, values: u32::try_from(values).map_err(|_| DecodeError::Wrong("a number"))? })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn beyond_the_cap_it_is_at_least() {
        let span = Span { over_ms: 1_000_000, horizon_ms: 0 };
        let mut distinct = Distinct::default();
        for n in 0..5000u64 {
            distinct.add(n as i64, n, span);
        }
        let count = distinct.count(5000, 1_000_000, &mut Vec::new());
        assert!((1024..=1088).contains(&count), "{count}");
    }

    #[test]
    fn repeats_take_no_room() {
        let mut distinct = Distinct::default();
        for n in 0..100_000i64 {
            let span = Span { over_ms: 1_000_000, horizon_ms: n - 10 };
            distinct.add(n, (n % 3) as u64, span);
        }
        assert!(distinct.entries.len() <= 20, "{}", distinct.entries.len());
        assert_eq!(distinct.count(100_000, 1_000_000, &mut Vec::new()), 3);
    }

    #[test]
    fn neighbouring_numbers_are_told_apart() {
        let span = Span { over_ms: 1000, horizon_ms: 0 };
        let mut distinct = Distinct::default();
        for hour in [2, 3, 2, 3, 4] {
            distinct.add(hour as i64, hour, span);
        }
        assert_eq!(distinct.count(10, 1000, &mut Vec::new()), 3);
    }

    proptest! {
        #[test]
        fn any_split_merges_to_the_whole(
            events in prop::collection::vec((0i64..2000, 0u64..6, 0usize..3), 1..80),
            over_ms in 1i64..2500,
        ) {
            let span = Span { over_ms, horizon_ms: i64::MIN };
            let mut parts = [(); 3].map(|()| Distinct::default());
            events.iter().for_each(|(time, value, part)| parts[*part].add(*time, *value, span));
            let [mut a, b, c] = parts;
            a.merge(b);
            a.merge(c);
            for asked in [0, 700, 1999, 3000] {
                let inside = |(t, ..): &&(i64, u64, usize)| *t > asked - over_ms && *t <= asked;
                let expected: BTreeSet<u64> = events.iter().filter(inside).map(|(_, v, _)| *v).collect();
                prop_assert_eq!(a.count(asked, over_ms, &mut Vec::new()), expected.len() as u64);
            }
        }

        #[test]
        fn equals_keeping_everything(
            steps in prop::collection::vec((0i64..300, -500i64..=0, 0u64..6), 1..150),
            over_ms in 1i64..5000,
        ) {
            let mut distinct = Distinct::default();
            let mut all: Vec<(i64, u64)> = Vec::new();
            let mut now = 0;
            for (ahead, back, value) in steps {
                now += ahead;
                let time_ms = now + back;
                let span = Span { over_ms, horizon_ms: now - 500 };
                distinct.add(time_ms, value, span);
                all.push((time_ms, value));
                for asked in [time_ms, now, now - 500, now - 250] {
                    let inside = |(t, _): &&(i64, u64)| *t > asked - over_ms && *t <= asked;
                    let expected: BTreeSet<u64> = all.iter().filter(inside).map(|(_, v)| *v).collect();
                    let got = distinct.count(asked, over_ms, &mut Vec::new());
                    prop_assert_eq!(got, expected.len() as u64);
                }
            }
        }
    }
}
