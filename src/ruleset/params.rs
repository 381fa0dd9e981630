//! Params: the numbers of a rule that a team turns, `{name: {value, min, max}}`.
//!
//! Guarantees: a value lies within its own limits, and they are of its type. Does not put values in place.

use std::collections::BTreeMap;

use super::codes;
use super::expr::Ty;
use super::names::Constant;
use super::read;
use crate::event::Value;
use crate::yaml::{Entry, Kind, Node, Reader};

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
    reader.keys(map, &["value", "min", "max"], &[]);
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
    let (value, ty) = constant(node)?;
    let is_number = |ty: Ty| matches!(ty, Ty::Int | Ty::Float);
    for (key, wrong) in [("min", std::cmp::Ordering::Less), ("max", std::cmp::Ordering::Greater)] {
        let Some(limit_node) = map.get(key) else { continue };
        let (limit, limit_ty) = constant(limit_node)?;
        match (size(&value), size(&limit)) {
            (Some(v), Some(l)) if limit_ty == ty || (is_number(ty) && is_number(limit_ty)) => {
                if v.partial_cmp(&l) == Some(wrong) {
                    reader.error(codes::VALUE, node.span.clone(), format!("the value lies beyond its own `{key}`"));
                    return None;
                }
            }
            _ => {
                reader.error(codes::VALUE, limit_node.span.clone(), format!("`{key}` is of another type than `value`"));
                return None;
            }
        }
    }
    Some((value, ty))
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
