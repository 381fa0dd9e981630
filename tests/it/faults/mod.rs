//! Faults of the world around the service, on a real broker behind a proxy: nothing is lost, nothing is told twice,
//! `/readyz` says what is wrong and that it is over, and the alerts are those of `replay` over the same records.
//!
//! [`Wallet`] has one topic of one partition: its order is the only one, so that alerts can be compared whole with those
//! of `replay`. [`spread::Spread`] has three topics of many partitions: there [`oracle`] says what must come of it, which
//! knows the order from the batches that were logged.

mod again;
mod backfill;
mod broker;
mod cold;
mod damage;
mod disk;
mod failpoints;
pub mod kept;
mod kill;
mod load;
mod network;
mod notices;
pub mod oracle;
mod rebuild;
mod records;
mod reload;
mod second;
mod spread;
mod stop;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;
use tempfile::TempDir;

use self::kept::Kept;
use self::oracle::{Agreement, Oracle};
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// Page 7: within this time what is wrong shows.
const SHOWS_WITHIN: Duration = Duration::from_secs(15);
/// How long the service may take to come back after the longest fault: a request of the client's that got no answer is
/// given up after a minute.
const BACK_WITHIN: Duration = Duration::from_secs(90);

/// A record: key, value and timestamp.
#[derive(Clone)]
struct Record {
    key: Option<String>,
    value: Option<Vec<u8>>,
    stamp: i64,
}

/// A wallet of one topic with one partition.
struct Wallet {
    folder: TempDir,
    topic: String,
    /// Where we write, whatever the service suffers.
    bootstrap: String,
    /// Every batch that it logs.
    kept: Kept,
}

impl Wallet {
    /// On the broker at `bootstrap`; the service begins at `service_bootstrap`. The topic is there.
    fn new(topic: String, bootstrap: &str, service_bootstrap: &str, more: &str) -> Wallet {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "[kafka]\nbrokers = [\"{service_bootstrap}\"]\ntls = false\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\n\
             start = \"earliest\"\nalerts_topic = \"{topic}.alerts\"\ncontacts_topic = \"{topic}.contacts\"\n\
             dead_letter_topic = \"{topic}.dead\"\ncommit_interval_ms = 500\n[state]\ndirectory = \"state\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n{more}"
        );
        std::fs::write(folder.path().join("walletwatch.toml"), config).expect("a configuration");
        let kept = Kept::of(&folder.path().join("state"));
        Wallet { folder, topic, bootstrap: bootstrap.to_owned(), kept }
    }

    /// As often as may be.
    fn writes_checkpoints_often(&self) {
        let path = self.folder.path().join("walletwatch.toml");
        let config = std::fs::read_to_string(&path).expect("a configuration");
        std::fs::write(path, config.replace("[state]\n", "[state]\ncheckpoint_ms = 1000\n")).expect("written");
    }

    /// Waits until nothing is left to take.
    fn has_caught_up(&self, service: &Running) {
        wait_until("everything is taken", BACK_WITHIN, || {
            let series = service.scrape()?;
            let lags = series.iter().filter(|(name, _)| name.starts_with("walletwatch_consumer_lag_records{"));
            (lags.map(|(_, lag)| lag).sum::<f64>() == 0.0 && service.failing()?.0 == 200).then_some(())
        });
    }

    /// How many records a service has taken since its start.
    fn taken(&self, service: &Running) -> Option<u64> {
        service.taken()
    }

    fn start(&self) -> Running {
        Running::start(self.folder.path(), &[])
    }

    fn walletwatch(&self, args: &[&str]) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
        let output = command.args(args).current_dir(self.folder.path()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
        output
    }

    /// So many records of a wallet with planted attacks, in the order of their times.
    fn generate(&self, events: u32) -> Vec<Record> {
        let (events, out) = (events.to_string(), "generated.ndjson");
        self.walletwatch(&["generate", "--no-progress", "--seed", "11", "--events", &events, "--out", out]);
        let bytes = std::fs::read(self.folder.path().join(out)).expect("records");
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| Record { key: None, value: Some(line.to_vec()), stamp: 1_767_225_600_000 }).collect()
    }

    /// Writes records past all faults.
    fn write(&self, records: &[Record]) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "2000000")
            .create()
            .expect("a producer");
        for record in records {
            let mut whole = BaseRecord::<str, [u8]>::to(&self.topic).partition(0).timestamp(record.stamp);
            (whole.key, whole.payload) = (record.key.as_deref(), record.value.as_deref());
            while let Err((_, again)) = producer.send(whole) {
                producer.poll(Duration::from_millis(10));
                whole = again;
            }
        }
        producer.flush(Duration::from_secs(120)).expect("written");
    }

    /// The alerts that `replay` makes of these records, and its summary.
    fn replay(&self, records: &[Record]) -> (Vec<Value>, Value) {
        let values: Vec<&[u8]> = records.iter().map(|record| record.value.as_deref().unwrap_or_default()).collect();
        let mut lines = values.join(&b'\n');
        lines.push(b'\n');
        std::fs::write(self.folder.path().join("records.ndjson"), lines).expect("a file");
        let out = ["--alerts", "alerts.ndjson", "--summary", "summary.json", "--no-progress"];
        self.walletwatch(&[&["replay", "records.ndjson"], &out[..]].concat());
        let summary = lines_of(&self.folder.path().join("summary.json")).remove(0);
        (lines_of(&self.folder.path().join("alerts.ndjson")), summary)
    }

    /// What stands in a topic of ours: the values.
    fn told(&self, which: &str) -> Vec<Value> {
        let values = values(&self.bootstrap, &format!("{}.{which}", self.topic));
        values.iter().map(|value| serde_json::from_slice(value).expect("JSON")).collect()
    }

    /// Waits until the service has decided so many records, and everything is taken and acknowledged.
    fn has_taken(&self, service: &Running, records: u64) {
        let mut last = BTreeMap::new();
        wait_until(&format!("{records} records are taken"), BACK_WITHIN, || {
            last = service.scrape()?;
            let sum = |name: &str| -> f64 { last.iter().filter(|(s, _)| s.starts_with(name)).map(|(_, n)| n).sum() };
            let taken = self.taken(service)?;
            (taken >= records && sum("walletwatch_consumer_lag_records{") == 0.0).then_some(())
        });
        service.is_ready();
    }

    /// The batch log is whole, and alerts, desk, dead letters, contacts and state are those of an engine that ran once
    /// over it, undisturbed: each alert written at least once, and every time the same. The service has stopped cleanly.
    fn agrees(&self) -> Agreement {
        let oracle = Oracle::of(self.folder.path(), &self.bootstrap, &self.kept);
        let (agreement, undisturbed) = oracle.agrees();
        oracle.desk_agrees(&undisturbed);
        agreement
    }

    /// The alerts are those of a replay, each once, whole and in order; at the desk too.
    fn alerts_are_those_of_a_replay(&self, records: &[Record]) {
        let (expected, summary) = self.replay(records);
        assert!(expected.len() > 3, "nothing to compare: {summary}");
        let told = self.told("alerts");
        let ids = |alerts: &[Value]| alerts.iter().map(|alert| alert["id"].to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&told), ids(&expected));
        assert_eq!(told, expected);
        let desk = rusqlite::Connection::open(self.folder.path().join("state/desk.db")).expect("the desk");
        let count = |sql: &str| desk.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
        assert_eq!(count("SELECT count(*) FROM alerts"), expected.len() as i64);
    }
}

fn lines_of(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The values of a topic of one partition.
fn values(bootstrap: &str, topic: &str) -> Vec<Vec<u8>> {
    use rdkafka::Message as _;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "test.faults")
        .create()
        .expect("a consumer");
    let (low, high) = consumer.fetch_watermarks(topic, 0, Duration::from_secs(60)).expect("the ends");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).expect("a partition");
    consumer.assign(&list).expect("assigned");
    let mut found = Vec::new();
    wait_until("everything is read", Duration::from_secs(60), || {
        while let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
            found.push(message.payload().unwrap_or_default().to_vec());
        }
        (found.len() as i64 >= high - low).then_some(())
    });
    found
}

/// At most one line a second tells of trouble, whatever goes wrong at once.
fn is_calm(log: &[Value]) {
    let trouble = log.iter().filter(|line| line["level"] == "WARN" || line["level"] == "ERROR");
    let told: Vec<(f64, &str)> = trouble
        .filter(|line| line["target"].as_str().is_some_and(|target| target.contains("ingest")))
        .map(|line| {
            let time: jiff::Timestamp = line["timestamp"].as_str().expect("a time").parse().expect("a time");
            (time.as_microsecond() as f64 / 1e6, line["message"].as_str().unwrap_or_default())
        })
        .collect();
    for pair in told.windows(2) {
        // Two lines are stamped a moment after they were let through.
        assert!(pair[1].0 - pair[0].0 > 0.95, "{pair:#?}");
    }
}
