//! `walletwatch config …`: what is configured, and where it comes from.

use std::io::Write as _;
use std::path::PathBuf;

use super::{Exit, Format, check};
use crate::config::{Config, show};

/// Shows the configuration in force.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example:\n  walletwatch config show --config walletwatch.toml")]
pub enum Command {
    /// The configuration in force: file, environment and defaults together, without secrets.
    ///
    /// What is printed is a configuration file that means the same; behind each value stands where it comes from.
    #[command(after_help = "Example:\n  walletwatch config show --config walletwatch.toml --format json")]
    Show(Args),
}

/// What is shown, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; without it ./walletwatch.toml, then /etc/walletwatch/walletwatch.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// TOML, or one JSON object for each key.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs one.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    let Command::Show(args) = command;
    let source = check::find(args.config, Exit::No)?;
    match Config::show(source.file.as_deref(), &source.environment) {
        Ok(shown) => {
            let text = match args.format {
                Format::Human => show::toml(&shown),
                Format::Json => show::json_lines(&shown),
            };
            std::io::stdout().write_all(text.as_bytes())?;
            Ok(Exit::Done)
        }
        Err(problems) => {
            check::show(&problems)?;
            Ok(Exit::No)
        }
    }
}
