//! Why a run, or what else makes or reads a state, ended badly.
//!
//! Guarantees: every error says what failed, where and what to do; what each means for whoever started us is in
//! `cli::run::exit`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::alert::DeskError;
use crate::detect::RestoreError;
use crate::event::Millis;
use crate::features::store::StoreError;
use crate::ingest::batch_log::LogError;
use crate::ingest::kafka::Error as KafkaError;
use crate::ingest::source::SourceError;
use crate::shutdown::DRAIN_TIME_MAX;

/// Why a run ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The desk.
    #[error("{0}")]
    Desk(Arc<DeskError>),
    /// The folder of the state.
    #[error("failed to use state.directory = {path}: {1}", path = .0.display())]
    StateDirectory(PathBuf, #[source] std::io::Error),
    /// The state as it was saved.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The batch log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state.
    #[error(transparent)]
    State(#[from] StoreError),
    /// The state was being made out of history, and that was cut off.
    #[error(
        "the state in {path} is unfinished: `walletwatch {0}` was cut off. Nothing was started: begin that command \
         again, or go on with an empty state by `walletwatch run --cold`",
        path = .1.display()
    )]
    Unfinished(String, PathBuf),
    /// A state was being made out of history, and somebody asked to stop.
    #[error(
        "{0} was cut off: the state in {path} is unfinished, and nothing will start on it. Begin it again: what it had \
         made is made anew",
        path = .1.display()
    )]
    CutOff(&'static str, PathBuf),
    /// History cannot go into a state that detection has made.
    #[error(
        "there is a state in {path} already, which detection made (checkpoint {1}): history cannot come behind it. \
         `walletwatch state rebuild --from TIME` makes it anew from Kafka",
        path = .0.display()
    )]
    HasState(PathBuf, u64),
    /// History cannot go behind what is newer.
    #[error(
        "{name} begins at {oldest}, and what was backfilled before ends at {behind}: nothing is counted backwards. Give \
         the files in the order of their events, in one command",
        oldest = .oldest.rfc3339(),
        behind = .behind.rfc3339()
    )]
    Older {
        /// The file.
        name: String,
        /// Its oldest event so far.
        oldest: Millis,
        /// The newest event that is there.
        behind: Millis,
    },
    /// A file of events.
    #[error("failed to read {0}: {1}")]
    File(String, #[source] SourceError),
    /// Threads, signals.
    #[error("failed to {0}: {1}")]
    System(&'static str, #[source] std::io::Error),
    /// The socket in the state folder.
    #[error("failed to listen on {path}, which commands ask the service by: {1}", path = .0.display())]
    Control(PathBuf, #[source] std::io::Error),
    /// A counter that cannot be made.
    #[error("failed to make the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The address of metrics and health.
    #[error("failed to listen on http.listen = {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The last checkpoint of a stop is not on the disk in time.
    #[error(
        "the last checkpoint was not closed within {} s: the disk is slow; everything is written to Kafka, and the next \
         start takes the last batches again",
        .0.as_secs()
    )]
    NotClosedInTime(Duration),
    /// A stop took too long.
    #[error("the stop took longer than {} s; what was not acknowledged comes again after the next start", DRAIN_TIME_MAX.as_secs())]
    DrainTooLong,
    /// A thread ended by a panic.
    #[error("the thread of {0} ended by a bug; nothing it had not finished was committed")]
    Panic(&'static str),
}
