//! Where each entity of a kind stands: from half of its key to a number.
//!
//! Guarantees: a search reads one line of memory, seldom a second; growing reads no entity. Does not know what
//! stands at a place: whoever asks compares the whole key there.

use prefetch_index::prefetch_index;

/// Entries in one line of a cache.
const LINE_ENTRIES: usize = 7;
/// The index grows when so many percent of its entries are taken.
const FULL_PERCENT: usize = 85;
const FREE: u64 = 0;

/// One line of a cache. An entry stands in the line its tag says, or in one after it where that was full.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Line {
    /// The tag above, the place plus one below; 0 is free.
    entries: [u64; LINE_ENTRIES],
    /// How many entries stand further on because this line was full: at 0 a search ends here.
    passed: u64,
}

/// The index of one kind of entity.
#[derive(Debug)]
pub struct Places {
    lines: Vec<Line>,
    len: usize,
}

/// The half of a key that is kept here.
fn tag(key: u64) -> u64 {
    key >> 32
}

fn entry(tag: u64, place: u32) -> u64 {
    (tag << 32) | (u64::from(place) + 1)
}

fn place(entry: u64) -> u32 {
    (entry as u32).wrapping_sub(1)
}

impl Places {
    /// None yet.
    pub fn new() -> Self {
        Places { lines: vec![Line::default()], len: 0 }
    }

    /// None yet, with room for so many.
    pub fn with_room(len: usize) -> Self {
        Places { lines: vec![Line::default(); len * 100 / (LINE_ENTRIES * FULL_PERCENT) + 1], len: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Its memory, bytes.
    pub fn bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }

    /// Asks for the memory of a key, so that it is near when it is looked up. Changes nothing.
    pub fn bring_near(&self, key: u64) {
        prefetch_index(&self.lines, self.home(tag(key)));
    }

    /// The place of a key: the first with its tag of which `is` says that it is the key's.
    pub fn find(&self, key: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = tag(key);
        let mut at = self.home(tag);
        for _ in 0..self.lines.len() {
            let line = self.lines.get(at)?;
            let mut same = line.entries.iter().filter(|e| **e >> 32 == tag && **e != FREE);
            if let Some(found) = same.find(|e| is(place(**e))) {
                return Some(place(*found));
            }
            if line.passed == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    /// Takes the place of a key that has none. `place` is below `u32::MAX`.
    pub fn insert(&mut self, key: u64, place: u32) {
        if (self.len + 1) * 100 > self.lines.len() * LINE_ENTRIES * FULL_PERCENT {
            self.grow();
        }
        self.len += 1;
        self.put(entry(tag(key), place));
    }

    /// Forgets a key's place.
    pub fn remove(&mut self, key: u64, place: u32) {
        let gone = entry(tag(key), place);
        let home = self.home(tag(key));
        let mut at = home;
        for _ in 0..self.lines.len() {
            let Some(line) = self.lines.get_mut(at) else { return };
            if let Some(kept) = line.entries.iter_mut().find(|e| **e == gone) {
                *kept = FREE;
                self.len -= 1;
                self.unpass(home, at);
                return;
            }
            if line.passed == 0 {
                return;
            }
            at = self.after(at);
        }
    }

    /// The line a tag belongs into. It rises with the tag: growing goes through old and new lines in order.
    fn home(&self, tag: u64) -> usize {
        ((tag * self.lines.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 < self.lines.len() { at + 1 } else { 0 }
    }

    fn put(&mut self, entry: u64) {
        let mut at = self.home(entry >> 32);
        for _ in 0..self.lines.len() {
            let Some(line) = self.lines.get_mut(at) else { return };
            if let Some(free) = line.entries.iter_mut().find(|e| **e == FREE) {
                *free = entry;
                return;
            }
            line.passed += 1;
            at = self.after(at);
        }
    }

    /// What stood at `at` is gone: the lines it had to pass no longer count it.
    fn unpass(&mut self, home: usize, at: usize) {
        let mut passed = home;
        while passed != at {
            if let Some(line) = self.lines.get_mut(passed) {
                line.passed = line.passed.saturating_sub(1);
            }
            passed = self.after(passed);
        }
    }

    /// A quarter more lines.
    fn grow(&mut self) {
        let lines = self.lines.len() + self.lines.len() / 4 + 1;
        let old = std::mem::replace(&mut self.lines, vec![Line::default(); lines]);
        for entry in old.iter().flat_map(|line| line.entries).filter(|e| *e != FREE) {
            self.put(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few tags, so that lines run over and tags are shared.
        #[test]
        fn equals_a_map(steps in prop::collection::vec((0u64..40, 0u64..3, any::<bool>()), 1..600)) {
            let mut places = Places::new();
            let mut all: HashMap<u64, u32> = HashMap::new();
            for (at, (high, low, takes)) in steps.into_iter().enumerate() {
                let key = high << 58 | low;
                let stands = |all: &HashMap<u64, u32>, place: u32| all.get(&key) == Some(&place);
                prop_assert_eq!(places.find(key, |p| stands(&all, p)), all.get(&key).copied());
                match all.get(&key).copied() {
                    None if takes => {
                        places.insert(key, at as u32);
                        all.insert(key, at as u32);
                    }
                    Some(place) if !takes => {
                        places.remove(key, place);
                        all.remove(&key);
                    }
                    _ => {}
                }
                prop_assert_eq!(places.len(), all.len());
            }
        }
    }
}
