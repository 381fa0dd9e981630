//! What a change of the rules means: who goes on, who begins anew.
//!
//! Decides nothing: the state, the dedup and the index each follow the new rule set by themselves.

use crate::event::Millis;
use crate::ruleset::{Rule, Ruleset, State};

/// What changed with the rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swapped {
    /// Features that go on with what they know.
    pub features_kept: usize,
    /// Features that begin with nothing, by name.
    pub features_new: Vec<String>,
    /// Rules whose condition reads such features or whose sequence begins with nothing, and the event time at which
    /// the longest of their windows is full; `None` where no event was seen yet. In the order of their ids; drafts and rules that are off are not
    /// among them.
    pub warming: Vec<(String, Option<Millis>)>,
}

impl Swapped {
    /// `cold`: the features, and `fresh`: the rules whose sequences, that begin with nothing, by their place; `newest_ms`: the newest event time.
    pub(super) fn new(rules: &Ruleset, cold: &[usize], fresh: &[usize], newest_ms: Option<i64>) -> Self {
        let cold: Vec<_> = cold.iter().filter_map(|at| rules.features.get(*at)).collect();
        let mut warming = Vec::new();
        let asked = |(_, rule): &(usize, &Rule)| matches!(rule.state, State::Live | State::Shadow);
        for (at, rule) in rules.rules.iter().enumerate().filter(asked) {
            let sequence = rule.sequence.as_ref();
            let read = |cell| {
                rule.evidence.iter().any(|(_, _, read)| *read == cell)
                    || sequence.is_some_and(|sequence| sequence.reads.contains(&cell))
            };
            let reads = cold.iter().filter(|feature| feature.parts.iter().any(|(_, _, cell)| read(*cell)));
            let begun = sequence.filter(|_| fresh.contains(&at)).map(|sequence| sequence.within_ms);
            if let Some(over_ms) = reads.map(|feature| feature.over_ms).chain(begun).max() {
                warming.push((rule.id.clone(), newest_ms.map(|newest| Millis(newest.saturating_add(over_ms)))));
            }
        }
        Swapped {
            features_kept: rules.features.len() - cold.len(),
            features_new: cold.iter().map(|feature| feature.name.clone()).collect(),
            warming,
        }
    }
}
