//! The shipped pack, compiled in.

/// Texts by their path.
pub(super) const FILES: &[(&str, &str)] = &[];
/// Runbooks.
pub(super) const RUNBOOKS: &[&str] = &[];
