//! `replay` from the outside: late, repeated and refused events, equal bytes, exit codes.

#![expect(clippy::expect_used, reason = "what helps a test stops it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const NOW: &str = "2026-03-01T10:27:00Z";

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn walletwatch(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_walletwatch")).args(args).output().expect("the binary runs")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn lines(path: &Path) -> Vec<Value> {
    text(path).lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

/// Replays the late events into a folder.
fn replay_late(folder: &Path) {
    let out = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let done = walletwatch(&[
        "replay",
        &data("late/events.ndjson").to_string_lossy(),
        "--rules",
        &data("late/rules").to_string_lossy(),
        "--now",
        NOW,
        "--alerts",
        &out("alerts"),
        "--findings",
        &out("findings"),
        "--rejected",
        &out("rejected"),
        "--summary",
        &out("summary"),
    ]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn late_repeated_and_refused_events_find_what_was_worked_out_on_paper() {
    let folder = tempfile::tempdir().expect("a folder");
    replay_late(folder.path());
    let keys = ["event", "rule", "outcome"];
    let shown = |finding: &Value| keys.map(|key| finding[key].as_str().unwrap_or_default().to_owned());
    let found: Vec<_> = lines(&folder.path().join("findings")).iter().map(shown).collect();
    let expected: Vec<_> = lines(&data("late/expected.ndjson")).iter().map(shown).collect();
    assert_eq!(found, expected);
    let rejected: Vec<_> = lines(&folder.path().join("rejected"))
        .iter()
        .map(|line| (line["line"].as_i64().unwrap(), line["reason"].as_str().unwrap().to_owned()))
        .collect();
    let reasons = [(17, "missing_field"), (18, "not_json"), (19, "time_in_future")];
    assert_eq!(rejected, reasons.map(|(line, reason)| (line, reason.to_owned())));
    let summary = &lines(&folder.path().join("summary"))[0];
    let counts = ["records", "accepted", "duplicates", "late", "rejected"].map(|key| summary[key].as_u64().unwrap());
    assert_eq!(counts, [22, 18, 1, 1, 3]);
}

#[test]
fn twice_gives_the_same_bytes() {
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    replay_late(one.path());
    replay_late(two.path());
    for name in ["alerts", "findings", "rejected", "summary"] {
        assert_eq!(text(&one.path().join(name)), text(&two.path().join(name)), "{name}");
    }
}

#[test]
fn a_generated_day_through_the_shipped_rules_gives_the_same_alerts_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let made = walletwatch(&["generate", "--events", "20000", "--seed", "3", "--out", &path("events")]);
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    for name in ["one", "two"] {
        let done = walletwatch(&["replay", &path("events"), "--alerts", &path(name)]);
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let (one, two) = (text(&folder.path().join("one")), text(&folder.path().join("two")));
    assert_eq!(one, two);
    let alerts = lines(&folder.path().join("one"));
    assert!(!alerts.is_empty(), "planted attacks are told");
    for alert in alerts {
        let event = alert["event"].as_object().expect("the event");
        for personal in ["login_name", "user_agent", "contact", "old"] {
            assert!(!event.contains_key(personal), "{personal} is personal");
        }
        assert_eq!((alert["kind"].as_str(), alert["schema"].as_u64()), (Some("alert"), Some(1)));
    }
}

#[test]
fn failures_have_their_exit_codes() {
    let events = data("late/events.ndjson").to_string_lossy().into_owned();
    let bad_rules = data("rules/errors").to_string_lossy().into_owned();
    for (args, code) in [
        (vec!["replay", "no-such-file"], 66),
        (vec!["replay", &events, "--rules", "no-such-folder"], 66),
        (vec!["replay", &events, "--geo", "no-such-file"], 66),
        (vec!["replay", &events, "--geo", &events], 65),
        (vec!["replay", &events, "--rules", &bad_rules], 78),
        (vec!["replay", &events, "--alerts", "/dev/null/none"], 74),
        (vec!["replay", &events, "--now", "yesterday"], 64),
        (vec!["replay", &events, "--alerts", "-", "--findings", "-"], 64),
        (vec!["replay"], 64),
    ] {
        let done = walletwatch(&args);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        assert!(!done.stderr.is_empty(), "{args:?} says why");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let events = data("late/events.ndjson").to_string_lossy().into_owned();
    let done = walletwatch(&["replay", &events, "--summary", "/dev/full"]);
    assert_eq!(done.status.code(), Some(74), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn what_is_read_is_never_written_nor_one_file_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let events = text(&data("late/events.ndjson"));
    std::fs::write(path("in"), &events).expect("written");
    std::fs::hard_link(path("in"), path("hard")).expect("a link");
    std::os::unix::fs::symlink(path("in"), path("soft")).expect("a link");
    std::fs::create_dir(path("sub")).expect("a folder");
    let (input, new) = (path("in"), path("new"));
    let dotted = path("sub/../in");
    for output in [&input, &path("hard"), &path("soft"), &dotted] {
        for option in ["--alerts", "--findings", "--rejected", "--summary"] {
            let done = walletwatch(&["replay", &input, option, output]);
            assert_eq!(done.status.code(), Some(64), "{option} {output}");
            assert!(String::from_utf8_lossy(&done.stderr).contains("is what is read"), "{option} {output}");
            assert_eq!(text(&folder.path().join("in")), events, "{option} {output}");
        }
    }
    let done = walletwatch(&["replay", &input, "--alerts", &new, "--summary", &path("sub/../new")]);
    assert_eq!(done.status.code(), Some(64), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(!Path::new(&new).exists());
    let done = walletwatch(&["replay", &input, "--alerts", "/dev/null", "--findings", "/dev/null", "--summary", &new]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
}
