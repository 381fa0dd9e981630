//! Which offsets may be committed, and committing them.
//!
//! Guarantees: what is committed is the *floor*: the next record to read of each partition, raised only when
//! everything before it is acknowledged, or, with [`Offsets::rest_on_checkpoints`], only when a checkpoint that covers
//! it is closed. Commits at an interval, idle or not, on a thread of its own, so that a broker that is away keeps
//! nobody waiting. Under a mark it looks before each commit, and a mark that stands before ours is an error: nothing
//! more is committed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::claim;
use super::consumer::Consumer;
use super::context::{Context, OneASecond};
use super::error::Error;
use super::lag::{Lag, Positions};
use super::owner::Mark;
use crate::clock;
use crate::failpoint::{self, reach};
use crate::ingest::{Batch, Lanes, Partition};

/// How long a commit may find no coordinator, and how long the last one is waited for.
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Time before a commit that failed is tried again while somebody waits for it.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// What was taken, and what of that may be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Progress {
    /// The next record to read of each lane.
    next: Vec<i64>,
    /// What is to be committed once every ticket up to this one is acknowledged.
    waiting: Option<(usize, Vec<i64>)>,
}

impl Progress {
    fn take(&mut self, lane: u16, offset: i64) {
        if let Some(next) = self.next.get_mut(usize::from(lane)) {
            *next = (*next).max(offset.saturating_add(1));
        }
    }

    /// Marks what was taken up to `ticket`, unless something waits already.
    fn mark(&mut self, ticket: usize) {
        if self.waiting.is_none() {
            self.waiting = Some((ticket, self.next.clone()));
        }
    }

    /// What waited, once it is acknowledged.
    fn ready(&mut self, acknowledged_below: usize) -> Option<Vec<i64>> {
        self.waiting.take_if(|(ticket, _)| *ticket < acknowledged_below).map(|(_, next)| next)
    }
}

/// Commits the offsets of the group.
pub struct Offsets {
    consumer: Arc<BaseConsumer<Context>>,
    topics: Arc<[String]>,
    names: Arc<Lanes>,
    progress: Progress,
    /// The same as `progress.next`, for whoever watches.
    positions: Positions,
    /// The floor rises with checkpoints, not with acknowledgements.
    rests_on_checkpoints: bool,
    /// Time between two looks at what is acknowledged.
    interval: Duration,
    last: Option<Instant>,
    committer: Arc<Committer>,
    group: String,
}

impl Consumer {
    /// What commits for this reader, without a mark: for whoever is sure to be alone. Call once.
    pub fn offsets(&self) -> Offsets {
        self.offsets_as(None)
    }

    pub(super) fn offsets_as(&self, mark: Option<Mark>) -> Offsets {
        let interval = Duration::from_millis(self.config.commit_interval_ms);
        let start = self.positions.from(0);
        // What is read again as history was committed before.
        let floor = self.goes_on_at.clone().unwrap_or_else(|| start.clone());
        let committer = Arc::new(Committer::new(mark, floor));
        let thread = Thread {
            consumer: Arc::downgrade(&self.consumer),
            topics: Arc::clone(&self.topics),
            names: Arc::clone(&self.names),
            interval,
            committer: Arc::clone(&committer),
            lines: OneASecond::default(),
        };
        if let Err(error) = std::thread::Builder::new().name("committing".to_owned()).spawn(move || thread.run()) {
            committer.lock().failed = Some(Error::Thread(error));
        }
        Offsets {
            consumer: Arc::clone(&self.consumer),
            topics: Arc::clone(&self.topics),
            names: Arc::clone(&self.names),
            progress: Progress { next: start, waiting: None },
            positions: self.positions.clone(),
            rests_on_checkpoints: false,
            interval,
            last: None,
            committer,
            group: self.config.group.clone(),
        }
    }
}

impl Offsets {
    /// From now on the floor rises only by [`Offsets::closed`].
    pub fn rest_on_checkpoints(mut self) -> Self {
        self.rests_on_checkpoints = true;
        self
    }

    /// The records of a batch were handled: what they caused was handed to the producer.
    pub fn handled(&mut self, batch: &Batch) {
        // Partitions that were found since begin where their reading began.
        let known = self.progress.next.len();
        self.progress.next.extend(self.positions.from(known));
        for record in batch.records() {
            self.progress.take(record.lane, record.position.offset);
        }
        self.positions.set(self.progress.next.iter().copied());
    }

    /// By lane, the next record to read behind everything that was handled: what a checkpoint keeps.
    pub fn next(&self) -> Vec<(Partition, i64)> {
        self.names.all().into_iter().zip(self.progress.next.iter().copied()).collect()
    }

    /// A checkpoint is closed that covers everything before these.
    pub fn closed(&mut self, next: &[(Partition, i64)]) {
        self.committer.raise(next.iter().map(|(_, next)| *next).collect());
    }

    /// How far what is handled lies behind what is written.
    pub fn lag(&self) -> Lag {
        Lag::new(&self.consumer, Arc::clone(&self.topics), Arc::clone(&self.names), self.positions.clone())
    }

    /// Raises the floor to what is acknowledged, unless it rests on checkpoints; `ticket` is the last batch's,
    /// `acknowledged_below` the producer's. Fails once another detector has taken over.
    pub fn tick(&mut self, ticket: usize, acknowledged_below: usize) -> Result<(), Error> {
        if !self.rests_on_checkpoints {
            if self.last.is_none_or(|last| last.elapsed() >= self.interval) {
                self.progress.mark(ticket);
                self.last = Some(Instant::now());
            }
            if let Some(next) = self.progress.ready(acknowledged_below) {
                self.committer.raise(next);
            }
        }
        self.check()
    }

    /// Fails once another detector has taken over.
    pub fn check(&self) -> Result<(), Error> {
        let mut state = self.committer.lock();
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        match (&state.taken_over, &self.committer.mark) {
            (Some(other), Some(ours)) => Err(Error::TakenOver {
                owner: other.owner.clone(),
                group: self.group.clone(),
                epoch: other.epoch,
                ours: ours.epoch,
            }),
            _ => Ok(()),
        }
    }

    /// Commits the last floor: everything that was handled, for the caller has seen all of it acknowledged; or what
    /// the last checkpoint covers.
    pub fn finish(&mut self) -> Result<(), Error> {
        if !self.rests_on_checkpoints {
            self.committer.raise(self.progress.next.clone());
        }
        let is_committed = self.committer.commit_now();
        self.check()?;
        match is_committed {
            true => Ok(()),
            false => {
                let late = KafkaError::ConsumerCommit(RDKafkaErrorCode::RequestTimedOut);
                Err(Error::request("commit the offsets")(late))
            }
        }
    }

    /// The epoch of our mark; 0 without one.
    pub fn epoch(&self) -> u64 {
        self.committer.mark.as_ref().map_or(0, |mark| mark.epoch)
    }

    /// How often offsets were committed.
    pub fn commits(&self) -> u64 {
        self.committer.lock().commits
    }
}

impl Drop for Offsets {
    fn drop(&mut self) {
        self.committer.lock().ends = true;
        self.committer.changed.notify_all();
    }
}

/// What the committing thread is told, and what it tells.
struct Committer {
    /// Ours.
    mark: Option<Mark>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// By lane, what may be committed.
    floor: Vec<i64>,
    /// Somebody waits for a commit.
    now: bool,
    ends: bool,
    commits: u64,
    /// A mark that stands before ours.
    taken_over: Option<Mark>,
    /// What stopped it.
    failed: Option<Error>,
}

impl Committer {
    fn new(mark: Option<Mark>, floor: Vec<i64>) -> Self {
        let state = State { floor, now: false, ends: false, commits: 0, taken_over: None, failed: None };
        Committer { mark, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn raise(&self, floor: Vec<i64>) {
        self.lock().floor = floor;
    }

    /// Commits what there is, and waits for it. False where that took too long.
    fn commit_now(&self) -> bool {
        let mut state = self.lock();
        state.now = true;
        self.changed.notify_all();
        let waits = |state: &mut State| state.now && state.taken_over.is_none() && state.failed.is_none();
        let waited = self.changed.wait_timeout_while(state, COMMIT_WAIT_MAX, waits);
        state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        !state.now
    }

    /// Waits until it is time for a commit. `None` once there will be none.
    fn next(&self, interval: Duration) -> Option<Vec<i64>> {
        let waits = |state: &mut State| !state.now && !state.ends;
        let waited = self.changed.wait_timeout_while(self.lock(), interval, waits);
        let state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        (!state.ends && state.taken_over.is_none()).then(|| state.floor.clone())
    }
}

/// The thread that commits.
struct Thread {
    /// It keeps no client alive that everybody else has dropped.
    consumer: Weak<BaseConsumer<Context>>,
    topics: Arc<[String]>,
    names: Arc<Lanes>,
    interval: Duration,
    committer: Arc<Committer>,
    lines: OneASecond,
}

impl Thread {
    fn run(self) {
        while let Some(floor) = self.committer.next(self.interval) {
            let Some(consumer) = self.consumer.upgrade() else { return };
            match self.commit(&consumer, &floor) {
                Ok(None) => {
                    let mut state = self.committer.lock();
                    state.commits += 1;
                    state.now = false;
                }
                Ok(Some(other)) => self.committer.lock().taken_over = Some(other),
                Err(error) => {
                    if let Some(left_out) = self.lines.pass() {
                        tracing::warn!(%error, left_out, "offsets were not committed; the next commit carries them");
                    }
                    // Somebody may wait for this one: it is tried again at once, but not in a tight loop.
                    std::thread::park_timeout(TRY_AGAIN);
                }
            }
            self.committer.changed.notify_all();
        }
    }

    /// One commit; the mark that forbids it.
    fn commit(&self, consumer: &Arc<BaseConsumer<Context>>, floor: &[i64]) -> Result<Option<Mark>, Error> {
        // Partitions of topics that are no longer configured keep what they have.
        let lanes = self.names.all().into_iter().zip(floor.iter().copied());
        let offsets: Vec<(Partition, i64)> = lanes.filter(|(lane, _)| self.topics.contains(&lane.topic)).collect();
        let mark = match &self.committer.mark {
            None => None,
            Some(ours) => {
                let partitions: Vec<Partition> = offsets.iter().map(|(lane, _)| lane.clone()).collect();
                let (_, seen) = claim::read(consumer, &partitions, COMMIT_WAIT_MAX)?;
                if let Some(other) = seen.mark.filter(|other| other.is_before(ours)) {
                    return Ok(Some(other));
                }
                Some(Mark { time: clock::now(), ..ours.clone() })
            }
        };
        reach(failpoint::COMMIT_BEFORE);
        claim::write(consumer, &offsets, mark.as_ref(), COMMIT_WAIT_MAX)?;
        reach(failpoint::COMMIT_DONE);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_was_acknowledged_and_is_the_next_to_read() {
        let mut progress = Progress { next: vec![10, 20], waiting: None };
        progress.take(0, 10);
        progress.take(1, 20);
        progress.mark(7);
        progress.take(0, 11);
        progress.mark(8);
        assert_eq!(progress.ready(7), None, "a record of ticket 7 is not acknowledged");
        assert_eq!(progress.ready(8), Some(vec![11, 21]), "as of the mark, not as of now");
        assert_eq!(progress.ready(usize::MAX), None, "once");
        progress.mark(8);
        assert_eq!(progress.ready(usize::MAX), Some(vec![12, 21]));
    }
}
