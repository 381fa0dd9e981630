//! Sequences: steps that follow each other in event time, what cancels them, what must not follow.
//!
//! Guarantees: a value of [`Sequence`] is checked and compiled; every step, `without` and `absent` can have the
//! entity of `by`; an alias is read only where its step may have been taken. Keeps no events: `detect` does.

mod build;
mod order;
pub(super) mod read;

pub(super) use build::{Built, aliases, unread};
pub(super) use read::{SequenceSpec, read};

use super::expr::{Condition, Ty};
use super::model::{Key, Name};
use super::row::Cell;
use crate::event::{Field, TypeSet};

/// Steps of one sequence, at most.
pub const STEPS_MAX: usize = 8;
/// Items of `without`, and of `absent`, at most.
pub const ITEMS_MAX: usize = 8;
/// `within`, of a sequence or of an item of `absent`, at most, ms: 90 days.
pub const WITHIN_MS_MAX: i64 = 90 * 86_400_000;
/// Events kept of one step and entity: the newest.
pub const STEP_EVENTS_MAX: usize = 16;
/// Partials kept of one such event: the newest.
pub const EVENT_PARTIALS_MAX: usize = 4;

/// A sequence as the engine follows it.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// The entity.
    pub by: Key,
    /// From the first step to the last, ms.
    pub within_ms: i64,
    /// The steps, in order; at least one.
    pub steps: Vec<Step>,
    /// What cancels it.
    pub without: Vec<Canceller>,
    /// What must not follow the last step.
    pub absent: Vec<Absent>,
    /// Hash of the definition and of what is kept of events.
    pub identity: u64,
    /// The cells of features that its conditions read.
    pub reads: Vec<Cell>,
    /// What of its steps evidence carries, as written (`reset.time`), sorted.
    pub evidence: Vec<(String, Ty, Cell)>,
    /// What of the row of the last step is kept until `absent` is decided: where exceptions, evidence and
    /// explanation read it.
    pub captured: Vec<Kept>,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its event types.
    pub types: TypeSet,
    /// Which of these events take it.
    pub filter: Option<Filter>,
    /// What is kept of the event, sorted by field.
    pub kept: Vec<(Field, Kept)>,
}

/// An item of `without`.
#[derive(Debug, Clone)]
pub struct Canceller {
    /// Its event types.
    pub types: TypeSet,
    /// Which of these events cancel.
    pub filter: Option<Filter>,
}

/// An item of `absent`.
#[derive(Debug, Clone)]
pub struct Absent {
    /// Its event types.
    pub types: TypeSet,
    /// Which of these events count as following.
    pub filter: Option<Filter>,
    /// For how long after the last step, ms.
    pub within_ms: i64,
}

/// A condition of a sequence.
#[derive(Debug, Clone)]
pub struct Filter {
    /// When it holds.
    pub when: Condition,
    /// Whether it reads earlier steps: then it holds of an event and a partial, else of an event alone.
    pub reads_aliases: bool,
}

/// A value that is kept for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Where it stands in a row.
    pub cell: Cell,
    /// Whether its text is kept, or only the text's hash. A personal field keeps its text only where a
    /// condition looks into it.
    pub has_text: bool,
}

impl Sequence {
    /// Every event type that means something to it.
    pub fn types(&self) -> TypeSet {
        let steps = self.steps.iter().map(|step| step.types);
        let others = self.without.iter().map(|item| item.types).chain(self.absent.iter().map(|item| item.types));
        steps.chain(others).fold(TypeSet::NONE, TypeSet::or)
    }
}

/// A name that reads a step, and which field of it.
pub(super) fn alias_of(name: Name) -> Option<(u8, Field)> {
    match name {
        Name::Alias(step, field) => Some((step, field)),
        _ => None,
    }
}
