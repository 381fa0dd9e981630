//! Faults put into the store on purpose, by tests alone: each has to be found by one of them.
//!
//! Guarantees: outside tests there are none. A thread has its own.

/// A step that is left out or done wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
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
}

#[cfg(test)]
thread_local! {
    static MUTANT: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Whether a fault is put in.
#[cfg(test)]
pub(super) fn is(mutant: Mutant) -> bool {
    MUTANT.get() == Some(mutant)
}

/// Whether a fault is put in.
#[cfg(not(test))]
pub(super) fn is(_: Mutant) -> bool {
    false
}

/// Does something with a fault put in.
#[cfg(test)]
pub(super) fn with<T>(mutant: Option<Mutant>, body: impl FnOnce() -> T) -> T {
    MUTANT.set(mutant);
    let result = body();
    MUTANT.set(None);
    result
}
