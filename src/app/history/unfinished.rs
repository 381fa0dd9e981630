//! A state that is being made: a file beside the store says so until it is whole.
//!
//! Guarantees: it is durable before anything of the old state goes, and goes only once the new state is whole; so a
//! state whose making was cut off is never taken for one. Looks at no state.

use std::io::{self, Write as _};
use std::path::Path;

use crate::clock;
use crate::disk::{Disk, RealDisk};

/// The file's name in the state folder.
const FILE: &str = "unfinished";
/// Bytes of it that are read, at most.
const TEXT_BYTES_MAX: u64 = 4096;

/// What is being made, in the words of the command that makes it; `None`: the state, if there is one, is whole.
pub fn found(folder: &Path) -> io::Result<Option<String>> {
    use io::Read as _;
    match RealDisk.open(&folder.join(FILE)) {
        Ok(file) => {
            let mut text = Vec::new();
            file.take(TEXT_BYTES_MAX).read_to_end(&mut text)?;
            Ok(Some(String::from_utf8_lossy(&text).trim_end().to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// It begins. Whether one had begun before and was cut off.
pub fn begin(folder: &Path, what: &str) -> io::Result<bool> {
    let was_there = found(folder)?.is_some();
    let path = folder.join(FILE);
    if was_there {
        return Ok(true);
    }
    let mut file = RealDisk.create(&path)?;
    file.write_all(format!("{what}, begun {}\n", clock::now().rfc3339()).as_bytes())?;
    file.sync()?;
    RealDisk.sync_folder(folder)?;
    Ok(false)
}

/// It is whole, and durable.
pub fn end(folder: &Path) -> io::Result<()> {
    match RealDisk.remove(&folder.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    RealDisk.sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_told_until_it_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(found(folder.path()).expect("readable"), None);
        assert!(!begin(folder.path(), "state rebuild --from now-2h").expect("written"));
        assert!(begin(folder.path(), "another").expect("there"), "the first one was cut off");
        let told = found(folder.path()).expect("readable").expect("begun");
        assert!(told.starts_with("state rebuild --from now-2h, begun 2"), "{told}");
        end(folder.path()).expect("gone");
        end(folder.path()).expect("gone already");
        assert_eq!(found(folder.path()).expect("readable"), None);
    }
}
