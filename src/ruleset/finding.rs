//! Features over findings: which fields a finding has, and what names mean in their `where`.
//!
//! Guarantees: a finding has the rule's id, group and score and the ids of its event, nothing else; a rule that
//! is not there is told. Does not keep findings: `features` does.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::codes;
use super::expr::{self, Ast, Comparison, Meaning, Node, Scope, Ty, Typed};
use super::lists::ListSet;
use super::model::{FindingField, Name, State};
use super::names::Here;
use super::rule::RuleDraft;
use crate::event::{Field, TypeSet, Value};
use crate::report::{Problem, did_you_mean};

/// The ids of its event that a finding has.
pub(super) const EVENT_FIELDS: [Field; 11] = [
    Field::Account,
    Field::LoginName,
    Field::Ip,
    Field::Device,
    Field::Session,
    Field::Payee,
    Field::Merchant,
    Field::Client,
    Field::AppVersion,
    Field::GeoAsn,
    Field::GeoCountry,
];

const OWN_FIELDS: [(&str, FindingField); 3] =
    [("rule", FindingField::Rule), ("group", FindingField::Group), ("score", FindingField::Score)];

impl FindingField {
    /// The field of this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        OWN_FIELDS.iter().find(|(own, _)| *own == name).map(|(_, field)| *field)
    }

    /// Its name in files.
    pub fn name(self) -> &'static str {
        OWN_FIELDS.iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }

    /// The type of its values.
    pub fn ty(self) -> Ty {
        match self {
            FindingField::Rule | FindingField::Group => Ty::Text,
            FindingField::Score => Ty::Int,
        }
    }
}

/// The field of an event that a finding has under this name.
pub(super) fn event_field(name: &str) -> Option<Field> {
    Field::parse(name).filter(|field| EVENT_FIELDS.contains(field))
}

/// Every name a finding's field has.
pub(super) fn field_names() -> impl Iterator<Item = &'static str> {
    OWN_FIELDS.iter().map(|(name, _)| *name).chain(EVENT_FIELDS.iter().map(|field| field.name()))
}

/// The names in the `where` of a feature over findings.
struct OfFinding<'n> {
    here: Here<'n>,
}

impl Scope for OfFinding<'_> {
    fn name(&self, path: &str) -> Option<Meaning<'_>> {
        let value = |name, ty, nullable| Some(Meaning::Value { name, ty, types: TypeSet::ALL, nullable });
        if let Some(field) = FindingField::parse(path) {
            return value(Name::Finding(field), field.ty(), false);
        }
        if let Some(field) = event_field(path) {
            return value(Name::Field(field), Ty::of(field), true);
        }
        match self.here.name(path) {
            // What an event has besides, a finding has not.
            Some(Meaning::Value { name: Name::Field(_) | Name::Amount(_), .. }) | None => None,
            other => other,
        }
    }

    fn names(&self) -> Vec<String> {
        field_names().map(str::to_owned).collect()
    }

    fn list(&self, name: &str) -> Option<&Arc<ListSet>> {
        self.here.list(name)
    }

    fn lists(&self) -> Vec<&str> {
        self.here.lists()
    }

    fn on(&self) -> TypeSet {
        TypeSet::ALL
    }
}

/// The rules of a set and the groups they are in.
#[derive(Debug, Default)]
pub(super) struct Known<'s> {
    pub rules: BTreeSet<&'s str>,
    pub groups: BTreeSet<&'s str>,
}

/// Checks the `where` of a feature over findings. `known` is `None` where not all rules are known.
pub(super) fn check_filter(
    ast: &Ast,
    here: Here<'_>,
    known: Option<&Known<'_>>,
    problems: &mut Vec<Problem>,
) -> Option<Typed> {
    let before = problems.len();
    let typed = expr::check_condition(ast, &OfFinding { here }, problems);
    for problem in problems.iter_mut().skip(before).filter(|p| p.code == expr::codes::UNKNOWN_NAME) {
        let names = field_names().collect::<Vec<_>>().join(", ");
        problem.help.get_or_insert_with(|| format!("a finding has: {names}"));
    }
    if let (Some(typed), Some(known)) = (&typed, known) {
        unknown_words(typed, known, problems);
    }
    typed
}

/// A rule or a group that a `where` names, and where.
struct Named<'t> {
    at: &'t Typed,
    field: FindingField,
    word: &'t str,
    /// Whether findings of it are looked for, and not all but its.
    is_wanted: bool,
}

/// The rules and groups that a `where` names.
fn named<'t>(typed: &'t Typed, is_wanted: bool, into: &mut Vec<Named<'t>>) {
    let field_of = |typed: &Typed| match typed.node {
        Node::Name(Name::Finding(field @ (FindingField::Rule | FindingField::Group))) => Some(field),
        _ => None,
    };
    let mut take = |at: &'t Typed, field, value: &'t Value<'static>, is_wanted| {
        if let (Some(field), Value::Text(word)) = (field, value) {
            into.push(Named { at, field, word, is_wanted });
        }
    };
    match &typed.node {
        Node::Compare(how, a, b) => {
            for (name, constant) in [(a, b), (b, a)] {
                if let Node::Constant(value) = &constant.node {
                    take(constant, field_of(name), value, is_wanted == (*how == Comparison::Equal));
                }
            }
        }
        Node::InSet(name, values) => values.iter().for_each(|value| take(typed, field_of(name), value, is_wanted)),
        _ => {}
    }
    let is_wanted = is_wanted != matches!(typed.node, Node::Not(_));
    typed.parts().into_iter().for_each(|part| named(part, is_wanted, into));
}

/// Tells rules and groups that a `where` names and that are not there.
fn unknown_words(typed: &Typed, known: &Known<'_>, problems: &mut Vec<Problem>) {
    let mut all = Vec::new();
    named(typed, true, &mut all);
    for Named { at, field, word, .. } in all {
        let (words, help) = match field {
            FindingField::Group => {
                (&known.groups, "a finding's `group` is that of a rule of this set; without one, the rule's id")
            }
            _ => (&known.rules, "a finding's `rule` is the id of a rule of this set"),
        };
        if words.contains(word) {
            continue;
        }
        let (file, span) = &at.at;
        let message = format!("there is no {} `{word}`", field.name());
        let problem = Problem::error(codes::VALUE, file, span.clone(), message);
        let near = did_you_mean(word, words.iter().copied());
        let is_whole = file.text.get(span.clone()).is_some_and(|text| text.len() == word.len() + 2);
        problems.push(match near {
            Some(near) if is_whole => problem.fix(span.start + 1..span.end - 1, near),
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(help),
        });
    }
}

/// Warns of a `where` that looks for findings of rules none of which is live, where `reader`, a rule that runs, reads
/// the feature `name`.
pub(super) fn warn_of_silent(
    typed: &Typed,
    name: &str,
    reader: &RuleDraft<'_>,
    drafts: &[RuleDraft<'_>],
    problems: &mut Vec<Problem>,
) {
    let mut all = Vec::new();
    named(typed, true, &mut all);
    for Named { at, field, word, .. } in all.into_iter().filter(|named| named.is_wanted) {
        let is_meant = |draft: &&RuleDraft<'_>| match field {
            FindingField::Group => draft.group() == word,
            _ => draft.id == word,
        };
        let meant: Vec<&RuleDraft<'_>> = drafts.iter().filter(is_meant).collect();
        let is_silent = |draft: &&RuleDraft<'_>| draft.state().is_some_and(|state| state != State::Live);
        if meant.is_empty() || !meant.iter().all(is_silent) {
            continue;
        }
        let states: Vec<String> =
            meant.iter().filter_map(|draft| Some(format!("`{}` is {}", draft.id, in_words(draft.state()?)))).collect();
        let of = if states.len() == 1 { "its" } else { "their" };
        let (states, reader_id) = (states.join(", "), &reader.id);
        let message = format!("{states}: the rule `{reader_id}` sees none of {of} findings in `{name}`");
        let help = match reader.state() {
            Some(State::Shadow) => "a feature over findings holds those of live rules: both in shadow tell nothing",
            _ => "a feature over findings holds those of live rules: make it live first, or leave it out here",
        };
        let (file, span) = &at.at;
        problems.push(Problem::warning(codes::NO_FINDINGS, file, span.clone(), message).help(help));
    }
}

fn in_words(state: State) -> &'static str {
    match state {
        State::Draft => "a draft",
        State::Shadow => "in shadow",
        State::Off => "off",
        State::Live => "live",
    }
}
