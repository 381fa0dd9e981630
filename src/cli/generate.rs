//! `walletwatch generate`: makes events: the seeded generator.

use super::Exit;

/// makes events: the seeded generator.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_args: Args) -> anyhow::Result<Exit> {
    Err(super::fail(Exit::Bug, "this command is being built"))
}
