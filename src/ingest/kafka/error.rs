//! What goes wrong with Kafka, by what it means for whoever runs us.
//!
//! Guarantees: every error says what failed, where and what to do; [`Error::kind`] decides the exit code.

use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// Time between two questions of [`patiently`].
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Brokers or topics cannot be reached, now.
    Unavailable,
    /// The configuration does not fit what is there.
    Configuration,
    /// Records that were to be read are gone.
    Lost,
    /// We may not do this: a broker says so, or another detector is at work.
    Refused,
    /// Something could not be written for good.
    Io,
    /// It stops for another one; it can be started again.
    GivesWay,
    /// Our own mistake.
    Bug,
}

/// What is missing before the topics of events can be read, and what to do.
fn not_readable(group: &str, missing: &[String], without_offsets: &[String]) -> String {
    let named = |topics: &[String]| {
        let names: Vec<String> = topics.iter().map(|topic| format!("`{topic}`")).collect();
        format!("{} {}", if names.len() == 1 { "topic" } else { "topics" }, names.join(", "))
    };
    let mut told = Vec::new();
    if !missing.is_empty() {
        let (verb, them) = if missing.len() == 1 { ("does", "it") } else { ("do", "them") };
        told.push(format!("{} {verb} not exist: create {them}, or mend kafka.topics", named(missing)));
    }
    if !without_offsets.is_empty() {
        told.push(format!(
            "group `{group}` has no offsets for {} yet, so the first start must be told where to begin: set \
             kafka.start to \"earliest\", \"latest\" or a time such as \"2026-01-31T00:00:00Z\"",
            named(without_offsets)
        ));
    }
    told.join("; and ")
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option the client does not take.
    #[error("Kafka's client refuses its options: {0}")]
    Options(#[source] KafkaError),
    /// The file with the token for OAUTHBEARER.
    #[error("kafka.token_file: failed to read {file}: {source}")]
    Token {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A topic we write to is not there, and we cannot make it.
    #[error(
        "topic `{topic}` does not exist, and with OAUTHBEARER walletwatch cannot make it: create it with \
         cleanup.policy={policy}"
    )]
    NoTopicOfOurs {
        /// The topic.
        topic: String,
        /// What its setting must be.
        policy: &'static str,
    },
    /// A request failed.
    #[error("failed to {what}: {source}")]
    Request {
        /// What was asked for.
        what: String,
        /// The client's word.
        source: KafkaError,
    },
    /// A topic of events is not there.
    #[error("topic `{0}` does not exist: create it, or mend kafka.topics")]
    NoTopic(String),
    /// There is no dead letter topic.
    #[error("topic `{0}` does not exist: kafka.dead_letter_topic names another one, or walletwatch never ran here")]
    NoDeadLetters(String),
    /// What keeps the topics of events from being read, all of it; one of the lists is not empty.
    #[error("{}", not_readable(group, missing, without_offsets))]
    NotReadable {
        /// The group.
        group: String,
        /// The topics that are not there.
        missing: Vec<String>,
        /// The topics for which the group has no offsets, where nobody says where to begin.
        without_offsets: Vec<String>,
    },
    /// Records between the committed offset and what is left are gone.
    #[error(
        "{topic}[{partition}]: offset {offset} is not there any more (the topic holds {low} to {high}): records were \
         deleted before they were read, or the topic was made anew. Nothing is skipped in silence: set the offsets of \
         group `{group}` with kafka-consumer-groups, then start again"
    )]
    Lost {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where we wanted to go on.
        offset: i64,
        /// The oldest offset that is there.
        low: i64,
        /// The next offset to be written.
        high: i64,
        /// The group.
        group: String,
    },
    /// Records that the state goes on with are gone.
    #[error(
        "{topic}[{partition}]: the state goes on at offset {offset}, and the topic holds {low} to {high}: records were \
         deleted before they were read, or the topic was made anew. Nothing is skipped in silence: `walletwatch state \
         rebuild --from TIME` makes the state anew from what Kafka has"
    )]
    Gone {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where the state goes on, or the record that is to be taken again.
        offset: i64,
        /// The oldest offset that is there.
        low: i64,
        /// The next offset to be written.
        high: i64,
    },
    /// A batch cannot be taken again as it was logged.
    #[error(
        "{topic}[{partition}]: batch {batch} took {records} records from offset {first} to {last}, and Kafka no longer \
         has them so: records were deleted since. `walletwatch state rebuild --from TIME` makes the state anew from \
         what Kafka has"
    )]
    NotAgain {
        /// The batch.
        batch: u64,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first offset it took.
        first: i64,
        /// The last one.
        last: i64,
        /// How many records it took.
        records: u32,
    },
    /// A topic that is no longer configured has records that are to be taken again.
    #[error(
        "topic `{topic}` is no longer in kafka.topics, and batches with its records are to be taken again: start once \
         with it, and stop cleanly before it is taken out"
    )]
    Retired {
        /// The topic.
        topic: String,
    },
    /// The batch log numbers the partitions otherwise than the checkpoint.
    #[error(
        "batch {batch} of the batch log belongs to another state than the checkpoint: `walletwatch state rebuild \
         --from TIME` makes the state anew"
    )]
    OtherLanes {
        /// The batch.
        batch: u64,
    },
    /// The state is empty, and the group has read before.
    #[error(
        "group `{group}` has offsets, but there is no state: it was lost, or state.directory names another folder. \
         Nothing was started: `walletwatch state rebuild --from TIME` makes it anew from Kafka, `walletwatch backfill \
         FILE` from a file, `walletwatch run --cold` goes on at the group's offsets with an empty one"
    )]
    StateLost {
        /// The group.
        group: String,
    },
    /// Another detector works on this group.
    #[error(
        "detector {owner} works on group `{group}` (epoch {epoch}, it wrote {age_s} s ago): there is one detector. \
         Stop it first, or take over with `walletwatch run --take-over`: then it stops by itself"
    )]
    OtherDetector {
        /// Its name.
        owner: String,
        /// The group.
        group: String,
        /// Its epoch.
        epoch: u64,
        /// How long ago it wrote, by its clock and ours, s.
        age_s: i64,
    },
    /// Another detector has taken over.
    #[error(
        "detector {owner} has taken over group `{group}` (epoch {epoch}, ours is {ours}): this one stops and commits \
         nothing more"
    )]
    TakenOver {
        /// Its name.
        owner: String,
        /// The group.
        group: String,
        /// Its epoch.
        epoch: u64,
        /// Our epoch.
        ours: u64,
    },
    /// Somebody asked to stop before it had begun.
    #[error("stopped before it had begun: nothing was read")]
    StoppedEarly,
    /// A partition cannot be read.
    #[error("failed to read {topic}[{partition}]: {source}")]
    Read {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The client's word.
        source: KafkaError,
    },
    /// The order of a partition would have been turned round.
    #[error("{topic}[{partition}]: offset {offset} came after {after}")]
    Disorder {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset that came.
        offset: i64,
        /// The offset before it.
        after: i64,
    },
    /// A topic we write to has settings that would lose something.
    #[error("topic `{topic}` has {setting} = {found}, but {wanted}: alter the topic")]
    TopicSettings {
        /// The topic.
        topic: String,
        /// The setting.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it must be, and why.
        wanted: String,
    },
    /// A record could not be written.
    #[error("failed to write to topic `{topic}`: {code}; nothing was skipped, its offset is not committed")]
    NotWritten {
        /// The topic.
        topic: String,
        /// The client's word.
        code: RDKafkaErrorCode,
    },
    /// A record was not acknowledged in time.
    #[error("topic `{topic}` took nothing for {waited_ms} ms; nothing was skipped, its offset is not committed")]
    NotWrittenInTime {
        /// The topic.
        topic: String,
        /// How long we waited, ms.
        waited_ms: u64,
    },
    /// The stage that takes the batches is gone.
    #[error("the batches have no taker")]
    NoTaker,
    /// A thread could not be started.
    #[error("failed to start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

impl Error {
    /// A request that failed.
    pub fn request(what: impl Into<String>) -> impl FnOnce(KafkaError) -> Error {
        let what = what.into();
        move |source| Error::Request { what, source }
    }

    /// What it means.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Options(_)
            | Error::Token { .. }
            | Error::NoTopic(_)
            | Error::NoDeadLetters(_)
            | Error::NoTopicOfOurs { .. }
            | Error::NotReadable { .. }
            | Error::Retired { .. }
            | Error::Gone { .. }
            | Error::NotAgain { .. }
            | Error::OtherLanes { .. }
            | Error::StateLost { .. }
            | Error::TopicSettings { .. } => Kind::Configuration,
            Error::OtherDetector { .. } => Kind::Refused,
            Error::TakenOver { .. } | Error::StoppedEarly => Kind::GivesWay,
            Error::Request { source, .. } | Error::Read { source, .. } if is_refused(source) => Kind::Refused,
            Error::NotWritten { code, .. } if is_refusal(*code) => Kind::Refused,
            Error::Request { .. } | Error::NotWrittenInTime { .. } => Kind::Unavailable,
            Error::Lost { .. } => Kind::Lost,
            Error::Read { .. } | Error::NotWritten { .. } | Error::Thread(_) => Kind::Io,
            Error::Disorder { .. } | Error::NoTaker => Kind::Bug,
        }
    }
}

/// Asks again, while the answer is one that passes by itself, at most for `limit`.
pub fn patiently<T>(limit: Duration, mut ask: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    let began = Instant::now();
    loop {
        match ask() {
            Err(error) if passes(&error) && began.elapsed() < limit => std::thread::park_timeout(ASK_AGAIN),
            answer => return answer,
        }
    }
}

/// A coordinator or leader that is just being found.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        error.rdkafka_error_code(),
        Some(
            C::NotCoordinator
                | C::CoordinatorNotAvailable
                | C::CoordinatorLoadInProgress
                | C::WaitingForCoordinator
                | C::LeaderNotAvailable
                | C::NotLeaderForPartition
                | C::RequestTimedOut
        )
    )
}

fn is_refused(error: &KafkaError) -> bool {
    match error {
        // The library keeps the code of an admin request to itself.
        KafkaError::AdminOp(code) => is_refusal(*code),
        _ => error.rdkafka_error_code().is_some_and(is_refusal),
    }
}

fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        code,
        C::TopicAuthorizationFailed
            | C::GroupAuthorizationFailed
            | C::ClusterAuthorizationFailed
            | C::Authentication
            | C::SaslAuthenticationFailed
    )
}
