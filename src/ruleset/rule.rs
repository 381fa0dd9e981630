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
use super::entity::{check_entity, read_key};
use super::exception::{ExceptionSpec, Unless, read_unless};
use super::expr::{self, Ast, Condition, Scope, Typed};
use super::feature::read_type;
use super::hash::HashKey;
use super::load::Mention;
use super::model::{Action, Audience, Dedup, Exception, Name, Piece, Rule, Severity, Sightings, State};
use super::names::{Constant, Here, Names};
use super::params::read_params;
use super::read::RULE_FILES;
use super::row::Layout;
use super::snippet::snippet;
use super::test_case::{TestReader, expectations};
use crate::event::{Millis, TypeSet};
use crate::report::{Problem, SourceFile};
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
    "on",
    "when",
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
];
const REQUIRED_KEYS: &[&str] =
    &["id", "title", "owner", "severity", "score", "audience", "on", "when", "explain", "runbook"];
/// Keys that belong to one rule alone.
const NO_DEFAULT: &[&str] = &["id", "tests"];
pub(super) const LATER_KEYS: &[&str] = &["sequence", "inform", "incident"];

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
    own: &'f Map,
    defaults: Option<&'f Map>,
    params: BTreeMap<String, Constant>,
    on: TypeSet,
    when: Option<Ast>,
    unless: Vec<Unless>,
    is_later: bool,
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
fn read_on(reader: &mut Reader<'_>, node: &Node) -> TypeSet {
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
        let is_later = own.entries.iter().any(|entry| LATER_KEYS.contains(&entry.key.as_str()));
        let required = REQUIRED_KEYS.iter().copied().filter(|key| {
            let by_default = defaults.is_some_and(|defaults| defaults.get(key).is_some());
            // A rule of a later kind may not need these.
            let may_lack = is_later && matches!(*key, "on" | "when");
            !by_default && !may_lack
        });
        let what = match own.get("id").map(|id| &id.kind) {
            Some(Kind::Scalar(id)) => format!("the rule `{}`", id.text),
            _ => "a rule".to_owned(),
        };
        reader.require(node, &what, &required.collect::<Vec<_>>());
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
            on: TypeSet::NONE,
            when: None,
            unless: Vec::new(),
            is_later,
        };
        draft.params = draft.get("params").map(|node| read_params(reader, node)).unwrap_or_default();
        draft.on = draft.get("on").map_or(TypeSet::NONE, |node| read_on(reader, node));
        draft.when = draft.get("when").and_then(|node| reader.expression(node, "`when`"));
        draft.unless = draft.get("unless").map(|node| read_unless(reader, node)).unwrap_or_default();
        Some(draft)
    }

    /// The value of a key: the rule's own, else its file's default.
    fn get(&self, key: &str) -> Option<&'f Node> {
        self.own.get(key).or_else(|| self.defaults.and_then(|defaults| defaults.get(key)))
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
            Unless::Shared(..) => None,
        });
        self.when.iter().chain(own).for_each(|ast| ast.names(&mut |name, _| each(name)));
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

    /// The names of the shared exceptions it takes.
    pub fn shared(&self) -> impl Iterator<Item = &str> {
        self.unless.iter().filter_map(|unless| match unless {
            Unless::Shared(name, _) => Some(name.as_str()),
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
    reads_state: bool,
}

impl Builder<'_> {
    /// Builds a rule; `None` where a problem was told.
    pub fn build(&mut self, draft: &RuleDraft<'_>) -> Option<Rule> {
        let before = self.errors();
        let here = Here { names: self.names, params: &draft.params, on: draft.on };
        let conditions = self.conditions(draft, &here);
        // A rule of a kind that is not known yet has names that are not known either.
        let explain = if draft.is_later { None } else { self.explain(draft, &here) };
        let mut reader = Reader { file: draft.file, dialect: &RULE_FILES, problems: &mut *self.problems };
        let tests = match draft.own.get("tests") {
            Some(node) => TestReader { reader: &mut reader, here: &here, layout: &mut *self.layout }.read(node),
            None => Vec::new(),
        };
        let mut fields = RuleFields { reader, draft, is_present: self.is_present };
        let state = fields.word("state", "state", STATES).unwrap_or(State::Draft);
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
            score: fields.score(),
            group: fields.id("group").unwrap_or_else(|| id.clone()),
            audience: fields.audience(),
            action: fields.word("action", "action", ACTIONS).unwrap_or(Action::None),
            notice: fields.id("notice"),
            on: draft.on,
            dedup: fields.dedup(),
            attack: fields.attack(),
            runbook: fields.runbook(),
            tests,
            at: (Arc::clone(draft.file), draft.id_span.clone()),
            explain: explain.unwrap_or_default(),
            reads_state: conditions.reads_state,
            unless: conditions.unless,
            evidence: conditions.when.as_ref().map(|(typed, _)| self.evidence(typed)).unwrap_or_default(),
            sightings: conditions.when.as_ref().map(|(typed, _)| self.sightings(typed)).unwrap_or_default(),
            when: conditions.when.map(|(_, when)| when).unwrap_or_else(|| Condition::from_fn(|_| false)),
            id,
        };
        (self.errors() == before).then_some(rule)
    }

    fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.level == crate::report::Level::Error).count()
    }

    fn conditions(&mut self, draft: &RuleDraft<'_>, here: &Here<'_>) -> Conditions {
        let when = draft.when.as_ref().and_then(|ast| self.condition(ast, here));
        let mut reads_state = when.as_ref().is_some_and(|(typed, _)| typed.reads_state());
        let mut unless = Vec::new();
        for exception in &draft.unless {
            let (name, spec) = match exception {
                Unless::Own(name, spec) => (name, spec),
                Unless::Shared(name, span) => match self.exceptions.get(name) {
                    Some(spec) => (name, spec),
                    None => {
                        let may_suggest = self.names.may_suggest();
                        let known: Vec<&str> =
                            self.exceptions.keys().map(String::as_str).filter(|_| may_suggest).collect();
                        let mut reader =
                            Reader { file: draft.file, dialect: &RULE_FILES, problems: &mut *self.problems };
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
            }
        }
        Conditions { when, unless, reads_state }
    }

    fn condition(&mut self, ast: &Ast, here: &Here<'_>) -> Option<(Typed, Condition)> {
        let typed = expr::check_condition(ast, here, self.problems)?;
        super::checks::threshold_above_cap(&typed, self.names, self.problems);
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
        let names = typed.names().into_iter().filter(|(name, _)| !matches!(name, Name::Field(_)));
        let mut evidence: Vec<_> =
            names.filter_map(|(name, ty)| Some((self.names.written(name)?, ty, self.layout.cell(name, ty)))).collect();
        evidence.sort_by(|a, b| a.0.cmp(&b.0));
        evidence
    }

    fn sightings(&mut self, typed: &Typed) -> Sightings {
        super::sightings::sightings(typed, self.names, self.layout, self.key)
    }
}

/// The keys of a rule that depend on nothing else.
struct RuleFields<'r, 'f> {
    reader: Reader<'r>,
    draft: &'r RuleDraft<'f>,
    is_present: &'r dyn Fn(&str) -> bool,
}

impl RuleFields<'_, '_> {
    fn text(&mut self, key: &str) -> String {
        self.draft.get(key).and_then(|node| self.reader.text(node, &format!("`{key}`"))).unwrap_or_default()
    }

    fn word<T: Copy>(&mut self, key: &str, what: &str, words: &[(&str, T)]) -> Option<T> {
        self.draft.get(key).and_then(|node| self.reader.word(node, what, words))
    }

    fn int(&mut self, key: &str, range: std::ops::RangeInclusive<i64>) -> Option<u32> {
        let n = self.draft.get(key).and_then(|node| self.reader.int(node, key, range))?;
        u32::try_from(n).ok()
    }

    fn score(&mut self) -> u8 {
        self.int("score", 0..=100).and_then(|score| u8::try_from(score).ok()).unwrap_or(0)
    }

    fn id(&mut self, key: &str) -> Option<String> {
        self.draft.get(key).and_then(|node| self.reader.id(node, &format!("a {key}")))
    }

    fn audience(&mut self) -> Vec<Audience> {
        let Some(node) = self.draft.get("audience") else { return Vec::new() };
        let items = self.reader.one_or_more(node, "`audience`");
        let mut audience: Vec<Audience> =
            items.iter().filter_map(|item| self.reader.word(item, "audience", AUDIENCES)).collect();
        audience.sort_unstable();
        audience.dedup();
        audience
    }

    fn dedup(&mut self) -> Option<Dedup> {
        let node = self.draft.get("dedup")?;
        let map = self.reader.map(node, "`dedup`")?;
        self.reader.keys(map, DEDUP_KEYS, &[]);
        self.reader.require(node, "`dedup`", &["by", "for"]);
        let by = map.get("by").and_then(|node| {
            let by = read_key(&mut self.reader, node)?;
            check_entity(&mut self.reader, node, by, self.draft.on);
            Some(by)
        });
        let for_ms = map.get("for").and_then(|node| self.reader.some_time(node, "`for`"));
        Some(Dedup { by: by?, for_ms: for_ms? })
    }

    fn attack(&mut self) -> Vec<String> {
        let Some(node) = self.draft.get("attack") else { return Vec::new() };
        let items = self.reader.seq(node, "`attack`").unwrap_or_default();
        let mut ids = Vec::new();
        for item in items {
            let Some(id) = self.reader.scalar(item, "an id of `attack`") else { continue };
            if is_attack_id(id) {
                ids.push(id.to_owned());
            } else {
                let message = format!("`{id}` is no id of ATT&CK or F3, such as `T1110.003` or `F1005`");
                self.reader.error(codes::VALUE, item.span.clone(), message);
            }
        }
        ids
    }

    fn runbook(&mut self) -> String {
        let runbook = self.text("runbook");
        let is_url = runbook.starts_with("https://") || runbook.starts_with("http://");
        if let Some(node) = self.draft.get("runbook")
            && !runbook.is_empty()
            && !is_url
            && !(self.is_present)(&runbook)
        {
            let message = format!("there is no runbook `{runbook}` in the rules directory");
            let problem = Problem::warning(codes::RUNBOOK, self.draft.file, node.span.clone(), message);
            self.reader.problems.push(problem);
        }
        runbook
    }

    /// Keys that only people read.
    fn check_for_people(&mut self) {
        if let Some(node) = self.draft.get("description") {
            self.reader.text(node, "`description`");
        }
        for key in ["references", "false_positives"] {
            let Some(node) = self.draft.get(key) else { continue };
            for item in self.reader.one_or_more(node, &format!("`{key}`")) {
                self.reader.text(item, &format!("an item of `{key}`"));
            }
        }
    }

    fn check_tests(&mut self, state: State, tests: &[super::model::InlineTest]) {
        if state == State::Draft {
            return;
        }
        let message = match (expectations(tests), tests.is_empty()) {
            ((true, true), _) => return,
            (_, true) => "a rule that is not a draft needs tests: one that fires and one that stays quiet",
            ((false, _), _) => "a rule that is not a draft needs a test that fires",
            _ => "a rule that is not a draft needs a test that stays quiet",
        };
        // Tests that could not be read are told already.
        let unread = self.draft.own.get("tests").is_some_and(|node| match &node.kind {
            Kind::Seq(items) => items.len() != tests.len(),
            _ => true,
        });
        if !unread {
            self.reader.error(codes::TESTS_MISSING, self.draft.id_span.clone(), message);
        }
    }
}

/// `T1110`, `T1110.003`, `F1005`, `F1005.003`.
fn is_attack_id(id: &str) -> bool {
    let Some(rest) = id.strip_prefix(['T', 'F']) else { return false };
    let (technique, sub) = rest.split_once('.').map_or((rest, None), |(t, s)| (t, Some(s)));
    let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    digits(technique, 4) && sub.is_none_or(|sub| digits(sub, 3))
}
