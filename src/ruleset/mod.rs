//! Rule sets: from the security team's YAML to what the engine evaluates.
//!
//! Guarantees: a set loads whole or not at all; every problem of every file is told at once with its place
//! and, where there is one, its fix. Does not evaluate rules and does not read the clock.

mod checks;
pub mod codes;
mod constant;
mod currencies;
mod declare;
mod entity;
mod exception;
pub mod explain;
pub mod expr;
mod feature;
pub mod files;
pub mod hash;
pub mod lists;
pub mod load;
pub mod model;
mod names;
mod pack;
mod params;
pub mod policy;
mod read;
pub mod row;
mod rule;
pub mod schema;
mod sightings;
mod snippet;
mod sources;
mod state_bytes;
mod test_case;

pub use hash::HashKey;
pub use load::{Loaded, Mention, Mentions, load, load_partly};
pub use model::*;
pub use policy::{Band, Bands, Policy, Route};
pub use read::RULE_FILES;
pub use sources::Sources;
