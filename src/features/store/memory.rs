//! The state in memory: for tests, replays and the simulation.
//!
//! Guarantees: the same answers as the store on disk. Outlives nothing.

use std::collections::BTreeMap;

use super::{Changes, Space, StoreError, Stored, Take};

/// Keys and values in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStore {
    values: BTreeMap<(Space, Vec<u8>), Vec<u8>>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl Changes for MemoryStore {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.values.insert((space, key.to_vec()), value.to_vec());
    }

    fn delete(&mut self, space: Space, key: &[u8]) {
        self.values.remove(&(space, key.to_vec()));
    }
}

impl Stored for MemoryStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.values.get(&(space, key.to_vec())).cloned())
    }

    fn each(&self, space: Space, take: Take<'_>) -> Result<(), StoreError> {
        let of_space = self.values.range((space, Vec::new())..).take_while(|((found, _), _)| *found == space);
        of_space.into_iter().try_for_each(|((_, key), value)| take(key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_is_read_in_the_order_of_its_keys_and_alone() {
        let mut store = MemoryStore::new();
        for (space, key) in [(Space::Ip, "b"), (Space::Account, "z"), (Space::Ip, "a"), (Space::Subnet, "c")] {
            store.put(space, key.as_bytes(), b"v");
        }
        store.put(Space::Ip, b"gone", b"v");
        store.delete(Space::Ip, b"gone");
        let mut read = Vec::new();
        let mut take = |key: &[u8], _: &[u8]| {
            read.push(key.to_vec());
            Ok(())
        };
        store.each(Space::Ip, &mut take).expect("memory");
        assert_eq!(read, [b"a", b"b"]);
        assert_eq!(store.get(Space::Account, b"z").expect("memory").as_deref(), Some(&b"v"[..]));
        assert_eq!(store.get(Space::Account, b"a").expect("memory"), None);
    }
}
