//! New partitions of the topics, found while the reader runs.
//!
//! Guarantees: a partition is told once, with its oldest offset; asking never keeps the reader waiting, and never keeps
//! a client alive that everybody else has dropped. A look that fails is made again. Does not assign.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;

use super::assign;
use super::config::KafkaConfig;
use super::context::Context;
use super::error::Error;
use crate::ingest::{Lanes, Partition};

/// Partitions that wait for the reader, at most: the next look finds the rest.
const WAITING_MAX: usize = 64;

/// A partition that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartition {
    /// The topic, by its place in the list.
    pub topic: u16,
    /// The partition.
    pub partition: i32,
    /// The oldest offset that is there.
    pub low: i64,
    /// The next offset to be written.
    pub high: i64,
}

/// Looks at topics on a thread of its own until the receiver is dropped.
pub fn look(
    consumer: &Arc<BaseConsumer<Context>>,
    config: &KafkaConfig,
    topics: &[String],
    known: &Arc<Lanes>,
) -> Result<Receiver<NewPartition>, Error> {
    let (found, receiver) = sync_channel(WAITING_MAX);
    let looker = Looker {
        consumer: Arc::downgrade(consumer),
        // A broker that does not answer is the reader's trouble: nobody waits here.
        config: config.clone(),
        topics: topics.to_vec(),
        known: Arc::clone(known),
        told: Vec::new(),
        found,
    };
    std::thread::Builder::new().name("partitions".to_owned()).spawn(move || looker.run()).map_err(Error::Thread)?;
    Ok(receiver)
}

struct Looker {
    consumer: Weak<BaseConsumer<Context>>,
    config: KafkaConfig,
    topics: Vec<String>,
    known: Arc<Lanes>,
    /// Those the reader was told of and has perhaps not taken yet.
    told: Vec<Partition>,
    found: SyncSender<NewPartition>,
}

impl Looker {
    fn run(mut self) {
        let pause = Duration::from_millis(self.config.partitions_look_ms);
        loop {
            // Nobody wakes it: the pause is short against what a new partition may wait.
            std::thread::park_timeout(pause);
            let Some(consumer) = self.consumer.upgrade() else { return };
            match self.look(&consumer) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::debug!(%error, "the look for new partitions failed; the next one comes soon"),
            }
        }
    }

    /// One look. False once nobody listens.
    fn look(&mut self, consumer: &BaseConsumer<Context>) -> Result<bool, Error> {
        let known = self.known.all();
        for (topic, name) in (0_u16..).zip(&self.topics) {
            for partition in assign::partitions(consumer, &self.config, name)? {
                let lane = Partition::new(name, partition);
                if known.contains(&lane) || self.told.contains(&lane) {
                    continue;
                }
                let (low, high) =
                    assign::ends(consumer, name, partition, Duration::from_millis(self.config.request_timeout_ms))?;
                match self.found.try_send(NewPartition { topic, partition, low, high }) {
                    Ok(()) => self.told.push(lane),
                    Err(TrySendError::Full(_)) => return Ok(true),
                    Err(TrySendError::Disconnected(_)) => return Ok(false),
                }
            }
        }
        // A receiver that was dropped shows in the next pause at the latest: the consumer goes with it.
        Ok(true)
    }
}
