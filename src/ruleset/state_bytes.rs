//! What one entity can cost: the memory of its features, all at their caps.
//!
//! Guarantees: never less than what `features` keeps, which fills each of them in a test; the same wherever it runs.
//! Does not count entities: nobody knows before the events come.

use std::collections::BTreeMap;

use super::codes;
use super::feature::FeatureSpec;
use super::model::{Aggregate, Measure};
use super::names::Names;
use crate::event::FieldKind;
use crate::report::Problem;

/// What the features of one entity may take together before it is told, bytes.
const ENTITY_BYTES_MAX: usize = 64 << 20;

/// What a feature is by itself, and the heads of what it points to, bytes.
const HEAD_BYTES: usize = 512;
/// Entries of one window: those kept apart, those waiting and the steps of older ones.
const WINDOW_ENTRIES: usize = 1024 + 64 + 128;
/// The same where the oldest go instead of running together.
const EVENTS: usize = 1024 + 64;
/// Entries of a `habit`, whose steps are kept for each value.
const HABIT_ENTRIES: usize = 1024 + 64 + 1024;
/// Values that a `habit` keeps apart.
const HABIT_VALUES: usize = 64;
/// Currencies of one entity.
const CURRENCIES: usize = 4;
/// Steps of older amounts that a `stats` keeps, each with a histogram.
const STATS_STEPS: usize = 66;
/// Buckets of a histogram of amounts of money, which are never below zero and at most 2^53.
const MONEY_BUCKETS: usize = 49 * 64;
/// Buckets of a histogram of any numbers.
const BUCKETS: usize = 2 * 59 * 64;
/// Hours of the week, and intervals that late events may still add to.
const BASELINE_HOURS: usize = 168;
const BASELINE_INTERVALS: usize = 1024;
/// The fields of one event: no record is larger.
const LAST_BYTES: usize = 64 * 1024;
/// The second entities that a pair keeps inside its first, of a `first_seen` and of any other.
const SEEN_KEYS: usize = 1024;
const PAIR_KEYS: usize = 256;

/// Memory of one feature of one entity at its caps, bytes.
pub fn bytes_max(aggregate: Aggregate, is_money: bool, is_pair: bool) -> usize {
    let currencies = if is_money { CURRENCIES } else { 1 };
    let window = list(WINDOW_ENTRIES, 16);
    let own = match aggregate {
        Aggregate::Count | Aggregate::Rate | Aggregate::Share => window,
        Aggregate::Sum => currencies * window,
        Aggregate::Distinct => list(EVENTS, 16),
        Aggregate::Spread => list(EVENTS, 24),
        Aggregate::Habit => list(HABIT_ENTRIES, 16) + list(HABIT_VALUES, 16),
        Aggregate::Stats => {
            let buckets = if is_money { MONEY_BUCKETS } else { BUCKETS };
            currencies * (list(EVENTS, 24) + list(STATS_STEPS, 80) + STATS_STEPS * list(buckets, 8))
        }
        Aggregate::Baseline => window + list(BASELINE_INTERVALS, 16) + list(BASELINE_HOURS, 48),
        Aggregate::Last => LAST_BYTES,
        Aggregate::FirstSeen if is_pair => return HEAD_BYTES + list(SEEN_KEYS, 24),
        Aggregate::FirstSeen | Aggregate::Decayed => 0,
    };
    let whole = HEAD_BYTES + own;
    if is_pair { HEAD_BYTES + PAIR_KEYS * whole } else { whole }
}

/// A list that grew to so many entries, and one more before the oldest go: its room doubles.
fn list(entries: usize, entry_bytes: usize) -> usize {
    (entries + 1).next_power_of_two() * entry_bytes
}

impl FeatureSpec {
    /// Memory for one entity at the caps, bytes.
    fn bytes_max(&self) -> usize {
        let is_money = matches!(self.measure, Some(Measure::Field(field)) if field.kind() == FieldKind::Money);
        self.kind.map_or(0, |kind| bytes_max(kind.aggregate(), is_money, self.is_by_pair()))
    }

    fn is_by_pair(&self) -> bool {
        self.by.is_some_and(|by| by.second.is_some())
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
        let why = match largest.is_by_pair() {
            true => format!(": a feature by a pair keeps up to {PAIR_KEYS} of the second for each first"),
            false => String::new(),
        };
        let help = format!("`{name}` takes most, {} MiB{why}", largest.bytes_max() >> 20);
        problems.push(Problem::warning(codes::STATE_BYTES, &largest.file, largest.span.clone(), message).help(help));
    }
}
