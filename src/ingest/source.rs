//! What every source of records obeys.
//!
//! Guarantees: records come in the source's order, none is skipped, and the end is said once it is known.
//! Does not say how a source waits, reconnects or remembers where it was.

use std::error::Error;

use super::Batch;

/// What came of asking for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// There may be more: ask again.
    More,
    /// Nothing was at hand within the source's own wait; there may be some later.
    Idle,
    /// Nothing will come any more. What the batch holds are the last records.
    End,
}

/// Why a source gave no records. What the batch holds was taken before and counts.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Asking again may help; nothing was skipped.
    #[error("failed to read records; asking again may help")]
    Transient(#[source] Box<dyn Error + Send + Sync>),
    /// Asking again will not help.
    #[error("failed to read records")]
    Permanent(#[source] Box<dyn Error + Send + Sync>),
}

/// A source of records.
pub trait Source {
    /// Adds what is at hand to a batch, which the caller has cleared for its moment, until it is full.
    /// After [`Fill::End`] it is not asked again.
    fn fill(&mut self, batch: &mut Batch) -> Result<Fill, SourceError>;
}
