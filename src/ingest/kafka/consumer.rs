//! The reader: one thread that takes the records of all partitions, in order, in batches.
//!
//! Guarantees: partitions are assigned, each with a queue of its own; records go through the merge of
//! `order.rs` into buffers that are used again; a slow taker makes it wait. What the library tells of a
//! partition that cannot be read is an error, never a gap. Does not decode and does not commit: [`Offsets`] does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message as _, Offset, TopicPartitionList};

pub use super::assign::Lane;
use super::config::KafkaConfig;
use super::context::{Context, OneASecond};
use super::error::Error;
use super::offsets::Offsets;
use super::order::{Merge, Next};
use super::{assign, client, options};
use crate::clock;
use crate::event::Millis;
use crate::ingest::{Batch, Position, Record};

/// Records taken from a partition's queue at once.
const RUN_RECORDS_MAX: usize = 64;
/// Bytes of records in one batch; the record that reaches it is its last.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Batches between the reader and its taker.
pub const BATCHES_MAX: usize = 3;
/// How long the reader sleeps when nothing wakes it.
const REST: Duration = Duration::from_millis(50);

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

/// A reader that is ready to run.
pub struct Consumer {
    consumer: Arc<BaseConsumer<Context>>,
    topics: Arc<[String]>,
    lanes: Arc<[Lane]>,
    config: KafkaConfig,
    goes_on: bool,
    given_up: Arc<AtomicU64>,
}

impl Consumer {
    /// Finds the partitions and where to begin. Reads nothing yet.
    pub fn open(config: &KafkaConfig) -> Result<Self, Error> {
        let consumer = client::reader("reader", &options::consumer(config), config)?;
        let (lanes, goes_on) = assign::discover(&consumer, config)?;
        Ok(Consumer {
            consumer: Arc::new(consumer),
            topics: config.topics.clone().into(),
            lanes: lanes.into(),
            config: config.clone(),
            goes_on,
            given_up: Arc::default(),
        })
    }

    /// The partitions, by (topic, partition): a record's lane is its place here.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Whether it goes on where the group's offsets stand.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// How often a partition that was behind was no longer waited for: counted on while it runs.
    pub fn given_up(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.given_up)
    }

    /// What commits for this reader. Call once.
    pub fn offsets(&self) -> Offsets {
        let interval = Duration::from_millis(self.config.commit_interval_ms);
        Offsets::new(Arc::clone(&self.consumer), Arc::clone(&self.topics), Arc::clone(&self.lanes), interval)
    }

    /// Reads until asked to stop, or up to the ends at the start. Blocks its thread.
    pub fn run(self, out: Full, until_end: bool, stop: &dyn Fn() -> bool) -> Result<End, Error> {
        let me = std::thread::current();
        let mut queues = Vec::with_capacity(self.lanes.len());
        let mut list = TopicPartitionList::with_capacity(self.lanes.len());
        for lane in self.lanes.iter() {
            let topic = self.topics.get(usize::from(lane.topic)).map_or("", String::as_str);
            // Split before the assignment: the library then never forwards to the common queue.
            let mut queue = self
                .consumer
                .split_partition_queue(topic, lane.partition)
                .ok_or_else(|| Error::NoTopic(topic.to_owned()))?;
            let thread = me.clone();
            queue.set_nonempty_callback(move || thread.unpark());
            queues.push(queue);
            list.add_partition_offset(topic, lane.partition, Offset::Offset(lane.start))
                .map_err(Error::request("assign the partitions"))?;
        }
        self.consumer.assign(&list).map_err(Error::request("assign the partitions"))?;
        let result = Reader::new(&self, &queues, until_end).run(&out, &self.given_up, stop);
        self.consumer.unassign().map_err(Error::request("give the partitions back"))?;
        result
    }
}

/// The running reader.
struct Reader<'r> {
    consumer: &'r BaseConsumer<Context>,
    topics: &'r [String],
    lanes: &'r [Lane],
    queues: &'r [PartitionQueue<Context>],
    merge: Merge<BorrowedMessage<'r>>,
    /// The last offset that arrived of each lane.
    arrived: Vec<i64>,
    until_end: bool,
    began: Instant,
    group: &'r str,
    lines: OneASecond,
}

impl<'r> Reader<'r> {
    fn new(consumer: &'r Consumer, queues: &'r [PartitionQueue<Context>], until_end: bool) -> Self {
        let lanes = &consumer.lanes;
        let mut merge = Merge::new(u16::try_from(lanes.len()).unwrap_or(u16::MAX), consumer.config.order);
        for (number, lane) in (0_u16..).zip(lanes.iter()) {
            if lane.start >= lane.end {
                // Nothing to wait for: it is at its end already.
                merge.at_end(number);
                if until_end {
                    merge.finish(number);
                }
            }
        }
        Reader {
            consumer: &consumer.consumer,
            topics: &consumer.topics,
            lanes,
            queues,
            merge,
            arrived: lanes.iter().map(|lane| lane.start - 1).collect(),
            until_end,
            began: Instant::now(),
            group: &consumer.config.group,
            lines: OneASecond::default(),
        }
    }

    fn run(mut self, out: &Full, told: &AtomicU64, stop: &dyn Fn() -> bool) -> Result<End, Error> {
        let mut batch = out.empty.recv().map_err(|_| Error::NoTaker)?;
        let mut given_up = 0;
        while !stop() {
            self.serve_common_queue()?;
            let wait = self.fill(&mut batch)?;
            batch.at_end.extend(self.merge.ends());
            if self.merge.given_up() > given_up {
                given_up = self.merge.given_up();
                told.store(given_up, Ordering::Relaxed);
                if let Some(left_out) = self.lines.pass() {
                    tracing::warn!(
                        given_up,
                        left_out,
                        "a partition that is behind did not answer in time: its order \
                        to the others rests on its own pace"
                    );
                }
            }
            if !batch.is_empty() {
                // Counted first: whoever takes it counts it off.
                out.waiting.fetch_add(1, Ordering::Relaxed);
                out.full.send(batch).map_err(|_| Error::NoTaker)?;
                batch = out.empty.recv().map_err(|_| Error::NoTaker)?;
            } else if self.until_end && self.merge.is_finished() {
                return Ok(End::Reached);
            } else {
                // A queue that was empty wakes us when something comes.
                std::thread::park_timeout(wait.min(REST));
            }
        }
        Ok(End::Stopped)
    }

    /// Fills a batch with what is at hand. Returns how long there is nothing to do at most.
    fn fill(&mut self, batch: &mut Batch) -> Result<Duration, Error> {
        let moment = clock::now();
        batch.clear(moment);
        self.merge.begin(moment);
        let mut bytes = 0;
        while !batch.is_full() && bytes < BATCH_BYTES_MAX {
            let now_ms = self.now_ms();
            match self.merge.next(now_ms) {
                Next::Ask(lane) => {
                    self.ask(lane)?;
                    self.merge.asked(lane, now_ms);
                }
                Next::Take(lane, stamp, message) => {
                    bytes += message.key_len() + message.payload_len();
                    self.put(batch, lane, stamp, &message);
                }
                Next::Wait(until) => return Ok(Duration::from_millis(until.saturating_sub(now_ms))),
                Next::Nothing => return Ok(REST),
            }
        }
        Ok(Duration::ZERO)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn put(&mut self, batch: &mut Batch, lane: u16, stamp: Millis, message: &BorrowedMessage<'_>) {
        let Some(partition) = self.lanes.get(usize::from(lane)) else { return };
        let position = Position { topic: partition.topic, partition: partition.partition, offset: message.offset() };
        let (key, value) = (message.key(), message.payload());
        batch.push(Record { position, lane, stamp, key, value });
    }

    /// Takes a run from a lane's queue.
    fn ask(&mut self, lane: u16) -> Result<(), Error> {
        let Some(queue) = self.queues.get(usize::from(lane)) else { return Ok(()) };
        for _ in 0..RUN_RECORDS_MAX {
            match queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => self.arrive(lane, message)?,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.merge.at_end(lane);
                    if self.until_end {
                        self.merge.finish(lane);
                    }
                }
                Some(Err(error)) => self.judge(lane, error)?,
            }
        }
        Ok(())
    }

    fn arrive(&mut self, lane: u16, message: BorrowedMessage<'r>) -> Result<(), Error> {
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
            self.merge.arrived(lane, stamp, message);
        }
        if self.until_end && offset + 1 >= partition.end {
            self.merge.finish(lane);
        }
        Ok(())
    }

    /// Errors of the client, and records that reached the common queue after all: they belong in front.
    fn serve_common_queue(&mut self) -> Result<(), Error> {
        while let Some(served) = self.consumer.poll(Duration::ZERO) {
            match served {
                Ok(message) => {
                    let (topic, partition) = (message.topic(), message.partition());
                    let is_it = |lane: &Lane| {
                        lane.partition == partition
                            && self.topics.get(usize::from(lane.topic)).is_some_and(|name| name == topic)
                    };
                    if let Some(lane) = self.lanes.iter().position(is_it).and_then(|at| u16::try_from(at).ok()) {
                        self.arrive(lane, message)?;
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
        let topic = self.topics.get(usize::from(partition.topic)).cloned().unwrap_or_default();
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)) {
            let timeout = Duration::from_secs(5);
            let (low, high) = self.consumer.fetch_watermarks(&topic, partition.partition, timeout).unwrap_or((-1, -1));
            let offset = self.arrived.get(usize::from(lane)).map_or(-1, |arrived| arrived + 1);
            let group = self.group.to_owned();
            return Err(Error::Lost { topic, partition: partition.partition, offset, low, high, group });
        }
        if is_fatal(&error) {
            return Err(Error::Read { topic, partition: partition.partition, source: error });
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
