//! What the order of the steps decides by itself: a step is never before an earlier one, nor later than `within`.
//!
//! Guarantees: warnings only, for comparisons of two steps' times, or of the time between two with a duration. Looks at
//! nothing else.

use super::alias_of;
use crate::event::{Field, Value};
use crate::report::Problem;
use crate::ruleset::expr::{Arithmetic, Comparison, Node, Typed, codes};
use crate::ruleset::model::Name;

/// Warns of comparisons in the condition of the step `own` that no chain, or every chain, fulfils.
pub(super) fn tell(typed: &Typed, own: u8, within_ms: i64, problems: &mut Vec<Problem>) {
    if let Node::Compare(how, a, b) = &typed.node
        && let Some((between, limit_ms, how)) = compared(*how, a, b, own, within_ms)
    {
        let (file, span) = &typed.at;
        let within = Value::Duration(within_ms);
        let help = format!("steps are taken in the order of their times, all of them within {within}");
        if is_never(how, between, limit_ms) {
            let problem = Problem::warning(codes::NEVER_TRUE, file, span.clone(), "this is never true");
            problems.push(problem.help(help));
        } else if is_never(how.negated(), between, limit_ms) {
            let problem = Problem::warning(codes::ALWAYS_TRUE, file, span.clone(), "this is always true");
            problems.push(problem.help(help));
        }
    }
    typed.parts().into_iter().for_each(|part| tell(part, own, within_ms, problems));
}

/// The least and the largest time between two steps, ms, and what it is compared with.
fn compared(how: Comparison, a: &Typed, b: &Typed, own: u8, within_ms: i64) -> Option<((i64, i64), i64, Comparison)> {
    let between = |later: &Typed, earlier: &Typed| match (step(later, own)?, step(earlier, own)?) {
        (later, earlier) if later > earlier => Some((0, within_ms)),
        (later, earlier) if later < earlier => Some((-within_ms, 0)),
        _ => None,
    };
    let difference = |typed: &Typed| match &typed.node {
        Node::Arithmetic(Arithmetic::Subtract, later, earlier) => between(later, earlier),
        _ => None,
    };
    let limit = |typed: &Typed| match typed.node {
        Node::Constant(Value::Duration(ms)) => Some(ms),
        _ => None,
    };
    if let Some(between) = between(a, b) {
        return Some((between, 0, how));
    }
    match (difference(a), limit(b), limit(a), difference(b)) {
        (Some(between), Some(ms), ..) => Some((between, ms, how)),
        (.., Some(ms), Some(between)) => Some((between, ms, how.mirrored())),
        _ => None,
    }
}

/// The step whose time a name is.
fn step(typed: &Typed, own: u8) -> Option<u8> {
    let Node::Name(name) = typed.node else { return None };
    match name {
        Name::Field(Field::Time) => Some(own),
        _ => alias_of(name).filter(|(_, field)| *field == Field::Time).map(|(step, _)| step),
    }
}

fn is_never(how: Comparison, (least, largest): (i64, i64), limit: i64) -> bool {
    match how {
        Comparison::Greater => largest <= limit,
        Comparison::GreaterOrEqual => largest < limit,
        Comparison::Less => least >= limit,
        Comparison::LessOrEqual => least > limit,
        Comparison::Equal => limit < least || largest < limit,
        Comparison::NotEqual => false,
    }
}
