//! One life of a detector: it starts, takes records, crashes at any step, starts again, and at last comes to its end.
//!
//! Guarantees: what runs is the service's own code: `app/detect.rs`, `app/durable.rs`, the batch log, checkpoints,
//! recovery, the producer's accounts, the commits, and what fills batches. All that happens, and when, follows from the
//! seed: there is one thread, and threads of the service are steps that the dice choose.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::broker::{Broker, FOLDER};
use super::dice::Dice;
use super::judge::{self, Decided};
use super::reader::Reader;
use super::stream::{self, BEGIN, Source};
use super::world::World;
use crate::app::RunError;
use crate::app::detect::Detection;
use crate::app::durable::{self, Found, Home};
use crate::disk::{Crash, SimulatedDisk};
use crate::event::Millis;
use crate::features::store::{Hands, Place, SimulatedStore};
use crate::ingest::batch_log::Logged;
use crate::ingest::kafka::consumer::Begin;
use crate::ingest::kafka::fill::Filled;
use crate::ingest::kafka::lag::Positions;
use crate::ingest::kafka::offsets::{Group, Seat};
use crate::ingest::kafka::owner::Mark;
use crate::ingest::kafka::{Offsets, Producer};
use crate::ingest::{Batch, Lanes, Partition};

/// Time between two checkpoints: none is due by itself, the dice say when so much has passed.
const EVERY: Duration = Duration::from_secs(24 * 3600);
/// Steps after which a life that has not come to its end is stuck.
const STEPS_MAX: u64 = 60_000;
/// Starts that crash or are cut off, at most, in one life.
const CRASHES_MAX: u64 = 7;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// The power fails, beside the process being killed: what was not synced is lost or torn.
    pub power: bool,
    /// While nothing runs, a byte of a redo file is flipped.
    pub flips: bool,
    /// On the way to the brokers records, acknowledgements and commits are late, lost, or come twice.
    pub broker: bool,
}

/// How the records come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// All of them lie there: whatever is lost, their order is the same, and nothing may differ.
    Backlog,
    /// As they are written: which are decided together, and in which order, depends on the moment.
    Live,
}

/// What runs, from a start to a crash.
struct Running {
    detection: Detection,
    reader: Reader,
    names: Arc<Lanes>,
    positions: Positions,
    batch: Batch,
}

/// A life.
pub struct Life<'w> {
    world: &'w World,
    arrival: Arrival,
    faults: Faults,
    dice: Dice,
    disk: SimulatedDisk,
    store: SimulatedStore,
    broker: Broker,
    sources: Arc<[Source]>,
    /// What was decided so far, by number: what the batch log has to remember.
    decided: Vec<Decided>,
    /// Since the last start that succeeded the power failed.
    has_lost_power: bool,
    /// A byte was flipped, and since then what is committed may stand past the state.
    has_flipped: bool,
    /// The disk was told to fail: the process may end by that.
    may_fail: bool,
    /// It stopped cleanly, knowing this.
    stopped: Option<[u8; 32]>,
    /// Once in so many steps something ends the process.
    ends_one_in: u64,
    now_ms: u64,
    starts: u64,
    crashes: u64,
}

/// By lane, a partition and where reading of it begins.
type Starts = Vec<(Partition, i64)>;

/// Why a step ended the process.
enum End {
    /// The simulated machine has crashed, or the process gave up for a reason that may be.
    Crashed,
    /// What must not be.
    Wrong(String),
}

impl<'w> Life<'w> {
    pub fn new(world: &'w World, arrival: Arrival, faults: Faults, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let records = 60 + dice.below(160);
        let sources = stream::write(&mut dice, records, arrival == Arrival::Live);
        let ends_one_in = 10 + dice.below(120);
        let disk = SimulatedDisk::new(seed ^ 0x51ce);
        let store = SimulatedStore::new(&disk);
        let broker = Broker::new(&disk, &store, &world.key.id, faults);
        Life {
            world,
            arrival,
            faults,
            dice,
            disk,
            store,
            broker,
            sources: sources.into(),
            decided: Vec::new(),
            has_lost_power: false,
            has_flipped: false,
            may_fail: false,
            stopped: None,
            ends_one_in,
            now_ms: if arrival == Arrival::Backlog { 7_200_000 } else { 0 },
            starts: 0,
            crashes: 0,
        }
    }

    /// Lives it. What was wrong, if anything.
    pub fn live(mut self) -> Result<(), String> {
        let mut running = None;
        for _ in 0..STEPS_MAX {
            let done = match &mut running {
                None => self.start().map(|started| running = Some(started)).map(|()| false),
                Some(now) => self.step(now),
            };
            if let Some(wrong) = self.broker.wrong() {
                return Err(wrong);
            }
            match done {
                Ok(false) => {}
                Ok(true) => {
                    let ended = running.take().ok_or("it ended without having run")?;
                    return self.end(ended);
                }
                Err(End::Wrong(wrong)) => return Err(wrong),
                Err(End::Crashed) => {
                    drop(running.take());
                    self.crash();
                }
            }
        }
        Err("it never comes to its end".to_owned())
    }

    /// What comes next: mostly something that a thread of the service, or the network, does.
    fn step(&mut self, running: &mut Running) -> Result<bool, End> {
        match self.dice.below(16) {
            0..=4 => self.round(running)?,
            5 => {
                // A checkpoint is due.
                let done = running.detection.round(None, Instant::now() + EVERY + EVERY);
                self.survives(done)?;
            }
            6..=7 => running.detection.hand().checkpoints.step(),
            8 => running.detection.hand().offsets.commit(),
            9..=13 => self.broker.pass(),
            _ => self.time_passes(),
        }
        if self.crashes < CRASHES_MAX && self.dice.one_in(self.ends_one_in) {
            self.ends(running)?;
        }
        if self.disk.is_down() {
            return Err(End::Crashed);
        }
        if running.reader.is_at_end() && self.dice.one_in(20) {
            return self.finish(running);
        }
        Ok(false)
    }

    /// Somebody ends it: now, a little later in the middle of something, by a full disk, or cleanly.
    fn ends(&mut self, running: &mut Running) -> Result<(), End> {
        match self.dice.below(8) {
            0 => return Err(End::Crashed),
            1 if self.faults.power => {
                self.may_fail = true;
                self.disk.fail_after(self.dice.below(12), std::io::ErrorKind::StorageFull);
            }
            2 => {
                // It waits for nobody: what is not acknowledged by now keeps it from a clean stop.
                let is_clean = running.detection.drain(Duration::ZERO).is_ok();
                self.stopped = is_clean.then(|| running.detection.hand().engine.digest());
                return Err(End::Crashed);
            }
            3..=5 => self.disk.crash_after(self.dice.below(6)),
            _ => self.disk.crash_after(self.dice.below(40)),
        }
        Ok(())
    }

    /// Takes a batch of what is at hand, if anything is.
    fn round(&mut self, running: &mut Running) -> Result<(), End> {
        self.time_passes();
        let Running { detection, reader, names, positions, batch } = running;
        if let Some(found) = reader.find_new(self.now_ms) {
            positions.add(0);
            names.add(found.name.clone());
        }
        let moment = Millis(BEGIN.0 + self.now_ms as i64);
        let filled = reader.fill(batch, moment, self.now_ms, self.arrival, &mut self.dice);
        let filled = filled.map_err(|error| End::Wrong(format!("a batch cannot be filled: {error}")))?;
        let next = match filled {
            Filled::Waits => None,
            Filled::Live(_) | Filled::Again if batch.is_empty() => None,
            Filled::Live(_) | Filled::Again => Some(&*batch),
        };
        if let Some(batch) = next {
            self.decide(batch)?;
        }
        let done = detection.round(next, Instant::now());
        self.survives(done)
    }

    /// A batch is about to be decided: one that was decided before is the same.
    fn decide(&mut self, batch: &Batch) -> Result<(), End> {
        let decided = Decided::of(batch);
        let number = batch.again.unwrap_or(self.decided.len() as u64 + 1);
        match self.decided.get(number as usize - 1) {
            Some(before) if *before == decided => {}
            Some(_) => return Err(End::Wrong(format!("batch {number} is not taken again as it was decided"))),
            None => self.decided.push(decided),
        }
        let next = batch.spans().into_iter().map(|span| {
            let source = &self.sources[usize::from(span.lane)];
            (source.name.clone(), span.last + 1)
        });
        self.broker.begin(number, next.collect());
        Ok(())
    }

    /// Nothing more comes, and nothing goes wrong any more: what is under way comes to rest.
    fn finish(&mut self, running: &mut Running) -> Result<bool, End> {
        self.broker.calm();
        self.disk.crash_after(u64::MAX / 2);
        while !self.broker.is_idle() {
            self.broker.pass();
        }
        let done = running.detection.drain(Duration::ZERO);
        self.survives(done)?;
        Ok(true)
    }

    /// Whether the process goes on. It ends by a crash or a disk that fails, and by nothing else.
    fn survives(&self, done: Result<(), RunError>) -> Result<(), End> {
        match done {
            Ok(()) => Ok(()),
            Err(_) if self.disk.is_down() || self.may_fail => Err(End::Crashed),
            Err(error) => Err(End::Wrong(format!("it failed without a crash: {error}"))),
        }
    }

    fn time_passes(&mut self) {
        match self.arrival {
            // Nobody is waited for in vain: the order stays the same.
            Arrival::Backlog => {}
            Arrival::Live => self.now_ms += self.dice.below(3_000),
        }
    }

    /// Everything in memory is gone, and of the disk what was not synced.
    fn crash(&mut self) {
        self.crashes += 1;
        self.broker.lose_client();
        let crash = if self.faults.power && !self.dice.one_in(3) { Crash::Power } else { Crash::Process };
        self.has_lost_power |= crash == Crash::Power;
        self.disk.restart(crash);
        self.store.restart(crash);
        self.may_fail = false;
        // A flipped byte beside a failure of the power is one fault too many.
        if self.faults.flips && !self.has_lost_power && self.dice.one_in(4) {
            self.has_flipped |= judge::flip(&self.disk, &mut self.dice);
        }
    }

    /// A start, which may crash too.
    fn start(&mut self) -> Result<Running, End> {
        if self.crashes > 0 && self.crashes < CRASHES_MAX && self.dice.one_in(3) {
            self.disk.crash_after(self.dice.below(10));
        }
        self.starts += 1;
        let World { stages, key } = self.world;
        let place =
            Place { disk: Arc::new(self.disk.clone()), folder: FOLDER.into(), store: Arc::new(self.store.clone()) };
        let home = Home { place, key: key.clone(), hands: Hands::Caller, every: EVERY };
        let found = self.started(Found::at(home, &stages.metrics))?;
        let begin = durable::begin(Some(&found), false);
        let (starts, again) = self.lanes(begin)?;
        let has_flipped = self.has_flipped;
        self.remembers(&found, &again)?;
        let begins_with = stages.begins_with(&again);
        let options = stages.prepared.config.engine.clone();
        let (mut engine, _) = self.started(found.engine_under(&begins_with, &stages.prepared, options))?;
        if let Some(digest) = self.stopped.filter(|_| !has_flipped)
            && digest != engine.digest()
        {
            return Err(End::Wrong("after a clean stop it does not know what it knew".to_owned()));
        }
        let positions = Positions::at(starts.iter().map(|(_, next)| *next));
        let names = Arc::new(Lanes::new(starts.iter().map(|(name, _)| name.clone()).collect()));
        let digests = begins_with.digests(&stages.prepared.config.kafka.topics);
        let state = found.start(&mut engine, Arc::clone(&names), starts.clone(), &digests);
        let state = self.started(state)?;
        let mark = Mark { epoch: 1, run: self.starts, owner: "a".to_owned(), time: BEGIN };
        let claimed = self.broker.claim(&starts, &mark);
        self.started(claimed.map_err(RunError::from))?;
        (self.has_lost_power, self.stopped) = (false, None);
        let config = &stages.prepared.config.kafka;
        let (name, topics) = (config.group.clone(), config.topics.clone().into());
        let seat = Seat { name, topics, names: Arc::clone(&names), positions: positions.clone(), mark: Some(mark) };
        let offsets = Offsets::new(Arc::new(self.broker.clone()) as Arc<dyn Group>, seat, None);
        let producer = Producer::by(config.produce_wait_ms_max, |deliveries| self.broker.client(deliveries));
        let pulse = stages.health.pulse("detection", EVERY, Instant::now());
        let mut detection = Detection::new(stages.clone(), (engine, state), producer, offsets, pulse);
        detection.begin_with(begins_with, &again, stages.past());
        let reader = Reader::new(Arc::clone(&self.sources), &starts, again, config.order);
        Ok(Running { detection, reader, names, positions, batch: Batch::default() })
    }

    fn started<T>(&self, done: Result<T, RunError>) -> Result<T, End> {
        match done {
            Ok(done) if !self.disk.is_down() => Ok(done),
            _ if self.disk.is_down() || self.may_fail => Err(End::Crashed),
            Ok(done) => Ok(done),
            Err(error) => Err(End::Wrong(format!("it does not start: {error}"))),
        }
    }

    /// The partitions with where reading of each begins, and what is taken again: as `assign.rs` asks the brokers.
    fn lanes(&self, begin: Begin) -> Result<(Starts, Arc<[Logged]>), End> {
        let (known, again) = match begin {
            Begin::Fresh if !self.broker.committed().is_empty() => {
                return Err(End::Wrong("the group has commits, and the state is lost".to_owned()));
            }
            Begin::Fresh | Begin::Group | Begin::Anew(_) => (Vec::new(), Arc::default()),
            Begin::State(standing) => {
                let known = standing.lanes().map_err(|error| End::Wrong(error.to_string()))?;
                (known, standing.again)
            }
        };
        let mut starts: Starts = known.into_iter().map(|(name, next)| (name, next.unwrap_or_default())).collect();
        // Those that are there by now come behind.
        let there = self.sources.iter().filter(|source| source.born_ms <= self.now_ms);
        starts.extend(there.skip(starts.len()).map(|source| (source.name.clone(), 0)).collect::<Starts>());
        Ok((starts, again))
    }

    /// Whether a start finds everything that was promised to be there.
    fn remembers(&mut self, found: &Found, again: &[Logged]) -> Result<(), End> {
        let checkpoint = found.checkpoint();
        let batch = checkpoint.map_or(0, |checkpoint| checkpoint.progress.batch);
        match judge::commits_are_covered(&self.broker.committed(), checkpoint) {
            Ok(()) => self.has_flipped = false,
            // It fell back behind what was committed; the next commit that arrives goes back too.
            Err(_) if self.has_flipped => {}
            Err(wrong) => return Err(End::Wrong(wrong)),
        }
        let last = again.last().map_or(batch, |logged| logged.taken.number);
        if let Some(logged) = again.first().filter(|logged| logged.taken.number != batch + 1) {
            return Err(End::Wrong(format!("batch {} comes after {batch}", logged.taken.number)));
        }
        for number in last + 1..=self.decided.len() as u64 {
            if !self.has_lost_power && self.broker.has_outputs(number) {
                return Err(End::Wrong(format!("batch {number} was decided and told, and nobody knows of it")));
            }
        }
        self.decided.truncate(last as usize);
        self.broker.orphan_from(last + 1);
        Ok(())
    }

    /// It has come to its end, and stopped cleanly: what it said and knows is what an undisturbed one would.
    fn end(mut self, mut running: Running) -> Result<(), String> {
        let oracle = judge::oracle(self.world, &self.sources, &self.decided)?;
        judge::outputs(&oracle, &self.broker.kept(), self.arrival)?;
        let digest = running.detection.hand().engine.digest();
        if digest != oracle.digest {
            return Err("the state is not that of an undisturbed run".to_owned());
        }
        drop(running);
        judge::all_committed(&self.broker.committed(), &self.sources)?;
        self.crashes = CRASHES_MAX;
        let again = match self.start() {
            Ok(mut again) => again.detection.hand().engine.digest(),
            Err(End::Wrong(wrong)) => return Err(format!("after a clean stop: {wrong}")),
            Err(End::Crashed) => return Err("after a clean stop: it crashed".to_owned()),
        };
        if again != digest {
            return Err("after a clean stop the state is not what it was".to_owned());
        }
        Ok(())
    }
}
