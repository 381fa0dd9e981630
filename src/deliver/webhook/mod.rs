//! Webhooks: signed JSON by HTTPS. The SMS channel and the security team's use the same endpoint.
//!
//! Guarantees: the body is the alert's own document with its case number, which holds ids and nothing personal.
//! Does not know the shapes of particular products.

mod address;
mod client;
mod signature;

use std::sync::Arc;

use serde::Serialize;

pub use address::{UrlRefused, check_url};
pub use client::Endpoint;
pub use signature::{KeyRefused, Signer};

use super::channel::{Channel, Sending, Texts};
use super::config::WebhookConfig;
use crate::alert::{Message, Order, Undeliverable};
use crate::detect::document::AlertDocument;
use crate::event::Millis;
use crate::report::Problem;

/// A team's webhook.
#[derive(Debug)]
pub struct Webhook(Endpoint);

/// The body: type, time and data, as Standard Webhooks advises.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: Millis,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    case: String,
    alert: &'a AlertDocument,
}

impl Webhook {
    /// Checks the configuration's section of this name; all problems at once.
    pub fn build(section: &str, config: &WebhookConfig) -> Result<Self, Vec<Problem>> {
        Endpoint::build(section, config).map(Webhook)
    }
}

impl Channel for Webhook {
    fn sends_max(&self) -> usize {
        self.0.requests_max()
    }

    fn is_for_users(&self) -> bool {
        false
    }

    fn compose(&self, order: &Order<'_>, _: Option<&Texts>) -> Result<Message, Undeliverable> {
        let data = Data { case: order.case.to_string(), alert: order.alert };
        let body = Body { r#type: "alert", timestamp: order.created, data };
        let body = serde_json::to_vec(&body).map_err(|_| Undeliverable::NoTemplate)?;
        Ok(Message { recipient: String::new(), body })
    }

    fn send(self: Arc<Self>, notice: String, message: Message, now: Millis) -> Sending {
        Box::pin(async move { self.0.post(&notice, message.body, now).await })
    }
}
