//! Typed reading of a TOML table, with the place of everything that is wrong.
//!
//! Guarantees: a problem never stops the reading, so that all of them are told at once; what is wrong reads as
//! absent; a key nobody asked for is a problem, with the nearest known one. Not through serde: that stops at
//! the first error, knows no "did you mean", and cannot tell a missing key from its section's place.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::places::Places;
use super::recover::Unread;
use crate::report::{Problem, SourceFile, did_you_mean};

/// The file being read, and what was found wrong.
#[derive(Debug)]
pub struct Reader {
    /// The file.
    pub file: Arc<SourceFile>,
    problems: RefCell<Vec<Problem>>,
    missing: RefCell<BTreeMap<usize, Vec<Missing>>>,
    known: RefCell<Vec<String>>,
    places: RefCell<Places>,
}

/// A key that nobody can guess and that is not there; kept by the place of its section.
#[derive(Debug)]
struct Missing {
    head: Range<usize>,
    path: String,
    what: String,
    example: String,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its bytes in the file.
    pub at: Range<usize>,
}

impl Reader {
    /// Of a file of which some sections could not be read.
    pub fn new(file: Arc<SourceFile>, unread: Unread) -> Self {
        let places = RefCell::new(Places::of(&file, unread));
        Reader { file, problems: RefCell::default(), missing: RefCell::default(), known: RefCell::default(), places }
    }

    /// Keeps a problem.
    pub fn tell(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// A problem at a place, to be completed and told.
    pub fn error(&self, code: &'static str, at: &Range<usize>, message: impl Into<String>) -> Problem {
        Problem::error(code, &self.file, at.clone(), message)
    }

    /// Where the keys that were read stand.
    pub fn places(&self) -> Places {
        self.places.borrow().clone()
    }

    fn keep_place(&self, key: String, span: Range<usize>) {
        self.places.borrow_mut().insert(key, span);
    }

    /// Everything that was found wrong. Missing keys of one place are one problem: they are one cause.
    pub fn into_problems(self) -> Vec<Problem> {
        for missing in self.missing.take().into_values() {
            let Some(head) = missing.first().map(|first| first.head.clone()) else { continue };
            let told: Vec<String> = missing.iter().map(|key| format!("`{}` ({})", key.path, key.what)).collect();
            let examples: Vec<String> = missing.iter().map(|key| format!("`{} = {}`", key.path, key.example)).collect();
            let message = format!("missing: {}", told.join(", "));
            self.tell(self.error("C003", &head, message).help(format!("for example {}", examples.join(", "))));
        }
        self.problems.into_inner()
    }

    /// Every key that was asked for, as `section.key`.
    pub fn known_keys(&self) -> Vec<String> {
        self.known.borrow().clone()
    }
}

/// One table of the file. Its end is [`Section::done`], which tells unknown keys.
#[derive(Debug)]
pub struct Section<'r, 't> {
    reader: &'r Reader,
    /// `kafka`, `webhook.soc`; empty for the file itself.
    name: String,
    table: Option<&'t DeTable<'t>>,
    at: Range<usize>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'r, 't> Section<'r, 't> {
    /// The file itself.
    pub fn root(reader: &'r Reader, table: &'t DeTable<'t>) -> Self {
        Section { reader, name: String::new(), table: Some(table), at: 0..0, asked: RefCell::default() }
    }

    /// Whether the file has this section.
    pub fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the file has this key, right or wrong.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.iter().any(|(found, _)| found.get_ref().as_ref() == key))
    }

    /// `section.key`.
    pub fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn get(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.asked.borrow_mut().push(key);
        self.reader.known.borrow_mut().push(self.path(key));
        let (_, value) = self.table?.iter().find(|(found, _)| found.get_ref().as_ref() == key)?;
        self.reader.keep_place(self.path(key), value.span());
        Some(value)
    }

    fn wrong_type<T>(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Option<T> {
        let found = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a section",
        };
        let message = format!("`{}` is {wanted}, this is {found}", self.path(key));
        self.reader.tell(self.reader.error("C004", &value.span(), message));
        None
    }

    /// A section of this one.
    pub fn section(&self, key: &'static str) -> Section<'r, 't> {
        let name = self.path(key);
        let found = self.get(key);
        self.reader.known.borrow_mut().pop();
        let table = found.and_then(|value| match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.wrong_type(key, value, "a section"),
        });
        Section { reader: self.reader, name, table, at: found.map_or(0..0, Spanned::span), asked: RefCell::default() }
    }

    /// The sections of this one by the names people gave them.
    pub fn named_sections(&self) -> BTreeMap<String, Section<'r, 't>> {
        let mut sections = BTreeMap::new();
        for (key, value) in self.table.into_iter().flat_map(|table| table.iter()) {
            let name = key.get_ref().as_ref();
            match value.get_ref() {
                DeValue::Table(table) => {
                    let (path, at) = (self.path(name), value.span());
                    self.reader.keep_place(path.clone(), at.clone());
                    let asked = RefCell::default();
                    let section = Section { reader: self.reader, name: path, table: Some(table), at, asked };
                    sections.insert(name.to_owned(), section);
                }
                _ => self.wrong_type::<()>(name, value, "a section").unwrap_or_default(),
            }
        }
        sections
    }

    /// The whole numbers of this section, each within a range, by the names people gave them; `None`: it is no such
    /// number, which was told.
    pub fn named_numbers(&self, range: RangeInclusive<i64>) -> Vec<(Located<String>, Option<i64>)> {
        let mut numbers = Vec::new();
        for (key, value) in self.table.into_iter().flat_map(|table| table.iter()) {
            let name = Located { value: key.get_ref().as_ref().to_owned(), at: key.span() };
            let number = self.number_of(&name.value, value, &range);
            numbers.push((name, number));
        }
        numbers
    }

    /// The texts of this section by the names people gave them, with their places; `None`: it is no text, which
    /// was told.
    pub fn named_texts(&self) -> Vec<(Located<String>, Option<Located<String>>)> {
        let mut texts = Vec::new();
        for (key, value) in self.table.into_iter().flat_map(|table| table.iter()) {
            let name = Located { value: key.get_ref().as_ref().to_owned(), at: key.span() };
            let text = match value.get_ref() {
                DeValue::String(text) => Some(Located { value: text.clone().into_owned(), at: value.span() }),
                _ => self.wrong_type(&name.value, value, "a text"),
            };
            texts.push((name, text));
        }
        texts
    }

    /// A text that is not empty.
    pub fn text(&self, key: &'static str) -> Option<Located<String>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) if text.trim().is_empty() => {
                let message = format!("`{}` is empty", self.path(key));
                self.reader
                    .tell(self.reader.error("C005", &value.span(), message).help("leave it out, or give it a value"));
                None
            }
            DeValue::String(text) => Some(Located { value: text.clone().into_owned(), at: value.span() }),
            _ => self.wrong_type(key, value, "a text"),
        }
    }

    /// A list of texts.
    pub fn texts(&self, key: &'static str) -> Option<Vec<Located<String>>> {
        let value = self.get(key)?;
        let DeValue::Array(list) = value.get_ref() else { return self.wrong_type(key, value, "a list of texts") };
        let mut texts = Vec::with_capacity(list.len());
        for entry in list.iter() {
            match entry.get_ref() {
                DeValue::String(text) if !text.trim().is_empty() => {
                    // Counted as the stages will count: what is no text does not get there.
                    self.reader.keep_place(format!("{}[{}]", self.path(key), texts.len()), entry.span());
                    texts.push(Located { value: text.clone().into_owned(), at: entry.span() });
                }
                _ => self.wrong_type::<()>(key, entry, "a list of texts").unwrap_or_default(),
            }
        }
        Some(texts)
    }

    /// true or false.
    pub fn flag(&self, key: &'static str) -> Option<Located<bool>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(Located { value: *flag, at: value.span() }),
            _ => self.wrong_type(key, value, "true or false"),
        }
    }

    /// A whole number within a range.
    pub fn number(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.get(key)?;
        self.number_of(key, value, &range)
    }

    fn number_of(&self, key: &str, value: &Spanned<DeValue<'_>>, range: &RangeInclusive<i64>) -> Option<i64> {
        let DeValue::Integer(number) = value.get_ref() else { return self.wrong_type(key, value, "a whole number") };
        let number = i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok();
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let message =
                    format!("`{}` is a whole number from {} to {}", self.path(key), range.start(), range.end());
                self.reader.tell(self.reader.error("C005", &value.span(), message));
                None
            }
        }
    }

    /// One of some words.
    pub fn word<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(key)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*meaning);
        }
        let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("`{}` is never \"{}\"", self.path(key), text.value);
        let problem = self.reader.error("C005", &text.at, message);
        self.reader.tell(match did_you_mean(&text.value, list.iter().copied()) {
            Some(near) => problem.fix(text.at.clone(), format!("\"{near}\"")),
            None => problem.help(format!("it is one of: {}", list.join(", "))),
        });
        None
    }

    /// Tells that a key is missing that nobody can guess. `what` says what it is.
    pub fn missing(&self, key: &'static str, what: &str, example: &str) {
        if !self.is_read() {
            return;
        }
        let missing =
            Missing { head: self.at.clone(), path: self.path(key), what: what.to_owned(), example: example.to_owned() };
        self.reader.missing.borrow_mut().entry(self.at.start).or_default().push(missing);
    }

    /// A text that nobody can guess.
    pub fn required_text(&self, key: &'static str, what: &str, example: &str) -> Option<Located<String>> {
        if !self.has(key) {
            self.missing(key, what, example);
        }
        self.text(key)
    }

    /// A text that nobody can guess, in a section that may be left out as a whole.
    pub fn needed_text(&self, key: &'static str, what: &str, example: &str) -> Option<Located<String>> {
        if self.is_there() { self.required_text(key, what, example) } else { self.text(key) }
    }

    /// Whether everything the file says of this section could be read: what is not there is missing only then.
    fn is_read(&self) -> bool {
        self.reader.places.borrow().is_read(&self.name)
    }

    /// Tells a problem at a place of this section.
    pub fn refuse(&self, code: &'static str, at: &Range<usize>, message: impl Into<String>) {
        self.tell(self.reader.error(code, at, message));
    }

    /// Keys that contradict each other are not told where one of them may be another one than it seems.
    fn tell(&self, problem: Problem) {
        if problem.code != "C007" || self.is_read() {
            self.reader.tell(problem);
        }
    }

    /// The same, with what to do.
    pub fn refuse_with_help(
        &self,
        code: &'static str,
        at: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.tell(self.reader.error(code, at, message).help(help));
    }

    /// The place of a key's value, or of the section's head where the key is not there.
    pub fn place(&self, key: &str) -> Range<usize> {
        let found = self.table.and_then(|table| table.iter().find(|(found, _)| found.get_ref().as_ref() == key));
        found.map_or(self.at.clone(), |(_, value)| value.span())
    }

    /// Ends the reading of this section.
    pub fn done(self) {
        self.tell_unknown();
    }

    /// Tells the keys nobody asked for.
    pub fn tell_unknown(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.into_iter().flat_map(|table| table.iter()) {
            let word = key.get_ref().as_ref();
            if asked.contains(&word) {
                continue;
            }
            let what = if self.name.is_empty() { "section" } else { "key" };
            let message = format!("unknown {what} `{}`", self.path(word));
            let problem = self.reader.error("C002", &key.span(), message);
            let secret = format!("{word}_file");
            self.reader.tell(if asked.contains(&secret.as_str()) {
                problem
                    .help(format!("secrets are read from files only: write it into a file and name that in `{secret}`"))
            } else if let Some(near) = did_you_mean(word, asked.iter().copied()) {
                problem.fix(key.span(), near)
            } else {
                let mut known: Vec<&str> = asked.clone();
                known.sort_unstable();
                known.dedup();
                problem.help(format!("known here: {}", known.join(", ")))
            });
        }
    }
}
