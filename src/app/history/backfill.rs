//! `backfill`: history out of files into the state, before detection starts for the first time.
//!
//! Guarantees: needs no broker; goes into an empty state, or behind what was backfilled before, and never into one that
//! detection has made. What was found in it was told to nobody, so no rule is silent for it and contacts are told when
//! they come. Detection begins where it would have begun without it.

use std::io::BufRead;

use super::{Builder, Heard, Made, unfinished};
use crate::app::durable::Found;
use crate::app::{Prepared, RunError, private_folder};
use crate::clock;
use crate::detect::{ForeignInput, Input};
use crate::event::Millis;
use crate::event::mapping::{Mapping, Origin};
use crate::features::store::FjallStore;
use crate::ingest::file::Lines;
use crate::ingest::source::{Fill, Source};
use crate::ingest::{Batch, Position, Record};
use crate::shutdown::Shutdown;
use crate::telemetry::Metrics;

/// One file of events.
pub struct File {
    /// As people are told of it.
    pub name: String,
    /// Its lines.
    pub lines: Box<dyn BufRead + Send>,
}

/// Takes all events of the files, in their order. `tell` is told how many records and bytes are taken.
pub fn backfill(
    prepared: &Prepared,
    files: Vec<File>,
    mapping: Option<&Mapping>,
    shutdown: &Shutdown,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Made, RunError> {
    let folder = &prepared.config.state_directory;
    let failed = |error| RunError::StateDirectory(folder.clone(), error);
    private_folder(folder).map_err(failed)?;
    FjallStore::check_free(folder)?;
    if unfinished::found(folder).map_err(failed)?.is_some() {
        FjallStore::discard(folder)?;
    }
    let found = Found::open(prepared, &Metrics::new()?)?;
    if let Some(checkpoint) = found.checkpoint().filter(|checkpoint| !checkpoint.progress.offsets.is_empty()) {
        return Err(RunError::HasState(folder.clone(), checkpoint.number));
    }
    let mut builder = Builder::new(found, prepared)?;
    let behind = builder.engine.newest();
    let (mut records, mut bytes) = (0, 0);
    for File { name, lines } in files {
        let mut lines = Lines::new(lines, prepared.config.engine.limits.value_bytes_max);
        let mut batch = Batch::default();
        loop {
            if shutdown.is_requested() {
                return Err(RunError::CutOff("backfill", folder.clone()));
            }
            batch.clear(clock::now());
            let fill = lines.fill(&mut batch).map_err(|error| RunError::File(name.clone(), error))?;
            match mapping {
                None => builder.take(batch.records().map(own), batch.moment),
                Some(mapping) => builder.take(batch.records().map(|record| foreign(record, mapping)), batch.moment),
            }
            if records == 0 {
                fits(&builder, behind, &name, prepared.config.engine.lateness_max_ms)?;
                // Nothing was written yet.
                unfinished::begin(folder, "backfill").map_err(failed)?;
            }
            records += batch.len() as u64;
            bytes += batch.records().map(|record| record.value.map_or(0, |v| v.len() as u64 + 1)).sum::<u64>();
            tell(records, bytes);
            builder.tick()?;
            if fill == Fill::End {
                break;
            }
        }
    }
    let made = builder.finish(Vec::new(), Heard::Never)?;
    unfinished::end(folder).map_err(failed)?;
    Ok(made)
}

/// What is older than what is there cannot come behind it: nothing is counted backwards.
fn fits(builder: &Builder, behind: Option<Millis>, name: &str, lateness_max_ms: i64) -> Result<(), RunError> {
    match (behind, builder.mute.oldest) {
        (Some(behind), Some(oldest)) if oldest < behind.plus(-lateness_max_ms) => {
            Err(RunError::Older { name: name.to_owned(), oldest, behind })
        }
        _ => Ok(()),
    }
}

fn own<'r>(record: Record<'r>) -> Input<'r> {
    Input { lane: record.lane, value: record.value }
}

/// A line that holds another system's record. Nobody stamped it.
fn foreign<'r>(record: Record<'r>, mapping: &'r Mapping) -> ForeignInput<'r> {
    let Position { partition, offset, .. } = record.position;
    ForeignInput {
        input: own(record),
        mapping: Some(mapping),
        origin: Origin { topic: mapping.name(), partition, offset, stamp: None, key: None },
    }
}
