//! Sends the records of dead letters back to where they came from, each once.
//!
//! Guarantees: the steps of `dead_letter::replayed`: begun, sent, done, each acknowledged before the next; a run that
//! is cut off anywhere is taken up by the next one without a record that stands there twice. Does not choose letters.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::{Duration, Instant};

use super::config::KafkaConfig;
use super::dead_letters::{Content, DeadLetters, Offsets};
use super::error::Error;
use super::producer::{Outgoing, Place, Producer};
use crate::clock;
use crate::event::Millis;
use crate::ingest::dead_letter::replayed::REPLAY_HEADER;
use crate::ingest::dead_letter::{Entry, Letter, LetterId, Mark, Origin, Replays, Standing, Step};

/// Letters that are worked on together; their contents are in memory.
pub const LETTERS_AT_ONCE: usize = 200;
/// What a run may take between marking a letter and sending it, beside the wait for Kafka, ms.
const SLACK_MS: i64 = 60_000;

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its record is back where it came from.
    Sent,
    /// It was sent back before, then.
    Before(Millis),
    /// An earlier run was cut off, but had sent it.
    FoundSent,
    /// Another run is at it, or was cut off: until then nobody can tell.
    Busy(Millis),
    /// Only its beginning is kept, and the record is not where it came from any more.
    Gone,
    /// The partition it came from is not there any more.
    NoPlace,
}

/// How long a run may be at a letter, ms.
pub fn busy_ms(config: &KafkaConfig) -> i64 {
    i64::try_from(config.produce_wait_ms_max).unwrap_or(i64::MAX).saturating_add(SLACK_MS)
}

/// One run.
pub struct SendBack<'l> {
    letters: &'l DeadLetters,
    producer: Producer,
    run: String,
    wait: Duration,
    ticket: usize,
    /// How far the marks are read.
    marks_upto: Offsets,
    with_stamps: BTreeSet<String>,
}

/// A letter that is about to be sent.
struct Ready<'c> {
    letter: &'c Letter,
    content: Content,
    end: i64,
}

impl<'l> SendBack<'l> {
    /// `marks_upto` are the ends up to which whoever chose the letters has read the marks. Records of the topics
    /// `with_stamps` are stamped as they were, for a mapping may read the time of their events there; others now.
    pub fn open(
        config: &KafkaConfig,
        letters: &'l DeadLetters,
        marks_upto: Offsets,
        with_stamps: BTreeSet<String>,
    ) -> Result<Self, Error> {
        let run = std::hash::RandomState::new().build_hasher().finish();
        Ok(SendBack {
            letters,
            producer: Producer::open(config)?,
            run: format!("{run:016x}"),
            wait: Duration::from_millis(config.produce_wait_ms_max),
            ticket: 0,
            marks_upto,
            with_stamps,
        })
    }

    /// Sends at most [`LETTERS_AT_ONCE`] letters; `mended` stands in place of the value of each; with `again` those too
    /// that were sent before.
    pub fn send(
        &mut self,
        chosen: &[Letter],
        replays: &mut Replays,
        mended: Option<&[u8]>,
        again: bool,
    ) -> Result<BTreeMap<LetterId, Outcome>, Error> {
        let mut outcomes = BTreeMap::new();
        let mut ready = self.prepare(chosen, replays, again, &mut outcomes)?;
        for Ready { letter, end, .. } in &ready {
            self.mark(letter.id, &Step::Begun { run: self.run.clone(), end: *end })?;
        }
        self.written()?;
        self.read_marks(replays)?;
        let now = clock::now();
        ready.retain(|Ready { letter, .. }| {
            let stands = match replays.done(letter.id) {
                Some(at) if !again => Outcome::Before(at),
                _ if replays.is_first(letter.id, &self.run, now) => return true,
                _ => Outcome::Busy(now.plus(SLACK_MS)),
            };
            outcomes.insert(letter.id, stands);
            false
        });
        let found = if again { BTreeSet::new() } else { self.sent_before(&ready, replays)? };
        for Ready { letter, content, .. } in &ready {
            let outcome = match found.contains(&letter.id) {
                true => Outcome::FoundSent,
                false => {
                    self.send_one(letter, content, mended)?;
                    Outcome::Sent
                }
            };
            outcomes.insert(letter.id, outcome);
        }
        self.written()?;
        for Ready { letter, .. } in &ready {
            self.mark(letter.id, &Step::Done)?;
        }
        self.written()?;
        Ok(outcomes)
    }

    /// Those that may be sent, with what they hold.
    fn prepare<'c>(
        &self,
        chosen: &'c [Letter],
        replays: &Replays,
        again: bool,
        outcomes: &mut BTreeMap<LetterId, Outcome>,
    ) -> Result<Vec<Ready<'c>>, Error> {
        let now = clock::now();
        let ids = chosen.iter().map(|letter| letter.id).collect();
        let mut contents = self.letters.contents(&ids)?;
        let mut ends: BTreeMap<(&str, i32), Option<i64>> = BTreeMap::new();
        let mut ready = Vec::with_capacity(chosen.len());
        for letter in chosen {
            let stands = match replays.standing(letter.id, now) {
                Standing::Done(at) if !again => Some(Outcome::Before(at)),
                Standing::Busy(until) => Some(Outcome::Busy(until)),
                Standing::Done(_) | Standing::Open | Standing::Doubtful(_) => None,
            };
            if let Some(outcome) = stands {
                outcomes.insert(letter.id, outcome);
                continue;
            }
            let Origin { topic, partition, .. } = &letter.origin;
            let end = match ends.get(&(topic.as_str(), *partition)) {
                Some(end) => *end,
                None => {
                    let end = self.letters.end(topic, *partition)?;
                    ends.insert((topic, *partition), end);
                    end
                }
            };
            let content = match letter.is_cut {
                true => self.letters.original(&letter.origin)?,
                false => contents.remove(&letter.id),
            };
            match (end, content) {
                (Some(end), Some(content)) => ready.push(Ready { letter, content, end }),
                (None, _) => _ = outcomes.insert(letter.id, Outcome::NoPlace),
                (_, None) => _ = outcomes.insert(letter.id, Outcome::Gone),
            }
        }
        Ok(ready)
    }

    /// Those that a run which was cut off has sent.
    fn sent_before(&self, ready: &[Ready<'_>], replays: &Replays) -> Result<BTreeSet<LetterId>, Error> {
        let mut from: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for Ready { letter, end, .. } in ready {
            // Our own mark is among those that may have been cut off: its end is the newest.
            if let Some(doubt) = replays.doubt(letter.id).filter(|doubt| doubt < end) {
                let from = from.entry((&letter.origin.topic, letter.origin.partition)).or_insert(doubt);
                *from = (*from).min(doubt);
            }
        }
        let mut there = BTreeSet::new();
        for ((topic, partition), from) in from {
            there.extend(self.letters.sent_back(topic, partition, from)?);
        }
        let ids = ready.iter().map(|ready| ready.letter.id);
        Ok(ids.filter(|id| there.contains(&self.name(*id))).collect())
    }

    fn send_one(&mut self, letter: &Letter, content: &Content, mended: Option<&[u8]>) -> Result<(), Error> {
        let stamp = letter.stamp.filter(|_| self.with_stamps.contains(&letter.origin.topic));
        let place = Place { partition: letter.origin.partition, stamp };
        let headers = [(REPLAY_HEADER, self.name(letter.id))];
        let outgoing = Outgoing {
            topic: &letter.origin.topic,
            key: content.key.as_deref(),
            value: mended.or(content.value.as_deref()),
            headers: &headers,
        };
        self.ticket += 1;
        self.producer.send_to(self.ticket, place, &outgoing)
    }

    fn mark(&mut self, letter: LetterId, step: &Step) -> Result<(), Error> {
        let headers = Mark::headers(letter, step);
        let place = Place { partition: letter.partition, stamp: None };
        let outgoing = Outgoing { topic: self.letters.topic(), key: None, value: None, headers: &headers };
        self.ticket += 1;
        self.producer.send_to(self.ticket, place, &outgoing)
    }

    /// Reads the marks that were written since.
    fn read_marks(&mut self, replays: &mut Replays) -> Result<(), Error> {
        let upto = self.letters.read(&self.marks_upto, &mut |seen| {
            if let Entry::Mark(mark) = seen.entry {
                replays.take(mark);
            }
        })?;
        self.marks_upto = upto;
        Ok(())
    }

    fn written(&self) -> Result<(), Error> {
        if self.producer.flush(Instant::now() + self.wait)? {
            return Ok(());
        }
        let waited_ms = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX);
        Err(Error::NotWrittenInTime { topic: self.letters.topic().to_owned(), waited_ms })
    }

    /// A letter's name in the header of the record that is sent back.
    fn name(&self, id: LetterId) -> String {
        Origin { topic: self.letters.topic().to_owned(), partition: id.partition, offset: id.offset }.to_string()
    }
}
