//! Sequences and streams of events, made at random from a seed, as rule files and as the JSON of events.

use std::fmt::Write as _;

const TYPES: [&str; 4] = ["mfa", "login", "logout", "transfer"];
pub(super) const START: i64 = 1_767_225_600_000;

/// A small generator of random numbers: a seed gives the same ones each time.
pub(super) struct Random(pub u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Where {
    Any,
    DeviceIs(u64),
    SameDevice(usize),
    OtherDevice(usize),
    SameSession(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Item {
    pub types: Vec<&'static str>,
    pub holds: Where,
    pub within_s: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub by_session: bool,
    pub within_s: i64,
    pub steps: Vec<Item>,
    pub without: Vec<Item>,
    pub absent: Vec<Item>,
}

#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub id: usize,
    pub time_s: i64,
    pub lane: usize,
    pub kind: &'static str,
    pub account: u64,
    pub device: Option<u64>,
    pub session: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Batch {
    pub moment_s: i64,
    pub at_end: [bool; 2],
    pub events: Vec<Seen>,
}

// === made at random ===

fn item(random: &mut Random, readable: usize) -> Item {
    let mut types = vec![TYPES[random.below(4) as usize]];
    if random.one_in(3) {
        types.push(TYPES[random.below(4) as usize]);
        types.dedup();
    }
    let step = random.below(readable.max(1) as u64) as usize;
    let holds = match random.below(6) {
        0 => Where::DeviceIs(random.below(2)),
        1 | 2 if readable > 0 => Where::SameDevice(step),
        3 if readable > 0 => Where::OtherDevice(step),
        4 if readable > 0 => Where::SameSession(step),
        _ => Where::Any,
    };
    Item { types, holds, within_s: 1 + random.below(120) as i64 }
}

pub(super) fn spec(random: &mut Random) -> Spec {
    let steps = 1 + random.below(3) as usize;
    let last = steps - 1;
    let without = random.below(2) as usize;
    let absent = random.below(2) as usize * (1 + random.below(2) as usize);
    Spec {
        by_session: random.one_in(5),
        within_s: 20 + random.below(400) as i64,
        steps: (0..steps).map(|at| item(random, at)).collect(),
        without: (0..without).map(|_| item(random, last)).collect(),
        absent: (0..absent).map(|_| item(random, steps)).collect(),
    }
}

pub(super) fn stream(random: &mut Random, events: usize) -> Vec<Batch> {
    let (mut now_s, mut moment_s) = (0, 0);
    let mut batches: Vec<Batch> = Vec::new();
    let types = 2 + random.below(3);
    for id in 0..events {
        if batches.is_empty() || random.one_in(6) {
            moment_s += [1, 5, 61][random.below(3) as usize];
            let at_end = [random.one_in(2), !random.one_in(4)];
            batches.push(Batch { moment_s, at_end, events: Vec::new() });
        }
        now_s += [0, 0, 1, 2, 10][random.below(5) as usize];
        let back_s = match random.below(24) {
            0 => 620,
            1..=4 => random.below(30) as i64,
            _ => 0,
        };
        let seen = Seen {
            id,
            time_s: now_s - back_s,
            lane: usize::from(random.one_in(6)),
            kind: TYPES[random.below(types) as usize],
            account: u64::from(random.one_in(5)),
            device: Some(random.below(3)).filter(|d| *d < 2),
            session: Some(random.below(3)).filter(|s| *s < 2),
        };
        let Some(batch) = batches.last_mut() else { continue };
        let again = batch.events.last().cloned().filter(|_| random.one_in(12));
        batch.events.push(seen);
        batch.events.extend(again);
    }
    batches
}

// === as a rule file and as JSON ===

fn where_text(holds: Where) -> String {
    match holds {
        Where::Any => String::new(),
        Where::DeviceIs(n) => format!(", where: device == \"d{n}\""),
        Where::SameDevice(step) => format!(", where: device == s{step}.device"),
        Where::OtherDevice(step) => format!(", where: device != s{step}.device"),
        Where::SameSession(step) => format!(", where: session == s{step}.session"),
    }
}

pub(super) fn rule_file(spec: &Spec) -> String {
    let items = |items: &[Item], more: &dyn Fn(usize, &Item) -> String| {
        let of = |(at, item): (usize, &Item)| {
            format!("{{on: [{}]{}{}}}", item.types.join(", "), more(at, item), where_text(item.holds))
        };
        items.iter().enumerate().map(of).collect::<Vec<_>>().join(", ")
    };
    let steps = items(&spec.steps, &|at, _| format!(", as: s{at}"));
    let without = items(&spec.without, &|_, _| String::new());
    let absent = items(&spec.absent, &|_, item| format!(", within: {}s", item.within_s));
    let by = if spec.by_session { "[account, session]" } else { "account" };
    let explain: Vec<String> = (0..spec.steps.len()).map(|at| format!("{{s{at}.id}}")).collect();
    let given = spec.steps.last().map_or("login", |item| item.types[0]);
    let more = if given == "transfer" { ", amount: 1 CNY" } else { "" };
    format!(
        "version: 1\nrules:\n  - id: r\n    title: t\n    state: live\n    owner: o\n    severity: low\n    score: 95\n    \
         audience: [security]\n    runbook: https://example.com\n    explain: \"{}\"\n    sequence:\n      by: {by}\n      \
         within: {}s\n      steps: [{steps}]\n      without: [{without}]\n      absent: [{absent}]\n    tests: [{{name: n, \
         given: {{type: {given}, account: a, result: success{more}}}, events: [{{expect: fire}}, {{expect: quiet}}]}}]\n",
        explain.join(" "),
        spec.within_s,
    )
}

pub(super) fn json(seen: &Seen) -> String {
    let mut json = format!(
        r#"{{"id":"e{}","type":"{}","time":{},"account":"a{}""#,
        seen.id,
        seen.kind,
        START + seen.time_s * 1000,
        seen.account
    );
    if let Some(device) = seen.device {
        let _ = write!(json, r#","device":"d{device}""#);
    }
    if let Some(session) = seen.session {
        let _ = write!(json, r#","session":"s{session}""#);
    }
    json.push_str(match seen.kind {
        "transfer" => r#","amount":"1","currency":"CNY"}"#,
        "logout" => "}",
        _ => r#","result":"success"}"#,
    });
    json
}
