//! The JSON Schema of rule files, for editors that complete and underline while somebody writes.
//!
//! Guarantees: keys and words are those of the tables that the loader reads with, so that neither knows one that the
//! other does not; every file that loads is valid. Does not judge expressions, names or what fits together:
//! `rules check` does.

use serde_json::{Map, Value, json};

use super::declare::{FILE_KEYS, LANGUAGE_VERSION, LIST_KEYS};
use super::exception::EXCEPTION_KEYS;
use super::feature::{KEYS as FEATURE_KEYS, KINDS, Kind};
use super::lists::LIST_TYPES;
use super::model::KeyField;
use super::mutation::KEPT_KEYS;
use super::params::PARAM_KEYS;
use super::rule::{ACTIONS, AUDIENCES, DEDUP_KEYS, RULE_KEYS, SEVERITIES, STATES};
use super::sequence::read::{ABSENT_KEYS, REQUIRED_KEYS, SEQUENCE_KEYS, STEP_KEYS, WITHOUT_KEYS};
use super::test_case::{ENTRY_KEYS, EXPECT, TEST_KEYS};
use crate::event::{Closed, Currency, EventType, Field};

/// Keys of an event that are no field's own name: what is written beside an amount, and parts of `geo` alone.
const SHORT_FORMS: &[&str] =
    &["currency", "contact", "old", "geo.latitude", "geo.longitude", "country", "city", "asn", "network"];

/// The schema.
pub fn rule_files() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rules of walletwatch",
        "type": "object",
        "properties": object(FILE_KEYS, of_file),
        "required": ["version"],
        "additionalProperties": false,
        "$defs": {
            "expression": about("A condition, such as `fails > 3 and country == \"CN\"`.", scalar()),
            "scalar": scalar(),
            "text": { "type": ["string", "number"] },
            "time": about("A time, such as `90s`, `10m`, `24h` or `30d`.", json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })),
            "event_type": { "enum": EventType::WORDS },
            "entity": { "enum": KeyField::all().map(KeyField::name).collect::<Vec<_>>() },
            "by": either(reference("entity"), json!({ "type": "array", "items": reference("entity"), "minItems": 1, "maxItems": 2 })),
            "list": closed(LIST_KEYS, of_list, &["type", "owner", "max_age"]),
            "amount": {
                "type": "object",
                "propertyNames": { "enum": Currency::codes().collect::<Vec<_>>() },
                "additionalProperties": { "type": ["number", "string"] },
                "minProperties": 1,
            },
            "feature": feature(),
            "param": closed(PARAM_KEYS, |_| reference("scalar"), &["value"]),
            "params": named("param"),
            "exception": closed(EXCEPTION_KEYS, of_exception, EXCEPTION_KEYS),
            "defaults": closed(RULE_KEYS, of_rule, &[]),
            "rule": closed(RULE_KEYS, of_rule, &["id"]),
            "sequence": closed(SEQUENCE_KEYS, of_sequence, REQUIRED_KEYS),
            "step": closed(STEP_KEYS, of_step, &["on"]),
            "cancelling": closed(WITHOUT_KEYS, of_step, &["on"]),
            "absence": closed(ABSENT_KEYS, of_step, &["on", "within"]),
            "mutant": closed(KEPT_KEYS, |_| reference("text"), KEPT_KEYS),
            "test": closed(TEST_KEYS, of_test, &["name", "events"]),
            "event": fields(&[]),
            "entry": fields(ENTRY_KEYS),
        },
    })
}

fn of_file(key: &str) -> Value {
    match key {
        "version" => about("The version of the language.", json!({ "const": LANGUAGE_VERSION })),
        "lists" => about("Named sets of accounts, addresses, countries and the like.", named("list")),
        "amounts" => about("Amounts by their currencies: `large: {CNY: 5000, USD: 700}`.", named("amount")),
        "features" => about("What is kept of past events, shared by all rules.", named("feature")),
        "defs" => about("Conditions and values with a name.", named("expression")),
        "params" => about("Numbers that a team turns, for all rules.", reference("params")),
        "defaults" => about("Keys that each rule of this file has unless it says otherwise.", reference("defaults")),
        "exceptions" => about("Exceptions that rules take by their name.", many(reference("exception"))),
        "rules" => about("The rules.", many(reference("rule"))),
        _ => json!({}),
    }
}

fn of_list(key: &str) -> Value {
    match key {
        "type" => words(LIST_TYPES.iter().map(|(word, _)| *word)),
        "max_age" => about("After this time without a change it is told as stale.", reference("time")),
        "items" => many(reference("text")),
        "file" => about("One entry a line, such as `lists/tor_exits.txt`.", json!({ "type": "string" })),
        _ => reference("text"),
    }
}

fn feature() -> Value {
    let of = |key: &str| match key {
        "where" => reference("expression"),
        "by" => about("The entity, or a pair, that it is kept for.", reference("by")),
        "over" | "half_life" => reference("time"),
        "include" => words(["current", "prior"]),
        _ => about(
            "Event types, with a field where it looks at one: `login`, `transfer.amount`.",
            one_or_more(json!({ "type": "string" })),
        ),
    };
    let mut feature = closed(FEATURE_KEYS, of, &["by"]);
    let of_kind = |kind: Kind| if kind == Kind::Decayed { ("half_life", "over") } else { ("over", "half_life") };
    let kinds = KINDS.iter().map(|(word, kind)| (word, of_kind(*kind)));
    let kinds = kinds.map(|(word, (has, not))| json!({ "required": [word, has], "not": { "required": [not] } }));
    feature["oneOf"] = kinds.collect();
    feature
}

fn of_exception(key: &str) -> Value {
    match key {
        "when" => reference("expression"),
        "expires" => about(
            "The last day on which it holds, in UTC.",
            json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }),
        ),
        _ => reference("text"),
    }
}

fn of_rule(key: &str) -> Value {
    match key {
        "id" | "group" | "notice" => json!({ "type": "string", "pattern": "^[a-z][a-z0-9-]{0,63}$" }),
        "revision" => about("Grows with each change of meaning.", json!({ "type": "integer", "minimum": 1 })),
        "state" => {
            about("draft: tests only; shadow: counted beside; live; off.", words(STATES.iter().map(|(word, _)| *word)))
        }
        "severity" => about("Shown, decides nothing.", words(SEVERITIES.iter().map(|(word, _)| *word))),
        "score" => json!({ "type": "integer", "minimum": 0, "maximum": 100 }),
        "audience" => one_or_more(words(AUDIENCES.iter().map(|(word, _)| *word))),
        "on" => about("The event types it looks at.", one_or_more(reference("event_type"))),
        "when" => about("When it fires.", reference("expression")),
        "unless" => many(either(json!({ "type": "string" }), reference("exception"))),
        "dedup" => closed(DEDUP_KEYS, |key| reference(if key == "by" { "by" } else { "time" }), DEDUP_KEYS),
        "action" => words(ACTIONS.iter().map(|(word, _)| *word)),
        "attack" => many(json!({ "type": "string", "pattern": "^[TF][0-9]{4}(\\.[0-9]{3})?$" })),
        "references" | "false_positives" => one_or_more(reference("text")),
        "params" => reference("params"),
        "tests" => many(reference("test")),
        "sequence" => about("Steps by one entity, in order, in place of `on` and `when`.", reference("sequence")),
        "inform" => about("A fact for the user, not a suspicion.", json!({ "type": "boolean" })),
        "mutants" => about("Mutants that no test can tell from the rule.", many(reference("mutant"))),
        "title" | "description" | "owner" | "explain" | "runbook" => reference("text"),
        // A key that came later: it is known, and what it holds is not said here.
        _ => json!({}),
    }
}

fn of_sequence(key: &str) -> Value {
    match key {
        "by" => reference("by"),
        "within" => about("From the first step to the last.", reference("time")),
        "steps" => about("What happens, in order.", many(reference("step"))),
        "without" => about("What cancels it in between.", many(reference("cancelling"))),
        _ => about("What must not follow the last step.", many(reference("absence"))),
    }
}

fn of_step(key: &str) -> Value {
    match key {
        "on" => one_or_more(reference("event_type")),
        "as" => about("The name by which later steps read its fields.", json!({ "type": "string" })),
        "within" => reference("time"),
        _ => reference("expression"),
    }
}

fn of_test(key: &str) -> Value {
    match key {
        "given" => about("Merged into each event.", reference("event")),
        "set" => about("Values of features and of `account.…` that are pinned.", json!({ "type": "object" })),
        "events" => json!({ "type": "array", "items": reference("entry"), "minItems": 1 }),
        "todo" => about("A known gap.", json!({ "type": "boolean" })),
        _ => reference("text"),
    }
}

/// The fields of an event of a test, and these keys beside them.
fn fields(besides: &'static [&'static str]) -> Value {
    // The test makes up the first two, the third follows from another.
    let made_up = [Field::Id, Field::Time, Field::ReasonClass];
    let names = || Field::all().filter(|field| !made_up.contains(field)).map(Field::name);
    let parts = names().filter_map(|name| name.strip_prefix("geo.")).chain(["latitude", "longitude"]);
    let parts: Map<String, Value> = parts.map(|part| (part.to_owned(), reference("scalar"))).collect();
    let place = json!({ "type": "object", "properties": parts, "additionalProperties": false });
    let keys: Vec<&'static str> = names().chain(SHORT_FORMS.iter().copied()).chain(besides.iter().copied()).collect();
    closed(
        &keys,
        |key| match key {
            "geo" => either(reference("scalar"), place.clone()),
            "contact" => json!({ "type": "object" }),
            "expect" => words(EXPECT.iter().map(|(word, _)| *word)),
            _ => reference("scalar"),
        },
        &[],
    )
}

// === pieces ===

fn object(keys: &[&str], of: impl Fn(&str) -> Value) -> Value {
    keys.iter().map(|key| ((*key).to_owned(), of(key))).collect::<Map<_, _>>().into()
}

/// A mapping that has these keys and no others.
fn closed(keys: &[&str], of: impl Fn(&str) -> Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": object(keys, of), "required": required, "additionalProperties": false })
}

/// A mapping of names; an empty section is allowed.
fn named(definition: &str) -> Value {
    json!({ "type": ["object", "null"], "additionalProperties": reference(definition) })
}

fn many(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn one_or_more(item: Value) -> Value {
    either(item.clone(), json!({ "type": "array", "items": item, "minItems": 1 }))
}

fn either(one: Value, other: Value) -> Value {
    json!({ "anyOf": [one, other] })
}

fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Value {
    json!({ "enum": words.into_iter().collect::<Vec<_>>() })
}

fn reference(definition: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{definition}") })
}

fn scalar() -> Value {
    json!({ "type": ["string", "number", "boolean", "null"] })
}

/// With words that an editor shows.
fn about(description: &str, schema: Value) -> Value {
    let mut schema = schema;
    if let Value::Object(object) = &mut schema {
        object.insert("description".to_owned(), description.into());
    }
    schema
}
