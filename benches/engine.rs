//! The engine on the velocity workload, decoding included: CPU ns per event beside the limit, in one run.
//!
//! Rounds are interleaved, the limit before and after the engine: where the two differ by more than 5 % the
//! round counts for nothing. Arguments: events (1 000 000), rounds (10).

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench prints its figures and stops where it cannot")]

mod cpu;
mod workload;

use std::hint::black_box;
use std::sync::Arc;

use walletwatch::detect::document::{AlertDocument, ContactDocument};
use walletwatch::detect::{Engine, FindingRecord, Input, Options, Sink};
use walletwatch::event::{Event, Limits, Millis, Raw, Rejection, decode};
use walletwatch::ruleset::{HashKey, Loaded, Sources, load};

const MOMENT: Millis = Millis(i64::MAX / 2);
const KEY: [u8; 16] = [5; 16];
const BATCH: usize = 1024;

#[derive(Default)]
struct Counted {
    alerts: u64,
}

impl Sink for Counted {
    fn rejected(&mut self, _: usize, _: &Rejection) {}
    fn duplicate(&mut self, _: usize) {}
    fn accepted(&mut self, _: usize, _: &Event<'_>, _: bool) {}
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, _: FindingRecord) {}
    fn alert(&mut self, _: usize, _: AlertDocument) {
        self.alerts += 1;
    }
}

fn rules() -> Loaded {
    let mut sources = Sources::new("rules");
    sources.add("w3.yaml", include_str!("../tests/data/rules/w3/w3.yaml"), None);
    load(&sources, HashKey::new(KEY), None).expect("the rules load")
}

fn limit(lines: &[Vec<u8>]) {
    for line in lines {
        if let Ok(text) = std::str::from_utf8(line) {
            black_box(Raw::parse(text).is_ok());
        }
    }
}

fn decoded(lines: &[Vec<u8>]) {
    let limits = Limits::default();
    for line in lines {
        black_box(decode(Some(line), MOMENT, &limits).is_ok());
    }
}

fn engine(lines: &[Vec<u8>], loaded: &Arc<walletwatch::ruleset::Ruleset>) -> u64 {
    let bands = walletwatch::ruleset::Bands::default();
    let mut engine = Engine::new(Arc::clone(loaded), bands, Options::default(), HashKey::new(KEY));
    let mut sink = Counted::default();
    for batch in lines.chunks(BATCH) {
        engine.take(batch.iter().map(|l| Input { lane: 0, value: Some(l) }), MOMENT, None, &mut sink);
    }
    sink.alerts
}

/// What `work` costs, ns of CPU.
fn cost_ns(work: impl FnOnce()) -> u64 {
    let before = cpu::now_ns();
    work();
    cpu::now_ns() - before
}

/// The median and the range of some figures.
fn median(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let at = |part: usize| figures[(figures.len() - 1) * part / 2];
    (at(1), at(0), at(2))
}

fn main() {
    // `cargo test --benches` only asks whether it runs.
    let is_test = std::env::args().any(|arg| arg == "--test");
    let number = |at: usize, default: u64| {
        std::env::args().filter(|arg| !arg.starts_with('-')).nth(at).and_then(|n| n.parse().ok()).unwrap_or(default)
    };
    let events = if is_test { 1000 } else { number(1, 1_000_000) };
    let rounds = if is_test { 1 } else { number(2, 10) };
    let rules = Arc::new(rules().ruleset);
    for accounts in [10_000, events / 5, 1_000_000] {
        let lines = workload::w3(events, accounts);
        let per_event = |ns: u64| ns as f64 / lines.len() as f64;
        let (mut limits, mut decodes, mut engines, mut ratios) = (vec![], vec![], vec![], vec![]);
        let (mut alerts, mut void) = (0, 0);
        for _ in 0..rounds {
            let first = per_event(cost_ns(|| limit(&lines)));
            let ours = per_event(cost_ns(|| alerts = engine(&lines, &rules)));
            let second = per_event(cost_ns(|| limit(&lines)));
            let decode = per_event(cost_ns(|| decoded(&lines)));
            if (first - second).abs() > 0.05 * first {
                void += 1;
                if !is_test {
                    continue;
                }
            }
            limits.push((first + second) / 2.0);
            decodes.push(decode);
            engines.push(ours);
            ratios.push(2.0 * ours / (first + second));
        }
        println!("\nW3, {} events, {accounts} accounts, {alerts} alerts, {void} of {rounds} rounds void", lines.len());
        for (name, figures) in [("limit", limits), ("decode", decodes), ("W3 with decoding", engines)] {
            if !figures.is_empty() {
                let (median, low, high) = median(figures);
                println!("  {name:20} {median:8.0} ns CPU per event ({low:.0} to {high:.0})");
            }
        }
        if !ratios.is_empty() {
            let (median, low, high) = median(ratios);
            println!("  {:20} {median:8.2} times the limit ({low:.2} to {high:.2}); must 2.50, aim 1.60", "W3 / limit");
        }
    }
}
