//! `walletwatch demo` as a newcomer starts it: what it says, what it leaves, and how it ends.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use mail_parser::MessageParser;
use serde_json::Value;
use standardwebhooks::Webhook;

use crate::kit::process::wait_until;

fn demo(out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    command.args(["demo", "--no-progress", "--events", "10000", "--seed", "7", "--out"]).arg(out);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    files
}

fn number(value: &Value) -> usize {
    value.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_day_is_played_told_and_left_to_look_at() {
    let temporary = tempfile::tempdir().expect("a folder");
    let out = temporary.path().join("out");
    let began = Instant::now();
    let output = demo(&out).output().expect("it runs");
    let took = began.elapsed();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let summary = json(&out.join("summary.json"));
    println!(
        "a demo of 10 000 events took {took:?}; the first attack was told after {} ms",
        summary["first_attack_told_ms"]
    );

    assert_eq!(summary["complete"], true);
    assert!(number(&summary["planted"]) >= 18, "two of each kind: {summary}");
    assert_eq!(summary["found"], summary["planted"]);
    assert_eq!((number(&summary["missed"]), number(&summary["lookalikes_told"])), (0, 0));
    assert!(number(&summary["lookalikes"]) >= 20 && number(&summary["events_per_second"]) > 0);
    assert_eq!(number(&summary["events"]), 10_000);
    let accounted = ["accepted", "duplicates", "rejected"].map(|name| number(&summary[name]));
    assert_eq!(accounted.iter().sum::<usize>(), 10_000);

    let alerts = std::fs::read_to_string(out.join("alerts.ndjson")).expect("alerts");
    assert_eq!(alerts.lines().count(), number(&summary["alerts"]));
    assert!(alerts.lines().all(|line| serde_json::from_str::<Value>(line).expect("JSON")["kind"] == "alert"));
    mails_can_be_read(&out, number(&summary["mails"]));
    messages_are_signed(&out, number(&summary["sms"]));
    the_story_is_told(&String::from_utf8(output.stdout).expect("UTF-8"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "--no-progress");
    let log = std::fs::read_to_string(out.join("walletwatch.log")).expect("a log");
    assert!(!log.contains("\"WARN\"") && !log.contains("\"ERROR\""), "{log}");
}

fn mails_can_be_read(out: &Path, expected: usize) {
    let mails = files(&out.join("mails"), ".eml");
    assert!(expected > 0);
    assert_eq!(mails.len(), expected);
    let mut ids = BTreeSet::new();
    for path in mails {
        let raw = std::fs::read(&path).expect("a mail");
        let mail = MessageParser::default().parse(raw.as_slice()).expect("a mail");
        assert!(mail.subject().expect("a subject").contains("Demo Wallet"));
        assert!(mail.body_text(0).expect("a text part").contains("WW-"), "the case number");
        let page = std::fs::read_to_string(path.with_extension("html")).expect("the page beside it");
        assert_eq!(page.replace("\r\n", "\n"), mail.body_html(0).expect("an HTML part").replace("\r\n", "\n"));
        assert!(ids.insert(mail.message_id().expect("a Message-ID").to_owned()), "none comes twice");
    }
}

fn messages_are_signed(out: &Path, expected: usize) {
    let requests = files(&out.join("sms"), ".json");
    assert!(expected > 0);
    assert_eq!(requests.len(), expected);
    let key = std::fs::read_to_string(out.join("sms-key")).expect("the key");
    let webhook = Webhook::new(key.trim()).expect("a key");
    for path in requests {
        let request = json(&path);
        let mut headers = axum::http::HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            headers.insert(name, request["headers"][name].as_str().expect("a header").parse().expect("a header"));
        }
        let body = request["body"].as_str().expect("a body");
        webhook.verify(body.as_bytes(), &headers).expect("it verifies");
        let text = serde_json::from_str::<Value>(body).expect("JSON")["text"].as_str().expect("a text").to_owned();
        assert!(text.contains("WW-"), "{text}");
    }
}

/// Login, payee, transfer, the alert with its shares and the message, in this order, before anything else is found.
fn the_story_is_told(text: &str) {
    let mut rest = text;
    for part in [
        "THE FIRST ATTACK",
        "login from ",
        "ALERT ",
        "new payee ",
        "transfer of ",
        "ALERT ",
        " %  ",
        "mail to ",
        "SMS to ",
        "╰──",
        "attack",
    ] {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("no `{part}` in its place in:\n{text}")).1;
    }
    assert!(!text.contains("MISSED") && !text.contains("WRONG"), "{text}");
    assert!(!text.contains('\u{1b}'), "no cursor movements, no colours");
}

#[test]
fn a_stop_in_the_middle_leaves_what_there_was() {
    let temporary = tempfile::tempdir().expect("a folder");
    let out = temporary.path().join("out");
    let child = demo(&out).spawn().expect("it runs");
    wait_until("a mail is there", Duration::from_secs(60), || {
        let mails = std::fs::read_dir(out.join("mails")).ok()?;
        (mails.count() > 0).then_some(())
    });
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("stopped before its end"), "{}", said(&output));
    let summary = json(&out.join("summary.json"));
    assert_eq!(summary["complete"], false);
    assert!(number(&summary["events"]) < 10_000 && number(&summary["mails"]) > 0);
}

#[test]
fn a_folder_of_somebody_elses_is_left_alone() {
    let out = tempfile::tempdir().expect("a folder");
    std::fs::write(out.path().join("summary.json"), "precious").expect("written");
    let output = demo(out.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    assert!(said(&output).contains("nothing was touched"), "{}", said(&output));
    assert_eq!(std::fs::read_to_string(out.path().join("summary.json")).expect("there"), "precious");
}
