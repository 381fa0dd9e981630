//! Kafka in and out: one consumer thread that merges all partitions, one idempotent producer.
//!
//! Guarantees: partitions are assigned, never subscribed; an offset is committed only after what its records
//! caused is acknowledged; nothing is skipped. Does not decode events and does not decide anything.

pub mod assign;
pub mod claim;
pub mod client;
pub mod config;
pub mod consumer;
pub mod context;
pub mod dead_letters;
pub mod error;
pub mod follow;
pub mod lag;
pub mod offsets;
pub mod options;
pub mod order;
pub mod owner;
mod partitions;
pub mod producer;
mod reader;
pub mod send_back;
pub mod topics;

pub use claim::Claim;
pub use config::{KafkaConfig, Sasl, SaslMechanism, Start, Tls};
pub use consumer::{Begin, Consumer, Lane, Standing};
pub use dead_letters::DeadLetters;
pub use error::Error;
pub use follow::Follower;
pub use lag::Lag;
pub use offsets::Offsets;
pub use producer::{Outgoing, Place, Producer};
pub use send_back::SendBack;
