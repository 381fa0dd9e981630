//! What an event of each type touches: fields to fill, rules to ask.
//!
//! Guarantees: rules stand in the order of their ids; drafts and rules that are off are not asked, but for a
//! test's own. Worked out once per rule set.

use crate::event::{Closed, EventType, Field, TypeSet};
use crate::ruleset::row::Cell;
use crate::ruleset::{Name, Ruleset, State};

/// The index of a rule set.
#[derive(Debug)]
pub struct Index {
    fields: Vec<Vec<(Field, Cell)>>,
    rules: Vec<Vec<u16>>,
    amounts: Vec<(u16, Cell)>,
}

impl Index {
    /// The index of a rule set. `also`: a rule that is asked in whatever state.
    pub fn new(rules: &Ruleset, also: Option<usize>) -> Self {
        let cells = || rules.layout.cells().iter();
        let fields_of = |kind: EventType| {
            let field = |(name, _, cell): &(Name, _, Cell)| match name {
                Name::Field(field) if field.types().has(kind) => Some((*field, *cell)),
                _ => None,
            };
            cells().filter_map(field).collect()
        };
        let rules_of = |kind: EventType| {
            let asked = rules.rules.iter().enumerate().filter(|(at, rule)| {
                rule.sequence.is_none()
                    && rule.on.has(kind)
                    && (matches!(rule.state, State::Live | State::Shadow) || also == Some(*at))
            });
            asked.map(|(at, _)| at as u16).collect()
        };
        let amount = |(name, _, cell): &(Name, _, Cell)| match name {
            Name::Amount(amount) => Some((*amount, *cell)),
            _ => None,
        };
        Index {
            fields: TypeSet::ALL.iter().map(fields_of).collect(),
            rules: TypeSet::ALL.iter().map(rules_of).collect(),
            amounts: cells().filter_map(amount).collect(),
        }
    }

    /// The fields rules read of an event type, with their slots.
    pub fn fields(&self, kind: EventType) -> &[(Field, Cell)] {
        self.fields.get(usize::from(kind.index())).map(Vec::as_slice).unwrap_or_default()
    }

    /// The rules to ask of an event type.
    pub fn rules(&self, kind: EventType) -> &[u16] {
        self.rules.get(usize::from(kind.index())).map(Vec::as_slice).unwrap_or_default()
    }

    /// The named amounts some rule reads.
    pub fn amounts(&self) -> &[(u16, Cell)] {
        &self.amounts
    }
}
