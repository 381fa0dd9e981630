//! `walletwatch state show ENTITY`: what is known of one account, address, device …

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::{is_finished, no_state, partly};
use crate::app::control::whose;
use crate::app::shown::{self, Source};
use crate::app::{self, Role};
use crate::cli::run::{exit, state_exit};
use crate::cli::status::ask;
use crate::cli::{Exit, Format, fail};
use crate::detect::Engine;
use crate::features::store::{FjallStore, StateKey, Store as _, StoreError};
use crate::ruleset::HashKey;

/// Asks the service that runs, or the files where none does.
pub fn run(name: &str, with: Option<&str>, config: Option<PathBuf>, format: Format) -> anyhow::Result<Exit> {
    let config = partly(config)?;
    // What names no entity is told whether anything runs or is kept.
    whose(name, with, HashKey::new([0; 16])).map_err(|error| fail(Exit::Usage, error.to_string()))?;
    let request = json!({"command": "state.show", "entity": name, "with": with});
    let (text, is_known) = match ask(&config.state_directory, Role::Both, &request)? {
        Some(answer) => {
            let is_known = answer["json"]["known"].as_bool().unwrap_or(false);
            let text = match format {
                Format::Human => answer["human"].as_str().unwrap_or_default().to_owned(),
                Format::Json => format!("{}\n", answer["json"]),
            };
            (text, is_known)
        }
        None => {
            let directory = &config.state_directory;
            is_finished(directory)?;
            let failed = |error: StoreError| fail(state_exit(&error), error.to_string());
            let none = || no_state(directory);
            let key = StateKey::existing(directory).map_err(failed)?.ok_or_else(none)?.key;
            let store = FjallStore::open_existing(directory).map_err(failed)?.ok_or_else(none)?;
            let mark = store.mark().map_err(failed)?.ok_or_else(none)?;
            let Some(rules) = app::rules_to_look(&config, key) else {
                let why = "the rules cannot be loaded, nor their last good copy, and features are named by them";
                return Err(fail(Exit::Config, format!("{why}: `walletwatch check` tells what is wrong")));
            };
            let whose = whose(name, with, key).map_err(|error| fail(Exit::Usage, error.to_string()))?;
            let found = Engine::show_stored(&rules, &config.engine, key, whose, &store)
                .map_err(app::RunError::from)
                .map_err(|error| fail(exit(&error), error.to_string()))?;
            let source = Source::Checkpoint(mark.checkpoint.number);
            let text = match format {
                Format::Human => shown::human(name, source, found.as_ref()),
                Format::Json => format!("{}\n", shown::as_json(name, source, found.as_ref())),
            };
            (text, found.is_some())
        }
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(if is_known { Exit::Done } else { Exit::No })
}
