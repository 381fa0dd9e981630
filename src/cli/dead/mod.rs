//! `walletwatch dead …`: the records that could not be used, looked at and sent back.
//!
//! Guarantees: works on Kafka alone, beside a running service or without one; a list shows neither keys nor values;
//! a record is replayed once. Needs the configuration's `[kafka]`.

use std::path::PathBuf;

use super::{Exit, check, fail, generate, run};
use crate::config::Config;
use crate::event::Millis;
use crate::ingest::dead_letter::{Letter, LetterId};
use crate::ingest::kafka::{Error, KafkaConfig};

mod chosen;
mod list;
mod replay;
mod show;

/// Works the dead letters: the records that could not be used.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  walletwatch dead list --since now-2h
  walletwatch dead show 0:17
  walletwatch dead replay --reason bad_value --dry-run")]
pub enum Command {
    /// How many there are by reason, and a line for each of the newest. Shows no keys and no values.
    #[command(after_help = "Examples:
  walletwatch dead list
  walletwatch dead list --reason bad_value --topic wallet.transactions --since now-2h --format json")]
    List(list::Args),
    /// One of them whole, with what is wrong with it.
    #[command(after_help = "Examples:
  walletwatch dead show 0:17
  walletwatch dead show 0:17 --raw > record.json")]
    Show(show::Args),
    /// Sends their records back to the topics they came from, each once: after the producer, the mapping or the
    /// record was mended.
    #[command(after_help = "Examples:
  walletwatch dead replay --reason bad_value --topic wallet.transactions --dry-run
  walletwatch dead replay --reason bad_value --topic wallet.transactions
  walletwatch dead replay 0:17 --value mended.json")]
    Replay(replay::Args),
}

/// Which configuration.
#[derive(Debug, clap::Args)]
struct Configured {
    /// The configuration; without it ./walletwatch.toml, then /etc/walletwatch/walletwatch.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Configured {
    /// Its part about Kafka, where everything in it is right.
    fn kafka(self) -> anyhow::Result<KafkaConfig> {
        self.whole().map(|config| config.kafka)
    }

    /// All of it, where everything in it is right.
    fn whole(self) -> anyhow::Result<Config> {
        let source = check::find(self.config, Exit::Config)?;
        match Config::load_partly(source.file.as_deref(), &source.environment) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => {
                check::show(&problems)?;
                Err(fail(Exit::Config, format!("{}: mend it first", source.name())))
            }
        }
    }
}

/// Which letters.
#[derive(Debug, Default, clap::Args)]
struct Filter {
    /// Only those refused for this reason.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only records of this topic.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only what became a dead letter since then: a time, or now-90m, now-2h, now-7d.
    #[arg(long, value_name = "TIME", value_parser = generate::time)]
    since: Option<Millis>,
}

impl Filter {
    fn takes(&self, letter: &Letter) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.reason, &letter.reason)
            && is(&self.topic, &letter.origin.topic)
            && self.since.is_none_or(|since| letter.written >= since)
    }

    fn is_empty(&self) -> bool {
        self.reason.is_none() && self.topic.is_none() && self.since.is_none()
    }
}

/// Runs one.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Replay(args) => replay::run(args),
    }
}

/// What an error of Kafka's means for whoever typed the command.
fn failed(error: Error) -> anyhow::Error {
    fail(run::kafka_exit(&error), error.to_string())
}

fn no_such_letter(id: LetterId, topic: &str) -> anyhow::Error {
    fail(Exit::NoInput, format!("there is no letter {id} in {topic}: `walletwatch dead list` shows which there are"))
}
