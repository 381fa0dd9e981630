//! The parts of a feature: `NAME`, `NAME.age`, `NAME.share(2)`, what each is and of which type.
//!
//! Guarantees: what is read here is what `features` fills. Does not read files.

use std::collections::BTreeMap;

use super::consequences::text_at;
use super::expr::{self, Ty};
use super::feature::{FeatureSpec, Kind};
use super::finding::{event_field, field_names};
use super::model::{Aggregate, Feature, FindingField, Key, Measure, Part};
use crate::event::{Field, FieldKind, TypeSet};
use crate::report::Problem;

/// What a part of a feature is: which one, its type, and whether it is missing while nothing is known.
pub(super) struct PartMeaning {
    pub part: Part,
    pub ty: Ty,
    pub is_missing_while_empty: bool,
}

impl FeatureSpec {
    /// The meaning of `NAME` (no part) or `NAME.part`.
    pub fn part(&self, part: Option<&str>) -> Option<PartMeaning> {
        let is = |part, ty, is_missing_while_empty| Some(PartMeaning { part, ty, is_missing_while_empty });
        let measured = match self.measure {
            Some(Measure::Field(field)) => Ty::of(field),
            Some(Measure::Finding(field)) => field.ty(),
            _ => Ty::Int,
        };
        // What is worked out of whole numbers need not be one.
        let worked_out = if measured == Ty::Money { Ty::Money } else { Ty::Float };
        match (self.kind?, part) {
            (Kind::Count | Kind::Distinct, None) => is(Part::Value, Ty::Int, false),
            (Kind::Sum, None) => is(Part::Value, measured, measured == Ty::Money),
            (Kind::Rate | Kind::Decayed, None) => is(Part::Value, Ty::Float, false),
            (Kind::Share, None) => is(Part::Value, Ty::Float, true),
            (Kind::Last | Kind::FirstSeen, Some("age")) => is(Part::Age, Ty::Duration, true),
            (Kind::Last, Some(name)) if self.of_findings => match FindingField::parse(name) {
                Some(field) => is(Part::Finding(field), field.ty(), true),
                None => event_field(name).and_then(|field| is(Part::Field(field), Ty::of(field), true)),
            },
            (Kind::Last, Some(name)) => {
                let field = Field::parse(name).filter(|field| !field.types().and(self.types).is_empty())?;
                is(Part::Field(field), Ty::of(field), true)
            }
            (Kind::Habit, Some("share")) => is(Part::Share, Ty::Float, true),
            (Kind::Habit, Some("count")) => is(Part::Count, Ty::Int, true),
            (Kind::Habit, Some("total")) => is(Part::Total, Ty::Int, true),
            (Kind::Spread, Some("keys")) => is(Part::Keys, Ty::Int, false),
            (Kind::Spread, Some("max_per_key")) => is(Part::MaxPerKey, Ty::Int, false),
            (Kind::Spread, Some(part)) => is(Part::ShareUpTo(at_most(part)?), Ty::Float, true),
            (Kind::Stats, Some("mean")) => is(Part::Mean, worked_out, true),
            (Kind::Stats, Some("stddev")) => is(Part::Stddev, worked_out, true),
            (Kind::Stats, Some("p50")) => is(Part::P50, worked_out, true),
            (Kind::Stats, Some("p95")) => is(Part::P95, worked_out, true),
            (Kind::Stats, Some("max")) => is(Part::Max, measured, true),
            (Kind::Stats, Some("count")) => is(Part::Count, Ty::Int, true),
            (Kind::Baseline, Some("now")) => is(Part::Now, Ty::Int, true),
            (Kind::Baseline, Some("mean")) => is(Part::Mean, Ty::Float, true),
            (Kind::Baseline, Some("stddev")) => is(Part::Stddev, Ty::Float, true),
            (Kind::Baseline, Some("ratio")) => is(Part::Ratio, Ty::Float, true),
            _ => None,
        }
    }

    /// The parts it has, for "did you mean"; the empty one is the bare name.
    pub fn parts(&self) -> Vec<&'static str> {
        match self.kind {
            Some(Kind::Count | Kind::Sum | Kind::Rate | Kind::Distinct | Kind::Share | Kind::Decayed) => vec![""],
            Some(Kind::FirstSeen) => vec!["age"],
            Some(Kind::Last) if self.of_findings => std::iter::once("age").chain(field_names()).collect(),
            Some(Kind::Last) => {
                let has = |field: &Field| !field.types().and(self.types).is_empty();
                std::iter::once("age").chain(Field::all().filter(has).map(Field::name)).collect()
            }
            Some(Kind::Habit) => vec!["share", "count", "total"],
            Some(Kind::Stats) => vec!["mean", "stddev", "p50", "p95", "max", "count"],
            Some(Kind::Baseline) => vec!["now", "mean", "stddev", "ratio"],
            Some(Kind::Spread) => vec!["keys", "max_per_key", "share(1)"],
            None => vec![""],
        }
    }

    /// The event types on which it can have a value.
    pub fn value_types(&self) -> TypeSet {
        let own = match (self.kind, self.measure) {
            // A habit is about this event's own value of the field.
            (Some(Kind::Habit), Some(Measure::Field(field))) => field.types(),
            // Money is read in the event's own currency: that of its amount or its balance.
            (Some(Kind::Sum | Kind::Stats), Some(Measure::Field(field))) if field.kind() == FieldKind::Money => {
                Field::Amount.types().or(Field::Balance.types())
            }
            _ => TypeSet::ALL,
        };
        self.by.map_or(TypeSet::ALL, Key::types).and(own)
    }
}

/// Says how a feature is asked where it was asked otherwise: for a part, or for the number of `share(n)`.
pub(super) fn explain_unknown(problem: &mut Problem, features: &BTreeMap<String, (Option<u16>, FeatureSpec)>) {
    let is_unknown = [expr::codes::UNKNOWN_NAME, expr::codes::UNKNOWN_FUNCTION].contains(&problem.code);
    let Some(text) = text_at(problem).filter(|_| is_unknown) else { return };
    if let Some((name, (_, spec))) = features.get_key_value(text) {
        let parts: Vec<String> = spec.parts().iter().take(6).map(|part| format!("`{name}.{part}`")).collect();
        problem.help = Some(format!("the feature has more than one value: write {}", parts.join(", ")));
        problem.fix = None;
    } else if let Some(name) = text.strip_suffix(".share")
        && features.get(name).is_some_and(|(_, spec)| spec.kind == Some(Kind::Spread))
    {
        let help =
            format!("`{name}.share(2)` is the part of the keys with at most 2; the number stands there as it is");
        problem.help = Some(help);
        problem.fix = None;
    }
}

/// The number of `share(n)`.
fn at_most(part: &str) -> Option<u32> {
    part.strip_prefix("share(")?.strip_suffix(')')?.parse().ok()
}

impl Feature {
    /// Every value that it can have without an event to ask about, with its type: what is shown of an entity, whether
    /// some rule reads it or not. Of a `last` only the age: its fields are those that are kept. None of a `habit`,
    /// which is about an event's own value.
    pub fn shown_parts(&self) -> Vec<(Part, Ty)> {
        let measured = match self.measure {
            Some(Measure::Field(field)) => Ty::of(field),
            Some(Measure::Finding(field)) => field.ty(),
            _ => Ty::Int,
        };
        let worked_out = if measured == Ty::Money { Ty::Money } else { Ty::Float };
        match self.aggregate {
            Aggregate::Count | Aggregate::Distinct => vec![(Part::Value, Ty::Int)],
            Aggregate::Sum => vec![(Part::Value, measured)],
            Aggregate::Rate | Aggregate::Decayed | Aggregate::Share => vec![(Part::Value, Ty::Float)],
            Aggregate::Last | Aggregate::FirstSeen => vec![(Part::Age, Ty::Duration)],
            Aggregate::Habit => Vec::new(),
            Aggregate::Spread => {
                let asked = self.parts.iter().filter(|(part, ..)| matches!(part, Part::ShareUpTo(_)));
                let shares = asked.map(|(part, ty, _)| (*part, *ty));
                [(Part::Keys, Ty::Int), (Part::MaxPerKey, Ty::Int)].into_iter().chain(shares).collect()
            }
            Aggregate::Stats => vec![
                (Part::Count, Ty::Int),
                (Part::Mean, worked_out),
                (Part::Stddev, worked_out),
                (Part::P50, worked_out),
                (Part::P95, worked_out),
                (Part::Max, measured),
            ],
            Aggregate::Baseline => {
                vec![(Part::Now, Ty::Int), (Part::Mean, Ty::Float), (Part::Stddev, Ty::Float), (Part::Ratio, Ty::Float)]
            }
        }
    }
}

/// A part as files write it after the point; empty for the value of a feature that has only one.
pub fn written(part: Part) -> String {
    let word = match part {
        Part::Value => "",
        Part::Age => "age",
        Part::Field(field) => field.name(),
        Part::Finding(field) => field.name(),
        Part::Share => "share",
        Part::ShareUpTo(at_most) => return format!("share({at_most})"),
        Part::Count => "count",
        Part::Total => "total",
        Part::Keys => "keys",
        Part::MaxPerKey => "max_per_key",
        Part::Mean => "mean",
        Part::Stddev => "stddev",
        Part::P50 => "p50",
        Part::P95 => "p95",
        Part::Max => "max",
        Part::Now => "now",
        Part::Ratio => "ratio",
    };
    word.to_owned()
}
