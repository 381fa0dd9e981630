//! Reads the dead letter topic, and the places that letters came from.
//!
//! Guarantees: everything that is there when the reading begins, each partition in its order, nothing skipped; what
//! does not come in time is an error and not an end. Commits nothing, writes nothing, decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::config::KafkaConfig;
use super::context::Context;
use super::error::{Error, patiently};
use super::{assign, client, options};
use crate::event::Millis;
use crate::ingest::dead_letter::replayed::REPLAY_HEADER;
use crate::ingest::dead_letter::{Entry, LetterId, Origin};

/// How long one look at the queue takes.
const LOOK: Duration = Duration::from_millis(100);

/// The next offset of each partition.
pub type Offsets = BTreeMap<i32, i64>;

/// What a record held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The timestamp.
    pub stamp: Option<Millis>,
}

impl Content {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        Content {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            stamp: message.timestamp().to_millis().map(Millis),
        }
    }
}

/// A record of the dead letter topic.
pub struct Seen<'m> {
    /// What it is.
    pub entry: Entry,
    message: &'m BorrowedMessage<'m>,
}

impl Seen<'_> {
    /// What it holds, copied.
    pub fn content(&self) -> Content {
        Content::of(self.message)
    }
}

/// A part of a partition: from an offset to the one before an end.
#[derive(Debug, Clone, Copy)]
struct Span {
    partition: i32,
    start: i64,
    end: i64,
}

impl Span {
    fn from(partition: i32, start: i64) -> Self {
        Span { partition, start, end: i64::MAX }
    }
}

/// The reader.
pub struct DeadLetters {
    consumer: BaseConsumer<Context>,
    topic: String,
    partitions: Vec<i32>,
    timeout: Duration,
}

impl DeadLetters {
    /// Opens the topic that is configured.
    pub fn open(config: &KafkaConfig) -> Result<Self, Error> {
        let mut options = options::consumer(config);
        // Never committed to: the library wants one for an assignment.
        options.set("group.id", format!("{}.dead", config.group));
        let consumer = client::reader("dead letters", &options, config)?;
        let topic = config.dead_letter_topic.clone();
        let partitions = assign::partitions(&consumer, config, &topic).map_err(|error| match error {
            Error::NoTopic(topic) => Error::NoDeadLetters(topic),
            other => other,
        })?;
        Ok(DeadLetters { consumer, topic, partitions, timeout: Duration::from_millis(config.request_timeout_ms) })
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Where what was written at or after a moment begins.
    pub fn since(&self, moment: Millis) -> Result<Offsets, Error> {
        let what = || format!("ask for the offsets of topic `{}` at a time", self.topic);
        let mut list = TopicPartitionList::new();
        for partition in &self.partitions {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(moment.0))
                .map_err(|e| Error::request(what())(e))?;
        }
        let found = patiently(self.timeout, || self.consumer.offsets_for_times(list.clone(), self.timeout))
            .map_err(|e| Error::request(what())(e))?;
        let start = |partition: &i32| match found.find_partition(&self.topic, *partition)?.offset() {
            Offset::Offset(offset) => Some((*partition, offset)),
            // Nothing so young is there.
            _ => Some((*partition, i64::MAX)),
        };
        Ok(self.partitions.iter().filter_map(start).collect())
    }

    /// Reads from `from` (a partition it does not name: from its oldest record) up to the ends as they are now, which
    /// it returns.
    pub fn read(&self, from: &Offsets, visit: &mut dyn FnMut(Seen<'_>)) -> Result<Offsets, Error> {
        let spans: Vec<Span> =
            self.partitions.iter().map(|p| Span::from(*p, from.get(p).copied().unwrap_or(0))).collect();
        self.read_spans(&spans, visit)
    }

    /// What some letters hold, as far as they are still there.
    pub fn contents(&self, letters: &BTreeSet<LetterId>) -> Result<BTreeMap<LetterId, Content>, Error> {
        let mut spans: BTreeMap<i32, Span> = BTreeMap::new();
        for LetterId { partition, offset } in letters {
            let span = spans.entry(*partition).or_insert(Span { partition: *partition, start: *offset, end: 0 });
            span.end = offset.saturating_add(1);
        }
        let spans: Vec<Span> = spans.into_values().filter(|span| self.partitions.contains(&span.partition)).collect();
        let mut found = BTreeMap::new();
        self.read_spans(&spans, &mut |seen| {
            let id = LetterId { partition: seen.message.partition(), offset: seen.message.offset() };
            if letters.contains(&id) {
                found.insert(id, seen.content());
            }
        })?;
        Ok(found)
    }

    fn read_spans(&self, spans: &[Span], visit: &mut dyn FnMut(Seen<'_>)) -> Result<Offsets, Error> {
        self.read_topic(&self.topic, spans, &mut |message| {
            let id = LetterId { partition: message.partition(), offset: message.offset() };
            let written = Millis(message.timestamp().to_millis().unwrap_or(0));
            let headers = message.headers();
            let headers = headers.iter().flat_map(|headers| headers.iter());
            let headers = headers.filter_map(|header| Some((header.key, header.value?)));
            let entry = Entry::read(id, written, headers, message.payload().map(<[u8]>::len));
            visit(Seen { entry, message });
        })
    }

    /// The record a letter is of, whole, while it is still where it came from.
    pub fn original(&self, origin: &Origin) -> Result<Option<Content>, Error> {
        let Origin { topic, partition, offset } = origin;
        if self.end(topic, *partition)?.is_none() {
            return Ok(None);
        }
        let mut found = None;
        let span = Span { partition: *partition, start: *offset, end: offset.saturating_add(1) };
        self.read_topic(topic, &[span], &mut |message| {
            if message.offset() == *offset {
                found = Some(Content::of(message));
            }
        })?;
        Ok(found)
    }

    /// The end of a partition; `None` where there is no such partition any more.
    pub fn end(&self, topic: &str, partition: i32) -> Result<Option<i64>, Error> {
        match self.ends(topic, partition) {
            Ok((_, end)) => Ok(Some(end)),
            Err(Error::Request { source, .. }) if is_absent(&source) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Which letters' records stand in a partition, from an offset on, as sent back.
    pub fn sent_back(&self, topic: &str, partition: i32, from: i64) -> Result<BTreeSet<String>, Error> {
        let mut found = BTreeSet::new();
        self.read_topic(topic, &[Span::from(partition, from)], &mut |message| {
            let headers = message.headers();
            let marks = headers.iter().flat_map(|headers| headers.iter()).filter(|header| header.key == REPLAY_HEADER);
            found.extend(marks.filter_map(|h| std::str::from_utf8(h.value?).ok().map(str::to_owned)));
        })?;
        Ok(found)
    }

    fn ends(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        patiently(self.timeout, || self.consumer.fetch_watermarks(topic, partition, self.timeout))
            .map_err(Error::request(format!("ask for the ends of {topic}[{partition}]")))
    }

    /// Reads parts of a topic, up to their ends as they are now. Returns these.
    fn read_topic(
        &self,
        topic: &str,
        spans: &[Span],
        visit: &mut dyn FnMut(&BorrowedMessage<'_>),
    ) -> Result<Offsets, Error> {
        let what = || format!("read topic `{topic}`");
        let (mut list, mut ends, mut open) = (TopicPartitionList::new(), Offsets::new(), BTreeSet::new());
        for Span { partition, start, end } in spans {
            let (low, high) = self.ends(topic, *partition)?;
            let (start, end) = ((*start).max(low), (*end).min(high));
            ends.insert(*partition, end);
            if start < end {
                open.insert(*partition);
                list.add_partition_offset(topic, *partition, Offset::Offset(start))
                    .map_err(|e| Error::request(what())(e))?;
            }
        }
        self.consumer.assign(&list).map_err(|e| Error::request(what())(e))?;
        let mut last = Instant::now();
        while !open.is_empty() {
            match self.consumer.poll(LOOK) {
                Some(Ok(message)) if message.topic() == topic => {
                    last = Instant::now();
                    let (partition, next) = (message.partition(), message.offset().saturating_add(1));
                    let end = ends.get(&partition).copied().unwrap_or(0);
                    if open.contains(&partition) && message.offset() < end {
                        visit(&message);
                    }
                    if next >= end {
                        open.remove(&partition);
                    }
                }
                // A transaction's marker may be the last thing of a partition.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(error)) if stops(&error) => return Err(Error::request(what())(error)),
                Some(_) | None if last.elapsed() > self.timeout => {
                    return Err(Error::request(what())(KafkaError::MessageConsumption(
                        RDKafkaErrorCode::OperationTimedOut,
                    )));
                }
                Some(_) | None => {}
            }
        }
        self.consumer.unassign().map_err(|e| Error::request(what())(e))?;
        Ok(ends)
    }
}

fn is_absent(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as C;
    matches!(error.rdkafka_error_code(), Some(C::UnknownTopicOrPartition | C::UnknownTopic | C::UnknownPartition))
}

fn stops(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as C;
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                C::AutoOffsetReset
                    | C::OffsetOutOfRange
                    | C::TopicAuthorizationFailed
                    | C::Authentication
                    | C::SaslAuthenticationFailed
            )
        )
}
