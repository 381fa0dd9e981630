//! What is known of one entity, for people and as JSON.
//!
//! Guarantees: the same words from a running service and from its files; names what was asked for and nothing more of
//! a person than the state keeps. Looks nothing up.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use crate::detect::{ChainsShown, EntityShown, FiredShown};
use crate::event::{Millis, Value};
use crate::features::{AccountShown, FeatureShown, PairShown, ValueShown};

/// Hours after which a risk halves, as people read it.
const HALF_LIFE: &str = "24h";
/// Column at which values begin.
const VALUES_AT: usize = 46;

/// Where it was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In a running service.
    Running,
    /// In the state on disk, as of this checkpoint.
    Checkpoint(u64),
}

/// As one JSON document.
pub fn as_json(name: &str, source: Source, shown: Option<&EntityShown>) -> Json {
    let checkpoint = match source {
        Source::Running => Json::Null,
        Source::Checkpoint(number) => json!(number),
    };
    json!({"entity": name, "checkpoint": checkpoint, "known": shown.is_some(), "state": shown})
}

/// For people.
pub fn human(name: &str, source: Source, shown: Option<&EntityShown>) -> String {
    let place = match source {
        Source::Running => "in the running service".to_owned(),
        Source::Checkpoint(number) => format!("in checkpoint {number}"),
    };
    let Some(shown) = shown else { return format!("{name}: nothing is known of it {place}\n") };
    let as_of = shown.as_of;
    let mut text = format!("{name}, {place}, at the newest event: {}\n", as_of.rfc3339());
    if let Some(account) = &shown.account {
        write_account(account, as_of, &mut text);
    }
    let mut line = |label: &str, value: String| row(label, &value, &mut text);
    if let Some(time) = shown.contact_as_of {
        line("contact", format!("last told {}", time.rfc3339()));
    }
    if let Some(until) = shown.no_sms_until {
        line("no SMS", format!("until {}: the SIM was changed", until.rfc3339()));
    }
    write_features(shown, &mut text);
    if !shown.findings.is_empty() {
        text.push_str("\nfired\n");
        shown.findings.iter().for_each(|fired| write_fired(fired, as_of, &mut text));
    }
    if !shown.chains.is_empty() {
        text.push_str("\nchains under way\n");
        shown.chains.iter().for_each(|chains| write_chains(chains, &mut text));
    }
    text
}

fn row(label: &str, value: &str, text: &mut String) {
    // Writing to a text does not fail.
    let _ = writeln!(text, "  {label:<18} {value}");
}

fn ago(time: Millis, as_of: Millis) -> Value<'static> {
    Value::Duration(as_of.since(time))
}

fn write_account(account: &AccountShown, as_of: Millis, text: &mut String) {
    if let Some(since) = account.known_since {
        row("known for", &format!("{}, since {}", ago(since, as_of), since.rfc3339()), text);
    }
    if let Some(logins) = account.logins {
        row("good logins", &logins.to_string(), text);
    }
    if let (Some(risk), Some(scored)) = (account.risk, account.scored) {
        let value = format!("{risk:.2}, halves every {HALF_LIFE}; last scored {}", scored.rfc3339());
        row("risk", &value, text);
    }
    if let Some(login) = &account.last_login {
        let parts = [
            Some(login.time.rfc3339()),
            login.device.as_ref().map(|device| format!("device {device}")),
            login.city.clone(),
            login.country.map(|country| country.code().to_owned()),
            login.asn.map(|asn| format!("AS{asn}")),
            login.network.map(str::to_owned),
        ];
        row("last good login", &parts.into_iter().flatten().collect::<Vec<_>>().join(", "), text);
    }
    let countries: Vec<&str> = account.countries.iter().map(|country| country.code()).collect();
    let usual = [
        (!countries.is_empty()).then(|| format!("from {}", countries.join(", "))),
        account
            .devices
            .filter(|devices| *devices > 0)
            .map(|n| format!("{n} {}", if n == 1 { "device" } else { "devices" })),
        account.hours.map(|[first, last]| format!("between {first:02}:00 and {last:02}:59")),
    ];
    let usual: Vec<String> = usual.into_iter().flatten().collect();
    if !usual.is_empty() {
        row("usual", &usual.join("; "), text);
    }
}

fn write_features(shown: &EntityShown, text: &mut String) {
    let empty = shown.features_empty;
    if shown.features.is_empty() && empty == 0 {
        return;
    }
    text.push_str("\nfeatures\n");
    for feature in &shown.features {
        write_feature(feature, text);
    }
    let others = if shown.features.is_empty() { "" } else { "other " };
    match empty {
        0 => {}
        1 => _ = writeln!(text, "  of 1 {others}feature nothing is kept"),
        n => _ = writeln!(text, "  of {n} {others}features nothing is kept"),
    }
}

/// Two lines and one for each pair: its name and values, then what it is.
fn write_feature(feature: &FeatureShown, text: &mut String) {
    let FeatureShown { name, aggregate, of, over, newest, values, pairs } = feature;
    let shown = match pairs {
        None => written(values),
        Some(pairs) => format!("by {}: {}", pairs.second, pairs.kept),
    };
    let what = match aggregate {
        &"decayed" => format!("{aggregate} {}, half-life {over}", of.join(", ")),
        _ => format!("{aggregate} {}, over {over}", of.join(", ")),
    };
    let _ = writeln!(text, "  {name:<width$} {shown}", width = VALUES_AT - 3);
    let _ = writeln!(text, "    {what}; newest {}", newest.rfc3339());
    let Some(pairs) = pairs else { return };
    for PairShown { newest, values } in &pairs.shown {
        let _ = writeln!(text, "    one of {}: {}", newest.rfc3339(), written(values));
    }
    match pairs.kept.saturating_sub(pairs.shown.len()) {
        0 => {}
        n if pairs.shown.is_empty() => _ = writeln!(text, "    none of these {n} was asked for"),
        n => _ = writeln!(text, "    and {n} more"),
    }
}

fn written(values: &[ValueShown]) -> String {
    let one = |ValueShown { part, value }: &ValueShown| {
        let value = match value {
            Value::Missing => "missing".to_owned(),
            value => value.to_string(),
        };
        if part.is_empty() { value } else { format!("{part} {value}") }
    };
    match values {
        [] => "missing".to_owned(),
        values => values.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

fn write_fired(fired: &FiredShown, as_of: Millis, text: &mut String) {
    let FiredShown { rule, by, fired, until, is_silent } = fired;
    let silent = match is_silent {
        true => format!("silent for {} more, until {}", Value::Duration(until.since(as_of)), until.rfc3339()),
        false => format!("no longer silent since {}", until.rfc3339()),
    };
    let _ = writeln!(text, "  {rule:<width$} {}", fired.rfc3339(), width = VALUES_AT - 3);
    let _ = writeln!(text, "    by {by}; {silent}");
}

fn write_chains(chains: &ChainsShown, text: &mut String) {
    let ChainsShown { rule, by, taken, steps, on, chains, newest, until } = chains;
    let many = if *chains == 1 { "chain".to_owned() } else { "chains, the newest".to_owned() };
    let _ = writeln!(text, "  {rule:<width$} step {taken} of {steps}: {}", on.join(", "), width = VALUES_AT - 3);
    let state = if taken == steps { "waits for what must not follow until" } else { "may go on until" };
    let count = if *chains == 1 { String::from("1") } else { chains.to_string() };
    let _ = writeln!(text, "    by {by}; {count} {many} of {}, {state} {}", newest.rfc3339(), until.rfc3339());
}
