//! One detector, as processes: a second one started by mistake, a frozen one that is taken over and thaws.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;
use crate::kit::service::{read_topic, records_in};

/// One wallet, and detectors with a state folder each.
struct Wallet {
    topic: String,
    folder: tempfile::TempDir,
}

impl Wallet {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Wallet { topic: broker().topic(name, 3), folder }
    }

    fn detector(&self, name: &str, args: &[&str]) -> Running {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let topic = &self.topic;
        let config = format!(
            "[kafka]\nbrokers = [\"{}\"]\ntls = false\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\nstart = \"earliest\"\n\
             alerts_topic = \"{topic}.alerts\"\ncontacts_topic = \"{topic}.contacts\"\n\
             dead_letter_topic = \"{topic}.dead\"\ncommit_interval_ms = 500\n[state]\ndirectory = \"state\"\n\
             [rules]\npack = \"none\"\ndirectory = \"{}\"\n",
            broker().bootstrap,
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/run/rules").display(),
        );
        std::fs::write(folder.join("walletwatch.toml"), config).expect("a configuration");
        Running::start(&folder, &[&["--role", "detect"], args].concat())
    }

    fn owner(&self, name: &str) -> String {
        let id = std::fs::read_to_string(self.folder.path().join(name).join("state/owner")).expect("an id");
        id.trim().to_owned()
    }

    /// For each account nine failed logins and a transfer: an alert.
    fn write(&self, accounts: std::ops::Range<usize>) {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a producer");
        let send = |stamp: i64, key: &str, value: &str| {
            while producer.send(BaseRecord::to(&self.topic).timestamp(stamp).key(key).payload(value)).is_err() {
                producer.poll(Duration::from_millis(10));
            }
        };
        for account in accounts {
            let (key, begin) = (format!("acc-{account}"), 1_767_225_600_000 + account as i64 * 100);
            for n in 0..9 {
                let event = format!(
                    r#"{{"id":"l-{account}-{n}","type":"login","time":{begin},"account":"{key}","result":"failure","reason":"wrong_password","ip":"203.0.113.{n}"}}"#
                );
                send(begin + n, &key, &event);
            }
            let event = format!(
                r#"{{"id":"t-{account}","type":"transfer","time":{begin},"account":"{key}","amount":"5.00","currency":"CNY","status":"completed","payee":"p"}}"#
            );
            send(begin + 20, &key, &event);
        }
        producer.flush(Duration::from_secs(60)).expect("written");
    }

    /// Accounts by how many alerts they have.
    fn alerts(&self) -> BTreeMap<String, BTreeMap<String, usize>> {
        let mut found: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for (account, alert, _) in read_topic(&format!("{}.alerts", self.topic)) {
            let alert: Value = serde_json::from_str(&alert).expect("JSON");
            let id = alert["id"].as_str().expect("an id").to_owned();
            *found.entry(account).or_default().entry(id).or_default() += 1;
        }
        found
    }

    /// Waits until so many accounts have an alert.
    fn has_alerts(&self, accounts: usize) {
        let topic = format!("{}.alerts", self.topic);
        wait_until(&format!("alerts of {accounts} accounts"), Duration::from_secs(60), || {
            let is_there = records_in(&topic)? > 0;
            (is_there && self.alerts().len() >= accounts).then_some(())
        });
    }
}

fn owns(detector: &Running) {
    wait_until("it owns the group", Duration::from_secs(60), || {
        detector.log().iter().any(|line| line["message"] == "this detector owns the group").then_some(())
    });
}

fn says(detector: &Running, text: &str) {
    let log = format!("{:?}", detector.log());
    assert!(log.contains(text), "no `{text}` in {log}");
}

#[test]
fn a_second_one_is_refused_by_name_a_frozen_one_is_taken_over_and_stops_when_it_thaws() {
    let wallet = Wallet::new("one");
    wallet.write(0..20);
    let mut first = wallet.detector("a", &[]);
    owns(&first);
    wallet.has_alerts(20);

    let mut mistake = wallet.detector("b", &[]);
    assert_eq!(mistake.exit_code(Duration::from_secs(20)), Some(77));
    says(&mistake, &format!("detector {} works on group", wallet.owner("a")));
    assert!(!wallet.folder.path().join("b/state").exists(), "it leaves nothing behind");

    first.signal("STOP");
    let began = Instant::now();
    // Its state is another one: it is told to begin with an empty one.
    let second = wallet.detector("b", &["--cold"]);
    owns(&second);
    assert!(began.elapsed() >= Duration::from_secs(20), "it watched for 15 s and waited for 5 s");
    wallet.write(20..40);
    wallet.has_alerts(40);

    first.signal("CONT");
    assert_eq!(first.exit_code(Duration::from_secs(15)), Some(75));
    says(&first, &format!("detector {} has taken over group", wallet.owner("b")));
    wallet.write(40..60);
    wallet.has_alerts(60);

    // On purpose, and at once.
    let mut second = second;
    let third = wallet.detector("c", &["--take-over", "--cold"]);
    assert_eq!(second.exit_code(Duration::from_secs(15)), Some(75));
    owns(&third);
    wallet.write(60..80);
    wallet.has_alerts(80);
    third.terminate();

    // Each crossing is told, under one id, however often it was written.
    let alerts = wallet.alerts();
    assert_eq!(alerts.len(), 80);
    for (account, ids) in &alerts {
        assert_eq!(ids.len(), 1, "{account}: {ids:?}");
    }
}
