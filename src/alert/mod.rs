//! What becomes of a published alert: routes, limits, and the desk that remembers.
//!
//! Guarantees: an alert is taken once, by its id; what was decided about it has a named reason and is stored
//! with it; a notice is durable before anybody sends it. Does not send: `deliver` does.

use std::path::PathBuf;

mod case_number;
mod contacts;
mod desk;
mod error;
mod group;
mod holder;
mod notice;
mod outbox;
mod queue;
mod rehearsal;
mod schema;

pub use case_number::CaseNumber;
pub use desk::{Desk, Offset, Record, Taken};
pub use error::DeskError;
pub use group::{Decision, Hold, Notify};
pub use notice::{
    Addressee, Claimed, Compose, Depth, Message, NoticeRow, NoticeState, Order, Settlement, Step, Undeliverable,
};
pub use rehearsal::{Planned, Rehearsal, Rehearsed};

/// How long notification waits for a contact as new as the alert names, ms.
pub const CONTACT_WAIT_MS: i64 = 5_000;
/// Time to live of a notice to a user, ms: a late warning is worse than none.
pub const USER_NOTICE_TTL_MS: i64 = 24 * 3_600_000;
/// Time to live of a notice to security or operations, ms.
pub const TEAM_NOTICE_TTL_MS: i64 = 7 * 24 * 3_600_000;
/// For so long after a mail address or number was replaced (event time, ms) users are told at the old one too.
pub const BOTH_ADDRESSES_MS: i64 = 48 * 3_600_000;
/// An open case that no alert joined for so long (event time, ms) takes no more: the next one opens another.
pub const CASE_QUIET_MS: i64 = 24 * 3_600_000;
/// So long after its opening (event time, ms) a case takes no more alerts, however many came: otherwise
/// constant noise would keep a user from ever hearing again.
pub const CASE_SPAN_MS_MAX: i64 = 7 * 24 * 3_600_000;
/// How long the desk waits for another program to give up its lock on the file, ms: a backup takes moments, and a
/// stop must be over in ten seconds.
pub const LOCK_WAIT_MS_MAX: u64 = 5_000;

/// What the desk is told by the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskConfig {
    /// The SQLite file; its folder exists. `<path>.lock` beside it keeps a second instance away.
    pub path: PathBuf,
    /// [`CONTACT_WAIT_MS`].
    pub contact_wait_ms: i64,
    /// [`USER_NOTICE_TTL_MS`].
    pub user_notice_ttl_ms: i64,
    /// [`TEAM_NOTICE_TTL_MS`].
    pub team_notice_ttl_ms: i64,
    /// [`CASE_QUIET_MS`].
    pub case_quiet_ms: i64,
    /// [`CASE_SPAN_MS_MAX`].
    pub case_span_ms_max: i64,
    /// [`LOCK_WAIT_MS_MAX`].
    pub lock_wait_ms_max: u64,
}

impl DeskConfig {
    /// The defaults, at a path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        DeskConfig {
            path: path.into(),
            contact_wait_ms: CONTACT_WAIT_MS,
            user_notice_ttl_ms: USER_NOTICE_TTL_MS,
            team_notice_ttl_ms: TEAM_NOTICE_TTL_MS,
            case_quiet_ms: CASE_QUIET_MS,
            case_span_ms_max: CASE_SPAN_MS_MAX,
            lock_wait_ms_max: LOCK_WAIT_MS_MAX,
        }
    }
}
