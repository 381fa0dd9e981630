//! Brokers in memory, which crash with nobody and forget nothing, but on the way to them much goes wrong.
//!
//! Guarantees: what a topic has, it keeps, in the order in which it came; a record that was sent is written at once or
//! later, once or again, is told late, or is lost with the process that sent it; a commit too. Whatever is committed is
//! held against what the disk would give back at that moment and against what is written: what must not be stands in
//! [`Broker::wrong`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::judge;
use super::life::Faults;
use crate::disk::{Crash, SimulatedDisk};
use crate::features::store::{Place, SimulatedStore, recover};
use crate::ingest::Partition;
use crate::ingest::kafka::claim::Standing;
use crate::ingest::kafka::context::{Deliveries, Ticket};
use crate::ingest::kafka::offsets::Group;
use crate::ingest::kafka::owner::{Mark, Seen};
use crate::ingest::kafka::producer::{Place as Spot, Wire};
use crate::ingest::kafka::{Error, Outgoing};
use crate::mutant;

/// The state's folder on the simulated disk.
pub const FOLDER: &str = "/state";

/// A record that detection writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Output {
    pub topic: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(&'static str, String)>,
}

impl Output {
    pub fn of(outgoing: &Outgoing<'_>) -> Self {
        Output {
            topic: outgoing.topic.to_owned(),
            key: outgoing.key.map(<[u8]>::to_vec),
            value: outgoing.value.map(<[u8]>::to_vec),
            headers: outgoing.headers.to_vec(),
        }
    }
}

/// An output in its topic.
#[derive(Debug, Clone)]
pub struct Kept {
    pub output: Output,
    /// The batch that it came of.
    pub batch: u64,
    /// That batch was lost with the end of the batch log: its records were taken anew, perhaps in another order.
    pub is_orphan: bool,
}

/// A record on its way.
struct Sent {
    output: Output,
    batch: u64,
    ticket: Ticket,
    deliveries: Arc<dyn Deliveries>,
}

/// A commit on its way.
type Commit = (Vec<(Partition, i64)>, Option<Mark>);

/// The brokers. Clones are the same.
#[derive(Clone)]
pub struct Broker {
    disk: SimulatedDisk,
    store: SimulatedStore,
    hash_key: String,
    faults: Faults,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    kept: Vec<Kept>,
    written: BTreeSet<Output>,
    /// By batch, the next offsets behind it, and what came of it so far.
    batches: BTreeMap<u64, (Vec<(Partition, i64)>, BTreeSet<Output>)>,
    /// The batch that is being decided.
    batch: u64,
    /// Not written yet, or not told.
    in_flight: VecDeque<Sent>,
    /// Written, and the acknowledgement is on its way.
    acknowledged: VecDeque<Sent>,
    group: BTreeMap<Partition, i64>,
    mark: Option<Mark>,
    late: VecDeque<Commit>,
    /// Nothing goes wrong any more.
    is_calm: bool,
    wrong: Option<String>,
}

impl Broker {
    pub fn new(disk: &SimulatedDisk, store: &SimulatedStore, hash_key: &str, faults: Faults) -> Self {
        let (disk, store, hash_key) = (disk.clone(), store.clone(), hash_key.to_owned());
        Broker { disk, store, hash_key, faults, inner: Arc::default() }
    }

    /// The way to them for a producer that is told of deliveries so.
    pub fn client(&self, deliveries: Arc<dyn Deliveries>) -> Client {
        Client { broker: self.clone(), deliveries }
    }

    /// What comes now comes of this batch, behind which these offsets are next.
    pub fn begin(&self, batch: u64, next: Vec<(Partition, i64)>) {
        let mut inner = self.lock();
        inner.batch = batch;
        inner.batches.entry(batch).or_default().0 = next;
    }

    /// Whether anything came of a batch.
    pub fn has_outputs(&self, batch: u64) -> bool {
        self.lock().batches.get(&batch).is_some_and(|(_, outputs)| !outputs.is_empty())
    }

    /// These batches were lost with the end of the batch log.
    pub fn orphan_from(&self, batch: u64) {
        let mut inner = self.lock();
        inner.batches.split_off(&batch);
        inner.kept.iter_mut().filter(|kept| kept.batch >= batch).for_each(|kept| kept.is_orphan = true);
    }

    /// From now on nothing goes wrong on the way.
    pub fn calm(&self) {
        self.lock().is_calm = true;
    }

    /// What must not be, if anything was.
    pub fn wrong(&self) -> Option<String> {
        self.lock().wrong.take()
    }

    /// What the topics hold.
    pub fn kept(&self) -> Vec<Kept> {
        self.lock().kept.clone()
    }

    /// What stands in the group.
    pub fn committed(&self) -> BTreeMap<Partition, i64> {
        self.lock().group.clone()
    }

    /// Whether anything is on its way.
    pub fn is_idle(&self) -> bool {
        let inner = self.lock();
        inner.in_flight.is_empty() && inner.acknowledged.is_empty()
    }

    /// A start makes the group its own: its mark beside what stands there, or where reading begins.
    pub fn claim(&self, starts: &[(Partition, i64)], mark: &Mark) -> Result<(), Error> {
        self.step("commit the offsets")?;
        let mut inner = self.lock();
        if inner.group.is_empty() {
            inner.group = starts.iter().cloned().collect();
        }
        inner.mark = Some(mark.clone());
        Ok(())
    }

    /// Something happens on the way: a record arrives, is acknowledged, or is sent again; a commit arrives late.
    pub fn pass(&self) {
        match self.random(6) {
            0 => {
                let late = self.lock().late.pop_front();
                late.into_iter().for_each(|(offsets, mark)| self.stand(&offsets, mark.as_ref()));
            }
            1 | 2 => {
                let told = self.lock().acknowledged.pop_front();
                told.into_iter().for_each(tell);
            }
            _ => self.arrive(),
        }
    }

    /// A record of some topic, the oldest of it, arrives or does not.
    fn arrive(&self) {
        let chosen = {
            let inner = self.lock();
            let topics: BTreeSet<&str> = inner.in_flight.iter().map(|sent| sent.output.topic.as_str()).collect();
            if topics.is_empty() {
                return;
            }
            let topic = topics.iter().nth(self.random(topics.len() as u64) as usize).copied();
            inner.in_flight.iter().position(|sent| Some(sent.output.topic.as_str()) == topic)
        };
        let outcome = if self.lock().is_calm { 0 } else { self.random(8) };
        let mut inner = self.lock();
        let Some(sent) = chosen.and_then(|at| inner.in_flight.remove(at)) else { return };
        let at = chosen.unwrap_or_default();
        match outcome {
            // Written, and told.
            0..=3 => {
                inner.keep(&sent);
                drop(inner);
                tell(sent);
            }
            // Written, and nobody hears of it: it is sent again.
            4 => {
                inner.keep(&sent);
                inner.in_flight.insert(at, sent);
            }
            // Written, and told later.
            5 => {
                inner.keep(&sent);
                inner.acknowledged.push_back(sent);
            }
            // Lost on the way: it is sent again.
            _ => inner.in_flight.insert(at, sent),
        }
    }

    /// The process is gone. What it sent may arrive all the same, of each topic the first few.
    pub fn lose_client(&self) {
        let (sent, late) = {
            let mut inner = self.lock();
            inner.acknowledged.clear();
            (std::mem::take(&mut inner.in_flight), std::mem::take(&mut inner.late))
        };
        let mut lost: BTreeSet<String> = BTreeSet::new();
        for sent in sent {
            if !lost.contains(&sent.output.topic) && self.random(4) > 0 {
                self.lock().keep(&sent);
            } else {
                lost.insert(sent.output.topic);
            }
        }
        for (offsets, mark) in late {
            if self.random(2) == 0 {
                self.stand(&offsets, mark.as_ref());
            }
        }
    }

    /// Offsets stand in the group: they are held against what would be left if everything ended now.
    fn stand(&self, offsets: &[(Partition, i64)], mark: Option<&Mark>) {
        let wrong = self.past_state(offsets).or_else(|| self.past_outputs(offsets));
        let mut inner = self.lock();
        inner.group.extend(offsets.iter().cloned());
        inner.mark = mark.cloned().or(inner.mark.take());
        if let Some(wrong) = wrong {
            inner.wrong.get_or_insert(wrong);
        }
    }

    /// Whether offsets stand past the state that a start would find now.
    fn past_state(&self, offsets: &[(Partition, i64)]) -> Option<String> {
        let disk = self.disk.fork();
        let store = self.store.fork(&disk);
        let crash = if self.faults.power { Crash::Power } else { Crash::Process };
        disk.restart(crash);
        store.restart(crash);
        let place = Place { disk: Arc::new(disk), folder: FOLDER.into(), store: Arc::new(store) };
        // The judge has no fault of its own.
        let recovered = mutant::with(None, || recover(&place, Path::new("hash.key"), &self.hash_key));
        match recovered {
            Err(error) => Some(format!("committed, and a start would say: {error}")),
            Ok(recovered) => {
                let offsets = offsets.iter().map(|(lane, offset)| (lane, offset));
                judge::commits_are_covered(offsets, recovered.checkpoint.as_ref()).err()
            }
        }
    }

    /// Whether offsets stand past something that is not written.
    fn past_outputs(&self, offsets: &[(Partition, i64)]) -> Option<String> {
        let inner = self.lock();
        let committed: BTreeMap<&Partition, i64> = offsets.iter().map(|(lane, next)| (lane, *next)).collect();
        let is_covered = |next: &[(Partition, i64)]| {
            next.iter().all(|(lane, next)| committed.get(lane).is_some_and(|committed| next <= committed))
        };
        let mut covered = inner.batches.iter().filter(|(_, (next, _))| is_covered(next));
        let (batch, _) = covered.find(|(_, (_, outputs))| !outputs.is_subset(&inner.written))?;
        Some(format!("committed past batch {batch}, and not everything that came of it is written"))
    }

    /// A step at which a crash can come.
    fn step(&self, what: &'static str) -> Result<(), Error> {
        let lost = Error::request(what)(KafkaError::ConsumerCommit(RDKafkaErrorCode::BrokerTransportFailure));
        if self.disk.step().unwrap_or(false) { Ok(()) } else { Err(lost) }
    }

    fn random(&self, end: u64) -> u64 {
        self.disk.random(end)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(sent: Sent) {
    sent.deliveries.delivered(&sent.ticket, &sent.output.topic, Ok(()));
}

impl Inner {
    fn keep(&mut self, sent: &Sent) {
        self.written.insert(sent.output.clone());
        self.kept.push(Kept { output: sent.output.clone(), batch: sent.batch, is_orphan: false });
    }
}

impl Group for Broker {
    fn read(&self, partitions: &[Partition]) -> Result<Standing, Error> {
        self.step("read what is committed")?;
        let inner = self.lock();
        let standing = |lane: &Partition| inner.group.get(lane).map(|offset| (lane.clone(), *offset));
        let offsets: Vec<(Partition, i64)> = partitions.iter().filter_map(standing).collect();
        Ok((offsets, Seen { has_commits: !inner.group.is_empty(), mark: inner.mark.clone() }))
    }

    fn write(&self, offsets: &[(Partition, i64)], mark: Option<&Mark>) -> Result<(), Error> {
        let what = "commit the offsets";
        let is_calm = self.lock().is_calm || !self.faults.broker;
        match if is_calm { 0 } else { self.random(6) } {
            0..=2 => {
                // The crash may come before it stands or behind that.
                let done = self.step(what);
                if done.is_ok() || self.random(2) == 0 {
                    self.stand(offsets, mark);
                }
                return done;
            }
            // It stands, and the answer is lost.
            3 => self.stand(offsets, mark),
            // It stands later.
            4 => self.lock().late.push_back((offsets.to_vec(), mark.cloned())),
            // It is lost.
            _ => {}
        }
        self.step(what)?;
        Err(Error::request(what)(KafkaError::ConsumerCommit(RDKafkaErrorCode::RequestTimedOut)))
    }
}

/// A producer's way to the brokers.
pub struct Client {
    broker: Broker,
    deliveries: Arc<dyn Deliveries>,
}

impl Wire for Client {
    fn send(&self, ticket: Ticket, _: Option<Spot>, outgoing: &Outgoing<'_>) -> Result<(), KafkaError> {
        let gone = KafkaError::MessageProduction(RDKafkaErrorCode::Fatal);
        if !self.broker.disk.step().map_err(|_| gone.clone())? {
            return Err(gone);
        }
        let output = Output::of(outgoing);
        let mut inner = self.broker.lock();
        let batch = inner.batch;
        inner.batches.entry(batch).or_default().1.insert(output.clone());
        let sent = Sent { output, batch, ticket, deliveries: Arc::clone(&self.deliveries) };
        if self.broker.faults.broker {
            inner.in_flight.push_back(sent);
        } else {
            inner.keep(&sent);
            drop(inner);
            tell(sent);
        }
        Ok(())
    }
}
