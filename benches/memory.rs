//! The engine's memory: allocations per quiet event, which must be none, and bytes per account under three velocity
//! rules and under the shipped pack.
//!
//! An account is what is allocated for it: its entity, what that points to, its place in the index, its marks. The
//! event ids remembered belong to events and are told apart. How the process grows (RSS) has what malloc takes with it.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench prints its figures and stops where it cannot")]

use std::sync::Arc;

use allocation_counter::measure;
use walletwatch::detect::document::{AlertDocument, ContactDocument};
use walletwatch::detect::{Engine, FindingRecord, Input, Options, Sink};
use walletwatch::event::{Event, Millis, Rejection};
use walletwatch::ruleset::{Bands, HashKey, KeyField, Ruleset, Sources, load};
use walletwatch::sim::{Generator, Plan, Profile};

const MOMENT: Millis = Millis(i64::MAX / 2);
const KEY: [u8; 16] = [5; 16];
const BATCH: usize = 1024;

/// Bytes an account may take under three velocity rules.
const ACCOUNT_BYTES_AIM: i64 = 250;
const ACCOUNT_BYTES_MUST: i64 = 400;
/// Accounts of the wallet, of which not all come.
const ACCOUNTS: u64 = 1_000_000;
const EVENTS: u64 = 4_000_000;
/// What a process of its own does, so that nothing but that is in its memory.
const ALONE: &str = "the-events-alone";
const FILLED: &str = "an-engine-filled";

struct Nobody;

impl Sink for Nobody {
    fn rejected(&mut self, _: usize, rejection: &Rejection) {
        std::hint::black_box(rejection);
    }
    fn duplicate(&mut self, _: usize) {}
    fn accepted(&mut self, _: usize, _: &Event<'_>, _: bool) {}
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, _: FindingRecord) {}
    fn alert(&mut self, _: usize, _: AlertDocument) {}
}

const W3: &str = include_str!("../tests/data/rules/w3/w3.yaml");

/// The rules of accounts alone: what an address keeps is not an account's.
fn without_addresses() -> String {
    let mut parts: Vec<&str> = W3.split("  - id: ").collect();
    parts.retain(|part| !part.starts_with("w3-accounts-per-address"));
    parts.join("  - id: ")
}

/// A sequence that nothing begins, one that everybody has begun and nothing goes on with, and one that waits for what
/// does not follow.
const SEQUENCES: &str = r#"
  - id: not-begun
    title: t
    sequence: {by: account, within: 1h, steps: [{on: login, as: l, where: device == "nobody's"}, {on: transfer, where: device == l.device}]}
    explain: "{l.device}"
    tests: [{name: t, given: {type: transfer, account: a, amount: 1 CNY}, events: [{expect: fire}, {expect: quiet}]}]
  - id: begun
    title: t
    sequence: {by: account, within: 89d, steps: [{on: password_reset, as: r}, {on: [login, transfer], where: session == r.session}]}
    explain: "{r.session}"
    tests: [{name: t, given: {type: login, account: a, result: success}, events: [{expect: fire}, {expect: quiet}]}]
  - id: waiting
    title: t
    sequence: {by: account, within: 1h, steps: [{on: password_reset, as: r}], absent: [{on: login, where: session == r.session, within: 89d}]}
    explain: "{r.session}"
    tests: [{name: t, given: {type: password_reset, account: a, stage: completed}, events: [{expect: fire}, {expect: quiet}]}]
"#;

fn engine(rules: &str) -> Engine {
    with_options(rules, Options::default())
}

fn with_options(rules: &str, options: Options) -> Engine {
    let mut sources = Sources::new("rules");
    sources.add("w3.yaml", rules, None);
    loaded(&sources, options)
}

/// An engine that keeps accounts and nothing else: no event id, no address.
fn without_ids() -> Engine {
    let options = Options { event_ids_max: 1, state_memory_max_bytes: 1 << 40, ..Options::default() };
    with_options(&without_addresses(), options)
}

fn loaded(sources: &Sources, options: Options) -> Engine {
    let rules: Arc<Ruleset> = Arc::new(load(sources, HashKey::new(KEY), None).expect("the rules load").ruleset);
    Engine::new(rules, Bands::default(), options, HashKey::new(KEY))
}

/// What an engine holds after a stream of events.
struct Filled {
    bytes: i64,
    accounts: i64,
    accounted: usize,
}

impl Filled {
    fn per_account(&self, bytes: i64) -> i64 {
        bytes / self.accounts.max(1)
    }
}

/// Gives an engine the velocity workload as it is made, so that no more of it is in memory than a batch.
fn stream(events: u64, mut take: impl FnMut(&[Vec<u8>])) {
    let plan = Plan { accounts: Some(ACCOUNTS), ..Plan::new(events, 1, Profile::W3) };
    let mut generator = Generator::new(&plan).expect("a good plan");
    let mut batch: Vec<Vec<u8>> = vec![Vec::new(); BATCH];
    loop {
        let mut len = 0;
        for line in &mut batch {
            let Some(record) = generator.next_record().expect("a record") else { break };
            line.clear();
            line.extend_from_slice(record.value);
            len += 1;
        }
        if len == 0 {
            return;
        }
        take(&batch[..len]);
    }
}

fn fill(engine: &mut Engine, events: u64) -> Filled {
    let mut bytes = 0;
    stream(events, |lines| bytes += measure(|| take(engine, lines)).bytes_current);
    Filled { bytes, accounts: engine.entities(KeyField::Account) as i64, accounted: engine.accounted_bytes() }
}

/// The memory of this process after it has made the events, and given them to an engine where there is one, bytes.
fn resident_after(mut engine: Option<Engine>) -> i64 {
    stream(EVENTS, |lines| engine.iter_mut().for_each(|engine| take(engine, lines)));
    let status = std::fs::read_to_string("/proc/self/status").expect("there is one");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is told");
    drop(engine);
    line.trim().trim_end_matches(" kB").parse::<i64>().expect("a number") * 1024
}

/// The same of a process of its own.
fn child(what: &str) -> i64 {
    let child = std::process::Command::new(std::env::current_exe().expect("this one")).arg(what).output();
    let told = String::from_utf8(child.expect("it runs").stdout).expect("text");
    told.lines().last().and_then(|line| line.parse().ok()).expect("a number")
}

fn take(engine: &mut Engine, lines: &[Vec<u8>]) {
    for batch in lines.chunks(BATCH) {
        engine.take(batch.iter().map(|l| Input { lane: 0, value: Some(l) }), MOMENT, None, &mut Nobody);
    }
}

/// A wallet at rest: the same accounts, devices and addresses come round again and again.
fn quiet(from: u64, events: u64) -> Vec<Vec<u8>> {
    let line = |n: u64| {
        let (account, time) = (n % 1000, 1_767_571_200_000 + n * 1000);
        let own = match n / 1000 % 5 {
            0 | 1 => {
                format!(r#""type":"login","result":"success","device":"device-of-{account}","zone":"Asia/Shanghai""#)
            }
            2 if account % 7 == 0 => r#""type":"login","result":"failure","reason":"wrong_password""#.to_owned(),
            _ => r#""type":"transfer","status":"completed","amount":"12.50","currency":"CNY""#.to_owned(),
        };
        let ip = format!("203.0.{}.{}", account / 250, account % 250);
        format!(
            r#"{{"id":"event-{n}","time":{time},"account":"account-{account}","ip":"{ip}","geo":{{"country":"CN","city":"Shanghai"}},{own}}}"#
        )
        .into_bytes()
    };
    (from..from + events).map(line).collect()
}

/// A password reset of each of these accounts, a moment before the quiet begins.
fn resets() -> Vec<Vec<u8>> {
    let line = |account: u64| {
        format!(
            r#"{{"id":"reset-{account}","type":"password_reset","time":{},"account":"account-{account}","stage":"completed","session":"session-of-{account}"}}"#,
            1_767_571_199_000u64
        )
        .into_bytes()
    };
    (0..1000).map(line).collect()
}

/// A quiet event allocates nothing.
fn no_allocations() {
    let mut quiet_engine = engine(&format!("{W3}{SEQUENCES}"));
    take(&mut quiet_engine, &resets());
    assert_eq!(quiet_engine.sequences(), 2000, "a begun and a waiting one of each account");
    let warm = 400_000;
    for from in (0..warm).step_by(50_000) {
        take(&mut quiet_engine, &quiet(from, 50_000));
    }
    let lines = quiet(warm, 50_000);
    let info = measure(|| take(&mut quiet_engine, &lines));
    println!("{} allocations in {} quiet events", info.count_total, lines.len());
    assert_eq!(info.count_total, 0, "a quiet event allocates nothing");
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some(ALONE) => return println!("{}", resident_after(None)),
        Some(FILLED) => return println!("{}", resident_after(Some(without_ids()))),
        _ => {}
    }
    no_allocations();
    let is_test = std::env::args().any(|arg| arg == "--test");
    let events = if is_test { 20_000 } else { EVENTS };
    let whole = fill(&mut engine(&without_addresses()), events);
    let bare = fill(&mut without_ids(), events);
    println!("{events} events of W3, {ACCOUNTS} accounts in the wallet, {} of them seen", bare.accounts);
    println!(
        "{} B per account: what it keeps, its place in the index and its marks (allocated, bytes asked for); aim \
         {ACCOUNT_BYTES_AIM}, must {ACCOUNT_BYTES_MUST}",
        bare.per_account(bare.bytes)
    );
    println!("{} B per account besides for the event ids of ten minutes", bare.per_account(whole.bytes - bare.bytes));
    println!("{} B per account at the ceiling (accounted)", bare.per_account(bare.accounted as i64));
    if !is_test {
        let resident = child(FILLED) - child(ALONE);
        println!("{} B per account as the process grows (RSS): malloc's own part with it", bare.per_account(resident));
        assert!(bare.per_account(bare.bytes) <= ACCOUNT_BYTES_AIM, "an account under three velocity rules is small");
    }
    let pack = Sources::builtin();
    let filled = fill(&mut loaded(&pack, Options::default()), events / 4);
    println!(
        "{} B per account under the shipped pack, addresses, devices and event ids with it ({} accounts)",
        filled.per_account(filled.bytes),
        filled.accounts
    );
}
