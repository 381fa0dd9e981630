//! `rules mutate`: would the tests notice a wrong threshold?

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::set::{Set, loaded};
use super::{KEY, find};
use crate::cli::output::print_problems;
use crate::cli::{Exit, Format};
use crate::clock;
use crate::report::{self, Problem};
use crate::ruleset::codes::tools::{FAILS_ALREADY, FEATURE_SURVIVOR, NO_MUTANT, NO_SURVIVOR, SURVIVOR};
use crate::ruleset::mutation::{self, Kept, Mutant, Survey};
use crate::ruleset::{HashKey, Loaded, Rule, Ruleset};
use crate::tuning::mutate::{self, Fate};

/// Would the tests notice a wrong threshold? Changes each constant by a step, drops each arm, `not`, exception and
/// step, and runs the rules' tests on the result. A survivor that no test can tell from the rule is named in the
/// rule: `mutants: [{keep: "when: 8 -> 9", reason: …}]`. What features keep is listed apart and decides nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch rules mutate
  walletwatch rules mutate --rule brute-force-account --format json")]
pub struct Args {
    #[command(flatten)]
    set: Set,
    /// Only what this rule reads.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// For people, or one JSON object for each mutant.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What was found of one mutant.
struct Judged<'m> {
    mutant: &'m Mutant,
    fate: Fate,
    kept: Option<&'m Kept>,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let sources = args.set.sources()?;
    let Some(Loaded { ruleset, .. }) = loaded(&sources, Some(clock::now()), args.format)? else {
        return Ok(Exit::No);
    };
    let only = match &args.rule {
        Some(id) => ruleset.rules.get(find(&ruleset, id)?),
        None => None,
    };
    let survey = mutation::survey(&sources);
    let asked: Vec<&Rule> = ruleset.rules.iter().filter(|rule| only.is_none_or(|only| only.id == rule.id)).collect();
    let failing = failing_tests(&survey, &asked);
    if !failing.is_empty() {
        print_problems(&failing, args.format)?;
        return Ok(Exit::No);
    }
    let is_asked = |mutant: &&Mutant| mutant.readers.iter().any(|reader| asked.iter().any(|rule| rule.id == *reader));
    let mutants: Vec<&Mutant> = survey.mutants.iter().filter(is_asked).collect();
    let judged: Vec<Judged<'_>> = mutants
        .iter()
        .zip(judge_all(&survey, &mutants))
        .map(|(mutant, fate)| Judged { mutant, fate, kept: kept(&ruleset, mutant) })
        .collect();
    let mut problems = survivors(&judged);
    problems.extend(kept_in_vain(&asked, &judged));
    match args.format {
        Format::Human => {
            print_problems(&problems, args.format)?;
            writeln!(std::io::stdout(), "{}{}", to_paste(&asked, &judged), summary(&judged))?;
        }
        Format::Json => print_json(&judged, &problems)?,
    }
    let is_wrong = problems.iter().any(|problem| problem.level == report::Level::Error);
    Ok(if is_wrong { Exit::No } else { Exit::Done })
}

/// Tests that fail on the rules as they are.
fn failing_tests(survey: &Survey<'_>, rules: &[&Rule]) -> Vec<Problem> {
    let failing = rules.iter().filter_map(|rule| {
        let test = mutate::fails_already(survey, &rule.id, HashKey::new(KEY))?;
        let message = format!("the test \"{test}\" of `{}` fails without any change", rule.id);
        let problem = Problem::error(FAILS_ALREADY, &rule.at.0, rule.at.1.clone(), message);
        Some(problem.help("mend it first: `rules test` tells what happened"))
    });
    failing.collect()
}

/// The fates of mutants, in their order, judged on all cores.
fn judge_all(survey: &Survey<'_>, mutants: &[&Mutant]) -> Vec<Fate> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut judged = Vec::new();
        while let Some((at, mutant)) = take(&next, mutants) {
            judged.push((at, mutate::judge(survey, mutant, HashKey::new(KEY))));
        }
        judged
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let fates: BTreeMap<usize, Fate> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        // A thread that panics is a bug: it is told as one.
        workers.into_iter().flat_map(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    fates.into_values().collect()
}

fn take<'m>(next: &AtomicUsize, mutants: &[&'m Mutant]) -> Option<(usize, &'m Mutant)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    mutants.get(at).map(|mutant| (at, *mutant))
}

/// The word of a rule that reads a mutant that it is equivalent.
fn kept<'r>(ruleset: &'r Ruleset, mutant: &Mutant) -> Option<&'r Kept> {
    let readers = ruleset.rules.iter().filter(|rule| mutant.readers.contains(&rule.id));
    readers.flat_map(|rule| &rule.kept).find(|kept| kept.name == mutant.name)
}

/// The survivors that no rule keeps; those of one place are one problem.
fn survivors(judged: &[Judged<'_>]) -> Vec<Problem> {
    let mut places: Vec<Vec<&Mutant>> = Vec::new();
    for Judged { mutant, .. } in judged.iter().filter(|one| one.fate == Fate::Survived && one.kept.is_none()) {
        let is_here = |other: &&Mutant| other.path == mutant.path && other.span == mutant.span;
        match places.iter_mut().find(|place| place.iter().any(is_here)) {
            Some(place) => place.push(mutant),
            None => places.push(vec![mutant]),
        }
    }
    places.iter().filter_map(|place| survivor(place)).collect()
}

/// The mutants of one place that survived, as a problem.
fn survivor(mutants: &[&Mutant]) -> Option<Problem> {
    let first = mutants.first()?;
    let joined = |texts: Vec<String>, by: &str| texts.join(by);
    let readers = joined(first.readers.iter().map(|reader| format!("`{reader}`")).collect(), ", ");
    let names = joined(mutants.iter().map(|mutant| format!("\"{}\"", mutant.name)).collect(), ", nor ");
    let hints = joined(mutants.iter().map(|mutant| mutant.hint.clone()).collect(), "; ");
    let message = format!("no test of {readers} notices {names}");
    let problem = match first.is_apart {
        true => Problem::warning(FEATURE_SURVIVOR, &first.file, first.span.clone(), message),
        false => Problem::error(SURVIVOR, &first.file, first.span.clone(), message),
    };
    let doubts: BTreeSet<&str> = mutants.iter().filter_map(|mutant| mutant.doubt.as_deref()).collect();
    Some(match doubts.into_iter().collect::<Vec<_>>().join("; ") {
        doubts if doubts.is_empty() => problem.help(hints),
        doubts => problem.help(format!("{hints}; but probably nothing does: {doubts}")),
    })
}

/// The lines that name survivors as equivalent, under the rule that reads them first; empty where there is none.
/// The reason is left to whoever knows it, and a rule without one does not load.
fn to_paste(rules: &[&Rule], judged: &[Judged<'_>]) -> String {
    let is_open = |one: &&Judged<'_>| one.fate == Fate::Survived && one.kept.is_none() && !one.mutant.is_apart;
    let mut of_rules: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for one in judged.iter().filter(is_open) {
        let reader = one.mutant.readers.iter().find(|reader| rules.iter().any(|rule| rule.id == **reader));
        if let Some(reader) = reader {
            of_rules.entry(reader).or_default().push(format!("      - {}\n", declared(one.mutant)));
        }
    }
    let mut text = String::new();
    for (id, lines) in of_rules {
        let has_some = rules.iter().any(|rule| rule.id == id && !rule.kept.is_empty());
        let key = if has_some { "" } else { "    mutants:\n" };
        let place = if has_some { "below its other `mutants`" } else { "as its last key" };
        text.push_str(&format!("# in `{id}`, {place}\n{key}{}", lines.concat()));
    }
    if !text.is_empty() {
        text.insert_str(
            0,
            "Write a test for each. Where no event can show one, it is equivalent: name it in the rule, with\n\
            the reason (`rules explain-code K001` tells when that is likely).\n\n",
        );
        text.push('\n');
    }
    text
}

/// A mutant as a rule names it, its reason filled in where that is probable.
fn declared(mutant: &Mutant) -> String {
    let reason = mutant.doubt.as_deref().map(quoted).unwrap_or_default();
    format!("{{keep: {}, reason: {reason}}}", quoted(&mutant.name))
}

/// A text in quotes of YAML.
fn quoted(text: &str) -> String {
    if text.contains(['"', '\\']) { format!("'{}'", text.replace('\'', "''")) } else { format!("\"{text}\"") }
}

/// What rules keep although it is no mutant, or no survivor.
fn kept_in_vain(rules: &[&Rule], judged: &[Judged<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (rule, kept) in rules.iter().flat_map(|rule| rule.kept.iter().map(move |kept| (rule, kept))) {
        let of_rule = |judged: &&Judged<'_>| judged.mutant.readers.contains(&rule.id);
        let found = judged.iter().filter(of_rule).find(|judged| judged.mutant.name == kept.name);
        let tell = |code, message: String| Problem::error(code, &rule.at.0, kept.at.clone(), message);
        match found.map(|judged| &judged.fate) {
            Some(Fate::Survived) => {}
            Some(Fate::Killed { rule, test }) => {
                let message = format!("\"{}\" is no survivor: the test \"{test}\" of `{rule}` notices it", kept.name);
                problems.push(tell(NO_SURVIVOR, message).help("drop this entry"));
            }
            Some(Fate::NotLoading(_)) => {
                let message = format!("\"{}\" is no survivor: the set does not load with it", kept.name);
                problems.push(tell(NO_SURVIVOR, message).help("drop this entry"));
            }
            None => {
                let names = judged.iter().filter(of_rule).map(|judged| judged.mutant.name.as_str());
                let problem = tell(NO_MUTANT, format!("`{}` has no mutant \"{}\"", rule.id, kept.name));
                problems.push(match report::did_you_mean(&kept.name, names) {
                    Some(near) => problem.help(format!("there is \"{near}\"")),
                    None => problem.help("`rules mutate` prints the names of those that survive"),
                });
            }
        }
    }
    problems
}

fn summary(judged: &[Judged<'_>]) -> String {
    let counted = |is_apart: bool| {
        let mut counts = [0usize; 4];
        for one in judged.iter().filter(|one| one.mutant.is_apart == is_apart) {
            let at = match (&one.fate, one.kept) {
                (Fate::Killed { .. }, _) => 0,
                (Fate::Survived, None) => 1,
                (Fate::Survived, Some(_)) => 2,
                (Fate::NotLoading(_), _) => 3,
            };
            if let Some(count) = counts.get_mut(at) {
                *count += 1;
            }
        }
        let [killed, survived, kept, not_loading] = counts;
        let total = killed + survived + kept;
        let not_loading = match not_loading {
            0 => String::new(),
            n => format!("; {n} do not load and do not count"),
        };
        format!("{total} mutants: {killed} noticed, {survived} survived, {kept} kept with a reason{not_loading}")
    };
    format!("{}\nwindows and filters of features, apart: {}", counted(false), counted(true))
}

fn print_json(judged: &[Judged<'_>], problems: &[Problem]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for Judged { mutant, fate, kept } in judged {
        let (line, column) = report::place(&mutant.file, mutant.span.start);
        let mut object = json!({
            "mutant": mutant.name, "file": mutant.file.path, "line": line, "column": column,
            "readers": mutant.readers, "feature": mutant.is_apart, "hint": mutant.hint, "doubt": mutant.doubt,
        });
        let (outcome, about) = match (fate, kept) {
            (Fate::Killed { rule, test }, _) => ("killed", json!({ "rule": rule, "test": test })),
            (Fate::Survived, Some(kept)) => ("kept", json!(kept.reason)),
            (Fate::Survived, None) => ("survived", json!(null)),
            (Fate::NotLoading(problem), _) => ("not_loading", json!(problem)),
        };
        let key = match fate {
            Fate::Killed { .. } => "by",
            Fate::Survived => "reason",
            Fate::NotLoading(_) => "problem",
        };
        object["outcome"] = json!(outcome);
        object[key] = about;
        writeln!(out, "{object}")?;
    }
    let in_vain: Vec<Problem> =
        problems.iter().filter(|problem| matches!(problem.code, NO_MUTANT | NO_SURVIVOR)).cloned().collect();
    out.write_all(report::to_json(&in_vain).as_bytes())
}
