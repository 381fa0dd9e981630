//! `walletwatch status`: what the service on this machine is doing, asked by its socket.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Exit, Format, check, fail};
use crate::app::Role;
use crate::app::control::{self, AskError};
use crate::config::Config;

/// What runs on the configuration's state folder, and how far it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  walletwatch status --config /etc/walletwatch/walletwatch.toml")]
pub struct Args {
    /// The configuration; without it ./walletwatch.toml, then /etc/walletwatch/walletwatch.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For people, or one JSON object for each process.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let folder = state_folder(args.config)?;
    let mut told = Vec::new();
    for role in [Role::Both, Role::Notify] {
        told.extend(ask(&folder, role, &json!({"command": "status"}))?);
    }
    if told.is_empty() {
        let message = format!("no service is running on {}", folder.display());
        return Err(fail(Exit::Unavailable, message));
    }
    let text: String = match args.format {
        Format::Human => told.iter().map(human).collect(),
        Format::Json => told.iter().map(|status| format!("{status}\n")).collect(),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

/// The state folder of the configuration that is meant.
pub(super) fn state_folder(config: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let source = check::find(config, Exit::Config)?;
    match Config::load_partly(source.file.as_deref(), &source.environment) {
        (Some(config), problems) if problems.is_empty() => Ok(config.state_directory),
        (_, problems) => {
            check::show(&problems)?;
            Err(fail(Exit::Config, format!("{}: mend it first", source.name())))
        }
    }
}

/// Asks the service that runs a role on a state folder. `None`: nothing runs there, and whoever asks may open the
/// files.
pub(super) fn ask(folder: &Path, role: Role, request: &Value) -> anyhow::Result<Option<Value>> {
    match control::ask(&folder.join(control::socket(role)), request) {
        Ok(answer) => Ok(Some(answer)),
        Err(AskError::NobodyThere) => Ok(None),
        Err(error) => {
            let exit = match &error {
                AskError::NotAllowed(_) => Exit::NotAllowed,
                AskError::Refused { word, .. } if word == "busy" => Exit::TryAgain,
                AskError::Refused { word, .. } if word == "bad" => Exit::Usage,
                // Another version, or another command than it has.
                AskError::Refused { word, .. } if word == "unknown" => Exit::Unavailable,
                AskError::Refused { .. } => Exit::No,
                AskError::NoAnswer(_) | AskError::NobodyThere => Exit::Unavailable,
            };
            Err(fail(exit, error.to_string()))
        }
    }
}

fn human(status: &Value) -> String {
    let text = |key: &str| status[key].as_str().unwrap_or("?").to_owned();
    let (version, role, since) = (text("version"), text("role"), text("since"));
    let mut told = format!("walletwatch {version}, process {}, role {role}, since {since}\n", status["process"]);
    let checkpoint = match status["checkpoint_age_ms"].as_i64() {
        Some(age_ms) => format!("{} s ago", age_ms / 1000),
        None => "none".to_owned(),
    };
    // Writing to a text does not fail.
    let _ = writeln!(told, "last checkpoint: {checkpoint}");
    let _ = writeln!(told, "{:40} {:>14}", "topic", "records behind");
    for topic in status["topics"].as_array().into_iter().flatten() {
        let (name, records) = (topic["topic"].as_str().unwrap_or("?"), topic["lag_records"].as_u64().unwrap_or(0));
        let _ = writeln!(told, "{name:40} {records:>14}");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_runs_and_how_far_it_is() {
        let status = json!({
            "version": "0.1.0", "process": 7, "role": "both", "since": "2026-01-01T12:00:00.000Z",
            "checkpoint_age_ms": 4200, "topics": [{"topic": "wallet.logins", "lag_records": 12, "partitions": []}]
        });
        insta::assert_snapshot!(human(&status));
    }
}
