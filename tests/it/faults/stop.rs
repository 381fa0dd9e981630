//! SIGTERM under load: out within ten seconds, nothing lost, nothing repeated.

use std::time::{Duration, Instant};

use super::{BACK_WITHIN, Wallet};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;

/// Records of the run.
const RECORDS: u32 = 20_000;
/// Stops under load.
const STOPS: usize = 8;

#[test]
fn stopped_again_and_again_under_load_each_alert_is_written_once_and_in_order() {
    let broker = broker();
    let wallet = Wallet::new(broker.topic("stops", 1), &broker.bootstrap, &broker.bootstrap, "");
    let records = wallet.generate(RECORDS);
    let mut in_the_middle = 0;
    for part in records.chunks(records.len() / STOPS + 1) {
        let service = wallet.start();
        service.is_ready();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| wallet.write(part));
            let some = part.len() as u64 / 4;
            wait_until("it is under way", BACK_WITHIN, || (wallet.taken(&service)? >= some).then_some(()));
            let began = Instant::now();
            let log = service.terminate();
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
            let summary = log.iter().rfind(|line| line["message"] == "summary").expect("a summary");
            in_the_middle += usize::from(summary["records"].as_u64() < Some(part.len() as u64));
            writer.join().expect("the writer");
        });
    }
    println!("{in_the_middle} of {STOPS} stops came in the middle");
    assert!(in_the_middle > 0, "every stop came when all was taken");
    let service = wallet.start();
    wallet.has_caught_up(&service);
    service.terminate();
    // Whole, in order, and not one of them twice.
    wallet.alerts_are_those_of_a_replay(&records);
}
