//! The section `[http]`.
//!
//! Guarantees: nothing listens where nothing was written. Opens no port.

use std::net::SocketAddr;

use super::table::Section;
use crate::telemetry::http::HttpConfig;

/// Reads it.
pub fn read(section: Section<'_, '_>) -> HttpConfig {
    let mut config = HttpConfig::default();
    if let Some(listen) = section.text("listen") {
        match listen.value.parse::<SocketAddr>() {
            Ok(address) => config.listen = Some(address),
            Err(_) => {
                let message = format!("\"{}\" is not an address with a port", listen.value);
                let help = "such as `127.0.0.1:9464` or `[::1]:9464`; no names, and port 0 is any free one";
                section.refuse_with_help("C005", &listen.at, message, help);
            }
        }
    }
    let records = section.number("ready_lag_records_max", 1..=1_000_000_000_000);
    if let Some(n) = records.and_then(|n| u64::try_from(n).ok()) {
        config.ready_lag_records_max = n;
    }
    section.done();
    config
}
