//! What values the variables of a condition can have.
//!
//! Guarantees: no value that an event or a feature can give is left out. Does not try them.

use super::super::expr::{Function, Node, Ty, Typed};
use super::super::feature::Kind;
use super::super::model::{Name, Part};
use super::super::names::Names;
use super::form::Domain;
use super::reckon::{self, ANY};
use super::{Judge, Outcomes};
use crate::event::{Closed, EARTH_RADIUS_KM, EventType, Field, TypeSet};

const FROM_ZERO: (f64, f64) = (0.0, f64::INFINITY);
/// Half the way round the Earth, km: no two places are farther apart.
pub(super) const APART_KM_MAX: f64 = std::f64::consts::PI * EARTH_RADIUS_KM;

/// The least and the largest value of a name.
pub(in super::super) fn range(names: &Names, name: Name) -> (f64, f64) {
    match name {
        Name::Field(field) | Name::Alias(_, field) | Name::Feature(_, Part::Field(field)) => of_field(field),
        Name::AccountLogins | Name::AccountRisk | Name::AccountKnownFor => FROM_ZERO,
        Name::Feature(at, Part::Age) => {
            let spec = names.features.values().find(|(place, _)| *place == Some(at)).map(|(_, spec)| spec);
            match spec {
                // What is as old as the window is forgotten. (The oldest time that `first_seen` keeps may be older.)
                Some(spec) if spec.kind == Some(Kind::Last) && spec.over_ms > 0 => (0.0, (spec.over_ms - 1) as f64),
                _ => FROM_ZERO,
            }
        }
        Name::Feature(at, Part::Value) => match names.kinds.get(usize::from(at)).copied().flatten() {
            Some(Kind::Share) => (0.0, 1.0),
            Some(_) => FROM_ZERO,
            None => ANY,
        },
        Name::Feature(_, Part::Share | Part::ShareUpTo(_)) => (0.0, 1.0),
        // Whatever is counted, measured or worked out of it: nothing that events have is negative.
        Name::Feature(..) => FROM_ZERO,
        Name::Amount(_) | Name::Finding(_) => ANY,
    }
}

fn of_field(field: Field) -> (f64, f64) {
    match field {
        Field::Count => (1.0, f64::INFINITY),
        Field::GeoAccuracyKm | Field::Amount | Field::Balance => FROM_ZERO,
        _ => ANY,
    }
}

impl Domain {
    /// Of no variable at all.
    pub fn none() -> Domain {
        Domain {
            ty: Ty::Bool,
            range: ANY,
            is_whole: false,
            words: Vec::new(),
            truths: vec![true],
            is_nullable: false,
            supposed: None,
            only: Vec::new(),
        }
    }

    /// Of a value that stands in a condition, or in a def, where other event types may have it.
    /// `parts`: the ranges of what it is made of.
    pub fn of(typed: &Typed, outcomes: Outcomes, judge: &Judge<'_>, is_home: bool, parts: &[(f64, f64)]) -> Domain {
        let on = if is_home { judge.on } else { TypeSet::ALL };
        let (range, is_whole) = match &typed.node {
            Node::Name(name) => ((judge.range)(*name), is_whole(*name, typed.ty)),
            Node::Call(Function::Hour, _) => ((0.0, 23.0), true),
            Node::Call(Function::Weekday, _) => ((1.0, 7.0), true),
            Node::Call(Function::DayOfMonth, _) => ((1.0, 31.0), true),
            Node::Call(Function::DistanceKm, _) => ((0.0, APART_KM_MAX), false),
            Node::Call(Function::SpeedKmh, _) => (FROM_ZERO, false),
            _ => (reckon::range(typed, parts), false),
        };
        let truths = [(outcomes.yes, true), (outcomes.no, false)];
        Domain {
            ty: typed.ty,
            range,
            is_whole,
            words: words(typed, on),
            truths: truths.into_iter().filter(|(can, _)| *can).map(|(_, truth)| truth).collect(),
            is_nullable: if typed.ty == Ty::Bool { outcomes.missing } else { typed.nullable || !is_home },
            supposed: None,
            only: Vec::new(),
        }
    }
}

/// Whether a number has no fraction. A mean of whole numbers is typed as one and has.
fn is_whole(name: Name, ty: Ty) -> bool {
    let is_kept = match name {
        Name::Feature(_, part) => matches!(part, Part::Value | Part::Age | Part::Count | Part::Total | Part::Field(_)),
        _ => true,
    };
    is_kept && matches!(ty, Ty::Int | Ty::Duration)
}

/// The words of a closed list that a value can be on these event types.
fn words(typed: &Typed, on: TypeSet) -> Vec<&'static str> {
    let Ty::Word(words) = typed.ty else { return Vec::new() };
    let Node::Name(Name::Field(field)) = typed.node else { return words.to_vec() };
    let types = on.and(field.types());
    if types.is_empty() {
        return words.to_vec();
    }
    if field == Field::Type {
        return types.iter().map(EventType::word).collect();
    }
    let here = |word: &&str| types.iter().any(|kind| field.words_on(kind).contains(word));
    words.iter().copied().filter(here).collect()
}
