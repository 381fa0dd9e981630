//! Entities of one kind: found by keyed hash, swept in bounded steps.
//!
//! Guarantees: at most `entities_max`; which one is forgotten at the limit, and where each stands, depends on nothing
//! but the order of the input, saves and restores or not; growing never moves an entity. Keys are keyed hashes
//! already, so the map hashes no more.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use prefetch_index::prefetch_index;

use super::ids::NOWHERE;
use super::marks::Marks;
use super::places::Places;

mod ceiling;
mod cold;
#[cfg(test)]
mod cold_tests;
mod durable;
mod thin;

pub use cold::{AWAY_BYTES, Leaving, Room};
pub use durable::{Head, stored};
pub use thin::Ends;

use cold::Elsewhere;
use thin::Thin;

/// Entities in one piece of memory.
const CHUNK: usize = 1024;

/// At least so many entities are looked at to tell the memory of a table that has as many.
const SAMPLE_ENTITIES: usize = 64;

/// What a sweep did to an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// Nothing.
    Same,
    /// Something of it went.
    Less,
    /// Nothing is left of it.
    Gone,
}

impl Swept {
    /// Of how many parts there were before and after.
    pub fn of(before: usize, after: usize) -> Self {
        match after {
            0 => Swept::Gone,
            after if after < before => Swept::Less,
            _ => Swept::Same,
        }
    }
}

/// Something kept of an entity.
pub trait Kept: Default {
    /// Drops what can no longer be asked for.
    fn sweep(&mut self, horizon_ms: i64, over_ms: &[i64]) -> Swept;
    /// Asks for the memory of what does not stand in its first line. Reads nothing of it.
    fn bring_near(&self) {}
    /// Asks for the memory it points to. Reads it itself.
    fn bring_heap_near(&self) {}
    /// Memory it points to, bytes.
    fn heap_bytes(&self) -> usize;
    /// From which horizon on a sweep may take something of it; below it a sweep changes nothing.
    fn ends(&self, _over_ms: &[i64]) -> Ends {
        Ends { ms: i64::MIN, whole: false }
    }
}

/// Begins a line of a cache, with its key: whoever compares the key has the first part of what is kept.
#[derive(Debug)]
#[repr(C, align(64))]
struct Entity<T> {
    /// 0: the place is free.
    key: u64,
    kept: T,
}

/// All entities of one kind.
#[derive(Debug)]
pub struct Table<T> {
    index: Places,
    /// Pieces of memory; one that nobody stands in is empty, but for the last, and so is one that is thinned.
    chunks: Vec<Vec<Entity<T>>>,
    /// Pieces of which some entities are away, where there are any.
    thinned: Vec<Option<Box<Thin<T>>>>,
    places: u32,
    /// How many stand in each.
    standing: Vec<u16>,
    /// Places nobody stands at: the lowest is taken first, so that which are free says all of it.
    free: BinaryHeap<Reverse<u32>>,
    marks: Marks,
    swept: u32,
    entities_max: usize,
    /// Entities that are gone since the last save, of which a store has a value.
    removed: Vec<u64>,
    /// Entities that were forgotten because there were too many.
    forgotten: u64,
    /// What all entities point to, bytes; `None`: that is not accounted.
    heap_bytes: Option<usize>,
    /// Who is not in memory, and where they are.
    elsewhere: Elsewhere<T>,
}

/// Where an entity is.
enum Whereabouts {
    /// At a place.
    At(u32),
    /// There is none.
    Nowhere,
    /// It is away and could not be read back.
    Lost,
}

impl<T: Kept> Table<T> {
    /// An empty table of at most `entities_max` entities.
    pub fn new(entities_max: usize) -> Self {
        let entities_max = entities_max.clamp(1, u32::MAX as usize);
        Table {
            index: Places::new(),
            chunks: Vec::new(),
            thinned: Vec::new(),
            places: 0,
            standing: Vec::new(),
            free: BinaryHeap::new(),
            marks: Marks::default(),
            swept: 0,
            entities_max,
            removed: Vec::new(),
            forgotten: 0,
            heap_bytes: None,
            elsewhere: Elsewhere::default(),
        }
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// How many entities were forgotten because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Memory, bytes: the table's own is counted, what its entities point to is extrapolated from a sample that is
    /// spread over the table, so that asking costs the same for a million entities as for a hundred.
    pub fn bytes(&self) -> usize {
        let step = (self.places as usize / SAMPLE_ENTITIES).max(1);
        let sample = (0..self.places).step_by(step).filter_map(|at| self.entity(at).filter(|e| e.key != 0));
        let (seen, heap) = sample.fold((0, 0), |(n, heap), entity| (n + 1, heap + entity.kept.heap_bytes()));
        let heap = heap as f64 * (self.len() - self.away()) as f64 / f64::from(seen.max(1));
        self.table_bytes() + heap as usize
    }

    fn table_bytes(&self) -> usize {
        let places: usize = self.chunks.iter().map(Vec::capacity).sum();
        let thinned: usize = self.thinned.iter().flatten().map(|thin| thin.bytes()).sum();
        let lists = self.free.capacity() * size_of::<u32>() + self.removed.capacity() * size_of::<u64>();
        places * size_of::<Entity<T>>() + thinned + self.index.bytes() + self.marks.bytes() + lists
    }

    /// Who stands at a place, if in memory.
    fn entity(&self, at: u32) -> Option<&Entity<T>> {
        match self.chunks.get(at as usize / CHUNK)?.get(at as usize % CHUNK) {
            Some(entity) => Some(entity),
            None => self.thin(at)?.get(at as usize % CHUNK),
        }
    }

    fn entity_mut(&mut self, at: u32) -> Option<&mut Entity<T>> {
        let (number, within) = (at as usize / CHUNK, at as usize % CHUNK);
        let chunk = self.chunks.get_mut(number)?;
        if chunk.is_empty() { self.thinned.get_mut(number)?.as_mut()?.get_mut(within) } else { chunk.get_mut(within) }
    }

    /// The key of who stands at a place, in memory or not; 0: nobody.
    fn key_at(&self, at: u32) -> u64 {
        let Some(chunk) = self.chunks.get(at as usize / CHUNK) else { return 0 };
        match chunk.get(at as usize % CHUNK) {
            Some(entity) => entity.key,
            None => self.thin(at).map_or(0, |thin| thin.key(at as usize % CHUNK)),
        }
    }

    fn find(&self, key: u64) -> Option<u32> {
        self.index.find(key, |at| self.key_at(at) == key)
    }

    /// Asks for the memory that tells where an entity stands.
    pub fn bring_place_near(&self, key: u64) {
        self.index.bring_near(key);
    }

    /// Where an entity probably stands, without looking there, and asks for the memory there; [`NOWHERE`] where
    /// there is none.
    pub fn find_place(&self, key: u64) -> u32 {
        let Some(at) = self.index.find(key, |_| true) else { return NOWHERE };
        if let Some(chunk) = self.chunks.get(at as usize / CHUNK) {
            prefetch_index(chunk, at as usize % CHUNK);
        }
        if let Some(entity) = self.entity(at) {
            entity.kept.bring_near();
        }
        self.marks.bring_near(at);
        at
    }

    /// Where an entity stands, if it still stands at `place`, else wherever it is found; then it is in memory.
    fn find_near(&mut self, key: u64, place: u32) -> Whereabouts {
        match self.entity(place) {
            Some(entity) if entity.key == key => Whereabouts::At(place),
            _ => match self.find(key) {
                None => Whereabouts::Nowhere,
                Some(at) if self.entity(at).is_some() || self.bring_back(at) => Whereabouts::At(at),
                Some(_) => Whereabouts::Lost,
            },
        }
    }

    /// The same, of an entity that may not be there.
    fn known_near(&mut self, key: u64, place: u32) -> Option<u32> {
        match self.find_near(key, place) {
            Whereabouts::At(at) => Some(at),
            Whereabouts::Nowhere | Whereabouts::Lost => None,
        }
    }

    /// What is kept of an entity that is in memory, as one is that just came.
    pub fn get(&self, key: u64) -> Option<&T> {
        self.find(key).and_then(|at| self.entity(at)).map(|entity| &entity.kept)
    }

    /// What is kept at a place, if in memory.
    pub fn at(&self, place: u32) -> Option<&T> {
        self.entity(place).map(|entity| &entity.kept)
    }

    /// What is kept of an entity, to read: who changes it asks [`Table::get_mut`]. `place` is where it stood a moment
    /// ago.
    pub fn peek(&mut self, key: u64, place: u32) -> Option<&mut T> {
        let at = self.known_near(key, place)?;
        self.entity_mut(at).map(|entity| &mut entity.kept)
    }

    /// What is kept of an entity, to change; `place` is where it stood a moment ago.
    pub fn get_mut(&mut self, key: u64, place: u32) -> Option<&mut T> {
        let at = self.known_near(key, place)?;
        self.marks.change(at);
        self.entity_mut(at).map(|entity| &mut entity.kept)
    }

    /// What is kept of an entity that comes, which is made where there is none; `place` is where it stood a moment ago.
    /// `None`: it could not be read back.
    pub fn entry(&mut self, key: u64, place: u32) -> Option<&mut T> {
        let at = match self.find_near(key, place) {
            Whereabouts::At(at) => {
                self.marks.visit(at);
                at
            }
            Whereabouts::Nowhere => self.insert(key),
            Whereabouts::Lost => return None,
        };
        self.entity_mut(at).map(|entity| &mut entity.kept)
    }

    /// The same for more of an event with which it came already: that makes nobody come again.
    pub fn entry_of_same(&mut self, key: u64, place: u32) -> Option<&mut T> {
        match self.find_near(key, place) {
            Whereabouts::At(at) => {
                self.marks.change(at);
                self.entity_mut(at).map(|entity| &mut entity.kept)
            }
            Whereabouts::Nowhere => self.entry(key, place),
            Whereabouts::Lost => None,
        }
    }

    /// Every entity in memory with its key, in the order of their places.
    pub fn entities(&self) -> impl Iterator<Item = (u64, &T)> {
        let all = (0..self.places).filter_map(|at| self.entity(at));
        all.filter(|entity| entity.key != 0).map(|entity| (entity.key, &entity.kept))
    }

    /// The same, taken apart.
    pub fn into_entities(self) -> impl Iterator<Item = (u64, T)> {
        self.chunks.into_iter().flatten().filter(|entity| entity.key != 0).map(|entity| (entity.key, entity.kept))
    }

    fn insert(&mut self, key: u64) -> u32 {
        while self.len() >= self.entities_max && self.forget_next() {}
        let made = Entity { key, kept: T::default() };
        let at = match self.free.pop() {
            Some(Reverse(at)) => {
                self.enter(at);
                at
            }
            None => self.push(),
        };
        self.stand(at, made);
        self.index.insert(key, at);
        self.marks.insert(at);
        at
    }

    /// One place more.
    fn push(&mut self) -> u32 {
        let at = self.places;
        if at as usize / CHUNK == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.places += 1;
        self.enter(at);
        at
    }

    /// Somebody stands at a place where nobody does.
    fn stand(&mut self, at: u32, entity: Entity<T>) {
        let (number, within) = (at as usize / CHUNK, at as usize % CHUNK);
        if let Some(Some(thin)) = self.thinned.get_mut(number) {
            return thin.put(within, entity);
        }
        let Some(chunk) = self.chunks.get_mut(number) else { return };
        match chunk.get_mut(within) {
            Some(place) => *place = entity,
            None => chunk.push(entity),
        }
    }

    /// Takes who stands at a place away from there: their key, and what they pointed to, bytes.
    fn unstand(&mut self, at: u32) -> Option<(u64, usize)> {
        if let Some(away) = self.take_note(at) {
            return Some((away.key, away.heap_bytes as usize));
        }
        let (number, within) = (at as usize / CHUNK, at as usize % CHUNK);
        let gone = match self.thinned.get_mut(number) {
            Some(Some(thin)) => thin.take(within)?,
            _ => {
                let entity = self.entity_mut(at).filter(|e| e.key != 0)?;
                std::mem::replace(entity, Entity { key: 0, kept: T::default() })
            }
        };
        Some((gone.key, if self.heap_bytes.is_some() { gone.kept.heap_bytes() } else { 0 }))
    }

    fn remove(&mut self, at: u32) {
        let Some((key, heap_bytes)) = self.unstand(at) else { return };
        self.reaccount(heap_bytes, 0);
        self.index.remove(key, at);
        self.leave(at);
        if self.marks.remove(at) {
            self.removed.push(key);
        }
        self.free.push(Reverse(at));
    }

    fn next_place(&mut self) -> u32 {
        let at = if self.swept >= self.places { 0 } else { self.swept };
        self.swept = at + 1;
        at
    }

    fn forget_next(&mut self) -> bool {
        let next = self.marks.next_to_go(self.len(), self.entities_max);
        self.forget(next)
    }

    fn forget(&mut self, next: Option<u32>) -> bool {
        if let Some(at) = next {
            self.remove(at);
            self.forgotten += 1;
        }
        next.is_some()
    }

    /// Asks for the memory of what the next sweeps will look at: what the next `steps` entities point to, and the
    /// entities after them.
    pub fn bring_sweep_near(&self, steps: usize) {
        for ahead in 0..2 * steps {
            let at = self.swept as usize + ahead;
            let Some(chunk) = self.chunks.get(at / CHUNK) else { return };
            match chunk.get(at % CHUNK).filter(|_| ahead < steps) {
                Some(entity) => entity.kept.bring_heap_near(),
                None => prefetch_index(chunk, at % CHUNK),
            }
        }
    }

    /// Looks at the next few entities and drops what can no longer be asked for. `over_ms`: each feature's
    /// window.
    pub fn sweep(&mut self, steps: usize, horizon_ms: i64, over_ms: &[i64]) {
        for _ in 0..steps.min(self.places as usize) {
            let at = self.next_place();
            match self.entity(at) {
                Some(entity) if entity.key == 0 => {}
                Some(_) => drop(self.sweep_one(at, horizon_ms, over_ms)),
                None => self.sweep_away(at, horizon_ms, over_ms),
            }
        }
    }

    fn sweep_one(&mut self, at: u32, horizon_ms: i64, over_ms: &[i64]) -> Swept {
        let is_accounted = self.heap_bytes.is_some();
        let Some(entity) = self.entity_mut(at) else { return Swept::Same };
        let before = if is_accounted { entity.kept.heap_bytes() } else { 0 };
        let swept = entity.kept.sweep(horizon_ms, over_ms);
        let after = if is_accounted { entity.kept.heap_bytes() } else { 0 };
        self.reaccount(before, after);
        match swept {
            Swept::Gone => self.remove(at),
            Swept::Less => self.marks.change(at),
            Swept::Same => {}
        }
        swept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Time(i64);

    impl Kept for Time {
        fn sweep(&mut self, horizon_ms: i64, _: &[i64]) -> Swept {
            Swept::of(1, usize::from(self.0 > horizon_ms))
        }

        fn heap_bytes(&self) -> usize {
            self.0 as usize
        }
    }

    fn key(n: u64) -> u64 {
        crate::ruleset::HashKey::new([3; 16]).bytes(&n.to_be_bytes())
    }

    #[test]
    fn the_idle_are_swept_and_their_places_used_again() {
        let mut table: Table<Time> = Table::new(usize::MAX);
        for n in 0..5000 {
            table.entry(key(n), NOWHERE).unwrap().0 = n as i64;
        }
        table.sweep(5000, 2499, &[]);
        assert_eq!(table.len(), 2500);
        assert!(table.get(key(2499)).is_none());
        assert_eq!(table.get(key(2500)).unwrap().0, 2500);
        for n in 5000..7500 {
            table.entry(key(n), NOWHERE).unwrap().0 = n as i64;
        }
        assert_eq!((table.len(), table.places), (5000, 5000));
        assert!((2500..7500).all(|n| table.get(key(n)).unwrap().0 == n as i64));
    }

    #[test]
    fn memory_is_the_tables_own_and_what_a_sample_points_to() {
        let mut table: Table<Time> = Table::new(usize::MAX);
        assert_eq!(table.bytes(), table.table_bytes(), "nothing is kept");
        for n in 0..100 {
            table.entry(key(n), NOWHERE).unwrap().0 = 10;
        }
        assert_eq!(table.bytes(), table.table_bytes() + 1000, "of a small table every one is looked at");
        for n in 0..50_000 {
            table.entry(key(n), NOWHERE).unwrap().0 = 200 + (n as i64 % 7);
        }
        let heap = table.bytes() - table.table_bytes();
        let exact: usize = (0..50_000).map(|n| 200 + n % 7).sum();
        assert!(heap.abs_diff(exact) < exact / 100, "{heap} for {exact}");
        let own = size_of::<Entity<Time>>() * 50_000;
        assert!(table.table_bytes() > own && table.table_bytes() < 3 * own, "{} for {own}", table.table_bytes());
    }

    #[test]
    fn the_limit_holds() {
        let mut table: Table<Time> = Table::new(100);
        for n in 0..100_000 {
            table.entry(key(n), NOWHERE).unwrap().0 = n as i64;
            assert_eq!(table.get(key(n)).unwrap().0, n as i64);
        }
        assert_eq!((table.len(), table.places), (100, 100));
    }
}
