//! Rule sets: from the security team's YAML to what the engine evaluates.
//!
//! Guarantees: a set loads whole or not at all; every problem of every file is told at once with its place
//! and, where there is one, its fix. Does not evaluate rules and does not read the clock.

pub mod changes;
mod checks;
pub mod codes;
mod consequences;
mod constant;
mod currencies;
mod declare;
mod entity;
mod exception;
pub mod explain;
pub mod expr;
mod feature;
pub mod files;
mod finding;
pub mod format;
pub mod hash;
mod identity;
mod in_force;
pub mod lists;
pub mod load;
pub mod model;
pub mod mutation;
mod names;
mod not_used;
mod overlay;
pub mod pack;
mod param_place;
mod params;
mod parts;
pub mod policy;
mod read;
pub mod revisions;
pub mod row;
mod rule;
mod rule_build;
mod rule_fields;
mod rule_kind;
pub mod schema;
pub mod sequence;
mod sightings;
mod snippet;
mod sources;
pub mod state_bytes;
mod terms;
mod test_case;
mod test_event;

pub use hash::HashKey;
pub use load::{Loaded, Mention, Mentions, load, load_partly};
pub use model::*;
pub use mutation::declares_rule;
pub use param_place::{ParamPlace, parse_constant};
pub use parts::written as written_part;
pub use policy::{Band, Bands, Policy, Route};
pub use read::RULE_FILES;
pub use sources::{FilePath, Layer, OVERLAY, POLICY, Sources};
pub use terms::{DefPlace, Terms};
