//! The broker itself: killed under load and started again on its folder.

use super::{BACK_WITHIN, SHOWS_WITHIN, Wallet, is_calm};
use crate::kit::kafka::Broker;

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
