//! Which keys of a map changed since it was last saved.
//!
//! Guarantees: until the first save it costs nothing, for then all there is will be written. Keeps keys only.

/// Keys are looked through for those noted twice when there are more than this.
const NOTED_MAX: usize = 1 << 16;

/// The keys that changed.
#[derive(Debug)]
pub struct Changed<K> {
    /// `None`: nothing was ever saved.
    keys: Option<Vec<K>>,
    /// How many there may be until doubles are looked for.
    doubles_at: usize,
}

impl<K: Ord> Changed<K> {
    /// Nothing was ever saved.
    pub fn everything() -> Self {
        Changed { keys: None, doubles_at: NOTED_MAX }
    }

    /// All there is was just saved, or read.
    pub fn nothing() -> Self {
        Changed { keys: Some(Vec::new()), doubles_at: NOTED_MAX }
    }

    /// A key has another value, or none any more.
    pub fn note(&mut self, key: K) {
        let Some(keys) = &mut self.keys else { return };
        if keys.len() >= self.doubles_at {
            keys.sort_unstable();
            keys.dedup();
            self.doubles_at = (2 * keys.len()).max(NOTED_MAX);
        }
        keys.push(key);
    }

    /// The keys to save, each once, of which some may be gone; `None`: all there are. From now on they are saved.
    pub fn take(&mut self) -> Option<Vec<K>> {
        let keys = std::mem::replace(self, Self::nothing()).keys;
        keys.map(|mut keys| {
            keys.sort_unstable();
            keys.dedup();
            keys
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_first_everything_then_what_was_noted_once_each() {
        let mut changed = Changed::everything();
        changed.note(1);
        assert_eq!(changed.take(), None);
        (0..200_000).for_each(|n| changed.note(n % 7));
        assert!(changed.keys.as_ref().unwrap().len() <= NOTED_MAX, "doubles do not pile up");
        assert_eq!(changed.take(), Some((0..7).collect()));
        assert_eq!(changed.take(), Some(Vec::new()));
    }
}
