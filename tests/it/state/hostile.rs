//! Stored bytes that nobody wrote, under checksums that are right: what the readers of the state, of the batch log and
//! of redo files make of them is a refusal or something that can be worked with, never a panic.
//!
//! `fuzz/` looks for more of them; what it finds comes here.

use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use siphasher::sip::SipHasher13;
use walletwatch::detect::{Engine, Input, Options};
use walletwatch::disk::{Disk, SimulatedDisk};
use walletwatch::event::Millis;
use walletwatch::features::store::{Changes as _, MemoryStore, Space};
use walletwatch::ingest::BatchLog;
use walletwatch::ruleset::{Bands, Ruleset, Sources, load};
use walletwatch::sim::{Generator, Plan, Profile};

use super::twins::{KEY, Step, Told, Twins, all};

/// What a saved engine holds, and events for the one that is restored.
struct Saved {
    rules: Arc<Ruleset>,
    store: MemoryStore,
    values: Vec<(Space, Vec<u8>, Vec<u8>)>,
    next: Vec<Vec<u8>>,
}

static SAVED: LazyLock<Saved> = LazyLock::new(|| {
    let loaded = load(&Sources::builtin(), KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let rules = Arc::new(loaded.ruleset);
    let mut generator = Generator::new(&Plan::new(1500, 5, Profile::Wallet)).expect("a good plan");
    let mut lines = Vec::new();
    while let Some(record) = generator.next_record().expect("a record") {
        lines.push(record.value.to_vec());
    }
    let next = lines.split_off(1400);
    let mut twins = Twins::new(Arc::clone(&rules), Options::default());
    let lines = lines.into_iter().map(|line| (0, line)).collect();
    twins.step(Step::Take(Millis(i64::MAX / 2), vec![false], lines));
    twins.save();
    let store = twins.store.values();
    let values = all(&store).into_iter().collect();
    Saved { rules, store, values, next }
});

/// Bytes of the checksum behind a value.
const SUM_BYTES: usize = 4;

/// The value as a save would end it.
fn sealed(space: Space, key: &[u8], body: &[u8]) -> Vec<u8> {
    use std::hash::Hasher as _;
    let mut hasher = SipHasher13::new();
    hasher.write_u8(space.number());
    hasher.write(key);
    hasher.write(body);
    [body, &(hasher.finish() as u32).to_le_bytes()].concat()
}

/// Changes of a value's bytes: where, what to, and what is put behind or cut off.
type Edits = (Vec<(prop::sample::Index, u8)>, Vec<u8>, Option<prop::sample::Index>);

fn edits() -> impl Strategy<Value = Edits> {
    // Bytes that are lengths, flags and ends of numbers more often than by chance.
    let byte = prop_oneof![any::<u8>(), Just(0), Just(1), Just(0x7f), Just(0x80), Just(0xff)];
    let index = any::<prop::sample::Index>;
    let tail = prop::collection::vec(byte.clone(), 0..12);
    (prop::collection::vec((index(), byte), 1..6), tail, prop::option::weighted(0.2, index()))
}

fn edited(value: &[u8], (bytes, tail, cut): &Edits) -> Vec<u8> {
    let mut edited = value.to_vec();
    for (at, byte) in bytes.iter().filter(|_| !value.is_empty()) {
        edited[at.index(value.len())] = *byte;
    }
    if let Some(cut) = cut.filter(|_| !edited.is_empty()) {
        edited.truncate(cut.index(edited.len()));
        edited.extend_from_slice(tail);
    }
    edited
}

#[test]
fn values_that_nobody_wrote_are_refused_or_worked_with() {
    let saved = &*SAVED;
    let (refused, restored) = (Cell::new(0), Cell::new(0));
    proptest!(ProptestConfig::with_cases(400), |(of in any::<prop::sample::Index>(), edits in edits())| {
        let (space, key, value) = &saved.values[of.index(saved.values.len())];
        let body = &value[..value.len() - SUM_BYTES];
        let mut store = saved.store.clone();
        store.put(*space, key, &sealed(*space, key, &edited(body, &edits)));
        let engine = Engine::restore(Arc::clone(&saved.rules), Bands::default(), Options::default(), KEY, &store);
        let Ok(mut engine) = engine else {
            refused.set(refused.get() + 1);
            return Ok(());
        };
        restored.set(restored.get() + 1);
        let inputs = saved.next.iter().map(|line| Input { lane: 0, value: Some(line) });
        engine.take(inputs, Millis(i64::MAX / 2), None, &mut Told::default());
        let mut again = MemoryStore::new();
        engine.save(&mut again);
    });
    let (refused, restored) = (refused.get(), restored.get());
    assert!(refused > 20 && restored > 20, "{refused} refused, {restored} restored");
    // The checksum above is the one that is looked at.
    let (space, key, value) = &saved.values[0];
    assert_eq!(sealed(*space, key, &value[..value.len() - SUM_BYTES]), *value);
}

/// Where a log stands.
const FOLDER: &str = "/log";

/// A file of a batch log with these frames: kind and content.
fn log_of(frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for (kind, content) in frames {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&1u64.to_le_bytes()).update(&(file.len() as u64).to_le_bytes());
        hasher.update(&[*kind]).update(content);
        file.extend_from_slice(b"\xf7BL\xf9");
        file.push(*kind);
        file.extend_from_slice(&(content.len() as u32).to_le_bytes());
        file.extend_from_slice(&hasher.finalize().as_bytes()[..8]);
        file.extend_from_slice(content);
    }
    file
}

/// The first file of a log, as bytes; and what reading it twice gives.
fn read_twice(file: &[u8]) {
    let disk = SimulatedDisk::new(1);
    let folder = Path::new(FOLDER);
    let path = folder.join("batches-00000000000000000001.log");
    let mut written = disk.create(&path).expect("new");
    std::io::Write::write_all(&mut written, file).expect("written");
    let open = || BatchLog::open(Arc::new(disk.clone()), folder, 0, false);
    let Ok(first) = open() else { return };
    drop(first.log);
    let again = open().unwrap_or_else(|error| panic!("once it was cut it is whole: {error}"));
    assert!(again.cut.is_none(), "{:?}", again.cut);
    assert_eq!(first.again, again.again);
    let mut numbers = again.again.iter().map(|logged| logged.taken.number);
    assert!(numbers.by_ref().zip(1..).all(|(number, expected)| number == expected), "from 1, without a gap");
}

/// The content of a batch's frame that has the right shape, with numbers of any kind.
fn batch() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![4 => 1u64..5, 1 => any::<u64>()];
    let offset = || prop_oneof![4 => 0i64..40, 1 => Just(i64::MAX), 1 => any::<i64>()];
    let records = prop_oneof![4 => 0u32..20, 1 => any::<u32>()];
    let span = (0u16..4, offset(), offset(), records);
    let spans = prop::collection::vec(span, 0..4);
    (number, any::<i64>(), prop::collection::vec(any::<u8>(), 0..2), spans).prop_map(|(number, moment, ends, spans)| {
        let mut content = [&number.to_le_bytes()[..], &moment.to_le_bytes()].concat();
        content.extend_from_slice(&(ends.len() as u16 * 8).to_le_bytes());
        content.extend_from_slice(&ends);
        content.extend_from_slice(&(spans.len() as u16).to_le_bytes());
        for (lane, first, last, records) in spans {
            content.extend_from_slice(&lane.to_le_bytes());
            content.extend_from_slice(&first.to_le_bytes());
            content.extend_from_slice(&last.to_le_bytes());
            content.extend_from_slice(&records.to_le_bytes());
        }
        content
    })
}

/// A frame: lanes and batches of the right shape more often than others.
fn frame() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let lanes = [&2u16.to_le_bytes()[..], b"\x01\0a", &0i32.to_le_bytes(), b"\x01\0a", &1i32.to_le_bytes()].concat();
    prop_oneof![
        2 => (0u8..7, prop::collection::vec(any::<u8>(), 0..40)),
        2 => Just((2, lanes)),
        1 => Just((3, b"\x01\0r\0\0\0\0".to_vec())),
        4 => batch().prop_map(|content| (4, content)),
    ]
}

proptest! {
    #[test]
    fn frames_of_a_batch_log_that_nobody_wrote_are_cut_off_or_refused(
        frames in prop::collection::vec(frame(), 0..8),
        header in prop::bool::weighted(0.8),
        tail in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        // Format 1, first batch 1: else nothing behind it is looked at.
        let begins = header.then(|| (1, [&1u16.to_le_bytes()[..], &1u64.to_le_bytes()].concat()));
        let frames: Vec<(u8, Vec<u8>)> = begins.into_iter().chain(frames).collect();
        let mut file = log_of(&frames);
        file.extend_from_slice(&tail);
        read_twice(&file);
    }

    #[test]
    fn bytes_in_place_of_a_batch_log_are_cut_off_or_refused(file in prop::collection::vec(any::<u8>(), 0..200)) {
        read_twice(&file);
    }
}
