//! Records to Kafka: the topic of their kind, keyed by account, stamped with the time they would have come.
//!
//! Guarantees: every record is acknowledged by all replicas, or the command fails and says the first reason;
//! nothing is written unless every topic is there. Makes no topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use super::pace::Pace;
use super::progress::Progress;
use super::{generator, sim_failure};
use crate::cli::{Exit, fail};
use crate::sim::{Generator, Plan, Record, Topic};

/// How long Kafka may take to acknowledge what is left at the end.
const FLUSH_MAX: Duration = Duration::from_secs(120);
/// How long one record may wait to be acknowledged, ms.
const DELIVERY_MS_MAX: &str = "60000";
/// How long Kafka may take to answer at all.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Records that wait to be sent at the most.
const QUEUE_RECORDS_MAX: &str = "200000";

/// Counts what came of each record; the first failure is kept in words.
#[derive(Default)]
struct Deliveries {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    first_failure: std::sync::Mutex<Option<String>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                if let Ok(mut first) = self.first_failure.lock() {
                    first.get_or_insert_with(|| error.to_string());
                }
            }
        }
    }
}

/// The context is shared: librdkafka's thread counts, this one reads.
#[derive(Clone)]
struct Shared(Arc<Deliveries>);

impl ClientContext for Shared {}

impl ProducerContext for Shared {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: ()) {
        self.0.delivery(result, opaque);
    }
}

/// Writes the plan's records: in each pass of `order` those of its topics.
pub fn to_kafka(
    plan: &Plan,
    brokers: &str,
    topics: &[String; 3],
    order: &[Vec<Topic>],
    pace: &Pace,
    progress: &mut Progress,
) -> anyhow::Result<Generator> {
    let deliveries = Arc::new(Deliveries::default());
    let producer: ThreadedProducer<Shared> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("client.id", "walletwatch-generate")
        .set("enable.idempotence", "true")
        .set("compression.type", "zstd")
        .set("linger.ms", "5")
        .set("message.timeout.ms", DELIVERY_MS_MAX)
        .set("queue.buffering.max.messages", QUEUE_RECORDS_MAX)
        .create_with_context(Shared(Arc::clone(&deliveries)))
        .map_err(|e| fail(Exit::Usage, format!("--brokers {brokers}: {e}")))?;
    let metadata = producer
        .client()
        .fetch_metadata(None, ANSWER_MAX)
        .map_err(|e| fail(Exit::Unavailable, format!("no Kafka answers at {brokers}: {e}")))?;
    // A broker that makes topics as they are written to would not keep records as old as these.
    let is_there = |name: &String| metadata.topics().iter().any(|topic| topic.name() == name);
    let missing: Vec<&str> = topics.iter().filter(|name| !is_there(name)).map(String::as_str).collect();
    if !missing.is_empty() {
        let message = format!(
            "Kafka at {brokers} has no topic {}: create it first, or name others with --topics",
            missing.join(", ")
        );
        return Err(fail(Exit::Unavailable, message));
    }
    let mut sent = 0;
    let mut last = generator(plan)?;
    for (pass, wanted) in order.iter().enumerate() {
        if pass > 0 {
            last = generator(plan)?;
        }
        while let Some(record) = last.next_record().map_err(sim_failure)? {
            pace.wait(record.stamp);
            if pace.is_stopped() {
                break;
            }
            if wanted.contains(&record.topic) {
                send(&producer, &deliveries, topics, &record)?;
                sent += 1;
                progress.count(1);
            }
        }
        // A topic is whole before the next one begins.
        producer.flush(FLUSH_MAX).map_err(|e| fail(Exit::Unavailable, format!("Kafka at {brokers}: {e}")))?;
        check(&deliveries, brokers)?;
    }
    let acknowledged = deliveries.acknowledged.load(Ordering::Relaxed);
    if acknowledged != sent {
        let message = format!("Kafka at {brokers} acknowledged {acknowledged} of {sent} records");
        return Err(fail(Exit::Unavailable, message));
    }
    Ok(last)
}

fn send(
    producer: &ThreadedProducer<Shared>,
    deliveries: &Deliveries,
    topics: &[String; 3],
    record: &Record<'_>,
) -> anyhow::Result<()> {
    let topic = Topic::ALL.iter().position(|t| *t == record.topic).and_then(|at| topics.get(at));
    let topic = topic.map_or(record.topic.name(), String::as_str);
    let mut message = BaseRecord::<[u8], [u8]>::to(topic).payload(record.value).timestamp(record.stamp.0);
    if !record.key.is_empty() {
        message = message.key(record.key);
    }
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            // The queue is full: wait until something of it is acknowledged.
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                check(deliveries, topic)?;
                // A flush that times out says only that there is still work.
                let _ = producer.flush(Duration::from_millis(100));
                message = back;
            }
            Err((error, _)) => return Err(fail(Exit::Unavailable, format!("cannot write to {topic}: {error}"))),
        }
    }
}

fn check(deliveries: &Deliveries, at: &str) -> anyhow::Result<()> {
    let failed = deliveries.failed.load(Ordering::Relaxed);
    if failed == 0 {
        return Ok(());
    }
    let first = deliveries.first_failure.lock().ok().and_then(|f| f.clone()).unwrap_or_default();
    Err(fail(Exit::Unavailable, format!("Kafka ({at}) refused {failed} records; the first: {first}")))
}
