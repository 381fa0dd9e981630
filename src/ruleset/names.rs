//! What names mean in expressions: params, defs, features, fields, amounts and lists of a whole rule set.
//!
//! Guarantees: a name has one meaning; each that is asked for is remembered as used. Does not check types.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::constant::{self, Judge, LetIn};
use super::currencies::Covered;
use super::expr::{Ast, Meaning, Scope, Ty};
use super::feature::{FeatureSpec, Kind};
use super::lists::ListSet;
use super::model::{Name, NamedAmount};
use super::sequence;
use super::terms::DefPlace;
use crate::event::{Currency, EventType, Field, TypeSet, Value};
use crate::report::SourceFile;

/// Unknown names for which the nearest known one is looked for; a file of nothing but unknown names must not
/// take minutes.
const SUGGESTIONS_MAX: usize = 30;

/// A constant with its type.
pub(super) type Constant = (Value<'static>, Ty);

/// A def.
#[derive(Debug)]
pub(super) struct Def {
    pub ast: Option<Ast>,
    pub file: Arc<SourceFile>,
    pub span: Range<usize>,
}

/// A list, or one that had a problem.
#[derive(Debug)]
pub(super) struct NamedList {
    pub set: Arc<ListSet>,
    pub file: Arc<SourceFile>,
    pub span: Range<usize>,
}

/// Everything of a rule set that has a name.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Features with their place in the rule set, which only used ones have.
    pub features: BTreeMap<String, (Option<u16>, FeatureSpec)>,
    /// What the features that have a place keep, by their place.
    pub kinds: Vec<Option<Kind>>,
    pub defs: BTreeMap<String, Def>,
    pub params: BTreeMap<String, Constant>,
    /// Sorted by name.
    pub amounts: Vec<NamedAmount>,
    /// Where each amount is declared.
    pub amounts_at: BTreeMap<String, (Arc<SourceFile>, Range<usize>)>,
    pub lists: BTreeMap<String, NamedList>,
    /// Lists that were asked for.
    pub lists_used: RefCell<BTreeSet<String>>,
    /// Amounts and params that were asked for.
    pub used: RefCell<BTreeSet<String>>,
    /// How often all names were asked for, to find what an unknown one may have meant.
    pub suggested: Cell<usize>,
    /// How much was tried so far to find conditions that no event decides.
    pub effort: Cell<usize>,
    /// What the features let in whose newest event is kept, by their place.
    pub let_in: RefCell<BTreeMap<u16, LetIn>>,
    /// The currencies of each rule that compares money, and is not off.
    pub covered: RefCell<Vec<Covered>>,
}

/// The names at one place: with the params of a rule, on its event types.
pub(super) struct Here<'n> {
    pub names: &'n Names,
    pub params: &'n BTreeMap<String, Constant>,
    pub on: TypeSet,
    /// The aliases of the rule's sequence.
    pub aliases: &'n [Alias<'n>],
    /// Which of its steps can be read here.
    pub steps: Steps,
}

/// The name of a step of a sequence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alias<'n> {
    pub name: &'n str,
    pub step: u8,
    pub types: TypeSet,
}

/// Which steps of a sequence can be read at one place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    /// So many may have been taken.
    pub taken: u8,
    /// So many of them have been.
    pub certain: u8,
    /// The step whose condition it is.
    pub own: Option<u8>,
}

impl Steps {
    /// The condition of a step: those before it.
    pub fn before(step: u8) -> Self {
        Steps { taken: step, certain: step, own: Some(step) }
    }

    /// What may come between: the first step, and perhaps others before the last.
    pub fn some(last: u8) -> Self {
        Steps { taken: last, certain: last.min(1), own: None }
    }

    /// Once the last step was taken: all.
    pub fn all() -> Self {
        Steps { taken: u8::MAX, certain: u8::MAX, own: None }
    }
}

impl<'n> Here<'n> {
    /// Where no sequence is.
    pub fn of_event(names: &'n Names, params: &'n BTreeMap<String, Constant>, on: TypeSet) -> Self {
        Here { names, params, on, aliases: &[], steps: Steps::all() }
    }

    /// A field of a step that can be read here.
    fn of_step(&self, path: &str) -> Option<Meaning<'_>> {
        let (first, rest) = path.split_once('.')?;
        let alias = self.aliases.iter().find(|alias| alias.name == first && alias.step < self.steps.taken)?;
        if alias.types.is_empty() {
            // What its events are was told not to be known.
            return Some(Meaning::Broken);
        }
        let field = Field::parse(rest).filter(|field| !field.types().and(alias.types).is_empty())?;
        let nullable = alias.step >= self.steps.certain || is_nullable(field, alias.types);
        Some(Meaning::Value { name: Name::Alias(alias.step, field), ty: Ty::of(field), types: TypeSet::ALL, nullable })
    }

    /// Every field of a step that can be read here.
    fn names_of_steps(&self) -> impl Iterator<Item = String> {
        self.aliases.iter().filter(|alias| alias.step < self.steps.taken).flat_map(|alias| {
            let fields = Field::all().filter(|field| !field.types().and(alias.types).is_empty());
            fields.map(|field| format!("{}.{}", alias.name, field.name()))
        })
    }
}

impl Scope for Here<'_> {
    fn name(&self, path: &str) -> Option<Meaning<'_>> {
        if let Some((value, ty)) = self.params.get(path).or_else(|| self.names.params.get(path)) {
            self.names.used.borrow_mut().insert(path.to_owned());
            return Some(Meaning::Constant(value.clone(), *ty));
        }
        if let Some(def) = self.names.defs.get(path) {
            return Some(def.ast.as_ref().map_or(Meaning::Broken, Meaning::Def));
        }
        if let Some(meaning) = self.of_step(path) {
            return Some(meaning);
        }
        if let Some(field) = Field::parse(path) {
            let (ty, types) = (Ty::of(field), field.types());
            return Some(Meaning::Value { name: Name::Field(field), ty, types, nullable: is_nullable(field, self.on) });
        }
        let value = |name, ty, types, nullable| Some(Meaning::Value { name, ty, types, nullable });
        match path {
            "account.risk" => return value(Name::AccountRisk, Ty::Float, TypeSet::ALL, true),
            "account.known_for" => return value(Name::AccountKnownFor, Ty::Duration, TypeSet::ALL, true),
            "account.logins" => return value(Name::AccountLogins, Ty::Int, TypeSet::ALL, true),
            _ => {}
        }
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        if first == "amounts" {
            let at = self.names.amounts.iter().position(|amount| Some(amount.name.as_str()) == rest)?;
            self.names.used.borrow_mut().insert(path.to_owned());
            return value(Name::Amount(u16::try_from(at).ok()?), Ty::Money, Field::Amount.types(), true);
        }
        let (at, feature) = self.names.features.get(first)?;
        let meaning = feature.part(rest)?;
        let nullable = meaning.is_missing_while_empty
            || feature.by.is_none_or(|by| by.fields().any(|field| is_nullable(field, self.on)));
        // A feature without a place is read by nothing that is built: only by a def that nobody uses.
        value(Name::Feature(at.unwrap_or(u16::MAX), meaning.part), meaning.ty, feature.value_types(), nullable)
    }

    fn names(&self) -> Vec<String> {
        if !self.names.may_suggest() {
            return Vec::new();
        }
        let mut names: Vec<String> = self.params.keys().chain(self.names.params.keys()).cloned().collect();
        names.extend(self.names.defs.keys().cloned());
        for (name, (_, feature)) in &self.names.features {
            let part = |part: &str| if part.is_empty() { name.clone() } else { format!("{name}.{part}") };
            names.extend(feature.parts().into_iter().map(part));
        }
        let fields = Field::all().filter(|field| self.on.within(field.types()));
        names.extend(fields.map(|field| field.name().to_owned()));
        names.extend(["country", "city", "asn", "network"].map(str::to_owned));
        names.extend(["account.risk", "account.known_for", "account.logins"].map(str::to_owned));
        names.extend(self.names.amounts.iter().map(|amount| format!("amounts.{}", amount.name)));
        names.extend(self.names_of_steps());
        names
    }

    fn currencies(&self, name: Name) -> Option<Vec<Currency>> {
        let Name::Amount(at) = name else { return None };
        let values = &self.names.amounts.get(usize::from(at))?.values;
        Some(values.iter().map(|(currency, _)| *currency).collect())
    }

    fn refusal(&self, path: &str) -> Option<(&'static str, String)> {
        sequence::unread(path, self.aliases, self.steps)
    }

    fn list(&self, name: &str) -> Option<&Arc<ListSet>> {
        let list = self.names.lists.get(name)?;
        self.names.lists_used.borrow_mut().insert(name.to_owned());
        Some(&list.set)
    }

    fn lists(&self) -> Vec<&str> {
        if !self.names.may_suggest() {
            return Vec::new();
        }
        self.names.lists.keys().map(String::as_str).collect()
    }

    fn on(&self) -> TypeSet {
        self.on
    }
}

impl Names {
    /// Where the defs stand that could be read.
    pub fn def_places(&self) -> Vec<DefPlace> {
        let place = |(name, def): (&String, &Def)| {
            let ast = def.ast.as_ref()?;
            Some(DefPlace { name: name.clone(), at: (Arc::clone(&def.file), ast.span()) })
        };
        self.defs.iter().filter_map(place).collect()
    }

    /// Whether one more unknown name is compared with all known ones.
    pub fn may_suggest(&self) -> bool {
        self.suggested.set(self.suggested.get() + 1);
        self.suggested.get() <= SUGGESTIONS_MAX
    }

    /// What conditions on some event types are judged by.
    pub fn judge<R>(&self, on: TypeSet, with: impl FnOnce(&Judge<'_>) -> R) -> R {
        let let_in = self.let_in.borrow();
        with(&Judge {
            let_in: &let_in,
            on,
            range: &|name| constant::range(self, name),
            amounts: &self.amounts,
            effort: &self.effort,
        })
    }

    /// How a name of the row is written, such as `acct_last_ok.age`.
    pub fn written(&self, name: Name) -> Option<String> {
        Some(match name {
            Name::Field(field) => field.name().to_owned(),
            Name::AccountRisk => "account.risk".to_owned(),
            Name::AccountKnownFor => "account.known_for".to_owned(),
            Name::AccountLogins => "account.logins".to_owned(),
            Name::Finding(field) => field.name().to_owned(),
            Name::Amount(at) => format!("amounts.{}", self.amounts.get(usize::from(at))?.name),
            // Only its rule knows the alias of a step.
            Name::Alias(..) => return None,
            Name::Feature(at, part) => {
                let (name, _) = self.features.iter().find(|(_, (index, _))| *index == Some(at))?;
                match super::parts::written(part) {
                    part if part.is_empty() => name.clone(),
                    part => format!("{name}.{part}"),
                }
            }
        })
    }
}

/// Whether a field can be missing on some of these event types.
pub(super) fn is_nullable(field: Field, on: TypeSet) -> bool {
    use EventType as T;
    let always = match field {
        Field::Id | Field::Type | Field::Time | Field::Count => TypeSet::ALL,
        Field::Account => {
            let mut types = TypeSet::NONE;
            for kind in TypeSet::ALL.iter() {
                if !matches!(kind, T::Login | T::PasswordReset | T::ServiceStatus) {
                    types = types.or(TypeSet::of(&[kind]));
                }
            }
            types
        }
        Field::Result | Field::Stage | Field::Change | Field::Field => field.types(),
        Field::Amount | Field::About | Field::Answer | Field::State => field.types(),
        Field::Payee => TypeSet::of(&[T::PayeeAdded]),
        _ => TypeSet::NONE,
    };
    !on.within(always)
}
