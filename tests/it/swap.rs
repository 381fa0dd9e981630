//! Changes of the rules in the middle of a stream: what does not change goes on as if nothing had happened.

use std::collections::BTreeSet;
use std::sync::Arc;

use walletwatch::detect::document::{AlertDocument, ContactDocument, Document};
use walletwatch::detect::{Counters, Engine, FindingRecord, Input, Options, Sink, Swapped};
use walletwatch::event::{Event, Millis, Rejection};
use walletwatch::ruleset::{Bands, HashKey, Loaded, Sources, load};

use crate::oracle::{Random, event, json_of};

const KEY: HashKey = HashKey::new([4; 16]);
const EVENTS: usize = 1200;

/// A feature: name, definition, the definition with another window.
const FEATURES: [(&str, &str, &str); 17] = [
    (
        "c",
        "{count: login, where: result == \"failure\", by: account, over: 10m}",
        "{count: login, where: result == \"failure\", by: account, over: 11m}",
    ),
    ("ips", "{count: [login, transfer], by: ip, over: 15m}", "{count: [login, transfer], by: ip, over: 30m}"),
    ("pair", "{count: transfer, by: [account, payee], over: 1h}", "{count: transfer, by: [account, payee], over: 2h}"),
    ("s", "{sum: transfer.amount, by: account, over: 1h}", "{sum: transfer.amount, by: account, over: 90m}"),
    ("d", "{distinct: login.ip, by: account, over: 20m}", "{distinct: login.ip, by: account, over: 40m}"),
    (
        "l",
        "{last: login, where: result == \"success\", by: account, over: 30m}",
        "{last: login, where: result == \"success\", by: account, over: 60m}",
    ),
    (
        "f",
        "{first_seen: login, by: [account, device], over: 40m}",
        "{first_seen: login, by: [account, device], over: 80m}",
    ),
    ("h", "{habit: login.country, by: account, over: 1h}", "{habit: login.country, by: account, over: 2h}"),
    ("r", "{rate: login, by: account, over: 10m}", "{rate: login, by: account, over: 20m}"),
    ("sp", "{spread: login.account, by: ip, over: 25m}", "{spread: login.account, by: ip, over: 50m}"),
    ("st", "{stats: transfer.amount, by: account, over: 2h}", "{stats: transfer.amount, by: account, over: 3h}"),
    (
        "sh",
        "{share: login, where: result == \"failure\", by: account, over: 30m}",
        "{share: login, where: result == \"success\", by: account, over: 30m}",
    ),
    ("de", "{decayed: login, by: account, half_life: 20m}", "{decayed: login, by: account, half_life: 40m}"),
    ("b", "{baseline: login, by: all, over: 3m}", "{baseline: login, by: all, over: 4m}"),
    (
        "fc",
        "{count: finding, where: group == \"tells\", by: account, over: 1h}",
        "{count: finding, where: group == \"tells\", by: account, over: 2h}",
    ),
    (
        "fl",
        "{last: finding, where: group == \"tells\", by: [account, payee], over: 1h}",
        "{last: finding, where: group == \"tells\", by: [account, payee], over: 2h}",
    ),
    (
        "big",
        "{count: transfer, where: amount >= amounts.big, by: account, over: 1h}",
        "{count: transfer, where: amount >= amounts.small, by: account, over: 1h}",
    ),
];

/// A rule: id, state, event types, condition over one feature, dedup.
const RULES: [(&str, &str, &str, &str, &str); 19] = [
    ("count", "live", "[login, transfer]", "c >= 1", "account"),
    ("ip", "shadow", "[login, transfer]", "ips >= 0 or ips is missing", ""),
    ("pair", "live", "transfer", "pair >= 1", "[account, payee]"),
    ("sum", "live", "transfer", "s >= 300 CNY or s >= 300 USD", ""),
    ("distinct", "shadow", "[login, transfer]", "d >= 2", "account"),
    ("last", "live", "[login, transfer]", "l.age is missing or l.device is missing or l.device is not missing", ""),
    ("last-ip", "shadow", "[login, transfer]", "l.ip is missing or l.ip is not missing or l.country == \"CN\"", ""),
    ("first", "live", "[login, transfer]", "f.age is missing or f.age >= 0s", "account"),
    ("habit", "shadow", "[login, transfer]", "h.count is missing or h.count >= 0 or h.total >= 0", ""),
    ("rate", "shadow", "[login, transfer]", "r >= 0", ""),
    ("spread", "shadow", "[login, transfer]", "sp.keys >= 0 or sp.max_per_key >= 0 or sp.share(2) >= 0", ""),
    ("stats", "shadow", "transfer", "st.mean is missing or st.stddev >= 0 CNY or st.p95 > 1 CNY or st.count > 0", ""),
    ("share", "shadow", "[login, transfer]", "sh >= 0", "account"),
    ("decayed", "shadow", "[login, transfer]", "de >= 0", ""),
    ("baseline", "shadow", "[login, transfer]", "b.now >= 0 or b.mean >= 0 or b.ratio >= 0", ""),
    ("found", "shadow", "[login, transfer]", "fc >= 0", ""),
    ("found-last", "shadow", "transfer", "fl.age is missing or fl.rule is not missing or fl.device is missing", ""),
    ("big", "shadow", "transfer", "big >= 0", ""),
    ("account", "shadow", "[login, transfer]", "account.known_for is missing or account.logins >= 0", ""),
];

/// A rule set that people edit.
#[derive(Clone)]
struct Edited {
    /// Features under another name.
    renamed: BTreeSet<usize>,
    /// Features with another window.
    widened: BTreeSet<usize>,
    /// Rules that are gone.
    gone: BTreeSet<usize>,
    /// Rules whose condition is another.
    changed: BTreeSet<usize>,
    /// Rules that were not there before, each with a feature of its own.
    added: u64,
    /// Whether another amount stands before the ones that are used.
    amount: bool,
}

impl Edited {
    fn nothing() -> Self {
        Edited {
            renamed: BTreeSet::new(),
            widened: BTreeSet::new(),
            gone: BTreeSet::new(),
            changed: BTreeSet::new(),
            added: 0,
            amount: false,
        }
    }

    fn edit(&mut self, random: &mut Random) {
        let feature = random.below(FEATURES.len() as u64) as usize;
        let rule = random.below(RULES.len() as u64) as usize;
        match random.below(8) {
            0 => drop(self.renamed.insert(feature)),
            1 => drop(self.renamed.remove(&feature)),
            2 if random.below(3) == 0 => drop(self.widened.insert(feature)),
            3 if random.below(3) == 0 => drop(self.gone.insert(rule)),
            4 if random.below(3) == 0 => drop(self.changed.insert(rule)),
            5 => self.amount = !self.amount,
            _ => self.added = random.below(40),
        }
    }

    fn name(&self, feature: usize) -> String {
        let prefix = if self.renamed.contains(&feature) { "renamed_" } else { "" };
        format!("{prefix}{}", FEATURES[feature].0)
    }

    fn text(&self) -> String {
        let mut text = "version: 1\namounts:\n".to_owned();
        if self.amount {
            text.push_str("  aaa: {CNY: 1, USD: 1}\n");
        }
        text.push_str("  big: {CNY: 500, USD: 500}\n  small: {CNY: 5, USD: 5}\nfeatures:\n");
        for (at, (_, usual, wide)) in FEATURES.iter().enumerate() {
            let definition = if self.widened.contains(&at) { wide } else { usual };
            text.push_str(&format!("  {}: {definition}\n", self.name(at)));
        }
        for n in 0..self.added {
            text.push_str(&format!("  a{n}: {{count: login, by: account, over: {}m}}\n", n + 1));
        }
        text.push_str("  other_l: {last: login, where: result == \"success\", by: account, over: 30m}\n");
        text.push_str(
            "defaults: {revision: 1, owner: t, severity: low, score: 0, audience: [security], runbook: \"https://example.com\", \
             explain: x}\nrules:\n",
        );
        let mut rule = |id: &str, state: &str, on: &str, when: &str, by: &str| {
            let dedup = if by.is_empty() { String::new() } else { format!("dedup: {{by: {by}, for: 3m}}, ") };
            let given = if on == "transfer" { "amount: 1 CNY" } else { "result: success" };
            let kind = if on == "transfer" { "transfer" } else { "login" };
            text.push_str(&format!(
                "  - {{id: {id}, state: {state}, title: t, on: {on}, when: '{when}', {dedup}tests: [{{name: n, given: \
                 {{type: {kind}, account: a, {given}}}, events: [{{expect: fire}}, {{expect: quiet}}]}}]}}\n"
            ));
        };
        for (at, (id, state, on, when, by)) in RULES.iter().enumerate() {
            let mut when = (*when).to_owned();
            if let Some(feature) = reads(at) {
                let short = FEATURES[feature].0;
                for end in [" ", "."] {
                    let written = |before: &str| format!("{before}{short}{end}");
                    when = format!(" {when}").replace(&written(" "), &format!(" {}{end}", self.name(feature)));
                    when = when.trim_start().to_owned();
                }
            }
            if self.changed.contains(&at) {
                when.push_str(" or account is missing");
            }
            if !self.gone.contains(&at) {
                rule(id, state, on, &when, by);
            }
        }
        for n in 0..self.added {
            rule(&format!("added-{n}"), "live", "login", &format!("a{n} >= 1 and other_l.asn is missing"), "account");
        }
        text.push_str(
            "  - {id: tells, group: tells, state: live, title: t, on: transfer, when: amount >= amounts.big, tests: [{name: n, \
             given: {type: transfer, account: a, amount: 1 CNY}, events: [{expect: fire}, {expect: quiet}]}]}\n",
        );
        let mut rule = |id: &str, state: &str, on: &str, when: &str| {
            text.push_str(&format!(
                "  - {{id: {id}, state: {state}, title: t, on: {on}, when: '{when}', tests: [{{name: n, given: \
                 {{type: login, account: a, result: success}}, events: [{{expect: fire}}, {{expect: quiet}}]}}]}}\n"
            ));
        };
        rule("keeps-other-l", "shadow", "login", "other_l.age is missing");
        text
    }

    fn load(&self) -> Loaded {
        let mut sources = Sources::new("rules");
        sources.add("r.yaml", self.text(), None);
        load(&sources, KEY, None).unwrap_or_else(|problems| panic!("{}\n{problems:#?}", self.text()))
    }
}

/// The feature a rule reads.
fn reads(rule: usize) -> Option<usize> {
    let name = match RULES[rule].0 {
        "count" => "c",
        "ip" => "ips",
        "sum" => "s",
        "distinct" => "d",
        "last" | "last-ip" => "l",
        "first" => "f",
        "habit" => "h",
        "rate" => "r",
        "spread" => "sp",
        "stats" => "st",
        "share" => "sh",
        "decayed" => "de",
        "baseline" => "b",
        "found" => "fc",
        "found-last" => "fl",
        other => other,
    };
    FEATURES.iter().position(|(feature, ..)| *feature == name)
}

#[derive(Default)]
struct Told(Vec<(String, String)>);

impl Sink for Told {
    fn rejected(&mut self, _: usize, rejection: &Rejection) {
        panic!("{rejection}");
    }
    fn duplicate(&mut self, _: usize) {
        self.0.push((String::new(), "duplicate".to_owned()));
    }
    fn accepted(&mut self, _: usize, event: &Event<'_>, late: bool) {
        self.0.push((String::new(), format!("{} {late}", event.id)));
    }
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, record: FindingRecord) {
        let line = serde_json::to_string(&record).expect("JSON").replace("renamed_", "");
        self.0.push((record.rule, line));
    }
    fn alert(&mut self, _: usize, document: AlertDocument) {
        self.0.push((String::new(), serde_json::to_string(&Document::Alert(Box::new(document))).expect("JSON")));
    }
}

fn stream(random: &mut Random) -> Vec<String> {
    let mut now = 1_767_225_600_000;
    let mut lines: Vec<String> = Vec::new();
    for id in 0..EVENTS {
        now += [0, 0, 1000, 20_000, 60_000][random.below(5) as usize];
        lines.push(json_of(id, &event(random, now)));
        if random.below(40) == 0 {
            lines.push(lines[random.below(lines.len() as u64) as usize].clone());
        }
    }
    lines
}

fn engine(loaded: Loaded) -> Engine {
    let options = Options { findings: true, ..Options::default() };
    Engine::new(Arc::new(loaded.ruleset), Bands::default(), options, KEY)
}

fn take(engine: &mut Engine, lines: &[String], told: &mut Told) {
    let inputs = lines.iter().map(|line| Input { lane: 0, value: Some(line.as_bytes()) });
    engine.take(inputs, Millis(i64::MAX / 2), None, told);
}

fn swap(engine: &mut Engine, loaded: Loaded) -> Swapped {
    engine.swap(Arc::new(loaded.ruleset), Bands::default())
}

/// Two engines with the same rules: one has taken the whole stream, the other nothing of it yet.
struct Two {
    random: Random,
    lines: Vec<String>,
    steady: Engine,
    expected: Told,
    swapped: Engine,
    told: Told,
}

fn two(seed: u64) -> Two {
    let mut random = Random(seed);
    let lines = stream(&mut random);
    let (mut steady, mut expected) = (engine(Edited::nothing().load()), Told::default());
    take(&mut steady, &lines, &mut expected);
    Two { random, lines, steady, expected, swapped: engine(Edited::nothing().load()), told: Told::default() }
}

#[test]
fn the_same_rules_again_change_no_byte() {
    for seed in 0..2 {
        let Two { lines, steady, expected, mut swapped, mut told, .. } = two(seed);
        for batch in lines.chunks(97) {
            take(&mut swapped, batch, &mut told);
            let what = swap(&mut swapped, Edited::nothing().load());
            assert_eq!((what.features_new.len(), what.warming.len()), (0, 0), "{what:?}");
        }
        assert_eq!(expected.0, told.0, "seed {seed}");
        // Findings are counted from the last change on.
        let counters = |engine: &Engine| Counters { findings: Vec::new(), ..engine.counters().clone() };
        assert_eq!(counters(&steady), counters(&swapped));
    }
}

#[test]
fn a_change_of_some_rules_changes_no_byte_of_the_others() {
    for seed in 0..10 {
        let Two { mut random, lines, expected, mut swapped, mut told, .. } = two(seed);
        let mut edited = Edited::nothing();
        let (mut touched, mut swaps) = (BTreeSet::new(), 0);
        for batch in lines.chunks(53) {
            take(&mut swapped, batch, &mut told);
            edited.edit(&mut random);
            swap(&mut swapped, edited.load());
            swaps += 1;
            let is_touched = |at: &usize| {
                let widened = reads(*at).is_some_and(|feature| edited.widened.contains(&feature));
                widened || edited.gone.contains(at) || edited.changed.contains(at)
            };
            touched.extend((0..RULES.len()).filter(is_touched));
        }
        assert!(swaps > 20);
        let untouched: BTreeSet<&str> =
            (0..RULES.len()).filter(|at| !touched.contains(at)).map(|at| RULES[at].0).chain([""]).collect();
        let of = |told: &Told| -> Vec<String> {
            told.0.iter().filter(|(rule, _)| untouched.contains(rule.as_str())).map(|(_, line)| line.clone()).collect()
        };
        let (expected, told) = (of(&expected), of(&told));
        for (at, (expected, told)) in expected.iter().zip(&told).enumerate() {
            assert_eq!(expected, told, "seed {seed}, line {at}, untouched: {untouched:?}");
        }
        assert_eq!(expected.len(), told.len());
    }
}

#[test]
fn a_rule_that_reads_something_new_is_warming_until_its_window_is_full() {
    let mut random = Random(3);
    let lines = stream(&mut random);
    let mut engine = engine(Edited::nothing().load());
    take(&mut engine, &lines, &mut Told::default());
    let mut edited = Edited::nothing();
    edited.widened.insert(0);
    edited.renamed.insert(1);
    let what = swap(&mut engine, edited.load());
    let newest = lines.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let newest = newest.filter_map(|event| event["time"].as_i64()).max().expect("an event");
    assert_eq!(what.features_new, ["c"]);
    assert_eq!(what.warming, [("count".to_owned(), Some(Millis(newest + 11 * 60_000)))]);
    assert_eq!(what.features_kept, FEATURES.len());
}
