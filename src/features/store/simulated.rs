//! A store in memory that crashes with a simulated disk.
//!
//! Guarantees: a checkpoint is taken whole or not at all, as the store on disk does. At a failure of the power it may
//! lose the last one it took, as a disk does that lies about syncing. Outlives nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Change, Changes as _, Mark, MemoryStore, Space, Store, StoreError, Stored, Take, io_error};
use crate::disk::{Crash, SimulatedDisk};

/// In one of so many failures of the power the last checkpoint is lost.
const LIES_ONE_IN: u64 = 4;

/// A store that crashes with its disk. Clones are the same store.
#[derive(Debug, Clone)]
pub struct SimulatedStore {
    disk: SimulatedDisk,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default, Clone)]
struct Inner {
    now: Held,
    /// Before the last checkpoint.
    before: Held,
}

#[derive(Debug, Clone, Default)]
struct Held {
    values: MemoryStore,
    mark: Option<Mark>,
}

impl SimulatedStore {
    /// An empty one on a disk.
    pub fn new(disk: &SimulatedDisk) -> Self {
        SimulatedStore { disk: disk.clone(), inner: Arc::default() }
    }

    /// Another store that is as this one is now, on a fork of its disk.
    pub fn fork(&self, disk: &SimulatedDisk) -> Self {
        SimulatedStore { disk: disk.clone(), inner: Arc::new(Mutex::new(self.lock().clone())) }
    }

    /// What it holds.
    pub fn values(&self) -> MemoryStore {
        self.lock().now.values.clone()
    }

    /// Starts again after the disk's crash. Where the disk had not crashed, nothing was under way.
    pub fn restart(&self, crash: Crash) {
        let lies = crash == Crash::Power && self.disk.random(LIES_ONE_IN) == 0;
        let mut inner = self.lock();
        if lies {
            inner.now = inner.before.clone();
        }
        inner.before = inner.now.clone();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.disk.is_down() {
            true => Err(StoreError::Poisoned("the simulated machine has crashed".to_owned())),
            false => Ok(()),
        }
    }
}

impl Stored for SimulatedStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.check()?;
        self.lock().now.values.get(space, key)
    }

    fn each(&self, space: Space, take: Take<'_>) -> Result<(), StoreError> {
        self.check()?;
        self.values().each(space, take)
    }
}

impl Store for SimulatedStore {
    fn mark(&self) -> Result<Option<Mark>, StoreError> {
        self.check()?;
        Ok(self.lock().now.mark.clone())
    }

    fn apply(&self, changes: &[Change<'_>], mark: &Mark) -> Result<(), StoreError> {
        let is_whole = self.disk.step().map_err(io_error("write", "(simulated)".as_ref()))?;
        if is_whole || self.disk.random(2) == 0 {
            let mut inner = self.lock();
            inner.before = inner.now.clone();
            for Change { space, key, value } in changes {
                match value {
                    Some(value) => inner.now.values.put(*space, key, value),
                    None => inner.now.values.delete(*space, key),
                }
            }
            inner.now.mark = Some(mark.clone());
        }
        self.check()
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}
