//! The engine against a second, slow, obvious implementation of the rule language, over rule sets and streams made
//! at random. Nothing is shared but the words: the oracle evaluates the description that the rule file is rendered
//! from, keeps every event and looks through all of them for every value.
//!
//! `WALLETWATCH_DIFFERENTIAL=FIRST..END` runs the seeds from FIRST up to END instead of the usual ones. A case that
//! differs is made small and printed as a rule file and lines for `walletwatch replay`. `tests/mutants` seeds mistakes
//! into the engine, one at a time, and expects each to be found here.

mod caps;
mod describe;
mod engine;
pub mod make;
mod make_rules;
mod make_sequence;
mod make_stream;
mod mutants;
mod oracle_run;
mod oracle_sequence;
mod oracle_truth;
mod oracle_values;
mod oracle_watermark;
mod probe;
pub mod render;
mod shrink;
mod told;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use describe::Case;
use told::{Tally, Told};

/// The seeds of a usual run.
const SEEDS: Range<u64> = 0..1500;
/// Seeds that differ are told up to so many.
const REPORTED: usize = 4;
const SEEDS_VARIABLE: &str = "WALLETWATCH_DIFFERENTIAL";
/// Where it is set, the run ends at the first case that differs, and tells only its seed.
const AS_MADE_VARIABLE: &str = "WALLETWATCH_DIFFERENTIAL_AS_MADE";

/// How the engine and the oracle differ over a case; a rule file that does not load is a difference too.
fn differences(case: &Case, ours: &Told) -> Vec<String> {
    match engine::run(case) {
        Ok(theirs) => ours.differences(&theirs),
        Err(problems) => vec![format!("the rule file does not load\n{problems}")],
    }
}

/// The case of a seed that differs, made small, as a person would replay it.
fn report(seed: u64, case: Case) -> String {
    let differ = |case: &Case| differences(case, &oracle_run::run(case));
    let loads = engine::run(&case).is_ok();
    let small = shrink::shrink(case, |case| engine::run(case).is_ok() == loads && !differ(case).is_empty());
    let is_file = small.lanes.iter().all(|lane| *lane == 0) && small.reads.iter().all(|read| read.at_end.is_empty());
    let lanes = match is_file {
        true => String::new(),
        false => format!(
            "\n# replay has one partition: these are of {:?} in turn, {} at once, read {:?}",
            small.lanes, small.batch, small.reads
        ),
    };
    let lines: Vec<String> = small.records.iter().map(render::line).collect();
    format!(
        "seed {seed}:\n{}\n\n# rules/case.yaml, for `walletwatch replay events.ndjson --rules rules --findings -`{lanes}\n{}\n# events.ndjson\n{}\n",
        differ(&small).join("\n"),
        render::rule_file(&small.rules),
        lines.join("\n")
    )
}

fn seeds() -> Range<u64> {
    let Ok(asked) = std::env::var(SEEDS_VARIABLE) else { return SEEDS };
    let (first, end) = asked.split_once("..").expect("FIRST..END");
    first.parse().expect("a number")..end.parse().expect("a number")
}

#[test]
fn engine_and_oracle_agree_over_random_rules_and_streams() {
    let seeds = seeds();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let is_as_made = std::env::var_os(AS_MADE_VARIABLE).is_some();
    let (enough, found) = (if is_as_made { 1 } else { REPORTED }, AtomicUsize::new(0));
    let mut tally = Tally::default();
    let mut differing: Vec<u64> = Vec::new();
    std::thread::scope(|scope| {
        let found = &found;
        let running: Vec<_> = (0..threads)
            .map(|n| {
                let part = seeds.clone().skip(n).step_by(threads);
                scope.spawn(move || judge(part, found, enough))
            })
            .collect();
        for thread in running {
            let (told, differs) = thread.join().expect("a run");
            tally.add(told);
            differing.extend(differs);
        }
    });
    differing.sort_unstable();
    differing.truncate(REPORTED);
    assert!(!is_as_made || differing.is_empty(), "seeds {differing:?}");
    let reports: Vec<String> = differing.into_iter().map(|seed| report(seed, make::case(seed))).collect();
    assert!(reports.is_empty(), "{}", reports.join("\n"));
    tally.assert_rich(seeds.end - seeds.start);
}

/// What happened over some seeds, and those of them that differ; ends where enough are found by all.
fn judge(seeds: impl Iterator<Item = u64>, found: &AtomicUsize, enough: usize) -> (Tally, Vec<u64>) {
    let mut tally = Tally::default();
    let mut differing = Vec::new();
    for seed in seeds {
        if found.load(Ordering::Relaxed) >= enough {
            break;
        }
        let case = make::case(seed);
        let told = oracle_run::run(&case);
        tally.take(&told);
        if !differences(&case, &told).is_empty() {
            differing.push(seed);
            found.fetch_add(1, Ordering::Relaxed);
        }
    }
    (tally, differing)
}
