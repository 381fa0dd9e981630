//! From a rule as it was read to one that the engine asks.
//!
//! Guarantees: names, types and tests fit, and what of it cannot be is told with everything else; `None` only where
//! an error was told. Does not read keys: `rule.rs` and `rule_fields.rs` do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::constant;
use super::currencies::Covered;
use super::exception::{ExceptionSpec, Unless};
use super::expr::{self, Ast, Condition, Scope, Typed};
use super::hash::HashKey;
use super::model::{Action, Exception, InlineTest, Name, Piece, Rule, Severity, Sightings, State};
use super::mutation::read_kept;
use super::names::{Here, Names};
use super::read::RULE_FILES;
use super::row::Layout;
use super::rule::{ACTIONS, RuleDraft, SEVERITIES, STATES};
use super::rule_fields::RuleFields;
use super::sequence::Built;
use super::snippet::snippet;
use super::terms::Terms;
use super::test_case::TestReader;
use crate::event::Millis;
use crate::report::{Level, Problem, SourceFile};
use crate::yaml::Reader;

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
        let (before, told_before) = (self.errors(), self.problems.len());
        let aliases = draft.aliases();
        let here = draft.here(self.names, &aliases);
        let conditions = self.conditions(draft, &here);
        let sequence = draft.sequence.as_ref().and_then(|spec| self.sequence(draft, spec));
        let explain = self.explain(draft, &here).unwrap_or_default();
        let when = conditions.when.as_ref().map(|(typed, _)| typed).or(sequence.as_ref().and_then(Built::last));
        let evidence = when.map(|typed| self.evidence(typed)).unwrap_or_default();
        let sightings = when.map(|typed| self.sightings(typed)).unwrap_or_default();
        let steps = sequence.as_ref().map(Built::terms).unwrap_or_default();
        let absent = sequence.as_ref().map(Built::terms_of_absent).unwrap_or_default();
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
        let asked = conditions.when.iter().map(|(typed, _)| typed).chain(steps.iter().flatten());
        let told = fields.reader.problems.iter().skip(told_before);
        let is_never = told.filter(|problem| problem.code == expr::codes::NEVER_TRUE).count() > 0;
        note_currencies(self.names, draft, (state, is_never), asked);
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
                absent,
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
                        self.tell_unknown(name, file, span.clone());
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

    fn tell_unknown(&mut self, exception: &str, file: &Arc<SourceFile>, span: Range<usize>) {
        let may_suggest = self.names.may_suggest();
        let known: Vec<&str> = self.exceptions.keys().map(String::as_str).filter(|_| may_suggest).collect();
        let mut reader = Reader { file, dialect: &RULE_FILES, problems: &mut *self.problems };
        let message = format!("unknown exception `{exception}`");
        reader.unknown_word(codes::EXCEPTION, span, message, exception, known);
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

/// Notes which currencies the amounts of a rule cover.
fn note_currencies<'t>(
    names: &Names,
    draft: &RuleDraft<'_>,
    (state, is_never): (State, bool),
    asked: impl Iterator<Item = &'t Typed>,
) {
    let at = (Arc::clone(draft.file), draft.id_span.clone());
    let covered = Covered::of(&draft.id, at, (state == State::Live, is_never), asked, &names.amounts);
    names.covered.borrow_mut().extend(covered.filter(|_| state != State::Off));
}
