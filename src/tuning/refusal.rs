//! Failed tests as problems of their files: why a rule set that loads is refused all the same.
//!
//! Guarantees: one problem for each test that fails, at its first entry that does; a known gap (`todo`) is none. What
//! fails only with an overlay's values is a warning: a team that tunes at night is not refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::inline::{Failure, Verdict, run_tests};
use crate::report::{Level, Problem};
use crate::ruleset::codes::{OVERLAY_TEST, TEST_FAILED};
use crate::ruleset::{HashKey, Ruleset};

/// Runs the tests of a rule set and tells those that fail. `key` must be the one it was compiled with.
pub fn failed_tests(rules: &Arc<Ruleset>, key: HashKey) -> Vec<Problem> {
    let mut problems = Vec::new();
    for result in run_tests(rules, key).iter().filter(|result| !result.passed()) {
        let Some(rule) = rules.rules.get(result.rule) else { continue };
        let Some(test) = rule.tests.get(result.test).filter(|test| !test.todo) else { continue };
        let Some(failure) = result.failures.first() else { continue };
        let at = test.entries.get(failure.entry).map_or(test.at.clone(), |entry| entry.at.clone());
        let message = format!("the test \"{}\" of `{}` fails: {}", test.name, rule.id, happened(failure));
        let problem = Problem::error(TEST_FAILED, &rule.at.0, at, message);
        problems.push(match values(failure) {
            Some(values) => problem.help(format!("there {values}")),
            None => problem,
        });
    }
    problems
}

/// The same of a set with an overlay: `own` are the rules with their files' own values. A test that fails there is an
/// error, one that fails in `rules` alone a warning.
pub fn failed_tests_overlaid(rules: &Arc<Ruleset>, own: &Arc<Ruleset>, key: HashKey) -> Vec<Problem> {
    let mut problems = failed_tests(own, key);
    let place = |problem: &Problem| problem.at.as_ref().map(|(file, span)| (file.path.clone(), span.start));
    let told: BTreeSet<_> = problems.iter().map(place).collect();
    let only_here = failed_tests(rules, key).into_iter().filter(|problem| !told.contains(&place(problem)));
    problems.extend(only_here.map(|mut problem| {
        (problem.code, problem.level) = (OVERLAY_TEST, Level::Warning);
        problem.message = format!("with the overlay {}", problem.message);
        problem
    }));
    problems
}

fn happened(failure: &Failure) -> String {
    let repeat = failure.repeat;
    let nth = if repeat > 1 { format!(" at repeat {repeat}") } else { String::new() };
    match &failure.verdict {
        Verdict::StayedQuiet { .. } => format!("the rule stays quiet{nth}"),
        Verdict::Fired { .. } => format!("the rule fires{nth}"),
        Verdict::Refused(rejection) => format!("the event is refused{nth}: {rejection}"),
    }
}

fn values(failure: &Failure) -> Option<String> {
    let (Verdict::StayedQuiet { values, .. } | Verdict::Fired { values }) = &failure.verdict else { return None };
    let told: Vec<String> = values.iter().map(|(name, value)| format!("`{name}` is {value}")).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::{Sources, load};

    #[test]
    fn a_test_that_fails_is_a_problem_at_its_entry() {
        let mut sources = Sources::new("rules");
        let text = "version: 1
features:
  failed: {count: login, where: result == \"failure\", by: account, over: 10m}
rules:
  - id: guessing
    title: t
    revision: 1
    state: live
    owner: t
    severity: low
    score: 10
    audience: [security]
    runbook: \"https://example.com\"
    explain: x
    on: login
    when: failed > 5
    tests:
      - name: six are enough
        given: {type: login, account: a, result: failure}
        events:
          - {repeat: 5, every: 1s, expect: quiet}
          - {expect: fire}
      - name: five are not
        given: {type: login, account: a, result: failure}
        events:
          - {repeat: 5, every: 1s, expect: fire-last}
      - name: one day three will do
        todo: true
        given: {type: login, account: a, result: failure}
        events:
          - {repeat: 3, every: 1s, expect: fire-last}
";
        sources.add("t.yaml", text, None);
        let key = HashKey::new([1; 16]);
        let loaded = load(&sources, key, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let problems = failed_tests(&Arc::new(loaded.ruleset), key);
        insta::assert_snapshot!(crate::report::render(&problems, false));
    }

    #[test]
    fn with_an_overlay_the_files_own_values_decide_and_what_fails_besides_warns() {
        let key = HashKey::new([1; 16]);
        let told = |overlay: &str| {
            let mut sources = Sources::new("rules");
            sources.add("overlaid.yaml", include_str!("../../tests/data/rules/overlaid.yaml"), None);
            sources.add("overlay.yaml", overlay, None);
            let loaded = load(&sources, key, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
            let own = loaded.own_values.expect("there is an overlay");
            crate::report::render(&failed_tests_overlaid(&Arc::new(loaded.ruleset), &Arc::new(own), key), false)
        };
        let quiet = "version: 1\nrules:\n  guessing: {state: shadow, score: 5, params: {repeats: 9}}\n";
        assert!(told(quiet).contains("W120"), "the ninth failure is one too many for the second test");
        insta::assert_snapshot!(told("version: 1\nrules:\n  guessing: {params: {most: 20}}\n"));
    }
}
