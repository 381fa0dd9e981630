//! What was logged since the last checkpoint, taken again by a start with other rules or another mapping: as it was
//! decided then, and counted as replayed; what comes behind it is decided with what is in force now.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{BACK_WITHIN, Record, Wallet};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// 2026-03-01T10:00:00Z.
const BEGIN: i64 = 1_772_359_200_000;
/// The rule fires at the eighth of these.
const FAILURES: i64 = 9;

fn rules(score: u32) -> String {
    let text = include_str!("../../data/run/rules/guessing.yaml");
    assert!(text.contains("score: 75"), "the score to change");
    text.replace("score: 75", &format!("score: {score}"))
}

fn event(account: &str, n: i64) -> String {
    let time = BEGIN + n * 1000;
    format!(
        r#"{{"id":"f-{account}-{n}","type":"login","time":{time},"account":"{account}","result":"failure","reason":"wrong_password"}}"#
    )
}

fn failures(account: &str, of: impl Fn(String) -> String) -> Vec<Record> {
    let record = |n| Record { key: None, value: Some(of(event(account, n)).into_bytes()), stamp: BEGIN };
    (0..FAILURES).map(record).collect()
}

/// Takes the records, and is killed before a checkpoint covers them.
fn killed_behind(wallet: &Wallet, records: &[Record]) {
    let service = wallet.start();
    wallet.write(records);
    wallet.has_taken(&service, records.len() as u64);
    service.signal("KILL");
}

fn replayed(service: &Running, what: &str) -> u64 {
    let series = format!("walletwatch_replayed_total{{what=\"{what}\"}}");
    service.scrape().and_then(|scrape| scrape.get(&series).copied()).unwrap_or_default() as u64
}

fn says(service: &Running, text: &str) -> bool {
    service.log().iter().any(|line| line["message"].as_str().is_some_and(|message| message.contains(text)))
}

/// The scores that each account's alert was told with, by account.
fn scores(wallet: &Wallet) -> BTreeMap<String, Vec<u64>> {
    let mut scores: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut whole: BTreeMap<String, Value> = BTreeMap::new();
    for alert in wallet.told("alerts") {
        let account = alert["account"].as_str().expect("an account").to_owned();
        scores.entry(account).or_default().push(alert["score"].as_u64().expect("a score"));
        let before = whole.insert(alert["id"].to_string(), alert.clone());
        assert!(before.is_none_or(|before| before == alert), "an alert came again as another one: {alert}");
    }
    scores
}

#[test]
fn a_start_with_other_rules_takes_again_what_was_logged_as_it_was_decided() {
    let broker = broker();
    let more = "[rules]\npack = \"none\"\ndirectory = \"rules\"\n";
    let wallet = Wallet::new(broker.topic("otherrules", 1), &broker.bootstrap, &broker.bootstrap, more);
    let folder = wallet.folder.path();
    let write_rules = |score| fs::write(folder.join("rules/guessing.yaml"), rules(score)).expect("written");
    fs::create_dir(folder.join("rules")).expect("a folder");
    write_rules(75);
    let first: Vec<Record> = ["a", "b"].into_iter().flat_map(|account| failures(account, |event| event)).collect();
    killed_behind(&wallet, &first);

    write_rules(80);
    let service = wallet.start();
    wallet.write(&failures("c", |event| event));
    wallet.has_taken(&service, FAILURES as u64);
    let again = first.len() as u64;
    let counts = ["records", "alerts", "contacts", "dead_letters"].map(|what| replayed(&service, what));
    assert_eq!(counts, [again, 2, 0, 0], "in no other count: {:#?}", service.scrape());
    assert_eq!(wallet.taken(&service), Some(FAILURES as u64), "live ones only");
    assert!(
        !says(&service, "is decided again with the new ones") && says(&service, "rules swapped"),
        "{:#?}",
        service.log()
    );
    service.signal("KILL");
    let told = scores(&wallet);
    assert_eq!((&told["a"][0], told["a"].last(), &told["c"]), (&75, Some(&75), &vec![80]), "{told:?}");

    // Without the copies it is told that they are decided otherwise.
    fs::remove_dir_all(folder.join("state/last-good-rules")).expect("copies");
    write_rules(85);
    let service = wallet.start();
    wait_until("everything is taken again", BACK_WITHIN, || (replayed(&service, "records") > 0).then_some(()));
    assert!(says(&service, "is decided again with the new ones"), "{:#?}", service.log());
    wallet.has_caught_up(&service);
    service.terminate();
}

fn mapping(account: &str) -> String {
    format!(
        "version: 1\nname: enveloped\nrecords:\n  - when: [{{/data: {{is: present}}}}]\n    event: [/data]\n    fields:\n      account: {account}\n"
    )
}

#[test]
fn a_start_with_another_mapping_takes_again_what_was_logged_as_it_was_read() {
    let broker = broker();
    let topic = broker.topic("othermapping", 1);
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/run/rules");
    let more = format!(
        "[kafka.mappings]\n\"{topic}\" = \"enveloped.yaml\"\n[rules]\npack = \"none\"\ndirectory = {:?}\n",
        rules.display().to_string()
    );
    let wallet = Wallet::new(topic, &broker.bootstrap, &broker.bootstrap, &more);
    let folder = wallet.folder.path();
    let enveloped = |event: String| format!(r#"{{"data":{event}}}"#);
    fs::write(folder.join("enveloped.yaml"), mapping("/data/account")).expect("written");
    killed_behind(&wallet, &failures("a", enveloped));

    fs::write(folder.join("enveloped.yaml"), mapping("{join: [\"new-\", /data/account]}")).expect("written");
    let service = wallet.start();
    wallet.write(&failures("b", enveloped));
    wallet.has_taken(&service, FAILURES as u64);
    assert_eq!(replayed(&service, "records"), FAILURES as u64);
    assert!(!says(&service, "is decided again with the new ones"), "{:#?}", service.log());
    service.terminate();
    let told = scores(&wallet);
    assert_eq!(told.keys().collect::<Vec<_>>(), ["a", "new-b"], "{told:?}");
}
