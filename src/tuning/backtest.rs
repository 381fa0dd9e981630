//! Backtest: two rule sets over the same recorded events, and what would change.
//!
//! Guarantees: an alert is the same where its id is, so it is compared with itself however the rules are named; one
//! that is told of another event moments apart has moved, it is neither gained nor lost (see [`moved`]). What is told
//! does not depend on threads or batches. Neither reads events nor renders notices.
//!
//! [`moved`]: super::moved

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::labels::{Labels, Verdict};
use super::moved::{Alone, Held, MOVED_MS_MAX, Of};
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
    /// The same account and rules, another event moments apart.
    Moved,
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
    /// The event of the old rules' alert, where it moved; else both are about one event.
    pub from: Option<From>,
}

/// The event of an alert that moved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct From {
    /// Its id.
    pub event: String,
    /// Event time, RFC 3339.
    pub time: String,
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
    /// [`Change::Moved`].
    pub moved: u64,
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
    /// Alerts of one of them, of which it is not known yet whether they only moved.
    held: Held,
    draws: Draws,
}

/// The samples of each kind of change.
#[derive(Debug)]
struct Draws {
    gained: Draw<Sample>,
    lost: Draw<Sample>,
    moved: Draw<Sample>,
    other_band: Draw<Sample>,
}

/// Who gets every difference.
type Each<'e> = dyn FnMut(Difference) + 'e;

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
            held: Held::default(),
            draws: Draws { gained: draw(), lost: draw(), moved: draw(), other_band: draw() },
        }
    }

    /// Takes what both say of the same records. `each` gets every difference once it is known: one that is gained or
    /// lost only when it cannot have moved any more.
    pub fn take(&mut self, old: &[Said], new: &[Said], each: &mut Each<'_>) {
        let before: HashMap<&str, &AlertDocument> = alerts(old).map(|(_, alert)| (alert.id.as_str(), alert)).collect();
        let after: HashSet<&str> = alerts(new).map(|(_, alert)| alert.id.as_str()).collect();
        let of = |of, said| alerts(said).map(move |(at, alert)| (at, of, alert));
        let mut all: Vec<(usize, Of, &AlertDocument)> = of(Of::Old, old).chain(of(Of::New, new)).collect();
        // As if the records came one by one, so that how many come at once changes nothing.
        all.sort_by_key(|(at, ..)| *at);
        for (_, of, alert) in all {
            let verdict = match of {
                Of::Old => self.old.count(alert),
                Of::New => self.new.count(alert),
            };
            match (of, before.get(alert.id.as_str())) {
                (Of::Old, _) if after.contains(alert.id.as_str()) => {}
                (Of::New, Some(held)) if held.band == alert.band => self.changes.same += 1,
                (Of::New, Some(held)) => {
                    let change = if alert.band > held.band { Change::Rose } else { Change::Fell };
                    self.differs(change, verdict, Some(held), Some(alert), each);
                }
                (of, _) => self.alone(Alone { of, alert: Box::new(alert.clone()), verdict }, each),
            }
        }
    }

    /// Nothing more comes: what is still held has not moved.
    pub fn end(&mut self, each: &mut Each<'_>) {
        let held: Vec<Alone> = self.held.end().collect();
        held.into_iter().for_each(|alone| self.settled(&alone, each));
    }

    /// An alert of one of the two.
    fn alone(&mut self, alone: Alone, each: &mut Each<'_>) {
        let (of, verdict) = (alone.of, alone.verdict);
        let mut settled = Vec::new();
        let alert = alone.alert.clone();
        let other = self.held.take(alone, &mut |alone| settled.push(alone));
        settled.iter().for_each(|alone| self.settled(alone, each));
        if let Some(other) = other {
            let (old, new, verdict) = match of {
                Of::Old => (&alert, &other.alert, other.verdict),
                Of::New => (&other.alert, &alert, verdict),
            };
            self.differs(Change::Moved, verdict, Some(old), Some(new), each);
        }
    }

    fn settled(&mut self, alone: &Alone, each: &mut Each<'_>) {
        match alone.of {
            Of::Old => self.differs(Change::Lost, alone.verdict, Some(&alone.alert), None, each),
            Of::New => self.differs(Change::Gained, alone.verdict, None, Some(&alone.alert), each),
        }
    }

    fn differs(
        &mut self,
        change: Change,
        verdict: Option<Verdict>,
        old: Option<&AlertDocument>,
        new: Option<&AlertDocument>,
        each: &mut Each<'_>,
    ) {
        let Some(alert) = new.or(old) else { return };
        let (changes, draws) = (&mut self.changes, &mut self.draws);
        let (count, draw) = match change {
            Change::Gained => (&mut changes.gained, &mut draws.gained),
            Change::Lost => (&mut changes.lost, &mut draws.lost),
            Change::Rose => (&mut changes.rose, &mut draws.other_band),
            Change::Fell => (&mut changes.fell, &mut draws.other_band),
            Change::Moved => (&mut changes.moved, &mut draws.moved),
        };
        *count += 1;
        let from = old.filter(|_| change == Change::Moved);
        let difference = Difference {
            change,
            event: event_of(alert).to_owned(),
            time: alert.time.clone(),
            account: alert.account.clone(),
            label: verdict.map(word),
            old: old.map(brief),
            new: new.map(brief),
            from: from.map(|old| From { event: event_of(old).to_owned(), time: old.time.clone() }),
        };
        draw.offer(&alert.id, || Sample { difference: difference.clone(), findings: alert.findings.clone() });
        each(difference);
    }

    /// The end.
    pub fn finish(mut self, recording: &Recording, old: Ran<'_>, new: Ran<'_>) -> Backtest {
        self.end(&mut drop);
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
            moved_ms_max: MOVED_MS_MAX,
            gained: in_order(self.draws.gained),
            lost: in_order(self.draws.lost),
            moved: in_order(self.draws.moved),
            other_band: in_order(self.draws.other_band),
        }
    }
}

/// The alerts, each with the record at which it was said.
fn alerts(said: &[Said]) -> impl Iterator<Item = (usize, &AlertDocument)> {
    said.iter().filter_map(|said| match said {
        Said::Alert { at, alert } => Some((*at, &**alert)),
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
    /// How far apart two alerts of one account and the same rules are one that moved, ms of event time.
    pub moved_ms_max: i64,
    /// Some of the alerts that moved.
    pub moved: Vec<Sample>,
    /// Some of the alerts whose band changed.
    pub other_band: Vec<Sample>,
}
