//! What each rule means, as digests: whether it changed, in which keys, and whether its revision says so.
//!
//! Guarantees: the meaning depends on everything that decides what a rule does, with the values of what it reads put
//! in the place of their names, and on nothing else: not on comments, blanks, the order of keys, titles or tests. An
//! overlay is no part of it: that changes the digest of the set. Expects a set that loads; tells nothing about one
//! that does not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::expr;
use super::read::{self, RULE_FILES};
use super::snippet::snippet;
use super::sources::Sources;
use crate::event::{Field, Value};
use crate::report::{Problem, SourceFile};
use crate::yaml::{self, Kind, Map, Node};

/// Keys of a rule that decide nothing about what it does. Its state says whether it counts, which is not what it
/// means.
const NO_MEANING: &[&str] = &[
    "id",
    "title",
    "description",
    "revision",
    "state",
    "owner",
    "severity",
    "explain",
    "attack",
    "references",
    "runbook",
    "false_positives",
    "params",
    "tests",
    "mutants",
];
/// Values that mean the same as leaving their key out.
const DEFAULTS: &[(&str, &str)] = &[("action", "none"), ("inform", "Bool(false)")];
/// Keys whose value is an expression.
const EXPRESSIONS: &[&str] = &["when", "where"];
/// Keys whose list is a set: the order of its items means nothing.
const SETS: &[&str] = &["on", "audience", "items"];

/// Parts of a rule or of a set, by name, each with the digest of what it says.
pub type Parts = BTreeMap<String, String>;

/// What one rule means.
#[derive(Debug, Clone)]
pub struct Meaning {
    /// Its revision.
    pub revision: u32,
    /// Where that stands in the rule, or the rule's id where it does not.
    pub at: (Arc<SourceFile>, Range<usize>),
    /// Whether the rule itself says its revision.
    has_revision: bool,
    /// The digest of all that decides what it does.
    pub digest: String,
    /// Every key, title and tests too, and what it reads: ``feature `x` ``.
    pub parts: Parts,
}

/// What every rule of a set means, by its id.
pub fn meanings(sources: &Sources) -> BTreeMap<String, Meaning> {
    // Whoever asks has loaded the set, and has told what is wrong with it.
    let mut unheard = Vec::new();
    let trees: Vec<(Arc<SourceFile>, Node)> = sources
        .rule_files()
        .filter_map(|path| {
            let file = sources.text(path, &mut unheard)?;
            let tree = yaml::parse(&file, &RULE_FILES, &mut unheard)?;
            Some((file, tree))
        })
        .collect();
    let declared = Declared::of(&trees);
    let mut meanings = BTreeMap::new();
    for (file, tree) in &trees {
        let Kind::Map(map) = &tree.kind else { continue };
        let defaults = map.get("defaults").and_then(as_map);
        let Some(Kind::Seq(rules)) = map.get("rules").map(|node| &node.kind) else { continue };
        for rule in rules.iter().filter_map(as_map) {
            let Some(id) = rule.get("id").and_then(as_text) else { continue };
            meanings.entry(id.to_owned()).or_insert_with(|| Speller::new(&declared, file, rule, defaults).meaning(id));
        }
    }
    meanings
}

/// The rules whose meaning is another than in `base` while their revision did not grow.
pub fn not_raised(base: &BTreeMap<String, Meaning>, now: &BTreeMap<String, Meaning>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (id, new) in now {
        let Some(old) = base.get(id).filter(|old| old.digest != new.digest && new.revision <= old.revision) else {
            continue;
        };
        let means = |part: &&String| !NO_MEANING.contains(&part.as_str());
        let changed: Vec<String> = differing(&old.parts, &new.parts);
        let changed: Vec<&str> = changed.iter().filter(means).map(String::as_str).collect();
        let what = if changed.is_empty() { String::new() } else { format!(": {}", changed.join(", ")) };
        let message = format!("the rule `{id}` means something else than at revision {}{what}", old.revision);
        let (file, span) = &new.at;
        let problem = Problem::error(codes::REVISION, file, span.clone(), message);
        let next = old.revision.saturating_add(1);
        problems.push(match new.has_revision {
            true => problem.fix(span.clone(), next.to_string()),
            false => problem.help(format!("add `revision: {next}` to the rule itself")),
        });
    }
    problems
}

/// The names of the parts that are not the same in both.
pub fn differing(a: &Parts, b: &Parts) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

/// Everything that rules may name, as it was written.
#[derive(Default)]
struct Declared<'t> {
    named: BTreeMap<&'static str, BTreeMap<&'t str, (&'t Arc<SourceFile>, &'t Node)>>,
}

impl<'t> Declared<'t> {
    fn of(trees: &'t [(Arc<SourceFile>, Node)]) -> Self {
        let mut declared = Declared::default();
        for (file, tree) in trees {
            let Kind::Map(map) = &tree.kind else { continue };
            for section in ["params", "defs", "features", "amounts", "lists"] {
                let Some(named) = map.get(section).and_then(as_map) else { continue };
                for entry in &named.entries {
                    declared.add(section, &entry.key, (file, &entry.value));
                }
            }
            let Some(Kind::Seq(exceptions)) = map.get("exceptions").map(|node| &node.kind) else { continue };
            for item in exceptions {
                if let Some(name) = as_map(item).and_then(|map| map.get("name")).and_then(as_text) {
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
struct Speller<'s, 't> {
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
    fn new(declared: &'s Declared<'t>, file: &'t Arc<SourceFile>, rule: &'t Map, defaults: Option<&'t Map>) -> Self {
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

    fn meaning(self, id: &str) -> Meaning {
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
            revision: revision.and_then(as_text).and_then(|text| text.parse().ok()).unwrap_or(1),
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
        if let Kind::Scalar(scalar) = &item.kind {
            let name = scalar.text.as_str();
            let Some((file, item)) = self.declared.get("exceptions", name).filter(|_| resolved) else {
                return name.to_owned();
            };
            let spelled = self.exception(file, item, resolved);
            let own = self.exception(file, item, false);
            self.reads.borrow_mut().insert(format!("exception `{name}`"), digest(&own));
            return spelled;
        }
        let part = |key: &str| {
            let node = as_map(item).and_then(|map| map.get(key));
            node.map_or_else(String::new, |node| self.value(file, node, key, resolved))
        };
        format!("({} until {})", part("when"), part("expires"))
    }

    /// What a name stands for.
    fn name(&self, path: &str) -> String {
        let own = self.rule.get("params").or_else(|| self.defaults.and_then(|map| map.get("params")));
        if let Some(param) = own.and_then(as_map).and_then(|map| map.get(path)) {
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
        let value = as_map(node).and_then(|map| map.get("value"));
        value.map_or_else(String::new, |value| self.value(file, value, "", true))
    }

    /// A list by its items where they stand in the rule file, else by its name: what is in a file comes and goes.
    fn list(&self, file: &Arc<SourceFile>, node: &Node, name: &str) -> String {
        let Some(map) = as_map(node) else { return String::new() };
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

/// The first 16 bytes of a text's BLAKE3, in hex.
pub(super) fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(32).collect()
}

fn as_map(node: &Node) -> Option<&Map> {
    match &node.kind {
        Kind::Map(map) => Some(map),
        _ => None,
    }
}

fn as_text(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar(scalar) => Some(scalar.text.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::rule::RULE_KEYS;

    const BASE: &str = "version: 1
lists:
  partners: {type: ip, owner: o, max_age: 30d, items: [192.0.2.1, 192.0.2.2]}
  tor: {type: ip, owner: o, max_age: 1d, file: lists/tor.txt}
amounts:
  large: {CNY: 5000}
params:
  shared: {value: 3}
features:
  failed: {count: login, where: result == \"failure\" and not (ip in lists.partners), by: account, over: 10m}
defs:
  often: failed >= max and failed > shared
exceptions:
  - {name: office, when: ip in lists.tor, reason: r, owner: o, expires: 2030-12-31}
defaults: {owner: team}
rules:
  - id: r
    title: T
    revision: 3
    severity: low
    score: 10
    audience: [security, user]
    on: login
    params: {max: {value: 8, min: 5}}
    when: often and channel == \"web\" # why
    unless: [office]
    dedup: {by: account, for: 1h}
    explain: e
    runbook: https://example.org
  - {id: other, title: T, severity: low, score: 10, audience: user, on: transfer, when: amount > amounts.large}
";

    fn of(text: &str) -> BTreeMap<String, Meaning> {
        let mut sources = Sources::new("rules");
        sources.add("r.yaml", text, None);
        meanings(&sources)
    }

    fn changed(from: &str, to: &str) -> Vec<&'static str> {
        assert!(BASE.contains(from), "{from}");
        let (old, new) = (of(BASE), of(&BASE.replacen(from, to, 1)));
        ["r", "other"].into_iter().filter(|id| old[*id].digest != new[*id].digest).collect()
    }

    #[test]
    fn whatever_changes_what_a_rule_does_changes_its_meaning() {
        for (from, to) in [
            ("failed >= max", "failed > max"),
            ("value: 8", "value: 9"),
            ("shared: {value: 3}", "shared: {value: 4}"),
            ("over: 10m", "over: 11m"),
            ("by: account, over", "by: ip, over"),
            ("result == \"failure\"", "result == \"success\""),
            ("192.0.2.2", "192.0.2.3"),
            ("channel == \"web\"", "channel == \"app\""),
            ("    unless: [office]\n", ""),
            ("expires: 2030-12-31", "expires: 2031-12-31"),
            ("when: ip in lists.tor", "when: ip in lists.partners"),
            ("for: 1h", "for: 2h"),
            ("    score: 10\n", "    score: 11\n"),
            ("[security, user]", "[security]"),
            ("    on: login\n", "    on: [login, mfa]\n"),
            ("    score: 10\n", "    score: 10\n    group: g\n"),
            ("    score: 10\n", "    score: 10\n    action: step_up\n"),
        ] {
            assert_eq!(changed(from, to), ["r"], "{from} to {to}");
        }
        assert_eq!(changed("CNY: 5000", "CNY: 6000"), ["other"]);
    }

    #[test]
    fn of_every_key_it_is_decided_whether_it_means_something() {
        let means =
            ["score", "group", "audience", "notice", "inform", "on", "when", "sequence", "unless", "dedup", "action"];
        for key in RULE_KEYS {
            assert_ne!(means.contains(key), NO_MEANING.contains(key), "{key}");
        }
    }

    #[test]
    fn how_it_is_written_and_what_is_said_about_it_changes_nothing() {
        for (from, to) in [
            ("# why", "# because"),
            ("often and channel", "(often)   and channel"),
            ("over: 10m", "over: 600s"),
            ("    on: login\n", "    on: [login]\n"),
            ("[security, user]", "[user, security]"),
            ("by: account, over: 10m}", "over: 10m, by: account}"),
            ("    title: T\n", "    title: Another\n    description: words\n    state: live\n"),
            ("min: 5", "min: 1"),
            ("explain: e", "explain: other"),
            ("reason: r", "reason: why"),
            ("    score: 10\n", "    score: 10\n    group: r\n    action: none\n"),
            ("    runbook", "    tests: []\n    runbook"),
            ("    runbook", "    mutants: [{keep: 'when: 8 -> 9', reason: r}]\n    runbook"),
            ("    revision: 3\n", "    revision: 4\n"),
        ] {
            assert_eq!(changed(from, to), [""; 0], "{from} to {to}");
        }
        let renamed = BASE
            .replace("failed", "missed")
            .replace("often", "frequent")
            .replace(">= max", ">= top")
            .replace("{max:", "{top:");
        assert_eq!(of(&renamed)["r"].digest, of(BASE)["r"].digest, "names mean nothing");
    }

    #[test]
    fn a_changed_rule_needs_a_higher_revision() {
        let told = |text: &str| {
            let problems = not_raised(&of(BASE), &of(text));
            crate::report::render(&problems, false)
        };
        assert_eq!(told(BASE), "");
        assert_eq!(told(&BASE.replace("over: 10m", "over: 20m").replace("revision: 3", "revision: 4")), "");
        insta::assert_snapshot!(told(
            &BASE
                .replace("over: 10m", "over: 20m")
                .replace("score: 10\n", "score: 20\n")
                .replace("CNY: 5000", "CNY: 1")
        ));
    }

    #[test]
    fn a_revision_by_default_is_raised_in_the_rule_alone() {
        let by_default = BASE.replace("defaults: {owner: team}", "defaults: {owner: team, revision: 2}");
        let problems = not_raised(&of(&by_default), &of(&by_default.replace("CNY: 5000", "CNY: 1")));
        assert!(problems.iter().all(|problem| problem.fix.is_none()), "that would raise every rule of the file");
        insta::assert_snapshot!(crate::report::render(&problems, false));
    }
}
