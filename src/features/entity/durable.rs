//! A table in a store: what changed, all of it again, and a digest of it.
//!
//! Guarantees: a table that is read back goes on as the one that was saved: everybody stands where they stood, and the
//! same will go next. What is not whole is refused. A save writes what changed and nothing else.

use std::cmp::Reverse;
use std::sync::Arc;

use super::cold::Room;
use super::thin::Thin;
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
        to.number(self.places);
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
                let key = self.key_at(at).to_be_bytes();
                if self.encode_at(at, value) {
                    out.put(space, &key, value.seal(space, &key));
                }
            }
        }
    }

    /// False: who stands there is away and could not be read back, which the shelf tells.
    fn encode_at(&self, at: u32, value: &mut Encoder) -> bool {
        value.clear();
        value.number(u64::from(at) << MARK_BITS | u64::from(self.marks.stored(at)));
        match self.entity(at) {
            Some(entity) => entity.kept.encode(value),
            // Its marks may have changed since it left; it has not.
            None => match self.body_away(at) {
                Some(body) => value.raw(&body),
                None => return false,
            },
        }
        true
    }

    /// Reads all entities of a table that had this head. `room`: what of them may come into memory, where the others can
    /// be read back later; `None`: all.
    pub fn restored(
        head: Head,
        entities_max: usize,
        space: Space,
        stored: &dyn Stored,
        mut room: Option<&mut Room<'_>>,
    ) -> Result<Self, StoreError> {
        let mut table = Table { index: Places::with_room(head.len), ..Table::new(entities_max) };
        (table.marks, table.swept) = (head.marks, head.swept);
        let is_thinned = room.as_ref().is_some_and(|room| table.expected_bytes(head.len) > room.bytes);
        if let Some(room) = &room {
            table.keep_in(Arc::clone(&room.shelf), space);
        }
        table.reach(head.places, is_thinned);
        let mut take = |key: &[u8], value: &[u8]| {
            table.take_stored(space, key, value, room.as_deref_mut()).map_err(|e| e.under(space, key))
        };
        stored.each(space, &mut take)?;
        if table.len() != head.len {
            let what = format!("there are {} entities where {} were saved", table.len(), head.len);
            return Err(StoreError::Damaged { space: Some(space), what });
        }
        table.free = (0..head.places).filter(|at| table.key_at(*at) == 0).map(Reverse).collect();
        table.give_back();
        while table.len() > table.entities_max && table.forget_next() {}
        Ok(table)
    }

    /// Makes so many places that nobody stands at.
    fn reach(&mut self, places: u32, is_thinned: bool) {
        let mut left = places as usize;
        while left > 0 {
            let many = left.min(CHUNK);
            left -= many;
            let mut chunk = Vec::new();
            if is_thinned {
                self.thinned.push(Some(Box::new(Thin::new())));
            } else {
                chunk.reserve_exact(CHUNK);
                chunk.resize_with(many, || Entity { key: 0, kept: T::default() });
            }
            self.chunks.push(chunk);
        }
        self.places = places;
        self.marks.reach(places);
    }

    /// Gives back the pieces of memory that nobody stands in, but for the last.
    fn give_back(&mut self) {
        self.standing.resize(self.chunks.len(), 0);
        let last = self.chunks.len().saturating_sub(1);
        for (number, _) in self.standing.iter().enumerate().take(last).filter(|(_, standing)| **standing == 0) {
            self.chunks.get_mut(number).into_iter().for_each(|chunk| *chunk = Vec::new());
            self.thinned.get_mut(number).into_iter().for_each(|thin| *thin = None);
        }
        self.thinned.iter_mut().flatten().for_each(|thin| thin.shrink());
    }

    fn take_stored(
        &mut self,
        space: Space,
        key: &[u8],
        value: &[u8],
        room: Option<&mut Room<'_>>,
    ) -> Result<(), DecodeError> {
        let mut from = Decoder::unseal(space, key, value)?;
        let number = u64::from_be_bytes(key.try_into().map_err(|_| DecodeError::Wrong("a key"))?);
        let (at, marks) = read_place(&mut from)?;
        let kept = T::decode(&mut from)?;
        from.end()?;
        if number == 0 || at >= self.places || self.key_at(at) != 0 {
            return Err(DecodeError::Wrong("a place"));
        }
        self.enter(at);
        self.index.insert(number, at);
        self.marks.restore(at, marks);
        self.settle(at, Entity { key: number, kept }, room);
        Ok(())
    }

    /// Takes every entity into a digest, in the order of their keys.
    pub fn digest(&self, hasher: &mut blake3::Hasher) {
        let all = (0..self.places).map(|at| (self.key_at(at), at));
        let mut all: Vec<(u64, u32)> = all.filter(|(key, _)| *key != 0).collect();
        all.sort_unstable();
        let mut value = Encoder::default();
        for (key, at) in all {
            self.encode_at(at, &mut value);
            let length = value.bytes().len() as u64;
            hasher.update(&key.to_be_bytes()).update(&length.to_be_bytes()).update(value.bytes());
        }
    }
}

/// The place that a value begins with, and the marks of it.
fn read_place(from: &mut Decoder<'_>) -> Result<(u32, u8), DecodeError> {
    let place = from.number()?;
    let at = u32::try_from(place >> MARK_BITS).map_err(|_| DecodeError::Wrong("a place"))?;
    Ok((at, (place & ((1 << MARK_BITS) - 1)) as u8))
}

/// Reads over the place that a value begins with, which must be this one. Its marks may be older than those known.
pub(super) fn place_of(from: &mut Decoder<'_>, at: u32) -> Result<(), DecodeError> {
    let (found, _) = read_place(from)?;
    if found == at { Ok(()) } else { Err(DecodeError::Wrong("a place")) }
}
