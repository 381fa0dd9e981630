//! From a mapping file to a [`Mapping`].
//!
//! Guarantees: a mapping loads whole or not at all; every problem of the file is told at once with its place
//! and, where there is one, its fix; what loads names a source for each field without which its events would be
//! refused. Reads no file.

use std::ops::Range;
use std::sync::Arc;

use super::condition::Condition;
use super::parts::{For, Parts};
use super::paths::{Holds, Paths};
use super::pointer::Pointer;
use super::source::Source;
use super::target::Target;
use super::test::read_tests;
use super::{Entry, Mapping, Then, codes};
use crate::event::decode::needed;
use crate::event::key::{Key, KeySet, Name as _};
use crate::event::{Closed as _, EventType, TypeSet};
use crate::report::{Level, Problem, SourceFile, did_you_mean};
use crate::yaml::{self, Dialect, Kind, Map, Node, Reader};

/// The keys of a file.
const FILE_KEYS: &[&str] = &["version", "name", "title", "source", "embedded", "dotted", "fields", "records", "tests"];
/// The keys of an entry of `records`.
const ENTRY_KEYS: &[&str] = &["when", "type", "event", "fields", "ignore"];
/// Entries of one file, at most.
const ENTRIES_MAX: usize = 256;

/// Mapping files, to the YAML reader.
pub static MAPPING_FILES: Dialect = Dialect {
    file: "mapping file",
    tag_help: "a text that starts with ! goes under quotes",
    anchor_help: "write the value out; what all events share goes under `fields`. A text that starts with & or * goes under quotes",
    merge_help: "write the keys out; what all events share goes under `fields`",
    shape: codes::SHAPE,
    unknown_key: codes::UNKNOWN_KEY,
    missing_key: codes::MISSING_KEY,
    not_yet: codes::NOT_YET,
    name: codes::NAME,
    value: codes::VALUE,
};

/// Loads a file's bytes; `path` is what people call it.
pub fn load_bytes(path: &str, bytes: &[u8]) -> Result<Mapping, Vec<Problem>> {
    let file = |text: String| Arc::new(SourceFile { path: path.replace('\\', "/"), text });
    match std::str::from_utf8(bytes) {
        Ok(text) => load(&file(text.to_owned())),
        Err(error) => {
            let at = error.valid_up_to();
            let file = file(String::from_utf8_lossy(bytes).into_owned());
            Err(vec![Problem::error(yaml::codes::UTF8, &file, at..at + 1, "the file is not UTF-8 here")])
        }
    }
}

/// Loads a file.
pub fn load(file: &Arc<SourceFile>) -> Result<Mapping, Vec<Problem>> {
    let mut problems = Vec::new();
    let Some(tree) = yaml::parse(file, &MAPPING_FILES, &mut problems) else {
        if problems.is_empty() {
            let problem = Problem::error(codes::SHAPE, file, 0..0, "there is nothing in this file");
            problems.push(problem.help("a mapping file begins with `version: 1`"));
        }
        return Err(problems);
    };
    let reader = Reader { file, dialect: &MAPPING_FILES, problems: &mut problems };
    let mapping = Loader {
        reader,
        paths: Paths::default(),
        common: Vec::new(),
        common_span: 0..0,
        used: Vec::new(),
        unknown: Vec::new(),
        is_any_open: false,
        is_common_open: false,
    }
    .read(&tree);
    match mapping {
        Some(mapping) if problems.iter().all(|problem| problem.level != Level::Error) => Ok(mapping),
        _ => Err(problems),
    }
}

/// A field that a mapping fills.
struct Filled<'n> {
    target: Target,
    node: &'n Node,
    key_span: Range<usize>,
}

struct Loader<'f, 'n> {
    reader: Reader<'f>,
    paths: Paths,
    /// The fields of every event, where its type has them.
    common: Vec<Filled<'n>>,
    /// Where they stand.
    common_span: Range<usize>,
    /// Those that some entry took.
    used: Vec<Target>,
    /// Names that are no field of ours, with their places: each may be meant for one that seems to be missing.
    unknown: Vec<(String, Range<usize>)>,
    /// What some entry becomes is not known.
    is_any_open: bool,
    /// What the common fields are is not known.
    is_common_open: bool,
}

impl<'f, 'n> Loader<'f, 'n> {
    fn parts(&mut self) -> Parts<'_, 'f> {
        Parts { reader: &mut self.reader, paths: &mut self.paths }
    }

    fn read(mut self, tree: &'n Node) -> Option<Mapping> {
        let map = self.reader.map(tree, "a mapping file")?;
        self.reader.keys(map, FILE_KEYS, &[]);
        self.reader.require(tree, "a mapping file", &["version", "name", "records"]);
        self.version(map)?;
        let name = map.get("name").and_then(|node| self.reader.id(node, "a name of a mapping"));
        for key in ["title", "source"] {
            if let Some(node) = map.get(key) {
                self.reader.text(node, key);
            }
        }
        // Before any pointer is read.
        if let Some(node) = map.get("dotted")
            && self.reader.word(node, "answer", &[("true", true), ("false", false)]) == Some(true)
        {
            self.paths = Paths::dotted();
        }
        let embedded = map.get("embedded").map(|node| self.embedded(node)).unwrap_or_default();
        self.common_span = map.get("fields").map_or(0..0, |node| node.span.clone());
        self.is_common_open = has_strays(map, FILE_KEYS) || !is_map(map.get("fields"));
        self.is_any_open = map.get("records").is_none();
        self.common = map.get("fields").map(|node| self.fields(node)).unwrap_or_default();
        let entries = map.get("records").map(|node| self.entries(node)).unwrap_or_default();
        self.judge_common();
        for (pointer, at) in embedded {
            // One that is written but was not read has its own problem.
            let is_written = self.reader.file.text.contains(&format!("{pointer}/")) && !self.reader.problems.is_empty();
            if !self.paths.goes_below(&pointer) && !is_written {
                let message = format!("no pointer goes into `{pointer}`");
                self.reader.error_help(codes::VALUE, at, message, "take it out, or point at what it holds");
            }
        }
        let tests = map.get("tests").map(|node| read_tests(&mut self.reader, node)).unwrap_or_default();
        let file = Arc::clone(self.reader.file);
        Some(Mapping { name: name?, file, paths: self.paths, entries, tests })
    }

    /// Goes on only with a file of a version that is known.
    fn version(&mut self, map: &Map) -> Option<()> {
        let Some(node) = map.get("version") else { return Some(()) };
        match self.reader.scalar(node, "the version") {
            Some("1") => Some(()),
            _ => {
                let message = "this version of mapping files is not known";
                self.reader.error_help(codes::VERSION, node.span.clone(), message, "write `version: 1`");
                None
            }
        }
    }

    /// The texts that hold JSON.
    fn embedded(&mut self, node: &Node) -> Vec<(Pointer, Range<usize>)> {
        let mut embedded = Vec::new();
        let Some(map) = self.reader.map(node, "`embedded`") else { return embedded };
        for entry in &map.entries {
            let words = [("json", Holds::Json), ("base64", Holds::Base64)];
            let holds = self.reader.word(&entry.value, "content", &words);
            match (Pointer::parse(&entry.key), holds) {
                (Ok(pointer), Some(holds)) => {
                    if let Err(why) = self.paths.holds(&pointer, holds) {
                        self.reader.error(codes::LIMIT, entry.key_span.clone(), why);
                    }
                    embedded.push((pointer, entry.key_span.clone()));
                }
                (Ok(_), None) => {}
                (Err(why), _) => {
                    let message = format!("`{}` is no pointer", entry.key);
                    self.reader.error_help(codes::POINTER, entry.key_span.clone(), message, why);
                }
            }
        }
        embedded
    }

    /// The fields of a mapping's `fields`, by their names.
    fn fields(&mut self, node: &'n Node) -> Vec<Filled<'n>> {
        let Some(map) = self.reader.map(node, "`fields`") else { return Vec::new() };
        let mut fields = Vec::new();
        for entry in &map.entries {
            let name = entry.key.as_str();
            let span = entry.key_span.clone();
            match Target::parse(name) {
                Some(Target::Top(Key::Type)) => {
                    let message = "`type` does not stand among the fields";
                    self.reader.error_help(codes::FIELD, span, message, "each entry of `records` says its type");
                }
                Some(target) => fields.push(Filled { target, node: &entry.value, key_span: span }),
                None if matches!(name, "geo" | "contact") => {
                    let message = format!("`{name}` is filled in parts");
                    let parts =
                        Target::all().map(Target::name).filter(|n| n.split_once('.').is_some_and(|(o, _)| o == name));
                    let help = format!("one of {}", parts.collect::<Vec<_>>().join(", "));
                    self.reader.error_help(codes::FIELD, span, message, &help);
                }
                None => {
                    let message = format!("our events have no field `{name}`");
                    let known: Vec<&str> = Target::all().map(Target::name).filter(|name| *name != "type").collect();
                    self.unknown.push((name.to_owned(), span.clone()));
                    self.reader.unknown_word(codes::FIELD, span, message, name, known);
                }
            }
        }
        fields
    }

    // === Entries ===

    fn entries(&mut self, node: &'n Node) -> Vec<Entry> {
        let Some(items) = self.reader.seq(node, "`records`") else { return Vec::new() };
        if items.is_empty() || items.len() > ENTRIES_MAX {
            let message = format!("`records` is a list of 1 to {ENTRIES_MAX} entries");
            self.reader.error(codes::LIMIT, node.head(), message);
            return Vec::new();
        }
        let mut entries = Vec::with_capacity(items.len());
        let mut takes_all = false;
        for item in items {
            if takes_all {
                let message = "no record comes here: the entry above takes all of them";
                self.reader.error_help(codes::UNREACHABLE, item.head(), message, "an entry without `when` is the last");
                // Said once; it is true of all that follow.
                takes_all = false;
            }
            entries.extend(self.entry(item));
            // A `when` that is misspelt was told, and would not take all.
            let is_for_all = |map: &Map| map.get("when").is_none() && !has_strays(map, ENTRY_KEYS);
            takes_all |= matches!(&item.kind, Kind::Map(map) if is_for_all(map)) && !self.is_unread(&item.span);
        }
        entries
    }

    fn entry(&mut self, node: &'n Node) -> Option<Entry> {
        let Some(map) = self.reader.map(node, "an entry of `records`") else {
            self.is_any_open = true;
            return None;
        };
        self.reader.keys(map, ENTRY_KEYS, &[]);
        let when = match map.get("when") {
            Some(node) => self.parts().condition(node),
            None => Some(Condition::default()),
        };
        let then = match (map.get("ignore"), map.get("type"), map.get("event")) {
            (Some(reason), None, None) => {
                if let Some(fields) = map.entries.iter().find(|entry| entry.key == "fields") {
                    let message = "a record that is ignored has no fields";
                    self.reader.error(codes::SHAPE, fields.key_span.clone(), message);
                }
                self.reader.id(reason, "a reason to ignore records").map(Then::Ignore)
            }
            (None, Some(kind), None) => self.typed(node, map, kind),
            (None, None, Some(places)) => self.own(map, places),
            // What was told of a misspelt key is why there is none.
            (None, None, None) if has_strays(map, ENTRY_KEYS) => {
                self.is_any_open = true;
                None
            }
            _ => {
                self.is_any_open = true;
                let message = "an entry has one of `type`, `event` and `ignore`";
                let help = "`type`: the type of the event it becomes; `event`: where one of our own events stands; \
                            `ignore`: why records are left out";
                self.reader.error_help(codes::SHAPE, node.head(), message, help);
                None
            }
        };
        Some(Entry { when: when?, then: then?, at: node.head() })
    }

    /// An entry whose record becomes an event of a type.
    fn typed(&mut self, entry: &Node, map: &'n Map, node: &'n Node) -> Option<Then> {
        let target = Target::Top(Key::Type);
        let source = self.parts().source(node, For { target, kind: None });
        let kind = match &source {
            Some(Source::Constant(word)) => EventType::parse(word),
            _ => None,
        };
        let own = map.get("fields").map(|node| self.fields(node)).unwrap_or_default();
        let has = |key: Key| kind.is_none_or(|kind| KeySet::of(kind).has(key));
        for field in own.iter().filter(|field| !has(field.target.key())) {
            let name = field.target.name();
            let message = format!("an event of type `{}` has no field `{name}`", kind.map_or("", |kind| kind.word()));
            let with: Vec<&str> = TypeSet::ALL
                .iter()
                .filter(|kind| KeySet::of(*kind).has(field.target.key()))
                .map(|kind| kind.word())
                .collect();
            let help = format!("types that have it: {}", with.join(", "));
            self.reader.error_help(codes::FIELD, field.key_span.clone(), message, &help);
        }
        let mut fields = self.sources(&own, kind);
        let common = self.common_beside(&own, kind);
        self.used.extend(common.iter().chain(&own).map(|field| field.target));
        fields.extend(self.sources(&common, kind));
        self.require(entry, kind, &fields, &own);
        fields.insert(0, (target, source?));
        Some(Then::Event(in_order(fields)))
    }

    /// The common fields that an entry with fields of its own takes.
    fn common_beside(&self, own: &[Filled<'n>], kind: Option<EventType>) -> Vec<Filled<'n>> {
        let is_taken = |field: &&Filled<'n>| {
            kind.is_none_or(|kind| KeySet::of(kind).has(field.target.key()))
                && !own.iter().any(|other| other.target == field.target)
        };
        let copy = |field: &Filled<'n>| Filled { key_span: field.key_span.clone(), ..*field };
        self.common.iter().filter(is_taken).map(copy).collect()
    }

    fn sources(&mut self, fields: &[Filled<'n>], kind: Option<EventType>) -> Vec<(Target, Source)> {
        let mut sources = Vec::with_capacity(fields.len());
        for field in fields {
            let source = self.parts().source(field.node, For { target: field.target, kind });
            sources.extend(source.map(|source| (field.target, source)));
        }
        sources
    }

    /// Whether some of what stands there is no YAML.
    fn is_unread(&self, span: &Range<usize>) -> bool {
        let is_here = |problem: &Problem| {
            problem.code.starts_with('Y') && problem.at.as_ref().is_some_and(|(_, at)| within(span, at))
        };
        self.reader.problems.iter().any(is_here)
    }

    /// Tells fields without which every event of the type would be refused.
    fn require(&mut self, entry: &Node, kind: Option<EventType>, found: &[(Target, Source)], own: &[Filled<'n>]) {
        // What could not be read as fields may be what is missing.
        let is_open = matches!(&entry.kind, Kind::Map(map)
            if has_strays(map, ENTRY_KEYS) || !is_map(map.get("fields")));
        if is_open || self.is_common_open || self.is_unread(&entry.span) || self.is_unread(&self.common_span) {
            return;
        }
        let meant = |key: Key| {
            let here = self.unknown.iter().filter(|(_, at)| within(&entry.span, at) || within(&self.common_span, at));
            here.into_iter().any(|(name, _)| did_you_mean(name, [key.path()]).is_some())
        };
        let is = |key: Key, word: &str| {
            found.iter().any(|(t, s)| *t == Target::Top(key) && matches!(s, Source::Constant(text) if text == word))
        };
        let is_success = is(Key::Result, "success");
        let needed = kind.map(|kind| needed(kind, is_success)).unwrap_or_default();
        // A field whose source has a problem is not missing.
        let is_there = |key: Key| own.iter().chain(&self.common).any(|field| field.target.key() == key);
        let is_missing = |key: &Key| !is_there(*key) && !meant(*key);
        let missing: Vec<String> = [Key::Id, Key::Time]
            .into_iter()
            .chain(needed.iter().copied())
            .filter(is_missing)
            .map(|key| format!("`{}`", key.path()))
            .collect();
        if missing.is_empty() {
            return;
        }
        let what = kind.map_or("an event".to_owned(), |kind| format!("an event of type `{kind}`"));
        let message = format!("{what} is refused without {}: no source is named", missing.join(", "));
        let help =
            "an id that the records lack is `{record: position}`, a time that they lack is `{record: timestamp}`";
        let problem = Problem::error(codes::REQUIRED, self.reader.file, entry.head(), message);
        let lacks_common = missing.iter().any(|name| name == "`id`" || name == "`time`");
        self.reader.problems.push(if lacks_common { problem.help(help) } else { problem });
    }

    /// An entry whose record holds one of our own events.
    fn own(&mut self, map: &'n Map, places: &Node) -> Option<Then> {
        let own = map.get("fields").map(|node| self.fields(node)).unwrap_or_default();
        let mut fields = self.sources(&own, None);
        let common = self.common_beside(&own, None);
        self.used.extend(self.common.iter().map(|field| field.target));
        fields.extend(self.sources(&common, None));
        let nodes = self.reader.one_or_more(places, "`event`");
        let pointers: Vec<Option<Pointer>> = nodes.iter().map(|node| self.parts().pointer(node, "`event`")).collect();
        let pointers: Vec<Pointer> = pointers.into_iter().collect::<Option<_>>()?;
        for target in Target::all() {
            if fields.iter().any(|(t, _)| *t == target) || own.iter().any(|field| field.target == target) {
                continue;
            }
            let mut first = Vec::with_capacity(pointers.len());
            for pointer in &pointers {
                match self.paths.slot(&pointer.down(target.name())) {
                    Ok(slot) => first.push(Source::At(slot)),
                    Err(why) => {
                        self.reader.error(codes::LIMIT, places.head(), why);
                        return None;
                    }
                }
            }
            fields.push((target, Source::First(first)));
        }
        Some(Then::Event(in_order(fields)))
    }

    /// Tells a common field that no entry's type has.
    fn judge_common(&mut self) {
        let Loader { reader, common, used, .. } = self;
        if self.is_any_open {
            return;
        }
        // Every common field was read by the entries that have it, so that only unused ones were not.
        for field in common.iter().filter(|field| !used.contains(&field.target)) {
            let message = format!("no event of this file has the field `{}`", field.target.name());
            reader.error(codes::FIELD, field.key_span.clone(), message);
        }
    }
}

/// Whether a mapping has keys that do not belong there: what is not there may be meant by one of them.
fn has_strays(map: &Map, known: &[&str]) -> bool {
    map.entries.iter().any(|entry| !known.contains(&entry.key.as_str()))
}

/// Whether a section is left out, or can be read.
fn is_map(node: Option<&Node>) -> bool {
    node.is_none_or(|node| matches!(node.kind, Kind::Map(_)))
}

fn within(span: &Range<usize>, at: &Range<usize>) -> bool {
    span.start <= at.start && at.end <= span.end
}

/// The order in which fields are filled: the schema's, but that an amount knows its currency before.
fn in_order(mut fields: Vec<(Target, Source)>) -> Vec<(Target, Source)> {
    let place = |target: Target| {
        let at = Target::all().position(|other| other == target);
        (target != Target::Top(Key::Currency), at)
    };
    fields.sort_by_key(|(target, _)| place(*target));
    fields
}
