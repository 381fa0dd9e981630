//! SIGTERM under load: out within ten seconds, nothing lost, nothing repeated.

use std::time::{Duration, Instant};

use super::{BACK_WITHIN, Wallet};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;

/// Records of the run.
const RECORDS: u32 = 20_000;
/// Stops under load.
const STOPS: usize = 8;
/// Records that are written, and waited for, at once.
const WRITTEN_AT_ONCE: usize = 400;

#[test]
fn stopped_again_and_again_under_load_each_alert_is_written_once_and_in_order() {
    let broker = broker();
    let wallet = Wallet::new(broker.topic("stops", 1), &broker.bootstrap, &broker.bootstrap, "");
    let records = wallet.generate(RECORDS);
    let (mut written, mut taken, mut in_the_middle) = (0, 0, 0);
    for part in records.chunks(records.len() / STOPS + 1) {
        let service = wallet.start();
        service.is_ready();
        std::thread::scope(|scope| {
            // A little at a time: a stop comes between.
            let writer = scope.spawn(|| part.chunks(WRITTEN_AT_ONCE).for_each(|some| wallet.write(some)));
            let some = part.len() as u64 / 4;
            wait_until("it is under way", BACK_WITHIN, || (wallet.taken(&service)? >= some).then_some(()));
            let began = Instant::now();
            let log = service.terminate();
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
            let summary = log.iter().rfind(|line| line["message"] == "summary").expect("a summary");
            taken += summary["records"].as_u64().expect("a count");
            writer.join().expect("the writer");
        });
        written += part.len() as u64;
        in_the_middle += usize::from(taken < written);
    }
    println!("{in_the_middle} of {STOPS} stops came in the middle");
    assert!(in_the_middle > STOPS / 2, "too few: it would show nothing");
    let service = wallet.start();
    wallet.has_caught_up(&service);
    let log = service.terminate();
    let summary = log.iter().rfind(|line| line["message"] == "summary").expect("a summary");
    assert_eq!(taken + summary["records"].as_u64().expect("a count"), written, "each record was taken once");
    // Whole, in order, and not one of them twice.
    wallet.alerts_are_those_of_a_replay(&records);
}
