//! What is wrong with templates, and where in their files it stems from.
//!
//! Guarantees: an error in one file hides nothing of another, and every offence of a file is told; words that stand
//! in a template are told at their place, each time they stand there; of others it is said which fact brings them.
//! Does not mend texts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use minijinja::{Error, ErrorKind};

use super::facts::Facts;
use super::notice_files::BASE;
use super::notice_rules::{Offence, html_offences, offences};
use super::samples;
use super::template::{Broken, Templates, Unfit};
use crate::report::{Problem, SourceFile, did_you_mean};

/// Characters of a text that a message repeats.
const SHOWN_CHARS_MAX: usize = 80;

type Files = BTreeMap<String, Arc<SourceFile>>;

/// The problems of all texts: those of the compiler, and what comes to light over the samples. One problem for
/// each code and place.
pub(super) fn check(templates: &Templates, files: &Files, broken: &Broken) -> Vec<Problem> {
    let mut found = Found::default();
    for (name, file) in files {
        match broken.get(name) {
            Some(error) => found.tell(fails("N002", file, error)),
            // It reads what the texts that extend it set.
            None if name == BASE => {}
            None => templates
                .unknown_names(name, Facts::names())
                .iter()
                .flat_map(|unknown| unknown_facts("N003", file, unknown, Facts::names()))
                .for_each(|problem| found.tell(problem)),
        }
    }
    let mut unrendered: BTreeSet<String> = broken.keys().cloned().collect();
    for sample in samples::all() {
        let order = sample.order();
        for (notice, locale, facts) in templates.each_over(&order) {
            for unfit in templates.texts(notice, locale, &facts).err().into_iter().flatten() {
                let name = format!("{notice}/{locale}.{}", unfit.part());
                if let Some(file) = files.get(&name).filter(|_| !broken.contains_key(&name)) {
                    if matches!(unfit, Unfit::Render { .. }) {
                        unrendered.insert(name);
                    }
                    let seen = Seen { file, files, facts: &facts, sample: sample.name };
                    seen.problems(&unfit, !broken.is_empty()).into_iter().for_each(|problem| found.tell(problem));
                }
            }
        }
    }
    for file in unrendered.iter().filter_map(|name| files.get(name)) {
        own_offences(file).into_iter().for_each(|problem| found.tell(problem));
    }
    found.problems()
}

/// The offences in a template's own words, where it cannot be tried on the samples.
fn own_offences(file: &Arc<SourceFile>) -> Vec<Problem> {
    let own = without_tags(&file.text);
    let found = if file.path.ends_with(".html") { html_offences(&own, &[]) } else { offences(&own, &[]) };
    let told = found.iter().flat_map(|offence| {
        let message = format!("{}: \"{}\"", offence.rule, shown(&offence.words));
        let places = places_of(&file.text, &offence.words).into_iter();
        places.map(move |span| Problem::error(offence.code, file, span, message.clone()))
    });
    told.collect()
}

/// A template's own words, with a line break in place of each tag: it might bring anything.
fn without_tags(text: &str) -> String {
    let mut own = String::new();
    let mut rest = text;
    while let Some((at, end)) =
        [("{{", "}}"), ("{%", "%}"), ("{#", "#}")].iter().filter_map(|(b, e)| Some((rest.find(b)?, *e))).min()
    {
        own.push_str(rest.get(..at).unwrap_or_default());
        own.push('\n');
        let after = rest.get(at..).unwrap_or_default();
        rest = after.find(end).and_then(|to| after.get(to + end.len()..)).unwrap_or_default();
    }
    own + rest
}

/// Problems by file, place and code: the first of each.
#[derive(Default)]
struct Found(BTreeMap<(String, usize, &'static str), Problem>);

impl Found {
    fn tell(&mut self, problem: Problem) {
        let Some((file, span)) = &problem.at else { return };
        self.0.entry((file.path.clone(), span.start, problem.code)).or_insert(problem);
    }

    /// All of them, but for those of which another of the same code tells more.
    fn problems(self) -> Vec<Problem> {
        let is_part = |part: &Problem| {
            let Some((file, span)) = &part.at else { return false };
            self.0.values().filter(|whole| whole.code == part.code).filter_map(|whole| whole.at.as_ref()).any(
                |(f, s)| Arc::ptr_eq(f, file) && s.start <= span.start && span.end <= s.end && s.len() > span.len(),
            )
        };
        self.0.values().filter(|problem| !is_part(problem)).cloned().collect()
    }
}

/// A name that a template reads and nothing gives it, wherever it stands.
pub(super) fn unknown_facts(code: &'static str, file: &Arc<SourceFile>, name: &str, known: &[String]) -> Vec<Problem> {
    let told = |span: Range<usize>| {
        let problem = Problem::error(code, file, span.clone(), format!("there is no fact `{name}`"));
        match did_you_mean(name, known.iter().map(String::as_str)) {
            Some(near) => problem.fix(span, near),
            None => problem.help(format!("there are: {}", known.join(", "))),
        }
    };
    let is_read = |span: &Range<usize>| {
        let before = file.text.get(..span.start).unwrap_or_default();
        // In a tag, and not the part of something else.
        let opened = before.rfind("{{").max(before.rfind("{%"));
        opened > before.rfind("}}").max(before.rfind("%}")) && !before.ends_with(['.', '"', '\''])
    };
    let mut places = places_of(&file.text, name);
    places.retain(is_read);
    if places.is_empty() {
        places.push(first_line(&file.text));
    }
    places.into_iter().map(told).collect()
}

/// One text over one sample.
struct Seen<'s> {
    file: &'s Arc<SourceFile>,
    files: &'s Files,
    facts: &'s Facts,
    sample: &'s str,
}

impl Seen<'_> {
    fn problems(&self, unfit: &Unfit, some_are_broken: bool) -> Vec<Problem> {
        match unfit {
            // What it takes in could not be compiled, and that was told.
            Unfit::Render { error, .. } if some_are_broken && root(error).kind() == ErrorKind::TemplateNotFound => {
                Vec::new()
            }
            Unfit::Render { error, .. } => {
                let error = root(error);
                let file = error.name().and_then(|name| self.files.get(name)).unwrap_or(self.file);
                vec![self.with_sample(fails("N003", file, error))]
            }
            Unfit::Size { code, message, text, .. } => {
                let message = format!("{message}: \"{}\"", shown(text));
                vec![self.with_sample(Problem::error(code, self.file, first_line(&self.file.text), message))]
            }
            Unfit::Offence { offence, .. } => self.offence(offence),
        }
    }

    fn offence(&self, offence: &Offence) -> Vec<Problem> {
        let message = format!("{}: \"{}\"", offence.rule, shown(&offence.words));
        let (file, places) = self.stands(&offence.words);
        let at = |span: Range<usize>| Problem::error(offence.code, file, span, message.clone());
        if !places.is_empty() {
            return places.into_iter().map(|span| self.with_sample(at(span))).collect();
        }
        // Of words that are partly facts the longest part that is the template's own.
        if let Some(span) = longest_part(&self.file.text, &offence.words) {
            return vec![self.with_sample(at(span))];
        }
        let sample = self.sample;
        let problem = match printed_fact(&self.file.text, self.facts, &offence.words) {
            Some((fact, span)) => at(span).help(format!("the fact `{fact}` of the sample \"{sample}\" brings it")),
            None => at(first_line(&self.file.text)).help(format!(
                "the template does not say so itself: it comes about where its words and the facts of the sample \
                 \"{sample}\" meet"
            )),
        };
        vec![problem]
    }

    /// The file in which words stand, and where: the text's own, else the base that it extends.
    fn stands(&self, words: &str) -> (&Arc<SourceFile>, Vec<Range<usize>>) {
        let own = places_of(&self.file.text, words);
        match self.files.get(BASE).filter(|_| own.is_empty() && self.file.text.contains(BASE)) {
            Some(base) => match places_of(&base.text, words) {
                places if places.is_empty() => (self.file, own),
                places => (base, places),
            },
            None => (self.file, own),
        }
    }

    fn with_sample(&self, problem: Problem) -> Problem {
        problem.help(format!("seen with the sample \"{}\"", self.sample))
    }
}

/// The innermost error: that of the template that was taken in.
fn root(error: &Error) -> &Error {
    let mut inner = error;
    while let Some(next) = std::error::Error::source(inner).and_then(|e| e.downcast_ref::<Error>()) {
        inner = next;
    }
    inner
}

/// A template that the engine refuses, at its place.
pub(super) fn fails(code: &'static str, file: &Arc<SourceFile>, error: &Error) -> Problem {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let span = error.range().filter(|range| !range.is_empty() && range.end <= file.text.len());
    let span = span.unwrap_or_else(|| line(&file.text, error.line().unwrap_or(1)));
    Problem::error(code, file, span, format!("the template fails: {what}"))
}

/// A line's bytes, without the blanks around it.
fn line(text: &str, number: usize) -> Range<usize> {
    let start: usize = text.split_inclusive('\n').take(number.saturating_sub(1)).map(str::len).sum();
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let start = start + (line.len() - line.trim_start().len());
    start..start + line.trim().len()
}

/// The first line that is not empty.
fn first_line(text: &str) -> Range<usize> {
    let number = text.lines().position(|line| !line.trim().is_empty()).unwrap_or(0);
    line(text, number + 1)
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Where words stand in a text, as whole words.
fn places_of(text: &str, words: &str) -> Vec<Range<usize>> {
    if words.is_empty() {
        return Vec::new();
    }
    let joins = |a: Option<char>, b: Option<char>| a.zip(b).is_some_and(|(a, b)| is_of_word(a) && is_of_word(b));
    let is_whole = |at: usize| {
        let (before, after) = (text.get(..at), text.get(at + words.len()..));
        !joins(before.and_then(|t| t.chars().next_back()), words.chars().next())
            && !joins(words.chars().next_back(), after.and_then(|t| t.chars().next()))
    };
    text.match_indices(words).map(|(at, _)| at).filter(|at| is_whole(*at)).map(|at| at..at + words.len()).collect()
}

/// The longest part of words that stands in a text, where it is long enough to mean that place.
fn longest_part(text: &str, words: &str) -> Option<Range<usize>> {
    let says_enough = |part: &str| {
        let letters = part.chars().filter(|c| c.is_alphanumeric());
        letters.map(|c| if c.is_ascii() { 1 } else { 3 }).sum::<usize>() >= 6
    };
    let ends: Vec<usize> = words.char_indices().map(|(at, _)| at).chain([words.len()]).collect();
    let mut best: Option<Range<usize>> = None;
    let mut end = 0;
    for (number, start) in ends.iter().enumerate() {
        end = end.max(number);
        // What ends earlier than what stood there from the letter before cannot be longer.
        while let Some(part) = ends.get(end + 1).and_then(|to| words.get(*start..*to)) {
            let Some(at) = text.find(part) else { break };
            end += 1;
            if best.as_ref().is_none_or(|b| b.len() < part.len()) {
                best = Some(at..at + part.len());
            }
        }
    }
    best.filter(|span| text.get(span.clone()).is_some_and(says_enough)).map(|span| {
        let part = text.get(span.clone()).unwrap_or_default();
        let start = span.start + (part.len() - part.trim_start().len());
        start..start + part.trim().len()
    })
}

/// The fact that brings words, and where the template prints it.
fn printed_fact(text: &str, facts: &Facts, words: &str) -> Option<(String, Range<usize>)> {
    let facts = serde_json::to_value(facts).ok()?;
    let brings = |value: &serde_json::Value| value.as_str().is_some_and(|v| v.contains(words) || words.contains(v));
    facts.as_object()?.iter().filter(|(_, value)| brings(value)).find_map(|(name, _)| {
        let printed = text.match_indices("{{").find_map(|(at, _)| {
            let inside = text.get(at..)?.split_once("}}")?.0;
            let is_it = inside.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
            is_it.then_some(at..at + inside.len() + 2)
        });
        printed.map(|span| (name.clone(), span))
    })
}

/// A text as a message repeats it.
fn shown(text: &str) -> String {
    // Where a time or an amount stood, which may look like anything.
    let text = text.replace('\u{1}', "…");
    let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", cut.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_each_time_they_stand_there_as_whole_words() {
        let text = "请 scan this; Scandinavia scan 登录 scan";
        let found: Vec<&str> = places_of(text, "scan").into_iter().map(|span| &text[span]).collect();
        assert_eq!(found, ["scan", "scan", "scan"]);
        assert!(places_of(text, "Scan").is_empty() && places_of(text, "").is_empty());
    }

    #[test]
    fn words_that_are_partly_facts_are_found_by_the_templates_part() {
        let text = "{% if x %}Reply to {{ payee }} with your whole code{% endif %}";
        let span = longest_part(text, "Reply to Lagos with your whole code").expect("a part");
        assert_eq!(&text[span], "with your whole code");
        let text = "请将{{ payee }}的验证码发给我们。";
        let span = longest_part(text, "请将甲的验证码发给我们").expect("a part");
        assert_eq!(&text[span], "的验证码发给我们");
        assert_eq!(longest_part("Call {{ device }}", "Call 020 7946 0958"), None, "too short to mean a place");
    }

    #[test]
    fn a_templates_own_words_are_what_stands_between_its_tags() {
        assert_eq!(without_tags("a{% if x %}钱{{ y }}{# z #}b"), "a\n钱\n\nb");
        assert_eq!(without_tags("a {{ open"), "a \n");
    }

    #[test]
    fn lines_are_found_without_their_blanks() {
        let text = "\n  一行 \nb";
        assert_eq!(&text[line(text, 2)], "一行");
        assert_eq!(&text[first_line(text)], "一行");
        assert_eq!(first_line(""), 0..0);
        assert_eq!(&text[line(text, 3)], "b");
    }
}
