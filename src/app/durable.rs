//! What detection leaves behind for the next start: the batch log before a batch is decided, checkpoints behind it.
//!
//! Guarantees: a batch is in the log before anything comes of it; a checkpoint is written only once Kafka has
//! acknowledged everything that its batches caused, and offsets are committed only once it is closed; a start goes on
//! exactly where the last closed checkpoint stands and takes what was logged behind it again. Decides nothing about
//! events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::current::InForce;
use super::{Prepared, RunError, private_folder};
use crate::detect::{Engine, Options, Swapped};
use crate::disk::{DiskFile, RealDisk};
use crate::failpoint::{self, reach};
use crate::features::store::{
    Checkpoint, CheckpointWatch, Checkpoints, FjallStore, Hands, NextOffset, Place, Progress, Recovered, Redo, Source,
    StateKey, Store, recover,
};
use crate::ingest::batch_log::{BatchLog, Digests, Logged};
use crate::ingest::kafka::consumer::{Begin, Standing};
use crate::ingest::kafka::{Offsets, Producer};
use crate::ingest::{Batch, Lanes, Partition};
use crate::mutant::{self, Mutant};
use crate::telemetry::Metrics;
use crate::telemetry::state::StateOpened;

/// The folder of the batch log, in that of the state.
const LOG_FOLDER: &str = "batches";

/// From where on records are taken. `cold`: an empty state may begin where the group stands.
pub fn begin(found: Option<&Found>, cold: bool) -> Begin {
    let checkpoint = found.and_then(|found| Some((found, found.recovered.checkpoint.as_ref()?)));
    let Some((found, checkpoint)) = checkpoint else {
        return if cold { Begin::Group } else { Begin::Fresh };
    };
    if checkpoint.progress.offsets.is_empty() {
        // Made from a file: no partition was read yet.
        return Begin::Group;
    }
    let again = if mutant::is(Mutant::CutsAgainOtherwise) { Arc::default() } else { Arc::clone(&found.again) };
    Begin::State(Standing { next: next_of(&checkpoint.progress), again })
}

/// By lane, the first offset that a checkpoint does not cover.
fn next_of(progress: &Progress) -> Vec<(Partition, i64)> {
    let next = |next: &NextOffset| (Partition::new(next.topic.clone(), next.partition), next.offset);
    progress.offsets.iter().map(next).collect()
}

/// Where the state is kept, and who writes it.
pub struct Home {
    pub place: Place,
    /// The key that entities are hashed with.
    pub key: StateKey,
    pub hands: Hands,
    /// Time between two checkpoints at least.
    pub every: Duration,
}

/// The state as a start finds it.
pub struct Found {
    home: Home,
    recovered: Recovered,
    log: BatchLog,
    again: Arc<[Logged]>,
    metrics: Metrics,
}

impl Found {
    /// Opens what there is; `None` where nothing was kept yet, and then nothing is made.
    pub fn existing(prepared: &Prepared, metrics: &Metrics) -> Result<Option<Self>, RunError> {
        let is_there = FjallStore::is_there(&prepared.config.state_directory);
        is_there.then(|| Self::open(prepared, metrics)).transpose()
    }

    /// Opens what there is, and makes what is not; no other process may have it open.
    pub fn open(prepared: &Prepared, metrics: &Metrics) -> Result<Self, RunError> {
        let folder = prepared.config.state_directory.clone();
        let failed = |error| RunError::StateDirectory(folder.clone(), error);
        private_folder(&folder.join(LOG_FOLDER)).map_err(failed)?;
        // Without one nothing could be found again; whoever prepares a run draws it.
        let key = prepared.state_key.clone();
        let mut key = key.ok_or_else(|| failed(std::io::Error::other("no key of the state was drawn")))?;
        key.keep()?;
        let store = Arc::new(FjallStore::open(&folder)?);
        let place = Place { disk: Arc::new(RealDisk), folder, store };
        let every = Duration::from_millis(prepared.config.state.checkpoint_ms);
        Self::at(Home { place, key, hands: Hands::Thread, every }, metrics)
    }

    /// Brings the store to the last closed checkpoint, and reads what was logged behind it.
    pub fn at(home: Home, metrics: &Metrics) -> Result<Self, RunError> {
        let Place { disk, folder, .. } = &home.place;
        let log_folder = folder.join(LOG_FOLDER);
        let recovered = recover(&home.place, &home.key.path, &home.key.id)?;
        let after = match &recovered.checkpoint {
            Some(checkpoint) => checkpoint.progress.batch,
            None => {
                // Nothing is decided before the first checkpoint: what lies here is of a state that is gone.
                BatchLog::clear(&**disk, &log_folder)?;
                0
            }
        };
        let opened = BatchLog::open(Arc::clone(disk), &log_folder, after, false)?;
        Ok(Found { home, recovered, log: opened.log, again: opened.again.into(), metrics: metrics.clone() })
    }

    /// The engine as it was, or a new one; with what the rules change of it.
    pub fn engine(&self, prepared: &Prepared, options: Options) -> Result<(Engine, Option<Swapped>), RunError> {
        self.engine_under(&prepared.in_force, prepared, options)
    }

    /// The same under other rules than those of the start.
    pub fn engine_under(
        &self,
        in_force: &InForce,
        prepared: &Prepared,
        options: Options,
    ) -> Result<(Engine, Option<Swapped>), RunError> {
        let (rules, bands) = (Arc::clone(&in_force.ruleset), in_force.policy.bands);
        let store: Source = Arc::<dyn Store>::clone(&self.home.place.store);
        if self.recovered.checkpoint.is_none() {
            let mut engine = Engine::new(rules, bands, options, prepared.key);
            engine.keep_in(store);
            return Ok((engine, None));
        }
        let begun = Instant::now();
        let (engine, swapped) = Engine::restore_beside(rules, bands, options, prepared.key, store)?;
        StateOpened {
            checkpoint: self.recovered.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.number),
            batches_again: self.again.len(),
            took: begun.elapsed(),
        }
        .tell();
        Ok((engine, Some(swapped)))
    }

    /// The batches that are taken again.
    pub fn again(&self) -> Arc<[Logged]> {
        Arc::clone(&self.again)
    }

    /// The last checkpoint; `None` in a new store.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.recovered.checkpoint.as_ref()
    }

    /// What writes checkpoints, without a batch log: for a state that is made out of history.
    pub fn checkpoints(self) -> Result<Checkpoints, RunError> {
        let Found { home: Home { place, key, hands, every }, recovered, metrics, .. } = self;
        Checkpoints::start(hands, place, &recovered, &key.id, every, metrics)
            .map_err(|error| RunError::System("start a thread", error))
    }

    /// Starts writing. The state of a new store is its first checkpoint, closed before this returns: whatever happens
    /// from then on, the next start knows where this one began: at `starts`, by lane in `names`.
    pub fn start(
        self,
        engine: &mut Engine,
        names: Arc<Lanes>,
        starts: Vec<(Partition, i64)>,
        in_force: &Digests,
    ) -> Result<Durable, RunError> {
        let Found { home: Home { place, key, hands, every }, recovered, log, metrics, .. } = self;
        let checkpoints = Checkpoints::start(hands, place, &recovered, &key.id, every, metrics)
            .map_err(|error| RunError::System("start a thread", error))?;
        let last = recovered.checkpoint.as_ref();
        let mut durable = Durable {
            log,
            names,
            checkpoints,
            waiting: None,
            saved_as: Saved::Stored,
            is_hurried: false,
            told: last.map_or(0, |checkpoint| checkpoint.number),
            covered: None,
            batch: last.map_or(0, |checkpoint| checkpoint.progress.batch),
            moment_ms: last.map_or(0, |checkpoint| checkpoint.progress.moment_ms),
            saved: last.map(|checkpoint| checkpoint.progress.batch),
            epoch: last.map_or(0, |checkpoint| checkpoint.progress.epoch),
        };
        if last.is_none_or(|checkpoint| checkpoint.progress.offsets.is_empty()) {
            let (redo, progress) = durable.capture(engine, starts, in_force)?;
            durable.saved_as = Saved::In(durable.checkpoints.begin(redo, progress)?);
            durable.checkpoints.wait(None);
            durable.checkpoints.check()?;
            durable.rest(engine);
        }
        Ok(durable)
    }
}

/// A state that was taken down, and waits until Kafka has acknowledged what came of it.
struct Waiting {
    /// The last batch in it.
    ticket: usize,
    redo: Redo,
    progress: Progress,
    /// The end of the log as of then: synced before the checkpoint is closed.
    log_file: Option<Box<dyn DiskFile>>,
}

/// Where the last state that was taken down is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saved {
    /// In our hands.
    Here,
    /// In a checkpoint.
    In(u64),
    /// In the store.
    Stored,
}

/// Where detection stands between two batches.
pub struct At<'d> {
    pub engine: &'d mut Engine,
    pub offsets: &'d Offsets,
    pub producer: &'d Producer,
    /// The last batch that was decided.
    pub ticket: usize,
    pub in_force: &'d Digests,
}

/// Whether what was decided came to rest in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Kafka has acknowledged it, and its state is closed.
    Closed,
    /// Kafka has not acknowledged all of it.
    NotAcknowledged,
    /// It has, but the checkpoint is not closed.
    NotClosed,
}

/// Writes down what detection does.
pub struct Durable {
    log: BatchLog,
    names: Arc<Lanes>,
    checkpoints: Checkpoints,
    waiting: Option<Waiting>,
    saved_as: Saved,
    /// A checkpoint is wanted before its time.
    is_hurried: bool,
    /// The last closed checkpoint that offsets and log know of.
    told: u64,
    /// It and its last batch, until the store has taken it.
    covered: Option<(u64, u64)>,
    /// The last batch that was taken, and its moment.
    batch: u64,
    moment_ms: i64,
    /// The last batch of the last state that was taken down.
    saved: Option<u64>,
    epoch: u64,
}

impl Durable {
    /// Kept in every checkpoint from now on: whose turn it was.
    pub fn set_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Writes down that a batch is about to be decided.
    pub fn log(&mut self, batch: &Batch, in_force: &Digests) -> Result<(), RunError> {
        self.batch = match mutant::is(Mutant::LogsNothing) {
            true => self.batch.saturating_add(1),
            false => self.log.append(batch, &self.names, in_force)?,
        };
        self.moment_ms = batch.moment.0;
        Ok(())
    }

    /// Between two batches: takes the state down where that is due, hands it over, and lets go of what is closed.
    pub fn tick(
        &mut self,
        At { engine, offsets, producer, ticket, in_force }: At<'_>,
        now: Instant,
    ) -> Result<(), RunError> {
        self.checkpoints.check()?;
        self.hand_over(producer)?;
        self.let_go(offsets)?;
        self.rest(engine);
        let is_wanted = self.log.wants_checkpoint() || self.is_hurried;
        let is_due = self.checkpoints.is_due(now) || (is_wanted && !self.checkpoints.is_busy());
        if self.waiting.is_none() && self.saved != Some(self.batch) && is_due {
            self.take_down(engine, offsets, ticket, in_force)?;
        }
        Ok(())
    }

    /// Brings everything that was decided to rest, until `deadline` at most.
    pub fn settle(
        &mut self,
        At { engine, offsets, producer, ticket, in_force }: At<'_>,
        deadline: Instant,
    ) -> Result<Settled, RunError> {
        if !producer.flush(deadline)? {
            return Ok(Settled::NotAcknowledged);
        }
        self.hand_over(producer)?;
        if self.saved != Some(self.batch) {
            self.take_down(engine, offsets, ticket, in_force)?;
            self.hand_over(producer)?;
        }
        let is_closed = self.checkpoints.wait(Some(deadline));
        self.checkpoints.check()?;
        self.let_go(offsets)?;
        self.rest(engine);
        Ok(if is_closed { Settled::Closed } else { Settled::NotClosed })
    }

    /// Whether it went on with the state of an earlier start: asked before the first batch.
    pub fn is_restored(&self) -> bool {
        self.told > 0
    }

    /// The next checkpoint begins as soon as none is under way.
    pub fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// Tells the engine once the store has all that was taken down: from then on entities may leave for it.
    fn rest(&mut self, engine: &mut Engine) {
        if let Saved::In(number) = self.saved_as
            && (self.checkpoints.applied() >= Some(number) || mutant::is(Mutant::LeavesBeforeStored))
        {
            self.saved_as = Saved::Stored;
            engine.at_rest();
        }
    }

    /// For whoever watches over the service.
    pub fn watch(&self) -> CheckpointWatch {
        self.checkpoints.watch()
    }

    /// What writes checkpoints, for whoever does their steps.
    #[cfg(test)]
    pub fn checkpoints(&mut self) -> &mut Checkpoints {
        &mut self.checkpoints
    }

    fn take_down(
        &mut self,
        engine: &mut Engine,
        offsets: &Offsets,
        ticket: usize,
        in_force: &Digests,
    ) -> Result<(), RunError> {
        let log_file = self.log.roll()?;
        let (redo, progress) = self.capture(engine, offsets.next(), in_force)?;
        self.is_hurried = false;
        if mutant::is(Mutant::CommitsBeforeClosed) {
            offsets.closed(&next_of(&progress));
        }
        if mutant::is(Mutant::DropsLogAtBegin) {
            self.log.drop_before(self.batch.saturating_add(1))?;
        }
        self.waiting = Some(Waiting { ticket, redo, progress, log_file });
        reach(failpoint::CHECKPOINT_TAKEN_DOWN);
        Ok(())
    }

    fn capture(
        &mut self,
        engine: &mut Engine,
        next: Vec<(Partition, i64)>,
        in_force: &Digests,
    ) -> Result<(Redo, Progress), RunError> {
        let mut redo = Redo::new();
        engine.save(&mut redo);
        // Of an entity that is away the save may need what the store has.
        engine.check()?;
        (self.saved, self.saved_as) = (Some(self.batch), Saved::Here);
        let offset = |(Partition { topic, partition }, offset)| NextOffset { topic, partition, offset };
        let progress = Progress {
            batch: self.batch,
            moment_ms: self.moment_ms,
            offsets: next.into_iter().map(offset).collect(),
            rules: in_force.rules.clone(),
            lists: in_force.lists.clone(),
            geo: in_force.geo.clone(),
            epoch: self.epoch,
        };
        Ok((redo, progress))
    }

    /// Begins the checkpoint that waits, once Kafka has acknowledged all that came before it.
    fn hand_over(&mut self, producer: &Producer) -> Result<(), RunError> {
        let below = match mutant::is(Mutant::ClosesBeforeAcknowledged) {
            true => usize::MAX,
            false => producer.acknowledged_below(),
        };
        let Some(Waiting { redo, progress, log_file, .. }) = self.waiting.take_if(|waiting| waiting.ticket < below)
        else {
            return Ok(());
        };
        reach(failpoint::CHECKPOINT_ACKNOWLEDGED);
        if let Some(mut file) = log_file {
            file.sync().map_err(|error| RunError::System("sync the batch log", error))?;
        }
        reach(failpoint::CHECKPOINT_LOG_SYNCED);
        self.saved_as = Saved::In(self.checkpoints.begin(redo, progress)?);
        Ok(())
    }

    /// Commits up to what is closed, and drops the log before it.
    fn let_go(&mut self, offsets: &Offsets) -> Result<(), RunError> {
        if let Some(closed) = self.checkpoints.closed().filter(|closed| closed.number > self.told) {
            self.told = closed.number;
            offsets.closed(&next_of(&closed.progress));
            self.covered = Some((closed.number, closed.progress.batch));
        }
        // A start may fall back on the checkpoint before while the store has not taken this one: its batches stay.
        let is_safe = |number| self.checkpoints.applied() >= Some(number) || mutant::is(Mutant::DropsLogWhenClosed);
        if let Some((_, batch)) = self.covered.take_if(|(number, _)| is_safe(*number)) {
            self.log.drop_before(batch.saturating_add(1))?;
        }
        Ok(())
    }
}
