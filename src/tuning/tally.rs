//! What one rule set did over a recording: alerts by day, band, score and rule, and how right they were.
//!
//! Guarantees: an alert that nobody labelled counts neither for nor against; a share of nothing is missing, not
//! zero. Memory grows with the accounts that have alerts, never with the alerts.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::labels::{Labels, Verdict};
use super::trial::{DAY_MS, Recording};
use crate::detect::Counters;
use crate::detect::document::AlertDocument;
use crate::event::Millis;
use crate::ruleset::{Band, Ruleset, State};

/// The bands, weakest first.
pub const BANDS: [Band; 5] = [Band::Info, Band::Low, Band::Medium, Band::High, Band::Critical];
/// Scores there are: 0 to 100.
pub const SCORES: usize = 101;

/// Counts of labelled and unlabelled alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Judged {
    /// About something labelled as fraud.
    pub fraud: u64,
    /// About something labelled as legitimate.
    pub legit: u64,
    /// About something nobody labelled.
    pub unlabelled: u64,
}

impl Judged {
    fn count(&mut self, verdict: Option<Verdict>) {
        match verdict {
            Some(Verdict::Fraud) => self.fraud += 1,
            Some(Verdict::Legit) => self.legit += 1,
            None => self.unlabelled += 1,
        }
    }

    /// Fraud of what is labelled; `None` where nothing is.
    pub fn precision(&self) -> Option<f64> {
        share(self.fraud, self.fraud + self.legit)
    }
}

/// A part of a whole; `None` of nothing.
pub fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What a rule did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RuleTally {
    /// Alerts it is part of.
    pub alerts: u64,
    /// The same, by what is labelled.
    pub judged: Judged,
}

/// The running counts.
#[derive(Debug)]
pub struct Tally {
    labels: Option<Arc<Labels>>,
    /// Alerts by day, as [`Recording::events_by_day`].
    by_day: BTreeMap<i64, u64>,
    by_band: [u64; BANDS.len()],
    by_score: [u64; SCORES],
    by_rule: BTreeMap<String, RuleTally>,
    accounts: HashSet<Box<str>>,
    judged: Judged,
    /// The highest score of an alert about each labelled case.
    case_scores: Vec<Option<u8>>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(labels: Option<Arc<Labels>>) -> Self {
        let cases = labels.as_ref().map_or(0, |labels| labels.cases().len());
        Tally {
            labels,
            by_day: BTreeMap::new(),
            by_band: [0; BANDS.len()],
            by_score: [0; SCORES],
            by_rule: BTreeMap::new(),
            accounts: HashSet::new(),
            judged: Judged::default(),
            case_scores: vec![None; cases],
        }
    }

    /// Counts an alert and tells what is labelled of it.
    pub fn count(&mut self, alert: &AlertDocument) -> Option<Verdict> {
        let time = Millis::parse(&alert.time).unwrap_or_default();
        *self.by_day.entry(time.0.div_euclid(DAY_MS)).or_default() += 1;
        self.by_band.get_mut(alert.band as usize).into_iter().for_each(|n| *n += 1);
        self.by_score.get_mut(usize::from(alert.score)).into_iter().for_each(|n| *n += 1);
        if let Some(account) = alert.account.as_deref().filter(|account| !self.accounts.contains(*account)) {
            self.accounts.insert(account.into());
        }
        let verdict = self.labels.as_ref().and_then(|labels| {
            let (event, account) = (event_of(alert), alert.account.as_deref());
            labels.cases_of(event, account, time, &mut |case| {
                let held = self.case_scores.get_mut(case as usize);
                held.into_iter().for_each(|held| *held = (*held).max(Some(alert.score)));
            });
            labels.verdict(event, account, time)
        });
        self.judged.count(verdict);
        for finding in &alert.findings {
            if !self.by_rule.contains_key(&finding.rule) {
                self.by_rule.insert(finding.rule.clone(), RuleTally::default());
            }
            if let Some(rule) = self.by_rule.get_mut(&finding.rule) {
                rule.alerts += 1;
                rule.judged.count(verdict);
            }
        }
        verdict
    }

    /// The accounts that have alerts.
    pub fn accounts(&self) -> &HashSet<Box<str>> {
        &self.accounts
    }

    /// Whether a labelled case has an alert.
    pub fn has_found(&self, case: usize) -> bool {
        self.case_scores.get(case).is_some_and(Option::is_some)
    }

    /// Alerts by day, days since 1970 in UTC.
    pub fn by_day(&self) -> &BTreeMap<i64, u64> {
        &self.by_day
    }

    /// The result.
    pub fn outcome(&self, rules: &Ruleset, counters: &Counters, recording: &Recording) -> Outcome {
        let alerts = self.by_band.iter().sum();
        let labelled = self.labels.as_ref().map(|labels| self.labelled(labels, recording));
        Outcome {
            digest: rules.digest.clone(),
            alerts,
            alerts_a_day: share(alerts, recording.events_by_day.len() as u64),
            bands: BANDS.iter().zip(self.by_band).map(|(band, n)| (band.word(), n)).collect(),
            accounts: self.accounts.len() as u64,
            labelled,
            rules: rules_of(rules, counters, &self.by_rule, alerts),
            by_score: self.by_score.to_vec(),
        }
    }

    fn labelled(&self, labels: &Labels, recording: &Recording) -> Labelled {
        let mut found_by_score = vec![0; SCORES];
        let (mut cases, mut found, mut absent) = (0, 0, 0);
        let cases_at = labels.cases().iter().zip(&self.case_scores).zip(&recording.labelled);
        for ((_, score), is_here) in cases_at.filter(|((verdict, _), _)| **verdict == Verdict::Fraud) {
            if !is_here {
                absent += 1;
                continue;
            }
            cases += 1;
            if let Some(score) = score {
                found += 1;
                found_by_score.get_mut(usize::from(*score)).into_iter().for_each(|n| *n += 1);
            }
        }
        Labelled {
            alerts: self.judged,
            precision: self.judged.precision(),
            cases,
            found,
            recall: share(found, cases),
            absent,
            found_by_score,
        }
    }
}

/// The id of an alert's event.
pub fn event_of(alert: &AlertDocument) -> &str {
    alert.event.get("id").and_then(|id| id.as_str()).unwrap_or_default()
}

fn rules_of(
    rules: &Ruleset,
    counters: &Counters,
    by_rule: &BTreeMap<String, RuleTally>,
    alerts: u64,
) -> BTreeMap<String, RuleOutcome> {
    let counted = rules.rules.iter().zip(&counters.findings);
    let watching = counted.filter(|(rule, _)| matches!(rule.state, State::Live | State::Shadow));
    let outcome = watching.map(|(rule, [fired, repeated, excepted])| {
        let told = by_rule.get(&rule.id).copied().unwrap_or_default();
        let outcome = RuleOutcome {
            revision: rule.revision,
            is_shadow: rule.state == State::Shadow,
            score: rule.score,
            fired: *fired,
            repeated: *repeated,
            excepted: *excepted,
            alerts: told.alerts,
            share: share(told.alerts, alerts),
            judged: told.judged,
            precision: told.judged.precision(),
        };
        (rule.id.clone(), outcome)
    });
    outcome.collect()
}

/// What one rule set did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Of the rule set.
    pub digest: String,
    /// Alerts.
    pub alerts: u64,
    /// Alerts over days of UTC that have events; missing without any.
    pub alerts_a_day: Option<f64>,
    /// Alerts by band.
    pub bands: BTreeMap<&'static str, u64>,
    /// Accounts with alerts.
    pub accounts: u64,
    /// How right it was, where there are labels.
    pub labelled: Option<Labelled>,
    /// What each live and shadow rule did.
    pub rules: BTreeMap<String, RuleOutcome>,
    /// Alerts by score, 0 to 100.
    pub by_score: Vec<u64>,
}

/// How right a rule set was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Labelled {
    /// Alerts by what is labelled.
    pub alerts: Judged,
    /// Fraud of the labelled alerts.
    pub precision: Option<f64>,
    /// Cases labelled as fraud that have an event in the recording.
    pub cases: u64,
    /// Those of them that have an alert.
    pub found: u64,
    /// Their part.
    pub recall: Option<f64>,
    /// Cases labelled as fraud without an event in the recording: they count for nothing.
    pub absent: u64,
    /// Cases found, by the highest score of an alert about them.
    #[serde(skip)]
    pub found_by_score: Vec<u64>,
}

/// What a rule did, with the shares that follow.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleOutcome {
    /// Its revision.
    pub revision: u32,
    /// It reaches nobody.
    pub is_shadow: bool,
    /// Its own score.
    pub score: u8,
    /// Findings.
    pub fired: u64,
    /// True, but told not long ago.
    pub repeated: u64,
    /// True, but excepted.
    pub excepted: u64,
    /// Alerts it is part of.
    pub alerts: u64,
    /// Its part of all alerts.
    pub share: Option<f64>,
    /// Its alerts by what is labelled.
    pub judged: Judged,
    /// Fraud of its labelled alerts.
    pub precision: Option<f64>,
}

impl Outcome {
    /// Alerts a day and recall if only alerts of at least a score were made, for each score at which that changes,
    /// highest first. Empty without labels of fraud.
    pub fn curve(&self, days: u64) -> Vec<CurvePoint> {
        let Some(labelled) = self.labelled.as_ref().filter(|labelled| labelled.cases > 0) else { return Vec::new() };
        let (mut alerts, mut found) = (0, 0);
        let mut points = Vec::new();
        for score in (0..SCORES).rev() {
            let of = |counts: &[u64]| counts.get(score).copied().unwrap_or_default();
            let (more_alerts, more_found) = (of(&self.by_score), of(&labelled.found_by_score));
            if more_alerts + more_found == 0 {
                continue;
            }
            alerts += more_alerts;
            found += more_found;
            if let (Some(alerts_a_day), Some(recall)) = (share(alerts, days), share(found, labelled.cases)) {
                points.push(CurvePoint { score: u8::try_from(score).unwrap_or(u8::MAX), alerts_a_day, recall });
            }
        }
        points
    }
}

/// What a threshold of the score would give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// The lowest score of an alert.
    pub score: u8,
    /// Alerts of at least that, a day.
    pub alerts_a_day: f64,
    /// Cases found by them.
    pub recall: f64,
}
