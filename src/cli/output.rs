//! How commands write: results to stdout, talk to stderr, failures with their exit code.
//!
//! Guarantees: a closed pipe ends a command quietly; a failure prints its whole chain in one line.

use std::io::{IsTerminal, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Exit;
use crate::report::{self, Problem};

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

/// Prints problems to stdout.
pub fn print_problems(problems: &[Problem], format: Format) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let text = match format {
        Format::Human => report::render(problems, has_color(&out)),
        Format::Json => report::to_json(problems),
    };
    out.write_all(text.as_bytes())
}

pub fn has_color(out: &impl IsTerminal) -> bool {
    out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether a path stands for stdin or stdout.
pub fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Refuses outputs that are an input, or one file twice, under whatever names: before anything is opened for
/// writing, which would empty it.
pub fn refuse_overwriting(inputs: &[&Path], outputs: &[&Path]) -> anyhow::Result<()> {
    for (at, output) in outputs.iter().enumerate() {
        let Some(target) = target(output) else { continue };
        let is_same = |other: &&&Path| self::target(other).is_some_and(|other| other == target);
        if let Some(other) = outputs.iter().take(at).find(is_same) {
            let (one, two) = (other.display(), output.display());
            let names = if other == output { format!("{one}") } else { format!("one file, {one} and {two}") };
            return Err(fail(Exit::Usage, format!("two outputs go to {names}: give each its own")));
        }
        if target != Target::Dash && inputs.iter().any(|input| is_same(&input)) {
            let message = format!("{} is what is read: writing to it would empty it first", output.display());
            return Err(fail(Exit::Usage, message));
        }
    }
    Ok(())
}

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// stdin or stdout.
    Dash,
    /// A file that is there: device and inode.
    File(u64, u64),
    /// One that is not there yet: its folder, without links, and its name.
    New(PathBuf),
}

/// `None` for what may be written by several, such as `/dev/null`, and for what cannot be opened anyway.
fn target(path: &Path) -> Option<Target> {
    if is_dash(path) {
        return Some(Target::Dash);
    }
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Some(Target::File(found.dev(), found.ino())),
        Ok(_) => None,
        Err(_) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(Target::New(parent.canonicalize().ok()?.join(path.file_name()?)))
        }
    }
}
