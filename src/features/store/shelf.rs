//! The store as the engine reads entities back from it, one at a time, while it decides.
//!
//! Guarantees: a value that cannot be read, or is not there, is a failure that stays until somebody asks, never an
//! entity that nothing is known of. Writes nothing.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Space, StoreError, Stored};

/// What entities are read back from.
pub type Source = Arc<dyn Stored + Send + Sync>;

/// A store, and how reading from it went.
pub struct Shelf {
    stored: Source,
    has_failed: AtomicBool,
    failed: Mutex<Option<(Option<StoreError>, String)>>,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("has_failed", &self.has_failed()).finish_non_exhaustive()
    }
}

impl Shelf {
    /// A store that nothing was read from yet.
    pub fn new(stored: Source) -> Self {
        Shelf { stored, has_failed: AtomicBool::new(false), failed: Mutex::new(None) }
    }

    /// The value of a key that must be there, made something of; `None`: that failed, and whoever asks is told why.
    pub fn read<T>(&self, space: Space, key: &[u8], make: impl FnOnce(&[u8]) -> Result<T, StoreError>) -> Option<T> {
        let found = self.stored.get(space, key).and_then(|value| match value {
            Some(value) => make(&value),
            None => {
                let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                let what = format!("key {key} is not there, though its entity left memory");
                Err(StoreError::Damaged { space: Some(space), what })
            }
        });
        found.map_err(|error| self.fail(error)).ok()
    }

    fn fail(&self, error: StoreError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() {
            let text = error.to_string();
            *failed = Some((Some(error), text));
        }
        self.has_failed.store(true, Ordering::Release);
    }

    /// Whether anything could not be read: what was decided since is worth nothing.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// The same with the reason: the first who asks gets the error itself.
    pub fn check(&self) -> Result<(), StoreError> {
        match &mut *self.failed.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some((error, text)) => Err(error.take().unwrap_or_else(|| StoreError::Poisoned(text.clone()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Changes as _, MemoryStore};
    use super::*;

    #[test]
    fn what_is_not_there_or_cannot_be_read_is_a_failure_that_stays() {
        let mut store = MemoryStore::new();
        store.put(Space::Ip, b"a", b"1");
        let shelf = Shelf::new(Arc::new(store));
        assert_eq!(shelf.read(Space::Ip, b"a", |value| Ok(value.to_vec())), Some(b"1".to_vec()));
        assert!(!shelf.has_failed() && shelf.check().is_ok());
        assert_eq!(shelf.read(Space::Account, b"a", |_| Ok(())), None);
        assert!(shelf.has_failed());
        let wrong = |_: &[u8]| Err::<(), _>(StoreError::Damaged { space: None, what: "later".to_owned() });
        assert_eq!(shelf.read(Space::Ip, b"a", wrong), None);
        let first = shelf.check().expect_err("it failed");
        assert!(matches!(&first, StoreError::Damaged { space: Some(Space::Account), .. }), "the first one: {first}");
        let second = shelf.check().expect_err("it still has").to_string();
        assert!(second.contains("key 61 is not there"), "{second}");
    }
}
