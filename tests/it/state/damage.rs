//! Stored state that is not what was saved: each damage is an error with its name, never a panic, never silence.

use std::sync::Arc;

use proptest::prelude::*;
use walletwatch::detect::{Engine, Options, RestoreError};
use walletwatch::event::Millis;
use walletwatch::features::store::{Changes, MemoryStore, Space};
use walletwatch::ruleset::{Bands, HashKey, Ruleset, Sources, load};
use walletwatch::sim::{Generator, Plan, Profile};

use super::twins::{KEY, Step, Twins, all};

fn rules() -> Arc<Ruleset> {
    let loaded = load(&Sources::builtin(), KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Arc::new(loaded.ruleset)
}

/// A saved engine that has seen a little of everything.
fn saved() -> MemoryStore {
    let mut generator = Generator::new(&Plan::new(3000, 5, Profile::Wallet)).expect("a good plan");
    let mut twins = Twins::new(rules(), Options::default());
    let mut lines = Vec::new();
    while let Some(record) = generator.next_record().expect("a record") {
        lines.push((0, record.value.to_vec()));
    }
    for lines in lines.chunks(500) {
        twins.step(Step::Take(Millis(i64::MAX / 2), vec![false], lines.to_vec()));
        twins.save();
    }
    twins.store.values()
}

fn restore(store: &MemoryStore, key: HashKey) -> Result<Engine, RestoreError> {
    Engine::restore(rules(), Bands::default(), Options::default(), key, store)
}

#[test]
fn a_value_that_is_cut_flipped_gone_or_moved_is_refused() {
    let store = saved();
    let all: Vec<_> = all(&store).into_iter().collect();
    let spaces: std::collections::BTreeSet<Space> = all.iter().map(|(space, ..)| *space).collect();
    for space in [Space::Meta, Space::Account, Space::Ip, Space::EventIds, Space::Contact] {
        assert!(spaces.contains(&space), "{space:?} has nothing to damage");
    }
    restore(&store, KEY).unwrap();
    let rules = rules();
    let refused = |store: &MemoryStore, what: &str| {
        let options = Options::default();
        match Engine::restore(Arc::clone(&rules), Bands::default(), options, KEY, store) {
            Err(RestoreError::Store(_) | RestoreError::Empty) => {}
            other => panic!("{what}: {:?}", other.map(|_| "restored")),
        }
    };
    let config = ProptestConfig::with_cases(300);
    proptest!(config, |(at in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), bit in 0u8..8, how in 0u8..4)| {
        let (space, key, value) = &all[at.index(all.len())];
        let mut damaged = store.clone();
        let at = byte.index(value.len());
        let mut other = value.clone();
        match how {
            0 => other[at] ^= 1 << bit,
            1 => other.truncate(at),
            2 => other.extend_from_slice(&value[at..]),
            _ => {
                damaged.delete(*space, key);
                let mut elsewhere = key.clone();
                elsewhere[0] ^= 1 << bit;
                damaged.put(*space, &elsewhere, value);
            }
        }
        if how < 3 {
            damaged.put(*space, key, &other);
        }
        refused(&damaged, &format!("{space:?} {how}"));
    });
    for space in spaces {
        let (_, key, _) = all.iter().find(|(of, ..)| *of == space).unwrap();
        let mut damaged = store.clone();
        damaged.delete(space, key);
        refused(&damaged, &format!("one of {space:?} is gone"));
    }
}

#[test]
fn another_key_and_nothing_are_told_apart() {
    let store = saved();
    assert!(matches!(restore(&MemoryStore::new(), KEY), Err(RestoreError::Empty)));
    assert!(matches!(restore(&store, HashKey::new([1; 16])), Err(RestoreError::Key)));
}
