//! Where the mutants of a rule set are: in its rules, and in what they read of defs, amounts and features.
//!
//! Guarantees: follows the names a rule reads through defs and exceptions; what the loader would not read is
//! passed over. Knows of a rule's keys only what holds conditions, times and params.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::{File, Mutant, id_of, item_lines, line_end, line_start, text_of};
use crate::event::{Currency, Money, Value};
use crate::ruleset::expr::{self, Ast, Change, spoken, steps};
use crate::ruleset::read;
use crate::ruleset::snippet::snippet;
use crate::yaml::{Entry, Kind, Map, Node};

/// Something declared with a name, and the file it stands in.
type Declared<'f> = (usize, &'f Node);

pub(super) struct Finder<'f> {
    files: &'f [File<'f>],
    defs: BTreeMap<&'f str, Declared<'f>>,
    features: BTreeMap<&'f str, Declared<'f>>,
    amounts: BTreeMap<&'f str, Declared<'f>>,
    params: BTreeMap<&'f str, Declared<'f>>,
    exceptions: BTreeMap<&'f str, Declared<'f>>,
    /// By file, place and text: a mutant that a second rule reads gets a second reader.
    places: BTreeMap<(usize, usize, usize, String), usize>,
    /// The mutants as they are found: a step down before the step up.
    found: Vec<Mutant>,
    hears_others: BTreeSet<String>,
}

/// Where a mutant is.
struct Place {
    /// The file, by its number.
    at: usize,
    /// What people call it: `when` or `param failures`.
    name: String,
    /// Whether it is in what a feature keeps.
    is_apart: bool,
}

impl Place {
    fn new(at: usize, name: impl Into<String>) -> Self {
        Place { at, name: name.into(), is_apart: false }
    }

    fn apart(at: usize, name: impl Into<String>) -> Self {
        Place { is_apart: true, ..Place::new(at, name) }
    }
}

/// A change with what goes with it.
struct Edit {
    change: Change,
    /// What must change besides, so that the set loads and its tests mean the same.
    besides: Vec<(Range<usize>, String)>,
    /// The bytes that people are shown.
    shown: Range<usize>,
}

impl From<Change> for Edit {
    fn from(change: Change) -> Self {
        Edit { shown: change.span.clone(), besides: Vec::new(), change }
    }
}

/// One rule while its mutants are looked for.
struct Rule<'f> {
    id: &'f str,
    at: usize,
    own: &'f Map,
    defaults: Option<&'f Map>,
    /// What it reads, by name.
    reads: BTreeSet<String>,
    /// Its own conditions and those it reads: where a param's comparison is looked for.
    asts: Vec<Ast>,
}

impl<'f> Rule<'f> {
    fn get(&self, key: &str) -> Option<&'f Node> {
        self.own.get(key).or_else(|| self.defaults.and_then(|defaults| defaults.get(key)))
    }
}

fn entries_of(node: Option<&Node>) -> &[Entry] {
    node.and_then(Node::as_map).map_or(&[], |map| &map.entries)
}

impl<'f> Finder<'f> {
    pub fn new(files: &'f [File<'f>]) -> Self {
        let mut finder = Finder {
            files,
            defs: BTreeMap::new(),
            features: BTreeMap::new(),
            amounts: BTreeMap::new(),
            params: BTreeMap::new(),
            exceptions: BTreeMap::new(),
            places: BTreeMap::new(),
            found: Vec::new(),
            hears_others: BTreeSet::new(),
        };
        for (at, file) in files.iter().enumerate() {
            let Some(map) = file.tree.as_map() else { continue };
            let put = |names: &mut BTreeMap<&'f str, Declared<'f>>, key: &str| {
                let entries = entries_of(map.get(key)).iter();
                names.extend(entries.map(|entry| (entry.key.as_str(), (at, &entry.value))));
            };
            put(&mut finder.defs, "defs");
            put(&mut finder.features, "features");
            put(&mut finder.amounts, "amounts");
            put(&mut finder.params, "params");
            for item in map.get("exceptions").map(Node::items).unwrap_or_default() {
                if let Some(name) = item.as_map().and_then(|exception| text_of(exception, "name")) {
                    finder.exceptions.insert(name, (at, item));
                }
            }
        }
        finder
    }

    /// The mutants, and the rules that hear of other rules.
    pub fn find(mut self) -> (Vec<Mutant>, BTreeSet<String>) {
        for (at, file) in self.files.iter().enumerate() {
            let Some(map) = file.tree.as_map() else { continue };
            let defaults = map.get("defaults").and_then(Node::as_map);
            for node in map.get("rules").map(Node::items).unwrap_or_default() {
                if let (Some(own), Some(id)) = (node.as_map(), id_of(node)) {
                    self.rule(Rule { id, at, own, defaults, reads: BTreeSet::new(), asts: Vec::new() });
                }
            }
        }
        let mut mutants = self.found;
        mutants.sort_by(|a, b| (&a.path, a.span.start, a.span.end).cmp(&(&b.path, b.span.start, b.span.end)));
        (mutants, self.hears_others)
    }

    fn rule(&mut self, mut rule: Rule<'f>) {
        if let Some(when) = rule.get("when") {
            let place = Place::new(rule.at, "when");
            self.condition(&mut rule, &place, when);
        }
        if let Some(sequence) = rule.get("sequence") {
            self.sequence(&mut rule, sequence);
        }
        for item in rule.get("unless").map(Node::items).unwrap_or_default() {
            let (at, exception) = match &item.kind {
                Kind::Scalar(name) => match self.exceptions.get(name.text.as_str()) {
                    Some(declared) => *declared,
                    None => continue,
                },
                _ => (rule.at, item),
            };
            self.exception(&mut rule, at, exception);
        }
        if let Some(time) = rule.get("dedup").and_then(Node::as_map).and_then(|dedup| dedup.get("for")) {
            self.time(&rule, &Place::new(rule.at, "dedup for"), time, "two hits");
        }
        self.follow(&mut rule);
        for entry in entries_of(rule.get("params")) {
            self.param(&rule, rule.at, entry);
        }
    }

    fn exception(&mut self, rule: &mut Rule<'f>, at: usize, node: &'f Node) {
        let Some(map) = node.as_map() else { return };
        let name = text_of(map, "name").unwrap_or_default();
        let Some(when) = map.get("when") else { return };
        let place = Place::new(at, format!("unless {name}"));
        if let Some(ast) = self.ast(at, when) {
            let hint = format!("a hit that `{name}` eats would show it");
            let change = ast.never(format!("without the exception {name}"), hint);
            self.add(rule.id, &place, change);
        }
        self.condition(rule, &place, when);
    }

    /// The steps of a sequence and whatever else it holds: conditions, times, lists of steps.
    fn sequence(&mut self, rule: &mut Rule<'f>, node: &'f Node) {
        for entry in entries_of(Some(node)) {
            let key = entry.key.as_str();
            match &entry.value.kind {
                Kind::Scalar(_) if read::duration(scalar_text(&entry.value)).is_some() => {
                    let place = Place::new(rule.at, format!("sequence {key}"));
                    self.time(rule, &place, &entry.value, "steps");
                }
                Kind::Seq(items) => {
                    for (nth, item) in items.iter().enumerate() {
                        self.step(rule, entry, items, nth, item);
                    }
                }
                Kind::Map(_) => self.step_parts(rule, &entry.value, &Place::new(rule.at, format!("sequence {key}"))),
                _ => {}
            }
        }
    }

    fn step(&mut self, rule: &mut Rule<'f>, list: &'f Entry, items: &'f [Node], nth: usize, item: &'f Node) {
        let Some(map) = item.as_map() else { return };
        let called = match text_of(map, "as").or_else(|| text_of(map, "on")) {
            Some(called) => called.to_owned(),
            None => (nth + 1).to_string(),
        };
        let place = Place::new(rule.at, format!("sequence {} {called}", list.key));
        let files = self.files;
        let text = files.get(rule.at).map(|file| file.file.text.as_str());
        let lines = text.and_then(|text| match items {
            [only] => Some(line_start(text, list.key_span.start)..line_end(text, only.span.end.saturating_sub(1))),
            _ => item_lines(text, items, nth),
        });
        if let Some(span) = lines {
            let hint = format!("a chain that only `{called}` decides would show it");
            let what = format!("without {called}");
            let change = Change { span, with: String::new(), what, hint, doubt: None };
            // The lines go, and people are shown the step.
            self.add(rule.id, &place, Edit { shown: item.span.clone(), ..Edit::from(change) });
        }
        self.step_parts(rule, item, &place);
    }

    fn step_parts(&mut self, rule: &mut Rule<'f>, node: &'f Node, place: &Place) {
        for part in entries_of(Some(node)) {
            let scalar = matches!(part.value.kind, Kind::Scalar(_));
            if part.key == "where" {
                self.condition(rule, place, &part.value);
            } else if scalar && read::duration(scalar_text(&part.value)).is_some() {
                let place = Place::new(rule.at, format!("{} {}", place.name, part.key));
                self.time(rule, &place, &part.value, "events");
            }
        }
    }

    /// What the rule reads of others, and of what these read.
    fn follow(&mut self, rule: &mut Rule<'f>) {
        let mut followed = BTreeSet::new();
        while let Some(name) = rule.reads.iter().find(|name| !followed.contains(*name)).cloned() {
            followed.insert(name.clone());
            let first = name.split('.').next().unwrap_or(&name);
            if name == "account.risk" {
                self.hears_others.insert(rule.id.to_owned());
            }
            if let Some((at, node)) = self.defs.get(first).copied() {
                self.condition(rule, &Place::new(at, format!("def {first}")), node);
            }
            if let Some((at, node)) = self.features.get(first).copied()
                && followed.insert(format!("{first} itself"))
            {
                self.feature(rule, first, at, node);
            }
            if let Some(amount) = name.strip_prefix("amounts.") {
                self.amount(rule, amount);
            }
            if let Some((at, node)) = self.params.get(first).copied() {
                let entries = self.files.get(at).and_then(|file| file.tree.as_map()).map(|map| map.get("params"));
                let entry = entries_of(entries.flatten()).iter().find(|entry| std::ptr::eq(&entry.value, node));
                entry.into_iter().for_each(|entry| self.param(rule, at, entry));
            }
        }
    }

    /// What a feature keeps: listed apart.
    fn feature(&mut self, rule: &mut Rule<'f>, name: &str, at: usize, node: &'f Node) {
        let Some(map) = node.as_map() else { return };
        if let Some(filter) = map.get("where") {
            // A feature's names are those of events: nothing to follow.
            let mut alone = Rule { reads: BTreeSet::new(), asts: Vec::new(), ..*rule };
            self.condition(&mut alone, &Place::apart(at, format!("feature {name} where")), filter);
        }
        for key in ["over", "half_life"] {
            if let Some(time) = map.get(key) {
                self.time(rule, &Place::apart(at, format!("feature {name} {key}")), time, "events");
            }
        }
        let counts_findings = map.entries.first().is_some_and(|entry| {
            let sources = std::iter::once(&entry.value).chain(entry.value.items());
            sources.into_iter().any(|source| scalar_text(source).starts_with("finding"))
        });
        if counts_findings {
            self.hears_others.insert(rule.id.to_owned());
        }
    }

    fn amount(&mut self, rule: &Rule<'f>, name: &str) {
        let Some((at, node)) = self.amounts.get(name).copied() else { return };
        for entry in entries_of(Some(node)) {
            let Some(currency) = Currency::parse(&entry.key) else { continue };
            let Ok(money) = Money::parse(scalar_text(&entry.value), currency) else { continue };
            for new in steps(&Value::Money(money)) {
                let (number, _) = new.split_once(' ').unwrap_or((&new, ""));
                let old = scalar_text(&entry.value);
                let hint = self.hint(rule, &format!("amounts.{name}"), &format!("{old} {}", entry.key), &new);
                let what = format!("{old} -> {number}");
                let change =
                    Change { span: entry.value.span.clone(), with: number.to_owned(), what, hint, doubt: None };
                self.add(rule.id, &Place::new(at, format!("amount {name} {}", entry.key)), change);
            }
        }
    }

    /// A param's value; limits give way, and tests that name the param keep the value they were written for.
    fn param(&mut self, rule: &Rule<'f>, at: usize, entry: &'f Entry) {
        let limits = entry.value.as_map();
        let node = limits.and_then(|map| map.get("value")).unwrap_or(&entry.value);
        let Some((value, _)) = read::constant(node) else { return };
        let tests = self.tests_with(rule, &entry.key, &value);
        let old = scalar_text(node);
        for new in steps(&value) {
            let mut besides = tests.clone();
            for key in ["min", "max"] {
                if let Some(limit) = limits.and_then(|map| map.get(key)).filter(|limit| scalar_text(limit) == old) {
                    besides.push((limit.span.clone(), new.clone()));
                }
            }
            let said = spoken(&new);
            let hint = self.hint(rule, &entry.key, old, &said);
            let what = format!("{old} -> {said}");
            let change = Change { span: node.span.clone(), with: new, what, hint, doubt: None };
            let place = Place::new(at, format!("param {}", entry.key));
            self.add(rule.id, &place, Edit { besides, ..Edit::from(change) });
        }
    }

    /// The scalars of a rule's tests that name a param, with its value written out.
    fn tests_with(&self, rule: &Rule<'f>, name: &str, value: &Value<'_>) -> Vec<(Range<usize>, String)> {
        let written = match value {
            Value::Duration(ms) => format!("{ms}ms"),
            value => value.to_string(),
        };
        let mut found = Vec::new();
        let mut pending: Vec<&Node> = rule.own.get("tests").into_iter().collect();
        while let Some(node) = pending.pop() {
            match &node.kind {
                Kind::Scalar(scalar) if scalar.text.contains(&format!("{{{name}}}")) => {
                    let text = scalar.text.replace(&format!("{{{name}}}"), &written);
                    // A number must stand without quotes, a text with a brace must not.
                    let is_plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | ' '));
                    let quoted = format!("'{}'", text.replace('\'', "''"));
                    found.push((node.span.clone(), if is_plain { text } else { quoted }));
                }
                Kind::Seq(items) => pending.extend(items),
                Kind::Map(map) => pending.extend(map.entries.iter().map(|entry| &entry.value)),
                _ => {}
            }
        }
        found
    }

    /// `of_two`: what two of would show the change, by the time between them.
    fn time(&mut self, rule: &Rule<'f>, place: &Place, node: &Node, of_two: &str) {
        let Some(ms) = read::duration(scalar_text(node)) else { return };
        let old = scalar_text(node);
        for new in steps(&Value::Duration(ms)) {
            let said = spoken(&new);
            let is_less = read::duration(&new).is_some_and(|new| new < ms);
            let (less, more) = if is_less { (said.as_str(), old) } else { (old, said.as_str()) };
            let hint = format!("{of_two} apart by a time between {less} and {more} would show it");
            let what = format!("{old} -> {said}");
            let doubt = is_of_one_step(rule, &place.name)
                .then(|| "one step has no time between its first and its last".to_owned());
            let change = Change { span: node.span.clone(), with: new, what, hint, doubt };
            self.add(rule.id, place, change);
        }
    }

    fn condition(&mut self, rule: &mut Rule<'f>, place: &Place, node: &Node) {
        let Some(ast) = self.ast(place.at, node) else { return };
        ast.names(&mut |name, _| {
            rule.reads.insert(name.to_owned());
        });
        for mut change in ast.changes() {
            change.doubt = ast.doubt(&change.span, &|feature| self.kept_by(feature));
            self.add(rule.id, place, change);
        }
        rule.asts.push(ast);
    }

    /// The entities a feature is kept for.
    fn kept_by(&self, feature: &str) -> Vec<&'f str> {
        let declared = self.features.get(feature).and_then(|(_, node)| node.as_map()?.get("by"));
        let Some(by) = declared else { return Vec::new() };
        std::iter::once(by).chain(by.items()).map(scalar_text).collect()
    }

    fn ast(&self, at: usize, node: &Node) -> Option<Ast> {
        let snippet = snippet(&self.files.get(at)?.file, node)?;
        expr::parse(&snippet, &mut Vec::new())
    }

    fn hint(&self, rule: &Rule<'f>, name: &str, old: &str, new: &str) -> String {
        let found = rule.asts.iter().find_map(|ast| ast.hint_for(name, old, new));
        found.unwrap_or_else(|| format!("a value that tells {old} from {new} would show it"))
    }

    fn add(&mut self, rule: &str, place: &Place, edit: impl Into<Edit>) {
        let Edit { change, besides, shown } = edit.into();
        let Some(File { path, file, .. }) = self.files.get(place.at) else { return };
        let key = (place.at, change.span.start, change.span.end, change.with.clone());
        let nth = *self.places.entry(key).or_insert_with(|| {
            let mut edits = vec![(change.span, change.with)];
            edits.extend(besides);
            self.found.push(Mutant {
                path: path.path.to_owned(),
                file: Arc::clone(file),
                span: shown,
                edits,
                name: format!("{}: {}", place.name, change.what),
                hint: change.hint,
                doubt: change.doubt,
                readers: Vec::new(),
                is_apart: place.is_apart,
            });
            self.found.len() - 1
        });
        if let Some(mutant) = self.found.get_mut(nth)
            && mutant.readers.last().map(String::as_str) != Some(rule)
        {
            mutant.readers.push(rule.to_owned());
        }
    }
}

/// Whether a place is the time within which all steps of a sequence come, and there is one step.
fn is_of_one_step(rule: &Rule<'_>, place: &str) -> bool {
    let steps = rule.get("sequence").and_then(Node::as_map).and_then(|sequence| sequence.get("steps"));
    place == "sequence within" && steps.is_some_and(|steps| steps.items().len() == 1)
}

fn scalar_text(node: &Node) -> &str {
    node.as_text().unwrap_or_default()
}
