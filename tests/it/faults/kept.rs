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

use notify::{RecursiveMode, Watcher as _};
use walletwatch::disk::RealDisk;
use walletwatch::ingest::BatchLog;
use walletwatch::ingest::batch_log::Logged;

/// The folder is looked at besides listening: one that is new is not listened to at once.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

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
        let (told, changes) = std::sync::mpsc::sync_channel(1);
        let changed = move |_: notify::Result<notify::Event>| {
            let _ = told.try_send(());
        };
        let mut watcher = notify::recommended_watcher(changed).expect("a watcher");
        watcher.watch(state.parent().expect("a folder"), RecursiveMode::Recursive).expect("watched");
        kept.thread = Some(std::thread::spawn(move || {
            let _watcher = watcher;
            // A file stands from one checkpoint to the next: before a stop that is a moment.
            while !stop.load(Ordering::Relaxed) {
                link_all(&log, &links);
                let _ = changes.recv_timeout(LOOK_AGAIN);
            }
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
