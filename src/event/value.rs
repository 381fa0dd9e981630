//! One value with its kind: what explanations print and evidence carries.
//!
//! Guarantees: JSON and text forms are stable. Not for the hot path: conditions read slots.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::{Country, Millis, Money, Point, Text};

/// A value of an event, a feature or a constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Not known.
    Missing,
    /// true or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Money.
    Money(Money),
    /// A span of time, ms.
    Duration(i64),
    /// A moment.
    Time(Millis),
    /// A text or an id.
    Text(Text<'a>),
    /// A word of a closed list.
    Word(&'static str),
    /// A country.
    Country(Country),
    /// An autonomous system.
    Asn(u32),
    /// An address.
    Ip(IpAddr),
    /// A point on the earth.
    Geo(Point),
}

impl Value<'_> {
    /// The same value without a borrow.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Text(text) => Value::Text(Text::Owned(text.into_owned())),
            Value::Missing => Value::Missing,
            Value::Bool(v) => Value::Bool(v),
            Value::Int(v) => Value::Int(v),
            Value::Float(v) => Value::Float(v),
            Value::Money(v) => Value::Money(v),
            Value::Duration(v) => Value::Duration(v),
            Value::Time(v) => Value::Time(v),
            Value::Word(v) => Value::Word(v),
            Value::Country(v) => Value::Country(v),
            Value::Asn(v) => Value::Asn(v),
            Value::Ip(v) => Value::Ip(v),
            Value::Geo(v) => Value::Geo(v),
        }
    }
}

/// A duration as people write it in rules: the two largest units that are not zero.
pub(crate) fn write_duration(f: &mut fmt::Formatter<'_>, ms: i64) -> fmt::Result {
    const UNITS: [(u64, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    if ms < 0 {
        f.write_str("-")?;
    }
    let mut rest = ms.unsigned_abs();
    if rest == 0 {
        return f.write_str("0s");
    }
    let mut written = 0;
    for (size, unit) in UNITS {
        let n = rest / size;
        rest %= size;
        if n > 0 {
            write!(f, "{}{n}{unit}", if written > 0 { " " } else { "" })?;
            written += 1;
        }
        if written == 2 {
            break;
        }
    }
    Ok(())
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Missing => f.write_str("unknown"),
            Value::Bool(v) => write!(f, "{v}"),
            Value::Int(v) => write!(f, "{v}"),
            Value::Float(v) if v.fract() == 0.0 && v.abs() < 1e15 => write!(f, "{v:.0}"),
            Value::Float(v) => write!(f, "{v:.2}"),
            Value::Money(v) => write!(f, "{v}"),
            Value::Duration(ms) => write_duration(f, *ms),
            Value::Time(v) => f.write_str(&v.rfc3339()),
            Value::Text(v) => f.write_str(v),
            Value::Word(v) => f.write_str(v),
            Value::Country(v) => f.write_str(v.code()),
            Value::Asn(v) => write!(f, "AS{v}"),
            Value::Ip(v) => write!(f, "{v}"),
            Value::Geo(p) => write!(f, "{:.2} {:.2}", p.latitude, p.longitude),
        }
    }
}

impl Serialize for Value<'_> {
    /// Numbers as numbers, a duration as whole milliseconds, money as text with its currency,
    /// `missing` as null.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Missing => s.serialize_none(),
            Value::Bool(v) => s.serialize_bool(*v),
            Value::Int(v) | Value::Duration(v) => s.serialize_i64(*v),
            Value::Float(v) if v.is_finite() => s.serialize_f64(*v),
            Value::Asn(v) => s.serialize_u32(*v),
            other => s.collect_str(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_name_two_units() {
        for (ms, text) in [(0, "0s"), (90_000, "1m 30s"), (3_600_000, "1h"), (90_061_001, "1d 1h"), (-5, "-5ms")] {
            assert_eq!(Value::Duration(ms).to_string(), text);
        }
    }
}
