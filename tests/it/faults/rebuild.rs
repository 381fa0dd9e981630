//! A state that is damaged, lost or unfinished, made anew from Kafka: what was told is not told again, what was not is.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{BACK_WITHIN, Record, Wallet};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;

const RECORDS: u32 = 9_000;

/// A wallet whose records were written a second apart.
fn wallet(name: &str, partitions: i32) -> (Wallet, Vec<Record>) {
    let broker = broker();
    let wallet = Wallet::new(broker.topic(name, partitions), &broker.bootstrap, &broker.bootstrap, "");
    let mut records = wallet.generate(RECORDS);
    for (record, second) in records.iter_mut().zip(0..) {
        record.stamp += second * 1000;
    }
    (wallet, records)
}

/// Exit code, stdout and stderr of a command.
fn run(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    let output = command.args(args).current_dir(folder).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn rebuild(wallet: &Wallet) -> Value {
    let args = ["state", "rebuild", "--from", "2025-06-01T00:00:00Z", "--format", "json", "--no-progress"];
    let (code, told, said) = run(wallet.folder.path(), &args);
    assert_eq!(code, Some(0), "{said}");
    serde_json::from_str(&told).unwrap_or_else(|e| panic!("{e}: {told}"))
}

/// Overwrites the middle of every file below a folder.
fn damage(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            damage(&entry.path());
        } else {
            let bytes = fs::read(entry.path()).expect("readable");
            let half = bytes.len() / 2;
            fs::write(entry.path(), [&bytes[..half], &vec![0xa5; bytes.len() - half][..]].concat()).expect("written");
        }
    }
}

fn is_refused(wallet: &Wallet, code: i32, why: &str) {
    let mut service = Running::start(wallet.folder.path(), &["--until-end"]);
    assert_eq!(service.exit_code(Duration::from_secs(60)), Some(code), "{:#?}", service.log());
    let log = format!("{:?}", service.log());
    assert!(log.contains(why), "no `{why}` in {log}");
}

#[test]
fn a_damaged_state_is_made_anew_and_it_goes_on_as_if_nothing_had_been() {
    let (wallet, records) = wallet("rebuild", 1);
    let (told, untold) = records.split_at(records.len() * 2 / 3);
    let service = wallet.start();
    wallet.write(told);
    wallet.has_taken(&service, told.len() as u64);
    let args = ["state", "rebuild", "--from", "now-2h", "--no-progress"];
    let (code, _, said) = run(wallet.folder.path(), &args);
    assert!(code == Some(75) && said.contains("in use by another process"), "{code:?} {said}");
    service.terminate();
    let alerts = wallet.told("alerts").len();
    assert!(alerts > 3, "nothing was told");

    damage(&wallet.folder.path().join("state/store"));
    is_refused(&wallet, 65, "`walletwatch state rebuild --from TIME` makes it anew from Kafka");
    wallet.write(untold);

    let done = rebuild(&wallet);
    assert_eq!(done["read"][0]["goes_on_at"], told.len(), "where the group stands, not where the topic ends: {done}");
    assert_eq!(done["read"][0]["from"], 0, "{done}");
    assert!(done["counts"]["alerts_not_told"].as_u64() > Some(3) && done["group_had_offsets"] == true, "{done}");
    let aside = done["set_aside"]["path"].as_str().expect("a folder");
    assert!(aside.ends_with("state/store.old") && done["set_aside"]["bytes"].as_u64() > Some(1000), "{done}");
    assert_eq!(wallet.told("alerts").len(), alerts, "it is mute");
    assert!(!wallet.folder.path().join("state/unfinished").exists());

    let service = wallet.start();
    wallet.has_taken(&service, untold.len() as u64);
    service.terminate();
    wallet.alerts_are_those_of_a_replay(&records);
}

#[test]
fn a_rebuild_that_was_cut_off_is_never_started_on_and_is_begun_again() {
    let (wallet, records) = wallet("cutoff", 1);
    let folder = wallet.folder.path().to_owned();
    let service = wallet.start();
    wallet.write(&records);
    wallet.has_taken(&service, records.len() as u64);
    service.terminate();

    let mut child = Command::new(env!("CARGO_BIN_EXE_walletwatch"))
        .args(["state", "rebuild", "--from", "2025-06-01T00:00:00Z", "--no-progress"])
        .current_dir(&folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let marker = folder.join("state/unfinished");
    wait_until("it has begun", BACK_WITHIN, || marker.exists().then_some(()));
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert!(marker.exists(), "it was killed too late");

    is_refused(&wallet, 78, "is unfinished: `walletwatch state rebuild --from 2025-06-01T00:00:00Z, begun ");
    for args in [&["state", "show"][..], &["state", "show", "account:a"]] {
        let (code, _, said) = run(&folder, args);
        assert!(code == Some(78) && said.contains("is unfinished"), "{code:?} {said}");
    }
    // The key goes too: nothing that is left is of use, and nothing of it is needed.
    fs::write(folder.join("state/hash.key"), "walletwatch-hash-key-1 torn").expect("written");
    let done = rebuild(&wallet);
    assert_eq!((&done["again"], &done["read"][0]["goes_on_at"]), (&true.into(), &records.len().into()), "{done}");
    assert!(folder.join("state/hash.key.old").exists() && !marker.exists());

    let service = wallet.start();
    wallet.has_caught_up(&service);
    service.terminate();
    wallet.alerts_are_those_of_a_replay(&records);
}

#[test]
fn of_several_partitions_it_begins_at_the_time_and_ends_where_the_group_stands() {
    let (wallet, records) = wallet("rebuildparts", 3);
    let service = wallet.start();
    wallet.write(&records);
    wallet.has_taken(&service, records.len() as u64);
    service.terminate();
    // From the stamp of record 5000 on; two partitions are empty.
    let from = jiff::Timestamp::from_millisecond(records[5000].stamp).expect("a time").to_string();
    let args = ["state", "rebuild", "--from", &from, "--no-progress"];
    let (code, told, said) = run(wallet.folder.path(), &args);
    assert_eq!(code, Some(0), "{said}");
    let line = told.lines().find(|line| line.contains("/0 ")).expect("its first partition");
    let numbers: Vec<&str> = line.split_whitespace().skip(1).collect();
    assert_eq!(numbers, ["5000", &records.len().to_string()], "{told}");
    assert!(told.contains("when it is not needed: rm -r "), "{told}");
    let (code, _, said) = run(wallet.folder.path(), &["state", "show"]);
    assert_eq!(code, Some(0), "{said}");
}
