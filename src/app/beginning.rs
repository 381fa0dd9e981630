//! How detection begins: with the state that is there, with an empty one, or not at all.
//!
//! Guarantees: a state whose making was cut off is never begun with; one that cannot go on is set aside only where that
//! was asked for; batches that are taken again begin with what they were decided with before.

use super::current::InForce;
use super::durable::Found;
use super::history::unfinished;
use super::past::Past;
use super::{Beginning, Prepared, Reader, RunError, Stages};
use crate::detect::RestoreError;
use crate::features::store::{FjallStore, StoreError};
use crate::ingest::batch_log::{Digests, LogError, Logged};
use crate::ingest::kafka::Error as KafkaError;
use crate::ingest::kafka::consumer::Consumer;
use crate::telemetry::state::{StateSetAside, TakenAgainUnderOthers};

impl Stages {
    /// Refuses a state whose making was cut off; with `--cold` that goes.
    pub(super) fn is_finished(&self, beginning: Beginning) -> Result<(), RunError> {
        let folder = &self.prepared.config.state_directory;
        let failed = |error| RunError::StateDirectory(folder.clone(), error);
        let Some(what) = unfinished::found(folder).map_err(failed)? else { return Ok(()) };
        // Perhaps it is being made right now.
        FjallStore::check_free(folder)?;
        if !beginning.cold {
            return Err(RunError::Unfinished(what, folder.clone()));
        }
        FjallStore::discard(folder)?;
        unfinished::end(folder).map_err(failed)
    }

    /// The state and the reader; with `--cold` a state that cannot go on is set aside, and it begins with an empty one.
    pub(super) fn open_state(&self, beginning: Beginning) -> Result<(Consumer, Option<Found>), RunError> {
        match self.open_reader(beginning) {
            Err(error) if beginning.cold && is_of_state(&error) => self.set_aside(&error, beginning),
            opened => opened,
        }
    }

    fn set_aside(&self, why: &RunError, beginning: Beginning) -> Result<(Consumer, Option<Found>), RunError> {
        let folder = &self.prepared.config.state_directory;
        FjallStore::set_aside(folder)?;
        let (aside, bytes) = FjallStore::aside(folder).unwrap_or_default();
        StateSetAside { why: &why.to_string(), aside: &aside, bytes }.tell();
        self.open_reader(beginning)
    }

    /// Makes the group ours, with a state that can go on or, with `--cold`, an empty one.
    pub(super) fn claim(&self, opened: (Consumer, Option<Found>), beginning: Beginning) -> Result<Reader, RunError> {
        match self.claim_as_it_is(opened, beginning) {
            Err(error) if beginning.cold && is_of_state(&error) => {
                let opened = self.set_aside(&error, beginning)?;
                self.claim_as_it_is(opened, beginning)
            }
            claimed => claimed,
        }
    }

    /// What the first batch is decided with: of batches that are taken again, what they were decided with before.
    pub(super) fn begins_with(&self, again: &[Logged]) -> InForce {
        let prepared = &self.prepared;
        let (now, past) = (&prepared.in_force, self.past());
        // Kept by whatever is reloaded, until these batches are covered.
        again.iter().for_each(|logged| self.current.decides_with(&logged.in_force));
        let mut known: Vec<(&Digests, bool)> = Vec::new();
        let mut others = 0;
        for Logged { in_force, .. } in again {
            let is_exact = match known.iter().find(|(digests, _)| *digests == &**in_force) {
                Some((_, is_exact)) => *is_exact,
                None => {
                    let is_exact = past.of(in_force, now).is_exact;
                    known.push((in_force, is_exact));
                    is_exact
                }
            };
            others += usize::from(!is_exact);
        }
        if others > 0 {
            TakenAgainUnderOthers { batches: others }.tell();
        }
        let first = again.first().map(|logged| past.of(&logged.in_force, now).in_force);
        let begins_with = first.unwrap_or_else(|| now.clone());
        self.current.decides_with(&begins_with.digests(&prepared.config.kafka.topics));
        begins_with
    }

    /// What was in force before, as far as it is kept.
    pub(super) fn past(&self) -> Past {
        let Prepared { config, key, .. } = &*self.prepared;
        Past::in_state(&config.state_directory, &config.kafka.topics, *key)
    }
}

/// Whether it is the state that cannot go on: another one could.
fn is_of_state(error: &RunError) -> bool {
    match error {
        RunError::Restore(RestoreError::Store(error)) | RunError::State(error) => {
            matches!(error, StoreError::Damaged { .. } | StoreError::Version { .. } | StoreError::Key { .. })
        }
        RunError::Restore(_) => true,
        RunError::Log(error) => matches!(error, LogError::Format { .. } | LogError::Unknown { .. }),
        RunError::Kafka(error) => matches!(
            error,
            KafkaError::Gone { .. }
                | KafkaError::NotAgain { .. }
                | KafkaError::OtherLanes { .. }
                | KafkaError::Retired { .. }
        ),
        _ => false,
    }
}
