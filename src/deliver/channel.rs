//! What every channel can do, and the list of those that are configured.
//!
//! Guarantees: a channel sends bytes that are ready and says how it ended; it keeps nothing of a notice.
//! Does not decide when or to whom.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use super::config::ChannelsConfig;
use super::email::Email;
use super::retry::Outcome;
use super::sms::Sms;
use super::webhook::Webhook;
use crate::alert::{Message, Order, Undeliverable};
use crate::report::Problem;

/// The end of a try, once it is known.
pub type Sending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What a user's notice says, ready for any channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// The language it is in.
    pub locale: String,
    /// The subject of the mail, one line.
    pub subject: String,
    /// The mail as text.
    pub text: String,
    /// The mail as HTML.
    pub html: String,
    /// The SMS, at most two segments.
    pub sms: String,
}

/// Tells the time and waits for it. One for the service, one for tests that stand still.
pub trait Time: Send + Sync {
    /// Now, ms since 1970.
    fn now(&self) -> crate::event::Millis;
    /// Ends when it is `at`.
    fn until(&self, at: crate::event::Millis) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// A channel.
pub trait Channel: Send + Sync {
    /// Sends at once: at most this many.
    fn sends_max(&self) -> usize;
    /// Whether it carries notices to users, which need their texts.
    fn is_for_users(&self) -> bool;
    /// The message of a notice; `texts` are there where [`Channel::is_for_users`] says so.
    fn compose(&self, order: &Order<'_>, texts: Option<&Texts>) -> Result<Message, Undeliverable>;
    /// Sends a message; `notice` is the idempotency key. Ends within the channel's own time-out, and may be
    /// dropped at any moment.
    fn send(self: Arc<Self>, notice: String, message: Message, now: crate::event::Millis) -> Sending;
}

/// The configured channels by name.
#[derive(Clone, Default)]
pub struct Channels(BTreeMap<String, Arc<dyn Channel>>);

impl Channels {
    /// Builds every channel, or tells every problem. Reads CA and template files; touches no network.
    pub fn build(config: &ChannelsConfig) -> Result<Self, Vec<Problem>> {
        let mut channels = Channels::default();
        let mut problems = Vec::new();
        if let Some(email) = &config.email {
            match Email::build(email) {
                Ok(email) => channels.add("email", Arc::new(email)),
                Err(found) => problems.extend(found),
            }
        }
        if let Some(sms) = &config.sms {
            match Sms::build(sms) {
                Ok(sms) => channels.add("sms", Arc::new(sms)),
                Err(found) => problems.extend(found),
            }
        }
        for (name, webhook) in &config.webhooks {
            if matches!(name.as_str(), "email" | "sms") {
                let problem = Problem::nowhere("N020", format!("a webhook cannot be called `{name}`"));
                problems.push(problem.about(format!("webhook.{name}")));
            }
            match Webhook::build(&format!("webhook.{name}"), webhook) {
                Ok(webhook) => channels.add(name, Arc::new(webhook)),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(channels) } else { Err(problems) }
    }

    /// Adds a channel under a name, in place of one that has it.
    pub fn add(&mut self, name: impl Into<String>, channel: Arc<dyn Channel>) {
        self.0.insert(name.into(), channel);
    }

    /// The channel of a name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Channel>> {
        self.0.get(name)
    }

    /// Every name, sorted: what routes may name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Names and channels.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Arc<dyn Channel>)> {
        self.0.iter()
    }
}

impl std::fmt::Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
