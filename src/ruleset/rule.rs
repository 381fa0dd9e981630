//! Rules as files write them, and how they become the rules of the engine.
//!
//! Guarantees: every key of a rule, its own or of its file's `defaults`, is checked; names, types and tests
//! fit. Does not decide between rules: ids are compared in `load.rs`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::constant;
use super::currencies::{self, Covered};
use super::exception::{ExceptionSpec, Unless, read_unless};
use super::expr::{self, Ast, Condition, Scope, Typed};
use super::feature::read_type;
use super::hash::HashKey;
use super::load::Mention;
use super::model::{Action, Audience, Exception, InlineTest, Name, Piece, Rule, Severity, Sightings, State};
use super::mutation::read_kept;
use super::names::{Alias, Constant, Here, Names, Steps};
use super::overlay::Overlaid;
use super::params::{Limits, read_params};
use super::read::RULE_FILES;
use super::row::Layout;
use super::rule_fields::RuleFields;
use super::rule_kind;
use super::sequence::{self, Built, SequenceSpec};
use super::snippet::snippet;
use super::terms::Terms;
use super::test_case::TestReader;
use crate::event::{Millis, TypeSet};
use crate::report::{Level, Problem, SourceFile};
use crate::yaml::{Entry, Kind, Map, Node, Reader, Style};

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
    when: Option<Ast>,
    sequence: Option<SequenceSpec>,
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
        let what = match own.get("id").map(|id| &id.kind) {
            Some(Kind::Scalar(id)) => format!("the rule `{}`", id.text),
            _ => "a rule".to_owned(),
        };
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
        let map = self.get("params").map(|node| &node.kind);
        let Some(Kind::Map(map)) = map else { return Vec::new() };
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
        if let Some(Kind::Scalar(explain)) = self.get("explain").map(|node| &node.kind) {
            for part in explain.text.split('{').skip(1) {
                each(part.split('}').next().unwrap_or("").trim());
            }
        }
        let Some(Kind::Seq(tests)) = self.own.get("tests").map(|node| &node.kind) else { return };
        for test in tests {
            let Kind::Map(test) = &test.kind else { continue };
            if let Some(Kind::Map(set)) = test.get("set").map(|node| &node.kind) {
                set.entries.iter().for_each(|entry: &Entry| each(&entry.key));
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
        match &node.kind {
            Kind::Scalar(word) => STATES.iter().find(|(state, _)| *state == word.text).map(|(_, state)| *state),
            _ => None,
        }
    }

    /// Whether it is asked of events: it is live or in shadow.
    pub fn runs(&self) -> bool {
        self.state().is_some_and(State::runs)
    }

    /// Its group: without one, its id.
    pub fn group(&self) -> &str {
        match self.get("group").map(|node| &node.kind) {
            Some(Kind::Scalar(word)) => word.text.as_str(),
            _ => self.id.as_str(),
        }
    }

    /// The names of the shared exceptions it takes.
    pub fn shared(&self) -> impl Iterator<Item = &str> {
        self.unless.iter().filter_map(|unless| match unless {
            Unless::Shared { name, .. } => Some(name.as_str()),
            Unless::Own(..) => None,
        })
    }
}

/// What rules are built with.
pub(super) struct Builder<'b> {
    pub names: &'b Names,
    pub exceptions: &'b BTreeMap<String, ExceptionSpec>,
    pub layout: &'b mut Layout,
    pub key: HashKey,
    pub today: Option<Millis>,
    pub is_present: &'b dyn Fn(&str) -> bool,
    pub problems: &'b mut Vec<Problem>,
}

/// A rule's conditions, compiled.
struct Conditions {
    when: Option<(Typed, Condition)>,
    unless: Vec<Exception>,
    /// The terms of the exceptions.
    excepted: Vec<Typed>,
    reads_state: bool,
}

impl Builder<'_> {
    /// Builds a rule; `None` where a problem was told.
    pub fn build(&mut self, draft: &RuleDraft<'_>) -> Option<Rule> {
        let before = self.errors();
        let aliases = draft.aliases();
        let here = draft.here(self.names, &aliases);
        let conditions = self.conditions(draft, &here);
        let sequence = draft.sequence.as_ref().and_then(|spec| self.sequence(draft, spec));
        let explain = self.explain(draft, &here).unwrap_or_default();
        let when = conditions.when.as_ref().map(|(typed, _)| typed).or(sequence.as_ref().and_then(Built::last));
        let evidence = when.map(|typed| self.evidence(typed)).unwrap_or_default();
        let sightings = when.map(|typed| self.sightings(typed)).unwrap_or_default();
        let steps = sequence.as_ref().map(Built::terms).unwrap_or_default();
        let sequence = sequence.map(|built| {
            let shown = evidence.iter().chain(&sightings.kept).map(|(_, _, cell)| *cell);
            let excepted: Vec<_> = conditions.excepted.iter().flat_map(Typed::names).collect();
            built.finish(self, draft, &excepted, &explain, shown)
        });
        let tests = self.tests(draft, &here);
        let reader = Reader { file: draft.file, dialect: &RULE_FILES, problems: &mut *self.problems };
        let mut fields = RuleFields { reader, draft, is_present: self.is_present };
        let kept = draft.own.get("mutants").map(|node| read_kept(&mut fields.reader, node)).unwrap_or_default();
        let own = fields.word("state", "state", STATES).unwrap_or(State::Draft);
        let state = draft.overlaid.state.as_ref().map_or(own, |(state, ..)| *state);
        fields.check_tests(state, &tests);
        if let Some((typed, _)) = conditions.when.as_ref().filter(|_| state == State::Live) {
            let currencies = currencies::of(typed, &self.names.amounts);
            let at = (Arc::clone(draft.file), draft.id_span.clone());
            self.names.covered.borrow_mut().push(Covered { at, currencies });
        }
        fields.check_for_people();
        let id = draft.id.clone();
        let rule = Rule {
            title: fields.text("title"),
            revision: fields.int("revision", 1..=i64::from(u32::MAX)).unwrap_or(1),
            state,
            owner: fields.text("owner"),
            severity: fields.word("severity", "severity", SEVERITIES).unwrap_or(Severity::Low),
            score: draft.overlaid.score.unwrap_or(fields.score()),
            group: fields.id("group").unwrap_or_else(|| id.clone()),
            audience: fields.audience(),
            action: fields.word("action", "action", ACTIONS).unwrap_or(Action::None),
            notice: fields.id("notice"),
            inform: draft.informs,
            on: draft.on,
            dedup: fields.dedup(),
            attack: fields.attack(),
            runbook: fields.runbook(),
            tests,
            kept,
            at: (Arc::clone(draft.file), draft.id_span.clone()),
            explain,
            reads_state: conditions.reads_state || sequence.is_some(),
            unless: conditions.unless,
            evidence,
            sightings,
            sequence,
            terms: Terms {
                when: conditions.when.as_ref().map(|(typed, _)| typed.clone()),
                unless: conditions.excepted,
                steps,
            },
            when: conditions.when.map(|(_, when)| when).unwrap_or_else(|| Condition::from_fn(|_| false)),
            id,
        };
        (self.errors() == before).then_some(rule)
    }

    fn tests(&mut self, draft: &RuleDraft<'_>, here: &Here<'_>) -> Vec<InlineTest> {
        let Some(node) = draft.own.get("tests") else { return Vec::new() };
        let before = self.problems.len();
        let mut reader = Reader { file: draft.file, dialect: &RULE_FILES, problems: &mut *self.problems };
        let tests = TestReader { reader: &mut reader, here, layout: &mut *self.layout }.read(node);
        draft.overlaid.soften(self.problems.iter_mut().skip(before));
        tests
    }

    fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.level == Level::Error).count()
    }

    fn conditions(&mut self, draft: &RuleDraft<'_>, here: &Here<'_>) -> Conditions {
        let when = draft.when.as_ref().and_then(|ast| self.condition(ast, here));
        let mut reads_state = when.as_ref().is_some_and(|(typed, _)| typed.reads_state());
        let (mut unless, mut excepted) = (Vec::new(), Vec::new());
        for exception in &draft.unless {
            let (name, spec) = match exception {
                Unless::Own(name, spec) => (name, spec),
                Unless::Shared { name, file, span } => match self.exceptions.get(name) {
                    Some(spec) => (name, spec),
                    None => {
                        let may_suggest = self.names.may_suggest();
                        let known: Vec<&str> =
                            self.exceptions.keys().map(String::as_str).filter(|_| may_suggest).collect();
                        let mut reader = Reader { file, dialect: &RULE_FILES, problems: &mut *self.problems };
                        let message = format!("unknown exception `{name}`");
                        reader.unknown_word(codes::EXCEPTION, span.clone(), message, name, known);
                        continue;
                    }
                },
            };
            self.warn_expired(spec);
            let Some((typed, eaten)) = spec.when.as_ref().and_then(|ast| self.condition(ast, here)) else { continue };
            reads_state |= typed.reads_state();
            if let (Some(except), Some(ast), Some((when, _))) = (&spec.when, &draft.when, &when)
                && self.names.judge(draft.on, |judge| constant::covers(judge, (except, &typed), (ast, when)))
            {
                constant::tell_unreachable(spec, &draft.id, self.problems);
            }
            if let Some(expires) = spec.expires {
                unless.push(Exception { name: name.clone(), when: eaten, expires });
                excepted.push(typed);
            }
        }
        Conditions { when, unless, excepted, reads_state }
    }

    /// Checks and compiles a condition.
    pub fn condition(&mut self, ast: &Ast, here: &Here<'_>) -> Option<(Typed, Condition)> {
        let typed = expr::check_condition(ast, here, self.problems)?;
        super::checks::threshold_above_cap(&typed, self.names, self.problems);
        super::checks::age_above_window(&typed, self.names, self.problems);
        self.names.judge(here.on, |judge| constant::tell(&constant::findings(judge, ast, &typed), self.problems));
        let condition = expr::compile(&typed, self.layout, self.key);
        Some((typed, condition))
    }

    fn warn_expired(&mut self, spec: &ExceptionSpec) {
        if let (Some(today), Some(expires)) = (self.today, spec.expires)
            && today >= expires
        {
            let message = "this exception has expired: it is ignored";
            self.problems.push(Problem::warning(codes::EXPIRED, &spec.file, spec.span.clone(), message));
        }
    }

    fn explain(&mut self, draft: &RuleDraft<'_>, here: &Here<'_>) -> Option<Vec<Piece>> {
        let mut reader = Reader { file: draft.file, dialect: &RULE_FILES, problems: &mut *self.problems };
        let node = draft.get("explain")?;
        reader.text(node, "`explain`")?;
        let snippet = snippet(draft.file, node)?;
        expr::parse_template(&snippet, here as &dyn Scope, self.layout, self.problems)
    }

    /// What of the condition's names is not the event's own, as written, sorted.
    fn evidence(&mut self, typed: &Typed) -> Vec<(String, expr::Ty, super::row::Cell)> {
        let names = typed.names().into_iter().filter(|(name, _)| !matches!(name, Name::Field(_) | Name::Alias(..)));
        let mut evidence: Vec<_> =
            names.filter_map(|(name, ty)| Some((self.names.written(name)?, ty, self.layout.cell(name, ty)))).collect();
        evidence.sort_by(|a, b| a.0.cmp(&b.0));
        evidence
    }

    fn sightings(&mut self, typed: &Typed) -> Sightings {
        super::sightings::sightings(typed, self.names, self.layout, self.key)
    }
}
