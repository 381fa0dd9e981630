//! What detection counts and keeps, as metrics.
//!
//! Guarantees: the children of every label are made once; a batch costs no lookup of a metric and no allocation;
//! what a scrape reads are atomics, so it never waits for detection. Decides nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use prometheus::IntGauge;

use crate::detect::{Counters, Engine, Options};
use crate::event::{Closed, EventType, RejectReason};
use crate::ingest::kafka::consumer::BATCHES_MAX;
use crate::ingest::kafka::options::UNACKNOWLEDGED_RECORDS_MAX;
use crate::ingest::keys::Keys;
use crate::ruleset::{Band, KeyField, Rule, Ruleset, State};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{Growth, whole};

/// How often the state is looked at.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The bands, by their index.
pub const BANDS: [Band; 5] = [Band::Info, Band::Low, Band::Medium, Band::High, Band::Critical];

/// The engine's counts, on their way to the metrics.
pub struct EngineCounts {
    metrics: Metrics,
    /// By type: accepted in time, late, duplicate.
    events: Vec<[Growth; 3]>,
    rejected: Vec<Growth>,
    /// By the reasons of mappings, as they come.
    ignored: BTreeMap<String, Growth>,
    unknown_fields: Growth,
    /// By rule: fired, repeated, excepted.
    findings: Vec<Option<[Growth; 3]>>,
    /// By rule; those without a sequence have none.
    sequence_overflow: Vec<Option<Growth>>,
    sequences_forgotten: Growth,
    alerts: Vec<Growth>,
    contacts: Growth,
    /// Found, unknown.
    geo: [Growth; 2],
    /// Records, alerts, contacts, dead letters.
    replayed: [Growth; 4],
}

/// Whether what is counted was counted before, by the process that crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// For the first time.
    Live,
    /// As it was logged before a crash.
    Again,
}

impl Taken {
    /// The total of something that is counted once.
    fn reach(self, growth: &mut Growth, total: u64) {
        match self {
            Taken::Live => growth.reach(total),
            Taken::Again => growth.pass(total),
        }
    }

    /// The same of each of several.
    fn reach_all(self, growths: &mut [Growth], totals: &[u64]) {
        growths.iter_mut().zip(totals).for_each(|(growth, total)| self.reach(growth, *total));
    }

    /// The total of what is counted as replayed.
    fn replay(self, growth: &mut Growth, total: u64) {
        match self {
            Taken::Live => growth.pass(total),
            Taken::Again => growth.reach(total),
        }
    }
}

impl EngineCounts {
    /// Of an engine that has counted nothing yet.
    pub fn new(metrics: &Metrics, rules: &Ruleset) -> Self {
        let event = |word: &&str| {
            ["accepted", "late", "duplicate"]
                .map(|outcome| Growth::new(metrics.events.with_label_values(&[*word, outcome])))
        };
        let reason = |word: &&str| Growth::new(metrics.rejected.with_label_values(&[*word]));
        let band = |band: Band| Growth::new(metrics.alerts.with_label_values(&[band.word()]));
        let mut counts = EngineCounts {
            events: EventType::WORDS.iter().map(event).collect(),
            rejected: RejectReason::WORDS.iter().map(reason).collect(),
            ignored: BTreeMap::new(),
            unknown_fields: Growth::new(metrics.unknown_fields.clone()),
            findings: Vec::new(),
            sequence_overflow: Vec::new(),
            sequences_forgotten: Growth::new(metrics.sequences_forgotten.clone()),
            alerts: BANDS.into_iter().map(band).collect(),
            contacts: Growth::new(metrics.contacts.clone()),
            geo: ["found", "unknown"].map(|outcome| Growth::new(metrics.geo.with_label_values(&[outcome]))),
            replayed: ["records", "alerts", "contacts", "dead_letters"]
                .map(|what| Growth::new(metrics.replayed.with_label_values(&[what]))),
            metrics: metrics.clone(),
        };
        counts.rules(rules);
        counts
    }

    /// Takes a rule set that came into force; the engine counts its findings from 0 on.
    pub fn rules(&mut self, rules: &Ruleset) {
        let counter = |rule: &Rule| {
            // A rule that is not asked has no findings to count.
            rule.state.runs().then(|| {
                ["fired", "repeated", "excepted"].map(|outcome| {
                    let labels = [rule.id.as_str(), state_word(rule.state), outcome];
                    Growth::new(self.metrics.findings.with_label_values(&labels))
                })
            })
        };
        self.findings = rules.rules.iter().map(counter).collect();
        let overflow = |rule: &Rule| {
            let children = &self.metrics.sequence_overflow;
            let is_counted = rule.sequence.is_some() && rule.state.runs();
            is_counted.then(|| Growth::new(children.with_label_values(&[rule.id.as_str()])))
        };
        self.sequence_overflow = rules.rules.iter().map(overflow).collect();
        let mut states = BTreeMap::new();
        for rule in &rules.rules {
            *states.entry(state_word(rule.state)).or_default() += 1;
        }
        self.metrics.rules_in_force(&rules.digest, &states);
    }

    /// A batch was taken: its counts.
    pub fn take(&mut self, counters: &Counters, taken: Taken) {
        if taken == Taken::Live {
            self.metrics.batches.inc();
        }
        let types = counters.accepted.iter().zip(&counters.late_by_type).zip(&counters.duplicates_by_type);
        for (growths, ((accepted, late), duplicates)) in self.events.iter_mut().zip(types) {
            taken.reach_all(growths, &[accepted.saturating_sub(*late), *late, *duplicates]);
        }
        taken.reach_all(&mut self.rejected, &counters.rejected);
        for (reason, total) in &counters.ignored {
            let made = || Growth::new(self.metrics.ignored.with_label_values(&[reason]));
            match self.ignored.get_mut(reason) {
                Some(growth) => taken.reach(growth, *total),
                None => taken.reach(self.ignored.entry(reason.clone()).or_insert_with(made), *total),
            }
        }
        taken.reach(&mut self.unknown_fields, counters.unknown_fields);
        for (growths, totals) in self.findings.iter_mut().zip(&counters.findings) {
            growths.iter_mut().for_each(|growths| taken.reach_all(growths, totals));
        }
        for (growth, total) in self.sequence_overflow.iter_mut().zip(&counters.sequence_overflow) {
            growth.iter_mut().for_each(|growth| taken.reach(growth, *total));
        }
        taken.reach(&mut self.sequences_forgotten, counters.sequences_forgotten);
        taken.reach_all(&mut self.alerts, &counters.alerts);
        taken.reach(&mut self.contacts, counters.contacts);
        let [asked, unknown] = counters.geo;
        taken.reach_all(&mut self.geo, &[asked.saturating_sub(unknown), unknown]);
        let rejected = counters.rejected_total();
        let records = counters.accepted_total() + counters.duplicates + rejected + counters.ignored_total();
        let again = [records, counters.alerts.iter().sum(), counters.contacts, rejected];
        self.replayed.iter_mut().zip(again).for_each(|(growth, total)| taken.replay(growth, total));
    }
}

/// Whether the records' keys are their accounts, on its way to the metrics.
pub struct KeyCounts {
    /// By topic: records with an account, and those with another key.
    topics: Vec<[Growth; 2]>,
}

impl KeyCounts {
    /// Of so many topics, nothing counted yet.
    pub fn new(metrics: &Metrics, topics: &[String]) -> Self {
        let topic = |topic: &String| {
            [&metrics.with_account, &metrics.other_keys].map(|family| Growth::new(family.with_label_values(&[topic])))
        };
        KeyCounts { topics: topics.iter().map(topic).collect() }
    }

    /// A batch was taken.
    pub fn take(&mut self, keys: &Keys, taken: Taken) {
        for (growths, totals) in self.topics.iter_mut().zip(keys.totals()) {
            taken.reach_all(growths, &totals);
        }
    }
}

/// What the engine keeps, and what stands in front of it and behind it, looked at between two batches.
pub struct StateGauges {
    metrics: Metrics,
    /// Count and bytes of each kind of entity that was ever there.
    kinds: Vec<(KeyField, IntGauge, IntGauge)>,
    /// Count and bytes of the chains of sequences.
    sequences: [IntGauge; 2],
    moves: Moves,
    queues: [IntGauge; 2],
    looked: Option<Instant>,
}

impl StateGauges {
    /// Nothing kept yet; the limits are told at once.
    pub fn new(metrics: &Metrics, options: &Options, resident_bytes_max: usize) -> Self {
        metrics.state_resident_limit.set(whole(resident_bytes_max));
        metrics.entities_limit.set(whole(options.entities_max));
        metrics.event_ids_limit.set(whole(options.event_ids_max));
        let queues = [("batches", BATCHES_MAX), ("acknowledgements", UNACKNOWLEDGED_RECORDS_MAX)];
        let queue = |(name, capacity): (&str, usize)| {
            metrics.queue_capacity.with_label_values(&[name]).set(whole(capacity));
            metrics.queue_length.with_label_values(&[name])
        };
        let kind = |kind: KeyField| {
            let labels = &[kind.name()];
            (kind, metrics.entities.with_label_values(labels), metrics.state_bytes.with_label_values(labels))
        };
        let kinds = KeyField::all().map(kind).collect();
        let sequences = [&metrics.entities, &metrics.state_bytes].map(|gauges| gauges.with_label_values(&["sequence"]));
        let (metrics, moves, queues) = (metrics.clone(), Moves::new(metrics), queues.map(queue));
        StateGauges { metrics, kinds, sequences, moves, queues, looked: None }
    }

    /// Whether it is time to look; then the next time is later.
    pub fn are_due(&mut self, now: Instant) -> bool {
        let are_due = self.looked.is_none_or(|at| now.saturating_duration_since(at) >= REFRESH_INTERVAL);
        if are_due {
            self.looked = Some(now);
        }
        are_due
    }

    /// Looks. `batches` and `unacknowledged` stand in the queues.
    pub fn refresh(&mut self, engine: &Engine, batches: usize, unacknowledged: u64) {
        for (kind, entities, bytes) in &self.kinds {
            entities.set(whole(engine.entities(*kind)));
            bytes.set(whole(engine.state_bytes(*kind)));
        }
        let [chains, bytes] = &self.sequences;
        chains.set(whole(engine.sequences()));
        bytes.set(whole(engine.sequence_bytes()));
        self.moves.reach(engine);
        self.metrics.event_ids.set(whole(engine.event_ids()));
        self.metrics.event_ids_held.set(engine.event_ids_held_ms() as f64 / 1000.0);
        let [waiting, sent] = &self.queues;
        // The one the reader holds is not in the queue.
        waiting.set(whole(batches.min(BATCHES_MAX)));
        sent.set(i64::try_from(unacknowledged).unwrap_or(i64::MAX));
    }
}

/// Where entities are, on its way to the metrics.
struct Moves {
    /// By kind: how many are away, left, came back.
    kinds: Vec<(KeyField, IntGauge, [Growth; 2])>,
    resident: IntGauge,
}

impl Moves {
    fn new(metrics: &Metrics) -> Self {
        let kind = |kind: KeyField| {
            let labels = &[kind.name()];
            let growths = [&metrics.state_left, &metrics.state_came_back];
            let growths = growths.map(|family| Growth::new(family.with_label_values(labels)));
            (kind, metrics.state_away.with_label_values(labels), growths)
        };
        Moves { kinds: KeyField::all().map(kind).collect(), resident: metrics.state_resident.clone() }
    }

    fn reach(&mut self, engine: &Engine) {
        for (kind, away, growths) in &mut self.kinds {
            let residence = engine.residence(*kind);
            away.set(whole(residence.away));
            let [left, came_back] = growths;
            left.reach(residence.left);
            came_back.reach(residence.came_back);
        }
        self.resident.set(whole(engine.resident_bytes()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_again_is_replayed_and_nothing_else() {
        let metrics = Metrics::new().expect("metrics");
        let reach = |growth: &mut [Growth; 2], total, taken: Taken| {
            let [once, replayed] = growth;
            taken.reach(once, total);
            taken.replay(replayed, total);
        };
        let mut growth = ["alerts", "records"].map(|what| Growth::new(metrics.replayed.with_label_values(&[what])));
        for (total, taken) in
            [(3, Taken::Again), (3, Taken::Again), (5, Taken::Again), (9, Taken::Live), (10, Taken::Live)]
        {
            reach(&mut growth, total, taken);
        }
        let counted = |what| metrics.replayed.with_label_values(&[what]).get();
        assert_eq!((counted("alerts"), counted("records")), (5, 5), "each once: live, and again");
    }
}
