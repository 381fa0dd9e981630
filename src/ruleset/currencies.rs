//! Which currencies the rules have amounts for: a thief pays in the one that was forgotten.
//!
//! Guarantees: a live rule that compares money, and is not true of it in a currency that other amounts of its set are
//! in, is told; of any rule, an arm that lets a currency through for which another arm has an amount. Does not know in
//! which currencies people pay.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::expr::{Node, Typed};
use super::model::{Name, NamedAmount};
use crate::event::Value;
use crate::report::{Problem, SourceFile};

/// What to write instead.
const NAME_IT_ONCE: &str = "name the amount once for all currencies, `amounts: {large: {CNY: 5000, USD: 700}}`, and \
                            write `amounts.large`";

type Currencies = BTreeSet<&'static str>;

/// The currencies in which a rule has amounts.
#[derive(Debug)]
pub(super) struct Covered {
    /// The rule's id.
    pub rule: String,
    pub at: (Arc<SourceFile>, Range<usize>),
    pub is_live: bool,
    /// Those it has an amount in, somewhere.
    pub named: Currencies,
    /// Arms that have an amount, and not in these that others have.
    pub gaps: Vec<Gap>,
}

/// An arm with the currencies that it lets through.
#[derive(Debug)]
pub(super) struct Gap {
    pub at: (Arc<SourceFile>, Range<usize>),
    pub text: String,
    pub lacking: Currencies,
}

impl Covered {
    /// Of a rule whose conditions must all be true: one, or those of its steps. `is_never`: it was told that something
    /// in them is never true, so that no currency can be the reason once more.
    pub fn of<'t>(
        rule: &str,
        at: (Arc<SourceFile>, Range<usize>),
        (is_live, is_never): (bool, bool),
        conditions: impl Iterator<Item = &'t Typed>,
        amounts: &[NamedAmount],
    ) -> Option<Covered> {
        let conditions: Vec<&Typed> = conditions.collect();
        let mut named = Currencies::new();
        conditions.iter().for_each(|condition| collect(condition, amounts, &mut named));
        let reached = both(conditions.iter().map(|condition| reach(condition, true, amounts)))?;
        let mut gaps = Vec::new();
        for currency in named.difference(&reached).filter(|_| !(is_never && reached.is_empty())) {
            conditions.iter().for_each(|condition| note_gaps(condition, true, currency, amounts, &mut gaps));
        }
        Some(Covered { rule: rule.to_owned(), at, is_live, named, gaps })
    }
}

/// The currencies of one constant or named amount.
fn own(typed: &Typed, amounts: &[NamedAmount]) -> Option<Currencies> {
    let code = |value: &Value<'_>| match value {
        Value::Money(money) => Some(money.currency.code()),
        _ => None,
    };
    match &typed.node {
        Node::Constant(value) => Some(BTreeSet::from([code(value)?])),
        Node::InSet(_, set) => Some(set.iter().filter_map(code).collect()).filter(|all: &Currencies| !all.is_empty()),
        Node::Name(Name::Amount(at)) => {
            let values = amounts.get(usize::from(*at)).map(|amount| amount.values.as_slice()).unwrap_or_default();
            Some(values.iter().map(|(currency, _)| currency.code()).collect())
        }
        _ => None,
    }
}

/// The currencies of the amounts that a condition holds, named or bare.
fn collect(typed: &Typed, amounts: &[NamedAmount], found: &mut Currencies) {
    found.extend(own(typed, amounts).into_iter().flatten());
    typed.parts().into_iter().for_each(|part| collect(part, amounts, found));
}

/// The currencies in which a part can be as true as `truth`, or is known where it is a value; `None`: it asks for
/// none. What of an `or` asks for none does not count: money that it does not look at slips through the rest.
fn reach(typed: &Typed, truth: bool, amounts: &[NamedAmount]) -> Option<Currencies> {
    let parts = |truth| typed.parts().into_iter().map(move |part| reach(part, truth, amounts));
    match &typed.node {
        Node::Not(_) => both(parts(!truth)),
        Node::And(_) if truth => both(parts(truth)),
        Node::Or(_) if !truth => both(parts(truth)),
        Node::And(_) | Node::Or(_) | Node::Coalesce(..) => either(parts(truth)),
        Node::IsMissing(_) if truth => None,
        _ => both(parts(true).chain([own(typed, amounts)])),
    }
}

fn both(all: impl Iterator<Item = Option<Currencies>>) -> Option<Currencies> {
    all.flatten().reduce(|one, other| one.intersection(&other).copied().collect())
}

fn either(all: impl Iterator<Item = Option<Currencies>>) -> Option<Currencies> {
    all.flatten().reduce(|one, other| one.union(&other).copied().collect())
}

/// Notes the arms that let a currency through.
fn note_gaps(typed: &Typed, truth: bool, currency: &'static str, amounts: &[NamedAmount], gaps: &mut Vec<Gap>) {
    if reach(typed, truth, amounts).is_none_or(|reached| reached.contains(currency)) {
        return;
    }
    let inner = |truth, gaps: &mut Vec<Gap>| {
        typed.parts().into_iter().for_each(|part| note_gaps(part, truth, currency, amounts, gaps));
    };
    match &typed.node {
        Node::Not(_) => return inner(!truth, gaps),
        Node::And(_) if truth => return inner(truth, gaps),
        Node::Or(_) if !truth => return inner(truth, gaps),
        Node::And(parts) | Node::Or(parts) => {
            let mut asking = parts.iter().filter(|part| reach(part, truth, amounts).is_some());
            // The rest of it looks at no money.
            if let (Some(only), None) = (asking.next(), asking.next()) {
                return note_gaps(only, truth, currency, amounts, gaps);
            }
        }
        _ => {}
    }
    match gaps.iter_mut().find(|gap| gap.at == typed.at) {
        Some(gap) => drop(gap.lacking.insert(currency)),
        None => gaps.push(Gap { at: typed.at.clone(), text: typed.shown(), lacking: BTreeSet::from([currency]) }),
    }
}

/// Warns of rules that some currency slips through: of their set, where they are live, or of another arm's amounts.
pub(super) fn forgotten(rules: &[Covered], amounts: &[NamedAmount], problems: &mut Vec<Problem>) {
    let named = amounts.iter().flat_map(|amount| amount.values.iter().map(|(currency, _)| currency.code()));
    let live = rules.iter().filter(|rule| rule.is_live);
    let all: Currencies = live.flat_map(|rule| rule.named.iter().copied()).chain(named).collect();
    for rule in rules {
        for gap in &rule.gaps {
            let message = format!(
                "`{}` has no amount in {}, and another arm of `{}` has: money in it slips through",
                gap.text,
                words(&gap.lacking),
                rule.rule
            );
            let (file, span) = &gap.at;
            problems.push(Problem::warning(codes::CURRENCY, file, span.clone(), message).help(NAME_IT_ONCE));
        }
        // What one of its arms names was told at the arm that does not.
        let lacking: Currencies = all.difference(&rule.named).copied().collect();
        if rule.is_live && !lacking.is_empty() {
            let message = format!("this rule has no amount in {}, so that money in it slips through", words(&lacking));
            let (file, span) = &rule.at;
            problems.push(Problem::warning(codes::CURRENCY, file, span.clone(), message).help(NAME_IT_ONCE));
        }
    }
}

fn words(currencies: &Currencies) -> String {
    currencies.iter().copied().collect::<Vec<_>>().join(", ")
}
