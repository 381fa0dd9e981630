//! What kind of rule it is: a condition on events, or a sequence of them; a suspicion, or a fact.
//!
//! Guarantees: a sequence has neither `on` nor `when`; a rule that informs has no score and is for the user.
//! Keys that only a file's defaults give are passed over where the kind does not have them.

use super::codes;
use super::model::Audience;
use super::rule::{AUDIENCES, RuleDraft};
use crate::yaml::{Map, Reader};

/// The keys that this kind of rule needs not have.
pub(super) fn spared(own: &Map, informs: bool) -> Vec<&'static str> {
    let mut spared = Vec::new();
    if own.get("sequence").is_some() {
        spared.extend(["on", "when"]);
    }
    if informs {
        spared.extend(["score", "audience"]);
    }
    spared
}

/// Tells keys that this kind of rule does not have.
pub(super) fn check_keys(reader: &mut Reader<'_>, own: &Map, informs: bool) {
    for entry in &own.entries {
        match entry.key.as_str() {
            key @ ("on" | "when") if own.get("sequence").is_some() => {
                let message = format!("a rule has `{key}` or `sequence`, not both");
                let help = "the steps of a sequence say `on` and `where` themselves";
                reader.error_help(codes::SEQUENCE, entry.key_span.clone(), message, help);
            }
            "score" if informs => {
                let message = "a rule that informs tells a fact: it has no score";
                reader.error(codes::INFORM, entry.key_span.clone(), message);
            }
            _ => {}
        }
    }
}

/// Whom a rule that informs is for: the user, and whoever else it names.
pub(super) fn audience(reader: &mut Reader<'_>, draft: &RuleDraft<'_>, mut named: Vec<Audience>) -> Vec<Audience> {
    if let Some(node) = draft.own_value("audience").filter(|_| !named.is_empty() && !named.contains(&Audience::User)) {
        let words: Vec<&str> = AUDIENCES.iter().filter(|(_, a)| named.contains(a)).map(|(word, _)| *word).collect();
        let message = format!("a rule that informs is for the user, and this one is for {}", words.join(" and "));
        reader.error_help(codes::INFORM, node.span.clone(), message, "add `user`, or leave `audience` out");
    }
    // What a file's defaults say is meant for suspicions.
    if draft.own_value("audience").is_none() {
        named.clear();
    }
    if !named.contains(&Audience::User) {
        named.push(Audience::User);
        named.sort_unstable();
    }
    named
}
