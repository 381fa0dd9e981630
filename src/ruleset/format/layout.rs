//! Lines: how far each is indented, in which order a rule's keys stand, and what lies between a key and its value.
//!
//! Guarantees: a line keeps its text but for blanks at its ends; a comment goes with the line it stands above, or
//! with the one before it where it is indented like that one. A text with an indentation indicator stands as far from
//! its key as that says. What is laid out in another way than ours (a list directly in a list, a text of several lines
//! for an item) gives up the whole step.

use std::ops::Range;

use super::{is_flow, line_of, line_starts};
use crate::yaml::{Entry, Kind, Map, Node, Style};

/// Columns of one level.
const INDENT: usize = 2;

/// One line of the result.
#[derive(Clone)]
struct Line<'t> {
    /// Without blanks at its ends, and without its dash.
    text: &'t str,
    /// Columns before it, its dash not counted.
    indent: usize,
    /// Whether a dash stands before it, two columns to the left.
    has_dash: bool,
    /// Whether it begins something: comments look at it.
    is_structure: bool,
    /// Whether it is part of a text of several lines.
    is_inside: bool,
    /// Whether it is left out: a dash alone, which goes before the next line.
    is_left_out: bool,
    was_indented: usize,
    /// The column of its text, behind its dash.
    was_text: usize,
}

/// The text indented, with the keys of its rules in order; the error: the bytes of what is laid out in another way.
pub(super) fn indented(text: &str, tree: &Node) -> Result<String, Range<usize>> {
    let mut layout = Layout::new(text);
    let written = layout.file(tree);
    written.ok_or(layout.at)
}

struct Layout<'t> {
    text: &'t str,
    starts: Vec<usize>,
    lines: Vec<Line<'t>>,
    /// The key or item that is looked at.
    at: Range<usize>,
}

impl<'t> Layout<'t> {
    fn new(text: &'t str) -> Self {
        let line = |line: &'t str| {
            let text = line.trim_matches([' ', '\r']);
            let was_indented = line.len() - line.trim_start_matches(' ').len();
            let indent = was_indented;
            Line {
                text,
                indent,
                has_dash: false,
                is_structure: false,
                is_inside: false,
                is_left_out: false,
                was_indented,
                was_text: was_indented,
            }
        };
        Layout { text, starts: line_starts(text), lines: text.split('\n').map(line).collect(), at: 0..0 }
    }

    /// A whole file.
    fn file(&mut self, tree: &Node) -> Option<String> {
        let text = self.text;
        self.at = tree.span.clone();
        let map = tree.as_map()?;
        if is_flow(text, tree) {
            return None;
        }
        self.map(map, 0)?;
        self.comments();
        let mut order: Vec<usize> = (0..self.lines.len()).collect();
        for rule in map.get("rules").map(Node::items).unwrap_or_default() {
            self.at = rule.span.clone();
            if let Some(rule_map) = rule.as_map().filter(|_| !is_flow(text, rule)) {
                self.order_keys(rule_map, &mut order)?;
            }
        }
        Some(self.written(&order))
    }

    fn line(&self, at: usize) -> usize {
        line_of(&self.starts, at)
    }

    fn before(&self, at: usize) -> &'t str {
        let start = self.starts.get(self.line(at)).copied().unwrap_or(0);
        self.text.get(start..at).unwrap_or_default()
    }

    fn column(&self, at: usize) -> usize {
        self.before(at).len()
    }

    /// A block mapping whose keys stand at a column.
    fn map(&mut self, map: &Map, indent: usize) -> Option<()> {
        for entry in &map.entries {
            self.at = entry.key_span.clone();
            let at = self.line(entry.key_span.start);
            let before = self.before(entry.key_span.start).trim();
            let line = self.lines.get_mut(at)?;
            match before {
                "" => line.indent = indent,
                // Its dash was seen already.
                "-" if line.has_dash => {}
                _ => return None,
            }
            line.is_structure = true;
            self.value(entry, indent)?;
        }
        Some(())
    }

    fn value(&mut self, entry: &Entry, indent: usize) -> Option<()> {
        let value = &entry.value;
        let (key_line, first) = (self.line(entry.key_span.start), self.line(value.span.start));
        let last = self.last_line(value);
        match &value.kind {
            Kind::Scalar(scalar) if scalar.style == Style::Block => {
                let indicated = self.header(value).chars().find_map(|c| c.to_digit(10));
                let (base, deeper) = match indicated.and_then(|columns| usize::try_from(columns).ok()) {
                    Some(columns) => (self.column(entry.key_span.start) + columns, columns),
                    None => (self.column(value.span.start), INDENT),
                };
                self.shift(key_line + 1..last + 1, base, indent + deeper)
            }
            Kind::Scalar(_) if first == key_line && last == key_line => Some(()),
            Kind::Scalar(scalar) if scalar.style == Style::Empty => Some(()),
            Kind::Scalar(_) => {
                for line in self.lines.get_mut(key_line + 1..last + 1)? {
                    (line.indent, line.is_inside) = (indent + INDENT, true);
                }
                Some(())
            }
            Kind::Seq(_) | Kind::Map(_) if is_flow(self.text, value) => {
                // Each line by as much as the first.
                let base = self.lines.get(key_line)?.was_indented;
                let moved = self.lines.get(key_line)?.indent;
                self.shift(key_line + 1..last + 1, base, moved)
            }
            Kind::Seq(items) => self.list(items, indent + INDENT),
            Kind::Map(map) if first > key_line => self.map(map, indent + INDENT),
            _ => None,
        }
    }

    /// A block list whose dashes stand at a column.
    fn list(&mut self, items: &[Node], indent: usize) -> Option<()> {
        for item in items {
            self.at = item.span.clone();
            let at = self.line(item.span.start);
            // Lines of an item stay as far from its dash, or from its first where the dash stood alone.
            let (base, moved) = match self.before(item.span.start).trim() {
                "-" => self.dash(at).map(|column| (column, indent))?,
                "" => self.lone_dash(at).map(|column| (column, indent + INDENT))?,
                _ => return None,
            };
            let line = self.lines.get_mut(at)?;
            (line.indent, line.has_dash, line.is_structure) = (indent + INDENT, true, true);
            let last = self.last_line(item);
            match &item.kind {
                Kind::Map(map) if !is_flow(self.text, item) => self.map(map, indent + INDENT)?,
                Kind::Seq(_) if !is_flow(self.text, item) => return None,
                Kind::Scalar(scalar) if scalar.style == Style::Block => return None,
                Kind::Scalar(_) => {
                    for line in self.lines.get_mut(at + 1..last + 1)? {
                        (line.indent, line.is_inside) = (indent + INDENT, true);
                    }
                }
                _ => self.shift(at + 1..last + 1, base, moved)?,
            }
        }
        Some(())
    }

    /// Takes the dash off a line; its column.
    fn dash(&mut self, at: usize) -> Option<usize> {
        let line = self.lines.get_mut(at)?;
        let behind = line.text.strip_prefix('-')?.trim_start();
        line.was_text += line.text.len() - behind.len();
        line.text = behind;
        Some(line.was_indented)
    }

    /// Takes the dash that stands alone above a line; the column of the line.
    fn lone_dash(&mut self, at: usize) -> Option<usize> {
        let alone = self.lines.get_mut(at.checked_sub(1)?).filter(|line| line.text == "-")?;
        alone.is_left_out = true;
        let column = alone.was_indented;
        let line = self.lines.get_mut(at)?;
        // Comments look for the column of the dash.
        line.was_indented = column;
        Some(line.was_text)
    }

    /// The last line of a value; of a text that keeps the empty lines at its end, the last of these.
    fn last_line(&self, value: &Node) -> usize {
        let last = self.line(value.span.end.saturating_sub(1).max(value.span.start));
        match &value.kind {
            Kind::Scalar(scalar) if scalar.style == Style::Block && self.header(value).contains('+') => {
                let below = self.lines.iter().skip(last + 1);
                // What follows the last line break is no line.
                let lines = below.take_while(|line| line.text.is_empty()).count();
                (last + lines).min(self.lines.len().saturating_sub(2)).max(last)
            }
            _ => last,
        }
    }

    /// What stands before a block of text on the line of its key: `|`, `>+`, `|2`.
    fn header(&self, value: &Node) -> &'t str {
        let above = self.text.get(..value.span.start).unwrap_or_default();
        let line = above.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let line = line.split(" #").next().unwrap_or_default();
        line.split_whitespace().next_back().unwrap_or_default()
    }

    /// Moves lines of one text from a column to another, each by the same.
    fn shift(&mut self, lines: Range<usize>, from: usize, to: usize) -> Option<()> {
        for line in self.lines.get_mut(lines)? {
            (line.indent, line.is_inside) = ((line.was_indented + to).checked_sub(from).unwrap_or(to), true);
        }
        Some(())
    }

    /// Comments that stand alone go with what follows, or with what stands before them where they are indented
    /// like that and deeper than what follows.
    fn comments(&mut self) {
        let mut below: Option<(usize, usize)> = None;
        for at in (0..self.lines.len()).rev() {
            let was = self.lines.get(at).map_or(0, |line| line.was_indented);
            let above = self.as_deep_above(at, was);
            let Some(line) = self.lines.get_mut(at) else { continue };
            if line.is_structure {
                let dash = if line.has_dash { INDENT } else { 0 };
                below = Some((line.was_indented, line.indent - dash.min(line.indent)));
            } else if line.text.starts_with('#') && !line.is_inside {
                let (was_below, is_below) = below.unwrap_or((0, 0));
                line.indent = above.filter(|_| was > was_below).unwrap_or(is_below);
            }
        }
    }

    /// The new column of what stands above a line in the same column as it did, inside the same collection.
    fn as_deep_above(&self, at: usize, was: usize) -> Option<usize> {
        for line in self.lines.iter().take(at).rev().filter(|line| line.is_structure) {
            match () {
                () if line.was_text == was => return Some(line.indent),
                () if line.has_dash && line.was_indented == was => return line.indent.checked_sub(INDENT),
                () if line.was_indented < was => return None,
                () => {}
            }
        }
        None
    }

    /// Puts the keys of one rule in order; what stands above a key goes with it.
    fn order_keys(&mut self, rule: &Map, order: &mut Vec<usize>) -> Option<()> {
        let mut is_past_condition = false;
        let mut rank_before = 0;
        let mut groups: Vec<(u8, Vec<usize>, usize)> = Vec::new();
        let mut next = None;
        for entry in &rule.entries {
            let key = self.line(entry.key_span.start);
            let last = self.last_line(&entry.value).max(key);
            let rank = rank(&entry.key, is_past_condition).unwrap_or(rank_before);
            is_past_condition |= matches!(entry.key.as_str(), "when" | "sequence");
            rank_before = rank;
            groups.push((rank, (next.unwrap_or(key)..last + 1).collect(), key));
            next = Some(last + 1);
        }
        if groups.is_sorted_by_key(|(rank, ..)| *rank) {
            return Some(());
        }
        let (from, to) = (groups.first()?.1.first().copied()?, next?);
        let first_before = groups.first()?.2;
        groups.sort_by_key(|(rank, ..)| *rank);
        let first = groups.first()?.2;
        if first != first_before {
            self.lines.get_mut(first_before)?.has_dash = false;
            self.lines.get_mut(first)?.has_dash = true;
        }
        let lines: Vec<usize> = groups.into_iter().flat_map(|(_, lines, _)| lines).collect();
        // Lines of other rules were moved only among themselves, so these are where they were.
        order.splice(from..to, lines);
        Some(())
    }

    fn written(&self, order: &[usize]) -> String {
        let mut written = String::with_capacity(self.text.len());
        let mut is_blank_before = true;
        let mut kept = 0;
        for line in order.iter().filter_map(|at| self.lines.get(*at)).filter(|line| !line.is_left_out) {
            let is_blank = line.text.is_empty();
            // One empty line parts as well as two; inside a text each counts.
            if is_blank && is_blank_before && !line.is_inside {
                continue;
            }
            if !is_blank {
                let dash = if line.has_dash { INDENT } else { 0 };
                written.extend(std::iter::repeat_n(' ', line.indent - dash.min(line.indent)));
                written.push_str(if line.has_dash { "- " } else { "" });
                written.push_str(line.text);
            }
            written.push('\n');
            is_blank_before = is_blank;
            if line.is_inside {
                kept = written.len();
            }
        }
        let end = written.trim_end().len() + 1;
        written.truncate(end.max(kept));
        written
    }
}

/// The place of a rule's key among the others; keys of one rank stand as they were written.
fn rank(key: &str, is_past_condition: bool) -> Option<u8> {
    Some(match key {
        "id" => 0,
        "title" => 1,
        "description" => 2,
        "revision" | "state" | "owner" | "severity" | "score" | "group" | "audience" | "notice" | "inform"
        | "incident" | "on" => 3,
        "when" | "sequence" => 4,
        "unless" | "dedup" => 5,
        // What is recommended and what is turned may stand with either.
        "action" | "params" => {
            if is_past_condition {
                6
            } else {
                3
            }
        }
        "explain" | "attack" | "references" | "runbook" | "false_positives" => 6,
        "tests" => 7,
        "mutants" => 8,
        _ => return None,
    })
}

/// The text with one blank between a key and its value, but where values of neighbours stand below each other.
pub(super) fn spaced(text: &str, tree: &Node) -> Result<String, Range<usize>> {
    let mut gaps = Vec::new();
    collect_gaps(text, &line_starts(text), tree, &mut gaps);
    gaps.sort_by_key(|gap: &Range<usize>| gap.start);
    let mut written = String::with_capacity(text.len());
    let mut at = 0;
    for gap in gaps {
        written.push_str(text.get(at..gap.start).ok_or_else(|| gap.clone())?);
        written.push(' ');
        at = gap.end;
    }
    written.push_str(text.get(at..).ok_or(at..text.len())?);
    Ok(written)
}

fn collect_gaps(text: &str, starts: &[usize], node: &Node, gaps: &mut Vec<Range<usize>>) {
    match &node.kind {
        Kind::Seq(items) if !is_flow(text, node) => {
            items.iter().for_each(|item| collect_gaps(text, starts, item, gaps));
        }
        Kind::Map(map) if !is_flow(text, node) => {
            let column = |at: usize| at - starts.get(line_of(starts, at)).copied().unwrap_or(0);
            let gap = |entry: &Entry| {
                let start = entry.key_span.end + 1;
                let between = text.get(start..entry.value.span.start)?;
                let is_gap = text.get(entry.key_span.end..start) == Some(":") && between.trim_matches(' ').is_empty();
                is_gap.then_some(start..entry.value.span.start)
            };
            let columns: Vec<Option<usize>> =
                map.entries.iter().map(|entry| gap(entry).map(|gap| column(gap.end))).collect();
            for (nth, entry) in map.entries.iter().enumerate() {
                let is_like = |other: Option<usize>| {
                    other.and_then(|other| columns.get(other)).is_some_and(|other| Some(other) == columns.get(nth))
                };
                let is_alone = !is_like(nth.checked_sub(1)) && !is_like(nth.checked_add(1));
                if let Some(gap) = gap(entry).filter(|gap| gap.len() > 1 && is_alone) {
                    gaps.push(gap);
                }
                collect_gaps(text, starts, &entry.value, gaps);
            }
        }
        _ => {}
    }
}
