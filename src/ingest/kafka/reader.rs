//! The reader: one thread that takes the records of all partitions, in order, in batches.
//!
//! Guarantees: batches are filled by `fill.rs`; a partition that is new is read from its oldest record on, between two
//! batches. What the library tells of a partition that cannot be read is an error, never a gap. Does not decode and does
//! not commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::assign::Lane;
use super::consumer::{Consumer, End, Full, QueueSlots, split};
use super::context::{Context, OneASecond};
use super::error::Error;
use super::fill::{Filled, Filler, Queues, REST};
use super::order::Merge;
use super::partitions::NewPartition;
use crate::clock;
use crate::event::Millis;
use crate::failpoint::{self, reach};
use crate::ingest::batch_log::Logged;
use crate::ingest::{Batch, Partition, Position, Record};

/// Records taken from a partition's queue at once.
const RUN_RECORDS_MAX: usize = 64;

/// The running reader.
pub(super) struct Reader<'r> {
    filler: Filler<BorrowedMessage<'r>>,
    partitions: Partitions<'r>,
    /// Partitions that were found; `None` where nobody looks.
    found: Option<Receiver<NewPartition>>,
}

/// The partitions that are read.
struct Partitions<'r> {
    opened: &'r Consumer,
    consumer: &'r Arc<BaseConsumer<Context>>,
    topics: &'r [String],
    lanes: Vec<Lane>,
    queues: &'r QueueSlots,
    /// The last offset that arrived of each lane.
    arrived: Vec<i64>,
    until_end: bool,
    began: Instant,
    lines: OneASecond,
}

impl<'r> Reader<'r> {
    pub(super) fn new(
        opened: &'r Consumer,
        queues: &'r QueueSlots,
        again: Arc<[Logged]>,
        found: Option<Receiver<NewPartition>>,
        until_end: bool,
    ) -> Self {
        let lanes = opened.lanes.clone();
        let mut merge = Merge::new(lanes.iter().map(Lane::place), opened.config.order);
        for (number, lane) in (0_u16..).zip(&lanes) {
            if lane.start >= lane.end {
                // Nothing to wait for: it is at its end already.
                merge.at_end(number);
                if until_end {
                    merge.finish(number);
                }
            }
            if lane.topic.is_none() {
                merge.finish(number);
            }
        }
        let partitions = Partitions {
            opened,
            consumer: &opened.consumer,
            topics: &opened.topics,
            queues,
            arrived: lanes.iter().map(|lane| lane.start - 1).collect(),
            lanes,
            until_end,
            began: Instant::now(),
            lines: OneASecond::default(),
        };
        Reader { filler: Filler::new(merge, again), partitions, found }
    }

    pub(super) fn run(mut self, out: &Full, told: &AtomicU64, stop: &dyn Fn() -> bool) -> Result<End, Error> {
        let mut batch = out.buffer()?;
        while !stop() {
            self.partitions.serve_common_queue(&mut self.filler.merge)?;
            if !self.filler.is_again() {
                self.take_new_partitions()?;
            }
            let filled = self.filler.fill(&mut batch, clock::now(), &mut self.partitions)?;
            self.tell_given_up(told);
            match filled {
                Filled::Waits => std::thread::park_timeout(REST),
                Filled::Live(wait) if batch.is_empty() => {
                    if self.partitions.until_end && self.filler.merge.is_finished() {
                        return Ok(End::Reached);
                    }
                    // A queue that was empty wakes us when something comes.
                    std::thread::park_timeout(wait.min(REST));
                }
                Filled::Live(_) | Filled::Again => {
                    reach(failpoint::READ_FILLED);
                    out.send(batch)?;
                    batch = out.buffer()?;
                }
            }
        }
        Ok(End::Stopped)
    }

    /// Reads partitions that were found from now on.
    fn take_new_partitions(&mut self) -> Result<(), Error> {
        let Reader { filler: Filler { merge, .. }, partitions: read, found } = self;
        while let Some(new) = found.as_ref().and_then(|found| found.try_recv().ok()) {
            let (Some(topic), Some(slot)) =
                (read.topics.get(usize::from(new.topic)), read.queues.get(read.lanes.len()))
            else {
                let NewPartition { partition, .. } = new;
                tracing::error!(partition, "a new partition has no place left: start again to read it");
                continue;
            };
            split(read.consumer, topic, new.partition, slot)?;
            let mut list = TopicPartitionList::with_capacity(1);
            let what = || format!("read the new partition {topic}[{}]", new.partition);
            list.add_partition_offset(topic, new.partition, Offset::Offset(new.low))
                .and_then(|()| read.consumer.incremental_assign(&list))
                .map_err(|e| Error::request(what())(e))?;
            let lane = Lane { topic: Some(new.topic), partition: new.partition, start: new.low, end: new.high };
            merge.add(lane.place());
            if lane.start >= lane.end {
                merge.at_end(u16::try_from(read.lanes.len()).unwrap_or(u16::MAX));
            }
            read.lanes.push(lane);
            read.arrived.push(new.low - 1);
            // The position first: whoever sees the name finds it.
            read.opened.positions.add(new.low);
            read.opened.names.add(Partition::new(topic, new.partition));
            tracing::info!(
                topic,
                partition = new.partition,
                from = new.low,
                "a new partition was found: it is read from its oldest record on"
            );
        }
        Ok(())
    }

    fn tell_given_up(&mut self, told: &AtomicU64) {
        let given_up = self.filler.merge.given_up();
        if given_up > told.load(Ordering::Relaxed) {
            told.store(given_up, Ordering::Relaxed);
            if let Some(left_out) = self.partitions.lines.pass() {
                tracing::warn!(
                    given_up,
                    left_out,
                    "a partition that is behind did not answer in time: its order to the others rests on its own pace"
                );
            }
        }
    }
}

impl<'r> Queues<BorrowedMessage<'r>> for Partitions<'r> {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn put(&self, batch: &mut Batch, lane: u16, stamp: Millis, message: &BorrowedMessage<'r>) -> usize {
        let Some(partition) = self.lanes.get(usize::from(lane)) else { return 0 };
        let (topic, partition) = partition.place();
        let position = Position { topic, partition, offset: message.offset() };
        let (key, value) = (message.key(), message.payload());
        batch.push(Record { position, lane, stamp, key, value });
        message.key_len() + message.payload_len()
    }

    /// Takes a run from the lane's queue.
    fn ask(&mut self, lane: u16, merge: &mut Merge<BorrowedMessage<'r>>) -> Result<(), Error> {
        let Some(queue) = self.queues.get(usize::from(lane)).and_then(|slot| slot.get()) else { return Ok(()) };
        for polled in 0..RUN_RECORDS_MAX {
            match queue.poll(Duration::ZERO) {
                None if polled == 0 => return Ok(()),
                None => break,
                Some(Ok(message)) => self.arrive(lane, message, merge)?,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    merge.at_end(lane);
                    if self.until_end {
                        merge.finish(lane);
                    }
                }
                Some(Err(error)) => self.judge(lane, error)?,
            }
        }
        reach(failpoint::READ_POLLED);
        Ok(())
    }
}

impl<'r> Partitions<'r> {
    fn arrive(
        &mut self,
        lane: u16,
        message: BorrowedMessage<'r>,
        merge: &mut Merge<BorrowedMessage<'r>>,
    ) -> Result<(), Error> {
        let at = usize::from(lane);
        let (Some(partition), Some(arrived)) = (self.lanes.get(at), self.arrived.get_mut(at)) else { return Ok(()) };
        let offset = message.offset();
        if offset <= *arrived {
            let topic = message.topic().to_owned();
            return Err(Error::Disorder { topic, partition: partition.partition, offset, after: *arrived });
        }
        *arrived = offset;
        let is_wanted = !self.until_end || offset < partition.end;
        if is_wanted {
            // Only a record of a format older than 2014 has no timestamp.
            let stamp = Millis(message.timestamp().to_millis().unwrap_or(0));
            merge.arrived(lane, stamp, message);
        }
        if self.until_end && offset + 1 >= partition.end {
            merge.finish(lane);
        }
        Ok(())
    }

    /// Errors of the client, and records that reached the common queue after all: they belong in front.
    fn serve_common_queue(&mut self, merge: &mut Merge<BorrowedMessage<'r>>) -> Result<(), Error> {
        while let Some(served) = self.consumer.poll(Duration::ZERO) {
            match served {
                Ok(message) => {
                    let (topic, partition) = (message.topic(), message.partition());
                    let is_it = |lane: &Lane| {
                        lane.partition == partition
                            && lane
                                .topic
                                .and_then(|at| self.topics.get(usize::from(at)))
                                .is_some_and(|name| name == topic)
                    };
                    if let Some(lane) = self.lanes.iter().position(is_it).and_then(|at| u16::try_from(at).ok()) {
                        self.arrive(lane, message, merge)?;
                    }
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) if is_fatal(&error) => return Err(Error::request("read from Kafka")(error)),
                Err(error) => self.say(&error),
            }
        }
        Ok(())
    }

    /// Whether an error of a partition passes by itself.
    fn judge(&self, lane: u16, error: KafkaError) -> Result<(), Error> {
        let Some(partition) = self.lanes.get(usize::from(lane)) else { return Ok(()) };
        let topic = self.topics.get(usize::from(partition.place().0)).cloned().unwrap_or_default();
        let partition = partition.partition;
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)) {
            let timeout = Duration::from_secs(5);
            let (low, high) = self.consumer.fetch_watermarks(&topic, partition, timeout).unwrap_or((-1, -1));
            let offset = self.arrived.get(usize::from(lane)).map_or(-1, |arrived| arrived + 1);
            return Err(match self.opened.has_state {
                true => Error::Gone { topic, partition, offset, low, high },
                false => Error::Lost { topic, partition, offset, low, high, group: self.opened.config.group.clone() },
            });
        }
        if is_fatal(&error) {
            return Err(Error::Read { topic, partition, source: error });
        }
        self.say(&error);
        Ok(())
    }

    fn say(&self, error: &KafkaError) {
        if let Some(left_out) = self.lines.pass() {
            tracing::warn!(%error, left_out, "reading from Kafka has trouble; it goes on by itself");
        }
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as C;
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(C::TopicAuthorizationFailed | C::Authentication | C::SaslAuthenticationFailed | C::BadMessage)
        )
}
