//! The detector's name: an id that lives in the state folder.
//!
//! Guarantees: made once, durable before it is used, and the same for as long as the folder is; whoever has another
//! folder has another name. Says nothing about who is at work: `ingest::kafka::owner` does.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use crate::disk::Disk;

/// The file's name in the state folder.
const FILE: &str = "owner";
/// Bytes of the host's name that go into it, at most.
const HOST_BYTES_MAX: usize = 48;
/// Bytes of an id, at most.
const ID_BYTES_MAX: usize = 128;

/// The id in `folder`, which is there; made on the first start.
pub fn id(disk: &dyn Disk, folder: &Path) -> io::Result<String> {
    match existing(disk, folder)? {
        Some(id) => Ok(id),
        None => make(disk, folder, &folder.join(FILE)),
    }
}

/// The id in `folder`, if there is one. Makes nothing.
pub fn existing(disk: &dyn Disk, folder: &Path) -> io::Result<Option<String>> {
    let path = folder.join(FILE);
    let mut text = String::new();
    match disk.open(&path) {
        Ok(file) => {
            file.take(ID_BYTES_MAX as u64 + 2).read_to_string(&mut text)?;
            let id = text.trim_end();
            let is_id = !id.is_empty() && id.len() <= ID_BYTES_MAX && id.chars().all(|c| c.is_ascii_graphic());
            if !is_id {
                let why = format!("{} holds no id: take it away to get a new one", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            Ok(Some(id.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn make(disk: &dyn Disk, folder: &Path, path: &Path) -> io::Result<String> {
    // A host name tells people where to look; the number tells folders of one host apart.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).collect();
    let host = host.get(..HOST_BYTES_MAX).unwrap_or(&host);
    let number = RandomState::new().build_hasher().finish();
    let id = format!("{}-{number:016x}", if host.is_empty() { "detector" } else { host });
    // Whole under a name of its own first: half an id would be another one.
    let new = folder.join(format!("{FILE}.new"));
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = disk.create(&new)?;
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync()?;
    disk.rename(&new, path)?;
    disk.sync_folder(folder)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Crash, SimulatedDisk};

    #[test]
    fn an_id_is_made_once_and_outlives_a_crash_once_it_was_told() {
        for steps in 0..12 {
            let disk = SimulatedDisk::new(steps);
            disk.crash_after(steps);
            let first = id(&disk, Path::new("/state"));
            disk.restart(Crash::Power);
            let second = id(&disk, Path::new("/state")).expect("an id");
            if let Ok(first) = first {
                assert_eq!(first, second, "after {steps} steps");
            }
            assert_eq!(id(&disk, Path::new("/state")).expect("an id"), second);
        }
        let other = id(&SimulatedDisk::new(1), Path::new("/state")).expect("an id");
        assert_ne!(other, id(&SimulatedDisk::new(1), Path::new("/state")).expect("an id"));
    }

    #[test]
    fn what_is_no_id_is_refused_by_name() {
        let disk = SimulatedDisk::new(1);
        let mut file = disk.create(Path::new("/state/owner")).expect("made");
        file.write_all(b"two words\n").expect("written");
        let told = id(&disk, Path::new("/state")).expect_err("no id").to_string();
        assert!(told.starts_with("/state/owner holds no id"), "{told}");
    }
}
