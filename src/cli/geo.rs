//! `walletwatch geo …`

use super::Exit;

/// The geo commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Says so.
    Check,
}

/// Runs one.
pub fn run(_command: Command) -> anyhow::Result<Exit> {
    Err(super::fail(Exit::Bug, "this command is being built"))
}
