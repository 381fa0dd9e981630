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

/// A duration in ISO 8601, exact: `P1DT2H`, `PT12H4M`, `PT0.25S`. The longest unit is a day of 24 hours: months
/// and weeks are not the same everywhere.
fn iso_duration(ms: i64) -> String {
    let total = ms.unsigned_abs();
    let (days, hours, minutes) = (total / 86_400_000, total / 3_600_000 % 24, total / 60_000 % 60);
    let (seconds, rest) = (total / 1000 % 60, total % 1000);
    let part = |n: u64, unit: char| if n > 0 { format!("{n}{unit}") } else { String::new() };
    let seconds = match rest {
        0 => part(seconds, 'S'),
        rest => format!("{}S", format!("{seconds}.{rest:03}").trim_end_matches('0')),
    };
    let time = format!("{}{}{seconds}", part(hours, 'H'), part(minutes, 'M'));
    let sign = if ms < 0 { "-" } else { "" };
    match (days, time.as_str()) {
        (0, "") => "PT0S".to_owned(),
        (days, "") => format!("{sign}P{days}D"),
        (days, time) => format!("{sign}P{}T{time}", part(days, 'D')),
    }
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
    /// Numbers as numbers, a time in RFC 3339, a duration in ISO 8601, money as text with its currency, `missing`
    /// as null: what a person reads and any program's library parses.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Missing => s.serialize_none(),
            Value::Bool(v) => s.serialize_bool(*v),
            Value::Int(v) => s.serialize_i64(*v),
            Value::Duration(ms) => s.serialize_str(&iso_duration(*ms)),
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

    #[test]
    fn durations_in_documents_are_iso_8601() {
        for (ms, text) in [
            (0, "PT0S"),
            (250, "PT0.25S"),
            (61_001, "PT1M1.001S"),
            (43_440_000, "PT12H4M"),
            (86_400_000, "P1D"),
            (90_061_000, "P1DT1H1M1S"),
            (-5000, "-PT5S"),
        ] {
            assert_eq!(serde_json::to_value(Value::Duration(ms)).expect("a value"), text);
        }
    }

    proptest::proptest! {
        /// Any program reads back what was meant.
        #[test]
        fn durations_in_documents_are_exact(ms in -4_000_000_000_000i64..4_000_000_000_000) {
            let span: jiff::Span = iso_duration(ms).parse().expect("ISO 8601");
            let days_are_24_hours = jiff::SpanRelativeTo::days_are_24_hours();
            proptest::prop_assert_eq!(span.total((jiff::Unit::Millisecond, days_are_24_hours)).expect("ms").round(), ms as f64);
        }
    }
}
