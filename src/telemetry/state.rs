//! The operational facts of the state: what a start found, and checkpoints.
//!
//! Guarantees: as in `events.rs`: one struct each, told once; no personal data.

use std::time::Duration;

use super::Metrics;

/// A checkpoint is in the store.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointDone {
    /// Its number.
    pub number: u64,
    /// What it changed.
    pub changes: u64,
    /// The size of its redo file.
    pub bytes: u64,
    /// From its beginning until it outlived everything.
    pub closed_in: Duration,
    /// Until the store had it.
    pub took: Duration,
    /// The size of the store on disk.
    pub store_bytes: u64,
}

impl CheckpointDone {
    /// Tells it.
    pub fn tell(&self, metrics: &Metrics) {
        let CheckpointDone { number, changes, bytes, closed_in, took, store_bytes } = *self;
        metrics.checkpoint_close.observe(closed_in.as_secs_f64());
        metrics.checkpoint.observe(took.as_secs_f64());
        let gauges = [
            (&metrics.checkpoint_changes, changes),
            (&metrics.checkpoint_bytes, bytes),
            (&metrics.store_bytes, store_bytes),
        ];
        gauges.into_iter().for_each(|(gauge, value)| gauge.set(i64::try_from(value).unwrap_or(i64::MAX)));
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(
            checkpoint = number,
            changes,
            bytes,
            closed_ms = ms(closed_in),
            took_ms = ms(took),
            store_bytes,
            "checkpoint written"
        );
    }
}

/// Detection waited for the store: too much of what is in memory had changed since the last checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct RoomWaited {
    /// What entities took when it was over, before others left, bytes.
    pub resident_bytes: usize,
    /// How long.
    pub waited: Duration,
}

impl RoomWaited {
    /// Tells it.
    pub fn tell(&self, metrics: &Metrics) {
        let RoomWaited { resident_bytes, waited } = *self;
        metrics.room_wait.observe(waited.as_secs_f64());
        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(resident_bytes, waited_ms, "memory was full of what had changed: a checkpoint was waited for");
    }
}

/// Detection goes on with the state of an earlier start.
#[derive(Debug)]
pub struct StateOpened {
    /// The checkpoint that it goes on from.
    pub checkpoint: u64,
    /// Batches behind it that are taken again.
    pub batches_again: usize,
    /// Time to read it back.
    pub took: Duration,
}

impl StateOpened {
    /// Tells it.
    pub fn tell(&self) {
        let StateOpened { checkpoint, batches_again, took } = *self;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(checkpoint, batches_again, took_ms, "the state is read back: going on where it stands");
    }
}

/// A state that could not go on was set aside, as `--cold` asks for: detection begins with an empty one.
#[derive(Debug)]
pub struct StateSetAside<'s> {
    /// Why it could not.
    pub why: &'s str,
    /// Where it stands now.
    pub aside: &'s std::path::Path,
    /// Its size.
    pub bytes: u64,
}

impl StateSetAside<'_> {
    /// Tells it.
    pub fn tell(&self) {
        let StateSetAside { why, aside, bytes } = *self;
        let aside = aside.display();
        tracing::warn!(
            why, %aside, bytes,
            "the state was set aside and detection begins with an empty one: what was known of accounts is given up; \
             the folder may be removed"
        );
    }
}

/// Batches are taken again with other rules, lists or databases than they were decided with before.
#[derive(Debug)]
pub struct TakenAgainUnderOthers {
    /// How many.
    pub batches: usize,
}

impl TakenAgainUnderOthers {
    /// Tells it.
    pub fn tell(&self) {
        let batches = self.batches;
        tracing::warn!(
            batches,
            "rules, lists or geo databases changed since the last end: what was read after the last checkpoint is \
             decided again with the new ones"
        );
    }
}

/// A start gave the store a checkpoint that was closed before the end, and that it did not have.
#[derive(Debug)]
pub struct RedoApplied {
    /// The checkpoint.
    pub number: u64,
    /// What it changed.
    pub changes: usize,
}

impl RedoApplied {
    /// Tells it.
    pub fn tell(&self) {
        let RedoApplied { number, changes } = self;
        tracing::info!(checkpoint = number, changes, "a closed redo file was applied to the state store again");
    }
}

/// A start found a redo file that was never finished: the end came while it was written.
#[derive(Debug)]
pub struct RedoUnclosed<'a> {
    /// The checkpoint it was to be.
    pub number: u64,
    /// What was found.
    pub why: &'a str,
}

impl RedoUnclosed<'_> {
    /// Tells it.
    pub fn tell(&self) {
        tracing::info!(
            checkpoint = self.number,
            why = self.why,
            "a redo file that was never finished is deleted; its events are taken again"
        );
    }
}

/// A start found a redo file that is damaged: the state goes on from the checkpoint before it.
#[derive(Debug)]
pub struct RedoDamaged<'a> {
    /// The checkpoint it was.
    pub number: u64,
    /// The checkpoint that the store holds; 0 for none.
    pub goes_on_from: u64,
    /// What was found.
    pub why: &'a str,
}

impl RedoDamaged<'_> {
    /// Tells it.
    pub fn tell(&self) {
        tracing::error!(
            checkpoint = self.number,
            goes_on_from = self.goes_on_from,
            why = self.why,
            "a redo file is damaged, by the disk or because the power failed while it was written: it is deleted, the \
             state goes on from the checkpoint before it and Kafka's records are taken again from there"
        );
    }
}
