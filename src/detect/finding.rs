//! A rule that was true of an event, as documents tell it: explanation, evidence, entity.
//!
//! Guarantees: personal fields appear nowhere; what is missing is said to be unknown. Decides nothing.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::document::FindingDocument;
use super::output::{FindingRecord, RuleOutcome};
use crate::event::{Event, Field, Value};
use crate::features::key_value;
use crate::ruleset::row::Row;
use crate::ruleset::sequence::Sequence;
use crate::ruleset::{Key, Piece, Rule, State};

/// The rendered explanation.
pub fn explanation(rule: &Rule, row: &Row<'_>) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for piece in &rule.explain {
        match piece {
            Piece::Text(fixed) => text.push_str(fixed),
            // Writing into a text cannot fail.
            Piece::Value(ty, cell) => _ = write!(text, "{}", row.value(*ty, *cell)),
        }
    }
    text
}

/// The values the condition read, but for personal ones; where it compares places, both sightings and what lies
/// between them.
pub fn evidence(rule: &Rule, row: &Row<'_>) -> BTreeMap<String, Json> {
    let of_steps = rule.sequence.iter().flat_map(|sequence| &sequence.evidence);
    let kept = rule.evidence.iter().chain(&rule.sightings.kept).chain(of_steps).filter(|(name, ..)| !is_personal(name));
    let kept = kept.map(|(name, ty, cell)| (name.clone(), json(&row.value(*ty, *cell))));
    let own = rule.sightings.own.iter().map(|field| (field.name().to_owned(), json(&field.value(row.event))));
    let travel = rule.sightings.travel.iter().map(|(name, quantity)| {
        let value = quantity.tenths(row);
        (name.clone(), json(&if value.is_nan() { Value::Missing } else { Value::Float(value) }))
    });
    kept.chain(own).chain(travel).collect()
}

/// Whether a name such as `acct_last_ok.user_agent` ends in a personal field.
fn is_personal(name: &str) -> bool {
    name.rsplit('.').next().and_then(Field::parse).is_some_and(Field::is_personal)
}

fn json(value: &Value<'_>) -> Json {
    serde_json::to_value(value).unwrap_or_default()
}

/// The finding of an alert.
pub fn document(rule: &Rule, share: f64, row: &Row<'_>) -> FindingDocument {
    FindingDocument {
        rule: rule.id.clone(),
        revision: rule.revision,
        score: rule.score,
        share,
        group: rule.group.clone(),
        audience: rule.audience.clone(),
        text: explanation(rule, row),
        evidence: evidence(rule, row),
    }
}

/// The line of `replay --findings`.
pub fn record(rule: &Rule, outcome: RuleOutcome, event: &Event<'_>, row: &Row<'_>) -> FindingRecord {
    let counts = outcome == RuleOutcome::Fired && rule.state == State::Live;
    FindingRecord {
        event: event.id.clone().into_owned(),
        time: event.time.rfc3339(),
        account: event.account.as_deref().map(str::to_owned),
        rule: rule.id.clone(),
        revision: rule.revision,
        state: match rule.state {
            State::Draft => "draft",
            State::Shadow => "shadow",
            State::Live => "live",
            State::Off => "off",
        },
        outcome,
        by: by(rule, event),
        score: if counts { rule.score } else { 0 },
        evidence: evidence(rule, row),
    }
}

/// The entity of the rule's dedup where the event has it, else that of its sequence, else none.
fn by(rule: &Rule, event: &Event<'_>) -> BTreeMap<String, Json> {
    let of_dedup = rule.dedup.map(|dedup| entity(dedup.by, event)).unwrap_or_default();
    match &rule.sequence {
        Some(sequence) if of_dedup.is_empty() => by_sequence(sequence, event),
        _ => of_dedup,
    }
}

/// The entity of a sequence.
pub fn by_sequence(sequence: &Sequence, event: &Event<'_>) -> BTreeMap<String, Json> {
    entity(sequence.by, event)
}

/// An entity, empty where the event lacks it or it is personal.
fn entity(key: Key, event: &Event<'_>) -> BTreeMap<String, Json> {
    let keys = std::iter::once(key.first).chain(key.second);
    let values: BTreeMap<String, Json> =
        keys.map(|key| key_value(key, event)).map(|(name, value)| (name.to_owned(), json(&value))).collect();
    if values.values().any(Json::is_null) { BTreeMap::new() } else { values }
}
