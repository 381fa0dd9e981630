//! Notices on their way out: from the desk's outbox to mail, SMS and webhooks.
//!
//! `Channels` and `Templates` are built from configuration and files, `Composer` makes messages of alerts for
//! the desk, `Service` sends what the desk has queued.
//!
//! Guarantees: what a user reads obeys the rules for notices; only what a receiver confirmed counts as sent;
//! a dead channel slows no other. Does not decide who is told: `alert` does.

pub mod channel;
pub mod clean;
pub mod compose;
pub mod config;
pub mod email;
pub mod facts;
pub mod notice_files;
pub mod notice_rules;
pub mod places;
pub mod retry;
pub mod router;
pub mod samples;
pub mod service;
pub mod sms;
pub mod stand_in;
pub mod template;
mod template_check;
pub mod tls;
mod unreached;
pub mod webhook;
pub mod worker;

pub use channel::{Channel, Channels, Sending, Texts, Time};
pub use compose::Composer;
pub use config::{ChannelsConfig, EmailConfig, EmailSecurity, NoticesConfig, SmsConfig, WebhookConfig};
pub use notice_files::NoticeFiles;
pub use retry::Outcome;
pub use service::{Drained, Service, Tally};
pub use template::Templates;
pub use tls::install_provider;
pub use worker::WallTime;

#[cfg(test)]
mod notice_tests;
