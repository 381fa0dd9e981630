//! `walletwatch rules …`: the tools of those who tune the rules, one file per command.
//!
//! Guarantees: each takes `--rules DIR` and reads rules as the service does. Does no work of its own.

use std::path::Path;

use super::{Exit, fail};
use crate::report;
use crate::ruleset::{self, Ruleset, Sources};

mod backtest;
mod check;
mod diff;
mod eject;
mod explain;
mod explain_code;
mod fmt;
mod mutate;
mod new;
pub(super) mod progress;
mod recording;
mod schema;
mod score;
pub(super) mod set;
mod sweep;
mod table;
mod test;

/// No state outlives these commands, so the key of its hashes is nobody's secret.
const KEY: [u8; 16] = [0; 16];

/// Checks rules and runs their tests.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  walletwatch rules check
  walletwatch rules test --rules /etc/walletwatch/rules
  walletwatch rules backtest --old builtin --new rules --events events.ndjson")]
pub enum Command {
    Check(check::Args),
    Test(test::Args),
    Mutate(mutate::Args),
    Explain(explain::Args),
    Backtest(backtest::Args),
    Sweep(sweep::Args),
    Score(score::Args),
    Diff(diff::Args),
    Fmt(fmt::Args),
    New(new::Args),
    Eject(eject::Args),
    Schema(schema::Args),
    ExplainCode(explain_code::Args),
}

/// Runs one.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Mutate(args) => mutate::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Fmt(args) => fmt::run(&args),
        Command::New(args) => new::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Eject(args) => eject::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::ExplainCode(args) => explain_code::run(&args),
    }
}

fn read(directory: &Path) -> anyhow::Result<Sources> {
    ruleset::files::read(directory)
        .map_err(|error| fail(Exit::NoInput, format!("failed to read the rules in {}: {error}", directory.display())))
}

/// The place of a rule in its set.
fn find(ruleset: &Ruleset, id: &str) -> anyhow::Result<usize> {
    ruleset.rules.iter().position(|rule| rule.id == id).ok_or_else(|| {
        let near = report::did_you_mean(id, ruleset.rules.iter().map(|rule| rule.id.as_str()));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        fail(Exit::Usage, format!("there is no rule `{id}`{near}"))
    })
}
