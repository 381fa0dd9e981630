//! From a sequence as it was read to one that the engine follows.
//!
//! Guarantees: an alias means something only where its step may have been taken and has the name of nothing
//! else; of each event is kept what later conditions, exceptions, evidence and explanation read. Does not read
//! files.

use std::collections::{BTreeMap, BTreeSet};

use super::order;
use super::{Absent, Canceller, Filter, Kept, Sequence, SequenceSpec, Step, alias_of};
use crate::event::{Closed, EventType, Field, TypeSet};
use crate::report::Problem;
use crate::ruleset::expr::{self, Ast, Node, Ty, Typed};
use crate::ruleset::feature::type_words;
use crate::ruleset::identity::canonical;
use crate::ruleset::model::{Key, Name, Piece};
use crate::ruleset::names::{Alias, Here, Steps};
use crate::ruleset::rule::{Builder, RuleDraft};
use crate::ruleset::{codes, constant, row::Cell};

/// The conditions of a sequence, compiled, before it is known what of its steps is read.
pub(in crate::ruleset) struct Built {
    by: Key,
    within_ms: i64,
    steps: Vec<(TypeSet, Option<Compiled>)>,
    without: Vec<(TypeSet, Option<Compiled>)>,
    absent: Vec<(TypeSet, Option<Compiled>, i64)>,
}

/// The event types of a step or of what cancels, with its condition.
type Item = (TypeSet, Option<Compiled>);

struct Compiled {
    typed: Typed,
    filter: Filter,
}

/// The aliases of a sequence, in the order of its steps.
pub(in crate::ruleset) fn aliases(spec: &SequenceSpec) -> Vec<Alias<'_>> {
    let mut aliases = Vec::new();
    for (step, of) in (0u8..).zip(&spec.steps) {
        if let Some((name, _)) = &of.alias {
            aliases.push(Alias { name, step, types: of.item.types });
        }
    }
    aliases
}

impl Built {
    /// What the last step's condition reads.
    pub fn last(&self) -> Option<&Typed> {
        self.steps.last()?.1.as_ref().map(|compiled| &compiled.typed)
    }

    /// The conditions of the steps, as they were written.
    pub fn terms(&self) -> Vec<Option<Typed>> {
        self.steps.iter().map(|(_, compiled)| compiled.as_ref().map(|compiled| compiled.typed.clone())).collect()
    }

    fn compiled(&self) -> impl Iterator<Item = &Compiled> {
        let (steps, without) = (self.steps.iter().map(|(_, c)| c), self.without.iter().map(|(_, c)| c));
        steps.chain(without).chain(self.absent.iter().map(|(_, c, _)| c)).flatten()
    }

    /// With what the rest of the rule reads: the names of its exceptions, its explanation and its evidence.
    pub fn finish(
        self,
        builder: &mut Builder<'_>,
        draft: &RuleDraft<'_>,
        unless: &[(Name, Ty)],
        explain: &[Piece],
        shown: impl Iterator<Item = Cell>,
    ) -> Sequence {
        let all: Vec<(Name, Ty, Cell)> = builder.layout.cells().to_vec();
        let of_piece = |piece: &Piece| match piece {
            Piece::Value(_, cell) => all.iter().find(|(_, _, c)| c == cell).map(|(name, ty, _)| (*name, *ty)),
            Piece::Text(_) => None,
        };
        let explained: Vec<(Name, Ty)> = explain.iter().filter_map(of_piece).collect();
        let mut looked_into = BTreeSet::new();
        let mut read: Vec<(Name, Ty)> = Vec::new();
        for compiled in self.compiled() {
            read.extend(compiled.typed.names());
            note_texts(&compiled.typed, &mut looked_into);
        }
        let reads_cells: Vec<Cell> = read.iter().map(|(name, ty)| builder.layout.cell(*name, *ty)).collect();
        let evidence = self.evidence(builder, draft, &read);
        let of_steps = read.iter().chain(unless).chain(&explained).filter_map(|(name, _)| alias_of(*name));
        let mut fields: BTreeSet<(u8, Field)> = of_steps.collect();
        fields.extend(evidence.iter().map(|(_, at, ..)| *at));
        let kept_of = |builder: &mut Builder<'_>, step: u8| -> Vec<(Field, Kept)> {
            let of_step = fields.iter().filter(|(s, _)| *s == step);
            let keep = |(step, field): &(u8, Field)| {
                let cell = builder.layout.cell(Name::Alias(*step, *field), Ty::of(*field));
                (*field, Kept { cell, has_text: !field.is_personal() || looked_into.contains(&(*step, *field)) })
            };
            of_step.map(keep).collect()
        };
        let kept: Vec<Vec<(Field, Kept)>> = (0u8..).zip(&self.steps).map(|(step, _)| kept_of(builder, step)).collect();
        let captured = self.captured(builder, unless, &explained, shown);
        let identity = self.identity(builder, &kept, &captured);
        let filter = |compiled: Option<Compiled>| compiled.map(|compiled| compiled.filter);
        let step = |((types, c), kept): ((TypeSet, Option<Compiled>), _)| Step { types, filter: filter(c), kept };
        Sequence {
            by: self.by,
            within_ms: self.within_ms,
            identity,
            reads: reads_cells,
            evidence: evidence.into_iter().map(|(written, _, ty, cell)| (written, ty, cell)).collect(),
            captured: captured.into_iter().map(|(_, kept)| kept).collect(),
            steps: self.steps.into_iter().zip(kept).map(step).collect(),
            without: self.without.into_iter().map(|(types, c)| Canceller { types, filter: filter(c) }).collect(),
            absent: self
                .absent
                .into_iter()
                .map(|(types, c, within_ms)| Absent { types, filter: filter(c), within_ms })
                .collect(),
        }
    }

    /// When each step but the last was, and what the conditions read of steps.
    fn evidence(
        &self,
        builder: &mut Builder<'_>,
        draft: &RuleDraft<'_>,
        read: &[(Name, Ty)],
    ) -> Vec<(String, (u8, Field), Ty, Cell)> {
        let last = self.steps.len().saturating_sub(1);
        let mut evidence = BTreeMap::new();
        for alias in draft.aliases() {
            let is_earlier = usize::from(alias.step) < last;
            let time = is_earlier.then_some((alias.step, Field::Time));
            let fields = read.iter().filter_map(|(name, _)| alias_of(*name)).filter(|(step, _)| *step == alias.step);
            for (step, field) in fields.chain(time).filter(|(_, field)| !field.is_personal()) {
                let ty = Ty::of(field);
                let cell = builder.layout.cell(Name::Alias(step, field), ty);
                evidence.insert(format!("{}.{}", alias.name, field.name()), ((step, field), ty, cell));
            }
        }
        evidence.into_iter().map(|(written, (at, ty, cell))| (written, at, ty, cell)).collect()
    }

    /// What of the last step's row is kept until `absent` is decided, with the names it is written by.
    fn captured(
        &self,
        builder: &mut Builder<'_>,
        unless: &[(Name, Ty)],
        explained: &[(Name, Ty)],
        shown: impl Iterator<Item = Cell>,
    ) -> Vec<(String, Kept)> {
        if self.absent.is_empty() {
            return Vec::new();
        }
        let shown: Vec<Cell> = shown.collect();
        let all = builder.layout.cells().to_vec();
        let shown = all.iter().filter(|(_, _, cell)| shown.contains(cell)).map(|(name, ty, _)| (*name, *ty));
        let of_last = self.last().map(Typed::names).unwrap_or_default();
        let mut captured = BTreeMap::new();
        for (name, ty) in of_last.into_iter().chain(shown).chain(unless.iter().chain(explained).copied()) {
            if let Some(written) = builder.names.written(name) {
                let cell = builder.layout.cell(name, ty);
                captured.insert(written, Kept { cell, has_text: true });
            }
        }
        captured.into_iter().collect()
    }

    /// The hash of what it says and keeps: by it partials go over to another rule set.
    fn identity(&self, builder: &Builder<'_>, kept: &[Vec<(Field, Kept)>], captured: &[(String, Kept)]) -> u64 {
        let amounts = &builder.names.amounts;
        let item = |types: TypeSet, compiled: &Option<Compiled>| {
            let words: Vec<&str> = types.iter().map(EventType::word).collect();
            let condition = compiled
                .as_ref()
                .map_or_else(String::new, |c| canonical(&c.typed, amounts, &|name| builder.names.written(name)));
            format!("{}|{condition}", words.join(","))
        };
        let steps: Vec<String> = self.steps.iter().map(|(types, c)| item(*types, c)).collect();
        let without: Vec<String> = self.without.iter().map(|(types, c)| item(*types, c)).collect();
        let absent: Vec<String> = self.absent.iter().map(|(t, c, ms)| format!("{} {ms}", item(*t, c))).collect();
        let kept: Vec<String> =
            kept.iter().flatten().map(|(field, kept)| format!("{} {}", field.name(), kept.has_text)).collect();
        let captured: Vec<&str> = captured.iter().map(|(written, _)| written.as_str()).collect();
        let (by, within) = (self.by.text(), self.within_ms);
        let definition = format!("{by}|{within}|{steps:?}|{without:?}|{absent:?}|{kept:?}|{captured:?}");
        let hash = blake3::hash(definition.as_bytes());
        hash.as_bytes().iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
    }
}

/// Notes which fields of steps some function looks into: their text is needed, not only its hash.
fn note_texts(typed: &Typed, into: &mut BTreeSet<(u8, Field)>) {
    if matches!(typed.node, Node::Call(..) | Node::Matches(..)) {
        into.extend(typed.names().into_iter().filter_map(|(name, _)| alias_of(name)));
    }
    typed.parts().into_iter().for_each(|part| note_texts(part, into));
}

impl Builder<'_> {
    /// Compiles the conditions of a sequence; `None` where something of it is wrong, which is told.
    pub fn sequence(&mut self, draft: &RuleDraft<'_>, spec: &SequenceSpec) -> Option<Built> {
        self.check_aliases(draft, spec);
        let last = u8::try_from(spec.steps.len()).unwrap_or(u8::MAX).saturating_sub(1);
        let mut steps = Vec::new();
        for (at, step) in (0u8..).zip(&spec.steps) {
            let taken = self.filter(draft, step.item.filter.as_ref(), step.item.types, Steps::before(at));
            if let (Some(taken), Some(within_ms)) = (&taken, spec.within_ms) {
                order::tell(&taken.typed, at, within_ms, self.problems);
            }
            steps.push((step.item.types, taken));
        }
        let mut without = Vec::new();
        for item in &spec.without {
            // A partial has taken at least its first step.
            without.push((item.types, self.filter(draft, item.filter.as_ref(), item.types, Steps::some(last))));
        }
        self.tell_cancelled(draft, (spec, &steps, &without));
        let mut absent = Vec::new();
        for item in &spec.absent {
            let compiled = self.filter(draft, item.filter.as_ref(), item.types, Steps::all());
            absent.push((item.types, compiled, item.within_ms.unwrap_or(0)));
        }
        Some(Built { by: spec.by?, within_ms: spec.within_ms?, steps, without, absent })
    }

    /// Warns of what cancels each event that a step takes: an event that cancels takes none.
    fn tell_cancelled(&mut self, draft: &RuleDraft<'_>, (spec, steps, without): (&SequenceSpec, &[Item], &[Item])) {
        for (item, (types, cancels)) in spec.without.iter().zip(without) {
            let taken = (1..).zip(spec.steps.iter().zip(steps)).find(|(_, (step, (on, takes)))| {
                let is_each = match (&item.filter, cancels, &step.item.filter, takes) {
                    (None, ..) => true,
                    // What reads steps cancels some partials and leaves others.
                    (Some(_), Some(cancels), ..) if cancels.filter.reads_aliases => false,
                    (Some(except), Some(cancels), Some(when), Some(takes)) => self
                        .names
                        .judge(*on, |judge| constant::covers(judge, (except, &cancels.typed), (when, &takes.typed))),
                    _ => false,
                };
                !on.is_empty() && on.within(*types) && is_each
            });
            if let Some((at, (step, _))) = taken {
                let step =
                    step.alias.as_ref().map_or_else(|| format!("step {at}"), |(name, _)| format!("the step `{name}`"));
                let message = format!("this cancels each event that {step} takes: the rule never fires");
                let problem = Problem::warning(codes::UNREACHABLE, draft.file, item.at.clone(), message);
                self.problems.push(problem.help("what cancels takes no step; say what tells it from the step"));
            }
        }
    }

    /// A condition on events of these types.
    fn filter(&mut self, draft: &RuleDraft<'_>, ast: Option<&Ast>, types: TypeSet, steps: Steps) -> Option<Compiled> {
        let ast = ast.filter(|_| !types.is_empty())?;
        let aliases = draft.aliases();
        let here = Here { on: types, steps, ..draft.here(self.names, &aliases) };
        let (typed, when) = self.condition(ast, &here)?;
        let reads_aliases = typed.names().iter().any(|(name, _)| alias_of(*name).is_some());
        Some(Compiled { typed, filter: Filter { when, reads_aliases } })
    }

    /// Tells aliases that have the name of something else.
    fn check_aliases(&mut self, draft: &RuleDraft<'_>, spec: &SequenceSpec) {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for (name, span) in spec.steps.iter().filter_map(|step| step.alias.as_ref()) {
            let other = match () {
                () if !seen.insert(name) => "another step",
                () if Field::parse(name).is_some() => "a field of events",
                () if self.names.defs.contains_key(name) => "a def",
                () if self.names.features.contains_key(name) => "a feature",
                () if draft.has_param(name) || self.names.params.contains_key(name) => "a param",
                () => continue,
            };
            let message = format!("the alias `{name}` has the name of {other}");
            let problem = Problem::error(codes::NAME, draft.file, span.clone(), message);
            self.problems.push(problem.help("give the step another name"));
        }
    }
}

/// What is said where an alias cannot be read as it stands there: a code and a message.
pub(in crate::ruleset) fn unread(path: &str, aliases: &[Alias<'_>], steps: Steps) -> Option<(&'static str, String)> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let alias = aliases.iter().find(|alias| alias.name == first)?;
    if alias.step >= steps.taken {
        let message = match steps.own == Some(alias.step) {
            true if rest.is_empty() => format!("`{path}` is this step itself"),
            true => format!("`{path}` reads this step itself: write `{rest}`"),
            false => format!("`{path}` reads the step `{first}`, which has not been taken here"),
        };
        return Some((expr::codes::ALIAS_BEFORE_STEP, message));
    }
    if rest.is_empty() {
        let message = format!("`{first}` is a step: write a field of it, such as `{first}.time`");
        return Some((expr::codes::UNKNOWN_NAME, message));
    }
    let field = Field::parse(rest)?;
    let (on, has) = (type_words(alias.types), type_words(field.types()));
    let message = format!("`{rest}` exists on {has} events, but the step `{first}` is taken by {on} events");
    Some((expr::codes::NOT_ON_TYPE, message))
}
