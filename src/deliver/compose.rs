//! From an alert to messages: the policy's channels, the templates' words.
//!
//! Guarantees: users get words of a template, teams the alert itself; nothing is composed that could not be
//! sent. Does not store or send.

use std::sync::Arc;

use super::channel::Channels;
use super::router;
use super::template::Templates;
use crate::alert::{Compose, Message, Order, Undeliverable};
use crate::ruleset::{Audience, Band, Policy};

/// What makes messages.
#[derive(Debug)]
pub struct Composer {
    policy: Arc<Policy>,
    channels: Channels,
    templates: Arc<Templates>,
}

impl Composer {
    /// From what was loaded.
    pub fn new(policy: Arc<Policy>, channels: Channels, templates: Arc<Templates>) -> Self {
        Composer { policy, channels, templates }
    }
}

impl Compose for Composer {
    fn chains(&self, audience: Audience, band: Band) -> Vec<Vec<String>> {
        router::chains(&self.policy, &self.channels, audience, band)
    }

    fn compose(&self, order: &Order<'_>, channel: &str) -> Result<Message, Undeliverable> {
        let channel = self.channels.get(channel).ok_or(Undeliverable::NoChannel)?;
        if !channel.is_for_users() {
            return channel.compose(order, None);
        }
        // Without an address no text is needed, and "no contact" is the reason worth knowing.
        if order.contact.is_none() {
            return Err(Undeliverable::NoContact);
        }
        channel.compose(order, Some(&self.templates.render(order)?))
    }
}
