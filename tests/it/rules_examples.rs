//! The examples that `rules … --help` shows run as they stand on the shipped pack: what a team pastes first works.
//!
//! Guarantees: every example of every command is run in a folder that holds a copy of the pack and the files that the
//! examples name. Left out is `rules mutate` over the whole pack alone: it takes minutes, and CI runs it by itself.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Events of the recording that the examples read.
const EVENTS: &str = "2000";

fn walletwatch(folder: &Path, words: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_walletwatch"))
        .args(words)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    // A command that does not read it may have ended.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn done(folder: &Path, words: &[&str]) -> String {
    let output = walletwatch(folder, words, "");
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder with copies of the pack, a recording with its truth, and an event.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("main")).expect("a folder");
    for copy in ["rules", "etc-rules", "main/rules", "before", "rules-of-main"] {
        done(folder.path(), &["rules", "eject", copy]);
    }
    done(
        folder.path(),
        &["generate", "--events", EVENTS, "--out", "events.ndjson", "--truth", "truth.ndjson", "--no-progress"],
    );
    fs::copy(at("events.ndjson"), at("yesterday.ndjson")).expect("copied");
    let login = r#"{"id":"now","type":"login","time":"2026-03-01T11:00:00Z","account":"a1","result":"success"}"#;
    fs::write(at("login.json"), login).expect("written");
    let city = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/geo/world-city.mmdb");
    fs::copy(city, at("GeoLite2-City.mmdb")).expect("copied");
    folder
}

/// The lines of `Examples:` in a help.
fn examples(help: &str) -> Vec<String> {
    let told = help.split("\nExample").nth(1).unwrap_or_default();
    told.lines().skip(1).filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect()
}

/// The commands that a help lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
    let named = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_example_of_a_help_runs_on_the_shipped_pack() {
    let folder = folder();
    let help = done(folder.path(), &["rules", "--help"]);
    let commands = commands(&help);
    assert!(commands.len() >= 13, "{commands:?}");
    let mut all = examples(&help);
    for command in &commands {
        let told = examples(&done(folder.path(), &["rules", command, "--help"]));
        assert!(!told.is_empty(), "{command}");
        all.extend(told);
    }
    let events = fs::read_to_string(folder.path().join("events.ndjson")).expect("events");
    for example in all.iter().filter(|example| *example != "walletwatch rules mutate") {
        let is_eject = example.contains(" eject ");
        let here = example
            .replace("/etc/walletwatch/rules", if is_eject { "fresh" } else { "etc-rules" })
            .replace("../main/rules", "main/rules");
        let words: Vec<&str> = here.split(" > ").next().unwrap_or_default().split_whitespace().skip(1).collect();
        let stdin = match words.get(1) {
            Some(&"fmt") => "version: 1\n",
            Some(&"explain") => events.lines().next().unwrap_or_default(),
            _ => &events,
        };
        let output = walletwatch(folder.path(), &words, stdin);
        assert!(output.status.success(), "{example}: {output:?}");
    }
}

#[test]
fn a_param_that_is_none_is_told_with_those_of_its_rule() {
    let folder = folder();
    let told = |param: &str| {
        let words = ["rules", "sweep", "--param", param, "--events", "events.ndjson"];
        let output = walletwatch(folder.path(), &words, "");
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = told("impossible-travel.kmhh=600..1400..100");
    assert!(said.contains("its rule has impossible-travel.far_km, impossible-travel.kmh; did you mean"), "{said}");
    let said = told("impossible-travel.something=1..2");
    assert!(said.contains("its rule has impossible-travel.far_km, impossible-travel.kmh"), "{said}");
    assert!(told("nothing-of-it.x=1..2").contains("there is no rule `nothing-of-it` with params"));
}
