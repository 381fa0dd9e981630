//! History out of files before the first start: what it leaves, what it refuses, and how detection begins behind it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Record, Wallet};
use crate::kit::kafka::broker;

/// 2026-03-01T10:00:00Z.
const BEGIN: i64 = 1_772_359_200_000;

/// A failed login of an account so many minutes after the beginning.
fn failure(account: &str, minute: i64) -> String {
    let time = BEGIN + minute * 60_000;
    format!(
        r#"{{"id":"f-{account}-{minute}","type":"login","time":{time},"account":"{account}","result":"failure","reason":"wrong_password","ip":"203.0.113.9","contact":{{"email":"{account}@example.com"}}}}"#
    )
}

fn run(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    let output = command.args(args).current_dir(folder).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn rules() -> String {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/run/rules");
    format!("[rules]\npack = \"none\"\ndirectory = \"{}\"\n", rules.display())
}

/// The value of the one feature of the rules for an account, as `state show` tells it.
fn fails(folder: &Path, account: &str) -> Value {
    let (code, told, said) = run(folder, &["state", "show", &format!("account:{account}"), "--format", "json"]);
    assert_eq!(code, Some(0), "{said}");
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|e| panic!("{e}: {told}"));
    told["state"]["features"][0]["values"][0]["value"].clone()
}

#[test]
fn history_fills_the_windows_and_detection_begins_behind_it_without_counting_twice() {
    let broker = broker();
    let wallet = Wallet::new(broker.topic("backfill", 1), &broker.bootstrap, &broker.bootstrap, &rules());
    let folder = wallet.folder.path();
    // `a` crosses the threshold of eight in the history, `b` comes as far as seven.
    let first: Vec<String> = (0..4).flat_map(|n| [failure("a", n), failure("b", n)]).collect();
    let second: Vec<String> = (4..9).map(|n| failure("a", n)).chain((4..7).map(|n| failure("b", n))).collect();
    fs::write(folder.join("first.ndjson"), first.join("\n")).expect("written");
    fs::write(folder.join("second.ndjson"), second.join("\n")).expect("written");

    let (code, _, said) = run(folder, &["backfill", "first.ndjson", "gone.ndjson"]);
    assert!(code == Some(66) && !folder.join("state/store").exists(), "{said}");
    let (code, told, said) = run(folder, &["backfill", "first.ndjson", "second.ndjson", "--no-progress"]);
    assert_eq!(code, Some(0), "{said}");
    insta::assert_snapshot!("backfill", told);
    assert_eq!(fails(folder, "b"), 7);
    // More may come behind it, nothing before it.
    let older = failure("c", -60);
    fs::write(folder.join("older.ndjson"), &older).expect("written");
    let (code, _, said) = run(folder, &["backfill", "older.ndjson"]);
    assert!(code == Some(65) && said.contains("nothing is counted backwards"), "{code:?} {said}");
    let (code, _, said) = run(folder, &["backfill", "second.ndjson", "--no-progress", "--format", "json"]);
    assert!(code == Some(0), "{said}");
    assert_eq!(fails(folder, "b"), 7, "ids of the last ten minutes are known");

    // The same events stand in Kafka too, and one more of each.
    let all = first.iter().chain(&second).cloned().chain([failure("b", 9), failure("a", 9)]);
    let records: Vec<Record> =
        all.map(|text| Record { key: None, value: Some(text.into_bytes()), stamp: BEGIN }).collect();
    wallet.write(&records);
    let service = wallet.start();
    wallet.has_caught_up(&service);
    assert_eq!(fails(folder, "b"), 8, "each once, asked of the running service");
    let scrape = service.scrape().expect("metrics");
    let count = |series: &str| scrape.get(series).copied().unwrap_or_default();
    assert_eq!(count(r#"walletwatch_events_total{outcome="duplicate",type="login"}"#), 16.0);
    assert_eq!(count(r#"walletwatch_events_total{outcome="accepted",type="login"}"#), 2.0);
    service.terminate();
    let accounts: Vec<String> = wallet.told("alerts").iter().map(|alert| alert["account"].to_string()).collect();
    assert_eq!(accounts, [r#""b""#, r#""a""#], "what nobody heard in the history silences nothing");
    let told = wallet.told("contacts").len();
    assert_eq!(told, 2, "a contact that was in the history is told when it comes");

    let (code, _, said) = run(folder, &["backfill", "second.ndjson"]);
    assert!(code == Some(78) && said.contains("which detection made"), "{code:?} {said}");
}
