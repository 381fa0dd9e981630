//! Who looks on while the service takes the played day: what rules in shadow see, and when a record was sent.
//!
//! Guarantees: tells only of events of planted scenes, so that detection never waits for the story. Knows the
//! moment of sending to the ms. Decides nothing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::fact::{Fact, Teller};
use crate::app::Witness;
use crate::detect::{FindingRecord, RuleOutcome};
use crate::event::Millis;
use crate::sim::Line;

/// When which stamps were sent: the first stamp of each ms of sending, in order.
#[derive(Debug, Clone, Default)]
pub struct Sent(Arc<Mutex<Vec<(Millis, Millis)>>>);

impl Sent {
    /// The record with this stamp is sent at `now`. Neither goes backwards.
    pub fn note(&self, stamp: Millis, now: Millis) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.last().is_none_or(|(_, last)| *last < now) {
            sent.push((stamp, now));
        }
    }

    /// When a record with this stamp was sent; its stamp, where none was.
    pub fn find(&self, stamp: Millis) -> Millis {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let after = sent.partition_point(|(first, _)| *first <= stamp);
        after.checked_sub(1).and_then(|at| sent.get(at)).map_or(stamp, |(_, at)| *at)
    }
}

/// The witness of a run.
#[derive(Debug)]
pub struct Looker {
    teller: Teller,
    /// Events of planted scenes.
    events: HashSet<String>,
    sent: Sent,
}

impl Looker {
    /// For what is planted, and where the player notes what it sends.
    pub fn new(teller: Teller, planted: &[Line], sent: Sent) -> Self {
        let events = planted.iter().flat_map(|line| line.events.iter().cloned()).collect();
        Looker { teller, events, sent }
    }
}

impl Witness for Looker {
    fn finding(&self, finding: &FindingRecord) {
        let is_seen = finding.state == "shadow" && finding.outcome == RuleOutcome::Fired;
        if is_seen && self.events.contains(&finding.event) {
            self.teller.tell(Fact::Seen { event: finding.event.clone(), rule: finding.rule.clone() });
        }
    }

    fn written(&self, stamp: Millis) -> Millis {
        self.sent.find(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_known_by_when_it_was_sent() {
        let sent = Sent::default();
        assert_eq!(sent.find(Millis(7)), Millis(7), "nothing was sent");
        for (stamp, now) in [(10, 1000), (11, 1000), (12, 1001), (12, 1002), (20, 1010), (21, 1010)] {
            sent.note(Millis(stamp), Millis(now));
        }
        let found = [9, 10, 11, 12, 19, 20, 21].map(|stamp| sent.find(Millis(stamp)).0);
        assert_eq!(found, [9, 1000, 1000, 1002, 1002, 1010, 1010]);
        assert_eq!(sent.0.lock().expect("a list").len(), 4, "one for each ms");
    }
}
