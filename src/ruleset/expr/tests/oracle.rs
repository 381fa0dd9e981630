//! A second evaluator: walks the typed tree with three values, as plainly as the page says it.

use std::net::IpAddr;

use super::*;
use crate::event::{Closed, Country, Currency, Point};

/// A value; a number, a duration and a time are one number.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum V {
    Missing,
    Bool(bool),
    Number(f64),
    Money(f64, Currency),
    Text(String),
    Place(Point),
    Ip(IpAddr),
    Country(Country),
    Asn(u32),
    Word(&'static str),
}

pub(super) fn of_value(value: &Value<'_>) -> V {
    match value {
        Value::Missing => V::Missing,
        Value::Bool(v) => V::Bool(*v),
        Value::Int(v) | Value::Duration(v) => V::Number(*v as f64),
        Value::Float(v) => V::Number(*v),
        Value::Money(m) => V::Money(m.minor as f64, m.currency),
        Value::Time(t) => V::Number(t.0 as f64),
        Value::Text(t) => V::Text(t.to_string()),
        Value::Word(w) => V::Word(w),
        Value::Country(c) => V::Country(*c),
        Value::Asn(a) => V::Asn(*a),
        Value::Ip(ip) => V::Ip(ip.to_canonical()),
        Value::Geo(p) => V::Place(*p),
    }
}

fn number(n: f64) -> V {
    if n.is_nan() { V::Missing } else { V::Number(n) }
}

fn money(minor: f64, currency: Currency) -> V {
    if minor.is_nan() { V::Missing } else { V::Money(minor, currency) }
}

/// `None` is unknown.
fn truth(v: V) -> Option<bool> {
    match v {
        V::Bool(b) => Some(b),
        _ => None,
    }
}

fn of_truth(b: Option<bool>) -> V {
    b.map_or(V::Missing, V::Bool)
}

/// The value of a tree, where `names` says what names stand for.
pub(super) fn eval(typed: &Typed, names: &dyn Fn(Name) -> V) -> V {
    let get = |t: &Typed| eval(t, names);
    match &typed.node {
        Node::Constant(value) => of_value(value),
        Node::Name(name) => names(*name),
        Node::Not(a) => of_truth(truth(get(a)).map(|b| !b)),
        Node::And(parts) => connected(parts.iter().map(|p| truth(get(p))).collect(), false),
        Node::Or(parts) => connected(parts.iter().map(|p| truth(get(p))).collect(), true),
        Node::Compare(op, a, b) => of_truth(compare(*op, &get(a), &get(b))),
        Node::IsMissing(a) => V::Bool(get(a) == V::Missing),
        Node::Coalesce(a, b) => match get(a) {
            V::Missing => get(b),
            known => known,
        },
        Node::InSet(a, values) => {
            let left = get(a);
            let each = values.iter().map(|v| compare(Comparison::Equal, &left, &of_value(v))).collect();
            connected(each, true)
        }
        Node::InList(a, list) => of_truth(in_list(&get(a), list)),
        Node::Matches(a, regex) => match get(a) {
            V::Text(text) => V::Bool(regex.is_match(&text)),
            _ => V::Missing,
        },
        Node::Negate(a) => match get(a) {
            V::Number(n) => V::Number(-n),
            V::Money(n, currency) => V::Money(-n, currency),
            _ => V::Missing,
        },
        Node::Arithmetic(op, a, b) => arithmetic(*op, get(a), get(b)),
        Node::Call(function, arguments) => call(*function, arguments.iter().map(get).collect()),
    }
}

fn connected(parts: Vec<Option<bool>>, deciding: bool) -> V {
    if parts.contains(&Some(deciding)) {
        V::Bool(deciding)
    } else if parts.contains(&None) {
        V::Missing
    } else {
        V::Bool(!deciding)
    }
}

fn compare(op: Comparison, a: &V, b: &V) -> Option<bool> {
    use std::cmp::Ordering as O;
    let by = |order: O| match op {
        Comparison::Equal => order == O::Equal,
        Comparison::NotEqual => order != O::Equal,
        Comparison::Less => order == O::Less,
        Comparison::LessOrEqual => order != O::Greater,
        Comparison::Greater => order == O::Greater,
        Comparison::GreaterOrEqual => order != O::Less,
    };
    match (a, b) {
        (V::Missing, _) | (_, V::Missing) => None,
        (V::Number(a), V::Number(b)) => a.partial_cmp(b).map(by),
        (V::Money(a, one), V::Money(b, other)) if one == other => a.partial_cmp(b).map(by),
        (V::Money(..), V::Money(..)) => None,
        (a, b) => Some((a == b) == (op == Comparison::Equal)),
    }
}

fn in_list(left: &V, list: &ListSet) -> Option<bool> {
    match left {
        V::Ip(ip) => Some(list.prefixes.contains(*ip)),
        V::Asn(asn) => Some(list.numbers.contains(asn)),
        V::Country(country) => Some(list.numbers.contains(&u32::from(country.number()))),
        V::Text(text) => Some(list.texts.contains(text)),
        _ => None,
    }
}

fn arithmetic(op: Arithmetic, a: V, b: V) -> V {
    let reckon = |a: f64, b: f64| match op {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide if b == 0.0 => f64::NAN,
        Arithmetic::Divide => a / b,
    };
    match (a, b) {
        (V::Number(a), V::Number(b)) => number(reckon(a, b)),
        (V::Money(a, currency), V::Number(b)) | (V::Number(b), V::Money(a, currency)) => money(reckon(a, b), currency),
        (V::Money(a, one), V::Money(b, other)) if one == other => match op {
            Arithmetic::Divide => number(reckon(a, b)),
            _ => money(reckon(a, b), one),
        },
        _ => V::Missing,
    }
}

fn call(function: Function, arguments: Vec<V>) -> V {
    if arguments.contains(&V::Missing) {
        return V::Missing;
    }
    match (function, arguments.as_slice()) {
        (Function::DistanceKm, [V::Place(a), V::Place(b)]) => number(a.distance_km(*b)),
        (Function::SpeedKmh, [V::Place(a), V::Place(b), V::Number(ms)]) => {
            let km = a.distance_km(*b);
            number(if km == 0.0 {
                0.0
            } else if *ms <= 0.0 {
                f64::INFINITY
            } else {
                km / (ms / 3_600_000.0)
            })
        }
        (Function::Lower, [V::Text(a)]) => V::Text(a.to_lowercase()),
        (Function::Domain, [V::Text(a)]) => match a.rsplit_once('@') {
            Some((_, domain)) if !domain.is_empty() => V::Text(domain.to_lowercase()),
            _ => V::Missing,
        },
        (Function::StartsWith, [V::Text(a), V::Text(b)]) => V::Bool(a.starts_with(b)),
        (Function::EndsWith, [V::Text(a), V::Text(b)]) => V::Bool(a.ends_with(b)),
        (Function::Contains, [V::Text(a), V::Text(b)]) => V::Bool(a.contains(b)),
        (Function::Hour | Function::Weekday | Function::DayOfMonth, [V::Number(ms), V::Text(zone)]) => {
            let time = jiff::Timestamp::from_millisecond(*ms as i64).ok();
            let Some(local) = time.and_then(|t| t.in_tz(zone).ok()) else { return V::Missing };
            number(f64::from(match function {
                Function::Hour => local.hour(),
                Function::Weekday => local.weekday().to_monday_one_offset(),
                _ => local.day(),
            }))
        }
        (Function::Abs, [V::Number(a)]) => number(a.abs()),
        (Function::Abs, [V::Money(a, currency)]) => money(a.abs(), *currency),
        (Function::Min | Function::Max, all) => {
            let order = if function == Function::Min { Comparison::LessOrEqual } else { Comparison::GreaterOrEqual };
            let best = all.iter().find(|one| all.iter().all(|other| compare(order, one, other) == Some(true)));
            best.cloned().unwrap_or(V::Missing)
        }
        (function, arguments) => panic!("{function:?} of {arguments:?}"),
    }
}

/// A word that is the same in the walker and in the row.
pub(super) fn word<C: Closed>(one: C) -> Value<'static> {
    Value::Word(one.word())
}
