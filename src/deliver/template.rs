//! Notice templates: loaded whole, checked on what they render, rendered once per notice.
//!
//! Guarantees: compiled-in texts are always there; a set with a problem does not load, and every problem is told
//! with its file; a rendered notice obeys the rules for notices, or is not sent. Templates reach nothing beyond
//! the facts and each other, and end after a bounded number of steps. Does not send.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use super::channel::Texts;
use super::config::NoticesConfig;
use super::facts::Facts;
use super::notice_files::{NoticeFiles, PARTS};
use super::notice_rules::{Offence, html_offences, offences};
use super::sms::{Encoding, SEGMENTS_MAX, segments};
use super::template_check;
use crate::alert::{Order, Undeliverable};
use crate::report::Problem;

/// Steps one template may take.
const FUEL_MAX: u64 = 20_000;
/// Bytes one rendered text may have.
const RENDERED_BYTES_MAX: usize = 64 * 1024;
/// Characters of a subject: more is cut off by mail programs.
const SUBJECT_CHARS_MAX: usize = 78;

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
pub(super) enum Unfit {
    /// The engine gives up.
    Render { part: &'static str, error: Error },
    /// Some words break a rule for notices.
    Offence { part: &'static str, offence: Offence },
    /// The text as a whole is too long, or not there.
    Size { part: &'static str, code: &'static str, message: String, text: String },
}

impl Unfit {
    /// Which of the four texts.
    pub(super) fn part(&self) -> &'static str {
        let (Unfit::Render { part, .. } | Unfit::Offence { part, .. } | Unfit::Size { part, .. }) = self;
        part
    }
}

/// Errors of the compiler by file name: each file has at most one.
pub(super) type Broken = BTreeMap<String, Error>;

impl Templates {
    /// Loads the compiled-in texts and, in front of them, those of the configured folder; checks every text over
    /// the samples. All problems at once.
    pub fn load(config: &NoticesConfig) -> Result<Self, Vec<Problem>> {
        Self::of(NoticeFiles::read(config), config)
    }

    /// The same, of files that were read.
    pub fn of(files: NoticeFiles, config: &NoticesConfig) -> Result<Self, Vec<Problem>> {
        let (templates, mut problems) = Self::checked(files, config);
        problems.extend(templates.without_default());
        if problems.is_empty() { Ok(templates) } else { Err(problems) }
    }

    /// What is wrong with the texts, whatever the default language is.
    pub fn check(files: NoticeFiles) -> Vec<Problem> {
        Self::checked(files, &NoticesConfig::default()).1
    }

    fn checked(files: NoticeFiles, config: &NoticesConfig) -> (Self, Vec<Problem>) {
        let mut environment = environment();
        // Errors are told by their range while texts are tried.
        environment.set_debug(true);
        let mut broken = Broken::new();
        for (name, file) in &files.files {
            if let Err(error) = environment.add_template_owned(name.clone(), file.text.clone()) {
                broken.insert(name.clone(), error);
            }
        }
        let mut templates = Templates {
            environment,
            notices: files.notices,
            default_locale: config.default_locale.clone(),
            wallet: config.wallet_name.clone(),
        };
        let mut problems = files.problems;
        problems.extend(template_check::check(&templates, &files.files, &broken));
        templates.environment.set_debug(false);
        (templates, problems)
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

    /// The names that a template reads and nothing gives it, `known` being what the facts are called.
    pub(super) fn unknown_names(&self, name: &str, known: &[String]) -> Vec<String> {
        unknown_names(&self.environment, name, known)
    }

    /// Every notice in every language, with the facts of an order in it.
    pub(super) fn each_over<'t>(&'t self, order: &'t Order<'_>) -> impl Iterator<Item = (&'t str, &'t str, Facts)> {
        self.notices.iter().flat_map(move |(notice, locales)| {
            let of = |locale: &'t String| {
                (notice.as_str(), locale.as_str(), Facts::of(order, locale, self.wallet.as_deref()))
            };
            locales.iter().map(of)
        })
    }

    /// The four texts, fit to be sent, or all that is wrong with them.
    pub(super) fn texts(&self, notice: &str, locale: &str, facts: &Facts) -> Result<Texts, Vec<Unfit>> {
        let mut unfit = Vec::new();
        let mut keep = |part: Result<String, Vec<Unfit>>| part.map_err(|why| unfit.extend(why)).unwrap_or_default();
        let subject = keep(self.subject(notice, locale, facts));
        let text = keep(self.body(notice, locale, "body.txt", facts));
        let html = keep(self.body(notice, locale, "body.html", facts));
        let sms = keep(self.sms(notice, locale, facts));
        if unfit.is_empty() { Ok(Texts { locale: locale.to_owned(), subject, text, html, sms }) } else { Err(unfit) }
    }

    fn subject(&self, notice: &str, locale: &str, facts: &Facts) -> Result<String, Vec<Unfit>> {
        const PART: &str = "subject.txt";
        let subject = self.rendered(notice, locale, PART, facts)?;
        let mut unfit = unfit_words(PART, &subject, facts);
        if subject.contains('\n') || subject.is_empty() || subject.chars().count() > SUBJECT_CHARS_MAX {
            let message = format!("a subject is one line of 1 to {SUBJECT_CHARS_MAX} characters");
            unfit.push(Unfit::Size { part: PART, code: "N010", message, text: subject.clone() });
        }
        if unfit.is_empty() { Ok(subject) } else { Err(unfit) }
    }

    fn body(&self, notice: &str, locale: &str, part: &'static str, facts: &Facts) -> Result<String, Vec<Unfit>> {
        let text = self.rendered(notice, locale, part, facts)?;
        let unfit = unfit_words(part, &text, facts);
        if unfit.is_empty() { Ok(text) } else { Err(unfit) }
    }

    /// In brief where the whole does not fit: nothing is cut off.
    fn sms(&self, notice: &str, locale: &str, facts: &Facts) -> Result<String, Vec<Unfit>> {
        const PART: &str = "sms.txt";
        let fits = |sms: &str| segments(sms).1 <= SEGMENTS_MAX;
        // Judged as rendered: dots would end a sentence where an ellipsis does not.
        let full = self.rendered(notice, locale, PART, facts)?;
        let mut unfit = unfit_words(PART, &full, facts);
        let full = one_byte_dots(full);
        if fits(&full) {
            return if unfit.is_empty() { Ok(full) } else { Err(unfit) };
        }
        let in_brief = facts.clone().in_brief();
        let brief = self.rendered(notice, locale, PART, &in_brief)?;
        unfit.extend(unfit_words(PART, &brief, &in_brief));
        let brief = one_byte_dots(brief);
        if !fits(&brief) {
            let (encoding, count) = segments(&brief);
            let (encoding, characters) = (encoding.word(), brief.chars().count());
            let message = format!(
                "an SMS takes at most {SEGMENTS_MAX} segments when `brief` is set, this takes {count} \
                 ({characters} characters in {encoding})"
            );
            unfit.push(Unfit::Size { part: PART, code: "N008", message, text: brief.clone() });
        }
        if unfit.is_empty() { Ok(brief) } else { Err(unfit) }
    }

    fn rendered(&self, notice: &str, locale: &str, part: &'static str, facts: &Facts) -> Result<String, Vec<Unfit>> {
        let render = || -> Result<String, Error> {
            let text = self.environment.get_template(&format!("{notice}/{locale}.{part}"))?.render(facts)?;
            if text.len() > RENDERED_BYTES_MAX {
                return Err(Error::new(ErrorKind::InvalidOperation, "the text is longer than 64 KiB"));
            }
            Ok(text)
        };
        let text = render().map_err(|error| vec![Unfit::Render { part, error }])?;
        Ok(if part == "body.txt" { squeezed(&text) } else { text.trim().to_owned() })
    }

    fn without_default(&self) -> Option<Problem> {
        let lacks = |(_, locales): &(&String, &BTreeSet<String>)| nearest(&self.default_locale, locales).is_none();
        let lacking: Vec<String> = self
            .notices
            .iter()
            .filter(lacks)
            .map(|(notice, locales)| {
                let there: Vec<&str> = locales.iter().map(String::as_str).collect();
                format!("`{notice}` (there is: {})", there.join(", "))
            })
            .collect();
        let locale = &self.default_locale;
        let message = format!("no text in `{locale}`, the default language, has the notice {}", lacking.join(", "));
        let help = format!("write {locale}.{{{}}} for it, or choose another language", PARTS.join(","));
        (!lacking.is_empty()).then(|| Problem::nowhere("N014", message).about("alerts.default_locale").help(help))
    }
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Templates").field("notices", &self.notices).finish_non_exhaustive()
    }
}

/// The names that a template reads and that neither it, nor `known`, nor the engine has.
pub(super) fn unknown_names(environment: &Environment<'_>, template: &str, known: &[String]) -> Vec<String> {
    let Ok(template) = environment.get_template(template) else { return Vec::new() };
    let of_engine: Vec<&str> = environment.globals().map(|(name, _)| name).collect();
    let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
    names.retain(|name| !known.contains(name) && !of_engine.contains(&name.as_str()));
    names.sort();
    names
}

/// What in a rendered text breaks the rules for notices.
fn unfit_words(part: &'static str, text: &str, facts: &Facts) -> Vec<Unfit> {
    let trusted = facts.trusted();
    let found = if part == "body.html" { html_offences(text, &trusted) } else { offences(text, &trusted) };
    found.into_iter().map(|offence| Unfit::Offence { part, offence }).collect()
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
