//! Templates of explanations: text with names in braces.
//!
//! Guarantees: every name is a single value that exists where the rule runs and is not personal. `{{` and
//! `}}` are braces. Does not render: whoever has a row does.

use super::{Layout, Problem, Scope, Snippet};
use crate::ruleset::model::Piece;

/// Parses and checks a template.
pub(super) fn parse(_: &Snippet<'_>, _: &dyn Scope, _: &mut Layout, _: &mut Vec<Problem>) -> Option<Vec<Piece>> {
    None
}
