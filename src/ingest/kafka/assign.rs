//! Which partitions there are and where reading of each begins.
//!
//! Guarantees: every partition of every topic, by (topic, partition); the group's offset where there is one,
//! `start` where the group has none of the topic, the oldest record of a partition that is new; an offset that
//! is not there any more is an error. Does not read records.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::config::{KafkaConfig, Start};
use super::context::Context;
use super::error::{Error, patiently};

/// One partition, and what is known of it at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// The topic, by its place in the configured list.
    pub topic: u16,
    /// The partition.
    pub partition: i32,
    /// The first offset to read.
    pub start: i64,
    /// The next offset to be written, at the start.
    pub end: i64,
}

/// All partitions of the configured topics. Also says whether any offset came from the group.
pub fn discover(consumer: &BaseConsumer<Context>, config: &KafkaConfig) -> Result<(Vec<Lane>, bool), Error> {
    let timeout = Duration::from_millis(config.request_timeout_ms);
    let found = look(consumer, config, timeout)?;
    let goes_on = found.iter().any(Found::is_known);
    let mut lanes = Vec::new();
    for (number, found) in (0_u16..).zip(&found) {
        let Found { topic, partitions, committed } = found;
        let first = match config.start {
            Some(start) if !found.is_known() => start,
            _ => Start::Earliest,
        };
        let times = match first {
            Start::Time(moment) => times(consumer, topic, partitions, moment.0, timeout)?,
            Start::Earliest | Start::Latest => Vec::new(),
        };
        for (at, partition) in partitions.iter().enumerate() {
            let what = || format!("ask for the ends of {topic}[{partition}]");
            let (low, high) = patiently(timeout, || consumer.fetch_watermarks(topic, *partition, timeout))
                .map_err(|e| Error::request(what())(e))?;
            let start = match (committed.get(at).copied().flatten(), first) {
                (Some(offset), _) => offset,
                (None, Start::Earliest) => low,
                (None, Start::Latest) => high,
                (None, Start::Time(_)) => times.get(at).copied().flatten().unwrap_or(high),
            };
            if start < low || start > high {
                let (topic, group, partition) = ((*topic).to_owned(), config.group.clone(), *partition);
                return Err(Error::Lost { topic, partition, offset: start, low, high, group });
            }
            lanes.push(Lane { topic: number, partition: *partition, start, end: high });
        }
    }
    Ok((lanes, goes_on))
}

/// A topic of events that is there.
struct Found<'c> {
    topic: &'c str,
    partitions: Vec<i32>,
    /// The group's offset of each partition.
    committed: Vec<Option<i64>>,
}

impl Found<'_> {
    /// Whether the group has read any of it.
    fn is_known(&self) -> bool {
        self.committed.iter().any(Option::is_some)
    }
}

/// All topics, or everything that keeps them from being read: the topics that are not there, and those for which
/// nobody says where to begin.
fn look<'c>(
    consumer: &BaseConsumer<Context>,
    config: &'c KafkaConfig,
    timeout: Duration,
) -> Result<Vec<Found<'c>>, Error> {
    let (mut found, mut missing, mut without_offsets) = (Vec::new(), Vec::new(), Vec::new());
    for topic in &config.topics {
        let is_known = match partitions(consumer, config, topic) {
            Ok(partitions) => {
                let committed = committed(consumer, topic, &partitions, timeout)?;
                let topic = Found { topic, partitions, committed };
                let is_known = topic.is_known();
                found.push(topic);
                is_known
            }
            // A group's offsets go with their topic.
            Err(Error::NoTopic(topic)) => {
                missing.push(topic);
                false
            }
            Err(error) => return Err(error),
        };
        if !is_known && config.start.is_none() {
            without_offsets.push(topic.clone());
        }
    }
    match missing.is_empty() && without_offsets.is_empty() {
        true => Ok(found),
        false => Err(Error::NotReadable { group: config.group.clone(), missing, without_offsets }),
    }
}

/// The partitions of a topic, rising.
pub fn partitions(consumer: &BaseConsumer<Context>, config: &KafkaConfig, topic: &str) -> Result<Vec<i32>, Error> {
    let timeout = Duration::from_millis(config.request_timeout_ms);
    let what = || format!("reach Kafka at {} for the partitions of topic `{topic}`", config.brokers.join(", "));
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(|e| Error::request(what())(e))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found else { return Err(Error::NoTopic(topic.to_owned())) };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            return Err(Error::NoTopic(topic.to_owned()));
        }
        Some(code) => return Err(Error::request(what())(rdkafka::error::KafkaError::MetadataFetch(code))),
    }
    let mut partitions: Vec<i32> = found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect();
    partitions.sort_unstable();
    match partitions.is_empty() {
        true => Err(Error::NoTopic(topic.to_owned())),
        false => Ok(partitions),
    }
}

fn committed(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    partitions: &[i32],
    timeout: Duration,
) -> Result<Vec<Option<i64>>, Error> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let what = format!("ask for the committed offsets of topic `{topic}`");
    let found =
        patiently(timeout, || consumer.committed_offsets(list.clone(), timeout)).map_err(Error::request(what))?;
    Ok(offsets(&found, topic, partitions))
}

/// The first offset stamped at or after a moment; `None` where there is none yet.
fn times(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    partitions: &[i32],
    moment_ms: i64,
    timeout: Duration,
) -> Result<Vec<Option<i64>>, Error> {
    let what = format!("ask for the offsets of topic `{topic}` at a time");
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, *partition, Offset::Offset(moment_ms)).map_err(Error::request(&what))?;
    }
    let found =
        patiently(timeout, || consumer.offsets_for_times(list.clone(), timeout)).map_err(Error::request(&what))?;
    Ok(offsets(&found, topic, partitions))
}

fn offsets(list: &TopicPartitionList, topic: &str, partitions: &[i32]) -> Vec<Option<i64>> {
    let offset = |partition: &i32| match list.find_partition(topic, *partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    partitions.iter().map(offset).collect()
}
