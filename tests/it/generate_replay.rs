//! The generator's truth against the shipped rules and the production engine: `generate`, then `replay`, as a user
//! would, for several seeds and profiles.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

fn walletwatch(folder: &TempDir, args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    let output = command.args(args).current_dir(folder.path()).output().expect("the binary runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn lines(folder: &TempDir, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.path().join(name)).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn texts(value: &Value) -> BTreeSet<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Generates with these arguments and replays through the shipped pack; the truth, the findings, the summary.
fn replayed(args: &[&str]) -> (Vec<Value>, Vec<Value>, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["--no-progress", "--out", "events", "--truth", "truth"];
    walletwatch(&folder, &[&["generate"], args, &files].concat());
    let geo = ["city", "asn", "anonymous"].map(|name| format!("tests/data/geo/world-{name}.mmdb"));
    let geo = geo.map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name).display().to_string());
    let mut replay = vec!["replay", "events", "--findings", "findings", "--summary", "summary"];
    geo.iter().for_each(|file| replay.extend(["--geo", file]));
    walletwatch(&folder, &replay);
    (lines(&folder, "truth"), lines(&folder, "findings"), lines(&folder, "summary").remove(0))
}

/// Every attack is found by each rule it names, no look-alike by any, nobody else but by the rule about VPNs, and
/// the counts agree to the unit.
fn agree(args: &[&str]) {
    let (mut truth, findings, summary) = replayed(args);
    let totals = truth.pop().expect("totals");
    let number = |of: &Value, name: &str| of[name].as_u64().unwrap_or_else(|| panic!("{name} of {of}"));
    let rejected: BTreeMap<String, u64> = serde_json::from_value(totals["malformed"].clone()).expect("counts");
    assert_eq!(number(&summary, "records"), number(&totals, "events"), "{args:?}");
    assert_eq!(number(&summary, "duplicates"), number(&totals, "duplicates"), "{args:?}");
    assert_eq!(number(&summary, "late"), number(&totals, "late"), "{args:?}");
    assert_eq!(number(&summary, "rejected"), rejected.values().sum::<u64>(), "{args:?}");
    assert_eq!(summary["rejected_by_reason"], totals["malformed"], "{args:?}");

    let mut fired: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for finding in &findings {
        let (event, rule) = (&finding["event"], &finding["rule"]);
        fired.entry(event.as_str().expect("an id")).or_default().insert(rule.as_str().expect("a rule"));
    }
    let mut attacks = 0;
    for scene in &truth {
        let of_scene: BTreeSet<&str> =
            texts(&scene["events"]).iter().filter_map(|id| fired.remove(id)).flatten().collect();
        let expected = texts(&scene["expect"]);
        attacks += u32::from(!expected.is_empty());
        assert!(of_scene.is_superset(&expected), "{args:?}: {} has only {of_scene:?}", scene["kind"]);
        assert!(!expected.is_empty() || of_scene.is_empty(), "{args:?}: {} has {of_scene:?}", scene["kind"]);
    }
    assert!(attacks >= 3, "{args:?}: {attacks} attacks");
    fired.retain(|_, rules| *rules != BTreeSet::from(["anonymiser"]));
    assert!(fired.is_empty(), "{args:?}: ordinary people have {fired:?}");
}

#[test]
fn the_engine_finds_every_attack_and_nothing_else() {
    agree(&["--events", "20000", "--seed", "1"]);
    agree(&["--events", "60000", "--seed", "2", "--first-attack-within", "2h"]);
    agree(&["--events", "100000", "--seed", "3"]);
    agree(&["--events", "60000", "--seed", "4", "--accounts", "30000"]);
}

#[test]
fn the_engine_is_not_misled_by_an_outage() {
    agree(&["--events", "60000", "--seed", "5", "--profile", "outage"]);
    agree(&["--events", "100000", "--seed", "6", "--profile", "outage"]);
}

/// Another beginning, in the middle of a week and of an hour.
#[test]
fn the_engine_finds_them_whenever_the_stream_begins() {
    agree(&["--events", "40000", "--seed", "7", "--start", "2026-06-17T13:37:42Z"]);
}
