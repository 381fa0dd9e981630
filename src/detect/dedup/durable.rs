//! What is silent in a store: rules under their numbers, and when each fired for whom.
//!
//! Guarantees: what is read back is silent as long as it would have been, under the same rules or under others.

use super::{Fired, Silenced, for_ms};
use crate::detect::changed::Changed;
use crate::features::codec::{DecodeError, Decoder, Durable, Encoder, decode_all, encode_all};
use crate::features::store::{Changes, Space, StoreError, Stored};
use crate::ruleset::{Key, KeyField, Ruleset, State};

/// What there is once, read before the firings.
#[derive(Debug)]
pub struct Head {
    pub(super) silenced: Vec<Option<Silenced>>,
    pub(super) sweep_at: usize,
    len: usize,
}

impl Head {
    /// Reads it.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Head { silenced: decode_all(from)?, sweep_at: from.narrow()?, len: from.narrow()? })
    }
}

impl Fired {
    /// Writes what there is once.
    pub fn encode_head(&self, to: &mut Encoder) {
        encode_all(self.silenced.iter(), to);
        to.count(self.sweep_at);
        to.count(self.newest_ms.len());
    }

    /// Hands over what changed since the last time; `value` is memory used again.
    pub fn save(&mut self, out: &mut dyn Changes, value: &mut Encoder) {
        let changed = self.changed.take().unwrap_or_else(|| self.newest_ms.keys().copied().collect());
        for fired in changed {
            let key = key_bytes(fired);
            match self.newest_ms.get(&fired) {
                Some(newest_ms) => {
                    value.clear();
                    value.signed(*newest_ms);
                    out.put(Space::Fired, &key, value.seal(Space::Fired, &key));
                }
                None => out.delete(Space::Fired, &key),
            }
        }
    }

    /// Reads all firings that had this head, and goes over to these rules.
    pub fn restored(head: Head, rules: &Ruleset, stored: &dyn Stored) -> Result<Self, StoreError> {
        let mut fired = Fired {
            newest_ms: Default::default(),
            sweep_at: head.sweep_at,
            silenced: head.silenced,
            numbers: Vec::new(),
            changed: Changed::nothing(),
        };
        stored.each(Space::Fired, &mut |key, value| {
            fired.take_stored(key, value).map_err(|e| e.under(Space::Fired, key))
        })?;
        if fired.newest_ms.len() != head.len {
            let what = format!("there are {} firings where {} were saved", fired.newest_ms.len(), head.len);
            return Err(StoreError::Damaged { space: Some(Space::Fired), what });
        }
        fired.follow(rules);
        Ok(fired)
    }

    pub(super) fn take_stored(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        let mut from = Decoder::unseal(Space::Fired, key, value)?;
        let newest_ms = from.signed()?;
        from.end()?;
        let wrong = DecodeError::Wrong("a key");
        let (number, rest) = key.split_first_chunk().ok_or(wrong)?;
        let (first, rest) = rest.split_first_chunk().ok_or(wrong)?;
        let second = u64::from_be_bytes(rest.try_into().map_err(|_| wrong)?);
        self.newest_ms.insert((u16::from_be_bytes(*number), u64::from_be_bytes(*first), second), newest_ms);
        Ok(())
    }

    /// Takes all of it into a digest.
    pub fn digest(&self, hasher: &mut blake3::Hasher) {
        let mut all: Vec<_> = self.newest_ms.iter().collect();
        all.sort_unstable();
        let mut bytes = Encoder::default();
        self.encode_head(&mut bytes);
        for (fired, newest_ms) in all {
            bytes.raw(&key_bytes(*fired));
            bytes.signed(*newest_ms);
            bytes.signed(for_ms(&self.silenced, fired.0));
        }
        hasher.update(bytes.bytes());
    }
}

pub(super) fn key_bytes((number, first, second): (u16, u64, u64)) -> Vec<u8> {
    [number.to_be_bytes().as_slice(), &first.to_be_bytes(), &second.to_be_bytes()].concat()
}

impl Durable for Silenced {
    fn encode(&self, to: &mut Encoder) {
        to.text(&self.id);
        to.byte(Space::of(self.by.first).number());
        to.byte(self.by.second.map_or(0, |second| Space::of(second).number()));
        to.signed(self.for_ms);
        to.byte(match self.evaluated {
            State::Draft => 0,
            State::Shadow => 1,
            State::Live => 2,
            State::Off => 3,
        });
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let id = from.text()?.to_owned();
        let (first, second) = (from.byte()?, from.byte()?);
        let by = Key { first: kind(first)?, second: if second == 0 { None } else { Some(kind(second)?) } };
        let for_ms = from.signed()?;
        let evaluated = match from.byte()? {
            0 => State::Draft,
            1 => State::Shadow,
            2 => State::Live,
            3 => State::Off,
            found => return Err(DecodeError::Unknown { what: "state of a rule", found: found.into() }),
        };
        Ok(Silenced { id, by, for_ms, evaluated })
    }
}

/// The kind of entity that is kept in the space of a number.
fn kind(number: u8) -> Result<KeyField, DecodeError> {
    let unknown = DecodeError::Unknown { what: "kind of entity", found: number.into() };
    KeyField::all().find(|kind| Space::of(*kind).number() == number).ok_or(unknown)
}
