//! What operators see: one struct per operational fact, logs and counts together.
//!
//! Guarantees: a line of the log is one JSON object off a terminal; labels of metrics come from configuration
//! and code, never from events; no personal data. `http.rs` is all it serves over the network.

pub mod catalogue;
pub mod events;
pub mod health;
pub mod http;
pub mod log;
pub mod metrics;
pub mod reload;
pub mod state;

pub use health::Health;
pub use metrics::Metrics;
