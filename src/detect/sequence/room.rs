//! The partials that have taken the same step: chains of events, the newest kept.
//!
//! Guarantees: at most [`STEP_EVENTS_MAX`] last events with at most [`EVENT_PARTIALS_MAX`] partials each; newest by
//! (event time, input order) of the last event, then of the one before, and so on; where there is no room what has
//! expired goes first, then the oldest, which is counted. Knows no conditions.

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::SmallVec;

use super::kept::Values;
use crate::features::{room_bytes, spilled_bytes};
use crate::ruleset::sequence::{EVENT_PARTIALS_MAX, STEP_EVENTS_MAX};

/// What counting who shares an event takes, bytes.
const SHARED_BYTES: usize = 16;

/// An event that took a step.
#[derive(Debug)]
pub struct Taken {
    /// Event time.
    pub time_ms: i64,
    /// Input order.
    pub order: u64,
    /// What is kept of it.
    pub values: Values,
}

impl Taken {
    fn age(&self) -> (i64, u64) {
        (self.time_ms, self.order)
    }
}

/// A chain of events that took the first steps, first event first.
#[derive(Debug, Clone)]
pub struct Partial {
    /// One event a step.
    pub events: SmallVec<[Arc<Taken>; 2]>,
}

impl Partial {
    /// A chain that begins.
    pub fn begun(event: Arc<Taken>) -> Self {
        Partial { events: SmallVec::from_iter([event]) }
    }

    /// The chain with one event more.
    pub fn with(&self, event: Arc<Taken>) -> Self {
        let mut events = SmallVec::with_capacity(self.events.len() + 1);
        events.extend(self.events.iter().cloned());
        events.push(event);
        Partial { events }
    }

    /// The time of its first event.
    pub fn first_ms(&self) -> i64 {
        self.events.first().map_or(i64::MIN, |event| event.time_ms)
    }

    /// The time of its last event.
    pub fn last_ms(&self) -> i64 {
        self.events.last().map_or(i64::MIN, |event| event.time_ms)
    }

    /// Memory it points to, by its lengths, bytes. An event that chains share is counted with each: which of them
    /// goes last is not known before.
    pub fn heap_bytes(&self) -> usize {
        let event = |event: &Arc<Taken>| SHARED_BYTES + size_of::<Taken>() + event.values.heap_bytes();
        spilled_bytes(&self.events) + self.events.iter().map(event).sum::<usize>()
    }

    fn last_order(&self) -> u64 {
        self.events.last().map_or(0, |event| event.order)
    }

    fn is_older(&self, other: &Partial) -> Ordering {
        let ages = |partial: &Self| partial.events.iter().rev().map(|event| event.age()).collect::<SmallVec<[_; 8]>>();
        ages(self).cmp(&ages(other))
    }
}

/// The partials of one step, oldest first.
#[derive(Debug, Default)]
pub struct Room {
    pub(super) partials: Vec<Partial>,
}

impl Room {
    /// A partial by its place, oldest first.
    pub fn get(&self, at: usize) -> Option<&Partial> {
        self.partials.get(at)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.partials.len()
    }

    /// Takes the partials of one event, newest first, at most [`EVENT_PARTIALS_MAX`] of them. Returns how many
    /// partials had to go that had not expired; one has that began more than `within_ms` before the event.
    pub fn take(&mut self, made: &[Partial], within_ms: i64) -> usize {
        let Some(newest) = made.first() else { return 0 };
        for partial in made.iter().take(EVENT_PARTIALS_MAX) {
            let at = self.partials.partition_point(|kept| kept.is_older(partial) == Ordering::Less);
            if self.partials.len() == self.partials.capacity() {
                self.partials.reserve_exact(self.partials.len().max(1));
            }
            self.partials.insert(at, partial.clone());
        }
        let mut gone = made.len().saturating_sub(EVENT_PARTIALS_MAX);
        if self.events() > STEP_EVENTS_MAX {
            self.drop_begun_before(newest.last_ms().saturating_sub(within_ms));
        }
        while self.events() > STEP_EVENTS_MAX {
            gone += self.drop_oldest_event();
        }
        gone
    }

    /// How many last events there are: the partials of one stand side by side.
    fn events(&self) -> usize {
        let pairs = self.partials.windows(2).filter(|pair| match pair {
            [a, b] => a.last_order() != b.last_order(),
            _ => false,
        });
        pairs.count() + usize::from(!self.partials.is_empty())
    }

    fn drop_oldest_event(&mut self) -> usize {
        let Some(oldest) = self.partials.first().map(Partial::last_order) else { return 0 };
        let before = self.partials.len();
        self.partials.retain(|partial| partial.last_order() != oldest);
        before - self.partials.len()
    }

    /// Drops what began before a time.
    pub fn drop_begun_before(&mut self, time_ms: i64) {
        self.partials.retain(|partial| partial.first_ms() >= time_ms);
    }

    /// Keeps the partials for which it holds. Returns whether one went.
    pub fn retain(&mut self, keep: impl FnMut(&Partial) -> bool) -> bool {
        let before = self.partials.len();
        self.partials.retain(keep);
        self.partials.len() < before
    }

    /// Memory it points to, by its lengths, bytes.
    pub fn heap_bytes(&self) -> usize {
        room_bytes::<Partial>(self.partials.len()) + self.partials.iter().map(Partial::heap_bytes).sum::<usize>()
    }
}
