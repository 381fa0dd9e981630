//! Rule files: how long a set takes to load, what a condition costs, and that a hostile file takes time in
//! proportion to its size. Each figure stands beside its limit.
//!
//! ```text
//! cargo bench --bench rules
//! ```

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a bench prints what it measures")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use walletwatch::detect::document::{AlertDocument, ContactDocument};
use walletwatch::detect::{Engine, FindingRecord, Input, Options, Sink};
use walletwatch::event::{Event, Limits, Millis, Rejection, decode};
use walletwatch::ruleset::row::{Layout, Row};
use walletwatch::ruleset::{Bands, HashKey, Loaded, Sources, load};

mod cpu;
mod hostile;

const KEY: HashKey = HashKey::new([7; 16]);
/// Rounds of which the median counts.
const ROUNDS: usize = 7;
/// The kernel counts CPU time in ticks of some ms: something is run until it has used so much.
const MEASURED_NS_MIN: u64 = 100_000_000;

fn median(mut one: impl FnMut() -> Duration, rounds: usize) -> Duration {
    let mut times: Vec<Duration> = (0..rounds).map(|_| one()).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// CPU time of one run: what else the machine does is not counted.
fn timed<T>(mut run: impl FnMut() -> T) -> Duration {
    let began = cpu::now_ns();
    for times in 1.. {
        black_box(run());
        let spent = cpu::now_ns().saturating_sub(began);
        if spent >= MEASURED_NS_MIN {
            return Duration::from_nanos(spent / times);
        }
    }
    Duration::ZERO
}

fn sources(text: &str) -> Sources {
    let mut sources = Sources::new("rules");
    sources.add("x.yaml", text, None);
    sources
}

fn loaded(text: &str) -> Loaded {
    load(&sources(text), KEY, None)
        .unwrap_or_else(|problems| panic!("{}", walletwatch::report::render(&problems, false)))
}

/// Fifty live rules on five event types, each with features of its own, an exception and tests.
fn fifty_rules() -> String {
    let types = ["login", "transfer", "payment", "withdrawal", "top_up"];
    let (mut features, mut rules) = (String::new(), String::new());
    for n in 0..50 {
        let on = types[n % types.len()];
        let limit = n % 7 + 2;
        let _ = writeln!(features, "  n{n}: {{count: {on}, where: channel == \"app\", by: account, over: {}m}}", n + 5);
        let _ = writeln!(
            rules,
            "  - id: rule-{n}\n    title: rule {n}\n    state: live\n    owner: team\n    severity: low\n    score: 10\n    \
             on: {on}\n    audience: [security]\n    when: |\n      n{n} > {limit} and channel == \"web\"\n      \
             and (country is missing or country != \"CN\") and not new_device\n    unless:\n      - {{name: office, when: \
             ip in lists.office, reason: r, owner: o, expires: 2027-12-31}}\n    dedup: {{by: account, for: 1h}}\n    \
             explain: \"{{n{n}}} from {{ip}}\"\n    runbook: https://example.org/r\n    tests:\n      - name: both\n        \
             given: {{type: {on}, account: a1, channel: app}}\n        events:\n          - {{repeat: {limit}, every: 1s, \
             expect: quiet}}\n          - {{channel: web, geo: {{country: US}}, device: d1, expect: fire}}"
        );
    }
    format!(
        "version: 1\nfeatures:\n  device: {{first_seen: login, by: [account, device], over: 90d}}\n{features}defs:\n  new_device: \
         seen.age is missing\nlists:\n  office: {{type: ip, owner: o, max_age: 90d, items: [198.51.100.0/24]}}\nrules:\n{rules}"
    )
    .replace("  device: {first_seen", "  seen: {first_seen")
}

fn load_fifty() {
    let text = fifty_rules();
    loaded(&text);
    let time = median(|| timed(|| load(&sources(&text), KEY, None)), ROUNDS);
    println!("50 rules ({} KiB) parse, check and compile: {:.2} ms; must < 10 ms", text.len() / 1024, ms(time));
}

/// One condition of four terms on rows of which the terms are true, so that all of them are looked at.
fn four_terms() {
    let text = "version: 1\nrules:\n  - {id: r, title: t, owner: o, severity: low, score: 10, on: transfer, audience: [security], \
                when: 'amount > 5 CNY and count < 9 and channel == \"app\" and device != \"d9\"', explain: e, \
                runbook: https://example.org/r}\n";
    let ruleset = loaded(text).ruleset;
    let line = br#"{"id":"e","type":"transfer","time":1767571200000,"account":"a","amount":"12.50","currency":"CNY","channel":"app","device":"d1","status":"completed"}"#;
    let event = decode(Some(line), Millis(1_767_571_300_000), &Limits::default()).expect("an event").event;
    let layout: &Layout = &ruleset.layout;
    let mut numbers = vec![f64::NAN; layout.numbers.into()];
    let mut ids = vec![0; layout.ids.into()];
    let mut texts = vec!["".into(); layout.texts.into()];
    for (name, ty, cell) in layout.cells() {
        if let walletwatch::ruleset::Name::Field(field) = name {
            fill(&field.value(&event), *ty, *cell, (&mut numbers, &mut ids, &mut texts));
        }
    }
    let row = Row { event: &event, numbers: &numbers, ids: &ids, texts: &texts };
    let when = &ruleset.rules.first().expect("a rule").when;
    assert!(when.is_true(&row), "all four terms are looked at");
    const TIMES: u32 = 1_000_000;
    let time = median(|| timed(|| (0..TIMES).filter(|_| black_box(when).is_true(black_box(&row))).count()), ROUNDS);
    println!("one condition of four terms: {:.1} ns; must < 40 ns", time.as_secs_f64() * 1e9 / f64::from(TIMES));
}

fn fill(
    value: &walletwatch::event::Value<'_>,
    ty: walletwatch::ruleset::expr::Ty,
    cell: walletwatch::ruleset::row::Cell,
    (numbers, ids, texts): (&mut [f64], &mut [u64], &mut [compact_str::CompactString]),
) {
    use walletwatch::event::Value;
    use walletwatch::ruleset::expr::Ty;
    let at = usize::from(cell.at);
    match (value, ty) {
        (Value::Money(money), _) => {
            numbers[at] = money.minor as f64;
            numbers[at + 1] = f64::from(money.currency.number());
        }
        (Value::Int(n), _) => numbers[at] = *n as f64,
        (Value::Word(word), Ty::Word(words)) => {
            numbers[at] = words.iter().position(|w| w == word).expect("a word") as f64;
        }
        (Value::Text(text), _) => {
            ids[at] = KEY.text(text);
            texts[usize::from(cell.text)] = text.as_ref().into();
        }
        other => panic!("{other:?} is not of this bench"),
    }
}

/// Whom nothing is told.
struct Nobody;

impl Sink for Nobody {
    fn rejected(&mut self, _: usize, _: &Rejection) {}
    fn duplicate(&mut self, _: usize) {}
    fn accepted(&mut self, _: usize, _: &Event<'_>, _: bool) {}
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, _: FindingRecord) {}
    fn alert(&mut self, _: usize, _: AlertDocument) {}
}

/// What a rule of the fifty asks. Each is four terms; the feature is one for all.
#[derive(Clone, Copy)]
enum Asks {
    /// The feature first, then what is false of every event: conditions stop there, as they mostly do.
    AsUsual,
    /// Three terms that are true, then one that is false: nothing is spared.
    EveryTerm,
}

impl Asks {
    fn condition(self, n: usize) -> String {
        match self {
            Asks::AsUsual => format!("n > {} and channel == \"api\" and device != \"d{n}\" and count < 9", n + 3),
            Asks::EveryTerm => format!("channel == \"app\" and device != \"d{n}\" and count < 9 and n > {}", n + 500),
        }
    }
}

fn engine(rules: usize, types: &[&str], asks: Asks) -> Engine {
    let rule = |n: usize| {
        let (on, when) = (types[n % types.len()], asks.condition(n));
        format!(
            "  - {{id: r{n}, title: t, owner: o, severity: low, score: 10, state: live, on: {on}, audience: [security], when: \
             '{when}', explain: e, runbook: https://example.org/r, tests: [{{name: t, given: {{type: {on}, account: a, \
             channel: api, device: d}}, set: {{n: 500}}, events: [{{expect: fire}}, {{channel: web, expect: quiet}}]}}]}}\n"
        )
    };
    let all: String = (0..rules).map(rule).collect();
    let text =
        format!("version: 1\nfeatures:\n  n: {{count: [login, transfer], by: account, over: 10m}}\nrules:\n{all}");
    Engine::new(Arc::new(loaded(&text).ruleset), Bands::default(), Options::default(), KEY)
}

/// What fifty rules cost a login beyond what one does. Rules are indexed by the type of event they are on: those of
/// other types are not visited. All fifty conditions of a type are run, each until its first false term.
fn fifty_conditions() {
    let lines: Vec<String> = (0..100_000_u64)
        .map(|n| {
            let (account, time) = (n % 500, 1_767_571_200_000 + n * 50);
            format!(
                r#"{{"id":"e{n}","type":"login","result":"success","time":{time},"account":"a{account}","device":"x{account}","channel":"app"}}"#
            )
        })
        .collect();
    let per_event = |mut engine: Engine| {
        let began = cpu::now_ns();
        for batch in lines.chunks(1024) {
            let inputs = batch.iter().map(|line| Input { lane: 0, value: Some(line.as_bytes()) });
            engine.take(inputs, Millis(1_767_671_200_000), None, &mut Nobody);
        }
        cpu::now_ns().saturating_sub(began) as f64 / 1e3 / lines.len() as f64
    };
    let five_types = ["login", "transfer", "payment", "withdrawal", "top_up"];
    for (types, asks, name, limit) in [
        (&["login"][..], Asks::AsUsual, "50 rules, all of the event's type", "must < 0.6 µs"),
        (&["login"], Asks::EveryTerm, "the same, all four terms of each looked at", "told only"),
        (&five_types, Asks::AsUsual, "50 rules of five types, 40 skipped by the index", "told only"),
    ] {
        // By turns: what else the machine does meets both.
        let mut pairs: Vec<[f64; 2]> =
            (0..ROUNDS).map(|_| [1, 50].map(|rules| per_event(engine(rules, types, asks)))).collect();
        let least = |at: usize| pairs.iter().map(|pair| pair[at]).fold(f64::INFINITY, f64::min);
        let (one, fifty) = (least(0), least(1));
        pairs.sort_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0])));
        let median = pairs.get(pairs.len() / 2).map_or(f64::NAN, |pair| pair[1] - pair[0]);
        println!(
            "{name}: {median:.3} µs per event beyond one rule's {one:.3} µs (fastest rounds: {:.3} µs); {limit}",
            fifty - one
        );
    }
}

fn hostile_files() {
    println!(
        "hostile files, ms at 240, 480 and 960 KiB (1 MiB is the most a file may have), and how much more twice the size takes:"
    );
    let mut worst = Duration::ZERO;
    for shape in hostile::SHAPES {
        let texts = [240 << 10, 480 << 10, 960 << 10].map(shape.make);
        let [a, b, c] = texts.map(|text| timed(|| load(&sources(&text), KEY, None)));
        worst = worst.max(c);
        let growth = |less: Duration, more: Duration| more.as_secs_f64() / less.as_secs_f64().max(1e-6);
        println!(
            "{:>9.2} {:>9.2} {:>9.2}   × {:.1} × {:.1}   {}",
            ms(a),
            ms(b),
            ms(c),
            growth(a, b),
            growth(b, c),
            shape.name
        );
    }
    println!("the worst at 960 KiB: {:.0} ms; linear is × 2", ms(worst));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn main() {
    load_fifty();
    four_terms();
    fifty_conditions();
    if !std::env::args().any(|arg| arg == "--test") {
        hostile_files();
    }
}
