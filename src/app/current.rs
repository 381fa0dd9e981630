//! What is in force now: rules with their policy, the texts of notices, geo databases, mappings.
//!
//! Guarantees: what is in force is replaced as one, and whoever looks sees all of it or nothing of it; looking
//! costs one load of a number while nothing has changed. Does not check anything: what gets here was checked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::past::NONE;
use crate::deliver::template::Templates;
use crate::event::mapping::Mapping;
use crate::geo::Databases;
use crate::ingest::batch_log::Digests;
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

impl InForce {
    /// Its digests, in the words of the batch log. The rules' digest covers lists and policy.
    pub fn digests(&self, topics: &[String]) -> Digests {
        Digests {
            rules: self.ruleset.digest.clone(),
            lists: String::new(),
            geo: self.geo.digest().unwrap_or_default(),
            mappings: digest(&self.mappings, topics),
        }
    }
}

/// Of mappings, by the topics that they are for.
pub fn digest(mappings: &Mappings, topics: &[String]) -> String {
    if mappings.iter().all(Option::is_none) {
        return NONE.to_owned();
    }
    let mut hasher = blake3::Hasher::new();
    for (topic, mapping) in topics.iter().zip(mappings) {
        let Some(mapping) = mapping else { continue };
        for part in [topic.as_str(), mapping.source().text.as_str()] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
    }
    format!("b3:{}", hasher.finalize().to_hex())
}

/// The one place where what is in force stands.
#[derive(Debug)]
pub struct Current {
    in_force: Mutex<InForce>,
    /// Grows with each change.
    version: AtomicU64,
    /// What detection decided with last, the newest last: batches that may be taken again need it.
    decided_with: Mutex<Vec<Digests>>,
}

/// So many sets are kept for batches that may be taken again: each change waits for a checkpoint, and a start falls
/// back by one at most, so that no more than two are needed, and those of a start that takes batches again.
const DECIDED_WITH_MAX: usize = 4;

/// How far somebody has followed the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version(u64);

impl Current {
    /// With what the service starts with.
    pub fn new(in_force: InForce) -> Self {
        Current { in_force: Mutex::new(in_force), version: AtomicU64::new(0), decided_with: Mutex::default() }
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

    /// Detection decides with this from now on.
    pub fn decides_with(&self, digests: &Digests) {
        let mut known = self.decided_with.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|other| other != digests);
        known.push(digests.clone());
        let older = known.len().saturating_sub(DECIDED_WITH_MAX);
        known.drain(..older);
    }

    /// What batches that may be taken again were decided with.
    pub fn decided_with(&self) -> Vec<Digests> {
        self.decided_with.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
