//! Rule sets: from the security team's YAML to what the engine evaluates.
//!
//! Guarantees: a set loads whole or not at all; every problem of every file is told at once with its place
//! and, where there is one, its fix. Does not evaluate rules and does not read the clock.

pub mod codes;
pub mod expr;
pub mod hash;
pub mod lists;
pub mod model;
pub mod policy;
pub mod row;
mod snippet;
pub mod yaml;

pub use hash::HashKey;
pub use model::*;
pub use policy::{Band, Bands, Policy, Route};
