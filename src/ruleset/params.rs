//! Params: the numbers of a rule that a team turns, `{name: {value, min, max}}`.
//!
//! Guarantees: a value lies within its own limits, and they are of its type; so does a value that somebody sets in
//! its place. Does not put values in place.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::codes;
use super::expr::{Ty, a_type};
use super::names::Constant;
use super::read;
use crate::event::Value;
use crate::yaml::{Entry, Kind, Node, Reader};

/// What a param may be set to, limits included; `None`: any value of its type.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Limits {
    pub min: Option<Constant>,
    pub max: Option<Constant>,
}

/// Params as they were read.
#[derive(Debug, Default)]
pub(super) struct Params {
    pub values: BTreeMap<String, Constant>,
    pub limits: BTreeMap<String, Limits>,
}

/// Why a param does not take a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NotTaken {
    /// It is of another type; the words say of which the param is.
    OtherType(String),
    /// It lies below `min`, or above `max`; the words are the limit.
    Beyond(&'static str, String),
}

impl Limits {
    /// The value as the param takes it in place of its own.
    pub fn take(&self, own: &Constant, (value, ty): Constant) -> Result<Constant, NotTaken> {
        let value = match (&own.1, value, ty) {
            // A whole number is a number, too; the other way round a threshold would be one no count can equal.
            (Ty::Float, Value::Int(n), _) => (Value::Float(n as f64), Ty::Float),
            (own_ty, value, ty) if *own_ty == ty => (value, ty),
            (own_ty, ..) => return Err(NotTaken::OtherType(a_type(*own_ty).to_owned())),
        };
        if let (Value::Money(own), Value::Money(value)) = (&own.0, &value.0)
            && own.currency != value.currency
        {
            return Err(NotTaken::OtherType(format!("an amount of {}", own.currency.code())));
        }
        for (key, limit, wrong) in [("min", &self.min, Ordering::Less), ("max", &self.max, Ordering::Greater)] {
            if let Some(limit) = limit
                && compare(&value, limit) == Some(wrong)
            {
                return Err(NotTaken::Beyond(key, limit.0.to_string()));
            }
        }
        Ok(value)
    }
}
/// The keys of a param.
pub(super) const PARAM_KEYS: &[&str] = &["value", "min", "max"];

/// The params of a rule: `{name: {value, min, max}}`.
pub(super) fn read_params(reader: &mut Reader<'_>, node: &Node) -> Params {
    let mut params = Params::default();
    let Some(map) = reader.map(node, "`params`") else { return params };
    for entry in &map.entries {
        if !reader.is_name(entry, "a param") {
            continue;
        }
        if let Some((constant, limits)) = read_param(reader, entry) {
            params.values.insert(entry.key.clone(), constant);
            params.limits.insert(entry.key.clone(), limits);
        }
    }
    params
}

fn read_param(reader: &mut Reader<'_>, entry: &Entry) -> Option<(Constant, Limits)> {
    let map = reader.map(&entry.value, "a param")?;
    reader.keys(map, PARAM_KEYS, &[]);
    reader.require(&entry.value, "a param", &["value"]);
    let node = map.get("value")?;
    let mut constant = |node: &Node| {
        let found = read::constant(node);
        if found.is_none() && node.kind != Kind::Broken {
            let help = "a text goes under quotes";
            let message = "a param is a number, a time, an amount of money, true or false, or a text";
            reader.error_help(codes::VALUE, node.span.clone(), message, help);
        }
        found
    };
    let value = constant(node);
    let mut limit = |key| map.get(key).map(|node| (node, constant(node)));
    let (min, max) = (limit("min"), limit("max"));
    let mut is_whole = true;
    for (key, limit, wrong) in [("min", &min, Ordering::Less), ("max", &max, Ordering::Greater)] {
        let Some((limit_node, limit)) = limit else { continue };
        is_whole &= limit.is_some();
        let (Some(value), Some(limit)) = (&value, limit) else { continue };
        let told = match compare(value, limit) {
            Some(order) if order == wrong => (node, format!("the value lies beyond its own `{key}`")),
            Some(_) => continue,
            None => (*limit_node, format!("`{key}` is of another type than `value`")),
        };
        reader.error(codes::VALUE, told.0.span.clone(), told.1);
        is_whole = false;
    }
    if let (Some((_, Some(min))), Some((max_node, Some(max)))) = (&min, &max)
        && compare(min, max) == Some(Ordering::Greater)
    {
        reader.error(codes::VALUE, max_node.span.clone(), "`max` lies below `min`: no value lies between them");
        is_whole = false;
    }
    let limit = |read: Option<(&Node, Option<Constant>)>| read.and_then(|(_, limit)| limit);
    value.filter(|_| is_whole).map(|value| (value, Limits { min: limit(min), max: limit(max) }))
}

/// How two constants of one type compare; `None` where they are of two, or have no size.
fn compare((a, a_ty): &Constant, (b, b_ty): &Constant) -> Option<Ordering> {
    let is_number = |ty: &Ty| matches!(ty, Ty::Int | Ty::Float);
    let is_like = match (a, b) {
        (Value::Money(a), Value::Money(b)) => a.currency == b.currency,
        _ => a_ty == b_ty || (is_number(a_ty) && is_number(b_ty)),
    };
    size(a)?.partial_cmp(&size(b)?).filter(|_| is_like)
}

/// What a param is compared with its limits by.
fn size(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(n) | Value::Duration(n) => Some(*n as f64),
        Value::Float(n) => Some(*n),
        Value::Money(money) => Some(money.minor as f64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(text: &str) -> Constant {
        let (value, ty) = match text.parse::<i64>() {
            Ok(n) => (Value::Int(n), Ty::Int),
            Err(_) => match read::money(text) {
                Some(money) => (Value::Money(money), Ty::Money),
                None => (Value::Float(text.parse().expect("a number")), Ty::Float),
            },
        };
        (value, ty)
    }

    #[test]
    fn a_value_is_taken_within_its_limits_and_of_its_type() {
        let limits = |min: &str, max: &str| Limits { min: Some(constant(min)), max: Some(constant(max)) };
        let take = |limits: Limits, own: &str, value: &str| limits.take(&constant(own), constant(value));
        assert_eq!(take(limits("5", "60"), "20", "60"), Ok(constant("60")));
        assert_eq!(take(limits("5", "60"), "20", "61"), Err(NotTaken::Beyond("max", "60".to_owned())));
        assert_eq!(take(limits("5", "60"), "20", "4"), Err(NotTaken::Beyond("min", "5".to_owned())));
        assert!(matches!(take(limits("5", "60"), "20", "20.5"), Err(NotTaken::OtherType(_))));
        assert_eq!(take(limits("0.5", "2"), "1.5", "1"), Ok(constant("1.0")), "a whole number is a number");
        assert!(matches!(take(Limits::default(), "5 CNY", "5 USD"), Err(NotTaken::OtherType(_))));
        assert_eq!(take(limits("1 CNY", "9 CNY"), "5 CNY", "9 CNY"), Ok(constant("9 CNY")));
    }
}
