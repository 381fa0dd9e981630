//! A trial: one rule set over recorded events, on an engine of its own.
//!
//! Guarantees: it is the production engine, and what it says comes in the order of the events; contacts stand
//! before the alerts that need them. Keeps counts, not alerts: whoever feeds it takes those away.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::detect::document::{AlertDocument, ContactDocument};
use crate::detect::{Counters, Engine, FindingRecord, Input, Options, Sink};
use crate::event::{Event, Millis, Rejection};
use crate::geo::Databases;
use crate::ruleset::{Bands, HashKey, Ruleset};

use super::labels::Labels;

/// A day, ms.
pub const DAY_MS: i64 = 86_400_000;

/// What a rule set says of some events.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// What is known of an account's contact changed.
    Contact(Box<ContactDocument>),
    /// An event reached a band.
    Alert {
        /// The record at which it was said: its place among those handed over at once.
        at: usize,
        /// The alert.
        alert: Box<AlertDocument>,
    },
}

/// What was in the recording. It is the same for every rule set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recording {
    /// Accepted events by day, the number of days since 1970 in UTC.
    pub events_by_day: BTreeMap<i64, u64>,
    /// The oldest event.
    pub first: Option<Millis>,
    /// The newest event.
    pub last: Option<Millis>,
    /// Which labelled cases have an event here, by their numbers.
    pub labelled: Vec<bool>,
}

/// One rule set at work.
pub struct Trial {
    engine: Engine,
    told: Told,
}

impl Trial {
    /// A rule set on an empty state. `key` must be the one it was compiled with.
    pub fn new(rules: Arc<Ruleset>, bands: Bands, key: HashKey, labels: Option<Arc<Labels>>) -> Self {
        let labelled = vec![false; labels.as_ref().map_or(0, |labels| labels.cases().len())];
        let recording = Recording { labelled, ..Recording::default() };
        let day = (i64::MIN, 0);
        Trial {
            engine: Engine::new(rules, bands, Options::default(), key),
            told: Told { said: Vec::new(), recording, labels, day },
        }
    }

    /// Takes records in order and tells what the rule set says of them.
    pub fn take<'a>(
        &mut self,
        inputs: impl IntoIterator<Item = Input<'a>>,
        moment: Millis,
        geo: Option<&Databases>,
    ) -> Vec<Said> {
        self.engine.take(inputs, moment, geo, &mut self.told);
        std::mem::take(&mut self.told.said)
    }

    /// What the engine has counted.
    pub fn counters(&self) -> &Counters {
        self.engine.counters()
    }

    /// The end: what there was, and what was counted.
    pub fn finish(mut self) -> (Recording, Counters) {
        self.told.end_day();
        (self.told.recording, self.engine.counters().clone())
    }
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").finish_non_exhaustive()
    }
}

struct Told {
    said: Vec<Said>,
    recording: Recording,
    labels: Option<Arc<Labels>>,
    /// The day at hand and its events so far: days seldom change from one event to the next.
    day: (i64, u64),
}

impl Told {
    fn end_day(&mut self) {
        let (day, events) = self.day;
        if events > 0 {
            *self.recording.events_by_day.entry(day).or_default() += events;
        }
    }
}

impl Sink for Told {
    fn rejected(&mut self, _: usize, _: &Rejection) {}

    fn duplicate(&mut self, _: usize) {}

    fn accepted(&mut self, _: usize, event: &Event<'_>, _: bool) {
        let day = event.time.0.div_euclid(DAY_MS);
        if day != self.day.0 {
            self.end_day();
            self.day = (day, 0);
        }
        self.day.1 += 1;
        let Recording { first, last, labelled, .. } = &mut self.recording;
        *first = Some(first.map_or(event.time, |first| first.min(event.time)));
        *last = Some(last.map_or(event.time, |last| last.max(event.time)));
        if let Some(labels) = &self.labels {
            labels.cases_of(&event.id, event.account.as_deref(), event.time, &mut |case| {
                labelled.get_mut(case as usize).into_iter().for_each(|seen| *seen = true);
            });
        }
    }

    fn contact(&mut self, _: usize, document: ContactDocument) {
        self.said.push(Said::Contact(Box::new(document)));
    }

    fn finding(&mut self, _: usize, _: FindingRecord) {}

    fn alert(&mut self, at: usize, document: AlertDocument) {
        self.said.push(Said::Alert { at, alert: Box::new(document) });
    }
}
