//! Why a record cannot be used: a closed list, each a metric label and a dead letter header.
//!
//! Guarantees: every refusal names one reason and, where one is to blame, the field. `detail` says
//! what was expected and never repeats the value. Does not count or write anything.

use super::Closed;
use super::closed::closed_list;

closed_list! {
    /// The reasons.
    RejectReason {
        /// A null or empty value: nothing to read.
        NoValue = "no_value",
        /// Longer than the limit.
        TooLarge = "too_large",
        NotUtf8 = "not_utf8",
        NotJson = "not_json",
        /// JSON, but not one object.
        NotObject = "not_object",
        TooDeep = "too_deep",
        DuplicateField = "duplicate_field",
        MissingField = "missing_field",
        BadValue = "bad_value",
        /// A text longer than its field allows.
        TooLong = "too_long",
        UnknownType = "unknown_type",
        TimeInFuture = "time_in_future",
    }
}

/// One refused record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}: {detail}", .field.map(|f| format!(" ({f})")).unwrap_or_default())]
pub struct Rejection {
    /// The reason.
    pub reason: RejectReason,
    /// The field to blame, as the schema spells it.
    pub field: Option<&'static str>,
    /// What was expected, without the value itself.
    pub detail: String,
}

impl Rejection {
    /// A refusal that blames no single field.
    pub fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Rejection { reason, field: None, detail: detail.into() }
    }

    /// A refusal that blames `field`.
    pub fn of(field: &'static str, reason: RejectReason, detail: impl Into<String>) -> Self {
        Rejection { reason, field: Some(field), detail: detail.into() }
    }
}
