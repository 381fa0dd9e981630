//! The writer of alerts, contacts and dead letters.
//!
//! Guarantees: idempotent, acknowledged by all replicas; a full queue makes the caller wait, never drop; what
//! is not acknowledged within the limit is an error, and so is what is refused. Keeps for each ticket (the
//! number of a batch) how many of its records are not acknowledged yet. Does not retry what failed for good.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::config::KafkaConfig;
use super::context::{Deliveries, OneASecond, ProducerContext, Ticket};
use super::error::Error;
use super::options;
use crate::event::Millis;
use crate::mutant::{self, Mutant};

/// A record that waits longer than this is worth a line in the log.
const SLOW: Duration = Duration::from_secs(1);
/// How often a caller that waits looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// One record to be written.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'o> {
    /// The topic.
    pub topic: &'o str,
    /// The key.
    pub key: Option<&'o [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'o [u8]>,
    /// The headers.
    pub headers: &'o [(&'static str, String)],
}

/// Where exactly a record goes; without one the key decides and it is stamped now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// The timestamp; `None`: now.
    pub stamp: Option<Millis>,
}

/// The way to the brokers: the client, or a simulation of them.
pub trait Wire: Send + Sync {
    /// Takes a record, or says why not. What becomes of one that was taken is told to [`Deliveries`], once, with its
    /// ticket.
    fn send(&self, ticket: Ticket, place: Option<Place>, outgoing: &Outgoing<'_>) -> Result<(), KafkaError>;
}

/// What is not acknowledged yet.
#[derive(Debug, Default)]
struct Pending {
    /// For each ticket: how many, and since when.
    by_ticket: BTreeMap<usize, (u32, Instant)>,
    /// By topic: how many, and since when none of them was acknowledged.
    by_topic: BTreeMap<String, (u32, Instant)>,
    /// The first that failed: topic and why.
    failed: Option<(String, RDKafkaErrorCode)>,
    /// Records acknowledged so far.
    acknowledged: u64,
}

/// Who is told of each acknowledged record: its topic, and the timestamp of the record it is about.
pub type Acknowledged = Box<dyn Fn(&str, Option<Millis>) + Send + Sync>;

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
    told: Option<Acknowledged>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, ticket: usize, topic: &str) {
        let mut pending = self.lock();
        pending.by_ticket.entry(ticket).or_insert_with(|| (0, Instant::now())).0 += 1;
        match pending.by_topic.get_mut(topic) {
            Some((count @ 1.., _)) => *count += 1,
            Some(idle) => *idle = (1, Instant::now()),
            None => _ = pending.by_topic.insert(topic.to_owned(), (1, Instant::now())),
        }
    }

    fn done(&self, pending: &mut Pending, ticket: usize, topic: &str) {
        if let Some((count, _)) = pending.by_topic.get_mut(topic) {
            *count = count.saturating_sub(1);
        }
        if let Some((count, _)) = pending.by_ticket.get_mut(&ticket) {
            *count -= 1;
            if *count == 0 {
                pending.by_ticket.remove(&ticket);
            }
        }
        self.changed.notify_all();
    }
}

impl Deliveries for Arc<Shared> {
    fn delivered(&self, ticket: &Ticket, topic: &str, result: Result<(), RDKafkaErrorCode>) {
        if let (Ok(()), Some(told)) = (result, &self.told) {
            told(topic, ticket.cause);
        }
        let mut pending = self.lock();
        match result {
            Ok(()) => {
                pending.acknowledged += 1;
                if let Some((_, since)) = pending.by_topic.get_mut(topic) {
                    *since = Instant::now();
                }
            }
            Err(code) => {
                pending.failed.get_or_insert_with(|| (topic.to_owned(), code));
            }
        }
        self.done(&mut pending, ticket.number, topic);
    }
}

/// What waits for Kafka: can be looked at while the writer itself waits.
#[derive(Clone)]
pub struct Waiting(Arc<Shared>);

impl Waiting {
    /// The topics where something waits and nothing was acknowledged for longer than that.
    pub fn over(&self, limit: Duration) -> Vec<WaitingTopic> {
        let pending = self.0.lock();
        let topics = pending.by_topic.iter().filter(|(_, (count, _))| *count > 0);
        let topics = topics.map(|(topic, (count, since))| {
            let (topic, waits, records) = (topic.clone(), since.elapsed(), *count);
            WaitingTopic { topic, waits, records }
        });
        topics.filter(|topic| topic.waits > limit).collect()
    }
}

/// A topic that takes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingTopic {
    /// Its name.
    pub topic: String,
    /// For how long nothing was acknowledged.
    pub waits: Duration,
    /// Records that wait.
    pub records: u32,
}

/// The writer.
pub struct Producer {
    wire: Box<dyn Wire>,
    shared: Arc<Shared>,
    wait_ms_max: u64,
    slow: OneASecond,
}

impl Producer {
    /// Opens it. Does not wait for a broker.
    pub fn open(config: &KafkaConfig) -> Result<Self, Error> {
        Self::with(config, Shared::default())
    }

    /// The same; every acknowledged record is told, on the client's own thread.
    pub fn open_telling(config: &KafkaConfig, told: Acknowledged) -> Result<Self, Error> {
        Self::with(config, Shared { told: Some(told), ..Shared::default() })
    }

    fn with(config: &KafkaConfig, shared: Shared) -> Result<Self, Error> {
        let shared = Arc::new(shared);
        let context = ProducerContext::new(config, Arc::clone(&shared));
        let client =
            ThreadedProducer::from_config_and_context(&options::producer(config), context).map_err(Error::Options)?;
        Ok(Self::over(Box::new(client), shared, config.produce_wait_ms_max))
    }

    /// One that writes by another way, which is made for whom it is to tell of deliveries.
    pub fn by<W: Wire + 'static>(wait_ms_max: u64, wire: impl FnOnce(Arc<dyn Deliveries>) -> W) -> Self {
        let shared = Arc::new(Shared::default());
        let wire = wire(Arc::new(Arc::clone(&shared)));
        Self::over(Box::new(wire), shared, wait_ms_max)
    }

    fn over(wire: Box<dyn Wire>, shared: Arc<Shared>, wait_ms_max: u64) -> Self {
        Producer { wire, shared, wait_ms_max, slow: OneASecond::default() }
    }

    /// Takes a record for a ticket. Tickets rise. Waits while the queue is full.
    pub fn send(&self, ticket: usize, outgoing: &Outgoing<'_>) -> Result<(), Error> {
        self.send_about(ticket, None, outgoing)
    }

    /// The same for a record about one that was stamped `cause`.
    pub fn send_about(&self, ticket: usize, cause: Option<Millis>, outgoing: &Outgoing<'_>) -> Result<(), Error> {
        self.put(Ticket { number: ticket, cause }, None, outgoing)
    }

    /// The same for a record that goes to one place.
    pub fn send_to(&self, ticket: usize, place: Place, outgoing: &Outgoing<'_>) -> Result<(), Error> {
        self.put(Ticket { number: ticket, cause: None }, Some(place), outgoing)
    }

    fn put(&self, ticket: Ticket, place: Option<Place>, outgoing: &Outgoing<'_>) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            self.check()?;
            self.shared.begin(ticket.number, outgoing.topic);
            let Err(error) = self.wire.send(ticket, place, outgoing) else {
                if mutant::is(Mutant::AcknowledgedWhenSent) {
                    self.forget(ticket.number, outgoing.topic);
                }
                return Ok(());
            };
            self.forget(ticket.number, outgoing.topic);
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => self.wait(outgoing.topic, began)?,
                error => {
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                    return Err(Error::NotWritten { topic: outgoing.topic.to_owned(), code });
                }
            }
        }
    }

    /// Every record of a ticket below this one is acknowledged.
    pub fn acknowledged_below(&self) -> usize {
        self.shared.lock().by_ticket.keys().next().copied().unwrap_or(usize::MAX)
    }

    /// How many records are not acknowledged yet: at most [`options::UNACKNOWLEDGED_RECORDS_MAX`].
    pub fn unacknowledged(&self) -> u64 {
        self.shared.lock().by_ticket.values().map(|(count, _)| u64::from(*count)).sum()
    }

    /// For how long the oldest record has not been acknowledged; zero where none waits.
    pub fn oldest_wait(&self) -> Duration {
        self.shared.lock().by_ticket.values().next().map(|(_, since)| since.elapsed()).unwrap_or_default()
    }

    /// What waits for Kafka, for whoever watches.
    pub fn waiting(&self) -> Waiting {
        Waiting(Arc::clone(&self.shared))
    }

    /// How many records were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.lock().acknowledged
    }

    /// Fails if a record failed; says so, once a second at most, if one waits.
    pub fn check(&self) -> Result<(), Error> {
        let pending = self.shared.lock();
        if let Some((topic, code)) = &pending.failed {
            let topic = topic.clone();
            return Err(match code {
                RDKafkaErrorCode::MessageTimedOut => Error::NotWrittenInTime { topic, waited_ms: self.wait_ms_max },
                code => Error::NotWritten { topic, code: *code },
            });
        }
        let oldest = pending.by_ticket.values().next().map(|(_, since)| since.elapsed()).unwrap_or_default();
        let waiting: u64 = pending.by_ticket.values().map(|(count, _)| u64::from(*count)).sum();
        drop(pending);
        if oldest > SLOW && self.slow.pass().is_some() {
            let waited_ms = u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX);
            let limit_ms = self.wait_ms_max;
            tracing::warn!(
                waiting,
                waited_ms,
                limit_ms,
                "the detector waits: Kafka does not acknowledge what it wrote"
            );
        }
        Ok(())
    }

    /// Waits until everything is acknowledged, at most until `deadline`. False where that was not enough.
    pub fn flush(&self, deadline: Instant) -> Result<bool, Error> {
        loop {
            self.check()?;
            let pending = self.shared.lock();
            if pending.by_ticket.is_empty() {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let _ = self.shared.changed.wait_timeout(pending, left.min(LOOK_AGAIN));
        }
    }

    fn wait(&self, topic: &str, began: Instant) -> Result<(), Error> {
        let waited_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if waited_ms > self.wait_ms_max {
            return Err(Error::NotWrittenInTime { topic: topic.to_owned(), waited_ms });
        }
        let _ = self.shared.changed.wait_timeout(self.shared.lock(), LOOK_AGAIN);
        Ok(())
    }

    /// A record that was not taken after all.
    fn forget(&self, ticket: usize, topic: &str) {
        let mut pending = self.shared.lock();
        self.shared.done(&mut pending, ticket, topic);
    }
}

impl Wire for ThreadedProducer<ProducerContext<Arc<Shared>>> {
    fn send(&self, ticket: Ticket, place: Option<Place>, outgoing: &Outgoing<'_>) -> Result<(), KafkaError> {
        self.send(record(ticket, place, outgoing)).map_err(|(error, _)| error)
    }
}

fn record<'r>(
    ticket: Ticket,
    place: Option<Place>,
    outgoing: &Outgoing<'r>,
) -> BaseRecord<'r, [u8], [u8], Box<Ticket>> {
    let mut record = BaseRecord::with_opaque_to(outgoing.topic, Box::new(ticket));
    if let Some(place) = place {
        record.partition = Some(place.partition);
        record.timestamp = place.stamp.map(|stamp| stamp.0);
    }
    record.key = outgoing.key;
    record.payload = outgoing.value;
    if !outgoing.headers.is_empty() {
        let headers = outgoing.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_bytes()) })
        });
        record.headers = Some(headers);
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_done_when_its_last_record_is() {
        let shared = Arc::new(Shared::default());
        let of = |number| Ticket { number, cause: None };
        for ticket in [3, 3, 4] {
            shared.begin(ticket, "t");
        }
        shared.begin(5, "other");
        let waiting = || {
            let over = Waiting(Arc::clone(&shared)).over(Duration::ZERO);
            over.into_iter().map(|of| format!("{} {}", of.topic, of.records)).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(waiting(), "other 1, t 3");
        let first = |shared: &Shared| shared.lock().by_ticket.keys().next().copied();
        shared.delivered(&of(3), "t", Ok(()));
        assert_eq!(first(&shared), Some(3));
        shared.delivered(&of(4), "t", Ok(()));
        assert_eq!(first(&shared), Some(3));
        assert_eq!(waiting(), "other 1, t 1");
        shared.delivered(&of(5), "other", Ok(()));
        shared.delivered(&of(3), "t", Err(RDKafkaErrorCode::MessageSizeTooLarge));
        assert_eq!((first(&shared), waiting()), (None, String::new()));
        let failed = shared.lock().failed.clone();
        assert_eq!(failed, Some(("t".to_owned(), RDKafkaErrorCode::MessageSizeTooLarge)));
    }
}
