//! The consumer: which partitions are read from where, and the buffers between the reader and its taker.
//!
//! Guarantees: partitions are assigned, each with a queue of its own; batches that were logged after the checkpoint
//! come first, exactly as they were; the buffers go round, and a slow taker makes the reader wait. Does not decode
//! and does not commit: `offsets.rs` does. How records become batches is in `reader.rs`.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

pub use super::assign::{Begin, Lane, Standing};
use super::config::KafkaConfig;
use super::context::Context;
use super::error::Error;
use super::lag::Positions;
use super::reader::Reader;
use super::{assign, client, options, partitions};
use crate::ingest::batch_log::Logged;
use crate::ingest::{Batch, Lanes};

/// Partitions that may be found while it runs, at most; more need a new start.
const NEW_PARTITIONS_MAX: usize = 1024;
/// Batches between the reader and its taker.
pub const BATCHES_MAX: usize = 3;

/// Why reading ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything up to the ends at the start was taken.
    Reached,
    /// It was asked to.
    Stopped,
}

/// The reader's end of the batches.
pub struct Full {
    full: SyncSender<Batch>,
    empty: Receiver<Batch>,
    waiting: Arc<AtomicUsize>,
}

impl Full {
    /// An empty buffer; waits while the taker has all of them.
    pub(super) fn buffer(&self) -> Result<Batch, Error> {
        self.empty.recv().map_err(|_| Error::NoTaker)
    }

    /// Hands a batch over.
    pub(super) fn send(&self, batch: Batch) -> Result<(), Error> {
        // Counted first: whoever takes it counts it off.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.full.send(batch).map_err(|_| Error::NoTaker)
    }
}

/// The taker's end of the batches.
pub struct Batches {
    full: Receiver<Batch>,
    empty: SyncSender<Batch>,
    waiting: Arc<AtomicUsize>,
}

/// The bounded channel between the reader and its taker: the buffers go round.
pub fn batches() -> (Full, Batches) {
    let (full, taken) = sync_channel(BATCHES_MAX);
    let (given_back, empty) = sync_channel(BATCHES_MAX + 2);
    for _ in 0..=BATCHES_MAX {
        // The channel has room for all of them.
        let _ = given_back.try_send(Batch::default());
    }
    let waiting = Arc::new(AtomicUsize::new(0));
    (Full { full, empty, waiting: Arc::clone(&waiting) }, Batches { full: taken, empty: given_back, waiting })
}

impl Batches {
    /// The next batch; `Ok(None)` when there is none in this time, `Err` when the reader has ended.
    pub fn next(&self, wait: Duration) -> Result<Option<Batch>, RecvTimeoutError> {
        match self.full.recv_timeout(wait) {
            Ok(batch) => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                Ok(Some(batch))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(ended) => Err(ended),
        }
    }

    /// How many batches wait to be taken: at most [`BATCHES_MAX`], and the one the reader holds.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Gives a buffer back.
    pub fn give_back(&self, batch: Batch) {
        match self.empty.try_send(batch) {
            // The reader has ended, or has buffers enough: this one is dropped.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// The queue of each lane that is read; there is room for partitions that are found later.
pub(super) type QueueSlots = [OnceCell<PartitionQueue<Context>>];

/// A reader that is ready to run.
pub struct Consumer {
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    pub(super) topics: Arc<[String]>,
    pub(super) lanes: Vec<Lane>,
    pub(super) names: Arc<Lanes>,
    pub(super) positions: Positions,
    again: Arc<[Logged]>,
    /// By lane, where reading goes on behind the history that this reader reads.
    pub(super) goes_on_at: Option<Vec<i64>>,
    pub(super) config: KafkaConfig,
    /// It goes on where a state stands.
    pub(super) has_state: bool,
    goes_on: bool,
    given_up: Arc<AtomicU64>,
}

impl Consumer {
    /// Finds the partitions and where to begin. Reads nothing and writes nothing yet.
    pub fn open(config: &KafkaConfig, begin: Begin) -> Result<Self, Error> {
        let consumer = client::reader("reader", &options::consumer(config), config)?;
        let found = assign::discover(&consumer, config, &begin)?;
        let (has_state, is_anew) = (matches!(begin, Begin::State(_)), matches!(begin, Begin::Anew(_)));
        let again = match begin {
            Begin::State(standing) => standing.again,
            Begin::Group | Begin::Fresh | Begin::Anew(_) => Arc::default(),
        };
        let goes_on_at = is_anew.then(|| found.lanes.iter().map(|lane| lane.end).collect());
        Ok(Consumer {
            consumer: Arc::new(consumer),
            topics: config.topics.clone().into(),
            positions: Positions::at(found.lanes.iter().map(|lane| lane.start)),
            lanes: found.lanes,
            names: Arc::new(Lanes::new(found.names)),
            again,
            goes_on_at,
            config: config.clone(),
            has_state,
            goes_on: found.goes_on,
            given_up: Arc::default(),
        })
    }

    /// What is known of the partitions at the start: a record's lane is its place here. New ones come behind.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// The partitions by lane; grows while it runs.
    pub fn names(&self) -> Arc<Lanes> {
        Arc::clone(&self.names)
    }

    /// How many batches are taken again before the first live one.
    pub fn again(&self) -> usize {
        self.again.len()
    }

    /// Whether it goes on where the state or the group's offsets stand.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// How often a partition that was behind was no longer waited for: counted on while it runs.
    pub fn given_up(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.given_up)
    }

    /// Reads until asked to stop, or up to the ends at the start. Blocks its thread.
    pub fn run(mut self, out: Full, until_end: bool, stop: &dyn Fn() -> bool) -> Result<End, Error> {
        let room = self.lanes.len().saturating_add(NEW_PARTITIONS_MAX);
        let queues: Vec<OnceCell<PartitionQueue<Context>>> = (0..room).map(|_| OnceCell::new()).collect();
        let mut list = TopicPartitionList::with_capacity(self.lanes.len());
        for (lane, slot) in self.lanes.iter().zip(&queues) {
            let Some(topic) = lane.topic.and_then(|topic| self.topics.get(usize::from(topic))) else { continue };
            // Split before the assignment: the library then never forwards to the common queue.
            split(&self.consumer, topic, lane.partition, slot)?;
            list.add_partition_offset(topic, lane.partition, Offset::Offset(lane.start))
                .map_err(Error::request("assign the partitions"))?;
        }
        self.consumer.assign(&list).map_err(Error::request("assign the partitions"))?;
        let found = match until_end {
            true => None,
            false => Some(partitions::look(&self.consumer, &self.config, &self.topics, &self.names)?),
        };
        let again = std::mem::take(&mut self.again);
        let result = Reader::new(&self, &queues, again, found, until_end).run(&out, &self.given_up, stop);
        self.consumer.unassign().map_err(Error::request("give the partitions back"))?;
        result
    }
}

/// Gives a partition a queue of its own, which wakes this thread when something comes.
pub(super) fn split(
    consumer: &Arc<BaseConsumer<Context>>,
    topic: &str,
    partition: i32,
    slot: &OnceCell<PartitionQueue<Context>>,
) -> Result<(), Error> {
    let split = consumer.split_partition_queue(topic, partition);
    let mut queue = split.ok_or_else(|| Error::NoTopic(topic.to_owned()))?;
    let thread = std::thread::current();
    queue.set_nonempty_callback(move || thread.unpark());
    // A slot is used once.
    let _ = slot.set(queue);
    Ok(())
}
