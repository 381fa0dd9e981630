//! From a sequence as it was read to one that the engine follows.
//!
//! Guarantees: an alias means something only where its step may have been taken and has the name of nothing
//! else; of each event is kept what later conditions, exceptions, evidence and explanation read. Does not read
//! files.

use std::collections::{BTreeMap, BTreeSet};

use super::order;
use super::read::ItemSpec;
use super::{Absent, Canceller, Filter, Kept, Sequence, SequenceSpec, Step, alias_of};
use crate::event::{Closed, EventType, Field, TypeSet};
use crate::report::Problem;
use crate::ruleset::expr::{self, Node, Ty, Typed};
use crate::ruleset::feature::type_words;
use crate::ruleset::identity::canonical;
use crate::ruleset::model::{Key, Name, Piece};
use crate::ruleset::names::{Alias, Here, Steps};
use crate::ruleset::rule::RuleDraft;
use crate::ruleset::rule_build::Builder;
use crate::ruleset::{codes, constant, row::Cell};

/// The conditions of a sequence, compiled, before it is known what of its steps is read.
pub(in crate::ruleset) struct Built {
    by: Key,
    within_ms: i64,
    steps: Vec<Item>,
    without: Vec<Item>,
    /// Each with how long it must not follow, ms.
    absent: Vec<(Item, i64)>,
}

/// A step, what cancels, or what must not follow.
struct Item {
    types: TypeSet,
    condition: Option<Compiled>,
}

impl Item {
    /// Its condition, as it was written.
    fn term(&self) -> Option<Typed> {
        self.condition.as_ref().map(|compiled| compiled.typed.clone())
    }
}

/// A condition, as its types know it and as the engine asks it.
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
        self.steps.last()?.condition.as_ref().map(|compiled| &compiled.typed)
    }

    /// The conditions of the steps, as they were written.
    pub fn terms(&self) -> Vec<Option<Typed>> {
        self.steps.iter().map(Item::term).collect()
    }

    /// The conditions of what must not follow, as they were written.
    pub fn terms_of_absent(&self) -> Vec<Option<Typed>> {
        self.absent.iter().map(|(item, _)| item.term()).collect()
    }

    fn compiled(&self) -> impl Iterator<Item = &Compiled> {
        let absent = self.absent.iter().map(|(item, _)| item);
        self.steps.iter().chain(&self.without).chain(absent).filter_map(|item| item.condition.as_ref())
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
        let explained = explained(builder, explain);
        let read: Vec<(Name, Ty)> = self.compiled().flat_map(|compiled| compiled.typed.names()).collect();
        let reads: Vec<Cell> = read.iter().map(|(name, ty)| builder.layout.cell(*name, *ty)).collect();
        let evidence = self.evidence(builder, draft, &read);
        let of_steps = read.iter().chain(unless).chain(&explained).filter_map(|(name, _)| alias_of(*name));
        let fields: BTreeSet<(u8, Field)> = of_steps.chain(evidence.iter().map(|(_, at, ..)| *at)).collect();
        let kept = self.kept(builder, &fields);
        let captured = self.captured(builder, unless, &explained, shown);
        let identity = self.identity(builder, &kept, &captured);
        let filter = |item: Item| (item.types, item.condition.map(|compiled| compiled.filter));
        let step = |(item, kept)| {
            let (types, filter) = filter(item);
            Step { types, filter, kept }
        };
        let canceller = |item| {
            let (types, filter) = filter(item);
            Canceller { types, filter }
        };
        let absent = |(item, within_ms)| {
            let (types, filter) = filter(item);
            Absent { types, filter, within_ms }
        };
        Sequence {
            by: self.by,
            within_ms: self.within_ms,
            identity,
            reads,
            evidence: evidence.into_iter().map(|(written, _, ty, cell)| (written, ty, cell)).collect(),
            captured: captured.into_iter().map(|(_, kept)| kept).collect(),
            steps: self.steps.into_iter().zip(kept).map(step).collect(),
            without: self.without.into_iter().map(canceller).collect(),
            absent: self.absent.into_iter().map(absent).collect(),
        }
    }

    /// What of each step's event is kept.
    fn kept(&self, builder: &mut Builder<'_>, fields: &BTreeSet<(u8, Field)>) -> Vec<Vec<(Field, Kept)>> {
        let mut looked_into = BTreeSet::new();
        self.compiled().for_each(|compiled| note_texts(&compiled.typed, &mut looked_into));
        let mut keep = |at: &(u8, Field)| {
            let (step, field) = *at;
            let cell = builder.layout.cell(Name::Alias(step, field), Ty::of(field));
            (field, Kept { cell, has_text: !field.is_personal() || looked_into.contains(at) })
        };
        let steps = (0u8..).zip(&self.steps);
        steps.map(|(step, _)| fields.iter().filter(|(of, _)| *of == step).map(&mut keep).collect()).collect()
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
        let spelled = |item: &Item| {
            let words: Vec<&str> = item.types.iter().map(EventType::word).collect();
            let written = |name| builder.names.written(name);
            let condition = item.condition.as_ref().map(|compiled| canonical(&compiled.typed, amounts, &written));
            format!("{}|{}", words.join(","), condition.unwrap_or_default())
        };
        let steps: Vec<String> = self.steps.iter().map(spelled).collect();
        let without: Vec<String> = self.without.iter().map(spelled).collect();
        let absent: Vec<String> = self.absent.iter().map(|(item, ms)| format!("{} {ms}", spelled(item))).collect();
        let kept: Vec<String> =
            kept.iter().flatten().map(|(field, kept)| format!("{} {}", field.name(), kept.has_text)).collect();
        let captured: Vec<&str> = captured.iter().map(|(written, _)| written.as_str()).collect();
        let (by, within) = (self.by.text(), self.within_ms);
        let definition = format!("{by}|{within}|{steps:?}|{without:?}|{absent:?}|{kept:?}|{captured:?}");
        let hash = blake3::hash(definition.as_bytes());
        hash.as_bytes().iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
    }
}

/// What an explanation names.
fn explained(builder: &Builder<'_>, explain: &[Piece]) -> Vec<(Name, Ty)> {
    let of_piece = |piece: &Piece| match piece {
        Piece::Value(_, cell) => {
            let named = builder.layout.cells().iter().find(|(_, _, named)| named == cell);
            named.map(|(name, ty, _)| (*name, *ty))
        }
        Piece::Text(_) => None,
    };
    explain.iter().filter_map(of_piece).collect()
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
            let item = self.item(draft, &step.item, Steps::before(at));
            if let (Some(taken), Some(within_ms)) = (&item.condition, spec.within_ms) {
                order::tell(&taken.typed, at, within_ms, self.problems);
            }
            steps.push(item);
        }
        // A partial has taken at least its first step.
        let without: Vec<Item> = spec.without.iter().map(|item| self.item(draft, item, Steps::some(last))).collect();
        self.tell_cancelled(draft, (spec, &steps, &without));
        let absent = |item| (self.item(draft, item, Steps::all()), item.within_ms.unwrap_or(0));
        let absent = spec.absent.iter().map(absent).collect();
        Some(Built { by: spec.by?, within_ms: spec.within_ms?, steps, without, absent })
    }

    /// Warns of what cancels each event that a step takes: an event that cancels takes none.
    fn tell_cancelled(&mut self, draft: &RuleDraft<'_>, (spec, steps, without): (&SequenceSpec, &[Item], &[Item])) {
        for (item, canceller) in spec.without.iter().zip(without) {
            let taken = (1..).zip(spec.steps.iter().zip(steps)).find(|(_, (step, built))| {
                let on = built.types;
                let is_each = match (&item.filter, &canceller.condition, &step.item.filter, &built.condition) {
                    (None, ..) => true,
                    // What reads steps cancels some partials and leaves others.
                    (Some(_), Some(cancels), ..) if cancels.filter.reads_aliases => false,
                    (Some(except), Some(cancels), Some(when), Some(takes)) => self
                        .names
                        .judge(on, |judge| constant::covers(judge, (except, &cancels.typed), (when, &takes.typed))),
                    _ => false,
                };
                !on.is_empty() && on.within(canceller.types) && is_each
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

    fn item(&mut self, draft: &RuleDraft<'_>, spec: &ItemSpec, steps: Steps) -> Item {
        Item { types: spec.types, condition: self.compiled(draft, spec, steps) }
    }

    /// `None` too where there is nothing to compile.
    fn compiled(&mut self, draft: &RuleDraft<'_>, spec: &ItemSpec, steps: Steps) -> Option<Compiled> {
        let ast = spec.filter.as_ref().filter(|_| !spec.types.is_empty())?;
        let aliases = draft.aliases();
        let here = Here { on: spec.types, steps, ..draft.here(self.names, &aliases) };
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
