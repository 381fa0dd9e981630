//! Files, as whoever must survive a crash needs them: a trait, so that tests can lose and tear what was not synced.
//!
//! Guarantees of a disk: what was synced survives a power failure; what was only written survives the end of this
//! process, not of the machine; a name that was made, changed or taken away survives once its folder is synced.
//! Decides nothing about what stands in a file.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Where files are.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Makes a folder that only we can read, and those above it, where they are missing.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    /// The files of a folder, by name; folders in it are left out.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    /// All bytes of a file.
    fn read(&self, file: &Path) -> io::Result<Vec<u8>>;
    /// A file to write to, empty: one that was there is emptied.
    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Cuts a file to so many bytes, and syncs it.
    fn cut(&self, file: &Path, bytes: u64) -> io::Result<()>;
    /// Gives a file another name, in the place of whatever had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a file away.
    fn remove(&self, file: &Path) -> io::Result<()>;
    /// Makes the names in a folder as durable as synced bytes.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file that is being written, from its beginning to its end.
pub trait DiskFile: Send {
    /// Writes all these bytes behind those that were written. After an error nobody knows how many of them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything written is durable. After an error nothing of it may be believed.
    fn sync(&mut self) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }

    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        fs::read(file)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
        Ok(Box::new(RealFile(opened)))
    }

    fn cut(&self, file: &Path, bytes: u64) -> io::Result<()> {
        let opened = fs::OpenOptions::new().write(true).open(file)?;
        opened.set_len(bytes)?;
        opened.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        fs::File::open(folder)?.sync_all()
    }
}

struct RealFile(fs::File);

impl DiskFile for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_cut_renamed_and_taken_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = RealDisk;
        let below = folder.path().join("state/log");
        disk.make_folder(&below).expect("made");
        disk.make_folder(&below).expect("there already");
        let (b, a) = (below.join("b"), below.join("a"));
        for file in [&b, &a] {
            let mut written = disk.create(file).expect("created");
            written.write(b"one ").expect("written");
            written.write(b"two").expect("written");
            written.sync().expect("synced");
        }
        disk.make_folder(&below.join("folder")).expect("made");
        assert_eq!(disk.list(&below).expect("listed"), [a.clone(), b.clone()], "by name, without folders");
        disk.cut(&a, 5).expect("cut");
        assert_eq!(disk.read(&a).expect("read"), b"one t");
        disk.rename(&b, &a).expect("renamed");
        disk.sync_folder(&below).expect("synced");
        assert_eq!(disk.read(&a).expect("read"), b"one two");
        disk.remove(&a).expect("taken away");
        assert!(disk.list(&below).expect("listed").is_empty());
        assert_eq!(disk.read(&a).expect_err("gone").kind(), io::ErrorKind::NotFound);
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&below).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "only we may look into it");
    }
}
