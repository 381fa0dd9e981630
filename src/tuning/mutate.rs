//! Would the tests notice? Each mutant of a rule set against the tests of the rules that read it.
//!
//! Guarantees: a mutant is loaded as any rule set and its tests run through the production engine, on the texts
//! of the tests as they stand; a known gap kills nothing. Runs in one thread: whoever has more gives each its
//! own mutants. Does not print.

use std::sync::Arc;

use super::inline::run_test;
use crate::report::Problem;
use crate::ruleset::mutation::{Mutant, Survey};
use crate::ruleset::{self, HashKey};

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// A test of a rule that reads it fails.
    Killed {
        /// The rule.
        rule: String,
        /// The test's name.
        test: String,
    },
    /// No test notices.
    Survived,
    /// The set does not load with it, so nobody could have written it.
    NotLoading(String),
}

/// Judges one mutant.
pub fn judge(survey: &Survey<'_>, mutant: &Mutant, key: HashKey) -> Fate {
    let mut not_loading = None;
    for reader in &mutant.readers {
        match first_failure(survey, Some(mutant), reader, key) {
            Ok(Some(test)) => return Fate::Killed { rule: reader.clone(), test },
            Ok(None) => {}
            Err(problem) => not_loading = Some(problem),
        }
    }
    not_loading.map_or(Fate::Survived, Fate::NotLoading)
}

/// The first test of a rule that fails without any change: then nothing can be said of its mutants.
pub fn fails_already(survey: &Survey<'_>, rule: &str, key: HashKey) -> Option<String> {
    first_failure(survey, None, rule, key).unwrap_or_else(Some)
}

/// The name of the first test of a rule that fails with a mutant; the error: the set does not load.
fn first_failure(
    survey: &Survey<'_>,
    mutant: Option<&Mutant>,
    rule: &str,
    key: HashKey,
) -> Result<Option<String>, String> {
    let loaded = ruleset::load(&survey.sources(mutant, rule), key, None).map_err(|problems| first(&problems))?;
    let rules = Arc::new(loaded.ruleset);
    let Some(at) = rules.rules.iter().position(|r| r.id == rule) else { return Ok(None) };
    let tests = rules.rules.get(at).map(|r| r.tests.as_slice()).unwrap_or_default();
    let mut asked = tests.iter().enumerate().filter(|(_, test)| !test.todo);
    let failed = asked.find(|(nth, test)| !run_test(&rules, key, (at, *nth), test).passed());
    Ok(failed.map(|(_, test)| test.name.clone()))
}

fn first(problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|problem| problem.level == crate::report::Level::Error);
    errors.map(ToString::to_string).next().unwrap_or_default()
}
