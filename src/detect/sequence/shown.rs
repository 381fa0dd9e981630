//! How far the chains of one entity have come.
//!
//! Guarantees: the same of what is in memory and of what stands in a store. Chains of a pair are found where both are
//! asked for: they are kept under a hash of the two. Changes nothing.

use serde::Serialize;

use super::durable::Head;
use super::{Chains, Partial, Sequences};
use crate::event::{Closed, EventType, Millis};
use crate::features::store::{Space, StoreError, Stored};
use crate::features::{Asked, NOWHERE, stored};
use crate::ruleset::{HashKey, Key, Ruleset};

/// Chains of one rule that stand behind the same step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainsShown {
    /// The rule.
    pub rule: String,
    /// What its sequence is by, as rules write it.
    pub by: String,
    /// How many steps they have taken.
    pub taken: usize,
    /// Of how many.
    pub steps: usize,
    /// The event types that take the step they stand behind.
    pub on: Vec<&'static str>,
    /// How many chains.
    pub chains: usize,
    /// When the newest of them took its last step.
    pub newest: Millis,
    /// Until when the newest may go on, or waits for what must not follow.
    pub until: Millis,
}

impl Sequences {
    /// Every chain of the entity that can still go on, in the order of the rules.
    pub fn shown(&self, rules: &Ruleset, asked: &Asked) -> Vec<ChainsShown> {
        let mut shown = Vec::new();
        for (at, rule) in (0u16..).zip(&rules.rules) {
            let Some(sequence) = &rule.sequence else { continue };
            let known = || Some((self.number(at)?, pair(sequence.by, asked)?));
            let Some((number, pair)) = known() else { continue };
            let Some(chains) = self.chains.get(self.key_of(number, pair)) else { continue };
            let steps = sequence.steps.len();
            let mut show = |taken: usize, count: usize, newest_ms: i64, until_ms: i64| {
                if count > 0 && until_ms >= asked.at_ms {
                    let on = sequence.steps.get(taken.saturating_sub(1));
                    shown.push(ChainsShown {
                        rule: rule.id.clone(),
                        by: sequence.by.text(),
                        taken,
                        steps,
                        on: on.map(|step| step.types.iter().map(EventType::word).collect()).unwrap_or_default(),
                        chains: count,
                        newest: Millis(newest_ms),
                        until: Millis(until_ms),
                    });
                }
            };
            for (room, behind) in chains.rooms.iter().zip(1..) {
                let until_ms = |chain: &Partial| chain.first_ms().saturating_add(sequence.within_ms);
                let all = || (0..room.len()).filter_map(|at| room.get(at));
                let count = all().filter(|chain| until_ms(chain) >= asked.at_ms).count();
                if let Some(newest) = all().next_back() {
                    show(behind, count, newest.last_ms(), until_ms(newest));
                }
            }
            if let Some(newest) = chains.waiting.last() {
                show(steps, chains.waiting.len(), newest.age().0, newest.end_ms());
            }
        }
        shown
    }

    /// The chains of a store that are about an entity, and no others.
    pub fn of_stored(
        head: Head,
        rules: &Ruleset,
        key: HashKey,
        asked: &Asked,
        store: &dyn Stored,
    ) -> Result<Self, StoreError> {
        let mut sequences = Sequences::new(rules, None, usize::MAX, key);
        (sequences.followed, sequences.next_number) = (head.followed.into_iter().map(Some).collect(), head.next_number);
        sequences.follow(rules, None);
        for (at, rule) in (0u16..).zip(&rules.rules) {
            let known = || Some((sequences.number(at)?, pair(rule.sequence.as_ref()?.by, asked)?));
            let Some((number, pair)) = known() else { continue };
            let hash = sequences.key_of(number, pair);
            let Some(value) = store.get(Space::Sequence, &hash.to_be_bytes())? else { continue };
            let read = stored(Space::Sequence, &hash.to_be_bytes(), &value);
            let read: Chains = read.map_err(|e| e.under(Space::Sequence, &hash.to_be_bytes()))?;
            if let Some(place) = sequences.chains.entry(hash, NOWHERE) {
                *place = read;
            }
        }
        Ok(sequences)
    }
}

/// What a sequence is by, as far as it was asked for.
fn pair(by: Key, asked: &Asked) -> Option<(u64, u64)> {
    let hash = |kind| match asked.with {
        _ if kind == asked.kind => Some(asked.hash),
        Some((with, hash)) if with == kind => Some(hash),
        _ => None,
    };
    let is_about = by.first == asked.kind || by.second == Some(asked.kind);
    let second = by.second.map_or(Some(0), hash)?;
    hash(by.first).filter(|_| is_about).map(|first| (first, second))
}
