//! `walletwatch dead replay`: the records of dead letters, back to where they came from, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::chosen::{Chosen, choose};
use super::{Configured, Filter, failed, no_such_letter};
use crate::cli::output::is_dash;
use crate::cli::{Exit, Format, fail};
use crate::clock;
use crate::config::Config;
use crate::event::Millis;
use crate::ingest::dead_letter::{Letter, LetterId, Replays, Standing};
use crate::ingest::kafka::send_back::{LETTERS_AT_ONCE, Outcome, busy_ms};
use crate::ingest::kafka::{DeadLetters, KafkaConfig, SendBack};

/// Letters of one run: more are left for the next one.
const LETTERS_MAX: usize = 1_000_000;
/// Letters that people are shown one by one.
const LINES_MAX: usize = 50;
/// The largest value that can stand in place of a record's own, bytes.
const VALUE_BYTES_MAX: u64 = 1024 * 1024;

/// Which letters, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Letters, as `dead list` shows them; else --reason, --topic, --since or --all say which.
    #[arg(value_name = "PARTITION:OFFSET")]
    letters: Vec<LetterId>,
    #[command(flatten)]
    filter: Filter,
    /// All letters that are there.
    #[arg(long, conflicts_with_all = ["letters", "reason", "topic", "since"])]
    all: bool,
    /// Says what would be replayed, and writes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Replays those too that were replayed before.
    #[arg(long)]
    again: bool,
    /// A file whose content stands in place of the value of the one letter named; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    value: Option<PathBuf>,
    /// For people, or one JSON object a line: each letter, then the counts.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    configured: Configured,
}

/// Why a letter is or is not replayed, in the order people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    WouldSend,
    Sent,
    FoundSent,
    SentBefore,
    Copy,
    NotRead,
    Gone,
    NoPlace,
    Busy,
}

impl Fate {
    const ALL: [Fate; 9] = [
        Fate::WouldSend,
        Fate::Sent,
        Fate::FoundSent,
        Fate::SentBefore,
        Fate::Copy,
        Fate::NotRead,
        Fate::Gone,
        Fate::NoPlace,
        Fate::Busy,
    ];

    fn word(self) -> &'static str {
        match self {
            Fate::WouldSend => "would_replay",
            Fate::Sent => "replayed",
            Fate::FoundSent => "found_replayed",
            Fate::SentBefore => "already_replayed",
            Fate::Copy => "copy",
            Fate::NotRead => "not_read",
            Fate::Gone => "gone",
            Fate::NoPlace => "no_place",
            Fate::Busy => "busy",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Fate::WouldSend => "would be replayed",
            Fate::Sent => "replayed",
            Fate::FoundSent => "replayed by an earlier run that was cut off",
            Fate::SentBefore => "already replayed: --again replays it once more",
            Fate::Copy => "stands there twice: its first letter counts",
            Fate::NotRead => "not replayed: kafka.topics does not name its topic, nobody would read it",
            Fate::Gone => "not replayed: too large to be kept whole, and no longer where it came from",
            Fate::NoPlace => "not replayed: the partition it came from is not there any more",
            Fate::Busy => "not replayed: another run is at it, or was cut off; try again in a few minutes",
        }
    }
}

/// One letter and what became of it.
struct Told {
    letter: Letter,
    fate: Fate,
    at: Option<Millis>,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    check(&args)?;
    let mended = args.value.as_deref().map(read_value).transpose()?;
    let Config { kafka, mappings, .. } = args.configured.whole()?;
    let mapped = mappings.iter().filter_map(|mapping| kafka.topics.get(mapping.topic).cloned()).collect();
    let reader = DeadLetters::open(&kafka).map_err(failed)?;
    let named: BTreeSet<LetterId> = args.letters.iter().copied().collect();
    let takes = |letter: &Letter| (named.is_empty() || named.contains(&letter.id)) && args.filter.takes(letter);
    let mut chosen = choose(&reader, &args.filter, LETTERS_MAX, busy_ms(&kafka), &takes).map_err(failed)?;
    let letters: Vec<Letter> = std::mem::take(&mut chosen.letters).into_values().collect();
    if let Some(id) = named.iter().find(|id| !letters.iter().any(|letter| letter.id == **id)) {
        return Err(no_such_letter(*id, reader.topic()));
    }
    let (to_send, mut told) = sort_out(letters, &chosen, &kafka);
    match args.dry_run {
        true => told.extend(to_send.into_iter().map(|letter| would(letter, &chosen, args.again))),
        false => {
            let run = SendBack::open(&kafka, &reader, chosen.upto, mapped).map_err(failed)?;
            send(run, to_send, chosen.replays, mended.as_deref(), args.again, &mut told)?;
        }
    }
    told.sort_by_key(|told| (told.letter.written, told.letter.id));
    let text = match args.format {
        Format::Human => human(reader.topic(), &told),
        Format::Json => json_lines(&told),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(exit(&told))
}

fn check(args: &Args) -> anyhow::Result<()> {
    if args.letters.is_empty() && !args.all && args.filter.is_empty() {
        let message = "which letters? Name some as `dead list` shows them, or say --reason, --topic, --since or --all; \
                       --dry-run tells what would be done";
        return Err(fail(Exit::Usage, message));
    }
    if args.value.is_some() && args.letters.len() != 1 {
        return Err(fail(Exit::Usage, "--value is for one letter: name it, and no other"));
    }
    Ok(())
}

fn read_value(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = |source: &mut dyn std::io::Read| {
        let mut value = Vec::new();
        source.take(VALUE_BYTES_MAX + 1).read_to_end(&mut value).map(|_| value)
    };
    let value = match is_dash(path) {
        true => read(&mut std::io::stdin().lock()),
        false => std::fs::File::open(path).and_then(|mut file| read(&mut file)),
    };
    let value = value.map_err(|error| fail(Exit::NoInput, format!("cannot read {}: {error}", path.display())))?;
    match u64::try_from(value.len()).is_ok_and(|bytes| bytes <= VALUE_BYTES_MAX) {
        true => Ok(value),
        false => Err(fail(Exit::Data, format!("{} is larger than {VALUE_BYTES_MAX} bytes", path.display()))),
    }
}

/// Those that may be sent, and what there is to say of the others.
fn sort_out(letters: Vec<Letter>, chosen: &Chosen, kafka: &KafkaConfig) -> (Vec<Letter>, Vec<Told>) {
    let (mut to_send, mut told) = (Vec::new(), Vec::new());
    for letter in letters {
        let fate = if chosen.copies.contains_key(&letter.id) {
            Some(Fate::Copy)
        } else if !kafka.topics.contains(&letter.origin.topic) {
            Some(Fate::NotRead)
        } else {
            None
        };
        match fate {
            Some(fate) => told.push(Told { letter, fate, at: None }),
            None => to_send.push(letter),
        }
    }
    (to_send, told)
}

/// What a run would do with a letter.
fn would(letter: Letter, chosen: &Chosen, again: bool) -> Told {
    let (fate, at) = match chosen.replays.standing(letter.id, clock::now()) {
        Standing::Done(at) if !again => (Fate::SentBefore, Some(at)),
        Standing::Busy(until) => (Fate::Busy, Some(until)),
        Standing::Done(_) | Standing::Open | Standing::Doubtful(_) => (Fate::WouldSend, None),
    };
    Told { letter, fate, at }
}

fn send(
    mut run: SendBack<'_>,
    mut letters: Vec<Letter>,
    mut replays: Replays,
    mended: Option<&[u8]>,
    again: bool,
    told: &mut Vec<Told>,
) -> anyhow::Result<()> {
    // As they stand in the topic: a part of them is read in one go.
    letters.sort_by_key(|letter| letter.id);
    for part in letters.chunks(LETTERS_AT_ONCE) {
        let outcomes = run.send(part, &mut replays, mended, again).map_err(failed)?;
        for letter in part {
            let (fate, at) = match outcomes.get(&letter.id) {
                Some(Outcome::Sent) => (Fate::Sent, None),
                Some(Outcome::FoundSent) => (Fate::FoundSent, None),
                Some(Outcome::Before(at)) => (Fate::SentBefore, Some(*at)),
                Some(Outcome::Busy(until)) => (Fate::Busy, Some(*until)),
                Some(Outcome::NoPlace) => (Fate::NoPlace, None),
                Some(Outcome::Gone) | None => (Fate::Gone, None),
            };
            told.push(Told { letter: letter.clone(), fate, at });
        }
    }
    Ok(())
}

fn counts(told: &[Told]) -> BTreeMap<Fate, u64> {
    let mut counts = BTreeMap::new();
    for one in told {
        *counts.entry(one.fate).or_insert(0) += 1;
    }
    counts
}

fn human(topic: &str, told: &[Told]) -> String {
    let mut text = String::new();
    for Told { letter, fate, at } in told.iter().take(LINES_MAX) {
        let at = at.map_or_else(String::new, |at| format!(" ({})", at.rfc3339()));
        let (id, origin) = (letter.id, &letter.origin);
        text.push_str(&format!("{id}  {} of {origin}: {}{at}\n", letter.reason, fate.sentence()));
    }
    if told.len() > LINES_MAX {
        text.push_str(&format!("and {} more\n", told.len() - LINES_MAX));
    }
    let counts = counts(told);
    let summary: Vec<String> = counts.iter().map(|(fate, n)| format!("{n} {}", fate.word())).collect();
    let summary = if summary.is_empty() { "no letter is meant by that".to_owned() } else { summary.join(", ") };
    text.push_str(&format!("{topic}: {summary}\n"));
    text
}

fn json_lines(told: &[Told]) -> String {
    let line = |told: &Told| {
        json!({
            "kind": "letter", "letter": told.letter.id.to_string(), "reason": told.letter.reason,
            "topic": told.letter.origin.topic, "partition": told.letter.origin.partition,
            "offset": told.letter.origin.offset, "outcome": told.fate.word(), "at": told.at.map(Millis::rfc3339)
        })
    };
    let counts = counts(told);
    let by_word: BTreeMap<&str, u64> =
        Fate::ALL.iter().map(|fate| (fate.word(), counts.get(fate).copied().unwrap_or(0))).collect();
    let totals = json!({"kind": "totals", "letters": told.len(), "outcomes": by_word});
    told.iter().map(line).chain([totals]).map(|line| format!("{line}\n")).collect()
}

/// Done where everything is back; try again where another run is at some; else the answer is no.
fn exit(told: &[Told]) -> Exit {
    let any = |fates: &[Fate]| told.iter().any(|told| fates.contains(&told.fate));
    match () {
        () if any(&[Fate::NotRead, Fate::Gone, Fate::NoPlace]) => Exit::No,
        () if any(&[Fate::Busy]) => Exit::TryAgain,
        () => Exit::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::dead_letter::Origin;

    fn told(fates: &[Fate]) -> Vec<Told> {
        let one = |(offset, fate): (i64, &Fate)| {
            let letter = Letter {
                id: LetterId { partition: 0, offset },
                written: Millis(offset),
                reason: "bad_value".to_owned(),
                field: None,
                detail: String::new(),
                origin: Origin { topic: "wallet.logins".to_owned(), partition: 1, offset: 10 + offset },
                stamp: None,
                value_bytes: None,
                is_cut: false,
            };
            Told { letter, fate: *fate, at: (*fate == Fate::SentBefore).then_some(Millis(1_767_268_800_000)) }
        };
        (0..).zip(fates).map(one).collect()
    }

    #[test]
    fn every_fate_has_its_line_and_is_counted() {
        let all = told(&Fate::ALL);
        insta::assert_snapshot!(format!("{}\n{}", human("wallet.events.dead", &all), json_lines(&all)));
        assert_eq!(human("d", &[]), "d: no letter is meant by that\n");
    }

    #[test]
    fn it_ends_well_only_where_everything_is_back() {
        assert_eq!(exit(&told(&[Fate::Sent, Fate::SentBefore, Fate::Copy, Fate::FoundSent])), Exit::Done);
        assert_eq!(exit(&told(&[Fate::Sent, Fate::Busy])), Exit::TryAgain);
        assert_eq!(exit(&told(&[Fate::Busy, Fate::Gone])), Exit::No);
        assert_eq!(exit(&told(&[Fate::NotRead])), Exit::No);
    }
}
