//! The state as bytes: what a save costs per entity that changed, what is stored of an account, how fast an engine is
//! restored, and what an account takes in memory; under three velocity rules and under the shipped pack.
//!
//! Argument: events a half (2 000 000), for half as many accounts.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench prints its figures and stops where it cannot")]

mod cpu;
mod workload;

use std::collections::BTreeMap;
use std::sync::Arc;

use allocation_counter::measure;
use walletwatch::detect::document::{AlertDocument, ContactDocument};
use walletwatch::detect::{Engine, FindingRecord, Input, Options, Sink};
use walletwatch::event::{Event, Millis, Rejection};
use walletwatch::features::store::{Changes, Space, StoreError, Stored};
use walletwatch::ruleset::{Bands, HashKey, KeyField, Ruleset, Sources, load};

const MOMENT: Millis = Millis(i64::MAX / 2);
const KEY: HashKey = HashKey::new([5; 16]);
const BATCH: usize = 1024;

struct Nobody;

impl Sink for Nobody {
    fn rejected(&mut self, _: usize, _: &Rejection) {}
    fn duplicate(&mut self, _: usize) {}
    fn accepted(&mut self, _: usize, _: &Event<'_>, _: bool) {}
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, _: FindingRecord) {}
    fn alert(&mut self, _: usize, _: AlertDocument) {}
}

/// Key and value, one after the other in the bytes of a space: key length, value length.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    entries: Vec<(usize, usize)>,
    deletes: usize,
}

/// A store that costs as little as can be: what is measured is the engine's part.
#[derive(Default)]
struct Plain(BTreeMap<Space, Kept>);

impl Changes for Plain {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        let kept = self.0.entry(space).or_default();
        kept.bytes.extend_from_slice(key);
        kept.bytes.extend_from_slice(value);
        kept.entries.push((key.len(), value.len()));
    }

    fn delete(&mut self, space: Space, _: &[u8]) {
        self.0.entry(space).or_default().deletes += 1;
    }
}

impl Stored for Plain {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut found = None;
        self.each(space, &mut |k, value| {
            if k == key {
                found = Some(value.to_vec());
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn each(
        &self,
        space: Space,
        take: &mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let Some(kept) = self.0.get(&space) else { return Ok(()) };
        let mut at = 0;
        for (key, value) in &kept.entries {
            let (from, to) = (at + key, at + key + value);
            take(&kept.bytes[at..from], &kept.bytes[from..to])?;
            at = to;
        }
        Ok(())
    }
}

fn rules(sources: &Sources) -> Arc<Ruleset> {
    Arc::new(load(sources, KEY, None).expect("the rules load").ruleset)
}

fn take(engine: &mut Engine, lines: &[Vec<u8>]) {
    for batch in lines.chunks(BATCH) {
        engine.take(batch.iter().map(|l| Input { lane: 0, value: Some(l) }), MOMENT, None, &mut Nobody);
    }
}

/// CPU time of some work, ns.
fn cost_ns(work: impl FnOnce()) -> u64 {
    let before = cpu::now_ns();
    work();
    cpu::now_ns() - before
}

fn report(name: &str, rules: &Arc<Ruleset>, lines: &[Vec<u8>]) {
    let (first, second) = lines.split_at(lines.len() * 4 / 5);
    let new = || Engine::new(Arc::clone(rules), Bands::default(), Options::default(), KEY);
    let mut engine = new();
    let info = measure(|| take(&mut engine, first));
    let accounts = engine.entities(KeyField::Account).max(1) as u64;
    println!("{name}: {} events, {accounts} accounts", first.len());
    println!("  in memory {} B an account, all state with it", info.bytes_current / accounts as i64);
    println!("  {} B an account, accounts alone", engine.state_bytes(KeyField::Account) as u64 / accounts);
    let mut store = Plain::default();
    let ns = cost_ns(|| engine.save(&mut store));
    let of = |space: Space, store: &Plain| {
        store.0.get(&space).map_or((0, 0), |k| (k.entries.len() as u64, k.bytes.len() as u64))
    };
    let (stored, bytes) = of(Space::Account, &store);
    println!("  stored {} B an account with its key", bytes / stored.max(1));
    let all: u64 = store.0.values().map(|kept| kept.entries.len() as u64).sum();
    println!("  first save {} ms: {all} values, {} ns each", ns / 1_000_000, ns / all.max(1));
    let ns = cost_ns(|| {
        let restored =
            Engine::restore(Arc::clone(rules), Bands::default(), Options::default(), KEY, &store).expect("restored");
        assert_eq!(restored.entities(KeyField::Account) as u64, accounts);
    });
    println!("  restore {} ms, {} ns a value", ns / 1_000_000, ns / all.max(1));
    let ns = cost_ns(|| take(&mut engine, second));
    let mut changes = Plain::default();
    let save_ns = cost_ns(|| engine.save(&mut changes));
    let changed: u64 = changes.0.values().map(|kept| kept.entries.len() as u64).sum();
    println!(
        "  {} events more ({} ns each), then a save of {changed} values: {} ms, {} ns each",
        second.len(),
        ns / second.len().max(1) as u64,
        save_ns / 1_000_000,
        save_ns / changed.max(1)
    );
    let ns = cost_ns(|| assert_ne!(engine.digest(), [0; 32]));
    println!("  digest {} ms", ns / 1_000_000);
}

fn main() {
    let is_test = std::env::args().any(|arg| arg == "--test");
    let asked = std::env::args().find_map(|arg| arg.parse::<u64>().ok());
    let events = if is_test { 20_000 } else { asked.unwrap_or(2_000_000) };
    let lines = workload::w3(events + events / 4, events / 2);
    let mut w3 = Sources::new("rules");
    w3.add("w3.yaml", include_str!("../tests/data/rules/w3/w3.yaml"), None);
    report("three velocity rules", &rules(&w3), &lines);
    report("the shipped pack", &rules(&Sources::builtin()), &lines);
}
