//! `stats`: what amounts an entity usually has: count, mean, deviation, quantiles, largest.
//!
//! Guarantees: per currency, of which at most [`CURRENCIES_MAX`] are kept, the longest unused goes first. All
//! of it is exact for up to [`AMOUNTS_EXACT_MAX`] amounts, in whatever order they came; older ones run together
//! in steps of 1/64 of the window, of which mean and deviation stay exact and quantiles are within 1 %. An
//! event older than the newest counted reads what has been counted so far. Missing while there is nothing.

use super::histogram::Histogram;
use super::window::{Span, room_bytes};

mod durable;

/// Currencies kept for one entity and feature.
pub const CURRENCIES_MAX: usize = super::sum::CURRENCIES_MAX;
/// Amounts of one entity, window and currency that are kept apart; equal ones at one time are one.
pub const AMOUNTS_EXACT_MAX: usize = 1024;
/// How many may wait beyond that before the oldest are run together.
const AMOUNTS_WAITING_MAX: usize = 64;
/// How many run-together steps are kept: a window's worth, and one that is half outside.
const STEPS_KEPT_MAX: usize = 66;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Amount {
    time_ms: i64,
    value: i64,
    n: u32,
}

/// What amounts come to, in whole numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// How many.
    pub count: u64,
    /// The largest.
    pub max: i64,
    sum: i128,
    squares: u128,
}

impl Moments {
    fn add(&mut self, value: i64, n: u32) {
        self.max = if self.count == 0 { value } else { self.max.max(value) };
        self.count += u64::from(n);
        self.sum += i128::from(value) * i128::from(n);
        let square = u128::from(value.unsigned_abs()).saturating_pow(2).saturating_mul(u128::from(n));
        self.squares = self.squares.saturating_add(square);
    }

    fn add_all(&mut self, other: &Moments) {
        self.max = if self.count == 0 { other.max } else { self.max.max(other.max) };
        self.count += other.count;
        self.sum += other.sum;
        self.squares = self.squares.saturating_add(other.squares);
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.count as f64
    }

    /// The deviation of the population.
    pub fn stddev(&self) -> f64 {
        let (n, sum) = (u128::from(self.count), self.sum.unsigned_abs());
        // n·Σx² − (Σx)², whole: no difference of two large floats.
        let whole = n.checked_mul(self.squares).zip(sum.checked_mul(sum)).map(|(a, b)| a.saturating_sub(b));
        let spread = whole
            .map_or_else(|| (n as f64 * self.squares as f64 - (sum as f64).powi(2)).max(0.0), |whole| whole as f64);
        spread.sqrt() / n as f64
    }
}

/// Amounts that were run together.
#[derive(Debug, Clone)]
struct Step {
    time_ms: i64,
    moments: Moments,
    histogram: Histogram,
}

/// The amounts of one currency.
#[derive(Debug, Clone)]
pub struct Series {
    newest_ms: i64,
    /// By time.
    amounts: Vec<Amount>,
    /// Older than all of these, by time.
    steps: Vec<Step>,
}

impl Default for Series {
    fn default() -> Self {
        Series { newest_ms: i64::MIN, amounts: Vec::new(), steps: Vec::new() }
    }
}

impl Series {
    fn add(&mut self, amount: Amount, span: Span) {
        self.newest_ms = self.newest_ms.max(amount.time_ms);
        self.forget(self.newest_ms.saturating_sub(span.over_ms));
        if amount.time_ms <= self.newest_ms.saturating_sub(span.over_ms) {
            return;
        }
        let at = self.amounts.partition_point(|a| (a.time_ms, a.value) < (amount.time_ms, amount.value));
        match self.amounts.get_mut(at) {
            Some(same) if (same.time_ms, same.value) == (amount.time_ms, amount.value) => {
                same.n = same.n.saturating_add(amount.n);
            }
            _ => self.amounts.insert(at, amount),
        }
        if self.amounts.len() > AMOUNTS_EXACT_MAX + AMOUNTS_WAITING_MAX {
            self.run_together(span);
        }
    }

    fn forget(&mut self, from: i64) {
        self.amounts.drain(..self.amounts.partition_point(|a| a.time_ms <= from));
        self.steps.drain(..self.steps.partition_point(|s| s.time_ms <= from));
    }

    fn run_together(&mut self, span: Span) {
        let older = self.amounts.len().saturating_sub(AMOUNTS_EXACT_MAX);
        for amount in self.amounts.drain(..older) {
            let step = span.step(amount.time_ms);
            let at = self.steps.partition_point(|s| span.step(s.time_ms) < step);
            match self.steps.get_mut(at).filter(|s| span.step(s.time_ms) == step) {
                Some(same) => same.take(amount),
                None => {
                    let mut made =
                        Step { time_ms: amount.time_ms, moments: Moments::default(), histogram: Histogram::default() };
                    made.take(amount);
                    self.steps.insert(at, made);
                }
            }
        }
        let beyond = self.steps.len().saturating_sub(STEPS_KEPT_MAX);
        self.steps.drain(..beyond);
    }

    fn inside(&self, time_ms: i64, over_ms: i64) -> (&[Step], &[Amount]) {
        let from = time_ms.max(self.newest_ms).saturating_sub(over_ms);
        let steps = self.steps.partition_point(|s| s.time_ms <= from);
        let amounts = self.amounts.partition_point(|a| a.time_ms <= from);
        (self.steps.get(steps..).unwrap_or_default(), self.amounts.get(amounts..).unwrap_or_default())
    }

    /// What the amounts come to; `None` where there is none.
    pub fn moments(&self, time_ms: i64, over_ms: i64) -> Option<Moments> {
        let (steps, amounts) = self.inside(time_ms, over_ms);
        let mut moments = Moments::default();
        steps.iter().for_each(|step| moments.add_all(&step.moments));
        amounts.iter().for_each(|amount| moments.add(amount.value, amount.n));
        (moments.count > 0).then_some(moments)
    }

    /// The amount that so many hundredths of all do not exceed, by nearest rank; `None` where there is none.
    /// `scratch` is memory used again.
    pub fn quantile(&self, percent: u64, time_ms: i64, over_ms: i64, scratch: &mut Vec<u64>) -> Option<f64> {
        let (steps, amounts) = self.inside(time_ms, over_ms);
        let count = self.moments(time_ms, over_ms)?.count;
        let rank = u64::try_from((u128::from(count) * u128::from(percent)).div_ceil(100)).unwrap_or(count).max(1);
        scratch.clear();
        if steps.is_empty() {
            // Both halves as they sort: the value's order is that of its bits with the sign turned over.
            scratch.extend(amounts.iter().flat_map(|a| [a.value as u64 ^ SIGN, u64::from(a.n)]));
            let (pairs, _) = scratch.as_chunks_mut::<2>();
            pairs.sort_unstable();
            let mut passed = 0;
            let found = pairs.iter().find(|[_, n]| {
                passed += n;
                passed >= rank
            });
            return found.map(|[value, _]| (value ^ SIGN) as i64 as f64);
        }
        let mut all = super::histogram::Dense::new(scratch);
        steps.iter().for_each(|step| all.add_all(&step.histogram));
        amounts.iter().for_each(|amount| all.add(amount.value, u64::from(amount.n)));
        all.at_rank(rank)
    }

    fn merge(&mut self, other: Self, span: Span) {
        self.newest_ms = self.newest_ms.max(other.newest_ms);
        for step in other.steps {
            let number = span.step(step.time_ms);
            let at = self.steps.partition_point(|s| span.step(s.time_ms) < number);
            match self.steps.get_mut(at).filter(|s| span.step(s.time_ms) == number) {
                Some(same) => {
                    same.time_ms = same.time_ms.max(step.time_ms);
                    same.moments.add_all(&step.moments);
                    same.histogram.add_all(&step.histogram);
                }
                None => self.steps.insert(at, step),
            }
        }
        for amount in other.amounts {
            self.add(amount, span);
        }
        self.forget(self.newest_ms.saturating_sub(span.over_ms));
    }

    fn heap_bytes(&self) -> usize {
        let steps: usize = self.steps.iter().map(|step| step.histogram.heap_bytes()).sum();
        room_bytes::<Amount>(self.amounts.len()) + room_bytes::<Step>(self.steps.len()) + steps
    }
}

const SIGN: u64 = 1 << 63;

impl Step {
    fn take(&mut self, amount: Amount) {
        self.time_ms = self.time_ms.max(amount.time_ms);
        self.moments.add(amount.value, amount.n);
        self.histogram.add(amount.value, u64::from(amount.n));
    }
}

/// The amounts of one entity, by unit.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    units: Vec<(u8, Series)>,
}

impl Stats {
    /// Takes `n` equal amounts of a unit at a time.
    pub fn add(&mut self, unit: u8, value: i64, n: u32, time_ms: i64, span: Span) {
        self.series_of(unit).add(Amount { time_ms, value, n }, span);
    }

    /// The amounts of a unit.
    pub fn of(&self, unit: u8) -> Option<&Series> {
        self.units.iter().find(|(u, _)| *u == unit).map(|(_, series)| series)
    }

    /// The units that amounts were of.
    pub fn units(&self) -> impl Iterator<Item = u8> {
        self.units.iter().map(|(unit, _)| *unit)
    }

    /// Takes in what another one of the same feature and entity holds.
    pub fn merge(&mut self, other: Self, span: Span) {
        for (unit, series) in other.units {
            self.series_of(unit).merge(series, span);
        }
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        let series: usize = self.units.iter().map(|(_, series)| series.heap_bytes()).sum();
        room_bytes::<(u8, Series)>(self.units.len()) + series
    }

    /// The newest time counted, of any unit.
    pub fn newest_ms(&self) -> i64 {
        self.units.iter().map(|(_, series)| series.newest_ms).max().unwrap_or(i64::MIN)
    }

    fn series_of(&mut self, unit: u8) -> &mut Series {
        let at = match self.units.iter().position(|(u, _)| *u == unit) {
            Some(at) => at,
            None => {
                if self.units.len() >= CURRENCIES_MAX {
                    let oldest = self.units.iter().enumerate().min_by_key(|(_, (_, series))| series.newest_ms);
                    let oldest = oldest.map_or(0, |(at, _)| at);
                    self.units.remove(oldest);
                }
                self.units.reserve_exact(1);
                self.units.push((unit, Series::default()));
                self.units.len() - 1
            }
        };
        &mut self.units[at].1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OVER_MS: i64 = 1000;

    /// Mean, deviation, p50, p95, largest, count.
    type Told = Option<(f64, f64, f64, f64, i64, u64)>;

    fn told(stats: &Stats, unit: u8, asked: i64, over_ms: i64) -> Told {
        let series = stats.of(unit)?;
        let moments = series.moments(asked, over_ms)?;
        let mut scratch = Vec::new();
        let mut quantile = |percent| series.quantile(percent, asked, over_ms, &mut scratch);
        Some((moments.mean(), moments.stddev(), quantile(50)?, quantile(95)?, moments.max, moments.count))
    }

    fn expected(all: &[(i64, u8, i64, u32)], unit: u8, asked: i64, over_ms: i64) -> Told {
        let own = || all.iter().filter(|(_, u, ..)| *u == unit);
        let until = own().map(|(t, ..)| *t).max()?.max(asked);
        let inside = own().filter(|(t, ..)| *t > until - over_ms);
        let mut values: Vec<i64> = inside.flat_map(|(_, _, v, n)| vec![*v; *n as usize]).collect();
        values.sort_unstable();
        let n = values.len();
        let mean = values.iter().map(|v| *v as f64).sum::<f64>() / n as f64;
        let variance = values.iter().map(|v| (*v as f64 - mean).powi(2)).sum::<f64>() / n as f64;
        let rank = |percent: usize| values.get((n * percent).div_ceil(100).max(1) - 1).map(|v| *v as f64);
        Some((mean, variance.sqrt(), rank(50)?, rank(95)?, *values.last()?, n as u64))
    }

    fn is_near(told: Told, expected: Told, of_quantiles: f64) -> bool {
        let near = |a: f64, b: f64, part: f64| (a - b).abs() <= part * b.abs().max(1.0);
        match (told, expected) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                near(a.0, b.0, 1e-9)
                    && near(a.1, b.1, 1e-6)
                    && near(a.2, b.2, of_quantiles)
                    && near(a.3, b.3, of_quantiles)
                    && (a.4, a.5) == (b.4, b.5)
            }
            _ => false,
        }
    }

    #[test]
    fn nearest_rank_and_the_deviation_of_the_population() {
        let span = Span { over_ms: OVER_MS, horizon_ms: 0 };
        let mut stats = Stats::default();
        for (time, value) in [(0, 300), (1, 100), (2, 400), (3, 200)] {
            stats.add(7, value, 1, time, span);
        }
        let (mean, stddev, p50, p95, max, count) = told(&stats, 7, 10, OVER_MS).unwrap();
        assert_eq!((mean, p50, p95, max, count), (250.0, 200.0, 400.0, 400, 4));
        assert!((stddev - 12_500f64.sqrt()).abs() < 1e-9, "{stddev}");
        assert_eq!(told(&stats, 8, 10, OVER_MS), None);
        assert_eq!(told(&stats, 7, 2000, OVER_MS), None);
        assert_eq!(told(&stats, 7, -5000, OVER_MS).unwrap().5, 4, "an older event reads what has been counted");
    }

    #[test]
    fn the_largest_amounts_do_not_run_over() {
        let span = Span { over_ms: OVER_MS, horizon_ms: 0 };
        let mut stats = Stats::default();
        for n in 0..3000 {
            stats.add(7, 1 << 53, u32::MAX, n % 700, span);
        }
        let (mean, stddev, ..) = told(&stats, 7, 700, OVER_MS).unwrap();
        assert!((mean / (1i64 << 53) as f64 - 1.0).abs() < 1e-9, "{mean}");
        assert!(stddev.is_finite());
    }

    #[test]
    fn beyond_the_cap_mean_and_deviation_stay_exact_and_quantiles_within_a_hundredth() {
        let over_ms = 64_000_000;
        let (mut stats, mut all) = (Stats::default(), Vec::new());
        let mut random = 1u64;
        for n in 0..20_000i64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = (random >> 40) as i64 + 1;
            stats.add(1, value, 1, n * 1000, Span { over_ms, horizon_ms: n * 1000 - 600_000 });
            all.push((n * 1000, 1, value, 1));
        }
        // All of it still lies in the window.
        let (told, expected) = (told(&stats, 1, 20_000_000, over_ms), expected(&all, 1, 20_000_000, over_ms));
        assert!(is_near(told, expected, 0.01), "{told:?}, expected {expected:?}");
        assert!(stats.heap_bytes() < 200_000, "{}", stats.heap_bytes());
    }

    #[test]
    fn beyond_the_cap_a_step_of_the_window_is_the_error() {
        let over_ms = 640_000;
        let mut stats = Stats::default();
        for n in 0..100_000i64 {
            stats.add(1, 500, 1, n * 100, Span { over_ms, horizon_ms: n * 100 - 60_000 });
        }
        let count = told(&stats, 1, 10_000_000, over_ms).unwrap().5;
        assert!((6400..=6500).contains(&count), "{count}");
    }

    #[test]
    fn a_fifth_currency_takes_the_place_of_the_longest_unused() {
        let mut stats = Stats::default();
        for unit in 0..5 {
            stats.add(unit, 10, 1, i64::from(unit), Span { over_ms: OVER_MS, horizon_ms: 0 });
        }
        let read: Vec<bool> = (0..5).map(|unit| stats.of(unit).is_some()).collect();
        assert_eq!(read, [false, true, true, true, true]);
    }

    proptest! {
        #[test]
        fn equals_keeping_everything_in_any_order_and_split(
            steps in prop::collection::vec(
                (0i64..300, -500i64..=0, 0u8..3, -50i64..100_000, 1u32..4, 0usize..3), 1..120),
        ) {
            let (mut whole, mut parts) = (Stats::default(), [(); 3].map(|()| Stats::default()));
            let mut all = Vec::new();
            let mut now = 0;
            let mut span = Span { over_ms: OVER_MS, horizon_ms: 0 };
            for (ahead, back, unit, value, n, to) in steps {
                now += ahead;
                span.horizon_ms = now - 500;
                whole.add(unit, value, n, now + back, span);
                parts[to].add(unit, value, n, now + back, span);
                all.push((now + back, unit, value, n));
                for asked in [now + back, now, now + 700] {
                    let (told, expected) = (told(&whole, unit, asked, OVER_MS), expected(&all, unit, asked, OVER_MS));
                    prop_assert!(is_near(told, expected, 0.0), "{:?}, expected {:?}", told, expected);
                }
            }
            let [mut a, mut b, c] = parts;
            let mut reverse = c.clone();
            reverse.merge(b.clone(), span);
            reverse.merge(a.clone(), span);
            b.merge(c, span);
            a.merge(b, span);
            for (unit, asked) in [(0, now - 500), (1, now), (2, now + 700)] {
                let expected = expected(&all, unit, asked, OVER_MS);
                for stats in [&a, &reverse] {
                    let told = told(stats, unit, asked, OVER_MS);
                    prop_assert!(is_near(told, expected, 0.0), "{:?}, expected {:?}", told, expected);
                }
            }
        }
    }
}
