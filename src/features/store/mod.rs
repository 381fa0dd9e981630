//! Where the state outlives the process: entities and the rest of the engine's state as bytes under keys.
//!
//! Guarantees: what is read is what was written, or an error that says what is wrong; after a crash a store holds one
//! whole checkpoint, never a mixture of two. Knows no aggregate and no rule: it keeps bytes, sorted by [`Space`].

use std::io;
use std::path::{Path, PathBuf};

use crate::ruleset::KeyField;

mod checkpoint;
mod fjall;
mod fjall_files;
#[cfg(test)]
mod fjall_tests;
mod hash_key;
mod memory;
mod recover;
mod redo;
mod redo_file;
mod shelf;
mod simulated;
#[cfg(test)]
mod simulation_tests;
mod steps;
mod writer;

pub use checkpoint::{Checkpoint, FORMAT, Mark, NextOffset, Progress};
pub use fjall::{FjallStore, SpaceSize};
pub use hash_key::StateKey;
pub use memory::MemoryStore;
pub use recover::{Recovered, Redone, recover};
pub use redo::{Change, Redo};
pub use shelf::{Shelf, Source};
pub use simulated::SimulatedStore;
pub use steps::Place;
pub use writer::{CHECK, CheckpointWatch, Checkpoints, Hands, LATENCY_MAX, LATENCY_WARN};

/// What a key belongs to. The numbers stand in files: they keep their meaning for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Space {
    /// What the engine has once: versions, watermarks, numbers of features and rules.
    Meta = 1,
    /// What is silent by `dedup`, and until when.
    Fired = 2,
    /// Contacts of accounts as they were last told.
    Contact = 3,
    /// Chains of sequences that have begun.
    Sequence = 4,
    /// Ids of the events of the last minutes.
    EventIds = 5,
    /// Accounts.
    Account = 16,
    /// Login names.
    LoginName = 17,
    /// Addresses, IPv6 by /64.
    Ip = 18,
    /// Networks, /24 or /64.
    Subnet = 19,
    /// Networks, /24 or /56.
    Subnet56 = 20,
    /// Networks, /24 or /48.
    Subnet48 = 21,
    /// Numbers of autonomous systems.
    Asn = 22,
    /// Countries.
    Country = 23,
    /// Devices.
    Device = 24,
    /// Sessions.
    Session = 25,
    /// Payees.
    Payee = 26,
    /// Merchants.
    Merchant = 27,
    /// Clients.
    Client = 28,
    /// Versions of the app.
    AppVersion = 29,
    /// The one entity that everything belongs to.
    All = 30,
}

impl Space {
    /// All of them, in the order of their numbers.
    pub const ALL: [Space; 20] = [
        Space::Meta,
        Space::Fired,
        Space::Contact,
        Space::Sequence,
        Space::EventIds,
        Space::Account,
        Space::LoginName,
        Space::Ip,
        Space::Subnet,
        Space::Subnet56,
        Space::Subnet48,
        Space::Asn,
        Space::Country,
        Space::Device,
        Space::Session,
        Space::Payee,
        Space::Merchant,
        Space::Client,
        Space::AppVersion,
        Space::All,
    ];

    /// Where the entities of a kind are kept.
    pub fn of(kind: KeyField) -> Space {
        match kind {
            KeyField::Account => Space::Account,
            KeyField::LoginName => Space::LoginName,
            KeyField::Ip => Space::Ip,
            KeyField::Subnet => Space::Subnet,
            KeyField::Subnet56 => Space::Subnet56,
            KeyField::Subnet48 => Space::Subnet48,
            KeyField::Asn => Space::Asn,
            KeyField::Country => Space::Country,
            KeyField::Device => Space::Device,
            KeyField::Session => Space::Session,
            KeyField::Payee => Space::Payee,
            KeyField::Merchant => Space::Merchant,
            KeyField::Client => Space::Client,
            KeyField::AppVersion => Space::AppVersion,
            KeyField::All => Space::All,
        }
    }

    /// Its number, as files have it.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The space of a number, if there is one.
    pub fn numbered(number: u8) -> Option<Space> {
        Space::ALL.into_iter().find(|space| space.number() == number)
    }

    /// Its word in messages and figures.
    pub fn word(self) -> &'static str {
        match self {
            Space::Meta => "meta",
            Space::Fired => "fired",
            Space::Contact => "contact",
            Space::Sequence => "sequence",
            Space::EventIds => "event_ids",
            Space::Account => "account",
            Space::LoginName => "login_name",
            Space::Ip => "ip",
            Space::Subnet => "subnet",
            Space::Subnet56 => "subnet_56",
            Space::Subnet48 => "subnet_48",
            Space::Asn => "asn",
            Space::Country => "country",
            Space::Device => "device",
            Space::Session => "session",
            Space::Payee => "payee",
            Space::Merchant => "merchant",
            Space::Client => "client",
            Space::AppVersion => "app_version",
            Space::All => "all",
        }
    }
}

/// What a save writes to: absolute values, so that writing them twice is the same as once.
pub trait Changes {
    /// Sets the value of a key. Keys have at most [`KEY_BYTES_MAX`], values at most [`VALUE_BYTES_MAX`].
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]);
    /// Takes a key away, whether it is there or not.
    fn delete(&mut self, space: Space, key: &[u8]);
}

/// Takes a key and its value.
pub type Take<'t> = &'t mut (dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 't);

/// What a restore reads from.
pub trait Stored {
    /// The value of a key.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Every key of a space with its value, in rising order of the keys. The first error ends it.
    fn each(&self, space: Space, take: Take<'_>) -> Result<(), StoreError>;
}

/// What keeps checkpoints.
pub trait Store: Stored + Send + Sync + std::fmt::Debug {
    /// What it holds; `None` where it is new.
    fn mark(&self) -> Result<Option<Mark>, StoreError>;
    /// Takes a checkpoint: all of it or nothing. It outlives a failure of the power once this returns. The changes are
    /// by space and key, each key once.
    fn apply(&self, changes: &[Change<'_>], mark: &Mark) -> Result<(), StoreError>;
    /// Its size on disk, bytes.
    fn disk_bytes(&self) -> Result<u64, StoreError>;
}

/// How the state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateConfig {
    /// Time between the beginnings of two checkpoints at least, ms.
    pub checkpoint_ms: u64,
    /// Memory that entities may take, bytes, by the engine's own account of it: above it who is in the store leaves.
    pub memory_max_bytes: u64,
    /// What may be remembered at all, in memory or in the store, bytes, by the same account: above it is forgotten.
    pub kept_max_bytes: u64,
}

impl Default for StateConfig {
    fn default() -> Self {
        StateConfig { checkpoint_ms: 30_000, memory_max_bytes: 2 << 30, kept_max_bytes: 8 << 30 }
    }
}

/// Longest key, bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// Longest value, bytes.
pub const VALUE_BYTES_MAX: usize = 64 << 20;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk.
    #[error("failed to {doing} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried: a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// An earlier call failed: nothing is written after it, for nobody knows what of it is on the disk.
    #[error("the state store takes nothing more since an earlier failure: {0}")]
    Poisoned(String),
    /// Another process has it.
    #[error(
        "the state in {path} is in use by another process; stop that one first, or give this one a \
         state.directory of its own",
        path = .0.display()
    )]
    Locked(PathBuf),
    /// What is read is not what was written.
    #[error(
        "the state store is damaged ({}): {what}; `walletwatch state rebuild --from TIME` makes it anew from Kafka",
        .space.map_or("whole", Space::word)
    )]
    Damaged {
        /// Where; `None` where it is not about one space.
        space: Option<Space>,
        /// What was found.
        what: String,
    },
    /// Another version wrote it.
    #[error(
        "the state in {path} has format {found}, this version reads format {known} only; run the version that wrote \
         it, or make the state anew with `walletwatch state rebuild --from TIME`",
        path = .path.display()
    )]
    Version {
        /// Where.
        path: PathBuf,
        /// The format that was found.
        found: u32,
        /// The one format we read.
        known: u32,
    },
    /// Its entities were hashed with another key.
    #[error(
        "the state was made with hash key {stored}, but {path} holds key {given}: no entity of it can be found; put \
         the right file back, or make the state anew with `walletwatch state rebuild --from TIME`",
        path = .path.display()
    )]
    Key {
        /// The file of the key.
        path: PathBuf,
        /// The id of the key the store was made with.
        stored: String,
        /// The id of the key that is there.
        given: String,
    },
    /// The file of the hash key cannot be used.
    #[error(
        "{path} {what}, and no entity of the state can be found without it; put the right file back, or make the \
         state anew with `walletwatch state rebuild --from TIME`",
        path = .path.display()
    )]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it: a predicate.
        what: &'static str,
    },
    /// A key or value is larger than any that is kept.
    #[error("{what} of {bytes} bytes in {space}; at most {bytes_max} are kept", space = .space.word())]
    TooLarge {
        /// `a key` or `a value`.
        what: &'static str,
        /// Where.
        space: Space,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

/// What an operation that failed on a path is.
fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_is_known_by_its_number_and_its_word() {
        let mut words: Vec<&str> = Space::ALL.iter().map(|space| space.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Space::ALL.len());
        for space in Space::ALL {
            assert_eq!(Space::numbered(space.number()), Some(space));
        }
        assert_eq!(Space::numbered(0), None, "the store's own");
        assert!(Space::ALL.is_sorted());
    }

    #[test]
    fn numbers_in_files_never_change() {
        let numbers: Vec<String> = Space::ALL.iter().map(|s| format!("{}={}", s.word(), s.number())).collect();
        assert_eq!(
            numbers.join(" "),
            "meta=1 fired=2 contact=3 sequence=4 event_ids=5 account=16 login_name=17 ip=18 subnet=19 subnet_56=20 \
             subnet_48=21 asn=22 country=23 device=24 session=25 payee=26 merchant=27 client=28 app_version=29 all=30"
        );
    }
}
