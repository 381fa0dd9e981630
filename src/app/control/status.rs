//! The command `status`: what runs, since when, and how far it is.
//!
//! Guarantees: as old as the watcher's last look, and says when that was; asks nobody. No personal data.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::{Refusal, Role};
use crate::clock;
use crate::event::Millis;
use crate::ingest::kafka::lag::{PartitionLag, TopicLag};

/// What the watcher saw last. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Sight(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// When Kafka was last asked.
    asked: Option<Millis>,
    topics: Vec<TopicLag>,
    /// When the last checkpoint closed, or the service started; `None`: this half has none.
    checkpoint: Option<Millis>,
}

impl Sight {
    /// Kafka was asked.
    pub fn kafka<'l>(&self, topics: impl Iterator<Item = &'l TopicLag>, now: Millis) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.asked = Some(now);
        seen.topics = topics.cloned().collect();
    }

    /// The last checkpoint closed, or the service started, then.
    pub fn checkpoint(&self, at: Millis) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).checkpoint = Some(at);
    }

    fn told(&self, role: Role, since: Millis, now: Millis) -> Value {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let partition = |PartitionLag { partition, next, end }: &PartitionLag| json!({"partition": partition, "next": next, "end": end});
        let topic = |lag: &TopicLag| {
            let partitions: Vec<Value> = lag.partitions.iter().map(partition).collect();
            json!({"topic": lag.topic, "lag_records": lag.records, "partitions": partitions})
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "process": std::process::id(),
            "role": role_word(role),
            "since": since.rfc3339(),
            "asked": seen.asked.map(Millis::rfc3339),
            "topics": seen.topics.iter().map(topic).collect::<Vec<_>>(),
            "checkpoint_age_ms": seen.checkpoint.map(|at| now.since(at)),
        })
    }
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Both => "both",
        Role::Detect => "detect",
        Role::Notify => "notify",
    }
}

/// The handler.
pub fn status(sight: Sight, role: Role, since: Millis) -> impl Fn(&Value) -> Result<Value, Refusal> + Send + Sync {
    move |_| Ok(sight.told(role, since, clock::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_each_partition_is_and_how_old_the_checkpoint() {
        let sight = Sight::default();
        let empty = sight.told(Role::Notify, Millis(0), Millis(5));
        assert_eq!((empty["asked"].clone(), empty["checkpoint_age_ms"].clone()), (Value::Null, Value::Null));
        let partitions = vec![PartitionLag { partition: 2, next: 40, end: 42 }];
        let lag = TopicLag { topic: "wallet.logins".to_owned(), records: 2, position: 40, partitions };
        sight.kafka(std::iter::once(&lag), Millis(1_767_268_800_000));
        sight.checkpoint(Millis(1_767_268_801_000));
        let mut told = sight.told(Role::Both, Millis(1_767_268_000_000), Millis(1_767_268_803_500));
        told["process"] = 1.into();
        insta::assert_snapshot!(format!("{told:#}"));
    }
}
