//! A trailing window over numbers: what `count`, `rate`, `sum` and `share` keep.
//!
//! Guarantees: the sum over (t − d, t] is exact for up to [`ENTRIES_EXACT_MAX`] entries, in whatever order
//! they came; older ones run together in steps of 1/64 of the window. Below the caps two windows merge to what
//! one would hold that had seen both. Does not know what the numbers mean.

use prefetch_index::prefetch_index;
use smallvec::SmallVec;

use super::codec::{DecodeError, Decoder, Durable, Encoder, decode_each};

/// Entries of one entity and window that are kept apart.
pub const ENTRIES_EXACT_MAX: usize = 1024;
/// How many entries may wait beyond that before the oldest are run together.
const ENTRIES_WAITING_MAX: usize = 64;
/// Into how many steps of the window older entries run together.
const STEPS: i64 = 64;
/// How many such steps are kept: two windows' worth, for events within lateness.
const STEPS_KEPT_MAX: usize = 2 * STEPS as usize;

/// How far back a window reaches and what can no longer be asked for.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The window's length, ms.
    pub over_ms: i64,
    /// No event that is still counted is older than this, ms since 1970.
    pub horizon_ms: i64,
}

impl Span {
    /// The newest time that no window can reach any more.
    pub fn dead(self) -> i64 {
        self.horizon_ms.saturating_sub(self.over_ms)
    }

    /// The step of the window a time falls into.
    pub fn step(self, time_ms: i64) -> i64 {
        time_ms.div_euclid((self.over_ms / STEPS).max(1))
    }
}

/// What a window adds up: one word, and what sums of it need.
pub trait Tally: Copy + std::fmt::Debug + Durable {
    /// A sum of any number of them.
    type Sum: Default + std::fmt::Debug;
    /// Both together.
    fn plus(self, other: Self) -> Self;
    /// Adds it to a sum.
    fn add_to(self, sum: &mut Self::Sum);
}

impl Tally for i64 {
    type Sum = i128;

    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }

    fn add_to(self, sum: &mut i128) {
        *sum += i128::from(self);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry<T> {
    time_ms: i64,
    n: T,
}

/// The entries, by time.
#[derive(Debug, Clone)]
pub struct Window<T = i64> {
    entries: SmallVec<[Entry<T>; 2]>,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Window { entries: SmallVec::new() }
    }
}

impl<T: Tally> Window<T> {
    /// Adds `n` at a time.
    pub fn add(&mut self, time_ms: i64, n: T, span: Span) {
        self.forget(span);
        match self.entries.last_mut() {
            Some(last) if last.time_ms == time_ms => last.n = last.n.plus(n),
            Some(last) if last.time_ms > time_ms => self.insert(time_ms, n),
            _ => self.entries.push(Entry { time_ms, n }),
        }
        if self.entries.len() > ENTRIES_EXACT_MAX + STEPS_KEPT_MAX + ENTRIES_WAITING_MAX {
            self.run_together(span);
        }
    }

    fn insert(&mut self, time_ms: i64, n: T) {
        let at = self.entries.partition_point(|e| e.time_ms < time_ms);
        match self.entries.get_mut(at) {
            Some(same) if same.time_ms == time_ms => same.n = same.n.plus(n),
            _ => self.entries.insert(at, Entry { time_ms, n }),
        }
    }

    /// The sum over (time − over, time].
    pub fn sum(&self, time_ms: i64, over_ms: i64) -> T::Sum {
        let from = time_ms.saturating_sub(over_ms);
        let newer = self.entries.iter().rev().skip_while(|e| e.time_ms > time_ms);
        let mut sum = T::Sum::default();
        newer.take_while(|e| e.time_ms > from).for_each(|e| e.n.add_to(&mut sum));
        sum
    }

    /// Takes out everything up to a time and tells its sum.
    pub fn settle(&mut self, until_ms: i64) -> T::Sum {
        let settled = self.entries.partition_point(|e| e.time_ms <= until_ms);
        let mut sum = T::Sum::default();
        self.entries.drain(..settled).for_each(|e| e.n.add_to(&mut sum));
        sum
    }

    /// Takes in what another window of the same feature and entity holds.
    pub fn merge(&mut self, other: Self, span: Span) {
        self.entries.extend(other.entries);
        self.entries.sort_by_key(|e| e.time_ms);
        self.entries.dedup_by(|later, earlier| {
            let same = later.time_ms == earlier.time_ms;
            if same {
                earlier.n = earlier.n.plus(later.n);
            }
            same
        });
        if self.entries.len() > ENTRIES_EXACT_MAX + STEPS_KEPT_MAX + ENTRIES_WAITING_MAX {
            self.run_together(span);
        }
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        spilled_bytes(&self.entries)
    }

    /// Gives back memory that is not needed now.
    pub fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// Whether nothing in it can be asked for any more.
    pub fn is_dead(&self, span: Span) -> bool {
        self.entries.last().is_none_or(|e| e.time_ms <= span.dead())
    }

    /// Asks for the memory of its newest entry.
    pub fn bring_near(&self) {
        prefetch_index(&self.entries, 0);
        prefetch_index(&self.entries, self.entries.len().saturating_sub(1));
    }

    /// The newest time in it.
    pub fn newest_ms(&self) -> i64 {
        self.entries.last().map_or(i64::MIN, |e| e.time_ms)
    }

    /// Drops what no window can reach, where that is worth moving the rest.
    fn forget(&mut self, span: Span) {
        let dead = span.dead();
        if self.entries.first().is_some_and(|e| e.time_ms <= dead) {
            let gone = self.entries.partition_point(|e| e.time_ms <= dead);
            if gone * 8 >= self.entries.len() {
                self.entries.drain(..gone);
            }
        }
    }

    fn run_together(&mut self, span: Span) {
        let older = self.entries.len().saturating_sub(ENTRIES_EXACT_MAX);
        let mut steps: Vec<Entry<T>> = Vec::with_capacity(STEPS_KEPT_MAX);
        for entry in self.entries.drain(..older) {
            match steps.last_mut() {
                Some(last) if span.step(last.time_ms) == span.step(entry.time_ms) => {
                    // A step stands at its newest time: it leaves the window with its last entry.
                    *last = Entry { time_ms: entry.time_ms, n: last.n.plus(entry.n) };
                }
                _ => steps.push(entry),
            }
        }
        let beyond = steps.len().saturating_sub(STEPS_KEPT_MAX);
        self.entries.insert_many(0, steps.drain(beyond..));
    }
}

/// Memory of a small vector beyond itself, bytes. By its length, as [`room_bytes`].
pub fn spilled_bytes<A: smallvec::Array>(vector: &SmallVec<A>) -> usize {
    if vector.len() > vector.inline_size() { room_bytes::<A::Item>(vector.len()) } else { 0 }
}

/// Memory that a list of so many takes as it grows, bytes. The length decides and not the room it happens to have: that
/// is another after a restart, and what is accounted decides who is forgotten.
pub fn room_bytes<T>(len: usize) -> usize {
    if len == 0 { 0 } else { len.next_power_of_two() * size_of::<T>() }
}

impl<T: Tally> Durable for Window<T> {
    fn encode(&self, to: &mut Encoder) {
        to.count(self.entries.len());
        let mut before_ms = 0;
        for entry in &self.entries {
            to.time(entry.time_ms, &mut before_ms);
            entry.n.encode(to);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut before_ms = 0;
        let entries =
            decode_each(from, 2, |from| Ok(Entry { time_ms: from.time(&mut before_ms)?, n: T::decode(from)? }))?;
        Ok(Window { entries })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_exactly_as_old_as_the_window_is_outside() {
        let span = Span { over_ms: 600, horizon_ms: 0 };
        let mut window = Window::default();
        window.add(1000, 1, span);
        assert_eq!(window.sum(1599, 600), 1);
        assert_eq!(window.sum(1600, 600), 0);
        assert_eq!(window.sum(999, 600), 0);
    }

    #[test]
    fn beyond_the_cap_a_step_of_the_window_is_the_error() {
        let over_ms = 64_000;
        let mut window = Window::default();
        for time_ms in (0..400_000).step_by(10) {
            let span = Span { over_ms, horizon_ms: time_ms - 1000 };
            window.add(time_ms, 1, span);
            let expected = i128::from(((time_ms + 1).min(over_ms) + 9) / 10);
            let got = window.sum(time_ms, over_ms);
            assert!(got >= expected && got <= expected + 101, "{time_ms}: {got} for {expected}");
            assert!(window.entries.len() <= 1300);
        }
    }

    proptest! {
        #[test]
        fn equals_keeping_everything(
            steps in prop::collection::vec((0i64..2000, -900i64..=0, 1i64..4), 1..200),
            over_ms in 1i64..20_000,
        ) {
            let mut window = Window::default();
            let mut all: Vec<(i64, i64)> = Vec::new();
            let mut now = 0;
            for (ahead, back, n) in steps {
                now += ahead;
                let time_ms = now + back;
                let span = Span { over_ms, horizon_ms: now - 900 };
                window.add(time_ms, n, span);
                all.push((time_ms, n));
                for asked in [time_ms, now, now - 900, now - 450] {
                    let expected: i64 =
                        all.iter().filter(|(t, _)| *t > asked - over_ms && *t <= asked).map(|(_, n)| n).sum();
                    prop_assert_eq!(window.sum(asked, over_ms), i128::from(expected));
                }
            }
        }
    }
}
