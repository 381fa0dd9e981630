//! The generator's records as they stand in Kafka, kept aside so that a test can write them piece by piece.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::EVENTS;
use super::wallet::GENERATOR;
use crate::kit::kafka::broker;
use crate::kit::service::{Found, records};

/// One record.
pub struct Record {
    /// 0 logins, 1 accounts, 2 money.
    pub topic: usize,
    /// What stands there.
    pub found: Found,
}

/// All records in the order of their timestamps, and the truth.
pub struct Staged {
    /// The records.
    pub records: Vec<Record>,
    /// The truth's file.
    pub truth: PathBuf,
    _folder: TempDir,
}

impl Staged {
    /// Generates into topics of its own and reads them back.
    pub fn generate(name: &str) -> Staged {
        let folder = tempfile::tempdir().expect("a folder");
        let topics = [("logins", 3), ("accounts", 6), ("transactions", 7)]
            .map(|(topic, partitions)| broker().topic(&format!("{name}.{topic}"), partitions));
        let status = Command::new(env!("CARGO_BIN_EXE_walletwatch"))
            .args(GENERATOR)
            .args(["--mail-domain", "seam.wallet.example", "--brokers", &broker().bootstrap])
            .args(["--topics", &topics.join(",")])
            .current_dir(folder.path())
            .status()
            .expect("it runs");
        assert!(status.success());
        let of = |(topic, name): (usize, &String)| records(name).into_iter().map(move |found| Record { topic, found });
        let mut records: Vec<Record> = topics.iter().enumerate().flat_map(of).collect();
        assert_eq!(records.len() as u64, EVENTS);
        // The sort is stable: what one partition holds keeps its order.
        records.sort_by_key(|record| record.found.stamp);
        Staged { records, truth: folder.path().join("truth.ndjson"), _folder: folder }
    }
}
