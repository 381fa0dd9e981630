//! What `state show` says of an entity: every kind, every aggregate, the same of a running engine and of its store.

use std::sync::Arc;

use walletwatch::app::control::whose;
use walletwatch::app::shown::{Source, human};
use walletwatch::detect::{Engine, EntityShown, Input, Options};
use walletwatch::event::Millis;
use walletwatch::features::store::MemoryStore;
use walletwatch::ruleset::{Bands, Ruleset, Sources, load};

use super::twins::{KEY, Told};

/// 2026-03-01T10:00:00Z.
const BEGIN: i64 = 1_772_359_200_000;

fn rules() -> Arc<Ruleset> {
    let mut sources = Sources::new("rules");
    sources.add("every.yaml", include_str!("../../data/rules/every_aggregate.yaml"), None);
    Arc::new(load(&sources, KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}")).ruleset)
}

/// An engine that has seen a person log in and pay, and somebody fail on their account from a network.
fn engine() -> Engine {
    let mut lines = Vec::new();
    let mut event = |minute: i64, rest: &str| {
        let (id, time) = (lines.len(), BEGIN + minute * 60_000);
        lines.push(format!(r#"{{"id":"e{id}","time":{time},"account":"acc-1",{rest}}}"#));
    };
    let home = r#""ip":"2001:db8:1:2::7","device":"dev-1","geo":{"country":"CN","city":"Hangzhou","asn":4134,"network":"mobile"}"#;
    let away = r#""ip":"2001:db8:1:2:ffff::9","device":"dev-9","geo":{"country":"RU","asn":64496,"network":"hosting"}"#;
    for minute in [0, 60, 120, 170] {
        event(minute, &format!(r#""type":"login","result":"success",{home}"#));
    }
    event(171, r#""type":"transfer","status":"completed","amount":"120.50","currency":"CNY","payee":"acc-2""#);
    event(172, r#""type":"transfer","status":"completed","amount":"80.00","currency":"CNY","payee":"acc-3""#);
    event(173, r#""type":"payment","status":"completed","amount":"9.99","currency":"USD""#);
    for minute in [174, 175, 176, 177] {
        event(minute, &format!(r#""type":"login","result":"failure","reason":"wrong_password",{away}"#));
    }
    event(178, r#""type":"sim_changed","contact":{"email":"person@example.com"}"#);
    event(179, r#""type":"password_reset","stage":"completed""#);
    event(180, &format!(r#""type":"login","result":"success",{home}"#));
    let mut engine = Engine::new(rules(), Bands::default(), Options::default(), KEY);
    let inputs = lines.iter().map(|line| Input { lane: 0, value: Some(line.as_bytes()) });
    let mut told = Told::default();
    engine.take(inputs, Millis(i64::MAX / 2), None, &mut told);
    assert!(!told.0.iter().any(|line| line.contains("rejected")), "{told:#?}");
    engine
}

/// What is shown of an entity, which must be the same of the engine and of what it saves.
fn shown(engine: &mut Engine, name: &str, with: Option<&str>) -> Option<EntityShown> {
    let whose = whose(name, with, KEY).unwrap_or_else(|error| panic!("{error}"));
    let running = engine.show(whose);
    let mut fresh = self::engine();
    let mut store = MemoryStore::new();
    fresh.save(&mut store);
    let stored = Engine::show_stored(&rules(), &Options::default(), KEY, whose, &store);
    assert_eq!(running, stored.unwrap_or_else(|error| panic!("{error}")), "{name}");
    running
}

#[test]
fn an_account_reads_as_people_ask_for_it() {
    let mut engine = engine();
    let found = shown(&mut engine, "account:acc-1", None);
    insta::assert_snapshot!("account", human("account:acc-1", Source::Running, found.as_ref()));
    let found = shown(&mut engine, "account:acc-1", Some("device:dev-9"));
    insta::assert_snapshot!("account_with_device", human("account:acc-1", Source::Checkpoint(7), found.as_ref()));
    insta::assert_snapshot!("account_json", format!("{:#}", serde_json::json!(found)));
}

#[test]
fn every_kind_of_entity_is_found_by_its_name() {
    let mut engine = engine();
    let names = [
        "ip:2001:db8:1:2::",
        "ip:2001:db8:1:2:aaaa::1",
        "device:dev-9",
        "payee:acc-2",
        "asn:64496",
        "country:cn",
        "all",
    ];
    let mut text = String::new();
    for name in names {
        let found = shown(&mut engine, name, None);
        text.push_str(&human(name, Source::Running, found.as_ref()));
        text.push('\n');
    }
    for name in ["account:acc-9", "ip:2001:db8:1:3::", "login_name:x", "session:s", "client:c", "app_version:1"] {
        let found = shown(&mut engine, name, None);
        assert_eq!(found, None, "{name}");
        text.push_str(&human(name, Source::Checkpoint(3), None));
    }
    insta::assert_snapshot!("kinds", text);
}

#[test]
fn what_is_shown_of_an_entity_changes_nothing() {
    let (mut asked, unasked) = (engine(), engine());
    for name in ["account:acc-1", "ip:2001:db8:1:2::", "all", "device:nobody"] {
        shown(&mut asked, name, None);
    }
    assert_eq!(asked.digest(), unasked.digest());
}
