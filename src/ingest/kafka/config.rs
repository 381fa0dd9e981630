//! What Kafka's client is told by the configuration.
//!
//! Guarantees: plain data; secrets are already read (from files) and hide themselves. Checked by `config`,
//! turned into the client's options by `options.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::order;
use crate::event::Millis;
use crate::secret::Secret;

/// Where the first start begins, while the group has no offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record.
    Earliest,
    /// With the next record.
    Latest,
    /// With the first record stamped at or after this moment.
    Time(Millis),
}

/// How the connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// A PEM file of the authorities trusted for the brokers; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with our own certificate, where the brokers want one.
    pub certificate_file: Option<PathBuf>,
    /// A PEM file with its key.
    pub key_file: Option<PathBuf>,
    /// The key's password.
    pub key_password: Option<Secret>,
}

/// A SASL mechanism with user and password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the mechanisms' own names")]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl SaslMechanism {
    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sasl {
    /// User and password.
    Password {
        /// The mechanism.
        mechanism: SaslMechanism,
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// OAUTHBEARER with a token that somebody else keeps fresh in a file; it is read again before it expires.
    Token {
        /// The file.
        file: PathBuf,
    },
}

/// Kafka, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `HOST:PORT` of some brokers.
    pub brokers: Vec<String>,
    /// Encryption; `None`: in clear.
    pub tls: Option<Tls>,
    /// Authentication.
    pub sasl: Option<Sasl>,
    /// The topics with events, in the order that breaks ties of the merge.
    pub topics: Vec<String>,
    /// How long topics of events may bring nothing before that is a fault, ms; a topic that is not named may always.
    pub topic_silent_ms_max: BTreeMap<String, u64>,
    /// The group the offsets are committed to. Nothing else of a group is used.
    pub group: String,
    /// Where the first start begins.
    pub start: Option<Start>,
    /// Where records go that cannot be used.
    pub dead_letter_topic: String,
    /// Where alerts go.
    pub alerts_topic: String,
    /// Where contacts go.
    pub contacts_topic: String,
    /// Partitions of a topic that is created; -1: the broker's default.
    pub created_partitions: i32,
    /// Replicas of a topic that is created; -1: the broker's default.
    pub created_replicas: i32,
    /// Waiting for the order between partitions.
    pub order: order::Limits,
    /// Time between commits of the offsets, ms.
    pub commit_interval_ms: u64,
    /// How long a record may wait to be acknowledged before the detector stops, ms.
    pub produce_wait_ms_max: u64,
    /// Time between two looks for new partitions, ms. No key of the configuration sets this.
    pub partitions_look_ms: u64,
    /// The largest answer we take from a broker, bytes. A broker whose own limit on a record is larger could
    /// wedge us.
    pub receive_bytes_max: u32,
    /// How long a request at start may take, ms.
    pub request_timeout_ms: u64,
    /// The broker is librdkafka's mock cluster inside this process (`demo`): it knows no admin requests, and a
    /// fetch that finds nothing is answered only after its whole wait. No key of the configuration sets this.
    pub is_embedded: bool,
}

impl KafkaConfig {
    /// The defaults, for some brokers.
    pub fn new(brokers: Vec<String>) -> Self {
        KafkaConfig {
            brokers,
            tls: Some(Tls::default()),
            sasl: None,
            topics: ["wallet.logins", "wallet.accounts", "wallet.transactions"].map(str::to_owned).to_vec(),
            topic_silent_ms_max: BTreeMap::new(),
            group: "walletwatch".to_owned(),
            start: None,
            dead_letter_topic: "wallet.events.dead".to_owned(),
            alerts_topic: "wallet.alerts".to_owned(),
            contacts_topic: "wallet.contacts".to_owned(),
            created_partitions: -1,
            created_replicas: -1,
            order: order::Limits::default(),
            commit_interval_ms: 5_000,
            produce_wait_ms_max: 120_000,
            partitions_look_ms: 10_000,
            receive_bytes_max: 100_000_000,
            request_timeout_ms: 15_000,
            is_embedded: false,
        }
    }
}
