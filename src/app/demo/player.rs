//! The player: the generator's records, into Kafka, in time.
//!
//! Guarantees: the next chunk goes only when everything before it was taken by the detector, so the broker never
//! holds more than it can keep; every record is acknowledged, or the demo fails. Tells the events of planted
//! scenes in words as it sends them. Does not know what becomes of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use super::DemoError;
use super::fact::{Fact, Step, Teller};
use super::looker::Sent;
use super::pace::{Pace, Turn};
use super::words;
use crate::clock;
use crate::event::{Limits, Millis, decode};
use crate::geo::Databases;
use crate::shutdown::Shutdown;
use crate::sim::{Generator, Line, Record};

/// How long the detector may take nothing of what is on its way.
const STALL_MAX: Duration = Duration::from_secs(20);
/// Between two looks at what was taken.
const LOOK: Duration = Duration::from_millis(1);
/// How often the clock is told, in ms.
const TELL_MS: u64 = 40;

/// Counts what came of each record.
#[derive(Default)]
struct Deliveries {
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

#[derive(Clone)]
struct Shared(Arc<Deliveries>);

impl ClientContext for Shared {}

impl ProducerContext for Shared {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.0.acknowledged } else { &self.0.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Plays one stream.
pub struct Player {
    producer: ThreadedProducer<Shared>,
    deliveries: Arc<Deliveries>,
    teller: Teller,
    shutdown: Shutdown,
    /// Events and accounts of planted scenes.
    events: HashSet<String>,
    accounts: HashSet<String>,
    geo: Arc<Databases>,
    pace: Pace,
    day_from: Millis,
    sent: u64,
    sent_at: Sent,
    told_ms: u64,
}

impl Player {
    /// For a stream and what is planted in it. `sent_at`: where it notes when it sends what.
    pub fn new(
        brokers: &str,
        day_from: Millis,
        planted: &[Line],
        geo: Arc<Databases>,
        teller: Teller,
        shutdown: Shutdown,
        sent_at: Sent,
    ) -> Result<Self, DemoError> {
        let deliveries = Arc::new(Deliveries::default());
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("client.id", "walletwatch-demo")
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .create_with_context(Shared(Arc::clone(&deliveries)))
            .map_err(DemoError::broker("be written to"))?;
        Ok(Player {
            producer,
            deliveries,
            teller,
            shutdown,
            events: planted.iter().flat_map(|line| line.events.iter().cloned()).collect(),
            accounts: planted.iter().filter_map(|line| line.account.clone()).collect(),
            geo,
            pace: Pace::new(day_from),
            day_from,
            sent: 0,
            sent_at,
            told_ms: 0,
        })
    }

    /// Plays until the stream ends or somebody asks to stop. `taken` says how many records the detector took.
    /// Returns how many were sent.
    pub fn play(mut self, generator: &mut Generator, taken: &dyn Fn() -> u64) -> Result<u64, DemoError> {
        while let Some(record) = generator.next_record().map_err(DemoError::Sim)? {
            loop {
                if self.shutdown.is_requested() {
                    return Ok(self.sent);
                }
                match self.pace.ask(record.stamp, self.teller.elapsed_ms()) {
                    Turn::Send => break,
                    Turn::Settle => self.settle(taken)?,
                    Turn::Wait(ms) => std::thread::park_timeout(Duration::from_millis(ms)),
                }
            }
            self.send(&record)?;
        }
        self.settle(taken)?;
        self.told_ms = 0;
        Ok(self.sent)
    }

    fn send(&mut self, record: &Record<'_>) -> Result<(), DemoError> {
        self.tell(record);
        let mut message =
            BaseRecord::<[u8], [u8]>::to(record.topic.name()).payload(record.value).timestamp(record.stamp.0);
        if !record.key.is_empty() {
            message = message.key(record.key);
        }
        self.sent_at.note(record.stamp, clock::now());
        // A chunk is far smaller than the queue.
        self.producer.send(message).map_err(|(error, _)| DemoError::broker("be written to")(error))?;
        self.pace.sent(record.stamp);
        self.sent += 1;
        let now_ms = self.teller.elapsed_ms();
        if now_ms >= self.told_ms + TELL_MS {
            self.told_ms = now_ms;
            let sent = self.sent;
            let is_day = record.stamp >= self.day_from;
            let fact = if is_day { Fact::Clock { now: record.stamp, sent } } else { Fact::Learned { sent } };
            self.teller.tell(fact);
        }
        Ok(())
    }

    /// Tells what a planted scene is about, as a reader of the stream sees it.
    fn tell(&self, record: &Record<'_>) {
        let Ok(decoded) = decode(Some(record.value), record.stamp, &Limits::default()) else { return };
        let event = decoded.event;
        let account = event.account.as_deref().unwrap_or_default();
        if let Some(contact) = event.contact.as_ref().filter(|_| self.accounts.contains(account)) {
            let text = |text: &Option<crate::event::Text<'_>>| text.as_deref().map(str::to_owned);
            let (email, phone) = (text(&contact.email), text(&contact.phone));
            self.teller.tell(Fact::Contact { account: account.to_owned(), email, phone });
        }
        if self.events.contains(event.id.as_ref()) {
            let text = words::step(&event, &self.geo);
            self.teller.tell(Fact::Step(Step { event: event.id.clone().into_owned(), time: event.time, text }));
        }
    }

    /// Waits until the detector has taken everything that was sent: the consumer's lag is nought.
    fn settle(&mut self, taken: &dyn Fn() -> u64) -> Result<(), DemoError> {
        let mut seen = taken();
        let mut since = Instant::now();
        while seen < self.sent && !self.shutdown.is_requested() {
            if self.deliveries.failed.load(Ordering::Relaxed) > 0 {
                return Err(DemoError::NotWritten);
            }
            std::thread::park_timeout(LOOK);
            let now = taken();
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() > STALL_MAX {
                return Err(DemoError::Stalled { sent: self.sent, taken: now });
            }
        }
        self.pace.settled();
        Ok(())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // What is left there after a stop is of no use to anybody.
        self.producer.purge(rdkafka::producer::PurgeConfig::default().queue());
    }
}
