//! The engine against an oracle that keeps every event and, with each, works out all chains from plain lists.
//!
//! Sequences and streams are made at random: decoys, duplicates, equal times, times that go back, events beyond
//! lateness, two entities, two partitions, cancelling, and what must not follow. What is told must be the same: each
//! finding with the whole chain it is about, in order, and how often room was wanting.

mod streams;

use std::sync::Arc;

use proptest::prelude::*;

use crate::detect::document::{AlertDocument, ContactDocument};
use crate::detect::{Engine, FindingRecord, Input, Options, Sink};
use crate::event::{Event, Millis, Rejection};
use crate::ruleset::{Bands, HashKey, Sources, load};
use streams::{Batch, Item, Random, START, Seen, Spec, Where, json, rule_file, spec, stream};

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
