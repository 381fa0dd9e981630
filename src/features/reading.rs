//! What an entity's features are at an event: from what is kept to the slots of the row.
//!
//! Guarantees: what is missing leaves its slots alone. Changes nothing that is kept.

use super::Banks;
use super::baseline::Baseline;
use super::habit::Habit;
use super::shape::{Observation, Scale, Shape, fill_money};
use super::spread::Spread;
use super::stats::Stats;
use super::sum::{MICROS, NO_CURRENCY, Sum};
use crate::event::Currency;
use crate::ruleset::expr::Ty;
use crate::ruleset::{self, Part};

/// A minute, ms.
const MINUTE_MS: f64 = 60_000.0;

/// Fills every part with one number.
pub fn fill_number(value: f64, shape: &Shape, banks: &mut Banks) {
    shape.parts.iter().for_each(|(_, _, cell)| banks.number(*cell, value));
}

/// `count`, and `rate` per minute of its window.
pub fn fill_count(count: i128, shape: &Shape, banks: &mut Banks) {
    let count = count as f64;
    match shape.aggregate {
        ruleset::Aggregate::Rate => fill_number(count * MINUTE_MS / shape.over_ms.max(1) as f64, shape, banks),
        _ => fill_number(count, shape, banks),
    }
}

/// `sum`.
pub fn fill_sum(sum: &Sum, shape: &Shape, seen: &Observation, banks: &mut Banks) {
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

/// `.age`.
pub fn fill_age(age_ms: Option<i64>, shape: &Shape, banks: &mut Banks) {
    let Some(age) = age_ms else { return };
    for (_, _, cell) in shape.parts.iter().filter(|(part, ..)| *part == Part::Age) {
        banks.number(*cell, age as f64);
    }
}

/// `habit`.
pub fn fill_habit(habit: &Habit, shape: &Shape, seen: &Observation, banks: &mut Banks) {
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

/// `spread`.
pub fn fill_spread(spread: &Spread, shape: &Shape, seen: &Observation, banks: &mut Banks, scratch: &mut Vec<u64>) {
    let lie = spread.lie(seen.time_ms, shape.over_ms, scratch);
    for (part, _, cell) in &shape.parts {
        let value = match part {
            Part::Keys => lie.keys() as f64,
            Part::MaxPerKey => lie.max_per_key() as f64,
            Part::ShareUpTo(at_most) => lie.share(*at_most).unwrap_or(f64::NAN),
            _ => continue,
        };
        banks.number(*cell, value);
    }
}

/// `stats`, of money in the event's own currency.
pub fn fill_stats(stats: &Stats, shape: &Shape, seen: &Observation, banks: &mut Banks, scratch: &mut Vec<u64>) {
    let unit = match shape.scale {
        Scale::Money => seen.unit.map_or(NO_CURRENCY, Currency::number),
        Scale::Whole | Scale::Micros => NO_CURRENCY,
    };
    let (time, over) = (seen.time_ms, shape.over_ms);
    let Some(series) = stats.of(unit) else { return };
    let Some(moments) = series.moments(time, over) else { return };
    for (part, _, cell) in &shape.parts {
        let value = match part {
            Part::Count => {
                banks.number(*cell, moments.count as f64);
                continue;
            }
            Part::Mean => moments.mean(),
            Part::Stddev => moments.stddev(),
            Part::P50 => series.quantile(50, time, over, scratch).unwrap_or(f64::NAN),
            Part::P95 => series.quantile(95, time, over, scratch).unwrap_or(f64::NAN),
            Part::Max => moments.max as f64,
            _ => continue,
        };
        match (shape.scale, seen.unit) {
            (Scale::Money, Some(currency)) => banks.money_parts(*cell, value, currency),
            (Scale::Money, None) => {}
            (Scale::Whole, _) => banks.number(*cell, value),
            (Scale::Micros, _) => banks.number(*cell, value / MICROS),
        }
    }
}

/// `baseline`.
pub fn fill_baseline(baseline: &Baseline, shape: &Shape, seen: &Observation, banks: &mut Banks) {
    let now = baseline.now(seen.time_ms, shape.over_ms) as f64;
    let usual = shape.parts.iter().any(|(part, ..)| *part != Part::Now);
    let usual = if usual { baseline.usual(seen.time_ms, shape.over_ms) } else { None };
    for (part, _, cell) in &shape.parts {
        let value = match (part, usual) {
            (Part::Now, _) => now,
            (Part::Mean, Some(usual)) => usual.mean,
            (Part::Stddev, Some(usual)) => usual.stddev,
            (Part::Ratio, Some(usual)) if usual.mean > 0.0 => now / usual.mean,
            _ => continue,
        };
        banks.number(*cell, value);
    }
}
