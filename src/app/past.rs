//! What batches were decided with before: rules and mappings, kept until no batch that may be taken again needs them.
//!
//! Guarantees: rules come from the whole copies of `last_good.rs`, mappings from copies of their texts; a copy whose
//! digest is another than the batch log names is none. Geo databases are not kept, being large: batches are taken again
//! with today's, and where that is another one it is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::current::{InForce, Mappings};
use super::last_good::{CopyError, LastGood};
use crate::clock;
use crate::event::mapping;
use crate::ingest::batch_log::Digests;
use crate::ruleset::{HashKey, load_partly};

/// The folder below the state's.
const FOLDER: &str = "last-good-mappings";

/// One mapping of a copy.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    topic: String,
    path: String,
    text: String,
}

/// What was in force, as far as it is kept.
#[derive(Debug, Clone)]
pub struct Past {
    rules: LastGood,
    mappings: PathBuf,
    topics: Vec<String>,
    key: HashKey,
}

/// What batches are taken again with.
#[derive(Debug, Clone)]
pub struct Again {
    /// What comes next to what they were decided with.
    pub in_force: InForce,
    /// Whether it is all of that.
    pub is_exact: bool,
}

impl Past {
    /// In the folder of the state. `topics` are those of the events; `key` is the one rules are compiled with.
    pub fn in_state(directory: &Path, topics: &[String], key: HashKey) -> Self {
        let (rules, mappings) = (LastGood::in_state(directory), directory.join(FOLDER));
        Past { rules, mappings, topics: topics.to_vec(), key }
    }

    /// What batches with these digests are taken again with; what is not kept is taken of `now`.
    pub fn of(&self, logged: &Digests, now: &InForce) -> Again {
        let mut in_force = now.clone();
        let today = now.digests(&self.topics);
        if logged.rules != today.rules
            && let Ok(sources) = self.rules.of(&logged.rules)
            && let (Ok(loaded), mentions) = load_partly(&sources, self.key, Some(clock::now()))
        {
            // Its tests passed when it was taken into force.
            in_force.ruleset = Arc::new(loaded.ruleset);
            in_force.policy = Arc::new(loaded.policy);
            in_force.mentions = Arc::new(mentions);
        }
        if logged.mappings != today.mappings
            && !logged.mappings.is_empty()
            && let Some(mappings) = self.read_mappings(&logged.mappings)
        {
            in_force.mappings = Arc::new(mappings);
        }
        let digests = in_force.digests(&self.topics);
        // A log of format 1 does not say which mappings there were.
        let said = if logged.mappings.is_empty() { &digests.mappings } else { &logged.mappings };
        let is_exact = (&digests.rules, &digests.geo, &digests.mappings) == (&logged.rules, &logged.geo, said);
        Again { in_force, is_exact }
    }

    /// Keeps mappings that come into force; those that these batches were decided with stay.
    pub fn keep_mappings(&self, in_force: &InForce, decided_with: &[Digests]) -> Result<(), CopyError> {
        let digest = in_force.digests(&self.topics).mappings;
        let (name, failed) = (file(&digest), |error| CopyError::Io(self.mappings.clone(), error));
        let kept: Vec<Kept> = self
            .topics
            .iter()
            .zip(in_force.mappings.iter())
            .filter_map(|(topic, mapping)| {
                let source = mapping.as_ref()?.source();
                Some(Kept { topic: topic.clone(), path: source.path.clone(), text: source.text.clone() })
            })
            .collect();
        if kept.is_empty() && !self.mappings.exists() {
            return Ok(());
        }
        super::private_folder(&self.mappings).map_err(failed)?;
        if !kept.is_empty() && self.read_mappings(&digest).is_none() {
            let text = serde_json::to_vec(&kept).map_err(|error| failed(error.into()))?;
            let next = self.mappings.join(".next");
            super::last_good::write_file(&next, &text)?;
            fs::rename(&next, self.mappings.join(&name)).map_err(failed)?;
        }
        let stays: Vec<String> = decided_with.iter().map(|digests| file(&digests.mappings)).chain([name]).collect();
        for entry in fs::read_dir(&self.mappings).into_iter().flatten().flatten() {
            if !entry.file_name().to_str().is_some_and(|found| stays.iter().any(|name| name == found)) {
                // What cannot be removed is left for the next time.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// The mappings of a digest, if they are kept.
    fn read_mappings(&self, digest: &str) -> Option<Mappings> {
        let mut mappings: Mappings = self.topics.iter().map(|_| None).collect();
        if digest == NONE {
            return Some(mappings);
        }
        let kept: Vec<Kept> = serde_json::from_slice(&fs::read(self.mappings.join(file(digest))).ok()?).ok()?;
        for Kept { topic, path, text } in kept {
            let at = self.topics.iter().position(|known| *known == topic)?;
            *mappings.get_mut(at)? = Some(mapping::load_bytes(&path, text.as_bytes()).ok()?);
        }
        (super::current::digest(&mappings, &self.topics) == digest).then_some(mappings)
    }
}

/// The digest where there is no mapping.
pub const NONE: &str = "none";

/// The file of a copy.
fn file(digest: &str) -> String {
    let short: String = digest.chars().skip(3).take(16).collect();
    format!("{short}.json")
}
