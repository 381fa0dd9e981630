//! The tests in a mapping file: a record, and what becomes of it.
//!
//! Guarantees: a test runs through the very decoder of the service; what it expects is compared field by field,
//! and fields it does not name may be anything. Judges no rule: rule files test those.

use std::ops::Range;

use serde_json::Value as Json;

use super::target::Target;
use super::{Mapped, Mapping, Origin, codes};
use crate::event::{Closed as _, Limits, Millis, RejectReason, Rejection, TIME_MS_MAX, encode};
use crate::report::Problem;
use crate::yaml::{Entry, Kind, Map, Node, Reader, Style, is_plain};

/// Tests of one file, at most.
const TESTS_MAX: usize = 1000;
/// When the record of a test was written, unless it says so: 2026-01-01T00:00:00Z.
const STAMP: Millis = Millis(1_767_225_600_000);

/// One test.
#[derive(Debug)]
pub struct Test {
    /// What it shows.
    pub name: String,
    /// Where it stands in its file.
    pub at: Range<usize>,
    /// The record.
    given: String,
    record: Record,
    expect: Expect,
}

/// What Kafka says of a test's record.
#[derive(Debug)]
struct Record {
    topic: String,
    partition: i32,
    offset: i64,
    stamp: Millis,
    key: Option<String>,
}

#[derive(Debug)]
enum Expect {
    /// These fields, and whatever else.
    Event(Vec<Expected>),
    Ignored(Option<String>),
    Rejected {
        reason: Option<RejectReason>,
        field: Option<String>,
    },
}

/// What a field of the event is expected to be.
#[derive(Debug)]
struct Expected {
    target: Target,
    /// `None`: it is absent.
    text: Option<String>,
    at: Range<usize>,
}

/// What went otherwise than a test expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The field, or what the whole is.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub happened: String,
    /// Where it is expected.
    pub at: Range<usize>,
}

// === Running ===

/// Runs every test: what failed of each, in the order of the file.
pub fn run(mapping: &Mapping) -> Vec<Vec<Failure>> {
    mapping.tests.iter().map(|test| failures(mapping, test)).collect()
}

/// The failures of a mapping's tests as problems of its file.
pub fn failed(mapping: &Mapping) -> Vec<Problem> {
    let of = |test: &Test| {
        let told = |failure: Failure| {
            let Failure { what, expected, happened, at } = failure;
            let message = format!("test `{}` fails: {what}: expected {expected}, got {happened}", test.name);
            Problem::error(codes::TEST_FAILED, &mapping.file, at, message)
        };
        failures(mapping, test).into_iter().map(told).collect::<Vec<_>>()
    };
    mapping.tests.iter().flat_map(of).collect()
}

/// Warnings about entries that no test takes.
pub fn untested(mapping: &Mapping) -> Vec<Problem> {
    let taken: Vec<Option<usize>> = mapping.tests.iter().map(|test| take(mapping, test).0).collect();
    let is_untested = |at: &usize| !taken.contains(&Some(*at));
    let told = |at: usize| {
        let place = mapping.entries.get(at).map_or(0..0, |entry| entry.at.clone());
        Problem::warning(codes::UNTESTED, &mapping.file, place, "no test of this file takes this entry")
    };
    (0..mapping.entries.len()).filter(is_untested).map(told).collect()
}

fn take<'m>(mapping: &'m Mapping, test: &'m Test) -> (Option<usize>, Result<Mapped<'m>, Rejection>) {
    let Record { topic, partition, offset, stamp, key } = &test.record;
    let topic = if topic.is_empty() { mapping.name() } else { topic };
    let key = key.as_deref().map(str::as_bytes);
    let origin = Origin { topic, partition: *partition, offset: *offset, stamp: Some(*stamp), key };
    mapping.take(Some(test.given.as_bytes()), &origin, Millis(TIME_MS_MAX), &Limits::default())
}

fn failures(mapping: &Mapping, test: &Test) -> Vec<Failure> {
    let happened = take(mapping, test).1;
    let whole = |expected: String| {
        let happened = match &happened {
            Ok(Mapped::Event(decoded)) => format!("an event of type `{}`", decoded.event.kind),
            Ok(Mapped::Ignored(reason)) => format!("ignored: {reason}"),
            Err(rejection) => format!("rejected: {rejection}"),
        };
        vec![Failure { what: "the record".to_owned(), expected, happened, at: test.at.clone() }]
    };
    match (&test.expect, &happened) {
        (Expect::Event(fields), Ok(Mapped::Event(decoded))) => {
            let mut json = Vec::new();
            let event = encode(&decoded.event, &mut json).and_then(|()| serde_json::from_slice::<Json>(&json));
            let event = event.unwrap_or_default();
            fields.iter().filter_map(|expected| differs(expected, &event)).collect()
        }
        (Expect::Event(_), _) => whole("an event".to_owned()),
        (Expect::Ignored(expected), Ok(Mapped::Ignored(reason)))
            if expected.as_deref().is_none_or(|expected| expected == *reason) =>
        {
            Vec::new()
        }
        (Expect::Ignored(None), _) => whole("ignored".to_owned()),
        (Expect::Ignored(Some(reason)), _) => whole(format!("ignored: {reason}")),
        (Expect::Rejected { reason, field }, Err(rejection))
            if reason.is_none_or(|reason| reason == rejection.reason)
                && field.as_deref().is_none_or(|field| rejection.field == Some(field)) =>
        {
            Vec::new()
        }
        (Expect::Rejected { reason, field }, _) => {
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            let field = field.as_deref().map(|field| format!(" ({field})")).unwrap_or_default();
            whole(format!("rejected{reason}{field}"))
        }
    }
}

/// How a field differs from what is expected.
fn differs(expected: &Expected, event: &Json) -> Option<Failure> {
    let Expected { target, text, at } = expected;
    let expected = text.as_deref();
    let found = target.name().split('.').try_fold(event, |json, name| json.get(name));
    let found = match found {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    let is_equal = match (expected, found.as_deref()) {
        (None, None) => true,
        (Some(expected), Some(found)) => expected == found || same(*target, expected, found),
        _ => false,
    };
    let shown = |value: Option<&str>| value.map_or("nothing".to_owned(), |text| format!("`{text}`"));
    (!is_equal).then(|| Failure {
        what: target.name().to_owned(),
        expected: shown(expected),
        happened: shown(found.as_deref()),
        at: at.clone(),
    })
}

/// Whether two texts are the same time or number, differently written.
fn same(target: Target, expected: &str, found: &str) -> bool {
    if target.is_time() {
        return Millis::parse(expected).is_some_and(|time| Millis::parse(found) == Some(time));
    }
    let is_number = target.is_money() || matches!(target, Target::Place(_));
    is_number && expected.parse::<f64>().ok().is_some_and(|number| found.parse::<f64>() == Ok(number))
}

// === Reading ===

/// Reads the tests of a file.
pub(super) fn read_tests(reader: &mut Reader<'_>, node: &Node) -> Vec<Test> {
    let Some(items) = reader.seq(node, "`tests`") else { return Vec::new() };
    if items.len() > TESTS_MAX {
        reader.error(codes::LIMIT, node.head(), format!("a file has at most {TESTS_MAX} tests"));
        return Vec::new();
    }
    let tests: Vec<Option<Test>> = items.iter().map(|item| test(reader, item)).collect();
    tests.into_iter().flatten().collect()
}

fn test(reader: &mut Reader<'_>, node: &Node) -> Option<Test> {
    let map = reader.map(node, "a test")?;
    reader.keys(map, &["name", "given", "record", "expect"], &[]);
    reader.require(node, "a test", &["name", "given", "expect"]);
    let name = map.get("name").and_then(|node| reader.text(node, "a test's name"));
    let given = map.get("given").and_then(|node| given(reader, node));
    let record = match map.get("record") {
        Some(node) => record(reader, node),
        None => Some(Record { topic: String::new(), partition: 0, offset: 0, stamp: STAMP, key: None }),
    };
    let expect = map.get("expect").and_then(|node| expect(reader, node));
    Some(Test { name: name?, at: node.head(), given: given?, record: record?, expect: expect? })
}

/// A record: YAML that is written as JSON, or a text with the record's own bytes.
fn given(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Map(_) => json(node).map(|json| json.to_string()),
        Kind::Scalar(scalar) if scalar.style == Style::Block || !is_plain(node) => Some(scalar.text.clone()),
        Kind::Broken => None,
        _ => {
            let message = "`given` is a record: a mapping, or its JSON under `|`";
            reader.error(codes::SHAPE, node.head(), message);
            None
        }
    }
}

/// YAML's core schema as JSON. `None` where a problem was told already.
fn json(node: &Node) -> Option<Json> {
    Some(match &node.kind {
        Kind::Broken => return None,
        Kind::Seq(items) => Json::Array(items.iter().map(json).collect::<Option<_>>()?),
        Kind::Map(map) => {
            let entry = |entry: &Entry| Some((entry.key.clone(), json(&entry.value)?));
            Json::Object(map.entries.iter().map(entry).collect::<Option<_>>()?)
        }
        Kind::Scalar(_) if node.is_null() => Json::Null,
        Kind::Scalar(scalar) if scalar.style != Style::Plain => Json::String(scalar.text.clone()),
        Kind::Scalar(scalar) => match scalar.text.as_str() {
            "true" | "True" | "TRUE" => Json::Bool(true),
            "false" | "False" | "FALSE" => Json::Bool(false),
            text => match serde_json::from_str::<serde_json::Number>(text) {
                Ok(number) => Json::Number(number),
                Err(_) => Json::String(text.to_owned()),
            },
        },
    })
}

fn record(reader: &mut Reader<'_>, node: &Node) -> Option<Record> {
    let map = reader.map(node, "`record`")?;
    reader.keys(map, &["topic", "partition", "offset", "timestamp", "key"], &[]);
    let text =
        |reader: &mut Reader<'_>, key: &str| map.get(key).map(|node| reader.scalar(node, key).map(str::to_owned));
    let topic = text(reader, "topic").unwrap_or_else(|| Some(String::new()));
    let key = text(reader, "key");
    let partition =
        map.get("partition").map_or(Some(0), |node| reader.int(node, "`partition`", 0..=i64::from(i32::MAX)));
    let offset = map.get("offset").map_or(Some(0), |node| reader.int(node, "`offset`", 0..=i64::MAX));
    let stamp = map.get("timestamp").map_or(Some(STAMP), |node| {
        let stamp = Millis::parse(reader.scalar(node, "`timestamp`")?);
        if stamp.is_none() {
            reader.error(codes::VALUE, node.span.clone(), "`timestamp` is a time such as 2026-11-22T03:04:05Z");
        }
        stamp
    });
    let key = match key {
        None => None,
        Some(key) => Some(key?),
    };
    let partition = i32::try_from(partition?).ok()?;
    Some(Record { topic: topic?, partition, offset: offset?, stamp: stamp?, key })
}

fn expect(reader: &mut Reader<'_>, node: &Node) -> Option<Expect> {
    let map = match &node.kind {
        Kind::Map(map) => map,
        _ => {
            let words = [("ignored", true), ("rejected", false)];
            return reader.word(node, "outcome", &words).map(|is_ignored| match is_ignored {
                true => Expect::Ignored(None),
                false => Expect::Rejected { reason: None, field: None },
            });
        }
    };
    if let Some(reason) = map.get("ignored") {
        reader.keys(map, &["ignored"], &[]);
        return reader.scalar(reason, "the reason").map(|reason| Expect::Ignored(Some(reason.to_owned())));
    }
    if let Some(reason) = map.get("rejected") {
        return rejected(reader, map, reason);
    }
    let fields: Vec<Option<Expected>> = map.entries.iter().map(|entry| expected(reader, entry)).collect();
    fields.into_iter().collect::<Option<_>>().map(Expect::Event)
}

fn rejected(reader: &mut Reader<'_>, map: &Map, node: &Node) -> Option<Expect> {
    reader.keys(map, &["rejected", "field"], &[]);
    let words: Vec<(&str, RejectReason)> =
        RejectReason::WORDS.iter().filter_map(|word| Some((*word, RejectReason::parse(word)?))).collect();
    let reason = reader.word(node, "reason", &words);
    let field = match map.get("field") {
        Some(node) => Some(reader.scalar(node, "the field")?.to_owned()),
        None => None,
    };
    Some(Expect::Rejected { reason: Some(reason?), field })
}

fn expected(reader: &mut Reader<'_>, entry: &Entry) -> Option<Expected> {
    let Some(target) = Target::parse(&entry.key) else {
        let message = format!("our events have no field `{}`", entry.key);
        let known = Target::all().map(Target::name).collect::<Vec<_>>();
        reader.unknown_word(codes::TEST, entry.key_span.clone(), message, &entry.key, known);
        return None;
    };
    let at = entry.key_span.start..entry.value.span.end.max(entry.key_span.end);
    if entry.value.is_null() {
        return Some(Expected { target, text: None, at });
    }
    let text = reader.scalar(&entry.value, target.name())?;
    Some(Expected { target, text: Some(text.to_owned()), at })
}
