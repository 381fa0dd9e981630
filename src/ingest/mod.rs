//! Where records come from, and where those go that cannot be used.
//!
//! Guarantees: records are handed out in batches, in an order that depends on nothing but the records;
//! nothing is skipped. Does not decode.

pub mod batch;
pub mod batch_log;
pub mod dead_letter;
pub mod file;
pub mod kafka;
pub mod keys;
pub mod lanes;
pub mod source;

pub use batch::{Batch, Position, Record};
pub use batch_log::BatchLog;
pub use dead_letter::DeadLetter;
pub use file::Lines;
pub use lanes::{Lanes, Partition};
pub use source::{Fill, Source, SourceError};
