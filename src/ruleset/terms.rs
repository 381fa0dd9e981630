//! The terms of a rule as they were written and typed: what explains a rule reads them, the engine does not.
//!
//! Guarantees: what a condition's closures read, its terms read too. Does not evaluate.

use std::ops::Range;
use std::sync::Arc;

use super::expr::Typed;
use crate::report::SourceFile;

/// The terms of one rule.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Its condition.
    pub when: Option<Typed>,
    /// Those of its exceptions, in their order.
    pub unless: Vec<Typed>,
    /// Those of its sequence's steps, in their order; a step may have none.
    pub steps: Vec<Option<Typed>>,
    /// Those of what must not follow its sequence, in their order; an item may have none.
    pub absent: Vec<Option<Typed>>,
}

/// Where a def stands: a typed tree holds its terms, and not its name.
#[derive(Debug, Clone)]
pub struct DefPlace {
    /// Its name.
    pub name: String,
    /// Its file and the bytes of its expression.
    pub at: (Arc<SourceFile>, Range<usize>),
}
