//! The command line: one file per command.
//!
//! Guarantees: results go to stdout, talk goes to stderr; every failure ends in a named exit code. Does no
//! work of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod backfill;
mod check;
mod config;
mod dead;
mod demo;
mod generate;
mod geo;
mod history;
mod look;
mod mapping;
mod output;
mod replay;
mod rules;
mod run;
mod state;
mod status;

pub use output::{Failure, Format, fail};

/// Watches an e-wallet's event stream and warns people when an account may be under attack.
#[derive(Debug, Parser)]
#[command(
    name = "walletwatch",
    version,
    max_term_width = 100,
    after_help = "Examples:
  walletwatch demo                              see it work; needs nothing
  walletwatch check --config walletwatch.toml   is everything right? touches no network
  walletwatch run --config walletwatch.toml     the service

Each command has its own: walletwatch rules test --help"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Demo(demo::Args),
    Check(check::Args),
    #[command(subcommand)]
    Config(config::Command),
    Replay(replay::Args),
    Backfill(backfill::Args),
    Generate(generate::Args),
    #[command(subcommand)]
    Rules(rules::Command),
    #[command(subcommand)]
    Mapping(mapping::Command),
    #[command(subcommand)]
    Geo(geo::Command),
    #[command(subcommand)]
    Dead(dead::Command),
    #[command(subcommand)]
    State(state::Command),
    Status(status::Args),
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // A reader that went away is not an error of ours.
            let _ = usage.print();
            return if usage.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let result = match cli.command {
        Command::Run(args) => run::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Check(args) => check::run(args),
        Command::Config(command) => config::run(command),
        Command::Replay(args) => replay::run(args),
        Command::Backfill(args) => backfill::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Rules(command) => rules::run(command),
        Command::Mapping(command) => mapping::run(command),
        Command::Geo(command) => geo::run(command),
        Command::Dead(command) => dead::run(command),
        Command::State(command) => state::run(command),
        Command::Status(args) => status::run(args),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => output::report_failure(&error).into(),
    }
}

/// How a command ends (sysexits where one fits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The answer is no: a test failed, problems were found, a difference.
    No = 1,
    /// Wrong arguments.
    Usage = 64,
    /// Bad data.
    Data = 65,
    /// No input.
    NoInput = 66,
    /// A service is not reachable.
    Unavailable = 69,
    /// A bug.
    Bug = 70,
    /// Input or output failed.
    Io = 74,
    /// Try again later.
    TryAgain = 75,
    /// Not allowed.
    NotAllowed = 77,
    /// Configuration.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::event::mapping;

    /// A command, those below it, and what each is called by.
    fn all(command: &clap::Command, called: &str, found: &mut Vec<(String, String)>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found.push((called.to_owned(), help));
        for below in command.get_subcommands() {
            all(below, &format!("{called} {}", below.get_name()), found);
        }
    }

    /// The words of an example; what the shell does with `>` and what is said about it are no part of them.
    fn words(example: &str) -> Vec<&str> {
        let command = example.split(" > ").next().and_then(|text| text.split("   ").next());
        command.unwrap_or_default().split_whitespace().collect()
    }

    #[test]
    fn every_command_has_examples_and_they_can_be_given() {
        let mut commands = Vec::new();
        all(&Cli::command(), "walletwatch", &mut commands);
        assert!(commands.len() > 15, "{commands:?}");
        for (called, help) in commands {
            let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  ")).collect();
            assert!(help.starts_with("Example") && !examples.is_empty(), "{called} has no example: {help}");
            for example in examples {
                assert!(example.starts_with(&called), "{called}: {example}");
                let given = Cli::try_parse_from(words(example));
                assert!(
                    given.is_ok(),
                    "{called}: {example}: {}",
                    given.err().map(|e| e.to_string()).unwrap_or_default()
                );
            }
        }
    }

    #[test]
    fn the_shipped_mappings_are_named_where_one_is_shown() {
        let mut cli = Cli::command();
        let show = cli.find_subcommand_mut("mapping").and_then(|below| below.find_subcommand_mut("show"));
        let help = show.expect("the command").render_long_help().to_string();
        for shipped in mapping::builtin() {
            assert!(help.contains(shipped.name), "{}: {help}", shipped.name);
        }
    }
}
