//! Entities of one kind: found by keyed hash, swept in bounded steps.
//!
//! Guarantees: at most `entities_max`; which one is forgotten at the limit depends on nothing but the order of
//! the input; growing never moves an entity. Keys are keyed hashes already, so the map hashes no more.

use hashbrown::HashTable;

use super::ids::NOWHERE;

/// Entities in one piece of memory.
const CHUNK: usize = 1024;

/// Something kept of an entity.
pub trait Kept: Default {
    /// Drops what can no longer be asked for. False: nothing is left of it.
    fn sweep(&mut self, horizon_ms: i64, over_ms: &[i64]) -> bool;
}

#[derive(Debug)]
struct Entity<T> {
    /// 0: the place is free.
    key: u64,
    kept: T,
}

/// Where an entity stands, with half of its key so that growing reads no entity.
#[derive(Debug, Clone, Copy)]
struct Handle {
    tag: u32,
    at: u32,
}

impl Handle {
    /// The map's hash: its low bits choose the place, its high bits are compared there.
    fn hash(self) -> u64 {
        u64::from(self.tag) << 32 | u64::from(self.tag)
    }
}

/// All entities of one kind.
#[derive(Debug)]
pub struct Table<T> {
    index: HashTable<Handle>,
    chunks: Vec<Vec<Entity<T>>>,
    free: Vec<u32>,
    swept: u32,
    entities_max: usize,
}

fn tag(key: u64) -> u32 {
    (key >> 32) as u32
}

impl<T: Kept> Table<T> {
    /// An empty table of at most `entities_max` entities.
    pub fn new(entities_max: usize) -> Self {
        let entities_max = entities_max.clamp(1, u32::MAX as usize);
        Table { index: HashTable::new(), chunks: Vec::new(), free: Vec::new(), swept: 0, entities_max }
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Memory of the table itself, bytes; what the entities point to is not in it.
    pub fn table_bytes(&self) -> usize {
        let places: usize = self.chunks.iter().map(Vec::capacity).sum();
        places * size_of::<Entity<T>>() + self.index.allocation_size() + self.free.capacity() * size_of::<u32>()
    }

    fn entity(&self, at: u32) -> Option<&Entity<T>> {
        self.chunks.get(at as usize / CHUNK)?.get(at as usize % CHUNK)
    }

    fn entity_mut(&mut self, at: u32) -> Option<&mut Entity<T>> {
        self.chunks.get_mut(at as usize / CHUNK)?.get_mut(at as usize % CHUNK)
    }

    fn find(&self, key: u64) -> Option<u32> {
        let wanted = Handle { tag: tag(key), at: 0 };
        let same = |h: &Handle| h.tag == wanted.tag && self.entity(h.at).is_some_and(|e| e.key == key);
        self.index.find(wanted.hash(), same).map(|handle| handle.at)
    }

    /// Where an entity probably stands, without looking there; [`NOWHERE`] where there is none.
    pub fn place(&self, key: u64) -> u32 {
        let wanted = Handle { tag: tag(key), at: 0 };
        self.index.find(wanted.hash(), |h| h.tag == wanted.tag).map_or(NOWHERE, |handle| handle.at)
    }

    /// Where an entity stands, if it still stands at `place`, else wherever it is found.
    fn find_near(&self, key: u64, place: u32) -> Option<u32> {
        match self.entity(place) {
            Some(entity) if entity.key == key => Some(place),
            _ => self.find(key),
        }
    }

    /// What is kept of an entity.
    pub fn get(&self, key: u64) -> Option<&T> {
        self.find(key).and_then(|at| self.entity(at)).map(|entity| &entity.kept)
    }

    /// The key of the entity at a place, 0 where there is none.
    pub fn key_at(&self, place: u32) -> u64 {
        self.entity(place).map_or(0, |entity| entity.key)
    }

    /// What is kept at a place.
    pub fn at(&self, place: u32) -> Option<&T> {
        self.entity(place).map(|entity| &entity.kept)
    }

    /// What is kept of an entity, to change; `place` is where it stood a moment ago.
    pub fn get_mut(&mut self, key: u64, place: u32) -> Option<&mut T> {
        let at = self.find_near(key, place)?;
        self.entity_mut(at).map(|entity| &mut entity.kept)
    }

    /// What is kept of an entity, which is made where there is none; `place` is where it stood a moment ago.
    pub fn entry(&mut self, key: u64, place: u32) -> Option<&mut T> {
        let at = match self.find_near(key, place) {
            Some(at) => at,
            None => self.insert(key),
        };
        self.entity_mut(at).map(|entity| &mut entity.kept)
    }

    fn insert(&mut self, key: u64) -> u32 {
        while self.len() >= self.entities_max {
            self.forget_next();
        }
        let made = Entity { key, kept: T::default() };
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.entity_mut(at) {
                    *place = made;
                }
                at
            }
            None => self.push(made),
        };
        let handle = Handle { tag: tag(key), at };
        self.index.insert_unique(handle.hash(), handle, |h| h.hash());
        at
    }

    fn push(&mut self, made: Entity<T>) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunks = self.chunks.len() - 1;
        let at = self.chunks.last_mut().map_or(0, |chunk| {
            chunk.push(made);
            chunks * CHUNK + chunk.len() - 1
        });
        at as u32
    }

    fn places(&self) -> u32 {
        let last = self.chunks.last().map_or(0, Vec::len);
        (self.chunks.len().saturating_sub(1) * CHUNK + last) as u32
    }

    fn remove(&mut self, at: u32) {
        let Some(entity) = self.entity_mut(at).filter(|e| e.key != 0) else { return };
        let tag = tag(entity.key);
        *entity = Entity { key: 0, kept: T::default() };
        let handle = Handle { tag, at };
        if let Ok(found) = self.index.find_entry(handle.hash(), |h| h.at == at) {
            found.remove();
        }
        self.free.push(at);
    }

    fn next_place(&mut self) -> u32 {
        let at = if self.swept >= self.places() { 0 } else { self.swept };
        self.swept = at + 1;
        at
    }

    fn forget_next(&mut self) {
        let at = self.next_place();
        self.remove(at);
    }

    /// Looks at the next few entities and drops what can no longer be asked for. `over_ms`: each feature's
    /// window.
    pub fn sweep(&mut self, steps: usize, horizon_ms: i64, over_ms: &[i64]) {
        for _ in 0..steps.min(self.places() as usize) {
            let at = self.next_place();
            let idle = self.entity_mut(at).is_some_and(|e| e.key != 0 && !e.kept.sweep(horizon_ms, over_ms));
            if idle {
                self.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Time(i64);

    impl Kept for Time {
        fn sweep(&mut self, horizon_ms: i64, _: &[i64]) -> bool {
            self.0 > horizon_ms
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
        assert_eq!((table.len(), table.places()), (5000, 5000));
        assert!((2500..7500).all(|n| table.get(key(n)).unwrap().0 == n as i64));
    }

    #[test]
    fn the_limit_holds() {
        let mut table: Table<Time> = Table::new(100);
        for n in 0..100_000 {
            table.entry(key(n), NOWHERE).unwrap().0 = n as i64;
            assert_eq!(table.get(key(n)).unwrap().0, n as i64);
        }
        assert_eq!((table.len(), table.places()), (100, 100));
    }
}
