//! The shipped pack over a generated wallet: more accounts than are kept, stops all along.

use std::sync::Arc;

use walletwatch::detect::Options;
use walletwatch::event::Millis;
use walletwatch::ruleset::{KeyField, Ruleset, Sources, load};
use walletwatch::sim::{Generator, Plan, Profile};

use super::twins::{KEY, Step, Twins};
use crate::differential::make::Dice;

pub fn pack() -> Arc<Ruleset> {
    let loaded = load(&Sources::builtin(), KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Arc::new(loaded.ruleset)
}

pub fn w3() -> Arc<Ruleset> {
    let mut sources = Sources::new("rules");
    sources.add("w3.yaml", include_str!("../../data/rules/w3/w3.yaml"), None);
    Arc::new(load(&sources, KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}")).ruleset)
}

/// The pack with its pairs of rules beside it.
pub fn pack_and_w3() -> Arc<Ruleset> {
    let mut sources = Sources::builtin();
    sources.add("w3.yaml", include_str!("../../data/rules/w3/w3.yaml"), None);
    Arc::new(load(&sources, KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}")).ruleset)
}

pub fn lines(profile: Profile, events: u64) -> Vec<Vec<u8>> {
    let mut generator = Generator::new(&Plan::new(events, 5, profile)).expect("a good plan");
    let mut lines = Vec::new();
    while let Some(record) = generator.next_record().expect("a record") {
        lines.push(record.value.to_vec());
    }
    lines
}

/// Runs both over the lines; `turn` says what happens after each batch.
pub fn run(twins: &mut Twins, lines: &[Vec<u8>], batch: usize, mut turn: impl FnMut(&mut Twins, usize)) {
    for (at, batch) in lines.chunks(batch).enumerate() {
        let lanes = batch.iter().map(|line| (u16::from(line.len() % 2 == 0), line.clone())).collect();
        twins.step(Step::Take(Millis(i64::MAX / 2), vec![at % 5 == 0, false], lanes));
        turn(twins, at);
    }
}

#[test]
fn the_pack_over_a_wallet_is_stopped_and_goes_on() {
    let lines = lines(Profile::Wallet, 20_000);
    let options = Options {
        findings: true,
        entities_max: 400,
        event_ids_max: 3000,
        state_memory_max_bytes: 450_000,
        ..Options::default()
    };
    let mut twins = Twins::new(pack(), options);
    let (mut dice, other) = (Dice::new(2), pack_and_w3());
    run(&mut twins, &lines, 300, |twins, at| {
        match dice.below(10) {
            0 | 1 => twins.save(),
            2 => twins.stop(),
            3 => twins.crash(&twins.rules.clone()),
            4 if at % 2 == 0 => twins.stop_and_swap(Arc::clone(&other)),
            4 => twins.stop_and_swap(pack()),
            _ => return,
        }
        if at % 3 == 0 {
            twins.assert_same(&format!("batch {at}"));
        }
    });
    twins.stop();
    twins.assert_same("the end");
    assert!(
        twins.steady.forgotten(KeyField::Account) > 100 && twins.steady.accounted_bytes() > 400_000,
        "the limits were reached"
    );
    assert!(twins.expected.0.iter().any(|line| line.contains(" alert ")));
}

#[test]
fn a_hundred_thousand_events_under_velocity_rules() {
    let lines = lines(Profile::W3, 100_000);
    let mut twins = Twins::new(w3(), Options { entities_max: 9000, ..Options::default() });
    run(&mut twins, &lines, 1024, |twins, at| match at % 7 {
        2 => twins.stop(),
        4 => twins.crash(&w3()),
        _ => {}
    });
    twins.stop();
    twins.assert_same("the end");
    assert_eq!(twins.steady.entities(KeyField::Account), 9000, "the limit was reached");
}
