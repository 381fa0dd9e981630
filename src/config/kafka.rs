//! The section `[kafka]`.
//!
//! Guarantees: what is read can be connected with; in clear off loopback only where that was written down.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use super::mappings::{self, TopicMapping};
use super::secrets::{self, Folders};
use super::table::{Located, Section};
use crate::event::Millis;
use crate::ingest::kafka::{KafkaConfig, Sasl, SaslMechanism, Start, Tls};
use crate::report::did_you_mean;

/// How long a topic may be silent, ms: a second to 30 days.
const SILENT_MS: RangeInclusive<i64> = 1000..=2_592_000_000;

/// How somebody says who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Password(SaslMechanism),
    Token,
}

const MECHANISMS: [(&str, Mechanism); 4] = [
    ("scram-sha-512", Mechanism::Password(SaslMechanism::ScramSha512)),
    ("scram-sha-256", Mechanism::Password(SaslMechanism::ScramSha256)),
    ("plain", Mechanism::Password(SaslMechanism::Plain)),
    ("oauthbearer", Mechanism::Token),
];

/// Reads it, with the mappings of its topics.
pub fn read(section: Section<'_, '_>, folders: &Folders) -> (KafkaConfig, Vec<TopicMapping>) {
    let brokers = brokers(&section);
    let mut config = KafkaConfig::new(brokers.iter().map(|broker| broker.value.clone()).collect());
    security(&section, &brokers, &mut config, folders);
    let topics = section.texts("topics");
    for (at, topic) in topics.iter().flatten().enumerate() {
        if topics.iter().flatten().take(at).any(|before| before.value == topic.value) {
            section.refuse("C005", &topic.at, format!("topic `{}` is named twice", topic.value));
        }
        check_topic(&section, topic);
    }
    if let Some(topics) = &topics {
        if topics.is_empty() {
            section.refuse("C005", &section.place("topics"), "`kafka.topics` names no topic");
        }
        config.topics = topics.iter().map(|topic| topic.value.clone()).collect();
    }
    own_topics(&section, topics.as_deref().unwrap_or_default(), &mut config);
    if let Some(group) = section.text("group") {
        config.group = group.value;
    }
    config.start = start(&section);
    numbers(&section, &mut config);
    config.topic_silent_ms_max = silent_ms_max(&section.section("topic_silent_ms_max"), &config.topics);
    let mappings = mappings::read(&section.section("mappings"), &config.topics, folders);
    section.done();
    (config, mappings)
}

/// A topic of our own, as configured or as it is by default.
struct OwnTopic {
    key: &'static str,
    name: String,
    /// Where it is written; by default nowhere.
    at: Option<Range<usize>>,
}

/// Reads the topics we write to. None is a topic of events, and no two are one: defaults are compared too.
fn own_topics(section: &Section<'_, '_>, events: &[Located<String>], config: &mut KafkaConfig) {
    let keys = [
        ("dead_letter_topic", &mut config.dead_letter_topic),
        ("alerts_topic", &mut config.alerts_topic),
        ("contacts_topic", &mut config.contacts_topic),
    ];
    let mut before: Vec<OwnTopic> = Vec::new();
    for (key, topic) in keys {
        let written = section.text(key);
        if let Some(written) = &written {
            check_topic(section, written);
            topic.clone_from(&written.value);
        }
        let own = OwnTopic { key, name: topic.clone(), at: written.map(|written| written.at) };
        if config.topics.contains(&own.name) {
            refuse_event_topic(section, events, &own);
        } else if let Some(other) = before.iter().find(|other| other.name == own.name) {
            // Two defaults differ, so that one of the two is written.
            let at = own.at.clone().or_else(|| other.at.clone()).unwrap_or_else(|| section.place(key));
            let message = format!("`kafka.{}` and `kafka.{key}` are both `{}`", other.key, own.name);
            section.refuse_with_help("C007", &at, message, "each of our own topics has a name of its own");
        }
        before.push(own);
    }
}

fn refuse_event_topic(section: &Section<'_, '_>, events: &[Located<String>], own: &OwnTopic) {
    let message = format!("`kafka.{}` is among `kafka.topics`: it would read what it writes", own.key);
    let event = events.iter().find(|event| event.value == own.name);
    match (&own.at, event) {
        (None, Some(event)) => {
            let help = format!("`kafka.{}` is `{}` where it is left out", own.key, own.name);
            section.refuse_with_help("C007", &event.at, message, help);
        }
        (at, _) => section.refuse("C007", &at.clone().unwrap_or_else(|| section.place(own.key)), message),
    }
}

fn brokers(section: &Section<'_, '_>) -> Vec<Located<String>> {
    let brokers = section.texts("brokers");
    if !section.has("brokers") {
        section.missing("brokers", "HOST:PORT of some brokers", "[\"kafka-1.example:9093\"]");
    }
    if brokers.as_ref().is_some_and(Vec::is_empty) {
        section.refuse("C005", &section.place("brokers"), "`kafka.brokers` names no broker");
    }
    for broker in brokers.iter().flatten() {
        let port = broker.value.rsplit_once(':').map(|(host, port)| (!host.is_empty(), port.parse::<u16>()));
        if !matches!(port, Some((true, Ok(1..)))) {
            let message = format!("\"{}\" is not HOST:PORT", broker.value);
            section.refuse_with_help("C005", &broker.at, message, "such as \"kafka-1.example:9093\"");
        }
    }
    brokers.unwrap_or_default()
}

fn is_loopback(broker: &str) -> bool {
    let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn security(section: &Section<'_, '_>, brokers: &[Located<String>], config: &mut KafkaConfig, folders: &Folders) {
    let tls = section.flag("tls");
    let allow_plaintext = section.flag("allow_plaintext").is_some_and(|flag| flag.value);
    let wants_tls = tls.as_ref().is_none_or(|flag| flag.value);
    let files = Tls {
        ca_file: secrets::readable(section, "ca_file", folders),
        certificate_file: secrets::readable(section, "certificate_file", folders),
        key_file: secrets::readable(section, "key_file", folders),
        key_password: secrets::read(section, "key_password_file", folders),
    };
    if section.has("certificate_file") != section.has("key_file") {
        let there = if section.has("key_file") { "key_file" } else { "certificate_file" };
        section.refuse("C007", &section.place(there), "`kafka.certificate_file` and `kafka.key_file` go together");
    }
    let far = brokers.iter().find(|broker| !is_loopback(&broker.value));
    if let (false, false, Some(far), Some(tls)) = (wants_tls, allow_plaintext, far, &tls) {
        let message = format!("`kafka.tls = false`, but {} is not on this machine", far.value);
        let help =
            "personal data and money would pass in clear: use TLS, or write `allow_plaintext = true` if you mean it";
        section.refuse_with_help("C007", &tls.at, message, help);
    }
    if !wants_tls && files != Tls::default() {
        section.refuse("C007", &section.place("tls"), "`kafka.tls = false` has no use for certificate files");
    }
    config.tls = wants_tls.then_some(files);
    config.sasl = sasl(section, folders);
    let in_clear =
        matches!(config.sasl, Some(Sasl::Password { mechanism: SaslMechanism::Plain, .. } | Sasl::Token { .. }));
    if let (true, false, Some(_)) = (in_clear, wants_tls, far) {
        let help = "use TLS, or scram-sha-512";
        section.refuse_with_help(
            "C007",
            &section.place("sasl"),
            "the secret of `kafka.sasl` would pass in clear",
            help,
        );
    }
}

fn sasl(section: &Section<'_, '_>, folders: &Folders) -> Option<Sasl> {
    let mechanism = section.word("sasl", &MECHANISMS);
    let username = section.text("username");
    let password = secrets::read(section, "password_file", folders);
    let token = secrets::readable(section, "token_file", folders);
    match mechanism {
        Some(Mechanism::Password(mechanism)) => {
            if username.is_none() {
                section.missing("username", "whom `kafka.sasl` speaks of", "\"walletwatch\"");
            }
            if !section.has("password_file") {
                section.missing("password_file", "a file with the password of `kafka.username`", "\"kafka-password\"");
            }
            Some(Sasl::Password { mechanism, username: username?.value, password: password? })
        }
        Some(Mechanism::Token) => {
            if !section.has("token_file") {
                section.missing("token_file", "a file with a token that somebody keeps fresh", "\"/run/token\"");
            }
            Some(Sasl::Token { file: token? })
        }
        None => {
            let unused = ["username", "password_file", "token_file"].into_iter().find(|key| section.has(key));
            if let (Some(key), false) = (unused, section.has("sasl")) {
                let message = format!("`kafka.{key}` is there, but `kafka.sasl` does not say how it is used");
                section.refuse("C007", &section.place(key), message);
            }
            None
        }
    }
}

fn start(section: &Section<'_, '_>) -> Option<Start> {
    let text = section.text("start")?;
    match text.value.as_str() {
        "earliest" => Some(Start::Earliest),
        "latest" => Some(Start::Latest),
        time => match time.parse::<jiff::Timestamp>() {
            Ok(time) => Some(Start::Time(Millis(time.as_millisecond()))),
            Err(_) => {
                let message = format!("`kafka.start` is never \"{time}\"");
                let help = "it is \"earliest\", \"latest\" or a time such as \"2026-01-31T00:00:00Z\"";
                section.refuse_with_help("C005", &text.at, message, help);
                None
            }
        },
    }
}

/// How long each topic may be silent.
fn silent_ms_max(section: &Section<'_, '_>, topics: &[String]) -> BTreeMap<String, u64> {
    let mut limits = BTreeMap::new();
    for (topic, ms) in section.named_numbers(SILENT_MS) {
        if !topics.contains(&topic.value) {
            let message = format!("`{}` may be silent, but is not among `kafka.topics`", topic.value);
            let help = match did_you_mean(&topic.value, topics.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name it there too: only those topics are read".to_owned(),
            };
            section.refuse_with_help("C007", &topic.at, message, help);
        }
        limits.extend(ms.and_then(|ms| u64::try_from(ms).ok()).map(|ms| (topic.value, ms)));
    }
    limits
}

/// Kafka's own rule for names.
fn check_topic(section: &Section<'_, '_>, topic: &Located<String>) {
    let name = &topic.value;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() > 249 || !name.chars().all(is_allowed) || name == "." || name == ".." {
        let message = format!("\"{name}\" is no name of a topic: letters, digits, `.`, `_` and `-`, at most 249");
        section.refuse("C005", &topic.at, message);
    }
}

fn numbers(section: &Section<'_, '_>, config: &mut KafkaConfig) {
    let small = |key, range| section.number(key, range).and_then(|n| i32::try_from(n).ok());
    let positive = |key, range| section.number(key, range).and_then(|n| u64::try_from(n).ok());
    if let Some(n) = small("created_partitions", -1..=10_000) {
        config.created_partitions = n;
    }
    if let Some(n) = small("created_replicas", -1..=32_767) {
        config.created_replicas = n;
    }
    for (key, count) in
        [("created_partitions", config.created_partitions), ("created_replicas", config.created_replicas)]
    {
        if count == 0 {
            section.refuse(
                "C005",
                &section.place(key),
                format!("`kafka.{key}` is at least 1, or -1 for the broker's default"),
            );
        }
    }
    if let Some(n) = section.number("order_live_ms", 0..=3_600_000) {
        config.order.live_ms = n;
    }
    let times = [
        ("order_wait_ms_max", 0..=60_000, &mut config.order.wait_ms_max),
        ("order_start_wait_ms_max", 0..=600_000, &mut config.order.start_wait_ms_max),
        ("commit_interval_ms", 100..=5000, &mut config.commit_interval_ms),
        ("produce_wait_ms_max", 1000..=3_600_000, &mut config.produce_wait_ms_max),
        ("request_timeout_ms", 1000..=300_000, &mut config.request_timeout_ms),
    ];
    for (key, range, time) in times {
        if let Some(n) = positive(key, range) {
            *time = n;
        }
    }
    if let Some(n) = section.number("receive_bytes_max", 1_000_000..=2_000_000_000).and_then(|n| u32::try_from(n).ok())
    {
        config.receive_bytes_max = n;
    }
}
