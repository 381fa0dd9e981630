//! `walletwatch run`: runs the service.

use super::Exit;

/// runs the service.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_args: Args) -> anyhow::Result<Exit> {
    Err(super::fail(Exit::Bug, "this command is being built"))
}
