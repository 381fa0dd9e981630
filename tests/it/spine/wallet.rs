//! One wallet of its own: topics, a configuration, mail, a gateway, and the binary run over them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

use super::staged::Record;
use crate::kit::gateway::{Gateway, SIGNING_KEY};
use crate::kit::kafka::broker;
use crate::kit::postfix::{self, postfix};
use crate::kit::service::{read_topic, summary_of};

/// The generator's command, but for where to.
pub const GENERATOR: [&str; 8] =
    ["generate", "--no-progress", "--events", "100000", "--seed", "7", "--truth", "truth.ndjson"];

/// Partitions of logins, accounts and money.
const PARTITIONS: [i32; 3] = [3, 6, 7];

/// A wallet.
pub struct Wallet {
    folder: TempDir,
    /// Logins, accounts, money.
    pub topics: [String; 3],
    /// The dead letters.
    pub dead: String,
    /// The SMS gateway.
    pub gateway: Gateway,
    /// The domain of its users' mail.
    pub domain: String,
}

/// What `replay` wrote.
pub struct Replayed {
    /// `--alerts`.
    pub alerts: Vec<Value>,
    /// `--findings`.
    pub findings: Vec<Value>,
    /// `--summary`, and `findings_live`: the fired findings of live rules.
    pub summary: Value,
}

/// A number of a summary.
pub fn count(summary: &Value, name: &str) -> u64 {
    number(&summary[name])
}

/// A whole number.
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

impl Wallet {
    /// Topics of 3, 6 and 7 partitions and a configuration that names real servers.
    pub fn new(name: &str) -> Wallet {
        let names = ["logins", "accounts", "transactions"].map(|topic| format!("{name}.{topic}"));
        let topics = std::array::from_fn(|n| broker().topic(&names[n], PARTITIONS[n]));
        let folder = tempfile::tempdir().expect("a folder");
        let gateway = Gateway::start();
        let dead = format!("{}.dead", topics[0]);
        let wallet = Wallet { folder, topics, dead, gateway, domain: format!("{name}.wallet.example") };
        wallet.write_configuration();
        wallet
    }

    /// A path in the wallet's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_configuration(&self) {
        let write = |name: &str, text: &str| std::fs::write(self.path(name), text).expect("a file");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        write("mail-password", postfix::PASSWORD);
        write("sms-key", SIGNING_KEY);
        copy_folder(&root.join("rules"), &self.path("rules"));
        // The shipped policy writes an SMS in addition to the mail from `critical` on, which no alert of the shipped
        // rules reaches: here it does from `high` on, so that both channels are exercised.
        write(
            "rules/policy.yaml",
            "version: 1\nroutes:\n  - {audience: user, from: high, channels: [email, sms], all: true}\n  \
             - {audience: user, from: medium, channels: [email, sms]}\n",
        );
        let geo = ["city", "asn", "anonymous"].map(|n| root.join(format!("tests/data/geo/world-{n}.mmdb")));
        let name = &self.topics[0];
        write(
            "walletwatch.toml",
            &format!(
                "[kafka]\nbrokers = [{:?}]\ntls = false\ntopics = {:?}\ngroup = {name:?}\nstart = \"earliest\"\n\
                 alerts_topic = \"{name}.alerts\"\ncontacts_topic = \"{name}.contacts\"\n\
                 dead_letter_topic = {:?}\ncommit_interval_ms = 200\n\
                 [rules]\npack = \"none\"\ndirectory = \"rules\"\n[geo]\nfiles = {geo:?}\n[state]\ndirectory = \"state\"\n\
                 [email]\nhost = \"localhost\"\nport = {}\nusername = {:?}\npassword_file = \"mail-password\"\n\
                 ca_file = {:?}\nfrom = \"Wallet <security@wallet.example>\"\n\
                 [sms]\nurl = {:?}\nsecret_file = \"sms-key\"\nca_file = {:?}\nallowed_prefixes = [\"+1\", \"+44\", \"+86\"]\n\
                 allowed_networks = [\"127.0.0.0/8\", \"::1/128\"]\n",
                broker().bootstrap,
                self.topics,
                self.dead,
                postfix().port,
                postfix::USER,
                postfix().ca_file,
                self.gateway.url,
                self.gateway.ca_file,
            ),
        );
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
        command.args(args).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn done(&self, args: &[&str]) -> Vec<u8> {
        let output = self.command(args).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
        output.stderr
    }

    /// The same events into Kafka and into `events.ndjson`, and the truth.
    pub fn generate(&self, more: &[&str]) {
        let topics = self.topics.join(",");
        let kafka = ["--brokers", &broker().bootstrap, "--topics", &topics];
        self.done(&[&self.generator()[..], &kafka, more].concat());
        self.generate_file();
    }

    /// Events into `events.ndjson`, and the truth.
    pub fn generate_file(&self) {
        self.done(&[&self.generator()[..], &["--out", "events.ndjson"]].concat());
    }

    fn generator(&self) -> Vec<&str> {
        [&GENERATOR[..], &["--mail-domain", self.domain.as_str()]].concat()
    }

    /// Runs to its end, which must be clean; the summary of its log.
    pub fn run(&self, args: &[&str]) -> Value {
        summary_of(&self.done(&[args, &["--config", "walletwatch.toml"]].concat()))
    }

    /// Starts it, without an end.
    pub fn start(&self) -> Child {
        self.command(&["run", "--config", "walletwatch.toml"]).spawn().expect("it starts")
    }

    /// Writes records into the wallet's topics, as they are, and waits until Kafka has them.
    pub fn write(&self, records: &[Record]) {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a producer");
        for Record { topic, found } in records {
            let mut whole = BaseRecord::<[u8], [u8]>::to(&self.topics[*topic]).payload(&found.value);
            (whole.partition, whole.timestamp) = (Some(found.partition), Some(found.stamp));
            whole.key = found.key.as_deref();
            while let Err((_, again)) = producer.send(whole) {
                producer.poll(Duration::from_millis(10));
                whole = again;
            }
        }
        producer.flush(Duration::from_secs(60)).expect("written");
    }

    /// The production engine over a file.
    pub fn replay(&self, file: &str) -> Replayed {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/geo");
        let geo: Vec<String> =
            ["city", "asn", "anonymous"].map(|n| root.join(format!("world-{n}.mmdb")).display().to_string()).to_vec();
        let mut args = vec!["replay", file, "--rules", "rules", "--alerts", "alerts.ndjson"];
        args.extend(["--findings", "findings.ndjson", "--rejected", "rejected.ndjson", "--summary", "summary.json"]);
        for file in &geo {
            args.extend(["--geo", file]);
        }
        self.done(&args);
        let findings = lines(&self.path("findings.ndjson"));
        let mut summary = lines(&self.path("summary.json")).remove(0);
        let live = findings.iter().filter(|f| f["state"] == "live" && f["outcome"] == "fired").count();
        summary["findings_live"] = live.into();
        Replayed { alerts: lines(&self.path("alerts.ndjson")), findings, summary }
    }

    /// Key, value and reason of every record of a topic.
    pub fn records(&self, topic: &str) -> Vec<(String, String, String)> {
        read_topic(topic)
    }

    /// What stands in `wallet.alerts`.
    pub fn alerts(&self) -> Vec<Value> {
        let records = self.records(&format!("{}.alerts", self.topics[0]));
        records.iter().map(|(_, value, _)| serde_json::from_str(value).expect("JSON")).collect()
    }

    /// The language of each mail address, from `wallet.contacts`.
    pub fn locales(&self) -> BTreeMap<String, String> {
        let mut locales = BTreeMap::new();
        for (_, value, _) in self.records(&format!("{}.contacts", self.topics[0])) {
            let contact: Value = serde_json::from_str(&value).expect("JSON");
            if let (Some(email), Some(locale)) = (contact["email"].as_str(), contact["locale"].as_str()) {
                locales.insert(email.to_owned(), locale.to_owned());
            }
        }
        locales
    }

    /// The desk's file.
    pub fn desk(&self) -> Connection {
        Connection::open(self.path("state/desk.db")).expect("the desk")
    }

    /// Notices that left by a channel.
    pub fn sent(&self, channel: &str) -> u64 {
        let sql = "SELECT count(*) FROM notices WHERE state = 'sent' AND channel = ?1";
        let sent: i64 = self.desk().query_row(sql, [channel], |row| row.get(0)).expect("a number");
        sent.unsigned_abs()
    }

    /// Notices to users that left by a channel; `None` while there is no desk.
    pub fn sent_to_users(&self, channel: &str) -> Option<u64> {
        let desk = Connection::open_with_flags(self.path("state/desk.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        let sql = "SELECT count(*) FROM notices WHERE state = 'sent' AND audience = 'user' AND channel = ?1";
        desk.query_row(sql, [channel], |row| row.get::<_, i64>(0)).ok().map(i64::unsigned_abs)
    }

    /// How many records the group says it is done with; `None` while it has said nothing.
    pub fn committed(&self) -> Option<u64> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &broker().bootstrap)
            .set("group.id", &self.topics[0])
            .create()
            .ok()?;
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in self.topics.iter().zip(PARTITIONS) {
            list.add_partition_range(topic, 0, partitions - 1);
        }
        let committed = consumer.committed_offsets(list, Duration::from_secs(5)).ok()?;
        let of = |offset| if let Offset::Offset(next) = offset { next.unsigned_abs() } else { 0 };
        Some(committed.elements().iter().map(|element| of(element.offset())).sum())
    }

    /// Whether a mail is to somebody of this wallet.
    pub fn is_mine(&self, mail: &[u8]) -> bool {
        String::from_utf8_lossy(mail).contains(&self.domain)
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
