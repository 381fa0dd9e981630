//! Values that a test pins: written over what the engine worked out.
//!
//! Guarantees: a pinned value reads back equal. For tests of rules only.

use crate::event::Value;
use crate::features::Banks;
use crate::ruleset::HashKey;
use crate::ruleset::expr::Ty;
use crate::ruleset::row::Cell;

/// A value and where it stands.
pub type Pin = (Ty, Cell, Value<'static>);

/// Writes the pins.
pub fn write(pins: &[Pin], key: HashKey, banks: &mut Banks) {
    for (ty, cell, value) in pins {
        match value {
            Value::Missing => {}
            Value::Bool(v) => banks.number(*cell, f64::from(u8::from(*v))),
            Value::Int(v) | Value::Duration(v) => banks.number(*cell, *v as f64),
            Value::Float(v) => banks.number(*cell, *v),
            Value::Time(v) => banks.number(*cell, v.0 as f64),
            Value::Asn(v) => banks.number(*cell, f64::from(*v)),
            Value::Country(v) => banks.number(*cell, f64::from(v.number())),
            Value::Money(v) => banks.money(*cell, *v),
            Value::Geo(v) => banks.point(*cell, *v),
            Value::Ip(v) => banks.ip(*cell, *v),
            Value::Text(v) => banks.text(*cell, key.text(v), v),
            Value::Word(word) => {
                if let Ty::Word(words) = ty
                    && let Some(index) = words.iter().position(|w| w == word)
                {
                    banks.number(*cell, index as f64);
                }
            }
        }
    }
}
