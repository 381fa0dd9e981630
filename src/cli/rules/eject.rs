//! `rules eject`: a copy of the shipped pack, to be changed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::{Exit, fail};
use crate::ruleset::{Sources, pack};

/// Where the originals stand below the copy; `rules diff` compares with them.
pub(super) const RECORD: &str = ".pack";
/// What the originals are of.
pub(super) const VERSION: &str = "version.json";

/// Writes a copy of the shipped pack, to be changed: rules, lists, policy, runbooks.
///
/// The originals stand beside it in DIR/.pack, with their version and digest; keep them, for `rules diff` compares
/// with them after an upgrade. Texts of notices and mappings are no part of it. Run it with `pack = "none"`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  walletwatch rules eject /etc/walletwatch/rules")]
pub struct Args {
    /// The directory: empty, or not there yet.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Only the originals, in a copy that is there: what has changed in the pack was looked at and taken over.
    #[arg(long)]
    record: bool,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let directory = args.directory.as_path();
    let shown = directory.display();
    if args.record {
        if !directory.join(RECORD).is_dir() {
            return Err(fail(
                Exit::NoInput,
                format!("there is no copy of the pack in {shown}: no {RECORD} stands there"),
            ));
        }
    } else {
        if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
            let help = "give a new directory, or remove what is there";
            return Err(fail(Exit::Usage, format!("{shown} is not empty, and nothing was written: {help}")));
        }
        for (path, text) in pack::FILES.iter().chain(pack::RUNBOOKS) {
            write(&directory.join(path), text.as_bytes())?;
        }
    }
    record(&directory.join(RECORD))?;
    let (version, digest) = (env!("CARGO_PKG_VERSION"), Sources::builtin().digest());
    let mut out = std::io::stdout().lock();
    if args.record {
        writeln!(out, "{shown}/{RECORD}: the pack of walletwatch {version}, {digest}")?;
        return Ok(Exit::Done);
    }
    let (files, runbooks) = (pack::FILES.len(), pack::RUNBOOKS.len());
    writeln!(out, "{shown}: the pack of walletwatch {version}, {digest}")?;
    writeln!(out, "{files} files (rules, lists, policy) and {runbooks} runbooks; the originals in {RECORD}")?;
    writeln!(
        out,
        "To run it: `[rules] pack = \"none\", directory = {directory:?}`; after an upgrade: `walletwatch rules diff`"
    )?;
    Ok(Exit::Done)
}

/// Writes the originals anew.
fn record(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("failed to remove {}", folder.display()))?;
    }
    for (path, text) in pack::FILES {
        write(&folder.join(path), text.as_bytes())?;
    }
    let version = serde_json::json!({"walletwatch": env!("CARGO_PKG_VERSION"), "digest": Sources::builtin().digest()});
    write(&folder.join(VERSION), format!("{version}\n").as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    fs::write(path, bytes).with_context(|| format!("failed to write {}", path.display()))
}
