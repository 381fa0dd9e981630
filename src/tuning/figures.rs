//! The figures of a backtest, one beside the other, as texts: for the terminal and for the report.
//!
//! Guarantees: both show the same figures under the same names; what neither rule set has is left out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::backtest::Side;
use super::notices::Notices;
use super::tally::{BANDS, Judged};
use crate::event::Value;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// It is a part of what stands above.
    pub is_part: bool,
    /// Of the old rules.
    pub old: String,
    /// Of the new rules.
    pub new: String,
    /// The difference, empty where there is none.
    pub change: String,
}

/// The figures of two rule sets.
pub fn figures(old: &Side, new: &Side) -> Vec<Figure> {
    let mut all = Vec::new();
    let (a, b) = (&old.outcome, &new.outcome);
    let of = |bands: &BTreeMap<&'static str, u64>, band: &str| bands.get(band).copied().unwrap_or_default();
    all.extend(count("alerts", false, a.alerts, b.alerts));
    for band in BANDS.iter().rev().map(|band| band.word()) {
        all.extend(count(band, true, of(&a.bands, band), of(&b.bands, band)));
    }
    let a_day = |side: &Side| side.outcome.alerts_a_day.map_or("-".to_owned(), |n| format!("{n:.1}"));
    all.push(figure("alerts a day", false, a_day(old), a_day(new)));
    all.extend(count("accounts with alerts", false, a.accounts, b.accounts));
    notices(&mut all, &old.notices, &new.notices);
    if let (Some(a), Some(b)) = (&a.labelled, &b.labelled) {
        all.push(figure("precision", false, percent(a.precision), percent(b.precision)));
        let of = |judged: &Judged| format!("{} / {} / {}", judged.fraud, judged.legit, judged.unlabelled);
        all.push(figure("fraud / legit / not labelled", true, of(&a.alerts), of(&b.alerts)));
        all.push(figure("recall", false, percent(a.recall), percent(b.recall)));
        let of = |found: u64, cases: u64| format!("{found} / {cases}");
        all.push(figure("cases found / labelled as fraud", true, of(a.found, a.cases), of(b.found, b.cases)));
    }
    all
}

fn notices(all: &mut Vec<Figure>, old: &Notices, new: &Notices) {
    all.extend(count("users told", false, old.users, new.users));
    let channels: BTreeSet<&String> = old.sent.keys().chain(new.sent.keys()).collect();
    for channel in channels {
        let of = |notices: &Notices| notices.sent.get(channel).copied().unwrap_or_default();
        all.extend(count(&format!("notices by {channel}"), true, of(old), of(new)));
    }
    let undeliverable = |notices: &Notices| notices.undeliverable.values().sum();
    all.extend(count("notices without a way", true, undeliverable(old), undeliverable(new)));
    all.extend(count("SMS segments", true, old.sms_segments, new.sms_segments));
    if let (Some(old), Some(new)) = (&old.sms_cost, &new.sms_cost) {
        all.push(figure("SMS cost", true, old.clone(), new.clone()));
    }
}

fn figure(name: &str, is_part: bool, old: String, new: String) -> Figure {
    Figure { name: name.to_owned(), is_part, old, new, change: String::new() }
}

fn count(name: &str, is_part: bool, old: u64, new: u64) -> Option<Figure> {
    let line = Figure { change: change(old, new), ..figure(name, is_part, number(old), number(new)) };
    (old + new > 0 || !is_part).then_some(line)
}

/// `+12 (+10 %)`; nothing where nothing changes.
fn change(old: u64, new: u64) -> String {
    let (sign, by) = if new >= old { ("+", new - old) } else { ("-", old - new) };
    match (by, old) {
        (0, _) => String::new(),
        (by, 0) => format!("{sign}{}", number(by)),
        (by, old) => format!("{sign}{} ({sign}{:.0} %)", number(by), by as f64 * 100.0 / old as f64),
    }
}

/// A whole number in groups of three: `1 234 567`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `1 day`, `12 days`.
pub fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", number(n), if n == 1 { "" } else { "s" })
}

/// A part in percent, `-` of nothing.
pub fn percent(part: Option<f64>) -> String {
    part.map_or("-".to_owned(), |part| format!("{:.1} %", part * 100.0))
}

/// A value of a finding's evidence in the words of `rules explain`: durations as `2h 5m`, not in ISO 8601.
pub fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => match iso_duration_ms(text) {
            Some(ms) => Value::Duration(ms).to_string(),
            None => text.clone(),
        },
        serde_json::Value::Null => "missing".to_owned(),
        other => other.to_string(),
    }
}

/// A duration in ISO 8601 as documents write it (`P1DT2H`, `PT0.25S`), ms; of another text `None`.
fn iso_duration_ms(text: &str) -> Option<i64> {
    let (sign, unsigned) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (days, time) = unsigned.strip_prefix('P')?.split_once('T').unwrap_or((unsigned.strip_prefix('P')?, ""));
    let of_days = parts_ms(days, &[('D', 86_400_000)])?;
    let of_time = parts_ms(time, &[('H', 3_600_000), ('M', 60_000), ('S', 1000)])?;
    if days.is_empty() && time.is_empty() {
        return None;
    }
    of_days.checked_add(of_time)?.checked_mul(sign)
}

/// The sum of parts such as `2H5M`, each unit at most once and in this order, ms.
fn parts_ms(mut text: &str, units: &[(char, i64)]) -> Option<i64> {
    let mut sum = 0i64;
    for (unit, unit_ms) in units {
        let Some((number, rest)) = text.split_once(*unit) else { continue };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > 3 {
            return None;
        }
        let thousandths: i64 = format!("{fraction:0<3}").parse().ok()?;
        let part = whole.parse::<i64>().ok()?.checked_mul(*unit_ms)?;
        sum = sum.checked_add(part)?.checked_add(thousandths.checked_mul(*unit_ms)? / 1000)?;
        text = rest;
    }
    text.is_empty().then_some(sum)
}

#[cfg(test)]
mod plain_tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn evidence_reads_as_explain_writes_it() {
        for ms in [0, 250, 61_001, 43_440_000, 86_400_000, -5000, 1_357_296_729, 7_200_000] {
            let value = Value::Duration(ms);
            assert_eq!(plain(&json!(value)), value.to_string());
        }
        assert_eq!(plain(&json!("PT2H")), "2h");
        assert_eq!(plain(&json!(null)), "missing");
        for text in ["P", "PT", "P1", "PAYEE", "PT1X", "PT1S2H", "PTH", "P-1D", "p1", "PD", "Pa1D"] {
            assert_eq!(plain(&json!(text)), text);
        }
        assert_eq!(plain(&json!(4.5)), "4.5");
    }
}
