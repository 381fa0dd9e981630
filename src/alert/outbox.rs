//! The outbox: notices, durable before they are sent and marked after.
//!
//! A notice is rendered when it is queued, not when it is sent: its messages are kept as bytes. So each retry
//! is the same mail with the same Message-ID and the same signed body, a receiver that honours the key sees
//! one notice, and a template that is edited or broken meanwhile changes nothing that is under way.
//!
//! After an address was changed, a user is told at the old one too, by a notice of its own: the change may be
//! the theft.
//!
//! Guarantees: each notice of an alert is queued, waiting or undeliverable with a reason. Does not send.

use rusqlite::{Transaction, params};

use super::case_number::CaseNumber;
use super::contacts;
use super::desk::{Desk, Taken};
use super::error::DeskError;
use super::notice::{Addressee, Compose, Message, NoticeState, Order, Undeliverable};
use crate::detect::document::{AlertDocument, Document};
use crate::event::Millis;
use crate::ruleset::Audience;

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

const INSERT: &str = "INSERT INTO notices VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, 0, ?10, ?11, ?12, ?13, ?14)";

/// Where a notice stands in the desk, beside what came of composing it.
struct Place<'a> {
    addressee: Addressee,
    chain: &'a [String],
    case_counter: i64,
    next: Millis,
    /// The time of the contact its alert names.
    wanted: Option<Millis>,
}

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
        let id = notice_id(&alert.id, audience, Addressee::Current, &chain);
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
        let mut place = Place { addressee: Addressee::Current, chain: &chain, case_counter, next: now, wanted };
        if waits {
            place.next = now.plus(self.config.contact_wait_ms);
            return self.insert(tx, &order, &place, &Made::Waiting, taken);
        }
        self.insert(tx, &order, &place, &make(&order, &chain, composer), taken)?;
        self.tell_previous(tx, &order, place, composer, taken)
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
        let place = Place {
            addressee: Addressee::Current,
            chain: &waiting.chain,
            case_counter: waiting.case_counter,
            next: now,
            wanted: waiting.contact,
        };
        self.tell_previous(tx, &order, place, composer, taken)
    }

    /// Beside a notice to a user: the same to the addresses that were replaced lately, as one of its own.
    fn tell_previous(
        &self,
        tx: &Transaction<'_>,
        current: &Order<'_>,
        place: Place<'_>,
        composer: &dyn Compose,
        taken: &mut Taken,
    ) -> Result<(), DeskError> {
        if current.audience != Audience::User {
            return Ok(());
        }
        let time = contacts::parse_time(&current.alert.time).unwrap_or(current.created);
        let Some(contact) = current.contact.and_then(|c| contacts::before_change(c, time)) else { return Ok(()) };
        let id = notice_id(&current.alert.id, current.audience, Addressee::Previous, place.chain);
        let order = Order { notice: &id, contact: Some(&contact), ..*current };
        let others: Vec<String> = place
            .chain
            .iter()
            .filter(|channel| {
                let to = |order| composer.compose(order, channel).map(|message| message.recipient);
                to(&order) != to(current)
            })
            .cloned()
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        let made = make(&order, &others, composer);
        self.insert(tx, &order, &Place { addressee: Addressee::Previous, ..place }, &made, taken)
    }

    fn insert(
        &self,
        tx: &Transaction<'_>,
        order: &Order<'_>,
        place: &Place<'_>,
        made: &Made,
        taken: &mut Taken,
    ) -> Result<(), DeskError> {
        let ttl_ms = match order.audience {
            Audience::User => self.config.user_notice_ttl_ms,
            Audience::Security | Audience::Operations => self.config.team_notice_ttl_ms,
        };
        tx.prepare_cached(INSERT)?.execute(params![
            order.notice,
            order.alert.id,
            place.case_counter,
            order.alert.account,
            order.audience.word(),
            place.addressee.word(),
            serde_json::to_string(place.chain)?,
            made.state().word(),
            made.channel(),
            order.created.0,
            place.next.0,
            order.created.plus(ttl_ms).0,
            place.wanted.map(|w| w.0),
            made.reason(),
        ])?;
        keep_messages(tx, order.notice, made)?;
        made.count(taken);
        Ok(())
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

/// The idempotency key: the same alert, audience, addressee and channels always give the same.
fn notice_id(alert: &str, audience: Audience, addressee: Addressee, chain: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [alert, audience.word(), addressee.word()].into_iter().chain(chain.iter().map(String::as_str)) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let hex = hasher.finalize().to_hex();
    format!("nt_{}", hex.get(..32).unwrap_or_default())
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
