//! Which currencies the rules have amounts for: a thief pays in the one that was forgotten.
//!
//! Guarantees: a live rule that compares money, and has no amount in a currency that other amounts of its set
//! are in, is told. Does not know in which currencies people pay.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::expr::{Node, Typed};
use super::model::{Name, NamedAmount};
use crate::event::{Currency, Value};
use crate::report::{Problem, SourceFile};

/// The currencies in which a live rule has amounts.
#[derive(Debug)]
pub(super) struct Covered {
    pub at: (Arc<SourceFile>, Range<usize>),
    pub currencies: BTreeSet<&'static str>,
}

/// The currencies of the amounts that a condition holds, named or bare.
pub(super) fn of(typed: &Typed, amounts: &[NamedAmount]) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    collect(typed, amounts, &mut found);
    found
}

fn collect(typed: &Typed, amounts: &[NamedAmount], found: &mut BTreeSet<&'static str>) {
    let mut take = |value: &Value<'_>| {
        if let Value::Money(money) = value {
            found.insert(money.currency.code());
        }
    };
    match &typed.node {
        Node::Constant(value) => take(value),
        Node::InSet(_, set) => set.iter().for_each(take),
        Node::Name(Name::Amount(at)) => {
            let values = amounts.get(usize::from(*at)).map(|amount| amount.values.as_slice()).unwrap_or_default();
            found.extend(values.iter().map(|(currency, _): &(Currency, i64)| currency.code()));
        }
        _ => {}
    }
    typed.parts().into_iter().for_each(|part| collect(part, amounts, found));
}

/// Warns of live rules that some currency of the set slips through.
pub(super) fn forgotten(rules: &[Covered], amounts: &[NamedAmount], problems: &mut Vec<Problem>) {
    let named = amounts.iter().flat_map(|amount| amount.values.iter().map(|(currency, _)| currency.code()));
    let all: BTreeSet<&str> = rules.iter().flat_map(|rule| rule.currencies.iter().copied()).chain(named).collect();
    for rule in rules.iter().filter(|rule| !rule.currencies.is_empty()) {
        let lacking: Vec<&str> = all.difference(&rule.currencies).copied().collect();
        if lacking.is_empty() {
            continue;
        }
        let message = format!("this rule has no amount in {}, so that money in it slips through", lacking.join(", "));
        let help = "name the amount once for all currencies, `amounts: {large: {CNY: 5000, USD: 700}}`, and write \
                    `amounts.large`";
        problems.push(Problem::warning(codes::CURRENCY, &rule.at.0, rule.at.1.clone(), message).help(help));
    }
}
