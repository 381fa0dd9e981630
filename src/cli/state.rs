//! `walletwatch state …`: what the state on disk holds.
//!
//! Guarantees: changes nothing; a state that another process holds, or that is damaged, is refused by name. Shows what
//! is in the last checkpoint, not what has happened since.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::run::state_exit;
use super::{Exit, Format, check, fail};
use crate::config::Config;
use crate::event::Millis;
use crate::features::named;
use crate::features::store::{FORMAT, FjallStore, Mark, SpaceSize, StateKey, Store as _, StoreError, Stored as _};
use crate::features::store::{NextOffset, Progress, Space};

/// Looks at the state.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  walletwatch state show
  walletwatch state show account:a-1001")]
pub enum Command {
    Show(Show),
}

/// Shows the last checkpoint of a state that nothing runs on: how far it reaches, with what it was made, how large it
/// is; or what it holds of one entity.
///
/// Ends with 1 when nothing is known of the entity, 65 when the state is damaged, 66 when there is none, 75 when the
/// service is running on it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch state show --config /etc/walletwatch/walletwatch.toml
  walletwatch state show ip:203.0.113.9 --format json")]
pub struct Show {
    /// KIND:VALUE, such as account:a-1001, ip:203.0.113.9, device:d-7 or asn:64496.
    entity: Option<String>,
    /// The configuration; without it ./walletwatch.toml, then /etc/walletwatch/walletwatch.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs one.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    let Command::Show(args) = command;
    let directory = directory(args.config)?;
    let failed = |error: StoreError| fail(state_exit(&error), error.to_string());
    let none = || fail(Exit::NoInput, format!("there is no state in {}", directory.display()));
    let key = StateKey::existing(&directory).map_err(failed)?.ok_or_else(none)?;
    let entity = args.entity.as_deref().map(|text| named(text, key.key)).transpose();
    let entity = entity.map_err(|error| fail(Exit::Usage, error.to_string()))?;
    let store = FjallStore::open_existing(&directory).map_err(failed)?.ok_or_else(none)?;
    let mark = store.mark().map_err(failed)?.ok_or_else(none)?;
    let mut out = std::io::stdout().lock();
    if let Some((kind, hash)) = entity {
        let found = store.get(Space::of(kind), &hash.to_be_bytes()).map_err(failed)?;
        let name = args.entity.unwrap_or_default();
        let bytes = found.as_ref().map(Vec::len);
        match args.format {
            Format::Human => writeln!(out, "{}", entity_line(&name, bytes, &mark))?,
            Format::Json => {
                let checkpoint = mark.checkpoint.number;
                writeln!(out, "{}", json!({"entity": name, "checkpoint": checkpoint, "bytes": bytes}))?;
            }
        }
        return Ok(if found.is_some() { Exit::Done } else { Exit::No });
    }
    let disk_bytes = store.disk_bytes().map_err(failed)?;
    let sizes: Vec<SpaceSize> = store.sizes().map_err(failed)?.into_iter().filter(|size| size.keys > 0).collect();
    let text = match args.format {
        Format::Human => human(&directory, &mark, disk_bytes, &sizes),
        Format::Json => format!("{}\n", as_json(&mark, disk_bytes, &sizes)),
    };
    out.write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

/// The folder of the state that the configuration names.
fn directory(config: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let source = check::find(config, Exit::Config)?;
    let (config, problems) = Config::load_partly(source.file.as_deref(), &source.environment);
    let directory = config.map(|config| config.state_directory).filter(|directory| !directory.as_os_str().is_empty());
    match directory {
        Some(directory) => Ok(directory),
        None => {
            check::show(&problems)?;
            Err(fail(Exit::Config, format!("{} does not say where the state is: state.directory", source.name())))
        }
    }
}

fn entity_line(name: &str, bytes: Option<usize>, mark: &Mark) -> String {
    let number = mark.checkpoint.number;
    match bytes {
        Some(bytes) => format!("{name}: {bytes} bytes in checkpoint {number}"),
        None => format!("{name}: nothing is known of it in checkpoint {number}"),
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
    use crate::features::store::Checkpoint;

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
        assert_eq!(entity_line("account:a", Some(240), &mark()), "account:a: 240 bytes in checkpoint 42");
    }

    #[test]
    fn as_json_it_is_one_document() {
        insta::assert_snapshot!(as_json(&mark(), 412_345, &sizes()));
    }
}
