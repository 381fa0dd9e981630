//! Notices on their way out: templates, email, SMS and webhook.

pub mod channel;
pub mod config;
pub mod email;
pub mod retry;
pub mod router;
pub mod sms;
pub mod tls;
pub mod webhook;
