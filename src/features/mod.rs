//! Values kept per entity over time windows: one file per aggregate.
//!
//! Guarantees: a value is what the rule language's exact meaning says it is, for events in any order within
//! lateness; every list has a named limit. Does not know rules, scores or clocks.

mod account;
mod aggregate;
mod banks;
mod baseline;
#[cfg(test)]
mod caps;
pub(crate) mod codec;
mod decayed;
mod distinct;
mod entity;
mod field;
mod finding;
mod first_seen;
mod habit;
mod histogram;
mod ids;
mod last;
mod marks;
mod measure;
#[cfg(test)]
mod merging;
mod named;
mod pairs;
mod places;
mod plan;
mod profile;
mod reading;
mod shape;
mod share;
mod shown;
mod slots;
mod spread;
mod state;
mod stats;
pub mod store;
mod sum;
mod upkeep;
mod window;
mod zones;

pub use account::Account;
pub use banks::Banks;
pub use codec::DecodeError;
pub(crate) use entity::{Head as TableHead, Kept, Swept, Table, stored};
pub use field::fill;
pub use finding::Finding;
pub(crate) use ids::NOWHERE;
pub use ids::{Ids, key_value};
pub use named::{NameError, named};
pub use profile::{LastLogin, Profile, USUAL_COUNTRIES_MAX};
pub use shown::{AccountShown, Asked, FeatureShown, KeptShown, LoginShown, PairShown, PairsShown, ValueShown};
pub use state::{Ahead, NO_CEILING, Residence, State, StateHead, StateLimits};
