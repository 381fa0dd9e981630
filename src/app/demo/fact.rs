//! What the parts of the demo tell the story-teller: one fact each, with the moment it was told.
//!
//! Guarantees: facts of one part come in their order; a part that tells more than can be shown waits. Facts hold
//! invented people only: nothing here ever sees a real wallet.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use crate::detect::document::AlertDocument;
use crate::event::Millis;

/// Facts that may wait to be shown.
const FACTS_MAX: usize = 4096;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Fact {
    /// So many records of the days before are sent.
    Learned {
        /// Records sent.
        sent: u64,
    },
    /// The played clock, and how much is sent.
    Clock {
        /// What the clock of the wallet says.
        now: Millis,
        /// Records sent, learning among them.
        sent: u64,
    },
    /// An event of a planted scene was sent.
    Step(Step),
    /// How somebody of a planted scene can be reached.
    Contact {
        /// The account.
        account: String,
        /// Mail address.
        email: Option<String>,
        /// Telephone number.
        phone: Option<String>,
    },
    /// A rule in shadow fired on an event of a planted scene.
    Seen {
        /// The event.
        event: String,
        /// The rule.
        rule: String,
    },
    /// An alert stands in `wallet.alerts`.
    Alert(Box<AlertDocument>),
    /// A mail arrived.
    Mail(Letter),
    /// A text message arrived at the gateway.
    Sms(Letter),
}

/// One event of a planted scene.
#[derive(Debug, Clone)]
pub struct Step {
    /// The event.
    pub event: String,
    /// When it happened.
    pub time: Millis,
    /// What happened, in words.
    pub text: String,
}

/// A mail or a text message as it arrived.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Mail address or number.
    pub to: String,
    /// Subject of the mail, text of the message.
    pub text: String,
    /// Its file, from the folder of the demo.
    pub file: String,
}

/// Tells facts.
#[derive(Debug, Clone)]
pub struct Teller {
    began: Instant,
    facts: SyncSender<(u64, Fact)>,
}

impl Teller {
    /// The teller, and where its facts come out, each with the ms since `began`.
    pub fn new(began: Instant) -> (Self, Receiver<(u64, Fact)>) {
        let (facts, told) = sync_channel(FACTS_MAX);
        (Teller { began, facts }, told)
    }

    /// Tells one. False when nobody listens any more.
    pub fn tell(&self, fact: Fact) -> bool {
        self.facts.send((self.elapsed_ms(), fact)).is_ok()
    }

    /// Since the demo began, ms.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
