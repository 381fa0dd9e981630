//! What the state tells of itself, without what serves it over the network.

#[path = "../../src/telemetry/catalogue.rs"]
pub mod catalogue;
#[path = "../../src/telemetry/health.rs"]
pub mod health;
#[path = "../../src/telemetry/metrics.rs"]
pub mod metrics;
#[path = "../../src/telemetry/state.rs"]
pub mod state;

pub use health::Health;
pub use metrics::Metrics;
