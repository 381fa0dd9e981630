//! The canonical layout of rule files: two spaces a level, keys of a rule by their role, flow collections spaced.
//!
//! Guarantees: comments stay, a second time changes nothing, and the tree that is read from the result is that of
//! the original but for the order of a rule's keys; where it would not be, the file stays as it is. Lines are moved
//! and indented, never broken; expressions keep their text. Does not touch what is no YAML of ours.

mod flow;
mod layout;

use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::read::RULE_FILES;
use crate::report::{Problem, SourceFile};
use crate::yaml::{self, Kind, Map, Node, Style};

/// Columns up to which a flow collection of several lines becomes one.
const COLUMNS_MAX: usize = 120;

/// Lays a text out by its tree; the error: the bytes of what it cannot lay out.
type Step = fn(&str, &Node) -> Result<String, Range<usize>>;

/// What is told of a part that a step leaves as it is.
const NOT_MOVED: &str = "this is written in a way that is not moved: the lines of this file stay where they are";
const READ_OTHERWISE: &str = "this would be read as something else in our layout: it stays as it is";

/// A file's text in canonical layout; `None` where it cannot be read, and then problems say why. A warning tells
/// what stays in another layout.
pub fn format(file: &Arc<SourceFile>, problems: &mut Vec<Problem>) -> Option<String> {
    let before = problems.len();
    let tree = yaml::parse(file, &RULE_FILES, problems);
    if problems.len() > before {
        return None;
    }
    // A file of nothing but comments has no tree and no layout.
    let Some(tree) = tree else { return Some(file.text.clone()) };
    let steps: [Step; 3] = [layout::indented, layout::spaced, flow::joined];
    let mut text = file.text.clone();
    let mut now = tree.clone();
    for step in steps {
        // The places of what a step leaves are those of the text it was given.
        let was = Arc::new(SourceFile { path: file.path.clone(), text: text.clone() });
        let left = |at: Range<usize>, message: &str| {
            let problem = Problem::warning(codes::tools::NOT_FORMATTED, &was, at, message);
            problem.help("write this part in the layout of the others: `rules explain-code F001` tells more")
        };
        let next = match step(&text, &now) {
            Ok(next) => next,
            Err(at) => {
                problems.push(left(first_line(&text, at), NOT_MOVED));
                continue;
            }
        };
        // A step that would change what is read is not taken.
        match reread(file, &next) {
            Some(read) if is_same(&tree, &read, &mut Vec::new()) => (text, now) = (next, read),
            read => {
                let at = read.map_or(0..0, |read| differing(&now, &read, &mut Vec::new()));
                problems.push(left(at, READ_OTHERWISE));
            }
        }
    }
    Some(text)
}

/// What of a part stands on its first line.
fn first_line(text: &str, at: Range<usize>) -> Range<usize> {
    let line = text.get(at.clone()).and_then(|part| part.lines().next()).map_or(0, |line| line.trim_end().len());
    at.start..at.start + line
}

/// The place in `a` of the innermost that `b` says otherwise.
fn differing<'n>(a: &'n Node, b: &'n Node, path: &mut Vec<&'n str>) -> Range<usize> {
    match (&a.kind, &b.kind) {
        (Kind::Seq(items), Kind::Seq(others)) => {
            let mut pairs = items.iter().zip(others);
            let found = pairs.find(|(item, other)| !is_same(item, other, path));
            found.map_or(a.span.clone(), |(item, other)| differing(item, other, path))
        }
        (Kind::Map(map), Kind::Map(other)) => {
            for entry in &map.entries {
                let Some(other) = other.get(&entry.key) else { return entry.key_span.clone() };
                path.push(&entry.key);
                if !is_same(&entry.value, other, path) {
                    let is_leaf = matches!(entry.value.kind, Kind::Scalar(_) | Kind::Broken);
                    return if is_leaf { entry.key_span.clone() } else { differing(&entry.value, other, path) };
                }
                path.pop();
            }
            a.span.clone()
        }
        _ => a.span.clone(),
    }
}

fn reread(file: &Arc<SourceFile>, text: &str) -> Option<Node> {
    let file = Arc::new(SourceFile { path: file.path.clone(), text: text.to_owned() });
    let mut problems = Vec::new();
    yaml::parse(&file, &RULE_FILES, &mut problems).filter(|_| problems.is_empty())
}

/// Whether two trees say the same: places differ, a rule's keys may stand in another order, and lines of a block
/// may end without blanks. `path`: the keys above.
fn is_same<'n>(a: &'n Node, b: &'n Node, path: &mut Vec<&'n str>) -> bool {
    match (&a.kind, &b.kind) {
        (Kind::Scalar(a), Kind::Scalar(b)) if a.style == Style::Block && b.style == Style::Block => {
            // Under `>` the blanks at a line's end come to stand inside a line.
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            let lines = |text: &str| text.lines().map(words).collect::<Vec<_>>();
            lines(&a.text) == lines(&b.text)
        }
        (Kind::Scalar(a), Kind::Scalar(b)) => a == b,
        (Kind::Seq(a), Kind::Seq(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b, path)),
        (Kind::Map(a), Kind::Map(b)) => is_same_map(a, b, path),
        _ => false,
    }
}

fn is_same_map<'n>(a: &'n Map, b: &'n Map, path: &mut Vec<&'n str>) -> bool {
    let in_order = path.as_slice() != ["rules"];
    let keys_in_order = a.entries.iter().zip(&b.entries).all(|(a, b)| a.key == b.key);
    a.entries.len() == b.entries.len()
        && (!in_order || keys_in_order)
        && a.entries.iter().all(|entry| {
            path.push(&entry.key);
            let same = b.get(&entry.key).is_some_and(|other| is_same(&entry.value, other, path));
            path.pop();
            same
        })
}

/// Where the lines of a text begin.
fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect()
}

/// The line of a byte, from 0.
fn line_of(starts: &[usize], at: usize) -> usize {
    starts.partition_point(|start| *start <= at).saturating_sub(1)
}

/// Whether a collection is written as `{…}` or `[…]`: a list of such, not indented, begins where its first item does.
fn is_flow(text: &str, node: &Node) -> bool {
    let first = match &node.kind {
        Kind::Seq(items) => items.first().map(|item| item.span.start),
        Kind::Map(map) => map.entries.first().map(|entry| entry.key_span.start),
        _ => None,
    };
    first != Some(node.span.start) && text.get(node.span.start..).is_some_and(|rest| rest.starts_with(['{', '[']))
}

#[cfg(test)]
mod tests;
