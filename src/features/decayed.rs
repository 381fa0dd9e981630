//! `decayed` and `account.risk`: how much there was, each part counting half as much after every half-life.
//!
//! Guarantees: exact but for the last bits of a float, for events in any order: a late one counts from its own
//! time. An event older than the newest counted reads what has been counted so far. Two words, whatever comes;
//! forgotten when [`HALF_LIVES_KEPT`] have passed. Two merge to what one would hold that had seen both.

use super::codec::{DecodeError, Decoder, Durable, Encoder};

/// After so many half-lives without an event nothing is left that a threshold could tell from 0.
pub const HALF_LIVES_KEPT: i64 = 64;

/// What is kept of one entity.
#[derive(Debug, Clone, Copy)]
pub struct Decayed {
    /// The value at the newest time.
    value: f64,
    newest_ms: i64,
}

impl Default for Decayed {
    fn default() -> Self {
        Decayed { value: 0.0, newest_ms: i64::MIN }
    }
}

impl Decayed {
    /// Takes `n` at a time: events, or a score.
    pub fn add(&mut self, time_ms: i64, n: f64, half_life_ms: i64) {
        let newest = time_ms.max(self.newest_ms);
        let own = n * left_after(newest.saturating_sub(time_ms), half_life_ms);
        self.value = self.value(newest, half_life_ms) + own;
        self.newest_ms = newest;
    }

    /// The value at a time, or at the newest one where that is later.
    pub fn value(&self, time_ms: i64, half_life_ms: i64) -> f64 {
        if self.newest_ms == i64::MIN {
            return 0.0;
        }
        self.value * left_after(time_ms.saturating_sub(self.newest_ms), half_life_ms)
    }

    /// Takes in what another one of the same feature and entity holds.
    pub fn merge(&mut self, other: Self, half_life_ms: i64) {
        let newest = self.newest_ms.max(other.newest_ms);
        self.value = self.value(newest, half_life_ms) + other.value(newest, half_life_ms);
        self.newest_ms = newest;
    }

    /// The newest time counted.
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Whether nothing is left of it at any time from the horizon on.
    pub fn is_dead(&self, half_life_ms: i64, horizon_ms: i64) -> bool {
        self.newest_ms.saturating_add(half_life_ms.saturating_mul(HALF_LIVES_KEPT)) <= horizon_ms
    }
}

/// The part of 1 that is left after some time; all of it before.
fn left_after(age_ms: i64, half_life_ms: i64) -> f64 {
    (-(age_ms.max(0) as f64) / half_life_ms.max(1) as f64).exp2()
}

impl Durable for Decayed {
    fn encode(&self, to: &mut Encoder) {
        to.float(self.value);
        to.signed(self.newest_ms);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Decayed { value: from.float()?, newest_ms: from.signed()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HALF_LIFE_MS: i64 = 1000;

    #[test]
    fn an_older_event_reads_what_is_counted_and_a_silent_one_goes() {
        let mut decayed = Decayed::default();
        assert_eq!(decayed.value(5, HALF_LIFE_MS), 0.0);
        decayed.add(1000, 1.0, HALF_LIFE_MS);
        decayed.add(2000, 1.0, HALF_LIFE_MS);
        assert_eq!(decayed.value(2000, HALF_LIFE_MS), 1.5);
        assert_eq!(decayed.value(0, HALF_LIFE_MS), 1.5);
        assert_eq!(decayed.value(4000, HALF_LIFE_MS), 0.375);
        let horizon = 2000 + HALF_LIVES_KEPT * HALF_LIFE_MS;
        assert!(decayed.is_dead(HALF_LIFE_MS, horizon) && !decayed.is_dead(HALF_LIFE_MS, horizon - 1));
    }

    proptest! {
        #[test]
        fn equals_keeping_everything_in_any_order_and_split(
            events in prop::collection::vec((0i64..20_000, 1u32..5, 0usize..3), 1..60),
            asked in 0i64..30_000,
        ) {
            let (mut whole, mut parts) = (Decayed::default(), [Decayed::default(); 3]);
            for (time, n, part) in &events {
                whole.add(*time, f64::from(*n), HALF_LIFE_MS);
                parts[*part].add(*time, f64::from(*n), HALF_LIFE_MS);
            }
            let at = asked.max(events.iter().map(|(t, ..)| *t).max().unwrap());
            let each = events.iter().map(|(t, n, _)| f64::from(*n) * 0.5f64.powf((at - t) as f64 / HALF_LIFE_MS as f64));
            let expected: f64 = each.sum();
            let [a, b, c] = parts;
            let (mut left, mut right) = (a, c);
            left.merge(b, HALF_LIFE_MS);
            left.merge(c, HALF_LIFE_MS);
            right.merge(b, HALF_LIFE_MS);
            right.merge(a, HALF_LIFE_MS);
            for one in [whole, left, right] {
                prop_assert!((one.value(asked, HALF_LIFE_MS) - expected).abs() <= 1e-9 * expected);
                prop_assert_eq!(one.newest_ms(), whole.newest_ms());
            }
        }
    }
}
