//! YAML as our files may use it: a strict subset, read into a tree whose nodes know their bytes.
//!
//! Guarantees: one document, no tags, anchors, aliases, merge keys or duplicate keys; every such problem is
//! told with its place, and a node that had one is [`Kind::Broken`], so that nobody tells a second one about
//! it. Time and memory grow with the file's size only. Does not know what keys mean: rules and mappings do.

pub mod codes;
mod read;
mod tree;

use std::ops::Range;
use std::sync::Arc;

use crate::report::{Problem, SourceFile};

pub use read::{Reader, is_plain};

/// Size of one file, at most.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Collections inside each other, at most.
pub const DEPTH_MAX: usize = 32;
/// Scalars and collections of one file, at most.
pub const NODES_MAX: usize = 200_000;

/// A kind of file: what it is called, its own help where the subset surprises people, and the codes of what
/// is wrong with its keys and values.
#[derive(Debug)]
pub struct Dialect {
    /// One such file: `rule file`.
    pub file: &'static str,
    /// What to do about a tag.
    pub tag_help: &'static str,
    /// What to do about an anchor or alias.
    pub anchor_help: &'static str,
    /// What to do about a merge key.
    pub merge_help: &'static str,
    /// A mapping, list or text stands where another of them belongs.
    pub shape: &'static str,
    /// A key that does not exist here.
    pub unknown_key: &'static str,
    /// A key that must be there is not.
    pub missing_key: &'static str,
    /// A key that only a later version knows.
    pub not_yet: &'static str,
    /// A name that is not allowed.
    pub name: &'static str,
    /// A value that its key does not take.
    pub value: &'static str,
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its bytes in the file. A quoted scalar's include the quotes; a block's begin at its first character.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A scalar.
    Scalar(Scalar),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping.
    Map(Map),
    /// Something a problem was told about already.
    Broken,
}

/// A scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// Its text, decoded and folded.
    pub text: String,
    /// How it is written.
    pub style: Style,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Nothing at all: the value of `a:`.
    Empty,
    /// Without quotes.
    Plain,
    /// Under single quotes.
    Single,
    /// Under double quotes.
    Double,
    /// Under `|` or `>`.
    Block,
}

/// A mapping, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    /// Its entries; no key stands twice.
    pub entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's bytes.
    pub key_span: Range<usize>,
    /// The value.
    pub value: Node,
}

impl Map {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }
}

impl Node {
    /// Its first byte: where a problem about the whole of it is shown.
    pub fn head(&self) -> Range<usize> {
        self.span.start..self.span.start + 1
    }

    /// Its entries, if it is a mapping.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.kind {
            Kind::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Its text as it was written, without its quotes, if it is a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Its items, if it is a list; else none.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::Seq(items) => items,
            _ => &[],
        }
    }

    /// Whether it is `null` in the core schema: nothing, `~` or `null`, without quotes.
    pub fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar(scalar) => match scalar.style {
                Style::Empty => true,
                Style::Plain => matches!(scalar.text.as_str(), "~" | "null" | "Null" | "NULL"),
                _ => false,
            },
            _ => false,
        }
    }
}

/// Reads one file. `None` where it is no tree at all; then a problem says why.
pub fn parse(file: &Arc<SourceFile>, dialect: &'static Dialect, problems: &mut Vec<Problem>) -> Option<Node> {
    let (tree, is_whole) = parse_partly(file, dialect, problems);
    tree.filter(|_| is_whole)
}

/// The same, with what stands before an error of YAML, and whether that is everything. What the error may have
/// cut short is left out.
pub fn parse_partly(
    file: &Arc<SourceFile>,
    dialect: &'static Dialect,
    problems: &mut Vec<Problem>,
) -> (Option<Node>, bool) {
    if file.text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", file.text.len());
        problems.push(Problem::error(codes::LIMIT, file, 0..0, message));
        return (None, false);
    }
    tree::build(file, dialect, problems)
}

#[cfg(test)]
mod tests;
