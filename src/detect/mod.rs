//! Detection: events in, findings and alerts out, on one thread.
//!
//! Guarantees: the same records in the same order, with the same moments and the same rule set, give the
//! same output, byte for byte. Does no I/O and reads no clock.

mod alert;
mod changed;
mod contact;
mod dedup;
pub mod document;
mod duplicates;
mod engine;
mod finding;
mod index;
mod lateness;
mod output;
mod pins;
mod score;
mod sequence;
mod swap;
mod watermark;

pub use alert::id as alert_id;
pub use dedup::FiredShown;
pub use engine::{Engine, EntityShown, RestoreError, STATE_VERSION, Whose};
pub use output::{Counters, FindingRecord, ForeignInput, Input, Left, Options, Readable, RuleOutcome, Sink};
pub use pins::Pin;
pub use score::{Score, Scored, score};
pub use sequence::{ChainsShown, Partial as Chain};
pub use swap::Swapped;
pub use watermark::SLACK_MS as WATERMARK_SLACK_MS;

#[cfg(test)]
mod tests;
