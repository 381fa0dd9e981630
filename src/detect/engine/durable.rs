//! The engine in a store: all it knows as bytes, and back.
//!
//! Guarantees: an engine that is restored goes on as the one that was saved would have, at any point between two
//! calls and with any change of the rules between: the same calls of the sink and the same digest. A save writes what
//! changed since the last one, as absolute values. What it reads is checked; what is not whole or not ours is an error
//! with its name. Counters are not state: they begin anew. Writes no file.
//!
//! Partitions are numbers here. Whoever restores must give each partition the number it had, and new ones numbers
//! after those: a checkpoint keeps their names.

use std::sync::Arc;

use super::{Engine, limits};
use crate::detect::contact::{self, Contacts};
use crate::detect::dedup::{self, Fired};
use crate::detect::duplicates::{self, Duplicates};
use crate::detect::lateness::Lateness;
use crate::detect::output::Options;
use crate::detect::sequence::{self, Sequences};
use crate::detect::swap::Swapped;
use crate::detect::watermark::Watermark;
use crate::event::{Currency, Field};
use crate::features::codec::{DecodeError, Decoder, Durable, Encoder};
use crate::features::store::{Changes, Source, Space, StoreError, Stored};
use crate::features::{State, StateHead};
use crate::ruleset::{Bands, HashKey, Ruleset};

/// The format of what is saved. It changes with every change of what any value means.
pub const STATE_VERSION: u16 = 2;
/// The key of what the engine has once.
pub(super) const HEAD: &[u8] = b"engine";
/// Hashed with the state's key: tells another key.
const KEY_SAMPLE: &str = "walletwatch state";

/// Why an engine cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// No engine was ever saved there.
    #[error("the state store is empty")]
    Empty,
    /// The store, or what it holds.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another version wrote it.
    #[error(
        "the state has format {found}, this version reads format {known} only; run the version that wrote it, or make \
         the state anew with `walletwatch state rebuild --from TIME`"
    )]
    Version {
        /// The format that was found.
        found: u16,
        /// The one format we read.
        known: u16,
    },
    /// Its entities were hashed with another key.
    #[error(
        "the state was made with another hash key: no entity of it can be found; put the right key back, or make the \
         state anew with `walletwatch state rebuild --from TIME`"
    )]
    Key,
    /// Numbers in it stand for other words or currencies than here.
    #[error(
        "the state was made by a version that knows other words or currencies; run that version, or make the state \
         anew with `walletwatch state rebuild --from TIME`"
    )]
    Words,
}

/// What the engine has once, as it is read.
pub(super) struct Head {
    pub(super) state: StateHead,
    lateness: Lateness,
    watermark: Watermark,
    pub(super) duplicates: duplicates::Head,
    pub(super) fired: dedup::Head,
    contacts: contact::Head,
    pub(super) sequences: sequence::Head,
}

impl Engine {
    /// Hands over all that changed since the last save, or since the restore, or at first everything. Between two
    /// calls of [`Engine::take`]. What it hands over is saved as far as the engine knows: if it does not come to rest
    /// in the store, the engine must not be used any more.
    pub fn save(&mut self, out: &mut dyn Changes) {
        let mut value = Encoder::default();
        self.state.save(out, &mut value);
        self.duplicates.save(out, &mut value);
        self.fired.save(out, &mut value);
        self.contacts.save(out, &mut value);
        self.sequences.save(out, &mut value);
        value.clear();
        self.encode_head(&mut value);
        out.put(Space::Meta, HEAD, value.seal(Space::Meta, HEAD));
    }

    /// The engine that was saved, under these rules: the same as had it been restored under its own and then gone over
    /// to these. `key` and `options` as for [`Engine::new`]; `entities_max` and `event_ids_max` may differ from before,
    /// then what is too much is forgotten.
    pub fn restore(
        rules: Arc<Ruleset>,
        bands: Bands,
        options: Options,
        key: HashKey,
        stored: &dyn Stored,
    ) -> Result<Self, RestoreError> {
        Self::restore_and_tell(rules, bands, options, key, stored).map(|(engine, _)| engine)
    }

    /// The same, with what the rules change of it.
    pub fn restore_and_tell(
        rules: Arc<Ruleset>,
        bands: Bands,
        options: Options,
        key: HashKey,
        stored: &dyn Stored,
    ) -> Result<(Self, Swapped), RestoreError> {
        Self::restored(rules, bands, options, key, stored, None)
    }

    /// The same beside a store to which entities may leave: those above [`Options::state_resident_max_bytes`] stay there
    /// and are read back when they come.
    pub fn restore_beside(
        rules: Arc<Ruleset>,
        bands: Bands,
        options: Options,
        key: HashKey,
        stored: Source,
    ) -> Result<(Self, Swapped), RestoreError> {
        Self::restored(rules, bands, options, key, &*Arc::clone(&stored), Some(stored))
    }

    fn restored(
        rules: Arc<Ruleset>,
        bands: Bands,
        options: Options,
        key: HashKey,
        stored: &dyn Stored,
        shelf: Option<Source>,
    ) -> Result<(Self, Swapped), RestoreError> {
        let head = stored.get(Space::Meta, HEAD)?.ok_or(RestoreError::Empty)?;
        let head = read_head(&head, &options, key)?;
        let empty = Engine::new(rules, bands, options.clone(), key);
        let rules = &empty.rules;
        let limits = limits(rules, &options);
        let horizon_ms = head.lateness.horizon_ms();
        let (state, cold) = State::restored(head.state, rules, limits, horizon_ms, stored, shelf)?;
        let (sequences, fresh) =
            Sequences::restored(head.sequences, rules, options.also, options.entities_max, key, stored)?;
        let (window_ms, ids_max) = (options.event_id_window_ms, options.event_ids_max);
        let duplicates = Duplicates::restored(&head.duplicates, window_ms, ids_max, stored)?;
        let fired = Fired::restored(head.fired, rules, stored)?;
        let contacts = Contacts::restored(&head.contacts, stored)?;
        let swapped = Swapped::new(rules, &cold, &fresh, duplicates.newest_ms());
        let engine = Engine {
            state,
            lateness: head.lateness,
            duplicates,
            fired,
            contacts,
            sequences,
            watermark: head.watermark,
            ..empty
        };
        Ok((engine, swapped))
    }

    /// A digest of all state: equal for equal state, whatever the history of saves and restores.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut once = Encoder::default();
        self.lateness.encode(&mut once);
        self.watermark.encode(&mut once);
        hasher.update(once.bytes());
        self.state.digest(&mut hasher);
        self.duplicates.digest(&mut hasher);
        self.fired.digest(&mut hasher);
        self.contacts.digest(&mut hasher);
        self.sequences.digest(&mut hasher);
        *hasher.finalize().as_bytes()
    }

    fn encode_head(&self, to: &mut Encoder) {
        to.number(STATE_VERSION);
        to.hash(self.ids.key().text(KEY_SAMPLE));
        to.hash(words());
        self.state.encode_head(to);
        self.lateness.encode(to);
        self.watermark.encode(to);
        self.duplicates.encode_head(to);
        self.fired.encode_head(to);
        self.contacts.encode_head(to);
        self.sequences.encode_head(to);
    }
}

pub(super) fn read_head(value: &[u8], options: &Options, key: HashKey) -> Result<Head, RestoreError> {
    let damaged = |e: DecodeError| e.under(Space::Meta, HEAD);
    let mut from = Decoder::unseal(Space::Meta, HEAD, value).map_err(damaged)?;
    let found = from.narrow().map_err(damaged)?;
    if found != STATE_VERSION {
        return Err(RestoreError::Version { found, known: STATE_VERSION });
    }
    if from.hash().map_err(damaged)? != key.text(KEY_SAMPLE) {
        return Err(RestoreError::Key);
    }
    if from.hash().map_err(damaged)? != words() {
        return Err(RestoreError::Words);
    }
    let head = Head::decode(&mut from, options).map_err(damaged)?;
    from.end().map_err(damaged)?;
    Ok(head)
}

impl Head {
    fn decode(from: &mut Decoder<'_>, options: &Options) -> Result<Self, DecodeError> {
        Ok(Head {
            state: StateHead::decode(from)?,
            lateness: Lateness::decode(from, options.lateness_max_ms)?,
            watermark: Watermark::decode(from)?,
            duplicates: duplicates::Head::decode(from)?,
            fired: dedup::Head::decode(from)?,
            contacts: contact::Head::decode(from)?,
            sequences: sequence::Head::decode(from)?,
        })
    }
}

/// A hash of every list whose places stand in the state as numbers: words of fields, and currencies.
fn words() -> u64 {
    let mut hasher = blake3::Hasher::new();
    let of_fields = Field::all().flat_map(|field| [field.name()].into_iter().chain(field.words().iter().copied()));
    for word in of_fields.chain(Currency::codes()) {
        hasher.update(word.as_bytes()).update(b"\n");
    }
    let hash = hasher.finalize();
    hash.as_bytes().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::store::MemoryStore;
    use crate::ruleset::{Sources, load};

    const KEY: HashKey = HashKey::new([1; 16]);

    fn refused(write: impl FnOnce(&mut Encoder)) -> RestoreError {
        let (mut store, mut value) = (MemoryStore::new(), Encoder::default());
        write(&mut value);
        store.put(Space::Meta, HEAD, value.seal(Space::Meta, HEAD));
        let mut sources = Sources::new("rules");
        sources.add("r.yaml", "version: 1\nrules: []\n", None);
        let rules = load(&sources, KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}")).ruleset;
        Engine::restore(Arc::new(rules), Bands::default(), Options::default(), KEY, &store).unwrap_err()
    }

    #[test]
    fn another_version_is_told_before_anything_else_is_read() {
        let later = refused(|value| value.number(STATE_VERSION + 1));
        assert!(
            matches!(later, RestoreError::Version { found, known: STATE_VERSION } if found == STATE_VERSION + 1),
            "{later}"
        );
        let other_words = refused(|value| {
            value.number(STATE_VERSION);
            value.hash(KEY.text(KEY_SAMPLE));
            value.hash(words() ^ 1);
        });
        assert!(matches!(other_words, RestoreError::Words), "{other_words}");
        let cut = refused(|value| {
            value.number(STATE_VERSION);
            value.hash(KEY.text(KEY_SAMPLE));
            value.hash(words());
        });
        assert_eq!(
            cut.to_string(),
            "the state store is damaged (meta): the value of key 656e67696e65 cannot be read: it ends too early; \
             `walletwatch state rebuild --from TIME` makes it anew from Kafka"
        );
    }
}
