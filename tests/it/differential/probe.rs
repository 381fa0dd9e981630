//! Probes: a shadow rule for each type of event that reads every value there is, so that each is compared at each
//! event and not only where a threshold lies. What such a rule reads stands in the evidence of its finding.

use serde_json::Value;

use super::describe::*;
use super::make_rules::{KINDS, MONEY};
use super::render;

/// How the ids of these rules begin.
pub const PREFIX: &str = "probe-";

/// Every value that a rule on events of a type may read.
pub fn asked(set: &RuleSet, kind: &str) -> Vec<Term> {
    let has_money = MONEY.contains(&kind);
    let is_there = |f: &&Feature| {
        let needs_money = f.by.contains(&"payee") || matches!(f.aggregate, Aggregate::Sum | Aggregate::Stats);
        has_money || !needs_money
    };
    let of_features =
        set.features.iter().filter(is_there).flat_map(|f| {
            parts(f).iter().map(|part| Term::Feature(f.name.clone(), (*part).into())).collect::<Vec<_>>()
        });
    of_features.chain(["risk", "known_for", "logins"].map(Term::Account)).collect()
}

fn parts(f: &Feature) -> &'static [&'static str] {
    match f.aggregate {
        Aggregate::Spread => &["keys", "max_per_key", "share(1)", "share(2)"],
        Aggregate::Last if f.kinds == ["finding"] => &["age", "device", "rule", "score"],
        Aggregate::Last => &["age", "device", "ip"],
        Aggregate::FirstSeen => &["age"],
        Aggregate::Stats => &["count", "mean", "stddev", "p50", "p95", "max"],
        Aggregate::Habit => &["share", "count", "total"],
        Aggregate::Baseline => &["now", "mean", "stddev", "ratio"],
        _ => &[""],
    }
}

/// The rules as the rule file has them.
pub fn rules(set: &RuleSet) -> Vec<String> {
    let rule = |kind: &&str| {
        let reads: Vec<String> = asked(set, kind).iter().map(|t| format!("{} is missing", render::term(t))).collect();
        let (id, when) = (format!("{PREFIX}{}", kind.replace('_', "-")), reads.join(" or "));
        format!(
            "  - {{id: {id}, title: t, state: shadow, score: 1, on: {kind}, when: 'count >= 1 or {when}', tests: {}}}\n",
            render::TESTS
        )
    };
    KINDS.iter().map(rule).collect()
}

/// A value of evidence.
pub fn read(value: &Value) -> Val {
    let Some(text) = value.as_str() else { return value.as_f64().map_or(Val::Missing, Val::Number) };
    let currency = ["CNY", "USD", "EUR"].into_iter().find(|currency| text.ends_with(&format!(" {currency}")));
    if let Some(currency) = currency {
        let amount: f64 = text.trim_end_matches(currency).trim().parse().expect("an amount");
        return Val::Money((amount * 100.0).round(), currency);
    }
    match text.parse::<jiff::Span>() {
        Ok(span) if text.contains('P') => {
            let days = jiff::SpanRelativeTo::days_are_24_hours();
            Val::Span(span.total((jiff::Unit::Millisecond, days)).expect("a time"))
        }
        _ => Val::word(text),
    }
}

/// Whether two values are one: sums of floats may differ by a hair, and money is shown in whole minor units.
pub fn is_same(a: &Val, b: &Val) -> bool {
    let near = |a: f64, b: f64, apart: f64| (a - b).abs() <= apart + 1e-9 * a.abs().max(b.abs());
    match (a, b) {
        (Val::Number(a), Val::Number(b)) => near(*a, *b, 1e-9),
        (Val::Span(a), Val::Span(b)) => near(*a, *b, 0.5),
        (Val::Money(a, x), Val::Money(b, y)) => x == y && near(*a, *b, 0.51),
        (a, b) => a == b,
    }
}
