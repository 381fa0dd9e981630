//! The last good copy of the rules, in the state's folder: what a start with a bad set goes on with.
//!
//! Guarantees: the copy is whole or not there: a new one stands beside the old until a small file that names it is
//! swapped, and its digest is checked when it is read. It holds what the digest covers, the pack of that day too, so
//! that it means the same after an upgrade; nothing of the configuration, no secret. Bounded by [`COPY_BYTES_MAX`];
//! only this user can read it. Does not judge rules.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::event::Millis;
use crate::ruleset::{Layer, Sources};

/// The folder below the state's.
const FOLDER: &str = "last-good-rules";
/// The file that names the copy.
const CURRENT: &str = "current.json";
/// The file in a copy that says what is in it.
const CONTENT: &str = "copy.json";
/// How the name of a copy ends that was written anew because the one before was damaged.
const AGAIN: &str = "-again";
/// All files of a copy together, at most, bytes.
pub const COPY_BYTES_MAX: usize = 256 << 20;

/// Why there is no copy, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There never was one.
    #[error("there is no last good copy of the rules")]
    None,
    /// It cannot be read or written.
    #[error("{path}: {1}", path = .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// It is not what was written.
    #[error("the copy in {path} is damaged: {1}", path = .0.display())]
    Damaged(PathBuf, String),
    /// It would be too large.
    #[error("the rules have {0} bytes together; at most {COPY_BYTES_MAX} are copied")]
    TooLarge(usize),
}

/// What the small file says.
#[derive(Debug, Serialize, Deserialize)]
struct Current {
    digest: String,
    /// When it was kept.
    kept_ms: i64,
    /// The folder of the copy, beside this file.
    folder: String,
    files: Vec<Kept>,
    /// Files that were there and were not read.
    present: Vec<String>,
}

/// One file of a copy.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    is_pack: bool,
    path: String,
    modified_ms: Option<i64>,
}

/// Where the copy stands.
#[derive(Debug, Clone)]
pub struct LastGood {
    folder: PathBuf,
}

impl LastGood {
    /// In the folder of the state.
    pub fn in_state(directory: &Path) -> Self {
        LastGood { folder: directory.join(FOLDER) }
    }

    /// Keeps a set that is good. Does nothing where it is the one that is kept. Copies of the sets of these digests stay
    /// beside it: batches that may be taken again were decided with them.
    pub fn keep(&self, sources: &Sources, now: Millis, needed: &[String]) -> Result<(), CopyError> {
        let bytes = sources.files().map(|(_, bytes, _)| bytes.len()).sum();
        if bytes > COPY_BYTES_MAX {
            return Err(CopyError::TooLarge(bytes));
        }
        let digest = sources.digest();
        if self.read().is_ok_and(|(kept, _)| kept.digest() == digest) {
            return Ok(());
        }
        let before = self.current().map(|current| current.folder).unwrap_or_default();
        let short = short(&digest);
        // A damaged copy of the same set is not written over while it is the one that is named.
        let name = if before == short { format!("{short}{AGAIN}") } else { short };
        let folder = self.folder.join(&name);
        self.write(&folder, sources).and_then(|files| {
            let present = sources.present().map(str::to_owned).collect();
            let current = Current { digest, kept_ms: now.0, folder: name.clone(), files, present };
            let text = serde_json::to_vec_pretty(&current).map_err(|error| io_at(&folder, error.into()))?;
            let (next, place) = (self.folder.join(".next"), self.folder.join(CURRENT));
            write_file(&folder.join(CONTENT), &text)?;
            write_file(&next, &text)?;
            fs::rename(&next, &place).and_then(|()| sync_folder(&self.folder)).map_err(|error| io_at(&place, error))
        })?;
        let needed: Vec<String> = needed.iter().map(|digest| self::short(digest)).collect();
        self.remove_others(|copy| {
            copy == name || needed.iter().any(|needed| copy == needed || copy.strip_suffix(AGAIN) == Some(needed))
        });
        Ok(())
    }

    /// The copy, and when it was kept.
    pub fn read(&self) -> Result<(Sources, Millis), CopyError> {
        self.read_copy(&self.current()?)
    }

    /// The copy of the set of a digest, whether it is the last or one before.
    pub fn of(&self, digest: &str) -> Result<Sources, CopyError> {
        let short = short(digest);
        let contents = [short.clone(), format!("{short}{AGAIN}")].map(|name| self.folder.join(name).join(CONTENT));
        let current = self.current().ok().filter(|current| current.digest == digest);
        let others = contents.iter().filter_map(|path| current_at(path).ok());
        let found = current.into_iter().chain(others).find(|copy| copy.digest == digest);
        self.read_copy(&found.ok_or(CopyError::None)?).map(|(sources, _)| sources)
    }

    fn read_copy(&self, current: &Current) -> Result<(Sources, Millis), CopyError> {
        let folder = self.folder.join(&current.folder);
        let damaged = |why: String| CopyError::Damaged(folder.clone(), why);
        let mut sources = Sources::new(folder.join("own").to_string_lossy());
        for Kept { is_pack, path, modified_ms } in &current.files {
            let is_inside = path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
            if !is_inside {
                return Err(damaged(format!("{path:?} is no path of a rule file")));
            }
            let place = folder.join(layer_folder(*is_pack)).join(path);
            let bytes = fs::read(&place).map_err(|error| damaged(format!("{path}: {error}")))?;
            let modified = modified_ms.map(Millis);
            match is_pack {
                true => sources.add_pack(path, bytes, modified),
                false => sources.add(path, bytes, modified),
            }
        }
        current.present.iter().for_each(|path| sources.add_present(path));
        if sources.digest() != current.digest {
            return Err(damaged("its digest is another than when it was written".to_owned()));
        }
        Ok((sources, Millis(current.kept_ms)))
    }

    fn current(&self) -> Result<Current, CopyError> {
        current_at(&self.folder.join(CURRENT))
    }

    /// Writes the files of a copy that nothing names yet.
    fn write(&self, folder: &Path, sources: &Sources) -> Result<Vec<Kept>, CopyError> {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(|error| io_at(folder, error))?;
        }
        private_folder(folder)?;
        let mut files = Vec::new();
        for (file, bytes, modified) in sources.files() {
            let is_pack = file.layer == Layer::Pack;
            let place = folder.join(layer_folder(is_pack)).join(file.path);
            private_folder(place.parent().unwrap_or(folder))?;
            write_file(&place, bytes)?;
            files.push(Kept { is_pack, path: file.path.to_owned(), modified_ms: modified.map(|time| time.0) });
        }
        sync_folder(folder).map_err(|error| io_at(folder, error))?;
        Ok(files)
    }

    /// Copies that nothing names any more. What cannot be removed is left for the next time.
    fn remove_others(&self, stays: impl Fn(&str) -> bool) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let is_copy = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_copy && !entry.file_name().to_str().is_some_and(&stays) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// The name of a copy: the beginning of its digest behind what says how that was made.
fn short(digest: &str) -> String {
    digest.chars().skip(3).take(16).collect()
}

fn current_at(path: &Path) -> Result<Current, CopyError> {
    let text = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CopyError::None,
        _ => io_at(path, error),
    })?;
    serde_json::from_slice(&text).map_err(|error| CopyError::Damaged(path.to_owned(), error.to_string()))
}

fn layer_folder(is_pack: bool) -> &'static str {
    if is_pack { "pack" } else { "own" }
}

fn private_folder(folder: &Path) -> Result<(), CopyError> {
    super::private_folder(folder).map_err(|error| io_at(folder, error))
}

pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CopyError> {
    let written =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    written.map_err(|error| io_at(path, error))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn io_at(path: &Path, error: io::Error) -> CopyError {
    CopyError::Io(path.to_owned(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Sources {
        let mut sources = Sources::new("rules");
        sources.add("a.yaml", text, Some(Millis(5)));
        sources.add("overlay.yaml", "version: 1\nrules: {}\n", None);
        sources.add("lists/l.txt", "192.0.2.1\n", Some(Millis(7)));
        sources.add_present("runbooks/a.md");
        sources.with_builtin()
    }

    #[test]
    fn what_was_kept_is_read_whole_and_only_the_newest_stays() {
        let state = tempfile::tempdir().expect("a folder");
        let good = LastGood::in_state(state.path());
        assert!(matches!(good.read(), Err(CopyError::None)));
        for (text, now) in [("one", 1), ("two", 2), ("two", 3)] {
            let kept = sources(text);
            good.keep(&kept, Millis(now), &[]).expect("kept");
            let (read, at) = good.read().expect("a copy");
            assert_eq!((read.digest(), at), (kept.digest(), Millis(now.min(2))), "the same again is not written");
            assert_eq!(read.files().count(), kept.files().count());
            assert!(read.files().zip(kept.files()).all(|(a, b)| a == b), "bytes and times");
            assert!(read.present().eq(kept.present()));
        }
        let folders = fs::read_dir(&good.folder).expect("the folder").count();
        assert_eq!(folders, 2, "one copy and the file that names it");
    }

    #[test]
    fn copies_that_batches_need_stay_beside_the_newest_and_are_found_by_their_digest() {
        let state = tempfile::tempdir().expect("a folder");
        let good = LastGood::in_state(state.path());
        let sets = ["one", "two", "three", "four"].map(sources);
        let digests = sets.each_ref().map(Sources::digest);
        for (set, now) in sets.iter().zip(1..) {
            good.keep(set, Millis(now), &digests[1..2]).expect("kept");
        }
        let found = digests.each_ref().map(|digest| good.of(digest).map(|set| set.digest()).ok());
        assert_eq!(found, [None, Some(digests[1].clone()), None, Some(digests[3].clone())]);
        assert_eq!(good.read().expect("a copy").0.digest(), digests[3]);
        // What is damaged is no copy.
        fs::write(good.folder.join(short(&digests[1])).join("own/a.yaml"), "onf").expect("flipped");
        assert!(matches!(good.of(&digests[1]), Err(CopyError::Damaged(..))));
    }

    #[test]
    fn a_damaged_copy_is_told_and_written_anew() {
        let state = tempfile::tempdir().expect("a folder");
        let good = LastGood::in_state(state.path());
        good.keep(&sources("one"), Millis(1), &[]).expect("kept");
        let folder = good.folder.join(good.current().expect("named").folder);
        fs::write(folder.join("own/a.yaml"), "onf").expect("flipped");
        assert!(matches!(good.read(), Err(CopyError::Damaged(..))));
        good.keep(&sources("one"), Millis(2), &[]).expect("kept");
        assert_eq!(good.read().expect("a copy").0.digest(), sources("one").digest());
        fs::write(good.folder.join(CURRENT), "{\"digest\":").expect("torn");
        assert!(matches!(good.read(), Err(CopyError::Damaged(..))));
        let outside = r#"{"digest":"x","kept_ms":1,"folder":"f","files":[{"is_pack":false,"path":"../../key","modified_ms":null}],"present":[]}"#;
        fs::write(good.folder.join(CURRENT), outside).expect("written");
        assert!(good.read().is_err_and(|error| error.to_string().contains("no path of a rule file")));
    }

    #[test]
    fn nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let state = tempfile::tempdir().expect("a folder");
        let good = LastGood::in_state(state.path());
        good.keep(&sources("one"), Millis(1), &[]).expect("kept");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o077;
        let folder = good.folder.join(good.current().expect("named").folder);
        let all = [good.folder.clone(), good.folder.join(CURRENT), folder.clone(), folder.join("own/lists/l.txt")];
        assert!(all.iter().all(|path| mode(path) == 0));
    }
}
