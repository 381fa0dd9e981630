//! Features as files write them: `{count: login, where: …, by: account, over: 10m}`.
//!
//! Guarantees: event types, fields and entities exist and fit each other; the identity depends on what a
//! feature keeps and not on its name or place. Does not keep anything: `features` does.

use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::entity::{check_entity, read_key};
use super::expr::{Ast, Node as Expr, Ty, Typed};
use super::model::{Aggregate, Key, Measure, Name, NamedAmount, Part};
use crate::event::{Closed, EventType, Field, FieldKind, TypeSet};
use crate::report::{SourceFile, did_you_mean};
use crate::yaml::{Entry, Map, Node, Reader};

/// The aggregates of the language. Those that [`Kind::known`] has none for come with a later version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Count,
    Sum,
    Rate,
    Distinct,
    Spread,
    Last,
    FirstSeen,
    Stats,
    Share,
    Baseline,
    Decayed,
    Habit,
}

pub(super) const KINDS: &[(&str, Kind)] = &[
    ("count", Kind::Count),
    ("sum", Kind::Sum),
    ("rate", Kind::Rate),
    ("distinct", Kind::Distinct),
    ("spread", Kind::Spread),
    ("last", Kind::Last),
    ("first_seen", Kind::FirstSeen),
    ("stats", Kind::Stats),
    ("share", Kind::Share),
    ("baseline", Kind::Baseline),
    ("decayed", Kind::Decayed),
    ("habit", Kind::Habit),
];

pub(super) const KEYS: &[&str] = &[
    "count",
    "sum",
    "rate",
    "distinct",
    "spread",
    "last",
    "first_seen",
    "stats",
    "share",
    "baseline",
    "decayed",
    "habit",
    "where",
    "by",
    "over",
    "include",
    "half_life",
];

/// A feature as it was read.
#[derive(Debug)]
pub(super) struct FeatureSpec {
    pub file: Arc<SourceFile>,
    /// The bytes of its name.
    pub span: Range<usize>,
    /// Nothing was told about it.
    pub is_whole: bool,
    pub kind: Option<Kind>,
    pub types: TypeSet,
    pub measure: Option<Measure>,
    pub filter: Option<Ast>,
    pub by: Option<Key>,
    pub over_ms: i64,
    pub include_current: bool,
}

impl Kind {
    /// What this version keeps.
    pub fn known(self) -> Option<Aggregate> {
        Some(match self {
            Kind::Count => Aggregate::Count,
            Kind::Sum => Aggregate::Sum,
            Kind::Distinct => Aggregate::Distinct,
            Kind::Last => Aggregate::Last,
            Kind::FirstSeen => Aggregate::FirstSeen,
            Kind::Habit => Aggregate::Habit,
            Kind::Rate | Kind::Spread | Kind::Stats | Kind::Share | Kind::Baseline | Kind::Decayed => return None,
        })
    }

    fn word(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    fn needs_field(self) -> bool {
        matches!(self, Kind::Sum | Kind::Distinct | Kind::Spread | Kind::Stats | Kind::Habit)
    }

    fn with_this_event(self) -> bool {
        !matches!(self, Kind::Last | Kind::FirstSeen | Kind::Stats | Kind::Baseline | Kind::Habit)
    }
}

/// Reads one feature.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry) -> FeatureSpec {
    let before = reader.problems.len();
    let mut spec = FeatureSpec {
        file: Arc::clone(reader.file),
        span: entry.key_span.clone(),
        is_whole: false,
        kind: None,
        types: TypeSet::ALL,
        measure: None,
        filter: None,
        by: None,
        over_ms: 0,
        include_current: true,
    };
    let named = reader.is_name(entry, "a feature");
    if let Some(map) = reader.map(&entry.value, "a feature") {
        reader.keys(map, KEYS, &[]);
        read_aggregate(reader, &entry.value, map, &mut spec);
        read_window(reader, map, &mut spec);
        let window = if spec.kind == Some(Kind::Decayed) { "half_life" } else { "over" };
        // Without an aggregate nobody knows which window it has.
        let keys = ["by", window];
        reader.require(&entry.value, "a feature", if spec.kind.is_some() { &keys } else { &keys[..1] });
        spec.filter = map.get("where").and_then(|node| reader.expression(node, "`where`"));
        spec.by = map.get("by").and_then(|node| read_key(reader, node));
        if let (Some(by), Some(node)) = (spec.by, map.get("by"))
            && spec.kind.is_some()
            && !spec.types.is_empty()
        {
            spec.by = check_entity(reader, node, by, spec.types).then_some(by);
        }
        spec.is_whole = named && reader.problems.len() == before;
    }
    spec
}

fn read_aggregate(reader: &mut Reader<'_>, node: &Node, map: &Map, spec: &mut FeatureSpec) {
    let mut found = map
        .entries
        .iter()
        .filter_map(|entry| KINDS.iter().find(|(word, _)| *word == entry.key).map(|(_, kind)| (entry, *kind)));
    let Some((entry, kind)) = found.next() else {
        // An aggregate that was misspelt is an unknown key, told already.
        if map.entries.iter().any(|entry| did_you_mean(&entry.key, KINDS.iter().map(|(word, _)| *word)).is_some()) {
            return;
        }
        let words: Vec<&str> = KINDS.iter().map(|(word, _)| *word).collect();
        let help = format!("one of {}", words.join(", "));
        reader.error_help(codes::MISSING_KEY, node.head(), "a feature says what it keeps", &help);
        return;
    };
    if let Some((second, _)) = found.next() {
        let message = format!("a feature keeps one thing, and this one keeps `{}` already", kind.word());
        reader.error(codes::VALUE, second.key_span.clone(), message);
    }
    spec.kind = Some(kind);
    spec.include_current = kind.with_this_event();
    if kind.known().is_none() {
        let message = format!("this version of walletwatch does not know `{}` yet", kind.word());
        reader.error(codes::NOT_YET, entry.key_span.clone(), message);
    }
    let mut types = TypeSet::NONE;
    let mut measures: Vec<Measure> = Vec::new();
    for item in reader.one_or_more(&entry.value, "what a feature looks at") {
        let Some((kinds, measure)) = read_source(reader, item, kind) else { continue };
        types = types.or(kinds);
        measures.extend(measure.filter(|m| !measures.contains(m)));
    }
    if measures.len() > 1 {
        reader.error(codes::VALUE, entry.value.span.clone(), "a feature looks at one field, the same of each type");
    }
    spec.types = types;
    spec.measure = measures.first().copied();
    if types.is_empty() {
        // What events it has is not known, so its parts are not either.
        spec.kind = None;
    }
}

/// One `type` or `type.field`.
fn read_source(reader: &mut Reader<'_>, node: &Node, kind: Kind) -> Option<(TypeSet, Option<Measure>)> {
    let text = reader.scalar(node, "what a feature looks at")?;
    let (word, field) = text.split_once('.').map_or((text, None), |(word, field)| (word, Some(field)));
    let types = read_type(reader, node, word)?;
    let field_span = match node.span.len() == text.len() {
        true => node.span.start + word.len() + 1..node.span.end,
        false => node.span.clone(),
    };
    let Some(field) = field else {
        if kind.needs_field() {
            let example = if kind.word() == "sum" { "amount" } else { "ip" };
            let message = format!("`{}` looks at a field, such as `{word}.{example}`", kind.word());
            reader.error(codes::VALUE, node.span.clone(), message);
            return None;
        }
        return Some((types, None));
    };
    if !kind.needs_field() {
        let help = format!("write `{word}`; which events it counts is said by `where`");
        reader.error_help(codes::VALUE, node.span.clone(), format!("`{}` looks at no field", kind.word()), &help);
        return None;
    }
    let measure = read_measure(reader, field_span.clone(), field, types)?;
    let is_number = match measure {
        Measure::Field(field) => matches!(field.kind(), FieldKind::Int | FieldKind::Float | FieldKind::Money),
        Measure::Hour | Measure::Weekday => false,
    };
    if matches!(kind, Kind::Sum | Kind::Stats) && !is_number {
        let message = format!("`{}` takes a number or an amount, and `{field}` is neither", kind.word());
        reader.error(codes::VALUE, field_span, message);
        return None;
    }
    Some((types, Some(measure)))
}

fn read_measure(reader: &mut Reader<'_>, span: Range<usize>, name: &str, types: TypeSet) -> Option<Measure> {
    match name {
        "hour" => return Some(Measure::Hour),
        "weekday" => return Some(Measure::Weekday),
        _ => {}
    }
    let Some(field) = Field::parse(name) else {
        let known = Field::all().filter(|f| types.within(f.types())).map(Field::name).chain(["hour", "weekday"]);
        let known: Vec<&str> = known.collect();
        reader.unknown_word(codes::UNKNOWN_TYPE, span, format!("unknown field `{name}`"), name, known);
        return None;
    };
    if !types.within(field.types()) {
        let message = format!("{} events have no `{name}`; {} have it", type_words(types), type_words(field.types()));
        reader.error(codes::UNKNOWN_TYPE, span, message);
        return None;
    }
    Some(Measure::Field(field))
}

fn read_window(reader: &mut Reader<'_>, map: &Map, spec: &mut FeatureSpec) {
    let takes_half_life = spec.kind == Some(Kind::Decayed);
    let (wanted, other) = if takes_half_life { ("half_life", "over") } else { ("over", "half_life") };
    if let Some(value) = map.get(wanted) {
        spec.over_ms = reader.some_time(value, &format!("`{wanted}`")).unwrap_or(0);
    }
    if let Some(entry) = map.entries.iter().find(|entry| entry.key == other)
        && let Some(kind) = spec.kind
    {
        let message = format!("`{}` has no `{other}`", kind.word());
        reader.error(codes::UNKNOWN_KEY, entry.key_span.clone(), message);
    }
    if let Some(value) = map.get("include")
        && let Some(current) = reader.word(value, "include", &[("current", true), ("prior", false)])
    {
        spec.include_current = current;
    }
}

/// An event type, as a set of one.
pub(super) fn read_type(reader: &mut Reader<'_>, node: &Node, word: &str) -> Option<TypeSet> {
    if let Some(kind) = EventType::parse(word) {
        return Some(TypeSet::of(&[kind]));
    }
    if word == "finding" {
        let message = "this version of walletwatch does not know features over findings yet";
        reader.error(codes::NOT_YET, node.span.clone(), message);
        return None;
    }
    let span = match node.span.len() >= word.len()
        && reader.file.text.get(node.span.clone()).is_some_and(|t| t.starts_with(word))
    {
        true => node.span.start..node.span.start + word.len(),
        false => node.span.clone(),
    };
    let message = format!("unknown event type `{word}`");
    reader.unknown_word(codes::UNKNOWN_TYPE, span, message, word, EventType::WORDS.iter().copied());
    None
}

/// `login and mfa`, for people.
pub(super) fn type_words(types: TypeSet) -> String {
    let mut words: Vec<&str> = types.iter().map(EventType::word).collect();
    words.sort_unstable();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "no".to_owned(),
    }
}

/// What a part of a feature is: which one, its type, and whether it is missing while nothing is known.
pub(super) struct PartMeaning {
    pub part: Part,
    pub ty: Ty,
    pub is_missing_while_empty: bool,
}

impl FeatureSpec {
    /// The meaning of `NAME` (no part) or `NAME.part`.
    pub fn part(&self, part: Option<&str>) -> Option<PartMeaning> {
        let is = |part, ty, is_missing_while_empty| Some(PartMeaning { part, ty, is_missing_while_empty });
        let measured = match self.measure {
            Some(Measure::Field(field)) => Ty::of(field),
            _ => Ty::Int,
        };
        match (self.kind?, part) {
            (Kind::Count | Kind::Distinct, None) => is(Part::Value, Ty::Int, false),
            (Kind::Sum, None) => is(Part::Value, measured, measured == Ty::Money),
            (Kind::Rate | Kind::Decayed, None) => is(Part::Value, Ty::Float, false),
            (Kind::Share, None) => is(Part::Value, Ty::Float, true),
            (Kind::Last | Kind::FirstSeen, Some("age")) => is(Part::Age, Ty::Duration, true),
            (Kind::Last, Some(name)) => {
                let field = Field::parse(name).filter(|field| !field.types().and(self.types).is_empty())?;
                is(Part::Field(field), Ty::of(field), true)
            }
            (Kind::Habit, Some("share")) => is(Part::Share, Ty::Float, true),
            (Kind::Habit, Some("count")) => is(Part::Count, Ty::Int, true),
            (Kind::Habit, Some("total")) => is(Part::Total, Ty::Int, true),
            (Kind::Spread, Some("keys" | "max_per_key")) => is(Part::Value, Ty::Int, false),
            (Kind::Spread, Some(part)) if part.starts_with("share(") => is(Part::Value, Ty::Float, true),
            (Kind::Stats, Some("count")) => is(Part::Value, Ty::Int, true),
            (Kind::Stats, Some("mean" | "stddev" | "p50" | "p95" | "max")) => is(Part::Value, measured, true),
            (Kind::Baseline, Some("now" | "mean" | "stddev" | "ratio")) => is(Part::Value, Ty::Float, true),
            _ => None,
        }
    }

    /// The parts it has, for "did you mean"; the empty one is the bare name.
    pub fn parts(&self) -> Vec<&'static str> {
        match self.kind {
            Some(Kind::Count | Kind::Sum | Kind::Rate | Kind::Distinct | Kind::Share | Kind::Decayed) => vec![""],
            Some(Kind::FirstSeen) => vec!["age"],
            Some(Kind::Last) => {
                let has = |field: &Field| !field.types().and(self.types).is_empty();
                std::iter::once("age").chain(Field::all().filter(has).map(Field::name)).collect()
            }
            Some(Kind::Habit) => vec!["share", "count", "total"],
            Some(Kind::Stats) => vec!["mean", "stddev", "p50", "p95", "max", "count"],
            Some(Kind::Baseline) => vec!["now", "mean", "stddev", "ratio"],
            Some(Kind::Spread) => vec!["keys", "max_per_key"],
            None => vec![""],
        }
    }

    /// The event types on which it can have a value.
    pub fn value_types(&self) -> TypeSet {
        let own = match (self.kind, self.measure) {
            // A habit is about this event's own value of the field.
            (Some(Kind::Habit), Some(Measure::Field(field))) => field.types(),
            _ => TypeSet::ALL,
        };
        self.by.map_or(TypeSet::ALL, Key::types).and(own)
    }

    /// The hash of what it keeps: the same definition under another name or in another file has the same.
    /// Named amounts count by their values; lists by their name, for their entries come and go.
    pub fn identity(&self, filter: Option<&Typed>, amounts: &[NamedAmount]) -> u64 {
        let types: Vec<&str> = self.types.iter().map(EventType::word).collect();
        let measure = match self.measure {
            Some(Measure::Field(field)) => field.name(),
            Some(Measure::Hour) => "hour",
            Some(Measure::Weekday) => "weekday",
            None => "",
        };
        let definition = format!(
            "{}|{}|{measure}|{}|{}|{}|{}",
            self.kind.map_or("", Kind::word),
            types.join(","),
            filter.map_or_else(String::new, |filter| canonical(filter, amounts)),
            self.by.map_or_else(String::new, Key::text),
            self.over_ms,
            self.include_current,
        );
        let hash = blake3::hash(definition.as_bytes());
        hash.as_bytes().iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
    }
}

/// An expression in one spelling: names by what they stand for, without comments and blanks.
fn canonical(typed: &Typed, amounts: &[NamedAmount]) -> String {
    let parts = || typed.parts().into_iter().map(|part| canonical(part, amounts)).collect::<Vec<_>>().join(" ");
    match &typed.node {
        Expr::Constant(value) => format!("{value:?}"),
        Expr::Name(Name::Amount(at)) => {
            format!("{:?}", amounts.get(usize::from(*at)).map(|amount| amount.values.as_slice()).unwrap_or_default())
        }
        Expr::Name(name) => format!("{name:?}"),
        Expr::Not(_) => format!("(not {})", parts()),
        Expr::And(_) => format!("(and {})", parts()),
        Expr::Or(_) => format!("(or {})", parts()),
        Expr::Compare(how, ..) => format!("({} {})", how.symbol(), parts()),
        Expr::InList(_, list) => format!("(in {} lists.{})", parts(), list.name),
        Expr::InSet(_, set) => format!("(in {} {set:?})", parts()),
        Expr::IsMissing(_) => format!("(missing {})", parts()),
        Expr::Coalesce(..) => format!("(?? {})", parts()),
        Expr::Arithmetic(how, ..) => format!("({how:?} {})", parts()),
        Expr::Negate(_) => format!("(- {})", parts()),
        Expr::Call(function, _) => format!("({function:?} {})", parts()),
        Expr::Matches(_, pattern) => format!("(matches {} {:?})", parts(), pattern.as_str()),
    }
}
