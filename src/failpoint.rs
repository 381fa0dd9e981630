//! The points at which the fault tests stop the process: one list.
//!
//! Guarantees: without the feature `failpoints` a point is nothing at all. With it, `FAILPOINTS` says what happens
//! where (the syntax of the `fail` crate): `state.redo.synced=2*off->return` ends the process, as `kill -9` would, the
//! third time that it comes there; `pause`, `sleep(MS)` and `panic` do what they say. Decides nothing.

/// Every point there is, in the order in which a batch, a checkpoint, the desk and a sender pass them. A test ends the
/// service at each of them, and fails where one is never reached.
pub const ALL: &[&str] = &[
    READ_POLLED,
    READ_FILLED,
    LOG_BEFORE_WRITE,
    LOG_WRITTEN,
    DECIDE_ALERT,
    DECIDE_DONE,
    CHECKPOINT_TAKEN_DOWN,
    CHECKPOINT_ACKNOWLEDGED,
    CHECKPOINT_LOG_SYNCED,
    REDO_BEFORE_WRITE,
    REDO_WRITTEN,
    REDO_SYNCED,
    REDO_CLOSED,
    STORE_BEFORE_APPLY,
    STORE_MID_APPLY,
    STORE_APPLIED,
    REDO_BEFORE_DROP,
    REDO_DROPPED,
    LOG_BEFORE_DROP,
    LOG_DROPPED,
    COMMIT_BEFORE,
    COMMIT_DONE,
    DESK_READ,
    DESK_ALERT,
    DESK_BEFORE_COMMIT,
    DESK_COMMITTED,
    SEND_CLAIMED,
    SEND_BEFORE,
    SEND_DONE,
    SEND_BEFORE_MARK,
    SEND_MARKED,
];

/// Records came from Kafka and are in no batch yet.
pub const READ_POLLED: &str = "read.polled";
/// A batch is full and nobody has it yet.
pub const READ_FILLED: &str = "read.filled";
/// Before a batch is in the batch log.
pub const LOG_BEFORE_WRITE: &str = "batch_log.before_write";
/// It is in the batch log, and nothing came of it yet.
pub const LOG_WRITTEN: &str = "batch_log.written";
/// Before a file of it is taken away that a checkpoint covers.
pub const LOG_BEFORE_DROP: &str = "batch_log.before_drop";
/// It is away, and others perhaps are not.
pub const LOG_DROPPED: &str = "batch_log.dropped";

/// An alert is made, and nobody has it.
pub const DECIDE_ALERT: &str = "decide.alert";
/// A batch is decided; what came of it is on its way to Kafka, and perhaps not there.
pub const DECIDE_DONE: &str = "decide.done";
/// The state is taken down in memory, and waits for Kafka.
pub const CHECKPOINT_TAKEN_DOWN: &str = "checkpoint.taken_down";
/// Kafka has acknowledged everything before it; the batch log is not synced.
pub const CHECKPOINT_ACKNOWLEDGED: &str = "checkpoint.acknowledged";
/// The batch log is synced, and the checkpoint not begun.
pub const CHECKPOINT_LOG_SYNCED: &str = "checkpoint.log_synced";

/// Before offsets are committed.
pub const COMMIT_BEFORE: &str = "commit.before";
/// They are committed.
pub const COMMIT_DONE: &str = "commit.done";

/// Alerts or contacts are read, and the desk does not know of them.
pub const DESK_READ: &str = "desk.read";
/// An alert is in the desk's open transaction, its notices are not.
pub const DESK_ALERT: &str = "desk.alert";
/// All of it is, with the offsets.
pub const DESK_BEFORE_COMMIT: &str = "desk.before_commit";
/// The desk has it, and no sender was woken.
pub const DESK_COMMITTED: &str = "desk.committed";
/// A sender has taken what is due.
pub const SEND_CLAIMED: &str = "send.claimed";
/// Before one notice is sent.
pub const SEND_BEFORE: &str = "send.before";
/// It was sent, or not, and the desk does not know how it ended.
pub const SEND_DONE: &str = "send.done";
/// How it ended is in the desk's open transaction.
pub const SEND_BEFORE_MARK: &str = "send.before_mark";
/// The desk knows it.
pub const SEND_MARKED: &str = "send.marked";

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
