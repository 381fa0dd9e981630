//! A state made out of history: read again from Kafka, or from files. Nobody is told anything.
//!
//! Guarantees: no alert, contact, dead letter or notice comes of it; a state that was not made to its end is named and
//! never started on; checkpoints are written as it goes, so that memory stays under its ceiling. Decides as detection
//! does, with the same engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::durable::Found;
use super::room::{self, Need, Room};
use super::{Prepared, RunError};
use crate::detect::document::{AlertDocument, ContactDocument};
use crate::detect::{Counters, Engine, FindingRecord, Readable, Sink};
use crate::event::{Event, Millis, Rejection};
use crate::features::store::{Checkpoints, NextOffset, Progress, Redo};
use crate::geo::Databases;
use crate::ingest::batch_log::Digests;
use crate::ruleset::KeyField;

pub mod backfill;
pub mod rebuild;
pub mod unfinished;

/// Takes what the engine finds, and tells nobody.
#[derive(Default)]
struct Mute {
    /// The oldest time of an accepted event.
    oldest: Option<Millis>,
}

impl Sink for Mute {
    fn rejected(&mut self, _: usize, _: &Rejection) {}
    fn duplicate(&mut self, _: usize) {}
    fn accepted(&mut self, _: usize, event: &Event<'_>, _: bool) {
        self.oldest = Some(self.oldest.map_or(event.time, |oldest| oldest.min(event.time)));
    }
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, _: FindingRecord) {}
    fn alert(&mut self, _: usize, _: AlertDocument) {}
}

/// Whether what was found in the history was told when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was: rules stay silent as long as they would have, contacts are not told again.
    Then,
    /// Nobody was told: what nobody heard silences nothing, and contacts are told when they come.
    Never,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// What was taken.
    pub counters: Counters,
    /// The newest time of an accepted event.
    pub newest: Option<Millis>,
    /// Entities by kind, where there are any.
    pub entities: Vec<(KeyField, usize)>,
    /// Contacts that were left out, because nobody was told them.
    pub contacts_left_out: usize,
    /// The number of the checkpoint that holds it.
    pub checkpoint: u64,
}

/// A store that was set aside for the one that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Where it stands now.
    pub path: PathBuf,
    /// Its size, bytes.
    pub bytes: u64,
}

/// Makes a state.
struct Builder {
    engine: Engine,
    checkpoints: Checkpoints,
    geo: Arc<Databases>,
    in_force: Digests,
    /// That of the last batch.
    moment: Millis,
    mute: Mute,
    /// Something came since the last checkpoint.
    has_changed: bool,
    room: Room,
    /// The last checkpoint, until the store has it.
    unstored: Option<u64>,
}

impl Builder {
    /// Goes on with what was found: nothing, or history that was taken before.
    fn new(found: Found, prepared: &Prepared) -> Result<Self, RunError> {
        let (engine, _) = found.engine(prepared, room::options(prepared))?;
        Ok(Builder {
            engine,
            checkpoints: found.checkpoints()?,
            geo: Arc::clone(&prepared.in_force.geo),
            in_force: prepared.in_force.digests(&prepared.config.kafka.topics),
            moment: Millis(0),
            mute: Mute::default(),
            has_changed: true,
            room: Room::of(&prepared.config.state),
            unstored: None,
        })
    }

    fn take<'r, R: Readable<'r>>(&mut self, inputs: impl IntoIterator<Item = R>, moment: Millis) {
        let geo = (!self.geo.is_empty()).then_some(&*self.geo);
        self.engine.take(inputs, moment, geo, &mut self.mute);
        (self.moment, self.has_changed) = (moment, true);
    }

    /// Between two batches: writes down what there is, where it is time for that.
    fn tick(&mut self) -> Result<(), RunError> {
        self.checkpoints.check()?;
        if self.has_changed && self.checkpoints.is_due(Instant::now()) {
            self.write(Vec::new())?;
        }
        self.make_room()
    }

    /// Lets entities leave memory for the store; where too much of it changed, a checkpoint is written for that.
    fn make_room(&mut self) -> Result<(), RunError> {
        self.engine.check()?;
        self.rest();
        if self.room.make(&mut self.engine) == Need::Wait {
            self.write(Vec::new())?;
            self.checkpoints.wait(None);
            self.checkpoints.check()?;
            self.rest();
            self.room.make(&mut self.engine);
        }
        Ok(())
    }

    fn rest(&mut self) {
        if self.unstored.take_if(|number| self.checkpoints.applied() >= Some(*number)).is_some() {
            self.engine.at_rest();
        }
    }

    fn write(&mut self, offsets: Vec<NextOffset>) -> Result<(), RunError> {
        let mut redo = Redo::new();
        self.engine.save(&mut redo);
        self.engine.check()?;
        let Digests { rules, lists, geo, .. } = self.in_force.clone();
        let progress = Progress { batch: 0, moment_ms: self.moment.0, offsets, rules, lists, geo, epoch: 0 };
        self.unstored = Some(self.checkpoints.begin(redo, progress)?);
        self.has_changed = false;
        Ok(())
    }

    /// Writes it down whole: afterwards it is in the store. `offsets`: where detection goes on; empty, where no
    /// partition was read.
    fn finish(mut self, offsets: Vec<NextOffset>, heard: Heard) -> Result<Made, RunError> {
        let counters = self.engine.counters().clone();
        let newest = self.engine.newest();
        let contacts_left_out = match heard {
            Heard::Then => 0,
            Heard::Never => self.engine.nobody_heard(),
        };
        let entities = |kind| Some((kind, self.engine.entities(kind))).filter(|(_, n)| *n > 0);
        let entities = KeyField::all().filter_map(entities).collect();
        self.write(offsets)?;
        self.checkpoints.wait(None);
        self.checkpoints.check()?;
        let checkpoint = self.checkpoints.closed().map_or(0, |checkpoint| checkpoint.number);
        Ok(Made { counters, newest, entities, contacts_left_out, checkpoint })
    }
}
