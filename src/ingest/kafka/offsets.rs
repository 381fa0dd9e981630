//! What may be committed, and committing it.
//!
//! Guarantees: what is committed is the *floor*: the next record to read of each partition, raised only when a
//! checkpoint that covers everything before it is closed. Commits at an interval, idle or not, on a thread of its own,
//! so that a broker that is away keeps nobody waiting. Under a mark it looks before each commit, and a mark that stands
//! before ours is an error: nothing more is committed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::claim::{self, Standing};
use super::consumer::Consumer;
use super::context::{Context, OneASecond};
use super::error::Error;
use super::lag::Positions;
use super::owner::Mark;
use crate::clock;
use crate::failpoint::{self, reach};
use crate::ingest::{Batch, Lanes, Partition};

/// How long a commit may find no coordinator, and how long the last one is waited for.
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Time before a commit that failed is tried again while somebody waits for it.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Where the offsets of a group stand: Kafka, or a simulation of it.
pub trait Group: Send + Sync {
    /// What stands there of these partitions.
    fn read(&self, partitions: &[Partition]) -> Result<Standing, Error>;
    /// Puts offsets there, under a mark, and waits until they stand.
    fn write(&self, offsets: &[(Partition, i64)], mark: Option<&Mark>) -> Result<(), Error>;
}

impl Group for BaseConsumer<Context> {
    fn read(&self, partitions: &[Partition]) -> Result<Standing, Error> {
        claim::read(self, partitions, COMMIT_WAIT_MAX)
    }

    fn write(&self, offsets: &[(Partition, i64)], mark: Option<&Mark>) -> Result<(), Error> {
        claim::write(self, offsets, mark, COMMIT_WAIT_MAX)
    }
}

/// A reader's place in its group.
pub struct Seat {
    /// The group's name.
    pub name: String,
    /// The topics that are read: partitions of others keep what they have.
    pub topics: Arc<[String]>,
    /// The partitions by lane.
    pub names: Arc<Lanes>,
    /// The next offset of each.
    pub positions: Positions,
    /// Ours; without one nobody looks who else commits.
    pub mark: Option<Mark>,
}

/// Commits the offsets of the group.
pub struct Offsets {
    /// Keeps the client alive.
    _group: Arc<dyn Group>,
    /// The next record to read of each lane.
    next: Vec<i64>,
    committer: Arc<Committer>,
}

impl Consumer {
    /// What commits for this reader, without a mark: for whoever is sure to be alone. Call once.
    pub fn offsets(&self) -> Offsets {
        self.offsets_as(None)
    }

    pub(super) fn offsets_as(&self, mark: Option<Mark>) -> Offsets {
        let seat = Seat {
            name: self.config.group.clone(),
            topics: Arc::clone(&self.topics),
            names: Arc::clone(&self.names),
            // What is read again as history was committed before.
            positions: match &self.goes_on_at {
                Some(offsets) => Positions::at(offsets.iter().copied()),
                None => self.positions.clone(),
            },
            mark,
        };
        let interval = Duration::from_millis(self.config.commit_interval_ms);
        Offsets::new(Arc::clone(&self.consumer) as Arc<dyn Group>, seat, Some(interval))
    }
}

impl Offsets {
    /// Commits at an interval; without one only [`Offsets::commit`] and [`Offsets::finish`] do.
    pub fn new(group: Arc<dyn Group>, seat: Seat, interval: Option<Duration>) -> Self {
        let next = seat.positions.from(0);
        let committer = Arc::new(Committer {
            group: Arc::downgrade(&group),
            seat,
            has_thread: interval.is_some(),
            state: Mutex::new(State { floor: next.clone(), ..State::default() }),
            changed: Condvar::new(),
            lines: OneASecond::default(),
        });
        if let Some(interval) = interval {
            let thread = Arc::clone(&committer);
            let body = move || thread.run(interval);
            if let Err(error) = std::thread::Builder::new().name("committing".to_owned()).spawn(body) {
                committer.lock().failed = Some(Error::Thread(error));
            }
        }
        Offsets { _group: group, next, committer }
    }

    /// The records of a batch were handled: what they caused was handed to the producer.
    pub fn handled(&mut self, batch: &Batch) {
        let positions = &self.committer.seat.positions;
        // Partitions that were found since begin where their reading began.
        self.next.extend(positions.from(self.next.len()));
        for record in batch.records() {
            if let Some(next) = self.next.get_mut(usize::from(record.lane)) {
                *next = (*next).max(record.position.offset.saturating_add(1));
            }
        }
        positions.set(self.next.iter().copied());
    }

    /// By lane, the next record to read behind everything that was handled: what a checkpoint keeps.
    pub fn next(&self) -> Vec<(Partition, i64)> {
        self.committer.seat.names.all().into_iter().zip(self.next.iter().copied()).collect()
    }

    /// A checkpoint is closed that covers everything before these.
    pub fn closed(&self, next: &[(Partition, i64)]) {
        self.committer.lock().floor = next.iter().map(|(_, next)| *next).collect();
    }

    /// Fails once another detector has taken over.
    pub fn check(&self) -> Result<(), Error> {
        let mut state = self.committer.lock();
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        let Seat { name, mark, .. } = &self.committer.seat;
        match (&state.taken_over, mark) {
            (Some(other), Some(ours)) => Err(Error::TakenOver {
                owner: other.owner.clone(),
                group: name.clone(),
                epoch: other.epoch,
                ours: ours.epoch,
            }),
            _ => Ok(()),
        }
    }

    /// Commits the floor once more, and waits for it: what the last checkpoint covers.
    pub fn finish(&self) -> Result<(), Error> {
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

    /// Commits the floor, as the interval does.
    pub fn commit(&self) {
        self.committer.commit();
    }

    /// The epoch of our mark; 0 without one.
    pub fn epoch(&self) -> u64 {
        self.committer.seat.mark.as_ref().map_or(0, |mark| mark.epoch)
    }

    /// How often offsets were committed.
    pub fn commits(&self) -> u64 {
        self.committer.lock().commits
    }

    /// For whoever watches over the service.
    pub fn watch(&self) -> CommitWatch {
        CommitWatch { committer: Arc::clone(&self.committer), began: Instant::now() }
    }
}

/// Looks at commits from elsewhere.
#[derive(Clone)]
pub struct CommitWatch {
    committer: Arc<Committer>,
    began: Instant,
}

impl CommitWatch {
    /// Time since the last commit, or since it was first looked at.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.committer.lock().committed_at.unwrap_or(self.began))
    }
}

impl Drop for Offsets {
    fn drop(&mut self) {
        self.committer.lock().ends = true;
        self.committer.changed.notify_all();
    }
}

/// What commits.
struct Committer {
    /// It keeps no client alive that everybody else has dropped.
    group: Weak<dyn Group>,
    seat: Seat,
    /// A thread of its own commits at the interval, and when somebody waits.
    has_thread: bool,
    state: Mutex<State>,
    changed: Condvar,
    lines: OneASecond,
}

#[derive(Default)]
struct State {
    /// By lane, what may be committed.
    floor: Vec<i64>,
    /// Somebody waits for a commit.
    now: bool,
    ends: bool,
    commits: u64,
    /// When the last one was.
    committed_at: Option<Instant>,
    /// A mark that stands before ours.
    taken_over: Option<Mark>,
    /// What stopped it.
    failed: Option<Error>,
}

impl Committer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn run(&self, interval: Duration) {
        while self.is_time(interval) {
            if !self.commit() {
                // Somebody may wait for this one: it is tried again at once, but not in a tight loop.
                std::thread::park_timeout(TRY_AGAIN);
            }
        }
    }

    /// Waits until it is time for a commit. False once there will be none.
    fn is_time(&self, interval: Duration) -> bool {
        let waits = |state: &mut State| !state.now && !state.ends;
        let waited = self.changed.wait_timeout_while(self.lock(), interval, waits);
        let state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        !state.ends && state.taken_over.is_none()
    }

    /// Commits what there is, and waits for it. False where that took too long.
    fn commit_now(&self) -> bool {
        let mut state = self.lock();
        state.now = true;
        if !self.has_thread {
            drop(state);
            self.commit();
            return !self.lock().now;
        }
        self.changed.notify_all();
        let waits = |state: &mut State| state.now && state.taken_over.is_none() && state.failed.is_none();
        let waited = self.changed.wait_timeout_while(state, COMMIT_WAIT_MAX, waits);
        state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        !state.now
    }

    /// One commit, and what came of it. False where it is to be tried again.
    fn commit(&self) -> bool {
        let Some(group) = self.group.upgrade() else { return true };
        let floor = self.lock().floor.clone();
        let done = self.write(&*group, &floor);
        let mut state = self.lock();
        match &done {
            Ok(None) => {
                state.commits += 1;
                state.committed_at = Some(Instant::now());
                // Whoever waits does so for the floor of then: it may have risen while this one was on its way.
                state.now &= state.floor != floor;
            }
            Ok(Some(other)) => state.taken_over = Some(other.clone()),
            Err(error) => {
                if let Some(left_out) = self.lines.pass() {
                    tracing::warn!(%error, left_out, "offsets were not committed; the next commit carries them");
                }
            }
        }
        self.changed.notify_all();
        done.is_ok()
    }

    /// Writes a floor; the mark that forbids it.
    fn write(&self, group: &dyn Group, floor: &[i64]) -> Result<Option<Mark>, Error> {
        let Seat { topics, names, mark, .. } = &self.seat;
        // Partitions of topics that are no longer configured keep what they have.
        let lanes = names.all().into_iter().zip(floor.iter().copied());
        let offsets: Vec<(Partition, i64)> = lanes.filter(|(lane, _)| topics.contains(&lane.topic)).collect();
        let mark = match mark {
            None => None,
            Some(ours) => {
                let partitions: Vec<Partition> = offsets.iter().map(|(lane, _)| lane.clone()).collect();
                let (_, seen) = group.read(&partitions)?;
                if let Some(other) = seen.mark.filter(|other| other.is_before(ours)) {
                    return Ok(Some(other));
                }
                Some(Mark { time: clock::now(), ..ours.clone() })
            }
        };
        reach(failpoint::COMMIT_BEFORE);
        group.write(&offsets, mark.as_ref())?;
        reach(failpoint::COMMIT_DONE);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A group that takes its time: each commit says that it began, and waits until it may end.
    struct Slow {
        begun: Mutex<Sender<i64>>,
        may_end: Mutex<Receiver<()>>,
    }

    impl Group for Slow {
        fn read(&self, _: &[Partition]) -> Result<Standing, Error> {
            Ok(Standing::default())
        }

        fn write(&self, offsets: &[(Partition, i64)], _: Option<&Mark>) -> Result<(), Error> {
            // Nobody looks on any more once the test has ended.
            let _ = self.begun.lock().expect("whole").send(offsets[0].1);
            let _ = self.may_end.lock().expect("whole").recv();
            Ok(())
        }
    }

    #[test]
    fn whoever_finishes_waits_for_the_floor_of_then_and_not_for_a_commit_that_was_on_its_way() {
        let ((begun, begins), (lets_end, may_end)) = (channel(), channel());
        let slow = Slow { begun: Mutex::new(begun), may_end: Mutex::new(may_end) };
        let lane = Partition::new("logins", 0);
        let seat = Seat {
            name: "group".to_owned(),
            topics: Arc::new(["logins".to_owned()]),
            names: Arc::new(Lanes::new(vec![lane.clone()])),
            positions: Positions::at([0].into_iter()),
            mark: None,
        };
        let offsets = Offsets::new(Arc::new(slow), seat, Some(Duration::from_secs(3600)));
        let limit = Duration::from_secs(30);
        std::thread::scope(|scope| {
            scope.spawn(|| offsets.commit());
            assert_eq!(begins.recv_timeout(limit), Ok(0), "one is on its way");
            offsets.closed(&[(lane, 6000)]);
            let finishing = scope.spawn(|| offsets.finish());
            assert_eq!(begins.recv_timeout(limit), Ok(6000), "the thread begins with the newest");
            lets_end.send(()).expect("both wait");
            // The first one has ended, the other one not.
            for _ in 0..100 {
                assert!(begins.recv_timeout(Duration::from_millis(1)).is_err());
                assert!(!finishing.is_finished(), "what was closed is not committed yet");
            }
            drop(lets_end);
            finishing.join().expect("no panic").expect("in time");
        });
    }
}
