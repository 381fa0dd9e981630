//! `walletwatch check`: config, rules, policy, templates, lists and geo files, without a network.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use super::output::print_problems;
use super::{Exit, Format, fail};
use crate::app::{self, BadRules, KeyFrom, Prepared};
use crate::config::{Config, Environment, NOT_TO_BE_GUESSED, PLACES};
use crate::report::{Problem, render};

/// Checks config, rules, policy, templates, lists and geo files: every problem at once.
///
/// Touches no network. Exit code 1 where something is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  walletwatch check --config /etc/walletwatch/walletwatch.toml")]
pub struct Args {
    /// The configuration; without it ./walletwatch.toml, then /etc/walletwatch/walletwatch.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For people, or one JSON object for each problem.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let source = find(args.config, Exit::No)?;
    match prepare(&source, BadRules::Refuse, KeyFrom::Nowhere) {
        Ok(prepared) => {
            print_problems(&prepared.warnings, args.format)?;
            if args.format == Format::Json {
                return Ok(Exit::Done);
            }
            let rules = prepared.in_force.ruleset.running().count();
            let channels: Vec<&str> = prepared.channels.names().collect();
            let channels = if channels.is_empty() { "none".to_owned() } else { channels.join(", ") };
            let geo = prepared.in_force.geo.files().len();
            let line = format!("{}: fine; rules: {rules}, channels: {channels}, geo databases: {geo}\n", source.name());
            std::io::stdout().write_all(line.as_bytes())?;
            Ok(Exit::Done)
        }
        Err(problems) => {
            print_problems(&problems, args.format)?;
            Ok(Exit::No)
        }
    }
}

/// Where the configuration stands.
#[derive(Debug)]
pub struct Source {
    /// The file; without one the environment says everything.
    pub file: Option<PathBuf>,
    /// What lies over it.
    pub environment: Environment,
}

impl Source {
    /// As people are told of it.
    pub fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| "the environment".to_owned(), |file| file.display().to_string())
    }
}

/// The configuration that is meant; without one the command ends with `absent`.
pub fn find(named: Option<PathBuf>, absent: Exit) -> anyhow::Result<Source> {
    let environment = Environment::of(std::env::vars_os());
    let file = named.or_else(|| PLACES.iter().map(PathBuf::from).find(|place| place.is_file()));
    if file.is_some() || !environment.is_empty() {
        return Ok(Source { file, environment });
    }
    Err({
        let places = PLACES.join(" nor ");
        let needed = NOT_TO_BE_GUESSED;
        let message = format!(
            "there is no configuration: neither {places} is there, and --config names none. What nobody can guess: {needed}"
        );
        fail(absent, message)
    })
}

/// Builds everything it names that needs no network, or tells every problem.
pub fn prepare(source: &Source, bad_rules: BadRules, key: KeyFrom) -> Result<Prepared, Vec<Problem>> {
    let (config, problems) = Config::load_partly(source.file.as_deref(), &source.environment);
    app::prepare(config, problems, bad_rules, key)
}

/// Shows problems on stderr.
pub fn show(problems: &[Problem]) -> std::io::Result<()> {
    let is_colored = std::io::stderr().is_terminal() && !is_plain();
    std::io::stderr().write_all(render(problems, is_colored).as_bytes())
}

fn is_plain() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty())
}
