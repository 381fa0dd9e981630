//! Why a demo ends badly.
//!
//! Guarantees: every error says what failed; `cli` decides the exit code.

use std::path::PathBuf;

use crate::app::RunError;
use crate::report::Problem;
use crate::sim::SimError;

/// Why a demo ends badly.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The folder holds something else.
    #[error("{0} is not empty and was not made by an earlier demo: nothing was touched; name another with --out")]
    NotEmpty(PathBuf),
    /// The folder cannot be used.
    #[error("failed to use {path}: {source}")]
    Folder {
        /// The folder, or a file in it.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its own configuration or rules are wrong.
    #[error("the demo's own configuration is refused: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Problems(Vec<Problem>),
    /// The embedded broker.
    #[error("the embedded broker could not {what}: {source}")]
    Broker {
        /// What it could not do.
        what: &'static str,
        /// The client's word.
        source: rdkafka::error::KafkaError,
    },
    /// The broker dropped records.
    #[error("the embedded broker dropped records, so nothing that was found means anything: {0}")]
    Trimmed(String),
    /// Sent, written and taken differ.
    #[error("{sent} records were sent, {written} stand in the broker and {taken} were taken: they must be equal")]
    Counts {
        /// Records sent.
        sent: u64,
        /// Records in the broker.
        written: u64,
        /// Records the detector took.
        taken: u64,
    },
    /// A record was not acknowledged.
    #[error("the embedded broker did not take a record")]
    NotWritten,
    /// The detector takes nothing.
    #[error("the detector has stopped taking records: it took {taken} of {sent}")]
    Stalled {
        /// Records sent.
        sent: u64,
        /// Records taken.
        taken: u64,
    },
    /// An alert is missing.
    #[error("{made} alerts were made, but only {seen} stand in the topic of alerts")]
    AlertsMissing {
        /// Made by the detector.
        made: u64,
        /// Seen in Kafka.
        seen: u64,
    },
    /// The generator.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The pipeline.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file of results cannot be written.
    #[error("failed to write the alerts: {0}")]
    Alerts(#[source] std::io::Error),
    /// Nobody reads what it says.
    #[error("failed to write: {0}")]
    Write(#[source] std::io::Error),
    /// Ports, threads, the terminal.
    #[error("failed to {0}: {1}")]
    System(&'static str, #[source] std::io::Error),
    /// A thread ended by a panic.
    #[error("the demo's {0} ended by a bug")]
    Panic(&'static str),
}

impl DemoError {
    /// The embedded broker could not do something.
    pub fn broker(what: &'static str) -> impl FnOnce(rdkafka::error::KafkaError) -> DemoError {
        move |source| DemoError::Broker { what, source }
    }
}
