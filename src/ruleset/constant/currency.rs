//! Conditions that are true in no currency: what is the event's own is in one, and so are the amounts it meets.
//!
//! Guarantees: sums and statistics of money and named amounts are read in the currency of the event's own amount, so
//! that each currency is supposed in turn, and one that no constant has; what is never true in any is never true.

use std::collections::HashSet;

use super::super::expr::{Ast, Function, Node, Ty, Typed};
use super::super::model::{Name, NamedAmount, Part};
use super::form::{Form, Known};
use super::{Doubt, Finding, Judge, Walk};
use crate::event::{Currency, Field, Value};

/// Currencies of one condition beyond which it is not looked at.
const CURRENCIES_MAX: usize = 16;

/// A currency that the event's own amount is supposed to be in; `None`: one that no constant has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Supposed(pub Option<Currency>);

impl Supposed {
    /// What a named amount is in this currency.
    pub fn amount(self, typed: &Typed, amounts: &[NamedAmount]) -> Option<Form> {
        let Node::Name(Name::Amount(at)) = typed.node else { return None };
        let values = &amounts.get(usize::from(at))?.values;
        let value = values.iter().find(|(currency, _)| Some(*currency) == self.0);
        Some(Form::Constant(value.map_or(Known::Missing, |(_, minor)| Known::Money(*minor as f64, self.0))))
    }
}

/// Whether a value is an amount in the currency of the event's own, or missing.
pub(super) fn is_own(typed: &Typed) -> bool {
    if typed.ty != Ty::Money {
        return false;
    }
    match &typed.node {
        Node::Name(Name::Field(field)) => *field == Field::Amount,
        Node::Name(Name::Feature(_, part)) => !matches!(part, Part::Field(_)),
        Node::Name(Name::Amount(_)) => true,
        Node::Negate(inner) => is_own(inner),
        Node::Coalesce(a, b) => is_own(a) && is_own(b),
        Node::Arithmetic(_, a, b) => is_own(a) || is_own(b),
        Node::Call(Function::Abs | Function::Min | Function::Max, all) => all.iter().any(is_own),
        _ => false,
    }
}

/// What is never true in any currency, and was not found to be never true without supposing one.
pub(super) fn never<'t>(
    judge: &Judge<'_>,
    ast: &Ast,
    condition: &'t Typed,
    known: &HashSet<*const Typed>,
) -> Vec<Finding<'t>> {
    let mut currencies = Vec::new();
    collect(condition, judge.amounts, &mut currencies);
    if currencies.is_empty() || currencies.len() > CURRENCIES_MAX {
        return Vec::new();
    }
    let supposed = currencies.into_iter().map(Some).chain([None]);
    let in_each = supposed.map(|currency| {
        let mut walk = Walk::new(judge, ast, Some(Supposed(currency)));
        walk.see(condition);
        walk.never
    });
    let never = in_each.reduce(|one, other| one.intersection(&other).copied().collect()).unwrap_or_default();
    let mut found = Vec::new();
    note(condition, &never, known, &mut found);
    found
}

/// Notes the smallest parts that are never true; gives whether there are any.
fn note<'t>(
    typed: &'t Typed,
    never: &HashSet<*const Typed>,
    known: &HashSet<*const Typed>,
    found: &mut Vec<Finding<'t>>,
) -> bool {
    let mut is_below = false;
    for part in typed.parts() {
        is_below |= note(part, never, known, found);
    }
    let at = std::ptr::from_ref(typed);
    if is_below || known.contains(&at) {
        return true;
    }
    if never.contains(&at) {
        let arms: Vec<&Typed> = match &typed.node {
            Node::And(parts) => parts.iter().filter(|part| has_money(part)).collect(),
            _ => Vec::new(),
        };
        let ends = match arms.as_slice() {
            [first, .., last] => Some((*first, *last)),
            _ => None,
        };
        let form = std::rc::Rc::new(Form::Variable);
        found.push(Finding { at: typed, doubt: Doubt::Never(ends), is_by_currency: true, variable: None, form });
        return true;
    }
    false
}

fn has_money(typed: &Typed) -> bool {
    typed.ty == Ty::Money || typed.parts().into_iter().any(has_money)
}

/// The currencies of all constants and named amounts.
fn collect(typed: &Typed, amounts: &[NamedAmount], into: &mut Vec<Currency>) {
    let mut take = |currency: Currency| {
        if !into.contains(&currency) {
            into.push(currency);
        }
    };
    let mut take_value = |value: &Value<'_>| {
        if let Value::Money(money) = value {
            take(money.currency);
        }
    };
    match &typed.node {
        Node::Constant(value) => take_value(value),
        Node::InSet(_, set) => set.iter().for_each(take_value),
        Node::Name(Name::Amount(at)) => {
            let values = amounts.get(usize::from(*at)).map(|amount| amount.values.as_slice()).unwrap_or_default();
            values.iter().for_each(|(currency, _)| take(*currency));
        }
        _ => {}
    }
    typed.parts().into_iter().for_each(|part| collect(part, amounts, into));
}
