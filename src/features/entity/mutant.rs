//! Faults put into how entities leave memory and come back, by tests alone: each has to be found by one of them.
//!
//! Guarantees: outside tests there are none. A thread has its own.

/// A step that is left out or done wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Who changed since the last save may leave.
    SendsTheDirty,
    /// Who comes back is taken for one who never came again.
    ForgetsMarks,
    /// A sweep leaves alone whoever is away.
    SweepsOnlyHere,
    /// What a sweep would do is taken for known after a change of windows.
    KeepsEnds,
}

#[cfg(test)]
thread_local! {
    static MUTANT: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Whether a fault is put in.
#[cfg(test)]
pub fn is(mutant: Mutant) -> bool {
    MUTANT.get() == Some(mutant)
}

/// Whether a fault is put in.
#[cfg(not(test))]
#[inline]
pub fn is(_: Mutant) -> bool {
    false
}

/// Does something with a fault put in.
#[cfg(test)]
pub fn with<T>(mutant: Option<Mutant>, body: impl FnOnce() -> T) -> T {
    MUTANT.set(mutant);
    let result = body();
    MUTANT.set(None);
    result
}
