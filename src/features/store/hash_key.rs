//! The key that entities are hashed with, kept beside the store.
//!
//! Guarantees: it is made once, and never again while there is a store; only this user can read it; what stands in the
//! file is a key or is refused by name. Its id says which key it is and nothing about it. Draws no random numbers.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{FjallStore, StoreError, io_error};
use crate::disk::{Disk as _, RealDisk};
use crate::ruleset::HashKey;

/// The file, in the folder of the state.
const FILE: &str = "hash.key";
/// How its one line begins.
const HEAD: &str = "walletwatch-hash-key-1 ";
/// What the id is derived for: an id can be told, the key cannot be found from it.
const ID_CONTEXT: &str = "walletwatch 2026-11 id of the key that entities are hashed with";

/// A key and where it stands.
#[derive(Clone)]
pub struct StateKey {
    /// The key.
    pub key: HashKey,
    /// Which one it is.
    pub id: String,
    /// Its file.
    pub path: PathBuf,
    /// Its bytes, while they are not in the file.
    unkept: Option<[u8; 16]>,
}

impl std::fmt::Debug for StateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateKey").field("id", &self.id).field("path", &self.path).finish_non_exhaustive()
    }
}

impl StateKey {
    /// The key of a state folder. Where there is none and no store either, `random` is to become it: nothing is
    /// written before [`StateKey::keep`].
    pub fn of(directory: &Path, random: [u8; 16]) -> Result<StateKey, StoreError> {
        match Self::existing(directory)? {
            Some(found) => Ok(found),
            None if FjallStore::is_there(directory) => {
                Err(StoreError::KeyFile { path: directory.join(FILE), what: "is not there" })
            }
            None => {
                let (key, id, path) = (HashKey::new(random), id(&random), directory.join(FILE));
                Ok(StateKey { key, id, path, unkept: Some(random) })
            }
        }
    }

    /// The same for a state that is made anew: where the file that is there cannot be used, `random` is to become it.
    pub fn anew(directory: &Path, random: [u8; 16]) -> Result<StateKey, StoreError> {
        match Self::existing(directory) {
            Ok(Some(found)) => Ok(found),
            Ok(None) | Err(StoreError::KeyFile { .. }) => {
                let (key, id, path) = (HashKey::new(random), id(&random), directory.join(FILE));
                Ok(StateKey { key, id, path, unkept: Some(random) })
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a file out of its way that cannot be used; it keeps standing beside it under another name. One that can
    /// be used stays.
    pub fn make_way(&self) -> Result<Option<PathBuf>, StoreError> {
        let aside = self.path.with_extension("key.old");
        if self.unkept.is_none() || !self.path.exists() {
            return Ok(None);
        }
        fs::rename(&self.path, &aside).map_err(io_error("rename", &self.path))?;
        Ok(Some(aside))
    }

    /// Writes it into its folder, which is there, unless it is written already: to be done before the store is made.
    pub fn keep(&mut self) -> Result<(), StoreError> {
        let Some(bytes) = self.unkept else { return Ok(()) };
        let directory = self.path.parent().unwrap_or(Path::new("."));
        make(directory, &self.path, bytes).map_err(io_error("write", &self.path))?;
        match Self::existing(directory)? {
            Some(kept) if kept.id == self.id => {
                self.unkept = None;
                Ok(())
            }
            _ => Err(StoreError::KeyFile { path: self.path.clone(), what: "was written by another process just now" }),
        }
    }

    /// The key of a state folder, if it has one.
    pub fn existing(directory: &Path) -> Result<Option<StateKey>, StoreError> {
        let path = directory.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let Some(bytes) = parse(&text) else {
            return Err(StoreError::KeyFile { path, what: "is not what was written" });
        };
        Ok(Some(StateKey { key: HashKey::new(bytes), id: id(&bytes), path, unkept: None }))
    }
}

/// Which key it is.
fn id(bytes: &[u8; 16]) -> String {
    let derived = blake3::derive_key(ID_CONTEXT, bytes);
    format!("k-{}", hex(derived.get(..8).unwrap_or_default()))
}

/// Key, then its id: a flipped digit of either is found.
fn text(bytes: &[u8; 16]) -> String {
    format!("{HEAD}{} {}\n", hex(bytes), id(bytes))
}

fn parse(found: &[u8]) -> Option<[u8; 16]> {
    let digits = std::str::from_utf8(found).ok()?.strip_prefix(HEAD)?.get(..32)?;
    let number = u128::from_str_radix(digits, 16).ok()?;
    let bytes = number.to_be_bytes();
    (text(&bytes).as_bytes() == found).then_some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn make(directory: &Path, path: &Path, bytes: [u8; 16]) -> io::Result<()> {
    let new = directory.join(format!("{FILE}.{}", std::process::id()));
    let written =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).and_then(|mut file| {
            file.write_all(text(&bytes).as_bytes())?;
            file.sync_all()
        });
    // A link, not a rename: it fails where somebody else was first.
    let linked = written.and_then(|()| fs::hard_link(&new, path));
    fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => RealDisk.sync_folder(directory),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_for_this_user_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut made = StateKey::of(folder.path(), [7; 16]).expect("drawn");
        let mut late = StateKey::of(folder.path(), [6; 16]).expect("drawn");
        assert!(!made.path.exists() && !format!("{made:?}").contains("7, 7"));
        made.keep().expect("written");
        made.keep().expect("there");
        let told = late.keep().expect_err("another was first").to_string();
        assert!(told.contains("hash.key was written by another process just now"), "{told}");
        let again = StateKey::of(folder.path(), [8; 16]).expect("there");
        assert_eq!((&made.id, made.key.text("a")), (&again.id, again.key.text("a")));
        assert_eq!(again.key.text("a"), HashKey::new([7; 16]).text("a"));
        let names: Vec<_> = RealDisk.names(folder.path()).expect("a folder");
        assert_eq!(names, [FILE]);
        let mode = fs::metadata(&made.path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(&made.path).expect("text");
        assert_eq!(text, format!("{HEAD}{} {}\n", "07".repeat(16), made.id));
        assert!(!made.id.contains("0707"), "the id gives nothing of the key away");
    }

    #[test]
    fn a_file_that_is_not_what_was_written_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut key = StateKey::of(folder.path(), [7; 16]).expect("drawn");
        key.keep().expect("written");
        let path = key.path;
        let good = fs::read(&path).expect("there");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).expect("written");
            let told = StateKey::of(folder.path(), [9; 16]).expect_err("refused").to_string();
            assert!(told.contains("hash.key is not what was written"), "{at}: {told}");
            fs::write(&path, &good[..at]).expect("written");
            assert!(StateKey::of(folder.path(), [9; 16]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn no_new_key_is_made_beside_a_store() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(FjallStore::open(folder.path()).expect("made"));
        let told = StateKey::of(folder.path(), [9; 16]).expect_err("refused").to_string();
        assert!(told.contains("hash.key is not there"), "{told}");
    }
}
