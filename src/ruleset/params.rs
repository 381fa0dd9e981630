//! Params: the numbers of a rule that a team turns, `{name: {value, min, max}}`.
//!
//! Guarantees: a value lies within its own limits, and they are of its type. Does not put values in place.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::codes;
use super::expr::Ty;
use super::names::Constant;
use super::read;
use crate::event::Value;
use crate::yaml::{Entry, Kind, Node, Reader};

/// The keys of a param.
pub(super) const PARAM_KEYS: &[&str] = &["value", "min", "max"];

/// The params of a rule: `{name: {value, min, max}}`.
pub(super) fn read_params(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, Constant> {
    let mut params = BTreeMap::new();
    let Some(map) = reader.map(node, "`params`") else { return params };
    for entry in &map.entries {
        if !reader.is_name(entry, "a param") {
            continue;
        }
        if let Some(constant) = read_param(reader, entry) {
            params.insert(entry.key.clone(), constant);
        }
    }
    params
}

fn read_param(reader: &mut Reader<'_>, entry: &Entry) -> Option<Constant> {
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
    value.filter(|_| is_whole)
}

/// How two constants of one type compare; `None` where they are of two, or have no size.
fn compare((a, a_ty): &Constant, (b, b_ty): &Constant) -> Option<Ordering> {
    let is_number = |ty: &Ty| matches!(ty, Ty::Int | Ty::Float);
    let is_like = a_ty == b_ty || (is_number(a_ty) && is_number(b_ty));
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
