//! `rules explain`, `rules fmt` and `rules new` as people call them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use walletwatch::event::{Closed, EventType};

fn walletwatch(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    command.args(words).current_dir(folder).env("NO_COLOR", "1").output().expect("it runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const RULES: &str = r#"version: 1
amounts:
  large: {CNY: 1000}
features:
  known: {first_seen: transfer, where: status == "completed", by: [account, payee], over: 90d}
  last_ok: {last: login, where: result == "success", by: account, over: 30d}
defs:
  new_payee: known.age is missing or known.age < fresh
params: {}
defaults: {state: live, owner: t, severity: low, score: 60, audience: [security], runbook: "https://example.com"}
rules:
  - id: large-to-new
    title: t
    on: transfer
    params:
      fresh: {value: 1h}
    when: |
      amount >= amounts.large and new_payee
      and distance_km(geo, last_ok.geo) > 500 + (geo.accuracy_km ?? 100)   # far
      and not (device == last_ok.device)
    unless:
      - {name: office, when: ip == "198.51.100.7", reason: r, owner: o, expires: 2026-03-02}
    dedup: {by: account, for: 6h}
    explain: "{amount}"
    tests:
      - name: fires
        given: {account: a, result: success, status: requested, payee: p}
        events:
          - {type: login, geo: 0 0, device: d1}
          - {after: 1m, type: transfer, amount: 1000 CNY, geo: 0 50, device: d2, expect: fire}
          - {after: 1m, type: transfer, amount: 1000 CNY, geo: 0 50, device: d2, expect: quiet}
  - id: any-transfer
    title: t
    on: transfer
    when: amount > 1 CNY
    explain: x
    tests:
      - name: fires
        given: {type: transfer, account: a}
        events: [{amount: 2 CNY, expect: fire}, {amount: 1 CNY, expect: quiet}]
"#;

const HISTORY: &str = r#"{"id":"h1","type":"login","time":"2026-03-01T10:00:00Z","account":"a1","result":"success","device":"d1","geo":{"latitude":31.23,"longitude":121.47}}

{"id":"h1","type":"login","time":"2026-03-01T10:00:00Z","account":"a1","result":"success"}
{"id":"h2","type":"nothing"}
"#;

const EVENT: &str = r#"{
  "id": "e1", "type": "transfer", "time": "2026-03-01T11:00:00Z", "account": "a1", "amount": "2500", "currency": "CNY",
  "status": "requested", "payee": "p1", "ip": "198.51.100.7", "device": "d2", "geo": {"latitude": 6.52, "longitude": 3.37}
}
"#;

/// A folder with the rules, a history and an event.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("rules")).expect("a folder");
    let files = [
        ("rules/r.yaml", RULES.replace("params: {}\n", "")),
        ("history.ndjson", HISTORY.to_owned()),
        ("event.json", EVENT.to_owned()),
        ("login.json", HISTORY.lines().next().unwrap_or_default().replace("h1", "h9")),
        ("none.json", "{\"id\":1}".to_owned()),
    ];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

#[test]
fn explain_tells_each_term_with_its_value() {
    let folder = folder();
    let explain = |event: &str, more: &[&str]| {
        let words: Vec<&str> = ["rules", "explain", "--rule", "large-to-new", "--event", event]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        let output = walletwatch(folder.path(), &words);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        format!("{}{}", String::from_utf8_lossy(&output.stderr), out(&output))
    };
    insta::assert_snapshot!(explain("event.json", &["--history", "history.ndjson"]));
    insta::assert_snapshot!(explain("event.json", &["--history", "history.ndjson", "--format", "json"]));
    let repeated = format!("{HISTORY}{}", EVENT.replace('\n', " ").replace("198.51.100.7", "203.0.113.9"));
    fs::write(folder.path().join("more.ndjson"), repeated).expect("written");
    fs::write(
        folder.path().join("again.json"),
        EVENT.replace("e1", "e2").replace("T11", "T12").replace("198.51.100.7", "203.0.113.9"),
    )
    .expect("written");
    insta::assert_snapshot!(explain("again.json", &["--history", "more.ndjson"]));
    insta::assert_snapshot!(explain("event.json", &[]));
    insta::assert_snapshot!(explain("login.json", &[]));
}

#[test]
fn explain_takes_places_from_databases_where_events_lack_them() {
    let folder = folder();
    let rule = r#"version: 1
features:
  last: {last: login, by: account, over: 30d}
defaults: {owner: t, severity: low, score: 60, audience: [security], runbook: "https://example.com", explain: x}
rules:
  - {id: moved, title: t, on: login, when: city == "Lagos" and last.country == "CN"}
"#;
    fs::write(folder.path().join("rules/r.yaml"), rule).expect("written");
    let login = |id: &str, hour: u32, ip: &str| {
        format!(
            r#"{{"id":"{id}","type":"login","time":"2026-03-01T{hour}:00:00Z","account":"a1","result":"success","ip":"{ip}"}}"#
        )
    };
    fs::write(folder.path().join("before.ndjson"), login("h1", 10, "198.18.0.9")).expect("written");
    fs::write(folder.path().join("now.json"), login("e1", 11, "198.19.61.9")).expect("written");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/geo/world-city.mmdb");
    let explain = |geo: &[&str]| {
        let event = ["rules", "explain", "--rule", "moved", "--event", "now.json", "--history", "before.ndjson"];
        out(&walletwatch(folder.path(), &[&event[..], geo].concat()))
    };
    let data = data.to_string_lossy();
    insta::assert_snapshot!(format!("{}\n-- with --geo\n{}", explain(&[]), explain(&["--geo", &data])));
    let missing =
        walletwatch(folder.path(), &["rules", "explain", "--rule", "moved", "--event", "now.json", "--geo", "no"]);
    assert_eq!(missing.status.code(), Some(66));
}

#[test]
fn explain_tells_how_far_the_chains_are() {
    let folder = folder();
    let history = r#"{"id":"s1","type":"password_reset","time":"2026-03-01T10:00:00Z","account":"a1","stage":"completed","via":"sms"}
{"id":"s2","type":"login","time":"2026-03-01T10:05:00Z","account":"a1","result":"success","device":"d9"}
"#;
    fs::write(folder.path().join("chain.ndjson"), history).expect("written");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rules/noticed");
    let explain = |event: &str| {
        fs::write(folder.path().join("now.json"), event).expect("written");
        let rules = data.to_string_lossy().into_owned();
        let words = [
            "rules",
            "explain",
            "--rule",
            "reset-new-device-drain",
            "--event",
            "now.json",
            "--history",
            "chain.ndjson",
        ];
        let words: Vec<&str> = words.into_iter().chain(["--rules", &rules]).collect();
        let output = walletwatch(folder.path(), &words);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        out(&output).replace(&rules, "rules")
    };
    let transfer = EVENT.replace("T11:00", "T10:10").replace("2500", "12000");
    insta::assert_snapshot!(explain(&transfer.replace("\"d2\"", "\"d9\"")));
    insta::assert_snapshot!(explain(&transfer));
}

#[test]
fn explain_ends_as_every_command_does() {
    let folder = folder();
    for (rule, event, code) in
        [("large-to-nw", "event.json", 64), ("large-to-new", "nowhere.json", 66), ("large-to-new", "none.json", 65)]
    {
        let output = walletwatch(folder.path(), &["rules", "explain", "--rule", rule, "--event", event]);
        assert_eq!(output.status.code(), Some(code), "{rule} {event}: {output:?}");
    }
    fs::write(folder.path().join("rules/bad.yaml"), "version: 1\nrules: 3\n").expect("written");
    let output = walletwatch(folder.path(), &["rules", "explain", "--rule", "x", "--event", "event.json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn a_new_rule_of_each_type_is_checked_tested_and_laid_out() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("rules")).expect("a folder");
    let types = EventType::WORDS;
    for word in types {
        let id = format!("new-{}", word.replace('_', "-"));
        let output = walletwatch(folder.path(), &["rules", "new", &id, "--on", word]);
        assert_eq!(output.status.code(), Some(0), "{word}: {output:?}");
    }
    for words in [&["check", "--strict"][..], &["test"], &["fmt", "--check"]] {
        let words: Vec<&str> = ["rules"].iter().chain(words).copied().collect();
        let output = walletwatch(folder.path(), &words);
        assert!(output.status.success(), "{words:?}: {}", out(&output));
    }
    insta::assert_snapshot!(fs::read_to_string(folder.path().join("rules/new-login.yaml")).expect("it is there"));
    for (words, code) in [
        (&["new-login"][..], 64),
        (&["Large"], 64),
        (&["x", "--on", "lgoin"], 64),
        (&["x", "--file", "new-login.yaml"], 64),
        (&["x", "--file", "../r.yaml"], 64),
        (&["x", "--rules", "nowhere"], 66),
    ] {
        let words: Vec<&str> = ["rules", "new"].iter().chain(words).copied().collect();
        assert_eq!(walletwatch(folder.path(), &words).status.code(), Some(code), "{words:?}");
    }
}

#[test]
fn fmt_changes_files_in_place_and_only_says_so_when_asked() {
    let folder = folder();
    let path = folder.path().join("rules/r.yaml");
    let untidy = RULES.replace("params: {}\n", "").replace("    title: t\n", "    title:   t  \n");
    fs::write(&path, &untidy).expect("written");
    let check = || walletwatch(folder.path(), &["rules", "fmt", "--check"]);
    assert_eq!((check().status.code(), out(&check()).as_str()), (Some(1), "rules/r.yaml\n"));
    assert_eq!(fs::read_to_string(&path).expect("it is there"), untidy, "a check changes nothing");
    assert_eq!(walletwatch(folder.path(), &["rules", "fmt"]).status.code(), Some(0));
    assert_eq!((check().status.code(), out(&check()).as_str()), (Some(0), ""));
    let tidy = fs::read_to_string(&path).expect("it is there");
    assert!(tidy.contains("    title: t\n"), "{tidy}");
    assert_eq!(fs::read_dir(folder.path().join("rules")).expect("a folder").count(), 1, "nothing is left beside it");

    let mut piped = Command::new(env!("CARGO_BIN_EXE_walletwatch"))
        .args(["rules", "fmt", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    piped.stdin.take().expect("a pipe").write_all(untidy.as_bytes()).expect("written");
    assert_eq!(out(&piped.wait_with_output().expect("it ends")), tidy);

    let mut editor = Command::new(env!("CARGO_BIN_EXE_walletwatch"))
        .args(["rules", "fmt", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let broken = "version: 1\nrules:\n  - id:   x\n    when: !y\n";
    editor.stdin.take().expect("a pipe").write_all(broken.as_bytes()).expect("written");
    let output = editor.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), broken), "the text comes out as it went in");
    assert!(String::from_utf8_lossy(&output.stderr).contains("-:4:11"), "{output:?}");

    let bad = folder.path().join("rules/bad.yaml");
    fs::write(&bad, "version: 1\nrules:\n  - id:   x\n    when: !y\n").expect("written");
    let output = walletwatch(folder.path(), &["rules", "fmt"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("rules/bad.yaml:4:11"), "{}", out(&output));
    assert!(fs::read_to_string(&bad).expect("it is there").contains("id:   x"), "it is left alone");
    assert_eq!(walletwatch(folder.path(), &["rules", "fmt", "nowhere.yaml"]).status.code(), Some(66));
}

#[test]
fn a_new_sequence_has_no_change_that_its_tests_do_not_notice() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("rules")).expect("a folder");
    let output = walletwatch(folder.path(), &["rules", "new", "chain", "--sequence"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let path = folder.path().join("rules/chain.yaml");
    let text = fs::read_to_string(&path).expect("it is there");
    for words in [&["check", "--strict"][..], &["test"], &["fmt", "--check"], &["mutate"]] {
        let words: Vec<&str> = ["rules"].iter().chain(words).copied().collect();
        let output = walletwatch(folder.path(), &words);
        assert!(output.status.success(), "{words:?}: {}", out(&output));
    }
    let absent =
        text.replace("      # absent: ", "      absent: ").replace("      #   - {on: report", "        - {on: report");
    assert_ne!(absent, text);
    fs::write(&path, absent).expect("written");
    let output = walletwatch(folder.path(), &["rules", "test"]);
    assert_eq!(output.status.code(), Some(1));
    let told = out(&output);
    assert!(told.contains("`absent` waits: the test needs an event more than 31m after this one"), "{told}");
    assert!(told.contains("{after: 32m, …}"), "{told}");
    let transfer =
        r#"{"id":"t","type":"transfer","time":"2026-03-01T11:00:00Z","account":"a1","amount":"5","currency":"CNY"}"#;
    fs::write(folder.path().join("now.json"), transfer).expect("written");
    let told = out(&walletwatch(folder.path(), &["rules", "explain", "--rule", "chain", "--event", "now.json"]));
    assert!(told.contains("  absent: no report may follow within 30m; fires when that has passed\n"), "{told}");
}

#[test]
fn a_failed_test_tells_which_comparison_was_unknown_and_why() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("rules")).expect("a folder");
    let rule = r#"version: 1
defaults: {owner: t, severity: low, score: 60, audience: [security], runbook: "https://example.com", explain: x}
rules:
  - id: large
    title: t
    on: transfer
    when: amount > 100 CNY and (device == "d1" or city == "Lagos")
    tests:
      - name: in dollars
        given: {type: transfer, account: a, amount: 500 USD, device: d1}
        events: [{expect: fire}]
      - name: from nowhere
        given: {type: transfer, account: a, amount: 500 CNY}
        events: [{expect: fire}]
"#;
    fs::write(folder.path().join("rules/r.yaml"), rule).expect("written");
    insta::assert_snapshot!(out(&walletwatch(folder.path(), &["rules", "test"])));
}
