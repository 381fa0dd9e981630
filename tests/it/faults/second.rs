//! A second detector: started by mistake, and on purpose while the first one is frozen, which then thaws. What both say
//! together is what one undisturbed engine says over the batches that count: those of the first one up to where the
//! second went on, then the second one's.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::kept::Kept;
use super::oracle::Oracle;
use super::{BACK_WITHIN, Wallet};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// Records of the run.
const RECORDS: u32 = 16_000;

/// A folder beside the wallet's, with the same configuration.
fn beside(wallet: &Wallet, name: &str) -> PathBuf {
    let folder = wallet.folder.path().join(name);
    std::fs::create_dir(&folder).expect("a folder");
    let config = "walletwatch.toml";
    std::fs::copy(wallet.folder.path().join(config), folder.join(config)).expect("a configuration");
    folder
}

fn owns(detector: &Running) {
    wait_until("it owns the group", BACK_WITHIN, || {
        detector.log().iter().any(|line| line["message"] == "this detector owns the group").then_some(())
    });
}

fn detects(folder: &std::path::Path) -> Running {
    Running::start(folder, &["--role", "detect"])
}

#[test]
fn a_second_one_by_mistake_and_one_that_goes_on_with_the_state_of_a_frozen_one_say_what_one_says() {
    let broker = broker();
    let wallet = Wallet::new(broker.topic("second", 1), &broker.bootstrap, &broker.bootstrap, "");
    wallet.writes_checkpoints_often();
    let records = wallet.generate(RECORDS);
    let parts: Vec<_> = records.chunks(records.len() / 4).collect();
    let mut first = detects(wallet.folder.path());
    owns(&first);
    wallet.write(parts[0]);
    wait_until("it is under way", BACK_WITHIN, || (wallet.taken(&first)? > 0).then_some(()));

    let mut mistake = detects(&beside(&wallet, "mistake"));
    assert_eq!(mistake.exit_code(Duration::from_secs(60)), Some(77), "{:#?}", mistake.log());
    assert!(format!("{:?}", mistake.log()).contains("works on group"), "{:#?}", mistake.log());

    // Frozen in the middle of work; whoever takes over has what was on its disk, under another owner.
    wallet.write(parts[1]);
    first.signal("STOP");
    let folder = beside(&wallet, "second");
    let state = folder.join("state");
    let copied = Command::new("cp").arg("-a").arg(wallet.folder.path().join("state")).arg(&folder).status();
    assert!(copied.expect("cp").success());
    std::fs::remove_file(state.join("owner")).expect("the first one's");
    let kept = Kept::of(&state);
    let second = detects(&folder);
    owns(&second);
    wallet.write(parts[2]);
    wallet.has_caught_up(&second);

    first.signal("CONT");
    assert_eq!(first.exit_code(Duration::from_secs(30)), Some(75), "{:#?}", first.log());
    assert!(format!("{:?}", first.log()).contains("has taken over group"), "{:#?}", first.log());
    wallet.write(parts[3]);
    wallet.has_caught_up(&second);
    second.terminate();

    let mut oracle = Oracle::of(&folder, &wallet.bootstrap, &kept);
    let went_on = oracle.batches[0].taken.number;
    let mut batches = wallet.kept.batches();
    batches.retain(|logged| logged.taken.number < went_on);
    assert!(!batches.is_empty(), "it went on from a checkpoint");
    oracle.batches.splice(0..0, batches);
    let (agreement, _) = oracle.agrees();
    println!("{agreement:?}, the second one from batch {went_on} on");
    assert!(agreement.alerts > 10, "nothing to compare");
}
