//! The systemd unit, judged by systemd itself, without a running one.

use std::process::Command;

use super::{path, said, text, tool};

const UNIT: &str = "deploy/systemd/walletwatch.service";
/// The exposure it may have at most.
const EXPOSURE_MAX: f64 = 1.5;

#[test]
fn the_unit_is_as_little_exposed_as_promised() {
    let args = ["security", "--offline=true", "--no-pager"];
    let output = tool("systemd", Command::new("systemd-analyze").args(args).arg(path(UNIT)));
    let said = said(&output);
    let overall = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_else(|| panic!("{said}"));
    let level = overall.rsplit(": ").next().and_then(|rest| rest.split(' ').next()).expect("a level");
    let level: f64 = level.parse().unwrap_or_else(|e| panic!("{e}: {overall}"));
    assert!(level <= EXPOSURE_MAX, "{said}");
}

#[test]
fn systemd_misses_nothing_in_the_unit_but_the_program() {
    let output = tool("systemd", Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(path(UNIT)));
    let said = said(&output);
    let complaints: Vec<&str> =
        said.lines().filter(|line| !line.contains("Command /usr/bin/walletwatch is not")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn the_service_can_read_what_the_unit_hands_it() {
    let unit = text(UNIT);
    let has = |line: &str| assert!(unit.lines().any(|l| l == line), "{line}");
    has("ExecStart=/usr/bin/walletwatch run --config /etc/walletwatch/walletwatch.toml");
    // The folder of the configuration belongs to root: a user of the moment must be able to enter it.
    has("ConfigurationDirectoryMode=0755");
    // The system's own counters tell when the process started; a metric and an alert rule rest on that.
    assert!(!unit.lines().any(|line| line == "ProcSubset=pid"));
    let manual = text("src/config/default.toml");
    let credentials: Vec<&str> = unit.lines().filter_map(|l| l.strip_prefix("LoadCredentialEncrypted=")).collect();
    assert_eq!(credentials.len(), 4);
    for credential in credentials {
        // From the store, by name: with a path a wallet that has no such secret could not start.
        let (name, stored) = credential.split_once(':').expect("a name in the store");
        assert_eq!(stored, format!("walletwatch.{name}"));
        assert!(manual.contains(&format!("_file = \"{name}\"")), "{name}: no key of the manual reads it");
        let readme = text("deploy/README.md");
        assert!(readme.contains(&format!("/etc/credstore.encrypted/{stored}")), "{name}: not told how to make it");
    }
}
