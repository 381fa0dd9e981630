//! From texts to a rule set: reads every file, resolves names, builds rules.
//!
//! Guarantees: pure; a set loads whole or not at all, and every problem of every file is told at once, one
//! cause once. The place of a rule, feature or list in its files changes nothing but the digest. Does not
//! run tests and does not watch files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::expr;
use super::feature::{self, FeatureSpec};
use super::hash::HashKey;
use super::lists::{self, LIST_ENTRIES_MAX, ListSet};
use super::model::{Feature, Name, NamedAmount, Piece, Rule, Ruleset};
use super::names::{Constant, Def, Here, NamedList, Names};
use super::policy::Policy;
use super::read::Reader;
use super::row::{Cell, Layout};
use super::rule::{Builder, ExceptionSpec, RuleDraft, check_defaults, read_exception};
use super::sources::Sources;
use super::test_case::read_params;
use super::yaml::{self, Kind, Map, Node};
use super::{checks, policy};
use crate::event::{Currency, Field, Millis, Money, TypeSet};
use crate::report::{Level, Problem, SourceFile};

/// The version of the language this program reads.
pub const LANGUAGE_VERSION: i64 = 1;
/// Rules of a set, at most.
pub const RULES_MAX: usize = 2000;
/// Features of a set, at most.
pub const FEATURES_MAX: usize = 1000;
/// Defs of a set, at most.
pub const DEFS_MAX: usize = 1000;
/// Problems after which no further rule is built.
const PROBLEMS_MAX: usize = 2000;

const FILE_KEYS: &[&str] =
    &["version", "lists", "amounts", "features", "defs", "params", "defaults", "exceptions", "rules"];

/// A rule set with the policy beside it.
#[derive(Debug)]
pub struct Loaded {
    /// The rules.
    pub ruleset: Ruleset,
    /// The policy, the default one where there is no file.
    pub policy: Policy,
}

/// Loads a rule set. `key` hashes the ids in conditions, so it is that of the state. `today` is when lists and
/// exceptions are judged by their age; without it they are not. The error holds every problem, warnings too.
pub fn load(sources: &Sources, key: HashKey, today: Option<Millis>) -> Result<Loaded, Vec<Problem>> {
    let mut loader = Loader::new(sources);
    let trees = loader.trees();
    for (path, file, tree) in &trees {
        loader.sections(path, file, tree);
    }
    let mut drafts = Vec::new();
    for (_, file, tree) in &trees {
        loader.drafts(file, tree, &mut drafts);
    }
    loader.check_names(&drafts);
    let mentioned = loader.place_features(&drafts);
    let mut layout = Layout::default();
    let features = loader.features(&mut layout, key);
    loader.check_defs(&drafts);
    let rules = loader.rules(&drafts, &mut layout, key, today);
    let policy = policy_of(sources, &mut loader.problems);
    checks::stale(&loader.names, today, &mut loader.problems);
    loader.drop_consequences();
    if loader.problems.iter().any(|problem| problem.level == Level::Error) {
        return Err(loader.problems);
    }
    checks::unused(&loader.names, &mentioned, &mut loader.problems);
    let taken: BTreeSet<&str> = drafts.iter().flat_map(RuleDraft::shared).collect();
    checks::exceptions_not_taken(&loader.exceptions, &taken, &mut loader.problems);
    let features = with_parts(features, &layout, &rules);
    let ruleset = Ruleset {
        digest: sources.digest(),
        rules,
        features,
        amounts: loader.names.amounts,
        layout,
        warnings: loader.problems,
    };
    Ok(Loaded { ruleset, policy })
}

/// The policy of a rules directory; the default one where it has no `policy.yaml`.
fn policy_of(sources: &Sources, problems: &mut Vec<Problem>) -> Policy {
    if sources.is_present("overlay.yaml")
        && let Some(file) = sources.text("overlay.yaml", problems)
    {
        let message = "this version of walletwatch does not know overlays yet";
        problems.push(Problem::error(codes::NOT_YET, &file, 0..1, message).help("change the rules themselves"));
    }
    if !sources.is_present("policy.yaml") {
        return Policy::default();
    }
    let policy = sources.text("policy.yaml", problems).and_then(|file| {
        let tree = yaml::parse(&file, problems)?;
        policy::read(&mut Reader { file: &file, problems }, &tree)
    });
    policy.unwrap_or_default()
}

struct Loader<'s> {
    sources: &'s Sources,
    problems: Vec<Problem>,
    names: Names,
    exceptions: BTreeMap<String, ExceptionSpec>,
    /// Names that a problem was told about where they are declared: their use tells nothing more.
    broken: BTreeSet<String>,
    /// Some file could not be read: names that it declares are not known.
    is_partial: bool,
}

impl<'s> Loader<'s> {
    fn new(sources: &'s Sources) -> Self {
        Loader {
            sources,
            problems: sources.unreadable.clone(),
            names: Names::default(),
            exceptions: BTreeMap::new(),
            broken: BTreeSet::new(),
            is_partial: !sources.unreadable.is_empty(),
        }
    }

    fn trees(&mut self) -> Vec<(&'s str, Arc<SourceFile>, Node)> {
        let mut trees = Vec::new();
        for path in self.sources.rule_files() {
            let file = self.sources.text(path, &mut self.problems);
            let tree = file.and_then(|file| {
                let before = self.problems.len();
                let tree = yaml::parse(&file, &mut self.problems);
                if tree.is_none() && self.problems.len() == before {
                    let problem = Problem::error(codes::SHAPE, &file, 0..0, "there is nothing in this file");
                    self.problems.push(problem.help("a rule file begins with `version: 1`"));
                }
                Some((path, Arc::clone(&file), tree?))
            });
            match tree {
                Some(tree) => trees.push(tree),
                None => self.is_partial = true,
            }
        }
        if self.sources.rule_files().next().is_none() && self.problems.is_empty() {
            let problem = Problem::nowhere(codes::FILE, "there is no rule file here");
            self.problems.push(problem.help("rule files are `*.yaml` directly in the rules directory"));
        }
        trees
    }

    /// Everything of a file that rules may name.
    fn sections(&mut self, path: &str, file: &Arc<SourceFile>, tree: &Node) {
        let mut problems = std::mem::take(&mut self.problems);
        let mut reader = Reader { file, problems: &mut problems };
        if let Some(map) = reader.map(tree, "a rule file") {
            reader.keys(map, FILE_KEYS, &[]);
            reader.require(tree, "a rule file", &["version"]);
            if let Some(node) = map.get("version") {
                check_version(&mut reader, node);
            }
            for entry in section(&mut reader, map, "lists") {
                self.list(&mut reader, path, entry);
            }
            for entry in section(&mut reader, map, "amounts") {
                self.amount(&mut reader, entry);
            }
            for entry in section(&mut reader, map, "features") {
                if self.names.features.len() >= FEATURES_MAX {
                    let message = format!("a rule set has at most {FEATURES_MAX} features");
                    reader.error(codes::LIMIT, entry.key_span.clone(), message);
                    break;
                }
                let spec = feature::read(&mut reader, entry);
                if !spec.is_whole {
                    self.broken.insert(entry.key.clone());
                }
                if self.names.features.contains_key(&entry.key) {
                    taken(&mut reader, &entry.key, entry.key_span.clone(), "a feature");
                } else {
                    self.names.features.insert(entry.key.clone(), (None, spec));
                }
            }
            for entry in section(&mut reader, map, "defs") {
                if self.names.defs.len() >= DEFS_MAX {
                    let message = format!("a rule set has at most {DEFS_MAX} defs");
                    reader.error(codes::LIMIT, entry.key_span.clone(), message);
                    break;
                }
                self.def(&mut reader, entry);
            }
            if let Some(node) = map.get("params") {
                for (name, constant) in read_params(&mut reader, node) {
                    if self.names.params.insert(name.clone(), constant).is_some() {
                        taken(&mut reader, &name, node.head(), "a param");
                    }
                }
            }
            if let Some(node) = map.get("defaults") {
                check_defaults(&mut reader, node);
            }
            let exceptions = map.get("exceptions").and_then(|node| reader.seq(node, "`exceptions`"));
            for item in exceptions.unwrap_or_default() {
                let Some((name, spec)) = read_exception(&mut reader, item) else { continue };
                if self.exceptions.contains_key(&name) {
                    taken(&mut reader, &name, spec.span.clone(), "an exception");
                } else {
                    self.exceptions.insert(name, spec);
                }
            }
        }
        self.problems = problems;
    }

    fn def(&mut self, reader: &mut Reader<'_>, entry: &yaml::Entry) {
        let before = reader.problems.len();
        let named = reader.is_name(entry, "a def");
        let ast = reader.expression(&entry.value, "a def");
        if !named || ast.is_none() || reader.problems.len() > before || entry.value.kind == Kind::Broken {
            self.broken.insert(entry.key.clone());
        }
        let def = Def { ast, file: Arc::clone(reader.file), span: entry.key_span.clone() };
        if self.names.defs.contains_key(&entry.key) {
            taken(reader, &entry.key, entry.key_span.clone(), "a def");
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
                    let codes: Vec<&str> =
                        Currency::codes().filter(|c| c.starts_with(value.key.get(..1).unwrap_or(""))).collect();
                    reader.unknown_word(codes::VALUE, value.key_span.clone(), message, &value.key, codes);
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
            Ok(_) => taken(reader, &entry.key, entry.key_span.clone(), "an amount"),
            Err(at) => {
                let place = (Arc::clone(reader.file), entry.key_span.clone());
                self.names.amounts_at.insert(entry.key.clone(), place);
                self.names.amounts.insert(at, amount);
            }
        }
    }

    fn list(&mut self, reader: &mut Reader<'_>, path: &str, entry: &yaml::Entry) {
        reader.is_name(entry, "a list");
        let as_of = self.sources.modified(path);
        let set = self.list_set(reader, entry, as_of);
        if set.is_none() {
            self.broken.insert(format!("lists.{}", entry.key));
        }
        let set = Arc::new(set.unwrap_or_else(|| ListSet::new(entry.key.clone(), expr::Ty::Text)));
        let named = NamedList { set, file: Arc::clone(reader.file), span: entry.key_span.clone() };
        if self.names.lists.contains_key(&entry.key) {
            taken(reader, &entry.key, entry.key_span.clone(), "a list");
        } else {
            self.names.lists.insert(entry.key.clone(), named);
        }
    }

    fn list_set(&self, reader: &mut Reader<'_>, entry: &yaml::Entry, as_of: Option<Millis>) -> Option<ListSet> {
        let map = reader.map(&entry.value, "a list")?;
        reader.keys(map, &["type", "owner", "max_age", "items", "file"], &[]);
        reader.require(&entry.value, "a list", &["type", "owner", "max_age"]);
        map.get("owner").and_then(|node| reader.text(node, "`owner`"));
        let max_age_ms = map.get("max_age").and_then(|node| reader.some_time(node, "`max_age`"));
        let ty = map.get("type").and_then(|node| {
            let words: Vec<(&str, expr::Ty)> = lists::LIST_TYPES.to_vec();
            reader.word(node, "type of list", &words)
        })?;
        let mut set = ListSet::new(entry.key.clone(), ty);
        set.as_of = as_of;
        set.max_age_ms = max_age_ms?;
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

    fn read_list_file(&self, reader: &mut Reader<'_>, node: &Node, set: &mut ListSet) -> Option<()> {
        let path = reader.scalar(node, "`file`")?;
        if !self.sources.is_present(path) {
            let help = "a list's file is below the rules directory, such as `lists/tor_exits.txt`, one entry a line";
            reader.error_help(codes::LIST_FILE, node.span.clone(), format!("there is no `{path}`"), help);
            return None;
        }
        let file = self.sources.text(path, reader.problems)?;
        set.as_of = self.sources.modified(path);
        set.read(&file, reader.problems);
        Some(())
    }

    fn drafts<'f>(&mut self, file: &'f Arc<SourceFile>, tree: &'f Node, drafts: &mut Vec<RuleDraft<'f>>) {
        let Kind::Map(map) = &tree.kind else { return };
        let mut reader = Reader { file, problems: &mut self.problems };
        let defaults = map.get("defaults").and_then(|node| match &node.kind {
            Kind::Map(map) => Some(map),
            _ => None,
        });
        let Some(rules) = map.get("rules") else { return };
        for node in reader.seq(rules, "`rules`").unwrap_or_default() {
            if drafts.len() >= RULES_MAX {
                reader.error(codes::LIMIT, node.head(), format!("a rule set has at most {RULES_MAX} rules"));
                break;
            }
            drafts.extend(RuleDraft::read(&mut reader, file, node, defaults));
        }
    }

    /// Tells names that mean two things, and ids that stand twice.
    fn check_names(&mut self, drafts: &[RuleDraft<'_>]) {
        let names = &self.names;
        let mut told = Vec::new();
        let declared = names.defs.iter().map(|(name, def)| (name, "def", &def.file, &def.span));
        let features = names.features.iter().map(|(name, (_, spec))| (name, "feature", &spec.file, &spec.span));
        for (name, what, file, span) in declared.chain(features) {
            let other = match () {
                () if Field::parse(name).is_some() => Some("a field of events"),
                () if names.params.contains_key(name) => Some("a param"),
                () if what == "def" && names.features.contains_key(name) => Some("a feature"),
                () => None,
            };
            if let Some(other) = other {
                let message = format!("the {what} `{name}` has the name of {other}");
                told.push(Problem::error(codes::NAME, file, span.clone(), message).help("give it another name"));
            }
        }
        let mut ids: BTreeMap<&str, ()> = BTreeMap::new();
        for draft in drafts {
            if ids.insert(&draft.id, ()).is_some() {
                let message = format!("there are two rules with the id `{}`", draft.id);
                told.push(Problem::error(codes::DUPLICATE_ID, draft.file, draft.id_span.clone(), message));
            }
            for (name, span) in draft.params() {
                if !draft.has_param(name) {
                    self.broken.insert(name.to_owned());
                }
                let is_taken = Field::parse(name).is_some()
                    || names.defs.contains_key(name)
                    || names.features.contains_key(name)
                    || names.params.contains_key(name);
                if is_taken {
                    let message = format!("the param `{name}` has the name of a field, feature, def or shared param");
                    told.push(Problem::error(codes::NAME, draft.file, span, message).help("give it another name"));
                }
            }
        }
        self.problems.extend(told);
    }

    /// Gives the features that something reads their place, and tells all first parts of names mentioned.
    fn place_features(&mut self, drafts: &[RuleDraft<'_>]) -> BTreeSet<String> {
        let mut mentioned = BTreeSet::new();
        let mut pending: Vec<String> = Vec::new();
        let mut mention = |name: &str| {
            let first = name.split('.').next().unwrap_or(name).to_owned();
            pending.push(first);
        };
        drafts.iter().for_each(|draft| draft.mentions(&mut mention));
        let shared: BTreeSet<&str> = drafts.iter().flat_map(RuleDraft::shared).collect();
        let asts = self.exceptions.iter().filter(|(name, _)| shared.contains(name.as_str()));
        asts.filter_map(|(_, spec)| spec.when.as_ref()).for_each(|ast| ast.names(&mut |name, _| mention(name)));
        while let Some(name) = pending.pop() {
            if !mentioned.insert(name.clone()) {
                continue;
            }
            if let Some(ast) = self.names.defs.get(&name).and_then(|def| def.ast.as_ref()) {
                ast.names(&mut |name, _| pending.push(name.split('.').next().unwrap_or(name).to_owned()));
            }
        }
        let mut at = 0u16;
        for (name, (place, _)) in &mut self.names.features {
            if !mentioned.contains(name) {
                continue;
            }
            *place = Some(at);
            at += 1;
        }
        mentioned
    }

    /// The features that something reads, without their parts.
    fn features(&mut self, layout: &mut Layout, key: HashKey) -> Vec<Feature> {
        let mut features = Vec::new();
        for (name, (place, spec)) in &self.names.features {
            let here = Here { names: &self.names, params: &BTreeMap::new(), on: spec.types };
            let checked = spec.filter.as_ref().filter(|_| !spec.types.is_empty());
            let filter = checked.and_then(|ast| expr::check_condition(ast, &here, &mut self.problems));
            if let Some(typed) = &filter
                && typed.reads_state()
            {
                let (file, span) = &typed.at;
                let message = "a feature's `where` reads the event's own fields, geo and lists only";
                self.problems.push(Problem::error(codes::VALUE, file, span.clone(), message));
            }
            if place.is_some()
                && let Some(feature) = build_feature(name, spec, filter.as_ref(), layout, key)
            {
                features.push(feature);
            }
        }
        features
    }

    /// Types of defs: what no rule uses is checked on its own, as far as that goes without its event types.
    fn check_defs(&mut self, drafts: &[RuleDraft<'_>]) {
        let params: BTreeMap<String, Constant> = BTreeMap::new();
        let rule_params: BTreeSet<&str> =
            drafts.iter().flat_map(|draft| draft.params()).map(|(name, _)| name).collect();
        let check = |on: TypeSet| {
            let here = Here { names: &self.names, params: &params, on };
            let mut told = Vec::new();
            for ast in self.names.defs.values().filter_map(|def| def.ast.as_ref()) {
                expr::check_condition(ast, &here, &mut told);
            }
            told
        };
        // On no type every field exists, on all types every word does.
        let (mut told, words) = (check(TypeSet::NONE), check(TypeSet::ALL));
        told.retain(|problem| problem.code != expr::codes::NEVER_EQUAL);
        told.extend(words.into_iter().filter(|problem| problem.code == expr::codes::NEVER_EQUAL));
        // On which events a def runs, and whether it is a condition, is known where it is used.
        let depends_on_use = |problem: &Problem| {
            let is_param = problem.code == expr::codes::UNKNOWN_NAME
                && text_at(problem).is_some_and(|text| rule_params.contains(text));
            let codes = [expr::codes::NOT_ON_TYPE, expr::codes::NOT_BOOL];
            is_param || codes.contains(&problem.code) || problem.level == Level::Warning
        };
        self.problems.extend(told.into_iter().filter(|problem| !depends_on_use(problem)));
    }

    fn rules(
        &mut self,
        drafts: &[RuleDraft<'_>],
        layout: &mut Layout,
        key: HashKey,
        today: Option<Millis>,
    ) -> Vec<Rule> {
        let sources = self.sources;
        let is_present = |path: &str| sources.is_present(path);
        let mut rules = Vec::new();
        for draft in drafts {
            if self.problems.len() > PROBLEMS_MAX {
                break;
            }
            let mut builder = Builder {
                names: &self.names,
                exceptions: &self.exceptions,
                layout: &mut *layout,
                key,
                today,
                is_present: &is_present,
                problems: &mut self.problems,
            };
            rules.extend(builder.build(draft));
        }
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        rules
    }

    /// Drops problems that only follow from others: a name is not unknown because its declaration is wrong,
    /// or because the file that declares it could not be read.
    fn drop_consequences(&mut self) {
        let unknown = [expr::codes::UNKNOWN_NAME, expr::codes::UNKNOWN_LIST, expr::codes::LIST_TYPE];
        let (broken, is_partial) = (&self.broken, self.is_partial);
        let features = &self.names.features;
        self.problems.retain(|problem| {
            if !unknown.contains(&problem.code) {
                return true;
            }
            let text = text_at(problem).unwrap_or("");
            let list = text.find("lists.").map(|at| text[at..].split_whitespace().next().unwrap_or(""));
            let name = list.unwrap_or_else(|| text.split('.').next().unwrap_or(text));
            // The parts of a broken feature are known where its aggregate is.
            let is_known = features.get(name).is_some_and(|(_, spec)| spec.kind.is_some());
            !(broken.contains(name) && !is_known) && !(is_partial && problem.code != expr::codes::LIST_TYPE)
        });
        for problem in &mut self.problems {
            let asked = text_at(problem).and_then(|text| features.get_key_value(text));
            if problem.code == expr::codes::UNKNOWN_NAME
                && let Some((name, (_, spec))) = asked
            {
                let parts: Vec<String> = spec.parts().iter().take(6).map(|part| format!("`{name}.{part}`")).collect();
                problem.fix = None;
                problem.help = Some(format!("the feature has more than one value: write {}", parts.join(", ")));
            }
        }
    }
}

fn text_at(problem: &Problem) -> Option<&str> {
    let (file, span) = problem.at.as_ref()?;
    file.text.get(span.clone())
}

/// The entries of a section that is a mapping.
fn section<'n>(reader: &mut Reader<'_>, map: &'n Map, key: &str) -> &'n [yaml::Entry] {
    let section = map.get(key).filter(|node| !node.is_null());
    section.and_then(|node| reader.map(node, &format!("`{key}`"))).map_or(&[], |map| map.entries.as_slice())
}

fn taken(reader: &mut Reader<'_>, name: &str, span: Range<usize>, what: &str) {
    reader.error(codes::NAME, span, format!("there is {what} `{name}` already"));
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

fn build_feature(
    name: &str,
    spec: &FeatureSpec,
    filter: Option<&expr::Typed>,
    layout: &mut Layout,
    key: HashKey,
) -> Option<Feature> {
    Some(Feature {
        name: name.to_owned(),
        aggregate: spec.kind?.known()?,
        types: spec.types,
        measure: spec.measure,
        filter: filter.map(|typed| expr::compile(typed, layout, key)),
        by: spec.by?,
        over_ms: spec.over_ms,
        include_current: spec.include_current,
        identity: spec.identity(filter),
        parts: Vec::new(),
        read_on: TypeSet::NONE,
    })
}

/// Features with the parts that something reads, which the layout knows once all is compiled, and the event
/// types on which a rule reads them.
fn with_parts(mut features: Vec<Feature>, layout: &Layout, rules: &[Rule]) -> Vec<Feature> {
    for (name, ty, cell) in layout.cells() {
        if let Name::Feature(at, part) = name
            && let Some(feature) = features.get_mut(usize::from(*at))
        {
            feature.parts.push((*part, *ty, *cell));
            let readers = rules.iter().filter(|rule| may_read(rule, *cell));
            feature.read_on = readers.fold(feature.read_on, |types, rule| types.or(rule.on));
        }
    }
    features
}

/// Whether a rule may read a cell. Which ones an exception reads is not kept: one that reads any may read all.
fn may_read(rule: &Rule, cell: Cell) -> bool {
    let explained = |piece: &Piece| matches!(piece, Piece::Value(_, read) if *read == cell);
    rule.evidence.iter().any(|(_, _, read)| *read == cell)
        || rule.explain.iter().any(explained)
        || (rule.reads_state && !rule.unless.is_empty())
}
