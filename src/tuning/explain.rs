//! Why a rule fires on an event or does not: each term with its value and true, false or unknown.
//!
//! Guarantees: terms are judged by closures that the production compiler makes, on the row of the production
//! engine; history goes through that engine too. Does not print.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::detect::document::{AlertDocument, ContactDocument};
use crate::detect::{Chain, Engine, FindingRecord, Input, Options, RuleOutcome, Sink};
use crate::event::{Closed, Currency, Decoded, Event, EventType, Millis, Rejection, TypeSet, Value, decode};
use crate::geo::Databases;
use crate::ruleset::expr::{self, Function, Node, Ty, Typed, one_line};
use crate::ruleset::row::{Layout, Row};
use crate::ruleset::{Bands, HashKey, Name, Rule, Ruleset, State};

/// The moment of whoever does not say one: no time is in the future of what is explained.
const MOMENT: Millis = Millis(i64::MAX / 2);

/// What is known of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Something it compares is missing.
    Unknown,
}

impl Truth {
    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Truth::True => "true",
            Truth::False => "false",
            Truth::Unknown => "unknown",
        }
    }
}

/// One condition of a tree of conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// As it was written, in one line; of `and`, `or` and `not` that word.
    pub text: String,
    /// The def it is, where it is one.
    pub def: Option<String>,
    /// What is known of it.
    pub truth: Truth,
    /// The values it compares: as written, and what they are.
    pub values: Vec<(String, Value<'static>)>,
    /// What stands below.
    pub parts: Vec<Term>,
}

/// One exception.
#[derive(Debug, Clone, PartialEq)]
pub struct Excepted {
    /// Its name.
    pub name: String,
    /// Whether it had ended at the event's time.
    pub has_expired: bool,
    /// Its condition.
    pub term: Term,
}

/// One step of a chain of events.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The event types that take it.
    pub on: Vec<&'static str>,
    /// Chains that stood behind it before the event.
    pub before: usize,
    /// Chains that stand behind it now.
    pub now: usize,
    /// When the newest of them took it, RFC 3339.
    pub newest: Option<String>,
    /// The step's condition on the event, where the event's type takes the step and it has one.
    pub filter: Option<Term>,
    /// When the chain began and last went on that the condition is judged after: the newest before the event. `None`:
    /// there was none, and what the condition reads of steps is missing.
    pub after: Option<(String, String)>,
}

/// What must not follow a chain of events.
#[derive(Debug, Clone, PartialEq)]
pub struct Absent {
    /// The event types that count as following.
    pub on: Vec<&'static str>,
    /// For how long after the last step.
    pub within: Value<'static>,
    /// Its condition as it was written, in one line.
    pub filter: Option<String>,
}

/// How it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The condition was true.
    Hit(RuleOutcome),
    /// The condition was not true.
    NotTrue,
    /// The rule does not look at events of this type.
    OtherType,
    /// The event is late, and the rule reads what is kept.
    Late,
    /// An event of this id was there before.
    Duplicate,
}

/// A rule on an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The event's id.
    pub event: String,
    /// Its type.
    pub kind: &'static str,
    /// Its time, RFC 3339.
    pub time: String,
    /// How it came out.
    pub outcome: Outcome,
    /// The condition; `None` of a rule that waits for a chain of events.
    pub when: Option<Term>,
    /// The steps of the chain that the rule waits for; empty of a rule with a condition.
    pub steps: Vec<Step>,
    /// What must not follow the chain: it is decided when that time has passed.
    pub absent: Vec<Absent>,
    /// The exceptions.
    pub unless: Vec<Excepted>,
    /// Until when the rule was silent about what the event is about, before it.
    pub silent_until: Option<String>,
    /// The alert, where there is one: score and band of the event.
    pub alert: Option<(u8, &'static str)>,
    /// The findings of all rules on the event, by rule.
    pub findings: Vec<(String, RuleOutcome)>,
}

/// What history was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// Events counted.
    pub events: u64,
    /// Lines that are no event.
    pub refused: u64,
    /// Events seen before.
    pub duplicates: u64,
}

/// An engine that goes through a history and then explains an event.
pub struct Explainer {
    rules: Arc<Ruleset>,
    rule: usize,
    key: HashKey,
    engine: Engine,
    /// The moment after which a time is in the future.
    moment: Millis,
    /// What tells the place of an event that does not say it.
    geo: Option<Arc<Databases>>,
    /// What the history was so far.
    pub history: History,
}

impl Explainer {
    /// One for a rule, by its place in the rule set. `key` must be the one it was compiled with; `moment`: the one
    /// after which a time is in the future, none where no time is.
    pub fn new(rules: &Arc<Ruleset>, bands: Bands, key: HashKey, rule: usize, moment: Option<Millis>) -> Self {
        let options = Options { findings: true, also: Some(rule), ..Options::default() };
        let engine = Engine::new(Arc::clone(rules), bands, options, key);
        let moment = moment.unwrap_or(MOMENT);
        Explainer { rules: Arc::clone(rules), rule, key, engine, moment, geo: None, history: History::default() }
    }

    /// With databases that tell what the events' own places lack.
    #[must_use]
    pub fn with_geo(mut self, databases: Databases) -> Self {
        self.geo = Some(Arc::new(databases));
        self
    }

    /// Takes an event of the history.
    pub fn remember(&mut self, json: &[u8]) {
        let mut told = Told::default();
        self.engine.take([Input { lane: 0, value: Some(json) }], self.moment, self.geo.as_deref(), &mut told);
        self.history.refused += u64::from(told.rejection.is_some());
        self.history.duplicates += u64::from(told.is_duplicate);
        self.history.events += u64::from(told.rejection.is_none() && !told.is_duplicate);
    }

    /// Takes the event and explains on it the rule this was made for; the error: it is none.
    pub fn explain(&mut self, rule: &Rule, json: &[u8]) -> Result<Explanation, Rejection> {
        let Decoded { mut event, .. } = decode(Some(json), self.moment, &Options::default().limits)?;
        let geo = self.geo.clone();
        if let (Some(ip), Some(databases)) = (event.ip, geo.as_deref()) {
            // As the engine does it: its row holds no texts.
            event.geo.fill_from(databases.lookup(ip));
        }
        let silent_until = self.engine.silent_until(self.rule, &event).map(|until| until.rfc3339());
        let before = self.engine.chains(self.rule, &event);
        let chains = self.engine.newest_chains(self.rule, &event);
        let mut told = Told::default();
        self.engine.take([Input { lane: 0, value: Some(json) }], self.moment, geo.as_deref(), &mut told);
        let now = self.engine.chains(self.rule, &event);
        let row = self.engine.row(&event);
        let mut terms = Terms { rules: &self.rules, layout: self.rules.layout.clone(), key: self.key, row };
        let is_asked = rule.on.has(event.kind);
        let when = rule.terms.when.as_ref().filter(|_| is_asked).map(|typed| terms.term(typed));
        let unless = rule.unless.iter().zip(&rule.terms.unless).filter(|_| is_asked);
        let unless = unless.map(|(exception, typed)| Excepted {
            name: exception.name.clone(),
            has_expired: event.time >= exception.expires,
            term: terms.term(typed),
        });
        let unless = unless.collect();
        let mut steps = steps(rule, &before, &now);
        self.judge(rule, &event, &chains, &mut steps);
        Ok(Explanation {
            event: event.id.clone().into_owned(),
            kind: event.kind.word(),
            time: event.time.rfc3339(),
            outcome: outcome(rule, &event, &told),
            when,
            steps,
            absent: absent(rule),
            unless,
            silent_until,
            alert: told.alert,
            findings: told.findings,
        })
    }
}

impl Explainer {
    /// Judges the conditions of the steps that an event's type takes, each after the newest chain before it.
    fn judge(&mut self, rule: &Rule, event: &Event<'_>, chains: &[Option<Chain>], steps: &mut [Step]) {
        let Some(sequence) = &rule.sequence else { return };
        let of_steps = sequence.steps.iter().zip(&rule.terms.steps).zip(steps);
        for (at, ((step, typed), told)) in of_steps.enumerate() {
            let chain = at.checked_sub(1).and_then(|before| chains.get(before)?.as_ref());
            let Some(typed) = typed.as_ref().filter(|_| step.types.has(event.kind)) else { continue };
            let row = self.engine.row_after(self.rule, chain, event);
            let mut terms = Terms { rules: &self.rules, layout: self.rules.layout.clone(), key: self.key, row };
            told.filter = Some(terms.term(typed));
            let time = |ms: i64| Millis(ms).rfc3339();
            told.after = chain.map(|chain| (time(chain.first_ms()), time(chain.last_ms())));
        }
    }
}

fn steps(rule: &Rule, before: &[(usize, Option<Millis>)], now: &[(usize, Option<Millis>)]) -> Vec<Step> {
    let Some(sequence) = &rule.sequence else { return Vec::new() };
    let both = before.iter().zip(now);
    let told = sequence.steps.iter().zip(both).map(|(step, ((before, _), (now, newest)))| Step {
        on: step.types.iter().map(EventType::word).collect(),
        before: *before,
        now: *now,
        newest: newest.map(|time| time.rfc3339()),
        filter: None,
        after: None,
    });
    told.collect()
}

fn absent(rule: &Rule) -> Vec<Absent> {
    let Some(sequence) = &rule.sequence else { return Vec::new() };
    let items = sequence.absent.iter().zip(&rule.terms.absent);
    let told = items.map(|(item, typed)| Absent {
        on: item.types.iter().map(EventType::word).collect(),
        within: Value::Duration(item.within_ms),
        filter: typed.as_ref().map(|typed| one_line(typed.text())),
    });
    told.collect()
}

fn outcome(rule: &Rule, event: &Event<'_>, told: &Told) -> Outcome {
    let hit = told.findings.iter().find(|(id, _)| *id == rule.id);
    match hit {
        Some((_, outcome)) => Outcome::Hit(*outcome),
        None if told.is_duplicate => Outcome::Duplicate,
        None if !looks_at(rule).has(event.kind) => Outcome::OtherType,
        None if told.is_late && rule.reads_state => Outcome::Late,
        None => Outcome::NotTrue,
    }
}

/// The event types that mean something to a rule.
pub fn looks_at(rule: &Rule) -> TypeSet {
    rule.sequence.as_ref().map_or(rule.on, |sequence| sequence.types())
}

/// What the engine told of one event.
#[derive(Default)]
struct Told {
    rejection: Option<Rejection>,
    is_duplicate: bool,
    is_late: bool,
    findings: Vec<(String, RuleOutcome)>,
    alert: Option<(u8, &'static str)>,
}

impl Sink for Told {
    fn rejected(&mut self, _: usize, rejection: &Rejection) {
        self.rejection = Some(rejection.clone());
    }
    fn duplicate(&mut self, _: usize) {
        self.is_duplicate = true;
    }
    fn accepted(&mut self, _: usize, _: &Event<'_>, late: bool) {
        self.is_late = late;
    }
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, record: FindingRecord) {
        self.findings.push((record.rule, record.outcome));
    }
    fn alert(&mut self, _: usize, document: AlertDocument) {
        self.alert = Some((document.score, document.band.word()));
    }
}

/// The comparisons that left a rule's condition unknown on the last event an engine took, which must be this one; of
/// a rule that waits for a chain, and where the condition is true or false, none.
pub(super) fn unknown_of(engine: &Engine, rules: &Ruleset, key: HashKey, rule: &Rule, event: &Event<'_>) -> Vec<Term> {
    let Some(typed) = rule.terms.when.as_ref().filter(|_| rule.on.has(event.kind)) else { return Vec::new() };
    let mut terms = Terms { rules, layout: rules.layout.clone(), key, row: engine.row(event) };
    let mut found = Vec::new();
    terms.term(typed).unknown(&mut found);
    found
}

/// Judges terms on a row.
struct Terms<'r> {
    rules: &'r Ruleset,
    layout: Layout,
    key: HashKey,
    row: Row<'r>,
}

impl Terms<'_> {
    fn term(&mut self, typed: &Typed) -> Term {
        let def = self.def(typed);
        let (text, parts) = match &typed.node {
            Node::And(parts) => ("and".to_owned(), parts.iter().map(|part| self.term(part)).collect()),
            Node::Or(parts) => ("or".to_owned(), parts.iter().map(|part| self.term(part)).collect()),
            Node::Not(inner) if matches!(inner.node, Node::And(_) | Node::Or(_) | Node::Not(_)) => {
                ("not".to_owned(), vec![self.term(inner)])
            }
            _ => (one_line(typed.text()), Vec::new()),
        };
        let mut values = Vec::new();
        if parts.is_empty() {
            typed.parts().into_iter().for_each(|part| self.values(part, true, &mut values));
            if let Node::Name(_) = typed.node {
                self.values(typed, true, &mut values);
            }
        }
        Term { text, def, truth: self.truth(typed), values, parts }
    }

    /// The name of the def that a tree is.
    fn def(&self, typed: &Typed) -> Option<String> {
        let (file, span) = &typed.at;
        let is_it = |def: &&crate::ruleset::DefPlace| def.at.0.path == file.path && def.at.1 == *span;
        self.rules.defs.iter().find(is_it).map(|def| def.name.clone())
    }

    fn truth(&mut self, typed: &Typed) -> Truth {
        let negated = Typed { node: Node::Not(Box::new(typed.clone())), ..typed.clone() };
        let is_true = expr::compile(typed, &mut self.layout, self.key).is_true(&self.row);
        let is_false = expr::compile(&negated, &mut self.layout, self.key).is_true(&self.row);
        match (is_true, is_false) {
            (true, _) => Truth::True,
            (_, true) => Truth::False,
            _ => Truth::Unknown,
        }
    }

    /// The values a term compares: a whole side, then the calls and names it is made of; constants that have a
    /// name.
    fn values(&mut self, typed: &Typed, is_side: bool, values: &mut Vec<(String, Value<'static>)>) {
        let text = match self.def(typed) {
            Some(def) => def,
            None => one_line(typed.text()),
        };
        let value = match &typed.node {
            Node::Name(Name::Field(field)) => Some(field.value(self.row.event).into_owned()),
            Node::Name(name) => {
                let cell = self.layout.cell(*name, typed.ty);
                let value = self.row.value(typed.ty, cell).into_owned();
                // Of a personal field of an earlier event only its hash is kept: that is not missing.
                let is_hashed = matches!(name, Name::Alias(_, field) if field.is_personal());
                (!is_hashed || value != Value::Missing).then_some(value)
            }
            // A param is written as a name, and stands for a constant.
            Node::Constant(value) if text.starts_with(|c: char| c.is_ascii_lowercase()) && typed.ty != Ty::Bool => {
                Some(value.clone())
            }
            Node::Constant(_) => None,
            Node::Arithmetic(..) | Node::Coalesce(..) | Node::Negate(_) if is_side => self.number(typed),
            Node::Call(function, _) if !is_of_texts(*function) => self.number(typed),
            _ => None,
        };
        if let Some(value) = value
            && !values.iter().any(|(known, _)| *known == text)
        {
            values.push((text, value));
        }
        typed.parts().into_iter().for_each(|part| self.values(part, false, values));
    }

    /// What a tree of numbers comes to.
    fn number(&mut self, typed: &Typed) -> Option<Value<'static>> {
        if !matches!(typed.ty, Ty::Int | Ty::Float | Ty::Duration) {
            return None;
        }
        let number = expr::compile_quantity(typed, &mut self.layout, self.key).value(&self.row);
        Some(match typed.ty {
            _ if number.is_nan() => Value::Missing,
            Ty::Duration => Value::Duration(number as i64),
            Ty::Int => Value::Int(number as i64),
            _ => Value::Float(number),
        })
    }
}

fn is_of_texts(function: Function) -> bool {
    matches!(function, Function::Lower | Function::Domain)
}

impl Term {
    /// The comparisons below it that make it unknown.
    fn unknown(self, found: &mut Vec<Term>) {
        match (self.truth, self.parts.is_empty()) {
            (Truth::Unknown, true) => found.push(self),
            (Truth::Unknown, false) => self.parts.into_iter().for_each(|part| part.unknown(found)),
            (Truth::True | Truth::False, _) => {}
        }
    }

    /// Of a comparison of two currencies, which is unknown although nothing is missing: the event's.
    pub fn other_currency(&self) -> Option<Currency> {
        let written = |word: &str| Currency::parse(word);
        let words = || self.text.split(|c: char| !c.is_ascii_alphanumeric()).filter_map(written);
        let own = self.values.iter().find_map(|(name, value)| match value {
            Value::Money(money) if name == "amount" => Some(money.currency),
            _ => None,
        })?;
        words().any(|other| other != own).then_some(own)
    }

    /// As JSON: `term`, `def`, `is`, `values`, `parts`.
    pub fn json(&self) -> Json {
        let values: serde_json::Map<String, Json> =
            self.values.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let mut object = json!({ "term": self.text, "is": self.truth.word() });
        if let Some(def) = &self.def {
            object["def"] = json!(def);
        }
        if !values.is_empty() {
            object["values"] = Json::Object(values);
        }
        if !self.parts.is_empty() {
            object["parts"] = self.parts.iter().map(Term::json).collect();
        }
        object
    }
}

impl Explanation {
    /// Whether the rule counts as far as its state goes.
    pub fn score(&self, rule: &Rule) -> u8 {
        let fired = self.outcome == Outcome::Hit(RuleOutcome::Fired);
        if fired && rule.state == State::Live { rule.score } else { 0 }
    }
}
