//! One feature of one entity: whichever aggregate it is.
//!
//! Guarantees: the one place where an event updates a feature and a feature fills its slots. Does not know
//! where entities are kept.

use prefetch_index::prefetch_index;

use super::Banks;
use super::distinct::Distinct;
use super::first_seen::{Seen, SeenKeys};
use super::habit::Habit;
use super::last::Last;
use super::pairs::Pairs;
use super::sum::{MICROS, NO_CURRENCY, Sum};
use super::window::{Span, Window};
use crate::event::{Currency, Field, Money};
use crate::ruleset::expr::Ty;
use crate::ruleset::row::{Cell, Rep};
use crate::ruleset::{self, Part};

/// What is kept of one feature.
#[derive(Debug, Clone)]
pub enum Aggregate {
    /// Number of events.
    Count(Window),
    /// Sum per currency.
    Sum(Sum),
    /// Distinct values.
    Distinct(Distinct),
    /// The newest event.
    Last(Box<Last>),
    /// Since when the entity is known.
    Seen(Seen),
    /// Since when each second key is known.
    SeenKeys(SeenKeys),
    /// How usual values are.
    Habit(Box<Habit>),
    /// A pair of any of the others.
    Pairs(Box<Pairs>),
}

/// What an event brings to a feature.
#[derive(Debug, Clone, Copy)]
pub struct Observation {
    /// Event time.
    pub time_ms: i64,
    /// How many equal events it stands for.
    pub count: u32,
    /// The second key of a pair, else 0.
    pub second: u64,
    /// The value, for `distinct` and `habit`.
    pub value: Option<u64>,
    /// The amount and its unit, for `sum`.
    pub amount: Option<(u8, i64)>,
    /// The unit in which this event reads money.
    pub unit: Option<Currency>,
}

/// A feature as the state uses it.
#[derive(Debug)]
pub struct Shape {
    /// What it keeps.
    pub aggregate: ruleset::Aggregate,
    /// Whether it is by a pair.
    pub pair: bool,
    /// The window, ms.
    pub over_ms: i64,
    /// Its parts with their slots.
    pub parts: Vec<(Part, Ty, Cell)>,
    /// What a `last` keeps, in the order in which it is kept.
    pub kept: Vec<KeptField>,
}

/// A field that a `last` keeps. Over changes of the rules its place among the others stays, because entities
/// hold values in that order; one that no rule reads any more has no slot, and nothing of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptField {
    /// The field.
    pub field: Field,
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
            let Part::Field(field) = *part else { continue };
            let read = KeptField { field, rep: cell.rep, cell: Some(*cell) };
            match kept.iter_mut().find(|k| k.field == field) {
                Some(known) => *known = read,
                None => kept.push(read),
            }
        }
        Shape {
            aggregate: feature.aggregate,
            pair: feature.by.second.is_some(),
            over_ms: feature.over_ms,
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

    fn empty_single(&self) -> Aggregate {
        match self.aggregate {
            ruleset::Aggregate::Count => Aggregate::Count(Window::default()),
            ruleset::Aggregate::Sum => Aggregate::Sum(Sum::default()),
            ruleset::Aggregate::Distinct => Aggregate::Distinct(Distinct::default()),
            ruleset::Aggregate::Last => Aggregate::Last(Box::default()),
            ruleset::Aggregate::FirstSeen => Aggregate::Seen(Seen::default()),
            ruleset::Aggregate::Habit => Aggregate::Habit(Box::default()),
        }
    }

    /// Fills the slots with what an entity has that nothing is kept of: zero, or missing.
    pub fn fill_empty(&self, seen: &Observation, banks: &mut Banks) {
        for (_, ty, cell) in &self.parts {
            match (self.aggregate, ty) {
                (ruleset::Aggregate::Sum, Ty::Money) => fill_money(0, seen.unit, *cell, banks),
                (ruleset::Aggregate::Count | ruleset::Aggregate::Sum | ruleset::Aggregate::Distinct, _) => {
                    banks.number(*cell, 0.0);
                }
                _ => {}
            }
        }
    }
}

fn fill_money(minor: i128, unit: Option<Currency>, cell: Cell, banks: &mut Banks) {
    if let Some(currency) = unit {
        let minor = i64::try_from(minor).unwrap_or(i64::MAX);
        banks.money(cell, Money { minor, currency });
    }
}

impl Aggregate {
    /// Takes an event. `captured` holds the event's fields at the slots a `last` keeps.
    pub fn update(&mut self, shape: &Shape, seen: &Observation, span: Span, captured: &mut Banks) {
        match self {
            Aggregate::Count(window) => window.add(seen.time_ms, i64::from(seen.count), span),
            Aggregate::Sum(sum) => {
                if let Some((unit, amount)) = seen.amount {
                    sum.add(unit, amount, seen.count, seen.time_ms, span);
                }
            }
            Aggregate::Distinct(distinct) => {
                if let Some(value) = seen.value {
                    distinct.add(seen.time_ms, value, span);
                }
            }
            Aggregate::Last(last) => last.take(seen.time_ms, &shape.kept, captured),
            Aggregate::Seen(times) => times.add(seen.time_ms, span.over_ms),
            Aggregate::SeenKeys(keys) => keys.add(seen.second, seen.time_ms, span),
            Aggregate::Habit(habit) => {
                if let Some(value) = seen.value {
                    habit.add(seen.time_ms, value, seen.count, span);
                }
            }
            Aggregate::Pairs(pairs) => {
                if let Some(kept) = pairs.entry(seen.second, span, || shape.empty_single()) {
                    kept.update(shape, seen, span, captured);
                }
            }
        }
    }

    /// Fills the slots with the value at an event.
    pub fn fill(&self, shape: &Shape, seen: &Observation, banks: &mut Banks, scratch: &mut Vec<u64>) {
        let (time, over) = (seen.time_ms, shape.over_ms);
        match self {
            Aggregate::Count(window) => {
                let count = window.sum(time, over) as f64;
                shape.parts.iter().for_each(|(_, _, cell)| banks.number(*cell, count));
            }
            Aggregate::Sum(sum) => fill_sum(sum, shape, seen, banks),
            Aggregate::Distinct(distinct) => {
                let count = distinct.count(time, over, scratch) as f64;
                shape.parts.iter().for_each(|(_, _, cell)| banks.number(*cell, count));
            }
            Aggregate::Last(last) => {
                if let Some(age) = last.age_ms(time, over) {
                    last.give(&shape.kept, banks);
                    fill_age(Some(age), shape, banks);
                }
            }
            Aggregate::Seen(times) => fill_age(times.age_ms(time, over), shape, banks),
            Aggregate::SeenKeys(keys) => fill_age(keys.age_ms(seen.second, time, over), shape, banks),
            Aggregate::Habit(habit) => fill_habit(habit, shape, seen, banks),
            Aggregate::Pairs(pairs) => match pairs.get(seen.second) {
                Some(kept) => kept.fill(shape, seen, banks, scratch),
                None => shape.fill_empty(seen, banks),
            },
        }
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Aggregate::Count(window) => window.heap_bytes(),
            Aggregate::Sum(sum) => sum.heap_bytes(),
            Aggregate::Distinct(distinct) => distinct.heap_bytes(),
            Aggregate::Last(last) => size_of::<Last>() + last.heap_bytes(),
            Aggregate::Seen(_) => 0,
            Aggregate::SeenKeys(keys) => keys.heap_bytes(),
            Aggregate::Habit(habit) => size_of::<Habit>() + habit.heap_bytes(),
            Aggregate::Pairs(pairs) => size_of::<Pairs>() + pairs.heap_bytes(),
        }
    }

    /// Whether nothing in it can be asked for any more.
    pub fn is_dead(&self, span: Span) -> bool {
        match self {
            Aggregate::Count(window) => window.is_dead(span),
            Aggregate::Sum(sum) => sum.is_dead(span),
            Aggregate::Distinct(distinct) => distinct.is_dead(span),
            Aggregate::Pairs(pairs) => pairs.is_dead(span),
            other => other.newest_ms() <= span.dead(),
        }
    }

    /// Asks for the memory it points to, where that is what most events change. Reads only what stands here.
    pub fn bring_near(&self) {
        match self {
            Aggregate::Count(window) => window.bring_near(),
            Aggregate::Sum(sum) => sum.bring_near(),
            Aggregate::Distinct(distinct) => distinct.bring_near(),
            Aggregate::Last(last) => prefetch_index(std::slice::from_ref(last.as_ref()), 0),
            Aggregate::Habit(habit) => prefetch_index(std::slice::from_ref(habit.as_ref()), 0),
            Aggregate::Pairs(pairs) => prefetch_index(std::slice::from_ref(pairs.as_ref()), 0),
            Aggregate::Seen(_) | Aggregate::SeenKeys(_) => {}
        }
    }

    /// The newest time in it.
    pub fn newest_ms(&self) -> i64 {
        match self {
            Aggregate::Count(window) => window.newest_ms(),
            Aggregate::Sum(sum) => sum.newest_ms(),
            Aggregate::Distinct(distinct) => distinct.newest_ms(),
            Aggregate::Last(last) => last.newest_ms(),
            Aggregate::Seen(times) => times.newest_ms(),
            Aggregate::SeenKeys(keys) => keys.newest_ms(),
            Aggregate::Habit(habit) => habit.newest_ms(),
            Aggregate::Pairs(pairs) => pairs.newest_ms(),
        }
    }
}

fn fill_sum(sum: &Sum, shape: &Shape, seen: &Observation, banks: &mut Banks) {
    for (_, ty, cell) in &shape.parts {
        match ty {
            Ty::Money => {
                let unit = seen.unit.map_or(NO_CURRENCY, Currency::number);
                fill_money(sum.sum(unit, seen.time_ms, shape.over_ms), seen.unit, *cell, banks);
            }
            Ty::Float => banks.number(*cell, sum.sum(NO_CURRENCY, seen.time_ms, shape.over_ms) as f64 / MICROS),
            _ => banks.number(*cell, sum.sum(NO_CURRENCY, seen.time_ms, shape.over_ms) as f64),
        }
    }
}

fn fill_age(age_ms: Option<i64>, shape: &Shape, banks: &mut Banks) {
    let Some(age) = age_ms else { return };
    for (_, _, cell) in shape.parts.iter().filter(|(part, ..)| *part == Part::Age) {
        banks.number(*cell, age as f64);
    }
}

fn fill_habit(habit: &Habit, shape: &Shape, seen: &Observation, banks: &mut Banks) {
    let Some(usual) = seen.value.and_then(|value| habit.usual(value, seen.time_ms, shape.over_ms)) else { return };
    for (part, _, cell) in &shape.parts {
        let value = match part {
            Part::Share => usual.count as f64 / usual.total as f64,
            Part::Count => usual.count as f64,
            _ => usual.total as f64,
        };
        banks.number(*cell, value);
    }
}
