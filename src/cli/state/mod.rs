//! `walletwatch state …`: what the state holds.
//!
//! Guarantees: showing changes nothing; a state that another process holds, or that is damaged, is refused by name. Of
//! the whole it shows what is in the last checkpoint, not what has happened since; of an entity what a running service
//! knows now, and where none runs what is in the last checkpoint.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

mod entity;
mod rebuild;

use super::run::{exit, state_exit};
use super::{Exit, Format, check, fail};
use crate::app::RunError;
use crate::app::history::unfinished;
use crate::config::Config;
use crate::event::Millis;
use crate::features::store::{FORMAT, FjallStore, Mark, SpaceSize, StateKey, Store as _, StoreError};
use crate::features::store::{NextOffset, Progress};

/// Looks at the state, or makes it anew.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  walletwatch state show
  walletwatch state show account:a-1001
  walletwatch state rebuild --from now-7d")]
pub enum Command {
    Show(Show),
    Rebuild(rebuild::Rebuild),
}

/// Shows the last checkpoint of a state that nothing runs on: how far it reaches, with what it was made, how large it
/// is; or what is known of one entity, also by the running service.
///
/// Of an entity: its features with their values as the next event would read them, until when rules are silent about
/// it, its chains under way. Pairs are kept inside their first: `[account, device]` stands with the account.
///
/// Ends with 1 when nothing is known of the entity, 65 when the state is damaged, 66 when there is none, 75 when the
/// service is running on it and the question is not about an entity.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch state show --config /etc/walletwatch/walletwatch.toml
  walletwatch state show account:a-1001
  walletwatch state show account:a-1001 --with device:d-7
  walletwatch state show ip:203.0.113.9 --format json")]
pub struct Show {
    /// KIND:VALUE, such as account:a-1001, ip:203.0.113.9, device:d-7 or asn:64496.
    entity: Option<String>,
    /// The second of its pairs, KIND:VALUE: else the newest of them are shown.
    #[arg(long, value_name = "ENTITY", requires = "entity")]
    with: Option<String>,
    /// The configuration; without it ./walletwatch.toml, then /etc/walletwatch/walletwatch.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs one.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Show(args) => match &args.entity {
            Some(name) => entity::run(name, args.with.as_deref(), args.config, args.format),
            None => show(args),
        },
        Command::Rebuild(args) => rebuild::run(args),
    }
}

fn show(args: Show) -> anyhow::Result<Exit> {
    let directory = directory(args.config)?;
    let failed = |error: StoreError| fail(state_exit(&error), error.to_string());
    let none = || no_state(&directory);
    is_finished(&directory)?;
    StateKey::existing(&directory).map_err(failed)?.ok_or_else(none)?;
    let store = FjallStore::open_existing(&directory).map_err(failed)?.ok_or_else(none)?;
    let mark = store.mark().map_err(failed)?.ok_or_else(none)?;
    let disk_bytes = store.disk_bytes().map_err(failed)?;
    let sizes: Vec<SpaceSize> = store.sizes().map_err(failed)?.into_iter().filter(|size| size.keys > 0).collect();
    let text = match args.format {
        Format::Human => human(&directory, &mark, disk_bytes, &sizes),
        Format::Json => format!("{}\n", as_json(&mark, disk_bytes, &sizes)),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Refuses a state whose making was cut off.
fn is_finished(directory: &Path) -> anyhow::Result<()> {
    match unfinished::found(directory)? {
        None => Ok(()),
        Some(what) => {
            let error = RunError::Unfinished(what, directory.to_owned());
            Err(fail(exit(&error), error.to_string()))
        }
    }
}

fn no_state(directory: &Path) -> anyhow::Error {
    fail(Exit::NoInput, format!("there is no state in {}", directory.display()))
}

/// The folder of the state that the configuration names.
fn directory(config: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    Ok(partly(config)?.state_directory)
}

/// The configuration, as far as it says where the state is.
fn partly(config: Option<PathBuf>) -> anyhow::Result<Config> {
    let source = check::find(config, Exit::Config)?;
    let (config, problems) = Config::load_partly(source.file.as_deref(), &source.environment);
    match config.filter(|config| !config.state_directory.as_os_str().is_empty()) {
        Some(config) => Ok(config),
        None => {
            check::show(&problems)?;
            Err(fail(Exit::Config, format!("{} does not say where the state is: state.directory", source.name())))
        }
    }
}

fn human(directory: &Path, mark: &Mark, disk_bytes: u64, sizes: &[SpaceSize]) -> String {
    let Progress { batch, moment_ms, offsets, rules, lists, geo, epoch } = &mark.checkpoint.progress;
    let mut rows = vec![
        ("state", directory.display().to_string()),
        ("format", FORMAT.to_string()),
        ("hash key", mark.hash_key.clone()),
        ("checkpoint", mark.checkpoint.number.to_string()),
        ("batch", format!("{batch}, of {}", Millis(*moment_ms).rfc3339())),
        ("epoch", epoch.to_string()),
        ("rules", rules.clone()),
        ("lists", lists.clone()),
        ("geo", geo.clone()),
        ("on disk", bytes(disk_bytes)),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    let mut text: String = rows.iter().map(|(name, value)| format!("{name:<11} {value}\n")).collect();
    text.push_str("\nnext offsets\n");
    for NextOffset { topic, partition, offset } in offsets {
        text.push_str(&format!("  {:<40} {offset:>14}\n", format!("{topic}/{partition}")));
    }
    text.push_str("\nkept                        keys          size\n");
    for size in sizes {
        text.push_str(&format!("  {:<18} {:>11}  {:>12}\n", size.space.word(), size.keys, bytes(size.bytes)));
    }
    text
}

fn as_json(mark: &Mark, disk_bytes: u64, sizes: &[SpaceSize]) -> Value {
    let Progress { batch, moment_ms, offsets, rules, lists, geo, epoch } = &mark.checkpoint.progress;
    let kept = |size: &SpaceSize| json!({"kind": size.space.word(), "keys": size.keys, "bytes": size.bytes});
    json!({
        "format": mark.format,
        "hash_key": mark.hash_key,
        "checkpoint": mark.checkpoint.number,
        "batch": batch,
        "moment": Millis(*moment_ms).rfc3339(),
        "epoch": epoch,
        "rules": rules,
        "lists": lists,
        "geo": geo,
        "next_offsets": offsets,
        "disk_bytes": disk_bytes,
        "kept": sizes.iter().map(kept).collect::<Vec<_>>(),
    })
}

/// A size as people read it.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::store::{Checkpoint, Space};

    fn mark() -> Mark {
        let offset = |topic: &str, partition, offset| NextOffset { topic: topic.to_owned(), partition, offset };
        let progress = Progress {
            batch: 4711,
            moment_ms: 1_795_392_000_123,
            offsets: vec![offset("wallet.logins", 0, 123_456), offset("wallet.transactions", 11, 7)],
            rules: "b3-rules".to_owned(),
            lists: "b3-lists".to_owned(),
            geo: String::new(),
            epoch: 3,
        };
        Mark::new("k-0011223344556677", Checkpoint { number: 42, progress })
    }

    fn sizes() -> [SpaceSize; 2] {
        let size = |space, keys, bytes| SpaceSize { space, keys, bytes };
        [size(Space::Meta, 1, 950), size(Space::Account, 1_000_000, 250_400_000)]
    }

    #[test]
    fn a_checkpoint_reads_as_people_ask_for_it() {
        let text = human(Path::new("/var/lib/walletwatch"), &mark(), 412_345, &sizes());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn as_json_it_is_one_document() {
        insta::assert_snapshot!(as_json(&mark(), 412_345, &sizes()));
    }
}
