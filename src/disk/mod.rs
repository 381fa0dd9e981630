//! The few operations on files that what must survive a crash is written with.
//!
//! Guarantees: nothing is promised to outlive a crash but what was synced: a file's bytes by its own sync, its name by
//! the sync of its folder. [`RealDisk`] is the system's; [`SimulatedDisk`] loses and tears, at a crash, what was not
//! synced. Knows no format.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

mod simulated;

pub use simulated::{Crash, SimulatedDisk};

/// A disk.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Makes a file that is not there yet, for this user alone.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to write at its end; makes it where it is not there.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to read it from its beginning.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;
    /// The names of the files in a folder, sorted.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Shortens a file to so many bytes, and syncs it.
    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()>;
    /// Gives a file another name, in place of one that has it: both at once or not at all.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a file away.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder outlive a crash.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file that is written.
pub trait DiskFile: Write + Send {
    /// Makes what was written outlive a crash.
    fn sync(&mut self) -> io::Result<()>;
}

/// The system's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                // A name that is not UTF-8 is none of ours.
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both disks keep the same rules: a script of operations gives the same answers on each.
    #[test]
    fn the_simulated_disk_behaves_as_the_real_one_while_nothing_crashes() {
        let folder = tempfile::tempdir().expect("a folder");
        let real = script(&RealDisk, folder.path());
        let simulated = script(&SimulatedDisk::new(1), folder.path());
        assert_eq!(real, simulated);
        assert!(real.contains("a: one two"), "{real}");
    }

    fn script(disk: &dyn Disk, folder: &Path) -> String {
        let mut told = Vec::new();
        let (a, b) = (folder.join("a"), folder.join("b"));
        let mut file = disk.create(&a).expect("new");
        file.write_all(b"one ").expect("written");
        file.sync().expect("synced");
        told.push(format!("again: {:?}", disk.create(&a).err().map(|e| e.kind())));
        let mut file = disk.append(&a).expect("there");
        file.write_all(b"two three").expect("written");
        disk.cut(&a, 7).expect("cut");
        told.push(format!("a: {}", text(disk, &a)));
        disk.append(&b).expect("made").write_all(b"b").expect("written");
        disk.rename(&a, &b).expect("renamed");
        disk.sync_folder(folder).expect("synced");
        told.push(format!("names: {:?}, b: {}", disk.names(folder).expect("a folder"), text(disk, &b)));
        told.push(format!("gone: {:?}", disk.open(&a).err().map(|e| e.kind())));
        disk.remove(&b).expect("removed");
        told.push(format!("gone: {:?}", disk.remove(&b).err().map(|e| e.kind())));
        told.push(format!("names: {:?}", disk.names(folder).expect("a folder")));
        told.join("\n")
    }

    fn text(disk: &dyn Disk, path: &Path) -> String {
        let mut text = String::new();
        disk.open(path).expect("there").read_to_string(&mut text).expect("text");
        text
    }
}
