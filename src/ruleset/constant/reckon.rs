//! What arithmetic makes of constants, and of values whose range is known.
//!
//! Guarantees: a constant is what the compiled expression gives, to the last bit; no value that it can give lies
//! outside of a range. Does not know where values come from.

use super::super::expr::{Arithmetic, Function, Node, Typed, calculate};
use super::form::{Form, Known};

/// Every number.
pub(super) const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

/// The value of a node whose parts are constants; `None` where it depends on something.
pub(super) fn constant(typed: &Typed, parts: &[&Form]) -> Option<Known> {
    let known: Vec<Option<&Known>> = parts.iter().map(|part| part.known()).collect();
    let is_arithmetic = matches!(typed.node, Node::Arithmetic(..) | Node::Negate(_));
    let is_zero = |at: usize| matches!(known.get(at), Some(Some(Known::Number(0.0) | Known::Money(0.0, _))));
    if is_arithmetic && known.contains(&Some(&Known::Missing)) || is_division(typed) && is_zero(1) {
        return Some(Known::Missing);
    }
    let known: Vec<&Known> = known.into_iter().collect::<Option<_>>()?;
    Some(match (&typed.node, known.as_slice()) {
        (Node::Negate(_), [Known::Number(n)]) => number(-n),
        (Node::Negate(_), [Known::Money(n, currency)]) => Known::Money(-n, *currency),
        (Node::Arithmetic(how, ..), [a, b]) => arithmetic(*how, a, b),
        (Node::Call(Function::Abs, _), [Known::Number(n)]) => number(n.abs()),
        (Node::Call(Function::Min, _), all) => number(numbers(all)?.into_iter().reduce(f64::min)?),
        (Node::Call(Function::Max, _), all) => number(numbers(all)?.into_iter().reduce(f64::max)?),
        _ => return None,
    })
}

/// Whether something is divided by a number that is always nought.
pub(super) fn is_division(typed: &Typed) -> bool {
    matches!(typed.node, Node::Arithmetic(Arithmetic::Divide, ..))
}

fn number(n: f64) -> Known {
    if n.is_nan() { Known::Missing } else { Known::Number(n) }
}

fn numbers(all: &[&Known]) -> Option<Vec<f64>> {
    let number = |known: &&Known| match known {
        Known::Number(n) => Some(*n),
        _ => None,
    };
    all.iter().map(number).collect()
}

fn arithmetic(how: Arithmetic, a: &Known, b: &Known) -> Known {
    let money = |minor: f64, currency| if minor.is_nan() { Known::Missing } else { Known::Money(minor, currency) };
    match (a, b) {
        (Known::Number(a), Known::Number(b)) => number(calculate(how, *a, *b)),
        (Known::Money(a, one), Known::Money(b, other)) if one == other => match how {
            Arithmetic::Divide => number(calculate(how, *a, *b)),
            _ => money(calculate(how, *a, *b), *one),
        },
        (Known::Money(a, currency), Known::Number(b)) | (Known::Number(b), Known::Money(a, currency)) => {
            money(calculate(how, *a, *b), *currency)
        }
        _ => Known::Missing,
    }
}

/// The range of a node by those of its parts.
pub(super) fn range(typed: &Typed, parts: &[(f64, f64)]) -> (f64, f64) {
    let all = |of: fn(f64, f64) -> f64| {
        let ends = parts.iter().copied().reduce(|a, b| (of(a.0, b.0), of(a.1, b.1)));
        ends.unwrap_or(ANY)
    };
    match (&typed.node, parts) {
        (Node::Negate(_), [(least, largest)]) => (-largest, -least),
        (Node::Arithmetic(how, ..), [a, b]) => ends(*how, *a, *b),
        (Node::Call(Function::Abs, _), [(least, largest)]) => {
            let nearest = if *least <= 0.0 && *largest >= 0.0 { 0.0 } else { least.abs().min(largest.abs()) };
            (nearest, least.abs().max(largest.abs()))
        }
        (Node::Call(Function::Min, _), _) => all(f64::min),
        (Node::Call(Function::Max, _), _) => all(f64::max),
        (Node::Coalesce(..), [a, b]) => (a.0.min(b.0), a.1.max(b.1)),
        _ => ANY,
    }
}

/// Rounding keeps order, so that what is reckoned of the ends bounds all between.
fn ends(how: Arithmetic, a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let of = |x: f64, y: f64| calculate(how, x, y);
    let corners = match how {
        Arithmetic::Add => [of(a.0, b.0), of(a.1, b.1)].to_vec(),
        Arithmetic::Subtract => [of(a.0, b.1), of(a.1, b.0)].to_vec(),
        // What may be divided by nought, or nearly, has no bound.
        Arithmetic::Divide if b.0 <= 0.0 && b.1 >= 0.0 => return quotient(a, b),
        Arithmetic::Multiply | Arithmetic::Divide => [of(a.0, b.0), of(a.0, b.1), of(a.1, b.0), of(a.1, b.1)].to_vec(),
    };
    // Nought times the infinite is missing, and so is what is near it nought.
    let corner = |n: f64| if n.is_nan() { 0.0 } else { n };
    let is_open = matches!(how, Arithmetic::Add | Arithmetic::Subtract) && corners.iter().any(|n| n.is_nan());
    if is_open {
        return ANY;
    }
    let corners = corners.into_iter().map(corner);
    (corners.clone().fold(f64::INFINITY, f64::min), corners.fold(f64::NEG_INFINITY, f64::max))
}

/// Of two that are not negative the quotient is not, either.
fn quotient(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    if a.0 >= 0.0 && b.0 >= 0.0 { (0.0, f64::INFINITY) } else { ANY }
}
