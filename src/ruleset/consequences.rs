//! Problems that only follow from others, so that one cause is told once.
//!
//! Guarantees: a name is not told as unknown because its declaration is wrong, or because the file that declares it
//! could not be read. Never drops the cause.

use std::sync::Arc;

use super::codes;
use super::declare::Declared;
use super::expr;
use crate::report::{Problem, SourceFile};

/// Unknown names that are looked for in what could not be read; further ones are taken as declared there.
const UNREAD_ASKED_MAX: usize = 100;

/// What could not be read of a rule set.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Some file could not be read at all: names that it declares are not known.
    pub is_partial: bool,
    /// Files that were not read to their end: a name may be declared in what was not.
    pub files: Vec<Arc<SourceFile>>,
}

impl Unread {
    /// Whether what was not read may declare a name; `asked` counts the questions of one run.
    fn may_declare(&self, name: &str, asked: &mut usize) -> bool {
        *asked += 1;
        self.is_partial
            || (!self.files.is_empty() && *asked > UNREAD_ASKED_MAX)
            || self.files.iter().any(|file| declares(&file.text, name))
    }
}

/// Drops what only follows, and says of a feature without a part which parts it has.
pub(super) fn drop_consequences(problems: &mut Vec<Problem>, declared: &Declared<'_>, unread: &Unread) {
    let unknown = [expr::codes::UNKNOWN_NAME, expr::codes::UNKNOWN_LIST, expr::codes::LIST_TYPE, codes::EXCEPTION];
    let features = &declared.names.features;
    let mut asked = 0;
    problems.retain(|problem| {
        let is_exception = problem.code == codes::EXCEPTION;
        if !unknown.contains(&problem.code) || (is_exception && !problem.message.starts_with("unknown")) {
            return true;
        }
        let text = text_at(problem).unwrap_or("");
        let list = text.find("lists.").map(|at| text[at..].split_whitespace().next().unwrap_or(""));
        let name = list.unwrap_or_else(|| text.split('.').next().unwrap_or(text));
        // The parts of a broken feature are known where its aggregate is.
        let is_known = features.get(name).is_some_and(|(_, spec)| spec.kind.is_some());
        let follows_from_declaration = declared.broken.contains(name) && !is_known;
        let follows_from_file = problem.code != expr::codes::LIST_TYPE
            && unread.may_declare(name.strip_prefix("lists.").unwrap_or(name), &mut asked);
        !follows_from_declaration && !follows_from_file
    });
    for problem in problems {
        super::parts::explain_unknown(problem, features);
    }
}

/// The text that a problem is about.
pub(super) fn text_at(problem: &Problem) -> Option<&str> {
    let (file, span) = problem.at.as_ref()?;
    file.text.get(span.clone())
}

/// Whether a text seems to declare a name: as a key, or as the `name` of something.
fn declares(text: &str, name: &str) -> bool {
    let quotes = [' ', '"', '\''];
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut places = text.match_indices(name).filter(|_| !name.is_empty());
    places.any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let after = text.get(at + name.len()..).unwrap_or_default();
        let is_key = !before.ends_with(is_part) && after.trim_start_matches(quotes).starts_with(':');
        is_key || (before.trim_end_matches(quotes).ends_with("name:") && !after.starts_with(is_part))
    })
}
