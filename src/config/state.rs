//! The section `[state]`: where the state is kept, how often, and how much of it in memory.
//!
//! Guarantees: the folder can be used or made. Makes nothing.

use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;

use super::secrets::Folders;
use super::table::Section;
use crate::features::store::{FjallStore, StateConfig};

/// Reads `[state]`: its folder, and how it is kept.
pub fn read(section: Section<'_, '_>, folders: &Folders) -> (Option<PathBuf>, StateConfig) {
    let directory = section.required_text(
        "directory",
        "a folder for the desk and the state, which only this service may read",
        "\"/var/lib/walletwatch\"",
    );
    let directory = directory.map(|directory| {
        let path = folders.path(&directory.value);
        if let Some(why) = no_state_folder(&path) {
            let message = format!("`state.directory` cannot be used: {why}");
            let help = "a folder that the user walletwatch runs as may write; one that is not there is made";
            section.refuse_with_help("C006", &directory.at, message, help);
        }
        path
    });
    let mut state = StateConfig::default();
    let whole = |key, range| section.number(key, range).and_then(|n| u64::try_from(n).ok());
    if let Some(n) = whole("checkpoint_ms", 1000..=3_600_000) {
        state.checkpoint_ms = n;
    }
    if let Some(n) = whole("memory_max_bytes", 1 << 20..=1 << 40) {
        state.memory_max_bytes = n;
    }
    if let Some(n) = whole("kept_max_bytes", 1 << 20..=1 << 44) {
        state.kept_max_bytes = n;
    }
    section.done();
    (directory, state)
}

/// Why no state can be kept in a folder; `None`: it is one, or can be made. Makes nothing.
fn no_state_folder(path: &Path) -> Option<String> {
    // Of a folder that is not there the nearest one above it is what counts: it is made in there.
    for folder in path.ancestors().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }) {
        let shown = folder.display();
        match std::fs::metadata(folder) {
            Ok(found) if !found.is_dir() => return Some(format!("{shown} is not a folder")),
            Ok(_) if folder == path => {
                return rustix::fs::access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
                    .err()
                    // A folder with a state could be written once. That it cannot be now is the disk's doing, no mistake
                    // of the configuration: whoever opens it fails with that.
                    .filter(|error| !matches!(*error, Errno::ROFS | Errno::IO) || !FjallStore::is_there(folder))
                    .map(|error| format!("{shown}: {}", std::io::Error::from(error)));
            }
            Ok(_) => return None,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // A file on the way is told by its own name, further up.
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {}
            Err(error) => return Some(format!("{shown}: {error}")),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_is_a_folder_or_can_be_made() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        assert_eq!(no_state_folder(folder.path()), None);
        assert_eq!(no_state_folder(&folder.path().join("new/deep")), None);
        assert_eq!(no_state_folder(Path::new("new")), None);
        let told = Some(format!("{} is not a folder", file.display()));
        assert_eq!((no_state_folder(&file), no_state_folder(&file.join("in/it"))), (told.clone(), told));
        let locked = folder.path().join("locked");
        std::fs::create_dir(&locked).expect("a folder");
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).expect("locked");
        // Nothing is locked for root.
        let may_write = std::fs::write(locked.join("probe"), "").is_ok();
        assert_eq!(no_state_folder(&locked).is_none(), may_write);
    }
}
