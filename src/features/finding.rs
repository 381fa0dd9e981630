//! Findings as features see them: the fired ones of live rules, with the ids of their event.
//!
//! Guarantees: a finding is one event, whatever number its own event stands for. Decides nothing.

use super::{Banks, Ids};
use crate::ruleset::FindingField;
use crate::ruleset::row::Cell;

/// A finding of a live rule.
#[derive(Debug, Clone, Copy)]
pub struct Finding<'f> {
    /// The rule's id.
    pub rule: &'f str,
    /// Its group.
    pub group: &'f str,
    /// Its score.
    pub score: u8,
}

impl Finding<'_> {
    /// Writes one of its fields.
    pub(super) fn fill(&self, field: FindingField, ids: &Ids, cell: Cell, banks: &mut Banks) {
        match field {
            FindingField::Rule => banks.text(cell, ids.key().text(self.rule), self.rule),
            FindingField::Group => banks.text(cell, ids.key().text(self.group), self.group),
            FindingField::Score => banks.number(cell, f64::from(self.score)),
        }
    }

    /// A field as a number to compare.
    pub(super) fn value(&self, field: FindingField, ids: &Ids) -> u64 {
        match field {
            FindingField::Rule => ids.key().text(self.rule),
            FindingField::Group => ids.key().text(self.group),
            FindingField::Score => u64::from(self.score) + 1,
        }
    }
}
