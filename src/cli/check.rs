//! `walletwatch check`: checks config, rules, policy, templates, lists and geo files.

use super::Exit;

/// checks config, rules, policy, templates, lists and geo files.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_args: Args) -> anyhow::Result<Exit> {
    Err(super::fail(Exit::Bug, "this command is being built"))
}
