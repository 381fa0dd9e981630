//! Reads what only rule files hold out of a file's tree: names, times, days, constants, expressions.
//!
//! Guarantees: as those of [`Reader`], which this adds to. Does not know what keys mean.

use super::codes;
use super::expr::{self, Ast};
use super::snippet::snippet;
use crate::event::{Currency, Millis, Money, Value};
use crate::report::Problem;
use crate::yaml::{Dialect, Entry, Kind, Node, Reader, Style};

/// Rule files, to the YAML reader.
pub static RULE_FILES: Dialect = Dialect {
    file: "rule file",
    tag_help: "write `not x` rather than `!x`; put an expression that starts with ! & * [ { \" under `|`",
    anchor_help: "write the value out, or give it a name under `defs`; an expression that starts with & or * goes under `|`",
    merge_help: "write the keys out; keys that all rules of a file share go under `defaults`",
    shape: codes::SHAPE,
    unknown_key: codes::UNKNOWN_KEY,
    missing_key: codes::MISSING_KEY,
    not_yet: codes::NOT_YET,
    name: codes::NAME,
    value: codes::VALUE,
};

/// Length of a name or an id, at most, bytes.
const NAME_BYTES_MAX: usize = 64;
/// The longest time a file can name: ten years, ms.
pub(super) const DURATION_MS_MAX: i64 = 3660 * 86_400_000;

/// Words that mean something else in an expression.
const RESERVED: &[&str] = &["and", "or", "not", "in", "is", "missing", "true", "false", "lists", "amounts", "account"];

impl Reader<'_> {
    /// Whether a key can be a name in expressions.
    pub fn is_name(&mut self, entry: &Entry, what: &str) -> bool {
        self.is_name_at(&entry.key, entry.key_span.clone(), what)
    }

    /// Whether a word can be a name in expressions.
    pub fn is_name_at(&mut self, name: &str, span: std::ops::Range<usize>, what: &str) -> bool {
        let mut bytes = name.bytes();
        let starts = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let fits = starts && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !fits || name.len() > NAME_BYTES_MAX {
            let help = "small letters, digits and `_`, a letter first, at most 64";
            self.error_help(codes::NAME, span, format!("`{name}` cannot be the name of {what}"), help);
            return false;
        }
        if RESERVED.contains(&name) {
            self.error(codes::NAME, span, format!("`{name}` means something else in expressions"));
            return false;
        }
        true
    }

    /// A span of time, such as `10m`, ms.
    pub fn duration(&mut self, node: &Node, what: &str) -> Option<i64> {
        let text = self.scalar(node, what)?;
        let found = duration(text);
        if found.is_none() {
            let message = format!("{what} is a time such as `90s`, `10m`, `24h` or `30d`, at most ten years");
            let problem = Problem::error(codes::VALUE, self.file, node.span.clone(), message);
            self.problems.push(match meant_duration(text) {
                Some(meant) => problem.fix(node.span.clone(), meant),
                None => problem,
            });
        }
        found
    }

    /// A span of time longer than none, ms.
    pub fn some_time(&mut self, node: &Node, what: &str) -> Option<i64> {
        let found = self.duration(node, what)?;
        if found == 0 {
            self.error(codes::VALUE, node.span.clone(), format!("{what} is longer than no time"));
            return None;
        }
        Some(found)
    }

    /// A day, `2027-01-31`: the first moment after it, UTC.
    pub fn end_of_day(&mut self, node: &Node, what: &str) -> Option<Millis> {
        let found = self.scalar(node, what)?.parse::<jiff::civil::Date>().ok().and_then(|day| {
            let next = day.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            Some(Millis(next.timestamp().as_millisecond()))
        });
        if found.is_none() {
            self.error(codes::VALUE, node.span.clone(), format!("{what} is a day such as `2027-01-31`"));
        }
        found
    }

    /// An expression.
    pub fn expression(&mut self, node: &Node, what: &str) -> Option<Ast> {
        self.scalar(node, what)?;
        let snippet = snippet(self.file, node)?;
        expr::parse(&snippet, self.problems)
    }
}

/// A span of time, ms: a whole number with `ms`, `s`, `m`, `h` or `d`.
pub(super) fn duration(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit_ms).filter(|ms| *ms <= DURATION_MS_MAX)
}

/// Spans of time side by side, such as `1h30m`, ms; one alone is none.
fn duration_of_parts(text: &str) -> Option<i64> {
    let mut parts = Vec::new();
    for c in text.trim().chars().filter(|c| !c.is_whitespace()) {
        let ends = |part: &String| part.ends_with(|end: char| end.is_ascii_alphabetic());
        if c.is_ascii_digit() && parts.last().is_none_or(ends) {
            parts.push(String::new());
        }
        parts.last_mut()?.push(c);
    }
    let sum = parts.iter().try_fold(0i64, |sum, part| sum.checked_add(duration(part)?))?;
    Some(sum).filter(|_| parts.len() > 1)
}

/// What was meant by a span of time as other programs write it: `10min`, `1 hour`, `2w`, `1h30m`.
fn meant_duration(text: &str) -> Option<String> {
    if let Some(ms) = duration_of_parts(text) {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
        let (size, unit) = units.into_iter().find(|(size, _)| ms % size == 0)?;
        return Some(format!("{}{unit}", ms / size));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number = number.parse::<i64>().ok()?;
    let (factor, unit) = match unit.trim().to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => (1, "s"),
        "m" | "min" | "mins" | "minute" | "minutes" => (1, "m"),
        "h" | "hr" | "hrs" | "hour" | "hours" => (1, "h"),
        "d" | "day" | "days" => (1, "d"),
        "w" | "week" | "weeks" => (7, "d"),
        _ => return None,
    };
    let meant = format!("{}{unit}", number.checked_mul(factor)?);
    duration(&meant).map(|_| meant)
}

/// An amount of money, such as `5000 CNY`.
pub(super) fn money(text: &str) -> Option<Money> {
    let (amount, currency) = text.trim().split_once(' ')?;
    Money::parse(amount, Currency::parse(currency.trim())?).ok()
}

/// A constant as an expression would write it: a number, a time, an amount, true or false, or a text.
pub(super) fn constant(node: &Node) -> Option<(Value<'static>, expr::Ty)> {
    let Kind::Scalar(scalar) = &node.kind else { return None };
    let text = scalar.text.as_str();
    if matches!(scalar.style, Style::Single | Style::Double) {
        return Some((Value::Text(text.to_owned().into()), expr::Ty::Text));
    }
    if let Ok(n) = text.parse::<i64>() {
        return Some((Value::Int(n), expr::Ty::Int));
    }
    if let Some(ms) = duration(text) {
        return Some((Value::Duration(ms), expr::Ty::Duration));
    }
    if let Some(money) = money(text) {
        return Some((Value::Money(money), expr::Ty::Money));
    }
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    match text {
        "true" => Some((Value::Bool(true), expr::Ty::Bool)),
        "false" => Some((Value::Bool(false), expr::Ty::Bool)),
        _ => match text.parse::<f64>() {
            Ok(n) if n.is_finite() && is_number => Some((Value::Float(n), expr::Ty::Float)),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        for (text, ms) in [
            ("0s", Some(0)),
            ("5ms", Some(5)),
            ("90s", Some(90_000)),
            ("24h", Some(86_400_000)),
            ("10m", Some(600_000)),
        ] {
            assert_eq!(duration(text), ms, "{text}");
        }
        for bad in ["", "10", "m", "-1m", "1.5h", "10 m", "1w", "99999999999999999999d", "4000d", "１m"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn money_needs_its_currency() {
        assert_eq!(money("39.99 CNY").map(|m| m.minor), Some(3999));
        assert_eq!(money("5000"), None);
        assert_eq!(money("5 XXX"), None);
        assert_eq!(money("1.5 JPY"), None);
    }
}
