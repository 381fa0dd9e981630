//! The tests that stand under a rule: run through the production engine, from JSON to finding.
//!
//! Guarantees: each test has a state of its own and starts at 2026-01-01T00:00:00Z; all live and shadow rules
//! run, the rule in question in draft too; nothing is mocked but what `set` pins. Does not print.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::detect::document::{AlertDocument, ContactDocument};
use crate::detect::{Engine, FindingRecord, Input, Options, RuleOutcome, Sink};
use crate::event::{Event, Millis, Rejection, Value};
use crate::ruleset::{Bands, Expect, HashKey, InlineTest, Ruleset, TestEntry};

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
    for (entry_at, entry) in test.entries.iter().enumerate() {
        for repeat in 1..=entry.repeat {
            time = time.plus(if repeat == 1 { entry.after_ms } else { entry.every_ms });
            result.events += 1;
            let json = event_json(entry, time, result.events, repeat);
            let mut told = Told { rule: id, outcome: None, rejection: None };
            let input = Input { lane: 0, value: Some(json.as_bytes()) };
            engine.take([input], TEST_MOMENT, None, &mut told);
            let verdict = judge(entry, repeat, told, || engine.values(rule));
            result.failures.extend(verdict.map(|verdict| Failure { entry: entry_at, repeat, verdict }));
        }
    }
    result
}

/// What is wrong with what an event did; `None`: nothing.
fn judge(
    entry: &TestEntry,
    repeat: u32,
    told: Told<'_>,
    values: impl Fn() -> Vec<(String, Value<'static>)>,
) -> Option<Verdict> {
    if let Some(rejection) = told.rejection {
        return Some(Verdict::Refused(rejection));
    }
    let should_fire = match entry.expect? {
        Expect::Fire => true,
        Expect::Quiet => false,
        Expect::FireLast => repeat == entry.repeat,
    };
    let fired = told.outcome == Some(RuleOutcome::Fired);
    match (should_fire, fired) {
        (true, false) => Some(Verdict::StayedQuiet { because: told.outcome, values: values() }),
        (false, true) => Some(Verdict::Fired { values: values() }),
        _ => None,
    }
}

/// The event's JSON: the entry's, with an id, a time and `{n}` filled in.
fn event_json(entry: &TestEntry, time: Millis, number: u64, repeat: u32) -> String {
    let mut json = Json::Object(entry.json.clone());
    number_texts(&mut json, &repeat.to_string());
    if let Json::Object(fields) = &mut json {
        fields.insert("id".to_owned(), format!("test-{number}").into());
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

/// What the engine told of one event about one rule.
struct Told<'t> {
    rule: &'t str,
    outcome: Option<RuleOutcome>,
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
            self.outcome = Some(record.outcome);
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
        sources.add("rules.yaml", yaml, None);
        sources.add_present("runbooks/none.md");
        let loaded = load(&sources, key, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let rules = Arc::new(loaded.ruleset);
        let results = run_tests(&rules, key);
        (rules, results)
    }

    #[test]
    fn exact_meaning() {
        let (rules, results) = results(include_str!("../../tests/data/rules/meaning/meaning.yaml"));
        assert!(results.len() >= 39, "{}", results.len());
        let mut failed = Vec::new();
        for result in results.iter().filter(|r| !r.passed()) {
            let rule = &rules.rules[result.rule];
            failed.push(format!("{}: {}: {:?}", rule.id, rule.tests[result.test].name, result.failures));
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }
}
