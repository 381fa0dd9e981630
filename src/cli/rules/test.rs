//! `rules test`: do the tests in the rule files pass?

use std::io::Write;
use std::sync::Arc;

use serde_json::json;

use super::explain::shown;
use super::set::Set;
use super::{KEY, find};
use crate::cli::{Exit, Format};
use crate::event::Value;
use crate::report;
use crate::ruleset::expr::duration;
use crate::ruleset::{Expect, HashKey, InlineTest, Rule, Ruleset};
use crate::tuning::explain::Term;
use crate::tuning::{self, Failure, TestResult, Verdict};

/// Failures of one test that are printed for people.
const FAILURES_SHOWN_MAX: usize = 5;
/// How much later than it must an event that is proposed for `absent` comes, ms.
const ABSENT_STEP_MS: i64 = 60_000;

/// Do the tests in the rule files pass? Runs them through the production engine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  walletwatch rules test --rules rules --rule brute-force-account")]
pub struct Args {
    #[command(flatten)]
    set: Set,
    /// Only the tests of this rule.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// For people, or one JSON object for each test.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(loaded) = args.set.load(args.format)? else { return Ok(Exit::No) };
    // Tests are written for the values of the rules' own files.
    let (own, overlaid) = match loaded.own_values {
        Some(own) => (Arc::new(own), Some(Arc::new(loaded.ruleset))),
        None => (Arc::new(loaded.ruleset), None),
    };
    let results = results(args, &own)?;
    let mut counts = Counts::default();
    let mut out = std::io::stdout().lock();
    for result in &results {
        write_one(&mut out, args.format, &own, result, |test| counts.take(result, test))?;
    }
    let failed = |results: &[TestResult], result: &TestResult| {
        results.iter().any(|own| (own.rule, own.test) == (result.rule, result.test) && !own.passed())
    };
    if let Some(ruleset) = overlaid {
        for result in self::results(args, &ruleset)?.iter().filter(|r| !r.passed() && !failed(&results, r)) {
            write_one(&mut out, args.format, &ruleset, result, |test| counts.take_overlaid(test))?;
        }
    }
    if args.format == Format::Human {
        counts.write(&mut out, results.len())?;
    }
    Ok(if counts.failed == 0 { Exit::Done } else { Exit::No })
}

fn results(args: &Args, ruleset: &Arc<Ruleset>) -> anyhow::Result<Vec<TestResult>> {
    Ok(match &args.rule {
        None => tuning::run_tests(ruleset, HashKey::new(KEY)),
        Some(id) => tuning::run_rule(ruleset, HashKey::new(KEY), find(ruleset, id)?),
    })
}

fn write_one(
    out: &mut impl Write,
    format: Format,
    ruleset: &Ruleset,
    result: &TestResult,
    outcome: impl FnOnce(&InlineTest) -> Outcome,
) -> std::io::Result<()> {
    let Some(rule) = ruleset.rules.get(result.rule) else { return Ok(()) };
    let Some(test) = rule.tests.get(result.test) else { return Ok(()) };
    let outcome = outcome(test);
    match format {
        Format::Json => writeln!(out, "{}", json_line(rule, test, result, outcome)),
        Format::Human => write_result(out, rule, test, result, outcome),
    }
}

/// What a test's result means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// It fails, and says so itself: `todo: true`.
    KnownGap,
    /// It says that it fails, and it passes.
    GapClosed,
    /// It passes with the values of the rule's own file and fails with the overlay's: a warning.
    FailedOverlaid,
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    gaps: usize,
    overlaid: usize,
}

impl Counts {
    fn take(&mut self, result: &TestResult, test: &InlineTest) -> Outcome {
        let (outcome, count) = match (result.passed(), test.todo) {
            (true, false) => (Outcome::Passed, &mut self.passed),
            (true, true) => (Outcome::GapClosed, &mut self.passed),
            (false, false) => (Outcome::Failed, &mut self.failed),
            (false, true) => (Outcome::KnownGap, &mut self.gaps),
        };
        *count += 1;
        outcome
    }

    /// Of one that fails with the overlay's values alone.
    fn take_overlaid(&mut self, test: &InlineTest) -> Outcome {
        if test.todo {
            return Outcome::KnownGap;
        }
        self.overlaid += 1;
        Outcome::FailedOverlaid
    }

    fn write(&self, out: &mut impl Write, tests: usize) -> std::io::Result<()> {
        let Counts { passed, failed, gaps, overlaid } = self;
        let gaps = match gaps {
            0 => String::new(),
            1 => ", 1 known gap".to_owned(),
            n => format!(", {n} known gaps"),
        };
        let overlaid = match overlaid {
            0 => String::new(),
            n => format!("; with the overlay {n} more fail, which refuses nothing"),
        };
        writeln!(out, "{tests} tests: {passed} passed, {failed} failed{gaps}{overlaid}")
    }
}

fn write_result(
    out: &mut impl Write,
    rule: &Rule,
    test: &InlineTest,
    result: &TestResult,
    outcome: Outcome,
) -> std::io::Result<()> {
    let word = match outcome {
        Outcome::Passed => return Ok(()),
        Outcome::Failed => "failed",
        Outcome::KnownGap => "known gap",
        Outcome::FailedOverlaid => "failed with the overlay",
        Outcome::GapClosed => {
            let at = place(rule, test.at.start);
            return writeln!(out, "passes now, drop its `todo`: {}: {}\n  at {at}\n", rule.id, test.name);
        }
    };
    writeln!(out, "{word}: {}: {}", rule.id, test.name)?;
    for failure in result.failures.iter().take(FAILURES_SHOWN_MAX) {
        let Some(entry) = test.entries.get(failure.entry) else { continue };
        let (expected, happened) = words(failure, entry.expect, entry.repeat);
        let nth =
            if entry.repeat > 1 { format!(", repeat {} of {}", failure.repeat, entry.repeat) } else { String::new() };
        writeln!(
            out,
            "  at {}: entry {}{nth}: expected {expected}, {happened}",
            place(rule, entry.at.start),
            failure.entry + 1
        )?;
        for (name, value) in values(failure) {
            writeln!(out, "     {name} = {}", shown(value))?;
        }
        for term in &failure.unknown {
            writeln!(out, "     unknown: {}{}", term.text, why_unknown(term))?;
        }
        if let Some(ms) = failure.waits_ms {
            let (wait, after) = (Value::Duration(ms), duration(ms.saturating_add(ABSENT_STEP_MS)));
            writeln!(
                out,
                "     `absent` waits: the test needs an event more than {wait} after this one, such as a last"
            )?;
            writeln!(out, "     entry `{{after: {after}, …}}` of any type; the finding still counts for this one")?;
        }
    }
    if result.failures.len() > FAILURES_SHOWN_MAX {
        writeln!(out, "  and {} more events", result.failures.len() - FAILURES_SHOWN_MAX)?;
    }
    writeln!(out)
}

/// Why a comparison is unknown: what it compares is missing, or of another currency.
fn why_unknown(term: &Term) -> String {
    if let Some(currency) = term.other_currency() {
        return format!(" (this event's currency is {})", currency.code());
    }
    let missing: Vec<&str> =
        term.values.iter().filter(|(_, value)| *value == Value::Missing).map(|(name, _)| name.as_str()).collect();
    match missing.as_slice() {
        [] => String::new(),
        [one] if *one == term.text => " is missing".to_owned(),
        all => format!(
            " ({} missing)",
            if all.len() == 1 { format!("{} is", all.concat()) } else { format!("{} are", all.join(", ")) }
        ),
    }
}

/// What was expected of an event, and what happened.
fn words(failure: &Failure, expect: Option<Expect>, repeat: u32) -> (&'static str, String) {
    let expected = match expect {
        Some(Expect::Fire) => "fire",
        Some(Expect::FireLast) if failure.repeat == repeat => "fire",
        Some(Expect::Quiet | Expect::FireLast) => "quiet",
        None => "an event",
    };
    let happened = match &failure.verdict {
        Verdict::StayedQuiet { because: Some(outcome), .. } => {
            format!("but it was {}", json!(outcome).as_str().unwrap_or("quiet"))
        }
        Verdict::StayedQuiet { because: None, .. } => "but it stayed quiet".to_owned(),
        Verdict::Fired { .. } => "but it fired".to_owned(),
        Verdict::Refused(rejection) => format!("but the event was refused: {rejection}"),
    };
    (expected, happened)
}

fn values(failure: &Failure) -> &[(String, Value<'static>)] {
    match &failure.verdict {
        Verdict::StayedQuiet { values, .. } | Verdict::Fired { values } => values,
        Verdict::Refused(_) => &[],
    }
}

fn place(rule: &Rule, byte: usize) -> String {
    let (line, column) = report::place(&rule.at.0, byte);
    format!("{}:{line}:{column}", rule.at.0.path)
}

fn json_line(rule: &Rule, test: &InlineTest, result: &TestResult, outcome: Outcome) -> serde_json::Value {
    let outcome = match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::KnownGap => "known_gap",
        Outcome::GapClosed => "gap_closed",
        Outcome::FailedOverlaid => "failed_with_overlay",
    };
    let failures: Vec<serde_json::Value> = result
        .failures
        .iter()
        .filter_map(|failure| {
            let entry = test.entries.get(failure.entry)?;
            let (expected, happened) = words(failure, entry.expect, entry.repeat);
            let (line, column) = report::place(&rule.at.0, entry.at.start);
            let values: serde_json::Map<String, serde_json::Value> =
                values(failure).iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            Some(json!({
                "entry": failure.entry + 1, "repeat": failure.repeat, "line": line, "column": column,
                "expected": expected, "happened": happened.trim_start_matches("but "), "values": values,
                "unknown": failure.unknown.iter().map(Term::json).collect::<Vec<_>>(),
                "waits_ms": failure.waits_ms,
            }))
        })
        .collect();
    let (line, column) = report::place(&rule.at.0, test.at.start);
    json!({
        "rule": rule.id, "test": test.name, "outcome": outcome, "file": rule.at.0.path, "line": line,
        "column": column, "events": result.events, "failures": failures,
    })
}
