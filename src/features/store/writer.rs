//! What writes checkpoints, one at a time: a thread, while the engine goes on.
//!
//! Guarantees: a checkpoint counts as closed only once its redo file outlives everything, and as applied once the
//! store has it; after a failure nothing more is written and every call says why. Decides when one is due, by the time
//! the last one took. Encodes nothing: it is given what changed. A simulation has no thread: it says when the next step
//! is done ([`Hands`]), and the steps are the same.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::checkpoint::{Checkpoint, Mark, Progress};
use super::recover::Recovered;
use super::steps::Place;
use super::{Redo, StoreError};
use crate::telemetry::health::State;
use crate::telemetry::state::CheckpointDone;
use crate::telemetry::{Health, Metrics};

/// How long a checkpoint may take until the check `state` warns.
pub const LATENCY_WARN: Duration = Duration::from_secs(10);
/// How long a checkpoint may take until the check `state` fails: it is stuck.
pub const LATENCY_MAX: Duration = Duration::from_secs(60);
/// The name of the check.
pub const CHECK: &str = "state";
/// At least so many times as long as a checkpoint took nothing is written before the next one begins.
const REST_FACTOR: u32 = 4;

/// Who does the steps of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hands {
    /// A thread of their own.
    Thread,
    /// Whoever waits for them, and [`Checkpoints::step`]: for a simulation, in which nothing happens by itself.
    Caller,
}

/// Writes checkpoints.
#[derive(Debug)]
pub struct Checkpoints {
    worker: Worker,
    shared: Arc<Shared>,
    hash_key: String,
    /// The number of the next one.
    next: u64,
    /// When the last one was begun, or the writing of them.
    begun: Instant,
    every: Duration,
}

/// What writes, as [`Hands`] says.
#[derive(Debug)]
enum Worker {
    Thread(SyncSender<Work>),
    Caller(Box<Writer>),
}

/// What is written.
#[derive(Debug)]
struct Work {
    redo: Redo,
    mark: Mark,
}

/// How far it is written.
#[derive(Debug)]
enum Stage {
    /// Its redo file is to be closed.
    Begun(Work),
    /// It is closed: the store is to take it.
    Closed { mark: Mark, chunks: Vec<Vec<u8>>, changes: u64, bytes: u64, closed_in: Duration },
}

#[derive(Debug, Default)]
struct Shared {
    status: Mutex<Status>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Status {
    closed: Option<Arc<Checkpoint>>,
    applied: Option<u64>,
    /// When the newest closed one was closed; none was since the start where it is `None`.
    closed_at: Option<Instant>,
    under_way: Option<(u64, Instant)>,
    /// How long the last one took.
    took: Duration,
    failed: Option<Failed>,
}

/// How it failed: the first who asks gets the error itself.
#[derive(Debug)]
struct Failed {
    error: Option<StoreError>,
    text: String,
}

/// Looks at checkpoints from elsewhere. Clones look at the same.
#[derive(Debug, Clone)]
pub struct CheckpointWatch {
    shared: Arc<Shared>,
    began: Instant,
}

impl Checkpoints {
    /// Starts the thread, if there is to be one. `recovered` is where the store stands, `every` the time between two
    /// beginnings at least.
    pub fn start(
        hands: Hands,
        place: Place,
        recovered: &Recovered,
        hash_key: &str,
        every: Duration,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let last = recovered.checkpoint.as_ref().map(|checkpoint| checkpoint.number);
        {
            let mut status = shared.lock();
            status.closed = recovered.checkpoint.clone().map(Arc::new);
            status.applied = last;
        }
        let mut writer = Writer { place, shared: Arc::clone(&shared), metrics, begun: Instant::now(), stage: None };
        let worker = match hands {
            Hands::Caller => Worker::Caller(Box::new(writer)),
            Hands::Thread => {
                let (work, todo) = sync_channel(1);
                std::thread::Builder::new().name("checkpoints".to_owned()).spawn(move || writer.run(&todo))?;
                Worker::Thread(work)
            }
        };
        let next = last.unwrap_or(0) + 1;
        Ok(Checkpoints { worker, shared, hash_key: hash_key.to_owned(), next, begun: Instant::now(), every })
    }

    /// Whether it is time for the next one: none is under way, and the last one has rested.
    pub fn is_due(&self, now: Instant) -> bool {
        let status = self.shared.lock();
        let rest = self.every.max(status.took * REST_FACTOR);
        status.under_way.is_none() && now.saturating_duration_since(self.begun) >= rest
    }

    /// Whether one is under way.
    pub fn is_busy(&self) -> bool {
        self.shared.lock().under_way.is_some()
    }

    /// Begins one: its number. Where another is still under way it waits for that first.
    pub fn begin(&mut self, redo: Redo, progress: Progress) -> Result<u64, StoreError> {
        self.wait(None);
        self.check()?;
        let number = self.next;
        let mark = Mark::new(&self.hash_key, Checkpoint { number, progress });
        let now = Instant::now();
        self.shared.lock().under_way = Some((number, now));
        (self.next, self.begun) = (number + 1, now);
        let work = Work { redo, mark };
        match &mut self.worker {
            Worker::Caller(writer) => writer.begin(work),
            Worker::Thread(thread) => {
                // The queue is empty: nothing is under way. The thread ends by a failure only, which the check tells.
                if thread.send(work).is_err() {
                    self.shared.lock().under_way = None;
                    self.check()?;
                }
            }
        }
        Ok(number)
    }

    /// Does the next step of what is under way, where no thread does.
    pub fn step(&mut self) {
        if let Worker::Caller(writer) = &mut self.worker {
            writer.step();
        }
    }

    /// The last one that is closed: Kafka's offsets may be committed up to it and no further.
    pub fn closed(&self) -> Option<Arc<Checkpoint>> {
        self.shared.lock().closed.clone()
    }

    /// The number of the last one that the store has: what was saved up to it may be read back, and a start goes back
    /// no further than to it, whatever becomes of redo files.
    pub fn applied(&self) -> Option<u64> {
        self.shared.lock().applied
    }

    /// Whether anything failed.
    pub fn check(&self) -> Result<(), StoreError> {
        match &mut self.shared.lock().failed {
            None => Ok(()),
            Some(Failed { error, text }) => Err(error.take().unwrap_or_else(|| StoreError::Poisoned(text.clone()))),
        }
    }

    /// Waits until none is under way, at most until `deadline`. Whether none is.
    pub fn wait(&mut self, deadline: Option<Instant>) -> bool {
        if let Worker::Caller(writer) = &mut self.worker {
            writer.finish();
        }
        let mut status = self.shared.lock();
        while status.under_way.is_some() {
            status = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    let waited = self.shared.changed.wait_timeout(status, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.shared.changed.wait(status).unwrap_or_else(PoisonError::into_inner),
            };
        }
        true
    }

    /// Waits for the one under way, at most until `deadline`, and ends. The last closed one: what the store has not
    /// taken by then it is given at the next start.
    pub fn finish(mut self, deadline: Instant) -> Result<Option<Arc<Checkpoint>>, StoreError> {
        self.wait(Some(deadline));
        self.check()?;
        Ok(self.closed())
    }

    /// For whoever watches over the service.
    pub fn watch(&self) -> CheckpointWatch {
        CheckpointWatch { shared: Arc::clone(&self.shared), began: self.begun }
    }
}

impl CheckpointWatch {
    /// How the check `state` stands.
    pub fn look(&self, now: Instant) -> (State, String) {
        let status = self.shared.lock();
        let number = status.closed.as_ref().map_or(0, |checkpoint| checkpoint.number);
        if let Some(failed) = &status.failed {
            return (State::Failed, format!("no checkpoint is written any more: {}", failed.text));
        }
        let under_way = status.under_way.map(|(number, begun)| (number, now.saturating_duration_since(begun)));
        match under_way {
            Some((number, waits)) if waits > LATENCY_MAX => {
                (State::Failed, format!("checkpoint {number} is stuck: it takes {} s already", waits.as_secs()))
            }
            Some((number, waits)) if waits > LATENCY_WARN => {
                (State::Warning, format!("checkpoint {number} takes {} s already: the disk is slow", waits.as_secs()))
            }
            _ if status.took > LATENCY_WARN => {
                (State::Warning, format!("checkpoint {number} took {} s: the disk is slow", status.took.as_secs()))
            }
            _ => (State::Ok, format!("checkpoint {number} is closed")),
        }
    }

    /// Tells both to whoever asks the service how it is.
    pub fn tell(&self, health: &Health, metrics: &Metrics, now: Instant) {
        let (state, detail) = self.look(now);
        health.tell(CHECK, state, detail, now);
        metrics.checkpoint_age.set(self.age(now).as_secs_f64());
    }

    /// Time since the last one was closed, or since the start.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.shared.lock().closed_at.unwrap_or(self.began))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does one checkpoint after the other.
#[derive(Debug)]
struct Writer {
    place: Place,
    shared: Arc<Shared>,
    metrics: Metrics,
    begun: Instant,
    /// What is under way.
    stage: Option<Stage>,
}

impl Writer {
    /// The thread.
    fn run(&mut self, todo: &Receiver<Work>) {
        while let Ok(work) = todo.recv() {
            self.begin(work);
            self.finish();
            if self.shared.lock().failed.is_some() {
                return;
            }
        }
    }

    fn begin(&mut self, work: Work) {
        (self.begun, self.stage) = (Instant::now(), Some(Stage::Begun(work)));
    }

    /// Does what is left of it.
    fn finish(&mut self) {
        while self.stage.is_some() {
            self.step();
        }
    }

    /// Does the next step, and tells what came of it.
    fn step(&mut self) {
        let Some(stage) = self.stage.take() else { return };
        let done = catch_unwind(AssertUnwindSafe(|| match stage {
            Stage::Begun(work) => self.close(work).map(Some),
            Stage::Closed { mark, chunks, changes, bytes, closed_in } => {
                self.apply(&mark, &chunks)?;
                let (number, took) = (mark.checkpoint.number, self.begun.elapsed());
                let store_bytes = self.place.store.disk_bytes()?;
                CheckpointDone { number, changes, bytes, closed_in, took, store_bytes }.tell(&self.metrics);
                Ok(None)
            }
        }));
        match done.unwrap_or_else(|_| Err(StoreError::Poisoned("the thread ended by a bug".to_owned()))) {
            Ok(Some(next)) => self.stage = Some(next),
            Ok(None) => self.ended(None),
            Err(error) => self.ended(Some(error)),
        }
    }

    fn close(&self, Work { redo, mark }: Work) -> Result<Stage, StoreError> {
        let changes = redo.entries();
        let chunks = redo.into_chunks()?;
        let bytes = self.place.close(&mark, &chunks)?;
        let mut status = self.shared.lock();
        status.closed = Some(Arc::new(mark.checkpoint.clone()));
        status.closed_at = Some(Instant::now());
        Ok(Stage::Closed { mark, chunks, changes, bytes, closed_in: self.begun.elapsed() })
    }

    fn apply(&self, mark: &Mark, chunks: &[Vec<u8>]) -> Result<(), StoreError> {
        self.place.apply(mark, chunks)?;
        self.shared.lock().applied = Some(mark.checkpoint.number);
        Ok(())
    }

    /// Nothing is under way any more.
    fn ended(&self, failed: Option<StoreError>) {
        let mut status = self.shared.lock();
        let number = status.under_way.take().map_or(0, |(number, _)| number);
        status.took = self.begun.elapsed();
        if let Some(error) = failed {
            tracing::error!(checkpoint = number, %error, "a checkpoint failed: no more are written");
            status.failed = Some(Failed { text: error.to_string(), error: Some(error) });
        }
        drop(status);
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Changes as _, SimulatedStore, Space, recover};
    use super::*;
    use crate::disk::SimulatedDisk;

    const HOUR: Duration = Duration::from_secs(3600);

    fn place() -> (SimulatedDisk, Place) {
        let disk = SimulatedDisk::new(1);
        let store = Arc::new(SimulatedStore::new(&disk));
        let place = Place { disk: Arc::new(disk.clone()), folder: "/s".into(), store };
        (disk, place)
    }

    fn started(place: &Place) -> Checkpoints {
        let recovered = recover(place, Path::new("/s/hash.key"), "k-1").expect("recovered");
        let metrics = Metrics::new().expect("metrics");
        Checkpoints::start(Hands::Thread, place.clone(), &recovered, "k-1", HOUR, metrics).expect("a thread")
    }

    fn redo(value: &[u8]) -> Redo {
        let mut redo = Redo::new();
        redo.put(Space::Account, b"a", value);
        redo
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn checkpoints_are_closed_and_applied_in_order_and_go_on_after_a_start() {
        let (_, place) = place();
        let mut checkpoints = started(&place);
        assert_eq!((checkpoints.closed(), checkpoints.applied()), (None, None));
        for batch in 1..=3 {
            let progress = Progress { batch, ..Progress::default() };
            assert_eq!(checkpoints.begin(redo(&[batch as u8]), progress).expect("begun"), batch);
        }
        let closed = checkpoints.finish(soon()).expect("none failed").expect("closed");
        assert_eq!((closed.number, closed.progress.batch), (3, 3));
        assert_eq!(place.store.get(Space::Account, b"a").expect("memory"), Some(vec![3]));

        let mut again = started(&place);
        assert_eq!(again.closed(), Some(closed));
        assert_eq!(again.begin(redo(b"x"), Progress::default()).expect("begun"), 4);
        assert!(again.wait(Some(soon())));
        assert_eq!(again.applied(), Some(4));
    }

    #[test]
    fn one_is_due_after_its_time_and_later_where_the_last_one_took_long() {
        let (_, place) = place();
        let mut checkpoints = started(&place);
        let now = Instant::now();
        assert!(!checkpoints.is_due(now) && checkpoints.is_due(now + HOUR));
        checkpoints.begin(redo(b"1"), Progress::default()).expect("begun");
        assert!(checkpoints.wait(Some(soon())));
        checkpoints.shared.lock().took = HOUR;
        let begun = checkpoints.begun;
        assert!(!checkpoints.is_due(begun + HOUR * 3) && checkpoints.is_due(begun + HOUR * 4));
        checkpoints.shared.lock().under_way = Some((2, begun));
        assert!(!checkpoints.is_due(begun + HOUR * 9), "one at a time");
    }

    #[test]
    fn after_a_failure_every_call_says_why_and_nothing_is_closed() {
        let (disk, place) = place();
        let mut checkpoints = started(&place);
        checkpoints.begin(redo(b"1"), Progress::default()).expect("begun");
        assert!(checkpoints.wait(Some(soon())));
        // Its name, its head, and then nothing fits.
        disk.fail_after(2, std::io::ErrorKind::StorageFull);
        checkpoints.begin(redo(b"2"), Progress::default()).expect("begun");
        assert!(checkpoints.wait(Some(soon())));
        let first = checkpoints.check().expect_err("failed").to_string();
        assert!(first.starts_with("failed to write /s/redo-000000000002: "), "{first}");
        let second = checkpoints.begin(redo(b"3"), Progress::default()).expect_err("failed");
        assert!(matches!(&second, StoreError::Poisoned(why) if *why == first), "{second}");
        assert_eq!(checkpoints.closed().expect("the first").number, 1);
        let (state, detail) = checkpoints.watch().look(Instant::now());
        assert_eq!(state, State::Failed);
        assert!(detail.contains("redo-000000000002"), "{detail}");
        assert!(checkpoints.finish(soon()).is_err());
        // The next start deletes what was not finished and goes on.
        assert_eq!(started(&place).applied(), Some(1));
    }

    #[test]
    fn one_that_takes_long_is_a_warning_and_one_that_is_stuck_fails() {
        let (_, place) = place();
        let checkpoints = started(&place);
        let (watch, now) = (checkpoints.watch(), Instant::now());
        assert_eq!(watch.look(now), (State::Ok, "checkpoint 0 is closed".to_owned()));
        checkpoints.shared.lock().under_way = Some((1, now));
        assert_eq!(watch.look(now + LATENCY_WARN).0, State::Ok);
        let (state, detail) = watch.look(now + Duration::from_secs(11));
        assert_eq!((state, detail.as_str()), (State::Warning, "checkpoint 1 takes 11 s already: the disk is slow"));
        let (state, detail) = watch.look(now + Duration::from_secs(61));
        assert_eq!((state, detail.as_str()), (State::Failed, "checkpoint 1 is stuck: it takes 61 s already"));
        assert_eq!(watch.age(checkpoints.begun + HOUR), HOUR);
    }
}
