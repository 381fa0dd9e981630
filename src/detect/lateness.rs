//! Lateness: how far behind its lane an event lies, and what no event can be older than.
//!
//! Guarantees: an event is judged by the lower median of the times of the last [`MEDIAN_OF`] accepted records
//! before it in its lane (of those there are, while there are fewer; the first of a lane is never late), so
//! one wrong clock blinds nobody. Never asks our own clock.

mod durable;

/// Of how many records the median is taken.
pub const MEDIAN_OF: usize = 9;
/// How far behind the middle lane a slow one may lie before it no longer holds memory back, ms.
pub const LANES_APART_MS_MAX: i64 = 7_200_000;
/// A lane without a record among so many accepted ones holds nothing back.
const IDLE_AFTER_RECORDS: u64 = 65_536;
/// How often the horizon is worked out anew, accepted records.
const HORIZON_EVERY_RECORDS: u64 = 256;

#[derive(Debug, Clone)]
struct Lane {
    /// The last times, in input order; a ring.
    times: [i64; MEDIAN_OF],
    /// The same, sorted.
    sorted: [i64; MEDIAN_OF],
    filled: usize,
    next: usize,
    last_record: u64,
}

impl Lane {
    const EMPTY: Lane =
        Lane { times: [0; MEDIAN_OF], sorted: [i64::MAX; MEDIAN_OF], filled: 0, next: 0, last_record: 0 };

    fn median(&self) -> Option<i64> {
        self.sorted.get(self.filled.checked_sub(1)? / 2).copied()
    }

    fn push(&mut self, time_ms: i64) {
        let Some(slot) = self.times.get_mut(self.next) else { return };
        let old = std::mem::replace(slot, time_ms);
        self.next = (self.next + 1) % MEDIAN_OF;
        // Free places are sorted last: the one that is overwritten is there until the ring is full.
        let gone = if self.filled < MEDIAN_OF { i64::MAX } else { old };
        self.filled = (self.filled + 1).min(MEDIAN_OF);
        let at = self.sorted.partition_point(|t| *t < gone);
        if let Some(slot) = self.sorted.get_mut(at) {
            *slot = time_ms;
        }
        let mut at = at;
        while at > 0 && self.sorted[at - 1] > self.sorted[at] {
            self.sorted.swap(at - 1, at);
            at -= 1;
        }
        while at + 1 < MEDIAN_OF && self.sorted[at + 1] < self.sorted[at] {
            self.sorted.swap(at, at + 1);
            at += 1;
        }
    }
}

/// The lanes' times.
#[derive(Debug)]
pub struct Lateness {
    lateness_max_ms: i64,
    lanes: Vec<Lane>,
    records: u64,
    horizon_ms: i64,
    /// The medians of the lanes, while the middle one is looked for.
    medians: Vec<i64>,
}

impl Lateness {
    /// Nothing seen yet.
    pub fn new(lateness_max_ms: i64) -> Self {
        Lateness { lateness_max_ms, lanes: Vec::new(), records: 0, horizon_ms: i64::MIN, medians: Vec::new() }
    }

    /// Whether an event of this time is late in its lane.
    pub fn is_late(&self, lane: u16, time_ms: i64) -> bool {
        let median = self.lanes.get(usize::from(lane)).and_then(Lane::median);
        median.is_some_and(|median| time_ms < median.saturating_sub(self.lateness_max_ms))
    }

    /// Takes an accepted record, late or not.
    pub fn accept(&mut self, lane: u16, time_ms: i64) {
        let at = usize::from(lane);
        if at >= self.lanes.len() {
            self.lanes.resize(at + 1, Lane::EMPTY);
        }
        self.records += 1;
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.push(time_ms);
            lane.last_record = self.records;
        }
        if self.records.is_multiple_of(HORIZON_EVERY_RECORDS) {
            self.advance();
        }
    }

    /// A time no event that still counts is older than. Twice the lateness, because a median can fall back
    /// by one; a lane far behind the others is waited for, but not for ever.
    pub fn horizon_ms(&self) -> i64 {
        self.horizon_ms
    }

    /// The slowest lane holds memory back, but no further than [`LANES_APART_MS_MAX`] behind the middle one: the
    /// fastest may have a clock that is wrong, and what it would make us forget does not come back. A lane
    /// with fewer records than a median needs is not asked for the middle.
    fn advance(&mut self) {
        let records = self.records;
        let active = || self.lanes.iter().filter(|l| records - l.last_record < IDLE_AFTER_RECORDS);
        self.medians.clear();
        self.medians.extend(active().filter(|l| l.filled == MEDIAN_OF).filter_map(Lane::median));
        self.medians.sort_unstable();
        let Some(middle) = self.medians.get(self.medians.len().saturating_sub(1) / 2) else { return };
        let slowest = active().filter_map(Lane::median).min().unwrap_or(*middle);
        let floor = slowest.max(middle.saturating_sub(LANES_APART_MS_MAX));
        self.horizon_ms = self.horizon_ms.max(floor.saturating_sub(self.lateness_max_ms.saturating_mul(2)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ten_minutes_behind_the_median_is_not_late_a_millisecond_more_is() {
        let mut lateness = Lateness::new(600_000);
        assert!(!lateness.is_late(0, i64::MIN), "the first of a lane never is");
        for minute in [6, 2, 10, 20, 19, 20, 19, 21, 20] {
            lateness.accept(0, minute * 60_000);
        }
        assert!(!lateness.is_late(0, 9 * 60_000));
        assert!(lateness.is_late(0, 9 * 60_000 - 1));
        assert!(!lateness.is_late(1, 0), "another lane has times of its own");
    }

    #[test]
    fn one_clock_a_day_ahead_makes_nobody_late() {
        let mut lateness = Lateness::new(600_000);
        for n in 0..100 {
            let wrong = if n % 3 == 2 { 86_400_000 } else { 0 };
            assert!(!lateness.is_late(0, n * 1000), "{n}");
            lateness.accept(0, n * 1000 + wrong);
        }
    }

    #[test]
    fn a_slow_lane_holds_the_horizon_back_and_an_idle_one_does_not() {
        let mut lateness = Lateness::new(1000);
        for n in 0..1024 {
            lateness.accept(0, 10_000_000 + n);
            lateness.accept(1, 9_000_000 + n);
        }
        assert!(lateness.horizon_ms() < 9_000_000);
        for n in 0..IDLE_AFTER_RECORDS as i64 + 1024 {
            lateness.accept(0, 20_000_000 + n);
        }
        assert!(lateness.horizon_ms() >= 20_000_000 - 2000);
    }

    #[test]
    fn a_lane_a_month_ahead_makes_nobody_forget() {
        for wrong_records in [1, 20] {
            let mut lateness = Lateness::new(1000);
            for _ in 0..wrong_records {
                lateness.accept(1, 30 * 86_400_000);
            }
            for n in 0..1024 {
                lateness.accept(0, n);
            }
            assert!(lateness.horizon_ms() <= 1024, "{wrong_records} records: {}", lateness.horizon_ms());
        }
    }

    proptest! {
        #[test]
        fn the_median_is_that_of_the_last_nine(times in prop::collection::vec(-50i64..50, 1..60)) {
            let mut lateness = Lateness::new(0);
            for (at, time) in times.iter().enumerate() {
                let mut last: Vec<i64> = times.iter().take(at).rev().take(9).copied().collect();
                last.sort_unstable();
                let median = last.get(last.len().saturating_sub(1) / 2);
                prop_assert_eq!(lateness.is_late(0, *time), median.is_some_and(|m| time < m));
                lateness.accept(0, *time);
            }
        }
    }
}
