//! What several values of one event can be together: a success has no reason, and an event has one currency.
//!
//! Guarantees: a condition that can be true in no world is true for no event. A world is a result with its reason, or
//! the currency of the event's own amounts; each is a bit, so that the work grows with the text alone. Values of other
//! events (a step's, the last login's) are left out.

use super::super::expr::{Arithmetic, Function, Node, Ty, Typed};
use super::super::model::{Name, Part};
use super::form::{Form, Known};
use crate::event::{Closed, Currency, EventType, Field, Outcome, Reason, TypeSet, Value};

/// Every world, those without a bit of their own included.
const ALL: u32 = u32::MAX;
/// Verdicts; fewer than there are bits.
pub(super) const VERDICTS: usize = 1 + Outcome::WORDS.len() + Reason::WORDS.len();
const _: () = assert!(VERDICTS < u32::BITS as usize);
/// Currencies that have a bit of their own.
const CURRENCIES_MAX: usize = 31;

/// In which worlds a condition can be true, and in which it can be false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Truths {
    yes: u32,
    no: u32,
}

impl Truths {
    const ANY: Truths = Truths { yes: ALL, no: ALL };

    fn of_parts(typed: &Typed, parts: impl Iterator<Item = Truths>) -> Option<Truths> {
        match &typed.node {
            Node::And(_) => parts.reduce(|a, b| Truths { yes: a.yes & b.yes, no: a.no | b.no }),
            Node::Or(_) => parts.reduce(|a, b| Truths { yes: a.yes | b.yes, no: a.no & b.no }),
            Node::Not(_) => parts.last().map(|inner| Truths { yes: inner.no, no: inner.yes }),
            _ => None,
        }
    }
}

/// Why two arms are never true together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Apart {
    /// By what a result and its reason can be.
    Reason,
    /// By the currency of the event.
    Currency,
}

/// Where a condition can be true.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worlds {
    verdicts: Truths,
    currencies: Truths,
}

impl Worlds {
    /// Of a condition nothing is known about.
    pub const ANY: Worlds = Worlds { verdicts: Truths::ANY, currencies: Truths::ANY };

    /// Of a condition of others; `None` where it is none.
    pub fn of_parts(typed: &Typed, parts: &[Worlds]) -> Option<Worlds> {
        let verdicts = Truths::of_parts(typed, parts.iter().map(|part| part.verdicts))?;
        let currencies = Truths::of_parts(typed, parts.iter().map(|part| part.currencies))?;
        Some(Worlds { verdicts, currencies })
    }

    /// Why it is never true on events of some types, where that is known.
    pub fn never(&self, on: TypeSet) -> Option<Apart> {
        match () {
            () if self.verdicts.yes & verdicts_on(on) == 0 => Some(Apart::Reason),
            () if self.currencies.yes == 0 => Some(Apart::Currency),
            () => None,
        }
    }

    /// Both.
    pub fn and(self, other: Worlds) -> Worlds {
        let both = |a: Truths, b: Truths| Truths { yes: a.yes & b.yes, no: a.no | b.no };
        Worlds { verdicts: both(self.verdicts, other.verdicts), currencies: both(self.currencies, other.currencies) }
    }
}

/// Each result with each reason it can have: none, the results without a reason, then the reasons of a failure.
fn verdicts() -> impl Iterator<Item = (Option<Outcome>, Option<Reason>)> {
    let bare = Outcome::WORDS.iter().map(|word| (Outcome::parse(word), None));
    let failed = Reason::WORDS.iter().map(|word| (Some(Outcome::Failure), Reason::parse(word)));
    std::iter::once((None, None)).chain(bare).chain(failed)
}

/// The verdicts that events of these types can have.
fn verdicts_on(on: TypeSet) -> u32 {
    if on != TypeSet::of(&[EventType::Login]) {
        return ALL;
    }
    let is_of_login = |(outcome, reason): &(Option<Outcome>, Option<Reason>)| match outcome {
        Some(Outcome::Failure) => reason.is_some(),
        Some(Outcome::Success) => true,
        _ => false,
    };
    verdicts().enumerate().filter(|(_, verdict)| is_of_login(verdict)).fold(0, |all, (at, _)| all | 1 << at)
}

/// Whether a value is part of a verdict.
pub(super) fn is_of_verdict(variable: &Typed) -> bool {
    matches!(variable.node, Node::Name(Name::Field(Field::Result | Field::Reason | Field::ReasonClass)))
}

/// Of a condition on one part of the verdict.
pub(super) fn of_verdict(variable: &Typed, form: &Form) -> Worlds {
    let mut truths = Truths { yes: 0, no: 0 };
    for (at, (outcome, reason)) in verdicts().enumerate() {
        let word = match variable.node {
            Node::Name(Name::Field(Field::Result)) => outcome.map(Closed::word),
            Node::Name(Name::Field(Field::Reason)) => reason.map(Closed::word),
            _ => reason.map(|reason| reason.class().word()),
        };
        match form.value(&word.map_or(Known::Missing, |word| Known::Is(Value::Word(word)))).truth() {
            Some(true) => truths.yes |= 1 << at,
            Some(false) => truths.no |= 1 << at,
            None => {}
        }
    }
    Worlds { verdicts: truths, ..Worlds::ANY }
}

/// The currencies met so far; each has the bit of its place, all further ones the bits that are left.
#[derive(Debug, Default)]
pub(super) struct Currencies(Vec<Currency>);

/// In which currency an amount is, if it is not missing.
#[derive(Clone, Copy)]
enum Of {
    /// The event's own, which is one of these.
    Event(u32),
    This(Currency),
    Unknown,
}

impl Currencies {
    /// Of a comparison of amounts, or an amount in a set; `named`: the currencies of a named amount.
    pub fn of_comparison(&mut self, typed: &Typed, named: &dyn Fn(Name) -> Option<Vec<Currency>>) -> Worlds {
        let of = match &typed.node {
            Node::Compare(_, a, b) if a.ty == Ty::Money => {
                let (a, b) = (self.of(a, named), self.of(b, named));
                self.shared(a, b)
            }
            Node::InSet(value, set) if value.ty == Ty::Money => {
                let currencies: Vec<Currency> = set.iter().filter_map(currency).collect();
                let (value, set) = (self.of(value, named), Of::Event(self.bits(&currencies)));
                match value {
                    Of::Event(_) => self.shared(value, set),
                    _ => Of::Unknown,
                }
            }
            _ => Of::Unknown,
        };
        match of {
            Of::Event(bits) => Worlds { currencies: Truths { yes: bits, no: bits }, ..Worlds::ANY },
            _ => Worlds::ANY,
        }
    }

    fn of(&mut self, typed: &Typed, named: &dyn Fn(Name) -> Option<Vec<Currency>>) -> Of {
        match &typed.node {
            Node::Constant(value) => currency(value).map_or(Of::Unknown, Of::This),
            Node::Name(name @ Name::Amount(_)) => {
                // One whose declaration is wrong has none: that is told there.
                Of::Event(named(*name).filter(|all| !all.is_empty()).map_or(ALL, |all| self.bits(&all)))
            }
            Node::Name(Name::Field(_)) => Of::Event(ALL),
            // Sums and means are read in the event's own; a field of an earlier event is in that one's.
            Node::Name(Name::Feature(_, part)) if !matches!(part, Part::Field(_)) => Of::Event(ALL),
            Node::Negate(inner) => self.of(inner, named),
            Node::Arithmetic(Arithmetic::Multiply | Arithmetic::Divide, a, b) => {
                self.of(if a.ty == Ty::Money { a } else { b }, named)
            }
            Node::Arithmetic(_, a, b) => {
                let (a, b) = (self.of(a, named), self.of(b, named));
                self.shared(a, b)
            }
            Node::Call(Function::Abs | Function::Min | Function::Max, all) => {
                let all: Vec<Of> = all.iter().map(|one| self.of(one, named)).collect();
                all.into_iter().reduce(|a, b| self.shared(a, b)).unwrap_or(Of::Unknown)
            }
            Node::Coalesce(a, b) => match (self.of(a, named), self.of(b, named)) {
                (Of::Event(a), Of::Event(b)) => Of::Event(a | b),
                _ => Of::Unknown,
            },
            _ => Of::Unknown,
        }
    }

    /// Of two amounts that are of one currency.
    fn shared(&mut self, a: Of, b: Of) -> Of {
        match (a, b) {
            (Of::Event(a), Of::Event(b)) => Of::Event(a & b),
            (Of::Event(bits), Of::This(currency)) | (Of::This(currency), Of::Event(bits)) => {
                Of::Event(bits & self.bits(&[currency]))
            }
            (Of::Unknown, known) | (known, _) => known,
        }
    }

    fn bits(&mut self, currencies: &[Currency]) -> u32 {
        currencies.iter().fold(0, |bits, currency| {
            let known = self.0.iter().position(|met| met == currency);
            let at = known.unwrap_or(self.0.len());
            if known.is_none() && at < CURRENCIES_MAX {
                self.0.push(*currency);
            }
            // The last bit is that of all others; what has none of its own may be any.
            bits | if at < CURRENCIES_MAX { 1 << at } else { ALL }
        })
    }
}

fn currency(value: &Value<'_>) -> Option<Currency> {
    match value {
        Value::Money(money) => Some(money.currency),
        _ => None,
    }
}
