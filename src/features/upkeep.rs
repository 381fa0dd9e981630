//! One event, or one finding, on its way through the features of its entities.
//!
//! Guarantees: what a feature does not count does not touch what is kept; a feature with this event in its own
//! window is updated before it is read, another after. Does not know where entities are kept.

use super::plan::{Planned, Use};
use super::shape::{KeptValue, Observation, Scale};
use super::slots::Slots;
use super::sum::NO_CURRENCY;
use super::window::Span;
use super::zones::Zones;
use super::{Banks, Finding, Ids, fill, measure};
use crate::event::Event;
use crate::ruleset::{Aggregate as Kind, FindingField, Measure};

/// What an event is to a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// It does not count.
    Not,
    /// It is one of those that a `share` is a part of, and does not match.
    Beside,
    /// It counts.
    Yes,
}

/// One event, or one finding, on its way through the features.
#[derive(Debug)]
pub struct Upkeep<'u, 'e> {
    /// The event, of the finding too.
    pub event: &'u Event<'e>,
    /// The finding, where it is one.
    pub finding: Option<Finding<'u>>,
    /// No event counted from now on is older, ms.
    pub horizon_ms: i64,
    /// The event's hashes.
    pub ids: &'u mut Ids,
    /// Zones by name.
    pub zones: &'u mut Zones,
    /// Where a `last` finds the fields it keeps.
    pub captured: &'u mut Banks,
    /// Memory used again.
    pub scratch: &'u mut Vec<u64>,
    /// The same, for what the event is to each feature.
    pub counts: &'u mut Vec<Counts>,
}

impl Upkeep<'_, '_> {
    /// Which features this event counts for; whether there is any.
    pub fn filter(&mut self, uses: &[Use], features: &[Planned], banks: &Banks) -> bool {
        self.counts.clear();
        let row = banks.row(self.event);
        let counts = |used: &Use| match features.get(usize::from(used.feature)).filter(|_| used.updates) {
            None => Counts::Not,
            Some(p) if p.filter.as_ref().is_none_or(|filter| filter.is_true(&row)) => Counts::Yes,
            Some(p) if p.shape.aggregate == Kind::Share => Counts::Beside,
            Some(_) => Counts::Not,
        };
        self.counts.extend(uses.iter().map(counts));
        self.counts.iter().any(|counts| *counts != Counts::Not)
    }

    /// Updates and reads the features of one entity, which were filtered before.
    pub fn run(&mut self, uses: &[Use], features: &[Planned], mut slots: Option<&mut Slots>, banks: &mut Banks) {
        for (at, used) in uses.iter().enumerate() {
            let Some(planned) = features.get(usize::from(used.feature)) else { continue };
            let counts = self.counts.get(at).copied().unwrap_or(Counts::Not);
            let Some(seen) = self.observation(planned, counts) else { continue };
            let updates = counts != Counts::Not;
            if updates && planned.include_current {
                self.update(used.feature, planned, &seen, slots.as_deref_mut());
            }
            if used.reads {
                match slots.as_deref().and_then(|s| s.get(used.feature)) {
                    Some(kept) => kept.fill(&planned.shape, &seen, banks, self.scratch),
                    None => planned.shape.fill_empty(&seen, banks),
                }
            }
            if updates && !planned.include_current {
                self.update(used.feature, planned, &seen, slots.as_deref_mut());
            }
        }
    }

    /// What this event brings; `None` where it lacks the second entity of a pair.
    fn observation(&mut self, planned: &Planned, counts: Counts) -> Option<Observation> {
        let second = match planned.second {
            Some(kind) => Some(self.ids.of(kind, self.event)).filter(|key| *key != 0)?,
            None => 0,
        };
        let updates = counts != Counts::Not;
        let mut seen = Observation {
            time_ms: self.event.time.0,
            count: if self.finding.is_some() { 1 } else { self.event.count },
            second,
            value: None,
            amount: None,
            unit: None,
            matches: counts == Counts::Yes,
        };
        match (planned.shape.aggregate, planned.measure) {
            (Kind::Sum | Kind::Stats, Some(measured)) => {
                seen.amount = if updates { self.amount(measured) } else { None };
                if planned.shape.scale == Scale::Money {
                    seen.unit = measure::unit(self.event);
                }
            }
            (Kind::Distinct | Kind::Spread | Kind::Habit, Some(measured)) if updates || planned.reads_value() => {
                seen.value = self.value(measured);
            }
            _ => {}
        }
        Some(seen)
    }

    fn amount(&self, measured: Measure) -> Option<(u8, i64)> {
        match (measured, self.finding) {
            (Measure::Finding(FindingField::Score), Some(finding)) => Some((NO_CURRENCY, i64::from(finding.score))),
            (Measure::Field(field), _) => measure::amount(field, self.event),
            _ => None,
        }
    }

    fn value(&mut self, measured: Measure) -> Option<u64> {
        match measured {
            Measure::Finding(field) => self.finding.map(|finding| finding.value(field, self.ids)),
            _ => measure::value(measured, self.event, self.ids, self.zones),
        }
    }

    fn update(&mut self, feature: u16, planned: &Planned, seen: &Observation, slots: Option<&mut Slots>) {
        let nothing = match planned.shape.aggregate {
            Kind::Sum | Kind::Stats => seen.amount.is_none(),
            Kind::Distinct | Kind::Spread | Kind::Habit => seen.value.is_none(),
            _ => false,
        };
        let Some(slots) = slots.filter(|_| !nothing) else { return };
        if planned.shape.aggregate == Kind::Last {
            self.capture(planned);
        }
        let span = Span { over_ms: planned.shape.over_ms, horizon_ms: self.horizon_ms };
        if let Some(kept) = slots.entry(feature, planned) {
            kept.update(&planned.shape, seen, span, self.captured);
        }
    }

    /// Puts what a `last` keeps where it finds it.
    fn capture(&mut self, planned: &Planned) {
        for kept in &planned.shape.kept {
            let Some(cell) = kept.cell else { continue };
            self.captured.clear_cell(cell);
            match (kept.value, self.finding) {
                (KeptValue::Field(field), _) => fill(field, self.event, self.ids, cell, self.captured),
                (KeptValue::Finding(field), Some(finding)) => finding.fill(field, self.ids, cell, self.captured),
                (KeptValue::Finding(_), None) => {}
            }
        }
    }
}
