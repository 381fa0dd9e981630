//! The topics we write to: made at the start, or their settings checked; and what a broker may send us.
//!
//! Guarantees: a topic that would lose what we write (a contacts topic that is not compacted, an alerts topic
//! that is, one that takes no dead letter) is an error that names the setting. Makes no topic of events.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaErrorCode;

use super::config::{KafkaConfig, Sasl};
use super::context::Context;
use super::error::Error;
use super::{client, options};
use crate::ingest::dead_letter;

/// What an alert or a contact takes at most, bytes.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Every record counts until it expires.
    Log,
    /// The newest record of each key counts for ever.
    Table,
}

impl Purpose {
    /// Its `cleanup.policy`.
    fn policy(self) -> &'static str {
        match self {
            Purpose::Log => "delete",
            Purpose::Table => "compact",
        }
    }
}

/// What a topic must be like.
#[derive(Debug, Clone, Copy)]
struct Wanted<'c> {
    name: &'c str,
    purpose: Purpose,
    record_bytes_max: usize,
}

/// Makes the missing topics and checks the others.
pub fn prepare(config: &KafkaConfig) -> Result<(), Error> {
    // Whoever embeds the broker has made its topics; it has neither settings nor admin requests.
    if config.is_embedded {
        return Ok(());
    }
    let wanted = [
        Wanted { name: &config.alerts_topic, purpose: Purpose::Log, record_bytes_max: DOCUMENT_BYTES_MAX },
        Wanted { name: &config.contacts_topic, purpose: Purpose::Table, record_bytes_max: DOCUMENT_BYTES_MAX },
        Wanted {
            name: &config.dead_letter_topic,
            purpose: Purpose::Log,
            record_bytes_max: dead_letter::RECORD_BYTES_MAX,
        },
    ];
    if matches!(config.sasl, Some(Sasl::Token { .. })) {
        return look(config, &wanted);
    }
    let admin: AdminClient<Context> =
        AdminClient::from_config_and_context(&options::admin(config), Context::new("admin", config))
            .map_err(Error::Options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
    runtime.block_on(async {
        check_receive_limit(&admin, config).await?;
        let timeout = Duration::from_millis(config.request_timeout_ms);
        let metadata = admin.inner().fetch_metadata(None, timeout).map_err(cannot_reach(config))?;
        let is_there = |topic: &Wanted<'_>| metadata.topics().iter().any(|found| found.name() == topic.name);
        let (there, missing): (Vec<_>, Vec<_>) = wanted.into_iter().partition(is_there);
        // What is there may be refused: before anything is made.
        check_all(&admin, config, &there).await?;
        create(&admin, config, &missing).await?;
        check_all(&admin, config, &missing).await
    })
}

/// Whether the topics are there, where nobody gives the admin client its tokens: rdkafka polls no queue of it.
fn look(config: &KafkaConfig, wanted: &[Wanted<'_>]) -> Result<(), Error> {
    let reader = client::reader("admin", &options::admin(config), config)?;
    let timeout = Duration::from_millis(config.request_timeout_ms);
    let metadata = reader.fetch_metadata(None, timeout).map_err(cannot_reach(config))?;
    for topic in wanted {
        if !metadata.topics().iter().any(|found| found.name() == topic.name) {
            return Err(Error::NoTopicOfOurs { topic: topic.name.to_owned(), policy: topic.purpose.policy() });
        }
    }
    tracing::warn!("the settings of our topics are not checked: with OAUTHBEARER the broker cannot be asked for them");
    Ok(())
}

fn cannot_reach(config: &KafkaConfig) -> impl FnOnce(rdkafka::error::KafkaError) -> Error {
    Error::request(format!("reach Kafka at {}", config.brokers.join(", ")))
}

fn admin_options(config: &KafkaConfig) -> AdminOptions {
    let timeout = Duration::from_millis(config.request_timeout_ms);
    AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
}

async fn check_all(admin: &AdminClient<Context>, config: &KafkaConfig, topics: &[Wanted<'_>]) -> Result<(), Error> {
    for topic in topics {
        check(topic, &settings(admin, config, &ResourceSpecifier::Topic(topic.name)).await?)?;
    }
    Ok(())
}

async fn create(admin: &AdminClient<Context>, config: &KafkaConfig, missing: &[Wanted<'_>]) -> Result<(), Error> {
    for topic in missing {
        let replicas = TopicReplication::Fixed(config.created_replicas);
        let new = NewTopic::new(topic.name, config.created_partitions, replicas);
        let new = new.set("cleanup.policy", topic.purpose.policy());
        let what = || format!("create topic `{}`", topic.name);
        let results = admin.create_topics([&new], &admin_options(config)).await;
        for result in results.map_err(|e| Error::request(what())(e))? {
            match result {
                Ok(_) => tracing::info!(topic = topic.name, "created a topic"),
                // Somebody else was faster; its settings are checked next.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(Error::request(what())(rdkafka::error::KafkaError::AdminOp(code))),
            }
        }
    }
    Ok(())
}

/// The settings of a topic or a broker.
async fn settings(
    admin: &AdminClient<Context>,
    config: &KafkaConfig,
    of: &ResourceSpecifier<'_>,
) -> Result<Vec<(String, String)>, Error> {
    let what = || format!("ask for the settings of {of:?}");
    // A topic that was just made may not be known everywhere yet.
    let deadline = tokio::time::Instant::now() + Duration::from_millis(config.request_timeout_ms);
    loop {
        let results =
            admin.describe_configs([of], &admin_options(config)).await.map_err(|e| Error::request(what())(e))?;
        match results.into_iter().next() {
            Some(Ok(found)) => {
                return Ok(found.entries.into_iter().filter_map(|e| Some((e.name, e.value?))).collect());
            }
            Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition)) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Some(Err(code)) => return Err(Error::request(what())(rdkafka::error::KafkaError::AdminOp(code))),
            None => return Ok(Vec::new()),
        }
    }
}

fn setting<'s>(settings: &'s [(String, String)], name: &str) -> Option<&'s str> {
    settings.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

fn check(topic: &Wanted<'_>, settings: &[(String, String)]) -> Result<(), Error> {
    let wrong = |setting: &'static str, found: &str, wanted: String| Error::TopicSettings {
        topic: topic.name.to_owned(),
        setting,
        found: found.to_owned(),
        wanted,
    };
    if let Some(policy) = setting(settings, "cleanup.policy") {
        let right = match topic.purpose {
            Purpose::Log => !policy.contains("compact"),
            Purpose::Table => policy == "compact",
        };
        if !right {
            let wanted = match topic.purpose {
                Purpose::Log => "it must be `delete`: compaction would drop all but the newest record of an account",
                Purpose::Table => "it must be `compact`: contacts must be kept until a newer one replaces them",
            };
            return Err(wrong("cleanup.policy", policy, wanted.to_owned()));
        }
    }
    let bytes = setting(settings, "max.message.bytes").and_then(|bytes| bytes.parse::<usize>().ok());
    match bytes {
        Some(bytes) if bytes < topic.record_bytes_max => {
            let wanted = format!("what we write there may take {} bytes", topic.record_bytes_max);
            Err(wrong("max.message.bytes", &bytes.to_string(), wanted))
        }
        _ => Ok(()),
    }
}

/// A record larger than what we take would stop reading: say so at the start.
async fn check_receive_limit(admin: &AdminClient<Context>, config: &KafkaConfig) -> Result<(), Error> {
    for topic in &config.topics {
        // A topic of events that is not there is told by whoever reads it.
        let Ok(settings) = settings(
            admin,
            &KafkaConfig { request_timeout_ms: 1000, ..config.clone() },
            &ResourceSpecifier::Topic(topic),
        )
        .await
        else {
            continue;
        };
        let Some(bytes) = setting(&settings, "max.message.bytes").and_then(|bytes| bytes.parse::<u64>().ok()) else {
            continue;
        };
        let limit = u64::from(config.receive_bytes_max);
        if bytes >= limit {
            return Err(Error::TopicSettings {
                topic: topic.clone(),
                setting: "max.message.bytes",
                found: bytes.to_string(),
                wanted: format!(
                    "a record of kafka.receive_bytes_max = {limit} bytes would stop reading: raise that or"
                ),
            });
        }
        tracing::debug!(topic, record_bytes_max = bytes, receive_bytes_max = limit, "the largest record fits");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(purpose: Purpose, settings: &[(&str, &str)]) -> String {
        let topic = Wanted { name: "wallet.x", purpose, record_bytes_max: 1000 };
        let settings: Vec<_> = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        check(&topic, &settings).map_or_else(|e| e.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn a_topic_that_would_lose_something_is_refused() {
        assert_eq!(told(Purpose::Log, &[("cleanup.policy", "delete"), ("max.message.bytes", "1000")]), "fine");
        assert_eq!(told(Purpose::Table, &[("cleanup.policy", "compact")]), "fine");
        assert!(told(Purpose::Log, &[("cleanup.policy", "compact,delete")]).contains("must be `delete`"));
        assert!(told(Purpose::Table, &[("cleanup.policy", "compact,delete")]).contains("must be `compact`"));
        assert!(told(Purpose::Log, &[("max.message.bytes", "999")]).contains("may take 1000 bytes"));
    }
}
