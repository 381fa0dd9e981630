//! A rule set and a stream as the test has them: plain Rust, made at random, shrunk, judged by the oracle.
//!
//! Guarantees: nothing here knows the engine; what the engine reads is rendered from here (see `render`), so the
//! oracle never sees a parsed rule file. Holds no meaning.

use std::collections::BTreeMap;

/// Milliseconds: a moment since 1970 or a time between two.
pub type Ms = i64;

pub const SECOND: Ms = 1000;
pub const MINUTE: Ms = 60 * SECOND;

/// A value of a field, of a feature or in a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Val {
    Missing,
    Number(f64),
    /// Minor units, and the currency.
    Money(f64, &'static str),
    Span(f64),
    /// A word, an id, an address or a text.
    Word(String),
}

impl Val {
    pub fn word(text: impl Into<String>) -> Val {
        Val::Word(text.into())
    }
}

/// An event, or a finding that is one.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: String,
    pub kind: &'static str,
    pub time: Ms,
    pub count: i64,
    pub fields: BTreeMap<&'static str, Val>,
}

impl Event {
    pub fn get(&self, field: &str) -> Val {
        match field {
            "count" => Val::Number(self.count as f64),
            _ => self.fields.get(field).cloned().unwrap_or(Val::Missing),
        }
    }
}

/// A line of the stream.
#[derive(Debug, Clone)]
pub enum Record {
    Event(Event),
    /// It cannot be used: it counts for none.
    Refused(Event),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// What a condition compares.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    Field(&'static str),
    /// A feature and the part of it, empty where it has none.
    Feature(String, String),
    Account(&'static str),
    Alias(String, &'static str),
    Literal(Val),
    Param(String, Val),
    Amount(String),
    /// `a ?? b`
    Else(Box<Term>, Box<Term>),
    /// `1.5 * a`
    Times(f64, Box<Term>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Not(Box<Expr>),
    Compare(Term, Op, Term),
    /// `not`, and the literals.
    In(Term, bool, Vec<Val>),
    /// `not`, and the list.
    InList(Term, bool, String),
    IsMissing(Term),
    IsNotMissing(Term),
    Def(String),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregate {
    Count,
    Sum,
    Rate,
    Distinct,
    Spread,
    Last,
    FirstSeen,
    Stats,
    Share,
    Decayed,
    Habit,
    Baseline,
}

impl Aggregate {
    /// Whether the event itself is among those it reads, where nothing else is said.
    pub fn is_with_current(self) -> bool {
        use Aggregate::*;
        matches!(self, Count | Sum | Rate | Distinct | Spread | Share | Decayed)
    }
}

#[derive(Debug, Clone)]
pub struct Feature {
    pub name: String,
    pub aggregate: Aggregate,
    /// `finding` stands alone.
    pub kinds: Vec<&'static str>,
    pub field: Option<&'static str>,
    pub filter: Option<Expr>,
    pub by: Vec<&'static str>,
    /// The window, or the half-life of `decayed`.
    pub over: Ms,
    /// `include`: whether the event itself is read.
    pub include: Option<bool>,
}

/// A list of accounts or of addresses; an address item may be a prefix.
#[derive(Debug, Clone)]
pub struct List {
    pub name: String,
    pub is_of_addresses: bool,
    pub items: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Exception {
    pub name: String,
    pub when: Expr,
    /// The last day it holds, days since 1970.
    pub expires: i64,
}

#[derive(Debug, Clone)]
pub enum Unless {
    Shared(String),
    Own(Exception),
}

/// An arm of a sequence: a step, or what cancels it, or what must not follow.
#[derive(Debug, Clone)]
pub struct Arm {
    pub kinds: Vec<&'static str>,
    pub filter: Option<Expr>,
}

#[derive(Debug, Clone)]
pub struct Sequence {
    pub by: Vec<&'static str>,
    pub within: Ms,
    /// The alias of each step, and the step.
    pub steps: Vec<(String, Arm)>,
    pub without: Vec<Arm>,
    /// What must not follow, and within which time.
    pub absent: Vec<(Arm, Ms)>,
}

#[derive(Debug, Clone)]
pub enum Trigger {
    /// `on` and `when`.
    When(Vec<&'static str>, Expr),
    Sequence(Sequence),
}

#[derive(Debug, Clone)]
pub struct Dedup {
    pub by: Vec<&'static str>,
    pub lasts: Ms,
}

#[derive(Debug, Clone)]
pub struct Rule {
    pub id: String,
    pub state: &'static str,
    /// Whether it tells a fact: then it has no score.
    pub informs: bool,
    /// 0 where it informs.
    pub score: u8,
    pub group: Option<String>,
    pub trigger: Trigger,
    pub unless: Vec<Unless>,
    pub dedup: Option<Dedup>,
    pub params: Vec<(String, Val)>,
}

#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    pub features: Vec<Feature>,
    pub lists: Vec<List>,
    pub amounts: Vec<(String, Vec<(&'static str, i64)>)>,
    pub defs: Vec<(String, Expr)>,
    pub exceptions: Vec<Exception>,
    pub rules: Vec<Rule>,
    /// Whether every value is asked for at every event (see `probe`).
    pub has_probes: bool,
}

/// When a batch was read, and which partitions were at their end then.
#[derive(Debug, Clone, Default)]
pub struct Read {
    pub moment: Ms,
    /// By partition; empty where nobody tells, as of a file.
    pub at_end: Vec<bool>,
}

/// What one seed makes.
#[derive(Debug, Clone)]
pub struct Case {
    pub rules: RuleSet,
    pub records: Vec<Record>,
    /// How many records are handed over at once.
    pub batch: usize,
    /// The partitions that the records are of, in turn.
    pub lanes: Vec<u16>,
    /// How the batches were read; the last one goes on.
    pub reads: Vec<Read>,
}

impl Case {
    /// The batches: how each was read, and its records with their partitions.
    pub fn batches(&self) -> impl Iterator<Item = (Read, Vec<(u16, &Record)>)> {
        let with_lanes: Vec<(u16, &Record)> = self.lanes.iter().copied().cycle().zip(&self.records).collect();
        let batches: Vec<Vec<(u16, &Record)>> = with_lanes.chunks(self.batch).map(<[_]>::to_vec).collect();
        let last = self.reads.last().cloned().unwrap_or_default();
        self.reads.clone().into_iter().chain(std::iter::repeat(last)).zip(batches)
    }
}
