//! Batches out of what the partitions have: first those that were logged, as they were, then live ones.
//!
//! Guarantees: records go through the merge of `order.rs`; a batch that was logged is taken again with the same
//! records in the same order, the same moment and the same ends, or that is an error. Asks whatever the records come
//! from ([`Queues`]) and knows no client: a simulation fills its batches with this too.

use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::order::{Merge, Next};
use crate::event::Millis;
use crate::ingest::Batch;
use crate::ingest::batch_log::{Logged, Span};

/// Bytes of records in one batch; the record that reaches it is its last.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long whoever fills may sleep when nothing wakes it.
pub const REST: Duration = Duration::from_millis(50);

/// Where records come from: what arrived of each partition and was not taken.
pub trait Queues<M> {
    /// Gives what a lane has at hand to the merge.
    fn ask(&mut self, lane: u16, merge: &mut Merge<M>) -> Result<(), Error>;
    /// Puts a record into the batch; its bytes.
    fn put(&self, batch: &mut Batch, lane: u16, stamp: Millis, record: &M) -> usize;
    /// A monotonic time, ms.
    fn now_ms(&self) -> u64;
}

/// What came of filling a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// It may be handed over, if anything is in it. There is nothing more to do for at most so long.
    Live(Duration),
    /// It is the batch that was logged.
    Again,
    /// Of a batch that is taken again something has not come yet.
    Waits,
}

/// Fills batches.
pub struct Filler<M> {
    /// The partitions in their order.
    pub merge: Merge<M>,
    /// Batches to be taken again, and how many of them were; the next one may be begun.
    again: Arc<[Logged]>,
    taken: usize,
    is_begun: bool,
}

impl<M> Filler<M> {
    /// With batches to be taken again before the first live one.
    pub fn new(merge: Merge<M>, again: Arc<[Logged]>) -> Self {
        Filler { merge, again, taken: 0, is_begun: false }
    }

    /// Whether what comes next was logged.
    pub fn is_again(&self) -> bool {
        self.taken < self.again.len()
    }

    /// Fills a batch: the one that was logged next, or a live one of this moment. A batch that waits is given again.
    pub fn fill(&mut self, batch: &mut Batch, moment: Millis, queues: &mut impl Queues<M>) -> Result<Filled, Error> {
        let again = Arc::clone(&self.again);
        match again.get(self.taken) {
            Some(logged) => self.fill_again(batch, logged, queues),
            None => self.fill_live(batch, moment, queues),
        }
    }

    /// Fills a batch with what is at hand.
    fn fill_live(&mut self, batch: &mut Batch, moment: Millis, queues: &mut impl Queues<M>) -> Result<Filled, Error> {
        batch.clear(moment);
        self.merge.begin(moment);
        let mut bytes = 0;
        let mut wait = Duration::ZERO;
        while !batch.is_full() && bytes < BATCH_BYTES_MAX {
            let now_ms = queues.now_ms();
            match self.merge.next(now_ms) {
                Next::Ask(lane) => {
                    queues.ask(lane, &mut self.merge)?;
                    self.merge.asked(lane, now_ms);
                }
                Next::Take(lane, stamp, record) => bytes += queues.put(batch, lane, stamp, &record),
                Next::Wait(until) => {
                    wait = Duration::from_millis(until.saturating_sub(now_ms));
                    break;
                }
                Next::Nothing | Next::Missing(_) => {
                    wait = REST;
                    break;
                }
            }
        }
        batch.at_end.extend(self.merge.ends());
        Ok(Filled::Live(wait))
    }

    /// Fills a batch with the records it had when it was logged.
    fn fill_again(&mut self, batch: &mut Batch, logged: &Logged, queues: &mut impl Queues<M>) -> Result<Filled, Error> {
        let taken = &logged.taken;
        if std::mem::replace(&mut self.is_begun, true) {
            self.merge.resume();
        } else {
            batch.clear(taken.moment);
            self.merge.begin_again(taken.moment, taken.spans.iter().map(|span| (span.lane, span.records)));
        }
        loop {
            let now_ms = queues.now_ms();
            match self.merge.next(now_ms) {
                Next::Ask(lane) => {
                    queues.ask(lane, &mut self.merge)?;
                    self.merge.asked(lane, now_ms);
                }
                Next::Take(lane, stamp, record) => _ = queues.put(batch, lane, stamp, &record),
                Next::Wait(_) => return Ok(Filled::Waits),
                Next::Missing(lane) => {
                    return Err(not_again(logged, taken.spans.iter().find(|span| span.lane == lane)));
                }
                Next::Nothing => break,
            }
        }
        let spans = batch.spans();
        if let Some(wrong) = taken.spans.iter().find(|span| !spans.contains(span)) {
            return Err(not_again(logged, Some(wrong)));
        }
        batch.at_end.extend(&taken.at_end);
        batch.again = Some(taken.number);
        (self.taken, self.is_begun) = (self.taken + 1, false);
        if !self.is_again() {
            (self.again, self.taken) = (Arc::default(), 0);
            tracing::info!(batch = taken.number, "every batch of the batch log is taken again; what comes now is live");
        }
        Ok(Filled::Again)
    }
}

fn not_again(logged: &Logged, span: Option<&Span>) -> Error {
    let Span { lane, first, last, records } = span.copied().unwrap_or(Span { lane: 0, first: 0, last: 0, records: 0 });
    let (topic, partition) =
        logged.lanes.get(usize::from(lane)).map_or((String::new(), 0), |lane| (lane.topic.clone(), lane.partition));
    Error::NotAgain { batch: logged.taken.number, topic, partition, first, last, records }
}
