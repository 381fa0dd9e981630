//! The engine's memory: allocations per quiet event, which must be none, and bytes per account under three
//! velocity rules.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench prints its figures and stops where it cannot")]

mod workload;

use std::sync::Arc;

use allocation_counter::measure;
use walletwatch::detect::document::{AlertDocument, ContactDocument};
use walletwatch::detect::{Engine, FindingRecord, Input, Options, Sink};
use walletwatch::event::{Event, Millis, Rejection};
use walletwatch::ruleset::{Bands, HashKey, KeyField, Ruleset, Sources, load};

const MOMENT: Millis = Millis(i64::MAX / 2);
const KEY: [u8; 16] = [5; 16];
const BATCH: usize = 1024;

/// Bytes an account may take under three velocity rules.
const ACCOUNT_BYTES_AIM: i64 = 250;
const ACCOUNT_BYTES_MUST: i64 = 400;

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
    let mut sources = Sources::new("rules");
    sources.add("w3.yaml", rules, None);
    let loaded = load(&sources, HashKey::new(KEY), None).expect("the rules load");
    let rules: Arc<Ruleset> = Arc::new(loaded.ruleset);
    Engine::new(rules, Bands::default(), Options::default(), HashKey::new(KEY))
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

fn main() {
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

    let is_test = std::env::args().any(|arg| arg == "--test");
    let events = if is_test { 20_000 } else { 2_000_000 };
    let lines = workload::w3(events, events / 2);
    let bytes_of = |rules: &str| {
        let mut filled = engine(rules);
        let info = measure(|| take(&mut filled, &lines));
        (info.bytes_current, filled.entities(KeyField::Account) as i64, filled.entities(KeyField::Ip))
    };
    let (all, accounts, addresses) = bytes_of(W3);
    println!("{events} events: {accounts} accounts, {addresses} addresses, {all} B of state");
    let (bytes, accounts, _) = bytes_of(&without_addresses());
    let per_account = bytes / accounts.max(1);
    println!("{per_account} B per account, event ids with it: aim {ACCOUNT_BYTES_AIM}, must {ACCOUNT_BYTES_MUST}");
}
