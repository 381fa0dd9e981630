//! `rules sweep`: what would other values of a param do?
//!
//! Guarantees: each value runs in the production engine, over the same records, as if the file said it; a value
//! outside the range its rule declares is refused. Suggests nothing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::KEY;
use super::backtest::create;
use super::recording::{self, Recorded};
use super::set::{Beside, required, sources};
use super::table::Table;
use crate::cli::{Exit, Format, fail, output};
use crate::detect::Counters;
use crate::report;
use crate::ruleset::{self, Bands, HashKey, ParamPlace, Ruleset, Sources};
use crate::tuning::backtest::Events;
use crate::tuning::figures::{counted, number, percent};
use crate::tuning::labels::Labels;
use crate::tuning::report as html;
use crate::tuning::sweep::{Asked, Point, Sweep, Swept, VALUES_MAX, combinations, written};
use crate::tuning::tally::Tally;
use crate::tuning::trial::{Recording, Said, Trial};

/// Cells of the longest bar of the picture.
const BAR_CELLS: usize = 40;

/// What would other values of a param do? A table and a picture: alerts a day, and recall where there are labels.
///
/// The value in force is run too, and marked. Several --param are combined: every value of one with every value of
/// the others.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch rules sweep --param brute-force-account.failures=3..10 --events events.ndjson --labels truth.ndjson
  walletwatch rules sweep --param impossible-travel.kmh=600..1400..100 --events events.ndjson --report sweep.html")]
pub struct Args {
    /// A rule's param and its values: FROM..TO, FROM..TO..STEP, or A,B,C. Without `RULE.` a param all rules share.
    #[arg(long = "param", required = true, value_name = "RULE.PARAM=VALUES", value_parser = Asked::parse)]
    params: Vec<Asked>,
    /// The rules directory, or `builtin`.
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// Whether the shipped pack stands beside a directory; without this as `run` would have it here.
    #[arg(long, value_enum, value_name = "PACK")]
    pack: Option<Beside>,
    #[command(flatten)]
    recorded: recording::Args,
    /// Where a report for the browser goes: one file, nothing is loaded from anywhere.
    #[arg(long, value_name = "FILE|-")]
    report: Option<PathBuf>,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let outputs: Vec<&Path> = args.report.iter().map(PathBuf::as_path).collect();
    output::refuse_overwriting(&args.recorded.inputs(), &outputs)?;
    let sources = sources(&args.rules, args.pack)?;
    // A set with problems is told as it stands before anything of it is changed.
    compiled(&sources)?;
    let places = args.params.iter().map(|asked| place(&sources, asked)).collect::<anyhow::Result<Vec<_>>>()?;
    let values = values(&args.params, &places)?;
    let labels = args.recorded.read_labels()?;
    let recorded = args.recorded.open()?;
    let report = args.report.as_deref().map(create).transpose()?;

    let at_once = if recorded.is_once() { values.len() } else { recorded.threads };
    let mut found: Option<Sweep> = None;
    for (wave, some) in values.chunks(at_once.max(1)).enumerate() {
        let what = format!("sweep {} to {} of {}", wave * at_once + 1, wave * at_once + some.len(), values.len());
        let (events, points) = run_values(&recorded, &what, &sources, &places, some, labels.as_ref())?;
        found.get_or_insert_with(|| Sweep { events, params: swept(&places), points: Vec::new() }).points.extend(points);
    }
    let Some(found) = found else { return Err(fail(Exit::Usage, "there is no value to try")) };
    if let Some(mut out) = report {
        let page = html::sweep(&found).context("failed to write the report")?;
        out.write_all(page.as_bytes()).and_then(|()| out.flush()).context("failed to write the report")?;
    }
    if !args.report.as_deref().is_some_and(output::is_dash) {
        let mut out = std::io::stdout().lock();
        match args.format {
            Format::Human => out.write_all(human(&found).as_bytes())?,
            Format::Json => writeln!(out, "{}", serde_json::to_string(&found)?)?,
        }
    }
    Ok(Exit::Done)
}

/// The place of a param that is asked for.
fn place(sources: &Sources, asked: &Asked) -> anyhow::Result<ParamPlace> {
    let mut places = sources.params();
    if let Some(at) = places.iter().position(|place| place.called() == asked.param) {
        return Ok(places.swap_remove(at));
    }
    let called: Vec<String> = places.iter().map(ParamPlace::called).collect();
    let near = report::did_you_mean(&asked.param, called.iter().map(String::as_str));
    let of_rule: Vec<&str> = match asked.param.split_once('.') {
        Some((rule, _)) => called.iter().filter(|c| c.starts_with(&format!("{rule}."))).map(String::as_str).collect(),
        None => Vec::new(),
    };
    let rule = asked.param.split_once('.').map(|(rule, _)| rule);
    let has = match (rule, of_rule.as_slice()) {
        (None, _) => String::new(),
        (Some(rule), []) if ruleset::declares_rule(sources, rule) => format!("; its rule `{rule}` has none"),
        (Some(rule), []) => format!("; there is no rule `{rule}` with params"),
        (Some(_), of_rule) => format!("; its rule has {}", of_rule.join(", ")),
    };
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(fail(Exit::Usage, format!("there is no param `{}`{has}{near}", asked.param)))
}

/// Every combination to try, the one in force among them.
fn values(asked: &[Asked], places: &[ParamPlace]) -> anyhow::Result<Vec<Vec<String>>> {
    let mut each = Vec::new();
    for (asked, place) in asked.iter().zip(places) {
        let values = asked.values(place).map_err(|why| fail(Exit::Usage, format!("--param {}: {why}", asked.param)))?;
        each.push(values);
    }
    for (at, place) in places.iter().enumerate() {
        if let Some(other) = places.iter().skip(at + 1).find(|other| other.is_same_place(place)) {
            let (one, two) = (place.called(), other.called());
            let message = if one == two {
                format!("--param {one} stands twice")
            } else {
                format!("{one} and {two} are one value of the file's `defaults`")
            };
            return Err(fail(Exit::Usage, message));
        }
    }
    let count: usize = each.iter().map(Vec::len).fold(1, usize::saturating_mul);
    if count > VALUES_MAX {
        return Err(fail(Exit::Usage, format!("these are {count} combinations; at most {VALUES_MAX} are run")));
    }
    let mut all = combinations(&each);
    let current = current(places);
    if !all.contains(&current) {
        all.insert(0, current);
    }
    Ok(all)
}

fn current(places: &[ParamPlace]) -> Vec<String> {
    places.iter().map(|place| written(&place.value)).collect()
}

fn swept(places: &[ParamPlace]) -> Vec<Swept> {
    let swept = |place: &ParamPlace| Swept {
        param: place.called(),
        current: written(&place.value),
        shared_with: place.shared_with.clone(),
    };
    places.iter().map(swept).collect()
}

fn compiled(sources: &Sources) -> anyhow::Result<(Arc<Ruleset>, Bands)> {
    let loaded = required(sources, "")?;
    Ok((Arc::new(loaded.ruleset), loaded.policy.bands))
}

/// The rule set as its files would be with these values.
fn with_values(sources: &Sources, places: &[ParamPlace], values: &[String]) -> Sources {
    // From the last place of a file to the first: what stands before is not moved.
    let mut order: Vec<(&ParamPlace, &String)> = places.iter().zip(values).collect();
    order.sort_by_key(|(place, _)| std::cmp::Reverse(place.start()));
    order.into_iter().fold(sources.clone(), |sources, (place, value)| sources.with_param(place, value))
}

/// Runs some values at once.
fn run_values(
    recorded: &Recorded<'_>,
    what: &str,
    sources: &Sources,
    places: &[ParamPlace],
    values: &[Vec<String>],
    labels: Option<&Arc<Labels>>,
) -> anyhow::Result<(Events, Vec<Point>)> {
    let mut rules = Vec::new();
    let mut trials = Vec::new();
    for values in values {
        let (ruleset, bands) = compiled(&with_values(sources, places, values))?;
        trials.push(Trial::new(Arc::clone(&ruleset), bands, HashKey::new(KEY), labels.cloned()));
        rules.push(ruleset);
    }
    let mut tallies: Vec<Tally> = values.iter().map(|_| Tally::new(labels.cloned())).collect();
    let trials = recorded.run(what, trials, &mut |said| {
        for (tally, said) in tallies.iter_mut().zip(said) {
            let alerts =
                said.iter().filter_map(|said| if let Said::Alert { alert, .. } = said { Some(alert) } else { None });
            alerts.for_each(|alert| {
                tally.count(alert);
            });
        }
        Ok(())
    })?;
    let ended: Vec<(Recording, Counters)> = trials.into_iter().map(Trial::finish).collect();
    let Some((recording, counters)) = ended.first() else { return Err(fail(Exit::Bug, "a value is lost")) };
    let events = Events::new(recording, counters);
    let current = current(places);
    let points = values.iter().zip(&tallies).zip(&rules).zip(&ended);
    let points = points.map(|(((values, tally), rules), (recording, counters))| Point {
        is_current: *values == current,
        values: values.clone(),
        outcome: tally.outcome(rules, counters, recording),
    });
    Ok((events, points.collect()))
}

/// The table and the picture.
fn human(found: &Sweep) -> String {
    let is_labelled = found.points.iter().any(|point| point.outcome.labelled.is_some());
    let mut heads: Vec<&str> = vec![""];
    heads.extend(found.params.iter().map(|param| param.param.as_str()));
    heads.extend(["alerts", "a day", "accounts"]);
    if is_labelled {
        heads.extend(["precision", "recall"]);
    }
    heads.push("");
    let mut table = Table::new(&heads);
    let most = found.points.iter().map(|point| point.outcome.alerts).max().unwrap_or(0).max(1);
    for point in &found.points {
        let outcome = &point.outcome;
        let mut row = vec![if point.is_current { "now" } else { "" }.to_owned()];
        row.extend(point.values.iter().cloned());
        row.push(number(outcome.alerts));
        row.push(outcome.alerts_a_day.map_or("-".to_owned(), |n| format!("{n:.1}")));
        row.push(number(outcome.accounts));
        if is_labelled {
            let labelled = outcome.labelled.as_ref();
            row.push(percent(labelled.and_then(|labelled| labelled.precision)));
            row.push(labelled.map_or("-".to_owned(), |l| format!("{} {}/{}", percent(l.recall), l.found, l.cases)));
        }
        let cells = (outcome.alerts as usize).saturating_mul(BAR_CELLS).div_ceil(most as usize);
        row.push(format!("{:<BAR_CELLS$}", "#".repeat(cells.min(BAR_CELLS))));
        table.row(row);
    }
    let events = &found.events;
    let mut text =
        format!("{} of {}\n\n{}", counted(events.accepted, "event"), counted(events.days, "day"), table.text(""));
    for param in found.params.iter().filter(|param| !param.shared_with.is_empty()) {
        text.push_str(&format!(
            "\n{} stands under `defaults`: {} change with it\n",
            param.param,
            param.shared_with.join(", ")
        ));
    }
    let absent = found.points.first().and_then(|point| point.outcome.labelled.as_ref()).map_or(0, |l| l.absent);
    if absent > 0 {
        let cases = counted(absent, "case");
        text.push_str(&format!("\n{cases} labelled as fraud not among these events: recall leaves them out\n"));
    }
    text
}
