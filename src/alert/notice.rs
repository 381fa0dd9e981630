//! Notices: what they are made from, what is sent, and the words for where they stand.
//!
//! Guarantees: every state, step and reason is a word fit for a metric label. Does not store or send.

use std::collections::BTreeMap;

use super::case_number::CaseNumber;
use crate::detect::document::{AlertDocument, ContactDocument};
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

/// Which of an account's addresses a notice goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Addressee {
    /// Those in force.
    Current,
    /// Those before the last change: who changed them may not be the owner.
    Previous,
}

impl Addressee {
    /// The word in the desk.
    pub fn word(self) -> &'static str {
        match self {
            Addressee::Current => "current",
            Addressee::Previous => "previous",
        }
    }
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
    pub(super) const ALL: [NoticeState; 5] =
        [Self::Waiting, Self::Queued, Self::Sent, Self::Failed, Self::Undeliverable];

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
    /// The word of its [`Addressee`].
    pub addressee: String,
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
