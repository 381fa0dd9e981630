//! The rule set as the engine sees it: checked, typed, compiled.
//!
//! Guarantees: a value of [`Ruleset`] is consistent (names resolved, types right, tests parsed); it is
//! immutable and shared. Does not read files (`load/`), does not evaluate (`detect`).

use std::ops::Range;
use std::sync::Arc;

use super::expr::{Condition, Quantity, Ty};
use super::lists::ListSet;
use super::mutation::Kept;
use super::row::{Cell, Layout};
use super::sequence::Sequence;
use super::terms::{DefPlace, Terms};
use crate::event::{Currency, Field, Millis, TypeSet, Value};
use crate::report::{Problem, SourceFile};

/// What a name in an expression stands for, defs and params already replaced by their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Name {
    /// A field of the event.
    Field(Field),
    /// A part of a feature, by its place in [`Ruleset::features`].
    Feature(u16, Part),
    /// The decayed sum of the account's past scores.
    AccountRisk,
    /// Time since the account was first seen.
    AccountKnownFor,
    /// The account's successful logins before this event.
    AccountLogins,
    /// `amounts.NAME` in the event's own currency, by its place in [`Ruleset::amounts`].
    Amount(u16),
    /// A field of the event that took a step of the rule's sequence, by the place of the step.
    Alias(u8, Field),
    /// A field of a finding, in the `where` of a feature over findings and nowhere else.
    Finding(FindingField),
}

/// What a finding has besides the ids of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingField {
    /// The rule's id.
    Rule,
    /// The rule's group.
    Group,
    /// The rule's score.
    Score,
}

/// A part of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The value of a feature that has only one.
    Value,
    /// `.age` of `last` and `first_seen`.
    Age,
    /// A field of the event that `last` keeps.
    Field(Field),
    /// `.share` of `habit`.
    Share,
    /// `.count` of `habit` and `stats`.
    Count,
    /// `.total` of `habit`.
    Total,
    /// A field of the finding that `last` keeps.
    Finding(FindingField),
    /// `.keys` of `spread`.
    Keys,
    /// `.max_per_key` of `spread`.
    MaxPerKey,
    /// `.share(n)` of `spread`.
    ShareUpTo(u32),
    /// `.mean` of `stats` and `baseline`.
    Mean,
    /// `.stddev` of `stats` and `baseline`.
    Stddev,
    /// `.p50` of `stats`.
    P50,
    /// `.p95` of `stats`.
    P95,
    /// `.max` of `stats`.
    Max,
    /// `.now` of `baseline`.
    Now,
    /// `.ratio` of `baseline`.
    Ratio,
}

/// What a feature keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// Number of events.
    Count,
    /// Sum of a number or of money.
    Sum,
    /// Number of distinct values.
    Distinct,
    /// The newest event.
    Last,
    /// When a key was first seen.
    FirstSeen,
    /// How usual this event's value is.
    Habit,
    /// Number of events per minute.
    Rate,
    /// How attempts lie over keys.
    Spread,
    /// What amounts usually are.
    Stats,
    /// Which part of events match.
    Share,
    /// How many events this hour of the week usually has.
    Baseline,
    /// Number of events, each fading with its age.
    Decayed,
}

/// What a `distinct`, `sum`, `spread`, `stats` or `habit` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// A field of the event, `geo.…` included.
    Field(Field),
    /// The hour in the event's zone.
    Hour,
    /// The weekday in the event's zone.
    Weekday,
    /// A field of a finding.
    Finding(FindingField),
}

/// One entity state is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named after its field; subnet is /24 or /64")]
pub enum KeyField {
    Account,
    LoginName,
    Ip,
    Subnet,
    Subnet56,
    Subnet48,
    Asn,
    Country,
    Device,
    Session,
    Payee,
    Merchant,
    Client,
    AppVersion,
    All,
}

/// The entity of a feature or a dedup; a pair is kept inside its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The entity.
    pub first: KeyField,
    /// The second of a pair.
    pub second: Option<KeyField>,
}

/// One feature.
#[derive(Debug, Clone)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// What it keeps.
    pub aggregate: Aggregate,
    /// The event types it counts; none for one over findings.
    pub types: TypeSet,
    /// Whether it counts findings.
    pub of_findings: bool,
    /// What it looks at.
    pub measure: Option<Measure>,
    /// Which of these events it counts; a condition over fields, geo and lists only.
    pub filter: Option<Condition>,
    /// The entity.
    pub by: Key,
    /// The window, or the half-life of a `decayed`, ms.
    pub over_ms: i64,
    /// Whether this event is in its own window.
    pub include_current: bool,
    /// Hash of the definition: the feature's identity over renames and moves.
    pub identity: u64,
    /// The parts some rule reads, with their cells.
    pub parts: Vec<(Part, Ty, Cell)>,
    /// The event types on which some rule reads it, in condition, exceptions or explanation: elsewhere the
    /// engine leaves its slots missing. Too many types only cost time.
    pub read_on: TypeSet,
}

/// Whether a rule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Tests only.
    Draft,
    /// Evaluated, reaches nobody.
    Shadow,
    /// Evaluated and told.
    Live,
    /// Not evaluated.
    Off,
}

/// Shown, decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the usual four")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

/// Who may hear of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the three groups of people")]
pub enum Audience {
    User,
    Security,
    Operations,
}

impl Audience {
    /// The word on the wire, in metrics and in people's files.
    pub fn word(self) -> &'static str {
        match self {
            Audience::User => "user",
            Audience::Security => "security",
            Audience::Operations => "operations",
        }
    }
}

/// What is recommended to the systems downstream, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are the documentation")]
pub enum Action {
    None,
    StepUp,
    HoldPayment,
    LockSession,
    LockAccount,
}

/// An exception: where its condition is true the hit is eaten, and counted.
#[derive(Debug, Clone)]
pub struct Exception {
    /// Its name.
    pub name: String,
    /// When it holds.
    pub when: Condition,
    /// The first moment at which it no longer holds.
    pub expires: Millis,
}

/// For how long a rule stays silent about an entity it has fired for.
#[derive(Debug, Clone, Copy)]
pub struct Dedup {
    /// The entity.
    pub by: Key,
    /// How long, ms.
    pub for_ms: i64,
}

/// A piece of an explanation.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Fixed text.
    Text(String),
    /// A name's value.
    Value(Ty, Cell),
}

/// What a test expects of one of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Each event fires.
    Fire,
    /// No event fires.
    Quiet,
    /// Only the last of the repeats fires.
    FireLast,
}

/// One entry of a test's `events`.
#[derive(Debug, Clone)]
pub struct TestEntry {
    /// The event's JSON without id and time, `given` merged in. Texts may hold `{n}`.
    pub json: serde_json::Map<String, serde_json::Value>,
    /// Time after the entry before, ms.
    pub after_ms: i64,
    /// Time between repeats, ms.
    pub every_ms: i64,
    /// How often.
    pub repeat: u32,
    /// What is expected; `None`: nothing is said.
    pub expect: Option<Expect>,
    /// Where the entry stands.
    pub at: Range<usize>,
}

/// One inline test.
#[derive(Debug, Clone)]
pub struct InlineTest {
    /// Its name.
    pub name: String,
    /// Values pinned on every event of the test: where they stand in the row.
    pub set: Vec<(Ty, Cell, Value<'static>)>,
    /// The events.
    pub entries: Vec<TestEntry>,
    /// A known gap: reported, never a failure.
    pub todo: bool,
    /// Where the test stands.
    pub at: Range<usize>,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Grows with each change of meaning.
    pub revision: u32,
    /// Whether it counts.
    pub state: State,
    /// Who answers for it.
    pub owner: String,
    /// Shown.
    pub severity: Severity,
    /// 0 to 100.
    pub score: u8,
    /// Correlated rules share one.
    pub group: String,
    /// Who may hear of it, sorted.
    pub audience: Vec<Audience>,
    /// What is recommended.
    pub action: Action,
    /// The notice a user gets, where the rule names one.
    pub notice: Option<String>,
    /// Whether it tells a fact rather than a suspicion: an alert of band `info`, no score.
    pub inform: bool,
    /// The event types it looks at; of a sequence those of its last step.
    pub on: TypeSet,
    /// When it fires; never, where it has a sequence.
    pub when: Condition,
    /// The steps that make it fire.
    pub sequence: Option<Sequence>,
    /// Whether the condition or an exception reads a feature, `account.…` or a sequence: then the rule is
    /// not evaluated on a late event.
    pub reads_state: bool,
    /// Its exceptions, shared ones included.
    pub unless: Vec<Exception>,
    /// For how long it stays silent about the same entity.
    pub dedup: Option<Dedup>,
    /// The explanation.
    pub explain: Vec<Piece>,
    /// What evidence carries: the names the condition reads beyond the event's own fields, as written
    /// (`acct_last_ok.age`), sorted.
    pub evidence: Vec<(String, Ty, Cell)>,
    /// What evidence carries besides where the condition compares places.
    pub sightings: Sightings,
    /// ATT&CK ids.
    pub attack: Vec<String>,
    /// A path or a URL.
    pub runbook: String,
    /// Its tests.
    pub tests: Vec<InlineTest>,
    /// What it was compiled from.
    pub terms: Terms,
    /// The mutants that no test tells from it.
    pub kept: Vec<Kept>,
    /// The file it stands in and the bytes of its id, for reports.
    pub at: (Arc<SourceFile>, Range<usize>),
}

/// Both ends of a journey, for the evidence of a rule whose condition compares places.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    /// What is told of the event's own place: the event's fields.
    pub own: Vec<Field>,
    /// What is told of a place that a feature keeps, as a rule writes it (`acct_last_ok.geo.city`).
    pub kept: Vec<(String, Ty, Cell)>,
    /// What the condition's calls gave: `distance_km`, km, and `speed_kmh`, km/h.
    pub travel: Vec<(String, Quantity)>,
}

/// A named amount: one value per currency, minor units, sorted by currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAmount {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: Vec<(Currency, i64)>,
}

/// A whole rule set.
#[derive(Debug)]
pub struct Ruleset {
    /// `b3:` and the BLAKE3 digest of all files, in hex.
    pub digest: String,
    /// The rules, sorted by id.
    pub rules: Vec<Rule>,
    /// The features some rule reads: first those of rules that run, then those of the others, each sorted by name.
    pub features: Vec<Feature>,
    /// How many of them rules that run read.
    pub features_in_force: usize,
    /// The named amounts, sorted by name.
    pub amounts: Vec<NamedAmount>,
    /// The lists, sorted by name.
    pub lists: Vec<Arc<ListSet>>,
    /// Where the defs stand.
    pub defs: Vec<DefPlace>,
    /// Where each name's value stands in a row.
    pub layout: Layout,
    /// What is doubtful but loads.
    pub warnings: Vec<Problem>,
}
