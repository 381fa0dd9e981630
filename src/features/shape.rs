//! A feature as the state uses it, and what an event brings to it.
//!
//! Guarantees: over changes of the rules the fields a `last` keeps stay in their places. Keeps nothing itself.

use super::Banks;
use super::aggregate::Aggregate;
use super::first_seen::SeenKeys;
use crate::event::{Currency, Field, FieldKind, Money};
use crate::ruleset::expr::Ty;
use crate::ruleset::row::{Cell, Rep};
use crate::ruleset::{self, FindingField, Measure, Part};

/// What an event brings to a feature.
#[derive(Debug, Clone, Copy)]
pub struct Observation {
    /// Event time.
    pub time_ms: i64,
    /// How many equal events it stands for.
    pub count: u32,
    /// The second key of a pair, else 0.
    pub second: u64,
    /// The value, for `distinct`, `spread` and `habit`.
    pub value: Option<u64>,
    /// The amount and its unit, for `sum` and `stats`.
    pub amount: Option<(u8, i64)>,
    /// The unit in which this event reads money.
    pub unit: Option<Currency>,
    /// Whether it is one of those that a `share` is the part of.
    pub matches: bool,
}

/// A feature as the state uses it.
#[derive(Debug)]
pub struct Shape {
    /// What it keeps.
    pub aggregate: ruleset::Aggregate,
    /// Whether it is by a pair.
    pub pair: bool,
    /// The window, or the half-life, ms.
    pub over_ms: i64,
    /// The scale of the amounts it looks at.
    pub scale: Scale,
    /// Its parts with their slots.
    pub parts: Vec<(Part, Ty, Cell)>,
    /// What a `last` keeps, in the order in which it is kept.
    pub kept: Vec<KeptField>,
}

/// What the whole numbers that stand for amounts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Minor units of the event's currency.
    Money,
    /// Whole numbers.
    Whole,
    /// Parts of a million, for numbers with a fraction.
    Micros,
}

impl Scale {
    fn of(measure: Option<Measure>) -> Self {
        match measure {
            Some(Measure::Field(field)) if field.kind() == FieldKind::Money => Scale::Money,
            Some(Measure::Field(field)) if field.kind() == FieldKind::Float => Scale::Micros,
            _ => Scale::Whole,
        }
    }
}

/// What a `last` keeps of an event, or of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptValue {
    /// A field of the event.
    Field(Field),
    /// A field of the finding itself.
    Finding(FindingField),
}

/// A field that a `last` keeps. Over changes of the rules its place among the others stays, because entities
/// hold values in that order; one that no rule reads any more has no slot, and nothing of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptField {
    /// The field.
    pub value: KeptValue,
    /// How its value is laid out.
    pub rep: Rep,
    /// Where its value goes.
    pub cell: Option<Cell>,
}

impl Shape {
    /// What a feature keeps and where its value goes. `kept_before` is what its entities hold already.
    pub fn new(feature: &ruleset::Feature, kept_before: &[KeptField]) -> Self {
        let mut kept: Vec<KeptField> = kept_before.iter().map(|k| KeptField { cell: None, ..*k }).collect();
        for (part, _, cell) in &feature.parts {
            let value = match *part {
                Part::Field(field) => KeptValue::Field(field),
                Part::Finding(field) => KeptValue::Finding(field),
                _ => continue,
            };
            let read = KeptField { value, rep: cell.rep, cell: Some(*cell) };
            match kept.iter_mut().find(|k| k.value == value) {
                Some(known) => *known = read,
                None => kept.push(read),
            }
        }
        Shape {
            aggregate: feature.aggregate,
            pair: feature.by.second.is_some(),
            over_ms: feature.over_ms,
            scale: Scale::of(feature.measure),
            parts: feature.parts.clone(),
            kept,
        }
    }

    /// An empty one.
    pub fn empty(&self) -> Aggregate {
        match (self.pair, self.aggregate) {
            (true, ruleset::Aggregate::FirstSeen) => Aggregate::SeenKeys(SeenKeys::default()),
            (true, _) => Aggregate::Pairs(Box::default()),
            (false, _) => self.empty_single(),
        }
    }

    /// An empty one of one second key.
    pub fn empty_single(&self) -> Aggregate {
        match self.aggregate {
            ruleset::Aggregate::Count | ruleset::Aggregate::Rate => Aggregate::Count(Default::default()),
            ruleset::Aggregate::Sum => Aggregate::Sum(Default::default()),
            ruleset::Aggregate::Distinct => Aggregate::Distinct(Default::default()),
            ruleset::Aggregate::Spread => Aggregate::Spread(Box::default()),
            ruleset::Aggregate::Last => Aggregate::Last(Box::default()),
            ruleset::Aggregate::FirstSeen => Aggregate::Seen(Default::default()),
            ruleset::Aggregate::Habit => Aggregate::Habit(Box::default()),
            ruleset::Aggregate::Stats => Aggregate::Stats(Box::default()),
            ruleset::Aggregate::Share => Aggregate::Share(Default::default()),
            ruleset::Aggregate::Decayed => Aggregate::Decayed(Default::default()),
            ruleset::Aggregate::Baseline => Aggregate::Baseline(Box::default()),
        }
    }

    /// Fills the slots with what an entity has that nothing is kept of: zero, or missing.
    pub fn fill_empty(&self, seen: &Observation, banks: &mut Banks) {
        use ruleset::Aggregate as Kind;
        for (part, ty, cell) in &self.parts {
            match (self.aggregate, ty) {
                (Kind::Sum, Ty::Money) => fill_money(0, seen.unit, *cell, banks),
                (Kind::Count | Kind::Rate | Kind::Sum | Kind::Distinct | Kind::Decayed, _) => banks.number(*cell, 0.0),
                (Kind::Spread, _) if matches!(part, Part::Keys | Part::MaxPerKey) => banks.number(*cell, 0.0),
                _ => {}
            }
        }
    }
}

/// Writes an amount in the unit in which the event reads money; without one it is missing.
pub fn fill_money(minor: i128, unit: Option<Currency>, cell: Cell, banks: &mut Banks) {
    if let Some(currency) = unit {
        let minor = i64::try_from(minor).unwrap_or(i64::MAX);
        banks.money(cell, Money { minor, currency });
    }
}
