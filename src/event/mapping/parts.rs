//! Reads sources out of a mapping file: where values come from and what is made of them.
//!
//! Guarantees: a constant is checked against its field when the file is loaded; a text that could be a forgotten
//! pointer is no constant unless it says so. Every mistake is told at its place, and reading goes on.

use super::codes;
use super::constant::{Unfit, check, is_checked};
use super::paths::Paths;
use super::pointer::Pointer;
use super::source::{Otherwise, Part, Source, Take, TimeUnit};
use super::target::Target;
use crate::event::EventType;
use crate::event::key::Key;
use crate::report::Problem;
use crate::yaml::{Entry, Kind, Map, Node, Reader};

/// Rows of one table, at most.
const ROWS_MAX: usize = 4096;
/// Sources inside each other, at most: the file's own nesting is bounded, and this keeps messages short.
const SOURCES_MAX: usize = 64;

const SOURCE_KEYS: &[&str] =
    &["at", "first", "join", "constant", "record", "if", "then", "else", "split", "take", "lower", "table", "unit"];
const BASES: &[&str] = &["at", "first", "join", "constant", "record", "if"];

/// What a source is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct For {
    pub target: Target,
    /// The type of the event, where it is known when the file is loaded.
    pub kind: Option<EventType>,
}

/// A file while its sources and conditions are read.
pub(super) struct Parts<'r, 'f> {
    pub reader: &'r mut Reader<'f>,
    pub paths: &'r mut Paths,
}

impl Parts<'_, '_> {
    /// A pointer.
    pub fn pointer(&mut self, node: &Node, what: &str) -> Option<Pointer> {
        let text = self.reader.scalar(node, what)?;
        match Pointer::parse(text) {
            Ok(pointer) => Some(pointer),
            Err(why) => {
                self.reader.error_help(codes::POINTER, node.span.clone(), format!("`{text}` is no pointer"), why);
                None
            }
        }
    }

    fn slot(&mut self, node: &Node, what: &str) -> Option<usize> {
        let pointer = self.pointer(node, what)?;
        self.slot_of(&pointer, node)
    }

    pub fn slot_of(&mut self, pointer: &Pointer, node: &Node) -> Option<usize> {
        match self.paths.slot(pointer) {
            Ok(slot) => Some(slot),
            Err(why) => {
                self.reader.error(codes::LIMIT, node.head(), why);
                None
            }
        }
    }

    // === Sources ===

    /// Where a field's value comes from.
    pub fn source(&mut self, node: &Node, of: For) -> Option<Source> {
        match &node.kind {
            Kind::Broken => None,
            Kind::Scalar(_) if node.is_null() => Some(Source::Nothing),
            Kind::Scalar(scalar) if scalar.text.starts_with('/') => {
                self.slot(node, of.target.name()).map(|slot| self.whole(Source::At(slot), of))
            }
            Kind::Scalar(_) => self.bare_constant(node, of),
            Kind::Seq(_) => self.first(node, of),
            Kind::Map(map) => self.made(node, map, of),
        }
    }

    /// A source as it is where nothing else is said of it.
    fn whole(&self, source: Source, of: For) -> Source {
        if of.target.is_time() { Source::Time { of: Box::new(source), unit: TimeUnit::Own } } else { source }
    }

    /// A constant that is written like one: only where its field takes few values, for `userId` in place of
    /// `/userId` would make one account of all.
    fn bare_constant(&mut self, node: &Node, of: For) -> Option<Source> {
        let text = self.reader.scalar(node, of.target.name())?.to_owned();
        if !is_checked(of.target) {
            let message = format!("`{}` is neither a pointer nor a word that `{}` takes", text, of.target.name());
            let help = format!(
                "write `/{text}` for what stands there in the record, or `{{constant: {text}}}` for that very text"
            );
            self.reader.error_help(codes::CONSTANT, node.span.clone(), message, &help);
            return None;
        }
        self.of_value(node, of, true).flatten().map(Source::Constant)
    }

    fn constant(&mut self, node: &Node, of: For) -> Option<Source> {
        self.value(node, of).flatten().map(Source::Constant)
    }

    /// A value of the field: `Some(None)` for null.
    fn value(&mut self, node: &Node, of: For) -> Option<Option<String>> {
        self.of_value(node, of, false)
    }

    /// The same. `is_bare`: it stands where a pointer may, and may be one without its `/`.
    fn of_value(&mut self, node: &Node, of: For, is_bare: bool) -> Option<Option<String>> {
        if node.is_null() {
            return Some(None);
        }
        let text = self.reader.scalar(node, of.target.name())?.to_owned();
        match check(of, &text) {
            Ok(()) => Some(Some(text)),
            Err(_) if is_bare && is_like_pointer(&text) => {
                let message = format!("`{text}` is neither a pointer nor a value of `{}`", of.target.name());
                let problem = Problem::error(codes::CONSTANT, self.reader.file, node.span.clone(), message);
                self.reader.problems.push(problem.fix(node.span.clone(), format!("/{text}")));
                None
            }
            Err(Unfit::Word(words)) => {
                let on = of.kind.map(|kind| format!(" on `{kind}`")).unwrap_or_default();
                let message = format!("`{}`{on} is never `{text}`", of.target.name());
                self.reader.unknown_word(codes::CONSTANT, node.span.clone(), message, &text, words.iter().copied());
                None
            }
            Err(Unfit::Value(expected)) => {
                let message = format!("`{}` is never `{text}`: {expected} is expected", of.target.name());
                self.reader.error(codes::CONSTANT, node.span.clone(), message);
                None
            }
        }
    }

    fn first(&mut self, node: &Node, of: For) -> Option<Source> {
        let sources = self.sources(node, of, "the first of several")?;
        (!sources.is_empty()).then_some(Source::First(sources))
    }

    fn sources(&mut self, node: &Node, of: For, what: &str) -> Option<Vec<Source>> {
        let items = self.reader.seq(node, what)?;
        if items.is_empty() || items.len() > SOURCES_MAX {
            self.reader.error(codes::VALUE, node.head(), format!("{what} is a list of 1 to {SOURCES_MAX} sources"));
            return None;
        }
        let sources: Vec<Option<Source>> = items.iter().map(|item| self.source(item, of)).collect();
        sources.into_iter().collect()
    }

    /// A source of several keys: where from, then what is made of it.
    fn made(&mut self, node: &Node, map: &Map, of: For) -> Option<Source> {
        self.reader.keys(map, SOURCE_KEYS, &["matches"]);
        let bases: Vec<&Entry> = map.entries.iter().filter(|e| BASES.contains(&e.key.as_str())).collect();
        let [base] = bases.as_slice() else {
            let message =
                format!("`{}` needs one of `at`, `first`, `join`, `constant`, `record` and `if`", of.target.name());
            let at = bases.get(1).map_or(node.head(), |second| second.key_span.clone());
            self.reader.error(codes::SHAPE, at, message);
            return None;
        };
        let inner = self.base(base, map, of);
        self.refuse_strays(base, map);
        let source = self.split(map, inner, of)?;
        let source = self.lower(map, source)?;
        let is_table = map.get("table").is_some();
        let source = if is_table { self.table(map, source, of)? } else { source };
        self.unit(map, source, of)
    }

    fn base(&mut self, base: &Entry, map: &Map, of: For) -> Option<Source> {
        let node = &base.value;
        // What a table, a part or a unit is made of is no value of the field yet.
        let is_raw = ["table", "split", "lower", "unit"].iter().any(|key| map.get(key).is_some());
        match base.key.as_str() {
            "at" => match &node.kind {
                Kind::Seq(items) if !items.is_empty() => {
                    let slots: Option<Vec<usize>> = items.iter().map(|item| self.slot(item, "a place")).collect();
                    slots.map(|slots| Source::First(slots.into_iter().map(Source::At).collect()))
                }
                _ => self.slot(node, "a place").map(Source::At),
            },
            "first" if is_raw => self.raw(node).map(Source::First),
            "first" => self.first(node, of),
            "join" => self.join(node),
            "constant" => self.constant(node, of),
            "record" => {
                let words = [
                    ("position", Part::Position),
                    ("timestamp", Part::Timestamp),
                    ("key", Part::Key),
                    ("topic", Part::Topic),
                ];
                self.reader.word(node, "part of a record", &words).map(Source::Record)
            }
            _ => self.choice(node, map, of),
        }
    }

    /// Sources of texts that are no value of a field yet.
    fn raw(&mut self, node: &Node) -> Option<Vec<Source>> {
        let items = self.reader.seq(node, "the first of several")?;
        let sources: Vec<Option<Source>> =
            items.iter().map(|item| self.slot(item, "a place").map(Source::At)).collect();
        sources.into_iter().collect()
    }

    /// Pieces: places, and texts that stand between them.
    fn join(&mut self, node: &Node) -> Option<Source> {
        let items = self.reader.seq(node, "what is joined")?;
        let piece = |parts: &mut Self, item: &Node| match &item.kind {
            Kind::Scalar(scalar) if !scalar.text.starts_with('/') => {
                parts.reader.scalar(item, "a piece").map(|text| Source::Constant(text.to_owned()))
            }
            Kind::Map(map) => {
                parts.reader.keys(map, &["record"], &[]);
                let part = map.entries.iter().find(|entry| entry.key == "record")?;
                parts.base(part, map, For { target: Target::Top(Key::Id), kind: None })
            }
            _ => parts.slot(item, "a piece").map(Source::At),
        };
        let sources: Vec<Option<Source>> = items.iter().map(|item| piece(self, item)).collect();
        sources.into_iter().collect::<Option<Vec<Source>>>().map(Source::Join)
    }

    fn choice(&mut self, node: &Node, map: &Map, of: For) -> Option<Source> {
        let when = self.condition(node);
        let then = match map.get("then") {
            Some(then) => self.source(then, of),
            None => {
                self.reader.error(codes::MISSING_KEY, node.head(), "`if` needs `then`");
                None
            }
        };
        let otherwise = match map.get("else") {
            Some(otherwise) => self.source(otherwise, of),
            None => Some(Source::Nothing),
        };
        Some(Source::If { when: when?, then: Box::new(then?), otherwise: Box::new(otherwise?) })
    }

    /// Tells keys that say nothing beside this base.
    fn refuse_strays(&mut self, base: &Entry, map: &Map) {
        let has = |key: &str| map.get(key).is_some();
        let is_choice = base.key == "if";
        for entry in &map.entries {
            let needs = match entry.key.as_str() {
                "then" if !is_choice => "if",
                "else" if !is_choice && !has("table") => "table",
                "take" if !has("split") => "split",
                "table" | "split" | "lower" | "unit" if is_choice || base.key == "constant" => "at",
                _ => continue,
            };
            let message = format!("`{}` says nothing without `{needs}`", entry.key);
            self.reader.error(codes::SHAPE, entry.key_span.clone(), message);
        }
    }

    fn split(&mut self, map: &Map, inner: Option<Source>, of: For) -> Option<Source> {
        let Some(by) = map.get("split") else { return inner };
        let by = self.separators(by);
        let take = match map.get("take") {
            Some(take) => self.reader.word(take, "part", &[("first", Take::First), ("last", Take::Last)]),
            None => {
                let message = format!("`split` of `{}` needs `take: first` or `take: last`", of.target.name());
                let at = map.entries.iter().find(|e| e.key == "split").map_or(0..0, |e| e.key_span.clone());
                self.reader.error(codes::MISSING_KEY, at, message);
                None
            }
        };
        Some(Source::Split { of: Box::new(inner?), by: by?, take: take? })
    }

    /// The texts that cut: one, or any of several.
    fn separators(&mut self, node: &Node) -> Option<Vec<String>> {
        let nodes = self.reader.one_or_more(node, "`split`");
        let texts: Vec<Option<String>> = nodes.iter().map(|node| self.reader.text(node, "`split`")).collect();
        texts.into_iter().collect::<Option<Vec<String>>>().filter(|texts| !texts.is_empty())
    }

    fn lower(&mut self, map: &Map, source: Source) -> Option<Source> {
        let Some(node) = map.get("lower") else { return Some(source) };
        let is_lower = self.reader.word(node, "answer", &[("true", true), ("false", false)])?;
        Some(if is_lower { Source::Lower(Box::new(source)) } else { source })
    }

    fn table(&mut self, map: &Map, inner: Source, of: For) -> Option<Source> {
        let node = map.get("table")?;
        let table = self.reader.map(node, "a table")?;
        if table.entries.len() > ROWS_MAX {
            self.reader.error(codes::LIMIT, node.head(), format!("a table has at most {ROWS_MAX} rows"));
            return None;
        }
        let rows: Vec<Option<(String, Option<String>)>> =
            table.entries.iter().map(|row| Some((row.key.clone(), self.value(&row.value, of)?))).collect();
        let otherwise = match map.get("else") {
            None => Some(Otherwise::Refuse),
            Some(node) => self.value(node, of).map(Otherwise::Value),
        };
        let mut rows: Vec<(String, Option<String>)> = rows.into_iter().collect::<Option<_>>()?;
        rows.sort_unstable();
        Some(Source::Table { of: Box::new(inner), rows, otherwise: otherwise? })
    }

    fn unit(&mut self, map: &Map, source: Source, of: For) -> Option<Source> {
        let Some(node) = map.get("unit") else { return Some(self.whole(source, of)) };
        let source = Box::new(source);
        if of.target.is_time() {
            let words = [
                ("rfc3339", TimeUnit::Own),
                ("utc", TimeUnit::Utc),
                ("s", TimeUnit::Seconds),
                ("ms", TimeUnit::Milliseconds),
                ("us", TimeUnit::Microseconds),
                ("ns", TimeUnit::Nanoseconds),
            ];
            return self.reader.word(node, "unit", &words).map(|unit| Source::Time { of: source, unit });
        }
        if of.target.is_money() {
            return self
                .reader
                .word(node, "unit", &[("minor", true), ("major", false)])
                .map(|is_minor| if is_minor { Source::Minor(source) } else { *source });
        }
        let message = format!("`{}` has no unit: times and amounts have", of.target.name());
        self.reader.error(codes::SHAPE, node.head(), message);
        None
    }
}

/// Whether a text could be names of a pointer without its first `/`: `client/ip`, and not `203.0.113.0/24`.
fn is_like_pointer(text: &str) -> bool {
    text.contains('/') && text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
