//! The ceiling of memory under keys that an attacker invents.

use std::sync::Arc;

use walletwatch::detect::{Engine, Input, Options};
use walletwatch::event::Millis;
use walletwatch::ruleset::{Bands, KeyField, Ruleset, Sources, load};

use super::pack::w3;
use super::twins::{KEY, Told};

const CEILING_BYTES: usize = 4 << 20;
const INVENTED: usize = 120_000;
/// Of so many invented addresses comes one attempt of the spray.
const SPRAY_EVERY: usize = 1000;
const START_MS: i64 = 1_772_408_400_000;

fn login(at: usize, account: &str, ip: &str) -> String {
    let time = START_MS + at as i64 * 10;
    format!(
        r#"{{"id":"e{at}","type":"login","result":"failure","reason":"wrong_password","time":{time},"account":"{account}","ip":"{ip}"}}"#
    )
}

#[test]
fn a_flood_of_invented_addresses_stays_under_the_ceiling_and_hides_no_spray() {
    let options = Options { state_memory_max_bytes: CEILING_BYTES, ..Options::default() };
    let mut engine = Engine::new(w3(), Bands::default(), options, KEY);
    let mut told = Told::default();
    let invented = |n: usize| format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
    for batch in 0..INVENTED / 100 {
        let lines: Vec<String> = (batch * 100..batch * 100 + 100)
            .map(|at| match at % SPRAY_EVERY {
                0 => login(at, &format!("victim-{}", at / SPRAY_EVERY), "203.0.113.9"),
                // Whoever floods tries few accounts, or guessing them would be found.
                _ => login(at, &format!("known-{}", at % 50_000), &invented(at)),
            })
            .collect();
        engine.take(
            lines.iter().map(|line| Input { lane: 0, value: Some(line.as_bytes()) }),
            Millis(i64::MAX / 2),
            None,
            &mut told,
        );
        assert!(engine.accounted_bytes() <= CEILING_BYTES, "{} after batch {batch}", engine.accounted_bytes());
    }
    assert!(engine.went(KeyField::Ip).forgotten() > 50_000, "{} addresses went", engine.went(KeyField::Ip).forgotten());
    let spray = told.0.iter().filter(|line| line.contains(" alert ") && line.contains("203.0.113.9"));
    assert!(spray.count() > 0, "the spray is found");
    assert!(told.0.iter().any(|line| line.contains("w3-accounts-per-address")));
}

#[test]
fn who_came_again_outlives_who_came_once() {
    let options = Options { entities_max: 1000, ..Options::default() };
    let mut engine = Engine::new(w3(), Bands::default(), options, KEY);
    let mut told = Told::default();
    let mut take = |engine: &mut Engine, lines: Vec<String>| {
        let inputs = lines.iter().map(|line| Input { lane: 0, value: Some(line.as_bytes()) });
        engine.take(inputs, Millis(i64::MAX / 2), None, &mut told);
    };
    // Six failed logins of an account are told; five of each of these come before the flood, the sixth after it.
    let of = |n: usize, at: usize| login(at, &format!("again-{n}"), "203.0.113.1");
    take(&mut engine, (0..2500).map(|at| of(at % 500, at)).collect());
    take(&mut engine, (0..20_000).map(|n| login(3000 + n, &format!("once-{n}"), "203.0.113.2")).collect());
    take(&mut engine, (0..500).map(|n| of(n, 30_000 + n)).collect());
    let found = told
        .0
        .iter()
        .filter(|line| line.contains(" alert ") && line.contains("again-") && line.contains("w3-failed-logins"))
        .count();
    assert_eq!(found, 500, "nobody who came again was forgotten");
}

/// A sequence that everybody begins and nobody goes on with, and one that waits for what does not follow.
const SEQUENCES: &str = r#"
  - id: begun
    title: t
    sequence: {by: account, within: 89d, steps: [{on: password_reset, as: r}, {on: [login, transfer], where: session == r.session}]}
    explain: "{r.session}"
    tests: [{name: t, given: {type: login, account: a, result: success}, events: [{expect: fire}, {expect: quiet}]}]
  - id: waiting
    title: t
    sequence: {by: account, within: 1h, steps: [{on: password_reset, as: r}], absent: [{on: login, where: session == r.session, within: 89d}]}
    explain: "{r.session}"
    tests: [{name: t, given: {type: password_reset, account: a, stage: completed}, events: [{expect: fire}, {expect: quiet}]}]
"#;

fn with_sequences() -> Arc<Ruleset> {
    let mut sources = Sources::new("rules");
    sources.add("w3.yaml", format!("{}{SEQUENCES}", include_str!("../../data/rules/w3/w3.yaml")), None);
    Arc::new(load(&sources, KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}")).ruleset)
}

fn flooded(rules: Arc<Ruleset>, line: impl Fn(usize) -> String) -> (Engine, Told) {
    let options = Options { state_memory_max_bytes: CEILING_BYTES, ..Options::default() };
    let mut engine = Engine::new(rules, Bands::default(), options, KEY);
    let mut told = Told::default();
    for first in (0..40_000).step_by(100) {
        let lines: Vec<String> = (first..first + 100).map(&line).collect();
        let inputs = lines.iter().map(|line| Input { lane: 0, value: Some(line.as_bytes()) });
        engine.take(inputs, Millis(i64::MAX / 2), None, &mut told);
        assert!(engine.accounted_bytes() <= CEILING_BYTES, "{:?} after {first}", engine.accounted());
    }
    (engine, told)
}

#[test]
fn chains_that_are_begun_and_that_wait_are_under_the_ceiling() {
    let (engine, _) = flooded(with_sequences(), |at| {
        let time = START_MS + at as i64 * 10;
        format!(
            r#"{{"id":"e{at}","type":"password_reset","stage":"completed","time":{time},"account":"a{at}","session":"session-of-{at}"}}"#
        )
    });
    let accounted = engine.accounted();
    assert!(accounted.sequences > CEILING_BYTES / 2, "they take the room there is: {accounted:?}");
    assert!(engine.sequences_went().once > 40_000, "{:?}", engine.sequences_went());
}

#[test]
fn contacts_take_a_quarter_and_what_is_not_remembered_is_published_all_the_same() {
    let (engine, told) = flooded(w3(), |at| {
        let time = START_MS + at as i64 * 10;
        format!(
            r#"{{"id":"e{at}","type":"login","result":"success","time":{time},"account":"a{at}","contact":{{"email":"somebody-{at}@example.com"}}}}"#
        )
    });
    let accounted = engine.accounted();
    assert!(accounted.contacts <= CEILING_BYTES / 4 && accounted.contacts > CEILING_BYTES / 5, "{accounted:?}");
    assert!(engine.contacts_not_kept() > 30_000, "{} are not remembered", engine.contacts_not_kept());
    assert_eq!(told.0.iter().filter(|line| line.contains(" contact ")).count(), 40_000);
    assert!(accounted.event_ids <= CEILING_BYTES / 6, "{accounted:?}");
    assert!(engine.event_ids_went_early() > 20_000, "{} ids went early", engine.event_ids_went_early());
    assert!(accounted.entities > CEILING_BYTES / 2, "and entities have what is left: {accounted:?}");
}
