//! Notices on their way out: templates, email, SMS and webhook.

pub mod channel;
pub mod clean;
pub mod compose;
pub mod config;
pub mod email;
pub mod facts;
pub mod notice_rules;
pub mod places;
pub mod retry;
pub mod router;
pub mod samples;
pub mod service;
pub mod sms;
pub mod template;
pub mod tls;
pub mod webhook;
pub mod worker;

#[cfg(test)]
mod notice_tests;
