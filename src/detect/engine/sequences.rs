//! The engine's rules of more than one event: sequences, and what is absent once the watermark has passed.
//!
//! Guarantees: a late event means nothing to a sequence; a chain's finding stands among those of its last event; an
//! `absent` is decided before the event that moved the watermark, and makes an alert of its own. Follows no chains
//! itself: `detect::sequence` does.

use super::{Engine, Hit, count, told};
use crate::detect::alert;
use crate::detect::finding;
use crate::detect::output::{RuleOutcome, Sink};
use crate::detect::score::{Scored, score};
use crate::detect::sequence::{Values, Waiting, load};
use crate::event::{Decoded, Event, Limits, Millis, decode};
use crate::features::Ids;
use crate::geo::Databases;
use crate::ruleset::{self, Band};

/// No time is in the future of an event that was accepted already.
const NO_FUTURE: Millis = Millis(i64::MAX / 2);

impl Engine {
    /// Shows an event to the sequences: chains it completes become hits, or wait for what must not follow.
    pub(super) fn follow_sequences(&mut self, event: &Event<'_>) {
        self.sequences.count();
        let horizon_ms = self.lateness.horizon_ms();
        let watched = self.sequences.rules(event.kind).len();
        for place in 0..watched {
            let Some(at) = self.sequences.rules(event.kind).get(place).copied() else { continue };
            let Some(rule) = self.rules.rules.get(usize::from(at)) else { continue };
            let Some(sequence) = &rule.sequence else { continue };
            let mut gone = 0;
            let (ids, banks) = (&mut self.ids, &mut self.banks);
            if let Some(chain) = self.sequences.watch(at, sequence, event, ids, banks, &mut gone) {
                if sequence.absent.is_empty() {
                    load(sequence, &chain, banks);
                    let entity = rule.dedup.and_then(|dedup| ids.pair(dedup.by, event));
                    let row = banks.row(event);
                    let hit = Hit { at, rule, entity, event, row: &row };
                    self.hits.push((at, hit.outcome(&mut self.fired, horizon_ms)));
                    self.completed.push((at, chain));
                } else {
                    let row = Values::of_row(sequence.captured.iter(), banks);
                    let entity = rule.dedup.and_then(|dedup| ids.pair(dedup.by, event));
                    let waiting = Waiting::new(sequence, chain, event, row, entity);
                    self.sequences.wait(at, sequence, event, ids, waiting, &mut gone);
                }
            }
            if let Some(overflow) = self.counters.sequence_overflow.get_mut(usize::from(at)) {
                *overflow += gone;
            }
        }
        self.counters.sequences_forgotten = self.sequences.forgotten();
        if !self.completed.is_empty() {
            self.hits.sort_by_key(|(at, _)| *at);
        }
    }

    /// Puts the chain that a rule's finding is about where its texts read it.
    pub(super) fn load_chain(&mut self, at: u16) {
        let rule = self.rules.rules.get(usize::from(at));
        let chain = self.completed.iter().find(|(of, _)| *of == at);
        if let (Some(sequence), Some((_, chain))) = (rule.and_then(|rule| rule.sequence.as_ref()), chain) {
            load(sequence, chain, &mut self.banks);
        }
    }

    /// Decides what nothing followed, as the watermark stands. `at` is the record that moved it.
    pub(super) fn decide_absent(&mut self, at: usize, geo: Option<&Databases>, sink: &mut impl Sink) {
        for (rule, waiting) in self.sequences.decided(&self.watermark) {
            // It was written by us: it can be read.
            if let Ok(Decoded { event, .. }) = decode(Some(&waiting.event), NO_FUTURE, &Limits::default()) {
                self.absent(at, rule, &waiting, &event, geo, sink);
            }
        }
    }

    fn absent(
        &mut self,
        at: usize,
        rule_at: u16,
        waiting: &Waiting,
        event: &Event<'_>,
        geo: Option<&Databases>,
        sink: &mut impl Sink,
    ) {
        if !self.has_account(event) {
            return;
        }
        let Some(rule) = self.rules.rules.get(usize::from(rule_at)) else { return };
        let Some(sequence) = &rule.sequence else { return };
        self.banks.clear();
        waiting.row.give(sequence.captured.iter(), &mut self.banks);
        load(sequence, &waiting.chain, &mut self.banks);
        let row = self.banks.row(event);
        let hit = Hit { at: rule_at, rule, entity: waiting.dedup, event, row: &row };
        let outcome = hit.outcome(&mut self.fired, self.lateness.horizon_ms());
        if let Some(counts) = self.counters.findings.get_mut(usize::from(rule_at)) {
            count(counts, outcome as u8);
        }
        if self.options.findings {
            sink.finding(at, finding::record(rule, outcome, event, &row));
        }
        if outcome != RuleOutcome::Fired || rule.state != ruleset::State::Live {
            return;
        }
        let scored = score(&[Scored { group: &rule.group, score: rule.score }]);
        let share = scored.shares.first().copied().unwrap_or_default();
        let account = event.account.as_deref().map_or(0, |account| self.ids.key().text(account));
        let informs = rule.inform.then_some(Band::Info);
        if let Some(band) = self.bands.of(scored.rounded).or(informs) {
            let fired = vec![(rule, finding::document(rule, share, &row))];
            let id = alert::absent_id(&rule.id, &finding::by_sequence(sequence, event), event);
            let document = self.alert(event, account, id, (scored.rounded, band), fired, geo);
            count(&mut self.counters.alerts, band as u8);
            sink.alert(at, document);
        }
        if scored.exact > 0.0 {
            self.state.add_risk(account, event.time.0, scored.exact);
        }
        if self.state.takes_findings() {
            let mut ids = Ids::new(self.ids.key());
            self.state.find(event, told(rule), &mut ids, &mut self.banks, self.lateness.horizon_ms());
        }
    }
}
