//! What a run tells, as lines that the engine's run and the oracle's can be compared by.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::describe::*;
use super::oracle_run::Outcome;
use super::probe;

/// What a run tells.
#[derive(Debug, Default)]
pub struct Told {
    /// Of each record: refused, duplicate, late or accepted.
    pub fates: Vec<String>,
    /// As `replay --findings` has them, in its order.
    pub findings: Vec<String>,
    /// Event, score, band, and the share of each finding.
    pub alerts: Vec<String>,
    /// Of each event that is not late: the values that its probe reads, by name.
    pub values: Vec<(String, BTreeMap<String, Val>)>,
}

/// What happened over many cases: a comparison of nothing proves nothing.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Counts each word of the fates, findings and alerts that says what kind it is.
    pub fn take(&mut self, told: &Told) {
        let words = |lines: &[String], at: usize| {
            lines.iter().filter_map(|line| line.split(' ').nth(at)).map(str::to_owned).collect::<Vec<_>>()
        };
        for value in told.values.iter().flat_map(|(_, values)| values.values()) {
            *self.0.entry(if *value == Val::Missing { "missing" } else { "value" }.into()).or_default() += 1;
        }
        for word in [words(&told.fates, 0), words(&told.findings, 2), words(&told.alerts, 2)].concat() {
            *self.0.entry(word).or_default() += 1;
        }
    }

    pub fn add(&mut self, other: Tally) {
        for (word, n) in other.0 {
            *self.0.entry(word).or_default() += n;
        }
    }

    /// Panics where something that should happen hardly did.
    pub fn assert_rich(&self, cases: u64) {
        let words = ["accepted", "late", "duplicate", "refused", "Fired", "Repeated", "Excepted", "missing", "value"];
        for word in words.into_iter().chain(["Info", "Low", "Medium", "High", "Critical"]) {
            let n = self.0.get(word).copied().unwrap_or_default();
            assert!(n * 5 >= cases, "{word} happened only {n} times over {cases} cases: {:?}", self.0);
        }
    }
}

impl Told {
    /// Notes the alert of a score that reaches a band, or of facts. The unrounded score is rounded half up.
    pub fn alert(&mut self, event: &str, score: f64, shares: &BTreeSet<String>, facts: &BTreeSet<String>) {
        // A product of hundredths is not exact in binary: what is a hair below a half is a half.
        let score = (score + 0.5 + 1e-9).floor() as u8;
        let band = match score {
            90.. => "Critical",
            70.. => "High",
            50.. => "Medium",
            30.. => "Low",
            // A fact has no score, and suspicions below every band stay untold.
            _ if !facts.is_empty() => return self.alerts.push(alert_line(event, 0, "Info", facts)),
            _ => return,
        };
        self.alerts.push(alert_line(event, score, band, shares));
    }

    /// The first line in which two runs differ, of each kind.
    pub fn differences(&self, engine: &Told) -> Vec<String> {
        let kinds = [
            ("fate", &self.fates, &engine.fates),
            ("finding", &self.findings, &engine.findings),
            ("alert", &self.alerts, &engine.alerts),
        ];
        let lines = kinds.into_iter().filter_map(|(kind, ours, theirs)| first_difference(kind, ours, theirs));
        lines.chain(self.value_difference(engine)).collect()
    }

    /// The first value in which two runs differ.
    fn value_difference(&self, engine: &Told) -> Option<String> {
        if self.values.len() != engine.values.len() {
            return Some(format!("values of {} events, of the engine of {}", self.values.len(), engine.values.len()));
        }
        let mut events = self.values.iter().zip(&engine.values);
        events.find_map(|((event, ours), (of, theirs))| {
            let mut differing = ours.iter().map(|(name, ours)| (name, ours, theirs.get(name)));
            let found = differing.find(|(_, ours, theirs)| !theirs.is_some_and(|theirs| probe::is_same(ours, theirs)));
            let (name, ours, theirs) = found.or_else(|| (event != of).then_some((event, &Val::Missing, None)))?;
            Some(format!("at {event}: {name}\n  oracle: {ours:?}\n  engine: {theirs:?}"))
        })
    }
}

fn first_difference(kind: &str, ours: &[String], theirs: &[String]) -> Option<String> {
    let at = (0..ours.len().max(theirs.len())).find(|at| ours.get(*at) != theirs.get(*at))?;
    let say = |lines: &[String]| lines.get(at).map_or("nothing".to_owned(), Clone::clone);
    Some(format!("{kind} {at}\n  oracle: {}\n  engine: {}", say(ours), say(theirs)))
}

pub fn alert_line(event: &str, score: u8, band: &str, shares: &BTreeSet<String>) -> String {
    let shares: Vec<&str> = shares.iter().map(String::as_str).collect();
    format!("{event} {score} {band} [{}]", shares.join(", "))
}

/// A line of a finding, from its parts.
pub fn line(event: &str, rule: &str, outcome: Outcome, by: &[String], score: u8) -> String {
    format!("{event} {rule} {outcome:?} [{}] {score}", by.join(", "))
}

/// The line of the oracle's finding: `by` as in the rule's dedup where that entity is there, else the sequence's,
/// else nothing.
pub fn finding_line(rule: &Rule, event: &Event, outcome: Outcome) -> String {
    let of = |names: &[&'static str]| -> Option<Vec<String>> {
        let mut by: Vec<String> = names
            .iter()
            .map(|name| match event.get(name) {
                Val::Word(word) => Some(format!("{name}={}", shown(&word))),
                _ => None,
            })
            .collect::<Option<_>>()?;
        by.sort();
        Some(by)
    };
    let dedup = rule.dedup.as_ref().and_then(|dedup| of(&dedup.by));
    let by = dedup.or_else(|| match &rule.trigger {
        Trigger::Sequence(sequence) => of(&sequence.by),
        Trigger::When(..) => None,
    });
    let score = if outcome == Outcome::Fired && rule.state == "live" { rule.score } else { 0 };
    line(&event.id, &rule.id, outcome, &by.unwrap_or_default(), score)
}

/// An entity's name in `by`: an IPv6 address is its /64.
pub fn shown(word: &str) -> String {
    match word.parse() {
        Ok(IpAddr::V6(ip)) => {
            let s = ip.segments();
            format!("{}/64", IpAddr::from([s[0], s[1], s[2], s[3], 0, 0, 0, 0]))
        }
        _ => word.to_owned(),
    }
}
