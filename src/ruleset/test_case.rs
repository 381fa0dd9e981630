//! Inline tests as files write them.
//!
//! Guarantees: each entry's event has fields that its type has, with values of their kind; `given` is merged
//! in; of a test that cannot be read whole nothing is kept, and everything wrong with it is told. Does not run tests.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map as Json, Value as JsonValue, json};

use super::codes;
use super::constant;
use super::expr::{Meaning, Scope, Ty};
use super::feature::{read_type, type_words};
use super::lists::parse_asn;
use super::model::{Expect, InlineTest, Name, TestEntry};
use super::names::Here;
use super::read;
use super::row::Layout;
use super::test_event::{EventJson, WireField, moment, point};
use crate::event::{Country, Field, TypeSet, Value};
use crate::report::did_you_mean;
use crate::yaml::{Entry, Kind, Map, Node, Reader, Scalar, Style, is_plain};

/// Events of one test, at most.
pub const TEST_EVENTS_MAX: i64 = 10_000;
/// Tests of one rule, at most.
pub const TESTS_MAX: usize = 200;

pub(super) const TEST_KEYS: &[&str] = &["name", "given", "set", "events", "todo"];
pub(super) const ENTRY_KEYS: &[&str] = &["after", "every", "repeat", "expect"];
pub(super) const EXPECT: &[(&str, Expect)] =
    &[("fire", Expect::Fire), ("quiet", Expect::Quiet), ("fire-last", Expect::FireLast)];

/// The fields of one mapping, by what they mean; `given` and an entry write the same field in several ways.
type Fields<'n> = BTreeMap<WireField, &'n Entry>;

/// What tests of one rule may name.
pub(super) struct TestReader<'r, 'a, 'n> {
    pub reader: &'r mut Reader<'a>,
    pub here: &'r Here<'n>,
    pub layout: &'r mut Layout,
}

impl TestReader<'_, '_, '_> {
    /// Reads the tests of a rule.
    pub fn read(&mut self, node: &Node) -> Vec<InlineTest> {
        let Some(items) = self.reader.seq(node, "`tests`") else { return Vec::new() };
        if items.len() > TESTS_MAX {
            self.reader.error(codes::LIMIT, node.head(), format!("a rule has at most {TESTS_MAX} tests"));
        }
        items.iter().take(TESTS_MAX).filter_map(|item| self.test(item)).collect()
    }

    fn test(&mut self, node: &Node) -> Option<InlineTest> {
        let map = self.reader.map(node, "a test")?;
        self.reader.keys(map, TEST_KEYS, &[]);
        self.reader.require(node, "a test", &["name", "events"]);
        // A test without a name is read on: what else is wrong with it is told at once.
        let name = map.get("name").and_then(|name| self.reader.text(name, "the name of a test")).unwrap_or_default();
        let given = map.get("given").and_then(|given| self.reader.map(given, "`given`"));
        let given = given.map(|given| self.fields(given, &[])).unwrap_or_default();
        let set = map.get("set").map(|set| self.set(set)).unwrap_or_default();
        let todo = map.get("todo").and_then(|todo| self.reader.bool(todo, "`todo`")).unwrap_or(false);
        let events = map.get("events")?;
        let items = self.reader.seq(events, "`events`")?;
        if items.is_empty() {
            self.reader.error(codes::TEST, events.span.clone(), "a test without events tests nothing");
        }
        let entries: Vec<TestEntry> = items.iter().filter_map(|item| self.entry(item, &given)).collect();
        let total: i64 = entries.iter().map(|entry| i64::from(entry.repeat)).sum();
        if total > TEST_EVENTS_MAX {
            let message = format!("a test has at most {TEST_EVENTS_MAX} events, and this one has {total}");
            self.reader.error(codes::LIMIT, events.head(), message);
        }
        // What a test expects is known of all its entries or not at all.
        let is_whole = entries.len() == items.len();
        is_whole.then(|| InlineTest { name, set, entries, todo, at: node.span.clone() })
    }

    fn entry(&mut self, node: &Node, given: &Fields<'_>) -> Option<TestEntry> {
        let map = self.reader.map(node, "an entry of `events`")?;
        let time = |this: &mut Self, key: &str| {
            let node = this.filled(map.get(key)?);
            this.reader.duration(&node, &format!("`{key}`"))
        };
        let after_ms = time(self, "after").unwrap_or(0);
        let every_ms = time(self, "every").unwrap_or(0);
        let repeat = map.get("repeat").map(|node| {
            let node = self.filled(node);
            let repeat = self.reader.int(&node, "`repeat`", 1..=TEST_EVENTS_MAX)?;
            u32::try_from(repeat).ok()
        });
        let expect = map.get("expect").map(|node| self.reader.word(node, "expectation", EXPECT));
        let own = self.fields(map, ENTRY_KEYS);
        let json = self.event(node, &own, given)?;
        // Of an entry whose expectation or repeat could not be read nobody knows what it expects.
        let expect = expect.map_or(Some(None), |read| read.map(Some))?;
        let repeat = repeat.unwrap_or(Some(1))?;
        Some(TestEntry { json, after_ms, every_ms, repeat, expect, at: node.span.clone() })
    }

    /// The fields of a mapping; what is no field is told.
    fn fields<'m>(&mut self, map: &'m Map, besides: &[&'static str]) -> Fields<'m> {
        let mut fields = Fields::new();
        for entry in &map.entries {
            if besides.contains(&entry.key.as_str()) {
                continue;
            }
            let place = match (&entry.value.kind, entry.key.as_str()) {
                (Kind::Map(parts), "geo") => {
                    for part in &parts.entries {
                        self.field(&mut fields, part, &format!("geo.{}", part.key), &[]);
                    }
                    continue;
                }
                _ => entry.key.as_str(),
            };
            self.field(&mut fields, entry, place, besides);
        }
        fields
    }

    fn field<'m>(&mut self, fields: &mut Fields<'m>, entry: &'m Entry, key: &str, besides: &[&'static str]) {
        let span = entry.key_span.clone();
        match WireField::parse(key) {
            Some(WireField::Field(Field::Id | Field::Time)) => {
                let help = "`after` and `every` say when an event happens";
                self.reader.error_help(codes::TEST, span, format!("`{key}` is made up by the test"), help);
            }
            Some(WireField::Field(Field::ReasonClass)) => {
                self.reader.error(codes::TEST, span, "`reason_class` follows from `reason`: give that");
            }
            Some(field) if fields.insert(field, entry).is_some() => {
                self.reader.error(codes::TEST, span, format!("`{key}` is given here in two ways"));
            }
            Some(_) => {}
            None => {
                let known = Field::all().map(Field::name).chain(["currency", "contact", "old"]);
                let known: Vec<&str> = known.chain(besides.iter().copied()).collect();
                let word = entry.key.as_str();
                self.reader.unknown_word(codes::UNKNOWN_KEY, span, format!("unknown field `{key}`"), word, known);
            }
        }
    }

    /// The event of an entry: its own fields, and those given that its type has.
    fn event(&mut self, node: &Node, own: &Fields<'_>, given: &Fields<'_>) -> Option<Json<String, JsonValue>> {
        let is_type = WireField::Field(Field::Type);
        let Some(typed) = own.get(&is_type).or_else(|| given.get(&is_type)) else {
            self.reader.error(codes::TEST, node.head(), "neither the entry nor `given` says the event's `type`");
            return None;
        };
        let word = self.reader.scalar(&typed.value, "`type`")?;
        let kind = read_type(self.reader, &typed.value, word)?.iter().next()?;
        let mut event = EventJson::new(kind);
        for (field, entry) in own {
            if !field.types().has(kind) {
                let message = format!("{} events have no `{}`", type_words(TypeSet::of(&[kind])), entry.key);
                self.reader.error(codes::TEST, entry.key_span.clone(), message);
                continue;
            }
            self.put(&mut event, *field, &entry.value);
        }
        // An amount of its own brings its own currency.
        let has_money = own.contains_key(&WireField::Field(Field::Amount));
        let from_given = given.iter().filter(|(field, _)| {
            field.types().has(kind) && !own.contains_key(field) && !(has_money && **field == WireField::Currency)
        });
        for (field, entry) in from_given {
            self.put(&mut event, *field, &entry.value);
        }
        Some(event.into_json())
    }

    /// Writes one field; what its kind does not take is told.
    fn put(&mut self, event: &mut EventJson, field: WireField, node: &Node) {
        let node = self.filled(node);
        let node = node.as_ref();
        if field == WireField::Contact {
            return self.put_contact(event, node);
        }
        // Nothing, or an empty text, takes back what `given` says.
        if node.is_null() || matches!(&node.kind, Kind::Scalar(s) if s.text.is_empty()) {
            return;
        }
        let Some(text) = self.reader.scalar(node, "a field of an event") else { return };
        let Err(wanted) = event.put_text(field, text, is_plain(node)) else { return };
        match wanted.words {
            Some(words) => {
                let message = format!("unknown value `{text}`");
                self.reader.unknown_word(codes::TEST, node.span.clone(), message, text, words.iter().copied());
            }
            None => {
                let message = match field {
                    WireField::Field(field) => format!("`{}` is {}", field.name(), wanted.what),
                    _ => format!("this is {}", wanted.what),
                };
                self.reader.error(codes::TEST, node.span.clone(), message);
            }
        }
    }

    fn put_contact(&mut self, event: &mut EventJson, node: &Node) {
        let Some(map) = self.reader.map(node, "`contact`") else { return };
        self.reader.keys(map, &["email", "phone", "locale", "zone", "anti_phishing"], &[]);
        let mut contact = Json::new();
        for entry in &map.entries {
            if let Some(text) = self.reader.scalar(&entry.value, "a part of a contact") {
                contact.insert(entry.key.clone(), json!(text));
            }
        }
        event.put("contact", JsonValue::Object(contact));
    }

    /// A scalar with the rule's params in place of `{name}`; `{n}` stays for whoever repeats the event.
    fn filled<'m>(&mut self, node: &'m Node) -> Cow<'m, Node> {
        let Kind::Scalar(scalar) = &node.kind else { return Cow::Borrowed(node) };
        if !scalar.text.contains('{') {
            return Cow::Borrowed(node);
        }
        let mut text = String::with_capacity(scalar.text.len());
        let mut rest = scalar.text.as_str();
        while let Some((before, (name, after))) = rest.split_once('{').and_then(|(b, a)| Some((b, a.split_once('}')?)))
        {
            text.push_str(before);
            match self.here.params.get(name).or_else(|| self.here.names.params.get(name)) {
                Some((Value::Duration(ms), _)) => text.push_str(&format!("{ms}ms")),
                Some((value, _)) => text.push_str(&value.to_string()),
                None if name == "n" => text.push_str("{n}"),
                None => {
                    // A param that could not be read is told where it stands.
                    if !matches!(self.here.name(name), Some(Meaning::Broken)) {
                        self.unknown_placeholder(node, name);
                    }
                    return Cow::Owned(Node { span: node.span.clone(), kind: Kind::Broken });
                }
            }
            rest = after;
        }
        text.push_str(rest);
        let style = if text == scalar.text { scalar.style } else { Style::Plain };
        Cow::Owned(Node { span: node.span.clone(), kind: Kind::Scalar(Scalar { text, style }) })
    }

    fn unknown_placeholder(&mut self, node: &Node, name: &str) {
        let known = self.here.params.keys().chain(self.here.names.params.keys()).map(String::as_str);
        let known: Vec<&str> = known.chain(["n"]).collect();
        let problem = match did_you_mean(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{{{near}}}`?"),
            None => "`{n}` counts the repeats of an entry, any other is a param of the rule".to_owned(),
        };
        let message = format!("`{{{name}}}` stands for nothing here");
        self.reader.error_help(codes::TEST, node.span.clone(), message, &problem);
    }

    /// `set: {acct_out_90d.count: 50}`.
    fn set(&mut self, node: &Node) -> Vec<(Ty, super::row::Cell, Value<'static>)> {
        let Some(map) = self.reader.map(node, "`set`") else { return Vec::new() };
        let mut set = Vec::new();
        for entry in &map.entries {
            let span = entry.key_span.clone();
            match self.here.name(&entry.key) {
                Some(
                    Meaning::Value { name: Name::Field(_) | Name::Amount(_) | Name::Alias(..), .. }
                    | Meaning::Constant(..),
                ) => {
                    let message = format!("`{}` is no feature; `set` pins features and `account.…`", entry.key);
                    self.reader.error(codes::TEST, span, message);
                }
                Some(Meaning::Value { name, ty, .. }) => {
                    let node = self.filled(&entry.value).into_owned();
                    if let Some(value) = self.pinned(&node, ty).filter(|value| self.can_be(name, value, &node)) {
                        set.push((ty, self.layout.cell(name, ty), value));
                    }
                }
                Some(Meaning::Def(_)) => self.reader.error(codes::TEST, span, "a def is not pinned: pin what it reads"),
                // Reported where it stands.
                Some(Meaning::Broken) => {}
                None => {
                    let known = self.here.names();
                    let known: Vec<&str> = known.iter().map(String::as_str).collect();
                    let message = format!("unknown name `{}`", entry.key);
                    self.reader.unknown_word(super::expr::codes::UNKNOWN_NAME, span, message, &entry.key, known);
                }
            }
        }
        set
    }

    /// Whether a number is one that its name can have.
    fn can_be(&mut self, name: Name, value: &Value<'_>, node: &Node) -> bool {
        let number = match value {
            Value::Int(n) => *n as f64,
            Value::Float(n) => *n,
            _ => return true,
        };
        let (least, largest) = constant::range(self.here.names, name);
        let told = match () {
            () if number < least => format!("the pinned value is at least {least}"),
            () if number > largest => format!("the pinned value is at most {largest}"),
            () => return true,
        };
        self.reader.error(codes::TEST, node.span.clone(), told);
        false
    }

    fn pinned(&mut self, node: &Node, ty: Ty) -> Option<Value<'static>> {
        if node.is_null() {
            return Some(Value::Missing);
        }
        let text = self.reader.scalar(node, "a pinned value")?;
        let (value, wanted) = match ty {
            Ty::Bool => (text.parse().ok().map(Value::Bool), "`true` or `false`"),
            Ty::Int => (text.parse().ok().map(Value::Int), "a whole number"),
            Ty::Float => (text.parse().ok().filter(|n: &f64| n.is_finite()).map(Value::Float), "a number"),
            Ty::Money => (read::money(text).map(Value::Money), "an amount such as `500 CNY`"),
            Ty::Duration => (read::duration(text).map(Value::Duration), "a time such as `10m`"),
            Ty::Time => (moment(text).map(Value::Time), "a moment such as `2026-01-01T00:00:00Z`"),
            Ty::Geo => (point(text).map(Value::Geo), "a place as `LATITUDE LONGITUDE`"),
            Ty::Ip => (text.parse().ok().map(Value::Ip), "an address"),
            Ty::Asn => (parse_asn(text).map(Value::Asn), "an asn such as `AS9808`"),
            Ty::Country => (Country::parse(text).map(Value::Country), "a country such as `CN`"),
            Ty::Text | Ty::Id(_) => (Some(Value::Text(text.to_owned().into())), "a text"),
            Ty::Word(words) => (words.iter().find(|w| **w == text).map(|w| Value::Word(w)), "one of the field's words"),
        };
        if value.is_none() {
            self.reader.error(codes::TEST, node.span.clone(), format!("the pinned value is {wanted}"));
        }
        value
    }
}

/// Whether the tests that are no known gaps expect something to fire, and something to stay quiet.
pub(super) fn expectations(tests: &[InlineTest]) -> (bool, bool) {
    let entries = || tests.iter().filter(|test| !test.todo).flat_map(|test| &test.entries);
    let fires = entries().any(|entry| matches!(entry.expect, Some(Expect::Fire | Expect::FireLast)));
    let quiet = entries().any(|entry| match entry.expect {
        Some(Expect::Quiet) => true,
        Some(Expect::FireLast) => entry.repeat > 1,
        _ => false,
    });
    (fires, quiet)
}
