//! Detection: events in, findings and alerts out, on one thread.
//!
//! Guarantees: the same records in the same order, with the same moments and the same rule set, give the
//! same output, byte for byte. Does no I/O and reads no clock.

pub mod document;
mod engine;
mod output;

pub use engine::{Engine, Places};
pub use output::{Counters, FindingRecord, Input, Options, RuleOutcome, Sink};
