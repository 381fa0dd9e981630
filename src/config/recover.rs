//! A configuration with errors of TOML in it: which they are, and what can be read all the same.
//!
//! Guarantees: each error is told once, at the statement that has it; what is left is TOML, and every byte of it
//! stands where it stood; of a section that lost a part it is known that it did. Does not read values.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::{DeTable, Error};

/// Errors of one file that are looked for.
const ERRORS_MAX: usize = 50;

/// What is left of a text, and what was wrong with it.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The text, with blanks in place of what is no TOML. As long as the text itself.
    pub text: String,
    /// Each error: its bytes, and what it is.
    pub errors: Vec<(Range<usize>, String)>,
    /// The sections that lost a part, or everything.
    pub unread: Unread,
}

/// Sections that could not be read whole.
#[derive(Debug, Clone, Default)]
pub struct Unread {
    /// By name: `sms`, `webhook.soc`; the empty one is the file itself.
    sections: BTreeSet<String>,
    /// A channel's section lost its head, and with it everything.
    is_channel_lost: bool,
    /// Some section's name, too, could not be read; or everything after some place.
    is_name_lost: bool,
}

impl Unread {
    /// Whether a section may have had more than was read of it.
    pub fn contains(&self, section: &str) -> bool {
        self.is_name_lost || self.sections.contains(section)
    }

    /// Whether it is unknown which channels there are.
    pub fn are_channels_lost(&self) -> bool {
        self.is_channel_lost || self.is_name_lost
    }
}

/// Some lines that are one thing: a section's head, a key with its value, or nothing known.
#[derive(Debug)]
struct Statement {
    at: Range<usize>,
    kind: Kind,
    /// The section it stands in, or opens.
    section: String,
    /// A bracket in it is open at its end.
    is_open: bool,
    /// A text of several lines is open at its end: what follows it is part of it.
    is_endless: bool,
    is_blank: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Head,
    Key,
    Other,
}

/// Finds the errors of a text and takes out, one after another, the statements that have them.
pub fn recover(text: &str) -> Recovered {
    let mut found = Recovered { text: text.to_owned(), ..Recovered::default() };
    let mut statements = statements(text);
    while found.errors.len() < ERRORS_MAX {
        let (_, errors) = DeTable::parse_recoverable(&found.text);
        let Some(error) = errors.into_iter().min_by_key(|error| error.span().map_or(0, |span| span.start)) else {
            return found;
        };
        let at = error.span().unwrap_or(0..0);
        let Some(number) = culprit(&statements, at.start) else {
            found.errors.push((at, message(&error)));
            break;
        };
        found.errors.push(told(text, statements.get(number), at, &error));
        take_out(&mut statements, number, &mut found);
    }
    // What is wrong beyond that is not known: nothing is read.
    found.text = String::new();
    found.unread.is_name_lost = true;
    found
}

/// The statement that has an error at a place: an earlier one that is still open there, else the one there.
fn culprit(statements: &[Statement], at: usize) -> Option<usize> {
    let is_left = |statement: &&(usize, &Statement)| !statement.1.is_blank && statement.1.at.start <= at;
    let mut before = statements.iter().enumerate().rev().filter(|s| is_left(&s));
    let (number, there) = before.next()?;
    match before.next() {
        Some((earlier, open)) if open.is_open && at <= there.at.start => Some(earlier),
        _ => Some(number),
    }
}

fn message(error: &Error) -> String {
    error.message().trim().to_owned()
}

/// An error at its own place, or at the statement that it comes too late for.
fn told(text: &str, culprit: Option<&Statement>, at: Range<usize>, error: &Error) -> (Range<usize>, String) {
    match culprit {
        Some(statement) if statement.at.end <= at.start => {
            let line = text.get(statement.at.clone()).and_then(|s| s.lines().next()).unwrap_or_default();
            let span = statement.at.start..statement.at.start + line.trim_end().len();
            (span, format!("what begins here does not end: {}", message(error)))
        }
        _ => (at, message(error)),
    }
}

/// Puts blanks in a statement's place; of a section's head, in place of the whole section.
fn take_out(statements: &mut [Statement], number: usize, found: &mut Recovered) {
    let Some(statement) = statements.get(number) else { return };
    let is_head = statement.kind == Kind::Head;
    found.unread.sections.insert(statement.section.clone());
    let is_channel = ["email", "sms", "webhook"].contains(&statement.section.split('.').next().unwrap_or_default());
    found.unread.is_channel_lost |= is_head && is_channel;
    found.unread.is_name_lost |= statement.is_endless || (is_head && statement.section.is_empty());
    let section = statements.iter_mut().skip(number).enumerate();
    for (_, statement) in section.take_while(|(nth, s)| *nth == 0 || (is_head && s.kind != Kind::Head)) {
        statement.is_blank = true;
        let blank =
            |text: &str| text.bytes().map(|b| if matches!(b, b'\n' | b'\r') { b as char } else { ' ' }).collect();
        let blanks: String = found.text.get(statement.at.clone()).map(blank).unwrap_or_default();
        found.text.replace_range(statement.at.clone(), &blanks);
    }
}

/// Groups the lines of a text into statements, as people lay them out: a line that looks like the beginning of
/// one is one, even after a bracket that was not closed.
fn statements(text: &str) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    let (mut scan, mut section, mut start) = (Scan::default(), String::new(), 0);
    for line in text.split_inclusive('\n') {
        let words = line.trim();
        let kind = kind_of(words);
        let goes_on = scan.multi_line.is_some() || (scan.depth > 0 && kind == Kind::Other);
        if !(goes_on || words.is_empty() || words.starts_with('#')) {
            scan = Scan::default();
            if kind == Kind::Head {
                section = name_in(words);
            }
            let of = if section.is_empty() { key_section(words) } else { section.clone() };
            let begin = start + (line.len() - line.trim_start().len());
            statements.push(Statement {
                at: begin..begin,
                kind,
                section: of,
                is_open: false,
                is_endless: false,
                is_blank: false,
            });
        }
        scan.line(line);
        start += line.len();
        if let Some(statement) = statements.last_mut().filter(|_| !words.is_empty()) {
            statement.at.end = start;
            statement.is_endless = scan.multi_line.is_some();
            statement.is_open = scan.depth > 0 || statement.is_endless;
        }
    }
    statements
}

/// What a line begins.
fn kind_of(line: &str) -> Kind {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'' | ' ');
    if let Some(rest) = line.strip_prefix('[') {
        let rest = rest.trim_start_matches(['[', ' ']);
        // An entry of a list of lists begins with a quote or a digit.
        return if rest.starts_with(|c: char| c.is_ascii_alphabetic()) || rest.is_empty() {
            Kind::Head
        } else {
            Kind::Other
        };
    }
    match line.split_once('=') {
        Some((key, _)) if !key.trim().is_empty() && key.chars().all(is_word) => Kind::Key,
        _ => Kind::Other,
    }
}

/// The name in a section's head, however it ends.
fn name_in(head: &str) -> String {
    let name = head.trim_start_matches(['[', ' ']);
    name.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).collect()
}

/// The section that a key before all sections belongs to: `kafka` of `kafka.group = 1`.
fn key_section(line: &str) -> String {
    let key = line.split(['=', ' ']).next().unwrap_or_default();
    key.split_once('.').map(|(section, _)| section.to_owned()).unwrap_or_default()
}

/// Brackets and texts, line by line.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    /// The quote whose three open a text of several lines.
    multi_line: Option<char>,
}

impl Scan {
    fn line(&mut self, line: &str) {
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let after = rest.get(c.len_utf8()..).unwrap_or_default();
            let triple = |quote: char| rest.starts_with(&[quote; 3].iter().collect::<String>());
            rest = match (self.multi_line, c) {
                (Some(quote), c) if c == quote && triple(quote) => {
                    self.multi_line = None;
                    rest.get(3..).unwrap_or_default()
                }
                (Some('"'), '\\') => after.get(after.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default(),
                (Some(_), _) => after,
                (None, '"' | '\'') if triple(c) => {
                    self.multi_line = Some(c);
                    rest.get(3..).unwrap_or_default()
                }
                (None, '"' | '\'') => after_text(after, c),
                (None, '#') => return,
                (None, '[' | '{') => {
                    self.depth += 1;
                    after
                }
                (None, ']' | '}') => {
                    self.depth = self.depth.saturating_sub(1);
                    after
                }
                (None, _) => after,
            };
        }
    }
}

/// What follows the end of a text of one line.
fn after_text(text: &str, quote: char) -> &str {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return text.get(at + 1..).unwrap_or_default();
        }
        if c == '\\' && quote == '"' {
            chars.next();
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, String)> {
        let found = recover(text);
        assert_eq!(found.text.len(), text.len(), "every byte stands where it stood");
        assert!(DeTable::parse_recoverable(&found.text).1.is_empty(), "{}", found.text);
        found.errors.into_iter().map(|(at, message)| (text[at].to_owned(), message)).collect()
    }

    #[test]
    fn each_error_is_told_once_at_its_statement() {
        let text = "[kafka]\nbrokers = [\"a:1\"\ngroup = 钱包\nstart = \"latest\"\nhello\ntls = true\n\n[state\ndirectory = 3\n\
                    [log]\nformat = \"json\nfilter = \"info\"\nfilter = \"warn\"\n";
        let told = told(text);
        let words: Vec<&str> = told.iter().map(|(words, _)| words.as_str()).collect();
        assert_eq!(words, ["brokers = [\"a:1\"", "钱包", "", "", "", "filter"], "{told:#?}");
        assert!(told[0].1.starts_with("what begins here does not end"), "{told:#?}");
    }

    #[test]
    fn what_is_left_is_known() {
        let found = recover("[kafka]\ngroup = x\n[sms\nurl = \"u\"\n[log]\nformat = \"json\"\n");
        assert!(found.unread.contains("kafka") && found.unread.contains("sms") && !found.unread.contains("log"));
        assert!(found.unread.are_channels_lost());
        assert_eq!(found.text.trim(), "[kafka]\n         \n    \n         \n[log]\nformat = \"json\"");
        let found = recover("a = 1\nb = \"\"\"\n[log]\nx = y\n");
        assert_eq!(found.errors.len(), 1);
    }

    #[test]
    fn a_sound_text_is_left_as_it_is() {
        for text in ["", "# only\n", "[a]\nb = [\n  \"x = y\", # z = [\n  '[c]',\n]\nd = \"\"\"\ne = f\n\"\"\"\n"] {
            let found = recover(text);
            assert_eq!((found.text.as_str(), found.errors.len()), (text, 0));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_to_an_end(text in "([a-z]{1,3}( = |=|\\[|\\]|\"|'|\"\"\"|\\{|\\}|钱|#|\n|\r\n|,|\\.|1| |\\\\){0,3}){0,40}") {
            let found = recover(&text);
            proptest::prop_assert!(found.text.len() == text.len() || found.unread.contains("anything"));
        }
    }
}
