//! What one entity can cost: the memory of its features, all at their caps.
//!
//! Guarantees: an upper estimate from the caps alone, the same wherever it runs. Does not count entities: nobody
//! knows before the events come.

use std::collections::BTreeMap;

use super::codes;
use super::feature::{FeatureSpec, Kind};
use super::names::Names;
use crate::report::Problem;

/// What the features of one entity may take together before it is told, bytes.
const ENTITY_BYTES_MAX: usize = 16 << 20;

/// Entries that a window keeps at most: those kept apart, those waiting and the steps of older ones.
const WINDOW_ENTRIES: usize = 1024 + 64 + 128;
/// The second entities that a pair keeps inside its first, at most.
const PAIR_KEYS: usize = 256;

impl FeatureSpec {
    /// Memory for one entity at the caps, bytes.
    fn bytes_max(&self) -> usize {
        let of_one = match self.kind {
            None => 0,
            Some(Kind::Count | Kind::Sum | Kind::Rate) => WINDOW_ENTRIES * 16,
            Some(Kind::Share) => WINDOW_ENTRIES * 2 * 16,
            Some(Kind::Distinct | Kind::Spread | Kind::Habit) => WINDOW_ENTRIES * 24,
            Some(Kind::Stats) => WINDOW_ENTRIES * 16 + 16 * 1024,
            Some(Kind::Baseline) => 168 * 32,
            Some(Kind::Last) => 1024,
            Some(Kind::FirstSeen | Kind::Decayed) => 64,
        };
        match self.by {
            Some(by) if by.second.is_some() => of_one * PAIR_KEYS,
            _ => of_one,
        }
    }
}

/// Warns of each kind of entity that can take more than [`ENTITY_BYTES_MAX`], at its largest feature.
pub(super) fn over_budget(names: &Names, problems: &mut Vec<Problem>) {
    let mut by_entity: BTreeMap<&str, Vec<(&str, &FeatureSpec)>> = BTreeMap::new();
    for (name, (place, spec)) in &names.features {
        if let (Some(_), Some(by)) = (place, spec.by) {
            by_entity.entry(by.first.name()).or_default().push((name, spec));
        }
    }
    for (entity, features) in by_entity {
        let total: usize = features.iter().map(|(_, spec)| spec.bytes_max()).sum();
        let Some((name, largest)) = features.iter().max_by_key(|(_, spec)| spec.bytes_max()) else { continue };
        if total <= ENTITY_BYTES_MAX {
            continue;
        }
        let message = format!(
            "one `{entity}` can take {} MiB with all its features at their caps, {} MiB more than is good",
            total >> 20,
            (total - ENTITY_BYTES_MAX).div_ceil(1 << 20),
        );
        let help =
            format!("`{name}` takes most: a feature by a pair keeps up to {PAIR_KEYS} of the second for each first");
        problems.push(Problem::warning(codes::STATE_BYTES, &largest.file, largest.span.clone(), message).help(help));
    }
}
