//! Which features an event of each type updates and reads, worked out once per rule set.
//!
//! Guarantees: a feature that an event neither counts for nor is asked about costs nothing. Holds no state.

use super::aggregate::Shape;
use crate::event::{Closed, EventType, TypeSet};
use crate::ruleset::expr::Condition;
use crate::ruleset::row::Cell;
use crate::ruleset::{Aggregate, Feature, KeyField, Measure, Name, Ruleset};

/// A feature with what its upkeep needs.
#[derive(Debug)]
pub struct Planned {
    /// What it keeps and where its value goes.
    pub shape: Shape,
    /// What it looks at.
    pub measure: Option<Measure>,
    /// Which events it counts.
    pub filter: Option<Condition>,
    /// The second entity of a pair.
    pub second: Option<KeyField>,
    /// Whether this event is in its own window.
    pub include_current: bool,
}

impl Planned {
    fn new(feature: &Feature) -> Self {
        Planned {
            shape: Shape {
                aggregate: feature.aggregate,
                pair: feature.by.second.is_some(),
                over_ms: feature.over_ms,
                parts: feature.parts.clone(),
            },
            measure: feature.measure,
            filter: feature.filter.clone(),
            second: feature.by.second,
            include_current: feature.include_current,
        }
    }

    /// Whether reading it needs this event's own value.
    pub fn reads_value(&self) -> bool {
        self.shape.aggregate == Aggregate::Habit
    }
}

/// One feature on events of one type.
#[derive(Debug, Clone, Copy)]
pub struct Use {
    /// Its place in the rule set.
    pub feature: u16,
    /// Whether these events count.
    pub updates: bool,
    /// Whether some rule asks for it on these events.
    pub reads: bool,
}

/// The features of one kind of entity on events of one type.
#[derive(Debug)]
pub struct OfKind {
    /// The kind.
    pub kind: KeyField,
    /// The features.
    pub uses: Vec<Use>,
}

/// Where the built-in values of accounts go.
#[derive(Debug, Default, Clone, Copy)]
pub struct AccountCells {
    /// `account.risk`.
    pub risk: Option<Cell>,
    /// `account.known_for`.
    pub known_for: Option<Cell>,
    /// `account.logins`.
    pub logins: Option<Cell>,
}

/// The plan of a rule set.
#[derive(Debug)]
pub struct Plan {
    /// The features, in the rule set's order.
    pub features: Vec<Planned>,
    /// Per event type.
    pub types: Vec<Vec<OfKind>>,
    /// The built-in values.
    pub account: AccountCells,
    /// Each feature's window.
    pub over_ms: Vec<i64>,
}

impl Plan {
    /// The plan of a rule set.
    pub fn new(rules: &Ruleset) -> Self {
        let mut account = AccountCells::default();
        for (name, _, cell) in rules.layout.cells() {
            match name {
                Name::AccountRisk => account.risk = Some(*cell),
                Name::AccountKnownFor => account.known_for = Some(*cell),
                Name::AccountLogins => account.logins = Some(*cell),
                _ => {}
            }
        }
        Plan {
            features: rules.features.iter().map(Planned::new).collect(),
            types: TypeSet::ALL.iter().map(|kind| of_type(rules, kind)).collect(),
            account,
            over_ms: rules.features.iter().map(|f| f.over_ms).collect(),
        }
    }

    /// The features of an event type.
    pub fn of(&self, kind: EventType) -> &[OfKind] {
        self.types.get(usize::from(kind.index())).map(Vec::as_slice).unwrap_or_default()
    }
}

fn of_type(rules: &Ruleset, kind: EventType) -> Vec<OfKind> {
    let mut kinds: Vec<OfKind> = Vec::new();
    for (at, feature) in rules.features.iter().enumerate() {
        let used = Use { feature: at as u16, updates: feature.types.has(kind), reads: feature.read_on.has(kind) };
        if !used.updates && !used.reads {
            continue;
        }
        match kinds.iter_mut().find(|k| k.kind == feature.by.first) {
            Some(of_kind) => of_kind.uses.push(used),
            None => kinds.push(OfKind { kind: feature.by.first, uses: vec![used] }),
        }
    }
    kinds
}
