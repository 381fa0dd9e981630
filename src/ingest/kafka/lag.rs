//! How far a reader lies behind what is written.
//!
//! Guarantees: the ends are asked of the brokers, all partitions in one question, so that the lag is right for a
//! reader that is idle, slow or stuck; asking fails when the brokers do not answer. Never keeps a client alive that
//! everybody else has dropped. Does not decide how much is too much.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::config::KafkaConfig;
use super::consumer::Consumer;
use super::context::Context;
use super::error::Error;
use super::{client, options};
use crate::ingest::Lanes;

/// How long one look at the queue takes.
const LOOK: Duration = Duration::from_millis(100);

/// The next offset of each partition, written by the reader and read by whoever watches.
#[derive(Debug, Clone)]
pub struct Positions(Arc<RwLock<Vec<i64>>>);

impl Positions {
    /// Where reading begins.
    pub fn at(next: impl Iterator<Item = i64>) -> Self {
        Positions(Arc::new(RwLock::new(next.collect())))
    }

    /// Where it goes on, in the same order. Partitions behind these keep theirs.
    pub fn set(&self, next: impl Iterator<Item = i64>) {
        let mut positions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        positions.iter_mut().zip(next).for_each(|(position, next)| *position = next);
    }

    /// One more partition, and where reading of it begins.
    pub fn add(&self, next: i64) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(next);
    }

    /// Those from this partition on.
    pub fn from(&self, at: usize) -> Vec<i64> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(at..).unwrap_or_default().to_vec()
    }
}

/// One topic's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicLag {
    /// The topic.
    pub topic: String,
    /// Records that are written and not taken.
    pub records: u64,
    /// The sum of the next offsets: it grows when something is taken.
    pub position: i64,
    /// Its partitions.
    pub partitions: Vec<PartitionLag>,
}

/// One partition's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionLag {
    /// The partition.
    pub partition: i32,
    /// The next offset to take.
    pub next: i64,
    /// The next offset to be written.
    pub end: i64,
}

/// Whether a record stands in one of the partitions that another reader can take: what counts as lag may be markers
/// of transactions only. A reader of its own looks, for at most so long.
pub fn has_records(config: &KafkaConfig, lag: &TopicLag, time_max: Duration) -> Result<bool, Error> {
    let what = || format!("look into topic `{}`", lag.topic);
    let mut options = options::consumer(config);
    options.set("group.id", format!("{}.watch", config.group));
    let reader = client::reader("watch", &options, config)?;
    let mut list = TopicPartitionList::new();
    let mut open: BTreeSet<i32> = BTreeSet::new();
    for PartitionLag { partition, next, end } in &lag.partitions {
        if next < end {
            open.insert(*partition);
            list.add_partition_offset(&lag.topic, *partition, Offset::Offset(*next))
                .map_err(|e| Error::request(what())(e))?;
        }
    }
    reader.assign(&list).map_err(|e| Error::request(what())(e))?;
    let began = Instant::now();
    while !open.is_empty() && began.elapsed() < time_max {
        match reader.poll(LOOK) {
            Some(Ok(_)) => return Ok(true),
            Some(Err(KafkaError::PartitionEOF(partition))) => _ = open.remove(&partition),
            Some(Err(_)) | None => {}
        }
    }
    // Who can read nothing in that time knows nothing: the brokers answer others.
    Ok(!open.is_empty())
}

/// A reader's distance to the ends.
#[derive(Clone)]
pub struct Lag {
    consumer: Weak<BaseConsumer<Context>>,
    topics: Arc<[String]>,
    /// The partitions, in the order of the positions.
    lanes: Arc<Lanes>,
    positions: Positions,
}

impl Consumer {
    /// How far what is handled lies behind what is written.
    pub fn lag(&self) -> Lag {
        Lag::new(&self.consumer, Arc::clone(&self.topics), Arc::clone(&self.names), self.positions.clone())
    }
}

impl Lag {
    pub(super) fn new(
        consumer: &Arc<BaseConsumer<Context>>,
        topics: Arc<[String]>,
        lanes: Arc<Lanes>,
        positions: Positions,
    ) -> Self {
        Lag { consumer: Arc::downgrade(consumer), topics, lanes, positions }
    }

    /// By topic. `None` once the reader has ended.
    pub fn ask(&self, timeout: Duration) -> Result<Option<Vec<TopicLag>>, Error> {
        let Some(consumer) = self.consumer.upgrade() else { return Ok(None) };
        let what = || format!("ask Kafka for the ends of {}", self.topics.join(", "));
        // Partitions of topics that are no longer configured are not read.
        let place = |topic: &str| self.topics.iter().position(|name| name == topic);
        let lanes: Vec<(usize, i32)> =
            self.lanes.all().iter().map(|lane| (place(&lane.topic).unwrap_or(usize::MAX), lane.partition)).collect();
        let mut list = TopicPartitionList::with_capacity(lanes.len());
        for (topic, partition) in lanes.iter().filter(|(topic, _)| *topic != usize::MAX) {
            // As a time, the end is the moment after the newest record.
            list.add_partition_offset(self.topic(*topic), *partition, Offset::End)
                .map_err(|e| Error::request(what())(e))?;
        }
        let ends = consumer.offsets_for_times(list, timeout).map_err(|e| Error::request(what())(e))?;
        let of_topic =
            |topic: &String| TopicLag { topic: topic.clone(), records: 0, position: 0, partitions: Vec::new() };
        let mut lags: Vec<TopicLag> = self.topics.iter().map(of_topic).collect();
        for ((topic, partition), next) in lanes.iter().zip(self.positions.from(0)) {
            if *topic == usize::MAX {
                continue;
            }
            let found = ends.find_partition(self.topic(*topic), *partition);
            let found = found
                .ok_or(rdkafka::error::KafkaError::MetadataFetch(rdkafka::types::RDKafkaErrorCode::UnknownPartition));
            let found = found.and_then(|found| found.error().map(|()| found.offset()));
            let end = match found.map_err(|e| Error::request(what())(e))? {
                Offset::Offset(end) => end,
                _ => next,
            };
            if let Some(lag) = lags.get_mut(*topic) {
                lag.records += u64::try_from(end.saturating_sub(next)).unwrap_or(0);
                lag.position = lag.position.saturating_add(next);
                lag.partitions.push(PartitionLag { partition: *partition, next, end });
            }
        }
        Ok(Some(lags))
    }

    fn topic(&self, at: usize) -> &str {
        self.topics.get(at).map_or("", String::as_str)
    }
}
