//! `state rebuild`: the state made anew from what Kafka has, up to where detection goes on.
//!
//! Guarantees: it ends exactly where the group's offsets stand, so what nobody was told of is told by the next run, and
//! what was told is not told again; it moves no offset but those whose records are gone; there is one detector, and one
//! rebuild. The state before stays beside it.

use std::sync::Arc;
use std::time::Duration;

use super::{Aside, Builder, Heard, Made, unfinished};
use crate::app::detect::{foreign, input};
use crate::app::durable::Found;
use crate::app::{Prepared, RunError, owner, private_folder};
use crate::disk::RealDisk;
use crate::event::Millis;
use crate::features::store::{FjallStore, NextOffset};
use crate::ingest::Partition;
use crate::ingest::kafka::consumer::{Batches, Consumer, batches};
use crate::ingest::kafka::owner::Timing;
use crate::ingest::kafka::{Begin, Claim, Error as KafkaError, Offsets};
use crate::shutdown::Shutdown;
use crate::telemetry::Metrics;

/// How long it waits for a batch before it looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// What was read of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The partition.
    pub partition: Partition,
    /// The first offset.
    pub from: i64,
    /// The offset behind the last one: detection goes on there.
    pub to: i64,
}

/// What a rebuild did.
#[derive(Debug, Clone)]
pub struct Rebuilt {
    /// The state.
    pub made: Made,
    /// What was read, by partition.
    pub read: Vec<Read>,
    /// The state before, where there was one.
    pub aside: Option<Aside>,
    /// A rebuild before this one was cut off: what it had made is gone.
    pub again: bool,
    /// Whether the group has read before.
    pub heard: Heard,
}

/// Makes the state anew from what was written since `from`. `tell` is told how many records of how many are read.
pub fn rebuild(
    prepared: &Prepared,
    (from, written): (Millis, &str),
    shutdown: &Shutdown,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Rebuilt, RunError> {
    crate::deliver::tls::install_provider();
    let folder = &prepared.config.state_directory;
    let failed = |error| RunError::StateDirectory(folder.clone(), error);
    private_folder(folder).map_err(failed)?;
    // A service that runs here is told before Kafka is asked for anything.
    FjallStore::check_free(folder)?;
    let consumer = Consumer::open(&prepared.config.kafka, Begin::Anew(from))?;
    let heard = if consumer.goes_on() { Heard::Then } else { Heard::Never };
    let stop = || shutdown.is_requested();
    let claimable = match heard {
        Heard::Then => {
            let owner = owner::id(&RealDisk, folder).map_err(failed)?;
            let claim = Claim { owner, take_over: false, timing: Timing::default() };
            Some(consumer.watch(&claim, &stop)?)
        }
        // Whoever is at work has committed.
        Heard::Never => None,
    };
    let again = unfinished::begin(folder, &format!("state rebuild --from {written}")).map_err(failed)?;
    match again {
        true => FjallStore::discard(folder)?,
        false => FjallStore::set_aside(folder)?,
    }
    prepared.state_key.as_ref().map(|key| key.make_way()).transpose()?;
    let aside = FjallStore::aside(folder).map(|(path, bytes)| Aside { path, bytes });
    let builder = Builder::new(Found::open(prepared, &Metrics::new()?)?, prepared)?;
    let mut offsets = claimable.map(|claimable| consumer.take(claimable, &stop)).transpose()?;
    let read: Vec<Read> = consumer
        .lanes()
        .iter()
        .zip(consumer.names().all())
        .map(|(lane, partition)| Read { partition, from: lane.start, to: lane.end })
        .collect();
    let of = read.iter().map(|read| u64::try_from(read.to - read.from).unwrap_or(0)).sum();
    let builder = take_all(builder, consumer, prepared, offsets.as_ref(), shutdown, &mut |done| tell(done, of))?;
    let next = |Read { partition, to, .. }: &Read| NextOffset {
        topic: partition.topic.clone(),
        partition: partition.partition,
        offset: *to,
    };
    let made = builder.finish(read.iter().map(next).collect(), heard)?;
    if let Some(offsets) = &mut offsets {
        offsets.finish()?;
    }
    unfinished::end(folder).map_err(failed)?;
    Ok(Rebuilt { made, read, aside, again, heard })
}

/// Reads everything and takes it.
fn take_all(
    mut builder: Builder,
    consumer: Consumer,
    prepared: &Prepared,
    offsets: Option<&Offsets>,
    shutdown: &Shutdown,
    tell: &mut dyn FnMut(u64),
) -> Result<Builder, RunError> {
    let (full, batches) = batches();
    std::thread::scope(|scope| {
        let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = Arc::clone(&is_over);
        let reader = std::thread::Builder::new().name("reading".to_owned()).spawn_scoped(scope, move || {
            let stop = || shutdown.is_requested() || stopped.load(std::sync::atomic::Ordering::Relaxed);
            consumer.run(full, true, &stop)
        });
        let reader = reader.map_err(|error| RunError::System("start a thread", error))?;
        let taken = take_batches(&mut builder, &batches, prepared, offsets, shutdown, tell);
        // Whoever fails here lets the reader go; it may wait for a buffer.
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        drop(batches);
        let read = reader.join().unwrap_or(Err(KafkaError::NoTaker));
        taken?;
        match read {
            _ if shutdown.is_requested() => {
                Err(RunError::CutOff("state rebuild", prepared.config.state_directory.clone()))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    })?;
    Ok(builder)
}

fn take_batches(
    builder: &mut Builder,
    batches: &Batches,
    prepared: &Prepared,
    offsets: Option<&Offsets>,
    shutdown: &Shutdown,
    tell: &mut dyn FnMut(u64),
) -> Result<(), RunError> {
    let (topics, mappings) = (&prepared.config.kafka.topics, &prepared.in_force.mappings);
    let mut done = 0;
    while let Ok(next) = batches.next(TICK) {
        if shutdown.is_requested() {
            return Ok(());
        }
        if let Some(batch) = next {
            // Judged as of now, not as of when it was written: a record's timestamp may be anything. What was refused
            // because its time had not come is accepted where it has come since.
            let moment = batch.moment;
            builder.engine.partitions(batch.at_end.iter().copied());
            match mappings.iter().all(Option::is_none) {
                true => builder.take(batch.records().map(input), moment),
                false => builder.take(batch.records().map(|record| foreign(record, topics, mappings)), moment),
            }
            done += batch.len() as u64;
            batches.give_back(batch);
            tell(done);
        }
        if let Some(offsets) = offsets {
            offsets.check()?;
        }
        builder.tick()?;
    }
    Ok(())
}
