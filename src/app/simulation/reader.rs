//! The reader of a life: the service's own filling of batches over partitions in memory.
//!
//! Guarantees: a partition gives its records in their order, as many at a time as the dice say, or none for now.

use std::sync::Arc;

use super::dice::Dice;
use super::life::Arrival;
use super::stream::Source;
use crate::event::Millis;
use crate::ingest::batch_log::Logged;
use crate::ingest::kafka::Error;
use crate::ingest::kafka::fill::{Filled, Filler, Queues};
use crate::ingest::kafka::order::{Limits, Merge};
use crate::ingest::{Batch, Partition, Position, Record};

/// Records that a partition gives at a time, at most.
const RUN_RECORDS_MAX: u64 = 4;

/// Reads the partitions from where a start says.
pub struct Reader {
    filler: Filler<usize>,
    sources: Arc<[Source]>,
    /// By lane, the offset that arrives next.
    next: Vec<usize>,
}

/// The partitions at one moment.
struct Now<'r> {
    sources: &'r [Source],
    next: &'r mut Vec<usize>,
    now_ms: u64,
    arrival: Arrival,
    dice: &'r mut Dice,
}

impl Reader {
    pub fn new(sources: Arc<[Source]>, starts: &[(Partition, i64)], again: Arc<[Logged]>, limits: Limits) -> Self {
        let known = sources.iter().take(starts.len());
        let mut merge = Merge::new(known.map(|source| (source.topic, source.name.partition)), limits);
        let next: Vec<usize> = starts.iter().map(|(_, next)| *next as usize).collect();
        for (lane, (source, next)) in (0_u16..).zip(sources.iter().zip(&next)) {
            if *next >= source.records.len() {
                merge.at_end(lane);
            }
        }
        Reader { filler: Filler::new(merge, again), sources, next }
    }

    pub fn fill(
        &mut self,
        batch: &mut Batch,
        moment: Millis,
        now_ms: u64,
        arrival: Arrival,
        dice: &mut Dice,
    ) -> Result<Filled, Error> {
        let mut now = Now { sources: &self.sources, next: &mut self.next, now_ms, arrival, dice };
        self.filler.fill(batch, moment, &mut now)
    }

    /// A partition that is there by now and was not known: it is read from now on.
    pub fn find_new(&mut self, now_ms: u64) -> Option<&Source> {
        let found = self.sources.get(self.next.len()).filter(|found| found.born_ms <= now_ms)?;
        // As the service does: not before everything is taken again.
        if self.filler.is_again() {
            return None;
        }
        self.filler.merge.add((found.topic, found.name.partition));
        self.next.push(0);
        Some(found)
    }

    /// Whether everything was taken.
    pub fn is_at_end(&self) -> bool {
        let is_read = self.next.iter().zip(&*self.sources).all(|(next, source)| *next >= source.records.len());
        is_read && self.next.len() == self.sources.len() && !self.filler.is_again() && self.filler.merge.at_hand() == 0
    }
}

impl Queues<usize> for Now<'_> {
    fn ask(&mut self, lane: u16, merge: &mut Merge<usize>) -> Result<(), Error> {
        let at = usize::from(lane);
        let (Some(source), Some(next)) = (self.sources.get(at), self.next.get_mut(at)) else { return Ok(()) };
        // A backlog is cut only where a partition has nothing for now: all others wait for it then.
        let pause_one_in = if self.arrival == Arrival::Backlog { 3 } else { 6 };
        if self.dice.one_in(pause_one_in) {
            return Ok(());
        }
        for _ in 0..=self.dice.below(RUN_RECORDS_MAX) {
            let visible = |visible_ms: u64| self.arrival == Arrival::Backlog || visible_ms <= self.now_ms;
            match source.records.get(*next) {
                Some(written) if visible(written.visible_ms) => {
                    merge.arrived(lane, written.stamp, *next);
                    *next += 1;
                }
                _ => {
                    merge.at_end(lane);
                    break;
                }
            }
        }
        Ok(())
    }

    fn put(&self, batch: &mut Batch, lane: u16, stamp: Millis, record: &usize) -> usize {
        let Some(source) = self.sources.get(usize::from(lane)) else { return 0 };
        let Some(written) = source.records.get(*record) else { return 0 };
        let (key, value) = (written.key.as_bytes(), written.value.as_bytes());
        let position = Position { topic: source.topic, partition: source.name.partition, offset: *record as i64 };
        batch.push(Record { position, lane, stamp, key: Some(key), value: Some(value) });
        key.len() + value.len()
    }

    fn now_ms(&self) -> u64 {
        self.now_ms
    }
}
