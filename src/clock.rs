//! The one place where the wall clock is read.
//!
//! Guarantees: everybody else is given the time. Decides nothing.

use std::time::SystemTime;

use crate::event::Millis;

/// Now, ms since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
