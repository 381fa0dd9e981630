//! The tests that stand under a rule: run through the production engine, from JSON to finding.
//!
//! Guarantees: each test has a state of its own and starts at 2026-01-01T00:00:00Z; all live and shadow rules
//! run, the rule in question in draft too; nothing is mocked but what `set` pins. Does not print.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::explain::{Term, unknown_of};
use crate::detect::document::{AlertDocument, ContactDocument};
use crate::detect::{Engine, FindingRecord, Input, Options, RuleOutcome, Sink, WATERMARK_SLACK_MS};
use crate::event::{Closed as _, Event, EventType, Millis, Rejection, Value, decode};
use crate::ruleset::{Bands, Expect, HashKey, InlineTest, Rule, Ruleset, TestEntry};

/// When each test begins: 2026-01-01T00:00:00Z.
pub const TEST_START: Millis = Millis(1_767_225_600_000);
/// No time is in the future of a test.
const TEST_MOMENT: Millis = Millis(i64::MAX / 2);

/// What one event of a test did against what was expected.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It should have fired.
    StayedQuiet {
        /// Why, where the condition was true.
        because: Option<RuleOutcome>,
        /// The values the condition reads, as they stood.
        values: Vec<(String, Value<'static>)>,
    },
    /// It should have stayed quiet.
    Fired {
        /// The values the condition reads, as they stood.
        values: Vec<(String, Value<'static>)>,
    },
    /// The event is none.
    Refused(Rejection),
}

/// One event of a test that did not do what was expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The entry, from 0.
    pub entry: usize,
    /// The repeat within it, from 1.
    pub repeat: u32,
    /// What happened.
    pub verdict: Verdict,
    /// The comparisons that left the rule's condition unknown.
    pub unknown: Vec<Term>,
    /// The event may be the last step of a chain whose `absent` the test does not wait for: time after it that an
    /// event must follow, ms.
    pub waits_ms: Option<i64>,
}

/// What became of one test.
#[derive(Debug, Clone, PartialEq)]
pub struct TestResult {
    /// The rule, by its place in the rule set.
    pub rule: usize,
    /// The test, by its place in the rule.
    pub test: usize,
    /// What failed; empty: it passed.
    pub failures: Vec<Failure>,
    /// How many events were sent.
    pub events: u64,
}

impl TestResult {
    /// Whether all expectations were met.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Runs every test of a rule set, in the order of rules. `key` must be the one it was compiled with.
pub fn run_tests(rules: &Arc<Ruleset>, key: HashKey) -> Vec<TestResult> {
    (0..rules.rules.len()).flat_map(|rule| run_rule(rules, key, rule)).collect()
}

/// Runs the tests of one rule.
pub fn run_rule(rules: &Arc<Ruleset>, key: HashKey, rule: usize) -> Vec<TestResult> {
    let tests = rules.rules.get(rule).map(|r| r.tests.as_slice()).unwrap_or_default();
    tests.iter().enumerate().map(|(at, test)| run_test(rules, key, (rule, at), test)).collect()
}

/// Runs one test.
pub(super) fn run_test(
    rules: &Arc<Ruleset>,
    key: HashKey,
    (rule, at): (usize, usize),
    test: &InlineTest,
) -> TestResult {
    let options = Options { findings: true, also: Some(rule), ..Options::default() };
    let mut engine = Engine::new(Arc::clone(rules), Bands::default(), options, key);
    engine.pin(test.set.clone());
    let mut result = TestResult { rule, test: at, failures: Vec::new(), events: 0 };
    let id = rules.rules.get(rule).map_or("", |r| r.id.as_str());
    let mut time = TEST_START;
    let mut told = Told { rule: id, outcomes: BTreeMap::new(), rejection: None };
    let mut sent: Vec<Sent<'_>> = Vec::new();
    for (entry_at, entry) in test.entries.iter().enumerate() {
        for repeat in 1..=entry.repeat {
            time = time.plus(if repeat == 1 { entry.after_ms } else { entry.every_ms });
            result.events += 1;
            let event = event_id(result.events);
            let json = event_json(entry, time, &event, repeat);
            let input = Input { lane: 0, value: Some(json.as_bytes()) };
            engine.take([input], TEST_MOMENT, None, &mut told);
            let rejection = told.rejection.take();
            let mut one =
                Sent { entry, entry_at, repeat, event, time, rejection, values: Vec::new(), unknown: Vec::new() };
            if let Some(verdict) = one.verdict(&told) {
                one.values = engine.values(rule);
                if let (Some(of), Verdict::StayedQuiet { because: None, .. }) = (rules.rules.get(rule), verdict) {
                    one.unknown = unknown(&engine, rules, key, of, json.as_bytes());
                }
            }
            sent.push(one);
        }
    }
    // That nothing followed is known later, and counts for the event that nothing followed.
    let failed = sent.iter().filter_map(|one| {
        let verdict = one.verdict(&told)?;
        let of = rules.rules.get(rule).filter(|_| matches!(verdict, Verdict::StayedQuiet { because: None, .. }));
        let waits_ms = of.and_then(|of| waits_ms(of, one.entry)).filter(|wait| time.0 <= one.time.plus(*wait).0);
        Some(Failure { entry: one.entry_at, repeat: one.repeat, verdict, unknown: one.unknown.clone(), waits_ms })
    });
    result.failures.extend(failed);
    result
}

/// An event of a test that was sent.
struct Sent<'t> {
    entry: &'t TestEntry,
    entry_at: usize,
    repeat: u32,
    event: String,
    time: Millis,
    rejection: Option<Rejection>,
    /// The comparisons that were unknown, where it stayed quiet and should not have.
    unknown: Vec<Term>,
    /// The values the condition read, where it did not do what was expected.
    values: Vec<(String, Value<'static>)>,
}

impl Sent<'_> {
    /// What is wrong with what it did, as far as that is told; `None`: nothing.
    fn verdict(&self, told: &Told<'_>) -> Option<Verdict> {
        if let Some(rejection) = &self.rejection {
            return Some(Verdict::Refused(rejection.clone()));
        }
        let should_fire = match self.entry.expect? {
            Expect::Fire => true,
            Expect::Quiet => false,
            Expect::FireLast => self.repeat == self.entry.repeat,
        };
        let outcome = told.outcomes.get(&self.event).copied();
        match (should_fire, outcome == Some(RuleOutcome::Fired)) {
            (true, false) => Some(Verdict::StayedQuiet { because: outcome, values: self.values.clone() }),
            (false, true) => Some(Verdict::Fired { values: self.values.clone() }),
            _ => None,
        }
    }
}

/// The comparisons that left the condition unknown on the event that the engine took last.
fn unknown(engine: &Engine, rules: &Ruleset, key: HashKey, rule: &Rule, json: &[u8]) -> Vec<Term> {
    match decode(Some(json), TEST_MOMENT, &Options::default().limits) {
        Ok(decoded) => unknown_of(engine, rules, key, rule, &decoded.event),
        Err(_) => Vec::new(),
    }
}

/// How long after an event of the last step's types what must not follow is decided; `None`: at once.
fn waits_ms(rule: &Rule, entry: &TestEntry) -> Option<i64> {
    let sequence = rule.sequence.as_ref()?;
    let kind = entry.json.get("type").and_then(Json::as_str).and_then(EventType::parse)?;
    let is_last = sequence.steps.last().is_some_and(|step| step.types.has(kind));
    let longest_ms = sequence.absent.iter().map(|item| item.within_ms).max().filter(|_| is_last)?;
    Some(longest_ms.saturating_add(WATERMARK_SLACK_MS))
}

/// The id of the event of this number.
fn event_id(number: u64) -> String {
    format!("test-{number}")
}

/// The event's JSON: the entry's, with an id, a time and `{n}` filled in.
fn event_json(entry: &TestEntry, time: Millis, id: &str, repeat: u32) -> String {
    let mut json = Json::Object(entry.json.clone());
    number_texts(&mut json, &repeat.to_string());
    if let Json::Object(fields) = &mut json {
        fields.insert("id".to_owned(), id.into());
        fields.insert("time".to_owned(), time.0.into());
    }
    json.to_string()
}

fn number_texts(json: &mut Json, n: &str) {
    match json {
        Json::String(text) if text.contains("{n}") => *text = text.replace("{n}", n),
        Json::Object(fields) => fields.values_mut().for_each(|value| number_texts(value, n)),
        Json::Array(items) => items.iter_mut().for_each(|value| number_texts(value, n)),
        _ => {}
    }
}

/// What the engine told about one rule.
struct Told<'t> {
    rule: &'t str,
    /// By event.
    outcomes: BTreeMap<String, RuleOutcome>,
    rejection: Option<Rejection>,
}

impl Sink for Told<'_> {
    fn rejected(&mut self, _: usize, rejection: &Rejection) {
        self.rejection = Some(rejection.clone());
    }
    fn duplicate(&mut self, _: usize) {}
    fn accepted(&mut self, _: usize, _: &Event<'_>, _: bool) {}
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, record: FindingRecord) {
        if record.rule == self.rule {
            self.outcomes.insert(record.event, record.outcome);
        }
    }
    fn alert(&mut self, _: usize, _: AlertDocument) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::{Sources, load};

    fn results(yaml: &str) -> (Arc<Ruleset>, Vec<TestResult>) {
        let key = HashKey::new([9; 16]);
        let mut sources = Sources::new("rules");
        sources.add("lists/tor_exits.txt", "192.0.2.66\n", None);
        sources.add("rules.yaml", yaml, None);
        sources.add_present("runbooks/none.md");
        let loaded = load(&sources, key, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let rules = Arc::new(loaded.ruleset);
        let results = run_tests(&rules, key);
        (rules, results)
    }

    #[test]
    fn exact_meaning() {
        all_pass(include_str!("../../tests/data/rules/meaning/meaning.yaml"), 61);
    }

    #[test]
    fn the_five_rules_of_the_complete_file() {
        all_pass(include_str!("../../tests/data/rules/takeover.yaml"), 11);
    }

    fn all_pass(yaml: &str, tests_min: usize) {
        let (rules, results) = results(yaml);
        assert!(results.len() >= tests_min, "{}", results.len());
        let mut failed = Vec::new();
        for result in results.iter().filter(|r| !r.passed()) {
            let rule = &rules.rules[result.rule];
            failed.push(format!("{}: {}: {:?}", rule.id, rule.tests[result.test].name, result.failures));
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }
}
