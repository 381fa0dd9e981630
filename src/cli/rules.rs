//! `walletwatch rules …`: is the rule set right, and do its tests pass?

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::{Exit, Format, fail};
use crate::clock;
use crate::report::{self, Level, Problem};
use crate::ruleset::{self, HashKey, Loaded};

/// The rules commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Is the rule set right? Tells every problem at once, with its place and its fix.
    #[command(after_help = "Example: walletwatch rules check --rules rules --strict")]
    Check(CheckArgs),
}

/// Where the rules are, and how to print.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The rules directory.
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// For people, or one JSON object for each problem.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Warnings are errors.
    #[arg(long)]
    strict: bool,
}

/// Runs one.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Check(args) => check(&args),
    }
}

fn check(args: &CheckArgs) -> anyhow::Result<Exit> {
    let (problems, summary) = match load(&args.rules)? {
        Ok(loaded) => {
            let ruleset = &loaded.ruleset;
            let summary = format!("{} rules and {} features", ruleset.rules.len(), ruleset.features.len());
            (loaded.ruleset.warnings, Some(summary))
        }
        Err(problems) => (problems, None),
    };
    let problems = if args.strict { as_errors(problems) } else { problems };
    print_problems(&problems, args.format)?;
    if let (Some(summary), Format::Human) = (summary, args.format) {
        writeln!(std::io::stdout(), "{summary}: {}", args.rules.display())?;
    }
    Ok(if problems.iter().any(|problem| problem.level == Level::Error) { Exit::No } else { Exit::Done })
}

/// Reads and loads a rules directory as of today.
pub(super) fn load(directory: &Path) -> anyhow::Result<Result<Loaded, Vec<Problem>>> {
    let sources = ruleset::files::read(directory).map_err(|error| {
        fail(Exit::NoInput, format!("failed to read the rules in {}: {error}", directory.display()))
    })?;
    // No state outlives this command, so its key is nobody's secret.
    Ok(ruleset::load(&sources, HashKey::new([0; 16]), Some(clock::now())))
}

/// Prints problems to stdout.
pub(super) fn print_problems(problems: &[Problem], format: Format) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let text = match format {
        Format::Human => report::render(problems, has_color(&out)),
        Format::Json => report::to_json(problems),
    };
    out.write_all(text.as_bytes())
}

fn has_color(out: &impl IsTerminal) -> bool {
    out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn as_errors(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.iter_mut().for_each(|problem| problem.level = Level::Error);
    problems
}
