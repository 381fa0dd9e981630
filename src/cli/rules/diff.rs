//! `rules diff`: what has changed between the pack that was taken, the pack that ships, and a team's copy.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::eject::{RECORD, VERSION};
use super::read;
use super::set::{directory_or_builtin, loaded};
use crate::cli::{Exit, Format, fail};
use crate::ruleset::Sources;
use crate::ruleset::changes::{Change, Contents, Kind, Row, contents, three_ways, two_ways};

/// What has changed in the pack since `rules eject`, and what here? Or between two directories.
///
/// By rule, policy and list: what you changed, what the pack changed, and what both did, each with the keys. Blanks,
/// comments and the order of keys are no difference. Exit code 1 where the pack goes another way than your copy (of
/// two directories: where they differ at all).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  walletwatch rules diff --rules /etc/walletwatch/rules
  walletwatch rules diff --old rules-of-main --new rules")]
pub struct Args {
    /// A copy of the pack, made by `rules eject`.
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// Compare two directories instead: the older one; `builtin` is the shipped pack.
    #[arg(long, value_name = "DIR", requires = "new", conflicts_with = "rules")]
    old: Option<PathBuf>,
    /// The newer one.
    #[arg(long, value_name = "DIR", requires = "old")]
    new: Option<PathBuf>,
    /// For people, or one JSON object for each rule, policy and list, unchanged ones too.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    if let (Some(old), Some(new)) = (&args.old, &args.new) {
        let (Some(old), Some(new)) = (load(&of(old)?, args.format)?, load(&of(new)?, args.format)?) else {
            return Ok(Exit::No);
        };
        let rows = two_ways(&old, &new);
        write_rows(&rows, args.format, Sides::Two)?;
        return Ok(exit(rows.iter().any(|row| row.change != Change::Unchanged)));
    }
    let own = of(&args.rules)?;
    let record = args.rules.join(RECORD);
    if !record.is_dir() {
        let message = format!(
            "{} is no copy of the pack: there is no {RECORD} in it; `rules eject` makes one, and `--old DIR --new DIR` \
             compares any two directories",
            args.rules.display()
        );
        return Err(fail(Exit::NoInput, message));
    }
    let (Some(old), Some(own)) = (load(&of(&record)?, args.format)?, load(&own, args.format)?) else {
        return Ok(Exit::No);
    };
    let rows = three_ways(&old, &contents(&Sources::builtin()), &own);
    if args.format == Format::Human {
        let (from, to) = (version(&record), env!("CARGO_PKG_VERSION"));
        writeln!(std::io::stdout(), "the pack of {from}, that of {to}, and {}", args.rules.display())?;
    }
    write_rows(&rows, args.format, Sides::Three)?;
    Ok(exit(rows.iter().any(|row| row.change.needs_look())))
}

fn exit(differs: bool) -> Exit {
    if differs { Exit::No } else { Exit::Done }
}

fn of(directory: &Path) -> anyhow::Result<Sources> {
    directory_or_builtin(directory, read)
}

/// What a set holds; `None` where it does not load, which is told.
fn load(sources: &Sources, format: Format) -> anyhow::Result<Option<Contents>> {
    Ok(loaded(sources, None, format)?.map(|_| contents(sources)))
}

/// The version that the originals are of.
fn version(record: &Path) -> String {
    let text = std::fs::read_to_string(record.join(VERSION)).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    json["walletwatch"].as_str().unwrap_or("an unknown version").to_owned()
}

/// How many sets were compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sides {
    Two,
    Three,
}

fn write_rows(rows: &[Row], format: Format, sides: Sides) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if format == Format::Json {
        return rows.iter().try_for_each(|row| {
            let row = match sides {
                Sides::Three => serde_json::json!(row),
                Sides::Two => serde_json::json!({
                    "kind": row.kind, "name": row.name, "change": word(row.change, sides), "keys": row.pack,
                }),
            };
            writeln!(out, "{row}")
        });
    }
    let changed: Vec<&Row> = rows.iter().filter(|row| row.change != Change::Unchanged).collect();
    let width = changed.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    for row in &changed {
        let kind = match row.kind {
            Kind::Rule => "rule",
            Kind::File => "file",
        };
        let mark = if sides == Sides::Three && row.change.needs_look() { "!" } else { " " };
        writeln!(out, "{mark} {kind} {:width$}  {}{}", row.name, word(row.change, sides), keys(row, sides))?;
    }
    let rules = rows.iter().filter(|row| row.change == Change::Unchanged && row.kind == Kind::Rule).count();
    writeln!(out, "{rules} rules unchanged")
}

fn word(change: Change, sides: Sides) -> &'static str {
    match (sides, change) {
        (_, Change::Unchanged) => "unchanged",
        (Sides::Two, Change::PackAdded) => "added",
        (Sides::Two, Change::PackRemoved) => "removed",
        (Sides::Two, _) => "changed",
        (_, Change::YouChanged) => "you changed it",
        (_, Change::PackChanged) => "the pack changed it",
        (_, Change::BothChanged) => "both changed it",
        (_, Change::Taken) => "the same as in the new pack",
        (_, Change::YouAdded) => "yours",
        (_, Change::PackAdded) => "new in the pack",
        (_, Change::YouRemoved) => "you removed it",
        (_, Change::PackRemoved) => "gone from the pack",
    }
}

fn keys(row: &Row, sides: Sides) -> String {
    let list = |keys: &[String]| keys.join(", ");
    match (row.yours.is_empty(), row.pack.is_empty()) {
        _ if row.change == Change::Taken => String::new(),
        (true, true) => String::new(),
        (false, true) => format!(": {}", list(&row.yours)),
        (true, false) => format!(": {}", list(&row.pack)),
        (false, false) if sides == Sides::Two => format!(": {}", list(&row.pack)),
        (false, false) => format!(": you {}; the pack {}", list(&row.yours), list(&row.pack)),
    }
}
