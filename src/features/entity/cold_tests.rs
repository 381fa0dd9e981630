//! Two tables that go through the same: the entities of one leave memory whenever they may. Each mutant is found.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use super::*;
use crate::features::codec::{DecodeError, Decoder, Durable, Encoder};
use crate::features::marks::Rank;
use crate::features::store::{Changes as _, MemoryStore, Shelf, Space, StoreError, Stored, Take};
use crate::mutant::{Mutant, with};

const SPACE: Space = Space::Ip;
const STEPS: usize = 3000;
const SEEDS: std::ops::Range<u64> = 0..6;

/// Times under two windows, of which each goes by itself.
#[derive(Debug, Default)]
struct Two([i64; 2]);

impl Two {
    fn is_dead(&self, which: usize, horizon_ms: i64, over_ms: &[i64]) -> bool {
        self.0[which] != 0 && self.0[which] + over_ms[which] <= horizon_ms
    }
}

impl Kept for Two {
    fn sweep(&mut self, horizon_ms: i64, over_ms: &[i64]) -> Swept {
        let count = |two: &Two| two.0.iter().filter(|time| **time != 0).count();
        let before = count(self);
        for which in 0..2 {
            if self.is_dead(which, horizon_ms, over_ms) {
                self.0[which] = 0;
            }
        }
        Swept::of(before, count(self))
    }

    fn heap_bytes(&self) -> usize {
        (self.0[0] % 7 + self.0[1] % 5) as usize
    }

    fn ends(&self, over_ms: &[i64]) -> Ends {
        let each = (0..2).filter(|which| self.0[*which] != 0).map(|which| self.0[which] + over_ms[which]);
        let (first, last) = each.fold((i64::MAX, i64::MIN), |(a, b), ends| (a.min(ends), b.max(ends)));
        Ends { ms: first.min(last), whole: first >= last }
    }
}

impl Durable for Two {
    fn encode(&self, to: &mut Encoder) {
        self.0.iter().for_each(|time| to.signed(*time));
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Two([from.signed()?, from.signed()?]))
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<MemoryStore>>);

impl Stored for Shared {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.lock().unwrap().get(space, key)
    }

    fn each(&self, space: Space, take: Take<'_>) -> Result<(), StoreError> {
        self.0.lock().unwrap().each(space, take)
    }
}

fn key(n: u64) -> u64 {
    crate::ruleset::HashKey::new([3; 16]).bytes(&n.to_be_bytes())
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn digest(table: &Table<Two>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut head = Encoder::default();
    table.encode_head(&mut head);
    hasher.update(head.bytes());
    table.digest(&mut hasher);
    hasher.finalize()
}

/// Whether both are the same all the way; how many came back.
fn run(seed: u64, entities_max: usize) -> u64 {
    let (mut dice, store) = (Dice(seed), Shared::default());
    let shelf = Arc::new(Shelf::new(Arc::new(store.clone())));
    let mut tables: [Table<Two>; 2] = [Table::new(entities_max), Table::new(entities_max)];
    tables.iter_mut().for_each(Table::account);
    tables[1].keep_in(Arc::clone(&shelf), SPACE);
    let mut over_ms = vec![400, 4000];
    let mut now_ms = 1;
    for step in 0..STEPS {
        now_ms += dice.below(20) as i64;
        let (n, which) = (dice.below(3000).min(dice.below(3000)), dice.below(2) as usize);
        for table in &mut tables {
            let before = table.peek(key(n), NOWHERE).map_or(0, |kept| kept.heap_bytes());
            let Some(kept) = table.entry(key(n), NOWHERE) else { panic!("{:?}", shelf.check()) };
            kept.0[which] = now_ms;
            let after = kept.heap_bytes();
            table.reaccount(before, after);
            table.sweep(3, now_ms, &over_ms);
        }
        if dice.below(500) == 0 {
            over_ms[dice.below(2) as usize] /= 2;
            tables[1].change_windows();
        }
        if dice.below(60) == 0 {
            tables[0].save(SPACE, &mut MemoryStore::new(), &mut Encoder::default());
            let mut changes = MemoryStore::new();
            // Deletions stand in the store itself; reading goes on while it is saved.
            let mut both = Both { changes: &mut changes, gone: Vec::new() };
            tables[1].save(SPACE, &mut both, &mut Encoder::default());
            let gone = both.gone;
            let mut values = store.0.lock().unwrap();
            gone.iter().for_each(|key| values.delete(SPACE, key));
            changes
                .each(SPACE, &mut |key, value| {
                    values.put(SPACE, key, value);
                    Ok(())
                })
                .unwrap();
            drop(values);
        }
        if dice.below(25) == 0 {
            tables[1].ask_all();
            let entities_max = 1 + dice.below(400) as usize;
            let rank = [Rank::Once, Rank::Idle, Rank::Any][dice.below(3) as usize];
            let mut leaving = Leaving { rank, entities_max, wanted_bytes: usize::MAX, over_ms: &over_ms };
            tables[1].send_away(&mut leaving);
        }
        if step % 293 == 0 {
            shelf.check().unwrap();
            assert_eq!(tables[0].accounted_bytes(), tables[1].accounted_bytes(), "step {step}");
            assert_eq!(digest(&tables[0]), digest(&tables[1]), "step {step}");
        }
    }
    tables[1].moves()[1]
}

/// What a save changes and what it takes away.
struct Both<'b> {
    changes: &'b mut MemoryStore,
    gone: Vec<Vec<u8>>,
}

impl crate::features::store::Changes for Both<'_> {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.changes.put(space, key, value);
    }

    fn delete(&mut self, _: Space, key: &[u8]) {
        self.gone.push(key.to_vec());
    }
}

#[test]
fn a_table_whose_entities_leave_is_the_one_whose_entities_do_not() {
    let came_back: u64 = SEEDS.into_iter().map(|seed| run(seed, [usize::MAX, 900, 200][seed as usize % 3])).sum();
    assert!(came_back > 1500, "{came_back} came back");
}

#[test]
fn each_mutant_is_found() {
    let all = [Mutant::SendsTheDirty, Mutant::ForgetsMarks, Mutant::SweepsOnlyHere, Mutant::KeepsEnds];
    let fails = |seed| catch_unwind(AssertUnwindSafe(|| run(seed, [usize::MAX, 900, 200][seed as usize % 3]))).is_err();
    let survives = |mutant: &Mutant| with(Some(*mutant), || !SEEDS.into_iter().any(fails));
    let survivors: Vec<Mutant> = all.into_iter().filter(survives).collect();
    assert_eq!(survivors, []);
}

#[test]
fn who_came_once_leaves_first_then_the_idle_and_who_is_busy_last() {
    let (mut table, store): (Table<Two>, Shared) = (Table::new(usize::MAX), Shared::default());
    table.keep_in(Arc::new(Shelf::new(Arc::new(store.clone()))), SPACE);
    let come = |table: &mut Table<Two>, all: std::ops::Range<u64>| {
        all.for_each(|n| table.entry(key(n), NOWHERE).unwrap().0[0] += 1);
        table.save(SPACE, &mut *store.0.lock().unwrap(), &mut Encoder::default());
    };
    let leave = |table: &mut Table<Two>, rank: Rank| {
        table.ask_all();
        let mut leaving = Leaving { rank, entities_max: usize::MAX, wanted_bytes: usize::MAX, over_ms: &[100, 100] };
        table.send_away(&mut leaving);
        (0..1000).filter(|n| table.get(key(*n)).is_some()).count()
    };
    come(&mut table, 0..1000);
    come(&mut table, 0..500);
    assert_eq!(leave(&mut table, Rank::Once), 500, "who came once");
    assert!((0..500).all(|n| table.get(key(n)).is_some()));
    assert_eq!(leave(&mut table, Rank::Idle), 500, "all came lately");
    come(&mut table, 0..250);
    assert_eq!(leave(&mut table, Rank::Idle), 250, "who did not come since");
    assert!((0..250).all(|n| table.get(key(n)).is_some()));
    table.entry(key(7), NOWHERE).unwrap().0[0] = 9;
    assert_eq!(leave(&mut table, Rank::Any), 1, "who changed since the last save");
    // All come back as they were.
    for n in 0..1000 {
        let times = if n == 7 { 9 } else { 1 + i64::from(n < 500) + i64::from(n < 250) };
        assert_eq!(table.entry(key(n), NOWHERE).unwrap().0, [times, 0], "{n}");
    }
    assert_eq!((table.away(), table.moves()), (0, [999, 999]));
}

#[test]
fn memory_is_given_back_and_what_stays_of_those_away_is_little() {
    let (mut table, mut store): (Table<Two>, MemoryStore) = (Table::new(usize::MAX), MemoryStore::new());
    table.account();
    let all = 200_000;
    for n in 0..all {
        table.entry(key(n), NOWHERE).unwrap().0[0] = 1;
    }
    let before = table.bytes();
    table.save(SPACE, &mut store, &mut Encoder::default());
    table.keep_in(Arc::new(Shelf::new(Arc::new(store))), SPACE);
    table.ask_all();
    let mut leaving =
        Leaving { rank: Rank::Once, entities_max: usize::MAX, wanted_bytes: usize::MAX, over_ms: &[10, 10] };
    table.send_away(&mut leaving);
    assert_eq!((table.away(), table.len()), (all as usize, all as usize));
    let each = table.bytes() as f64 / all as f64;
    assert!(each < cold::AWAY_BYTES as f64, "{each} bytes are left of each, {} were", before as u64 / all);
    assert_eq!(table.resident_bytes(), all as usize * cold::AWAY_BYTES);
    // Of those swept all is gone at once, and nobody is read back for it.
    table.sweep(usize::MAX, 11, &[10, 10]);
    assert_eq!((table.len(), table.away(), table.moves()[1]), (0, 0, 0));
    assert!(table.bytes() < before / 2, "{} of {before}", table.bytes());
}
