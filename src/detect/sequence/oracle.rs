//! The engine against an oracle that keeps every event and, with each, works out all chains from plain lists.
//!
//! Sequences and streams are made at random: decoys, duplicates, equal times, times that go back, events beyond
//! lateness, two entities, two partitions, cancelling, and what must not follow. What is told must be the same: each
//! finding with the whole chain it is about, in order, and how often room was wanting.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;

use crate::detect::document::{AlertDocument, ContactDocument};
use crate::detect::{Engine, FindingRecord, Input, Options, Sink};
use crate::event::{Event, Millis, Rejection};
use crate::ruleset::{Bands, HashKey, Sources, load};

const TYPES: [&str; 4] = ["mfa", "login", "logout", "transfer"];
const START: i64 = 1_767_225_600_000;

/// A small generator of random numbers: a seed gives the same ones each time.
struct Random(u64);

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
enum Where {
    Any,
    DeviceIs(u64),
    SameDevice(usize),
    OtherDevice(usize),
    SameSession(usize),
}

#[derive(Debug, Clone)]
struct Item {
    types: Vec<&'static str>,
    holds: Where,
    within_s: i64,
}

#[derive(Debug, Clone)]
struct Spec {
    by_session: bool,
    within_s: i64,
    steps: Vec<Item>,
    without: Vec<Item>,
    absent: Vec<Item>,
}

#[derive(Debug, Clone)]
struct Seen {
    id: usize,
    time_s: i64,
    lane: usize,
    kind: &'static str,
    account: u64,
    device: Option<u64>,
    session: Option<u64>,
}

#[derive(Debug)]
struct Batch {
    moment_s: i64,
    at_end: [bool; 2],
    events: Vec<Seen>,
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

fn spec(random: &mut Random) -> Spec {
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

fn stream(random: &mut Random, events: usize) -> Vec<Batch> {
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

fn rule_file(spec: &Spec) -> String {
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

fn json(seen: &Seen) -> String {
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

// === the engine ===

struct Texts(Vec<String>);

impl Sink for Texts {
    fn rejected(&mut self, _: usize, rejection: &Rejection) {
        panic!("{rejection}");
    }
    fn duplicate(&mut self, _: usize) {}
    fn accepted(&mut self, _: usize, _: &Event<'_>, _: bool) {}
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, _: FindingRecord) {}
    fn alert(&mut self, _: usize, document: AlertDocument) {
        self.0.extend(document.findings.into_iter().map(|finding| finding.text));
    }
}

fn told_by_the_engine(spec: &Spec, batches: &[Batch]) -> (Vec<String>, u64) {
    let key = HashKey::new([3; 16]);
    let mut sources = Sources::new("rules");
    sources.add("r.yaml", rule_file(spec), None);
    let loaded = load(&sources, key, None).unwrap_or_else(|problems| panic!("{}\n{problems:#?}", rule_file(spec)));
    let mut engine = Engine::new(Arc::new(loaded.ruleset), Bands::default(), Options::default(), key);
    let mut texts = Texts(Vec::new());
    for batch in batches {
        let lines: Vec<(u16, String)> = batch.events.iter().map(|seen| (seen.lane as u16, json(seen))).collect();
        let inputs = lines.iter().map(|(lane, line)| Input { lane: *lane, value: Some(line.as_bytes()) });
        engine.partitions(batch.at_end.into_iter());
        engine.take(inputs, Millis(START * 2 + batch.moment_s * 1000), None, &mut texts);
    }
    (texts.0, engine.counters().sequence_overflow[0])
}

// === the oracle ===

/// Places of events among all that were seen.
type Chain = Vec<usize>;

#[derive(Default)]
struct Oracle {
    /// In input order, late ones too.
    seen: Vec<Seen>,
    /// The ids accepted, each with the newest time there was then.
    accepted: Vec<(usize, i64)>,
    chains: Vec<Chain>,
    /// Chains that wait, with the end of each item.
    waiting: Vec<(Chain, Vec<i64>)>,
    newest: [Option<i64>; 2],
    spoke: [i64; 2],
    idle: [bool; 2],
    watermark: Option<i64>,
    told: Vec<String>,
    overflow: u64,
    /// Findings that nothing followed, events that cancelled: so that the test knows what it has tried.
    absent: u64,
    cancelled: u64,
}

impl Oracle {
    fn run(spec: &Spec, batches: &[Batch]) -> Oracle {
        let mut oracle = Oracle::default();
        for (number, batch) in batches.iter().enumerate() {
            for lane in 0..2 {
                if number == 0 {
                    oracle.spoke[lane] = batch.moment_s;
                }
                oracle.idle[lane] = batch.at_end[lane] && batch.moment_s - oracle.spoke[lane] >= 60;
            }
            oracle.move_watermark();
            for seen in &batch.events {
                oracle.record(spec, batch.moment_s, seen);
            }
        }
        oracle
    }

    fn move_watermark(&mut self) {
        let awake: Vec<Option<i64>> = (0..2).filter(|lane| !self.idle[*lane]).map(|lane| self.newest[lane]).collect();
        if let Some(newest) = awake.into_iter().collect::<Option<Vec<i64>>>()
            && let Some(least) = newest.into_iter().min()
        {
            self.watermark = self.watermark.max(Some(least - 60));
        }
    }

    fn decide(&mut self, spec: &Spec) {
        let Some(watermark) = self.watermark else { return };
        let end = |waiting: &(Chain, Vec<i64>)| waiting.1.iter().copied().max().unwrap_or(i64::MAX);
        let mut due: Vec<_> = self.waiting.iter().filter(|waiting| watermark > end(waiting)).cloned().collect();
        self.waiting.retain(|waiting| watermark <= end(waiting));
        due.sort_by_key(|waiting| (end(waiting), waiting.0.last().copied()));
        for (chain, _) in due {
            self.absent += 1;
            self.tell(spec, &chain);
        }
    }

    fn tell(&mut self, _: &Spec, chain: &Chain) {
        let ids: Vec<String> = chain.iter().map(|at| format!("e{}", self.seen[*at].id)).collect();
        self.told.push(ids.join(" "));
    }

    fn record(&mut self, spec: &Spec, moment_s: i64, seen: &Seen) {
        self.spoke[seen.lane] = moment_s;
        self.idle[seen.lane] = false;
        self.move_watermark();
        self.decide(spec);
        let newest_s = self.newest.iter().flatten().copied().max();
        let is_known = |&(id, then_s): &(usize, i64)| id == seen.id && newest_s.is_some_and(|now| now - then_s <= 600);
        if self.accepted.iter().any(is_known) {
            return;
        }
        self.accepted.push((seen.id, newest_s.map_or(seen.time_s, |newest_s| newest_s.max(seen.time_s))));
        let mut last: Vec<i64> =
            self.seen.iter().rev().filter(|other| other.lane == seen.lane).take(9).map(|other| other.time_s).collect();
        last.sort_unstable();
        let median = last.get(last.len().saturating_sub(1) / 2);
        let is_late = median.is_some_and(|median| seen.time_s < median - 600);
        self.newest[seen.lane] = self.newest[seen.lane].max(Some(seen.time_s));
        self.move_watermark();
        self.decide(spec);
        self.seen.push(seen.clone());
        if !is_late && (!spec.by_session || seen.session.is_some()) {
            self.follow(spec, self.seen.len() - 1);
        }
    }

    fn time(&self, at: Option<&usize>) -> i64 {
        at.map_or(0, |at| self.seen[*at].time_s)
    }

    fn is_same_entity(&self, spec: &Spec, a: usize, b: usize) -> bool {
        let (a, b) = (&self.seen[a], &self.seen[b]);
        a.account == b.account && (!spec.by_session || a.session == b.session)
    }

    fn holds(&self, item: &Item, event: usize, chain: &[usize]) -> bool {
        let this = &self.seen[event];
        let step = |n: usize| chain.get(n).map(|at| &self.seen[*at]);
        item.types.contains(&this.kind)
            && match item.holds {
                Where::Any => true,
                Where::DeviceIs(n) => this.device == Some(n),
                Where::SameDevice(n) => this.device.is_some() && step(n).is_some_and(|s| s.device == this.device),
                Where::OtherDevice(n) => {
                    this.device.is_some() && step(n).is_some_and(|s| s.device.is_some() && s.device != this.device)
                }
                Where::SameSession(n) => this.session.is_some() && step(n).is_some_and(|s| s.session == this.session),
            }
    }

    /// Newest first: by time and input order of the last event, then of the one before, and so on.
    fn newest_first(&self, chains: &mut [Chain]) {
        chains.sort_by_key(|chain| {
            let ages = chain.iter().rev().map(|at| (self.seen[*at].time_s, *at));
            std::cmp::Reverse(ages.collect::<Vec<_>>())
        });
    }

    fn follow(&mut self, spec: &Spec, event: usize) {
        let time = self.seen[event].time_s;
        let waiting = std::mem::take(&mut self.waiting);
        let follows = |(chain, ends): &(Chain, Vec<i64>)| {
            spec.absent.iter().zip(ends).any(|(item, end)| {
                self.is_same_entity(spec, chain[0], event)
                    && self.time(chain.last()) <= time
                    && time <= *end
                    && self.holds(item, event, chain)
            })
        };
        let waiting: Vec<_> = waiting.into_iter().filter(|waiting| !follows(waiting)).collect();
        self.waiting = waiting;
        if self.cancels(spec, event) {
            self.cancelled += 1;
            return;
        }
        let before = self.chains.clone();
        let last = spec.steps.len() - 1;
        for (at, step) in spec.steps.iter().enumerate().rev() {
            let mut begun: Vec<Chain> = match at {
                0 => vec![vec![]],
                _ => before.iter().filter(|chain| chain.len() == at).cloned().collect(),
            };
            begun.retain(|chain| {
                let fits = chain.first().is_none_or(|first| {
                    self.is_same_entity(spec, *first, event)
                        && self.time(chain.last()) <= time
                        && time - self.time(Some(first)) <= spec.within_s
                });
                fits && self.holds(step, event, chain)
            });
            let mut made: Vec<Chain> = begun.into_iter().map(|chain| [chain, vec![event]].concat()).collect();
            self.newest_first(&mut made);
            if at == last {
                if let Some(newest) = made.first() {
                    self.complete(spec, newest);
                }
                continue;
            }
            self.overflow += made.len().saturating_sub(4) as u64;
            made.truncate(4);
            if !made.is_empty() {
                self.chains.extend(made);
                self.make_room(spec, event, at + 1);
            }
        }
    }

    fn cancels(&mut self, spec: &Spec, event: usize) -> bool {
        let mut cancels = false;
        for item in &spec.without {
            let needs_chain =
                matches!(item.holds, Where::SameDevice(_) | Where::OtherDevice(_) | Where::SameSession(_));
            if !needs_chain && self.holds(item, event, &[]) {
                cancels = true;
            }
            let chains = std::mem::take(&mut self.chains);
            let kept: Vec<Chain> = chains
                .iter()
                .filter(|chain| {
                    let is_hit = self.is_same_entity(spec, chain[0], event)
                        && self.time(chain.first()) <= self.seen[event].time_s
                        && self.holds(item, event, chain);
                    !is_hit
                })
                .cloned()
                .collect();
            cancels |= kept.len() < chains.len();
            self.chains = kept;
        }
        cancels
    }

    /// Sixteen events a step and entity: what has expired goes first, then the oldest.
    fn make_room(&mut self, spec: &Spec, event: usize, length: usize) {
        let of_room =
            |oracle: &Self, chain: &Chain| chain.len() == length && oracle.is_same_entity(spec, chain[0], event);
        let events = |oracle: &Self| {
            let chains = oracle.chains.iter().filter(|chain| of_room(oracle, chain));
            let mut last: Vec<(i64, usize)> =
                chains.filter_map(|chain| chain.last()).map(|at| (oracle.seen[*at].time_s, *at)).collect();
            last.sort_unstable();
            last.dedup();
            last
        };
        if events(self).len() > 16 {
            let chains = std::mem::take(&mut self.chains);
            let horizon = self.seen[event].time_s - spec.within_s;
            let kept = chains.into_iter().filter(|c| !of_room(self, c) || self.time(c.first()) >= horizon);
            self.chains = kept.collect();
        }
        let last = events(self);
        if last.len() > 16 {
            let oldest = last[0].1;
            let before = self.chains.len();
            self.chains.retain(|chain| chain.len() != length || chain.last() != Some(&oldest));
            self.overflow += (before - self.chains.len()) as u64;
        }
    }

    fn complete(&mut self, spec: &Spec, chain: &Chain) {
        if spec.absent.is_empty() {
            return self.tell(spec, chain);
        }
        let last = self.time(chain.last());
        let ends = spec.absent.iter().map(|item| last + item.within_s).collect();
        self.waiting.push((chain.clone(), ends));
        let place = |at: usize| (self.seen[at].time_s, at);
        let mut same: Vec<usize> = Vec::new();
        for (other, _) in &self.waiting {
            let at = other[other.len() - 1];
            if self.is_same_entity(spec, at, chain[0]) {
                same.push(at);
            }
        }
        same.sort_by_key(|at| place(*at));
        if same.len() > 16 {
            self.waiting.retain(|(other, _)| other.last() != Some(&same[0]));
            self.overflow += 1;
        }
    }
}

fn compare(seed: u64, events: usize) -> Result<Oracle, TestCaseError> {
    let mut random = Random(seed);
    let spec = spec(&mut random);
    let batches = stream(&mut random, events);
    let oracle = Oracle::run(&spec, &batches);
    let (told, overflow) = told_by_the_engine(&spec, &batches);
    prop_assert_eq!(&told, &oracle.told, "{}", rule_file(&spec));
    prop_assert_eq!(overflow, oracle.overflow, "{}", rule_file(&spec));
    Ok(oracle)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_tells_what_plain_lists_tell(seed in any::<u64>(), events in 1usize..140) {
        compare(seed, events)?;
    }
}

#[test]
fn the_streams_try_what_they_are_for() {
    let (mut told, mut overflow, mut absent, mut cancelled) = (0, 0, 0, 0);
    for seed in 0..300 {
        let oracle = compare(seed * 7919, 120).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        told += oracle.told.len() as u64 - oracle.absent;
        overflow += oracle.overflow;
        absent += oracle.absent;
        cancelled += oracle.cancelled;
    }
    let all = [told, overflow, absent, cancelled];
    assert!(all.iter().all(|n| *n > 300), "found, overflowed, absent, cancelled: {all:?}");
}
