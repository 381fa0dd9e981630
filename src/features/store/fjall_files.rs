//! Whether fjall's files are what fjall wrote: looked at before fjall is.
//!
//! Guarantees: each list of tables in force and each table on it has the checksum that was written down for it; a file
//! that is missing, shortened or flipped is named. fjall looks at blocks as it reads them, but believes its lists: a
//! flipped byte there makes it delete tables that it no longer finds on them, or end the process by a panic in a panic.
//! Reads every table once, at some GB/s; its journal is left out, for nothing rests on it. Changes nothing.
//!
//! ```text
//! keyspaces/N/current     id u64 · xxh3-128 of v<id> u128 · 0
//! keyspaces/N/v<id>       archive; section `tables`: levels u8 · runs u8 · tables u32 · (id u64 · 0 · xxh3-128 u128 · seqno u64)…
//! keyspaces/N/tables/<id>
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use super::StoreError;

/// fjall's own tree, and ours.
const TREES: [&str; 2] = ["0", "1"];
/// What fjall calls its format; where it is missing, fjall would make a new store in silence.
const VERSION: &str = "version";
/// Read at once, bytes.
const BUFFER_BYTES: usize = 1 << 20;

/// Looks at every file of a store that is in force.
pub(super) fn check(folder: &Path) -> Result<(), StoreError> {
    let version = folder.join(VERSION);
    fs::metadata(&version).map_err(|error| unreadable(&version, &error))?;
    TREES.into_iter().try_for_each(|tree| check_tree(&folder.join("keyspaces").join(tree)))
}

fn check_tree(tree: &Path) -> Result<(), StoreError> {
    let current = tree.join("current");
    let bytes = fs::read(&current).map_err(|error| unreadable(&current, &error))?;
    let (id, sum) = pointer(&bytes).ok_or_else(|| wrong(&current))?;
    let list = tree.join(format!("v{id}"));
    check_file(&list, sum)?;
    let tables = tables(&list).ok_or_else(|| wrong(&list))?;
    tables.into_iter().try_for_each(|(id, sum)| check_file(&tree.join("tables").join(id.to_string()), sum))
}

/// The list in force, and its checksum.
fn pointer(bytes: &[u8]) -> Option<(u64, u128)> {
    let (id, rest) = bytes.split_first_chunk()?;
    let (sum, kind) = rest.split_first_chunk()?;
    (*kind == [0]).then_some((u64::from_le_bytes(*id), u128::from_le_bytes(*sum)))
}

/// The tables on a list with their checksums. `None` where it cannot be read.
fn tables(list: &Path) -> Option<Vec<(u64, u128)>> {
    let archive = sfa::Reader::new(list).ok()?;
    let mut bytes = Vec::new();
    archive.toc().section(b"tables")?.reader(list).ok()?.read_to_end(&mut bytes).ok()?;
    let mut rest = bytes.as_slice();
    let mut found = Vec::new();
    for _ in 0..take::<1>(&mut rest)?[0] {
        for _ in 0..take::<1>(&mut rest)?[0] {
            for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
                let id = u64::from_le_bytes(take(&mut rest)?);
                let [_kind] = take(&mut rest)?;
                let sum = u128::from_le_bytes(take(&mut rest)?);
                let _seqno: [u8; 8] = take(&mut rest)?;
                found.push((id, sum));
            }
        }
    }
    rest.is_empty().then_some(found)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

fn check_file(path: &Path, expected: u128) -> Result<(), StoreError> {
    match sum(path) {
        Ok(found) if found == expected => Ok(()),
        Ok(_) => Err(wrong(path)),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn sum(path: &Path) -> io::Result<u128> {
    let mut file = File::open(path)?;
    let mut hasher = Xxh3Default::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.digest128()),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

fn wrong(path: &Path) -> StoreError {
    let what = format!("{} is not what was written", path.display());
    StoreError::Damaged { space: None, what }
}

fn unreadable(path: &Path, error: &io::Error) -> StoreError {
    let path: PathBuf = path.to_path_buf();
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::Damaged { space: None, what: format!("{} is missing", path.display()) },
        kind => StoreError::Io { doing: "read", path, source: kind.into() },
    }
}
