//! Which files are looked at, and when they have changed and come to rest.
//!
//! Guarantees: a change is seen by the system's notices (of the folders the files stand in: editors and Kubernetes
//! swap files and links rather than writing them) and, where those fail or do not exist, by looking every few
//! seconds; what is being written is not read until it has stood still for [`SETTLE`]. Reads no content.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

/// How often files are looked at without a notice.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
/// For how long a change must have stood still before it is read.
pub const SETTLE: Duration = Duration::from_millis(300);
/// Files of one folder that are looked at, at most; the loaders refuse folders with more.
const FILES_MAX: usize = 10_000;

/// How a set of files looked: each file with what changes when it does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp(Vec<(PathBuf, Option<Look>)>);

/// What one look at a file tells. A replaced file has another inode, a rewritten one another time of change, even
/// where its modification time was set back; `None` in a stamp: it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
}

impl Stamp {
    /// Looks at files and at folders with what is in them, `depth` levels of it.
    pub fn of(paths: &[PathBuf], depth: usize) -> Stamp {
        let mut looks = Vec::new();
        paths.iter().for_each(|path| look_into(path, depth, &mut looks));
        Stamp(looks)
    }
}

fn look_into(path: &Path, depth: usize, looks: &mut Vec<(PathBuf, Option<Look>)>) {
    // Through links: what counts is the file behind them.
    let found = fs::metadata(path).ok();
    looks.push((path.to_owned(), found.as_ref().filter(|found| !found.is_dir()).map(Look::of)));
    if depth == 0 || looks.len() > FILES_MAX || !found.is_some_and(|found| found.is_dir()) {
        return;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    // Hidden ones are not read by anybody; Kubernetes keeps its swaps there.
    let is_hidden = |path: &PathBuf| path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let inside: BTreeSet<PathBuf> = entries.filter(|path| !is_hidden(path)).take(FILES_MAX).collect();
    inside.iter().for_each(|path| look_into(path, depth - 1, looks));
}

impl Look {
    fn of(found: &fs::Metadata) -> Self {
        Look {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified_ns: (found.mtime(), found.mtime_nsec()),
            changed_ns: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// Files that are reloaded as one.
#[derive(Debug, Clone)]
pub struct Watched {
    paths: Vec<PathBuf>,
    /// How many levels of folders count.
    depth: usize,
    /// How they looked when they were read last.
    read: Stamp,
    /// How they look now that they are changing, and since when they look so.
    changing: Option<(Stamp, Instant)>,
}

impl Watched {
    /// Files and folders, `depth` levels of them, that are about to be read.
    pub fn new(paths: Vec<PathBuf>, depth: usize) -> Self {
        let read = Stamp::of(&paths, depth);
        Watched { paths, depth, read, changing: None }
    }

    /// Whether there is anything to look at.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Looks, and says whether they have changed and come to rest.
    pub fn is_ready(&mut self, now: Instant) -> bool {
        let stamp = self.begin();
        if stamp == self.read {
            self.changing = None;
            return false;
        }
        match &self.changing {
            Some((seen, since)) if *seen == stamp => now.duration_since(*since) >= SETTLE,
            _ => {
                self.changing = Some((stamp, now));
                false
            }
        }
    }

    /// Whether they are changing: then the next look comes soon.
    pub fn is_changing(&self) -> bool {
        self.changing.is_some()
    }

    /// Begins to read.
    pub fn begin(&self) -> Stamp {
        Stamp::of(&self.paths, self.depth)
    }

    /// Ends reading. False: they changed meanwhile, and what was read may be half of one and half of another.
    pub fn end(&mut self, begun: Stamp, now: Instant) -> bool {
        let stamp = self.begin();
        if stamp != begun {
            self.changing = Some((stamp, now));
            return false;
        }
        self.read = stamp;
        self.changing = None;
        true
    }

    /// The folders whose notices tell of changes.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for path in &self.paths {
            let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            folders.insert(beside.to_owned());
            let mut inside = Vec::new();
            look_into(path, self.depth, &mut inside);
            folders.extend(inside.into_iter().map(|(path, _)| path).filter(|path| path.is_dir()));
        }
        folders
    }
}

/// The system's notices of changes.
pub struct Notices {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Notices {
    /// Each notice is a word to `wake`; while one waits there the next need not.
    pub fn new(wake: SyncSender<()>) -> Self {
        let told = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let matters = event.as_ref().is_ok_and(|event| !event.kind.is_access()) || event.is_err();
            if matters {
                // Full: somebody is about to look anyway.
                let _ = wake.try_send(());
            }
        });
        let watcher = told
            .map_err(|error| {
                tracing::warn!(%error, "the system tells of no changed files: they are looked at every 2 s");
            })
            .ok();
        Notices { watcher, watched: BTreeSet::new() }
    }

    /// Asks for notices of all folders that matter now.
    pub fn follow<'w>(&mut self, watched: impl Iterator<Item = &'w Watched>) {
        let Some(watcher) = &mut self.watcher else { return };
        let folders: BTreeSet<PathBuf> = watched.flat_map(Watched::folders).collect();
        for gone in self.watched.difference(&folders) {
            // A folder that was removed has taken its watch along.
            let _ = watcher.unwatch(gone);
        }
        self.watched.retain(|folder| folders.contains(folder));
        for folder in folders {
            if !self.watched.contains(&folder) && watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                self.watched.insert(folder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("lists")).expect("a folder");
        fs::write(folder.path().join("a.yaml"), "one").expect("written");
        fs::write(folder.path().join("lists/l.txt"), "one").expect("written");
        let paths = vec![folder.path().to_path_buf()];
        (folder, paths)
    }

    /// Looks until it has come to rest, as a clock of our own goes on.
    fn settles(watched: &mut Watched, now: &mut Instant) -> bool {
        let first = watched.is_ready(*now);
        *now += SETTLE;
        !first && watched.is_ready(*now)
    }

    #[test]
    fn whatever_changes_a_file_is_seen() {
        let (folder, paths) = folder();
        let mut watched = Watched::new(paths, 2);
        let mut now = Instant::now();
        assert!(!settles(&mut watched, &mut now), "nothing has changed");
        let file = folder.path().join("a.yaml");
        let same_size = |text: &str| {
            let before = fs::metadata(&file).expect("a file");
            // Times of change have steps of some milliseconds.
            while fs::metadata(&file).is_ok_and(|now| now.ctime_nsec() == before.ctime_nsec()) {
                fs::write(&file, text).expect("written");
                let handle = fs::File::options().write(true).open(&file).expect("a file");
                handle.set_modified(before.modified().expect("a time")).expect("a time set back");
            }
        };
        let swap = || {
            let other = folder.path().join(".other");
            fs::write(&other, "two").expect("written");
            fs::rename(&other, &file).expect("swapped");
        };
        let link = || {
            let (hidden, next) = (folder.path().join(".data"), folder.path().join(".next"));
            fs::write(&hidden, "two").expect("written");
            std::os::unix::fs::symlink(&hidden, &next).expect("a link");
            fs::rename(&next, &file).expect("swapped");
        };
        let changes: [(&str, &dyn Fn()); 6] = [
            ("rewritten with the old size and time", &|| same_size("two")),
            ("swapped", &swap),
            ("a link", &link),
            ("a list", &|| fs::write(folder.path().join("lists/l.txt"), "x").expect("written")),
            ("a new file", &|| fs::write(folder.path().join("lists/m.txt"), "x").expect("written")),
            ("gone", &|| fs::remove_file(&file).expect("removed")),
        ];
        for (what, change) in changes {
            change();
            assert!(settles(&mut watched, &mut now), "{what}");
            let begun = watched.begin();
            assert!(watched.end(begun, now));
            assert!(!settles(&mut watched, &mut now), "{what}, once");
        }
        fs::write(folder.path().join(".hidden"), "x").expect("written");
        assert!(!settles(&mut watched, &mut now), "what nobody reads");
    }

    #[test]
    fn what_is_being_written_is_waited_for() {
        let (folder, paths) = folder();
        let mut watched = Watched::new(paths, 2);
        let mut now = Instant::now();
        let file = folder.path().join("a.yaml");
        for n in 0..5 {
            fs::write(&file, "x".repeat(n + 10)).expect("written");
            assert!(!watched.is_ready(now) && watched.is_changing());
            now += SETTLE;
        }
        assert!(watched.is_ready(now) || watched.is_ready(now + SETTLE));
        let begun = watched.begin();
        fs::write(&file, "half and half").expect("written");
        assert!(!watched.end(begun, now), "it changed while it was read");
        assert!(!watched.is_ready(now) && watched.is_ready(now + SETTLE));
    }
}
