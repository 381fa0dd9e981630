//! How a rule is spelled so that equal meanings are equal texts: names replaced by what they stand for.
//!
//! Guarantees: the order of keys and of lists that are sets, quotes, blanks and comments change nothing; a def that
//! reads itself ends. Compares nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Meaning, NO_MEANING, Parts, digest};
use crate::event::{Field, Value};
use crate::report::SourceFile;
use crate::ruleset::expr;
use crate::ruleset::read;
use crate::ruleset::snippet::snippet;
use crate::yaml::{self, Kind, Map, Node};

/// Values that mean the same as leaving their key out.
const DEFAULTS: &[(&str, &str)] = &[("action", "none"), ("inform", "Bool(false)")];
/// Keys whose value is an expression.
const EXPRESSIONS: &[&str] = &["when", "where"];
/// Keys whose list is a set: the order of its items means nothing.
const SETS: &[&str] = &["on", "audience", "items"];

/// Everything that rules may name, as it was written.
#[derive(Default)]
pub(super) struct Declared<'t> {
    named: BTreeMap<&'static str, BTreeMap<&'t str, (&'t Arc<SourceFile>, &'t Node)>>,
}

impl<'t> Declared<'t> {
    pub fn of(trees: &'t [(Arc<SourceFile>, Node)]) -> Self {
        let mut declared = Declared::default();
        for (file, tree) in trees {
            let Some(map) = tree.as_map() else { continue };
            for section in ["params", "defs", "features", "amounts", "lists"] {
                let Some(named) = map.get(section).and_then(Node::as_map) else { continue };
                for entry in &named.entries {
                    declared.add(section, &entry.key, (file, &entry.value));
                }
            }
            for item in map.get("exceptions").map(Node::items).unwrap_or_default() {
                if let Some(name) = item.as_map().and_then(|map| map.get("name")).and_then(Node::as_text) {
                    declared.add("exceptions", name, (file, item));
                }
            }
        }
        declared
    }

    fn get(&self, section: &'static str, name: &str) -> Option<(&'t Arc<SourceFile>, &'t Node)> {
        self.named.get(section)?.get(name).copied()
    }

    /// Of two of one name the first counts.
    fn add(&mut self, section: &'static str, name: &'t str, what: (&'t Arc<SourceFile>, &'t Node)) {
        self.named.entry(section).or_default().entry(name).or_insert(what);
    }
}

/// Spells one rule.
pub(super) struct Speller<'s, 't> {
    declared: &'s Declared<'t>,
    file: &'t Arc<SourceFile>,
    rule: &'t Map,
    defaults: Option<&'t Map>,
    /// What it reads, each by its own text: ``feature `x` `` with the digest.
    reads: RefCell<Parts>,
    /// The same with what their names stand for.
    known: RefCell<Parts>,
    /// Names that are being spelled: a def that reads itself does not load.
    open: RefCell<Vec<String>>,
}

impl<'s, 't> Speller<'s, 't> {
    pub fn new(
        declared: &'s Declared<'t>,
        file: &'t Arc<SourceFile>,
        rule: &'t Map,
        defaults: Option<&'t Map>,
    ) -> Self {
        Speller {
            declared,
            file,
            rule,
            defaults,
            reads: RefCell::default(),
            known: RefCell::default(),
            open: RefCell::default(),
        }
    }

    /// What the rule means.
    pub fn meaning(self, id: &str) -> Meaning {
        let (mut parts, mut resolved) = (Parts::new(), Vec::new());
        let own = self.rule.entries.iter();
        let by_default = self.defaults.iter().flat_map(|map| &map.entries);
        for entry in own.chain(by_default.filter(|entry| self.rule.get(&entry.key).is_none())) {
            let key = entry.key.as_str();
            let plain = self.value(self.file, &entry.value, key, false);
            parts.insert(key.to_owned(), digest(&plain));
            let is_default = DEFAULTS.contains(&(key, plain.as_str())) || (key == "group" && plain == id);
            if !NO_MEANING.contains(&key) && !is_default {
                resolved.push((key, self.value(self.file, &entry.value, key, true)));
            }
        }
        resolved.sort_unstable();
        let get = |key: &str| self.rule.get(key).or_else(|| self.defaults.and_then(|map| map.get(key)));
        let revision = get("revision");
        // What is written under `defaults` is every rule's: one rule's revision is raised in the rule.
        let own_revision = self.rule.get("revision");
        let place = own_revision.or_else(|| self.rule.get("id"));
        parts.extend(self.reads.take());
        Meaning {
            revision: revision.and_then(Node::as_text).and_then(|text| text.parse().ok()).unwrap_or(1),
            at: (Arc::clone(self.file), place.map_or(0..0, |node| node.span.clone())),
            has_revision: own_revision.is_some(),
            digest: digest(&format!("{resolved:?}")),
            parts,
        }
    }

    /// A value in one spelling; `resolved`: with what names stand for.
    fn value(&self, file: &Arc<SourceFile>, node: &Node, key: &str, resolved: bool) -> String {
        if EXPRESSIONS.contains(&key) {
            return self.expression(file, node, resolved);
        }
        match &node.kind {
            Kind::Seq(items) if key == "unless" => {
                let mut spelled: Vec<String> = items.iter().map(|item| self.exception(file, item, resolved)).collect();
                spelled.sort_unstable();
                format!("[{}]", spelled.join(" "))
            }
            // One item may stand without its list.
            Kind::Seq(items) => match items.as_slice() {
                [one] => self.value(file, one, key, resolved),
                items => {
                    let mut spelled: Vec<String> =
                        items.iter().map(|item| self.value(file, item, key, resolved)).collect();
                    if SETS.contains(&key) {
                        spelled.sort_unstable();
                    }
                    format!("[{}]", spelled.join(" "))
                }
            },
            Kind::Map(map) => {
                let entry = |entry: &yaml::Entry| {
                    format!("{}: {}", entry.key, self.value(file, &entry.value, &entry.key, resolved))
                };
                let mut spelled: Vec<String> = map.entries.iter().map(entry).collect();
                spelled.sort_unstable();
                format!("{{{}}}", spelled.join(", "))
            }
            Kind::Scalar(scalar) => match read::constant(node) {
                Some((Value::Text(text), _)) => text.into_owned(),
                Some((value, _)) => format!("{value:?}"),
                None => scalar.text.trim().to_owned(),
            },
            Kind::Broken => "?".to_owned(),
        }
    }

    fn expression(&self, file: &Arc<SourceFile>, node: &Node, resolved: bool) -> String {
        let ast = snippet(file, node).and_then(|snippet| expr::parse(&snippet, &mut Vec::new()));
        let mut name = |path: &str| if resolved { self.name(path) } else { path.to_owned() };
        ast.map_or_else(|| "?".to_owned(), |ast| ast.spelled(&mut name))
    }

    /// When an exception holds and until when; who answers for it decides nothing.
    fn exception(&self, file: &Arc<SourceFile>, item: &Node, resolved: bool) -> String {
        if let Some(name) = item.as_text() {
            let Some((file, item)) = self.declared.get("exceptions", name).filter(|_| resolved) else {
                return name.to_owned();
            };
            let spelled = self.exception(file, item, resolved);
            let own = self.exception(file, item, false);
            self.reads.borrow_mut().insert(format!("exception `{name}`"), digest(&own));
            return spelled;
        }
        let part = |key: &str| {
            let node = item.as_map().and_then(|map| map.get(key));
            node.map_or_else(String::new, |node| self.value(file, node, key, resolved))
        };
        format!("({} until {})", part("when"), part("expires"))
    }

    /// What a name stands for.
    fn name(&self, path: &str) -> String {
        let own = self.rule.get("params").or_else(|| self.defaults.and_then(|map| map.get("params")));
        if let Some(param) = own.and_then(Node::as_map).and_then(|map| map.get(path)) {
            return self.param(self.file, param);
        }
        if let Some((file, param)) = self.declared.get("params", path) {
            return self.read(format!("param `{path}`"), |_| self.param(file, param));
        }
        if let Some((file, def)) = self.declared.get("defs", path) {
            return self.read(format!("def `{path}`"), |resolved| self.expression(file, def, resolved));
        }
        if let Some(field) = Field::parse(path) {
            return field.name().to_owned();
        }
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        if let Some((file, node)) = self.declared.get("amounts", rest).filter(|_| first == "amounts") {
            return self.read(format!("amount `{rest}`"), |_| self.value(file, node, "", true));
        }
        if let Some((file, node)) = self.declared.get("lists", rest).filter(|_| first == "lists") {
            return self.read(format!("list `{rest}`"), |_| self.list(file, node, rest));
        }
        match self.declared.get("features", first) {
            Some((file, node)) => {
                let spell = |resolved| self.value(file, node, "", resolved);
                let feature = self.read(format!("feature `{first}`"), spell);
                format!("{feature}.{rest}")
            }
            None => path.to_owned(),
        }
    }

    fn param(&self, file: &Arc<SourceFile>, node: &Node) -> String {
        let value = node.as_map().and_then(|map| map.get("value"));
        value.map_or_else(String::new, |value| self.value(file, value, "", true))
    }

    /// A list by its items where they stand in the rule file, else by its name: what is in a file comes and goes.
    fn list(&self, file: &Arc<SourceFile>, node: &Node, name: &str) -> String {
        let Some(map) = node.as_map() else { return String::new() };
        let part = |key: &str| map.get(key).map_or_else(String::new, |node| self.value(file, node, key, true));
        match map.get("items") {
            Some(_) => format!("{} {}", part("type"), part("items")),
            None => format!("{} in a file: {name}", part("type")),
        }
    }

    /// Spells something that has a name, as the digest of what it stands for. `spell` takes whether names are to be
    /// resolved.
    fn read(&self, label: String, spell: impl Fn(bool) -> String) -> String {
        if let Some(known) = self.known.borrow().get(&label) {
            return known.clone();
        }
        if self.open.borrow().contains(&label) {
            return label;
        }
        self.open.borrow_mut().push(label.clone());
        let stands_for = digest(&spell(true));
        self.open.borrow_mut().pop();
        self.known.borrow_mut().insert(label.clone(), stands_for.clone());
        self.reads.borrow_mut().insert(label, digest(&spell(false)));
        stands_for
    }
}
