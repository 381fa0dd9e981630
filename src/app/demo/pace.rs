//! The clock of the played day: how far it may be, given how much time has passed.
//!
//! Guarantees: records that lie more than [`CHUNK_MS_MAX`] of event time apart are never on their way at once,
//! however slow the machine is, so that what happens over several topics is taken in the order it happened.
//! Pure: time is an argument.

use crate::event::Millis;

/// How many times faster than life the day is played.
pub const SPEED: i64 = 2000;
/// The event time that may be on its way to the consumer at once, ms: less than an attacker takes from one topic
/// to the next.
pub const CHUNK_MS_MAX: i64 = 45_000;
/// Records of the learning period that may be on their way at once.
pub const CHUNK_RECORDS_MAX: u64 = 500;

/// The clock.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// When the played day begins.
    day_from: Millis,
    /// When it began here, ms; `None` until then.
    began_ms: Option<u64>,
    /// The stamp of the chunk's first record.
    chunk_from: Option<Millis>,
    /// Records in the chunk.
    records: u64,
}

/// Whether a record may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Send,
    /// First everything before it must be taken.
    Settle,
    /// Not yet: in so many ms.
    Wait(u64),
}

impl Pace {
    /// Nothing is sent yet.
    pub fn new(day_from: Millis) -> Self {
        Pace { day_from, began_ms: None, chunk_from: None, records: 0 }
    }

    /// Whether a record with this stamp may be sent at `now_ms`.
    pub fn ask(&mut self, stamp: Millis, now_ms: u64) -> Turn {
        let is_first = self.chunk_from.is_none();
        if stamp < self.day_from {
            return if is_first || self.records < CHUNK_RECORDS_MAX { Turn::Send } else { Turn::Settle };
        }
        // The clock starts when all that was learned is taken.
        if self.began_ms.is_none() && !is_first {
            return Turn::Settle;
        }
        let began_ms = *self.began_ms.get_or_insert(now_ms);
        if self.chunk_from.is_some_and(|from| stamp.since(from) > CHUNK_MS_MAX) {
            return Turn::Settle;
        }
        let due_ms = began_ms.saturating_add(u64::try_from(stamp.since(self.day_from) / SPEED).unwrap_or(0));
        match due_ms.saturating_sub(now_ms) {
            0 => Turn::Send,
            // What is on its way may as well be taken meanwhile.
            _ if !is_first => Turn::Settle,
            wait_ms => Turn::Wait(wait_ms),
        }
    }

    /// A record was sent.
    pub fn sent(&mut self, stamp: Millis) {
        self.chunk_from.get_or_insert(stamp);
        self.records += 1;
    }

    /// Everything sent is taken.
    pub fn settled(&mut self) {
        self.chunk_from = None;
        self.records = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Millis = Millis(1_000_000_000);

    #[test]
    fn learning_goes_in_chunks_and_the_day_by_its_clock() {
        let mut pace = Pace::new(DAY);
        for _ in 0..CHUNK_RECORDS_MAX {
            assert_eq!(pace.ask(Millis(1), 0), Turn::Send);
            pace.sent(Millis(1));
        }
        assert_eq!(pace.ask(Millis(2), 0), Turn::Settle);
        assert_eq!(pace.ask(DAY, 5), Turn::Settle, "all that was learned is taken before the day begins");
        pace.settled();
        assert_eq!(pace.ask(DAY.plus(4000), 10), Turn::Wait(2));
        assert_eq!(pace.ask(DAY.plus(4000), 12), Turn::Send);
        pace.sent(DAY.plus(4000));
        assert_eq!(pace.ask(DAY.plus(8000), 12), Turn::Settle, "nothing is due: let it be taken");
    }

    #[test]
    fn a_slow_machine_plays_slower_and_not_in_disorder() {
        let mut pace = Pace::new(DAY);
        assert_eq!(pace.ask(DAY, 0), Turn::Send);
        pace.sent(DAY);
        // A second later half an hour is due, but only 45 s of it go at once.
        assert_eq!(pace.ask(DAY.plus(CHUNK_MS_MAX), 1000), Turn::Send);
        pace.sent(DAY.plus(CHUNK_MS_MAX));
        assert_eq!(pace.ask(DAY.plus(CHUNK_MS_MAX + 1), 1000), Turn::Settle);
        pace.settled();
        assert_eq!(pace.ask(DAY.plus(CHUNK_MS_MAX + 1), 1000), Turn::Send);
    }
}
