//! Any bytes in a saved state, under checksums that are right: in one value of an engine's, and in a redo file.
//!
//! Holds: restoring refuses or gives an engine that takes events and is saved again; a redo file is applied, refused or
//! dropped, and the store is whole afterwards. Nothing panics.

#![no_main]

#[path = "../../src/detect/mod.rs"]
mod detect;
#[path = "../../src/disk/mod.rs"]
mod disk;
#[path = "../../src/event/mod.rs"]
mod event;
#[path = "../../src/failpoint.rs"]
mod failpoint;
#[path = "../../src/features/mod.rs"]
mod features;
#[path = "../../src/geo/mod.rs"]
mod geo;
#[path = "../../src/mutant.rs"]
mod mutant;
#[path = "../../src/report.rs"]
mod report;
#[path = "../../src/ruleset/mod.rs"]
mod ruleset;
#[path = "../../src/sim/mod.rs"]
mod sim;
mod telemetry;
#[path = "../../src/yaml/mod.rs"]
mod yaml;

use std::hash::Hasher as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use detect::document::{AlertDocument, ContactDocument};
use detect::{Engine, FindingRecord, Input, Options, Sink};
use disk::{Disk, SimulatedDisk};
use event::{Event, Millis, Rejection};
use features::store::{Changes, MemoryStore, Place, SimulatedStore, Space, Stored, recover};
use libfuzzer_sys::fuzz_target;
use ruleset::{Bands, HashKey, Ruleset, Sources, load};
use siphasher::sip::SipHasher13;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const KEY: HashKey = HashKey::new([9; 16]);
const MOMENT: Millis = Millis(i64::MAX / 2);
/// Bytes of the checksum behind a value.
const SUM_BYTES: usize = 4;

struct Nobody;

impl Sink for Nobody {
    fn rejected(&mut self, _: usize, _: &Rejection) {}
    fn duplicate(&mut self, _: usize) {}
    fn accepted(&mut self, _: usize, _: &Event<'_>, _: bool) {}
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, _: FindingRecord) {}
    fn alert(&mut self, _: usize, _: AlertDocument) {}
}

struct Saved {
    rules: Arc<Ruleset>,
    store: MemoryStore,
    values: Vec<(Space, Vec<u8>, Vec<u8>)>,
    next: Vec<Vec<u8>>,
}

static SAVED: LazyLock<Saved> = LazyLock::new(|| {
    let rules = Arc::new(load(&Sources::builtin(), KEY, None).expect("the rules load").ruleset);
    let plan = sim::Plan::new(400, 5, sim::Profile::Wallet);
    let mut generator = sim::Generator::new(&plan).expect("a good plan");
    let mut lines = Vec::new();
    while let Some(record) = generator.next_record().expect("a record") {
        lines.push(record.value.to_vec());
    }
    let next = lines.split_off(370);
    let mut engine = Engine::new(Arc::clone(&rules), Bands::default(), Options::default(), KEY);
    take(&mut engine, &lines);
    let mut store = MemoryStore::new();
    engine.save(&mut store);
    let mut values = Vec::new();
    for space in Space::ALL {
        let mut keep = |key: &[u8], value: &[u8]| {
            values.push((space, key.to_vec(), value.to_vec()));
            Ok(())
        };
        store.each(space, &mut keep).expect("memory");
    }
    Saved { rules, store, values, next }
});

fn take(engine: &mut Engine, lines: &[Vec<u8>]) {
    engine.take(lines.iter().map(|line| Input { lane: 0, value: Some(line) }), MOMENT, None, &mut Nobody);
}

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        None => {}
        Some((0, frames)) => redo(frames),
        Some((_, rest)) => value(rest),
    }
});

/// Which value, and what becomes of its bytes: pairs of a place and a byte; an odd byte at the end is a new length.
fn value(bytes: &[u8]) {
    let saved = &*SAVED;
    let Some((of, edits)) = bytes.split_first_chunk() else { return };
    let (space, key, value) = &saved.values[usize::from(u16::from_le_bytes(*of)) % saved.values.len()];
    let mut body = value[..value.len() - SUM_BYTES].to_vec();
    for edit in edits.chunks(2) {
        let length = body.len().max(1);
        match edit {
            [at, byte] => match body.get_mut(usize::from(*at) % length) {
                Some(there) => *there = *byte,
                None => body.push(*byte),
            },
            [length] => body.resize(usize::from(*length), 0xff),
            _ => {}
        }
    }
    let mut hasher = SipHasher13::new();
    hasher.write_u8(space.number());
    hasher.write(key);
    hasher.write(&body);
    body.extend_from_slice(&(hasher.finish() as u32).to_le_bytes());
    let mut store = saved.store.clone();
    store.put(*space, key, &body);
    let (rules, bands) = (Arc::clone(&saved.rules), Bands::default());
    let Ok(mut engine) = Engine::restore(rules, bands, Options::default(), KEY, &store) else { return };
    take(&mut engine, &saved.next);
    engine.save(&mut MemoryStore::new());
}

/// A redo file of frames: kind, length and payload of each, one behind the other.
fn redo(mut bytes: &[u8]) {
    let mixed = |one: u64, other: u64| (one.rotate_left(23) ^ other).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (magic, format) = (b"walletwatchredo", features::store::FORMAT);
    let mut file = [&magic[..], &format.to_le_bytes()].concat();
    file.extend_from_slice(&xxh3_64_with_seed(magic, u64::from(format)).to_le_bytes());
    let mut mark = format.to_le_bytes().to_vec();
    mark.extend_from_slice(br#"{"hash_key":"k","checkpoint":{"number":1,"progress":{"batch":1,"moment_ms":1,"offsets":[],"#);
    mark.extend_from_slice(br#""rules":"","lists":"","geo":"","epoch":1}}}"#);
    let mut frames: Vec<(u8, Vec<u8>)> = vec![(1, mark)];
    while let Some(([kind, length], rest)) = bytes.split_first_chunk() {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        frames.push((*kind, payload.to_vec()));
        bytes = rest;
    }
    let (chunks, mut all) = (frames.len() - 1, 0);
    let mut put = |index: u64, kind: u8, payload: &[u8], all: u64| {
        let sum = xxh3_64_with_seed(payload, mixed(mixed(1, index), u64::from(kind)));
        file.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        file.push(kind);
        file.extend_from_slice(&sum.to_le_bytes());
        file.extend_from_slice(payload);
        mixed(all, sum)
    };
    for (index, (kind, payload)) in (0..).zip(&frames) {
        all = put(index, *kind, payload, all);
    }
    let end = format!(r#"{{"chunks":{chunks},"sum":{all}}}"#);
    put(frames.len() as u64, 3, end.as_bytes(), all);
    let disk = SimulatedDisk::new(1);
    let folder = Path::new("/s");
    let mut written = disk.create(&folder.join("redo-000000000001")).expect("new");
    written.write_all(&file).expect("written");
    let place = Place {
        disk: Arc::new(disk.clone()),
        folder: folder.to_path_buf(),
        store: Arc::new(SimulatedStore::new(&disk)),
    };
    if recover(&place, Path::new("/s/hash.key"), "k").is_ok() {
        let again = recover(&place, Path::new("/s/hash.key"), "k").expect("what was recovered is whole");
        assert!(again.found.is_empty());
    }
}
