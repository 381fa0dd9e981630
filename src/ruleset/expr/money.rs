//! In which currencies an amount can be, as far as that is written.
//!
//! Guarantees: two amounts that are never of one currency are told, through params, named amounts and arithmetic; an
//! amount of an event may be of any. Does not follow conditions: `amount > 5 CNY and amount > 5 USD` is `constant`'s.

use super::Ty;
use super::ast::Arithmetic;
use super::check::Checker;
use super::functions::Function;
use super::typed::{Node, Typed};
use crate::event::{Currency, Value};

/// What is said of two currencies that are not both written out.
pub(super) const ONE_CURRENCY: &str = "an amount compares only with one of its own currency, and this never has the \
     other's: name the amount once for all currencies, `amounts: {large: {CNY: 5000, USD: 700}}`";

impl Checker<'_, '_> {
    /// The currencies of two amounts that are never of the same one, for people.
    pub(super) fn two_currencies(&self, left: &Typed, right: &Typed) -> Option<(String, String)> {
        let (one, other) = (self.currencies(left)?, self.currencies(right)?);
        let words = |all: &[Currency]| all.iter().map(|currency| currency.code()).collect::<Vec<_>>().join(" or ");
        let never_meet = !one.is_empty() && !other.is_empty() && !one.iter().any(|currency| other.contains(currency));
        never_meet.then(|| (words(&one), words(&other)))
    }

    /// The currencies in which an amount can be; `None`: any.
    fn currencies(&self, typed: &Typed) -> Option<Vec<Currency>> {
        if typed.ty != Ty::Money {
            return None;
        }
        match &typed.node {
            Node::Constant(Value::Money(money)) => Some(vec![money.currency]),
            Node::Name(name) => self.currencies_of(*name),
            Node::Negate(inner) => self.currencies(inner),
            Node::Arithmetic(Arithmetic::Multiply | Arithmetic::Divide, a, b) => {
                self.currencies(if a.ty == Ty::Money { a } else { b })
            }
            Node::Arithmetic(_, a, b) => self.shared([&**a, &**b].into_iter()),
            Node::Call(Function::Abs | Function::Min | Function::Max, all) => self.shared(all.iter()),
            Node::Coalesce(a, b) => {
                let (mut either, other) = (self.currencies(a)?, self.currencies(b)?);
                either.extend(other.into_iter().filter(|currency| !either.contains(currency)).collect::<Vec<_>>());
                Some(either)
            }
            _ => None,
        }
    }

    /// What all of these can be: another one would make the whole missing.
    fn shared<'t>(&self, all: impl Iterator<Item = &'t Typed>) -> Option<Vec<Currency>> {
        let known = all.filter_map(|one| self.currencies(one));
        known.reduce(|one, other| one.into_iter().filter(|currency| other.contains(currency)).collect())
    }
}

/// Whether both are written out where they meet, so that one look shows what is wrong.
pub(super) fn are_literals(left: &Typed, right: &Typed) -> bool {
    let is_written = |typed: &Typed| {
        matches!(typed.node, Node::Constant(_)) && typed.text().starts_with(|c: char| c.is_ascii_digit() || c == '-')
    };
    is_written(left) && is_written(right)
}
