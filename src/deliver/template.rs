//! Notice templates: loaded whole, checked on what they render, rendered once per notice.
//!
//! Guarantees: compiled-in texts are always there; a set with a problem does not load, and every problem is told
//! with its file; a rendered notice obeys the rules for notices, or is not sent. Templates reach nothing beyond
//! the facts and each other, and end after a bounded number of steps. Does not send.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use super::channel::Texts;
use super::config::NoticesConfig;
use super::facts::Facts;
use super::notice_rules::{Offence, html_offences, offences};
use super::samples;
use super::sms::{Encoding, SEGMENTS_MAX, segments};
use crate::alert::{Order, Undeliverable};
use crate::report::{Problem, SourceFile, did_you_mean};

/// Steps one template may take.
const FUEL_MAX: u64 = 20_000;
/// Bytes one rendered text may have.
const RENDERED_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a template file.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Characters of a subject: more is cut off by mail programs.
const SUBJECT_CHARS_MAX: usize = 78;

/// What the HTML texts have in common: they extend it by this name. A folder may bring its own.
const BASE: &str = "base.html";

/// The files of one notice in one language.
const PARTS: [&str; 4] = ["subject.txt", "body.txt", "body.html", "sms.txt"];

/// One place for what ships: `(notice, locale, its four files)`.
macro_rules! shipped {
    ($(($notice:literal, $locale:literal)),+ $(,)?) => {
        &[$(($notice, $locale, [
            include_str!(concat!("../../rules/notices/", $notice, "/", $locale, ".subject.txt")),
            include_str!(concat!("../../rules/notices/", $notice, "/", $locale, ".body.txt")),
            include_str!(concat!("../../rules/notices/", $notice, "/", $locale, ".body.html")),
            include_str!(concat!("../../rules/notices/", $notice, "/", $locale, ".sms.txt")),
        ])),+]
    };
}

type Shipped = &'static [(&'static str, &'static str, [&'static str; 4])];

const SHIPPED: Shipped = shipped![
    ("unusual-login", "en"),
    ("unusual-login", "zh-CN"),
    ("unusual-payment", "en"),
    ("unusual-payment", "zh-CN"),
];

/// A checked set of templates.
pub struct Templates {
    environment: Environment<'static>,
    /// Languages by notice.
    notices: BTreeMap<String, BTreeSet<String>>,
    default_locale: String,
    wallet: Option<String>,
}

/// Why one rendering is not fit to be sent.
#[derive(Debug)]
enum Unfit {
    Render { part: &'static str, error: Error },
    Offence { part: &'static str, offence: Offence },
}

impl Unfit {
    /// Whether it stands in the base and not in the text that extends it.
    fn is_of(&self, own: &SourceFile, base: &SourceFile) -> bool {
        match self {
            Unfit::Render { error, .. } => error.name() == Some(BASE),
            Unfit::Offence { offence: Offence { words, .. }, .. } => {
                own.text.contains(BASE) && !own.text.contains(words) && base.text.contains(words)
            }
        }
    }
}

impl Templates {
    /// Loads the compiled-in texts and, in front of them, those of the configured folder; checks every text over
    /// the samples. All problems at once.
    pub fn load(config: &NoticesConfig) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut files = BTreeMap::new();
        for (notice, locale, texts) in SHIPPED {
            for (part, text) in PARTS.iter().zip(texts) {
                let path = format!("{notice}/{locale}.{part}");
                files.insert(path.clone(), Arc::new(SourceFile { path, text: (*text).to_owned() }));
            }
        }
        let shipped = include_str!("../../rules/notices/base.html").to_owned();
        files.insert(BASE.to_owned(), Arc::new(SourceFile { path: BASE.to_owned(), text: shipped }));
        if let Some(directory) = &config.directory {
            read_folder(directory, &mut files, &mut problems);
        }
        let notices = notices(&files, &mut problems);
        let mut environment = environment();
        for (name, file) in &files {
            if let Err(error) = environment.add_template_owned(name.clone(), file.text.clone()) {
                problems.push(broken("N002", file, &error));
            }
        }
        let templates = Templates {
            environment,
            notices,
            default_locale: config.default_locale.clone(),
            wallet: config.wallet_name.clone(),
        };
        problems.extend(templates.without_default());
        if problems.is_empty() {
            problems = templates.check(&files);
        }
        if problems.is_empty() { Ok(templates) } else { Err(problems) }
    }

    /// The notices by name: what rules may name.
    pub fn notices(&self) -> impl Iterator<Item = &str> {
        self.notices.keys().map(String::as_str)
    }

    /// The texts of a notice, in the first language there is: the contact's, the event's, the configured one.
    pub fn render(&self, order: &Order<'_>) -> Result<Texts, Undeliverable> {
        let notice = order.alert.notice.as_str();
        let locales = self.notices.get(notice).ok_or(Undeliverable::NoTemplate)?;
        let of_contact = order.contact.and_then(|c| c.locale.as_deref());
        let of_event = order.alert.event.get("locale").and_then(|l| l.as_str());
        let wanted = [of_contact, of_event, Some(self.default_locale.as_str())].into_iter().flatten();
        let locale = wanted.filter_map(|w| nearest(w, locales)).next().ok_or(Undeliverable::NoTemplate)?;
        let facts = Facts::of(order, locale, self.wallet.as_deref());
        // Each outside text is harmless alone; together with the words around them they might not be.
        let texts = self.texts(notice, locale, &facts);
        let texts = texts.or_else(|_| self.texts(notice, locale, &facts.without_outside_texts()));
        texts.map_err(|_| Undeliverable::UnsafeText)
    }

    /// The four texts, fit to be sent, or all that is wrong with them.
    fn texts(&self, notice: &str, locale: &str, facts: &Facts) -> Result<Texts, Vec<Unfit>> {
        let mut unfit = Vec::new();
        let mut keep = |part: Result<String, Unfit>| part.map_err(|why| unfit.push(why)).unwrap_or_default();
        let subject = keep(self.subject(notice, locale, facts));
        let text = keep(self.part(notice, locale, "body.txt", facts));
        let html = keep(self.part(notice, locale, "body.html", facts));
        let sms = keep(self.sms(notice, locale, facts));
        if unfit.is_empty() { Ok(Texts { locale: locale.to_owned(), subject, text, html, sms }) } else { Err(unfit) }
    }

    fn subject(&self, notice: &str, locale: &str, facts: &Facts) -> Result<String, Unfit> {
        let subject = self.part(notice, locale, "subject.txt", facts)?;
        if subject.contains('\n') || subject.is_empty() || subject.chars().count() > SUBJECT_CHARS_MAX {
            return Err(unfit("subject.txt", ("N010", "a subject is one line of 1 to 78 characters"), &subject));
        }
        Ok(subject)
    }

    /// In brief where the whole does not fit: nothing is cut off.
    fn sms(&self, notice: &str, locale: &str, facts: &Facts) -> Result<String, Unfit> {
        let fits = |sms: &String| segments(sms).1 <= SEGMENTS_MAX;
        let full = one_byte_dots(self.part(notice, locale, "sms.txt", facts)?);
        if fits(&full) {
            return Ok(full);
        }
        let brief = one_byte_dots(self.part(notice, locale, "sms.txt", &facts.clone().in_brief())?);
        if fits(&brief) {
            return Ok(brief);
        }
        Err(unfit("sms.txt", ("N008", "an SMS takes at most 2 segments, when `brief` is set"), &brief))
    }

    fn part(&self, notice: &str, locale: &str, part: &'static str, facts: &Facts) -> Result<String, Unfit> {
        let render = || -> Result<String, Error> {
            let text = self.environment.get_template(&format!("{notice}/{locale}.{part}"))?.render(facts)?;
            if text.len() > RENDERED_BYTES_MAX {
                return Err(Error::new(ErrorKind::InvalidOperation, "the text is longer than 64 KiB"));
            }
            Ok(text)
        };
        let text = render().map_err(|error| Unfit::Render { part, error })?;
        let text = if part == "body.txt" { squeezed(&text) } else { text.trim().to_owned() };
        let trusted = facts.trusted();
        let found = if part == "body.html" { html_offences(&text, &trusted) } else { offences(&text, &trusted) };
        match found.into_iter().next() {
            Some(offence) => Err(Unfit::Offence { part, offence }),
            None => Ok(text),
        }
    }

    /// Every text over every sample; one problem for each file and code.
    fn check(&self, files: &BTreeMap<String, Arc<SourceFile>>) -> Vec<Problem> {
        let mut problems = BTreeMap::new();
        for sample in samples::all() {
            for (notice, locales) in &self.notices {
                for locale in locales {
                    let facts = Facts::of(&sample.order(), locale, self.wallet.as_deref());
                    for unfit in self.texts(notice, locale, &facts).err().into_iter().flatten() {
                        let (Unfit::Render { part, .. } | Unfit::Offence { part, .. }) = unfit;
                        let Some(own) = files.get(&format!("{notice}/{locale}.{part}")) else { continue };
                        let file = files.get(BASE).filter(|base| unfit.is_of(own, base)).unwrap_or(own);
                        let problem = described(&unfit, file, sample.name);
                        problems.entry((file.path.clone(), problem.code)).or_insert(problem);
                    }
                }
            }
        }
        problems.into_values().collect()
    }

    fn without_default(&self) -> Vec<Problem> {
        let lacks = |(_, locales): &(&String, &BTreeSet<String>)| nearest(&self.default_locale, locales).is_none();
        let told = |(notice, locales): (&String, &BTreeSet<String>)| {
            let message =
                format!("the notice `{notice}` has no text in `{}`, the default language", self.default_locale);
            let there: Vec<&str> = locales.iter().map(String::as_str).collect();
            Problem::nowhere("N014", message).help(format!("there is: {}", there.join(", ")))
        };
        self.notices.iter().filter(lacks).map(told).collect()
    }
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Templates").field("notices", &self.notices).finish_non_exhaustive()
    }
}

/// The locale that serves a wanted one: itself, else a shorter form, else another of the same language.
fn nearest<'l>(wanted: &str, locales: &'l BTreeSet<String>) -> Option<&'l str> {
    let wanted = wanted.replace('_', "-");
    let mut form = wanted.as_str();
    loop {
        if let Some(found) = locales.iter().find(|l| l.eq_ignore_ascii_case(form)) {
            return Some(found);
        }
        match form.rsplit_once('-') {
            Some((shorter, _)) => form = shorter,
            None => break,
        }
    }
    let same_language = |l: &&String| l.split('-').next().is_some_and(|language| language.eq_ignore_ascii_case(form));
    locales.iter().find(same_language).map(String::as_str)
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL_MAX));
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_formatter(|out, state, value| {
        if matches!(value.kind(), ValueKind::None | ValueKind::Undefined) {
            let message = "a fact that is not known is printed: ask `{% if … %}` first";
            return Err(Error::new(ErrorKind::UndefinedError, message));
        }
        minijinja::escape_formatter(out, state, value)
    });
    environment
}

/// No more than one empty line at a time: what an absent fact leaves behind.
fn squeezed(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if !(line.is_empty() && lines.last().is_none_or(|l| l.is_empty())) {
            lines.push(line);
        }
    }
    format!("{}\n", lines.join("\n").trim_end())
}

/// An ellipsis alone would make an English SMS one of 16 bits a character.
fn one_byte_dots(sms: String) -> String {
    let plain = sms.replace('…', "...");
    if segments(&plain).0 == Encoding::Gsm7 { plain } else { sms }
}

fn notices(
    files: &BTreeMap<String, Arc<SourceFile>>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut notices: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in files.keys() {
        if let Some((notice, file)) = name.split_once('/')
            && let Some((locale, _)) = file.split_once('.')
        {
            notices.entry(notice.to_owned()).or_default().insert(locale.to_owned());
        }
    }
    for (notice, locales) in &notices {
        for locale in locales {
            for part in PARTS.iter().filter(|part| !files.contains_key(&format!("{notice}/{locale}.{part}"))) {
                let message = format!("the notice `{notice}` has no `{locale}.{part}`");
                problems.push(Problem::nowhere("N001", message).help("each language of a notice has all four texts"));
            }
        }
    }
    notices
}

/// Reads `<notice>/<locale>.<part>` and `base.html` below a folder; other texts are problems, for they would do
/// nothing.
fn read_folder(directory: &Path, files: &mut BTreeMap<String, Arc<SourceFile>>, problems: &mut Vec<Problem>) {
    let unreadable = |path: &Path, error: &std::io::Error| {
        Problem::nowhere("N012", format!("failed to read {}: {error}", path.display()))
    };
    let entries = |path: &Path| -> std::io::Result<Vec<std::path::PathBuf>> {
        let mut found: Vec<_> = std::fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        found.retain(|p| !p.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')));
        found.sort();
        Ok(found)
    };
    let folders = entries(directory).unwrap_or_else(|e| {
        problems.push(unreadable(directory, &e));
        Vec::new()
    });
    let is_text = |path: &&std::path::PathBuf| path.extension().is_some_and(|e| e == "html" || e == "txt");
    for path in folders.iter().filter(|p| !p.is_dir()).filter(is_text) {
        match read_base(path) {
            Ok(base) => _ = files.insert(BASE.to_owned(), Arc::new(base)),
            Err(problem) => problems.push(*problem),
        }
    }
    for folder in folders.iter().filter(|p| p.is_dir()) {
        let inside = entries(folder).unwrap_or_else(|e| {
            problems.push(unreadable(folder, &e));
            Vec::new()
        });
        for path in inside {
            match read_file(&path) {
                Ok((name, text)) => {
                    files.insert(name, Arc::new(SourceFile { path: path.display().to_string(), text }));
                }
                Err(problem) => problems.push(*problem),
            }
        }
    }
}

fn read_file(path: &Path) -> Result<(String, String), Box<Problem>> {
    let shown = path.display();
    let word = |part: Option<&std::ffi::OsStr>| part.and_then(|p| p.to_str()).unwrap_or_default().to_owned();
    let file = word(path.file_name());
    let notice = word(path.parent().and_then(Path::file_name));
    let (_, part) = file.split_once('.').unwrap_or_default();
    if !PARTS.contains(&part) {
        let near = did_you_mean(part, PARTS).map(|p| format!("write `.{p}`"));
        let help = near.unwrap_or_else(|| format!("a file is called <locale>.{{{}}}", PARTS.join(",")));
        return Err(Box::new(Problem::nowhere("N013", format!("{shown} is no text of a notice")).help(help)));
    }
    Ok((format!("{notice}/{file}"), read_text(path)?))
}

fn read_base(path: &Path) -> Result<SourceFile, Box<Problem>> {
    let shown = path.display();
    if path.file_name().is_none_or(|name| name != BASE) {
        let help = format!("a text is called <notice>/<locale>.<part>, what they have in common {BASE}");
        return Err(Box::new(Problem::nowhere("N013", format!("{shown} is no text of a notice")).help(help)));
    }
    Ok(SourceFile { path: shown.to_string(), text: read_text(path)? })
}

fn read_text(path: &Path) -> Result<String, Box<Problem>> {
    let shown = path.display();
    let too_long = std::fs::metadata(path).is_ok_and(|m| m.len() > FILE_BYTES_MAX);
    if too_long {
        return Err(Box::new(Problem::nowhere("N012", format!("{shown} is larger than {FILE_BYTES_MAX} bytes"))));
    }
    std::fs::read_to_string(path)
        .map_err(|e| Box::new(Problem::nowhere("N012", format!("failed to read {shown}: {e}"))))
}

fn unfit(part: &'static str, (code, rule): (&'static str, &'static str), words: &str) -> Unfit {
    Unfit::Offence { part, offence: Offence { code, rule, words: words.to_owned() } }
}

fn described(unfit: &Unfit, file: &Arc<SourceFile>, sample: &str) -> Problem {
    match unfit {
        Unfit::Render { error, .. } => broken("N003", file, error).help(format!("seen with the sample \"{sample}\"")),
        Unfit::Offence { offence, .. } => {
            let words = offence.words.as_str();
            let span = file.text.find(words).map_or(0..0, |at| at..at + words.len());
            let message = format!("{}: \"{}\"", offence.rule, words.escape_debug());
            Problem::error(offence.code, file, span, message).help(format!("seen with the sample \"{sample}\""))
        }
    }
}

/// A template the engine refuses, at its line.
fn broken(code: &'static str, file: &Arc<SourceFile>, error: &Error) -> Problem {
    let line = error.line().unwrap_or(1).max(1);
    let start: usize = file.text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let length = file.text.get(start..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Problem::error(code, file, start..start + length, format!("the template fails: {what}"))
}
