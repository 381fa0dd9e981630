//! Kafka in and out: one consumer thread that merges all partitions, one idempotent producer.
//!
//! Guarantees: partitions are assigned, never subscribed; an offset is committed only once a checkpoint that covers its
//! record is closed; nothing is skipped; one detector works on a group. Does not decode and does not decide.
//!
//! How detection uses it, beside the batch log ([`crate::ingest::batch_log`]):
//! - [`Consumer::open`] with [`Begin::State`] where a checkpoint stands (the offsets that [`Offsets::next`] gave when it
//!   was taken, and the batches logged since), [`Begin::Fresh`] where there is none, [`Begin::Group`] with `--cold`.
//! - [`Consumer::watch`]: whether another detector is at work; it writes nothing. Then a first checkpoint, empty, with
//!   where reading begins, for a group with commits and without a state has lost it. Then [`Consumer::take`] commits our
//!   mark and gives the [`Offsets`].
//! - For each batch: the log, the engine, [`Offsets::handled`]; between batches [`Offsets::check`].
//! - A checkpoint keeps [`Offsets::next`] as of its batch; once it is closed, [`Offsets::closed`] with the same.
//! - A clean stop: a last checkpoint, [`Offsets::closed`], [`Offsets::finish`].

pub mod assign;
pub mod claim;
pub mod client;
pub mod config;
pub mod consumer;
pub mod context;
pub mod dead_letters;
pub mod error;
pub mod fill;
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
