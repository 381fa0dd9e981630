//! Reads values out of a file's tree, each as its key wants it.
//!
//! Guarantees: what is not as wanted is told once with its place, and with its fix where one can be guessed;
//! a broken node is passed over in silence, because it was told before. Does not know what keys mean.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::codes;
use super::expr::{self, Ast};
use super::snippet::snippet;
use super::yaml::{Entry, Kind, Map, Node, Style};
use crate::event::{Currency, Millis, Money, Value};
use crate::report::{Problem, SourceFile, did_you_mean};

/// Length of a name or an id, at most, bytes.
const NAME_BYTES_MAX: usize = 64;
/// Length of a title, a reason and other words for people, at most, bytes.
const TEXT_BYTES_MAX: usize = 8 * 1024;
/// The longest time a file can name: ten years, ms.
pub(super) const DURATION_MS_MAX: i64 = 3660 * 86_400_000;

/// Words that mean something else in an expression.
const RESERVED: &[&str] = &["and", "or", "not", "in", "is", "missing", "true", "false", "lists", "amounts", "account"];

/// One file while it is read, and where its problems go.
pub(super) struct Reader<'a> {
    /// The file.
    pub file: &'a Arc<SourceFile>,
    /// What was found.
    pub problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// Tells an error.
    pub fn error(&mut self, code: &'static str, span: Range<usize>, message: impl Into<String>) {
        self.problems.push(Problem::error(code, self.file, span, message));
    }

    /// Tells an error with words that help.
    pub fn error_help(&mut self, code: &'static str, span: Range<usize>, message: impl Into<String>, help: &str) {
        self.problems.push(Problem::error(code, self.file, span, message).help(help));
    }

    /// Tells an error about a word, with the word that was probably meant.
    pub fn unknown_word<'c>(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        word: &str,
        known: impl IntoIterator<Item = &'c str> + Clone,
    ) {
        let problem = Problem::error(code, self.file, span.clone(), message);
        let problem = match did_you_mean(word, known.clone()) {
            Some(meant) => problem.fix(span, meant),
            None => {
                let known: Vec<&str> = known.into_iter().take(40).collect();
                if known.is_empty() {
                    problem.help("there is none here")
                } else {
                    problem.help(format!("one of {}", known.join(", ")))
                }
            }
        };
        self.problems.push(problem);
    }

    /// Tells which of some keys a mapping lacks, in one problem. A misspelt one is not missing.
    pub fn require(&mut self, node: &Node, what: &str, keys: &[&str]) {
        let Kind::Map(map) = &node.kind else { return };
        let lacks = |key: &&&str| {
            let meant = |entry: &Entry| did_you_mean(&entry.key, [**key]).is_some();
            map.get(key).is_none() && !map.entries.iter().any(meant)
        };
        let missing: Vec<String> = keys.iter().filter(lacks).map(|key| format!("`{key}`")).collect();
        let list = match missing.split_last() {
            None => return,
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        };
        self.error(codes::MISSING_KEY, node.head(), format!("{what} needs {list}"));
    }

    /// A mapping; `what` is what it describes, such as `a feature`.
    pub fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n Map> {
        match &node.kind {
            Kind::Map(map) => Some(map),
            Kind::Broken => None,
            _ => {
                self.error(codes::SHAPE, node.head(), format!("{what} is a mapping: `key: value`"));
                None
            }
        }
    }

    /// A list.
    pub fn seq<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.kind {
            Kind::Seq(items) => Some(items),
            Kind::Broken => None,
            _ => {
                self.error(codes::SHAPE, node.head(), format!("{what} is a list: `[a, b]` or one `- item` a line"));
                None
            }
        }
    }

    /// A list, or one item in place of a list of one.
    pub fn one_or_more<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.kind {
            Kind::Seq(items) => {
                if items.is_empty() {
                    self.error(codes::VALUE, node.head(), format!("{what} must not be empty"));
                }
                items
            }
            _ => std::slice::from_ref(node),
        }
    }

    /// Tells keys that do not belong into a mapping.
    pub fn keys(&mut self, map: &Map, known: &[&str], later: &[&str]) {
        for entry in &map.entries {
            let key = entry.key.as_str();
            if later.contains(&key) {
                let message = format!("this version of walletwatch does not know `{key}` yet");
                self.error(codes::NOT_YET, entry.key_span.clone(), message);
            } else if !known.contains(&key) {
                let message = format!("unknown key `{key}`");
                self.unknown_word(codes::UNKNOWN_KEY, entry.key_span.clone(), message, key, known.iter().copied());
            }
        }
    }

    /// A scalar's text, whatever it looks like.
    pub fn scalar<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.style != Style::Empty => Some(scalar.text.as_str()),
            Kind::Scalar(_) => {
                self.error(codes::SHAPE, node.head(), format!("{what} is empty"));
                None
            }
            Kind::Broken => None,
            _ => {
                self.error(codes::SHAPE, node.head(), format!("{what} is one value, not a list or a mapping"));
                None
            }
        }
    }

    /// A text for people: not empty, not endless, without control characters.
    pub fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.scalar(node, what)?.trim();
        if node.is_null() || text.is_empty() {
            self.error(codes::VALUE, node.span.clone(), format!("{what} is empty"));
            return None;
        }
        if text.len() > TEXT_BYTES_MAX {
            self.error(codes::VALUE, node.head(), format!("{what} has at most {TEXT_BYTES_MAX} bytes"));
            return None;
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            self.error(codes::VALUE, node.span.clone(), format!("{what} holds a control character"));
            return None;
        }
        Some(text.to_owned())
    }

    /// Whether a key can be a name in expressions.
    pub fn is_name(&mut self, entry: &Entry, what: &str) -> bool {
        let name = entry.key.as_str();
        let mut bytes = name.bytes();
        let starts = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let fits = starts && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !fits || name.len() > NAME_BYTES_MAX {
            let help = "small letters, digits and `_`, a letter first, at most 64";
            self.error_help(
                codes::NAME,
                entry.key_span.clone(),
                format!("`{name}` cannot be the name of {what}"),
                help,
            );
            return false;
        }
        if RESERVED.contains(&name) {
            self.error(codes::NAME, entry.key_span.clone(), format!("`{name}` means something else in expressions"));
            return false;
        }
        true
    }

    /// An id such as a rule's: small letters, digits and `-`.
    pub fn id(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.scalar(node, what)?;
        let mut bytes = text.bytes();
        let starts = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        if starts && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') && text.len() <= 64 {
            return Some(text.to_owned());
        }
        let help = "small letters, digits and `-`, a letter first, at most 64";
        self.error_help(codes::NAME, node.span.clone(), format!("`{text}` cannot be {what}"), help);
        None
    }

    /// A whole number in a range.
    pub fn int(&mut self, node: &Node, what: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let text = self.scalar(node, what)?;
        match text.parse::<i64>() {
            Ok(n) if range.contains(&n) && is_plain(node) => Some(n),
            _ => {
                let message = match *range.end() {
                    i64::MAX => format!("{what} is a whole number, at least {}", range.start()),
                    end => format!("{what} is a whole number from {} to {end}", range.start()),
                };
                self.error(codes::VALUE, node.span.clone(), message);
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn bool(&mut self, node: &Node, what: &str) -> Option<bool> {
        match self.scalar(node, what)? {
            "true" | "True" | "TRUE" if is_plain(node) => Some(true),
            "false" | "False" | "FALSE" if is_plain(node) => Some(false),
            _ => {
                self.error(codes::VALUE, node.span.clone(), format!("{what} is `true` or `false`"));
                None
            }
        }
    }

    /// One word of a few: `unknown severity `hgih``.
    pub fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let word = self.scalar(node, what)?;
        let found = words.iter().find(|(w, _)| *w == word).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
            self.unknown_word(codes::VALUE, node.span.clone(), format!("unknown {what} `{word}`"), word, known);
        }
        found
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

/// Whether a scalar stands without quotes.
pub(super) fn is_plain(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(scalar) if matches!(scalar.style, Style::Plain | Style::Block))
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

/// What was meant by a span of time as other programs write it: `10min`, `1 hour`, `2w`.
fn meant_duration(text: &str) -> Option<String> {
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
