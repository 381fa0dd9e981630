//! `walletwatch dead show`: one dead letter whole.
//!
//! Guarantees: what a terminal would obey is spelt out, but with `--raw`, which writes the value's own bytes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::chosen::{Chosen, choose};
use super::list::printable;
use super::{Configured, Filter, failed, no_such_letter};
use crate::cli::{Exit, Format};
use crate::event::Millis;
use crate::ingest::dead_letter::{Letter, LetterId};
use crate::ingest::kafka::DeadLetters;
use crate::ingest::kafka::dead_letters::Content;
use crate::ingest::kafka::send_back::busy_ms;

/// Which letter, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The letter, as `dead list` shows it.
    #[arg(value_name = "PARTITION:OFFSET")]
    letter: LetterId,
    /// The record's value alone, byte for byte: to mend it and give it to `dead replay --value`.
    #[arg(long, conflicts_with = "format")]
    raw: bool,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    configured: Configured,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { letter: id, raw, format, configured } = args;
    let kafka = configured.kafka()?;
    let reader = DeadLetters::open(&kafka).map_err(failed)?;
    let takes = |letter: &Letter| letter.id == id;
    let chosen = choose(&reader, &Filter::default(), 1, busy_ms(&kafka), &takes).map_err(failed)?;
    let letter = chosen.letters.values().next().ok_or_else(|| no_such_letter(id, reader.topic()))?;
    let kept = reader.contents(&BTreeSet::from([id])).map_err(failed)?.remove(&id);
    let mut content = kept.ok_or_else(|| no_such_letter(id, reader.topic()))?;
    let mut is_whole = true;
    if letter.is_cut {
        match reader.original(&letter.origin).map_err(failed)? {
            Some(original) => content = original,
            None => is_whole = false,
        }
    }
    let mut out = std::io::stdout().lock();
    match (raw, format) {
        (true, _) => out.write_all(content.value.as_deref().unwrap_or_default())?,
        (false, Format::Human) => {
            out.write_all(human(reader.topic(), &chosen, letter, &content, is_whole).as_bytes())?
        }
        (false, Format::Json) => writeln!(out, "{}", document(&chosen, letter, &content, is_whole))?,
    }
    Ok(Exit::Done)
}

fn human(topic: &str, chosen: &Chosen, letter: &Letter, content: &Content, is_whole: bool) -> String {
    let mut text = format!("letter {} of {topic}, written {}\n", letter.id, letter.written.rfc3339());
    let stamp = letter.stamp.map_or_else(String::new, |stamp| format!(", stamped {}", stamp.rfc3339()));
    let field = letter.field.clone().unwrap_or_else(|| "none is to blame".to_owned());
    let replayed = match (chosen.replays.done(letter.id), chosen.copies.get(&letter.id)) {
        (_, Some(first)) => format!("look at {first}, which is of the same record"),
        (Some(at), _) => at.rfc3339(),
        (None, _) => "never".to_owned(),
    };
    for (what, told) in [
        ("reason", letter.reason.clone()),
        ("field", field),
        ("problem", printable(&letter.detail)),
        ("from", format!("{}{stamp}", letter.origin)),
        ("replayed", replayed),
        ("key", content.key.as_deref().map_or_else(|| "none".to_owned(), shown)),
    ] {
        // Writing to a text does not fail.
        let _ = writeln!(text, "  {what:9}  {told}");
    }
    let bytes = letter.value_bytes.unwrap_or(0);
    match &content.value {
        None => text.push_str("  value      null\n"),
        Some(value) if !is_whole => {
            let kept = value.len();
            let _ = writeln!(
                text,
                "  value      its first {kept} of {bytes} bytes: the record is no longer where it came from"
            );
            let _ = writeln!(text, "{}", shown(value));
        }
        Some(value) => {
            let _ = writeln!(text, "  value      {bytes} bytes");
            let _ = writeln!(text, "{}", shown(value));
        }
    }
    text
}

/// A text as it is, anything else in base64.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => printable(text),
        Err(_) => format!("(not UTF-8; base64) {}", STANDARD.encode(bytes)),
    }
}

fn document(chosen: &Chosen, letter: &Letter, content: &Content, is_whole: bool) -> Value {
    let mut document = Map::new();
    let fields = json!({
        "letter": letter.id.to_string(), "written": letter.written.rfc3339(), "reason": letter.reason,
        "field": letter.field, "detail": letter.detail, "topic": letter.origin.topic,
        "partition": letter.origin.partition, "offset": letter.origin.offset,
        "timestamp": letter.stamp.map(Millis::rfc3339), "value_bytes": letter.value_bytes, "whole": is_whole,
        "replayed": chosen.replays.done(letter.id).map(Millis::rfc3339)
    });
    if let Value::Object(fields) = fields {
        document.extend(fields);
    }
    for (name, bytes) in [("key", &content.key), ("value", &content.value)] {
        match bytes.as_deref().map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
            None => document.insert(name.to_owned(), Value::Null),
            Some(Ok(text)) => document.insert(name.to_owned(), text.into()),
            Some(Err(bytes)) => document.insert(format!("{name}_base64"), STANDARD.encode(bytes).into()),
        };
    }
    Value::Object(document)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::dead::chosen::Totals;
    use crate::ingest::dead_letter::{Origin, Replays};

    #[test]
    fn a_letter_is_shown_whole_and_harms_no_terminal() {
        let letter = Letter {
            id: LetterId { partition: 0, offset: 17 },
            written: Millis(1_767_268_800_000),
            reason: "bad_value".to_owned(),
            field: Some("amount".to_owned()),
            detail: "a decimal number".to_owned(),
            origin: Origin { topic: "wallet.transactions".to_owned(), partition: 3, offset: 412 },
            stamp: Some(Millis(1_767_268_700_000)),
            value_bytes: Some(23),
            is_cut: false,
        };
        let chosen = Chosen {
            letters: BTreeMap::new(),
            totals: Totals::default(),
            replays: Replays::new(1),
            upto: BTreeMap::new(),
            copies: BTreeMap::new(),
        };
        let value = b"{\"amount\":\"1\x1b[2J,000\"}".to_vec();
        let content = Content { key: Some(b"acc-\xff".to_vec()), value: Some(value), stamp: None };
        let human = human("wallet.events.dead", &chosen, &letter, &content, true);
        insta::assert_snapshot!(format!("{human}\n{:#}", document(&chosen, &letter, &content, false)));
    }
}
