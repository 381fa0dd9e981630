//! `sum`: one window per currency.
//!
//! Guarantees: whole minor units (micro-units for numbers with a fraction) inside, so sums do not drift; at
//! most [`CURRENCIES_MAX`] currencies per entity, the one longest unused goes first. Never converts.

use super::codec::{DecodeError, Decoder, Durable, Encoder, decode_each};
use super::window::{Span, Window, room_bytes};

/// Currencies kept for one entity and feature.
pub const CURRENCIES_MAX: usize = 4;
/// The unit of a sum without a currency.
pub const NO_CURRENCY: u8 = u8::MAX;
/// Parts of a whole a number with a fraction is kept in.
pub const MICROS: f64 = 1e6;

/// The windows of one entity.
#[derive(Debug, Clone)]
pub struct Sum {
    unit: u8,
    window: Window,
    /// Nearly everybody has one currency.
    #[expect(clippy::box_collection, reason = "every sum pays for this: one word, not three")]
    others: Option<Box<Vec<(u8, Window)>>>,
}

impl Default for Sum {
    fn default() -> Self {
        Sum { unit: NO_CURRENCY, window: Window::default(), others: None }
    }
}

impl Sum {
    /// Adds an amount in minor units of `unit`, `count` times.
    pub fn add(&mut self, unit: u8, amount: i64, count: u32, time_ms: i64, span: Span) {
        let amount = amount.saturating_mul(i64::from(count));
        self.window_of(unit).add(time_ms, amount, span);
    }

    /// Takes in what another one of the same feature and entity holds. Beyond [`CURRENCIES_MAX`] the longest
    /// unused go.
    pub fn merge(&mut self, other: Self, span: Span) {
        let others = other.others.map(|others| *others).unwrap_or_default();
        for (unit, window) in std::iter::once((other.unit, other.window)).chain(others) {
            if window.newest_ms() != i64::MIN {
                self.window_of(unit).merge(window, span);
            }
        }
    }

    /// The sum in `unit` over (time − over, time].
    pub fn sum(&self, unit: u8, time_ms: i64, over_ms: i64) -> i128 {
        if unit == self.unit {
            return self.window.sum(time_ms, over_ms);
        }
        let others = self.others.as_deref().map(Vec::as_slice).unwrap_or_default();
        others.iter().find(|(u, _)| *u == unit).map_or(0, |(_, window)| window.sum(time_ms, over_ms))
    }

    /// The units that amounts were of, the first one first.
    pub fn units(&self) -> impl Iterator<Item = u8> {
        let others = self.others.as_deref().map(Vec::as_slice).unwrap_or_default();
        std::iter::once(self.unit).chain(others.iter().map(|(unit, _)| *unit))
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        let of = |others: &Vec<(u8, Window)>| {
            let windows: usize = others.iter().map(|(_, window)| window.heap_bytes()).sum();
            size_of::<Vec<(u8, Window)>>() + room_bytes::<(u8, Window)>(others.len()) + windows
        };
        self.window.heap_bytes() + self.others.as_deref().map_or(0, of)
    }

    /// Gives back memory that is not needed now.
    pub fn shrink(&mut self) {
        self.window.shrink();
        self.others.iter_mut().flat_map(|others| others.iter_mut()).for_each(|(_, window)| window.shrink());
    }

    /// Whether nothing in it can be asked for any more.
    pub fn is_dead(&self, span: Span) -> bool {
        let others = self.others.as_deref().map(Vec::as_slice).unwrap_or_default();
        self.window.is_dead(span) && others.iter().all(|(_, window)| window.is_dead(span))
    }

    /// Asks for the memory of its newest entry.
    pub fn bring_near(&self) {
        self.window.bring_near();
    }

    /// The newest time in it.
    pub fn newest_ms(&self) -> i64 {
        let others = self.others.as_deref().map(Vec::as_slice).unwrap_or_default();
        others.iter().map(|(_, window)| window.newest_ms()).fold(self.window.newest_ms(), i64::max)
    }

    fn window_of(&mut self, unit: u8) -> &mut Window {
        if self.window.newest_ms() == i64::MIN {
            self.unit = unit;
        }
        if self.unit == unit {
            return &mut self.window;
        }
        let others = self.others.get_or_insert_default();
        let at = match others.iter().position(|(u, _)| *u == unit) {
            Some(at) => at,
            None if others.len() + 1 < CURRENCIES_MAX => {
                others.push((unit, Window::default()));
                others.len() - 1
            }
            None => {
                let oldest = (0..others.len()).min_by_key(|at| others.get(*at).map(|(_, w)| w.newest_ms()));
                let at = oldest.unwrap_or_default();
                if let Some(slot) = others.get_mut(at) {
                    *slot = (unit, Window::default());
                }
                at
            }
        };
        others.get_mut(at).map_or(&mut self.window, |(_, window)| window)
    }
}

impl Durable for Sum {
    fn encode(&self, to: &mut Encoder) {
        let others = self.others.as_deref().map(Vec::as_slice).unwrap_or_default();
        to.byte(self.unit);
        self.window.encode(to);
        to.count(others.len());
        for (unit, window) in others {
            to.byte(*unit);
            window.encode(to);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (unit, window) = (from.byte()?, Window::decode(from)?);
        let others: Vec<(u8, Window)> = decode_each(from, 2, |from| Ok((from.byte()?, Window::decode(from)?)))?;
        Ok(Sum { unit, window, others: (!others.is_empty()).then(|| Box::new(others)) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: Span = Span { over_ms: 1000, horizon_ms: 0 };

    #[test]
    fn a_fifth_currency_takes_the_place_of_the_longest_unused() {
        let mut sum = Sum::default();
        for unit in 0..5 {
            sum.add(unit, 10, 1, i64::from(unit), SPAN);
        }
        let read: Vec<i128> = (0..5).map(|unit| sum.sum(unit, 5, 1000)).collect();
        assert_eq!(read, [10, 0, 10, 10, 10], "the first one's place is never lost");
    }

    proptest! {
        #[test]
        fn equals_keeping_everything(
            steps in prop::collection::vec((0i64..300, -200i64..=0, 0u8..4, 0i64..1 << 53, 1u32..5), 1..100),
        ) {
            let mut sum = Sum::default();
            let mut all = Vec::new();
            let mut now = 0;
            for (ahead, back, unit, amount, count) in steps {
                now += ahead;
                let span = Span { over_ms: 1000, horizon_ms: now - 200 };
                sum.add(unit, amount, count, now + back, span);
                all.push((now + back, unit, i128::from(amount) * i128::from(count)));
                for asked in [now, now + back] {
                    for unit in 0..4 {
                        let inside = |(t, u, _): &&(i64, u8, i128)| *u == unit && *t > asked - 1000 && *t <= asked;
                        let expected: i128 = all.iter().filter(inside).map(|(_, _, n)| n).sum();
                        prop_assert_eq!(sum.sum(unit, asked, 1000), expected);
                    }
                }
            }
        }
    }
}
