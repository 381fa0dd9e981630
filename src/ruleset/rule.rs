//! Rules as files write them.
//!
//! Guarantees: every key of a rule, its own or of its file's `defaults`, is known. Resolves no names: `rule_build.rs`
//! does; and does not decide between rules: ids are compared in `load/names.rs`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::exception::{Unless, read_unless};
use super::expr::Ast;
use super::feature::read_type;
use super::load::Mention;
use super::model::{Action, Audience, Severity, State};
use super::names::{Alias, Constant, Here, Names, Steps};
use super::overlay::Overlaid;
use super::params::{Limits, read_params};
use super::rule_kind;
use super::sequence::{self, SequenceSpec};
use crate::event::TypeSet;
use crate::report::SourceFile;
use crate::yaml::{Kind, Map, Node, Reader, Style};

pub(super) const RULE_KEYS: &[&str] = &[
    "id",
    "title",
    "description",
    "revision",
    "state",
    "owner",
    "severity",
    "score",
    "group",
    "audience",
    "notice",
    "inform",
    "on",
    "when",
    "sequence",
    "unless",
    "dedup",
    "explain",
    "action",
    "attack",
    "references",
    "runbook",
    "false_positives",
    "params",
    "tests",
    "mutants",
];
const REQUIRED_KEYS: &[&str] =
    &["id", "title", "owner", "severity", "score", "audience", "on", "when", "explain", "runbook"];
/// Keys that belong to one rule alone.
const NO_DEFAULT: &[&str] = &["id", "sequence", "tests", "mutants"];
pub(super) const LATER_KEYS: &[&str] = &["incident"];

pub(super) const STATES: &[(&str, State)] =
    &[("draft", State::Draft), ("shadow", State::Shadow), ("live", State::Live), ("off", State::Off)];
pub(super) const SEVERITIES: &[(&str, Severity)] =
    &[("low", Severity::Low), ("medium", Severity::Medium), ("high", Severity::High), ("critical", Severity::Critical)];
pub(super) const AUDIENCES: &[(&str, Audience)] =
    &[("user", Audience::User), ("security", Audience::Security), ("operations", Audience::Operations)];
pub(super) const ACTIONS: &[(&str, Action)] = &[
    ("none", Action::None),
    ("step_up", Action::StepUp),
    ("hold_payment", Action::HoldPayment),
    ("lock_session", Action::LockSession),
    ("lock_account", Action::LockAccount),
];

pub(super) const DEDUP_KEYS: &[&str] = &["by", "for"];

/// A rule whose parts were read, names not yet resolved.
pub(super) struct RuleDraft<'f> {
    pub file: &'f Arc<SourceFile>,
    pub id: String,
    pub id_span: Range<usize>,
    pub own: &'f Map,
    defaults: Option<&'f Map>,
    pub params: BTreeMap<String, Constant>,
    pub limits: BTreeMap<String, Limits>,
    pub on: TypeSet,
    pub when: Option<Ast>,
    pub sequence: Option<SequenceSpec>,
    pub informs: bool,
    pub unless: Vec<Unless>,
    /// What the overlay says of it.
    pub overlaid: Overlaid,
}

/// Checks a file's `defaults`.
pub(super) fn check_defaults(reader: &mut Reader<'_>, node: &Node) {
    let Some(map) = reader.map(node, "`defaults`") else { return };
    let allowed: Vec<&str> = RULE_KEYS.iter().copied().filter(|key| !NO_DEFAULT.contains(key)).collect();
    for entry in map.entries.iter().filter(|entry| NO_DEFAULT.contains(&entry.key.as_str())) {
        let message = format!("`{}` belongs to one rule and has no default", entry.key);
        reader.error(codes::VALUE, entry.key_span.clone(), message);
    }
    let known: Vec<&str> = allowed.into_iter().chain(NO_DEFAULT.iter().copied()).collect();
    reader.keys(map, &known, LATER_KEYS);
}

/// Event types: `login` or `[transfer, payment]`.
pub(super) fn read_on(reader: &mut Reader<'_>, node: &Node) -> TypeSet {
    let mut types = TypeSet::NONE;
    for item in reader.one_or_more(node, "`on`") {
        if let Some(word) = reader.scalar(item, "`on`")
            && let Some(kind) = read_type(reader, item, word)
        {
            types = types.or(kind);
        }
    }
    types
}

impl<'f> RuleDraft<'f> {
    /// Reads what of a rule does not depend on other rules.
    pub fn read(
        reader: &mut Reader<'_>,
        file: &'f Arc<SourceFile>,
        node: &'f Node,
        defaults: Option<&'f Map>,
    ) -> Option<Self> {
        let own = reader.map(node, "a rule")?;
        reader.keys(own, RULE_KEYS, LATER_KEYS);
        let informs = own.get("inform").or_else(|| defaults.and_then(|defaults| defaults.get("inform")));
        let informs = informs.map(|node| reader.bool(node, "`inform`"));
        // Of one whose `inform` cannot be read nobody knows what it needs.
        let spared = rule_kind::spared(own, informs.is_some_and(|read| read.unwrap_or(true)));
        let informs = informs.flatten().unwrap_or(false);
        let required = REQUIRED_KEYS.iter().copied().filter(|key| {
            let by_default = defaults.is_some_and(|defaults| defaults.get(key).is_some());
            !by_default && !spared.contains(key)
        });
        let id = own.get("id").and_then(Node::as_text);
        let what = id.map_or_else(|| "a rule".to_owned(), |id| format!("the rule `{id}`"));
        reader.require(node, &what, &required.collect::<Vec<_>>());
        rule_kind::check_keys(reader, own, informs);
        // A rule that cannot be called by its name is read on: what else is wrong with it is told at once.
        let nameless = || format!("rule at byte {}", node.span.start);
        let (id, id_span) = match own.get("id") {
            Some(id) => (reader.id(id, "the id of a rule").unwrap_or_else(nameless), id.span.clone()),
            None => (nameless(), node.head()),
        };
        let mut draft = RuleDraft {
            file,
            id,
            id_span,
            own,
            defaults,
            params: BTreeMap::new(),
            limits: BTreeMap::new(),
            on: TypeSet::NONE,
            when: None,
            sequence: own.get("sequence").and_then(|node| sequence::read(reader, node)),
            informs,
            unless: Vec::new(),
            overlaid: Overlaid::default(),
        };
        let params = draft.get("params").map(|node| read_params(reader, node)).unwrap_or_default();
        (draft.params, draft.limits) = (params.values, params.limits);
        match &draft.sequence {
            Some(sequence) => draft.on = sequence.last_types(),
            None if own.get("sequence").is_some() => {}
            None => {
                draft.on = draft.get("on").map_or(TypeSet::NONE, |node| read_on(reader, node));
                draft.when = draft.get("when").and_then(|node| reader.expression(node, "`when`"));
            }
        }
        draft.unless = draft.get("unless").map(|node| read_unless(reader, node, "`unless`")).unwrap_or_default();
        Some(draft)
    }

    /// The value of a key: the rule's own, else its file's default.
    pub fn get(&self, key: &str) -> Option<&'f Node> {
        self.own.get(key).or_else(|| self.defaults.and_then(|defaults| defaults.get(key)))
    }

    /// The rule's own value of a key.
    pub fn own_value(&self, key: &str) -> Option<&'f Node> {
        self.own.get(key)
    }

    /// The steps of its sequence that have a name.
    pub fn aliases(&self) -> Vec<Alias<'_>> {
        self.sequence.as_ref().map(sequence::aliases).unwrap_or_default()
    }

    /// The names once the rule is true.
    pub fn here<'n>(&'n self, names: &'n Names, aliases: &'n [Alias<'n>]) -> Here<'n> {
        Here { names, params: &self.params, on: self.on, aliases, steps: Steps::all() }
    }

    /// Whether a param of this name could be read.
    pub fn has_param(&self, name: &str) -> bool {
        self.params.contains_key(name)
    }

    /// The params' names, with their places.
    pub fn params(&self) -> Vec<(&str, Range<usize>)> {
        let Some(map) = self.get("params").and_then(Node::as_map) else { return Vec::new() };
        map.entries.iter().map(|entry| (entry.key.as_str(), entry.key_span.clone())).collect()
    }

    /// Calls `each` with every name the rule mentions: in conditions, in its explanation, in its tests.
    pub fn mentions(&self, each: &mut dyn FnMut(&str)) {
        let own = self.unless.iter().filter_map(|unless| match unless {
            Unless::Own(_, spec) => spec.when.as_ref(),
            Unless::Shared { .. } => None,
        });
        let of_steps = self.sequence.iter().flat_map(SequenceSpec::expressions);
        self.when.iter().chain(own).chain(of_steps).for_each(|ast| ast.names(&mut |name, _| each(name)));
        if let Some(explain) = self.get("explain").and_then(Node::as_text) {
            for part in explain.split('{').skip(1) {
                each(part.split('}').next().unwrap_or("").trim());
            }
        }
        for test in self.own.get("tests").map(Node::items).unwrap_or_default() {
            if let Some(set) = test.as_map().and_then(|test| test.get("set")?.as_map()) {
                set.entries.iter().for_each(|entry| each(&entry.key));
            }
        }
    }

    /// The notice it names, own or by default.
    pub fn notice(&self) -> Option<Mention> {
        let node = self.get("notice")?;
        match &node.kind {
            Kind::Scalar(word) if word.style != Style::Empty => {
                Some(Mention { word: word.text.clone(), at: (Arc::clone(self.file), node.span.clone()) })
            }
            _ => None,
        }
    }

    /// The state it is in, the overlay's before its own. `None`: one that cannot be read, which is told elsewhere.
    pub fn state(&self) -> Option<State> {
        if let Some((state, ..)) = &self.overlaid.state {
            return Some(*state);
        }
        let Some(node) = self.get("state") else { return Some(State::Draft) };
        let word = node.as_text()?;
        STATES.iter().find(|(state, _)| *state == word).map(|(_, state)| *state)
    }

    /// Whether it is asked of events: it is live or in shadow.
    pub fn runs(&self) -> bool {
        self.state().is_some_and(State::runs)
    }

    /// Its group: without one, its id.
    pub fn group(&self) -> &str {
        self.get("group").and_then(Node::as_text).unwrap_or(&self.id)
    }

    /// The names of the shared exceptions it takes.
    pub fn shared(&self) -> impl Iterator<Item = &str> {
        self.unless.iter().filter_map(|unless| match unless {
            Unless::Shared { name, .. } => Some(name.as_str()),
            Unless::Own(..) => None,
        })
    }
}
