//! Which offsets may be committed, and committing them.
//!
//! Guarantees: what is committed is the next record to read of each partition, taken between two batches, and
//! only after every record written for those batches is acknowledged. Commits at an interval, idle or not.
//! Epoch and owner travel as the commits' metadata once state survives a restart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::assign::Lane;
use super::context::Context;
use super::error::{Error, patiently};
use super::lag::{Lag, Positions};
use crate::ingest::Batch;

/// How long a commit that is waited for may find no coordinator.
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(5);

/// What was taken, and what of that may be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Progress {
    /// The next record to read of each lane.
    next: Vec<i64>,
    /// What is to be committed once every ticket up to this one is acknowledged.
    waiting: Option<(usize, Vec<i64>)>,
}

impl Progress {
    fn take(&mut self, lane: u16, offset: i64) {
        if let Some(next) = self.next.get_mut(usize::from(lane)) {
            *next = (*next).max(offset.saturating_add(1));
        }
    }

    /// Marks what was taken up to `ticket`, unless something waits already.
    fn mark(&mut self, ticket: usize) {
        if self.waiting.is_none() {
            self.waiting = Some((ticket, self.next.clone()));
        }
    }

    /// What waited, once it is acknowledged.
    fn ready(&mut self, acknowledged_below: usize) -> Option<Vec<i64>> {
        self.waiting.take_if(|(ticket, _)| *ticket < acknowledged_below).map(|(_, next)| next)
    }
}

/// Commits the offsets of the group.
pub struct Offsets {
    consumer: Arc<BaseConsumer<Context>>,
    topics: Arc<[String]>,
    lanes: Arc<[Lane]>,
    progress: Progress,
    /// The same as `progress.next`, for whoever watches.
    positions: Positions,
    interval: Duration,
    last: Option<Instant>,
    commits: u64,
}

impl Offsets {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Context>>,
        topics: Arc<[String]>,
        lanes: Arc<[Lane]>,
        interval: Duration,
    ) -> Self {
        let positions = Positions::at(lanes.iter().map(|lane| lane.start));
        let progress = Progress { next: lanes.iter().map(|lane| lane.start).collect(), waiting: None };
        Offsets { consumer, topics, lanes, progress, positions, interval, last: None, commits: 0 }
    }

    /// The records of a batch were handled: what they caused was handed to the producer.
    pub fn handled(&mut self, batch: &Batch) {
        for record in batch.records() {
            self.progress.take(record.lane, record.position.offset);
        }
        self.positions.set(self.progress.next.iter().copied());
    }

    /// How far what is handled lies behind what is written.
    pub fn lag(&self) -> Lag {
        let lanes = self.lanes.iter().map(|lane| (usize::from(lane.topic), lane.partition)).collect();
        Lag::new(&self.consumer, Arc::clone(&self.topics), lanes, self.positions.clone())
    }

    /// Commits what is due and acknowledged. `ticket` is the last batch's, `acknowledged_below` the producer's.
    pub fn tick(&mut self, ticket: usize, acknowledged_below: usize) -> Result<(), Error> {
        if self.last.is_none_or(|last| last.elapsed() >= self.interval) {
            self.progress.mark(ticket);
            self.last = Some(Instant::now());
        }
        match self.progress.ready(acknowledged_below) {
            Some(next) => self.commit(&next, CommitMode::Async),
            None => Ok(()),
        }
    }

    /// Commits everything that was handled; the caller has seen all of it acknowledged.
    pub fn finish(&mut self) -> Result<(), Error> {
        let next = self.progress.next.clone();
        self.commit(&next, CommitMode::Sync)
    }

    /// How often offsets were committed.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    fn commit(&mut self, next: &[i64], mode: CommitMode) -> Result<(), Error> {
        let what = "commit the offsets";
        let mut list = TopicPartitionList::with_capacity(next.len());
        for (lane, next) in self.lanes.iter().zip(next) {
            let topic = self.topics.get(usize::from(lane.topic)).map_or("", String::as_str);
            list.add_partition_offset(topic, lane.partition, Offset::Offset(*next)).map_err(Error::request(what))?;
        }
        patiently(COMMIT_WAIT_MAX, || self.consumer.commit(&list, mode)).map_err(Error::request(what))?;
        self.commits += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_was_acknowledged_and_is_the_next_to_read() {
        let mut progress = Progress { next: vec![10, 20], waiting: None };
        progress.take(0, 10);
        progress.take(1, 20);
        progress.mark(7);
        progress.take(0, 11);
        progress.mark(8);
        assert_eq!(progress.ready(7), None, "a record of ticket 7 is not acknowledged");
        assert_eq!(progress.ready(8), Some(vec![11, 21]), "as of the mark, not as of now");
        assert_eq!(progress.ready(usize::MAX), None, "once");
        progress.mark(8);
        assert_eq!(progress.ready(usize::MAX), Some(vec![12, 21]));
    }
}
