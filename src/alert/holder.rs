//! Who else holds a lock on the desk's files: an operator who is told "locked" must look for it otherwise.
//!
//! Guarantees: names processes the kernel lists as holders, never this one; names nobody where the system keeps no
//! such list or does not show it. Decides nothing and ends nothing.

use std::collections::BTreeSet;
use std::path::Path;

/// What SQLite locks, the file and in WAL mode the memory that its users share; and what an instance of ours locks.
const LOCKED_FILES: [&str; 3] = ["", "-shm", ".lock"];

/// Programs that hold a lock on the desk, such as `sqlite3 (process 4711)`, in the order of their numbers.
pub(super) fn holders(desk: &Path) -> Vec<String> {
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else { return Vec::new() };
    let inodes: Vec<u64> = LOCKED_FILES.iter().filter_map(|suffix| inode(desk, suffix)).collect();
    let others = processes(&locks, &inodes).into_iter().filter(|process| *process != std::process::id());
    others.map(named).collect()
}

fn inode(desk: &Path, suffix: &str) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut path = desk.as_os_str().to_owned();
    path.push(suffix);
    std::fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// The processes with a lock on one of these inodes, by the kernel's table (`proc_locks(5)`): number, class, kind,
/// access, process, `major:minor:inode`, first and last byte. One that waits has `->` before its class; a process
/// of another container is 0 or -1.
fn processes(locks: &str, inodes: &[u64]) -> BTreeSet<u32> {
    let holder = |line: &str| {
        let [_, class, _, _, process, file, ..] = *line.split_whitespace().collect::<Vec<_>>().as_slice() else {
            return None;
        };
        let inode: u64 = file.rsplit(':').next()?.parse().ok()?;
        let process: u32 = process.parse().ok()?;
        (class != "->" && process != 0 && inodes.contains(&inode)).then_some(process)
    };
    locks.lines().filter_map(holder).collect()
}

fn named(process: u32) -> String {
    match std::fs::read_to_string(format!("/proc/{process}/comm")) {
        Ok(name) => format!("{} (process {process})", name.trim()),
        Err(_) => format!("process {process}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_read_from_the_kernels_table() {
        // As Linux 6 writes it; the fourth waits, the fifth lives in another container.
        let locks = "1: POSIX  ADVISORY  WRITE 31091 fe:00:9978503 120 120\n\
                     2: POSIX  ADVISORY  READ 31091 fe:00:9978503 123 123\n\
                     3: FLOCK  ADVISORY  WRITE 812 fe:00:77 0 EOF\n\
                     4: -> POSIX  ADVISORY  WRITE 9 fe:00:9978503 120 120\n\
                     5: POSIX  ADVISORY  WRITE -1 fe:00:9978503 120 120\n\
                     6: POSIX  ADVISORY  READ 44 08:01:9977965 1073741826 1073742335\n\
                     a line of a later kernel\n";
        let found: Vec<u32> = processes(locks, &[9_977_965, 9_978_503]).into_iter().collect();
        assert_eq!(found, [44, 31091]);
        assert!(processes(locks, &[]).is_empty());
    }

    #[test]
    fn this_process_is_not_another_program() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("desk.db");
        let own = rusqlite::Connection::open(&path).expect("opens");
        own.execute_batch("CREATE TABLE t (x); BEGIN EXCLUSIVE").expect("it locks the file");
        assert_eq!(holders(&path), Vec::<String>::new());
    }
}
