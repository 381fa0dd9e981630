//! Sweep: one rule set with one of its params at several values, over the same recorded events.
//!
//! Guarantees: a value outside the param's own range is refused before anything runs; the value in force is among
//! those shown, and marked. Suggests nothing: what to trade for what is for people to decide.

use serde::Serialize;

use super::backtest::Events;
use super::tally::Outcome;
use crate::event::{Money, Value};
use crate::ruleset::{ParamPlace, parse_constant};

/// Values of one sweep, all params together, at most.
pub const VALUES_MAX: usize = 100;
/// Steps between two ends where no step is given and 1 is not the natural one.
const STEPS: i64 = 10;

/// What is asked for: `RULE.PARAM=5..12`, `=5..12..2`, `=5,8,12`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The param, as [`ParamPlace::called`].
    pub param: String,
    values: AskedValues,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum AskedValues {
    Range { from: String, to: String, step: Option<String> },
    List(Vec<String>),
}

impl Asked {
    /// Reads what stands behind `--param`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "RULE.PARAM=FROM..TO, RULE.PARAM=FROM..TO..STEP or RULE.PARAM=A,B,C".to_owned();
        let (param, values) = text.split_once('=').ok_or_else(wrong)?;
        let parts: Vec<String> = values.split("..").map(|part| part.trim().to_owned()).collect();
        let values = match parts.as_slice() {
            [list] => AskedValues::List(list.split(',').map(|value| value.trim().to_owned()).collect()),
            [from, to] => AskedValues::Range { from: from.clone(), to: to.clone(), step: None },
            [from, to, step] => AskedValues::Range { from: from.clone(), to: to.clone(), step: Some(step.clone()) },
            _ => return Err(wrong()),
        };
        Ok(Asked { param: param.trim().to_owned(), values })
    }

    /// The values, as the param's file would write them, each within the param's range.
    pub fn values(&self, place: &ParamPlace) -> Result<Vec<String>, String> {
        let read = |text: &str| read(text, &place.value).map_err(|why| format!("`{text}`: {why}"));
        let values = match &self.values {
            AskedValues::List(texts) => texts.iter().map(|text| read(text)).collect::<Result<Vec<_>, _>>()?,
            AskedValues::Range { from, to, step } => {
                let step = step.as_deref().map(read).transpose()?;
                range(&read(from)?, &read(to)?, step.as_ref())?
            }
        };
        for value in &values {
            let beyond = |limit: &Option<Value<'_>>, is_below: bool| {
                limit
                    .as_ref()
                    .is_some_and(|limit| if is_below { size(value) < size(limit) } else { size(value) > size(limit) })
            };
            if beyond(&place.min, true) || beyond(&place.max, false) {
                let end = |limit: &Option<Value<'_>>, open: &str| limit.as_ref().map_or(open.to_owned(), written);
                let (min, max) = (end(&place.min, "any"), end(&place.max, "any"));
                return Err(format!("{} lies outside the range its rule declares, {min} to {max}", written(value)));
            }
        }
        Ok(values.iter().map(written).collect())
    }
}

/// A value of the kind a param has; an amount without its currency has the param's.
fn read(text: &str, like: &Value<'_>) -> Result<Value<'static>, String> {
    let value = match like {
        Value::Money(money) if !text.contains(' ') => parse_constant(&format!("{text} {}", money.currency.code())),
        _ => parse_constant(text),
    };
    let value = value.ok_or("this is no number, time or amount")?;
    let kind = |value: &Value<'_>| match value {
        Value::Int(_) | Value::Float(_) => Ok("a number".to_owned()),
        Value::Duration(_) => Ok("a time such as `10m`".to_owned()),
        Value::Money(money) => Ok(format!("an amount in {}", money.currency.code())),
        _ => Err("only a number, a time or an amount can be swept".to_owned()),
    };
    let wanted = kind(like)?;
    if kind(&value)? == wanted { Ok(value) } else { Err(format!("the param is {wanted}")) }
}

/// Every value from one end to the other, both included where the step fits.
fn range(from: &Value<'_>, to: &Value<'_>, step: Option<&Value<'_>>) -> Result<Vec<Value<'static>>, String> {
    if size(to) < size(from) {
        return Err(format!("{} lies below {}: the smaller end comes first", written(to), written(from)));
    }
    if step.is_some_and(|step| size(step) <= 0.0) {
        return Err("the step is larger than nothing".to_owned());
    }
    let whole = |value: &Value<'_>| match value {
        Value::Int(n) | Value::Duration(n) => Some(*n),
        Value::Money(money) => Some(money.minor),
        _ => None,
    };
    if let (Some(first), Some(last), Some(step)) = (whole(from), whole(to), step.map_or(Some(0), whole)) {
        let natural = if matches!(from, Value::Int(_)) { 1 } else { (last.saturating_sub(first) / STEPS).max(1) };
        let step = if step == 0 { natural } else { step };
        if (last.saturating_sub(first) / step) >= VALUES_MAX as i64 {
            return Err(format!("these are more than {VALUES_MAX} values: give a larger step, FROM..TO..STEP"));
        }
        let of = |n: i64| match from {
            Value::Duration(_) => Value::Duration(n),
            Value::Money(money) => Value::Money(Money { minor: n, currency: money.currency }),
            _ => Value::Int(n),
        };
        return Ok((0..=last.saturating_sub(first) / step).map(|n| of(first.saturating_add(n * step))).collect());
    }
    let (first, span) = (size(from), size(to) - size(from));
    let step = step.map_or(span / STEPS as f64, size);
    // A step that fits but for the last bit of a float fits.
    let steps = if step > 0.0 { (span / step + 1e-9).floor() } else { 0.0 };
    if steps >= VALUES_MAX as f64 {
        return Err(format!("these are more than {VALUES_MAX} values: give a larger step, FROM..TO..STEP"));
    }
    Ok((0..=steps as u32).map(|n| Value::Float(first + f64::from(n) * step)).collect())
}

fn size(value: &Value<'_>) -> f64 {
    match value {
        Value::Int(n) | Value::Duration(n) => *n as f64,
        Value::Float(n) => *n,
        Value::Money(money) => money.minor as f64,
        _ => f64::NAN,
    }
}

/// A value as a rule file writes it, exactly.
pub fn written(value: &Value<'_>) -> String {
    match value {
        Value::Float(n) => {
            let text = format!("{n:.9}");
            let text = text.trim_end_matches('0');
            if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
        }
        Value::Duration(ms) => {
            const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
            let unit = UNITS.iter().find(|(size, _)| *ms != 0 && ms % size == 0);
            unit.map_or_else(|| format!("{ms}ms"), |(size, unit)| format!("{}{unit}", ms / size))
        }
        Value::Money(money) => {
            let decimal = money.decimal();
            let whole = decimal.strip_suffix(".00").unwrap_or(&decimal);
            format!("{whole} {}", money.currency.code())
        }
        other => other.to_string(),
    }
}

/// One param of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// How it is called.
    pub param: String,
    /// Its value in force.
    pub current: String,
    /// Other rules that change with it.
    pub shared_with: Vec<String>,
}

/// What one value does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The value of each param, in the order of [`Sweep::params`].
    pub values: Vec<String>,
    /// It is the value in force.
    pub is_current: bool,
    /// What the rule set does with it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What a sweep found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sweep {
    /// What was in the recording.
    pub events: Events,
    /// What was swept.
    pub params: Vec<Swept>,
    /// Each value, or each combination of values.
    pub points: Vec<Point>,
}

/// Every combination, the first param changing slowest.
pub fn combinations(values: &[Vec<String>]) -> Vec<Vec<String>> {
    values.iter().fold(vec![Vec::new()], |all, values| {
        let longer = |one: &Vec<String>| {
            let one = one.clone();
            values.iter().map(move |value| one.iter().chain([value]).cloned().collect())
        };
        all.iter().flat_map(longer).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::Sources;

    fn place(value: &str, limits: &str) -> ParamPlace {
        let mut sources = Sources::new("rules");
        let text = format!("version: 1\nrules:\n  - id: r\n    params: {{p: {{value: {value}{limits}}}}}\n");
        sources.add("x.yaml", text, None);
        sources.params().remove(0)
    }

    fn values(value: &str, asked: &str) -> Result<Vec<String>, String> {
        Asked::parse(&format!("r.p={asked}"))?.values(&place(value, ""))
    }

    #[test]
    fn ranges_of_every_kind() {
        let texts = |values: &[&str]| Ok(values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>());
        assert_eq!(values("6", "5..8"), texts(&["5", "6", "7", "8"]));
        assert_eq!(values("6", "5..12..3"), texts(&["5", "8", "11"]));
        assert_eq!(values("6", "5,9,7"), texts(&["5", "9", "7"]));
        assert_eq!(values("0.5", "0.1..0.4..0.1"), texts(&["0.1", "0.2", "0.3", "0.4"]));
        assert_eq!(values("1", "0.5..1..0.25"), texts(&["0.5", "0.75", "1.0"]));
        assert_eq!(values("10m", "5m..1h..15m"), texts(&["5m", "20m", "35m", "50m"]));
        assert_eq!(values("5000 CNY", "1000..2000..500"), texts(&["1000 CNY", "1500 CNY", "2000 CNY"]));
        assert_eq!(values("10m", "0s..10m").map(|v| v.len()), Ok(11));
    }

    #[test]
    fn what_cannot_be_swept_says_why() {
        let limited = place("6", ", min: 3, max: 10");
        let told =
            |asked: &str| Asked::parse(&format!("r.p={asked}")).and_then(|a| a.values(&limited)).expect_err("why");
        assert_eq!(told("5..12"), "11 lies outside the range its rule declares, 3 to 10");
        assert_eq!(told("2"), "2 lies outside the range its rule declares, 3 to 10");
        assert_eq!(told("9..5"), "5 lies below 9: the smaller end comes first");
        assert_eq!(told("5..9..0"), "the step is larger than nothing");
        assert_eq!(told("5m..9m"), "`5m`: the param is a number");
        assert_eq!(told("x"), "`x`: this is no number, time or amount");
        assert!(values("5000 CNY", "1 USD").is_err());
        assert!(values("6", "1..1000").is_err_and(|why| why.contains("larger step")));
        assert!(values("true", "true").is_err_and(|why| why.contains("only a number")));
        assert!(Asked::parse("r.p").is_err() && Asked::parse("r.p=1..2..3..4").is_err());
    }

    #[test]
    fn every_combination_once() {
        let texts = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        let all = combinations(&[texts(&["1", "2"]), texts(&["a", "b", "c"])]);
        assert_eq!(all.len(), 6);
        assert_eq!((all[0].join(""), all[5].join("")), ("1a".to_owned(), "2c".to_owned()));
    }
}
