//! Detection's thread: batches through the engine, what comes of them to Kafka, offsets after that.
//!
//! Guarantees: a batch is logged before it is decided; an offset is committed only after every alert, contact and dead
//! letter of its records is acknowledged and the state behind them is closed; what cannot be written stops it, nothing
//! is skipped. New rules decide from the batch after the checkpoint that they force.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::control::{Asker, Questions, questions};
use super::counts::{BANDS, EngineCounts, KeyCounts, StateGauges, Taken};
use super::current::{InForce, Mappings, Version};
use super::durable::{At, Durable, Settled};
use super::past::Past;
use super::room::{Need, Room};
use super::{RunError, Stages, Witness};
use crate::detect::document::{AlertDocument, ContactDocument, Document};
use crate::detect::{Engine, FindingRecord, ForeignInput, Input, Sink, Swapped};
use crate::event::mapping::Origin;
use crate::event::{Closed, Event, EventType, Millis, RejectReason, Rejection};
use crate::failpoint::{self, reach};
use crate::ingest::batch_log::{Digests, Logged};
use crate::ingest::kafka::consumer::{Batches, Consumer};
use crate::ingest::kafka::producer::Waiting;
use crate::ingest::kafka::{Error as KafkaError, KafkaConfig, Offsets, Outgoing, Producer};
use crate::ingest::keys::{Keys, OtherKeys};
use crate::ingest::{Batch, DeadLetter, Position, Record};
use crate::mutant::{self, Mutant};
use crate::ruleset::Ruleset;
use crate::telemetry::Metrics;
use crate::telemetry::events::{Begins, DetectionStarted, KeysAreNotAccounts, Summary};
use crate::telemetry::health::Pulse;
use crate::telemetry::reload::{RuleWarming, RulesSwapped};
use crate::telemetry::state::RoomWaited;

/// How long it waits for a batch before it looks after offsets.
const TICK: Duration = Duration::from_millis(100);
/// How long a stop waits for Kafka to acknowledge, of the ten seconds a stop may take.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(8);
/// How long new rules wait at a time for everything before them to come to rest; then batches go on under the old ones,
/// and it is tried again.
const SWAP_WAIT_MAX: Duration = Duration::from_secs(2);

/// Detection, ready to run.
pub struct Detection {
    stages: Stages,
    engine: Engine,
    durable: Durable,
    /// What the engine's entities may take of memory.
    room: Room,
    /// What the engine decides with.
    in_force: InForce,
    digests: Digests,
    /// Batches that are taken again: from which number on under what.
    again: VecDeque<(u64, Arc<Digests>)>,
    /// The last of them that is still to come; until then nothing that was reloaded comes into force.
    last_again: Option<u64>,
    past: Option<Past>,
    /// How far it has followed the reloads.
    version: Version,
    /// What was reloaded and waits until everything before it is at rest.
    next: Option<InForce>,
    producer: Producer,
    offsets: Offsets,
    /// Whether the keys of the topics are the accounts.
    keys: Keys,
    key_counts: KeyCounts,
    /// The number of the last batch.
    ticket: usize,
    counts: EngineCounts,
    gauges: StateGauges,
    /// What people want to know of entities.
    questions: Option<Questions>,
    pulse: Pulse,
}

impl Detection {
    /// With the state it goes on with, what it writes with, and what commits.
    pub fn new(stages: Stages, state: (Engine, Durable), producer: Producer, offsets: Offsets, pulse: Pulse) -> Self {
        let prepared = &stages.prepared;
        let in_force = prepared.in_force.clone();
        let (engine, mut durable) = state;
        durable.set_epoch(offsets.epoch());
        let topics = prepared.config.kafka.topics.len();
        let room = Room::of(&prepared.config.state);
        Detection {
            producer,
            counts: EngineCounts::new(&stages.metrics, &in_force.ruleset),
            gauges: StateGauges::new(&stages.metrics, &prepared.config.engine, room.bytes_max()),
            key_counts: KeyCounts::new(&stages.metrics, &prepared.config.kafka.topics),
            keys: Keys::new(topics),
            digests: in_force.digests(&prepared.config.kafka.topics),
            again: VecDeque::new(),
            last_again: None,
            past: None,
            engine,
            durable,
            room,
            in_force,
            version: Version::default(),
            next: None,
            offsets,
            ticket: 0,
            questions: None,
            stages,
            pulse,
        }
    }

    /// Begins with what the batches that are taken again were decided with; behind the last of them it goes over to what
    /// is in force.
    pub fn begin_with(&mut self, in_force: InForce, again: &[Logged], past: Past) {
        for Logged { taken, in_force, .. } in again {
            if self.again.back().is_none_or(|(_, before)| before != in_force) {
                self.again.push_back((taken.number, Arc::clone(in_force)));
            }
        }
        self.last_again = again.last().map(|logged| logged.taken.number);
        self.counts.rules(&in_force.ruleset);
        self.digests = in_force.digests(&self.stages.prepared.config.kafka.topics);
        (self.in_force, self.past) = (in_force, Some(past));
    }

    /// Tells that it starts, and from where.
    pub fn tell_started(&self, consumer: &Consumer) {
        let lanes = consumer.lanes();
        DetectionStarted {
            topics: &self.stages.prepared.config.kafka.topics,
            partitions: lanes.iter().filter(|lane| lane.topic.is_some()).count(),
            behind_records: lanes.iter().map(|lane| lane.end - lane.start).sum(),
            begins: match (self.durable.is_restored(), consumer.goes_on()) {
                (true, _) => Begins::State,
                (false, true) => Begins::Cold,
                (false, false) => Begins::Start,
            },
            rules_digest: &self.in_force.ruleset.digest,
            rules: self.in_force.ruleset.running().count(),
            geo: self.in_force.geo.date().as_deref(),
        }
        .tell();
    }

    /// What Kafka has not acknowledged yet.
    pub fn waiting(&self) -> Waiting {
        self.producer.waiting()
    }

    /// Where it is asked what it knows of an entity: it answers between two batches.
    pub fn asker(&mut self) -> Asker {
        let (asker, asked) = questions();
        self.questions = Some(asked);
        asker
    }

    /// Takes batches until the reader has ended, then writes out and commits what was taken.
    pub fn run(mut self, batches: Batches) -> Result<(), RunError> {
        while let Ok(next) = batches.next(TICK) {
            self.pulse.beat(Instant::now());
            self.round(next.as_ref(), Instant::now())?;
            if let Some(batch) = next {
                batches.give_back(batch);
            }
            self.tell(&batches);
        }
        self.drain(self.drain_time_max())?;
        self.stages.detected.store(true, Ordering::Release);
        self.stages.health.forget("detection");
        Ok(())
    }

    /// Takes a batch, where there is one, and does what is due behind it.
    pub fn round(&mut self, next: Option<&Batch>, now: Instant) -> Result<(), RunError> {
        self.follow()?;
        if let Some(batch) = next {
            self.take(batch)?;
        }
        self.producer.check()?;
        self.offsets.check()?;
        let (durable, at) = self.at();
        durable.tick(at, now)?;
        self.make_room()
    }

    /// What it was asked; and what it keeps, once a second.
    fn tell(&mut self, batches: &Batches) {
        if let Some(questions) = &self.questions {
            questions.answer(&self.engine);
        }
        let now = Instant::now();
        if !self.gauges.are_due(now) {
            return;
        }
        self.gauges.refresh(&self.engine, batches.waiting(), self.producer.unacknowledged());
    }

    /// Goes over to what was reloaded: between two batches, once a checkpoint covers everything before.
    fn follow(&mut self) -> Result<(), RunError> {
        if let Some(next) = self.stages.current.newer_than(&mut self.version) {
            self.next = Some(next);
        }
        if self.last_again.is_some() {
            return Ok(());
        }
        let Some(next) = self.next.take() else { return Ok(()) };
        if self.settle(Instant::now() + SWAP_WAIT_MAX)? != Settled::Closed {
            self.next = Some(next);
            return Ok(());
        }
        self.go_over(next);
        Ok(())
    }

    /// Decides with this from now on.
    fn go_over(&mut self, next: InForce) {
        if !Arc::ptr_eq(&next.ruleset, &self.in_force.ruleset) {
            let begun = Instant::now();
            let swapped = self.engine.swap(Arc::clone(&next.ruleset), next.policy.bands);
            self.counts.rules(&next.ruleset);
            tell_swapped(&swapped, &next.ruleset, begun.elapsed(), &self.stages.metrics);
        }
        self.digests = next.digests(&self.stages.prepared.config.kafka.topics);
        self.stages.current.decides_with(&self.digests);
        self.in_force = next;
    }

    /// Brings all that was decided to rest: acknowledged by Kafka, and its state closed.
    fn settle(&mut self, deadline: Instant) -> Result<Settled, RunError> {
        let (durable, at) = self.at();
        durable.settle(at, deadline)
    }

    /// Lets entities leave memory for the store. Where too much of it changed since the last checkpoint, one begins at
    /// once, and no batch is taken before the store has it.
    fn make_room(&mut self) -> Result<(), RunError> {
        match self.room.make(&mut self.engine) {
            Need::Nothing => return Ok(()),
            Need::Checkpoint => {
                self.durable.hurry();
                return Ok(());
            }
            Need::Wait => {}
        }
        let begun = Instant::now();
        // A stop brings everything to rest itself.
        while !self.stages.shutdown.is_requested() && self.settle(Instant::now() + SWAP_WAIT_MAX)? != Settled::Closed {
            self.pulse.beat(Instant::now());
            self.producer.check()?;
            self.offsets.check()?;
        }
        RoomWaited { resident_bytes: self.engine.resident_bytes(), waited: begun.elapsed() }.tell(&self.stages.metrics);
        self.room.make(&mut self.engine);
        Ok(())
    }

    /// Where it stands, for what writes that down.
    fn at(&mut self) -> (&mut Durable, At<'_>) {
        let Detection { durable, engine, offsets, producer, ticket, digests, .. } = self;
        (durable, At { engine, offsets, producer, ticket: *ticket, in_force: digests })
    }

    /// Before a batch that is taken again: goes over to what it was decided with.
    fn go_back(&mut self, number: u64) {
        while self.again.front().is_some_and(|(from, _)| *from <= number) {
            let Some((_, logged)) = self.again.pop_front() else { return };
            let Some(past) = self.past.as_ref().filter(|_| *logged != self.digests) else { continue };
            let next = past.of(&logged, &self.stages.prepared.in_force).in_force;
            self.go_over(next);
        }
    }

    /// Behind the last batch that is taken again: what is in force now comes next.
    fn caught_up(&mut self) {
        (self.last_again, self.past) = (None, None);
        let now = self.stages.current.get();
        if now.digests(&self.stages.prepared.config.kafka.topics) != self.digests {
            self.next.get_or_insert(now);
        }
    }

    fn take(&mut self, batch: &Batch) -> Result<(), RunError> {
        if let Some(number) = batch.again {
            self.go_back(number);
        }
        if !mutant::is(Mutant::LogsAfterwards) {
            self.durable.log(batch, &self.digests)?;
        }
        self.ticket += 1;
        let prepared = &self.stages.prepared;
        let databases = &*self.in_force.geo;
        let geo = (!databases.is_empty()).then_some(databases);
        self.engine.partitions(batch.at_end.iter().copied());
        let mut outputs = Outputs {
            producer: &self.producer,
            config: &prepared.config.kafka,
            batch,
            ticket: self.ticket,
            keys: &mut self.keys,
            witness: self.stages.witness.as_deref(),
            failed: None,
        };
        let mappings = &*self.in_force.mappings;
        if mappings.iter().all(Option::is_none) {
            self.engine.take(batch.records().map(input), batch.moment, geo, &mut outputs);
        } else {
            let inputs = batch.records().map(|record| foreign(record, &prepared.config.kafka.topics, mappings));
            self.engine.take(inputs, batch.moment, geo, &mut outputs);
        }
        if let Some(error) = outputs.failed {
            return Err(error.into());
        }
        self.engine.check()?;
        reach(failpoint::DECIDE_DONE);
        if mutant::is(Mutant::LogsAfterwards) {
            self.durable.log(batch, &self.digests)?;
        }
        self.offsets.handled(batch);
        let taken = if batch.again.is_some() { Taken::Again } else { Taken::Live };
        self.counts.take(self.engine.counters(), taken);
        self.name_other_keys(batch.moment, taken);
        if batch.again.is_some() && batch.again >= self.last_again {
            self.caught_up();
        }
        Ok(())
    }

    /// Counts records whose key is not the account, and names the topics where they are many.
    fn name_other_keys(&mut self, moment: Millis, taken: Taken) {
        self.key_counts.take(&self.keys, taken);
        let topics = &self.stages.prepared.config.kafka.topics;
        for OtherKeys { topic, records, others } in self.keys.to_name(moment) {
            KeysAreNotAccounts { topic: topics.get(topic).map_or("", String::as_str), records, others }.tell();
        }
    }

    /// How long a stop may wait.
    fn drain_time_max(&self) -> Duration {
        match self.stages.shutdown.is_requested() {
            true => FLUSH_TIME_MAX,
            false => Duration::from_millis(self.stages.prepared.config.kafka.produce_wait_ms_max),
        }
    }

    /// Everything acknowledged and in a checkpoint, then the offsets.
    pub fn drain(&mut self, limit: Duration) -> Result<(), RunError> {
        match self.settle(Instant::now() + limit)? {
            Settled::Closed => {}
            Settled::NotAcknowledged => {
                let waited_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                let topic = self.stages.prepared.config.kafka.alerts_topic.clone();
                return Err(KafkaError::NotWrittenInTime { topic, waited_ms }.into());
            }
            Settled::NotClosed => return Err(RunError::NotClosedInTime(limit)),
        }
        self.offsets.finish()?;
        let acknowledged = self.producer.acknowledged();
        tracing::info!(
            acknowledged,
            commits = self.offsets.commits(),
            "detection stopped: all written, offsets committed"
        );
        Ok(())
    }
}

/// What a simulation moves by hand, for in it nothing happens by itself.
#[cfg(test)]
pub struct Hand<'d> {
    pub engine: &'d mut Engine,
    pub checkpoints: &'d mut crate::features::store::Checkpoints,
    pub offsets: &'d Offsets,
}

#[cfg(test)]
impl Detection {
    /// The parts that have threads of their own, and the engine.
    pub fn hand(&mut self) -> Hand<'_> {
        let Detection { engine, durable, offsets, .. } = self;
        Hand { engine, checkpoints: durable.checkpoints(), offsets }
    }
}

/// A record of our own events.
pub(super) fn input<'r>(record: Record<'r>) -> Input<'r> {
    Input { lane: record.lane, value: record.value }
}

/// A record of a topic that may have a mapping.
pub(super) fn foreign<'r>(record: Record<'r>, topics: &'r [String], mappings: &'r Mappings) -> ForeignInput<'r> {
    let topic = usize::from(record.position.topic);
    let Position { partition, offset, .. } = record.position;
    let name = topics.get(topic).map_or("", String::as_str);
    ForeignInput {
        input: input(record),
        mapping: mappings.get(topic).and_then(Option::as_ref),
        origin: Origin { topic: name, partition, offset, stamp: Some(record.stamp), key: record.key },
    }
}

/// Takes what the engine finds in one batch to Kafka.
pub struct Outputs<'o> {
    pub producer: &'o Producer,
    pub config: &'o KafkaConfig,
    pub batch: &'o Batch,
    pub ticket: usize,
    pub keys: &'o mut Keys,
    pub witness: Option<&'o dyn Witness>,
    /// The first failure; after it nothing more is written.
    pub failed: Option<KafkaError>,
}

impl Outputs<'_> {
    fn send(&mut self, cause: Option<Millis>, outgoing: &Outgoing<'_>) {
        if self.failed.is_none() {
            self.failed = self.producer.send_about(self.ticket, cause, outgoing).err();
        }
    }

    fn send_document(
        &mut self,
        topic: &str,
        key: Option<&str>,
        cause: Option<Millis>,
        document: &impl serde::Serialize,
    ) {
        match serde_json::to_vec(document) {
            Ok(value) => {
                self.send(cause, &Outgoing { topic, key: key.map(str::as_bytes), value: Some(&value), headers: &[] });
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
        self.send(None, &Outgoing { topic: &config.dead_letter_topic, key, value, headers });
    }

    fn duplicate(&mut self, _: usize) {}

    fn accepted(&mut self, input: usize, event: &Event<'_>, _: bool) {
        if let Some(record) = self.batch.record(input) {
            self.keys.count(record.position.topic, record.key, event.account.as_deref());
        }
    }

    fn contact(&mut self, _: usize, document: ContactDocument) {
        let config = self.config;
        self.send_document(&config.contacts_topic, Some(&document.account), None, &document);
    }

    fn finding(&mut self, _: usize, finding: FindingRecord) {
        if let Some(witness) = self.witness {
            witness.finding(&finding);
        }
    }

    fn alert(&mut self, input: usize, mut document: AlertDocument) {
        reach(failpoint::DECIDE_ALERT);
        if mutant::is(Mutant::CountedIds) {
            document.id = format!("al_{}_{input}", self.ticket);
        }
        let config = self.config;
        let key = document.account.clone();
        // Its latency counts from here; one that is made again was told before, or had to wait for a restart.
        let cause = self.batch.record(input).filter(|_| self.batch.again.is_none()).map(|record| record.stamp);
        self.send_document(&config.alerts_topic, key.as_deref(), cause, &Document::Alert(Box::new(document)));
    }
}

/// What a change of the rules means for what is known: who goes on, who begins anew.
fn tell_swapped(swapped: &Swapped, ruleset: &Ruleset, took: Duration, metrics: &Metrics) {
    RulesSwapped {
        digest: &ruleset.digest,
        rules: ruleset.running().count(),
        features_kept: swapped.features_kept,
        features_new: &swapped.features_new,
        took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    }
    .tell();
    tell_warming(swapped, metrics);
}

/// Which rules know too little yet.
pub fn tell_warming(swapped: &Swapped, metrics: &Metrics) {
    for (rule, until) in &swapped.warming {
        RuleWarming { rule, until: *until }.tell(metrics);
    }
}

/// Records taken so far.
pub fn taken(metrics: &Metrics) -> u64 {
    let outcomes = ["accepted", "late", "duplicate"];
    let event = |word: &&str| outcomes.map(|outcome| metrics.events.with_label_values(&[*word, outcome]).get());
    let rejected = RejectReason::WORDS.iter().map(|word| metrics.rejected.with_label_values(&[word]).get());
    EventType::WORDS.iter().flat_map(event).chain(rejected).sum()
}

/// Alerts made so far.
pub fn alerts(metrics: &Metrics) -> u64 {
    BANDS.iter().map(|band| metrics.alerts.with_label_values(&[band.word()]).get()).sum()
}

/// Everything that was counted.
pub fn summary(metrics: &Metrics) -> Summary {
    let mut summary = Summary {
        contacts: metrics.contacts.get(),
        desk_alerts: metrics.desk_alerts.with_label_values(&["new"]).get(),
        desk_known: metrics.desk_alerts.with_label_values(&["known"]).get(),
        replayed: metrics.replayed.with_label_values(&["records"]).get(),
        ..Summary::default()
    };
    for word in EventType::WORDS {
        let of = |outcome: &str| metrics.events.with_label_values(&[*word, outcome]).get();
        summary.accepted += of("accepted") + of("late");
        summary.late += of("late");
        summary.duplicates += of("duplicate");
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
    summary.alerts = alerts(metrics);
    summary.acknowledged = children(&metrics.acknowledged).map(|(_, total)| total).sum();
    for (labels, total) in children(&metrics.notices).filter(|(_, total)| *total > 0) {
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
