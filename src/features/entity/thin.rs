//! A piece of memory some of whose entities have left it: those that are here, packed, and a note of each that is away.
//!
//! Guarantees: a place stays who it was; finding who stands there costs two reads; what is away takes a few words.
//! Moves nothing to a store or back by itself.

use super::{CHUNK, Entity};

/// Nobody stands at a place.
const NOBODY: u16 = u16::MAX;
/// From here on a number is that of a note, not of an entity.
const NOTES: u16 = 1 << 15;
/// Room that is made for more entities at a time, and room that may stay unused.
const ROOM_STEP: usize = 16;
/// The bit of a note's place that says that all of its entity ends at once.
const ENDS_WHOLE: u16 = 1 << 15;

/// What stays in memory of an entity that left it.
#[derive(Debug, Clone, Copy)]
pub struct Away {
    /// Its key, whole: who is not the one is never taken for it, and whoever is away is never taken for unknown.
    pub key: u64,
    /// Below this horizon a sweep changes nothing of it, ms.
    pub ends_ms: i64,
    /// What it points to, bytes.
    pub heap_bytes: u32,
    /// Under which windows that was worked out.
    pub windows: u16,
    /// Its place in the piece, and whether nothing is left of it from `ends_ms` on.
    place: u16,
}

impl Away {
    /// A note of an entity.
    pub fn new(key: u64, ends: Ends, heap_bytes: u32, windows: u16) -> Self {
        let place = if ends.whole { ENDS_WHOLE } else { 0 };
        Away { key, ends_ms: ends.ms, heap_bytes, windows, place }
    }

    /// Whether nothing is left of it once it ends.
    pub fn ends_whole(&self) -> bool {
        self.place & ENDS_WHOLE != 0
    }

    fn within(&self) -> usize {
        usize::from(self.place & !ENDS_WHOLE)
    }

    fn at(self, within: usize) -> Self {
        Away { place: self.place & ENDS_WHOLE | within as u16, ..self }
    }
}

/// From which horizon on a sweep takes something of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The horizon, ms.
    pub ms: i64,
    /// Whether it then takes all of it.
    pub whole: bool,
}

/// Such a piece of memory.
#[derive(Debug)]
pub struct Thin<T> {
    /// By place: [`NOBODY`], or which of those that are here, or from [`NOTES`] on which of the notes.
    who: Vec<u16>,
    here: Vec<Entity<T>>,
    /// The place of each that is here.
    places: Vec<u16>,
    away: Vec<Away>,
}

impl<T> Thin<T> {
    /// Nobody stands there.
    pub fn new() -> Self {
        Thin { who: vec![NOBODY; CHUNK], here: Vec::new(), places: Vec::new(), away: Vec::new() }
    }

    /// Whoever stands in a whole piece; the entities `here` will be about so many.
    pub fn of(chunk: Vec<Entity<T>>, here: usize) -> Self {
        let mut thin = Thin { here: Vec::with_capacity(here), places: Vec::with_capacity(here), ..Thin::new() };
        for (within, entity) in chunk.into_iter().enumerate().filter(|(_, entity)| entity.key != 0) {
            thin.put(within, entity);
        }
        thin
    }

    /// A whole piece again of `len` places; nobody may be away.
    pub fn into_chunk(self, len: usize, nobody: impl Fn() -> Entity<T>) -> Vec<Entity<T>> {
        let mut chunk = Vec::with_capacity(CHUNK);
        chunk.resize_with(len.min(CHUNK), nobody);
        for (entity, within) in self.here.into_iter().zip(self.places) {
            if let Some(place) = chunk.get_mut(usize::from(within)) {
                *place = entity;
            }
        }
        chunk
    }

    fn who(&self, within: usize) -> u16 {
        self.who.get(within).copied().unwrap_or(NOBODY)
    }

    /// Who stands at a place, if here.
    pub fn get(&self, within: usize) -> Option<&Entity<T>> {
        self.here.get(usize::from(self.who(within)))
    }

    /// Who stands at a place, if here, to change.
    pub fn get_mut(&mut self, within: usize) -> Option<&mut Entity<T>> {
        let who = self.who(within);
        self.here.get_mut(usize::from(who))
    }

    /// The note of who stands at a place, if away.
    pub fn away(&self, within: usize) -> Option<&Away> {
        self.away.get(usize::from(self.who(within).checked_sub(NOTES)?))
    }

    /// The key of who stands at a place, 0 where nobody does.
    pub fn key(&self, within: usize) -> u64 {
        self.get(within).map(|e| e.key).or_else(|| self.away(within).map(|a| a.key)).unwrap_or_default()
    }

    /// How many are here.
    pub fn here(&self) -> usize {
        self.here.len()
    }

    /// How many are away.
    pub fn notes(&self) -> usize {
        self.away.len()
    }

    /// Memory, bytes, without what entities point to.
    pub fn bytes(&self) -> usize {
        let words = self.who.capacity() + self.places.capacity();
        let entities = self.here.capacity() * size_of::<Entity<T>>();
        size_of::<Self>() + words * size_of::<u16>() + entities + self.away.capacity() * size_of::<Away>()
    }

    /// Somebody stands here at a place where nobody did.
    pub fn put(&mut self, within: usize, entity: Entity<T>) {
        if self.here.len() == self.here.capacity() {
            self.here.reserve_exact(ROOM_STEP);
            self.places.reserve_exact(ROOM_STEP);
        }
        self.set(within, self.here.len() as u16);
        self.here.push(entity);
        self.places.push(within as u16);
    }

    /// Who stood here at a place stands there no more.
    pub fn take(&mut self, within: usize) -> Option<Entity<T>> {
        let who = usize::from(self.who(within));
        if who >= self.here.len() {
            return None;
        }
        let entity = self.here.swap_remove(who);
        self.places.swap_remove(who);
        if let Some(moved) = self.places.get(who) {
            self.set(usize::from(*moved), who as u16);
        }
        self.set(within, NOBODY);
        Some(entity)
    }

    /// Notes that somebody stands at a place where nobody did, and is away.
    pub fn note(&mut self, within: usize, away: Away) {
        if self.away.len() == self.away.capacity() {
            self.away.reserve_exact(ROOM_STEP);
        }
        self.set(within, NOTES + self.away.len() as u16);
        self.away.push(away.at(within));
    }

    /// The note of who stands at a place, who stands there no more.
    pub fn take_note(&mut self, within: usize) -> Option<Away> {
        let at = usize::from(self.who(within).checked_sub(NOTES)?);
        if at >= self.away.len() {
            return None;
        }
        let away = self.away.swap_remove(at);
        if let Some(moved) = self.away.get(at) {
            self.set(moved.within(), NOTES + at as u16);
        }
        self.set(within, NOBODY);
        Some(away)
    }

    /// Gives back room that nobody took.
    pub fn shrink(&mut self) {
        self.here.shrink_to(self.here.len() + ROOM_STEP);
        self.places.shrink_to(self.places.len() + ROOM_STEP);
        self.away.shrink_to(self.away.len() + ROOM_STEP);
    }

    fn set(&mut self, within: usize, who: u16) {
        if let Some(place) = self.who.get_mut(within) {
            *place = who;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a map of who is here and who is away.
        #[test]
        fn equals_a_map(steps in prop::collection::vec((0usize..40, 1u64..1000, 0u8..4), 1..400)) {
            let mut thin: Thin<u64> = Thin::new();
            let mut all: BTreeMap<usize, (u64, bool)> = BTreeMap::new();
            for (within, key, what) in steps {
                match (all.get(&within).copied(), what) {
                    (None, 0) => {
                        thin.put(within, Entity { key, kept: key });
                        all.insert(within, (key, true));
                    }
                    (None, 1) => {
                        let ends = Ends { ms: key as i64, whole: key % 2 == 0 };
                        thin.note(within, Away::new(key, ends, 7, 9));
                        all.insert(within, (key, false));
                    }
                    (Some((key, is_here)), 2) => {
                        all.remove(&within);
                        prop_assert_eq!(thin.take(within).map(|e| (e.key, e.kept)), is_here.then_some((key, key)));
                        let away = thin.take_note(within).map(|a| (a.key, a.ends_ms, a.ends_whole()));
                        prop_assert_eq!(away, (!is_here).then_some((key, key as i64, key % 2 == 0)));
                    }
                    (None, _) => prop_assert!(thin.take(within).is_none() && thin.take_note(within).is_none()),
                    (Some(_), _) => thin.shrink(),
                }
                for within in 0..45 {
                    let expected = all.get(&within).copied();
                    prop_assert_eq!(thin.key(within), expected.map_or(0, |(key, _)| key));
                    prop_assert_eq!(thin.get(within).is_some(), expected.is_some_and(|(_, is_here)| is_here));
                    prop_assert_eq!(thin.away(within).is_some(), expected.is_some_and(|(_, is_here)| !is_here));
                }
                prop_assert_eq!(thin.here() + thin.notes(), all.len());
            }
        }
    }

    #[test]
    fn a_note_takes_three_words() {
        assert_eq!(size_of::<Away>(), 24);
    }
}
