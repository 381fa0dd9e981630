//! The watermark: the event time up to which nothing more is waited for, which decides that something is absent.
//!
//! Guarantees: the least, over partitions that are not idle, of their newest event time, less [`SLACK_MS`]; it
//! never goes back, and does not move while a partition that is not idle has shown no event. A partition is idle
//! that is at its end and has shown nothing for [`IDLE_MS`] by the batches' moments. Reads no clock.

use crate::event::Millis;

mod durable;

/// How far the watermark stays behind the newest event times, ms.
pub const SLACK_MS: i64 = 60_000;
/// For how long a partition at its end shows nothing until nobody waits for it, ms.
pub const IDLE_MS: i64 = 60_000;

/// One partition.
#[derive(Debug, Clone)]
struct Lane {
    /// The newest event time.
    newest_ms: Option<i64>,
    /// The moment of the last batch with a record of it, or of the first batch that knew it.
    spoke: Millis,
    /// Whether it was at its end when the batch was taken.
    at_end: bool,
    is_idle: bool,
}

/// The partitions' times.
#[derive(Debug, Default)]
pub struct Watermark {
    lanes: Vec<Lane>,
    moment: Millis,
    /// `None` until it has moved.
    at_ms: Option<i64>,
}

impl Watermark {
    /// Which partitions there are, by number, and which of them are at their end. Those it is never told of are
    /// known from their first record on and are never idle.
    pub fn partitions(&mut self, at_end: impl Iterator<Item = bool>) {
        for (number, at_end) in at_end.enumerate() {
            self.reach(number);
            if let Some(lane) = self.lanes.get_mut(number) {
                lane.at_end = at_end;
            }
        }
    }

    fn reach(&mut self, number: usize) {
        if number >= self.lanes.len() {
            // Its time begins with the batch that is about to begin.
            let lane = Lane { newest_ms: None, spoke: Millis(i64::MIN), at_end: false, is_idle: false };
            self.lanes.resize(number + 1, lane);
        }
    }

    /// A batch begins that was taken at this moment.
    pub fn begin(&mut self, moment: Millis) {
        self.moment = moment;
        for lane in &mut self.lanes {
            if lane.spoke.0 == i64::MIN {
                lane.spoke = moment;
            }
            lane.is_idle = lane.at_end && moment.since(lane.spoke) >= IDLE_MS;
        }
        self.advance();
    }

    /// A record of a partition was taken, whatever it holds.
    pub fn spoke(&mut self, number: u16) {
        let at = usize::from(number);
        self.reach(at);
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.spoke = self.moment;
            if std::mem::take(&mut lane.is_idle) {
                self.advance();
            }
        }
    }

    /// An event of a partition was accepted.
    pub fn accept(&mut self, number: u16, time_ms: i64) {
        let Some(lane) = self.lanes.get_mut(usize::from(number)) else { return };
        if lane.newest_ms.is_none_or(|newest| time_ms > newest) {
            lane.newest_ms = Some(time_ms);
            self.advance();
        }
    }

    /// Whether it has passed a time.
    pub fn has_passed(&self, time_ms: i64) -> bool {
        self.at_ms.is_some_and(|at| at > time_ms)
    }

    fn advance(&mut self) {
        let mut least = None;
        for lane in self.lanes.iter().filter(|lane| !lane.is_idle) {
            let Some(newest) = lane.newest_ms else { return };
            least = Some(least.map_or(newest, |least: i64| least.min(newest)));
        }
        let at = least.map(|least| least.saturating_sub(SLACK_MS));
        self.at_ms = self.at_ms.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(watermark: &Watermark) -> Option<i64> {
        watermark.at_ms
    }

    #[test]
    fn it_is_the_least_of_the_newest_times_less_a_minute_and_never_goes_back() {
        let mut watermark = Watermark::default();
        watermark.partitions([false, false].into_iter());
        watermark.begin(Millis(0));
        watermark.spoke(0);
        watermark.accept(0, 500_000);
        assert_eq!(at(&watermark), None, "the other partition has shown nothing yet");
        watermark.spoke(1);
        watermark.accept(1, 100_000);
        assert_eq!(at(&watermark), Some(40_000));
        watermark.accept(1, 90_000);
        assert_eq!(at(&watermark), Some(40_000), "the newest time counts");
        watermark.accept(1, 700_000);
        assert_eq!(at(&watermark), Some(440_000));
        assert!(watermark.has_passed(439_999) && !watermark.has_passed(440_000));
    }

    #[test]
    fn a_partition_at_its_end_is_idle_after_a_minute_and_waited_for_again_once_it_speaks() {
        let mut watermark = Watermark::default();
        let batch = |watermark: &mut Watermark, moment: i64, ends: [bool; 2]| {
            watermark.partitions(ends.into_iter());
            watermark.begin(Millis(moment));
        };
        batch(&mut watermark, 0, [false, true]);
        watermark.spoke(0);
        watermark.accept(0, 1_000_000);
        assert_eq!(at(&watermark), None);
        batch(&mut watermark, 59_999, [false, true]);
        assert_eq!(at(&watermark), None);
        batch(&mut watermark, 60_000, [false, false]);
        assert_eq!(at(&watermark), None, "it is not at its end: something of it is still to come");
        batch(&mut watermark, 60_001, [false, true]);
        assert_eq!(at(&watermark), Some(940_000));
        watermark.spoke(1);
        assert_eq!(at(&watermark), Some(940_000), "it has shown no event yet");
        watermark.accept(1, 10);
        watermark.accept(0, 2_000_000);
        assert_eq!(at(&watermark), Some(940_000), "never back, and it is waited for again");
        batch(&mut watermark, 120_001, [true, true]);
        assert_eq!(at(&watermark), Some(940_000), "where all are idle nothing moves");
        watermark.spoke(0);
        watermark.accept(0, 2_000_001);
        assert_eq!(at(&watermark), Some(1_940_001));
    }

    #[test]
    fn a_file_is_one_partition_whose_end_moves_nothing() {
        let mut watermark = Watermark::default();
        for (moment, time) in [(0, 100_000), (0, 200_000), (1_000_000, 150_000)] {
            watermark.begin(Millis(moment));
            watermark.spoke(0);
            watermark.accept(0, time);
        }
        assert_eq!(at(&watermark), Some(140_000));
    }
}
