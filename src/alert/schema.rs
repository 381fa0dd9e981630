//! The desk's tables and the steps that lead to them.
//!
//! Guarantees: a file of an older version is brought up to date in one transaction; one of a newer version is
//! refused and left as it is. Does not read or write rows.

use rusqlite::{Connection, TransactionBehavior};

use super::error::DeskError;

/// One step per version: `user_version` says how many were taken. A step that was released never changes.
const MIGRATIONS: &[&str] = &[include_str!("migrations/1.sql")];

/// Brings the file to the newest version.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), DeskError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(DeskError::Newer { found, known });
    }
    for step in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}
