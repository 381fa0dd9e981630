//! From an alert to messages: the policy's channels, the templates' words.
//!
//! Guarantees: users get words of a template, teams the alert itself; nothing is composed that could not be
//! sent; policy and templates change between two notices, never in one. Does not store or send.

use std::sync::{Arc, PoisonError, RwLock};

use super::channel::Channels;
use super::router;
use super::template::Templates;
use crate::alert::{Compose, Message, Order, Undeliverable};
use crate::ruleset::{Audience, Band, Policy};

/// What makes messages.
#[derive(Debug)]
pub struct Composer {
    channels: Channels,
    words: RwLock<Words>,
}

/// What may change.
#[derive(Debug, Clone)]
struct Words {
    policy: Arc<Policy>,
    templates: Arc<Templates>,
    /// The templates before the last change: an alert may still name a notice that only they had.
    before: Option<Arc<Templates>>,
}

impl Composer {
    /// From what was loaded.
    pub fn new(policy: Arc<Policy>, channels: Channels, templates: Arc<Templates>) -> Self {
        Composer { channels, words: RwLock::new(Words { policy, templates, before: None }) }
    }

    /// Goes over to others.
    pub fn change(&self, policy: Arc<Policy>, templates: Arc<Templates>) {
        let mut words = self.words.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&words.templates, &templates) {
            words.before = Some(std::mem::replace(&mut words.templates, templates));
        }
        words.policy = policy;
    }

    fn words(&self) -> Words {
        self.words.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Compose for Composer {
    fn chains(&self, audience: Audience, band: Band) -> Vec<Vec<String>> {
        router::chains(&self.words().policy, &self.channels, audience, band)
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
        let words = self.words();
        let texts = match (words.templates.render(order), words.before) {
            (Err(Undeliverable::NoTemplate), Some(before)) => before.render(order)?,
            (rendered, _) => rendered?,
        };
        channel.compose(order, Some(&texts))
    }
}
