//! Problems in people's files: what is wrong, where, and the fix.
//!
//! Guarantees: every problem has a stable code and, where it is about a place in a file, a byte span that
//! falls on character boundaries; problems are told in the order of file and place, one cause once.
//! Used by whatever reads files that people write: rules, policy, lists, templates, config, mappings.
//! Does not decide what is a problem.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level as Shown, Patch, Renderer, Snippet, normalize_untrusted_str};

/// Problems drawn in full by [`render`]; the rest is only counted. [`to_json`] gives all of them.
pub const PROBLEMS_DRAWN_MAX: usize = 200;
/// Length of a word for which the one that was meant is looked for, at most, bytes.
const MEANT_BYTES_MAX: usize = 128;
/// Columns of a drawn problem; longer lines are cut around it.
const WIDTH: usize = 160;

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
    /// The key of the configuration it is about, such as `geo.files[1]`, where only whoever read the configuration
    /// knows the place.
    pub about: Option<String>,
    /// What to do, where words say it better than a patch.
    pub help: Option<String>,
    /// What to write instead.
    pub fix: Option<Fix>,
}

impl Problem {
    /// An error at a place. Bytes that end beyond the file, or inside a character, are those of whole characters;
    /// those that begin beyond it stay as they are.
    pub fn error(code: &'static str, file: &Arc<SourceFile>, span: Range<usize>, message: impl Into<String>) -> Self {
        Problem {
            code,
            level: Level::Error,
            message: message.into(),
            at: Some((Arc::clone(file), whole_characters(&file.text, span))),
            about: None,
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
        Problem { code, level: Level::Error, message: message.into(), at: None, about: None, help: None, fix: None }
    }

    /// About a key of the configuration, which puts the place in.
    #[must_use]
    pub fn about(mut self, key: impl Into<String>) -> Self {
        self.about = Some(key.into());
        self
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
        let span = match &self.at {
            Some((file, _)) => whole_characters(&file.text, span),
            None => span,
        };
        self.fix = Some(Fix { span, with: with.into() });
        self
    }
}

/// The candidate nearest to `word`, if it is near enough to be meant. Of equally near ones the one that
/// begins most alike: `acount` is `account`, neither `count` nor `amount`.
pub fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Nobody misspells a word of this length; comparing it would cost.
    if word.len() > MEANT_BYTES_MAX {
        return None;
    }
    let length = word.chars().count();
    let near_max = (length / 3).clamp(1, 3).min(length.saturating_sub(1));
    let distances = candidates.into_iter().map(|c| (strsim::damerau_levenshtein(word, c), c));
    let alike = |c: &str| c.chars().zip(word.chars()).take_while(|(a, b)| a == b).count();
    let near = distances.filter(|(distance, _)| *distance <= near_max);
    near.min_by_key(|(distance, c)| (*distance, std::cmp::Reverse(alike(c)), c.len())).map(|(_, c)| c)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Puts problems into the order in which they are told: those of no file first, then by file and place,
/// one cause (same code at the same place) once.
pub fn sorted(problems: &[Problem]) -> Vec<&Problem> {
    fn place(problem: &Problem) -> Option<(&str, usize, usize)> {
        problem.at.as_ref().map(|(file, span)| (file.path.as_str(), span.start, span.end))
    }
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by(|a, b| (place(a), a.code, a.level).cmp(&(place(b), b.code, b.level)));
    sorted.dedup_by(|b, a| a.code == b.code && a.at == b.at && (a.at.is_some() || a.message == b.message));
    sorted
}

/// All problems as people read them, with a closing line that counts them; empty where there is none.
pub fn render(problems: &[Problem], color: bool) -> String {
    let sorted = sorted(problems);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(WIDTH);
    let mut lines = Lines::default();
    let mut text = String::new();
    for problem in sorted.iter().take(PROBLEMS_DRAWN_MAX) {
        text.push_str(&renderer.render(&groups(problem, &mut lines)));
        text.push_str("\n\n");
    }
    if sorted.len() > PROBLEMS_DRAWN_MAX {
        let _ = writeln!(text, "… and {} more\n", sorted.len() - PROBLEMS_DRAWN_MAX);
    }
    let errors = sorted.iter().filter(|p| p.level == Level::Error).count();
    let counts = [(errors, "problem"), (sorted.len() - errors, "warning")];
    let counted: Vec<String> = counts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}{}", if *n == 1 { "" } else { "s" }))
        .collect();
    if !counted.is_empty() {
        let _ = writeln!(text, "{}", counted.join(", "));
    }
    text
}

/// All problems as JSON, one object a line: `code`, `level`, `message`, and where they are known `file`,
/// `line`, `column`, `end`, `help` and `fix`. Lines and columns count from 1, columns in characters; `end`
/// is one past the last character.
pub fn to_json(problems: &[Problem]) -> String {
    let mut lines = Lines::default();
    let mut text = String::new();
    for problem in sorted(problems) {
        let object = serde_json::Value::Object(json_object(problem, &mut lines));
        let _ = writeln!(text, "{object}");
    }
    text
}

/// Line and column of a byte of a file, from 1, the column in characters.
pub fn place(file: &Arc<SourceFile>, byte: usize) -> (usize, usize) {
    Lines::default().place(file, byte)
}

fn json_object(problem: &Problem, lines: &mut Lines) -> serde_json::Map<String, serde_json::Value> {
    let level = if problem.level == Level::Error { "error" } else { "warning" };
    let mut object = serde_json::Map::new();
    object.insert("code".to_owned(), problem.code.into());
    object.insert("level".to_owned(), level.into());
    object.insert("message".to_owned(), problem.message.as_str().into());
    let mut range = |file: &Arc<SourceFile>, span: &Range<usize>| {
        let start = lines.place(file, span.start);
        (start, lines.place(file, span.end.max(span.start)))
    };
    if let Some((file, span)) = &problem.at {
        let (start, end) = range(file, span);
        object.insert("file".to_owned(), file.path.as_str().into());
        object.insert("line".to_owned(), start.0.into());
        object.insert("column".to_owned(), start.1.into());
        object.insert("end".to_owned(), serde_json::json!({ "line": end.0, "column": end.1 }));
        if let Some(fix) = &problem.fix {
            let (start, end) = range(file, &fix.span);
            let fix = serde_json::json!({
                "line": start.0, "column": start.1,
                "end": { "line": end.0, "column": end.1 }, "with": fix.with,
            });
            object.insert("fix".to_owned(), fix);
        }
    }
    if let Some(help) = &problem.help {
        object.insert("help".to_owned(), help.as_str().into());
    }
    object
}

/// One problem as the renderer wants it: what is wrong, then what to write instead.
fn groups<'p>(problem: &'p Problem, lines: &mut Lines) -> Vec<Group<'p>> {
    let level = if problem.level == Level::Error { Shown::ERROR } else { Shown::WARNING };
    let title = level.primary_title(problem.message.as_str()).id(problem.code);
    let help = problem.help.as_deref().map(|help| Shown::HELP.message(normalize_untrusted_str(help)));
    let Some((file, span)) = &problem.at else {
        return vec![Group::with_title(title).elements(help)];
    };
    let (cut, first_line, span) = lines.cut(file, span);
    let snippet = Snippet::source(cut)
        .line_start(first_line)
        .path(file.path.as_str())
        .annotation(AnnotationKind::Primary.span(span));
    let mut groups = vec![Group::with_title(title).element(snippet).elements(help)];
    if let Some(fix) = &problem.fix {
        let (cut, first_line, span) = lines.cut(file, &fix.span);
        let words = format!("write `{}`", normalize_untrusted_str(&fix.with));
        let snippet = Snippet::source(cut).line_start(first_line).path(file.path.as_str());
        groups.push(Shown::HELP.secondary_title(words).element(snippet.patch(Patch::new(span, fix.with.as_str()))));
    }
    groups
}

/// Where lines begin, found once for each file: a problem costs its own lines, not its whole file.
#[derive(Default)]
pub(crate) struct Lines(HashMap<*const SourceFile, Vec<usize>>);

impl Lines {
    fn starts(&mut self, file: &Arc<SourceFile>) -> &[usize] {
        self.0.entry(Arc::as_ptr(file)).or_insert_with(|| {
            std::iter::once(0).chain(memchr::memchr_iter(b'\n', file.text.as_bytes()).map(|at| at + 1)).collect()
        })
    }

    /// Line and column of a byte, from 1, columns in characters.
    pub(crate) fn place(&mut self, file: &Arc<SourceFile>, byte: usize) -> (usize, usize) {
        let byte = boundary_at_or_before(&file.text, byte);
        let line = self.starts(file).partition_point(|start| *start <= byte);
        let start = self.starts(file).get(line.saturating_sub(1)).copied().unwrap_or(0);
        (line, file.text.get(start..byte).map_or(0, |before| before.chars().count()) + 1)
    }

    /// The lines a span touches, the number of the first, and the span in them.
    fn cut<'f>(&mut self, file: &'f Arc<SourceFile>, span: &Range<usize>) -> (&'f str, usize, Range<usize>) {
        let start = boundary_at_or_before(&file.text, span.start);
        let end = boundary_at_or_before(&file.text, span.end.max(start)).max(start);
        let starts = self.starts(file);
        let first = starts.partition_point(|s| *s <= start);
        let from = starts.get(first.saturating_sub(1)).copied().unwrap_or(0);
        // A span that ends with a line break does not touch the next line.
        let last = starts.partition_point(|s| *s < end.max(start + 1));
        let to = starts.get(last).copied().unwrap_or(file.text.len());
        (file.text.get(from..to).unwrap_or(""), first.max(1), start - from..end - from)
    }
}

/// The characters of a text that a span touches.
fn whole_characters(text: &str, span: Range<usize>) -> Range<usize> {
    if span.start > text.len() {
        // The configuration counts the values of the environment on from its file's text.
        return span;
    }
    let start = boundary_at_or_before(text, span.start);
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

fn boundary_at_or_before(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Arc<SourceFile> {
        Arc::new(SourceFile { path: "rules/bad.yaml".to_owned(), text: text.to_owned() })
    }

    #[test]
    fn a_problem_shows_its_line_a_caret_and_the_fix() {
        let file = file("one\n    severty: high\n    severity: hgih\nx: amount > 5\n");
        let problems = [
            Problem::error("T002", &file, 44..54, "cannot compare an amount of money with a whole number")
                .help("give the currency, for example `5000 CNY`"),
            Problem::error("R009", &file, 36..40, "unknown severity `hgih`").fix(36..40, "high"),
            Problem::error("R002", &file, 8..15, "unknown key `severty`").fix(8..15, "severity"),
            Problem::error("R002", &file, 8..15, "told twice"),
            Problem::nowhere("R001", "cannot read rules/x.yaml: permission denied").help("make it readable"),
            Problem::warning("W004", &file, 44..50, "never used"),
        ];
        insta::assert_snapshot!(render(&problems, false));
        insta::assert_snapshot!(to_json(&problems));
    }

    #[test]
    fn places_count_characters_and_any_span_is_clamped() {
        let file = file("标题: 登录\nb: 值 x\n");
        let x = file.text.find('x').expect("it is there");
        assert_eq!(Lines::default().place(&file, x), (2, 6));
        assert_eq!(Lines::default().place(&file, x - 2), (2, 4), "inside a character is at its start");
        for start in 0..file.text.len() + 3 {
            for end in 0..file.text.len() + 3 {
                let text = render(&[Problem::error("Y001", &file, start..end, "m").fix(start..end, "y")], false);
                assert!(text.contains("rules/bad.yaml"), "{start}..{end}");
            }
        }
        let of = |span: Range<usize>| Problem::error("Y001", &file, span, "m").fix(4..5, "y");
        let (_, span) = of(3..4).at.expect("a place");
        assert_eq!(&file.text[span], "题", "a character that is touched is told whole");
        let beyond = of(40..50).at.map(|(_, span)| span);
        assert_eq!(beyond, Some(40..50), "the values of the environment lie beyond a configuration's text");
        assert_eq!(of(0..1).fix.map(|fix| fix.span), Some(3..6));
        let empty = super::tests::file("");
        assert!(render(&[Problem::error("Y001", &empty, 0..1, "nothing in it")], false).contains("bad.yaml:1:1"));
    }

    #[test]
    fn control_characters_of_a_file_are_not_sent_to_a_terminal() {
        let file = file("a: \u{1b}[31mred\u{202e}\n");
        let text = render(&[Problem::error("Y001", &file, 3..7, "a \u{1b}[2J b").fix(3..4, "\u{1b}[0m")], false);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }

    #[test]
    fn the_word_that_was_meant() {
        let fields = ["count", "account", "amount", "result", "x"];
        assert_eq!(did_you_mean("acount", fields), Some("account"));
        assert_eq!(did_you_mean("cout", fields), Some("count"));
        assert_eq!(did_you_mean("reslt", fields), Some("result"));
        assert_eq!(did_you_mean("y", fields), None, "one letter for another is no slip");
        assert_eq!(did_you_mean("", fields), None);
    }

    #[test]
    fn nothing_to_tell_is_no_text() {
        assert_eq!(render(&[], false), "");
        assert_eq!(to_json(&[]), "");
    }
}
