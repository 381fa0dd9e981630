//! The engine beside a store to which entities leave memory.
//!
//! Guarantees: what it tells and knows is the same whoever left and came back. Where a read fails, nothing that was
//! decided with it reaches the sink, and [`Engine::check`] says why: then the engine must not be used any more.

use super::Engine;
use crate::event::Event;
use crate::features::Residence;
use crate::features::store::{Source, StoreError};
use crate::ruleset::KeyField;

impl Engine {
    /// From now on entities may leave memory for this store: every save goes there.
    pub fn keep_in(&mut self, stored: Source) {
        self.state.keep_in(stored);
    }

    /// Every save so far is in the store: what has not changed since may leave.
    pub fn at_rest(&mut self) {
        self.state.at_rest();
    }

    /// Whether everything that was asked back could be read; after an error the engine must not be used any more.
    pub fn check(&self) -> Result<(), StoreError> {
        self.state.check()
    }

    /// Memory that entities are accounted to take, without those that left it, bytes: what is held against
    /// [`Options::state_resident_max_bytes`](crate::detect::Options::state_resident_max_bytes).
    pub fn resident_bytes(&self) -> usize {
        self.state.resident_bytes()
    }

    /// Lets entities leave memory, between two calls of [`Engine::take`], until what stays takes no more than
    /// `resident_bytes_max`, and at most `entities_max` of them: first who came only once, then the idle, and everybody
    /// only where `also_busy`. Nobody who changed since the last save leaves, and nobody while that is on its way to the
    /// store. How many left.
    pub fn send_away(&mut self, resident_bytes_max: usize, entities_max: usize, also_busy: bool) -> usize {
        self.state.send_away(resident_bytes_max, entities_max, also_busy)
    }

    /// Where the entities of a kind are.
    pub fn residence(&self, kind: KeyField) -> Residence {
        self.state.residence(kind)
    }

    /// Makes sure that an event's account is in memory, whatever the event asked of it. False: it cannot be read.
    pub(super) fn has_account(&mut self, event: &Event<'_>) -> bool {
        let account = event.account.as_deref().map_or(0, |account| self.ids.key().text(account));
        if account != 0 {
            self.state.bring_back(account);
        }
        !self.state.has_failed()
    }
}
