//! Conditions, as the page says them: three values, missing is neither false nor zero.

use super::describe::*;
use super::oracle_values::Past;

/// What a condition is asked of.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub rules: &'a RuleSet,
    pub past: &'a Past,
    pub event: &'a Event,
    /// The events that took the steps so far, by their aliases.
    pub chain: &'a [(&'a str, &'a Event)],
}

/// True, false, or unknown.
pub type Truth = Option<bool>;

impl<'a> Scene<'a> {
    /// An event alone: what the `where` of a feature sees.
    pub fn of(rules: &'a RuleSet, past: &'a Past, event: &'a Event) -> Self {
        Scene { rules, past, event, chain: &[] }
    }

    /// A rule fires only on true.
    pub fn is_true(&self, expr: &Expr) -> bool {
        self.truth(expr) == Some(true)
    }

    pub fn truth(&self, expr: &Expr) -> Truth {
        match expr {
            Expr::All(arms) => {
                let arms: Vec<Truth> = arms.iter().map(|arm| self.truth(arm)).collect();
                if arms.contains(&Some(false)) {
                    Some(false)
                } else if arms.contains(&None) {
                    None
                } else {
                    Some(true)
                }
            }
            Expr::Any(arms) => {
                let arms: Vec<Truth> = arms.iter().map(|arm| self.truth(arm)).collect();
                if arms.contains(&Some(true)) {
                    Some(true)
                } else if arms.contains(&None) {
                    None
                } else {
                    Some(false)
                }
            }
            Expr::Not(arm) => self.truth(arm).map(|b| !b),
            Expr::Compare(a, op, b) => compare(&self.value(a), *op, &self.value(b)),
            Expr::In(term, not, values) => {
                let value = self.value(term);
                (value != Val::Missing).then(|| values.contains(&value) != *not)
            }
            Expr::InList(term, not, name) => {
                let list = self.rules.lists.iter().find(|l| l.name == *name).expect("a list of this name");
                match self.value(term) {
                    Val::Word(word) => Some(is_listed(list, &word) != *not),
                    _ => None,
                }
            }
            Expr::IsMissing(term) => Some(self.value(term) == Val::Missing),
            Expr::IsNotMissing(term) => Some(self.value(term) != Val::Missing),
            Expr::Def(name) => {
                let (_, def) = self.rules.defs.iter().find(|(n, _)| n == name).expect("a def of this name");
                self.truth(def)
            }
        }
    }

    pub fn value(&self, term: &Term) -> Val {
        match term {
            Term::Field(field) => self.event.get(field),
            Term::Feature(name, part) => {
                let feature = self.rules.features.iter().find(|f| f.name == *name).expect("a feature of this name");
                self.past.feature(self.rules, feature, part, self.event)
            }
            Term::Account(part) => self.past.account(part, self.event),
            Term::Alias(alias, field) => {
                let taken = self.chain.iter().find(|(name, _)| name == alias);
                taken.map_or(Val::Missing, |(_, event)| event.get(field))
            }
            Term::Literal(value) | Term::Param(_, value) => value.clone(),
            Term::Amount(name) => {
                let (_, parts) = self.rules.amounts.iter().find(|(n, _)| n == name).expect("an amount of this name");
                let Some(own) = self.event.currency() else { return Val::Missing };
                let part = parts.iter().find(|(currency, _)| *currency == own);
                part.map_or(Val::Missing, |(currency, minor)| Val::Money(*minor as f64, currency))
            }
            Term::Else(a, b) => match self.value(a) {
                Val::Missing => self.value(b),
                value => value,
            },
            Term::Times(n, a) => match self.value(a) {
                Val::Number(value) => Val::Number(n * value),
                Val::Money(minor, currency) => Val::Money(n * minor, currency),
                Val::Span(ms) => Val::Span(n * ms),
                _ => Val::Missing,
            },
        }
    }
}

impl Event {
    /// The currency it is in, where it has one.
    pub fn currency(&self) -> Option<&'static str> {
        match self.get("amount") {
            Val::Money(_, currency) => Some(currency),
            _ => None,
        }
    }
}

fn compare(a: &Val, op: Op, b: &Val) -> Truth {
    match (a, b) {
        (Val::Number(a), Val::Number(b)) | (Val::Span(a), Val::Span(b)) => Some(ordered(*a, op, *b)),
        // Comparing two currencies is unknown.
        (Val::Money(a, x), Val::Money(b, y)) => (x == y).then(|| ordered(*a, op, *b)),
        (Val::Word(a), Val::Word(b)) => Some((a == b) == (op == Op::Eq)),
        (Val::Missing, _) | (_, Val::Missing) => None,
        _ => panic!("{a:?} and {b:?} do not compare"),
    }
}

fn ordered(a: f64, op: Op, b: f64) -> bool {
    match op {
        Op::Eq => a == b,
        Op::Ne => a != b,
        Op::Lt => a < b,
        Op::Le => a <= b,
        Op::Gt => a > b,
        Op::Ge => a >= b,
    }
}

/// Lists see the full address; an item may be a prefix.
fn is_listed(list: &List, word: &str) -> bool {
    list.items.iter().any(|item| match item.split_once('/') {
        Some((net, bits)) if list.is_of_addresses => {
            let bits: u32 = bits.parse().expect("a number of bits");
            leading(word, bits).is_some() && leading(word, bits) == leading(net, bits)
        }
        _ => item == word,
    })
}

/// The first bits of an address, and of which family it is.
pub fn leading(ip: &str, bits: u32) -> Option<(bool, u128)> {
    match ip.parse().ok()? {
        std::net::IpAddr::V4(ip) => Some((false, u128::from(u32::from(ip) >> (32 - bits.min(32))))),
        std::net::IpAddr::V6(ip) => Some((true, u128::from(ip) >> (128 - bits))),
    }
}
