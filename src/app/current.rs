//! What is in force now: rules with their policy, the texts of notices, geo databases, mappings.
//!
//! Guarantees: what is in force is replaced as one, and whoever looks sees all of it or nothing of it; looking
//! costs one load of a number while nothing has changed. Does not check anything: what gets here was checked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::deliver::template::Templates;
use crate::event::mapping::Mapping;
use crate::geo::Databases;
use crate::ruleset::{Mentions, Policy, Ruleset};

/// Everything that may change while the service runs.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The rules.
    pub ruleset: Arc<Ruleset>,
    /// The policy that was loaded with them.
    pub policy: Arc<Policy>,
    /// What they name of others.
    pub mentions: Arc<Mentions>,
    /// The texts of the notices.
    pub templates: Arc<Templates>,
    /// The geo databases.
    pub geo: Arc<Databases>,
    /// How each topic's records are read.
    pub mappings: Arc<Mappings>,
}

/// How each topic's records are read, in the order of the topics; `None`: they are our own events.
pub type Mappings = Vec<Option<Mapping>>;

/// The one place where what is in force stands.
#[derive(Debug)]
pub struct Current {
    in_force: Mutex<InForce>,
    /// Grows with each change.
    version: AtomicU64,
}

/// How far somebody has followed the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version(u64);

impl Current {
    /// With what the service starts with.
    pub fn new(in_force: InForce) -> Self {
        Current { in_force: Mutex::new(in_force), version: AtomicU64::new(0) }
    }

    /// What is in force now.
    pub fn get(&self) -> InForce {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts something else in force. For one thread alone: the one that reloads.
    pub fn put(&self, in_force: InForce) {
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = in_force;
        self.version.fetch_add(1, Ordering::Release);
    }

    /// What is in force, where it has changed since `seen`.
    pub fn newer_than(&self, seen: &mut Version) -> Option<InForce> {
        let version = Version(self.version.load(Ordering::Acquire));
        if version == *seen {
            return None;
        }
        *seen = version;
        Some(self.get())
    }
}
