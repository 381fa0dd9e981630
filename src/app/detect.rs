//! Detection's thread: batches through the engine, what comes of them to Kafka, offsets after that.
//!
//! Guarantees: an offset is committed only after every alert, contact and dead letter of its records is
//! acknowledged; what cannot be written stops it, nothing is skipped. Epoch, batch log and durable state join
//! here, before the commit.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Prepared, RunError, Stages};
use crate::detect::document::{AlertDocument, ContactDocument, Document};
use crate::detect::{Counters, Engine, FindingRecord, ForeignInput, Input, Sink};
use crate::event::mapping::Origin;
use crate::event::{Closed, Event, EventType, Millis, RejectReason, Rejection};
use crate::ingest::kafka::consumer::{Batches, Consumer};
use crate::ingest::kafka::{Error as KafkaError, KafkaConfig, Offsets, Outgoing, Producer};
use crate::ingest::keys::{Keys, OtherKeys};
use crate::ingest::{Batch, DeadLetter, Position, Record};
use crate::ruleset::{Band, Ruleset, State};
use crate::telemetry::Metrics;
use crate::telemetry::events::{DetectionStarted, KeysAreNotAccounts, Summary};
use crate::telemetry::metrics::grow;

/// How long it waits for a batch before it looks after offsets.
const TICK: Duration = Duration::from_millis(100);
/// How long a stop waits for Kafka to acknowledge, of the ten seconds a stop may take.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(8);

/// Detection, ready to run.
pub struct Detection {
    stages: Stages,
    engine: Engine,
    producer: Producer,
    offsets: Offsets,
    /// Whether the keys of the topics are the accounts.
    keys: Keys,
    /// The number of the last batch.
    ticket: usize,
}

impl Detection {
    /// For a reader that was opened; tells that it starts.
    pub fn new(stages: Stages, consumer: &Consumer, producer: Producer) -> Self {
        let prepared = &stages.prepared;
        let lanes = consumer.lanes();
        DetectionStarted {
            topics: &prepared.config.kafka.topics,
            partitions: lanes.len(),
            behind_records: lanes.iter().map(|lane| lane.end - lane.start).sum(),
            goes_on: consumer.goes_on(),
            rules_digest: &prepared.ruleset.digest,
            rules: prepared.ruleset.rules.len(),
            geo: prepared.geo.date().as_deref(),
        }
        .tell();
        let engine = Engine::new(
            std::sync::Arc::clone(&prepared.ruleset),
            prepared.policy.bands,
            prepared.config.engine.clone(),
            prepared.key,
        );
        let keys = Keys::new(prepared.config.kafka.topics.len());
        Detection { offsets: consumer.offsets(), stages, engine, producer, keys, ticket: 0 }
    }

    /// Takes batches until the reader has ended, then writes out and commits what was taken.
    pub fn run(mut self, batches: Batches) -> Result<(), RunError> {
        while let Ok(next) = batches.next(TICK) {
            if let Some(batch) = next {
                self.take(&batch)?;
                batches.give_back(batch);
            }
            self.producer.check()?;
            self.offsets.tick(self.ticket, self.producer.acknowledged_below())?;
        }
        self.drain()?;
        self.stages.detected.store(true, Ordering::Release);
        Ok(())
    }

    fn take(&mut self, batch: &Batch) -> Result<(), RunError> {
        self.ticket += 1;
        let prepared = &self.stages.prepared;
        let geo = (!prepared.geo.is_empty()).then_some(&prepared.geo);
        let mut outputs = Outputs {
            producer: &self.producer,
            config: &prepared.config.kafka,
            batch,
            ticket: self.ticket,
            keys: &mut self.keys,
            failed: None,
        };
        if prepared.mappings.iter().all(Option::is_none) {
            self.engine.take(batch.records().map(input), batch.moment, geo, &mut outputs);
        } else {
            let inputs = batch.records().map(|record| foreign(record, prepared));
            self.engine.take(inputs, batch.moment, geo, &mut outputs);
        }
        if let Some(error) = outputs.failed {
            return Err(error.into());
        }
        self.offsets.handled(batch);
        self.stages.metrics.batches.inc();
        count(&self.stages.metrics, self.engine.counters(), &prepared.ruleset);
        self.name_other_keys(batch.moment);
        Ok(())
    }

    /// Counts records whose key is not the account, and names the topics where they are many.
    fn name_other_keys(&mut self, moment: Millis) {
        let topics = &self.stages.prepared.config.kafka.topics;
        let metrics = &self.stages.metrics;
        for (topic, [records, others]) in topics.iter().zip(self.keys.totals()) {
            grow(&metrics.with_account.with_label_values(&[topic]), records);
            grow(&metrics.other_keys.with_label_values(&[topic]), others);
        }
        for OtherKeys { topic, records, others } in self.keys.to_name(moment) {
            KeysAreNotAccounts { topic: topics.get(topic).map_or("", String::as_str), records, others }.tell();
        }
    }

    /// Everything acknowledged, then the offsets.
    fn drain(&mut self) -> Result<(), RunError> {
        let is_asked = self.stages.shutdown.is_requested();
        let wait_ms_max = self.stages.prepared.config.kafka.produce_wait_ms_max;
        let limit = if is_asked { FLUSH_TIME_MAX } else { Duration::from_millis(wait_ms_max) };
        if !self.producer.flush(Instant::now() + limit)? {
            let waited_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            let topic = self.stages.prepared.config.kafka.alerts_topic.clone();
            return Err(KafkaError::NotWrittenInTime { topic, waited_ms }.into());
        }
        self.offsets.finish()?;
        let acknowledged = self.producer.acknowledged();
        self.stages.metrics.acknowledged.set(i64::try_from(acknowledged).unwrap_or(i64::MAX));
        tracing::info!(
            acknowledged,
            commits = self.offsets.commits(),
            "detection stopped: all written, offsets committed"
        );
        Ok(())
    }
}

/// A record of our own events.
fn input<'r>(record: Record<'r>) -> Input<'r> {
    Input { lane: record.lane, value: record.value }
}

/// A record of a topic that may have a mapping.
fn foreign<'r>(record: Record<'r>, prepared: &'r Prepared) -> ForeignInput<'r> {
    let topic = usize::from(record.position.topic);
    let Position { partition, offset, .. } = record.position;
    let name = prepared.config.kafka.topics.get(topic).map_or("", String::as_str);
    ForeignInput {
        input: input(record),
        mapping: prepared.mappings.get(topic).and_then(Option::as_ref),
        origin: Origin { topic: name, partition, offset, stamp: Some(record.stamp), key: record.key },
    }
}

/// Takes what the engine finds in one batch to Kafka.
struct Outputs<'o> {
    producer: &'o Producer,
    config: &'o KafkaConfig,
    batch: &'o Batch,
    ticket: usize,
    keys: &'o mut Keys,
    /// The first failure; after it nothing more is written.
    failed: Option<KafkaError>,
}

impl Outputs<'_> {
    fn send(&mut self, outgoing: &Outgoing<'_>) {
        if self.failed.is_none() {
            self.failed = self.producer.send(self.ticket, outgoing).err();
        }
    }

    fn send_document(&mut self, topic: &str, key: Option<&str>, document: &impl serde::Serialize) {
        match serde_json::to_vec(document) {
            Ok(value) => {
                self.send(&Outgoing { topic, key: key.map(str::as_bytes), value: Some(&value), headers: &[] });
            }
            // Documents hold texts and numbers only: one that is not JSON is a bug, and nothing is skipped.
            Err(error) => {
                tracing::error!(%error, topic, "a document cannot be written");
                self.failed.get_or_insert(KafkaError::NotWritten {
                    topic: topic.to_owned(),
                    code: rdkafka::types::RDKafkaErrorCode::BadMessage,
                });
            }
        }
    }
}

impl Sink for Outputs<'_> {
    fn rejected(&mut self, input: usize, rejection: &Rejection) {
        let Some(record) = self.batch.record(input) else { return };
        let config = self.config;
        let topic = config.topics.get(usize::from(record.position.topic)).map_or("", String::as_str);
        let letter = DeadLetter::new(&record, topic, rejection);
        let (key, value, headers) = (letter.key, letter.value, &letter.headers);
        self.send(&Outgoing { topic: &config.dead_letter_topic, key, value, headers });
    }

    fn duplicate(&mut self, _: usize) {}

    fn accepted(&mut self, input: usize, event: &Event<'_>, _: bool) {
        if let Some(record) = self.batch.record(input) {
            self.keys.count(record.position.topic, record.key, event.account.as_deref());
        }
    }

    fn contact(&mut self, _: usize, document: ContactDocument) {
        let config = self.config;
        self.send_document(&config.contacts_topic, Some(&document.account), &document);
    }

    fn finding(&mut self, _: usize, _: FindingRecord) {}

    fn alert(&mut self, _: usize, document: AlertDocument) {
        let config = self.config;
        let key = document.account.clone();
        self.send_document(&config.alerts_topic, key.as_deref(), &Document::Alert(Box::new(document)));
    }
}

/// The engine's counts, as metrics.
fn count(metrics: &Metrics, counters: &Counters, ruleset: &Ruleset) {
    for (word, total) in EventType::WORDS.iter().zip(counters.accepted).filter(|(_, total)| *total > 0) {
        grow(&metrics.events.with_label_values(&[word]), total);
    }
    for (word, total) in RejectReason::WORDS.iter().zip(counters.rejected).filter(|(_, total)| *total > 0) {
        grow(&metrics.rejected.with_label_values(&[word]), total);
    }
    for (reason, total) in &counters.ignored {
        grow(&metrics.ignored.with_label_values(&[reason]), *total);
    }
    grow(&metrics.duplicates, counters.duplicates);
    grow(&metrics.late, counters.late);
    grow(&metrics.unknown_fields, counters.unknown_fields);
    grow(&metrics.contacts, counters.contacts);
    for (rule, totals) in ruleset.rules.iter().zip(&counters.findings) {
        for (outcome, total) in ["fired", "repeated", "excepted"].iter().zip(totals).filter(|(_, total)| **total > 0) {
            grow(&metrics.findings.with_label_values(&[rule.id.as_str(), state_word(rule.state), outcome]), *total);
        }
    }
    for band in [Band::Info, Band::Low, Band::Medium, Band::High, Band::Critical] {
        let total = counters.alerts_of(band);
        if total > 0 {
            grow(&metrics.alerts.with_label_values(&[band.word()]), total);
        }
    }
    for (outcome, total) in ["asked", "unknown"].iter().zip(counters.geo).filter(|(_, total)| *total > 0) {
        grow(&metrics.geo.with_label_values(&[outcome]), total);
    }
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Draft => "draft",
        State::Shadow => "shadow",
        State::Live => "live",
        State::Off => "off",
    }
}

/// Everything that was counted.
pub fn summary(metrics: &Metrics) -> Summary {
    let mut summary = Summary {
        duplicates: metrics.duplicates.get(),
        late: metrics.late.get(),
        contacts: metrics.contacts.get(),
        acknowledged: u64::try_from(metrics.acknowledged.get()).unwrap_or(0),
        ..Summary::default()
    };
    for word in EventType::WORDS {
        summary.accepted += metrics.events.with_label_values(&[word]).get();
    }
    for word in RejectReason::WORDS {
        let total = metrics.rejected.with_label_values(&[word]).get();
        summary.rejected += total;
        if total > 0 {
            summary.rejected_by_reason.insert((*word).to_owned(), total);
        }
    }
    for (labels, total) in children(&metrics.ignored) {
        summary.ignored += total;
        summary.ignored_by_reason.extend(labels.into_iter().map(|(_, reason)| (reason, total)));
    }
    summary.records = summary.accepted + summary.duplicates + summary.rejected + summary.ignored;
    for (labels, total) in children(&metrics.findings) {
        let has = |name: &str, value: &str| labels.iter().any(|(n, v)| n == name && v == value);
        if has("state", "live") && has("outcome", "fired") {
            summary.findings += total;
        }
    }
    summary.alerts = children(&metrics.alerts).map(|(_, total)| total).sum();
    summary.desk_alerts = metrics.desk_alerts.with_label_values(&["new"]).get();
    summary.desk_known = metrics.desk_alerts.with_label_values(&["known"]).get();
    for (labels, total) in children(&metrics.notices) {
        let values: Vec<&str> = labels.iter().map(|(_, value)| value.as_str()).filter(|v| !v.is_empty()).collect();
        summary.notices.insert(values.join(" "), total);
    }
    summary
}

/// Labels and value of every child of a counter.
fn children(counters: &prometheus::IntCounterVec) -> impl Iterator<Item = (Vec<(String, String)>, u64)> {
    use prometheus::core::Collector as _;
    let families = counters.collect();
    families.into_iter().flat_map(|family| family.get_metric().to_vec()).map(|metric| {
        let labels = metric.get_label().iter().map(|l| (l.name().to_owned(), l.value().to_owned())).collect();
        (labels, metric.get_counter().get_value() as u64)
    })
}
