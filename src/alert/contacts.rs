//! The contacts at hand: the newest per account, by the event time they were seen at.
//!
//! Guarantees: an older contact never replaces a newer one, in whatever order they come. Personal: nothing of
//! it is logged. Does not decide who is told.

use rusqlite::{OptionalExtension, Transaction, params};

use super::error::DeskError;
use crate::detect::document::ContactDocument;
use crate::event::Millis;

/// Keeps a contact; `false` where the one at hand is newer. An equal time replaces: the later record of a
/// compacted topic is the one in force.
pub(super) fn keep(tx: &Transaction<'_>, account: &str, as_of: Millis, bytes: &[u8]) -> Result<bool, DeskError> {
    let changed = tx
        .prepare_cached(
            "INSERT INTO contacts VALUES (?1, ?2, ?3) ON CONFLICT (account) DO UPDATE
             SET as_of_ms = excluded.as_of_ms, document = excluded.document
             WHERE excluded.as_of_ms >= contacts.as_of_ms",
        )?
        .execute(params![account, as_of.0, bytes])?;
    Ok(changed > 0)
}

/// Drops an account's contact.
pub(super) fn forget(tx: &Transaction<'_>, account: &str) -> Result<(), DeskError> {
    tx.prepare_cached("DELETE FROM contacts WHERE account = ?1")?.execute([account])?;
    Ok(())
}

/// The contact at hand and its time.
pub(super) fn at_hand(tx: &Transaction<'_>, account: &str) -> Result<Option<(Millis, ContactDocument)>, DeskError> {
    let row: Option<(i64, Vec<u8>)> = tx
        .prepare_cached("SELECT as_of_ms, document FROM contacts WHERE account = ?1")?
        .query_row([account], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // It was read once before it was kept: a document that no longer reads is no contact.
    Ok(row.and_then(|(as_of, bytes)| serde_json::from_slice(&bytes).ok().map(|c| (Millis(as_of), c))))
}

/// RFC 3339 text as it stands in documents.
pub(super) fn parse_time(text: &str) -> Option<Millis> {
    text.parse::<jiff::Timestamp>().ok().map(|t| Millis(t.as_millisecond()))
}
