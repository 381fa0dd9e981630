//! The reader on the side of notification: contacts first, then alerts beside newer contacts.
//!
//! Guarantees: reading begins where it is told (the desk keeps the offsets, not the group) and a partition
//! nobody has read begins with its oldest record, one that is added later too; nothing is skipped. Does not commit
//! and does not parse.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::config::KafkaConfig;
use super::context::{Context, OneASecond};
use super::error::{Error, patiently};
use super::lag::{Lag, Positions};
use super::partitions::{self, NewPartition};
use super::{assign, client, options};
use crate::ingest::{Lanes, Partition};

/// Records handed out at once.
const RECORDS_MAX: usize = 500;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A contact.
    Contact,
    /// Any document of the alerts topic.
    Alert,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// What it is.
    pub kind: Kind,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` takes a contact away.
    pub value: Option<Vec<u8>>,
}

/// Reads both topics.
pub struct Follower {
    contacts: Topic,
    alerts: Topic,
}

impl Follower {
    /// Begins where `next` says: (topic, partition) to the next offset to read.
    pub fn open(config: &KafkaConfig, next: &BTreeMap<(String, i32), i64>) -> Result<Self, Error> {
        Ok(Follower {
            contacts: Topic::open(config, Kind::Contact, &config.contacts_topic, next)?,
            alerts: Topic::open(config, Kind::Alert, &config.alerts_topic, next)?,
        })
    }

    /// What is at hand: contacts, and alerts once the contacts there were at the start are read. Waits for
    /// something at most so long.
    pub fn read(&mut self, wait: Duration) -> Result<Vec<Followed>, Error> {
        let mut records = Vec::new();
        // Whoever reads on has taken what was handed out before.
        self.contacts.tell_positions();
        self.alerts.tell_positions();
        if !self.contacts.has_caught_up() {
            self.contacts.read(wait, &mut records)?;
            return Ok(records);
        }
        self.contacts.read(Duration::ZERO, &mut records)?;
        let wait = if records.is_empty() { wait } else { Duration::ZERO };
        self.alerts.read(wait, &mut records)?;
        Ok(records)
    }

    /// How far what was taken lies behind what is written: contacts, then alerts.
    pub fn lags(&self) -> [Lag; 2] {
        [self.contacts.lag(), self.alerts.lag()]
    }

    /// From now on, up to what the alerts topic holds now.
    pub fn until_now(&mut self) -> Result<(), Error> {
        self.contacts.set_ends()?;
        self.alerts.set_ends()
    }

    /// Whether everything up to the ends was handed out.
    pub fn has_caught_up(&self) -> bool {
        self.contacts.has_caught_up() && self.alerts.has_caught_up()
    }
}

/// One topic.
struct Topic {
    consumer: Arc<BaseConsumer<Context>>,
    kind: Kind,
    name: String,
    /// The next offset to hand out of each partition, and the end to reach.
    next: BTreeMap<i32, (i64, i64)>,
    /// Its partitions, in the order of the positions.
    names: Arc<Lanes>,
    /// Partitions that were found.
    found: Receiver<NewPartition>,
    /// The next offset of each partition, as it was when reading went on.
    positions: Positions,
    timeout: Duration,
    lines: OneASecond,
}

impl Topic {
    fn open(config: &KafkaConfig, kind: Kind, name: &str, known: &BTreeMap<(String, i32), i64>) -> Result<Self, Error> {
        let mut options = options::consumer(config);
        // Never committed to: the library wants one for an assignment.
        options.set("group.id", format!("{}.notify", config.group));
        let consumer = client::reader("notify", &options, config)?;
        let timeout = Duration::from_millis(config.request_timeout_ms);
        let mut list = TopicPartitionList::new();
        let mut next = BTreeMap::new();
        for partition in assign::partitions(&consumer, config, name)? {
            let (low, high) = patiently(timeout, || consumer.fetch_watermarks(name, partition, timeout))
                .map_err(Error::request(format!("ask for the ends of {name}[{partition}]")))?;
            let start = known.get(&(name.to_owned(), partition)).copied();
            // A compacted topic forgets old offsets on purpose: the oldest that is left is the next one.
            let start = if kind == Kind::Contact { start.map(|at| at.max(low)) } else { start }.unwrap_or(low);
            if start < low || start > high {
                let group = "the desk".to_owned();
                return Err(Error::Lost { topic: name.to_owned(), partition, offset: start, low, high, group });
            }
            next.insert(partition, (start, high));
            list.add_partition_offset(name, partition, Offset::Offset(start))
                .map_err(Error::request("assign the partitions"))?;
        }
        consumer.assign(&list).map_err(Error::request("assign the partitions"))?;
        let consumer = Arc::new(consumer);
        let names = Arc::new(Lanes::new(next.keys().map(|partition| Partition::new(name, *partition)).collect()));
        let found = partitions::look(&consumer, config, &[name.to_owned()], &names)?;
        Ok(Topic {
            consumer,
            names,
            found,
            kind,
            name: name.to_owned(),
            positions: Positions::at(next.values().map(|(next, _)| *next)),
            next,
            timeout,
            lines: OneASecond::default(),
        })
    }

    fn tell_positions(&self) {
        self.positions.set(self.next.values().map(|(next, _)| *next));
    }

    fn lag(&self) -> Lag {
        Lag::new(&self.consumer, [self.name.clone()].into(), Arc::clone(&self.names), self.positions.clone())
    }

    fn set_ends(&mut self) -> Result<(), Error> {
        for (partition, (_, end)) in &mut self.next {
            let what = || format!("ask for the ends of {}[{partition}]", self.name);
            *end = self
                .consumer
                .fetch_watermarks(&self.name, *partition, self.timeout)
                .map_err(|e| Error::request(what())(e))?
                .1;
        }
        Ok(())
    }

    fn has_caught_up(&self) -> bool {
        self.next.values().all(|(next, end)| next >= end)
    }

    /// Reads partitions that were found from now on. Their numbers are larger than all before.
    fn take_new_partitions(&mut self) -> Result<(), Error> {
        while let Ok(NewPartition { partition, low, high, .. }) = self.found.try_recv() {
            let mut list = TopicPartitionList::with_capacity(1);
            list.add_partition_offset(&self.name, partition, Offset::Offset(low))
                .and_then(|()| self.consumer.incremental_assign(&list))
                .map_err(Error::request(format!("read the new partition {}[{partition}]", self.name)))?;
            self.next.insert(partition, (low, high));
            self.positions.add(low);
            self.names.add(Partition::new(&self.name, partition));
            let topic = &self.name;
            tracing::info!(
                topic,
                partition,
                from = low,
                "a new partition was found: it is read from its oldest record on"
            );
        }
        Ok(())
    }

    fn read(&mut self, wait: Duration, records: &mut Vec<Followed>) -> Result<(), Error> {
        self.take_new_partitions()?;
        let mut wait = wait;
        while records.len() < RECORDS_MAX
            && let Some(polled) = self.consumer.poll(wait)
        {
            match polled {
                Ok(message) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    if let Some((next, _)) = self.next.get_mut(&partition) {
                        *next = offset + 1;
                    }
                    let (key, value) = (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec));
                    records.push(Followed { kind: self.kind, partition, offset, key, value });
                    wait = Duration::ZERO;
                }
                // The end of a compacted partition may lie behind its last record.
                Err(KafkaError::PartitionEOF(partition)) => {
                    if let Some((next, end)) = self.next.get_mut(&partition) {
                        *next = (*next).max(*end);
                    }
                }
                Err(error) => self.judge(error)?,
            }
        }
        Ok(())
    }

    fn judge(&self, error: KafkaError) -> Result<(), Error> {
        use RDKafkaErrorCode as C;
        let code = error.rdkafka_error_code();
        if matches!(
            code,
            Some(C::AutoOffsetReset | C::OffsetOutOfRange | C::TopicAuthorizationFailed | C::Authentication)
        ) {
            return Err(Error::request(format!("read topic `{}`", self.name))(error));
        }
        if let Some(left_out) = self.lines.pass() {
            tracing::warn!(%error, left_out, "notification has trouble reading from Kafka; it goes on by itself");
        }
        Ok(())
    }
}
