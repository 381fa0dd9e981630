//! Backtest: two rule sets over the same recorded events, and what would change.
//!
//! Guarantees: an alert is the same where its id is, so it is compared with itself however the rules are named;
//! what is told does not depend on threads or batches. Neither reads events nor renders notices.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::labels::{Labels, Verdict};
use super::notices::Notices;
use super::sample::Draw;
pub use super::tally::event_of;
use super::tally::{Outcome, Tally};
use super::trial::{DAY_MS, Recording, Said};
use crate::detect::Counters;
use crate::detect::document::{AlertDocument, FindingDocument};
use crate::ruleset::{Band, Ruleset};

/// Gained alerts that are shown, and lost ones, and so on.
pub const SAMPLES_MAX: usize = 10;

/// How an alert differs between the two rule sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only the new rules make it.
    Gained,
    /// Only the old rules make it.
    Lost,
    /// It weighs more: its band rose.
    Rose,
    /// It weighs less: its band fell.
    Fell,
}

/// An alert of one of the rule sets, as short as it can be told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Brief {
    /// Its band.
    pub band: Band,
    /// Its score.
    pub score: u8,
    /// The rules it is made of.
    pub rules: Vec<String>,
}

/// One alert that differs: a line of `--differences`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// How.
    pub change: Change,
    /// The event's id.
    pub event: String,
    /// Event time, RFC 3339.
    pub time: String,
    /// The account.
    pub account: Option<String>,
    /// What is labelled of it.
    pub label: Option<&'static str>,
    /// What the old rules make of it.
    pub old: Option<Brief>,
    /// What the new rules make of it.
    pub new: Option<Brief>,
}

/// A difference with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// What differs.
    #[serde(flatten)]
    pub difference: Difference,
    /// The findings of the rule set that makes the alert; where both do, of the new one.
    pub findings: Vec<FindingDocument>,
}

/// How many alerts differ, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Changes {
    /// In both, of the same band.
    pub same: u64,
    /// [`Change::Gained`].
    pub gained: u64,
    /// [`Change::Lost`].
    pub lost: u64,
    /// [`Change::Rose`].
    pub rose: u64,
    /// [`Change::Fell`].
    pub fell: u64,
}

/// Accounts with alerts, compared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Accounts {
    /// In both.
    pub both: u64,
    /// With the new rules only.
    pub gained: u64,
    /// With the old rules only.
    pub lost: u64,
    /// Some of those gained.
    pub gained_sample: Vec<String>,
    /// Some of those lost.
    pub lost_sample: Vec<String>,
}

/// Cases labelled as fraud that have an event in the recording, compared by whether they have an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Cases {
    /// Found by both.
    pub both: u64,
    /// Found with the new rules only.
    pub gained: u64,
    /// Found with the old rules only.
    pub lost: u64,
    /// Found by neither.
    pub missed: u64,
}

/// Compares two rule sets while they run.
#[derive(Debug)]
pub struct Comparison {
    labels: Option<Arc<Labels>>,
    seed: u64,
    old: Tally,
    new: Tally,
    changes: Changes,
    /// Gained, lost, and those whose band changed.
    draws: [Draw<Sample>; 3],
}

impl Comparison {
    /// Nothing compared yet. `seed` draws the samples.
    pub fn new(labels: Option<Arc<Labels>>, seed: u64) -> Self {
        let draw = || Draw::new(seed, SAMPLES_MAX);
        Comparison {
            old: Tally::new(labels.clone()),
            new: Tally::new(labels.clone()),
            labels,
            seed,
            changes: Changes::default(),
            draws: [draw(), draw(), draw()],
        }
    }

    /// Takes what both say of the same events. `each` gets every difference: by the order of the new rules' alerts,
    /// then the lost ones.
    pub fn take(&mut self, old: &[Said], new: &[Said], each: &mut dyn FnMut(Difference)) {
        let mut before: HashMap<&str, &AlertDocument> = HashMap::new();
        for alert in alerts(old) {
            self.old.count(alert);
            before.insert(&alert.id, alert);
        }
        for alert in alerts(new) {
            let verdict = self.new.count(alert);
            match before.remove(alert.id.as_str()) {
                None => self.differs(Change::Gained, verdict, None, Some(alert), each),
                Some(held) if held.band == alert.band => self.changes.same += 1,
                Some(held) => {
                    let change = if alert.band > held.band { Change::Rose } else { Change::Fell };
                    self.differs(change, verdict, Some(held), Some(alert), each);
                }
            }
        }
        for alert in alerts(old).filter(|alert| before.contains_key(alert.id.as_str())) {
            let verdict = self.labels.as_ref().and_then(|labels| {
                let time = crate::event::Millis::parse(&alert.time).unwrap_or_default();
                labels.verdict(event_of(alert), alert.account.as_deref(), time)
            });
            self.differs(Change::Lost, verdict, Some(alert), None, each);
        }
    }

    fn differs(
        &mut self,
        change: Change,
        verdict: Option<Verdict>,
        old: Option<&AlertDocument>,
        new: Option<&AlertDocument>,
        each: &mut dyn FnMut(Difference),
    ) {
        let Some(alert) = new.or(old) else { return };
        let [gained, lost, moved] = &mut self.draws;
        let (count, draw) = match change {
            Change::Gained => (&mut self.changes.gained, gained),
            Change::Lost => (&mut self.changes.lost, lost),
            Change::Rose => (&mut self.changes.rose, moved),
            Change::Fell => (&mut self.changes.fell, moved),
        };
        *count += 1;
        let difference = Difference {
            change,
            event: event_of(alert).to_owned(),
            time: alert.time.clone(),
            account: alert.account.clone(),
            label: verdict.map(word),
            old: old.map(brief),
            new: new.map(brief),
        };
        draw.offer(&alert.id, || Sample { difference: difference.clone(), findings: alert.findings.clone() });
        each(difference);
    }

    /// The end.
    pub fn finish(self, recording: &Recording, old: Ran<'_>, new: Ran<'_>) -> Backtest {
        let [gained, lost, moved] = self.draws.map(in_order);
        let cases = self.labels.as_deref().map(|labels| cases(&self.old, &self.new, labels, recording));
        let side = |tally: &Tally, ran: Ran<'_>| Side {
            source: ran.source,
            outcome: tally.outcome(ran.rules, ran.counters, recording),
            notices: ran.notices,
        };
        Backtest {
            events: Events::new(recording, new.counters),
            days: days(recording, &self.old, &self.new),
            old: side(&self.old, old),
            new: side(&self.new, new),
            changes: self.changes,
            accounts: accounts(&self.old, &self.new, self.seed),
            cases,
            gained,
            lost,
            moved,
        }
    }
}

fn alerts(said: &[Said]) -> impl Iterator<Item = &AlertDocument> {
    said.iter().filter_map(|said| match said {
        Said::Alert(alert) => Some(&**alert),
        Said::Contact(_) => None,
    })
}

/// The word of a label.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fraud => "fraud",
        Verdict::Legit => "legit",
    }
}

fn brief(alert: &AlertDocument) -> Brief {
    let mut rules: Vec<String> = alert.findings.iter().map(|finding| finding.rule.clone()).collect();
    rules.sort();
    Brief { band: alert.band, score: alert.score, rules }
}

/// What was drawn, by time.
fn in_order(draw: Draw<Sample>) -> Vec<Sample> {
    let mut drawn = draw.into_drawn();
    let key = |sample: &Sample| (sample.difference.time.clone(), sample.difference.event.clone());
    drawn.sort_by_cached_key(key);
    drawn
}

fn cases(old: &Tally, new: &Tally, labels: &Labels, recording: &Recording) -> Cases {
    let mut cases = Cases::default();
    let here = labels.cases().iter().zip(&recording.labelled).enumerate();
    for (case, _) in here.filter(|(_, (verdict, is_here))| **verdict == Verdict::Fraud && **is_here) {
        let count = match (old.has_found(case), new.has_found(case)) {
            (true, true) => &mut cases.both,
            (false, true) => &mut cases.gained,
            (true, false) => &mut cases.lost,
            (false, false) => &mut cases.missed,
        };
        *count += 1;
    }
    cases
}

fn accounts(old: &Tally, new: &Tally, seed: u64) -> Accounts {
    let only = |one: &Tally, other: &Tally| {
        let mut draw = Draw::new(seed, SAMPLES_MAX);
        let mut count = 0;
        for account in one.accounts().difference(other.accounts()) {
            count += 1;
            draw.offer(account, || account.to_string());
        }
        (count, draw.into_drawn())
    };
    let (gained, gained_sample) = only(new, old);
    let (lost, lost_sample) = only(old, new);
    let both = (new.accounts().len() as u64).saturating_sub(gained);
    Accounts { both, gained, lost, gained_sample, lost_sample }
}

/// The days that have events or alerts, in order.
fn days(recording: &Recording, old: &Tally, new: &Tally) -> Vec<Day> {
    let of = |counts: &BTreeMap<i64, u64>, day: i64| counts.get(&day).copied().unwrap_or_default();
    let day = |(day, events): (&i64, &u64)| Day {
        day: date(*day),
        events: *events,
        old: of(old.by_day(), *day),
        new: of(new.by_day(), *day),
    };
    recording.events_by_day.iter().map(day).collect()
}

/// `2026-01-31`.
fn date(day: i64) -> String {
    let moment = crate::event::Millis(day.saturating_mul(DAY_MS)).rfc3339();
    moment.split('T').next().unwrap_or_default().to_owned()
}

/// A rule set after its run.
#[derive(Debug)]
pub struct Ran<'r> {
    /// What people call it: its directory, or `builtin`.
    pub source: String,
    /// The rules.
    pub rules: &'r Ruleset,
    /// What its engine counted.
    pub counters: &'r Counters,
    /// What it would have sent.
    pub notices: Notices,
}

/// One of the two rule sets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    /// What people call it: its directory, or `builtin`.
    pub source: String,
    /// What it did.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What it would have sent.
    pub notices: Notices,
}

/// One day of the recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Day {
    /// In UTC, `2026-01-31`.
    pub day: String,
    /// Accepted events.
    pub events: u64,
    /// Alerts of the old rules.
    pub old: u64,
    /// Alerts of the new rules.
    pub new: u64,
}

/// What was in the recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Events {
    /// Accepted.
    pub accepted: u64,
    /// Of those, late.
    pub late: u64,
    /// Repeats of accepted ones.
    pub duplicates: u64,
    /// Refused.
    pub rejected: u64,
    /// The oldest, RFC 3339.
    pub first: Option<String>,
    /// The newest, RFC 3339.
    pub last: Option<String>,
    /// Days of UTC that have events.
    pub days: u64,
}

impl Events {
    /// Of a recording and what an engine counted over it.
    pub fn new(recording: &Recording, counters: &Counters) -> Self {
        Events {
            accepted: counters.accepted_total(),
            late: counters.late,
            duplicates: counters.duplicates,
            rejected: counters.rejected_total(),
            first: recording.first.map(|time| time.rfc3339()),
            last: recording.last.map(|time| time.rfc3339()),
            days: recording.events_by_day.len() as u64,
        }
    }
}

/// What would change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backtest {
    /// What was in the recording.
    pub events: Events,
    /// Its days.
    pub days: Vec<Day>,
    /// What the old rules did.
    pub old: Side,
    /// What the new rules did.
    pub new: Side,
    /// How many alerts differ.
    pub changes: Changes,
    /// How many accounts differ.
    pub accounts: Accounts,
    /// How many cases labelled as fraud differ, where there are labels.
    pub cases: Option<Cases>,
    /// Some of the alerts gained.
    pub gained: Vec<Sample>,
    /// Some of the alerts lost.
    pub lost: Vec<Sample>,
    /// Some of the alerts whose band changed.
    pub moved: Vec<Sample>,
}
