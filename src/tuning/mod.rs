//! Everything that runs the engine on purpose: inline tests, and later explain, mutate, backtest.
//!
//! Guarantees: what runs here is the production engine on a state of its own. Does no I/O and reads no clock.

pub mod explain;
pub mod inline;
pub mod mutate;
mod refusal;

pub use inline::{Failure, TestResult, Verdict, run_rule, run_tests};
pub use refusal::failed_tests;
