//! A wallet spread over three topics and sixteen partitions, under the shipped rules and busier ones, with an SMS gateway
//! that stumbles: what the kill tests run the service on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::kept::Kept;
use super::notices;
use super::oracle::{Agreement, Oracle, opened};
use crate::kit::gateway::{Gateway, SIGNING_KEY};
use crate::kit::kafka::Broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;
use crate::kit::service::{Found, records_at};

/// Partitions of logins, accounts and money.
const PARTITIONS: [i32; 3] = [3, 6, 7];
/// Records that are written at once, and the pause between: a service that runs is under load for a while.
const BURST_RECORDS: usize = 10;
const BURST_PAUSE: Duration = Duration::from_millis(25);
/// One record that is no event comes with so many that are.
const RECORDS_PER_POISON: usize = 200;
/// How long the service may take until nothing is left to do: a notice is tried again within seconds.
const DONE_WITHIN: Duration = Duration::from_secs(120);

/// A record, and which of the topics it is for.
pub struct Placed {
    topic: usize,
    found: Found,
}

/// The wallet.
pub struct Spread {
    folder: TempDir,
    topics: [String; 3],
    /// Where we write and read, whatever the service suffers.
    bootstrap: String,
    /// Where the service begins.
    service_bootstrap: String,
    gateway: Gateway,
    kept: Kept,
}

impl Spread {
    /// Topics, a configuration, a gateway.
    pub fn new(name: &str, broker: &Broker) -> Spread {
        Self::behind(name, broker, &broker.bootstrap)
    }

    /// The same, of a service that begins elsewhere: at a proxy.
    pub fn behind(name: &str, broker: &Broker, service_bootstrap: &str) -> Spread {
        let topics = topics(name, broker);
        let folder = tempfile::tempdir().expect("a folder");
        let gateway = Gateway::start();
        gateway.stumble();
        let kept = Kept::of(&folder.path().join("state"));
        let (bootstrap, service_bootstrap) = (broker.bootstrap.clone(), service_bootstrap.to_owned());
        let spread = Spread { folder, topics, bootstrap, service_bootstrap, gateway, kept };
        spread.write_configuration();
        spread
    }

    fn write_configuration(&self) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let geo = ["city", "asn", "anonymous"].map(|n| root.join(format!("tests/data/geo/world-{n}.mmdb")));
        let name = &self.topics[0];
        std::fs::write(self.path("sms-key"), SIGNING_KEY).expect("a file");
        // Contacts are waited for however long the service is away: which address a notice goes to depends on no clock.
        let text = format!(
            "[kafka]\nbrokers = [{:?}]\ntls = false\ntopics = {:?}\ngroup = {name:?}\nstart = \"earliest\"\n\
             alerts_topic = \"{name}.alerts\"\ncontacts_topic = \"{name}.contacts\"\n\
             dead_letter_topic = \"{name}.dead\"\ncommit_interval_ms = 300\n\
             [rules]\ndirectory = {:?}\n[geo]\nfiles = {geo:?}\n[state]\ndirectory = \"state\"\ncheckpoint_ms = 1000\n\
             [alerts]\ncontact_wait_ms = 600000\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [sms]\nurl = {:?}\nsecret_file = \"sms-key\"\nca_file = {:?}\nallowed_prefixes = [\"+1\", \"+44\", \"+86\"]\n\
             allowed_networks = [\"127.0.0.0/8\", \"::1/128\"]\n",
            self.service_bootstrap,
            self.topics,
            root.join("tests/data/faults/rules"),
            self.gateway.url,
            self.gateway.ca_file,
        );
        std::fs::write(self.path("walletwatch.toml"), text).expect("a configuration");
    }

    /// A path in the wallet's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The service on it.
    pub fn start(&self) -> Running {
        Running::start(self.folder.path(), &[])
    }

    /// The service of another build, or with more in its environment.
    pub fn start_of(&self, command: Command) -> Running {
        Running::start_of(command, self.folder.path(), &[])
    }

    /// Writes records into the wallet's topics, some at a time, so that a service that runs is under load.
    pub fn write(&self, records: &[Placed]) {
        self.write_until(records, &AtomicBool::new(false));
    }

    /// The same until somebody says so. How many were written.
    pub fn write_until(&self, records: &[Placed], stop: &AtomicBool) -> usize {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("enable.idempotence", "true")
            .create()
            .expect("a producer");
        let mut written = 0;
        for burst in records.chunks(BURST_RECORDS).take_while(|_| !stop.load(Ordering::Relaxed)) {
            for Placed { topic, found } in burst {
                let mut whole = BaseRecord::<[u8], [u8]>::to(&self.topics[*topic]).payload(&found.value);
                (whole.partition, whole.timestamp) = (Some(found.partition), Some(found.stamp));
                whole.key = found.key.as_deref();
                while let Err((_, again)) = producer.send(whole) {
                    producer.poll(Duration::from_millis(10));
                    whole = again;
                }
            }
            producer.poll(BURST_PAUSE);
            written += burst.len();
        }
        producer.flush(Duration::from_secs(120)).expect("written");
        written
    }

    /// Waits until nothing is left to do: everything is taken and committed, the desk has read all that came of it, and
    /// every notice is sent or cannot be.
    pub fn is_done(&self) {
        let name = &self.topics[0];
        let events = ends(&self.bootstrap, &self.topics);
        wait_until(&format!("{events} records are committed"), DONE_WITHIN, || {
            (self.committed().values().sum::<i64>() == events).then_some(())
        });
        let told = ends(&self.bootstrap, &[format!("{name}.alerts"), format!("{name}.contacts")]);
        wait_until("the desk has read everything and every notice is sent", DONE_WITHIN, || {
            let desk = self.desk()?;
            let number = |sql: &str| desk.query_row(sql, [], |row| row.get::<_, i64>(0)).ok();
            let read = number("SELECT sum(next_offset) FROM offsets")?;
            let open = number("SELECT count(*) FROM notices WHERE state IN ('queued', 'waiting')")?;
            (read == told && open == 0).then_some(())
        });
    }

    fn desk(&self) -> Option<Connection> {
        Connection::open_with_flags(self.path("state/desk.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()
    }

    /// What the group says it is done with, by topic and partition.
    fn committed(&self) -> std::collections::BTreeMap<(String, i32), i64> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", &self.topics[0])
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in self.topics.iter().zip(PARTITIONS) {
            list.add_partition_range(topic, 0, partitions - 1);
        }
        let committed = consumer.committed_offsets(list, Duration::from_secs(30)).expect("committed");
        let of = |offset| if let Offset::Offset(next) = offset { next } else { 0 };
        let elements = committed.elements();
        elements.iter().map(|e| ((e.topic().to_owned(), e.partition()), of(e.offset()))).collect()
    }

    /// Nothing is committed that the state does not hold: looked at in a copy of what a dead service left, so that the
    /// next start finds what it left.
    pub fn committed_is_durable(&self) {
        let committed = self.committed();
        let copy = tempfile::tempdir().expect("a folder");
        let copied = Command::new("cp").args(["-a".into(), self.path("state"), copy.path().join("state")]).status();
        assert!(copied.expect("cp").success());
        let state = copy.path().join("state");
        if !state.join("hash.key").exists() {
            assert!(committed.values().all(|next| *next <= 0), "there is no state and {committed:?} is committed");
            return;
        }
        let (_, checkpoint) = opened(&state);
        let offsets = checkpoint.map(|checkpoint| checkpoint.progress.offsets).unwrap_or_default();
        for ((topic, partition), next) in committed.into_iter().filter(|(_, next)| *next > 0) {
            let held = offsets.iter().find(|held| held.topic == topic && held.partition == partition);
            let held = held.map_or(0, |held| held.offset);
            assert!(next <= held, "{topic}[{partition}]: {next} is committed and the state ends at {held}");
        }
    }

    /// The batch log is whole, and alerts, desk, dead letters, contacts, state and notices are those of an engine that ran
    /// once over it. The service has stopped cleanly. Also how many notices the gateway has, and how many came twice.
    pub fn agrees(&self) -> (Agreement, notices::Delivered) {
        let oracle = Oracle::of(self.folder.path(), &self.bootstrap, &self.kept);
        let (agreement, undisturbed) = oracle.agrees();
        oracle.desk_agrees(&undisturbed);
        let delivered = notices::are_delivered_once(&oracle, &undisturbed, &self.gateway.requests());
        (agreement, delivered)
    }
}

/// Whoever writes stops, also when the test fails.
pub struct Over<'o>(pub &'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// So many records of the generator as they stand in its topics, in the order of their timestamps, and between them some
/// that are no events.
pub fn generate(name: &str, broker: &Broker, events: usize) -> Vec<Placed> {
    let topics = topics(&format!("{name}.made"), broker);
    let status = Command::new(env!("CARGO_BIN_EXE_walletwatch"))
        .args(["generate", "--no-progress", "--seed", "11", "--events", &events.to_string()])
        .args(["--brokers", &broker.bootstrap, "--topics", &topics.join(",")])
        .status()
        .expect("it runs");
    assert!(status.success());
    let of = |(topic, name): (usize, &String)| {
        records_at(&broker.bootstrap, name).into_iter().map(move |found| Placed { topic, found })
    };
    let mut records: Vec<Placed> = topics.iter().enumerate().flat_map(of).collect();
    assert_eq!(records.len(), events);
    // The sort is stable: what one partition holds keeps its order.
    records.sort_by_key(|record| record.found.stamp);
    let poison = |Placed { topic, found }: &Placed| {
        let (partition, stamp, value) = (found.partition, found.stamp, b"{".to_vec());
        Placed { topic: *topic, found: Found { partition, stamp, value, ..Found::default() } }
    };
    let mut mixed = Vec::with_capacity(records.len() + records.len() / RECORDS_PER_POISON);
    for (number, record) in records.into_iter().enumerate() {
        let between = number.is_multiple_of(RECORDS_PER_POISON).then(|| poison(&record));
        mixed.extend(between.into_iter().chain([record]));
    }
    mixed
}

fn topics(name: &str, broker: &Broker) -> [String; 3] {
    let names = ["logins", "accounts", "transactions"].map(|topic| format!("{name}.{topic}"));
    std::array::from_fn(|n| broker.topic(&names[n], PARTITIONS[n]))
}

/// Where all partitions of these topics end, summed.
fn ends(bootstrap: &str, topics: &[String]) -> i64 {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a consumer");
    let limit = Duration::from_secs(30);
    let of = |topic: &String| -> i64 {
        let metadata = consumer.fetch_metadata(Some(topic), limit).expect("metadata");
        let partitions = metadata.topics()[0].partitions().iter();
        partitions.map(|p| consumer.fetch_watermarks(topic, p.id(), limit).expect("the ends").1).sum()
    };
    topics.iter().map(of).sum()
}
