//! The ceiling of the engine's memory: who is forgotten for good when all that is remembered takes too much.
//!
//! Guarantees: between two chunks the accounted bytes are no more than the ceiling, as long as there is an entity or a
//! chain to forget; contacts, silences and event ids stay under their shares by themselves. Depends on the input and
//! nothing else.

use super::Engine;
use crate::detect::memory::Accounted;
use crate::features::{AWAY_BYTES, NO_CEILING, Went};
use crate::ruleset::KeyField;

/// What never leaves memory takes all but one of so many parts of the room there at most.
const STAYING_PARTS: usize = 4;

impl Engine {
    /// What the memory is accounted to. Without a ceiling what entities point to is not in it.
    pub fn accounted(&self) -> Accounted {
        Accounted {
            entities: self.state.accounted_bytes(),
            sequences: self.sequences.accounted_bytes(),
            contacts: self.contacts.accounted_bytes(),
            silences: self.fired.accounted_bytes(),
            event_ids: self.duplicates.accounted_bytes(),
        }
    }

    /// Memory that all is accounted to take, bytes: what is held against
    /// [`Options::state_memory_max_bytes`](crate::detect::Options::state_memory_max_bytes).
    pub fn accounted_bytes(&self) -> usize {
        self.accounted().total()
    }

    /// What of it is not in entities, bytes: it never leaves memory.
    pub(super) fn beside_entities_bytes(&self) -> usize {
        let all = self.accounted();
        all.total() - all.entities
    }

    /// What would stay in memory if all entities left it, bytes: with a note of each.
    fn staying_bytes(&self) -> usize {
        self.beside_entities_bytes() + self.state.all_entities() * AWAY_BYTES
    }

    /// What they are held against, bytes.
    pub fn ceiling_bytes(&self) -> usize {
        self.options.state_memory_max_bytes
    }

    /// How many entities of a kind are remembered no more, since the start.
    pub fn went(&self, kind: KeyField) -> Went {
        self.state.went(kind)
    }

    /// The same of rules and entities with chains.
    pub fn sequences_went(&self) -> Went {
        self.sequences.went()
    }

    /// How many event ids were forgotten before their window ended, since the start.
    pub fn event_ids_went_early(&self) -> u64 {
        self.duplicates.went_early()
    }

    /// How many contacts were published and not remembered, for want of room, since the start.
    pub fn contacts_not_kept(&self) -> u64 {
        self.contacts.not_kept()
    }

    /// How many findings silence nothing, for want of room, since the start.
    pub fn silences_not_kept(&self) -> u64 {
        self.fired.not_kept()
    }

    /// Forgets entities and chains until all takes no more than the ceiling, and what never leaves memory no more than
    /// its part of the room there.
    pub(super) fn make_room(&mut self) {
        let (ceiling, room) = (self.options.state_memory_max_bytes, self.options.state_resident_max_bytes);
        let staying_max = if room == NO_CEILING { NO_CEILING } else { room / STAYING_PARTS * (STAYING_PARTS - 1) };
        if ceiling == NO_CEILING && room == NO_CEILING {
            return;
        }
        while self.accounted_bytes() > ceiling || self.staying_bytes() > staying_max {
            let is_chain = self.sequences.weight() > self.state.heaviest();
            let went = if is_chain { self.sequences.forget_one() } else { self.state.forget_one() };
            // The heaviest kind has nobody: then the others are as empty.
            if !went {
                return;
            }
        }
    }
}
