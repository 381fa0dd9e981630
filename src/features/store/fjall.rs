//! The state on disk: fjall, as one sorted tree.
//!
//! Guarantees: a checkpoint becomes one sorted run of the tree, taken whole or not at all and synced before the call
//! returns, so that nothing rests on fjall's journal (which forgets, without a word, what stands behind a flipped
//! byte). Each value has a checksum of its own over its key and itself, beside those of fjall's blocks. One process has
//! the folder; a failure of the disk poisons it. Makes no redo file and knows no values.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::checkpoint::{FORMAT, Mark, NoMark};
use super::{Change, Space, Store, StoreError, Stored, Take, fjall_files, io_error, redo_file};
use crate::disk::{Disk as _, RealDisk};
use crate::failpoint::{self, reach};

/// The folder of the store, below the state's.
const FOLDER: &str = "store";
/// Where a new store is made before it gets its name.
const UNFINISHED: &str = "store.new";
/// Where a store stands that was set aside.
const ASIDE: &str = "store.old";
/// The file that says which process has the state.
const LOCK: &str = "state.lock";
/// The one tree. All spaces are in it, so that a checkpoint is one step of it.
const TREE: &str = "state";
/// The key of the mark; those of values begin with the number of their space, which is never 0.
const MARK: [u8; 1] = [0];
/// Blocks kept for reading back what is not in memory, bytes.
const CACHE_BYTES: u64 = 32 << 20;
/// What is known where fjall's own thread failed: it keeps its reason to itself.
const MERGING_FAILED: &str = "its tables could not be written or merged: is the disk full, or failing?";
/// Checksum before each value, bytes.
const SUM_BYTES: usize = 8;

/// The state on disk.
pub struct FjallStore {
    folder: PathBuf,
    database: Database,
    tree: Keyspace,
    poisoned: OnceLock<String>,
    /// Held as long as the store is.
    _lock: File,
}

/// How much a space holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceSize {
    /// Which.
    pub space: Space,
    /// Its keys.
    pub keys: u64,
    /// Keys and values together, bytes.
    pub bytes: u64,
}

impl fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallStore").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl FjallStore {
    /// Whether a state folder has a store.
    pub fn is_there(directory: &Path) -> bool {
        directory.join(FOLDER).exists()
    }

    /// Opens the store in a state folder, and makes it where there is none.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let lock = lock(directory)?;
        if !Self::is_there(directory) {
            make(directory)?;
        }
        Self::open_locked(directory, lock)
    }

    /// Opens the store in a state folder; `None` where there is none.
    pub fn open_existing(directory: &Path) -> Result<Option<Self>, StoreError> {
        if !Self::is_there(directory) {
            return Ok(None);
        }
        let lock = lock(directory)?;
        Self::open_locked(directory, lock).map(Some)
    }

    /// Whether nobody has the state of a folder open.
    pub fn check_free(directory: &Path) -> Result<(), StoreError> {
        lock(directory).map(drop)
    }

    /// The store that was set aside last, if it still stands, and its size, bytes.
    pub fn aside(directory: &Path) -> Option<(PathBuf, u64)> {
        let aside = directory.join(ASIDE);
        aside.exists().then(|| (aside.clone(), bytes_below(&aside)))
    }

    /// Takes a state away that was never whole, for good; one that was set aside before it stays.
    pub fn discard(directory: &Path) -> Result<(), StoreError> {
        let _lock = lock(directory)?;
        let folder = directory.join(FOLDER);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(io_error("remove", &folder))?;
        }
        remove_redo_files(directory)
    }

    /// Takes a state away so that it can be made anew, by replay: the store keeps standing beside it under another
    /// name until the next time, its redo files go, the key of its hashes stays.
    pub fn set_aside(directory: &Path) -> Result<(), StoreError> {
        let _lock = lock(directory)?;
        let (folder, aside) = (directory.join(FOLDER), directory.join(ASIDE));
        if folder.exists() {
            if aside.exists() {
                fs::remove_dir_all(&aside).map_err(io_error("remove", &aside))?;
            }
            fs::rename(&folder, &aside).map_err(io_error("rename", &folder))?;
        }
        // The last one first: a crash in between leaves what a start refuses, never what it would apply.
        remove_redo_files(directory)
    }

    fn open_locked(directory: &Path, lock: File) -> Result<Self, StoreError> {
        let folder = directory.join(FOLDER);
        fjall_files::check(&folder)?;
        let opened = guarded(|| {
            let database = builder(&folder).open()?;
            let tree = database.keyspace(TREE, KeyspaceCreateOptions::default)?;
            Ok((database, tree))
        });
        let (database, tree) = opened.map_err(|failure| failure.into_error("open", &folder, None))?;
        let store = FjallStore { folder, database, tree, poisoned: OnceLock::new(), _lock: lock };
        // A format that is not ours is refused before anything is read or written.
        store.mark()?;
        Ok(store)
    }

    /// How much each space holds; reads all of it.
    pub fn sizes(&self) -> Result<Vec<SpaceSize>, StoreError> {
        let of = |space| {
            let (mut keys, mut bytes) = (0u64, 0u64);
            self.each(space, &mut |key, value| {
                keys += 1;
                bytes += (key.len() + value.len()) as u64;
                Ok(())
            })?;
            Ok(SpaceSize { space, keys, bytes })
        };
        Space::ALL.into_iter().map(of).collect()
    }

    /// Does something with fjall, unless something failed before.
    fn run<T>(
        &self,
        doing: &'static str,
        space: Option<Space>,
        body: impl FnOnce() -> Result<T, ::fjall::Error>,
    ) -> Result<T, StoreError> {
        if let Some(why) = self.poisoned.get() {
            return Err(StoreError::Poisoned(why.clone()));
        }
        guarded(body).map_err(|failure| {
            let error = failure.into_error(doing, &self.folder, space);
            let _ = self.poisoned.set(error.to_string());
            error
        })
    }

    fn ingest(&self, changes: &[Change<'_>], mark: &Mark) -> Result<(), ::fjall::Error> {
        // Writes nothing, but says whether fjall's own thread has failed: without it tables are never merged again.
        self.database.persist(::fjall::PersistMode::Buffer)?;
        let mut run = self.tree.start_ingestion()?;
        run.write(&MARK[..], sealed(&MARK, &mark.encode()))?;
        let mut key = Vec::new();
        for (at, change) in changes.iter().enumerate() {
            if at == changes.len() / 2 {
                reach(failpoint::STORE_MID_APPLY);
            }
            key.clear();
            key.push(change.space.number());
            key.extend_from_slice(change.key);
            match change.value {
                Some(value) => run.write(&key[..], sealed(&key, value))?,
                None => run.write_tombstone(&key[..])?,
            }
        }
        run.finish()
    }
}

impl Stored for FjallStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = [&[space.number()], key].concat();
        let found = self.run("read", Some(space), || self.tree.get(&key))?;
        found.map(|value| opened(space, &key, &value).map(<[u8]>::to_vec)).transpose()
    }

    fn each(&self, space: Space, take: Take<'_>) -> Result<(), StoreError> {
        let mut found = self.run("read", Some(space), || Ok(self.tree.prefix([space.number()])))?;
        loop {
            let next = self.run("read", Some(space), || found.next().map(|pair| pair.into_inner()).transpose())?;
            let Some((key, value)) = next else { return Ok(()) };
            take(key.get(1..).unwrap_or_default(), opened(space, &key, &value)?)?;
        }
    }
}

impl Store for FjallStore {
    fn mark(&self) -> Result<Option<Mark>, StoreError> {
        let Some(found) = self.run("read", None, || self.tree.get(MARK))? else { return Ok(None) };
        let bytes = unsealed(&MARK, &found).ok_or_else(|| {
            damaged(None, "the mark of its checkpoint has another checksum than was written".to_owned())
        })?;
        Mark::decode(bytes).map(Some).map_err(|error| match error {
            NoMark::OtherFormat(found) => StoreError::Version { path: self.folder.clone(), found, known: FORMAT },
            NoMark::Unreadable => damaged(None, "the mark of its checkpoint cannot be read".to_owned()),
        })
    }

    fn apply(&self, changes: &[Change<'_>], mark: &Mark) -> Result<(), StoreError> {
        self.run("write", None, || self.ingest(changes, mark))
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.run("measure", None, || self.database.disk_space())
    }
}

fn remove_redo_files(directory: &Path) -> Result<(), StoreError> {
    for number in redo_file::numbers(&RealDisk, directory)?.into_iter().rev() {
        let path = directory.join(redo_file::name(number));
        fs::remove_file(&path).map_err(io_error("remove", &path))?;
    }
    RealDisk.sync_folder(directory).map_err(io_error("sync", directory))
}

/// The bytes of all files below a folder, as far as they can be seen.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_below(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

fn builder(folder: &Path) -> ::fjall::DatabaseBuilder<Database> {
    // One thread for merging: it shares two cores with everything else.
    Database::builder(folder).cache_size(CACHE_BYTES).worker_threads(1)
}

/// Makes an empty store under another name first: what bears the name of a store is whole.
fn make(directory: &Path) -> Result<(), StoreError> {
    let (unfinished, folder) = (directory.join(UNFINISHED), directory.join(FOLDER));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(io_error("remove", &unfinished))?;
    }
    fs::DirBuilder::new().mode(0o700).create(&unfinished).map_err(io_error("create", &unfinished))?;
    let made = guarded(|| {
        let database = builder(&unfinished).open()?;
        database.keyspace(TREE, KeyspaceCreateOptions::default)?;
        database.persist(::fjall::PersistMode::SyncAll)
    });
    made.map_err(|failure| failure.into_error("create", &unfinished, None))?;
    fs::rename(&unfinished, &folder).map_err(io_error("rename", &folder))?;
    File::open(directory).and_then(|folder| folder.sync_all()).map_err(io_error("sync", directory))
}

/// Takes the folder for this process.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(directory.to_path_buf())),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
    }
}

/// A value as it stands on disk: its checksum, then itself.
fn sealed(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SUM_BYTES + value.len());
    bytes.extend_from_slice(&checksum(key, value).to_le_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// The value, if it is what was written under this key.
fn unsealed<'v>(key: &[u8], bytes: &'v [u8]) -> Option<&'v [u8]> {
    let (sum, value) = bytes.split_first_chunk()?;
    (u64::from_le_bytes(*sum) == checksum(key, value)).then_some(value)
}

fn opened<'v>(space: Space, key: &[u8], bytes: &'v [u8]) -> Result<&'v [u8], StoreError> {
    unsealed(key, bytes).ok_or_else(|| damaged(Some(space), "a value has another checksum than was written".to_owned()))
}

fn checksum(key: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64_with_seed(key, 0))
}

fn damaged(space: Option<Space>, what: String) -> StoreError {
    StoreError::Damaged { space, what }
}

/// What fjall ended with.
enum Failure {
    Error(::fjall::Error),
    /// It panicked: it takes for granted what a damaged file need not hold.
    Panic(String),
}

/// fjall takes much for granted of its own files: a panic in it is damage, not the end of the process.
fn guarded<T>(body: impl FnOnce() -> Result<T, ::fjall::Error>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result.map_err(Failure::Error),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Failure::Panic(text.unwrap_or_default()))
        }
    }
}

impl Failure {
    fn into_error(self, doing: &'static str, folder: &Path, space: Option<Space>) -> StoreError {
        use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
        let io = |source: std::io::Error| match source.kind() {
            // What fjall wrote is shorter than it says, or not there.
            UnexpectedEof | InvalidData | NotFound => damaged(space, source.to_string()),
            _ => io_error(doing, folder)(source),
        };
        match self {
            Failure::Error(::fjall::Error::Io(source)) => io(source),
            Failure::Error(::fjall::Error::Storage(::fjall::LsmError::Io(source))) => io(source),
            Failure::Error(::fjall::Error::Locked) => StoreError::Locked(folder.to_path_buf()),
            Failure::Error(::fjall::Error::Poisoned) => StoreError::Poisoned(MERGING_FAILED.to_owned()),
            Failure::Error(error) => damaged(space, format!("{error:?}")),
            Failure::Panic(text) => damaged(space, format!("reading it ended in: {text}")),
        }
    }
}
