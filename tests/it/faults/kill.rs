//! The service killed hard, again and again, under load and at every point that has a name: what it says in the end is
//! what one run that nobody disturbed says, and what it keeps is what that one keeps.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{BACK_WITHIN, Record, Wallet};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;

/// Records of a run.
const RECORDS: u32 = 20_000;
/// Hard ends under load. `KILLS_SEED=n` chooses other moments; the prefix of the configuration is no name for it.
const KILLS: u64 = 30;

/// Numbers without an end, the same for the same seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Each alert once; all that have one id are the same to the byte.
fn each_once(alerts: Vec<Value>) -> BTreeMap<String, Value> {
    let mut once = BTreeMap::new();
    for alert in alerts {
        let id = alert["id"].to_string();
        let before = once.insert(id.clone(), alert.clone());
        assert!(before.is_none_or(|before| before == alert), "{id} came again as another one");
    }
    once
}

pub(super) fn agrees(wallet: &Wallet, records: &[Record]) {
    let (expected, _) = wallet.replay(records);
    assert!(expected.len() > 10, "nothing to compare");
    let (told, expected) = (each_once(wallet.told("alerts")), each_once(expected));
    assert_eq!(told.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert_eq!(told, expected);
    let desk = rusqlite::Connection::open(wallet.folder.path().join("state/desk.db")).expect("the desk");
    let known: i64 = desk.query_row("SELECT count(*) FROM alerts", [], |row| row.get(0)).expect("a number");
    assert_eq!(known, expected.len() as i64);
}

#[test]
fn killed_at_thirty_points_under_load_it_says_what_an_undisturbed_run_says() {
    let seed = std::env::var("KILLS_SEED").map_or(7, |seed| seed.parse().expect("a number"));
    println!("KILLS_SEED={seed}");
    let mut seeded = Seeded(seed);
    let broker = broker();
    let wallet = Wallet::new(broker.topic("kills", 1), &broker.bootstrap, &broker.bootstrap, "");
    wallet.writes_checkpoints_often();
    let records = wallet.generate(RECORDS);
    let parts = records.chunks(records.len() / KILLS as usize);
    let (mut gone_on, mut taken_again) = (0, 0);
    for part in parts {
        let service = wallet.start();
        wallet.write(part);
        // It is under way: somewhere in this part, or in what it takes again before it, at any moment.
        let taken = seeded.below(part.len() as u64);
        wait_until("it is under way", BACK_WITHIN, || (wallet.taken(&service)? >= taken).then_some(()));
        let until = Instant::now() + Duration::from_millis(seeded.below(1500));
        wait_until("the moment", Duration::from_secs(5), || (Instant::now() >= until).then_some(()));
        service.signal("KILL");
        for line in service.log() {
            if line["message"] == "the state is read back: going on where it stands" {
                gone_on += u64::from(line["checkpoint"].as_u64() > Some(1));
                taken_again += line["batches_again"].as_u64().unwrap_or(0);
            }
        }
    }
    // Else it would show nothing: every start would begin with the first record.
    assert!(gone_on > KILLS / 2 && taken_again > KILLS / 3, "{gone_on} went on, {taken_again} batches taken again");
    let service = wallet.start();
    wallet.has_caught_up(&service);
    service.terminate();
    agrees(&wallet, &records);
}
