//! `walletwatch run`: the service.

use std::path::PathBuf;

use super::{Exit, check, fail};
use crate::app::{self, BadRules, Controls, KeyFrom, Role, RunError, Until};
use crate::config::LogFormat;
use crate::detect::RestoreError;
use crate::features::store::StoreError;
use crate::ingest::batch_log::LogError;
use crate::ingest::kafka::Error as KafkaFailure;
use crate::ingest::kafka::error::Kind;
use crate::telemetry::events::ListsAreExamples;
use crate::telemetry::log::{self, Form};

/// Runs the service: reads events, scores them, sends alerts and notices.
///
/// Stops cleanly on SIGTERM and SIGINT, within ten seconds. Needs a configuration: the manual of all its keys is
/// src/config/default.toml.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  walletwatch run --config /etc/walletwatch/walletwatch.toml")]
pub struct Args {
    /// The configuration; without it ./walletwatch.toml, then /etc/walletwatch/walletwatch.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which half runs.
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// Stop once everything that the topics hold now is taken, told and sent.
    #[arg(long)]
    until_end: bool,
    /// Take over from another detector of the same group that still works: it stops by itself.
    #[arg(long)]
    take_over: bool,
    /// Where there is no state, or one that cannot go on, begin with an empty one at the group's offsets: what was known
    /// of accounts and addresses is given up. One that cannot go on is set aside; one that can is kept.
    #[arg(long)]
    cold: bool,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let source = check::find(args.config, Exit::Config)?;
    let prepared = match check::prepare(&source, BadRules::FallBack, KeyFrom::State) {
        Ok(prepared) => prepared,
        Err(problems) => {
            check::show(&problems)?;
            return Err(fail(Exit::Config, format!("{}: nothing was started", source.name())));
        }
    };
    let form = match prepared.config.log_format {
        LogFormat::Auto => Form::Auto,
        LogFormat::Json => Form::Json,
        LogFormat::Pretty => Form::Pretty,
    };
    log::start(form, &prepared.config.log_filter);
    for warning in &prepared.warnings {
        tracing::warn!(code = warning.code, "{}", warning.message);
    }
    let lists = &prepared.in_force.ruleset.lists;
    let examples: Vec<&str> = lists.iter().filter(|list| list.is_shipped).map(|list| list.name.as_str()).collect();
    if !examples.is_empty() {
        ListsAreExamples { lists: &examples }.tell();
    }
    let until = if args.until_end { Until::End } else { Until::Stopped };
    let controls = Controls::new().map(|controls| Controls { take_over: args.take_over, cold: args.cold, ..controls });
    let run = controls.and_then(|controls| app::run(prepared, args.role, &until, controls));
    let summary = run.map_err(|error| fail(exit(&error), error.to_string()))?;
    summary.tell();
    Ok(Exit::Done)
}

/// What an error means for whoever started us.
pub(super) fn exit(error: &RunError) -> Exit {
    match error {
        RunError::Kafka(error) => kafka_exit(error),
        RunError::State(error) | RunError::Restore(RestoreError::Store(error)) => state_exit(error),
        RunError::Restore(RestoreError::Empty) => Exit::Data,
        RunError::Restore(_) => Exit::Config,
        RunError::Log(error) => log_exit(error),
        RunError::Desk(error) if error.is_in_use() => Exit::TryAgain,
        // Whoever runs there already.
        RunError::Control(_, error) if error.kind() == std::io::ErrorKind::AddrInUse => Exit::TryAgain,
        RunError::Control(..) => Exit::Io,
        RunError::Desk(_) | RunError::StateDirectory(..) | RunError::System(..) | RunError::Listen(..) => Exit::Io,
        RunError::Unfinished(..) | RunError::HasState(..) => Exit::Config,
        RunError::Older { .. } => Exit::Data,
        RunError::File(..) => Exit::Io,
        RunError::Metrics(_) | RunError::Panic(_) => Exit::Bug,
        RunError::DrainTooLong | RunError::CutOff(..) | RunError::NotClosedInTime(_) => Exit::TryAgain,
    }
}

/// What an error of Kafka's means.
pub(super) fn kafka_exit(error: &KafkaFailure) -> Exit {
    match error.kind() {
        Kind::Unavailable => Exit::Unavailable,
        Kind::Configuration => Exit::Config,
        Kind::Lost => Exit::Data,
        Kind::Refused => Exit::NotAllowed,
        Kind::Io => Exit::Io,
        Kind::GivesWay => Exit::TryAgain,
        Kind::Bug => Exit::Bug,
    }
}

/// What an error of the batch log means.
fn log_exit(error: &LogError) -> Exit {
    match error {
        LogError::Io { .. } | LogError::Poisoned { .. } => Exit::Io,
        LogError::Format { .. } | LogError::Unknown { .. } => Exit::Config,
        LogError::NotWhole { .. } => Exit::Data,
    }
}

/// What an error of the state means.
pub(super) fn state_exit(error: &StoreError) -> Exit {
    match error {
        StoreError::Io { .. } | StoreError::Poisoned(_) => Exit::Io,
        StoreError::Locked(_) => Exit::TryAgain,
        StoreError::Damaged { .. } => Exit::Data,
        StoreError::Version { .. } | StoreError::Key { .. } | StoreError::KeyFile { .. } => Exit::Config,
        StoreError::TooLarge { .. } => Exit::Bug,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rdkafka::error::KafkaError;
    use rdkafka::types::RDKafkaErrorCode;

    use super::*;
    use crate::alert::DeskError;
    use crate::ingest::kafka::Error;

    #[test]
    fn a_desk_in_use_is_to_be_tried_again_and_any_other_failure_of_it_is_not() {
        let of = |error| exit(&RunError::Desk(Arc::new(error)));
        assert_eq!(of(DeskError::InUse { path: "desk.db".to_owned(), holders: Vec::new() }), Exit::TryAgain);
        let locked = DeskError::Locked { path: "desk.db".to_owned(), holders: Vec::new(), waited_ms: 5000 };
        assert_eq!(of(locked), Exit::TryAgain);
        assert_eq!(of(DeskError::CasesUsedUp), Exit::Io);
        assert_eq!(of(DeskError::Newer { found: 9, known: 1 }), Exit::Io);
    }

    #[test]
    fn what_kafka_refuses_is_not_allowed_and_a_mistake_of_ours_is_a_bug() {
        let of = |source: KafkaError| exit(&RunError::Kafka(Error::request("read the topics")(source)));
        for code in [
            RDKafkaErrorCode::TopicAuthorizationFailed,
            RDKafkaErrorCode::GroupAuthorizationFailed,
            RDKafkaErrorCode::ClusterAuthorizationFailed,
            RDKafkaErrorCode::SaslAuthenticationFailed,
        ] {
            assert_eq!(of(KafkaError::MetadataFetch(code)), Exit::NotAllowed, "{code:?}");
            assert_eq!(of(KafkaError::AdminOp(code)), Exit::NotAllowed, "{code:?}");
            let topic = "wallet.alerts".to_owned();
            assert_eq!(exit(&RunError::Kafka(Error::NotWritten { topic, code })), Exit::NotAllowed, "{code:?}");
        }
        assert_eq!(of(KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure)), Exit::Unavailable);
        assert_eq!(exit(&RunError::Panic("detection")), Exit::Bug);
        assert_eq!(exit(&RunError::Kafka(Error::NoTaker)), Exit::Bug);
        assert_eq!((Exit::NotAllowed as u8, Exit::Bug as u8), (77, 70));
    }

    #[test]
    fn there_is_one_detector_and_its_state_goes_on_where_it_stands() {
        let of = |error| exit(&RunError::Kafka(error)) as u8;
        let (owner, group) = ("host-1".to_owned(), "wallet".to_owned());
        let other = Error::OtherDetector { owner: owner.clone(), group: group.clone(), epoch: 2, age_s: 1 };
        assert_eq!(of(other), 77, "refused: somebody else is at work");
        assert_eq!(of(Error::TakenOver { owner, group: group.clone(), epoch: 3, ours: 2 }), 75, "it gives way");
        assert_eq!(of(Error::StateLost { group }), 78);
        let topic = "wallet.logins".to_owned();
        assert_eq!(of(Error::Gone { topic: topic.clone(), partition: 0, offset: 5, low: 9, high: 20 }), 78);
        let again = Error::NotAgain { batch: 7, topic, partition: 0, first: 5, last: 8, records: 4 };
        assert_eq!(of(again), 78);
    }
}
