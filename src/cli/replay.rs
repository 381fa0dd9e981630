//! `walletwatch replay`: sends recorded events through the production engine.

use super::Exit;

/// sends recorded events through the production engine.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_args: Args) -> anyhow::Result<Exit> {
    Err(super::fail(Exit::Bug, "this command is being built"))
}
