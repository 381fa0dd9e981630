//! What the engine's memory is accounted to, part by part, and how much of the ceiling each may take.
//!
//! Guarantees: a function of what is kept, by lengths and counts: the same after a restart, whatever the system says.
//! Event ids, contacts and silences have shares that they cannot pass; entities and chains have the rest. Decides
//! nobody's going.

use crate::features::NO_CEILING;

/// Event ids take no more than one of so many parts of the ceiling.
const EVENT_IDS_PART: usize = 6;
/// Silences of rules take no more than one of so many.
const SILENCES_PART: usize = 8;
/// Contacts take no more than one of so many.
const CONTACTS_PART: usize = 4;

/// An event id at most, bytes: its place in a line that may be half empty while the table grows, its turn, and that it
/// is not saved yet.
pub const EVENT_ID_BYTES: usize = 64;
/// What a rule fired for, at most, bytes: its place in a map that may be half empty, and that it changed.
pub const SILENCE_BYTES: usize = 96;

/// Memory as it is accounted, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accounted {
    /// Entities and their features.
    pub entities: usize,
    /// Chains of sequences.
    pub sequences: usize,
    /// Contacts of accounts, and their changed SIMs.
    pub contacts: usize,
    /// What rules are silent about.
    pub silences: usize,
    /// Ids of the events accepted lately.
    pub event_ids: usize,
}

impl Accounted {
    /// All of it.
    pub fn total(self) -> usize {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }

    /// Each part with its name.
    pub fn parts(self) -> [(&'static str, usize); 5] {
        [
            ("entities", self.entities),
            ("sequences", self.sequences),
            ("contacts", self.contacts),
            ("silences", self.silences),
            ("event_ids", self.event_ids),
        ]
    }
}

/// What each part may take under a ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Event ids, at most.
    pub event_ids_max: usize,
    /// Pairs of rule and entity that are silent, at most.
    pub silences_max: usize,
    /// Contacts, bytes.
    pub contacts_bytes_max: usize,
}

impl Shares {
    /// Under a ceiling in bytes; [`NO_CEILING`]: without one.
    pub fn of(ceiling_bytes: usize) -> Self {
        if ceiling_bytes == NO_CEILING {
            return Shares { event_ids_max: usize::MAX, silences_max: usize::MAX, contacts_bytes_max: usize::MAX };
        }
        Shares {
            event_ids_max: (ceiling_bytes / EVENT_IDS_PART / EVENT_ID_BYTES).max(1),
            silences_max: ceiling_bytes / SILENCES_PART / SILENCE_BYTES,
            contacts_bytes_max: ceiling_bytes / CONTACTS_PART,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Options;
    use crate::features::store::StateConfig;

    #[test]
    fn the_defaults_fit_into_their_share() {
        let ceiling = StateConfig::default().engine_bytes_max();
        let shares = Shares::of(ceiling);
        let event_ids_max = Options::default().event_ids_max;
        assert!(shares.event_ids_max >= event_ids_max, "limits.event_ids_max holds as it stands: {shares:?}");
        let ids_and_silences = shares.event_ids_max * EVENT_ID_BYTES + shares.silences_max * SILENCE_BYTES;
        let left = ceiling - ids_and_silences - shares.contacts_bytes_max;
        assert!(left > ceiling * 2 / 5, "entities and chains have {left} of {ceiling} whatever happens");
    }
}
