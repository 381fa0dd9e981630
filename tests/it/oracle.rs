//! The engine against an oracle that keeps every event and looks through all of them each time.
//!
//! Streams are made at random: equal times, late and repeated events, missing fields, events that stand for
//! several. Each rule is true of every event it looks at, so its evidence shows the value of its feature.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use walletwatch::detect::document::{AlertDocument, ContactDocument};
use walletwatch::detect::{Engine, FindingRecord, Input, Options, RuleOutcome, Sink};
use walletwatch::event::{Event, Millis, Rejection};
use walletwatch::ruleset::{Bands, HashKey, Sources, load};

const RULES: &str = r#"
version: 1
features:
  c:    {count: login, where: result == "failure", by: account, over: 10m}
  p:    {count: login, where: result == "failure", by: account, over: 10m, include: prior}
  ips:  {count: [login, transfer], by: ip, over: 15m}
  pair: {count: transfer, by: [account, payee], over: 1h}
  s:    {sum: transfer.amount, by: account, over: 1h}
  d:    {distinct: login.ip, by: account, over: 20m}
  l:    {last: login, where: result == "success", by: account, over: 30m}
  f:    {first_seen: login, by: [account, device], over: 40m}
  h:    {habit: login.country, by: account, over: 1h}
  r:    {rate: [login, transfer], by: account, over: 10m}
  sp:   {spread: login.account, by: ip, over: 25m}
  st:   {stats: transfer.amount, by: account, over: 2h}
  sh:   {share: login, where: result == "failure", by: account, over: 30m}
  de:   {decayed: login, by: account, half_life: 20m}
  b:    {baseline: login, by: all, over: 3m}
  fc:   {count: finding, where: rule == "tells" and score >= 5, by: account, over: 1h}
  fl:   {last: finding, by: [account, payee], over: 1h}
defaults: {revision: 1, state: draft, owner: t, severity: low, score: 0, audience: [security], runbook: "https://example.com", explain: x}
rules:
  - {id: count, state: shadow, title: t, on: [login, transfer], when: c >= 0 or p >= 0, tests: TESTS}
  - {id: ip, state: shadow, title: t, on: [login, transfer], when: ips >= 0 or ips is missing, tests: TESTS}
  - {id: pair, state: shadow, title: t, on: transfer, when: pair >= 0 or pair is missing, tests: TRANSFER_TESTS}
  - {id: sum, state: shadow, title: t, on: transfer, when: s >= 0 CNY or s >= 0 USD, tests: TRANSFER_TESTS}
  - {id: distinct, state: shadow, title: t, on: [login, transfer], when: d >= 0, tests: TESTS}
  - {id: last, state: shadow, title: t, on: [login, transfer], when: l.age is missing or l.device is missing or l.device is not missing, tests: TESTS}
  - {id: first, state: shadow, title: t, on: [login, transfer], when: f.age is missing or f.age >= 0s, tests: TESTS}
  - {id: habit, state: shadow, title: t, on: [login, transfer], when: h.count is missing or h.count >= 0 or h.total >= 0, tests: TESTS}
  - {id: rate, state: shadow, title: t, on: [login, transfer], when: r >= 0, tests: TESTS}
  - {id: spread, state: shadow, title: t, on: [login, transfer], when: sp.keys is missing or sp.max_per_key >= 0 or sp.share(2) >= 0, tests: TESTS}
  - {id: stats, state: shadow, title: t, on: transfer, when: st.count is missing or st.mean >= 0 CNY or st.stddev >= 0 CNY or st.p50 >= 0 CNY or st.p95 >= 0 CNY or st.max >= 0 CNY or st.count >= 0, tests: TRANSFER_TESTS}
  - {id: share, state: shadow, title: t, on: [login, transfer], when: sh >= 0 or sh is missing, tests: TESTS}
  - {id: decayed, state: shadow, title: t, on: [login, transfer], when: de >= 0, tests: TESTS}
  - {id: baseline, state: shadow, title: t, on: [login, transfer], when: b.now >= 0 or b.now is missing or b.mean >= 0 or b.stddev >= 0 or b.ratio >= 0, tests: TESTS}
  - {id: tells, state: live, score: 5, title: t, on: transfer, when: amount >= 500 CNY or amount >= 500 USD, dedup: {by: account, for: 2m}, tests: TRANSFER_TESTS}
  - {id: told, state: shadow, title: t, on: [login, transfer], when: fc >= 0, tests: TESTS}
  - {id: told-last, state: shadow, title: t, on: transfer, when: fl.age is missing or fl.rule is missing or fl.rule is not missing or fl.device is missing or fl.device is not missing, tests: TRANSFER_TESTS}
  - {id: account, state: shadow, title: t, on: [login, transfer], when: account.known_for is missing or account.logins >= 0, tests: TESTS}
"#;

/// One event as the oracle keeps it.
#[derive(Debug, Clone)]
pub struct Kept {
    time: i64,
    kind: &'static str,
    count: i64,
    account: u64,
    ip: Option<u64>,
    device: Option<u64>,
    country: Option<&'static str>,
    ok: bool,
    payee: Option<u64>,
    cents: i64,
    currency: &'static str,
}

const MINUTE: i64 = 60_000;

/// The window of the baseline.
const OVER: i64 = 3 * MINUTE;

/// A small generator of random numbers: the streams are the same each time.
pub struct Random(pub u64);

impl Random {
    /// A number below another.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn maybe(&mut self, n: u64) -> Option<u64> {
        Some(self.below(n + 1)).filter(|v| *v < n)
    }
}

/// An event of about this time.
pub fn event(random: &mut Random, now: i64) -> Kept {
    let back = match random.below(20) {
        0 => 25 * MINUTE,
        1..=5 => random.below(9 * MINUTE as u64) as i64,
        _ => 0,
    };
    Kept {
        time: now - back,
        kind: if random.below(2) == 0 { "login" } else { "transfer" },
        count: if random.below(8) == 0 { 3 } else { 1 },
        account: random.below(4),
        ip: random.maybe(6),
        device: random.maybe(3),
        country: [Some("CN"), Some("NG"), Some("KE"), None][random.below(4) as usize],
        ok: random.below(2) == 0,
        payee: random.maybe(2),
        cents: random.below(100_000) as i64,
        currency: if random.below(3) == 0 { "USD" } else { "CNY" },
    }
}

/// The same on the wire.
pub fn json_of(id: usize, kept: &Kept) -> String {
    let mut json = json!({
        "id": format!("e{id}"), "type": kept.kind, "time": kept.time, "count": kept.count,
        "account": format!("a{}", kept.account),
    });
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            json[key] = value;
        }
    };
    put("ip", kept.ip.map(|n| format!("203.0.113.{n}").into()));
    put("device", kept.device.map(|n| format!("d{n}").into()));
    put("geo", kept.country.map(|c| json!({"country": c})));
    if kept.kind == "login" {
        put("result", Some(if kept.ok { "success" } else { "failure" }.into()));
    } else {
        put("payee", kept.payee.map(|n| format!("p{n}").into()));
        put("amount", Some(format!("{}.{:02}", kept.cents / 100, kept.cents % 100).into()));
        put("currency", Some(kept.currency.into()));
    }
    json.to_string()
}

/// What an event should see: what came before it, and itself, in input order.
struct Oracle {
    before: Vec<Kept>,
    /// Which of these were found by `tells`.
    found: Vec<bool>,
    /// Logins per interval of three minutes.
    per_interval: BTreeMap<i64, i64>,
    first: BTreeMap<(u64, u64), (i64, i64)>,
}

impl Oracle {
    fn inside<'o>(&'o self, at: &'o Kept, over: i64, own: bool) -> impl Iterator<Item = &'o Kept> {
        let own = own.then_some(at);
        self.before.iter().chain(own).filter(move |e| e.time > at.time - over && e.time <= at.time)
    }

    fn values(&self, at: &Kept) -> BTreeMap<&'static str, Value> {
        let mut values = BTreeMap::new();
        let failed = |e: &&Kept| e.kind == "login" && !e.ok && e.account == at.account;
        values.insert("c", self.inside(at, 10 * MINUTE, true).filter(failed).map(|e| e.count).sum::<i64>().into());
        values.insert("p", self.inside(at, 10 * MINUTE, false).filter(failed).map(|e| e.count).sum::<i64>().into());
        let same_ip = |e: &&Kept| e.ip == at.ip;
        let ips = self.inside(at, 15 * MINUTE, true).filter(same_ip).map(|e| e.count).sum::<i64>();
        values.insert("ips", at.ip.map_or(Value::Null, |_| ips.into()));
        self.money(at, &mut values);
        let logins = |e: &&Kept| e.kind == "login" && e.account == at.account;
        let ips: BTreeSet<u64> = self.inside(at, 20 * MINUTE, true).filter(logins).filter_map(|e| e.ip).collect();
        values.insert("d", ips.len().into());
        let newest = self.before.iter().filter(|e| logins(e) && e.ok).max_by_key(|e| e.time);
        let last = newest.filter(|e| e.time <= at.time && e.time > at.time - 30 * MINUTE);
        values.insert("l.age", last.map_or(Value::Null, |e| (at.time - e.time).into()));
        values.insert("l.device", last.and_then(|e| e.device).map_or(Value::Null, |d| format!("d{d}").into()));
        let first = at.device.and_then(|device| self.first.get(&(at.account, device)));
        let seen = first.filter(|(first, newest)| *first <= at.time && *newest > at.time - 40 * MINUTE);
        values.insert("f.age", seen.map_or(Value::Null, |(first, _)| (at.time - first).into()));
        self.habit(at, &mut values);
        let both = self.inside(at, 10 * MINUTE, true).filter(|e| e.account == at.account);
        values.insert("r", (both.map(|e| e.count).sum::<i64>() as f64 / 10.0).into());
        self.spread(at, &mut values);
        self.stats(at, &mut values);
        self.faded(at, &mut values);
        self.baseline(at, &mut values);
        self.findings(at, &mut values);
        let known = self.before.iter().filter(|e| e.account == at.account).map(|e| e.time).min();
        let known_for = known.filter(|first| *first < at.time).map_or(Value::Null, |first| (at.time - first).into());
        values.insert("account.known_for", known_for);
        let good = self.before.iter().filter(|e| logins(e) && e.ok && e.time <= at.time);
        values.insert("account.logins", good.map(|e| e.count).sum::<i64>().into());
        values
    }

    fn money(&self, at: &Kept, values: &mut BTreeMap<&'static str, Value>) {
        let transfers = |e: &&Kept| e.kind == "transfer" && e.account == at.account;
        let own = at.kind == "transfer";
        let pair = self.inside(at, 60 * MINUTE, own).filter(transfers).filter(|e| e.payee == at.payee);
        let pair: i64 = pair.map(|e| e.count).sum();
        values.insert("pair", at.payee.filter(|_| own).map_or(Value::Null, |_| pair.into()));
        let same = self.inside(at, 60 * MINUTE, own).filter(transfers).filter(|e| e.currency == at.currency);
        let cents: i64 = same.map(|e| e.cents * e.count).sum();
        values.insert("s", format!("{}.{:02} {}", cents / 100, cents % 100, at.currency).into());
    }

    fn habit(&self, at: &Kept, values: &mut BTreeMap<&'static str, Value>) {
        let counted = |e: &&Kept| e.kind == "login" && e.account == at.account && e.country.is_some();
        let newest = self.before.iter().filter(counted).map(|e| e.time).max().unwrap_or(i64::MIN);
        let until = at.time.max(newest);
        let inside = |e: &&Kept| e.time > until - 60 * MINUTE;
        let total: i64 = self.before.iter().filter(counted).filter(inside).map(|e| e.count).sum();
        let same = |e: &&Kept| e.country == at.country;
        let count: i64 = self.before.iter().filter(counted).filter(inside).filter(same).map(|e| e.count).sum();
        let known = at.country.is_some() && total > 0;
        values.insert("h.count", if known { count.into() } else { Value::Null });
        values.insert("h.total", if known { total.into() } else { Value::Null });
    }

    fn spread(&self, at: &Kept, values: &mut BTreeMap<&'static str, Value>) {
        let mut attempts: BTreeMap<u64, i64> = BTreeMap::new();
        let tried = |e: &&Kept| e.kind == "login" && e.ip == at.ip;
        for e in self.inside(at, 25 * MINUTE, true).filter(tried) {
            *attempts.entry(e.account).or_default() += e.count;
        }
        let few = attempts.values().filter(|n| **n <= 2).count();
        let share = at.ip.filter(|_| !attempts.is_empty()).map(|_| few as f64 / attempts.len() as f64);
        values.insert("sp.keys", at.ip.map_or(Value::Null, |_| attempts.len().into()));
        values.insert("sp.max_per_key", at.ip.map_or(Value::Null, |_| (*attempts.values().max().unwrap_or(&0)).into()));
        values.insert("sp.share(2)", share.map_or(Value::Null, Value::from));
    }

    fn stats(&self, at: &Kept, values: &mut BTreeMap<&'static str, Value>) {
        let own = |e: &&Kept| e.kind == "transfer" && e.account == at.account && e.currency == at.currency;
        let until = self.before.iter().filter(own).map(|e| e.time).chain([at.time]).max().unwrap_or_default();
        let inside = self.before.iter().filter(own).filter(|e| e.time > until - 120 * MINUTE);
        let mut cents: Vec<i64> = inside.flat_map(|e| vec![e.cents; e.count as usize]).collect();
        cents.sort_unstable();
        let n = cents.len();
        let mean = cents.iter().sum::<i64>() as f64 / n as f64;
        let variance = cents.iter().map(|c| (*c as f64 - mean).powi(2)).sum::<f64>() / n as f64;
        let rank = |percent: usize| cents.get((n * percent).div_ceil(100).max(1) - 1).map_or(0.0, |c| *c as f64);
        let parts = [
            ("st.mean", mean),
            ("st.stddev", variance.sqrt()),
            ("st.p50", rank(50)),
            ("st.p95", rank(95)),
            ("st.max", rank(100)),
        ];
        for (name, cents) in parts {
            let cents = cents.round() as i64;
            let text = format!("{}.{:02} {}", cents / 100, cents % 100, at.currency);
            values.insert(name, if n > 0 { text.into() } else { Value::Null });
        }
        values.insert("st.count", if n > 0 { n.into() } else { Value::Null });
    }

    fn faded(&self, at: &Kept, values: &mut BTreeMap<&'static str, Value>) {
        let own = at.kind == "login";
        let logins = |e: &&Kept| e.kind == "login" && e.account == at.account;
        let all = || self.before.iter().chain(own.then_some(at)).filter(logins);
        let until = all().map(|e| e.time).chain([at.time]).max().unwrap_or_default();
        let inside = || all().filter(|e| e.time > until - 30 * MINUTE);
        let total: i64 = inside().map(|e| e.count).sum();
        let failed: i64 = inside().filter(|e| !e.ok).map(|e| e.count).sum();
        values.insert("sh", if total > 0 { (failed as f64 / total as f64).into() } else { Value::Null });
        let left = |e: &Kept| e.count as f64 * 0.5f64.powf((until - e.time) as f64 / (20 * MINUTE) as f64);
        values.insert("de", all().map(left).sum::<f64>().into());
    }

    /// Samples are the whole intervals between the one of the first login and the one of the newest.
    fn baseline(&self, at: &Kept, values: &mut BTreeMap<&'static str, Value>) {
        let logins = || self.before.iter().filter(|e| e.kind == "login");
        let counts = &self.per_interval;
        let now: i64 = logins().filter(|e| e.time > at.time - OVER && e.time <= at.time).map(|e| e.count).sum();
        let hour = |ms: i64| ms.div_euclid(60 * MINUTE).rem_euclid(168);
        let week = |i: i64| (i * OVER).div_euclid(168 * 60 * MINUTE);
        let (first, newest) = (counts.keys().min().copied(), counts.keys().max().copied());
        let between = first.map_or(0, |i| i + 1)..newest.unwrap_or(0);
        let samples: Vec<i64> = between.filter(|i| hour(i * OVER) == hour(at.time)).collect();
        let newest_week = samples.iter().map(|i| week(*i)).max().unwrap_or(0);
        let weighted: Vec<(f64, f64)> = samples
            .iter()
            .map(|i| {
                let n = counts.get(i).copied().unwrap_or(0) as f64;
                (0.5f64.powf((newest_week - week(*i)) as f64 / 4.0), n)
            })
            .collect();
        let all: f64 = weighted.iter().map(|(w, _)| w).sum();
        let mean = weighted.iter().map(|(w, n)| w * n).sum::<f64>() / all;
        let variance = weighted.iter().map(|(w, n)| w * (n - mean).powi(2)).sum::<f64>() / all;
        let known = weighted.len() >= 12;
        let of = |known: bool, value: f64| if known { value.into() } else { Value::Null };
        values.insert("b.now", if counts.is_empty() { Value::Null } else { now.into() });
        values.insert("b.mean", of(known, mean));
        values.insert("b.stddev", of(known, variance.sqrt()));
        values.insert("b.ratio", of(known && mean > 0.0, now as f64 / mean));
    }

    fn findings(&self, at: &Kept, values: &mut BTreeMap<&'static str, Value>) {
        let found = || self.before.iter().zip(&self.found).filter(|(_, found)| **found).map(|(e, _)| e);
        let own = found().filter(|e| e.account == at.account);
        let count = own.filter(|e| e.time > at.time - 60 * MINUTE && e.time <= at.time).count();
        values.insert("fc", count.into());
        let pair = |e: &&Kept| e.account == at.account && e.payee == at.payee && e.payee.is_some();
        let last = found().filter(pair).max_by_key(|e| e.time);
        let last = last.filter(|e| e.time <= at.time && e.time > at.time - 60 * MINUTE);
        values.insert("fl.age", last.map_or(Value::Null, |e| (at.time - e.time).into()));
        values.insert("fl.rule", last.map_or(Value::Null, |_| "tells".into()));
        values.insert("fl.device", last.and_then(|e| e.device).map_or(Value::Null, |d| format!("d{d}").into()));
    }

    fn take(&mut self, at: Kept, found: bool) {
        self.found.push(found);
        if at.kind == "login" {
            *self.per_interval.entry(at.time.div_euclid(OVER)).or_default() += at.count;
        }
        if let Some(device) = at.device.filter(|_| at.kind == "login") {
            let seen = self.first.entry((at.account, device)).or_insert((at.time, at.time));
            if seen.1 <= at.time - 40 * MINUTE {
                seen.0 = at.time;
            }
            *seen = (seen.0.min(at.time), seen.1.max(at.time));
        }
        self.before.push(at);
    }
}

#[derive(Default)]
struct Found {
    /// Whether `tells` fired.
    tells: bool,
    evidence: BTreeMap<String, Value>,
    late: bool,
    duplicate: bool,
}

impl Sink for Found {
    fn rejected(&mut self, _: usize, rejection: &Rejection) {
        panic!("{rejection}");
    }
    fn duplicate(&mut self, _: usize) {
        self.duplicate = true;
    }
    fn accepted(&mut self, _: usize, _: &Event<'_>, late: bool) {
        self.late = late;
    }
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, record: FindingRecord) {
        self.tells |= record.rule == "tells" && record.outcome == RuleOutcome::Fired;
        self.evidence.extend(record.evidence);
    }
    fn alert(&mut self, _: usize, _: AlertDocument) {}
}

/// A value of the evidence as the oracle has it: durations in ms.
fn in_ms(name: &str, value: &Value) -> Value {
    match value.as_str() {
        Some(text) if name.ends_with(".age") || name.ends_with(".known_for") => {
            let span: jiff::Span = text.parse().expect("ISO 8601");
            let ms = span.total((jiff::Unit::Millisecond, jiff::SpanRelativeTo::days_are_24_hours())).expect("ms");
            (ms.round() as i64).into()
        }
        _ => value.clone(),
    }
}

/// Equal, but for the last bits of what is no whole number.
fn is_same(told: &Value, expected: &Value) -> bool {
    match (told.as_f64(), expected.as_f64()) {
        (Some(told), Some(expected)) => (told - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        _ => told == expected,
    }
}

/// Names in the evidence of a login and of a transfer.
const NAMES_OF_LOGINS: usize = 22;
const NAMES_OF_TRANSFERS: usize = 33;

/// Both halves of a rule's tests, which a shadow rule needs: they are not run here.
const TESTS: &str =
    "[{name: n, given: {type: login, account: a, result: success}, events: [{expect: fire}, {expect: quiet}]}]";
const TRANSFER_TESTS: &str =
    "[{name: n, given: {type: transfer, account: a, amount: 1 CNY}, events: [{expect: fire}, {expect: quiet}]}]";

#[test]
fn features_equal_those_of_an_oracle_that_keeps_everything() {
    let key = HashKey::new([4; 16]);
    let mut sources = Sources::new("rules");
    let text = RULES.replace("TRANSFER_TESTS", TRANSFER_TESTS).replace("tests: TESTS", &format!("tests: {TESTS}"));
    sources.add("oracle.yaml", text, None);
    let loaded = load(&sources, key, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let rules = Arc::new(loaded.ruleset);
    for seed in 0..8 {
        let options = Options { findings: true, ..Options::default() };
        let mut engine = Engine::new(Arc::clone(&rules), Bands::default(), options, key);
        let mut oracle =
            Oracle { before: Vec::new(), found: Vec::new(), per_interval: BTreeMap::new(), first: BTreeMap::new() };
        let mut random = Random(seed);
        let (mut now, mut times, mut lates) = (1_767_225_600_000, Vec::new(), 0);
        for id in 0..1500 {
            now += [0, 0, 1000, 20_000, 60_000][random.below(5) as usize];
            let kept = event(&mut random, now);
            let json = json_of(id, &kept);
            let mut found = Found::default();
            let inputs = [Input { lane: 0, value: Some(json.as_bytes()) }];
            engine.take(inputs, Millis(i64::MAX / 2), None, &mut found);
            let mut last: Vec<i64> = times.iter().rev().take(9).copied().collect();
            last.sort_unstable();
            let late = !last.is_empty() && kept.time < last[(last.len() - 1) / 2] - 10 * MINUTE;
            times.push(kept.time);
            assert_eq!(found.late, late, "seed {seed}, event {id}");
            if late {
                lates += 1;
                assert!(found.evidence.is_empty(), "seed {seed}, event {id}: {:?}", found.evidence);
                continue;
            }
            let expected = oracle.values(&kept);
            for (name, value) in &found.evidence {
                let expected = expected.get(name.as_str());
                assert!(
                    expected.is_some_and(|expected| is_same(&in_ms(name, value), expected)),
                    "seed {seed}, event {id}, {name}: {value} for {expected:?}: {kept:?}"
                );
            }
            let names = if kept.kind == "login" { NAMES_OF_LOGINS } else { NAMES_OF_TRANSFERS };
            assert_eq!(found.evidence.len(), names, "seed {seed}, event {id}: {:?}", found.evidence);
            oracle.take(kept, found.tells);
            if random.below(50) == 0 {
                let mut again = Found::default();
                let inputs = [Input { lane: 0, value: Some(json.as_bytes()) }];
                engine.take(inputs, Millis(i64::MAX / 2), None, &mut again);
                assert!(again.duplicate && again.evidence.is_empty());
            }
        }
        assert!(lates > 10, "some are late");
    }
}
