//! Every way to prove to a real broker who we are, over TLS; and those it refuses.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::producer::Producer as _;
use walletwatch::clock;
use walletwatch::ingest::kafka::{Error, Follower, KafkaConfig, Sasl, SaslMechanism, Tls, topics};
use walletwatch::secret::Secret;

use super::{config, plain_producer, read, write};
use crate::kit::kafka::{SASL_PASSWORD, SASL_USER, broker};

/// A topic with one record, written in clear.
fn topic_of_one(name: &str) -> String {
    let topic = broker().topic(name, 1);
    let producer = plain_producer();
    write(&producer, &topic, 0, 1_767_225_600_000, "over TLS");
    producer.flush(Duration::from_secs(30)).expect("written");
    topic
}

/// Each with a group of its own, so that each begins at the first record.
fn over_tls(topic: &str, address: &str, tls: Tls, sasl: Option<Sasl>) -> KafkaConfig {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    KafkaConfig {
        group: format!("group.{topic}.{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        brokers: vec![address.to_owned()],
        tls: Some(tls),
        sasl,
        request_timeout_ms: 5000,
        ..config(vec![topic.to_owned()])
    }
}

fn trusting(ca_file: &std::path::Path) -> Tls {
    Tls { ca_file: Some(ca_file.to_owned()), ..Tls::default() }
}

fn password(mechanism: SaslMechanism, password: &str) -> Option<Sasl> {
    Some(Sasl::Password { mechanism, username: SASL_USER.into(), password: Secret::new(password) })
}

/// A file with a token as a developer's broker takes it: unsigned.
fn token(folder: &std::path::Path, lives_s: i64) -> PathBuf {
    let now_s = clock::now().0 / 1000;
    let claims = format!(r#"{{"sub":"{SASL_USER}","iat":{now_s},"exp":{}}}"#, now_s + lives_s);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let file = folder.join(format!("token-{lives_s}"));
    std::fs::write(&file, format!("{}.{}.\n", part(r#"{"alg":"none"}"#), part(&claims))).expect("a token");
    file
}

/// Why it was refused, with nothing in it that nobody may read.
fn refused(config: &KafkaConfig) {
    let error: Error = read(config, true, usize::MAX).expect_err("refused");
    assert!(error.to_string().contains("failed to reach Kafka"), "{error}");
    assert!(!error.to_string().contains(SASL_PASSWORD));
}

#[test]
fn each_mechanism_reads_a_record_and_a_wrong_password_or_authority_does_not() {
    let Some(secure) = &broker().secure else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let topic = topic_of_one("sasl");
    let tls = trusting(&secure.authority.ca_file);
    let with = |tls: &Tls, sasl| over_tls(&topic, &secure.sasl, tls.clone(), sasl);
    for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512, SaslMechanism::Plain] {
        let right = with(&tls, password(mechanism, SASL_PASSWORD));
        assert_eq!(read(&right, true, usize::MAX).expect("read").len(), 1, "{mechanism:?}");
        refused(&with(&tls, password(mechanism, "wrong")));
    }
    let right = with(&tls, Some(Sasl::Token { file: token(folder.path(), 3600) }));
    assert_eq!(read(&right, true, usize::MAX).expect("read").len(), 1);
    refused(&with(&tls, Some(Sasl::Token { file: token(folder.path(), -3600) })));
    let without = with(&tls, Some(Sasl::Token { file: folder.path().join("no-token") }));
    let error = read(&without, true, usize::MAX).expect_err("no token");
    assert!(error.to_string().starts_with("kafka.token_file: failed to read"), "{error}");
    refused(&with(&Tls::default(), password(SaslMechanism::ScramSha256, SASL_PASSWORD)));
}

#[test]
fn admin_and_follower_go_the_same_way() {
    let Some(secure) = &broker().secure else { return };
    let topic = topic_of_one("scram");
    let folder = tempfile::tempdir().expect("a folder");
    let tls = trusting(&secure.authority.ca_file);
    let token = Some(Sasl::Token { file: token(folder.path(), 3600) });
    let own = |sasl| KafkaConfig {
        alerts_topic: format!("{topic}.alerts"),
        contacts_topic: format!("{topic}.contacts"),
        dead_letter_topic: format!("{topic}.dead"),
        ..over_tls(&topic, &secure.sasl, tls.clone(), sasl)
    };
    let error = topics::prepare(&own(token.clone())).expect_err("nobody made them");
    assert!(error.to_string().contains("create it with cleanup.policy=delete"), "{error}");
    for sasl in [password(SaslMechanism::ScramSha256, SASL_PASSWORD), token] {
        let config = own(sasl);
        topics::prepare(&config).expect("the topics");
        let mut follower = Follower::open(&config, &BTreeMap::new()).expect("a follower");
        assert_eq!(follower.read(Duration::from_millis(200)).expect("read"), []);
    }
}

#[test]
fn a_client_certificate_opens_where_one_is_asked_for() {
    let Some(secure) = &broker().secure else { return };
    let topic = topic_of_one("mutual");
    let authority = &secure.authority;
    let with_certificate = Tls {
        certificate_file: Some(authority.client_cert_file.clone()),
        key_file: Some(authority.client_key_file.clone()),
        ..trusting(&authority.ca_file)
    };
    let config = over_tls(&topic, &secure.mutual, with_certificate, None);
    assert_eq!(read(&config, true, usize::MAX).expect("read").len(), 1);
    refused(&over_tls(&topic, &secure.mutual, trusting(&authority.ca_file), None));
}
