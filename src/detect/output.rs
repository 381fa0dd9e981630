//! What goes into the engine and what comes out: inputs, options, the sink, the counters.
//!
//! Guarantees: a sink is called in the order of the inputs; counters only grow. Decides nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::document::{AlertDocument, ContactDocument};
use crate::event::mapping::{Mapped, Mapping, Origin};
use crate::event::{Closed, Decoded, Event, EventType, Limits, Millis, RejectReason, Rejection, decode};
use crate::features::NO_CEILING;
use crate::ruleset::Band;

/// How late an event may be and still be counted, ms.
pub const LATENESS_MS_MAX: i64 = 600_000;
/// For how long an event's id is remembered, ms of event time.
pub const EVENT_ID_WINDOW_MS: i64 = 600_000;
/// How many ids are remembered, at most.
pub const EVENT_IDS_MAX: usize = 4_000_000;
/// Entities of one kind, at most; beyond it those that came only once are forgotten first, then the idle.
pub const ENTITIES_MAX: usize = 20_000_000;

/// One record's value.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The partition it came from, numbered over all topics; a file is one lane.
    pub lane: u16,
    /// The bytes; `None` is a null value.
    pub value: Option<&'a [u8]>,
}

/// One record of a topic that may hold another system's records.
#[derive(Debug, Clone, Copy)]
pub struct ForeignInput<'a> {
    /// The record.
    pub input: Input<'a>,
    /// How its topic's records are read; `None`: they are our own events.
    pub mapping: Option<&'a Mapping>,
    /// What is known of the record beside its value.
    pub origin: Origin<'a>,
}

/// A record that the engine can read.
pub trait Readable<'a> {
    /// The partition it came from, numbered over all topics.
    fn lane(&self) -> u16;
    /// The event it holds, or why there is none. `moment` is when its batch was taken.
    fn read(&self, moment: Millis, limits: &Limits) -> Result<Decoded<'a>, Left<'a>>;
}

/// Why a record is no event.
#[derive(Debug)]
pub enum Left<'a> {
    /// It cannot be used.
    Refused(Rejection),
    /// A mapping leaves it out on purpose, for this reason.
    Ignored(&'a str),
}

impl<'a> Readable<'a> for Input<'a> {
    #[inline]
    fn lane(&self) -> u16 {
        self.lane
    }

    #[inline]
    fn read(&self, moment: Millis, limits: &Limits) -> Result<Decoded<'a>, Left<'a>> {
        decode(self.value, moment, limits).map_err(Left::Refused)
    }
}

impl<'a> Readable<'a> for ForeignInput<'a> {
    fn lane(&self) -> u16 {
        self.input.lane
    }

    fn read(&self, moment: Millis, limits: &Limits) -> Result<Decoded<'a>, Left<'a>> {
        let Some(mapping) = self.mapping else { return self.input.read(moment, limits) };
        match mapping.decode(self.input.value, &self.origin, moment, limits) {
            Ok(Mapped::Event(decoded)) => Ok(decoded),
            Ok(Mapped::Ignored(reason)) => Err(Left::Ignored(reason)),
            Err(rejection) => Err(Left::Refused(rejection)),
        }
    }
}

/// How the engine runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether an event's own `geo` stands before the databases'.
    pub geo_trust_events: bool,
    /// How late an event may be and still be counted, ms.
    pub lateness_max_ms: i64,
    /// For how long an event's id is remembered, ms of event time.
    pub event_id_window_ms: i64,
    /// How many ids are remembered, at most.
    pub event_ids_max: usize,
    /// Entities of one kind, at most.
    pub entities_max: usize,
    /// Memory that all entities may be accounted to take, bytes: above it those that came only once are forgotten, then
    /// the idle. [`NO_CEILING`]: it is not asked. Chains, contacts and event ids have limits of their own.
    pub state_memory_max_bytes: usize,
    /// Memory that entities may take beside a store to which they leave, bytes. Who leaves changes no result; half of it
    /// is for the notes of those that left, and entities for which it has no note are forgotten, store or not.
    /// [`NO_CEILING`]: it is not asked.
    pub state_resident_max_bytes: usize,
    /// What a record may be at most.
    pub limits: Limits,
    /// Whether findings are handed to the sink: `replay --findings` and tests want them.
    pub findings: bool,
    /// A rule that is evaluated in whatever state, by its place in the rule set: a test's own rule.
    pub also: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            geo_trust_events: true,
            lateness_max_ms: LATENESS_MS_MAX,
            event_id_window_ms: EVENT_ID_WINDOW_MS,
            event_ids_max: EVENT_IDS_MAX,
            entities_max: ENTITIES_MAX,
            state_memory_max_bytes: NO_CEILING,
            state_resident_max_bytes: NO_CEILING,
            limits: Limits::default(),
            findings: false,
            also: None,
        }
    }
}

/// What became of a rule whose condition was true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleOutcome {
    /// A finding.
    Fired,
    /// It had fired for the same entity within its `dedup` time.
    Repeated,
    /// An exception was true.
    Excepted,
}

/// One line of `replay --findings`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FindingRecord {
    /// The event's id.
    pub event: String,
    /// Event time, RFC 3339.
    pub time: String,
    /// The account.
    pub account: Option<String>,
    /// The rule.
    pub rule: String,
    /// Its revision.
    pub revision: u32,
    /// `live`, `shadow` or `draft`.
    pub state: &'static str,
    /// What became of it.
    pub outcome: RuleOutcome,
    /// The entity of the rule's dedup, empty where there is none.
    pub by: BTreeMap<String, serde_json::Value>,
    /// The rule's score where it fired and is live, else 0.
    pub score: u8,
    /// As in [`FindingDocument::evidence`](super::document::FindingDocument::evidence).
    pub evidence: BTreeMap<String, serde_json::Value>,
}

/// Where results go. `input` is the place of the record among the inputs of one `take`.
pub trait Sink {
    /// The record cannot be used.
    fn rejected(&mut self, input: usize, rejection: &Rejection);
    /// A mapping leaves the record out on purpose, for this reason.
    fn ignored(&mut self, _input: usize, _reason: &str) {}
    /// The event was seen before: nothing was done with it.
    fn duplicate(&mut self, input: usize);
    /// The event was taken; its place is filled. `late`: it updated no feature.
    fn accepted(&mut self, input: usize, event: &Event<'_>, late: bool);
    /// What is known of an account's contact changed. Before the event's alert, if it makes one.
    fn contact(&mut self, input: usize, document: ContactDocument);
    /// A rule's condition was true; only where [`Options::findings`] asks for it. In the order of rule ids,
    /// before the event's alert.
    fn finding(&mut self, input: usize, record: FindingRecord);
    /// The event reached a band.
    fn alert(&mut self, input: usize, document: AlertDocument);
}

/// What the engine has counted since its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Accepted events, by the index of their type. Late ones are among them, duplicates are not.
    pub accepted: [u64; EventType::WORDS.len()],
    /// Records whose event had been accepted before.
    pub duplicates: u64,
    /// The same, by the index of the event's type.
    pub duplicates_by_type: [u64; EventType::WORDS.len()],
    /// Accepted events that were late.
    pub late: u64,
    /// The same, by the index of the event's type.
    pub late_by_type: [u64; EventType::WORDS.len()],
    /// Refused records, by the index of the reason.
    pub rejected: [u64; RejectReason::WORDS.len()],
    /// Records that a mapping leaves out on purpose, by its reason.
    pub ignored: BTreeMap<String, u64>,
    /// Fields that were dropped because the schema or the event's type does not have them.
    pub unknown_fields: u64,
    /// Findings, by the place of the rule in the rule set: fired, repeated, excepted. A change of the rules begins
    /// them anew.
    pub findings: Vec<[u64; 3]>,
    /// Partials of a sequence that went for want of room, by the place of the rule; as findings.
    pub sequence_overflow: Vec<u64>,
    /// Rules and entities whose sequences were forgotten because there were too many.
    pub sequences_forgotten: u64,
    /// Alerts, by the index of their band, `info` first.
    pub alerts: [u64; 5],
    /// Contact documents.
    pub contacts: u64,
    /// Addresses the databases were asked for, and how often they knew nothing.
    pub geo: [u64; 2],
}

impl Counters {
    /// Nothing counted yet, for a rule set of `rules` rules.
    pub fn new(rules: usize) -> Self {
        Counters {
            accepted: [0; EventType::WORDS.len()],
            duplicates: 0,
            duplicates_by_type: [0; EventType::WORDS.len()],
            late: 0,
            late_by_type: [0; EventType::WORDS.len()],
            rejected: [0; RejectReason::WORDS.len()],
            ignored: BTreeMap::new(),
            unknown_fields: 0,
            findings: vec![[0; 3]; rules],
            sequence_overflow: vec![0; rules],
            sequences_forgotten: 0,
            alerts: [0; 5],
            contacts: 0,
            geo: [0; 2],
        }
    }

    /// All accepted events.
    pub fn accepted_total(&self) -> u64 {
        self.accepted.iter().sum()
    }

    /// All refused records.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.iter().sum()
    }

    /// All records that mappings leave out.
    pub fn ignored_total(&self) -> u64 {
        self.ignored.values().sum()
    }

    /// Alerts of one band.
    pub fn alerts_of(&self, band: Band) -> u64 {
        self.alerts.get(band as usize).copied().unwrap_or_default()
    }
}
