//! Whoever plays a stream through the service and looks on: the demo.
//!
//! Guarantees: the service runs the same with one and without; a witness changes nothing that is decided.

use crate::detect::FindingRecord;
use crate::event::Millis;

/// What a witness is told, and what only it knows.
pub trait Witness: std::fmt::Debug + Send + Sync {
    /// A rule's condition was true: live, in shadow or a draft. Detection waits for the return.
    fn finding(&self, finding: &FindingRecord);

    /// When the record with this stamp was really written: the stamps of a played day are the day's own.
    fn written(&self, stamp: Millis) -> Millis;
}
