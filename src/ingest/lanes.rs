//! Lanes: the partitions by number, in the order in which they became known.
//!
//! Guarantees: a lane keeps its number for ever, over restarts too; numbers have no gaps; what is new comes behind.
//! So whatever is kept by lane (lateness, the watermark, the batch log) means the same partition always. The order
//! between partitions does not follow these numbers but topic and partition. Reads nothing from Kafka.

use std::sync::{PoisonError, RwLock};

/// A partition by its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The topic.
    pub topic: String,
    /// Its number in the topic.
    pub partition: i32,
}

impl Partition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Partition { topic: topic.into(), partition }
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// The partitions by lane, shared between the reader, which finds new ones, and everybody else.
#[derive(Debug, Default)]
pub struct Lanes(RwLock<Vec<Partition>>);

impl Lanes {
    /// Those that are known, in the order of their numbers.
    pub fn new(known: Vec<Partition>) -> Self {
        Lanes(RwLock::new(known))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The partitions by lane.
    pub fn all(&self) -> Vec<Partition> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those from this number on.
    pub fn from(&self, lane: usize) -> Vec<Partition> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(lane..).unwrap_or_default().to_vec()
    }

    /// A partition that was found: its number is the next one.
    pub fn add(&self, partition: Partition) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(partition);
    }
}
