//! One record of the stream, and where it goes.
//!
//! Guarantees: the topics' usual names are written here and nowhere else in the generator.

use crate::event::{EventType, Millis};

/// Where a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Logins, logouts, second factors, passwords, locks.
    Logins,
    /// What changes about an account, reports, the service's state; and what cannot be told.
    Accounts,
    /// Money.
    Transactions,
}

impl Topic {
    /// All, in the order of their names' meaning.
    pub const ALL: [Topic; 3] = [Topic::Logins, Topic::Accounts, Topic::Transactions];

    /// The topic's usual name.
    pub fn name(self) -> &'static str {
        match self {
            Topic::Logins => "wallet.logins",
            Topic::Accounts => "wallet.accounts",
            Topic::Transactions => "wallet.transactions",
        }
    }

    /// Where events of a type go.
    pub(super) fn of(kind: EventType) -> Topic {
        match kind {
            EventType::Login
            | EventType::Logout
            | EventType::Mfa
            | EventType::PasswordReset
            | EventType::PasswordChanged
            | EventType::Lock => Topic::Logins,
            EventType::Transfer | EventType::Payment | EventType::Withdrawal | EventType::TopUp => Topic::Transactions,
            _ => Topic::Accounts,
        }
    }
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'g> {
    /// Where it goes.
    pub topic: Topic,
    /// Its key: the account, the hash of the login name, or nothing; empty: none.
    pub key: &'g [u8],
    /// Its value: one line of JSON, or damaged.
    pub value: &'g [u8],
    /// When it reaches Kafka: its record timestamp.
    pub stamp: Millis,
}
