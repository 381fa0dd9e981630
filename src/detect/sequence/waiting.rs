//! Last steps that wait whether something follows: what `absent` is decided on.
//!
//! Guarantees: holds all that the finding will tell, as it stood at the last step; at most [`STEP_EVENTS_MAX`] of a
//! rule and entity, the newest. Decides nothing.

use smallvec::SmallVec;

use super::kept::Values;
use super::room::Partial;
use crate::event::{Event, encode};
use crate::features::spilled_bytes;
use crate::ruleset::sequence::{STEP_EVENTS_MAX, Sequence};

/// A last step that waits.
#[derive(Debug)]
pub struct Waiting {
    /// The chain it ended.
    pub chain: Partial,
    /// The event of the last step as JSON, without its personal fields.
    pub event: Box<[u8]>,
    /// What of its row the rule still reads.
    pub row: Values,
    /// The entity of the rule's dedup.
    pub dedup: Option<(u64, u64)>,
    /// Until when each item of `absent` counts.
    pub(super) ends_ms: SmallVec<[i64; 2]>,
}

impl Waiting {
    /// Waits from the last step of a chain on.
    pub fn new(sequence: &Sequence, chain: Partial, event: &Event<'_>, row: Values, dedup: Option<(u64, u64)>) -> Self {
        let mut json = Vec::new();
        let public = crate::detect::alert::without_personal_fields(event);
        // What was decoded can be written: texts, numbers and nothing else.
        if encode(&public, &mut json).is_err() {
            json.clear();
        }
        let ends_ms = sequence.absent.iter().map(|item| event.time.0.saturating_add(item.within_ms)).collect();
        Waiting { chain, event: json.into(), row, dedup, ends_ms }
    }

    /// When it is decided: once the watermark has passed this time.
    pub fn end_ms(&self) -> i64 {
        self.ends_ms.iter().copied().max().unwrap_or(i64::MAX)
    }

    /// Event time and input order of the last step.
    pub fn age(&self) -> (i64, u64) {
        self.chain.events.last().map_or((i64::MIN, 0), |event| (event.time_ms, event.order))
    }

    /// Whether an event of this time would follow within the time of an item.
    pub fn takes(&self, item: usize, time_ms: i64) -> bool {
        self.ends_ms.get(item).is_some_and(|end| (self.age().0..=*end).contains(&time_ms))
    }

    /// Memory it points to, by its lengths, bytes.
    pub fn heap_bytes(&self) -> usize {
        self.chain.heap_bytes() + self.event.len() + self.row.heap_bytes() + spilled_bytes(&self.ends_ms)
    }
}

/// Takes one that waits among the others of its rule and entity, oldest first. Returns one that has no room.
pub fn take(others: &mut Vec<Waiting>, waiting: Waiting) -> Option<Waiting> {
    let at = others.partition_point(|other| other.age() < waiting.age());
    others.insert(at, waiting);
    (others.len() > STEP_EVENTS_MAX).then(|| others.remove(0))
}
