//! A disk in memory that loses or tears, at a crash, what was not synced; a seed chooses what.
//!
//! Guarantees: what was synced outlives every crash; of what was not, each sector and each change of a name may be
//! kept, lost or torn by itself, so that nobody can rely on an order that was not asked for. The same seed and the
//! same calls give the same. Is no file system: it has no folders of its own, and no one shares it between processes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile};

/// What a disk writes at once or not at all, bytes.
const SECTOR_BYTES: usize = 512;

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process alone: the system still writes what it was given.
    Process,
    /// The machine: what was not synced may be lost or torn.
    Power,
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Clone)]
struct Inner {
    random: u64,
    files: Vec<Inode>,
    /// Names as the process sees them.
    names: BTreeMap<PathBuf, usize>,
    /// Names as they outlive a crash.
    safe_names: BTreeMap<PathBuf, usize>,
    /// What happened to names since.
    renamed: Vec<NameChange>,
    steps: u64,
    /// The step at which the power fails or the process is killed.
    crash_at: Option<u64>,
    /// The step that fails, and how.
    fail_at: Option<(u64, io::ErrorKind)>,
    is_down: bool,
}

#[derive(Debug, Default, Clone)]
struct Inode {
    now: Vec<u8>,
    safe: Vec<u8>,
    written: Vec<Written>,
}

/// A change of a file that is not synced.
#[derive(Debug, Clone)]
enum Written {
    Bytes(usize, Vec<u8>),
    Cut(usize),
}

/// A change of names that is not synced.
#[derive(Debug, Clone)]
enum NameChange {
    Linked(PathBuf, usize),
    Removed(PathBuf),
    Renamed(PathBuf, PathBuf),
}

/// What a step does.
enum Step {
    /// All of it.
    Whole,
    /// The process or the machine ends in the middle of it.
    Crash,
    /// It fails.
    Fail(io::ErrorKind),
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            random: seed,
            files: Vec::new(),
            names: BTreeMap::new(),
            safe_names: BTreeMap::new(),
            renamed: Vec::new(),
            steps: 0,
            crash_at: None,
            fail_at: None,
            is_down: false,
        };
        SimulatedDisk { inner: Arc::new(Mutex::new(inner)) }
    }

    /// How many changes were asked for: each is a step at which a crash can come.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Crashes in the middle of the change that comes after `steps` more.
    pub fn crash_after(&self, steps: u64) {
        let mut inner = self.lock();
        inner.crash_at = Some(inner.steps + steps + 1);
    }

    /// Lets the change that comes after `steps` more fail, once.
    pub fn fail_after(&self, steps: u64, kind: io::ErrorKind) {
        let mut inner = self.lock();
        inner.fail_at = Some((inner.steps + steps + 1, kind));
    }

    /// Whether it has crashed: every call fails until [`SimulatedDisk::restart`].
    pub fn is_down(&self) -> bool {
        self.lock().is_down
    }

    /// Starts again after a crash, or crashes now and starts again: what outlived it is all there is.
    pub fn restart(&self, crash: Crash) {
        let mut inner = self.lock();
        if crash == Crash::Power {
            inner.lose();
        }
        inner.keep();
        (inner.is_down, inner.crash_at, inner.fail_at) = (false, None, None);
    }

    /// Another disk that is as this one is now: what happens to one does not happen to the other.
    pub fn fork(&self) -> Self {
        SimulatedDisk { inner: Arc::new(Mutex::new(self.lock().clone())) }
    }

    /// For whoever shares this disk's crashes without writing on it: a step. `Ok(false)` where the crash comes now;
    /// it may have happened before or after what the step does.
    pub fn step(&self) -> io::Result<bool> {
        let mut inner = self.lock();
        match inner.step()? {
            Step::Whole => Ok(true),
            Step::Crash => Ok(false),
            Step::Fail(kind) => Err(kind.into()),
        }
    }

    /// A number of its randomness below `end`, which is at least 1.
    pub fn random(&self, end: u64) -> u64 {
        self.lock().random(end)
    }

    /// Changes a byte of a file as a dying disk does.
    pub fn flip(&self, path: &Path, at: usize, bits: u8) {
        let mut inner = self.lock();
        let Some(file) = inner.names.get(path).copied().and_then(|id| inner.files.get_mut(id)) else { return };
        for bytes in [&mut file.now, &mut file.safe] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bits;
            }
        }
    }

    /// The size of a file, bytes, if it is there.
    pub fn bytes(&self, path: &Path) -> Option<usize> {
        let inner = self.lock();
        let id = inner.names.get(path)?;
        inner.files.get(*id).map(|file| file.now.len())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The next change: what becomes of it.
    fn step(&mut self) -> io::Result<Step> {
        self.check()?;
        self.steps += 1;
        if self.crash_at.is_some_and(|at| self.steps >= at) {
            self.is_down = true;
            return Ok(Step::Crash);
        }
        match self.fail_at {
            Some((at, kind)) if self.steps >= at => {
                self.fail_at = None;
                Ok(Step::Fail(kind))
            }
            _ => Ok(Step::Whole),
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.is_down { Err(crashed()) } else { Ok(()) }
    }

    /// A change that happens whole or not at all, and at a crash one or the other.
    fn whole(&mut self, change: impl FnOnce(&mut Inner)) -> io::Result<()> {
        match self.step()? {
            Step::Whole => {
                change(self);
                Ok(())
            }
            Step::Crash => {
                if self.random(2) == 0 {
                    change(self);
                }
                Err(crashed())
            }
            Step::Fail(kind) => Err(kind.into()),
        }
    }

    /// How many of `bytes` are written.
    fn partly(&mut self, bytes: usize) -> io::Result<(usize, io::Result<()>)> {
        Ok(match self.step()? {
            Step::Whole => (bytes, Ok(())),
            Step::Crash => (self.some(bytes), Err(crashed())),
            Step::Fail(kind) => (self.some(bytes), Err(kind.into())),
        })
    }

    fn write(&mut self, id: usize, bytes: &[u8]) -> io::Result<()> {
        let (kept, result) = self.partly(bytes.len())?;
        let kept = bytes.get(..kept).unwrap_or(bytes);
        if let Some(file) = self.files.get_mut(id) {
            file.written.push(Written::Bytes(file.now.len(), kept.to_vec()));
            file.now.extend_from_slice(kept);
        }
        result
    }

    fn linked(&mut self, path: &Path) -> usize {
        let id = self.files.len();
        self.files.push(Inode::default());
        self.names.insert(path.to_path_buf(), id);
        self.renamed.push(NameChange::Linked(path.to_path_buf(), id));
        id
    }

    /// Everything the process sees is safe now.
    fn keep(&mut self) {
        self.safe_names = self.names.clone();
        self.renamed.clear();
        for file in &mut self.files {
            file.safe = file.now.clone();
            file.written.clear();
        }
    }

    /// The process sees what outlives a failure of the power.
    fn lose(&mut self) {
        let mut lost: BTreeSet<PathBuf> = BTreeSet::new();
        let changes = std::mem::take(&mut self.renamed);
        let keeps = self.random(3);
        for change in changes {
            let (one, other) = match &change {
                NameChange::Linked(path, _) | NameChange::Removed(path) => (path, path),
                NameChange::Renamed(from, to) => (from, to),
            };
            // What happens to a name stands on what happened to it before.
            if lost.contains(one) || lost.contains(other) || self.random(3) >= keeps {
                lost.extend([one.clone(), other.clone()]);
            } else {
                change.apply(&mut self.safe_names);
            }
        }
        self.names = self.safe_names.clone();
        for at in 0..self.files.len() {
            let mut file = self.files.get(at).cloned().unwrap_or_default();
            file.now = self.torn(file.safe.clone(), &file.written);
            if let Some(kept) = self.files.get_mut(at) {
                *kept = file;
            }
        }
    }

    /// A file of which each sector that was not synced is kept, lost or torn by itself.
    fn torn(&mut self, mut bytes: Vec<u8>, written: &[Written]) -> Vec<u8> {
        // Some crashes keep nearly all, some nearly nothing.
        let keeps = self.random(9);
        for change in written {
            match change {
                Written::Cut(len) if self.random(8) < keeps => bytes.truncate(*len),
                Written::Cut(_) => {}
                Written::Bytes(start, new) => {
                    let mut at = 0;
                    while at < new.len() {
                        let sector_end = ((start + at) / SECTOR_BYTES + 1) * SECTOR_BYTES - start;
                        let end = sector_end.min(new.len());
                        let piece = new.get(at..end).unwrap_or_default();
                        if self.random(8) < keeps {
                            let kept = if self.random(8) == 0 { self.some(piece.len()) } else { piece.len() };
                            put(&mut bytes, start + at, piece.get(..kept).unwrap_or(piece));
                        } else if self.random(8) == 0 {
                            // The length was written, the bytes were not: what stood there before shows.
                            let stale: Vec<u8> = piece.iter().map(|_| self.random(256) as u8).collect();
                            put(&mut bytes, start + at, &stale);
                        }
                        at = end;
                    }
                }
            }
        }
        bytes
    }

    /// From none to all of so many.
    fn some(&mut self, all: usize) -> usize {
        usize::try_from(self.random(all as u64 + 1)).unwrap_or(all)
    }

    /// splitmix64.
    fn random(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            NameChange::Linked(path, id) => {
                names.insert(path, id);
            }
            NameChange::Removed(path) => {
                names.remove(&path);
            }
            NameChange::Renamed(from, to) => {
                if let Some(id) = names.remove(&from) {
                    names.insert(to, id);
                }
            }
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        let of = |path: &Path| path.parent() == Some(folder);
        match self {
            NameChange::Linked(path, _) | NameChange::Removed(path) => of(path),
            NameChange::Renamed(from, to) => of(from) || of(to),
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    let end = at + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(at..end) {
        place.copy_from_slice(new);
    }
}

fn crashed() -> io::Error {
    io::Error::other("the simulated machine has crashed")
}

/// A file of the simulated disk.
struct SimulatedFile {
    disk: SimulatedDisk,
    id: usize,
}

impl Write for SimulatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.lock().write(self.id, bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn sync(&mut self) -> io::Result<()> {
        let id = self.id;
        self.disk.lock().whole(|inner| {
            if let Some(file) = inner.files.get_mut(id) {
                file.safe = file.now.clone();
                file.written.clear();
            }
        })
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.lock();
        inner.check()?;
        if inner.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mut id = 0;
        inner.whole(|inner| id = inner.linked(path))?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), id }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.lock();
        inner.check()?;
        let id = match inner.names.get(path) {
            Some(id) => *id,
            None => {
                let mut id = 0;
                inner.whole(|inner| id = inner.linked(path))?;
                id
            }
        };
        Ok(Box::new(SimulatedFile { disk: self.clone(), id }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let inner = self.lock();
        inner.check()?;
        let file = inner.names.get(path).and_then(|id| inner.files.get(*id));
        let bytes = file.ok_or(io::ErrorKind::NotFound)?.now.clone();
        Ok(Box::new(io::Cursor::new(bytes)))
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inner = self.lock();
        inner.check()?;
        let inside = inner.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.check()?;
        let id = *inner.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let len = usize::try_from(bytes).unwrap_or(usize::MAX);
        inner.whole(|inner| {
            if let Some(file) = inner.files.get_mut(id) {
                file.now.truncate(len);
                file.written.push(Written::Cut(len));
            }
        })?;
        inner.whole(|inner| {
            if let Some(file) = inner.files.get_mut(id) {
                file.safe = file.now.clone();
                file.written.clear();
            }
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.check()?;
        if !inner.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let change = NameChange::Renamed(from.to_path_buf(), to.to_path_buf());
        inner.whole(|inner| {
            change.clone().apply(&mut inner.names);
            inner.renamed.push(change);
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.check()?;
        if !inner.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let change = NameChange::Removed(path.to_path_buf());
        inner.whole(|inner| {
            change.clone().apply(&mut inner.names);
            inner.renamed.push(change);
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.lock().whole(|inner| {
            let changes = std::mem::take(&mut inner.renamed);
            let (here, elsewhere) = changes.into_iter().partition(|change: &NameChange| change.is_in(folder));
            inner.renamed = elsewhere;
            for change in here {
                change.apply(&mut inner.safe_names);
            }
        })
    }
}

#[cfg(test)]
mod tests;
