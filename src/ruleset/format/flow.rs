//! Flow collections: `{ a : 1,b: 2}` becomes `{a: 1, b: 2}`, and one of several lines becomes one where it fits.
//!
//! Guarantees: one with a comment, an empty value or a scalar over several lines inside stays as it is.

use std::ops::Range;

use super::{COLUMNS_MAX, is_flow, line_of, line_starts};
use crate::yaml::{Kind, Node, Style};

/// The text with its flow collections in canonical spacing.
pub(super) fn joined(text: &str, tree: &Node) -> Result<String, Range<usize>> {
    let starts = line_starts(text);
    let mut found = Vec::new();
    collect(text, tree, &mut found);
    let mut changed = String::with_capacity(text.len());
    let mut at = 0;
    for node in found {
        let Range { start, end } = node.span.clone();
        let here = || node.span.clone();
        let Some(written) = written(text, node) else { continue };
        let line = *starts.get(line_of(&starts, start)).ok_or_else(here)?;
        let rest = text.get(end..).ok_or_else(here)?.lines().next().unwrap_or_default().trim_end();
        let columns = [text.get(line..start).ok_or_else(here)?, &written, rest]
            .iter()
            .map(|part| part.chars().count())
            .sum::<usize>();
        if text.get(start..end).ok_or_else(here)?.contains('\n') && columns > COLUMNS_MAX {
            continue;
        }
        changed.push_str(text.get(at..start).ok_or_else(here)?);
        changed.push_str(&written);
        at = end;
    }
    changed.push_str(text.get(at..).ok_or(at..text.len())?);
    Ok(changed)
}

/// The outermost flow collections, in the order of the text.
fn collect<'n>(text: &str, node: &'n Node, found: &mut Vec<&'n Node>) {
    match &node.kind {
        Kind::Seq(_) | Kind::Map(_) if is_flow(text, node) => found.push(node),
        Kind::Seq(items) => items.iter().for_each(|item| collect(text, item, found)),
        Kind::Map(map) => map.entries.iter().for_each(|entry| collect(text, &entry.value, found)),
        _ => {}
    }
}

/// A flow collection in one line; `None` where it has to stay.
fn written(text: &str, node: &Node) -> Option<String> {
    let mut scalars = Vec::new();
    let written = one_line(text, node, &mut scalars)?;
    let mut at = node.span.start;
    for scalar in scalars {
        if text.get(at..scalar.start)?.contains('#') {
            return None;
        }
        at = scalar.end;
    }
    (!text.get(at..node.span.end)?.contains('#')).then_some(written)
}

fn one_line(text: &str, node: &Node, scalars: &mut Vec<Range<usize>>) -> Option<String> {
    let mut raw = |span: &Range<usize>| {
        scalars.push(span.clone());
        text.get(span.clone()).filter(|raw| !raw.contains('\n')).map(str::to_owned)
    };
    match &node.kind {
        Kind::Scalar(scalar) if scalar.style != Style::Empty => raw(&node.span),
        Kind::Seq(items) if is_flow(text, node) => {
            let items: Option<Vec<String>> = items.iter().map(|item| one_line(text, item, scalars)).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        Kind::Map(map) if is_flow(text, node) => {
            let entries = map.entries.iter().map(|entry| {
                scalars.push(entry.key_span.clone());
                let key = text.get(entry.key_span.clone())?.to_owned();
                Some(format!("{key}: {}", one_line(text, &entry.value, scalars)?))
            });
            let entries: Option<Vec<String>> = entries.collect();
            Some(format!("{{{}}}", entries?.join(", ")))
        }
        _ => None,
    }
}
