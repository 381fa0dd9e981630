//! Memory beside the store: when entities leave it, and when that is not enough.
//!
//! Guarantees: what is remembered in memory is kept below its ceiling as long as the store takes what changed; a batch
//! waits only where too much of it changed since the last checkpoint, and that is counted. Changes no result.

use super::Prepared;
use crate::detect::{Engine, Options};
use crate::features::NO_CEILING;
use crate::features::store::StateConfig;

/// Entities that leave after one batch, at most, while there is room still.
const LEAVE_PER_BATCH_MAX: usize = 4096;

/// How an engine runs whose state is kept: with the ceilings of memory, and of what is remembered at all.
pub fn options(prepared: &Prepared) -> Options {
    let state = &prepared.config.state;
    let whole = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Options {
        state_memory_max_bytes: whole(state.kept_max_bytes),
        state_resident_max_bytes: state.engine_bytes_max(),
        ..prepared.config.engine.clone()
    }
}

/// What the ceiling asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// A checkpoint soon: too little of what is in memory is in the store.
    Checkpoint,
    /// A checkpoint now, and nothing before it is in the store.
    Wait,
}

/// The ceiling.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    bytes_max: usize,
}

impl Room {
    /// Room for what the configuration says.
    pub fn of(state: &StateConfig) -> Self {
        Room { bytes_max: state.engine_bytes_max() }
    }

    /// The ceiling, bytes.
    pub fn bytes_max(self) -> usize {
        self.bytes_max
    }

    /// From three quarters on idle entities leave, some after each batch; at the ceiling as many as must, busy ones too.
    pub fn make(self, engine: &mut Engine) -> Need {
        if self.bytes_max == NO_CEILING {
            return Need::Nothing;
        }
        let part = |eighths: usize| self.bytes_max / 8 * eighths;
        if engine.resident_bytes() <= part(6) {
            return Need::Nothing;
        }
        engine.send_away(part(6), LEAVE_PER_BATCH_MAX, false);
        if engine.resident_bytes() > self.bytes_max {
            engine.send_away(part(7), usize::MAX, true);
        }
        match engine.resident_bytes() {
            bytes if bytes > self.bytes_max => Need::Wait,
            bytes if bytes > part(7) => Need::Checkpoint,
            _ => Need::Nothing,
        }
    }
}
