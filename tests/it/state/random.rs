//! Rule sets and streams made at random from a seed, caps so small that they are reached, stops anywhere.
//!
//! `WALLETWATCH_STATE=FIRST..END` runs the seeds from FIRST up to END instead of the usual ones.

use std::sync::Arc;

use walletwatch::detect::Options;
use walletwatch::event::Millis;
use walletwatch::features::NO_CEILING;
use walletwatch::ruleset::{Ruleset, Sources, load};

use super::twins::{KEY, Step, Twins};
use crate::differential::make::{self, Dice};
use crate::differential::render;

const SEEDS: std::ops::Range<u64> = 0..400;
const SEEDS_VARIABLE: &str = "WALLETWATCH_STATE";
const START_MS: i64 = 1_772_408_400_000;

fn seeds() -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var(SEEDS_VARIABLE) else { return SEEDS };
    let (first, end) = asked.split_once("..").expect("FIRST..END");
    first.parse().expect("a number")..end.parse().expect("a number")
}

fn rules(seed: u64) -> Arc<Ruleset> {
    let mut sources = Sources::new("rules");
    sources.add("case.yaml", render::rule_file(&make::case(seed).rules), None);
    let loaded = load(&sources, KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Arc::new(loaded.ruleset)
}

/// Two rule sets' definitions in turn: some stay, some go, some come back.
fn rule_sets(seed: u64) -> Vec<Arc<Ruleset>> {
    vec![rules(seed), rules(seed + 7919), rules(seed)]
}

/// The records of a case, and among them what it does not make: contacts, changed SIMs, one-hit accounts and addresses.
fn lines(seed: u64, dice: &mut Dice) -> Vec<Vec<u8>> {
    let case = make::case(seed);
    let mut lines = Vec::new();
    for (at, record) in case.records.iter().enumerate() {
        lines.push(render::line(record).into_bytes());
        if dice.once_in(3) {
            lines.push(other(at, dice).into_bytes());
        }
    }
    lines
}

fn other(at: usize, dice: &mut Dice) -> String {
    let time = START_MS + (at as i64) * 30_000;
    let account = format!("a{}", dice.below(4));
    let own = match dice.below(5) {
        0 => format!(r#""type":"sim_changed","account":"{account}""#),
        1 => format!(
            r#""type":"contact_changed","account":"{account}","field":"email","old":"old{}@example.com","contact":{{"email":"new{}@example.com","locale":"zh-CN"}}"#,
            dice.below(3),
            dice.below(3)
        ),
        2 => format!(
            r#""type":"login","result":"success","account":"{account}","device":"d{}","contact":{{"phone":"+86138{}"}},"geo":{{"country":"CN","city":"Shanghai","asn":{}}}"#,
            dice.below(3),
            dice.below(4),
            dice.below(5)
        ),
        3 => format!(
            r#""type":"login","result":"failure","reason":"wrong_password","account":"once-{at}","ip":"198.18.{}.{}""#,
            dice.below(250),
            dice.below(250)
        ),
        _ => format!(
            r#""type":"transfer","status":"completed","amount":"{}.00","currency":"CNY","account":"{account}","payee":"p{}""#,
            dice.below(90_000),
            dice.below(300)
        ),
    };
    format!(r#"{{"id":"o{at}","time":{time},{own}}}"#)
}

/// Room beside a store: so little that entities stay there as an engine is restored, or that they are forgotten for want of
/// room for their notes; both engines have the same.
fn leaving(dice: &mut Dice) -> Options {
    Options { state_resident_max_bytes: dice.pick(&[NO_CEILING, 1_000_000, 20_000, 3000, 500]), ..options(dice) }
}

fn options(dice: &mut Dice) -> Options {
    Options {
        findings: true,
        entities_max: dice.pick(&[1_000_000, 1_000_000, 30, 11, 4, 1]),
        state_memory_max_bytes: dice.pick(&[NO_CEILING, NO_CEILING, 20_000, 4000, 1]),
        event_ids_max: dice.pick(&[1_000_000, 1_000_000, 40, 5, 1]),
        event_id_window_ms: dice.pick(&[600_000, 600_000, 30_000]),
        ..Options::default()
    }
}

#[test]
fn an_engine_that_is_stopped_anywhere_goes_on_as_if_it_never_was() {
    let (mut restores, mut alerts, mut forgotten) = (0, 0, 0);
    for seed in seeds() {
        let mut dice = Dice::new(seed ^ 0x5eed);
        let sets = rule_sets(seed);
        let options = options(&mut dice);
        let twins = go(seed, &mut dice, &sets, Twins::new(Arc::clone(&sets[0]), options), |_, _| {});
        restores += twins.restores;
        alerts += twins.expected.0.iter().filter(|line| line.contains(" alert ")).count();
        forgotten += twins.steady.counters().sequences_forgotten;
    }
    let cases = (seeds().end - seeds().start) as usize;
    assert!(restores > 2 * cases && alerts > 10 * cases, "{restores} restores, {alerts} alerts: it tests nothing");
    assert!(forgotten as usize > cases / 10, "{forgotten} sequences went for want of room");
}

#[test]
fn entities_that_leave_memory_and_come_back_change_nothing() {
    let (mut left, mut came_back, mut alerts) = (0, 0, 0);
    for seed in seeds() {
        let mut dice = Dice::new(seed ^ 0xc01d);
        let sets = rule_sets(seed);
        let options = leaving(&mut dice);
        let twins = go(seed, &mut dice, &sets, Twins::leaving(Arc::clone(&sets[0]), options), |twins, dice| {
            if dice.once_in(3) {
                twins.save();
            }
            if dice.once_in(2) {
                twins.rest();
            }
            if dice.once_in(2) {
                let (bytes, entities) = (dice.pick(&[0, 0, 500, 3000]), dice.pick(&[1, 3, 20, usize::MAX]));
                twins.send_away(bytes, entities, dice.once_in(2));
            }
        });
        left += twins.moves[0];
        came_back += twins.moves[1];
        alerts += twins.expected.0.iter().filter(|line| line.contains(" alert ")).count();
    }
    let cases = seeds().end - seeds().start;
    assert!(left > 4 * cases && came_back > 4 * cases, "{left} left, {came_back} came back: it tests nothing");
    assert!(alerts as u64 > 10 * cases, "{alerts} alerts");
}

/// Both engines over a case; the one is saved, stopped, crashed at random, and after each batch `turn` is asked.
fn go(
    seed: u64,
    dice: &mut Dice,
    sets: &[Arc<Ruleset>],
    mut twins: Twins,
    mut turn: impl FnMut(&mut Twins, &mut Dice),
) -> Twins {
    let lines = lines(seed, dice);
    let (mut at, mut moment, mut of_save) = (0, START_MS, Arc::clone(&sets[0]));
    let lanes = 1 + dice.below(3);
    while at < lines.len() {
        let many = dice.pick(&[1, 2, 7, 32, 33, 100]).min(lines.len() - at);
        let batch = lines[at..at + many].iter().map(|line| (dice.below(lanes) as u16, line.clone())).collect();
        let at_end = (0..lanes).map(|_| dice.once_in(2)).collect();
        moment += dice.below(90_000) as i64;
        // The future begins far away: what is refused is another test's.
        twins.step(Step::Take(Millis(moment + 86_400_000 * 3650), at_end, batch));
        at += many;
        turn(&mut twins, dice);
        if twins.is_saved() {
            of_save = Arc::clone(&twins.rules);
        }
        match dice.below(12) {
            0..=2 => twins.save(),
            3 | 4 => twins.stop(),
            5 => twins.crash(&of_save),
            6 => twins.step(Step::Swap(dice.pick(sets))),
            7 => {
                of_save = Arc::clone(&twins.rules);
                twins.stop_and_swap(dice.pick(sets));
                twins.assert_same(&format!("seed {seed}, {at} lines, other rules"));
                continue;
            }
            _ => continue,
        }
        turn(&mut twins, dice);
        if twins.is_saved() {
            of_save = Arc::clone(&twins.rules);
        }
        twins.assert_same(&format!("seed {seed}, {at} lines"));
    }
    twins.stop();
    twins.assert_same(&format!("seed {seed}, the end"));
    twins
}
