//! Killed in the middle of a reload, good or bad: the next start has rules, those of before or the new ones, and what it
//! says is what an undisturbed run says.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{BACK_WITHIN, Wallet};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// Records of the run.
const RECORDS: u32 = 12_000;
/// Hard ends, each a little later after a change was written than the one before.
const KILLS: u32 = 10;
/// Between two of these moments. A change is looked for every two seconds, read once it has stood still for 0.3 s.
const STEP: Duration = Duration::from_millis(300);

/// What changes: the weight of a rule that tells nobody. No alert differs by it, the digest of the rules does.
fn write(rules: &Path, turn: u32) {
    let text = match turn % 3 {
        2 => "version: 1\nrules: [\n".to_owned(),
        _ => format!(
            "version: 1\nlists:\n  unused_{turn}: {{type: ip, owner: tests, max_age: 30d, items: [192.0.2.{turn}]}}\n"
        ),
    };
    std::fs::write(rules.join("changing.yaml"), text).expect("written");
}

#[test]
fn killed_in_the_middle_of_reloads_it_starts_with_good_rules_and_agrees() {
    let broker = broker();
    let wallet = Wallet::new(
        broker.topic("mid-reload", 1),
        &broker.bootstrap,
        &broker.bootstrap,
        "[rules]\npack = \"none\"\ndirectory = \"rules\"\n",
    );
    wallet.writes_checkpoints_often();
    let rules = wallet.folder.path().join("rules");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules"), &rules);
    write(&rules, 0);
    let records = wallet.generate(RECORDS);
    let mut fell_back = 0;
    for (turn, part) in (1..).zip(records.chunks(records.len() / KILLS as usize + 1)) {
        let service = wallet.start();
        owns(&service);
        fell_back += usize::from(format!("{:?}", service.log()).contains("last good"));
        wallet.write(part);
        write(&rules, turn);
        let moment = Instant::now() + STEP * turn;
        wait_until("the moment", BACK_WITHIN, || (Instant::now() >= moment).then_some(()));
        service.signal("KILL");
    }
    println!("{fell_back} starts went on with the last good rules");
    assert!(fell_back > 0, "no bad file was there at a start");
    write(&rules, 0);
    let service = wallet.start();
    wallet.has_caught_up(&service);
    service.terminate();
    let ids = |alerts: Vec<serde_json::Value>| -> std::collections::BTreeSet<String> {
        alerts.into_iter().map(|alert| alert["id"].to_string()).collect()
    };
    let (told, expected) = (ids(wallet.told("alerts")), ids(wallet.replay(&records).0));
    assert!(expected.len() > 3, "nothing to compare");
    assert_eq!(told, expected);
}

fn owns(service: &Running) {
    wait_until("it has started", BACK_WITHIN, || {
        let log = service.log();
        assert!(!log.iter().any(serde_json::Value::is_string), "it does not start: {log:#?}");
        log.iter().any(|line| line["message"] == "detection started").then_some(())
    });
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp");
    assert!(status.success());
}
