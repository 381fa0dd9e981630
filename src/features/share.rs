//! `share`: which part of the events of a window match.
//!
//! Guarantees: exact as `count` is, for up to [`super::window::ENTRIES_EXACT_MAX`] entries in any order; what
//! matches and what there is run together alike, so the part is never above 1. An event older than the newest
//! counted reads what has been counted so far. Missing while there is no event.

use super::codec::{DecodeError, Decoder, Durable, Encoder};
use super::window::{Span, Tally, Window};

/// Events at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    all: u32,
    matching: u32,
}

impl Tally for Seen {
    /// All, matching.
    type Sum = (u64, u64);

    fn plus(self, other: Self) -> Self {
        Seen { all: self.all.saturating_add(other.all), matching: self.matching.saturating_add(other.matching) }
    }

    fn add_to(self, sum: &mut (u64, u64)) {
        sum.0 += u64::from(self.all);
        sum.1 += u64::from(self.matching);
    }
}

/// The events of one entity.
#[derive(Debug, Clone, Default)]
pub struct Share {
    window: Window<Seen>,
}

impl Share {
    /// Takes `n` equal events at a time.
    pub fn add(&mut self, time_ms: i64, n: u32, matches: bool, span: Span) {
        self.window.add(time_ms, Seen { all: n, matching: if matches { n } else { 0 } }, span);
    }

    /// The part that matches at a time, 0 to 1; `None` where there is no event.
    pub fn part(&self, time_ms: i64, over_ms: i64) -> Option<f64> {
        let (all, matching) = self.window.sum(time_ms.max(self.newest_ms()), over_ms);
        (all > 0).then(|| matching as f64 / all as f64)
    }

    /// Takes in what another one of the same feature and entity holds.
    pub fn merge(&mut self, other: Self, span: Span) {
        self.window.merge(other.window, span);
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        self.window.heap_bytes()
    }

    /// Gives back memory that is not needed now.
    pub fn shrink(&mut self) {
        self.window.shrink();
    }

    /// Asks for the memory of its newest entry.
    pub fn bring_near(&self) {
        self.window.bring_near();
    }

    /// The newest time counted.
    pub fn newest_ms(&self) -> i64 {
        self.window.newest_ms()
    }
}

impl Durable for Seen {
    fn encode(&self, to: &mut Encoder) {
        to.number(self.all);
        to.number(self.matching);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Seen { all: from.narrow()?, matching: from.narrow()? })
    }
}

impl Durable for Share {
    fn encode(&self, to: &mut Encoder) {
        self.window.encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Share { window: Window::decode(from)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OVER_MS: i64 = 1000;

    #[test]
    fn beyond_the_cap_it_is_a_part_still() {
        let mut share = Share::default();
        for n in 0..20_000i64 {
            share.add(n * 10, 1, n % 4 == 0, Span { over_ms: 64_000, horizon_ms: n * 10 - 1000 });
        }
        let part = share.part(200_000, 64_000).unwrap();
        assert!((part - 0.25).abs() < 0.01, "{part}");
    }

    proptest! {
        #[test]
        fn equals_keeping_everything_in_any_order_and_split(
            steps in prop::collection::vec((0i64..300, -500i64..=0, 1u32..4, any::<bool>(), 0usize..3), 1..120),
        ) {
            let (mut whole, mut parts) = (Share::default(), [(); 3].map(|()| Share::default()));
            let mut all: Vec<(i64, u32, bool)> = Vec::new();
            let mut now = 0;
            let part_of = |all: &[(i64, u32, bool)], asked: i64| {
                let until = all.iter().map(|(t, ..)| *t).max().unwrap_or(asked).max(asked);
                let inside = || all.iter().filter(|(t, ..)| *t > until - OVER_MS && *t <= until);
                let total: u32 = inside().map(|(_, n, _)| n).sum();
                let matching: u32 = inside().filter(|(.., m)| *m).map(|(_, n, _)| n).sum();
                (total > 0).then(|| f64::from(matching) / f64::from(total))
            };
            let mut span = Span { over_ms: OVER_MS, horizon_ms: 0 };
            for (ahead, back, n, matches, to) in steps {
                now += ahead;
                span.horizon_ms = now - 500;
                whole.add(now + back, n, matches, span);
                parts[to].add(now + back, n, matches, span);
                all.push((now + back, n, matches));
                for asked in [now + back, now, now + 700] {
                    prop_assert_eq!(whole.part(asked, OVER_MS), part_of(&all, asked));
                }
            }
            let [mut a, b, mut c] = parts;
            c.merge(b.clone(), span);
            c.merge(a.clone(), span);
            a.merge(b, span);
            for asked in [now - 500, now, now + 900] {
                prop_assert_eq!(c.part(asked, OVER_MS), part_of(&all, asked));
            }
        }
    }
}
