//! `walletwatch dead list`: how many by reason, and the newest of them.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::json;

use super::chosen::{Chosen, choose};
use super::{Configured, Filter, failed};
use crate::cli::{Exit, Format};
use crate::clock;
use crate::event::Millis;
use crate::ingest::dead_letter::{Letter, Standing};
use crate::ingest::kafka::DeadLetters;
use crate::ingest::kafka::send_back::busy_ms;

/// What is listed, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Lines for so many of the newest; the counts are of all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// For people, or one JSON object a line: the counts first, then each letter.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    configured: Configured,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { filter, limit, format, configured } = args;
    let kafka = configured.kafka()?;
    let reader = DeadLetters::open(&kafka).map_err(failed)?;
    let takes = |letter: &Letter| filter.takes(letter);
    let chosen = choose(&reader, &filter, limit, busy_ms(&kafka), &takes).map_err(failed)?;
    let now = clock::now();
    let text = match format {
        Format::Human => human(reader.topic(), &chosen, now),
        Format::Json => json_lines(reader.topic(), &chosen, now),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

/// How a letter stands, in a word and the time it is about.
fn standing(chosen: &Chosen, letter: &Letter, now: Millis) -> (&'static str, Option<Millis>) {
    match chosen.replays.standing(letter.id, now) {
        _ if chosen.copies.contains_key(&letter.id) => ("copy", None),
        Standing::Open => ("open", None),
        Standing::Done(at) => ("replayed", Some(at)),
        Standing::Busy(until) => ("busy", Some(until)),
        Standing::Doubtful(_) => ("cut_off", None),
    }
}

fn human(topic: &str, chosen: &Chosen, now: Millis) -> String {
    let totals = &chosen.totals;
    let mut text = format!("{topic}: {} records could not be used", totals.records);
    for (what, n) in [
        ("letters there twice", totals.letters - totals.records),
        ("replayed", totals.replayed),
        ("somebody else's records between them", totals.foreign),
    ] {
        if n > 0 {
            // Writing to a text does not fail.
            let _ = write!(text, "; {what}: {n}");
        }
    }
    text.push('\n');
    let width = totals.by_reason.keys().map(String::len).max().unwrap_or(0);
    for (reason, records) in &totals.by_reason {
        let _ = writeln!(text, "  {reason:width$}  {records:>8}");
    }
    let rows: Vec<[String; 6]> = chosen.letters.values().map(|letter| row(chosen, letter, now)).collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table(&rows));
    }
    let left_out = totals.letters - u64::try_from(rows.len()).unwrap_or(totals.letters);
    if left_out > 0 {
        let _ = writeln!(text, "{left_out} older ones are left out: --limit shows more");
    }
    text
}

fn row(chosen: &Chosen, letter: &Letter, now: Millis) -> [String; 6] {
    let (word, at) = standing(chosen, letter, now);
    let stands = match (word, at) {
        ("open", _) => String::new(),
        ("copy", _) => chosen.copies.get(&letter.id).map_or_else(String::new, |first| format!("[the same as {first}]")),
        ("busy", Some(until)) => format!("[being replayed, or cut off: known from {} on]", until.rfc3339()),
        ("cut_off", _) => "[its replay was cut off]".to_owned(),
        (_, at) => format!("[replayed {}]", at.map(Millis::rfc3339).unwrap_or_default()),
    };
    let field = letter.field.as_ref().map_or_else(String::new, |field| format!(" {field}"));
    let detail = printable(&letter.detail);
    let what = if stands.is_empty() { detail } else { format!("{detail} {stands}") };
    [
        letter.id.to_string(),
        letter.written.rfc3339(),
        letter.origin.to_string(),
        format!("{}{field}", letter.reason),
        letter.value_bytes.map_or_else(|| "null".to_owned(), |bytes| format!("{bytes} B")),
        what,
    ]
}

/// Aligned columns, the last as long as it is.
fn table(rows: &[[String; 6]]) -> String {
    let head = ["letter", "written", "from", "problem", "value", ""].map(str::to_owned);
    let widths: Vec<usize> =
        (0..5).map(|n| rows.iter().chain([&head]).map(|row| row[n].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &[String; 6]| {
        let columns = row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}  "));
        format!("{}{}", columns.collect::<String>(), row[5]).trim_end().to_owned() + "\n"
    };
    std::iter::once(&head).chain(rows).map(line).collect()
}

fn json_lines(topic: &str, chosen: &Chosen, now: Millis) -> String {
    let totals = &chosen.totals;
    let head = json!({
        "kind": "totals", "topic": topic, "records": totals.records, "letters": totals.letters,
        "replayed": totals.replayed, "foreign": totals.foreign, "by_reason": totals.by_reason,
        "by_topic": totals.by_topic
    });
    let letter = |letter: &Letter| {
        let (standing, at) = standing(chosen, letter, now);
        json!({
            "kind": "letter", "letter": letter.id.to_string(), "written": letter.written.rfc3339(),
            "reason": letter.reason, "field": letter.field, "detail": letter.detail, "topic": letter.origin.topic,
            "partition": letter.origin.partition, "offset": letter.origin.offset,
            "timestamp": letter.stamp.map(Millis::rfc3339), "value_bytes": letter.value_bytes, "cut": letter.is_cut,
            "standing": standing, "standing_at": at.map(Millis::rfc3339)
        })
    };
    std::iter::once(head).chain(chosen.letters.values().map(letter)).map(|line| format!("{line}\n")).collect()
}

/// A text without what a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    let mut printed = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => printed.push(c),
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                printed.extend(c.escape_unicode());
            }
            c => printed.push(c),
        }
    }
    printed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::dead::chosen::Totals;
    use crate::ingest::dead_letter::{LetterId, Mark, Origin, Replays, Step};

    fn letter(offset: i64, reason: &str, field: Option<&str>, value_bytes: Option<u64>) -> Letter {
        Letter {
            id: LetterId { partition: 0, offset },
            written: Millis(1_767_268_800_000 + offset),
            reason: reason.to_owned(),
            field: field.map(str::to_owned),
            detail: "a decimal number".to_owned(),
            origin: Origin { topic: "wallet.transactions".to_owned(), partition: 3, offset: offset + 100 },
            stamp: Some(Millis(1_767_268_700_000)),
            value_bytes,
            is_cut: false,
        }
    }

    fn chosen() -> Chosen {
        let letters = [
            letter(3, "no_value", None, None),
            letter(4, "bad_value", Some("amount"), Some(212)),
            letter(5, "bad_value", Some("amount"), Some(213)),
            letter(12, "bad_value", Some("amount"), Some(212)),
        ];
        let mut replays = Replays::new(1000);
        for (offset, step) in [
            (4, Step::Begun { run: "r".to_owned(), end: 9 }),
            (4, Step::Done),
            (5, Step::Begun { run: "r".to_owned(), end: 9 }),
        ] {
            let letter = LetterId { partition: 0, offset };
            replays.take(Mark { letter, offset: 20, at: Millis(1_767_268_801_000), step });
        }
        let by_reason = [("bad_value", 2), ("no_value", 11)].map(|(reason, n)| (reason.to_owned(), n));
        let totals = Totals {
            letters: 14,
            records: 13,
            by_reason: by_reason.into(),
            by_topic: BTreeMap::from([("wallet.transactions".to_owned(), 13)]),
            replayed: 1,
            foreign: 0,
        };
        let copies = [(12, 4)]
            .map(|(copy, first)| (LetterId { partition: 0, offset: copy }, LetterId { partition: 0, offset: first }));
        let letters = letters.map(|letter| ((letter.written, letter.id), letter)).into();
        Chosen { letters, totals, replays, upto: BTreeMap::new(), copies: copies.into() }
    }

    #[test]
    fn a_list_counts_first_and_then_shows_the_newest() {
        insta::assert_snapshot!(human("wallet.events.dead", &chosen(), Millis(1_767_268_801_500)));
    }

    #[test]
    fn as_json_it_is_one_object_a_line() {
        insta::assert_snapshot!(json_lines("wallet.events.dead", &chosen(), Millis(1_767_268_802_500)));
    }

    #[test]
    fn what_a_terminal_would_obey_is_spelt_out() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\td"), "a\\u{1b}[2Jb\\u{202e}c\td");
    }
}
