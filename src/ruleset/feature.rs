//! Features as files write them: `{count: login, where: …, by: account, over: 10m}`.
//!
//! Guarantees: event types, fields and entities exist and fit each other; the identity depends on what a
//! feature keeps and not on its name or place. Does not keep anything: `features` does.

use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::entity::{check_entity, read_key};
use super::expr::Ast;
use super::finding::{self, event_field};
use super::model::{Aggregate, FindingField, Key, KeyField, Measure};
use crate::event::{Closed, EventType, Field, FieldKind, TypeSet};
use crate::report::{SourceFile, did_you_mean};
use crate::yaml::{Entry, Map, Node, Reader};

/// What features over findings look at, in the place of an event type.
pub(super) const FINDING: &str = "finding";
/// The longest window of a `baseline`, ms: it is about an hour of the week.
pub const BASELINE_OVER_MS_MAX: i64 = 3_600_000;
/// What a `baseline` is kept for: it is large.
const BASELINE_BY: [KeyField; 4] = [KeyField::All, KeyField::AppVersion, KeyField::Asn, KeyField::Country];

/// The aggregates of the language.
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
    /// It looks at findings, and at no event type.
    pub of_findings: bool,
    pub measure: Option<Measure>,
    pub filter: Option<Ast>,
    pub by: Option<Key>,
    pub over_ms: i64,
    pub include_current: bool,
}

impl Aggregate {
    /// As files write it.
    pub fn word(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| kind.aggregate() == self).map_or("", |(word, _)| word)
    }
}

impl Kind {
    /// What is kept of it.
    pub fn aggregate(self) -> Aggregate {
        match self {
            Kind::Count => Aggregate::Count,
            Kind::Sum => Aggregate::Sum,
            Kind::Rate => Aggregate::Rate,
            Kind::Distinct => Aggregate::Distinct,
            Kind::Spread => Aggregate::Spread,
            Kind::Last => Aggregate::Last,
            Kind::FirstSeen => Aggregate::FirstSeen,
            Kind::Stats => Aggregate::Stats,
            Kind::Share => Aggregate::Share,
            Kind::Baseline => Aggregate::Baseline,
            Kind::Decayed => Aggregate::Decayed,
            Kind::Habit => Aggregate::Habit,
        }
    }

    pub fn word(self) -> &'static str {
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
        of_findings: false,
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
            && let Some(kind) = spec.kind
        {
            let is_kept = spec.types.is_empty() || check_entity(reader, node, by, spec.types);
            spec.by = (is_kept && check_size(reader, node, by, kind)).then_some(by);
        }
        if spec.kind == Some(Kind::Share) && spec.filter.is_none() && map.get("where").is_none() {
            let help = "all of them are a share of 1; write `where` for those that it is the part of";
            reader.error_help(codes::MISSING_KEY, entry.value.head(), "a `share` needs `where`", help);
        }
        spec.is_whole = named && reader.problems.len() == before;
    }
    spec
}

/// Tells a `baseline` by something of which there are too many.
fn check_size(reader: &mut Reader<'_>, node: &Node, by: Key, kind: Kind) -> bool {
    let fits = kind != Kind::Baseline || (by.second.is_none() && BASELINE_BY.contains(&by.first));
    if !fits {
        let message = format!("a `baseline` is too large to be kept by {}", by.text());
        let words: Vec<&str> = BASELINE_BY.iter().map(|by| by.name()).collect();
        let help = format!("it is kept by {}", words.join(", "));
        reader.error_help(codes::ENTITY, node.span.clone(), message, &help);
    }
    fits
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
    let mut types = TypeSet::NONE;
    let mut measures: Vec<Measure> = Vec::new();
    for item in reader.one_or_more(&entry.value, "what a feature looks at") {
        let Some((source, measure)) = read_source(reader, item, kind) else { continue };
        match source {
            Source::Types(kinds) => types = types.or(kinds),
            Source::Findings => spec.of_findings = true,
        }
        measures.extend(measure.filter(|m| !measures.contains(m)));
    }
    if measures.len() > 1 {
        reader.error(codes::VALUE, entry.value.span.clone(), "a feature looks at one field, the same of each type");
    }
    if spec.of_findings && !types.is_empty() {
        let message = "a feature looks at findings or at events, not at both";
        reader.error(codes::VALUE, entry.value.span.clone(), message);
    }
    spec.types = types;
    spec.measure = measures.first().copied();
    if types.is_empty() && !spec.of_findings {
        // What events it has is not known, so its parts are not either.
        spec.kind = None;
    }
}

/// What a feature looks at.
enum Source {
    Types(TypeSet),
    Findings,
}

/// One `type` or `type.field`.
fn read_source(reader: &mut Reader<'_>, node: &Node, kind: Kind) -> Option<(Source, Option<Measure>)> {
    let text = reader.scalar(node, "what a feature looks at")?;
    let (word, field) = text.split_once('.').map_or((text, None), |(word, field)| (word, Some(field)));
    let source = if word == FINDING { Source::Findings } else { Source::Types(read_type(reader, node, word)?) };
    let field_span = match node.span.len() == text.len() {
        true => node.span.start + word.len() + 1..node.span.end,
        false => node.span.clone(),
    };
    let Some(field) = field else {
        if kind.needs_field() {
            let example = match (kind, &source) {
                (Kind::Sum | Kind::Stats, Source::Types(_)) => "amount",
                (Kind::Sum | Kind::Stats, Source::Findings) => "score",
                (Kind::Spread, _) => "account",
                _ => "ip",
            };
            let message = format!("`{}` looks at a field, such as `{word}.{example}`", kind.word());
            reader.error(codes::VALUE, node.span.clone(), message);
            return None;
        }
        return Some((source, None));
    };
    if !kind.needs_field() {
        let help = format!("write `{word}`; which events it counts is said by `where`");
        reader.error_help(codes::VALUE, node.span.clone(), format!("`{}` looks at no field", kind.word()), &help);
        return None;
    }
    let measure = match source {
        Source::Types(types) => read_measure(reader, field_span.clone(), field, types)?,
        Source::Findings => read_finding_measure(reader, field_span.clone(), field, kind)?,
    };
    let is_number = match measure {
        Measure::Field(field) => matches!(field.kind(), FieldKind::Int | FieldKind::Float | FieldKind::Money),
        Measure::Finding(field) => field == FindingField::Score,
        Measure::Hour | Measure::Weekday => false,
    };
    if matches!(kind, Kind::Sum | Kind::Stats) && !is_number {
        let message = format!("`{}` takes a number or an amount, and `{field}` is neither", kind.word());
        reader.error(codes::VALUE, field_span, message);
        return None;
    }
    Some((source, Some(measure)))
}

/// A field of findings.
fn read_finding_measure(reader: &mut Reader<'_>, span: Range<usize>, name: &str, kind: Kind) -> Option<Measure> {
    match name {
        "hour" => return Some(Measure::Hour),
        "weekday" => return Some(Measure::Weekday),
        _ => {}
    }
    if let Some(field) = FindingField::parse(name) {
        if kind == Kind::Habit {
            let message = format!("`habit` compares with the event's own value, and no event has a `{name}`");
            reader.error(codes::VALUE, span, message);
            return None;
        }
        return Some(Measure::Finding(field));
    }
    if let Some(field) = event_field(name) {
        return Some(Measure::Field(field));
    }
    let message = format!("findings have no `{name}`");
    reader.unknown_word(codes::UNKNOWN_TYPE, span, message, name, finding::field_names().collect::<Vec<_>>());
    None
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
        if spec.kind == Some(Kind::Baseline) && spec.over_ms > BASELINE_OVER_MS_MAX {
            let message = "a `baseline` is about an hour of the week: its window is at most 1h";
            reader.error(codes::VALUE, value.span.clone(), message);
        }
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
    if word == FINDING {
        let help = "a feature counts findings: `{count: finding, where: rule == \"…\", by: account, over: 1h}`";
        reader.error_help(codes::UNKNOWN_TYPE, node.span.clone(), "a finding is no event that comes in", help);
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
