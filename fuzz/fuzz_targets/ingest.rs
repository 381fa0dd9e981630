//! The batch log with what it is made of, without Kafka.

#[path = "../../src/ingest/batch.rs"]
pub mod batch;
#[path = "../../src/ingest/batch_log/mod.rs"]
pub mod batch_log;
#[path = "../../src/ingest/lanes.rs"]
pub mod lanes;

pub use batch::{Batch, Position, Record};
pub use lanes::{Lanes, Partition};
