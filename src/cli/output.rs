//! How commands write: results to stdout, talk to stderr, failures with their exit code.
//!
//! Guarantees: a closed pipe ends a command quietly; a failure prints its whole chain in one line.

use std::io::Write;

use super::Exit;

/// How a command that reads prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON document, or one object a line.
    Json,
}

/// An error that knows the exit code it means.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// How the command ends.
    pub exit: Exit,
    /// What happened and what to do.
    pub message: String,
}

/// An error that ends the command with `exit`.
pub fn fail(exit: Exit, message: impl Into<String>) -> anyhow::Error {
    Failure { exit, message: message.into() }.into()
}

/// Says what failed on stderr and tells the exit code.
pub fn report_failure(error: &anyhow::Error) -> Exit {
    let io = error.chain().find_map(|e| e.downcast_ref::<std::io::Error>());
    if io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
        return Exit::Done;
    }
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "walletwatch: {error:#}");
    match error.chain().find_map(|e| e.downcast_ref::<Failure>()) {
        Some(failure) => failure.exit,
        None if io.is_some() => Exit::Io,
        None => Exit::Bug,
    }
}
