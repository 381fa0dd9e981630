//! The engine: records in, findings and alerts out, one event after the other.
//!
//! Guarantees: the same inputs with the same moments give the same calls of the sink; an event that finds
//! nothing costs no allocation. Reads no clock and does no I/O.

use std::sync::Arc;

use smallvec::SmallVec;

use super::alert::{Cause, id as alert_id};
use super::contact::Contacts;
use super::dedup::{Entity, Fired};
use super::document::{AlertDocument, FindingDocument, Versions};
use super::duplicates::Duplicates;
use super::lateness::Lateness;
use super::output::{Counters, Left, Options, Readable, RuleOutcome, Sink};
use super::pins::{self, Pin};
use super::score::{Scored, score};
use super::sequence::{Partial, Sequences};
use super::swap::Swapped;
use super::watermark::Watermark;
use super::{finding, index::Index};
use crate::event::{Closed, Decoded, Event, Millis, Place};
use crate::features::{Banks, Finding, Ids, State, StateLimits, fill};
use crate::geo::Databases;
use crate::ruleset::row::Row;
use crate::ruleset::{self, Band, Bands, HashKey, KeyField, Rule, Ruleset};

mod cold;
mod durable;
mod explained;
mod sequences;
mod shown;

pub use durable::{RestoreError, STATE_VERSION};
pub use shown::{EntityShown, Whose};

/// Events that are decoded and looked up ahead.
const CHUNK: usize = 32;

/// One rule and entity of a sequence is looked at for so many events, to find what is idle.
const SWEEP_EVENTS_PER_SEQUENCE: usize = 8;

/// One record of a chunk.
struct Taken<'a> {
    at: usize,
    lane: u16,
    decoded: Result<Decoded<'a>, Left<'a>>,
}

type Chunk<'a> = SmallVec<[Taken<'a>; CHUNK]>;

/// The engine and its state.
#[derive(Debug)]
pub struct Engine {
    rules: Arc<Ruleset>,
    bands: Bands,
    options: Options,
    index: Index,
    state: State,
    lateness: Lateness,
    duplicates: Duplicates,
    fired: Fired,
    contacts: Contacts,
    sequences: Sequences,
    watermark: Watermark,
    /// The chains that the event at hand completes, by rule.
    completed: Vec<(u16, Partial)>,
    /// The hashes of the event at hand.
    ids: Ids,
    /// The hashes of the events of a chunk.
    chunk_ids: Vec<Ids>,
    banks: Banks,
    pins: Vec<Pin>,
    /// What was true of the event at hand, in the order of rules; memory used again.
    hits: Vec<(u16, RuleOutcome)>,
    counters: Counters,
}

impl Engine {
    /// An engine that has seen nothing. `key` must be the one the rule set was compiled with.
    pub fn new(rules: Arc<Ruleset>, bands: Bands, options: Options, key: HashKey) -> Self {
        let rules = of_rules(&rules, &options);
        let limits = limits(&rules, &options);
        Engine {
            index: Index::new(&rules, options.also),
            state: State::new(&rules, limits),
            lateness: Lateness::new(options.lateness_max_ms),
            duplicates: Duplicates::new(options.event_id_window_ms, options.event_ids_max),
            fired: Fired::new(&rules),
            contacts: Contacts::default(),
            sequences: Sequences::new(&rules, options.also, options.entities_max, key),
            watermark: Watermark::default(),
            completed: Vec::new(),
            ids: Ids::new(key),
            chunk_ids: vec![Ids::new(key); CHUNK],
            banks: Banks::new(&rules.layout),
            pins: Vec::new(),
            hits: Vec::new(),
            counters: Counters::new(rules.rules.len()),
            rules,
            bands,
            options,
        }
    }

    /// Goes over to another rule set, between two events. It must be compiled with the same key. Windows,
    /// histories and what rules are silent about go on where their definition stays.
    pub fn swap(&mut self, rules: Arc<Ruleset>, bands: Bands) -> Swapped {
        let rules = of_rules(&rules, &self.options);
        let limits = limits(&rules, &self.options);
        let cold = self.state.follow(&rules, limits, self.lateness.horizon_ms());
        self.fired.follow(&rules);
        let fresh = self.sequences.follow(&rules, self.options.also);
        self.index = Index::new(&rules, self.options.also);
        self.banks = Banks::new(&rules.layout);
        self.counters.findings = vec![[0; 3]; rules.rules.len()];
        self.counters.sequence_overflow = vec![0; rules.rules.len()];
        self.hits.clear();
        self.completed.clear();
        self.rules = rules;
        self.bands = bands;
        Swapped::new(&self.rules, &cold, &fresh, self.duplicates.newest_ms())
    }

    /// Turns what it took into history that nobody was told of: rules are silent about nothing, contacts count as
    /// never published (returns how many they were), and partitions, whose numbers were those of a file, begin anew.
    /// Windows, habits, risks, chains and event ids stay.
    pub fn nobody_heard(&mut self) -> usize {
        self.fired.forget_all();
        self.lateness = Lateness::new(self.options.lateness_max_ms);
        self.watermark = Watermark::default();
        self.contacts.forget_unpublished()
    }

    /// The newest time of an accepted event; `None` before the first.
    pub fn newest(&self) -> Option<Millis> {
        self.duplicates.newest_ms().map(Millis)
    }

    /// Pins values on every event from now on, as a rule's test may.
    pub fn pin(&mut self, pins: Vec<Pin>) {
        self.pins = pins;
    }

    /// Tells which partitions there are, by number, and which of them were at their end when the next batch was
    /// taken. A file's end is not told: it moves nothing.
    pub fn partitions(&mut self, at_end: impl Iterator<Item = bool>) {
        self.watermark.partitions(at_end);
    }

    /// Takes records in order. `moment` is when their batch was taken: it only refuses an impossible future.
    pub fn take<'a, R: Readable<'a>>(
        &mut self,
        inputs: impl IntoIterator<Item = R>,
        moment: Millis,
        geo: Option<&Databases>,
        sink: &mut impl Sink,
    ) {
        let mut inputs = inputs.into_iter().enumerate();
        let mut chunk: Chunk<'_> = SmallVec::new();
        self.watermark.begin(moment);
        loop {
            chunk.clear();
            for (at, input) in inputs.by_ref().take(CHUNK) {
                let decoded = input.read(moment, &self.options.limits);
                chunk.push(Taken { at, lane: input.lane(), decoded });
            }
            if chunk.is_empty() {
                return;
            }
            self.bring_near(&chunk);
            for (place, taken) in chunk.iter_mut().enumerate() {
                if self.state.has_failed() {
                    return;
                }
                self.record(place, taken, geo, sink);
            }
            self.state.sweep(chunk.len(), self.lateness.horizon_ms());
            self.sequences.sweep(chunk.len() / SWEEP_EVENTS_PER_SEQUENCE, self.lateness.horizon_ms());
        }
    }

    /// Looks up what the events of a chunk will need. Changes nothing.
    fn bring_near(&mut self, chunk: &Chunk<'_>) {
        self.state.forget_ahead();
        for (at, (ids, taken)) in self.chunk_ids.iter_mut().zip(chunk).enumerate() {
            ids.clear();
            if let Ok(Decoded { event, .. }) = &taken.decoded {
                self.state.note(at, event, ids);
                self.duplicates.bring_near(ids.event(event));
            }
        }
        self.state.bring_near(chunk.len());
        for one in self.state.ahead() {
            if let Some(ids) = self.chunk_ids.get_mut(one.event) {
                ids.set_place(one.kind, one.place);
            }
        }
    }

    fn record<'e>(&mut self, place: usize, taken: &mut Taken<'e>, geo: Option<&'e Databases>, sink: &mut impl Sink) {
        self.watermark.spoke(taken.lane);
        if self.sequences.is_due(&self.watermark) {
            // Partitions that are idle, or no longer, moved it.
            self.decide_absent(taken.at, geo, sink);
        }
        match &mut taken.decoded {
            Ok(decoded) => {
                // The hashes made ahead are this event's; the places are as many as a chunk is long.
                if let Some(ids) = self.chunk_ids.get_mut(place) {
                    std::mem::swap(ids, &mut self.ids);
                }
                self.event(taken.at, taken.lane, decoded, geo, sink);
            }
            Err(Left::Refused(rejection)) => {
                count(&mut self.counters.rejected, rejection.reason.index());
                sink.rejected(taken.at, rejection);
            }
            Err(Left::Ignored(reason)) => {
                match self.counters.ignored.get_mut(*reason) {
                    Some(n) => *n += 1,
                    None => drop(self.counters.ignored.insert((*reason).to_owned(), 1)),
                }
                sink.ignored(taken.at, reason);
            }
        }
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many entities of a kind are kept.
    pub fn entities(&self, kind: KeyField) -> usize {
        self.state.entities(kind)
    }

    /// How many entities of a kind were forgotten since the start, for want of room.
    pub fn forgotten(&self, kind: KeyField) -> u64 {
        self.state.forgotten(kind)
    }

    /// Memory that all entities are accounted to take, bytes: what is held against
    /// [`Options::state_memory_max_bytes`](crate::detect::Options::state_memory_max_bytes).
    pub fn accounted_bytes(&self) -> usize {
        self.state.accounted_bytes()
    }

    /// Memory of the entities of a kind, estimated, bytes.
    pub fn state_bytes(&self, kind: KeyField) -> usize {
        self.state.bytes(kind)
    }

    /// How many rules and entities have begun a sequence.
    pub fn sequences(&self) -> usize {
        self.sequences.len()
    }

    /// Memory of what has begun, estimated, bytes.
    pub fn sequence_bytes(&self) -> usize {
        self.sequences.bytes()
    }

    /// How many event ids are remembered.
    pub fn event_ids(&self) -> usize {
        self.duplicates.len()
    }

    /// The window of event ids really held, ms.
    pub fn event_ids_held_ms(&self) -> i64 {
        self.duplicates.held_ms()
    }

    fn event<'e>(
        &mut self,
        at: usize,
        lane: u16,
        decoded: &mut Decoded<'e>,
        geo: Option<&'e Databases>,
        sink: &mut impl Sink,
    ) {
        let Decoded { event, unknown_fields } = decoded;
        let id = self.ids.event(event);
        self.counters.unknown_fields += u64::from(*unknown_fields);
        if self.duplicates.is_known(id) {
            self.counters.duplicates += 1;
            count(&mut self.counters.duplicates_by_type, event.kind.index());
            return sink.duplicate(at);
        }
        self.duplicates.accept(id, event.time.0);
        let late = self.lateness.is_late(lane, event.time.0);
        self.lateness.accept(lane, event.time.0);
        self.watermark.accept(lane, event.time.0);
        if self.sequences.is_due(&self.watermark) {
            self.decide_absent(at, geo, sink);
        }
        if late {
            self.counters.late += 1;
            count(&mut self.counters.late_by_type, event.kind.index());
        }
        count(&mut self.counters.accepted, event.kind.index());
        self.locate(event, geo);
        sink.accepted(at, event, late);
        let account = self.ids.of(KeyField::Account, event);
        if let Some(document) = self.contacts.take(event, account) {
            self.counters.contacts += 1;
            sink.contact(at, document);
        }
        self.fill(event, late);
        if self.state.has_failed() {
            return;
        }
        self.judge(event, late);
        if !late {
            self.follow_sequences(event);
        }
        if !self.hits.is_empty() && self.has_account(event) {
            self.decide(at, event, geo, sink);
            if !late && self.state.takes_findings() {
                self.tell_findings(event);
            }
        }
        if !late {
            self.state.learn(event, &mut self.ids);
        }
    }

    /// Fills the event's place: its own word first, where that is trusted, then the databases', part by part.
    fn locate<'e>(&mut self, event: &mut Event<'e>, geo: Option<&'e Databases>) {
        if !self.options.geo_trust_events {
            event.geo = Place::default();
            self.ids.forget_place();
        }
        let (Some(ip), Some(databases)) = (event.ip, geo) else { return };
        let found = databases.lookup(ip);
        self.counters.geo[0] += 1;
        self.counters.geo[1] += u64::from(found == Place::default());
        event.geo.fill_from(found);
        // The hashes made ahead did not know the place yet.
        self.ids.forget_place();
    }

    /// Fills the row: fields, named amounts, features, pins.
    fn fill(&mut self, event: &Event<'_>, late: bool) {
        self.banks.clear();
        for (field, cell) in self.index.fields(event.kind) {
            fill(*field, event, &mut self.ids, *cell, &mut self.banks);
        }
        if let Some(currency) = event.amount.or(event.balance).map(|money| money.currency) {
            for (name, cell) in self.index.amounts() {
                let named = self.rules.amounts.get(usize::from(*name));
                let value = named.and_then(|n| n.values.iter().find(|(c, _)| *c == currency));
                if let Some((currency, minor)) = value {
                    self.banks.money(*cell, crate::event::Money { minor: *minor, currency: *currency });
                }
            }
        }
        if !late {
            self.state.observe(event, &mut self.ids, &mut self.banks, self.lateness.horizon_ms());
        }
        if !self.pins.is_empty() {
            pins::write(&self.pins, self.ids.key(), &mut self.banks);
        }
    }

    /// Finds what is true: condition, then exceptions, then dedup.
    fn judge(&mut self, event: &Event<'_>, late: bool) {
        self.hits.clear();
        self.completed.clear();
        let row = self.banks.row(event);
        for at in self.index.rules(event.kind) {
            let Some(rule) = self.rules.rules.get(usize::from(*at)) else { continue };
            if late && rule.reads_state || !rule.when.is_true(&row) {
                continue;
            }
            let entity = rule.dedup.and_then(|dedup| self.ids.pair(dedup.by, event));
            let hit = Hit { at: *at, rule, entity, event, row: &row };
            self.hits.push((*at, hit.outcome(&mut self.fired, self.lateness.horizon_ms())));
        }
    }

    /// Counts the findings, scores the live ones, and makes the alert where a band is reached or a rule informs.
    fn decide(&mut self, at: usize, event: &Event<'_>, geo: Option<&Databases>, sink: &mut impl Sink) {
        let rules = Arc::clone(&self.rules);
        let mut live: Vec<(u16, &Rule)> = Vec::new();
        for place in 0..self.hits.len() {
            let Some((rule_at, outcome)) = self.hits.get(place).copied() else { continue };
            let Some(rule) = rules.rules.get(usize::from(rule_at)) else { continue };
            if let Some(counts) = self.counters.findings.get_mut(usize::from(rule_at)) {
                count(counts, outcome as u8);
            }
            if self.options.findings {
                self.load_chain(rule_at);
                sink.finding(at, finding::record(rule, outcome, event, &self.banks.row(event)));
            }
            if outcome == RuleOutcome::Fired && rule.state == ruleset::State::Live {
                live.push((rule_at, rule));
            }
        }
        let scored: Vec<Scored<'_>> = live.iter().map(|(_, r)| Scored { group: &r.group, score: r.score }).collect();
        let score = score(&scored);
        let account = self.ids.of(KeyField::Account, event);
        let mut told: Vec<(u16, &Rule, f64)> =
            live.iter().zip(&score.shares).map(|((at, rule), share)| (*at, *rule, *share)).collect();
        let mut reached = self.bands.of(score.rounded).map(|band| (score.rounded, band));
        if reached.is_none() {
            // Suspicions below every band stay untold; a fact has no score and is told all the same.
            told.retain(|(_, rule, _)| rule.inform);
            reached = Some((0, Band::Info));
        }
        if let Some((rounded, band)) = reached.filter(|_| !told.is_empty()) {
            let mut fired = Vec::with_capacity(told.len());
            for (rule_at, rule, share) in told {
                self.load_chain(rule_at);
                fired.push((rule, finding::document(rule, share, &self.banks.row(event))));
            }
            let id = alert_id(&event.id, event.account.as_deref());
            let document = self.alert(event, account, id, (rounded, band), fired, geo);
            count(&mut self.counters.alerts, band as u8);
            sink.alert(at, document);
        }
        if score.exact > 0.0 {
            self.state.add_risk(account, event.time.0, score.exact);
        }
    }

    /// The alert about an event.
    fn alert(
        &self,
        event: &Event<'_>,
        account: u64,
        id: String,
        (score, band): (u8, Band),
        fired: Vec<(&Rule, FindingDocument)>,
        geo: Option<&Databases>,
    ) -> AlertDocument {
        let cause = Cause {
            event,
            id,
            fired,
            score,
            band,
            profile: self.state.profile(account),
            contact_as_of: self.contacts.as_of(account),
            no_sms_until: self.contacts.no_sms_until(account, event.time),
            versions: Versions {
                rules: self.rules.digest.clone(),
                geo: geo.and_then(Databases::date),
                walletwatch: env!("CARGO_PKG_VERSION").to_owned(),
            },
        };
        cause.document()
    }
}

impl Engine {
    /// Gives the fired findings of live rules to the features over findings, which later events read.
    fn tell_findings(&mut self, event: &Event<'_>) {
        let fired = self.hits.iter().filter(|(_, outcome)| *outcome == RuleOutcome::Fired);
        let rules = fired.filter_map(|(at, _)| self.rules.rules.get(usize::from(*at)));
        for rule in rules.filter(|rule| rule.state == ruleset::State::Live) {
            self.state.find(event, told(rule), &mut self.ids, &mut self.banks, self.lateness.horizon_ms());
        }
    }
}

/// A rule's finding as features over findings take it.
fn told(rule: &Rule) -> Finding<'_> {
    Finding { rule: &rule.id, group: &rule.group, score: rule.score }
}

/// A rule that is true of an event.
struct Hit<'h> {
    at: u16,
    rule: &'h Rule,
    /// That of the rule's dedup.
    entity: Option<Entity>,
    event: &'h Event<'h>,
    row: &'h Row<'h>,
}

impl Hit<'_> {
    /// What becomes of it: exceptions that have not expired, then dedup.
    fn outcome(self, fired: &mut Fired, horizon_ms: i64) -> RuleOutcome {
        let Hit { at, rule, entity, event, row } = self;
        if rule.unless.iter().any(|x| event.time < x.expires && x.when.is_true(row)) {
            return RuleOutcome::Excepted;
        }
        let Some(entity) = entity.filter(|_| rule.dedup.is_some()) else { return RuleOutcome::Fired };
        if fired.fires(at, entity, event.time.0, horizon_ms) { RuleOutcome::Fired } else { RuleOutcome::Repeated }
    }
}

/// What an engine needs of a rule set: all of it where a rule is asked in whatever state, else what runs.
fn of_rules(rules: &Arc<Ruleset>, options: &Options) -> Arc<Ruleset> {
    if options.also.is_some() { Arc::clone(rules) } else { rules.in_force() }
}

fn limits(rules: &Ruleset, options: &Options) -> StateLimits {
    let profiles = rules.rules.iter().any(|rule| rule.state == ruleset::State::Live);
    StateLimits {
        entities_max: options.entities_max,
        memory_bytes_max: options.state_memory_max_bytes,
        resident_bytes_max: options.state_resident_max_bytes,
        profiles,
    }
}

fn count(counts: &mut [u64], at: u8) {
    if let Some(n) = counts.get_mut(usize::from(at)) {
        *n += 1;
    }
}
