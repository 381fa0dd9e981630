//! The way to the broker: reset, slowed to a trickle, half-open, gone.

use std::time::{Duration, Instant};

use super::{Record, SHOWS_WITHIN, Wallet, is_calm, values};
use crate::kit::kafka::Broker;
use crate::kit::process::wait_until;
use crate::kit::proxy::{Mode, Proxy};
use crate::kit::running::Running;

/// Records of each run.
const RECORDS: u32 = 12_000;

struct Behind {
    wallet: Wallet,
    proxy: Proxy,
    broker: Broker,
}

impl Behind {
    fn new(name: &str) -> Behind {
        let proxy = Proxy::start();
        let broker = Broker::start_behind(&proxy);
        let topic = broker.topic(name, 1);
        let through = format!("127.0.0.1:{}", proxy.port);
        let wallet = Wallet::new(topic, &broker.bootstrap, &through, "");
        Behind { wallet, proxy, broker }
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
        let began = Instant::now();
        wait_until("it goes on, slowly", Duration::from_secs(30), || {
            let lag: f64 = service
                .scrape()?
                .get(&format!("walletwatch_consumer_lag_records{{topic=\"{}\"}}", behind.wallet.topic))
                .copied()?;
            (began.elapsed() > Duration::from_secs(6) && lag > 0.0).then_some(())
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
        service.fails("writing", &format!("{}.{which} cannot be written", wallet.topic), SHOWS_WITHIN);
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
