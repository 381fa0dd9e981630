//! The outbox: notices, durable before they are sent and marked after.
//!
//! A notice is rendered when it is queued, not when it is sent: its messages are kept as bytes. So each retry
//! is the same mail with the same Message-ID and the same signed body, a receiver that honours the key sees
//! one notice, and a template that is edited or broken meanwhile changes nothing that is under way.
//!
//! Guarantees: a notice is sent, failed or undeliverable with a reason, or still there. Does not send.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{OptionalExtension, Transaction, params};

use super::case_number::CaseNumber;
use super::contacts;
use super::desk::{Desk, DeskError, Taken, audience_word};
use crate::detect::document::{AlertDocument, ContactDocument, Document};
use crate::event::Millis;
use crate::ruleset::{Audience, Band};

/// What makes messages of notices: `deliver` implements it.
pub trait Compose: Send + Sync {
    /// The channels by name that carry an alert of this band to this audience: one notice for each chain, the
    /// later channels of a chain in reserve.
    fn chains(&self, audience: Audience, band: Band) -> Vec<Vec<String>>;
    /// The message of a notice on one channel.
    fn compose(&self, order: &Order<'_>, channel: &str) -> Result<Message, Undeliverable>;
}

/// What a message is made from.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The notice: the idempotency key.
    pub notice: &'a str,
    /// For whom.
    pub audience: Audience,
    /// Of what.
    pub alert: &'a AlertDocument,
    /// The contact at hand.
    pub contact: Option<&'a ContactDocument>,
    /// The case it belongs to.
    pub case: CaseNumber,
    /// When the notice was made: our clock, the date of the mail.
    pub created: Millis,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// A mail address, a number; empty where the channel has one receiver.
    pub recipient: String,
    /// The whole mail or request body.
    pub body: Vec<u8>,
}

/// Why a notice cannot go out on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Undeliverable {
    /// Nothing is known of how to reach the account.
    NoContact,
    /// The contact has no address for this channel.
    NoAddress,
    /// The address is not one, or one that may not be written to.
    AddressRefused,
    /// The alert says that no SMS may be sent to this account yet.
    SmsHeld,
    /// There is no text for this notice.
    NoTemplate,
    /// The text would break a rule for notices, whatever is left out.
    UnsafeText,
    /// The channel is not configured.
    NoChannel,
}

impl Undeliverable {
    /// The reason as a metric label.
    pub fn reason(self) -> &'static str {
        match self {
            Undeliverable::NoContact => "no_contact",
            Undeliverable::NoAddress => "no_address",
            Undeliverable::AddressRefused => "address_refused",
            Undeliverable::SmsHeld => "sms_held",
            Undeliverable::NoTemplate => "no_template",
            Undeliverable::UnsafeText => "unsafe_text",
            Undeliverable::NoChannel => "no_channel",
        }
    }
}

/// A message that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The notice: the idempotency key.
    pub notice: String,
    /// Tries on this channel before this one.
    pub attempts: u32,
    /// When the notice stops being worth sending.
    pub expires: Millis,
    /// What is sent.
    pub message: Message,
}

/// What becomes of a notice after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It arrived.
    Sent,
    /// It is tried again.
    Retry {
        /// Not before.
        at: Millis,
        /// What failed.
        reason: &'static str,
    },
    /// This channel will not do it: the next of the chain, if there is one, else it failed.
    NextChannel {
        /// What failed.
        reason: &'static str,
    },
    /// It is too late.
    Expired,
}

/// The end of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The notice.
    pub notice: String,
    /// What becomes of it.
    pub step: Step,
}

/// The states of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words are the documentation")]
pub enum NoticeState {
    Waiting,
    Queued,
    Sent,
    Failed,
    Undeliverable,
}

impl NoticeState {
    const ALL: [NoticeState; 5] = [Self::Waiting, Self::Queued, Self::Sent, Self::Failed, Self::Undeliverable];

    /// The word in the desk and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            NoticeState::Waiting => "waiting",
            NoticeState::Queued => "queued",
            NoticeState::Sent => "sent",
            NoticeState::Failed => "failed",
            NoticeState::Undeliverable => "undeliverable",
        }
    }
}

/// One notice, for people and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeRow {
    /// Its id.
    pub id: String,
    /// Its alert.
    pub alert: String,
    /// Its audience.
    pub audience: String,
    /// Where it stands.
    pub state: NoticeState,
    /// The channel it stands at; `None` while it waits and where it cannot be delivered.
    pub channel: Option<String>,
    /// Tries on that channel.
    pub attempts: u32,
    /// Why it failed last, or cannot be delivered.
    pub reason: Option<String>,
}

/// How many notices are in which state.
pub type Depth = BTreeMap<(Option<String>, NoticeState), u64>;

pub(super) struct NewNotice<'a> {
    pub alert: &'a AlertDocument,
    pub audience: Audience,
    pub chain: Vec<String>,
    pub case: CaseNumber,
    pub case_counter: i64,
}

/// A notice that waits for a contact.
pub(super) struct Waiting {
    id: String,
    alert: String,
    audience: Audience,
    chain: Vec<String>,
    case_counter: i64,
    created: Millis,
    contact: Option<Millis>,
}

const INSERT: &str = "INSERT INTO notices VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, 0, ?9, ?10, ?11, ?12, ?13)";

impl Desk {
    /// Queues a notice of a new alert, or lets it wait for its contact.
    pub(super) fn enqueue(
        &self,
        tx: &Transaction<'_>,
        notice: NewNotice<'_>,
        composer: &dyn Compose,
        now: Millis,
        taken: &mut Taken,
    ) -> Result<(), DeskError> {
        let NewNotice { alert, audience, chain, case, case_counter } = notice;
        let id = notice_id(&alert.id, audience, &chain);
        let account = alert.account.as_deref();
        let contact = match account {
            Some(account) => contacts::at_hand(tx, account)?,
            None => None,
        };
        let wanted = alert.contact_as_of.as_deref().and_then(contacts::parse_time);
        let at_hand = contact.as_ref().map(|(as_of, _)| *as_of);
        let waits = audience == Audience::User && account.is_some() && wanted > at_hand;
        let order =
            Order { notice: &id, audience, alert, contact: contact.as_ref().map(|(_, c)| c), case, created: now };
        let made = if waits { Made::Waiting } else { make(&order, &chain, composer) };
        let ttl_ms = match audience {
            Audience::User => self.config.user_notice_ttl_ms,
            Audience::Security | Audience::Operations => self.config.team_notice_ttl_ms,
        };
        let next = if waits { now.plus(self.config.contact_wait_ms) } else { now };
        tx.prepare_cached(INSERT)?.execute(params![
            id,
            alert.id,
            case_counter,
            account,
            audience_word(audience),
            serde_json::to_string(&chain).unwrap_or_default(),
            made.state().word(),
            made.channel(),
            now.0,
            next.0,
            now.plus(ttl_ms).0,
            wanted.map(|w| w.0),
            made.reason(),
        ])?;
        keep_messages(tx, &id, &made)?;
        made.count(taken);
        Ok(())
    }

    /// A notice that waited goes on, with the contact it waited for or with what is at hand.
    pub(super) fn settle_waiting(
        &self,
        tx: &Transaction<'_>,
        waiting: &Waiting,
        composer: &dyn Compose,
        now: Millis,
        taken: &mut Taken,
    ) -> Result<(), DeskError> {
        let bytes: Vec<u8> = tx
            .prepare_cached("SELECT document FROM alerts WHERE id = ?1")?
            .query_row([&waiting.alert], |row| row.get(0))?;
        let Ok(Document::Alert(alert)) = serde_json::from_slice(&bytes) else {
            return Ok(());
        };
        let contact = match &alert.account {
            Some(account) => contacts::at_hand(tx, account)?,
            None => None,
        };
        if contact.as_ref().map(|(as_of, _)| *as_of) < waiting.contact {
            taken.contact_late += 1;
        }
        let order = Order {
            notice: &waiting.id,
            audience: waiting.audience,
            alert: &alert,
            contact: contact.as_ref().map(|(_, c)| c),
            case: self.numbered(waiting.case_counter)?.number,
            created: waiting.created,
        };
        let made = make(&order, &waiting.chain, composer);
        tx.prepare_cached("UPDATE notices SET state = ?2, channel = ?3, reason = ?4, next_ms = ?5 WHERE id = ?1")?
            .execute(params![waiting.id, made.state().word(), made.channel(), made.reason(), now.0])?;
        keep_messages(tx, &waiting.id, &made)?;
        made.count(taken);
        Ok(())
    }

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

    /// The newest notices first, at most `limit`.
    pub fn notices(&self, limit: u32) -> Result<Vec<NoticeRow>, DeskError> {
        self.read(|c| {
            let mut rows = c.prepare_cached(
                "SELECT id, alert, audience, state, channel, attempts, reason FROM notices
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
                });
            }
            Ok(notices)
        })
    }
}

/// What came of composing a notice.
enum Made {
    Waiting,
    Queued(Vec<(String, Message)>),
    Undeliverable(Undeliverable),
}

impl Made {
    fn state(&self) -> NoticeState {
        match self {
            Made::Waiting => NoticeState::Waiting,
            Made::Queued(_) => NoticeState::Queued,
            Made::Undeliverable(_) => NoticeState::Undeliverable,
        }
    }

    fn channel(&self) -> Option<&str> {
        match self {
            Made::Queued(messages) => messages.first().map(|(channel, _)| channel.as_str()),
            Made::Waiting | Made::Undeliverable(_) => None,
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Made::Undeliverable(why) => Some(why.reason()),
            Made::Waiting | Made::Queued(_) => None,
        }
    }

    fn count(&self, taken: &mut Taken) {
        match self {
            Made::Waiting => taken.waiting += 1,
            Made::Queued(_) => *taken.queued.entry(self.channel().unwrap_or_default().to_owned()).or_default() += 1,
            Made::Undeliverable(why) => *taken.undeliverable.entry(why.reason()).or_default() += 1,
        }
    }
}

/// The messages of each channel of the chain that can carry the notice; where none can, what the first said.
fn make(order: &Order<'_>, chain: &[String], composer: &dyn Compose) -> Made {
    let mut messages = Vec::new();
    let mut first_refusal = None;
    for channel in chain {
        match composer.compose(order, channel) {
            Ok(message) => messages.push((channel.clone(), message)),
            Err(why) => first_refusal = first_refusal.or(Some(why)),
        }
    }
    if messages.is_empty() {
        return Made::Undeliverable(first_refusal.unwrap_or(Undeliverable::NoChannel));
    }
    Made::Queued(messages)
}

fn keep_messages(tx: &Transaction<'_>, notice: &str, made: &Made) -> Result<(), DeskError> {
    let Made::Queued(messages) = made else { return Ok(()) };
    let mut keep = tx.prepare_cached("INSERT INTO messages VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (position, (channel, message)) in messages.iter().enumerate() {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        keep.execute(params![notice, position, channel, message.recipient, message.body])?;
    }
    Ok(())
}

/// The idempotency key: the same alert, audience and channels always give the same.
fn notice_id(alert: &str, audience: Audience, chain: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [alert, audience_word(audience)].into_iter().chain(chain.iter().map(String::as_str)) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let hex = hasher.finalize().to_hex();
    format!("nt_{}", hex.get(..32).unwrap_or_default())
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

const WAITING: &str = "SELECT id, alert, audience, chain, case_counter, created_ms, contact_ms FROM notices
                       WHERE state = 'waiting'";

/// Notices that wait for a contact of `account` no newer than `as_of`.
pub(super) fn waiting_for(tx: &Transaction<'_>, account: &str, as_of: Millis) -> Result<Vec<Waiting>, DeskError> {
    let mut rows = tx.prepare_cached(&format!("{WAITING} AND account = ?1 AND contact_ms <= ?2 ORDER BY id"))?;
    Ok(rows.query_map(params![account, as_of.0], waiting)?.collect::<Result<_, _>>()?)
}

/// Notices that have waited until `now`.
pub(super) fn waiting_until(tx: &Transaction<'_>, now: Millis) -> Result<Vec<Waiting>, DeskError> {
    let mut rows = tx.prepare_cached(&format!("{WAITING} AND next_ms <= ?1 ORDER BY next_ms, id"))?;
    Ok(rows.query_map([now.0], waiting)?.collect::<Result<_, _>>()?)
}

fn waiting(row: &rusqlite::Row<'_>) -> rusqlite::Result<Waiting> {
    let audience = match row.get::<_, String>(2)?.as_str() {
        "user" => Audience::User,
        "security" => Audience::Security,
        _ => Audience::Operations,
    };
    Ok(Waiting {
        id: row.get(0)?,
        alert: row.get(1)?,
        audience,
        chain: serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default(),
        case_counter: row.get(4)?,
        created: Millis(row.get(5)?),
        contact: row.get::<_, Option<i64>>(6)?.map(Millis),
    })
}

fn state(word: &str) -> Option<NoticeState> {
    NoticeState::ALL.into_iter().find(|s| s.word() == word)
}
