//! `baseline`: how many events there usually are at this hour of the week, and how many there are now.
//!
//! Guarantees: time is cut into intervals of the window's length, counted from 1970 in UTC; the number of events
//! in each is a sample of the hour of the week in which the interval begins. The samples are those of the whole
//! intervals after the one of the first event counted and before the one of the newest, empty ones too, whatever
//! order their events came in within lateness. A sample weighs half after [`HALF_LIFE_WEEKS`]. An hour with fewer
//! than [`SAMPLES_MIN`] is missing. At most [`SLOTS`] hours are kept and [`INTERVALS_OPEN_MAX`] intervals that
//! late events may still add to. Cannot be merged: which intervals were whole is not known of a part.

use smallvec::SmallVec;

use super::codec::{DecodeError, Decoder, Durable, Encoder, decode_all, decode_each, encode_all};
use super::window::{Span, Window};

/// Hours of a week.
pub const SLOTS: i64 = 168;
/// Samples an hour must have before anything is said of it.
pub const SAMPLES_MIN: u32 = 12;
/// In which time a sample's weight halves, weeks.
pub const HALF_LIFE_WEEKS: f64 = 4.0;
/// Without an event for so long everything is forgotten, ms: 12 weeks.
pub const SILENCE_MS_MAX: i64 = 12 * 7 * 24 * HOUR_MS;
/// Intervals that wait for late events, at most; beyond it the oldest count as they are.
const INTERVALS_OPEN_MAX: usize = 1024;

const HOUR_MS: i64 = 3_600_000;

/// Weighted sums of the samples of one hour of the week, as of the week of the newest.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hour: u8,
    samples: u32,
    week: i64,
    weight: f64,
    sum: f64,
    squares: f64,
}

impl Slot {
    fn new(hour: i64) -> Self {
        let (hour, week) = (hour.rem_euclid(SLOTS) as u8, hour.div_euclid(SLOTS));
        Slot { hour, samples: 0, week, weight: 0.0, sum: 0.0, squares: 0.0 }
    }

    /// Takes `n` samples of equal size from an hour, counted from 1970.
    fn take(&mut self, hour: i64, n: u32, size: f64) {
        let week = hour.div_euclid(SLOTS);
        let left = (-((week - self.week).max(0) as f64) / HALF_LIFE_WEEKS).exp2();
        let n_weight = f64::from(n);
        self.samples = self.samples.saturating_add(n);
        self.week = self.week.max(week);
        self.weight = self.weight * left + n_weight;
        self.sum = self.sum * left + n_weight * size;
        self.squares = self.squares * left + n_weight * size * size;
    }

    fn usual(&self) -> Option<Usual> {
        if self.samples < SAMPLES_MIN {
            return None;
        }
        let mean = self.sum / self.weight;
        let variance = (self.squares / self.weight - mean * mean).max(0.0);
        Some(Usual { mean, stddev: variance.sqrt() })
    }
}

/// What an hour of the week usually has, per interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usual {
    /// Mean.
    pub mean: f64,
    /// Deviation of the samples.
    pub stddev: f64,
}

/// The events of one entity.
#[derive(Debug, Clone)]
pub struct Baseline {
    newest_ms: i64,
    now: Window,
    /// The first interval that is not a sample yet, once there is a first event.
    settled: Option<i64>,
    /// Intervals from there on that have events, with how many; by number.
    open: SmallVec<[(i64, u64); 4]>,
    /// By hour of the week.
    slots: Vec<Slot>,
}

impl Default for Baseline {
    fn default() -> Self {
        Baseline {
            newest_ms: i64::MIN,
            now: Window::default(),
            settled: None,
            open: SmallVec::new(),
            slots: Vec::new(),
        }
    }
}

impl Baseline {
    /// Takes `n` events at a time.
    pub fn add(&mut self, time_ms: i64, n: u32, span: Span) {
        self.now.add(time_ms, i64::from(n), span);
        self.newest_ms = self.newest_ms.max(time_ms);
        let interval = time_ms.div_euclid(span.over_ms.max(1));
        let at = self.open.partition_point(|(i, _)| *i < interval);
        match self.open.get_mut(at) {
            Some((same, held)) if *same == interval => *held = held.saturating_add(u64::from(n)),
            _ if self.settled.is_some_and(|settled| interval < settled) => {}
            _ => self.open.insert(at, (interval, u64::from(n))),
        }
        let horizon = span.horizon_ms.div_euclid(span.over_ms.max(1));
        let newest = self.newest_ms.div_euclid(span.over_ms.max(1));
        self.settle(horizon.min(newest), span.over_ms);
        while self.open.len() > INTERVALS_OPEN_MAX
            && let Some((next, _)) = self.open.get(1).copied()
        {
            self.settle(next, span.over_ms);
        }
    }

    /// Makes samples of the intervals before one.
    fn settle(&mut self, until: i64, over_ms: i64) {
        let Some((first, _)) = self.open.first().copied() else { return };
        let from = match self.settled {
            Some(settled) => settled,
            None if first < until => {
                // The first event's own interval was not watched from its beginning.
                self.open.remove(0);
                first + 1
            }
            None => return,
        };
        if from >= until {
            self.settled.get_or_insert(from);
            return;
        }
        let sampled = self.open.partition_point(|(i, _)| *i < until);
        let open: SmallVec<[(i64, u64); 4]> = self.open.drain(..sampled).collect();
        each_sample(from, until, &open, over_ms, |hour, n, size| self.slot(hour).take(hour, n, size));
        self.settled = Some(until);
    }

    fn slot(&mut self, hour: i64) -> &mut Slot {
        let of_week = hour.rem_euclid(SLOTS) as u8;
        let at = self.slots.partition_point(|slot| slot.hour < of_week);
        if self.slots.get(at).is_none_or(|slot| slot.hour != of_week) {
            self.slots.insert(at, Slot::new(hour));
        }
        // There is one at this place now.
        &mut self.slots[at]
    }

    /// The number of events in (time − over, time].
    pub fn now(&self, time_ms: i64, over_ms: i64) -> i128 {
        self.now.sum(time_ms, over_ms)
    }

    /// What the hour of the week of a time usually has; `None` while too little is known.
    pub fn usual(&self, time_ms: i64, over_ms: i64) -> Option<Usual> {
        let hour = time_ms.div_euclid(HOUR_MS);
        let of_week = hour.rem_euclid(SLOTS);
        let known = self.slots.iter().find(|slot| i64::from(slot.hour) == of_week);
        let mut slot = known.copied().unwrap_or_else(|| Slot::new(hour));
        let newest = self.newest_ms.div_euclid(over_ms.max(1));
        let first = self.open.first().map(|(i, _)| i + 1);
        // What late events may still add to is a sample already, as it stands.
        if let Some(from) = self.settled.or(first) {
            each_sample(from, newest, &self.open, over_ms, |hour, n, size| {
                if hour.rem_euclid(SLOTS) == of_week {
                    slot.take(hour, n, size);
                }
            });
        }
        slot.usual()
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        let open = super::window::spilled_bytes(&self.open);
        self.now.heap_bytes() + open + super::window::room_bytes::<Slot>(self.slots.len())
    }

    /// The newest time counted.
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Whether it was silent so long that everything is forgotten.
    pub fn is_dead(&self, horizon_ms: i64) -> bool {
        self.newest_ms.saturating_add(SILENCE_MS_MAX) <= horizon_ms
    }
}

/// Calls `take` with the samples of the intervals `from..until`, hour by hour: the hour, counted from 1970, how
/// many intervals, and their number of events. `open` holds those that have any.
fn each_sample(from: i64, until: i64, open: &[(i64, u64)], over_ms: i64, mut take: impl FnMut(i64, u32, f64)) {
    let over_ms = over_ms.max(1);
    let hour_of = |interval: i64| interval.saturating_mul(over_ms).div_euclid(HOUR_MS);
    let from = from.max(until.saturating_sub(SILENCE_MS_MAX / over_ms));
    let mut empty_from = from;
    let inside = open.iter().filter(|(i, _)| *i >= from && *i < until).copied();
    for (interval, n) in inside.chain([(until, 0)]) {
        while empty_from < interval {
            let hour = hour_of(empty_from);
            let next_hour =
                ((hour + 1) * HOUR_MS).div_euclid(over_ms) + i64::from(((hour + 1) * HOUR_MS) % over_ms != 0);
            let end = next_hour.clamp(empty_from + 1, interval);
            take(hour, u32::try_from(end - empty_from).unwrap_or(u32::MAX), 0.0);
            empty_from = end;
        }
        if interval < until {
            take(hour_of(interval), 1, n as f64);
            empty_from = interval + 1;
        }
    }
}

impl Durable for Slot {
    fn encode(&self, to: &mut Encoder) {
        to.byte(self.hour);
        to.number(self.samples);
        to.signed(self.week);
        to.float(self.weight);
        to.float(self.sum);
        to.float(self.squares);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Slot {
            hour: from.byte()?,
            samples: from.narrow()?,
            week: from.signed()?,
            weight: from.float()?,
            sum: from.float()?,
            squares: from.float()?,
        })
    }
}

impl Durable for Baseline {
    fn encode(&self, to: &mut Encoder) {
        to.signed(self.newest_ms);
        self.now.encode(to);
        self.settled.encode(to);
        to.count(self.open.len());
        for (interval, n) in &self.open {
            to.signed(*interval);
            to.number(*n);
        }
        encode_all(self.slots.iter(), to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Baseline {
            newest_ms: from.signed()?,
            now: Window::decode(from)?,
            settled: Option::decode(from)?,
            open: decode_each(from, 2, |from| Ok((from.signed()?, from.number()?)))?,
            slots: decode_all(from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000;
    const WEEK: i64 = SLOTS * HOUR_MS;

    /// The same from all events, by going through every interval.
    fn expected(all: &[(i64, u32)], time_ms: i64, over_ms: i64) -> Option<Usual> {
        let interval = |t: i64| t.div_euclid(over_ms);
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        for (time, n) in all {
            *counts.entry(interval(*time)).or_default() += u64::from(*n);
        }
        let (first, newest) = (*counts.first_key_value()?.0, *counts.last_key_value()?.0);
        let mut samples: Vec<(i64, f64)> = Vec::new();
        for i in first + 1..newest {
            let hour = (i * over_ms).div_euclid(HOUR_MS);
            if hour.rem_euclid(SLOTS) == time_ms.div_euclid(HOUR_MS).rem_euclid(SLOTS) {
                samples.push((hour.div_euclid(SLOTS), counts.get(&i).copied().unwrap_or(0) as f64));
            }
        }
        if samples.len() < SAMPLES_MIN as usize {
            return None;
        }
        let newest_week = samples.iter().map(|(week, _)| *week).max()?;
        let weight = |week: i64| 0.5f64.powf((newest_week - week) as f64 / HALF_LIFE_WEEKS);
        let all: f64 = samples.iter().map(|(week, _)| weight(*week)).sum();
        let mean = samples.iter().map(|(week, n)| weight(*week) * n).sum::<f64>() / all;
        let variance = samples.iter().map(|(week, n)| weight(*week) * (n - mean).powi(2)).sum::<f64>() / all;
        Some(Usual { mean, stddev: variance.sqrt() })
    }

    fn is_near(a: Option<Usual>, b: Option<Usual>) -> bool {
        match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
                near(a.mean, b.mean) && near(a.stddev, b.stddev)
            }
            _ => false,
        }
    }

    #[test]
    fn an_hour_is_known_after_twelve_samples_and_each_hour_for_itself() {
        let over_ms = 5 * MINUTE;
        let mut baseline = Baseline::default();
        // Ten events a minute from ten to twelve, each day of three weeks.
        for minute in 0..3 * 7 * 24 * 60 {
            let time_ms = minute * MINUTE;
            let hour = minute / 60 % 24;
            let n = if (10..12).contains(&hour) { 10 } else { 1 };
            baseline.add(time_ms, n, Span { over_ms, horizon_ms: time_ms - 10 * MINUTE });
        }
        let at = |hour: i64| baseline.usual(3 * WEEK + hour * HOUR_MS, over_ms).unwrap();
        assert!((at(10).mean - 50.0).abs() < 1e-9 && at(10).stddev < 1e-6, "{:?}", at(10));
        assert!((at(9).mean - 5.0).abs() < 1e-9);
        assert_eq!(baseline.slots.len(), 168);
        let mut young = Baseline::default();
        for minute in 0..=60 {
            young.add(minute * MINUTE, 1, Span { over_ms, horizon_ms: (minute - 10) * MINUTE });
        }
        assert_eq!(young.usual(59 * MINUTE, over_ms), None, "eleven whole intervals after the first");
    }

    #[test]
    fn a_sample_of_four_weeks_ago_weighs_half() {
        let over_ms = HOUR_MS;
        let mut baseline = Baseline::default();
        let mut all = Vec::new();
        for week in 0..40 {
            for n in 0..3 {
                let time = week * WEEK + n * HOUR_MS;
                baseline.add(time, if week > 30 { 8 } else { 2 }, Span { over_ms, horizon_ms: time - HOUR_MS });
                all.push((time, if week > 30 { 8 } else { 2 }));
            }
        }
        let usual = baseline.usual(41 * WEEK + HOUR_MS, over_ms);
        assert!(is_near(usual, expected(&all, 41 * WEEK + HOUR_MS, over_ms)), "{usual:?}");
        assert!(usual.unwrap().mean > 6.0);
    }

    #[test]
    fn one_event_takes_little_room_and_silence_ends_it() {
        let mut baseline = Baseline::default();
        baseline.add(0, 1, Span { over_ms: MINUTE, horizon_ms: -MINUTE });
        assert_eq!(baseline.heap_bytes(), 0);
        assert!(baseline.is_dead(SILENCE_MS_MAX) && !baseline.is_dead(SILENCE_MS_MAX - 1));
    }

    proptest! {
        #[test]
        fn equals_keeping_everything_in_any_order(
            steps in prop::collection::vec((0i64..20 * MINUTE, -10 * MINUTE..=0i64, 1u32..4, 0u32..20), 1..200),
            over_minutes in 1i64..=60,
            // Lanes apart hold the horizon back further than lateness alone.
            behind_minutes in 10i64..120,
        ) {
            let over_ms = over_minutes * MINUTE;
            let (mut baseline, mut all, mut now) = (Baseline::default(), Vec::new(), 0);
            for (ahead, back, n, jump) in steps {
                now += ahead + if jump == 0 { WEEK - HOUR_MS } else { 0 };
                baseline.add(now + back, n, Span { over_ms, horizon_ms: now - behind_minutes * MINUTE });
                all.push((now + back, n));
                for asked in [now + back, now, now + 30 * MINUTE] {
                    let (told, expected) = (baseline.usual(asked, over_ms), expected(&all, asked, over_ms));
                    prop_assert!(is_near(told, expected), "{:?}, expected {:?}", told, expected);
                    let count: i128 =
                        all.iter().filter(|(t, _)| *t > asked - over_ms && *t <= asked).map(|(_, n)| i128::from(*n)).sum();
                    prop_assert_eq!(baseline.now(asked, over_ms), count);
                }
            }
        }
    }
}
