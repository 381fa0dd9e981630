//! The points at which the fault tests stop the process: one list.
//!
//! Guarantees: without the feature `failpoints` a point is nothing at all. With it, `FAILPOINTS` says what happens
//! where (the syntax of the `fail` crate): `state.redo.synced=2*off->return` ends the process, as `kill -9` would, the
//! third time that it comes there; `pause`, `sleep(MS)` and `panic` do what they say. Decides nothing.

/// Every point there is, in the order in which a batch and a checkpoint pass them.
pub const ALL: &[&str] = &[
    READ_POLLED,
    READ_FILLED,
    LOG_BEFORE_WRITE,
    LOG_WRITTEN,
    REDO_BEFORE_WRITE,
    REDO_WRITTEN,
    REDO_SYNCED,
    REDO_CLOSED,
    STORE_BEFORE_APPLY,
    STORE_MID_APPLY,
    STORE_APPLIED,
    REDO_BEFORE_DROP,
    REDO_DROPPED,
    COMMIT_BEFORE,
    COMMIT_DONE,
];

/// Records came from Kafka and are in no batch yet.
pub const READ_POLLED: &str = "read.polled";
/// A batch is full and nobody has it yet.
pub const READ_FILLED: &str = "read.filled";
/// Before a batch is in the batch log.
pub const LOG_BEFORE_WRITE: &str = "batch_log.before_write";
/// It is in the batch log, and nothing came of it yet.
pub const LOG_WRITTEN: &str = "batch_log.written";
/// Before offsets are committed.
pub const COMMIT_BEFORE: &str = "commit.before";
/// They are committed.
pub const COMMIT_DONE: &str = "commit.done";

/// Before the redo file is made.
pub const REDO_BEFORE_WRITE: &str = "state.redo.before_write";
/// Its bytes are written, not synced.
pub const REDO_WRITTEN: &str = "state.redo.written";
/// Its bytes are synced, its name is not.
pub const REDO_SYNCED: &str = "state.redo.synced";
/// It is closed: it outlives everything.
pub const REDO_CLOSED: &str = "state.redo.closed";
/// Before the store takes it.
pub const STORE_BEFORE_APPLY: &str = "state.store.before_apply";
/// Half of it is given to the store.
pub const STORE_MID_APPLY: &str = "state.store.mid_apply";
/// The store has it.
pub const STORE_APPLIED: &str = "state.store.applied";
/// Before the redo file of the checkpoint before it is dropped.
pub const REDO_BEFORE_DROP: &str = "state.redo.before_drop";
/// It is dropped.
pub const REDO_DROPPED: &str = "state.redo.dropped";

/// The process comes to a point.
#[cfg(feature = "failpoints")]
pub fn reach(name: &'static str) {
    fail::fail_point!(name, |_| std::process::abort());
}

/// The process comes to a point.
#[cfg(not(feature = "failpoints"))]
pub fn reach(_: &'static str) {}
