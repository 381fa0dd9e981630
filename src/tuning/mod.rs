//! Everything that runs the engine on purpose: inline tests, explanations, mutants, backtests and sweeps.
//!
//! Guarantees: what runs here is the production engine on a state of its own. Does no I/O and reads no clock.

pub mod backtest;
pub mod explain;
pub mod figures;
pub mod inline;
pub mod labels;
pub mod moved;
pub mod mutate;
pub mod notices;
mod refusal;
pub mod report;
pub mod sample;
pub mod sweep;
pub mod tally;
pub mod trial;

pub use inline::{Failure, TestResult, Verdict, run_rule, run_tests};
pub use refusal::{failed_tests, failed_tests_overlaid};
