//! Sequences as files write them.
//!
//! Guarantees: every key is checked, and every mistake told at its place. Does not resolve names.

use std::ops::Range;

use super::{ITEMS_MAX, STEPS_MAX, WITHIN_MS_MAX};
use crate::event::{TypeSet, Value};
use crate::ruleset::codes;
use crate::ruleset::entity::{check_entity, read_key};
use crate::ruleset::expr::Ast;
use crate::ruleset::model::Key;
use crate::ruleset::rule::read_on;
use crate::yaml::{Map, Node, Reader};

/// A sequence as it was read.
pub(in crate::ruleset) struct SequenceSpec {
    pub by: Option<Key>,
    pub within_ms: Option<i64>,
    pub steps: Vec<StepSpec>,
    pub without: Vec<ItemSpec>,
    pub absent: Vec<ItemSpec>,
}

/// A step as it was read.
pub(in crate::ruleset) struct StepSpec {
    pub item: ItemSpec,
    /// Its alias, and where it stands.
    pub alias: Option<(String, Range<usize>)>,
}

/// A step, or an item of `without` or `absent`.
pub(in crate::ruleset) struct ItemSpec {
    pub types: TypeSet,
    pub filter: Option<Ast>,
    /// How long, for an item of `absent`.
    pub within_ms: Option<i64>,
    /// Where it stands.
    pub at: Range<usize>,
}

impl SequenceSpec {
    /// Every expression in it.
    pub fn expressions(&self) -> impl Iterator<Item = &Ast> {
        let steps = self.steps.iter().map(|step| &step.item);
        steps.chain(&self.without).chain(&self.absent).filter_map(|item| item.filter.as_ref())
    }

    /// The event types of the last step: those that a finding is about.
    pub fn last_types(&self) -> TypeSet {
        self.steps.last().map_or(TypeSet::NONE, |step| step.item.types)
    }
}

/// The keys of a sequence.
pub(in crate::ruleset) const SEQUENCE_KEYS: &[&str] = &["by", "within", "steps", "without", "absent"];
/// Those that it must have.
pub(in crate::ruleset) const REQUIRED_KEYS: &[&str] = &["by", "within", "steps"];
/// The keys of a step.
pub(in crate::ruleset) const STEP_KEYS: &[&str] = &["on", "as", "where"];
/// The keys of what cancels.
pub(in crate::ruleset) const WITHOUT_KEYS: &[&str] = &["on", "where"];
/// The keys of what must not follow.
pub(in crate::ruleset) const ABSENT_KEYS: &[&str] = &["on", "where", "within"];

/// Reads `sequence`; what is wrong is told.
pub(in crate::ruleset) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<SequenceSpec> {
    let map = reader.map(node, "`sequence`")?;
    reader.keys(map, SEQUENCE_KEYS, &[]);
    reader.require(node, "`sequence`", REQUIRED_KEYS);
    let by = map.get("by").and_then(|node| read_key(reader, node));
    let within_ms = read_within(reader, map);
    let step = |reader: &mut Reader<'_>, node: &Node| {
        let map = reader.map(node, "a step")?;
        let item = read_item(reader, node, map, "a step", STEP_KEYS, by)?;
        let alias = map.get("as").and_then(|node| Some((read_alias(reader, node)?, node.span.clone())));
        Some(StepSpec { item, alias })
    };
    let steps = items(reader, map, "steps", STEPS_MAX, step);
    if let (Some(node), true) = (map.get("steps"), steps.is_empty())
        && matches!(&node.kind, crate::yaml::Kind::Seq(items) if items.is_empty())
    {
        reader.error(codes::SEQUENCE, node.span.clone(), "a sequence has at least one step");
    }
    let without = items(reader, map, "without", ITEMS_MAX, |reader, node| {
        let map = reader.map(node, "an item of `without`")?;
        read_item(reader, node, map, "an item of `without`", WITHOUT_KEYS, by)
    });
    let absent = items(reader, map, "absent", ITEMS_MAX, |reader, node| {
        let map = reader.map(node, "an item of `absent`")?;
        let mut item = read_item(reader, node, map, "an item of `absent`", ABSENT_KEYS, by)?;
        reader.require(node, "an item of `absent`", &["within"]);
        item.within_ms = read_within(reader, map);
        Some(item)
    });
    Some(SequenceSpec { by, within_ms, steps, without, absent })
}

/// The items of a list that may not be there; those that can be read.
fn items<T>(
    reader: &mut Reader<'_>,
    map: &Map,
    key: &str,
    items_max: usize,
    mut read: impl FnMut(&mut Reader<'_>, &Node) -> Option<T>,
) -> Vec<T> {
    let Some(node) = map.get(key) else { return Vec::new() };
    let Some(items) = reader.seq(node, &format!("`{key}`")) else { return Vec::new() };
    if items.len() > items_max {
        let message = format!("a sequence has at most {items_max} items of `{key}`");
        reader.error(codes::LIMIT, node.head(), message);
    }
    items.iter().take(items_max).filter_map(|item| read(reader, item)).collect()
}

fn read_item(
    reader: &mut Reader<'_>,
    node: &Node,
    map: &Map,
    what: &str,
    keys: &[&str],
    by: Option<Key>,
) -> Option<ItemSpec> {
    reader.keys(map, keys, &[]);
    reader.require(node, what, &["on"]);
    let on = map.get("on");
    let types = on.map_or(TypeSet::NONE, |node| read_on(reader, node));
    if let (Some(by), Some(on)) = (by, on)
        && !types.is_empty()
    {
        check_entity(reader, on, by, types);
    }
    let filter = map.get("where").and_then(|node| reader.expression(node, "`where`"));
    Some(ItemSpec { types, filter, within_ms: None, at: node.head() })
}

fn read_within(reader: &mut Reader<'_>, map: &Map) -> Option<i64> {
    let node = map.get("within")?;
    let within_ms = reader.some_time(node, "`within`")?;
    if within_ms > WITHIN_MS_MAX {
        let message = format!("`within` is at most {}", Value::Duration(WITHIN_MS_MAX));
        reader.error(codes::LIMIT, node.span.clone(), message);
        return None;
    }
    Some(within_ms)
}

fn read_alias(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let word = reader.scalar(node, "`as`")?.to_owned();
    reader.is_name_at(&word, node.span.clone(), "a step").then_some(word)
}
