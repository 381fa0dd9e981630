//! A disk that fails on demand, for a whole process: a library between it and the system's.
//!
//! Guarantees: only calls on paths that were named fail, with the error that was named, from the moment of the order
//! until it is taken back; every program that uses the C library can be given it. What the kernel itself would do
//! (a limit, a mount) has tests of its own beside these.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// No room left.
pub const NO_SPACE: i32 = 28;
/// The device failed.
pub const DEVICE: i32 = 5;
/// Nothing may be written.
pub const READ_ONLY: i32 = 30;
/// The call comes back once the order is taken back.
pub const HANGS: i32 = 0;

/// The orders to one process, or to several.
pub struct Faulty {
    order: PathBuf,
}

impl Faulty {
    /// Orders that lie in `folder`, which no order may be about.
    pub fn new(folder: &Path) -> Faulty {
        Faulty { order: folder.join("faulty-disk") }
    }

    /// Gives it to a process that is started by this command.
    pub fn given(&self, command: &mut Command) {
        command.env("LD_PRELOAD", library()).env("FAULTY_DISK", &self.order);
    }

    /// From now on calls of these kinds (`w` write, `s` sync, `c` open to write, `r` rename) fail on paths that contain
    /// `part`.
    pub fn fail(&self, calls: &str, error: i32, part: &str) {
        let unfinished = self.order.with_extension("new");
        std::fs::write(&unfinished, format!("{calls} {error} {part}\n")).expect("an order");
        std::fs::rename(unfinished, &self.order).expect("an order");
    }

    /// From now on nothing fails.
    pub fn mend(&self) {
        std::fs::remove_file(&self.order).expect("there was an order");
    }
}

/// The library, compiled once.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kit/faulty_disk.c");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("faulty_disk.{}.so", std::process::id()));
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&path).arg(source).arg("-ldl");
        let status = cc.status().expect("a C compiler: the C libraries were built with one");
        assert!(status.success(), "{cc:?}");
        path
    })
}
