//! `walletwatch rules …`: is the rule set right, and do its tests pass?

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::{Exit, Format, fail};
use crate::clock;
use crate::deliver::notice_files::{NoticeFiles, unknown_notices};
use crate::deliver::{NoticesConfig, Templates};
use crate::event::Value;
use crate::report::{self, Level, Problem};
use crate::ruleset::{self, Expect, HashKey, InlineTest, Loaded, Mentions, Rule, Ruleset, Sources};
use crate::tuning::{self, Failure, TestResult, Verdict};

/// Failures of one test that are printed for people.
const FAILURES_SHOWN_MAX: usize = 5;
/// No state outlives these commands, so the key of its hashes is nobody's secret.
const KEY: [u8; 16] = [0; 16];

/// Checks rules and runs their tests.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  walletwatch rules check
  walletwatch rules test --rules /etc/walletwatch/rules")]
pub enum Command {
    /// Is the rule set right? Tells every problem at once, with its place and its fix.
    #[command(after_help = "Example:\n  walletwatch rules check --rules rules --strict")]
    Check(CheckArgs),
    /// Do the tests in the rule files pass? Runs them through the production engine.
    #[command(after_help = "Example:\n  walletwatch rules test --rules rules --rule brute-force-account")]
    Test(TestArgs),
}

/// Where the rules are, and how to print.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The rules directory.
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// Your own notices, which are checked too; without it DIR/notices, where that is there.
    #[arg(long, value_name = "DIR")]
    notices: Option<PathBuf>,
    /// For people, or one JSON object for each problem.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Warnings are errors.
    #[arg(long)]
    strict: bool,
}

/// Whose tests to run, and how to print.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// The rules directory.
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// Only the tests of this rule.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// For people, or one JSON object for each test.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs one.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Check(args) => check(&args),
        Command::Test(args) => test(&args),
    }
}

fn check(args: &CheckArgs) -> anyhow::Result<Exit> {
    let (loaded, mentions) = ruleset::load_partly(&read(&args.rules)?, HashKey::new(KEY), Some(clock::now()));
    let notices = notices(args, &mentions);
    let (mut problems, summary) = match loaded {
        Ok(loaded) => {
            let ruleset = &loaded.ruleset;
            let summary = format!("{} rules and {} features", ruleset.rules.len(), ruleset.features.len());
            (loaded.ruleset.warnings, Some(summary))
        }
        Err(problems) => (problems, None),
    };
    problems.extend(notices);
    let problems = if args.strict { as_errors(problems) } else { problems };
    print_problems(&problems, args.format)?;
    let is_wrong = problems.iter().any(|problem| problem.level == Level::Error);
    if let (Some(summary), Format::Human, false) = (summary, args.format, is_wrong) {
        writeln!(std::io::stdout(), "{summary}: {}", args.rules.display())?;
    }
    Ok(if is_wrong { Exit::No } else { Exit::Done })
}

/// What is wrong with the notices at hand, and with those that rules name.
fn notices(args: &CheckArgs, mentions: &Mentions) -> Vec<Problem> {
    let beside = args.rules.join("notices");
    let directory = args.notices.clone().or_else(|| beside.is_dir().then_some(beside));
    let config = NoticesConfig { directory, ..NoticesConfig::default() };
    let files = NoticeFiles::read(&config);
    let named = files.names().map(|known| unknown_notices(&mentions.notices, &known)).unwrap_or_default();
    named.into_iter().chain(Templates::check(files)).collect()
}

/// Reads and loads a rules directory as of today.
pub(super) fn load(directory: &Path) -> anyhow::Result<Result<Loaded, Vec<Problem>>> {
    Ok(ruleset::load(&read(directory)?, HashKey::new(KEY), Some(clock::now())))
}

fn read(directory: &Path) -> anyhow::Result<Sources> {
    ruleset::files::read(directory)
        .map_err(|error| fail(Exit::NoInput, format!("failed to read the rules in {}: {error}", directory.display())))
}

fn test(args: &TestArgs) -> anyhow::Result<Exit> {
    let loaded = match load(&args.rules)? {
        Ok(loaded) => loaded,
        Err(problems) => {
            print_problems(&problems, args.format)?;
            return Ok(Exit::No);
        }
    };
    let ruleset = Arc::new(loaded.ruleset);
    let results = match &args.rule {
        None => tuning::run_tests(&ruleset, HashKey::new(KEY)),
        Some(id) => tuning::run_rule(&ruleset, HashKey::new(KEY), find(&ruleset, id)?),
    };
    let mut counts = Counts::default();
    let mut out = std::io::stdout().lock();
    for result in &results {
        let Some(rule) = ruleset.rules.get(result.rule) else { continue };
        let Some(test) = rule.tests.get(result.test) else { continue };
        let outcome = counts.take(result, test);
        match args.format {
            Format::Json => writeln!(out, "{}", json_line(rule, test, result, outcome))?,
            Format::Human => write_result(&mut out, rule, test, result, outcome)?,
        }
    }
    if args.format == Format::Human {
        counts.write(&mut out, results.len())?;
    }
    Ok(if counts.failed == 0 { Exit::Done } else { Exit::No })
}

/// The place of a rule in its set.
fn find(ruleset: &Ruleset, id: &str) -> anyhow::Result<usize> {
    ruleset.rules.iter().position(|rule| rule.id == id).ok_or_else(|| {
        let near = report::did_you_mean(id, ruleset.rules.iter().map(|rule| rule.id.as_str()));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        fail(Exit::Usage, format!("there is no rule `{id}`{near}"))
    })
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
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    gaps: usize,
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

    fn write(&self, out: &mut impl Write, tests: usize) -> std::io::Result<()> {
        let Counts { passed, failed, gaps } = self;
        let gaps = match gaps {
            0 => String::new(),
            1 => ", 1 known gap".to_owned(),
            n => format!(", {n} known gaps"),
        };
        writeln!(out, "{tests} tests: {passed} passed, {failed} failed{gaps}")
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
            writeln!(out, "     {name} = {value}")?;
        }
    }
    if result.failures.len() > FAILURES_SHOWN_MAX {
        writeln!(out, "  and {} more events", result.failures.len() - FAILURES_SHOWN_MAX)?;
    }
    writeln!(out)
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
            }))
        })
        .collect();
    let (line, column) = report::place(&rule.at.0, test.at.start);
    json!({
        "rule": rule.id, "test": test.name, "outcome": outcome, "file": rule.at.0.path, "line": line,
        "column": column, "events": result.events, "failures": failures,
    })
}

/// Prints problems to stdout.
pub(super) fn print_problems(problems: &[Problem], format: Format) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let text = match format {
        Format::Human => report::render(problems, has_color(&out)),
        Format::Json => report::to_json(problems),
    };
    out.write_all(text.as_bytes())
}

fn has_color(out: &impl IsTerminal) -> bool {
    out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn as_errors(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.iter_mut().for_each(|problem| problem.level = Level::Error);
    problems
}
