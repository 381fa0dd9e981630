//! What the engine shows of the last event to whoever explains a rule or a failed test.
//!
//! Guarantees: nothing that is asked here changes what later events find. Decides nothing.

use smallvec::SmallVec;

use super::Engine;
use crate::detect::sequence::{self, Partial};
use crate::event::{Event, EventType, Millis, Value};
use crate::features::Ids;
use crate::ruleset::Ruleset;
use crate::ruleset::row::Row;
use crate::ruleset::sequence::Sequence;

impl Engine {
    /// The values a rule's condition reads, as they stood at the last event: for a test's message.
    pub fn values(&self, rule: usize) -> Vec<(String, Value<'static>)> {
        let event = Event::new("", EventType::Login, Millis(0));
        let row = self.banks.row(&event);
        let named = self.rules.rules.get(rule).map(|rule| rule.evidence.as_slice()).unwrap_or_default();
        named.iter().map(|(name, ty, cell)| (name.clone(), row.value(*ty, *cell).into_owned())).collect()
    }

    /// The row of the last event taken, which must be this one: for whoever explains a rule.
    pub fn row<'r>(&'r self, event: &'r Event<'r>) -> Row<'r> {
        self.banks.row(event)
    }

    /// Until when a rule is silent about what an event is about; `None`: it is not.
    pub fn silent_until(&self, rule: usize, event: &Event<'_>) -> Option<Millis> {
        let dedup = self.rules.rules.get(rule)?.dedup?;
        let entity = Ids::new(self.ids.key()).pair(dedup.by, event)?;
        let until = Millis(self.fired.silent_until_ms(rule, entity)?);
        (event.time < until).then_some(until)
    }

    /// How many chains of a rule's sequence stand behind each step for what an event is about, and when the newest
    /// took it; empty for a rule without a sequence.
    pub fn chains(&mut self, rule: usize, event: &Event<'_>) -> Vec<(usize, Option<Millis>)> {
        let Some((place, sequence)) = sequence_of(&self.rules, rule) else { return Vec::new() };
        let begun = self.sequences.begun(place, sequence, event, &mut Ids::new(self.ids.key()));
        begun.into_iter().map(|(chains, newest)| (chains, newest.map(Millis))).collect()
    }

    /// The newest chain behind each step but the last of a rule's sequence that an event could go on with in time.
    pub fn newest_chains(&mut self, rule: usize, event: &Event<'_>) -> Vec<Option<Partial>> {
        let Some((place, sequence)) = sequence_of(&self.rules, rule) else { return Vec::new() };
        self.sequences.newest(place, sequence, event, &mut Ids::new(self.ids.key()))
    }

    /// The row of the last event taken, as a step's condition reads it after a chain; with none, no step was taken.
    pub fn row_after<'r>(&'r mut self, rule: usize, chain: Option<&Partial>, event: &'r Event<'r>) -> Row<'r> {
        let none = Partial { events: SmallVec::new() };
        if let Some((_, sequence)) = sequence_of(&self.rules, rule) {
            sequence::load(sequence, chain.unwrap_or(&none), &mut self.banks);
        }
        self.banks.row(event)
    }
}

/// A rule's sequence, with the rule's place as the engine counts them.
fn sequence_of(rules: &Ruleset, rule: usize) -> Option<(u16, &Sequence)> {
    Some((u16::try_from(rule).ok()?, rules.rules.get(rule)?.sequence.as_ref()?))
}
