//! `walletwatch backfill`: history out of files into the state, before the first start.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::history::{counts, counts_json, stopped_by_signals};
use super::output::is_dash;
use super::rules::progress::Progress;
use super::run::exit;
use super::{Exit, Format, check, fail, mapping, replay};
use crate::app::history::Made;
use crate::app::history::backfill::{self, File};
use crate::app::{BadRules, KeyFrom};
use crate::event::Millis;

/// Takes recorded events into the state, mute: no alert, contact, dead letter or notice comes of it.
///
/// For the time before the first start, so that windows and habits are not empty: into an empty state, or behind what
/// was backfilled before. Needs the configuration and no broker. The rules may have fired in the history: nobody heard
/// that, so it silences nothing, and contacts are told with the next event that carries them.
///
/// Afterwards `walletwatch run` begins where it would have begun without it: at kafka.start, or at the group's offsets.
/// Only events of the last ten minutes of the history are known by their ids: begin no earlier than the end of the
/// history less that time, or events are counted twice. It says the time.
///
/// Ends with 65 when the files are older than what is there, 66 when one is missing, 75 when it is cut off or a service
/// runs on the state, 78 when there is a state that detection has made.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch backfill october.ndjson november.ndjson
  walletwatch backfill keycloak.ndjson --mapping keycloak --config /etc/walletwatch/walletwatch.toml
  walletwatch backfill - --format json")]
pub struct Args {
    /// Events, one JSON object a line, the oldest file first; `-` is stdin.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The mapping that says what the records' fields are, a file or the name of a shipped one; without it they are
    /// our own events.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// The configuration; without it ./walletwatch.toml, then /etc/walletwatch/walletwatch.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Tells no progress.
    #[arg(long)]
    no_progress: bool,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let source = check::find(args.config, Exit::Config)?;
    let prepared = match check::prepare(&source, BadRules::Refuse, KeyFrom::State) {
        Ok(prepared) => prepared,
        Err(problems) => {
            check::show(&problems)?;
            return Err(fail(Exit::Config, format!("{}: nothing was done", source.name())));
        }
    };
    let mapping = args.mapping.as_deref().map(mapping::one).transpose()?;
    let (files, total) = open(&args.files)?;
    let shutdown = stopped_by_signals()?;
    let mut progress = Progress::new("backfill", args.no_progress);
    let mut done = 0;
    let mut tell = |records: u64, bytes: u64| {
        done = records;
        progress.tell(records, bytes, total);
    };
    let made = backfill::backfill(&prepared, files, mapping.as_ref(), &shutdown, &mut tell);
    let made = made.map_err(|error| fail(exit(&error), error.to_string()))?;
    progress.done(done);
    let start = made.newest.map(|newest| newest.plus(-prepared.config.engine.event_id_window_ms));
    let text = match args.format {
        Format::Human => human(&made, start),
        Format::Json => format!("{}\n", as_json(&made, start)),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Every file, and their size together where it is known. Nothing is read of one where another is missing.
fn open(paths: &[PathBuf]) -> anyhow::Result<(Vec<File>, Option<u64>)> {
    let mut files = Vec::with_capacity(paths.len());
    let mut total = Some(0);
    for path in paths {
        let (lines, bytes) = replay::open(path)?;
        total = total.zip(bytes).map(|(total, bytes)| total + bytes);
        files.push(File { name: name(path), lines });
    }
    Ok((files, total))
}

fn name(path: &Path) -> String {
    if is_dash(path) { "stdin".to_owned() } else { path.display().to_string() }
}

/// `start`: from then on ids are known.
fn human(made: &Made, start: Option<Millis>) -> String {
    let mut text = format!("the history is in the state, in checkpoint {}\n\n{}\n", made.checkpoint, counts(made));
    if made.contacts_left_out > 0 {
        let n = made.contacts_left_out;
        let _ = writeln!(text, "contacts of {n} accounts are told with the next events that carry them");
    }
    text.push_str("nobody was told anything. `walletwatch run` begins at kafka.start, or at the group's offsets");
    if let Some(start) = start {
        let start = start.rfc3339();
        let _ = write!(
            text,
            ".\nEvents of this history are known by their ids since {start}: with kafka.start = \"{start}\" or later\n\
             none is counted twice, with an earlier one those before it are"
        );
    }
    text.push('\n');
    text
}

fn as_json(made: &Made, start: Option<Millis>) -> Value {
    json!({"checkpoint": made.checkpoint, "counts": counts_json(made), "ids_known_since": start})
}
