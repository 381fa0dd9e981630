//! The letters that a command is about, and what was done about them.
//!
//! Guarantees: a record that was written twice (a crash between writing its letter and committing its offset) counts
//! once, as its first letter; keeps no key and no value.

use std::collections::{BTreeMap, HashMap};

use super::Filter;
use crate::event::Millis;
use crate::ingest::dead_letter::{Entry, Letter, LetterId, Replays};
use crate::ingest::kafka::dead_letters::Offsets;
use crate::ingest::kafka::{DeadLetters, Error};

/// What was found.
#[derive(Debug)]
pub struct Chosen {
    /// The newest letters that the filter takes, by the time they were written.
    pub letters: BTreeMap<(Millis, LetterId), Letter>,
    /// Counts of all that it takes.
    pub totals: Totals,
    /// What was done about any letter.
    pub replays: Replays,
    /// How far was read.
    pub upto: Offsets,
    /// Letters whose record another letter stands for already.
    pub copies: BTreeMap<LetterId, LetterId>,
}

/// Counts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Letters.
    pub letters: u64,
    /// Records: each counts once, however often its letter was written.
    pub records: u64,
    /// Records by reason.
    pub by_reason: BTreeMap<String, u64>,
    /// Records by topic.
    pub by_topic: BTreeMap<String, u64>,
    /// Records whose letter was replayed.
    pub replayed: u64,
    /// Records of the dead letter topic that are none of ours.
    pub foreign: u64,
}

/// The first letter of each record.
#[derive(Default)]
struct Firsts {
    topics: Vec<String>,
    first: HashMap<(usize, i32, i64), LetterId>,
}

impl Firsts {
    /// The letter that stands for the record already; else this one does from now on.
    fn before(&mut self, letter: &Letter) -> Option<LetterId> {
        let topic = self.topics.iter().position(|topic| *topic == letter.origin.topic).unwrap_or_else(|| {
            self.topics.push(letter.origin.topic.clone());
            self.topics.len() - 1
        });
        let first = self.first.entry((topic, letter.origin.partition, letter.origin.offset)).or_insert(letter.id);
        (*first != letter.id).then_some(*first)
    }
}

/// Reads the topic and keeps the newest `limit` letters that `takes` wants; `filter` says only from when on.
pub fn choose(
    reader: &DeadLetters,
    filter: &Filter,
    limit: usize,
    busy_ms: i64,
    takes: &dyn Fn(&Letter) -> bool,
) -> Result<Chosen, Error> {
    let from = filter.since.map(|since| reader.since(since)).transpose()?.unwrap_or_default();
    let mut chosen = Chosen {
        letters: BTreeMap::new(),
        totals: Totals::default(),
        replays: Replays::new(busy_ms),
        upto: Offsets::new(),
        copies: BTreeMap::new(),
    };
    let mut firsts = Firsts::default();
    // Those that count, with whether they were replayed known only once all marks are read.
    let mut counted = Vec::new();
    let upto = reader.read(&from, &mut |seen| match seen.entry {
        Entry::Letter(letter) => {
            let before = firsts.before(&letter);
            if takes(&letter) {
                chosen.take(letter, before, limit, &mut counted);
            }
        }
        Entry::Mark(mark) => chosen.replays.take(mark),
        Entry::Foreign => chosen.totals.foreign += 1,
    })?;
    chosen.upto = upto;
    let replayed = counted.iter().filter(|id| chosen.replays.done(**id).is_some()).count();
    chosen.totals.replayed = u64::try_from(replayed).unwrap_or(u64::MAX);
    Ok(chosen)
}

impl Chosen {
    fn take(&mut self, letter: Letter, before: Option<LetterId>, limit: usize, counted: &mut Vec<LetterId>) {
        let totals = &mut self.totals;
        totals.letters += 1;
        match before {
            Some(first) => _ = self.copies.insert(letter.id, first),
            None => {
                totals.records += 1;
                *totals.by_reason.entry(letter.reason.clone()).or_default() += 1;
                *totals.by_topic.entry(letter.origin.topic.clone()).or_default() += 1;
                counted.push(letter.id);
            }
        }
        self.letters.insert((letter.written, letter.id), letter);
        if self.letters.len() > limit {
            self.letters.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::dead_letter::Origin;

    #[test]
    fn a_record_whose_letter_was_written_twice_counts_once_and_the_newest_are_kept() {
        let letter = |offset: i64, of: i64| Letter {
            id: LetterId { partition: 0, offset },
            written: Millis(offset),
            reason: "bad_value".to_owned(),
            field: None,
            detail: String::new(),
            origin: Origin { topic: "t".to_owned(), partition: 0, offset: of },
            stamp: None,
            value_bytes: None,
            is_cut: false,
        };
        let mut chosen = Chosen {
            letters: BTreeMap::new(),
            totals: Totals::default(),
            replays: Replays::new(1),
            upto: Offsets::new(),
            copies: BTreeMap::new(),
        };
        let (mut firsts, mut counted) = (Firsts::default(), Vec::new());
        for letter in [letter(1, 70), letter(2, 71), letter(3, 70)] {
            let before = firsts.before(&letter);
            chosen.take(letter, before, 2, &mut counted);
        }
        let id = |offset| LetterId { partition: 0, offset };
        assert_eq!((chosen.totals.letters, chosen.totals.records), (3, 2));
        assert_eq!(chosen.totals.by_reason["bad_value"], 2);
        assert_eq!(chosen.letters.keys().map(|(_, id)| *id).collect::<Vec<_>>(), [id(2), id(3)]);
        assert_eq!(chosen.copies, BTreeMap::from([(id(3), id(1))]));
        assert_eq!(counted, [id(1), id(2)]);
    }
}
