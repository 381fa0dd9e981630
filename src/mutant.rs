//! Faults put into the code on purpose, by tests alone: each has to be found by one of them.
//!
//! Guarantees: outside tests there are none. A thread has its own. What a fault leaves out or does wrongly stands at the
//! step itself; the simulations of `features/store` and `app/` look for them. Decides nothing.

/// A step that is left out or done wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// The redo file's bytes are not synced.
    NoFileSync,
    /// Its name is not synced.
    NoFolderSync,
    /// Checksums of the redo file are not looked at.
    NoChecksums,
    /// A redo file without its closing mark is taken for whole.
    NoClosingMark,
    /// A redo file is dropped before the store has it.
    DropsFirst,
    /// A redo file is dropped as soon as the store has it, and not one checkpoint later.
    DropsAtOnce,
    /// A redo file whose predecessor is missing is applied.
    SkipsGaps,
    /// A start takes no redo file into account.
    IgnoresRedo,
    /// Batches are decided without being logged.
    LogsNothing,
    /// A batch is logged only once it was decided and told.
    LogsAfterwards,
    /// The log before a checkpoint is dropped as soon as that is begun.
    DropsLogAtBegin,
    /// It is dropped as soon as the checkpoint is closed, while the store may not have it.
    DropsLogWhenClosed,
    /// What was logged is not taken again as it was: the records come anew, cut otherwise.
    CutsAgainOtherwise,
    /// Offsets are committed as soon as a checkpoint is begun.
    CommitsBeforeClosed,
    /// A checkpoint is begun before Kafka has acknowledged what came of its batches.
    ClosesBeforeAcknowledged,
    /// A record counts as acknowledged once it is given to the client.
    AcknowledgedWhenSent,
    /// Alerts are numbered as they come.
    CountedIds,
    /// Who changed since the last save may leave memory.
    SendsTheDirty,
    /// Who comes back to memory is taken for one who never came again.
    ForgetsMarks,
    /// A sweep leaves alone whoever is not in memory.
    SweepsOnlyHere,
    /// Of whoever is not in memory, what a sweep would do is taken for known after a change of windows.
    KeepsEnds,
    /// Entities leave memory as soon as their state is taken down.
    LeavesBeforeStored,
}

#[cfg(test)]
thread_local! {
    static MUTANT: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Whether a fault is put in.
#[cfg(test)]
pub(crate) fn is(mutant: Mutant) -> bool {
    MUTANT.get() == Some(mutant)
}

/// Whether a fault is put in.
#[cfg(not(test))]
pub(crate) fn is(_: Mutant) -> bool {
    false
}

/// Does something with a fault put in, or with none.
#[cfg(test)]
pub(crate) fn with<T>(mutant: Option<Mutant>, body: impl FnOnce() -> T) -> T {
    let before = MUTANT.replace(mutant);
    let result = body();
    MUTANT.set(before);
    result
}
