//! When things happen: how many records a stream has in which hour.
//!
//! A wallet stream begins with a *learning period* of three weeks that holds a fifth of the records, thinly
//! spread, so that rules which ask for 14 days or 10 logins of history have it; then come the *watched* days.
//! The watched rate is 4 events per account and day, at most 4 a second: at that rate the busiest account of a
//! Zipf distribution has far less than one failed login in 10 min, and the busiest address about 6 accounts an
//! hour, so that what fires was planted.
//! Guarantees: stamps never go backwards; whole numbers only. Reads no clock.

use super::people::{DAY_MS, HOUR_MS};
use super::plan::Plan;
use super::rhythm::{WEEK_HOURS, Week, hour_of_week};
use crate::event::Millis;

/// Length of the learning period: whole weeks, so that a stream which begins on a Monday is watched from one.
pub const LEARNING_MS: i64 = 21 * DAY_MS;
/// The part of the records that falls into the learning period, percent.
const LEARNING_PERCENT: u64 = 20;
/// Events per account and day.
const ACCOUNT_EVENTS_PER_DAY: u64 = 4;
/// Events per second at the most, in thousandths.
const RATE_MILLI_MAX: u64 = 4000;
/// Events per second at the least, in thousandths: 80 000 records are a day.
const RATE_MILLI_MIN: u64 = 926;
/// The watched days at the most; a longer stream is a faster one.
const WATCHED_MS_MAX: i64 = 30 * DAY_MS;
/// How busy each hour of the day is in a bare workload, local time of the wallet (UTC+8), from midnight.
const HOURS: [u64; 24] = [4, 3, 2, 2, 2, 3, 5, 8, 10, 11, 11, 12, 13, 12, 11, 11, 11, 12, 13, 14, 14, 13, 10, 6];
/// The wallet's own offset from UTC, hours.
const HOME_OFFSET_HOURS: usize = 8;

/// A stretch of time with a number of records in it.
#[derive(Debug, Clone)]
struct Stretch {
    start: Millis,
    records: u64,
    span_ms: i64,
    /// The sum of the weights up to and with each hour of the stretch.
    upto: Vec<u64>,
}

/// The times of a stream.
#[derive(Debug, Clone)]
pub struct Timeline {
    learning: Stretch,
    watched: Stretch,
}

impl Timeline {
    /// For the records of a plan. `week`: that of people, who need a learning period; none in a bare workload.
    pub fn new(plan: &Plan, week: Option<&Week>) -> Self {
        let (start, records, rate_milli) = (plan.start, plan.events, plan.rate_milli);
        let (in_learning, learning_ms) = match week {
            Some(_) => {
                let usual = records * LEARNING_PERCENT / 100;
                (plan.learning_records_max.map_or(usual, |most| usual.min(most)), LEARNING_MS)
            }
            None => (0, 0),
        };
        let bare = bare_week();
        let week = week.unwrap_or(&bare);
        let rest = records - in_learning;
        let usual = (plan.accounts() * ACCOUNT_EVENTS_PER_DAY / 86).clamp(RATE_MILLI_MIN, RATE_MILLI_MAX);
        let rate = rate_milli.unwrap_or(usual).max(1);
        let span = u128::from(rest) * 1_000_000 / u128::from(rate);
        let longest = if rate_milli.is_some() { i64::MAX / 4 } else { WATCHED_MS_MAX };
        let span_ms = i64::try_from(span).unwrap_or(i64::MAX).clamp(1000, longest);
        Timeline {
            learning: Stretch::new(start, in_learning, learning_ms, week),
            watched: Stretch::new(start.plus(learning_ms), rest, span_ms, week),
        }
    }

    /// The same times with another number of records in them.
    pub fn with_records(mut self, records: u64) -> Self {
        let all = self.learning.records + self.watched.records;
        let learning = u128::from(records) * u128::from(self.learning.records) / u128::from(all.max(1));
        self.learning.records = u64::try_from(learning).unwrap_or(records);
        self.watched.records = records - self.learning.records;
        self
    }

    /// How many records the learning period has.
    pub fn learning_records(&self) -> u64 {
        self.learning.records
    }

    /// How many records the watched days have.
    pub fn watched_records(&self) -> u64 {
        self.watched.records
    }

    /// When the watched days begin.
    pub fn watched_from(&self) -> Millis {
        self.watched.start
    }

    /// How long the watched days are, ms.
    pub fn watched_ms(&self) -> i64 {
        self.watched.span_ms
    }

    /// How long everything is, ms.
    pub fn span_ms(&self) -> i64 {
        self.learning.span_ms + self.watched.span_ms
    }

    /// The moment of the ordinary record `at` of all, with 32 random bits for the place within its share.
    pub fn stamp(&self, at: u64, random: u64) -> Millis {
        match at.checked_sub(self.learning.records) {
            None => self.learning.stamp(at, random),
            Some(at) => self.watched.stamp(at, random),
        }
    }
}

impl Stretch {
    fn new(start: Millis, records: u64, span_ms: i64, week: &Week) -> Self {
        let hours = usize::try_from(span_ms.div_euclid(HOUR_MS) + 1).unwrap_or(1);
        let first = hour_of_week(start);
        let mut sum = 0;
        let upto = (0..hours)
            .map(|hour| {
                let whole = week.get((first + hour) % WEEK_HOURS).copied().unwrap_or(1);
                let part = (span_ms - hour as i64 * HOUR_MS).clamp(1, HOUR_MS);
                sum += whole * part.unsigned_abs();
                sum
            })
            .collect();
        Stretch { start, records, span_ms, upto }
    }

    fn stamp(&self, at: u64, random: u64) -> Millis {
        let whole = self.upto.last().copied().unwrap_or(1);
        let place = (u128::from(at) << 32) | u128::from(random & 0xffff_ffff);
        let weight = (place * u128::from(whole) / (u128::from(self.records.max(1)) << 32)) as u64;
        let hour = self.upto.partition_point(|&u| u <= weight).min(self.upto.len().saturating_sub(1));
        let before = hour.checked_sub(1).and_then(|h| self.upto.get(h)).copied().unwrap_or(0);
        let here = self.upto.get(hour).map_or(1, |u| u - before).max(1);
        let part = (self.span_ms - hour as i64 * HOUR_MS).clamp(1, HOUR_MS);
        let within = u128::from(weight - before) * part.unsigned_abs() as u128 / u128::from(here);
        self.start.plus(hour as i64 * HOUR_MS + within as i64)
    }
}

/// Every day the same.
fn bare_week() -> Week {
    let mut week = [1; WEEK_HOURS];
    for (hour, weight) in (HOME_OFFSET_HOURS..).zip(week.iter_mut()) {
        *weight = HOURS.get(hour % HOURS.len()).copied().unwrap_or(1);
    }
    week
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Profile, START};
    use super::*;

    fn plan(records: u64) -> Plan {
        Plan::new(records, 1, Profile::Wallet)
    }

    #[test]
    fn stamps_rise_and_fill_both_stretches() {
        let start = START;
        let week = bare_week();
        for (records, learns) in [(100_000, true), (1000, true), (100_000, false), (3_000_000, true)] {
            let line = Timeline::new(&plan(records), learns.then_some(&week));
            let step = (records / 5000).max(1);
            let stamps: Vec<i64> =
                (0..records).step_by(step as usize).map(|at| line.stamp(at, at * 77_777).0).collect();
            assert!(stamps.windows(2).all(|w| w[0] <= w[1]));
            let end = start.0 + line.span_ms();
            assert!(stamps[0] >= start.0 && stamps[stamps.len() - 1] < end);
            assert!(end - stamps[stamps.len() - 1] < line.span_ms() / 50);
        }
    }

    #[test]
    fn a_hundred_thousand_records_are_a_day_after_learning() {
        let line = Timeline::new(&plan(100_000), Some(&bare_week()));
        assert!((line.watched_ms() - DAY_MS).abs() < HOUR_MS, "{}", line.watched_ms());
        let quick = Timeline::new(&Plan { rate_milli: Some(1_000_000), ..plan(1_000_000) }, None);
        assert_eq!(quick.watched_ms(), 1_000_000);
    }

    #[test]
    fn a_long_stream_need_not_learn_for_long() {
        let brief = |records| Plan { learning_records_max: Some(8000), ..plan(records) };
        let records = |records| Timeline::new(&brief(records), Some(&bare_week())).learning_records();
        assert_eq!([10_000, 40_000, 1_000_000].map(records), [2000, 8000, 8000]);
        let line = Timeline::new(&brief(1_000_000), Some(&bare_week()));
        assert_eq!((line.watched_from(), line.watched_records()), (START.plus(LEARNING_MS), 992_000));
    }
}
