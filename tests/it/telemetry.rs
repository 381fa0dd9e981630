//! Metrics and health of the service itself, started as a user would: what goes in is what is counted, and what
//! breaks is named by `/readyz` within fifteen seconds.

mod parts;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tempfile::TempDir;
use walletwatch::telemetry::catalogue::{self, Kind};

use crate::kit::gateway::{Gateway, SIGNING_KEY};
use crate::kit::kafka::{Broker, broker};
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// Page 7: within this time what is wrong shows.
const SHOWS_WITHIN: Duration = Duration::from_secs(15);

const RULES: &str = r#"version: 1
lists:
  bad: {type: ip, owner: tests, max_age: 30d, items: [192.0.2.66, 198.51.100.0/24]}
features:
  acct_fail_10m: {count: login, where: result == "failure", by: account, over: 10m}
rules:
  - id: three-failures
    title: Three failed logins
    revision: 1
    state: live
    owner: tests
    severity: high
    score: 75
    audience: [security]
    on: login
    when: result == "failure" and acct_fail_10m >= 3
    dedup: {by: account, for: 30m}
    explain: "{acct_fail_10m} failed logins"
    runbook: https://runbooks.example/three
    tests:
      - name: the third fires
        given: {type: login, result: failure, account: a1}
        events: [{repeat: 3, every: 60s, expect: fire-last}]
      - name: a good login is quiet
        given: {type: login, result: success, account: a1}
        events: [{expect: quiet}]
  - id: money-moved
    title: Money moved
    revision: 1
    state: shadow
    owner: tests
    severity: low
    score: 10
    audience: [security]
    on: transfer
    when: status == "completed" or ip in lists.bad
    explain: "moved"
    runbook: https://runbooks.example/moved
    tests:
      - name: a completed one fires
        given: {type: transfer, status: completed, account: a1, amount: 5 CNY}
        events: [{expect: fire}]
      - name: a declined one is quiet
        given: {type: transfer, status: declined, account: a1, amount: 5 CNY}
        events: [{expect: quiet}]
"#;

/// One wallet of its own, on a broker.
struct Wallet<'b> {
    broker: &'b Broker,
    folder: TempDir,
    /// Logins, accounts, money: one partition each.
    topics: [String; 3],
    gateway: Option<Gateway>,
}

impl<'b> Wallet<'b> {
    fn new(name: &str, broker: &'b Broker, more: &str) -> Self {
        let topics = ["logins", "accounts", "money"].map(|topic| broker.topic(&format!("{name}.{topic}"), 1));
        let folder = tempfile::tempdir().expect("a folder");
        let gateway = Gateway::start();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        std::fs::create_dir(folder.path().join("rules")).expect("a folder");
        write("rules/rules.yaml", RULES);
        write("rules/policy.yaml", "version: 1\nroutes:\n  - {audience: security, from: medium, channels: [soc]}\n");
        write("soc-key", SIGNING_KEY);
        let first = &topics[0];
        let geo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/geo/world-asn.mmdb");
        write(
            "walletwatch.toml",
            &format!(
                "[kafka]\nbrokers = [{:?}]\ntls = false\ntopics = {topics:?}\ngroup = {first:?}\nstart = \"earliest\"\n\
                 alerts_topic = \"{first}.alerts\"\ncontacts_topic = \"{first}.contacts\"\n\
                 dead_letter_topic = \"{first}.dead\"\n[state]\ndirectory = \"state\"\n\
                 [rules]\npack = \"none\"\ndirectory = \"rules\"\n[geo]\nfiles = [{geo:?}]\n\
                 [webhook.soc]\nurl = {:?}\nsecret_file = \"soc-key\"\nca_file = {:?}\n\
                 allowed_networks = [\"127.0.0.0/8\", \"::1/128\"]\n[http]\nlisten = \"127.0.0.1:0\"\n{more}",
                broker.bootstrap, gateway.url, gateway.ca_file,
            ),
        );
        Wallet { broker, folder, topics, gateway: Some(gateway) }
    }

    fn start(&self) -> Running {
        Running::start(self.folder.path(), &[])
    }

    fn write(&self, records: &[(usize, String)]) {
        self.write_with_key("acc-1", records);
    }

    fn write_with_key(&self, key: &str, records: &[(usize, String)]) {
        let records: Vec<_> = records.iter().map(|(topic, value)| (self.topics[*topic].as_str(), value)).collect();
        write_keyed(self.broker, key, &records);
    }
}

fn write(broker: &Broker, records: &[(&str, &String)]) {
    write_keyed(broker, "acc-1", records);
}

fn write_keyed(broker: &Broker, key: &str, records: &[(&str, &String)]) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &broker.bootstrap).create().expect("a producer");
    for (topic, value) in records {
        while producer.send(BaseRecord::to(topic).partition(0).key(key).payload(value.as_str())).is_err() {
            producer.poll(Duration::from_millis(10));
        }
    }
    producer.flush(Duration::from_secs(60)).expect("written");
}

/// 2026-01-01, noon.
const NOON_MS: i64 = 1_767_268_800_000;

fn login(id: &str, after_ms: i64) -> (usize, String) {
    let time = NOON_MS + after_ms;
    let fields = r#""account":"acc-1","result":"failure","reason":"wrong_password","ip":"198.51.100.7""#;
    (0, format!(r#"{{"id":"{id}","type":"login","time":{time},{fields}}}"#))
}

/// Four failed logins, one of them once more, one of them two hours late, and an mfa; a transfer; and two records that
/// are none.
fn ten_events() -> Vec<(usize, String)> {
    let time = NOON_MS + 10_000;
    let transfer = |id: &str, amount: &str| {
        let head = format!(r#""id":"{id}","type":"transfer","time":{time},"account":"acc-1""#);
        format!(r#"{{{head},"status":"completed",{amount}"payee":"acc-2"}}"#)
    };
    vec![
        login("l-1", 0),
        login("l-2", 1000),
        login("l-3", 2000),
        login("l-4", 3000),
        login("l-2", 1000),
        login("l-5", -7_200_000),
        (1, format!(r#"{{"id":"m-1","type":"mfa","time":{time},"account":"acc-1","result":"success"}}"#)),
        (1, r#"{"id":"#.to_owned()),
        (2, transfer("t-1", r#""amount":"5.00","currency":"CNY","#)),
        (2, transfer("t-2", "")),
    ]
}

#[test]
fn ten_events_are_counted_as_ten() {
    let wallet = Wallet::new("ten", broker(), "");
    let service = wallet.start();
    service.is_ready();
    let ten = ten_events();
    // The first two have a key that is not their account.
    let (of_another_key, rest) = ten.split_at(2);
    wallet.write_with_key("a-realm", of_another_key);
    wallet.write(rest);
    let [first, second, third] = &wallet.topics;
    let expected: BTreeMap<String, f64> = [
        (r#"walletwatch_events_total{outcome="accepted",type="login"}"#.to_owned(), 4.0),
        (r#"walletwatch_events_total{outcome="late",type="login"}"#.to_owned(), 1.0),
        (r#"walletwatch_events_total{outcome="duplicate",type="login"}"#.to_owned(), 1.0),
        (r#"walletwatch_events_total{outcome="accepted",type="mfa"}"#.to_owned(), 1.0),
        (r#"walletwatch_events_total{outcome="accepted",type="transfer"}"#.to_owned(), 1.0),
        (r#"walletwatch_events_rejected_total{reason="not_json"}"#.to_owned(), 1.0),
        (r#"walletwatch_events_rejected_total{reason="missing_field"}"#.to_owned(), 1.0),
        (format!(r#"walletwatch_events_with_account_total{{topic="{first}"}}"#), 5.0),
        (format!(r#"walletwatch_events_key_not_account_total{{topic="{first}"}}"#), 2.0),
        (format!(r#"walletwatch_events_with_account_total{{topic="{second}"}}"#), 1.0),
        (format!(r#"walletwatch_events_key_not_account_total{{topic="{second}"}}"#), 0.0),
        (format!(r#"walletwatch_events_with_account_total{{topic="{third}"}}"#), 1.0),
        (format!(r#"walletwatch_events_key_not_account_total{{topic="{third}"}}"#), 0.0),
        (r#"walletwatch_findings_total{outcome="fired",rule="three-failures",state="live"}"#.to_owned(), 1.0),
        (r#"walletwatch_findings_total{outcome="repeated",rule="three-failures",state="live"}"#.to_owned(), 1.0),
        (r#"walletwatch_findings_total{outcome="excepted",rule="three-failures",state="live"}"#.to_owned(), 0.0),
        (r#"walletwatch_findings_total{outcome="fired",rule="money-moved",state="shadow"}"#.to_owned(), 1.0),
        (r#"walletwatch_alerts_total{band="high"}"#.to_owned(), 1.0),
        (r#"walletwatch_alerts_total{band="critical"}"#.to_owned(), 0.0),
        ("walletwatch_alert_latency_seconds_count".to_owned(), 1.0),
        (r#"walletwatch_alert_latency_seconds_bucket{le="60"}"#.to_owned(), 1.0),
        (r#"walletwatch_alert_latency_seconds_bucket{le="0.001"}"#.to_owned(), 0.0),
        (format!(r#"walletwatch_kafka_acknowledged_total{{topic="{first}.alerts"}}"#), 1.0),
        (format!(r#"walletwatch_kafka_acknowledged_total{{topic="{first}.contacts"}}"#), 0.0),
        (format!(r#"walletwatch_kafka_acknowledged_total{{topic="{first}.dead"}}"#), 2.0),
        (format!(r#"walletwatch_consumer_lag_records{{topic="{first}"}}"#), 0.0),
        (format!(r#"walletwatch_consumer_lag_records{{topic="{first}.alerts"}}"#), 0.0),
        (r#"walletwatch_desk_alerts_total{outcome="new"}"#.to_owned(), 1.0),
        (r#"walletwatch_desk_decisions_total{audience="security",reason="first_seen"}"#.to_owned(), 1.0),
        (r#"walletwatch_notices_total{channel="soc",outcome="sent",reason="delivered"}"#.to_owned(), 1.0),
        (r#"walletwatch_outbox_notices{channel="soc",state="queued"}"#.to_owned(), 0.0),
        (r#"walletwatch_channel_failures_in_a_row{channel="soc"}"#.to_owned(), 0.0),
        // Five logins with an address that were not repeated.
        (r#"walletwatch_geo_lookups_total{outcome="found"}"#.to_owned(), 5.0),
        (r#"walletwatch_state_entities{entity="account"}"#.to_owned(), 1.0),
        ("walletwatch_event_ids".to_owned(), 7.0),
        (r#"walletwatch_list_entries{list="bad"}"#.to_owned(), 2.0),
        ("walletwatch_list_age_limit_seconds{list=\"bad\"}".to_owned(), 30.0 * 86_400.0),
        (r#"walletwatch_rules{state="live"}"#.to_owned(), 1.0),
        (r#"walletwatch_queue_capacity{queue="batches"}"#.to_owned(), 3.0),
        ("walletwatch_ready".to_owned(), 1.0),
    ]
    .into();
    let differing = |scrape: &BTreeMap<String, f64>| -> Vec<String> {
        let wrong = expected.iter().filter(|(series, value)| scrape.get(*series) != Some(*value));
        wrong.map(|(series, value)| format!("{series}: {:?} for {value}", scrape.get(series))).collect()
    };
    let mut last = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    let scrape = wait_until("all ten are counted", Duration::from_secs(60), || {
        let scrape = service.scrape()?;
        last = differing(&scrape);
        assert!(Instant::now() < deadline, "{last:#?}");
        last.is_empty().then_some(scrape)
    });
    let sum = |name: &str| -> f64 { scrape.iter().filter(|(s, _)| s.starts_with(name)).map(|(_, value)| value).sum() };
    assert_eq!(sum("walletwatch_events_total{") + sum("walletwatch_events_rejected_total{"), 10.0);
    assert!(sum("walletwatch_alert_latency_seconds_sum") > 0.0);
    assert!(scrape[r#"walletwatch_state_bytes{entity="account"}"#] > 0.0);
    assert!(sum("walletwatch_geo_age_seconds{") > 0.0);
    assert!(scrape["process_resident_memory_bytes"] > 1e6);
    assert!(scrape.keys().any(|series| series.starts_with("walletwatch_ruleset_info{digest=\"b3:")), "{scrape:#?}");
    agrees_with_the_catalogue(&service);
    assert_eq!(service.get("/healthz"), Some((200, "alive\n".to_owned())));
    let log = service.terminate();
    let summary = log.iter().rfind(|line| line["message"] == "summary").expect("a summary");
    for (what, count) in [("records", 10), ("accepted", 7), ("duplicates", 1), ("rejected", 2), ("acknowledged", 3)] {
        assert_eq!(summary[what].as_u64(), Some(count), "{what}: {summary}");
    }
}

/// What is served is what the catalogue says, no more and no less than it may be, and not too much of it.
fn agrees_with_the_catalogue(service: &Running) {
    let (_, text) = service.get("/metrics").expect("an answer");
    let families: Vec<_> = catalogue::ALL.iter().chain(catalogue::PROCESS).collect();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a kind");
        let family = families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(family.kind.word(), kind, "{name}");
    }
    let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for line in &series {
        let end = line.find(['{', ' ']).expect("a name");
        let is_it = |family: &catalogue::Family| match family.kind {
            Kind::Histogram => line[..end].starts_with(family.name),
            _ => family.name == &line[..end],
        };
        let family = families.iter().find(|family| is_it(family)).unwrap_or_else(|| panic!("{line}"));
        for label in family.labels {
            assert!(line.contains(&format!("{label}=\"")), "{label}: {line}");
        }
        assert!(!line.contains("acc-1") && !line.contains("198.51.100"), "no data of events: {line}");
    }
    assert!(series.len() < 500, "{} series", series.len());
}

#[test]
fn a_backlog_over_the_limit_is_not_ready_until_it_is_worked_off() {
    let wallet = Wallet::new("backlog-limit", broker(), "ready_lag_records_max = 1\n");
    let service = wallet.start();
    service.is_ready();
    // However fast the machine: records come until the lag was seen, and a little longer than that may take.
    let (is_seen, deadline) = (AtomicBool::new(false), Instant::now() + 2 * SHOWS_WITHIN);
    let (broker, topic) = (wallet.broker, wallet.topics[0].as_str());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for burst in 0.. {
                if is_seen.load(Ordering::Relaxed) || Instant::now() > deadline {
                    break;
                }
                let logins: Vec<_> = (0..1000).map(|n| login(&format!("l-{burst}-{n}"), burst).1).collect();
                write(broker, &logins.iter().map(|value| (topic, value)).collect::<Vec<_>>());
            }
        });
        service.fails("lag", "records behind, at most 1", SHOWS_WITHIN);
        is_seen.store(true, Ordering::Relaxed);
    });
    service.is_ready();
    service.terminate();
}

#[test]
fn a_broker_that_is_gone_is_named_within_fifteen_seconds() {
    let broker = Broker::start();
    let wallet = Wallet::new("gone", &broker, "");
    let service = wallet.start();
    service.is_ready();
    let Wallet { folder: _folder, gateway: _gateway, .. } = wallet;
    drop(broker);
    service.fails("kafka", "ask Kafka for the ends", SHOWS_WITHIN);
    assert_eq!(service.get("/healthz").map(|(status, _)| status), Some(200), "it is alive");
    let scrape = service.scrape().expect("a scrape");
    assert_eq!(scrape[r#"walletwatch_check_failed{check="kafka"}"#], 1.0);
    assert_eq!(scrape["walletwatch_ready"], 0.0);
}

#[test]
fn a_desk_that_cannot_be_written_is_named_and_so_is_its_recovery() {
    let wallet = Wallet::new("desk-locked", broker(), "");
    let service = wallet.start();
    service.is_ready();
    let other = rusqlite::Connection::open(wallet.folder.path().join("state/desk.db")).expect("the desk's file");
    other.execute_batch("BEGIN IMMEDIATE").expect("the only writer");
    service.fails("desk", "is locked by ", SHOWS_WITHIN);
    other.execute_batch("ROLLBACK").expect("no writer");
    service.is_ready();
    service.terminate();
}

#[test]
fn a_dead_channel_is_named_within_fifteen_seconds() {
    let mut wallet = Wallet::new("dead-channel", broker(), "");
    let service = wallet.start();
    service.is_ready();
    drop(wallet.gateway.take());
    wallet.write(&[login("l-1", 0), login("l-2", 1), login("l-3", 2)]);
    service.fails("channel.soc", "tries failed in a row, the last one: refused", SHOWS_WITHIN);
    let scrape = service.scrape().expect("a scrape");
    assert!(scrape[r#"walletwatch_channel_failures_in_a_row{channel="soc"}"#] >= 2.0);
    let retried = scrape.iter().filter(|(s, _)| s.contains("channel=\"soc\",outcome=\"retried\""));
    assert!(retried.map(|(_, tries)| tries).sum::<f64>() >= 2.0, "{scrape:#?}");
    service.terminate();
}

#[test]
fn a_topic_that_is_silent_for_too_long_is_told_once_and_so_is_that_it_speaks() {
    let wallet = Wallet::new("silent", broker(), "");
    let path = wallet.folder.path().join("walletwatch.toml");
    let [silent, unlimited, _] = &wallet.topics;
    let mut config = std::fs::read_to_string(&path).expect("the configuration");
    config.push_str(&format!("[kafka.topic_silent_ms_max]\n{silent:?} = 4000\n"));
    std::fs::write(&path, config).expect("a configuration");
    let service = wallet.start();
    let check = format!("silence.{silent}");
    service.fails(&check, "nothing has come for ", SHOWS_WITHIN);
    let scrape = service.scrape().expect("a scrape");
    assert_eq!(scrape[&format!(r#"walletwatch_consumer_silence_limit_seconds{{topic="{silent}"}}"#)], 4.0);
    assert!(scrape[&format!(r#"walletwatch_consumer_silence_seconds{{topic="{silent}"}}"#)] > 4.0);
    assert_eq!(scrape[&format!(r#"walletwatch_check_failed{{check="{check}"}}"#)], 1.0);
    assert!(!scrape.contains_key(&format!(r#"walletwatch_consumer_silence_limit_seconds{{topic="{unlimited}"}}"#)));
    wallet.write(&[login("l-1", 0)]);
    service.is_ready();
    service.fails(&check, "nothing has come for ", SHOWS_WITHIN);
    let log = service.terminate();
    let told: Vec<&str> = log
        .iter()
        .filter(|line| line["topic"] == silent.as_str())
        .map(|line| line["message"].as_str().expect("a message"))
        .filter(|message| message.contains("silent"))
        .collect();
    let [first, second, third] = told.as_slice() else { panic!("{told:#?}") };
    assert!(first.contains("longer than kafka.topic_silent_ms_max") && third == first, "{told:#?}");
    assert_eq!(*second, "a topic that was silent speaks again");
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let wallet = Wallet::new("taken", broker(), "");
    let path = wallet.folder.path().join("walletwatch.toml");
    let text = std::fs::read_to_string(&path).expect("it").replace("127.0.0.1:0", &address.to_string());
    std::fs::write(&path, text).expect("a configuration");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_walletwatch"))
        .args(["run", "--config", "walletwatch.toml"])
        .current_dir(wallet.folder.path())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(74), "{said}");
    assert!(said.contains(&format!("failed to listen on http.listen = {address}")), "{said}");
    assert!(!wallet.folder.path().join("state").exists(), "nothing was started");
}
