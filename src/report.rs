//! Problems in people's files: what is wrong, where, and the fix.
//!
//! Guarantees: every problem has a stable code and, where it is about a place in a file, a byte span that
//! falls on character boundaries; problems are told in the order of file and place, one cause once.
//! Used by whatever reads files that people write: rules, policy, lists, templates, config, mappings.
//! Does not decide what is a problem.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A file's text, kept as long as a problem may point into it.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as the user would write it, with `/`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The set does not load.
    Error,
    /// The set loads; `--strict` makes it an error.
    Warning,
}

/// A text that would mend the problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What is replaced, bytes of the file.
    pub span: Range<usize>,
    /// By what.
    pub with: String,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable code, such as `T003`.
    pub code: &'static str,
    /// Error or warning.
    pub level: Level,
    /// What is wrong, in one line.
    pub message: String,
    /// Where: the file and the bytes in it. `None` where no file can be named.
    pub at: Option<(Arc<SourceFile>, Range<usize>)>,
    /// What to do, where words say it better than a patch.
    pub help: Option<String>,
    /// What to write instead.
    pub fix: Option<Fix>,
}

impl Problem {
    /// An error at a place.
    pub fn error(code: &'static str, file: &Arc<SourceFile>, span: Range<usize>, message: impl Into<String>) -> Self {
        Problem {
            code,
            level: Level::Error,
            message: message.into(),
            at: Some((Arc::clone(file), span)),
            help: None,
            fix: None,
        }
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, file: &Arc<SourceFile>, span: Range<usize>, message: impl Into<String>) -> Self {
        Problem { level: Level::Warning, ..Self::error(code, file, span, message) }
    }

    /// An error of no place, such as a file that cannot be read.
    pub fn nowhere(code: &'static str, message: impl Into<String>) -> Self {
        Problem { code, level: Level::Error, message: message.into(), at: None, help: None, fix: None }
    }

    /// With words that help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a text that mends it, in place of the bytes `span`.
    #[must_use]
    pub fn fix(mut self, span: Range<usize>, with: impl Into<String>) -> Self {
        self.fix = Some(Fix { span, with: with.into() });
        self
    }
}

/// The candidate nearest to `word`, if it is near enough to be meant.
pub fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let near = |c: &&str| strsim::damerau_levenshtein(word, c) <= (word.chars().count() / 3).clamp(1, 3);
    candidates.into_iter().filter(near).min_by_key(|c| (strsim::damerau_levenshtein(word, c), c.len()))
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
