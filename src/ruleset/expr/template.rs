//! Templates of explanations: text with names in braces.
//!
//! Guarantees: every name is a single value that exists where the rule runs and is not personal. `{{` and
//! `}}` are braces; a line break with the spaces around it is one space. Does not render: whoever has a row
//! does.

use std::ops::Range;

use super::check::Checker;
use super::{Layout, Meaning, Problem, Scope, Snippet, codes};
use crate::event::Field;
use crate::ruleset::model::{Name, Part, Piece};

/// Length of a template, at most, bytes.
pub const TEMPLATE_BYTES_MAX: usize = 4096;

/// Parses and checks a template.
pub(super) fn parse(
    snippet: &Snippet<'_>,
    scope: &dyn Scope,
    layout: &mut Layout,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Piece>> {
    if snippet.text.len() > TEMPLATE_BYTES_MAX {
        let message = format!("an explanation has at most {} KiB", TEMPLATE_BYTES_MAX / 1024);
        let start = snippet.span(0..0).start;
        problems.push(Problem::error(codes::TOO_LONG, snippet.file, start..start, message));
        return None;
    }
    let checker = Checker::new(snippet.file, scope, problems);
    let mut template = Template { snippet, checker, layout, pieces: Vec::new(), text: String::new() };
    template.read();
    let pieces = template.pieces;
    (!template.checker.has_failed()).then_some(pieces)
}

struct Template<'s, 'p, 'l> {
    snippet: &'s Snippet<'s>,
    checker: Checker<'s, 'p>,
    layout: &'l mut Layout,
    pieces: Vec<Piece>,
    /// The fixed text since the last name.
    text: String,
}

impl Template<'_, '_, '_> {
    fn read(&mut self) {
        let snippet = self.snippet;
        let text: &str = &snippet.text;
        let mut at = text.len() - text.trim_start().len();
        let end = text.trim_end().len();
        while let Some(rest) = text.get(at..end).filter(|rest| !rest.is_empty()) {
            let plain = rest.find(['{', '}', '\n', '\r']).unwrap_or(rest.len());
            self.text.push_str(&rest[..plain]);
            let rest = &rest[plain..];
            at += plain;
            at += match rest.chars().next() {
                None => 0,
                Some('{') if rest.starts_with("{{") => self.fixed('{', 2),
                Some('}') if rest.starts_with("}}") => self.fixed('}', 2),
                Some('{') => self.name(rest, at),
                Some('}') => {
                    let problem = self.problem(at..at + 1, "`}` closes nothing");
                    self.checker.tell(problem.help("a brace of the text is written `}}`"));
                    1
                }
                Some(_) => {
                    self.text.truncate(self.text.trim_end().len());
                    self.fixed(' ', rest.len() - rest.trim_start().len())
                }
            };
        }
        self.flush();
    }

    fn fixed(&mut self, c: char, length: usize) -> usize {
        self.text.push(c);
        length
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.pieces.push(Piece::Text(std::mem::take(&mut self.text)));
        }
    }

    fn problem(&self, range: Range<usize>, message: impl Into<String>) -> Problem {
        Problem::error(codes::BAD_TEMPLATE, self.snippet.file, self.snippet.span(range), message)
    }

    /// What stands from a `{` on; returns how much of it was read.
    fn name(&mut self, rest: &str, at: usize) -> usize {
        let inner = &rest[1..];
        let length = inner.find(['{', '}', '\n', '\r']).unwrap_or(inner.len());
        let written = &inner[..length];
        if !inner[length..].starts_with('}') {
            let end = at + 1 + written.trim_end().len();
            let problem = self.problem(at..end, "this brace is not closed");
            self.checker.tell(problem.help("a brace of the text is written `{{`"));
            return 1 + length;
        }
        let path = written.trim();
        let start = at + 1 + (written.len() - written.trim_start().len());
        let range = start..start + path.len();
        if is_dotted(path) {
            self.value(path, &self.snippet.span(range));
        } else if path.is_empty() {
            let problem = self.problem(at..at + length + 2, "there is no name in these braces");
            self.checker.tell(problem);
        } else {
            let problem = self.problem(range, format!("`{path}` is not a name"));
            self.checker.tell(problem.help("braces hold one name; reckon in `when`"));
        }
        length + 2
    }

    fn value(&mut self, path: &str, span: &Range<usize>) {
        match self.checker.resolve(path, span) {
            None | Some(Meaning::Broken) => {}
            Some(Meaning::Constant(value, _)) => self.text.push_str(&value.to_string()),
            Some(Meaning::Def(_)) => {
                let message = format!("`{path}` is a def: an explanation shows fields, features and params");
                let problem = self.checker.problem(codes::NOT_SHOWN, span, message);
                self.checker.tell(problem);
            }
            Some(Meaning::Value { name, .. }) if personal(name) => {
                let message = format!("`{path}` is personal: no explanation shows it");
                let problem = self.checker.problem(codes::PERSONAL_FIELD, span, message);
                self.checker.tell(problem);
            }
            Some(Meaning::Value { name, ty, .. }) => {
                self.flush();
                let cell = self.layout.cell(name, ty);
                self.pieces.push(Piece::Value(ty, cell));
            }
        }
    }
}

fn personal(name: Name) -> bool {
    match name {
        Name::Field(field) | Name::Feature(_, Part::Field(field)) | Name::Alias(_, field) => Field::is_personal(field),
        _ => false,
    }
}

/// `name{.name}`, or `name.share(n)`.
fn is_dotted(path: &str) -> bool {
    let path = match path.strip_suffix(')').and_then(|p| p.rsplit_once(".share(")) {
        Some((name, n)) if n.parse::<u32>().is_ok() => name,
        _ => path,
    };
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    path.split('.').all(is_name)
}
