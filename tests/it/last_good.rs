//! A start with bad rules, on a real broker: it goes on with the last good copy, loudly, and without one it does not.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

const OVERLAID: &str = include_str!("../data/rules/overlaid.yaml");
const OVERLAY: &str = "version: 1\nrules:\n  guessing: {score: 80}\n";

/// A folder with a configuration, and rules of its own beside the pack.
fn folder() -> tempfile::TempDir {
    let logins = broker().topic("last-good.logins", 1);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("rules")).expect("a folder");
    std::fs::write(folder.path().join("rules/own.yaml"), OVERLAID).expect("rules");
    std::fs::write(folder.path().join("rules/overlay.yaml"), OVERLAY).expect("an overlay");
    let config = format!(
        "[kafka]\nbrokers = [{:?}]\ntls = false\ntopics = [{logins:?}]\ngroup = {logins:?}\nstart = \"earliest\"\n\
         alerts_topic = \"{logins}.alerts\"\ncontacts_topic = \"{logins}.contacts\"\n\
         dead_letter_topic = \"{logins}.dead\"\n[rules]\ndirectory = \"rules\"\n[state]\ndirectory = \"state\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n",
        broker().bootstrap,
    );
    std::fs::write(folder.path().join("walletwatch.toml"), config).expect("a configuration");
    folder
}

/// `run` where it must not start.
fn refused(folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    command.args(["run", "--config", "walletwatch.toml", "--until-end"]).current_dir(folder).output().expect("it runs")
}

/// The digest in force, as the metric tells it.
fn digest(service: &Running) -> String {
    wait_until("a digest in force", LIMIT, || {
        let series = service.scrape()?;
        let found = series.iter().find(|(name, n)| name.starts_with("walletwatch_ruleset_info{") && **n == 1.0);
        found.map(|(name, _)| name.clone())
    })
}

fn told(service: &Running, message: &str) -> Vec<Value> {
    service.log().into_iter().filter(|line| line["message"].as_str().is_some_and(|m| m.starts_with(message))).collect()
}

#[test]
fn a_start_with_bad_rules_goes_on_with_the_last_good_copy_and_without_one_it_does_not() {
    let folder = folder();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    let current = at("state/last-good-rules/current.json");
    let broken = OVERLAID.replace("severity: high", "severty: high");

    std::fs::write(at("rules/own.yaml"), &broken).expect("written");
    let output = refused(folder.path());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "there is no copy yet: {said}");
    assert!(said.contains("rules/own.yaml:14:5") && !said.contains("last good"), "{said}");
    assert!(!at("state").exists());

    std::fs::write(at("rules/own.yaml"), OVERLAID).expect("written");
    let service = Running::start(folder.path(), &[]);
    service.is_ready();
    let good = digest(&service);
    wait_until("the copy is kept", LIMIT, || current.is_file().then_some(()));
    assert!(told(&service, "the rules are refused").is_empty());
    service.terminate();

    std::fs::write(at("rules/own.yaml"), &broken).expect("written");
    let service = Running::start(folder.path(), &[]);
    service.is_ready();
    assert_eq!(digest(&service), good, "the overlay and the pack are in the copy, too");
    let line = told(&service, "the rules are refused: started with the last good copy").pop().expect("it says so");
    let diagnostics = line["diagnostics"].as_str().expect("the problems");
    assert!(diagnostics.contains("rules/own.yaml:14:5") && diagnostics.contains("write `severity`"), "{diagnostics}");
    let (state, detail) = service.check("reload.rules").expect("a check");
    assert_eq!(state, "warning");
    assert!(detail.starts_with("started with the last good copy, of 20"), "{detail}");
    assert!(detail.contains("rules/own.yaml:14:5: R002: unknown key `severty`"), "{detail}");
    let series = service.scrape().expect("metrics");
    let count = |outcome: &str| {
        let series = series.get(&format!("walletwatch_reload_total{{outcome=\"{outcome}\",what=\"rules\"}}"));
        series.copied().unwrap_or_default()
    };
    assert_eq!((count("last_good"), count("refused"), count("applied")), (1.0, 0.0, 0.0));

    // Mended, it takes over, and is what is kept.
    let kept = std::fs::read_to_string(&current).expect("the copy");
    std::fs::write(at("rules/own.yaml"), OVERLAID.replace("score: 75", "score: 70")).expect("written");
    wait_until("the mended rules are in force", LIMIT, || told(&service, "reloaded").pop());
    assert_eq!(service.check("reload.rules").map(|(state, _)| state).as_deref(), Some("ok"));
    wait_until("the engine has gone over", LIMIT, || (digest(&service) != good).then_some(()));
    assert_ne!(std::fs::read_to_string(&current).expect("the copy"), kept);
    service.terminate();

    // A copy that was damaged is none.
    std::fs::write(at("rules/own.yaml"), &broken).expect("written");
    let json: Value = serde_json::from_slice(&std::fs::read(&current).expect("the copy")).expect("JSON");
    let copy = at("state/last-good-rules").join(json["folder"].as_str().expect("a folder"));
    std::fs::write(copy.join("own/own.yaml"), "version: 1\nrules: []\n").expect("flipped");
    let output = refused(folder.path());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("cannot be used either") && said.contains("is damaged"), "{said}");
    std::fs::remove_dir_all(at("state/last-good-rules")).expect("removed");
    assert_eq!(refused(folder.path()).status.code(), Some(78));
}
