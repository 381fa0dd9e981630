//! A table in a store: what changed, all of it again, and a digest of it.
//!
//! Guarantees: a table that is read back goes on as the one that was saved: everybody stands where they stood, and the
//! same will go next. What is not whole is refused. A save writes what changed and nothing else.

use std::cmp::Reverse;

use super::{CHUNK, Entity, Kept, Table};
use crate::features::codec::{DecodeError, Decoder, Durable, Encoder};
use crate::features::marks::Marks;
use crate::features::places::Places;
use crate::features::store::{Changes, Space, StoreError, Stored};

/// Marks of a place that are stored beside its number.
const MARK_BITS: u32 = 2;

/// What a table has once: read before its entities.
#[derive(Debug)]
pub struct Head {
    len: usize,
    places: u32,
    swept: u32,
    marks: Marks,
}

impl Head {
    /// Reads it.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (len, places, swept): (usize, u32, u32) = (from.narrow()?, from.narrow()?, from.narrow()?);
        if len > places as usize || swept > places || places == u32::MAX {
            return Err(DecodeError::Wrong("the number of entities"));
        }
        Ok(Head { len, places, swept, marks: Marks::decode_hands(from)? })
    }
}

/// What is kept of an entity, out of its value in a store.
pub fn stored<T: Durable>(space: Space, key: &[u8], value: &[u8]) -> Result<T, DecodeError> {
    let mut from = Decoder::unseal(space, key, value)?;
    from.number()?;
    let kept = T::decode(&mut from)?;
    from.end()?;
    Ok(kept)
}

impl<T: Kept + Durable> Table<T> {
    /// Writes what it has once.
    pub fn encode_head(&self, to: &mut Encoder) {
        to.count(self.len());
        to.number(self.places());
        to.number(self.swept);
        self.marks.encode_hands(to);
    }

    /// Hands over what changed since the last time; `value` is memory used again.
    pub fn save(&mut self, space: Space, out: &mut dyn Changes, value: &mut Encoder) {
        for key in self.removed.drain(..) {
            out.delete(space, &key.to_be_bytes());
        }
        for line in 0..self.marks.lines() {
            for at in self.marks.save_line(line) {
                let Some(entity) = self.entity(at) else { continue };
                let key = entity.key.to_be_bytes();
                self.encode_at(at, entity, value);
                out.put(space, &key, value.seal(space, &key));
            }
        }
    }

    fn encode_at(&self, at: u32, entity: &Entity<T>, value: &mut Encoder) {
        value.clear();
        value.number(u64::from(at) << MARK_BITS | u64::from(self.marks.stored(at)));
        entity.kept.encode(value);
    }

    /// Reads all entities of a table that had this head.
    pub fn restored(head: Head, entities_max: usize, space: Space, stored: &dyn Stored) -> Result<Self, StoreError> {
        let mut table = Table { index: Places::with_room(head.len), ..Table::new(entities_max) };
        (table.marks, table.swept) = (head.marks, head.swept);
        table.reach(head.places);
        stored.each(space, &mut |key, value| table.take_stored(space, key, value).map_err(|e| e.under(space, key)))?;
        if table.len() != head.len {
            let what = format!("there are {} entities where {} were saved", table.len(), head.len);
            return Err(StoreError::Damaged { space: Some(space), what });
        }
        let free = |at: &u32| table.entity(*at).is_some_and(|entity| entity.key == 0);
        table.free = (0..head.places).filter(free).map(Reverse).collect();
        table.give_back();
        while table.len() > table.entities_max && table.forget_next() {}
        Ok(table)
    }

    /// Makes so many places that nobody stands at.
    fn reach(&mut self, places: u32) {
        let mut left = places as usize;
        while left > 0 {
            let mut chunk = Vec::with_capacity(CHUNK);
            chunk.resize_with(left.min(CHUNK), || Entity { key: 0, kept: T::default() });
            left -= chunk.len();
            self.chunks.push(chunk);
        }
        self.marks.reach(places);
    }

    /// Gives back the pieces of memory that nobody stands in, but for the last.
    fn give_back(&mut self) {
        self.standing.resize(self.chunks.len(), 0);
        let last = self.chunks.len().saturating_sub(1);
        for (chunk, _) in self.chunks.iter_mut().zip(&self.standing).take(last).filter(|(_, n)| **n == 0) {
            *chunk = Vec::new();
        }
    }

    fn take_stored(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        let mut from = Decoder::unseal(space, key, value)?;
        let number = u64::from_be_bytes(key.try_into().map_err(|_| DecodeError::Wrong("a key"))?);
        let place = from.number()?;
        let at = u32::try_from(place >> MARK_BITS).map_err(|_| DecodeError::Wrong("a place"))?;
        let kept = T::decode(&mut from)?;
        from.end()?;
        let entity = self.entity_mut(at).filter(|entity| entity.key == 0 && number != 0);
        *entity.ok_or(DecodeError::Wrong("a place"))? = Entity { key: number, kept };
        self.enter(at);
        self.index.insert(number, at);
        self.marks.restore(at, (place & ((1 << MARK_BITS) - 1)) as u8);
        Ok(())
    }

    /// Takes every entity into a digest, in the order of their keys.
    pub fn digest(&self, hasher: &mut blake3::Hasher) {
        let all = (0..self.places()).filter_map(|at| self.entity(at).map(|entity| (entity.key, at)));
        let mut all: Vec<(u64, u32)> = all.filter(|(key, _)| *key != 0).collect();
        all.sort_unstable();
        let mut value = Encoder::default();
        for (key, at) in all {
            if let Some(entity) = self.entity(at) {
                self.encode_at(at, entity, &mut value);
                let length = value.bytes().len() as u64;
                hasher.update(&key.to_be_bytes()).update(&length.to_be_bytes()).update(value.bytes());
            }
        }
    }
}
