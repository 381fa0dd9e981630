//! The engine on the velocity workload, decoding included: CPU ns per event beside the limit, in one run.
//!
//! *From empty*: the first half of the events, while the state still grows; *from then on*: the second half.
//! Rounds are interleaved, the limit before and after the engine: where the two differ by more than 5 % the
//! round counts for nothing. Arguments: events a half (1 000 000), rounds (10).

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench prints its figures and stops where it cannot")]

mod cpu;
mod workload;

use std::hint::black_box;
use std::sync::Arc;

use walletwatch::detect::document::{AlertDocument, ContactDocument};
use walletwatch::detect::{Engine, FindingRecord, Input, Options, Sink};
use walletwatch::event::{Event, Limits, Millis, Raw, Rejection, decode};
use walletwatch::ruleset::{Bands, HashKey, Loaded, Ruleset, Sources, load};

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

/// An engine with nothing in its state.
fn empty(rules: &Arc<Ruleset>) -> Engine {
    Engine::new(Arc::clone(rules), Bands::default(), Options::default(), HashKey::new(KEY))
}

fn take(engine: &mut Engine, lines: &[Vec<u8>]) -> u64 {
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

/// Figures of one kind, one a round.
#[derive(Default)]
struct Figures(Vec<f64>);

impl Figures {
    fn print(&mut self, name: &str, unit: &str) {
        self.0.sort_by(f64::total_cmp);
        let at = |part: usize| self.0.get((self.0.len().max(1) - 1) * part / 2).copied().unwrap_or(f64::NAN);
        println!("  {name:22} {:8.2} {unit} ({:.2} to {:.2})", at(1), at(0), at(2));
    }
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
        measure(events, accounts, rounds, &rules, !is_test);
    }
}

fn measure(events: u64, accounts: u64, rounds: u64, rules: &Arc<Ruleset>, voids: bool) {
    let all = workload::w3(2 * events, accounts);
    let (before, lines) = all.split_at(all.len() / 2);
    let per_event = |ns: u64| ns as f64 / lines.len() as f64;
    let [mut limits, mut decodes, mut colds, mut warms, mut cold_ratios, mut warm_ratios] =
        std::array::from_fn(|_| Figures::default());
    let (mut alerts, mut void) = (0, 0);
    for _ in 0..rounds {
        let mut engine = empty(rules);
        let first = per_event(cost_ns(|| limit(lines)));
        let cold = per_event(cost_ns(|| alerts = take(&mut engine, before)));
        let warm = per_event(cost_ns(|| alerts += take(&mut engine, lines)));
        let second = per_event(cost_ns(|| limit(lines)));
        let decode = per_event(cost_ns(|| decoded(lines)));
        if voids && (first - second).abs() > 0.05 * first {
            void += 1;
            continue;
        }
        let limit = (first + second) / 2.0;
        for (figures, figure) in [
            (&mut limits, limit),
            (&mut decodes, decode),
            (&mut colds, cold),
            (&mut warms, warm),
            (&mut cold_ratios, cold / limit),
            (&mut warm_ratios, warm / limit),
        ] {
            figures.0.push(figure);
        }
    }
    println!("\nW3, 2 times {events} events, {accounts} accounts, {alerts} alerts, {void} of {rounds} rounds void");
    limits.print("limit", "ns CPU per event");
    decodes.print("decode", "ns CPU per event");
    colds.print("W3, from empty", "ns CPU per event");
    warms.print("W3, from then on", "ns CPU per event");
    cold_ratios.print("from empty / limit", "times; must 2.50, aim 1.60");
    warm_ratios.print("from then on / limit", "times; must 2.50, aim 1.60");
}
