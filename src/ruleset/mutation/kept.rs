//! Mutants that a rule names as equivalent: `mutants: [{keep: "when: 8 -> 9", reason: …}]`.
//!
//! Guarantees: each says why, and none stands twice. Does not know which mutants there are.

use std::ops::Range;

use crate::ruleset::codes;
use crate::yaml::{Kind, Node, Reader};

/// A mutant that no test can tell from the rule, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The mutant's name, as `rules mutate` prints it.
    pub name: String,
    /// Why no test tells it from the rule.
    pub reason: String,
    /// Where the name stands.
    pub at: Range<usize>,
}

/// Mutants one rule may name, at most.
const KEPT_MAX: usize = 200;

/// The keys of one, all of them needed.
pub(in crate::ruleset) const KEPT_KEYS: &[&str] = &["keep", "reason"];

/// Reads the `mutants` of a rule.
pub fn read_kept(reader: &mut Reader<'_>, node: &Node) -> Vec<Kept> {
    let items = reader.seq(node, "`mutants`").unwrap_or_default();
    if items.len() > KEPT_MAX {
        reader.error(codes::LIMIT, node.head(), format!("a rule names at most {KEPT_MAX} mutants"));
    }
    let mut kept: Vec<Kept> = Vec::new();
    for item in items.iter().take(KEPT_MAX) {
        let Some(map) = reader.map(item, "a mutant") else { continue };
        reader.keys(map, KEPT_KEYS, &[]);
        reader.require(item, "a mutant", KEPT_KEYS);
        let name = map.get("keep").and_then(|node| reader.text(node, "`keep`"));
        let reason = map.get("reason").and_then(|node| reader.text(node, "`reason`"));
        let (Some(name), Some(reason), Some(node)) = (name, reason, map.get("keep")) else { continue };
        if matches!(node.kind, Kind::Scalar(_)) && kept.iter().any(|other| other.name == name) {
            reader.error(codes::NAME, node.span.clone(), format!("the mutant `{name}` is kept here twice"));
            continue;
        }
        kept.push(Kept { name, reason, at: node.span.clone() });
    }
    kept
}
