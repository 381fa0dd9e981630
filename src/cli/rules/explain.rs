//! `rules explain`: why a rule fires on an event, or why it does not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::set::Set;
use super::{KEY, find};
use crate::cli::output::is_dash;
use crate::cli::{Exit, Format, fail, replay};
use crate::event::{Millis, Value};
use crate::report;
use crate::ruleset::{HashKey, Loaded, Rule};
use crate::tuning::explain::{Explainer, Explanation, Outcome, Step, Term, looks_at};

/// Columns up to which a term's values stand beside it.
const COLUMNS_MAX: usize = 100;
/// Size of one event, at most, bytes.
const EVENT_BYTES_MAX: u64 = 1 << 20;

/// Why does a rule fire on an event, or not? Tells each term with its value and true, false or unknown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch rules explain --rule impossible-travel --event login.json --history yesterday.ndjson
  walletwatch rules explain --rule impossible-travel --event login.json --geo GeoLite2-City.mmdb
  walletwatch rules explain --rule new-payee-large --event - --format json")]
pub struct Args {
    #[command(flatten)]
    set: Set,
    /// The rule.
    #[arg(long, value_name = "ID")]
    rule: String,
    /// The event, one JSON object; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// Events before it, one JSON object a line, from which windows and histories are built first.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// An MMDB file that tells what the events' own `geo` lacks, those of the history too; may stand several times.
    #[arg(long = "geo", value_name = "FILE")]
    geo: Vec<PathBuf>,
    /// The moment after which a time is in the future (RFC 3339); by default no time is.
    #[arg(long, value_name = "TIME", value_parser = replay::time)]
    now: Option<Millis>,
    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(Loaded { ruleset, policy, .. }) = args.set.load(args.format)? else { return Ok(Exit::No) };
    let ruleset = Arc::new(ruleset);
    let at = find(&ruleset, &args.rule)?;
    let Some(rule) = ruleset.rules.get(at) else { return Ok(Exit::Bug) };
    let event = read_event(&args.event)?;
    let geo = replay::geo(&args.geo)?;
    let mut explainer = Explainer::new(&ruleset, policy.bands, HashKey::new(KEY), at, args.now).with_geo(geo);
    if let Some(path) = &args.history {
        let file = File::open(path).map_err(|error| no_input(path, &error))?;
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(|error| no_input(path, &error))?;
            if !line.iter().all(u8::is_ascii_whitespace) {
                explainer.remember(&line);
            }
        }
        tell_history(&explainer)?;
    }
    let explanation = explainer
        .explain(rule, &event)
        .map_err(|rejection| fail(Exit::Data, format!("{} holds no event: {rejection}", args.event.display())))?;
    match args.format {
        Format::Human => std::io::stdout().write_all(human(rule, &explanation).as_bytes())?,
        Format::Json => writeln!(std::io::stdout(), "{}", to_json(rule, &explanation))?,
    }
    Ok(Exit::Done)
}

fn no_input(path: &Path, error: &std::io::Error) -> anyhow::Error {
    fail(Exit::NoInput, format!("failed to read {}: {error}", path.display()))
}

fn read_event(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut event = Vec::new();
    let read = match is_dash(path) {
        true => std::io::stdin().take(EVENT_BYTES_MAX).read_to_end(&mut event),
        false => File::open(path).and_then(|file| file.take(EVENT_BYTES_MAX).read_to_end(&mut event)),
    };
    read.map_err(|error| no_input(path, &error))?;
    Ok(event)
}

fn tell_history(explainer: &Explainer) -> std::io::Result<()> {
    let history = explainer.history;
    let mut besides = String::new();
    for (n, word) in [(history.refused, "refused"), (history.duplicates, "seen before")] {
        if n > 0 {
            besides.push_str(&format!(", {n} {word}"));
        }
    }
    writeln!(std::io::stderr(), "history: {} events{besides}", history.events)
}

/// How it came out, in words.
fn words(outcome: Outcome, rule: &Rule) -> String {
    match outcome {
        Outcome::Hit(hit) => json!(hit).as_str().unwrap_or_default().to_owned(),
        Outcome::NotTrue if rule.sequence.is_some() => "quiet: no chain ends with it".to_owned(),
        Outcome::NotTrue => "quiet: the condition is not true".to_owned(),
        Outcome::OtherType => {
            let types: Vec<&str> = looks_at(rule).iter().map(crate::event::Closed::word).collect();
            format!("not asked: the rule looks at {}", types.join(", "))
        }
        Outcome::Late => "not asked: the event is late, and the rule reads what is kept".to_owned(),
        Outcome::Duplicate => "not asked: an event of this id was there before".to_owned(),
    }
}

fn human(rule: &Rule, told: &Explanation) -> String {
    let (line, column) = report::place(&rule.at.0, rule.at.1.start);
    let state = json!(format!("{:?}", rule.state)).as_str().unwrap_or_default().to_ascii_lowercase();
    let mut text = format!(
        "{}@{} ({state}), {}:{line}:{column}\non {} {} of {}\n{}\n",
        rule.id,
        rule.revision,
        rule.at.0.path,
        told.kind,
        told.event,
        told.time,
        words(told.outcome, rule)
    );
    if let Some(when) = &told.when {
        text.push_str("\nwhen\n");
        write_term(when, 0, &mut text);
    }
    if !told.steps.is_empty() {
        text.push_str("\nchains, behind each step\n");
        told.steps.iter().enumerate().for_each(|(at, step)| write_step(at, step, &mut text));
    }
    for absent in &told.absent {
        let filter = absent.filter.as_ref().map(|filter| format!(" where {filter}")).unwrap_or_default();
        let (on, within) = (absent.on.join(", "), &absent.within);
        text.push_str(&format!("  absent: no {on}{filter} may follow within {within}; fires when that has passed\n"));
    }
    for excepted in &told.unless {
        let expired = if excepted.has_expired { ", which has expired and is ignored" } else { "" };
        text.push_str(&format!("\nunless {}{expired}\n", excepted.name));
        write_term(&excepted.term, 0, &mut text);
    }
    text.push('\n');
    match &told.silent_until {
        Some(until) => text.push_str(&format!("dedup: silent about it until {until}\n")),
        None if rule.dedup.is_some() => text.push_str("dedup: not silent\n"),
        None => text.push_str("dedup: none\n"),
    }
    text.push_str(&format!("score: {} of {}\n", told.score(rule), rule.score));
    match told.alert {
        Some((score, band)) => text.push_str(&format!("alert: {band}, the event's score is {score}\n")),
        None => text.push_str("alert: none\n"),
    }
    let others: Vec<String> = told
        .findings
        .iter()
        .filter(|(id, _)| *id != rule.id)
        .map(|(id, outcome)| format!("{id} {}", json!(outcome).as_str().unwrap_or_default()))
        .collect();
    if !others.is_empty() {
        text.push_str(&format!("other rules: {}\n", others.join(", ")));
    }
    text
}

/// One line for a step: how many chains stand behind it, before the event and now; then its condition on the event.
fn write_step(at: usize, step: &Step, text: &mut String) {
    let newest = step.newest.as_ref().map(|time| format!(", the newest since {time}")).unwrap_or_default();
    let on = step.on.join(", ");
    text.push_str(&format!("  {}. {on}: {} before, {} now{newest}\n", at + 1, step.before, step.now));
    let Some(filter) = &step.filter else { return };
    let after = match &step.after {
        Some((first, last)) if first == last => format!(", after the newest chain before it, of {first}"),
        Some((first, last)) => format!(", after the newest chain before it, of {first} to {last}"),
        None if at > 0 => ", with no chain before it in time".to_owned(),
        None => String::new(),
    };
    text.push_str(&format!("     where{after}\n"));
    write_term(filter, 2, text);
}

/// One line for a term and each below it: what is known, the term, its values.
fn write_term(term: &Term, depth: usize, text: &mut String) {
    let def = term.def.as_ref().map(|def| format!("{def}: ")).unwrap_or_default();
    text.push_str(&format!("  {:<8} {}{def}{}", term.truth.word(), "  ".repeat(depth), term.text));
    let values: Vec<String> = term.values.iter().map(|(name, value)| format!("{name} = {}", shown(value))).collect();
    let line = format!("   [{}]", values.join(", "));
    let length = term.text.chars().count() + line.chars().count() + 2 * depth;
    match values.is_empty() {
        true => text.push('\n'),
        false if length <= COLUMNS_MAX => text.push_str(&format!("{line}\n")),
        false => {
            text.push('\n');
            let indent = " ".repeat(2 + 8 + 1 + 2 * depth + 4);
            values.iter().for_each(|value| text.push_str(&format!("{indent}{value}\n")));
        }
    }
    term.parts.iter().for_each(|part| write_term(part, depth + 1, text));
}

pub(super) fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Missing => "missing".to_owned(),
        value => value.to_string(),
    }
}

fn to_json(rule: &Rule, told: &Explanation) -> Json {
    let (line, column) = report::place(&rule.at.0, rule.at.1.start);
    let unless: Vec<Json> = told
        .unless
        .iter()
        .map(|one| json!({ "name": one.name, "expired": one.has_expired, "when": one.term.json() }))
        .collect();
    let step = |step: &Step| {
        json!({ "on": step.on, "before": step.before, "now": step.now, "newest": step.newest,
            "where": step.filter.as_ref().map(Term::json),
            "after": step.after.as_ref().map(|(first, last)| json!({ "first": first, "last": last })) })
    };
    let steps: Vec<Json> = told.steps.iter().map(step).collect();
    let absent: Vec<Json> =
        told.absent.iter().map(|one| json!({ "on": one.on, "within": one.within, "where": one.filter })).collect();
    let findings: Vec<Json> =
        told.findings.iter().map(|(id, outcome)| json!({ "rule": id, "outcome": outcome })).collect();
    let outcome = match told.outcome {
        Outcome::Hit(outcome) => json!(outcome),
        Outcome::NotTrue => json!("quiet"),
        Outcome::OtherType => json!("other_type"),
        Outcome::Late => json!("late"),
        Outcome::Duplicate => json!("duplicate"),
    };
    json!({
        "rule": rule.id, "revision": rule.revision, "file": rule.at.0.path, "line": line, "column": column,
        "event": told.event, "type": told.kind, "time": told.time, "outcome": outcome,
        "when": told.when.as_ref().map(Term::json), "steps": steps, "absent": absent, "unless": unless,
        "silent_until": told.silent_until, "score": told.score(rule),
        "alert": told.alert.map(|(score, band)| json!({ "score": score, "band": band })),
        "findings": findings,
    })
}
