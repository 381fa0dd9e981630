//! The client's options: one place for each of them, with its reason.
//!
//! Guarantees: a consumer never commits by itself, never resets an offset by itself and never joins a group;
//! a producer is idempotent and waits for all replicas. Does not connect.

use rdkafka::ClientConfig;

use super::config::{KafkaConfig, Sasl, Tls};

/// Records that wait for the broker, at most; then the detector waits.
pub const UNACKNOWLEDGED_RECORDS_MAX: usize = 20_000;

/// What every client is told.
fn common(config: &KafkaConfig) -> ClientConfig {
    let mut options = ClientConfig::new();
    options
        .set("bootstrap.servers", config.brokers.join(","))
        .set("client.id", "walletwatch")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "2000")
        // A broker that closes an idle connection is not an error.
        .set("log.connection.close", "false");
    let protocol = match (&config.tls, &config.sasl) {
        (None, None) => "plaintext",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), None) => "ssl",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    options.set("security.protocol", protocol);
    if let Some(tls) = &config.tls {
        set_tls(&mut options, tls);
    }
    match &config.sasl {
        Some(Sasl::Password { mechanism, username, password }) => {
            options
                .set("sasl.mechanism", mechanism.name())
                .set("sasl.username", username)
                .set("sasl.password", password.reveal());
        }
        Some(Sasl::Token { .. }) => {
            options.set("sasl.mechanism", "OAUTHBEARER");
        }
        None => {}
    }
    options
}

fn set_tls(options: &mut ClientConfig, tls: &Tls) {
    // The certificate must hold the broker's name.
    options.set("ssl.endpoint.identification.algorithm", "https");
    // The OpenSSL that is built in looks in a folder of its own, where nobody has ever put an authority.
    options.set("ssl.ca.location", "probe");
    let files = [
        ("ssl.ca.location", &tls.ca_file),
        ("ssl.certificate.location", &tls.certificate_file),
        ("ssl.key.location", &tls.key_file),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            options.set(name, file.display().to_string());
        }
    }
    if let Some(password) = &tls.key_password {
        options.set("ssl.key.password", password.reveal());
    }
}

/// How long a broker holds a fetch that finds nothing, ms: a real one answers as soon as something comes …
const FETCH_WAIT_MS: &str = "100";
/// … but the embedded one only when this is over.
const FETCH_WAIT_EMBEDDED_MS: &str = "4";

/// A reader of partitions.
pub fn consumer(config: &KafkaConfig) -> ClientConfig {
    let mut options = common(config);
    let fetch_wait_ms = if config.is_embedded { FETCH_WAIT_EMBEDDED_MS } else { FETCH_WAIT_MS };
    options
        .set("group.id", &config.group)
        // With the defaults, dropping a consumer commits records that nobody has read.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // An offset that is gone is told, not skipped.
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", fetch_wait_ms)
        // The default of a second makes a reader with full queues three to five times slower.
        .set("fetch.queue.backoff.ms", "5")
        // For each partition, since each has a queue of its own.
        .set("queued.max.messages.kbytes", "1024")
        .set("receive.message.max.bytes", config.receive_bytes_max.to_string())
        .set("fetch.max.bytes", (config.receive_bytes_max / 2).to_string());
    options
}

/// A writer.
pub fn producer(config: &KafkaConfig) -> ClientConfig {
    let mut options = common(config);
    options
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "2")
        .set("compression.type", "zstd")
        .set("message.timeout.ms", config.produce_wait_ms_max.to_string())
        // What may wait for the broker: bounded, then the detector waits.
        .set("queue.buffering.max.messages", UNACKNOWLEDGED_RECORDS_MAX.to_string())
        .set("queue.buffering.max.kbytes", "65536");
    options
}

/// A client that asks and creates.
pub fn admin(config: &KafkaConfig) -> ClientConfig {
    common(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::kafka::config::SaslMechanism;
    use crate::secret::Secret;

    #[test]
    fn the_authorities_are_the_systems_or_those_of_the_file() {
        let at = |ca_file: Option<&str>| {
            let tls = Some(Tls { ca_file: ca_file.map(Into::into), ..Tls::default() });
            let config = KafkaConfig { tls, ..KafkaConfig::new(vec!["localhost:1".into()]) };
            consumer(&config).get("ssl.ca.location").map(str::to_owned)
        };
        assert_eq!(at(None).as_deref(), Some("probe"));
        assert_eq!(at(Some("own.pem")).as_deref(), Some("own.pem"));
    }

    #[test]
    fn every_way_to_connect_is_one_the_library_was_built_with() {
        let password = |mechanism| Sasl::Password { mechanism, username: "u".into(), password: Secret::new("p") };
        let ways = [
            None,
            Some(password(SaslMechanism::Plain)),
            Some(password(SaslMechanism::ScramSha256)),
            Some(password(SaslMechanism::ScramSha512)),
            Some(Sasl::Token { file: "token".into() }),
        ];
        for sasl in ways {
            for tls in [None, Some(Tls::default())] {
                let config = KafkaConfig { sasl: sasl.clone(), tls, ..KafkaConfig::new(vec!["localhost:1".into()]) };
                for options in [consumer(&config), producer(&config), admin(&config)] {
                    options.create_native_config().unwrap_or_else(|e| panic!("{sasl:?}: {e}"));
                    let made: Result<rdkafka::consumer::BaseConsumer, _> = options.create();
                    made.map(|_| ()).unwrap_or_else(|e| panic!("{sasl:?}: {e}"));
                }
            }
        }
    }
}
