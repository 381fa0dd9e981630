//! Which partitions there are and where reading of each begins.
//!
//! Guarantees: every partition of every topic has a lane; those that the state knows keep their lanes, new ones come
//! behind by (topic, partition); where the state stands wins over the group's offset, that over `start`, and a
//! partition that is new in a known topic begins with its oldest record; what is not there any more is an error.
//! Does not read records.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::config::{KafkaConfig, Start};
use super::context::Context;
use super::error::{Error, patiently};
use crate::event::Millis;
use crate::ingest::Partition;
use crate::ingest::batch_log::Logged;

/// One partition, and what is known of it at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// The topic, by its place in the configured list; `None` for one that is no longer there: it keeps its number
    /// and is not read.
    pub topic: Option<u16>,
    /// The partition.
    pub partition: i32,
    /// The first offset to read.
    pub start: i64,
    /// The next offset to be written, at the start.
    pub end: i64,
}

impl Lane {
    /// Topic and partition: the order of equal timestamps.
    pub fn place(&self) -> (u16, i32) {
        (self.topic.unwrap_or(u16::MAX), self.partition)
    }
}

/// From where on records are taken.
#[derive(Debug, Clone, Default)]
pub enum Begin {
    /// Where the group's offsets stand, at `start` where it has none. With an empty state that is what was asked for.
    #[default]
    Group,
    /// At `start`: the state is empty. A group that has offsets has lost its state, and that is an error.
    Fresh,
    /// Where the state stands.
    State(Standing),
    /// What was written from a moment on, up to where a start without a state would begin: at the group's offsets, or
    /// at `start` where it has none. For a state that is made anew.
    Anew(Millis),
}

/// Where a state stands.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// By lane: the partition, and the next offset that the checkpoint does not cover.
    pub next: Vec<(Partition, i64)>,
    /// The batches after the checkpoint, to be taken again.
    pub again: Arc<[Logged]>,
}

impl Standing {
    /// Every lane that the checkpoint or a logged batch knows, and where reading of it begins, where that is known.
    pub fn lanes(&self) -> Result<Vec<(Partition, Option<i64>)>, Error> {
        let mut lanes: Vec<(Partition, Option<i64>)> =
            self.next.iter().map(|(lane, next)| (lane.clone(), Some(*next))).collect();
        for logged in self.again.iter() {
            for (number, partition) in logged.lanes.iter().enumerate() {
                match lanes.get(number) {
                    None => lanes.push((partition.clone(), None)),
                    Some((known, _)) if known == partition => {}
                    Some(_) => return Err(Error::OtherLanes { batch: logged.taken.number }),
                }
            }
            for span in &logged.taken.spans {
                match lanes.get_mut(usize::from(span.lane)) {
                    Some((_, start)) => _ = start.get_or_insert(span.first),
                    None => return Err(Error::OtherLanes { batch: logged.taken.number }),
                }
            }
        }
        Ok(lanes)
    }
}

/// The partitions by lane.
pub struct Found {
    /// What is known of each.
    pub lanes: Vec<Lane>,
    /// Their names.
    pub names: Vec<Partition>,
    /// Whether any offset came from the state or the group.
    pub goes_on: bool,
}

/// All partitions of the configured topics.
pub fn discover(consumer: &BaseConsumer<Context>, config: &KafkaConfig, begin: &Begin) -> Result<Found, Error> {
    let timeout = Duration::from_millis(config.request_timeout_ms);
    let standing = match begin {
        Begin::State(standing) => standing.lanes()?,
        Begin::Group | Begin::Fresh | Begin::Anew(_) => Vec::new(),
    };
    let topics = look(consumer, config, &standing, timeout)?;
    if let Begin::Fresh = begin
        && topics.iter().any(|topic| topic.committed.iter().any(Option::is_some))
    {
        return Err(Error::StateLost { group: config.group.clone() });
    }
    let (mut lanes, names) = known_lanes(&standing, config);
    let (mut reached, mut names) = (vec![false; lanes.len()], names);
    let goes_on = topics.iter().any(Topic::is_known);
    for (number, topic) in (0_u16..).zip(&topics) {
        for (at, partition) in topic.partitions.iter().enumerate() {
            let (low, high) = ends(consumer, topic.name, *partition, timeout)?;
            let of_state = names.iter().position(|lane| lane.topic == topic.name && lane.partition == *partition);
            if let Begin::Anew(from) = begin {
                let committed = topic.committed.get(at).copied().flatten();
                let goes_on = match committed {
                    Some(offset) => offset,
                    None => first_of(consumer, topic.name, *partition, topic.first(config), (low, high), timeout)?,
                };
                let first = first_of(consumer, topic.name, *partition, Start::Time(*from), (low, high), timeout)?;
                let (start, end) = of_history(first, goes_on, (low, high));
                lanes.push(Lane { topic: Some(number), partition: *partition, start, end });
                names.push(Partition::new(topic.name, *partition));
                continue;
            }
            let start = match (of_state.and_then(|lane| standing.get(lane)?.1), topic.first(config)) {
                (Some(next), _) => next,
                (None, _) if of_state.is_some() => low,
                (None, first) => match (topic.committed.get(at).copied().flatten(), begin) {
                    (Some(offset), Begin::Group) => offset,
                    _ => first_of(consumer, topic.name, *partition, first, (low, high), timeout)?,
                },
            };
            let lane = Lane { topic: Some(number), partition: *partition, start, end: high };
            check(topic.name, lane, low, begin, config)?;
            match of_state.and_then(|at| Some((lanes.get_mut(at)?, reached.get_mut(at)?))) {
                Some((known, reached)) => (*known, *reached) = (lane, true),
                None => {
                    lanes.push(lane);
                    names.push(Partition::new(topic.name, *partition));
                }
            }
        }
    }
    if matches!(begin, Begin::Anew(_)) {
        return Ok(Found { lanes, names, goes_on });
    }
    if let Some(at) = lanes.iter().zip(&reached).position(|(lane, reached)| lane.topic.is_some() && !reached) {
        return Err(gone(names.get(at), lanes.get(at), 0, 0));
    }
    if let Begin::State(standing) = begin {
        check_again(&standing.again, &lanes, &names)?;
    }
    Ok(Found { lanes, names, goes_on })
}

/// What of a partition is history: from the first record of a moment on, up to where reading goes on. Where that is
/// not there any more, for records were deleted before they were read or the topic was made anew, it goes on with the
/// oldest record that is there.
fn of_history(first: i64, goes_on: i64, (low, high): (i64, i64)) -> (i64, i64) {
    let end = if (low..=high).contains(&goes_on) { goes_on } else { low };
    (first.clamp(low, end), end)
}

/// The lanes that the state knows, not looked for yet.
fn known_lanes(standing: &[(Partition, Option<i64>)], config: &KafkaConfig) -> (Vec<Lane>, Vec<Partition>) {
    let lane = |(lane, next): &(Partition, Option<i64>)| Lane {
        topic: config.topics.iter().position(|topic| *topic == lane.topic).and_then(|at| u16::try_from(at).ok()),
        partition: lane.partition,
        start: next.unwrap_or(0),
        end: next.unwrap_or(0),
    };
    (standing.iter().map(lane).collect(), standing.iter().map(|(lane, _)| lane.clone()).collect())
}

/// Whether reading can begin there.
fn check(topic: &str, lane: Lane, low: i64, begin: &Begin, config: &KafkaConfig) -> Result<(), Error> {
    let Lane { partition, start, end, .. } = lane;
    if start >= low && start <= end {
        return Ok(());
    }
    let name = Partition::new(topic, partition);
    Err(match begin {
        Begin::State(_) => gone(Some(&name), Some(&lane), low, end),
        Begin::Group | Begin::Fresh | Begin::Anew(_) => {
            let (topic, group) = (topic.to_owned(), config.group.clone());
            Error::Lost { topic, partition, offset: start, low, high: end, group }
        }
    })
}

/// Whether everything that is to be taken again is there and may be read.
fn check_again(again: &[Logged], lanes: &[Lane], names: &[Partition]) -> Result<(), Error> {
    for span in again.iter().flat_map(|logged| &logged.taken.spans) {
        let at = usize::from(span.lane);
        let (Some(lane), Some(name)) = (lanes.get(at), names.get(at)) else { continue };
        if lane.topic.is_none() {
            return Err(Error::Retired { topic: name.topic.clone() });
        }
        if span.last >= lane.end {
            return Err(gone(Some(name), Some(&Lane { start: span.last, ..*lane }), lane.start, lane.end));
        }
    }
    Ok(())
}

fn gone(name: Option<&Partition>, lane: Option<&Lane>, low: i64, high: i64) -> Error {
    let (topic, partition) = name.map_or((String::new(), 0), |name| (name.topic.clone(), name.partition));
    Error::Gone { topic, partition, offset: lane.map_or(0, |lane| lane.start), low, high }
}

/// The oldest offset that is there and the next one to be written.
pub fn ends(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> Result<(i64, i64), Error> {
    let what = || format!("ask for the ends of {topic}[{partition}]");
    patiently(timeout, || consumer.fetch_watermarks(topic, partition, timeout)).map_err(|e| Error::request(what())(e))
}

fn first_of(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    partition: i32,
    first: Start,
    (low, high): (i64, i64),
    timeout: Duration,
) -> Result<i64, Error> {
    Ok(match first {
        Start::Earliest => low,
        Start::Latest => high,
        Start::Time(moment) => {
            let times = times(consumer, topic, &[partition], moment.0, timeout)?;
            times.first().copied().flatten().unwrap_or(high)
        }
    })
}

/// A topic of events that is there.
struct Topic<'c> {
    name: &'c str,
    partitions: Vec<i32>,
    /// The group's offset of each partition.
    committed: Vec<Option<i64>>,
    /// Whether the state knows any partition of it.
    is_in_state: bool,
}

impl Topic<'_> {
    /// Whether any of it was read.
    fn is_known(&self) -> bool {
        self.is_in_state || self.committed.iter().any(Option::is_some)
    }

    /// Where a partition begins that nobody has read.
    fn first(&self, config: &KafkaConfig) -> Start {
        match config.start {
            Some(start) if !self.is_known() => start,
            _ => Start::Earliest,
        }
    }
}

/// All topics, or everything that keeps them from being read: the topics that are not there, and those for which
/// nobody says where to begin.
fn look<'c>(
    consumer: &BaseConsumer<Context>,
    config: &'c KafkaConfig,
    standing: &[(Partition, Option<i64>)],
    timeout: Duration,
) -> Result<Vec<Topic<'c>>, Error> {
    let (mut found, mut missing, mut without_offsets) = (Vec::new(), Vec::new(), Vec::new());
    for topic in &config.topics {
        let is_in_state = standing.iter().any(|(lane, _)| lane.topic == *topic);
        let is_known = match partitions(consumer, config, topic) {
            Ok(partitions) => {
                let committed = committed(consumer, topic, &partitions, timeout)?;
                let topic = Topic { name: topic, partitions, committed, is_in_state };
                let is_known = topic.is_known();
                found.push(topic);
                is_known
            }
            // A group's offsets go with their topic.
            Err(Error::NoTopic(topic)) => {
                missing.push(topic);
                is_in_state
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_ends_where_reading_goes_on_and_never_skips_what_is_there() {
        let of = |first, goes_on| of_history(first, goes_on, (100, 200));
        assert_eq!(of(120, 150), (120, 150), "from the moment to the group's offset");
        assert_eq!(of(180, 150), (150, 150), "the moment is later: there is no history of it");
        assert_eq!(of(100, 200), (100, 200));
        assert_eq!(of(100, 60), (100, 100), "deleted before they were read: goes on with the oldest");
        assert_eq!(of(150, 900), (100, 100), "made anew: all that is there is unread");
    }
}
