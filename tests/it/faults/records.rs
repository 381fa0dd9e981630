//! Records that are wrong, repeated, out of order, or from clocks that are: each is counted or kept as a dead letter, and
//! everybody else's alerts are those of a run without them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Record, Wallet, values};
use crate::kit::kafka::broker;

/// Records of each run.
const RECORDS: u32 = 6_000;
/// Every so many records something is put in between.
const EVERY: usize = 50;
const HOUR_MS: i64 = 3_600_000;
/// The account whose clock is wrong.
const ELSEWHEN: &str = "acc-elsewhen";

fn wallet(name: &str, partitions: i32) -> Wallet {
    let topic = broker().topic(name, partitions);
    Wallet::new(topic, &broker().bootstrap, &broker().bootstrap, "")
}

/// Good records: those of the generator without its malformed ones, which have a test of their own.
fn good(wallet: &Wallet) -> Vec<Record> {
    let mut records = wallet.generate(RECORDS);
    let is_good = |record: &Record| {
        let value = record.value.as_deref().unwrap_or_default();
        serde_json::from_slice::<Value>(value).is_ok_and(|event| event["time"].is_string() || event["time"].is_i64())
    };
    records.retain(is_good);
    records
}

/// Puts one of `between` behind every [`EVERY`]th record.
fn mixed(records: &[Record], mut between: impl FnMut(usize, &Record) -> Record) -> Vec<Record> {
    let mut mixed = Vec::with_capacity(records.len() + records.len() / EVERY);
    for (n, record) in records.iter().enumerate() {
        mixed.push(record.clone());
        if n % EVERY == EVERY - 1 {
            mixed.push(between(n / EVERY, record));
        }
    }
    mixed
}

/// The service over these records, which are there when it starts. Returns the summary.
fn run(wallet: &Wallet, records: &[Record]) -> Value {
    wallet.write(records);
    summary(wallet)
}

fn summary(wallet: &Wallet) -> Value {
    let output = wallet.walletwatch(&["run", "--until-end"]);
    crate::kit::service::summary_of(&output.stderr)
}

fn count(summary: &Value, name: &str) -> u64 {
    summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {summary}"))
}

fn time_of(record: &Record) -> i64 {
    let event: Value = serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
    match &event["time"] {
        Value::String(time) => time.parse::<jiff::Timestamp>().expect("a time").as_millisecond(),
        time => time.as_i64().expect("a time"),
    }
}

fn of(record: &Record, value: Vec<u8>) -> Record {
    Record { key: None, value: Some(value), stamp: record.stamp }
}

#[test]
fn poison_null_and_the_largest_value_are_dead_letters_and_harm_no_neighbour() {
    let wallet = wallet("poison", 1);
    let records = good(&wallet);
    // Beside its key and the record's own bytes, a broker takes 1 MiB in a batch.
    let largest = vec![b'x'; 1_000_000];
    let poison: Vec<(&str, Option<Vec<u8>>)> = vec![
        ("no_value", None),
        ("no_value", Some(Vec::new())),
        ("not_utf8", Some(vec![0xff, 0xfe, b'{', b'}'])),
        ("not_json", Some(b"{\"id\":".to_vec())),
        ("not_object", Some(b"[1,2,3]".to_vec())),
        ("too_deep", Some([&b"{\"a\":".repeat(4000)[..], b"1", &b"}".repeat(4000)].concat())),
        ("too_large", Some(largest)),
        ("duplicate_field", Some(br#"{"id":"a","id":"b","type":"login","time":1,"result":"success"}"#.to_vec())),
        ("missing_field", Some(br#"{"id":"a","type":"login","time":1,"account":"x"}"#.to_vec())),
        ("bad_value", Some(br#"{"id":"a","type":"login","time":"soon","account":"x","result":"success"}"#.to_vec())),
        ("unknown_type", Some(br#"{"id":"a","type":"teleport","time":1,"account":"x"}"#.to_vec())),
        ("too_long", Some(format!(r#"{{"id":"{}","type":"logout","time":1,"account":"x"}}"#, "i".repeat(129)).into())),
    ];
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    let all = mixed(&records, |n, record| {
        let (reason, value) = &poison[n % poison.len()];
        *expected.entry(reason).or_default() += 1;
        Record { key: None, value: value.clone(), stamp: record.stamp }
    });
    let summary = run(&wallet, &all);
    let rejected: BTreeMap<String, u64> =
        serde_json::from_str(summary["rejected_by_reason"].as_str().expect("a map")).expect("JSON");
    let rejected: BTreeMap<&str, u64> = rejected.iter().map(|(reason, n)| (reason.as_str(), *n)).collect();
    assert_eq!(rejected, expected);
    assert_eq!(count(&summary, "accepted") + count(&summary, "duplicates"), records.len() as u64);
    let letters = values(&broker().bootstrap, &format!("{}.dead", wallet.topic));
    assert_eq!(letters.len() as u64, expected.values().sum::<u64>());
    wallet.alerts_are_those_of_a_replay(&records);
}

#[test]
fn clocks_an_hour_off_at_zero_and_in_the_year_9999_harm_nobody_else() {
    let wallet = wallet("clocks", 1);
    let records = good(&wallet);
    let all = mixed(&records, |n, record| {
        let now = time_of(record);
        let time = match n % 4 {
            0 => json!(now + HOUR_MS),
            1 => json!(now - HOUR_MS),
            2 => json!("9999-12-31T23:59:59.999Z"),
            _ => json!(0),
        };
        let event = json!({
            "id": format!("elsewhen-{n}"), "type": "login", "time": time, "account": ELSEWHEN, "result": "failure",
            "reason": "wrong_password"
        });
        of(record, event.to_string().into_bytes())
    });
    let between = (all.len() - records.len()) as u64;
    let quarter = |n: u64| (between + 3 - n) / 4;
    let summary = run(&wallet, &all);
    assert_eq!(summary["rejected_by_reason"], json!({"time_in_future": quarter(2)}).to_string());
    let (everything, with_them) = wallet.replay(&all);
    let (expected, clean) = wallet.replay(&records);
    assert!(expected.len() > 3, "nothing to compare");
    // What is late is what a replay finds late: 1970 for sure, and an hour ago where others come often enough. An hour
    // ahead makes nobody else late.
    let late = |summary: &Value| summary["late"].as_u64().expect("a count");
    assert_eq!(count(&summary, "late"), late(&with_them));
    let of_theirs = late(&with_them) - late(&clean);
    assert!((quarter(3)..=quarter(1) + quarter(3)).contains(&of_theirs), "{of_theirs}");
    assert_eq!(wallet.told("alerts"), everything);
    let told = wallet.told("alerts");
    let others: Vec<&Value> = told.iter().filter(|alert| alert["account"] != ELSEWHEN).collect();
    assert_eq!(others, expected.iter().collect::<Vec<_>>());
}

#[test]
fn what_comes_twice_counts_once_and_what_comes_out_of_order_is_what_a_replay_makes_of_it() {
    let wallet = wallet("twice", 1);
    let records = good(&wallet);
    let mut all = mixed(&records, |_, record| record.clone());
    // Neighbours change places, far within what may be late.
    for pair in all.chunks_exact_mut(2).step_by(5) {
        pair.swap(0, 1);
    }
    let repeated = (all.len() - records.len()) as u64;
    let summary = run(&wallet, &all);
    let duplicates = |records: &[Record]| wallet.replay(records).1["duplicates"].as_u64().expect("a count");
    assert_eq!(count(&summary, "duplicates"), duplicates(&all));
    // But for those so late that their time lies before the window of ids.
    let known = count(&summary, "duplicates") - duplicates(&records);
    assert!(known * 10 > repeated * 9, "{known} of {repeated}");
    wallet.alerts_are_those_of_a_replay(&all);
}

#[test]
fn partitions_that_are_idle_hold_nobody_up() {
    let wallet = wallet("idle", 3);
    let records = good(&wallet);
    let service = wallet.start();
    service.is_ready();
    // The other two partitions never see a record: alerts come while the service runs, and are the same.
    wallet.write(&records);
    wallet.has_taken(&service, records.len() as u64);
    service.terminate();
    wallet.alerts_are_those_of_a_replay(&records);
    assert_eq!(wallet.agrees().again, 0, "nothing was told twice");
}
