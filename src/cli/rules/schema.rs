//! `rules schema`: the JSON Schema of rule files, for editors.

use std::io::Write;

use crate::cli::Exit;
use crate::ruleset::schema;

/// The JSON Schema of rule files, for editors that complete keys and underline what is misspelt.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  walletwatch rules schema > rules.schema.json")]
pub struct Args {}

/// Runs it.
pub fn run(_: &Args) -> anyhow::Result<Exit> {
    writeln!(std::io::stdout(), "{:#}", schema::rule_files())?;
    Ok(Exit::Done)
}
