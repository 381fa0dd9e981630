//! Every batch that a detector logged: its log drops what checkpoints cover, so each of its files is linked aside.
//!
//! Guarantees: the service is the one that people run, with no switch of its own, and what drops the log is tested with
//! it; a file is the same under both names, so what a start cuts off is cut off here too. A file that went before it was
//! linked is a gap, which the oracle finds: it is never taken for a batch that was not there.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use walletwatch::disk::RealDisk;
use walletwatch::ingest::BatchLog;
use walletwatch::ingest::batch_log::Logged;

use crate::kit::process::wait_until;

/// Longer than any test.
const TIME_MAX: Duration = Duration::from_secs(4 * 3600);

/// Keeps the batches of a detector from before its first start.
pub struct Kept {
    log: PathBuf,
    links: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Kept {
    /// Those of the detector whose state will be in this folder.
    pub fn of(state: &Path) -> Kept {
        let links = state.with_added_extension("kept-batches");
        std::fs::create_dir_all(&links).expect("a folder");
        let stop = Arc::new(AtomicBool::new(false));
        let mut kept = Kept { log: state.join("batches"), links, stop, thread: None };
        let (log, links, stop) = (kept.log.clone(), kept.links.clone(), Arc::clone(&kept.stop));
        kept.thread = Some(std::thread::spawn(move || {
            // A file stands for as long as from one checkpoint to the next.
            wait_until("the run is over", TIME_MAX, || {
                link_all(&log, &links);
                stop.load(Ordering::Relaxed).then_some(())
            });
        }));
        kept
    }

    /// Every batch so far, as it was logged. No process writes it.
    pub fn batches(&self) -> Vec<Logged> {
        link_all(&self.log, &self.links);
        BatchLog::kept(&RealDisk, &self.links).unwrap_or_else(|error| panic!("not every batch was kept: {error}"))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn link_all(log: &Path, links: &Path) {
    // Before the first start there is none.
    let Ok(files) = std::fs::read_dir(log) else { return };
    for file in files.flatten() {
        let (from, to) = (file.path(), links.join(file.file_name()));
        let inode = |path: &Path| path.metadata().ok().map(|metadata| metadata.ino());
        let Some(now) = inode(&from) else { continue };
        if inode(&to) == Some(now) {
            continue;
        }
        // A start took away a file without a batch, and another came under its name.
        let _ = std::fs::remove_file(&to);
        // It may be gone by now: then the gap is found.
        let _ = std::fs::hard_link(&from, &to);
    }
}
