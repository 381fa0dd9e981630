//! `spread`: how attempts lie over keys, such as the accounts one address tries.
//!
//! Guarantees: exact for up to [`ATTEMPTS_EXACT_MAX`] attempts in whatever order they came, beyond that *at
//! least*. Two merge to what one would hold that had seen both. Keeps hashes, never values.

use smallvec::SmallVec;

use super::codec::{DecodeError, Decoder, Durable, Encoder, decode_each};
use super::window::{Span, spilled_bytes};

/// Attempts of one entity and window that are kept apart; those of one key at one time are one.
pub const ATTEMPTS_EXACT_MAX: usize = 1024;
/// How many may wait beyond that before the oldest go.
const ATTEMPTS_WAITING_MAX: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Attempt {
    time_ms: i64,
    key: u64,
    n: u32,
}

/// How attempts lie over keys at one moment. `by_key` is memory of the caller's, used again.
#[derive(Debug)]
pub struct Lie<'s> {
    /// Keys, each followed by how many attempts it had.
    by_key: &'s [u64],
}

impl Lie<'_> {
    fn attempts(&self) -> impl Iterator<Item = u64> {
        self.by_key.as_chunks::<2>().0.iter().map(|[_, n]| *n)
    }

    /// How many keys there are.
    pub fn keys(&self) -> u64 {
        self.attempts().count() as u64
    }

    /// The most attempts that one key had; 0 where there is none.
    pub fn max_per_key(&self) -> u64 {
        self.attempts().max().unwrap_or(0)
    }

    /// The part of the keys that had at most so many attempts; `None` where there is none.
    pub fn share(&self, at_most: u32) -> Option<f64> {
        let few = self.attempts().filter(|n| *n <= u64::from(at_most)).count();
        let keys = self.keys();
        (keys > 0).then(|| few as f64 / keys as f64)
    }
}

/// The attempts of one entity, by time.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    attempts: SmallVec<[Attempt; 2]>,
}

impl Spread {
    /// Takes `n` attempts on a key at a time.
    pub fn add(&mut self, time_ms: i64, key: u64, n: u32, span: Span) {
        self.forget(span);
        let at = self.attempts.partition_point(|a| a.time_ms < time_ms);
        let same_time = self.attempts.iter_mut().skip(at).take_while(|a| a.time_ms == time_ms);
        match same_time.into_iter().find(|a| a.key == key) {
            Some(same) => same.n = same.n.saturating_add(n),
            None => self.attempts.insert(at, Attempt { time_ms, key, n }),
        }
        self.drop_beyond();
    }

    /// How the attempts of (time − over, time] lie. `scratch` is memory used again.
    pub fn lie<'s>(&self, time_ms: i64, over_ms: i64, scratch: &'s mut Vec<u64>) -> Lie<'s> {
        let from = time_ms.saturating_sub(over_ms);
        let first = self.attempts.partition_point(|a| a.time_ms <= from);
        let inside = self.attempts.iter().skip(first).take_while(|a| a.time_ms <= time_ms);
        scratch.clear();
        scratch.extend(inside.flat_map(|a| [a.key, u64::from(a.n)]));
        let (pairs, _) = scratch.as_chunks_mut::<2>();
        pairs.sort_unstable_by_key(|[key, _]| *key);
        let mut keys = 0usize;
        for at in 0..pairs.len() {
            let Some([key, n]) = pairs.get(at).copied() else { break };
            match keys.checked_sub(1).and_then(|last| pairs.get_mut(last)) {
                Some([last, sum]) if *last == key => *sum += n,
                _ => {
                    if let Some(place) = pairs.get_mut(keys) {
                        *place = [key, n];
                    }
                    keys += 1;
                }
            }
        }
        scratch.truncate(2 * keys);
        Lie { by_key: scratch }
    }

    /// Takes in what another one of the same feature and entity holds.
    pub fn merge(&mut self, other: Self) {
        self.attempts.extend(other.attempts);
        self.attempts.sort_by_key(|a| (a.time_ms, a.key));
        self.attempts.dedup_by(|later, earlier| {
            let same = (later.time_ms, later.key) == (earlier.time_ms, earlier.key);
            if same {
                earlier.n = earlier.n.saturating_add(later.n);
            }
            same
        });
        self.drop_beyond();
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        spilled_bytes(&self.attempts)
    }

    /// Gives back memory that is not needed now.
    pub fn shrink(&mut self) {
        self.attempts.shrink_to_fit();
    }

    /// The newest time in it.
    pub fn newest_ms(&self) -> i64 {
        self.attempts.last().map_or(i64::MIN, |a| a.time_ms)
    }

    fn drop_beyond(&mut self) {
        if self.attempts.len() > ATTEMPTS_EXACT_MAX + ATTEMPTS_WAITING_MAX {
            self.attempts.drain(..self.attempts.len() - ATTEMPTS_EXACT_MAX);
        }
    }

    /// Drops what no window can reach, where that is worth moving the rest.
    fn forget(&mut self, span: Span) {
        let dead = span.dead();
        if self.attempts.first().is_some_and(|a| a.time_ms <= dead) {
            let gone = self.attempts.partition_point(|a| a.time_ms <= dead);
            if gone * 8 >= self.attempts.len() {
                self.attempts.drain(..gone);
            }
        }
    }
}

impl Durable for Spread {
    fn encode(&self, to: &mut Encoder) {
        to.count(self.attempts.len());
        let mut before_ms = 0;
        for attempt in &self.attempts {
            to.time(attempt.time_ms, &mut before_ms);
            to.hash(attempt.key);
            to.number(attempt.n);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut before_ms = 0;
        let attempts = decode_each(from, 10, |from| {
            Ok(Attempt { time_ms: from.time(&mut before_ms)?, key: from.hash()?, n: from.narrow()? })
        })?;
        Ok(Spread { attempts })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const OVER_MS: i64 = 1000;

    /// Keys, the most per key, the part with at most two.
    fn told(spread: &Spread, asked: i64) -> (u64, u64, Option<f64>) {
        let mut scratch = Vec::new();
        let lie = spread.lie(asked, OVER_MS, &mut scratch);
        (lie.keys(), lie.max_per_key(), lie.share(2))
    }

    fn expected(all: &[(i64, u64, u32)], asked: i64) -> (u64, u64, Option<f64>) {
        let mut keys: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, key, n) in all.iter().filter(|(t, ..)| *t > asked - OVER_MS && *t <= asked) {
            *keys.entry(*key).or_default() += u64::from(*n);
        }
        let few = keys.values().filter(|n| **n <= 2).count() as f64;
        let share = (!keys.is_empty()).then(|| few / keys.len() as f64);
        (keys.len() as u64, keys.values().max().copied().unwrap_or(0), share)
    }

    #[test]
    fn beyond_the_cap_it_is_at_least() {
        let span = Span { over_ms: 1_000_000, horizon_ms: 0 };
        let mut spread = Spread::default();
        for n in 0..5000u64 {
            spread.add(n as i64, n, 1, span);
        }
        let mut scratch = Vec::new();
        let keys = spread.lie(5000, 1_000_000, &mut scratch).keys();
        assert!((1024..=1088).contains(&keys), "{keys}");
    }

    proptest! {
        #[test]
        fn equals_keeping_everything_in_any_order_and_split(
            steps in prop::collection::vec((0i64..300, -500i64..=0, 0u64..5, 1u32..4, 0usize..3), 1..120),
        ) {
            let (mut whole, mut parts) = (Spread::default(), [(); 3].map(|()| Spread::default()));
            let mut all: Vec<(i64, u64, u32)> = Vec::new();
            let mut now = 0;
            for (ahead, back, key, n, to) in steps {
                now += ahead;
                let span = Span { over_ms: OVER_MS, horizon_ms: now - 500 };
                whole.add(now + back, key, n, span);
                parts[to].add(now + back, key, n, span);
                all.push((now + back, key, n));
                for asked in [now + back, now, now - 500, now + 700] {
                    prop_assert_eq!(told(&whole, asked), expected(&all, asked));
                }
            }
            let [mut a, mut b, c] = parts;
            let mut reverse = c.clone();
            reverse.merge(b.clone());
            reverse.merge(a.clone());
            b.merge(c);
            a.merge(b);
            for asked in [now - 500, now, now + 400] {
                prop_assert_eq!(told(&a, asked), expected(&all, asked));
                prop_assert_eq!(told(&reverse, asked), expected(&all, asked));
            }
        }
    }
}
