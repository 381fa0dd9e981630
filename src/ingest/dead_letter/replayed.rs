//! Which letters were sent back, by marks that stand behind them in the dead letter topic.
//!
//! Guarantees: a letter is sent back once, whatever is cut off between two steps. A run marks a letter as *begun*, sends
//! the record, marks it as *done*. A letter that was begun and not ended is looked for where it would have gone, from
//! the end that the mark names; of two runs at once the one whose mark stands first goes on. A mark stands in its
//! letter's partition, so retention never takes it first. Pure: writes and reads nothing.

use std::collections::BTreeMap;

use super::found::{Headers, LetterId};
use crate::event::Millis;

/// The header that makes a record a mark; its value is the step.
const STEP: &str = "replay";
/// The header a record carries that was sent back: dead letter topic, partition and offset of its letter.
pub const REPLAY_HEADER: &str = "walletwatch.replay";

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A run is about to send the record back.
    Begun {
        /// Which run.
        run: String,
        /// The end of the partition it goes to: it will stand there or behind.
        end: i64,
    },
    /// The record is back where it came from, acknowledged.
    Done,
}

/// One mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The letter.
    pub letter: LetterId,
    /// The mark's own offset, in the letter's partition.
    pub offset: i64,
    /// When it was made.
    pub at: Millis,
    /// What was done.
    pub step: Step,
}

impl Mark {
    pub(super) fn read(id: LetterId, at: Millis, headers: &Headers<'_>) -> Option<Mark> {
        let step = match headers.text(STEP)? {
            "begun" => Step::Begun { run: headers.text("run")?.to_owned(), end: headers.number("end")? },
            "done" => Step::Done,
            _ => return None,
        };
        let letter = LetterId { partition: id.partition, offset: headers.number("letter")? };
        Some(Mark { letter, offset: id.offset, at, step })
    }

    /// The headers of a mark about a letter.
    pub fn headers(letter: LetterId, step: &Step) -> Vec<(&'static str, String)> {
        let of = |word: &str| vec![(STEP, word.to_owned()), ("letter", letter.offset.to_string())];
        match step {
            Step::Begun { run, end } => [of("begun"), vec![("run", run.clone()), ("end", end.to_string())]].concat(),
            Step::Done => of("done"),
        }
    }
}

/// How a letter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was never sent back.
    Open,
    /// It was, then.
    Done(Millis),
    /// A run has begun with it and may still be at it until then.
    Busy(Millis),
    /// A run began with it and was cut off: whether its record was sent shows in the partition it goes to, from this
    /// offset on.
    Doubtful(i64),
}

#[derive(Debug, Default)]
struct History {
    /// Offset of the last mark that says so, and its time.
    done: Option<(i64, Millis)>,
    begun: Vec<Begun>,
}

#[derive(Debug)]
struct Begun {
    run: String,
    end: i64,
    at: Millis,
    offset: i64,
}

/// All marks.
#[derive(Debug)]
pub struct Replays {
    letters: BTreeMap<LetterId, History>,
    /// How long a run may be at a letter, ms.
    busy_ms: i64,
}

impl Replays {
    /// None yet. A run that has begun with a letter has ended with it, or was cut off, after `busy_ms`.
    pub fn new(busy_ms: i64) -> Self {
        Replays { letters: BTreeMap::new(), busy_ms }
    }

    /// Takes a mark.
    pub fn take(&mut self, mark: Mark) {
        let history = self.letters.entry(mark.letter).or_default();
        match mark.step {
            Step::Begun { run, end } => history.begun.push(Begun { run, end, at: mark.at, offset: mark.offset }),
            Step::Done => history.done = history.done.max(Some((mark.offset, mark.at))),
        }
    }

    /// When a letter was sent back.
    pub fn done(&self, letter: LetterId) -> Option<Millis> {
        self.letters.get(&letter)?.done.map(|(_, at)| at)
    }

    /// How a letter stands for whoever has not begun with it.
    pub fn standing(&self, letter: LetterId, now: Millis) -> Standing {
        let Some(history) = self.letters.get(&letter) else { return Standing::Open };
        if let Some((_, at)) = history.done {
            return Standing::Done(at);
        }
        match self.busy(history, now).map(|begun| begun.at).max() {
            Some(last) => Standing::Busy(last.plus(self.busy_ms)),
            None => self.doubt(letter).map_or(Standing::Open, Standing::Doubtful),
        }
    }

    /// Whether a run that has begun with a letter may go on: no other one began before it and may still be at it.
    pub fn is_first(&self, letter: LetterId, run: &str, now: Millis) -> bool {
        let Some(history) = self.letters.get(&letter) else { return false };
        self.busy(history, now).min_by_key(|begun| begun.offset).is_some_and(|first| first.run == run)
    }

    /// The offset from which on a record that an earlier run may have sent is to be looked for.
    pub fn doubt(&self, letter: LetterId) -> Option<i64> {
        self.letters.get(&letter)?.begun.iter().map(|begun| begun.end).min()
    }

    fn busy<'h>(&self, history: &'h History, now: Millis) -> impl Iterator<Item = &'h Begun> {
        let busy_ms = self.busy_ms;
        // Who had begun before a run was done with it has nothing left to do.
        let ended = history.done.map_or(-1, |(offset, _)| offset);
        history.begun.iter().filter(move |begun| begun.offset > ended && now.since(begun.at) < busy_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::found::Entry;
    use super::*;

    const LETTER: LetterId = LetterId { partition: 1, offset: 5 };

    fn replays(marks: &[(i64, i64, Step)]) -> Replays {
        let mut replays = Replays::new(100);
        for (offset, at, step) in marks {
            // Through the headers, as they are written and read.
            let headers = Mark::headers(LETTER, step);
            let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
            let id = LetterId { partition: 1, offset: *offset };
            let Entry::Mark(mark) = Entry::read(id, Millis(*at), headers, None) else { panic!("a mark") };
            replays.take(mark);
        }
        replays
    }

    fn begun(run: &str, end: i64) -> Step {
        Step::Begun { run: run.to_owned(), end }
    }

    #[test]
    fn a_letter_is_open_then_busy_then_done() {
        let none = replays(&[]);
        assert_eq!(none.standing(LETTER, Millis(0)), Standing::Open);
        let one = replays(&[(10, 1000, begun("a", 40))]);
        assert_eq!(one.standing(LETTER, Millis(1099)), Standing::Busy(Millis(1100)));
        let both = replays(&[(10, 1000, begun("a", 40)), (11, 1010, Step::Done)]);
        assert_eq!(both.standing(LETTER, Millis(1020)), Standing::Done(Millis(1010)));
        let other = LetterId { offset: 6, ..LETTER };
        assert_eq!(both.standing(other, Millis(1020)), Standing::Open);
    }

    #[test]
    fn a_run_that_was_cut_off_leaves_doubt_from_the_first_end_it_may_have_written_to() {
        let cut_off = replays(&[(10, 1000, begun("a", 40)), (12, 1200, begun("b", 44))]);
        assert_eq!(cut_off.standing(LETTER, Millis(1250)), Standing::Busy(Millis(1300)));
        assert_eq!(cut_off.standing(LETTER, Millis(1300)), Standing::Doubtful(40));
    }

    #[test]
    fn a_letter_that_is_done_may_be_begun_with_again() {
        let again = replays(&[(10, 1000, begun("a", 40)), (11, 1010, Step::Done), (12, 1020, begun("b", 41))]);
        assert!(again.is_first(LETTER, "b", Millis(1021)));
    }

    #[test]
    fn of_two_at_once_the_first_goes_on_and_one_that_was_cut_off_stops_nobody() {
        let two = replays(&[(10, 1000, begun("a", 40)), (11, 1001, begun("b", 40))]);
        assert!(two.is_first(LETTER, "a", Millis(1002)));
        assert!(!two.is_first(LETTER, "b", Millis(1002)));
        let old = replays(&[(10, 1000, begun("a", 40)), (11, 1150, begun("b", 40))]);
        assert!(old.is_first(LETTER, "b", Millis(1151)));
        assert!(!old.is_first(LETTER, "c", Millis(1151)), "it has not begun");
    }
}
