//! What a life is held against: the engine, run once over the batches as they were decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::error::KafkaError;

use super::broker::{FOLDER, Kept, Output};
use super::dice::Dice;
use super::life::Arrival;
use super::stream::Source;
use super::world::World;
use crate::app::detect::{Outputs, input};
use crate::detect::Engine;
use crate::disk::{Disk as _, SimulatedDisk};
use crate::event::Millis;
use crate::features::store::Checkpoint;
use crate::ingest::kafka::context::{Deliveries, Ticket};
use crate::ingest::kafka::producer::{Place, Wire};
use crate::ingest::kafka::{Outgoing, Producer};
use crate::ingest::keys::Keys;
use crate::ingest::{Batch, Partition, Position, Record};
use crate::mutant;

/// A batch as it was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    moment: Millis,
    at_end: Vec<bool>,
    /// Lane and offset, in order.
    records: Vec<(u16, i64)>,
}

impl Decided {
    pub fn of(batch: &Batch) -> Self {
        let records = batch.records().map(|record| (record.lane, record.position.offset)).collect();
        Decided { moment: batch.moment, at_end: batch.at_end.clone(), records }
    }

    fn batch(&self, sources: &[Source]) -> Option<Batch> {
        let mut batch = Batch::default();
        batch.clear(self.moment);
        for (lane, offset) in &self.records {
            let source = sources.get(usize::from(*lane))?;
            let written = source.records.get(usize::try_from(*offset).ok()?)?;
            let position = Position { topic: source.topic, partition: source.name.partition, offset: *offset };
            let (key, value) = (Some(written.key.as_bytes()), Some(written.value.as_bytes()));
            batch.push(Record { position, lane: *lane, stamp: written.stamp, key, value });
        }
        batch.at_end.clone_from(&self.at_end);
        Some(batch)
    }
}

/// What an undisturbed run says and knows.
pub struct Oracle {
    outputs: Vec<Output>,
    pub digest: [u8; 32],
}

/// Runs the engine once over what was decided, which has to be every record once, in the order of its partition.
pub fn oracle(world: &World, sources: &[Source], decided: &[Decided]) -> Result<Oracle, String> {
    let mut next = vec![0; sources.len()];
    for (lane, offset) in decided.iter().flat_map(|decided| &decided.records) {
        if next[usize::from(*lane)] != *offset {
            return Err(format!(
                "{} offset {offset} was decided where {} was next",
                sources[usize::from(*lane)].name,
                next[usize::from(*lane)]
            ));
        }
        next[usize::from(*lane)] += 1;
    }
    mutant::with(None, || {
        let prepared = &world.stages.prepared;
        let (rules, bands) = (Arc::clone(&prepared.in_force.ruleset), prepared.in_force.policy.bands);
        let mut engine = Engine::new(rules, bands, prepared.config.engine.clone(), prepared.key);
        let said = Arc::new(Mutex::new(Vec::new()));
        let producer = Producer::by(0, |deliveries| Said { said: Arc::clone(&said), deliveries });
        let mut keys = Keys::new(prepared.config.kafka.topics.len());
        for decided in decided {
            let batch = decided.batch(sources).ok_or("a record that nobody wrote was decided")?;
            engine.partitions(batch.at_end.iter().copied());
            let mut outputs = Outputs {
                producer: &producer,
                config: &prepared.config.kafka,
                batch: &batch,
                ticket: 1,
                keys: &mut keys,
                witness: None,
                failed: None,
            };
            engine.take(batch.records().map(input), batch.moment, None, &mut outputs);
        }
        drop(producer);
        let outputs = std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Oracle { outputs, digest: engine.digest() })
    })
}

/// Takes what the oracle says.
struct Said {
    said: Arc<Mutex<Vec<Output>>>,
    deliveries: Arc<dyn Deliveries>,
}

impl Wire for Said {
    fn send(&self, ticket: Ticket, _: Option<Place>, outgoing: &Outgoing<'_>) -> Result<(), KafkaError> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(Output::of(outgoing));
        self.deliveries.delivered(&ticket, outgoing.topic, Ok(()));
        Ok(())
    }
}

/// Whether the topics hold what the oracle says, all of it, and nothing else.
pub fn outputs(oracle: &Oracle, kept: &[Kept], arrival: Arrival) -> Result<(), String> {
    let expected: BTreeSet<&Output> = oracle.outputs.iter().collect();
    let counts = |kept: &&Kept| arrival == Arrival::Backlog || !kept.is_orphan;
    let found: BTreeSet<&Output> = kept.iter().filter(counts).map(|kept| &kept.output).collect();
    let all: BTreeSet<&Output> = kept.iter().map(|kept| &kept.output).collect();
    if let Some(missing) = expected.difference(&all).next() {
        return Err(format!("it is missing: {}", text(missing)));
    }
    if let Some(other) = found.difference(&expected).next() {
        return Err(format!("an undisturbed run does not say: {}", text(other)));
    }
    // A compacted topic: of each key the last one counts. What was said of batches whose log a power failure took stays,
    // and may be newer than what the batches come to that are made of these records then.
    let mut last: BTreeMap<Option<&[u8]>, [Option<&Output>; 2]> = BTreeMap::new();
    let said = oracle.outputs.iter().map(|output| (0, output));
    let stands = kept.iter().filter(counts).map(|kept| (1, &kept.output));
    for (which, output) in said.chain(stands).filter(|(_, output)| output.topic.ends_with("contacts")) {
        last.entry(output.key.as_deref()).or_default()[which] = Some(output);
    }
    match last.values().find(|[expected, found]| expected != found) {
        Some([_, Some(stale)]) => Err(format!("what stands last is not the newest: {}", text(stale))),
        Some(_) => Err("a contact is missing".to_owned()),
        None => Ok(()),
    }
}

fn text(output: &Output) -> String {
    let value = output.value.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    format!("{} {value}", output.topic)
}

/// Whether a state that was found reaches as far as what is committed.
pub fn commits_are_covered<'c>(
    committed: impl IntoIterator<Item = (&'c Partition, &'c i64)>,
    found: Option<&Checkpoint>,
) -> Result<(), String> {
    for (lane, offset) in committed {
        let Some(found) = found else { return Err(format!("{offset} of {lane} is committed, and there is no state")) };
        let mut offsets = found.progress.offsets.iter();
        let next = offsets.find(|next| next.topic == lane.topic && next.partition == lane.partition);
        // A partition that the state does not know is read from its oldest record on.
        let next = next.map_or(0, |next| next.offset);
        if next < *offset {
            return Err(format!("{offset} of {lane} is committed, and a start stands at {next}"));
        }
    }
    Ok(())
}

/// Whether the group stands behind the last record of each partition.
pub fn all_committed(committed: &BTreeMap<Partition, i64>, sources: &[Source]) -> Result<(), String> {
    let is_short = |source: &&Source| committed.get(&source.name) != Some(&(source.records.len() as i64));
    match sources.iter().find(is_short) {
        Some(source) => Err(format!("after a clean stop {} stands at {:?}", source.name, committed.get(&source.name))),
        None => Ok(()),
    }
}

/// Flips a bit of the last redo file, if there is one.
pub fn flip(disk: &SimulatedDisk, dice: &mut Dice) -> bool {
    let folder = std::path::Path::new(FOLDER);
    let names = disk.names(folder).unwrap_or_default();
    let Some(path) = names.iter().rfind(|name| name.starts_with("redo-")).map(|name| folder.join(name)) else {
        return false;
    };
    let bytes = disk.bytes(&path).unwrap_or_default() as u64;
    if bytes == 0 {
        return false;
    }
    disk.flip(&path, dice.below(bytes) as usize, 1 << dice.below(8));
    true
}
