//! The sections `[rules]`, `[geo]`, `[limits]` and `[log]`.
//!
//! Guarantees: paths are taken from the configuration's folder. Opens neither rules nor databases.

use std::path::PathBuf;

use super::secrets::Folders;
use super::table::Section;
use crate::detect::Options;

/// Which pack stands beside the team's own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pack {
    /// The one compiled in.
    #[default]
    Builtin,
    /// None.
    None,
}

/// The rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RulesConfig {
    /// The pack.
    pub pack: Pack,
    /// The team's own rules, beside the pack or without it.
    pub directory: Option<PathBuf>,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Readable on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Reads `[rules]`.
pub fn rules(section: Section<'_, '_>, folders: &Folders) -> RulesConfig {
    let pack = section.word("pack", &[("builtin", Pack::Builtin), ("none", Pack::None)]);
    let directory = section.text("directory");
    // A word that is none is told by itself; with a folder beside it, it meant none.
    let meant = if section.has("directory") { Pack::None } else { Pack::Builtin };
    let pack = pack.unwrap_or(if section.has("pack") { meant } else { Pack::default() });
    if pack == Pack::None && !section.has("directory") {
        section.missing("directory", "without the shipped pack there are no other rules", "\"rules\"");
    }
    section.done();
    RulesConfig { pack, directory: directory.map(|directory| folders.path(&directory.value)) }
}

/// Reads `[geo]`: the files, and whether an event's own place stands before them.
pub fn geo(section: Section<'_, '_>, folders: &Folders) -> (Vec<PathBuf>, bool) {
    let files = section.texts("files").unwrap_or_default();
    let trust = section.flag("trust_events").map(|flag| flag.value);
    section.done();
    let files = files.iter().map(|file| folders.path(&file.value)).collect();
    (files, trust.unwrap_or(Options::default().geo_trust_events))
}

/// Reads `[limits]`.
pub fn limits(section: Section<'_, '_>) -> Options {
    let mut options = Options::default();
    let size = |key, range| section.number(key, range).and_then(|n| usize::try_from(n).ok());
    if let Some(n) = size("event_bytes_max", 1024..=1_048_576) {
        options.limits.value_bytes_max = n;
    }
    if let Some(n) = size("event_text_bytes_max", 128..=65_536) {
        options.limits.text_bytes_max = n;
    }
    if let Some(n) = section.number("event_future_ms_max", 0..=86_400_000) {
        options.limits.future_ms_max = n;
    }
    if let Some(n) = section.number("lateness_ms_max", 0..=86_400_000) {
        options.lateness_max_ms = n;
    }
    if let Some(n) = section.number("event_id_window_ms", 0..=86_400_000) {
        options.event_id_window_ms = n;
    }
    if let Some(n) = size("event_ids_max", 1..=1_000_000_000) {
        options.event_ids_max = n;
    }
    if let Some(n) = size("entities_max", 1..=1_000_000_000) {
        options.entities_max = n;
    }
    section.done();
    options
}

/// Reads `[log]`: filter and format.
pub fn log(section: Section<'_, '_>) -> (String, LogFormat) {
    let words = [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("pretty", LogFormat::Pretty)];
    let format = section.word("format", &words).unwrap_or_default();
    let filter = section.text("filter");
    if let Some(filter) = &filter
        && filter.value.parse::<tracing_subscriber::filter::Targets>().is_err()
    {
        let help = "a level (error, warn, info, debug, trace), or a list such as `info,walletwatch::ingest=debug`";
        section.refuse_with_help("C005", &filter.at, "`log.filter` is no filter", help);
    }
    section.done();
    (filter.map_or_else(|| "info".to_owned(), |filter| filter.value), format)
}
