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
    let mut lanes = Vec::new();
    let mut goes_on = false;
    for (number, topic) in (0_u16..).zip(&config.topics) {
        let partitions = partitions(consumer, topic, timeout)?;
        let committed = committed(consumer, topic, &partitions, timeout)?;
        let known = committed.iter().any(Option::is_some);
        goes_on |= known;
        let first = match (known, config.start) {
            (true, _) => Start::Earliest,
            (false, Some(start)) => start,
            (false, None) => {
                return Err(Error::StartNeeded { group: config.group.clone(), topic: topic.clone() });
            }
        };
        let times = match first {
            Start::Time(moment) => times(consumer, topic, &partitions, moment.0, timeout)?,
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
                let (topic, group, partition) = (topic.clone(), config.group.clone(), *partition);
                return Err(Error::Lost { topic, partition, offset: start, low, high, group });
            }
            lanes.push(Lane { topic: number, partition: *partition, start, end: high });
        }
    }
    Ok((lanes, goes_on))
}

/// The partitions of a topic, rising.
pub fn partitions(consumer: &BaseConsumer<Context>, topic: &str, timeout: Duration) -> Result<Vec<i32>, Error> {
    let what = || format!("reach Kafka for the partitions of topic `{topic}`");
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
