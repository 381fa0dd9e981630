//! `rules explain-code`: what does a code mean?

use std::io::Write;

use serde_json::json;

use crate::cli::{Exit, Format, fail};
use crate::report;
use crate::ruleset::explain::{Entry, entries, entry};

/// What does a code such as T003 mean? Tells why it is told, a wrong example and the mended one; without a code,
/// all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  walletwatch rules explain-code T003")]
pub struct Args {
    /// The code.
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// For people, or one JSON object for each code.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    let Some(code) = &args.code else {
        for entry in entries() {
            match args.format {
                Format::Human => writeln!(out, "{}  {}", entry.code, entry.meaning)?,
                Format::Json => writeln!(out, "{}", as_json(&entry))?,
            }
        }
        return Ok(Exit::Done);
    };
    let code = code.to_ascii_uppercase();
    let Some(entry) = entry(&code) else {
        let known: Vec<&str> = entries().map(|entry| entry.code).collect();
        let near = report::did_you_mean(&code, known).map(|near| format!("; did you mean {near}?"));
        let near = match code.starts_with('M') {
            true => "; the codes M… are those of mapping files".to_owned(),
            false => near.unwrap_or_else(|| "; `rules explain-code` lists them".to_owned()),
        };
        return Err(fail(Exit::Usage, format!("there is no code {code}{near}")));
    };
    match args.format {
        Format::Human => write!(out, "{}", as_text(&entry))?,
        Format::Json => writeln!(out, "{}", as_json(&entry))?,
    }
    Ok(Exit::Done)
}

fn as_text(entry: &Entry) -> String {
    let mut text = format!("{}: {}\n\n{}\n", entry.code, entry.meaning, entry.why);
    if let Some((wrong, right)) = &entry.examples {
        for (title, example) in [("Wrong", wrong), ("Mended", right)] {
            let lines: String = example.text.lines().map(|line| format!("    {line}\n")).collect();
            text.push_str(&format!("\n{title}:\n\n{lines}"));
        }
    }
    text
}

fn as_json(entry: &Entry) -> serde_json::Value {
    let (wrong, right) = match &entry.examples {
        Some((wrong, right)) => (json!(wrong.text), json!(right.text)),
        None => (json!(null), json!(null)),
    };
    json!({ "code": entry.code, "meaning": entry.meaning, "why": entry.why, "wrong": wrong, "mended": right })
}
