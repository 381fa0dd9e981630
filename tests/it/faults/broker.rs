//! The broker itself: killed under load and started again on its folder.

use std::time::{Duration, Instant};

use super::spread::{Spread, generate};
use super::{BACK_WITHIN, SHOWS_WITHIN, Wallet, is_calm};
use crate::kit::kafka::Broker;
use crate::kit::process::wait_until;

/// Records of the run.
const RECORDS: u32 = 12_000;

#[test]
fn a_broker_that_is_killed_and_started_again_loses_nothing() {
    let mut broker = Broker::start();
    let topic = broker.topic("killed", 1);
    let wallet = Wallet::new(topic, &broker.bootstrap, &broker.bootstrap, "");
    let records = wallet.generate(RECORDS);
    let (early, rest) = records.split_at(records.len() / 2);
    let service = wallet.start();
    service.is_ready();
    // It is under way when the broker dies.
    wallet.write(early);
    broker.kill();
    service.fails("kafka", "ask Kafka for the ends", SHOWS_WITHIN);
    assert_eq!(service.get("/healthz").map(|(status, _)| status), Some(200), "it is alive");
    broker.start_again();
    wallet.write(rest);
    assert!(BACK_WITHIN > SHOWS_WITHIN);
    wallet.has_taken(&service, records.len() as u64);
    let log = service.terminate();
    is_calm(&log);
    wallet.alerts_are_those_of_a_replay(&records);
}

/// How long the broker is away, seconds: `BROKER_DOWN_S=60` makes it a minute.
const DOWN_S: u64 = 15;

#[test]
fn a_broker_that_is_away_under_load_of_three_topics_changes_nothing_and_is_told_once_a_second_at_most() {
    let down = std::env::var("BROKER_DOWN_S").map_or(DOWN_S, |text| text.parse().expect("seconds"));
    let mut broker = Broker::start();
    let records = generate("away", &broker, 6000);
    let spread = Spread::new("away", &broker);
    let service = spread.start();
    service.is_ready();
    let (early, rest) = records.split_at(records.len() / 2);
    spread.write(early);
    let before = service.log().len();
    broker.kill();
    let since = Instant::now();
    wait_until("the broker was away for long enough", Duration::from_secs(down + 30), || {
        (since.elapsed() > Duration::from_secs(down)).then_some(())
    });
    let lines = service.log().split_off(before);
    println!("{} lines in {down} s", lines.len());
    // Of everything it says, whatever the level.
    assert!(!lines.is_empty() && lines.len() as u64 <= down + 1, "{lines:#?}");
    broker.start_again();
    spread.write(rest);
    spread.is_done();
    let log = service.terminate();
    is_calm(&log);
    let (agreement, delivered) = spread.agrees();
    println!("{agreement:?}; {delivered:?}");
    assert!(agreement.alerts > 10 && agreement.records == records.len(), "{agreement:?}");
}
