//! A restart with a million accounts: how long until the first decision, in parts, from the files on disk.
//!
//! What a start does with the state: the folder is opened and its files checked, what the last end left is recovered,
//! the engine restored, and one batch decided. Wall time beside CPU time of this thread. Claiming the group and asking
//! Kafka are not in it: `--bench kafka` restarts the service whole. Argument: accounts (1 000 000).

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench prints its figures and stops where it cannot")]

mod cpu;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use walletwatch::detect::document::{AlertDocument, ContactDocument};
use walletwatch::detect::{Engine, FindingRecord, Input, Options, Sink};
use walletwatch::disk::RealDisk;
use walletwatch::event::{Event, Millis, Rejection};
use walletwatch::features::store::{
    Checkpoints, FjallStore, Hands, Place, Progress, Recovered, Redo, StateKey, recover,
};
use walletwatch::ruleset::{Bands, HashKey, KeyField, Ruleset, Sources, load};
use walletwatch::sim::{Generator, Plan, Profile};
use walletwatch::telemetry::Metrics;

const MOMENT: Millis = Millis(i64::MAX / 2);
const KEY: HashKey = HashKey::new([5; 16]);
const BATCH: usize = 1024;
/// Page 9: must and aim.
const MUST: Duration = Duration::from_secs(5);
const AIM: Duration = Duration::from_secs(1);

struct Nobody;

impl Sink for Nobody {
    fn rejected(&mut self, _: usize, _: &Rejection) {}
    fn duplicate(&mut self, _: usize) {}
    fn accepted(&mut self, _: usize, _: &Event<'_>, _: bool) {}
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, _: FindingRecord) {}
    fn alert(&mut self, _: usize, _: AlertDocument) {}
}

/// The velocity workload until there are so many accounts; then a batch more, for afterwards.
fn fill(engine: &mut Engine, accounts: u64) -> Vec<Vec<u8>> {
    let plan = Plan { accounts: Some(2 * accounts), ..Plan::new(u64::from(u32::MAX), 1, Profile::W3) };
    let mut generator = Generator::new(&plan).expect("a good plan");
    let mut batch = || -> Vec<Vec<u8>> {
        let mut next = || generator.next_record().expect("a record").expect("without an end").value.to_vec();
        (0..BATCH).map(|_| next()).collect()
    };
    while (engine.entities(KeyField::Account) as u64) < accounts {
        take(engine, &batch());
    }
    batch()
}

fn take(engine: &mut Engine, lines: &[Vec<u8>]) {
    engine.take(lines.iter().map(|l| Input { lane: 0, value: Some(l) }), MOMENT, None, &mut Nobody);
}

fn open(folder: &Path) -> (Place, StateKey) {
    let mut key = StateKey::of(folder, [7; 16]).expect("a key");
    key.keep().expect("kept");
    let store = Arc::new(FjallStore::open(folder).expect("a store"));
    (Place { disk: Arc::new(RealDisk), folder: folder.to_path_buf(), store }, key)
}

fn recovered(place: &Place, key: &StateKey) -> Recovered {
    recover(place, &key.path, &key.id).expect("whole")
}

/// Writes the engine's state down in a checkpoint; lets go of the folder.
fn write(folder: &Path, engine: &mut Engine) {
    let (place, key) = open(folder);
    let metrics = Metrics::new().expect("metrics");
    let found = recovered(&place, &key);
    let mut checkpoints =
        Checkpoints::start(Hands::Thread, place.clone(), &found, &key.id, Duration::ZERO, metrics).expect("a thread");
    let mut redo = Redo::new();
    engine.save(&mut redo);
    checkpoints.begin(redo, Progress { batch: 1, ..Progress::default() }).expect("begun");
    checkpoints.wait(None);
    checkpoints.check().expect("written");
    println!("  on disk {:.0} MB", place.store.disk_bytes().expect("measured") as f64 / 1e6);
    drop(checkpoints);
    // The thread that wrote lets go of it in a moment.
    let mut store = Some(place.store);
    while let Some(held) = store.take() {
        if Arc::strong_count(&held) > 1 {
            std::thread::yield_now();
            store = Some(held);
        }
    }
}

/// Wall and CPU time of parts, and their sum.
#[derive(Default)]
struct Parts(Vec<(&'static str, Duration, Duration)>);

impl Parts {
    fn time<T>(&mut self, name: &'static str, part: impl FnOnce() -> T) -> T {
        let (began, cpu) = (Instant::now(), cpu::now_ns());
        let made = part();
        self.0.push((name, began.elapsed(), Duration::from_nanos(cpu::now_ns() - cpu)));
        made
    }

    fn print(&self) {
        for (name, wall, cpu) in &self.0 {
            println!("  {name:28} {:7.0} ms wall, {:7.0} ms CPU", wall.as_secs_f64() * 1e3, cpu.as_secs_f64() * 1e3);
        }
        let (wall, cpu) = self.0.iter().fold(Default::default(), |(w, c): (Duration, Duration), p| (w + p.1, c + p.2));
        // One thread that hardly waits: where it got half of a processor, others had the machine.
        let (judged, by) = if wall > 2 * cpu { (cpu, "CPU time: the machine was busy") } else { (wall, "wall time") };
        let verdict = match judged {
            judged if judged <= AIM => "the aim is reached",
            judged if judged <= MUST => "it holds",
            _ => "MISSED",
        };
        println!(
            "  to the first decision {:.2} s wall, {:.2} s CPU; must {} s, aim {} s: {verdict}, by {by}",
            wall.as_secs_f64(),
            cpu.as_secs_f64(),
            MUST.as_secs(),
            AIM.as_secs()
        );
    }
}

fn report(name: &str, rules: &Arc<Ruleset>, accounts: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut engine = Engine::new(Arc::clone(rules), Bands::default(), Options::default(), KEY);
    let next = fill(&mut engine, accounts);
    println!("{name}: {} accounts", engine.entities(KeyField::Account));
    write(folder.path(), &mut engine);
    let known = engine.entities(KeyField::Account);
    drop(engine);
    let mut parts = Parts::default();
    let (place, key) = parts.time("open, its files checked", || open(folder.path()));
    parts.time("recover", || recovered(&place, &key));
    let mut engine = parts.time("restore", || {
        let (rules, bands) = (Arc::clone(rules), Bands::default());
        Engine::restore(rules, bands, Options::default(), KEY, &*place.store).expect("restored")
    });
    assert_eq!(engine.entities(KeyField::Account), known);
    parts.time("a batch of 1024", || take(&mut engine, &next));
    parts.print();
}

fn main() {
    let is_test = std::env::args().any(|arg| arg == "--test");
    let asked = std::env::args().find_map(|arg| arg.parse::<u64>().ok());
    let accounts = if is_test { 2000 } else { asked.unwrap_or(1_000_000) };
    let rules = |sources: &Sources| Arc::new(load(sources, KEY, None).expect("the rules load").ruleset);
    let mut w3 = Sources::new("rules");
    w3.add("w3.yaml", include_str!("../tests/data/rules/w3/w3.yaml"), None);
    report("three velocity rules", &rules(&w3), accounts);
    report("the shipped pack", &rules(&Sources::builtin()), accounts);
}
