//! Entities that leave memory for a store: whole profiles of events, a store that says something else than was saved,
//! and one that cannot be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use walletwatch::detect::{Engine, Input, Options};
use walletwatch::event::Millis;
use walletwatch::features::NO_CEILING;
use walletwatch::features::store::{MemoryStore, Space, StoreError, Stored, Take};
use walletwatch::ruleset::{Bands, KeyField};
use walletwatch::sim::Profile;

use super::pack::{lines, pack, pack_and_w3, run, w3};
use super::twins::{KEY, SharedStore, Told, Twins};
use crate::differential::make::Dice;

#[test]
fn the_pack_over_a_wallet_of_which_most_is_elsewhere() {
    let lines = lines(Profile::Wallet, 20_000);
    let options = Options { findings: true, state_resident_max_bytes: 400_000, ..Options::default() };
    let mut twins = Twins::leaving(pack(), options);
    let (mut dice, other) = (Dice::new(3), pack_and_w3());
    let mut away = 0;
    run(&mut twins, &lines, 300, |twins, at| {
        twins.rest();
        twins.send_away(100_000, usize::MAX, at % 3 == 0);
        away = away.max(twins.stopped.residence(KeyField::Account).away);
        match dice.below(10) {
            0..=3 => twins.save(),
            4 => twins.stop(),
            5 => twins.crash(&twins.rules.clone()),
            6 if at % 2 == 0 => twins.stop_and_swap(Arc::clone(&other)),
            6 => twins.stop_and_swap(pack()),
            _ => return,
        }
        if at % 5 == 0 {
            twins.assert_same(&format!("batch {at}"));
        }
    });
    twins.stop();
    twins.assert_same("the end");
    assert!(away > 500, "{away} accounts were elsewhere");
    assert!(twins.expected.0.iter().any(|line| line.contains(" alert ")));
    let [left, came_back] = twins.moves;
    assert!(left > 5000 && came_back > 5000, "{left} left, {came_back} came back");
}

#[test]
fn a_hundred_thousand_events_of_which_a_tenth_of_the_accounts_is_in_memory() {
    let lines = lines(Profile::W3, 100_000);
    let options = Options { entities_max: 9000, state_resident_max_bytes: 3_000_000, ..Options::default() };
    let mut twins = Twins::leaving(w3(), options);
    run(&mut twins, &lines, 1024, |twins, at| {
        match at % 7 {
            0 | 3 => twins.save(),
            2 => twins.stop(),
            4 => twins.crash(&w3()),
            _ => {}
        }
        twins.rest();
        twins.send_away(300_000, usize::MAX, true);
    });
    twins.stop();
    twins.assert_same("the end");
    assert!(twins.moves[1] > 30_000, "{:?} left and came back", twins.moves);
}

/// Until it is told otherwise it says what was saved.
#[derive(Clone)]
struct Faulty {
    store: SharedStore,
    before: MemoryStore,
    how: Fault,
    is_on: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It says what was saved before.
    Old,
    /// It says that there is nothing.
    Nothing,
    /// It says another entity's value.
    Others,
    /// The disk fails.
    Disk,
}

impl Stored for Faulty {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.is_on.load(Ordering::Relaxed) {
            return self.store.get(space, key);
        }
        match self.how {
            Fault::Old => self.before.get(space, key),
            Fault::Nothing => Ok(None),
            Fault::Others => {
                let mut other = None;
                self.before.each(space, &mut |found, value| {
                    other = if found == key { other.take() } else { Some(value.to_vec()) };
                    Ok(())
                })?;
                Ok(other)
            }
            Fault::Disk => Err(StoreError::Poisoned("the disk fails".to_owned())),
        }
    }

    fn each(&self, space: Space, take: Take<'_>) -> Result<(), StoreError> {
        self.store.get(Space::Meta, b"")?;
        self.store.each(space, take)
    }
}

fn login(n: usize, account: &str) -> String {
    let time = 1_772_408_400_000 + n as i64 * 1000;
    format!(
        r#"{{"id":"e{n}","type":"login","result":"failure","reason":"wrong_password","time":{time},"account":"{account}","ip":"203.0.113.{}"}}"#,
        n % 250
    )
}

fn take(engine: &mut Engine, told: &mut Told, lines: &[String]) {
    let inputs = lines.iter().map(|line| Input { lane: 0, value: Some(line.as_bytes()) });
    engine.take(inputs, Millis(i64::MAX / 2), None, told);
}

/// An account with so many failed logins, of which all but the first come after the first save, leaves; what is told of
/// six more of its events.
fn told_after(how: Option<Fault>) -> (Vec<String>, Result<(), StoreError>) {
    let options = Options { state_memory_max_bytes: NO_CEILING, ..Options::default() };
    let mut engine = Engine::new(w3(), Bands::default(), options, KEY);
    let store = SharedStore::default();
    let mut told = Told::default();
    take(&mut engine, &mut told, &[login(0, "victim"), login(1, "other")]);
    let mut values = MemoryStore::new();
    engine.save(&mut values);
    let before = values.clone();
    take(&mut engine, &mut told, &(2..6).map(|n| login(n, "victim")).collect::<Vec<_>>());
    engine.save(&mut values);
    store.set(values);
    let is_on = Arc::new(AtomicBool::new(false));
    let faulty = Faulty { store, before, how: how.unwrap_or(Fault::Old), is_on: Arc::clone(&is_on) };
    engine.keep_in(Arc::new(faulty));
    engine.at_rest();
    assert_eq!(engine.send_away(0, usize::MAX, true), 8, "two accounts, six addresses");
    assert_eq!(engine.residence(KeyField::Account).away, 2);
    is_on.store(how.is_some(), Ordering::Relaxed);
    told.0.clear();
    take(&mut engine, &mut told, &[login(6, "victim"), login(7, "victim")]);
    (told.0, engine.check())
}

#[test]
fn an_account_that_comes_back_is_found_as_if_it_had_never_left() {
    let (told, check) = told_after(None);
    check.expect("all could be read");
    assert!(told.iter().any(|line| line.contains(" alert ")), "{told:#?}");
}

#[test]
fn what_cannot_be_read_back_stops_the_engine_and_tells_nothing() {
    for (how, why) in [
        (Fault::Old, "its size"),
        (Fault::Nothing, "is not there, though its entity left memory"),
        (Fault::Others, "its checksum is wrong"),
        (Fault::Disk, "the disk fails"),
    ] {
        let (told, check) = told_after(Some(how));
        let error = check.expect_err("it failed").to_string();
        assert!(error.contains(why), "{how:?}: {error}");
        assert!(!told.iter().any(|line| line.contains(" alert ")), "{how:?}: {told:#?}");
        assert!(!told.iter().any(|line| line.contains("accepted e7")), "{how:?}: nothing after it: {told:#?}");
    }
}
