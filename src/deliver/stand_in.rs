//! Channels that stand in for the real ones where nothing is sent: every channel a policy names is there.
//!
//! Guarantees: a notice is carried where a real channel would carry it, as far as that does not depend on the
//! configuration (servers, gateways, countries allowed); the message is the words themselves. Sends nothing.

use std::sync::Arc;

use super::channel::{Channel, Channels, Sending, Texts};
use super::retry::Outcome;
use super::sms;
use crate::alert::{Message, Order, Undeliverable};
use crate::event::Millis;
use crate::ruleset::Policy;

/// The channel of mails.
pub const EMAIL: &str = "email";
/// The channel of text messages.
pub const SMS: &str = "sms";

/// What stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StandIn {
    Email,
    Sms,
    Team,
}

/// A stand-in for every channel that the routes name.
pub fn channels(policy: &Policy) -> Channels {
    let mut channels = Channels::default();
    for name in policy.routes.iter().flat_map(|route| &route.channels) {
        let stand_in = match name.as_str() {
            EMAIL => StandIn::Email,
            SMS => StandIn::Sms,
            _ => StandIn::Team,
        };
        channels.add(name, Arc::new(stand_in));
    }
    channels
}

impl Channel for StandIn {
    fn sends_max(&self) -> usize {
        1
    }

    fn is_for_users(&self) -> bool {
        *self != StandIn::Team
    }

    /// The body of a mail is its subject, an empty line and its text.
    fn compose(&self, order: &Order<'_>, texts: Option<&Texts>) -> Result<Message, Undeliverable> {
        if *self == StandIn::Team {
            return Ok(Message { recipient: String::new(), body: Vec::new() });
        }
        let texts = texts.ok_or(Undeliverable::NoTemplate)?;
        let contact = order.contact.ok_or(Undeliverable::NoContact)?;
        if *self == StandIn::Email {
            let recipient = contact.email.clone().ok_or(Undeliverable::NoAddress)?;
            let body = format!("{}\n\n{}", texts.subject, texts.text);
            return Ok(Message { recipient, body: body.into_bytes() });
        }
        let recipient = sms::recipient(order)?;
        Ok(Message { recipient, body: texts.sms.clone().into_bytes() })
    }

    fn send(self: Arc<Self>, _: String, _: Message, _: Millis) -> Sending {
        Box::pin(std::future::ready(Outcome::Permanent { reason: "rehearsal" }))
    }
}
