//! What a rule file declares for all rules: lists, amounts, features, defs, params, shared exceptions.
//!
//! Guarantees: a name is declared once in a whole rule set; one that had a problem is remembered, so that its
//! use tells nothing more. Does not resolve names.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::exception::{ExceptionSpec, read_exception};
use super::expr;
use super::feature;
use super::lists::{self, LIST_ENTRIES_MAX, ListSet};
use super::model::NamedAmount;
use super::names::{Def, NamedList, Names};
use super::params::read_params;
use super::rule::check_defaults;
use super::sources::{FilePath, Sources};
use crate::event::{Currency, Money};
use crate::report::{Lines, Problem, SourceFile, did_you_mean};
use crate::yaml::{self, Kind, Map, Node, Reader};

/// The version of the language this program reads.
pub const LANGUAGE_VERSION: i64 = 1;
/// Features of a set, at most.
pub const FEATURES_MAX: usize = 1000;
/// Defs of a set, at most.
pub const DEFS_MAX: usize = 1000;
pub(super) const FILE_KEYS: &[&str] =
    &["version", "lists", "amounts", "features", "defs", "params", "defaults", "exceptions", "rules"];

/// The keys of a list.
pub(super) const LIST_KEYS: &[&str] = &["type", "owner", "max_age", "items", "file"];

/// What the files read so far declare.
pub(super) struct Declared<'s> {
    sources: &'s Sources,
    pub names: Names,
    pub exceptions: BTreeMap<String, ExceptionSpec>,
    /// Shared exceptions that no rule can take: without a name, or with one that is taken. Their conditions are
    /// checked all the same.
    pub untakeable: Vec<ExceptionSpec>,
    /// Where each shared param is declared.
    pub(super) params_at: BTreeMap<String, (Arc<SourceFile>, Range<usize>)>,
    lines: Lines,
    /// Names that a problem was told about where they are declared.
    pub broken: BTreeSet<String>,
}

impl<'s> Declared<'s> {
    /// Nothing yet.
    pub fn new(sources: &'s Sources) -> Self {
        Declared {
            sources,
            names: Names::default(),
            exceptions: BTreeMap::new(),
            untakeable: Vec::new(),
            params_at: BTreeMap::new(),
            lines: Lines::default(),
            broken: BTreeSet::new(),
        }
    }

    /// Everything of a file that rules may name; `path` is the file's.
    pub fn read(&mut self, reader: &mut Reader<'_>, path: FilePath<'_>, tree: &Node) {
        let Some(map) = reader.map(tree, "a rule file") else { return };
        reader.keys(map, FILE_KEYS, &[]);
        reader.require(tree, "a rule file", &["version"]);
        if let Some(node) = map.get("version") {
            check_version(reader, node);
        }
        for entry in section(reader, map, "lists", usize::MAX) {
            self.list(reader, path, entry);
        }
        for entry in section(reader, map, "amounts", usize::MAX) {
            self.amount(reader, entry);
        }
        for entry in section(reader, map, "features", FEATURES_MAX - self.names.features.len()) {
            self.feature(reader, entry);
        }
        for entry in section(reader, map, "defs", DEFS_MAX - self.names.defs.len()) {
            self.def(reader, entry);
        }
        if let Some(node) = map.get("params") {
            self.params(reader, node);
        }
        if let Some(node) = map.get("defaults") {
            check_defaults(reader, node);
        }
        let exceptions = map.get("exceptions").and_then(|node| reader.seq(node, "`exceptions`"));
        for item in exceptions.unwrap_or_default() {
            self.exception(reader, item);
        }
    }

    fn params(&mut self, reader: &mut Reader<'_>, node: &Node) {
        let mut params = read_params(reader, node).values;
        let Kind::Map(map) = &node.kind else { return };
        for entry in &map.entries {
            let Some(constant) = params.remove(&entry.key) else { continue };
            match self.params_at.entry(entry.key.clone()) {
                Slot::Occupied(slot) => {
                    let (file, span) = slot.get();
                    let first = (file, span);
                    taken(reader, &entry.key, entry.key_span.clone(), "a param", first, &mut self.lines);
                }
                Slot::Vacant(slot) => {
                    slot.insert((Arc::clone(reader.file), entry.key_span.clone()));
                    self.names.params.insert(entry.key.clone(), constant);
                }
            }
        }
    }

    fn feature(&mut self, reader: &mut Reader<'_>, entry: &yaml::Entry) {
        let spec = feature::read(reader, entry);
        if !spec.is_whole {
            self.broken.insert(entry.key.clone());
        }
        if let Some((_, known)) = self.names.features.get(&entry.key) {
            let first = (&known.file, &known.span);
            taken(reader, &entry.key, entry.key_span.clone(), "a feature", first, &mut self.lines);
        } else {
            self.names.features.insert(entry.key.clone(), (None, spec));
        }
    }

    fn exception(&mut self, reader: &mut Reader<'_>, item: &Node) {
        let Some((name, spec)) = read_exception(reader, item) else { return };
        let Some(name) = name else { return self.untakeable.push(spec) };
        match self.exceptions.entry(name) {
            Slot::Occupied(slot) => {
                let first = (&slot.get().file, &slot.get().span);
                taken(reader, slot.key(), spec.span.clone(), "an exception", first, &mut self.lines);
                self.untakeable.push(spec);
            }
            Slot::Vacant(slot) => {
                slot.insert(spec);
            }
        }
    }

    fn def(&mut self, reader: &mut Reader<'_>, entry: &yaml::Entry) {
        let before = reader.problems.len();
        let named = reader.is_name(entry, "a def");
        let ast = reader.expression(&entry.value, "a def");
        if !named || ast.is_none() || reader.problems.len() > before || entry.value.kind == Kind::Broken {
            self.broken.insert(entry.key.clone());
        }
        let def = Def { ast, file: Arc::clone(reader.file), span: entry.key_span.clone() };
        if let Some(known) = self.names.defs.get(&entry.key) {
            let first = (&known.file, &known.span);
            taken(reader, &entry.key, entry.key_span.clone(), "a def", first, &mut self.lines);
        } else {
            self.names.defs.insert(entry.key.clone(), def);
        }
    }

    /// `large: {CNY: 5000, USD: 700}`.
    fn amount(&mut self, reader: &mut Reader<'_>, entry: &yaml::Entry) {
        let before = reader.problems.len();
        let mut values: Vec<(Currency, i64)> = Vec::new();
        reader.is_name(entry, "an amount");
        if let Some(map) = reader.map(&entry.value, "an amount") {
            for value in &map.entries {
                let Some(currency) = Currency::parse(&value.key) else {
                    let message = format!("unknown currency `{}`", value.key);
                    let code = value.key.to_ascii_uppercase();
                    let problem = Problem::error(codes::VALUE, reader.file, value.key_span.clone(), message);
                    let near = Currency::parse(&code).map(|currency| currency.code());
                    reader.problems.push(match near.or_else(|| did_you_mean(&code, Currency::codes())) {
                        Some(near) => problem.fix(value.key_span.clone(), near),
                        None => problem.help("currencies are those of ISO 4217, such as `CNY`"),
                    });
                    continue;
                };
                let Some(text) = reader.scalar(&value.value, "an amount") else { continue };
                match Money::parse(text, currency) {
                    Ok(money) => values.push((currency, money.minor)),
                    Err(error) => {
                        let message = format!("`{text}` is no amount of {}: {error}", value.key);
                        reader.error(codes::VALUE, value.value.span.clone(), message);
                    }
                }
            }
            if map.entries.is_empty() {
                reader.error(codes::VALUE, entry.value.span.clone(), "an amount names at least one currency");
            }
        }
        values.sort_by_key(|(currency, _)| currency.number());
        if reader.problems.len() > before {
            self.broken.insert("amounts".to_owned());
        }
        let amount = NamedAmount { name: entry.key.clone(), values };
        match self.names.amounts.binary_search_by(|known| known.name.cmp(&entry.key)) {
            Ok(_) => {
                let Some((file, span)) = self.names.amounts_at.get(&entry.key) else { return };
                taken(reader, &entry.key, entry.key_span.clone(), "an amount", (file, span), &mut self.lines);
            }
            Err(at) => {
                let place = (Arc::clone(reader.file), entry.key_span.clone());
                self.names.amounts_at.insert(entry.key.clone(), place);
                self.names.amounts.insert(at, amount);
            }
        }
    }

    fn list(&mut self, reader: &mut Reader<'_>, path: FilePath<'_>, entry: &yaml::Entry) {
        reader.is_name(entry, "a list");
        let set = self.list_set(reader, path, entry);
        if set.is_none() {
            self.broken.insert(format!("lists.{}", entry.key));
        }
        let set = Arc::new(set.unwrap_or_else(|| ListSet::new(entry.key.clone(), expr::Ty::Text)));
        let named = NamedList { set, file: Arc::clone(reader.file), span: entry.key_span.clone() };
        if let Some(known) = self.names.lists.get(&entry.key) {
            let first = (&known.file, &known.span);
            taken(reader, &entry.key, entry.key_span.clone(), "a list", first, &mut self.lines);
        } else {
            self.names.lists.insert(entry.key.clone(), named);
        }
    }

    fn list_set(&self, reader: &mut Reader<'_>, path: FilePath<'_>, entry: &yaml::Entry) -> Option<ListSet> {
        let map = reader.map(&entry.value, "a list")?;
        reader.keys(map, LIST_KEYS, &[]);
        reader.require(&entry.value, "a list", &["type", "owner", "max_age"]);
        map.get("owner").and_then(|node| reader.text(node, "`owner`"));
        let max_age_ms = map.get("max_age").and_then(|node| reader.some_time(node, "`max_age`"));
        let ty = map.get("type").and_then(|node| {
            let words: Vec<(&str, expr::Ty)> = lists::LIST_TYPES.to_vec();
            reader.word(node, "type of list", &words)
        })?;
        let mut set = ListSet::new(entry.key.clone(), ty);
        self.date(&mut set, path, &reader.file.text);
        // Without an age the list does not load; its entries are read for what is wrong with them.
        set.max_age_ms = max_age_ms.unwrap_or(i64::MAX);
        match (map.get("items"), map.get("file")) {
            (Some(items), None) => read_items(reader, items, &mut set),
            (None, Some(file)) => self.read_list_file(reader, file, &mut set)?,
            _ => {
                let message = "a list has its entries in `items` or in a `file`, one of the two";
                reader.error(codes::MISSING_KEY, entry.value.head(), message);
                return None;
            }
        }
        Some(set)
    }

    /// How old a list is whose entries stand in a file. One that was compiled in has no time; its text says one.
    fn date(&self, set: &mut ListSet, path: FilePath<'_>, text: &str) {
        let written = self.sources.modified(path);
        set.is_shipped = written.is_none();
        set.as_of = written.or_else(|| lists::said_as_of(text));
    }

    fn read_list_file(&self, reader: &mut Reader<'_>, node: &Node, set: &mut ListSet) -> Option<()> {
        let path = reader.scalar(node, "`file`")?;
        let Some(found) = self.sources.find(path) else {
            let help = "a list's file is below the rules directory, such as `lists/tor_exits.txt`, one entry a line";
            reader.error_help(codes::LIST_FILE, node.span.clone(), format!("there is no `{path}`"), help);
            return None;
        };
        let file = self.sources.text(found, reader.problems)?;
        self.date(set, found, &file.text);
        set.read(&file, reader.problems);
        Some(())
    }
}

/// The entries of a section that is a mapping, `at_most` of them.
fn section<'n>(reader: &mut Reader<'_>, map: &'n Map, key: &str, at_most: usize) -> &'n [yaml::Entry] {
    let section = map.get(key).filter(|node| !node.is_null());
    let entries = section.and_then(|node| reader.map(node, &format!("`{key}`"))).map_or(&[][..], |map| &map.entries);
    if let Some(beyond) = entries.get(at_most) {
        reader.error(
            codes::LIMIT,
            beyond.key_span.clone(),
            format!("a rule set has fewer {key}: here its limit is reached"),
        );
    }
    entries.get(..at_most).unwrap_or(entries)
}

/// Tells a name that something has already, and where that stands: its file and the bytes of its name.
fn taken(
    reader: &mut Reader<'_>,
    name: &str,
    span: Range<usize>,
    what: &str,
    first: (&Arc<SourceFile>, &Range<usize>),
    lines: &mut Lines,
) {
    let help = first_stands(lines, first.0, first.1);
    reader.error_help(codes::NAME, span, format!("there is {what} `{name}` already"), &help);
}

/// Where the first of two of one name stands.
pub(super) fn first_stands(lines: &mut Lines, file: &Arc<SourceFile>, span: &Range<usize>) -> String {
    let (line, _) = lines.place(file, span.start);
    format!("the first one stands at {}:{line}", file.path)
}

/// `version: 1`.
pub(super) fn check_version(reader: &mut Reader<'_>, node: &Node) {
    if matches!(&node.kind, Kind::Scalar(scalar) if scalar.text == LANGUAGE_VERSION.to_string()) {
        return;
    }
    if node.kind != Kind::Broken {
        let message = format!("this version of walletwatch reads version {LANGUAGE_VERSION} of the language");
        reader.error(codes::VERSION, node.span.clone(), message);
    }
}

fn read_items(reader: &mut Reader<'_>, node: &Node, set: &mut ListSet) {
    for item in reader.seq(node, "`items`").unwrap_or_default() {
        let Some(text) = reader.scalar(item, "an entry of a list") else { continue };
        if set.len() >= LIST_ENTRIES_MAX {
            reader.error(codes::LIMIT, item.head(), format!("a list has at most {LIST_ENTRIES_MAX} entries"));
            return;
        }
        if let Err(wanted) = set.insert(text) {
            let problem = lists::bad_entry(reader.file, item.span.clone(), text, &wanted);
            reader.problems.push(problem);
        }
    }
}
