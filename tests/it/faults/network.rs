//! The way to the broker: reset, slowed to a trickle, half-open, gone.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::spread::{Spread, generate};
use super::{Record, SHOWS_WITHIN, Wallet, is_calm, values};
use crate::kit::kafka::Broker;
use crate::kit::process::wait_until;
use crate::kit::proxy::{Mode, Proxy};
use crate::kit::running::Running;
use crate::kit::service::summary_of;

/// Records of each run.
const RECORDS: u32 = 12_000;

/// One broker of these tests at a time: each takes a Java of its own.
static ONE: Mutex<()> = Mutex::new(());

struct Behind {
    wallet: Wallet,
    proxy: Proxy,
    broker: Broker,
    _one: MutexGuard<'static, ()>,
}

impl Behind {
    fn new(name: &str) -> Behind {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let proxy = Proxy::start();
        let broker = Broker::start_behind(&proxy);
        let topic = broker.topic(name, 1);
        let through = format!("127.0.0.1:{}", proxy.port);
        let wallet = Wallet::new(topic, &broker.bootstrap, &through, "");
        Behind { wallet, proxy, broker, _one: one }
    }
}

/// Runs the service while `fault` happens between the first and the second half of the records.
fn under(name: &str, fault: impl FnOnce(&Behind, &Running, &[Record])) {
    let behind = Behind::new(name);
    let wallet = &behind.wallet;
    let records = wallet.generate(RECORDS);
    let (early, rest) = records.split_at(records.len() / 3);
    let service = wallet.start();
    service.is_ready();
    assert!(behind.proxy.accepted() > 0, "it goes through the proxy");
    wallet.write(early);
    fault(&behind, &service, rest);
    wallet.has_taken(&service, records.len() as u64);
    let log = service.terminate();
    is_calm(&log);
    wallet.alerts_are_those_of_a_replay(&records);
    drop(behind.broker);
}

#[test]
fn connections_that_are_reset_again_and_again_lose_nothing() {
    under("reset", |behind, _, rest| {
        for part in rest.chunks(rest.len() / 8 + 1) {
            behind.proxy.cut();
            behind.wallet.write(part);
        }
    });
}

#[test]
fn a_trickle_only_makes_it_late() {
    under("trickle", |behind, service, rest| {
        // Far less than what is written: it falls behind, and nothing is given up.
        behind.proxy.set(Mode::Trickle(60_000));
        behind.wallet.write(rest);
        // An answer about the ends stands in line behind the records, or tells how far behind it is.
        let series = format!("walletwatch_consumer_lag_records{{topic=\"{}\"}}", behind.wallet.topic);
        wait_until("it is late, and says so", Duration::from_secs(30), || {
            let is_behind = service.scrape()?.get(&series).is_some_and(|lag| *lag > 1000.0);
            (is_behind || service.failing()?.1.contains_key("kafka")).then_some(())
        });
        behind.proxy.set(Mode::Pass);
    });
}

#[test]
fn a_half_open_connection_is_named_and_lost_nothing_when_it_is_over() {
    under("half-open", |behind, service, rest| {
        behind.proxy.set(Mode::HalfOpen);
        let began = Instant::now();
        behind.wallet.write(rest);
        service.fails("kafka", "ask Kafka for the ends", SHOWS_WITHIN);
        wait_until("twenty seconds are over", Duration::from_secs(30), || {
            (began.elapsed() > Duration::from_secs(20)).then_some(())
        });
        behind.proxy.set(Mode::Pass);
    });
}

#[test]
fn a_way_that_is_closed_for_a_while_is_named_and_lost_nothing_when_it_opens() {
    under("refused", |behind, service, rest| {
        behind.proxy.set(Mode::Refuse);
        behind.wallet.write(rest);
        service.fails("kafka", "ask Kafka for the ends", SHOWS_WITHIN);
        behind.proxy.set(Mode::Pass);
    });
}

#[test]
fn a_topic_of_ours_that_takes_nothing_is_named_and_nothing_is_skipped() {
    let behind = Behind::new("no-writes");
    let wallet = &behind.wallet;
    let mut records = wallet.generate(RECORDS);
    let poison = Record { key: None, value: Some(b"{".to_vec()), stamp: records[0].stamp };
    let service = wallet.start();
    service.is_ready();
    let (mut taken, mut dead) = (0, 0);
    for (which, written) in [("dead", vec![poison]), ("alerts", std::mem::take(&mut records))] {
        // Once before, so that the writer knows its way.
        wallet.write(&written[..1]);
        wallet.has_taken(&service, taken + 1);
        behind.proxy.set(Mode::NoWrites);
        wallet.write(&written);
        service.fails("writing", &format!("{}.{which}", wallet.topic), SHOWS_WITHIN);
        assert!(service.check("writing").expect("the check").1.contains("cannot be written"));
        let scrape = service.scrape().expect("a scrape");
        assert_eq!(scrape["walletwatch_check_failed{check=\"writing\"}"], 1.0);
        behind.proxy.set(Mode::Pass);
        taken += written.len() as u64 + 1;
        wallet.has_taken(&service, taken);
        dead += if which == "dead" { 2 } else { 0 };
        records = written;
    }
    service.terminate();
    // The first one came twice: as a dead letter, and as an event that is known.
    let (expected, summary) = wallet.replay(&records);
    assert!(expected.len() > 3, "nothing to compare: {summary}");
    assert_eq!(wallet.told("alerts"), expected);
    let letters = values(&behind.broker.bootstrap, &format!("{}.dead", wallet.topic));
    assert_eq!(letters.iter().filter(|letter| letter.as_slice() == b"{").count(), dead);
}

#[test]
fn what_cannot_be_written_in_time_stops_it_and_comes_again_after_the_next_start() {
    let behind = Behind::new("stops");
    let wallet = &behind.wallet;
    let path = wallet.folder.path().join("walletwatch.toml");
    let config = std::fs::read_to_string(&path).expect("the configuration");
    std::fs::write(&path, config.replace("[kafka]\n", "[kafka]\nproduce_wait_ms_max = 4000\n")).expect("written");
    wallet.write(&[Record { key: None, value: Some(b"{".to_vec()), stamp: 1_767_225_600_000 }]);
    behind.proxy.set(Mode::NoWrites);
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    let output = command.args(["run", "--role", "detect"]).current_dir(wallet.folder.path()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains(".dead` took nothing for 4000 ms; nothing was skipped"), "{said}");
    behind.proxy.set(Mode::Pass);
    let again = wallet.walletwatch(&["run", "--role", "detect", "--until-end"]);
    assert_eq!(summary_of(&again.stderr)["replayed"].as_u64(), Some(1), "{said}");
    assert_eq!(values(&behind.broker.bootstrap, &format!("{}.dead", wallet.topic)), [b"{"]);
}

#[test]
fn a_reader_that_gets_nothing_while_records_are_there_is_named() {
    let behind = Behind::new("no-reads");
    let wallet = &behind.wallet;
    let records = wallet.generate(RECORDS);
    let (early, rest) = records.split_at(RECORDS as usize / 3);
    let service = wallet.start();
    wallet.write(early);
    wallet.has_taken(&service, early.len() as u64);
    // The brokers answer, they know the ends, and no record comes.
    behind.proxy.set(Mode::NoReads);
    wallet.write(rest);
    service.fails("polling", "records are there to be read, and none was taken for ", 2 * SHOWS_WITHIN);
    let scrape = service.scrape().expect("a scrape");
    assert_eq!(scrape["walletwatch_check_failed{check=\"polling\"}"], 1.0);
    assert_eq!(scrape["walletwatch_ready"], 0.0);
    behind.proxy.set(Mode::Pass);
    wallet.has_taken(&service, records.len() as u64);
    let log = service.terminate();
    is_calm(&log);
    wallet.alerts_are_those_of_a_replay(&records);
}

#[test]
fn three_topics_behind_a_way_that_is_cut_slowed_half_open_and_closed_agree_with_an_undisturbed_engine() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let proxy = Proxy::start();
    let broker = Broker::start_behind(&proxy);
    let records = generate("way", &broker, 9000);
    let spread = Spread::behind("way", &broker, &format!("127.0.0.1:{}", proxy.port));
    let service = spread.start();
    service.is_ready();
    let faults = [None, Some(Mode::Trickle(60_000)), Some(Mode::HalfOpen), Some(Mode::Refuse), None];
    for (part, fault) in records.chunks(records.len() / faults.len() + 1).zip(faults) {
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| spread.write(part));
            match fault {
                // Cut again and again while it is written.
                None => wait_until("it is written", Duration::from_secs(120), || {
                    proxy.cut();
                    writer.is_finished().then_some(())
                }),
                Some(mode) => proxy.set(mode),
            }
            writer.join().expect("the writer");
        });
        proxy.set(Mode::Pass);
    }
    spread.is_done();
    let log = service.terminate();
    is_calm(&log);
    let (agreement, delivered) = spread.agrees();
    println!("{agreement:?}; {delivered:?}");
    assert!(agreement.alerts > 10 && agreement.records == records.len(), "{agreement:?}");
}
