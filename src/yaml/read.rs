//! Reads values out of a file's tree, each as its key wants it.
//!
//! Guarantees: what is not as wanted is told once with its place, and with its fix where one can be guessed;
//! a broken node is passed over in silence, because it was told before. Does not know what keys mean.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::{Dialect, Entry, Kind, Map, Node, Style};
use crate::report::{Problem, SourceFile, did_you_mean};

/// Length of a title, a reason and other words for people, at most, bytes.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// One file while it is read, and where its problems go.
#[derive(Debug)]
pub struct Reader<'a> {
    /// The file.
    pub file: &'a Arc<SourceFile>,
    /// What kind of file it is.
    pub dialect: &'static Dialect,
    /// What was found.
    pub problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// Tells an error.
    pub fn error(&mut self, code: &'static str, span: Range<usize>, message: impl Into<String>) {
        self.problems.push(Problem::error(code, self.file, span, message));
    }

    /// Tells an error with words that help.
    pub fn error_help(&mut self, code: &'static str, span: Range<usize>, message: impl Into<String>, help: &str) {
        self.problems.push(Problem::error(code, self.file, span, message).help(help));
    }

    /// Tells an error about a word, with the word that was probably meant.
    pub fn unknown_word<'c>(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        word: &str,
        known: impl IntoIterator<Item = &'c str> + Clone,
    ) {
        let problem = Problem::error(code, self.file, span.clone(), message);
        let problem = match did_you_mean(word, known.clone()) {
            Some(meant) => problem.fix(span, meant),
            None => {
                let known: Vec<&str> = known.into_iter().take(40).collect();
                if known.is_empty() {
                    problem.help("there is none here")
                } else {
                    problem.help(format!("one of {}", known.join(", ")))
                }
            }
        };
        self.problems.push(problem);
    }

    /// Tells which of some keys a mapping lacks, in one problem. A misspelt one is not missing.
    pub fn require(&mut self, node: &Node, what: &str, keys: &[&str]) {
        let Kind::Map(map) = &node.kind else { return };
        let lacks = |key: &&&str| {
            let meant = |entry: &Entry| did_you_mean(&entry.key, [**key]).is_some();
            map.get(key).is_none() && !map.entries.iter().any(meant)
        };
        let missing: Vec<String> = keys.iter().filter(lacks).map(|key| format!("`{key}`")).collect();
        let list = match missing.split_last() {
            None => return,
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        };
        self.error(self.dialect.missing_key, node.head(), format!("{what} needs {list}"));
    }

    /// A mapping; `what` is what it describes, such as `a feature`.
    pub fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n Map> {
        match &node.kind {
            Kind::Map(map) => Some(map),
            Kind::Broken => None,
            _ => {
                self.error(self.dialect.shape, node.head(), format!("{what} is a mapping: `key: value`"));
                None
            }
        }
    }

    /// A list.
    pub fn seq<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.kind {
            Kind::Seq(items) => Some(items),
            Kind::Broken => None,
            _ => {
                self.error(
                    self.dialect.shape,
                    node.head(),
                    format!("{what} is a list: `[a, b]` or one `- item` a line"),
                );
                None
            }
        }
    }

    /// A list, or one item in place of a list of one.
    pub fn one_or_more<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.kind {
            Kind::Seq(items) => {
                if items.is_empty() {
                    self.error(self.dialect.value, node.head(), format!("{what} must not be empty"));
                }
                items
            }
            _ => std::slice::from_ref(node),
        }
    }

    /// Tells keys that do not belong into a mapping.
    pub fn keys(&mut self, map: &Map, known: &[&str], later: &[&str]) {
        for entry in &map.entries {
            let key = entry.key.as_str();
            if later.contains(&key) {
                let message = format!("this version of walletwatch does not know `{key}` yet");
                self.error(self.dialect.not_yet, entry.key_span.clone(), message);
            } else if !known.contains(&key) {
                let message = format!("unknown key `{key}`");
                self.unknown_word(
                    self.dialect.unknown_key,
                    entry.key_span.clone(),
                    message,
                    key,
                    known.iter().copied(),
                );
            }
        }
    }

    /// A scalar's text, whatever it looks like.
    pub fn scalar<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.style != Style::Empty => Some(scalar.text.as_str()),
            Kind::Scalar(_) => {
                self.error(self.dialect.shape, node.head(), format!("{what} is empty"));
                None
            }
            Kind::Broken => None,
            _ => {
                self.error(self.dialect.shape, node.head(), format!("{what} is one value, not a list or a mapping"));
                None
            }
        }
    }

    /// A text for people: not empty, not endless, without control characters.
    pub fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.scalar(node, what)?.trim();
        if node.is_null() || text.is_empty() {
            self.error(self.dialect.value, node.span.clone(), format!("{what} is empty"));
            return None;
        }
        if text.len() > TEXT_BYTES_MAX {
            self.error(self.dialect.value, node.head(), format!("{what} has at most {TEXT_BYTES_MAX} bytes"));
            return None;
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            self.error(self.dialect.value, node.span.clone(), format!("{what} holds a control character"));
            return None;
        }
        Some(text.to_owned())
    }

    /// An id such as a rule's: small letters, digits and `-`.
    pub fn id(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.scalar(node, what)?;
        let mut bytes = text.bytes();
        let starts = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        if starts && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') && text.len() <= 64 {
            return Some(text.to_owned());
        }
        let help = "small letters, digits and `-`, a letter first, at most 64";
        self.error_help(self.dialect.name, node.span.clone(), format!("`{text}` cannot be {what}"), help);
        None
    }

    /// A whole number in a range.
    pub fn int(&mut self, node: &Node, what: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let text = self.scalar(node, what)?;
        match text.parse::<i64>() {
            Ok(n) if range.contains(&n) && is_plain(node) => Some(n),
            _ => {
                let message = match *range.end() {
                    i64::MAX => format!("{what} is a whole number, at least {}", range.start()),
                    end => format!("{what} is a whole number from {} to {end}", range.start()),
                };
                self.error(self.dialect.value, node.span.clone(), message);
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn bool(&mut self, node: &Node, what: &str) -> Option<bool> {
        match self.scalar(node, what)? {
            "true" | "True" | "TRUE" if is_plain(node) => Some(true),
            "false" | "False" | "FALSE" if is_plain(node) => Some(false),
            _ => {
                self.error(self.dialect.value, node.span.clone(), format!("{what} is `true` or `false`"));
                None
            }
        }
    }

    /// One word of a few: `unknown severity `hgih``.
    pub fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let word = self.scalar(node, what)?;
        let found = words.iter().find(|(w, _)| *w == word).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
            self.unknown_word(self.dialect.value, node.span.clone(), format!("unknown {what} `{word}`"), word, known);
        }
        found
    }
}

/// Whether a scalar stands without quotes.
pub fn is_plain(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(scalar) if matches!(scalar.style, Style::Plain | Style::Block))
}
