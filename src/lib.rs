//! walletwatch: watches an e-wallet's event stream and warns people when an account may be under attack.
//!
//! ```text
//! Kafka events ─► ingest ─► event ─► geo ─► features ─► detect ─► wallet.alerts ─► alert ─► deliver ─► email, SMS, webhook
//!                   │                          ▲           ▲                         │
//!             dead letters                  (state)     ruleset                   desk.db
//! ```
//!
//! Read it in the order of the flow: [`event`], [`ingest`], [`geo`], [`ruleset`], [`detect`].

pub mod alert;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod detect;
pub mod disk;
pub mod event;
pub mod failpoint;
pub mod features;
pub mod geo;
pub mod ingest;
mod mutant;
pub mod report;
pub mod ruleset;
pub mod secret;
pub mod shutdown;
pub mod sim;
pub mod telemetry;
pub mod tuning;
pub mod yaml;
