//! The command line: one file per command.
//!
//! Guarantees: results go to stdout, talk goes to stderr; every failure ends in a named exit code. Does no
//! work of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod check;
mod config;
mod demo;
mod generate;
mod geo;
mod mapping;
mod output;
mod replay;
mod rules;
mod run;

pub use output::{Failure, Format, fail};

/// Watches an e-wallet's event stream and warns people when an account may be under attack.
#[derive(Debug, Parser)]
#[command(name = "walletwatch", version, max_term_width = 100)]
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
    Generate(generate::Args),
    #[command(subcommand)]
    Rules(rules::Command),
    #[command(subcommand)]
    Mapping(mapping::Command),
    #[command(subcommand)]
    Geo(geo::Command),
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
        Command::Generate(args) => generate::run(args),
        Command::Rules(command) => rules::run(command),
        Command::Mapping(command) => mapping::run(command),
        Command::Geo(command) => geo::run(command),
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
