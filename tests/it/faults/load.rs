//! Load as nobody planned it: half of everything on one account, and a hundred times as much at once. Queues stay
//! within their limits, memory does not grow with the backlog, lag recovers, and the alerts are those of a replay.

use serde_json::Value;

use super::{BACK_WITHIN, Record, Wallet};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// The account of half of everything.
const HOT: &str = "acc-hot";
/// Records of a usual moment; a burst has a hundred times as many.
const USUAL: usize = 400;
/// What memory may grow by while a burst is worked off, bytes: batches in flight, librdkafka's queues, and what the
/// burst's own accounts take.
const GROWTH_BYTES_MAX: f64 = 200e6;

fn wallet(name: &str) -> Wallet {
    let broker = broker();
    Wallet::new(broker.topic(name, 1), &broker.bootstrap, &broker.bootstrap, "")
}

/// Every queue is within its limit. The memory of the process, bytes.
fn is_bounded(service: &Running) -> Option<f64> {
    let scrape = service.scrape()?;
    let mut queues = 0;
    for (series, limit) in scrape.iter().filter(|(series, _)| series.starts_with("walletwatch_queue_capacity{")) {
        let waiting = scrape[&series.replace("_capacity", "_length")];
        assert!(waiting <= *limit, "{series}: {waiting} of {limit}");
        queues += 1;
    }
    assert!(queues > 0, "{scrape:#?}");
    Some(scrape["process_resident_memory_bytes"])
}

/// Waits until all of them are taken; the most memory it saw meanwhile, bytes.
fn works_off(wallet: &Wallet, service: &Running, records: u64) -> f64 {
    let mut most = 0.0;
    wait_until("the burst is worked off", BACK_WITHIN, || {
        most = is_bounded(service)?.max(most);
        (wallet.taken(service)? >= records).then_some(())
    });
    wallet.has_caught_up(service);
    most
}

#[test]
fn half_of_everything_on_one_account_hurts_neither_it_nor_the_others() {
    let wallet = wallet("hot-key");
    let mut records = wallet.generate(20_000);
    for record in records.iter_mut().step_by(2) {
        *record = of_the_hot_account(record);
    }
    let service = wallet.start();
    service.is_ready();
    let before = is_bounded(&service).expect("a scrape");
    wallet.write(&records);
    let most = works_off(&wallet, &service, records.len() as u64);
    service.terminate();
    println!("{:.0} MB before, {:.0} MB at the most", before / 1e6, most / 1e6);
    assert!(most - before < GROWTH_BYTES_MAX, "from {before} to {most}");
    wallet.alerts_are_those_of_a_replay(&records);
}

/// The same event, of another account; what is no event stays as it is.
fn of_the_hot_account(record: &Record) -> Record {
    let value = record.value.as_deref().and_then(|value| serde_json::from_slice::<Value>(value).ok());
    let Some(Value::Object(mut event)) = value.filter(|event| event["account"].is_string()) else {
        return record.clone();
    };
    event.insert("account".to_owned(), HOT.into());
    Record { value: Some(Value::Object(event).to_string().into_bytes()), ..record.clone() }
}

#[test]
fn a_hundred_times_as_much_at_once_is_worked_off_within_bounds() {
    let wallet = wallet("burst");
    let records = wallet.generate(101 * USUAL as u32);
    let (usual, burst) = records.split_at(USUAL);
    let service = wallet.start();
    service.is_ready();
    wallet.write(usual);
    wallet.has_taken(&service, usual.len() as u64);
    let before = is_bounded(&service).expect("a scrape");
    wallet.write(burst);
    let most = works_off(&wallet, &service, records.len() as u64);
    service.terminate();
    println!("{:.0} MB before, {:.0} MB at the most", before / 1e6, most / 1e6);
    assert!(most - before < GROWTH_BYTES_MAX, "from {before} to {most}");
    wallet.alerts_are_those_of_a_replay(&records);
}
