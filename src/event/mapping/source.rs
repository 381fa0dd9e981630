//! Where one field's value comes from, and what is made of it.
//!
//! Guarantees: a value that is absent stays absent; one that is there and cannot be used is a refusal, never
//! dropped; constants and texts of the record are borrowed. Knows no field: `target.rs` does.

use std::borrow::Cow;

use super::Origin;
use super::condition::{Condition, is_true};
use super::paths::{Leaf, items};
use crate::event::{Millis, TIME_MS_MAX, TIME_MS_MIN};

/// Digits of a number that may be either, from which on it is milliseconds: since 1973.
const MS_DIGITS_MIN: usize = 12;

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A place in the record.
    At(usize),
    /// Always this text.
    Constant(String),
    /// Nothing.
    Nothing,
    /// The first that is there.
    First(Vec<Source>),
    /// All together; absent where one of them is.
    Join(Vec<Source>),
    /// One of two.
    If { when: Condition, then: Box<Source>, otherwise: Box<Source> },
    /// What Kafka says of the record.
    Record(Part),
    /// A part of a text, cut at any of some texts.
    Split { of: Box<Source>, by: Vec<String>, take: Take },
    /// A text in small letters.
    Lower(Box<Source>),
    /// A value for a value; sorted.
    Table { of: Box<Source>, rows: Vec<(String, Option<String>)>, otherwise: Otherwise },
    /// A time as vendors write it.
    Time { of: Box<Source>, unit: TimeUnit },
    /// Whole minor units of money.
    Minor(Box<Source>),
}

/// What a table says of a value that is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// The record is refused.
    Refuse,
    /// The field has this value, or none.
    Value(Option<String>),
}

/// Which part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    First,
    Last,
}

/// What Kafka says of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Topic, partition, offset and timestamp: an id where the record has none.
    Position,
    Timestamp,
    Key,
    Topic,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeUnit {
    /// As our own events: RFC 3339 with an offset, or whole milliseconds.
    Own,
    /// RFC 3339, also without an offset (then UTC) and with one as `+0000`; or whole milliseconds.
    Utc,
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// A value for a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Val<'a> {
    Text(Cow<'a, str>),
    Number(Cow<'a, str>),
    Bool(bool),
    Time(Millis),
    /// Money in minor units.
    Minor(Cow<'a, str>),
}

/// Why a value that is there cannot be used: what was expected.
pub(super) type Wrong = Cow<'static, str>;

/// What a record is read from.
#[derive(Clone, Copy)]
pub(super) struct Scene<'s, 'a> {
    /// The record's values, by slot.
    pub found: &'s [Leaf<'a>],
    pub origin: &'s Origin<'a>,
}

impl Val<'_> {
    /// The value as text.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Val::Text(text) | Val::Number(text) | Val::Minor(text) => Cow::Borrowed(text),
            Val::Bool(true) => Cow::Borrowed("true"),
            Val::Bool(false) => Cow::Borrowed("false"),
            Val::Time(time) => Cow::Owned(time.0.to_string()),
        }
    }
}

impl<'a> Val<'a> {
    /// The value as text, for good.
    pub fn into_text(self) -> Cow<'a, str> {
        match self {
            Val::Text(text) | Val::Number(text) | Val::Minor(text) => text,
            Val::Bool(true) => Cow::Borrowed("true"),
            Val::Bool(false) => Cow::Borrowed("false"),
            Val::Time(time) => Cow::Owned(time.0.to_string()),
        }
    }
}

impl Source {
    /// The value; `None` where it is absent.
    pub fn value<'a>(&'a self, scene: Scene<'_, 'a>) -> Result<Option<Val<'a>>, Wrong> {
        Ok(match self {
            Source::At(slot) => return scene.found.get(*slot).map_or(Ok(None), scalar),
            Source::Constant(text) => Some(Val::Text(Cow::Borrowed(text))),
            Source::Nothing => None,
            Source::First(sources) => {
                for source in sources {
                    if let Some(value) = source.value(scene)? {
                        return Ok(Some(value));
                    }
                }
                None
            }
            Source::Join(sources) => {
                let mut whole = String::new();
                for source in sources {
                    let Some(value) = source.value(scene)? else { return Ok(None) };
                    whole.push_str(&value.text());
                }
                (!whole.is_empty()).then_some(Val::Text(Cow::Owned(whole)))
            }
            Source::If { when, then, otherwise } => {
                return if is_true(when, scene.found) { then.value(scene) } else { otherwise.value(scene) };
            }
            Source::Record(part) => record(*part, scene.origin),
            Source::Split { of, by, take } => of.value(scene)?.and_then(|value| part(value, by, *take)),
            Source::Lower(of) => of.value(scene)?.map(lower),
            Source::Table { of, rows, otherwise } => match of.value(scene)? {
                None => None,
                Some(value) => return look_up(&value.text(), rows, otherwise),
            },
            Source::Time { of, unit } => match of.value(scene)? {
                None => None,
                Some(value) => Some(time(value, *unit)?),
            },
            Source::Minor(of) => match of.value(scene)? {
                None => None,
                Some(value) => match value.into_text() {
                    text if is_digits(&text) => Some(Val::Minor(text)),
                    _ => return Err("whole minor units, such as 1250 for 12.50, are expected".into()),
                },
            },
        })
    }

    /// The slots it reads, in the order in which they are tried.
    pub fn slots(&self, into: &mut Vec<usize>) {
        match self {
            Source::At(slot) => into.push(*slot),
            Source::Constant(_) | Source::Nothing | Source::Record(_) => {}
            Source::First(sources) | Source::Join(sources) => sources.iter().for_each(|s| s.slots(into)),
            Source::If { then, otherwise, .. } => {
                then.slots(into);
                otherwise.slots(into);
            }
            Source::Split { of, .. } | Source::Table { of, .. } | Source::Time { of, .. } => of.slots(into),
            Source::Lower(of) | Source::Minor(of) => of.slots(into),
        }
    }
}

/// A leaf as a value. A list of one value is that value, as Elasticsearch's documents have it.
fn scalar<'a>(leaf: &Leaf<'a>) -> Result<Option<Val<'a>>, Wrong> {
    const EXPECTED: &str = "one value is expected, not a list or an object";
    Ok(match leaf {
        Leaf::Absent => None,
        Leaf::Text(text) => Some(Val::Text(text.clone())),
        Leaf::Number(text) => Some(Val::Number(text.clone())),
        Leaf::Bool(value) => Some(Val::Bool(*value)),
        Leaf::Object => return Err(EXPECTED.into()),
        Leaf::List(json) => match items(json).as_slice() {
            [] => None,
            [one] => match Leaf::of(one.get()) {
                Ok(Leaf::Absent) => None,
                Ok(Leaf::Text(text)) => Some(Val::Text(Cow::Owned(text.into_owned()))),
                Ok(Leaf::Number(text)) => Some(Val::Number(Cow::Owned(text.into_owned()))),
                Ok(Leaf::Bool(value)) => Some(Val::Bool(value)),
                _ => return Err(EXPECTED.into()),
            },
            _ => return Err(EXPECTED.into()),
        },
    })
}

/// What Kafka says. A key that is no text is absent.
fn record<'a>(part: Part, origin: &Origin<'a>) -> Option<Val<'a>> {
    match part {
        Part::Position => Some(Val::Text(Cow::Owned(origin.position()))),
        Part::Timestamp => origin.stamp.map(Val::Time),
        Part::Key => origin.key_text().map(|key| Val::Text(Cow::Borrowed(key))),
        Part::Topic => Some(Val::Text(Cow::Borrowed(origin.topic))),
    }
}

/// The part of a text before the first, or after the last, of `by`; the whole where it holds none of them.
fn part<'a>(value: Val<'a>, by: &[String], take: Take) -> Option<Val<'a>> {
    fn cut<'t>(text: &'t str, by: &[String], take: Take) -> &'t str {
        let parts = by.iter().filter_map(|by| match take {
            Take::First => text.split_once(by.as_str()).map(|(first, _)| first),
            Take::Last => text.rsplit_once(by.as_str()).map(|(_, last)| last),
        });
        parts.min_by_key(|part| part.len()).unwrap_or(text).trim()
    }
    let text = match value.into_text() {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text, by, take)),
        Cow::Owned(text) => Cow::Owned(cut(&text, by, take).to_owned()),
    };
    (!text.is_empty()).then_some(Val::Text(text))
}

/// A text in small letters; most are already.
fn lower<'a>(value: Val<'a>) -> Val<'a> {
    match value {
        Val::Text(text) if text.chars().any(char::is_uppercase) => Val::Text(Cow::Owned(text.to_lowercase())),
        other => other,
    }
}

fn look_up<'a>(
    value: &str,
    rows: &'a [(String, Option<String>)],
    otherwise: &'a Otherwise,
) -> Result<Option<Val<'a>>, Wrong> {
    let found = rows.binary_search_by(|(from, _)| from.as_str().cmp(value)).ok().and_then(|at| rows.get(at));
    let to = match (found, otherwise) {
        (Some((_, to)), _) | (None, Otherwise::Value(to)) => to,
        (None, Otherwise::Refuse) => return Err("a value of the mapping's table is expected".into()),
    };
    Ok(to.as_deref().map(|text| Val::Text(Cow::Borrowed(text))))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

// === Times ===

fn time<'a>(value: Val<'a>, unit: TimeUnit) -> Result<Val<'a>, Wrong> {
    if let Val::Time(_) = value {
        return Ok(value);
    }
    let text = value.text();
    let (read, expected) = match unit {
        TimeUnit::Own => return Ok(value),
        TimeUnit::Utc => (
            utc(&text),
            "a time such as 2026-11-22T03:04:05Z, with or without its offset, or milliseconds, is expected",
        ),
        TimeUnit::Seconds => (since_1970(&text, 3), "seconds since 1970 are expected"),
        TimeUnit::Milliseconds => (since_1970(&text, 0), "milliseconds since 1970 are expected"),
        TimeUnit::Microseconds => (since_1970(&text, -3), "microseconds since 1970 are expected"),
        TimeUnit::Nanoseconds => (since_1970(&text, -6), "nanoseconds since 1970 are expected"),
    };
    read.map(Val::Time).ok_or(Cow::Borrowed(expected))
}

/// A time that may lack its offset, or have it without a colon. So many digits are milliseconds; fewer are seconds, or
/// a date, and whoever has those says so.
fn utc(text: &str) -> Option<Millis> {
    if is_digits(text) {
        return (text.len() >= MS_DIGITS_MIN).then(|| since_1970(text, 0)).flatten();
    }
    let with_colon = || {
        let at = text.len().checked_sub(2)?;
        let (head, minutes) = text.split_at_checked(at)?;
        Millis::parse(&format!("{head}:{minutes}"))
    };
    Millis::parse(text).or_else(|| Millis::parse(&format!("{text}Z"))).or_else(with_colon)
}

/// A decimal number of a unit as milliseconds, cut: `digits` places are moved over the point. A number with an
/// exponent, which some languages write, is read as a float: it keeps its milliseconds for 280 000 years.
fn since_1970(text: &str, digits: i32) -> Option<Millis> {
    let ms = exact(text, digits).or_else(|| {
        let is_exponential = text.bytes().any(|byte| matches!(byte, b'e' | b'E'));
        let number = text.parse::<f64>().ok().filter(|number| is_exponential && number.is_finite())?;
        let ms = (number * 10f64.powi(digits)).trunc();
        // The float lies within the range of times, so that the whole number is its own.
        (TIME_MS_MIN as f64..=TIME_MS_MAX as f64).contains(&ms).then_some(ms as i64)
    })?;
    Millis(ms).checked()
}

fn exact(text: &str, digits: i32) -> Option<i64> {
    let (sign, number) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if !is_digits(whole) || !(fraction.is_empty() || is_digits(fraction)) || number.ends_with('.') {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let scale = 10i64.checked_pow(digits.unsigned_abs())?;
    let ms = if digits < 0 {
        whole / scale
    } else {
        let mut ms = whole.checked_mul(scale)?;
        let mut worth = scale;
        for digit in fraction.bytes() {
            worth /= 10;
            ms = ms.checked_add(i64::from(digit - b'0') * worth)?;
        }
        ms
    };
    ms.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_vendors_write_them() {
        let read = |text: &'static str, unit| match time(Val::Text(text.into()), unit) {
            Ok(Val::Time(time)) => Some(time.0),
            _ => None,
        };
        use TimeUnit::*;
        for (text, unit, ms) in [
            ("1795316645", Seconds, Some(1_795_316_645_000)),
            ("1795316645.678", Seconds, Some(1_795_316_645_678)),
            ("1795316645.6", Seconds, Some(1_795_316_645_600)),
            ("1795316645.678999", Seconds, Some(1_795_316_645_678)),
            ("1.795316645678E9", Seconds, Some(1_795_316_645_678)),
            ("1795316645678", Milliseconds, Some(1_795_316_645_678)),
            ("1795316645678999", Microseconds, Some(1_795_316_645_678)),
            ("1795316645678999123", Nanoseconds, Some(1_795_316_645_678)),
            ("-1", Seconds, Some(-1000)),
            ("1795316645678999123", Seconds, None),
            ("99999999999999999999", Nanoseconds, None),
            ("1e300", Seconds, None),
            ("", Seconds, None),
            (".5", Seconds, None),
            ("5.", Seconds, None),
            ("0x5", Milliseconds, None),
            ("2026-11-22T03:04:05.678Z", Utc, Some(1_795_316_645_678)),
            ("2026-11-22 03:04:05.678", Utc, Some(1_795_316_645_678)),
            ("2026-11-22T03:04:05.678+0000", Utc, Some(1_795_316_645_678)),
            ("2026-11-22T11:04:05.678+0800", Utc, Some(1_795_316_645_678)),
            ("1795316645678", Utc, Some(1_795_316_645_678)),
            ("1795316645", Utc, None),
            ("20261122", Utc, None),
            ("2026-11-22", Utc, None),
            ("值", Utc, None),
        ] {
            assert_eq!(read(text, unit), ms, "{text} {unit:?}");
        }
    }

    #[test]
    fn parts_of_texts() {
        let all_cut = |text: &'static str, by: &[&str], take| {
            let by: Vec<String> = by.iter().map(|by| (*by).to_owned()).collect();
            part(Val::Text(text.into()), &by, take).map(|v| v.into_text())
        };
        let cut = |text, by, take| all_cut(text, &[by], take);
        assert_eq!(cut("com.example.wallet.login", ".", Take::Last).as_deref(), Some("login"));
        assert_eq!(cut("203.0.113.9, 10.0.0.1", ",", Take::First).as_deref(), Some("203.0.113.9"));
        assert_eq!(cut("login", ".", Take::Last).as_deref(), Some("login"));
        assert_eq!(cut("login.", ".", Take::Last), None);
        assert_eq!(all_cut("fe80::1%eth0, 10.0.0.1", &[",", "%"], Take::First).as_deref(), Some("fe80::1"));
        assert_eq!(all_cut("203.0.113.9, fe80::1%eth0", &[",", "%"], Take::First).as_deref(), Some("203.0.113.9"));
        assert_eq!(all_cut("a/b:c", &[":", "/"], Take::Last).as_deref(), Some("c"));
        assert_eq!(all_cut("2001:db8::1", &[",", "%"], Take::First).as_deref(), Some("2001:db8::1"));
    }

    #[test]
    fn small_letters() {
        let of = |text: &'static str| lower(Val::Text(text.into())).into_text();
        assert_eq!((of("Bad Password"), of("ÜBER"), of("ok")), ("bad password".into(), "über".into(), "ok".into()));
        assert!(matches!(of("ok"), Cow::Borrowed(_)), "most texts are not copied");
    }
}
