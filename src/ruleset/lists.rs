//! Lists: named sets of accounts, addresses, networks, countries, devices and the like.
//!
//! Guarantees: an address list answers for prefixes; a lookup costs a few hash probes whatever the list's
//! size. Age never changes what a list answers. Does not watch files.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::expr::Ty;
use super::hash::HashKey;
use crate::event::Millis;
use crate::report::{Problem, SourceFile};

/// Entries of one list, at most.
pub const LIST_ENTRIES_MAX: usize = 1_000_000;

/// One list.
#[derive(Debug)]
pub struct ListSet {
    /// Its name.
    pub name: String,
    /// The type of its entries.
    pub ty: Ty,
    /// The entries as texts, for hashing at compile time; empty for numbers and addresses.
    pub texts: Vec<String>,
    /// Entries that are numbers: asns, countries.
    pub numbers: hashbrown::HashSet<u32, foldhash::fast::RandomState>,
    /// Entries that are address prefixes.
    pub prefixes: Prefixes,
    /// When its entries were last known to be right.
    pub as_of: Option<Millis>,
    /// After how long it is stale, ms.
    pub max_age_ms: i64,
}

/// Address prefixes.
#[derive(Debug, Default)]
pub struct Prefixes;
