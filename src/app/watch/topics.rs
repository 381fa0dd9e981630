//! How the topics are doing, from one look to the next: how long each has been silent, and whether a reader stands
//! still before records that are there.
//!
//! Guarantees: a silence longer than its topic's limit is told once, and its end once; only a reader of which no topic
//! moves counts as standing still, for the order between topics may rightly keep one of them waiting. Pure: time is an
//! argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::ingest::kafka::lag::TopicLag;

/// A reader that takes nothing of what is there for so long is looked at more closely.
pub const STALL_MAX: Duration = Duration::from_secs(10);

/// What a look at a topic shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Time since its last record was taken, or since the start.
    pub silence: Duration,
    /// What has changed.
    pub turn: Option<Turn>,
}

/// What is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is silent for longer than it may be.
    FellSilent,
    /// It speaks again, after so long.
    Speaks(Duration),
}

#[derive(Debug)]
struct Topic {
    position: i64,
    since: Instant,
    is_silent: bool,
}

/// Every topic that is read, by name.
#[derive(Debug, Default)]
pub struct Topics(BTreeMap<String, Topic>);

impl Topics {
    /// Takes a look at one. `limit`: how long it may be silent.
    pub fn look(&mut self, topic: &str, position: i64, limit: Option<Duration>, now: Instant) -> Seen {
        let known = self.0.entry(topic.to_owned()).or_insert(Topic { position, since: now, is_silent: false });
        let before = now.saturating_duration_since(known.since);
        if known.position != position {
            (known.position, known.since) = (position, now);
            let was_silent = std::mem::take(&mut known.is_silent);
            return Seen { silence: Duration::ZERO, turn: was_silent.then_some(Turn::Speaks(before)) };
        }
        let is_silent = limit.is_some_and(|limit| before > limit);
        let turn = (is_silent && !known.is_silent).then_some(Turn::FellSilent);
        known.is_silent = is_silent;
        Seen { silence: before, turn }
    }
}

/// One reader of one or more topics.
#[derive(Debug, Default)]
pub struct Reader {
    /// The sum of its positions, and since when it is that.
    stood: Option<(i64, Instant)>,
    /// The sum of the ends up to which nothing was there to be taken: only markers of transactions.
    nothing_upto: Option<i64>,
}

/// What to make of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It goes on, or has nothing to take.
    Moves,
    /// It has taken nothing of what is there for so long: unless that is only markers, it stands still.
    Stands(Duration),
}

impl Reader {
    /// Takes a look.
    pub fn look(&mut self, lags: &[TopicLag], now: Instant) -> Reading {
        let position = sum(lags.iter().map(|lag| lag.position));
        let (stood, since) = self.stood.get_or_insert((position, now));
        if *stood != position {
            (*stood, *since) = (position, now);
        }
        let silence = now.saturating_duration_since(*since);
        let is_behind = lags.iter().any(|lag| lag.records > 0);
        match is_behind && silence > STALL_MAX && self.nothing_upto != Some(end(lags)) {
            true => Reading::Stands(silence),
            false => Reading::Moves,
        }
    }

    /// Somebody looked: nothing that could be taken is there up to the ends.
    pub fn has_nothing(&mut self, lags: &[TopicLag]) {
        self.nothing_upto = Some(end(lags));
    }
}

fn end(lags: &[TopicLag]) -> i64 {
    sum(lags.iter().flat_map(|lag| &lag.partitions).map(|partition| partition.end))
}

fn sum(numbers: impl Iterator<Item = i64>) -> i64 {
    numbers.fold(0, i64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::kafka::lag::PartitionLag;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_silence_over_the_limit_is_told_once_and_so_is_its_end() {
        let start = Instant::now();
        let mut topics = Topics::default();
        let mut at = |s: u32, position| topics.look("t", position, Some(10 * S), start + s * S);
        assert_eq!(at(0, 5), Seen { silence: Duration::ZERO, turn: None });
        assert_eq!(at(10, 5), Seen { silence: 10 * S, turn: None });
        assert_eq!(at(11, 5), Seen { silence: 11 * S, turn: Some(Turn::FellSilent) });
        assert_eq!(at(13, 5), Seen { silence: 13 * S, turn: None });
        assert_eq!(at(20, 6), Seen { silence: Duration::ZERO, turn: Some(Turn::Speaks(20 * S)) });
        assert_eq!(at(22, 6), Seen { silence: 2 * S, turn: None });
        let mut unlimited = Topics::default();
        unlimited.look("t", 5, None, start);
        assert_eq!(unlimited.look("t", 5, None, start + 1000 * S), Seen { silence: 1000 * S, turn: None });
    }

    fn lags(topics: &[(i64, i64)]) -> Vec<TopicLag> {
        let lag = |(next, end): &(i64, i64)| TopicLag {
            topic: "t".to_owned(),
            records: (end - next).unsigned_abs(),
            position: *next,
            partitions: vec![PartitionLag { partition: 0, next: *next, end: *end }],
        };
        topics.iter().map(lag).collect()
    }

    #[test]
    fn a_reader_stands_still_where_none_of_its_topics_moves_and_something_is_there() {
        let start = Instant::now();
        let mut reader = Reader::default();
        let mut at = |s: u32, topics: &[(i64, i64)]| reader.look(&lags(topics), start + s * S);
        assert_eq!(at(0, &[(5, 5), (7, 7)]), Reading::Moves);
        assert_eq!(at(60, &[(5, 5), (7, 7)]), Reading::Moves, "nothing is there");
        // One topic waits for the other one's backlog.
        assert_eq!(at(61, &[(6, 90), (7, 9)]), Reading::Moves);
        assert_eq!(at(80, &[(40, 90), (7, 9)]), Reading::Moves);
        assert_eq!(at(90, &[(40, 90), (7, 9)]), Reading::Moves);
        assert_eq!(at(91, &[(40, 90), (7, 9)]), Reading::Stands(11 * S));
        assert_eq!(at(92, &[(41, 90), (7, 9)]), Reading::Moves);
    }

    #[test]
    fn markers_that_nobody_can_take_are_no_standstill_until_something_is_written() {
        let start = Instant::now();
        let mut reader = Reader::default();
        let marker = lags(&[(5, 6)]);
        reader.look(&marker, start);
        assert_eq!(reader.look(&marker, start + 11 * S), Reading::Stands(11 * S));
        reader.has_nothing(&marker);
        assert_eq!(reader.look(&marker, start + 60 * S), Reading::Moves);
        assert_eq!(reader.look(&lags(&[(5, 7)]), start + 61 * S), Reading::Stands(61 * S));
    }
}
