//! The outbox from its other side: what is due, how tries ended, how much is left.
//!
//! Guarantees: a notice leaves the queue only as sent or failed; what is personal in a message goes when it is
//! sent. Does not send.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{OptionalExtension, Transaction, params};

use super::desk::Desk;
use super::error::DeskError;
use super::notice::{Claimed, Depth, Message, NoticeRow, NoticeState, Settlement, Step};
use crate::event::Millis;
use crate::failpoint::{self, reach};

impl Desk {
    /// Messages of a channel that are due, oldest first, but not those `in_flight`. Notices whose time is over
    /// are failed on the way; how many is told beside them.
    pub fn claim(
        &self,
        channel: &str,
        in_flight: &HashSet<String>,
        limit: usize,
        now: Millis,
    ) -> Result<(Vec<Claimed>, u64), DeskError> {
        let due = |c: &rusqlite::Connection| -> Result<Vec<Claimed>, DeskError> {
            let mut rows = c.prepare_cached(
                "SELECT n.id, n.attempts, n.expires_ms, m.recipient, m.body
                 FROM notices n JOIN messages m ON m.notice = n.id AND m.position = n.position
                 WHERE n.state = 'queued' AND n.channel = ?1 AND n.next_ms <= ?2 ORDER BY n.next_ms, n.id LIMIT ?3",
            )?;
            let claimed = |row: &rusqlite::Row<'_>| {
                Ok(Claimed {
                    notice: row.get(0)?,
                    attempts: row.get(1)?,
                    expires: Millis(row.get(2)?),
                    message: Message { recipient: row.get(3)?, body: row.get(4)? },
                })
            };
            // Those in flight stand among the due ones: they are still queued.
            let window = i64::try_from(limit.saturating_add(in_flight.len())).unwrap_or(i64::MAX);
            let all = rows.query_map(params![channel, now.0, window], claimed)?;
            let mut due = Vec::new();
            for row in all {
                let row = row?;
                if due.len() < limit && !in_flight.contains(&row.notice) {
                    due.push(row);
                }
            }
            Ok(due)
        };
        let (late, fresh): (Vec<_>, Vec<_>) = self.read(due)?.into_iter().partition(|c| c.expires <= now);
        let expired: Vec<_> = late.into_iter().map(|c| Settlement { notice: c.notice, step: Step::Expired }).collect();
        if !expired.is_empty() {
            self.settle(&expired, now)?;
        }
        Ok((fresh, expired.len() as u64))
    }

    /// Writes down how tries ended. Returns the channels that notices went over to.
    pub fn settle(&self, ends: &[Settlement], now: Millis) -> Result<Vec<String>, DeskError> {
        self.write(|tx| {
            let mut went_to = Vec::new();
            for Settlement { notice, step } in ends {
                match step {
                    Step::Sent => {
                        end(tx, notice, NoticeState::Sent, None)?;
                        tx.prepare_cached("DELETE FROM messages WHERE notice = ?1")?.execute([notice])?;
                    }
                    Step::Retry { at, reason } => {
                        tx.prepare_cached(
                            "UPDATE notices SET attempts = attempts + 1, next_ms = ?2, reason = ?3 WHERE id = ?1",
                        )?
                        .execute(params![notice, at.0, reason])?;
                    }
                    Step::NextChannel { reason } => match next_channel(tx, notice, reason, now)? {
                        Some(channel) => went_to.push(channel),
                        None => end(tx, notice, NoticeState::Failed, Some(reason))?,
                    },
                    Step::Expired => end(tx, notice, NoticeState::Failed, Some("expired"))?,
                }
            }
            reach(failpoint::SEND_BEFORE_MARK);
            Ok(went_to)
        })
    }

    /// When the next notice of a channel is due, or the next stops waiting for its contact (`None`).
    pub fn next_due(&self, channel: Option<&str>, in_flight: &HashSet<String>) -> Result<Option<Millis>, DeskError> {
        self.read(|c| {
            let Some(channel) = channel else {
                let mut row = c.prepare_cached("SELECT min(next_ms) FROM notices WHERE state = 'waiting'")?;
                return Ok(row.query_row([], |row| row.get::<_, Option<i64>>(0))?.map(Millis));
            };
            let mut rows = c.prepare_cached(
                "SELECT id, next_ms FROM notices WHERE state = 'queued' AND channel = ?1 ORDER BY next_ms LIMIT ?2",
            )?;
            let window = i64::try_from(in_flight.len().saturating_add(1)).unwrap_or(i64::MAX);
            let mut due = rows.query(params![channel, window])?;
            while let Some(row) = due.next()? {
                if !in_flight.contains(&row.get::<_, String>(0)?) {
                    return Ok(Some(Millis(row.get(1)?)));
                }
            }
            Ok(None)
        })
    }

    /// Notices that have not had their first try on the channel they stand at, waiting ones included: 0 when
    /// each is sent, failed or waiting for a retry.
    pub fn untried(&self) -> Result<u64, DeskError> {
        self.read(|c| {
            let mut row = c.prepare_cached(
                "SELECT (SELECT count(*) FROM notices WHERE state = 'waiting')
                      + (SELECT count(*) FROM notices WHERE state = 'queued' AND attempts = 0)",
            )?;
            Ok(row.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned())
        })
    }

    /// How many notices stand where.
    pub fn depth(&self) -> Result<Depth, DeskError> {
        self.read(|c| {
            let mut rows = c.prepare_cached("SELECT channel, state, count(*) FROM notices GROUP BY 1, 2")?;
            let mut depth = Depth::new();
            let mut found = rows.query([])?;
            while let Some(row) = found.next()? {
                if let Some(state) = state(&row.get::<_, String>(1)?) {
                    depth.insert((row.get(0)?, state), row.get::<_, i64>(2)?.cast_unsigned());
                }
            }
            Ok(depth)
        })
    }

    /// How many notices are not done yet, by channel (`None`: they wait for a contact).
    pub fn open_notices(&self) -> Result<BTreeMap<Option<String>, u64>, DeskError> {
        self.read(|c| {
            let mut rows = c.prepare_cached(
                "SELECT channel, count(*) FROM notices WHERE state = 'queued' GROUP BY channel
                 UNION ALL SELECT NULL, count(*) FROM notices WHERE state = 'waiting'",
            )?;
            let open = rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?;
            Ok(open.collect::<Result<_, _>>()?)
        })
    }

    /// The newest notices first, at most `limit`.
    pub fn notices(&self, limit: u32) -> Result<Vec<NoticeRow>, DeskError> {
        self.read(|c| {
            let mut rows = c.prepare_cached(
                "SELECT id, alert, audience, state, channel, attempts, reason, addressee FROM notices
                 ORDER BY created_ms DESC, id LIMIT ?1",
            )?;
            let mut found = rows.query([limit])?;
            let mut notices = Vec::new();
            while let Some(row) = found.next()? {
                notices.push(NoticeRow {
                    id: row.get(0)?,
                    alert: row.get(1)?,
                    audience: row.get(2)?,
                    state: state(&row.get::<_, String>(3)?).unwrap_or(NoticeState::Failed),
                    channel: row.get(4)?,
                    attempts: row.get(5)?,
                    reason: row.get(6)?,
                    addressee: row.get(7)?,
                });
            }
            Ok(notices)
        })
    }
}

fn end(tx: &Transaction<'_>, notice: &str, state: NoticeState, reason: Option<&str>) -> Result<(), DeskError> {
    tx.prepare_cached("UPDATE notices SET state = ?2, reason = ?3, attempts = attempts + 1 WHERE id = ?1")?
        .execute(params![notice, state.word(), reason])?;
    Ok(())
}

/// Moves a notice to the next channel of its chain; `None` where it stands at the last.
fn next_channel(tx: &Transaction<'_>, notice: &str, reason: &str, now: Millis) -> Result<Option<String>, DeskError> {
    let next: Option<(i64, String)> = tx
        .prepare_cached(
            "SELECT m.position, m.channel FROM messages m JOIN notices n ON n.id = m.notice
             WHERE n.id = ?1 AND m.position > n.position ORDER BY m.position LIMIT 1",
        )?
        .query_row([notice], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((position, channel)) = next else { return Ok(None) };
    tx.prepare_cached(
        "UPDATE notices SET position = ?2, channel = ?3, attempts = 0, next_ms = ?4, reason = ?5 WHERE id = ?1",
    )?
    .execute(params![notice, position, channel, now.0, reason])?;
    Ok(Some(channel))
}

fn state(word: &str) -> Option<NoticeState> {
    NoticeState::ALL.into_iter().find(|s| s.word() == word)
}
