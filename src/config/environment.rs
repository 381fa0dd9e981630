//! The environment over the file: `WALLETWATCH_KAFKA__BROKERS=a:9092,b:9092` is `kafka.brokers`.
//!
//! The rule: `WALLETWATCH_`, the section, two underscores, the key, all in capitals; a webhook's name stands between
//! (`WALLETWATCH_WEBHOOK__SOC__URL`). A text is the value as it is, a list is parted by commas, numbers, `true` and
//! `false` are as in the file. A variable stands before the file, the file before the default.
//!
//! Guarantees: a variable that means nothing is a problem, with the nearest one that does; no secret is read from
//! here, only the name of its file; problems with a value name the variable where others name a file. Given the
//! environment as an argument; reads none.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::manual::{Key, Kind, keys};
use super::mask::{self, Covered};
use crate::report::{Problem, SourceFile, did_you_mean};

/// How our variables begin.
pub const PREFIX: &str = "WALLETWATCH_";
/// What parts sections and keys.
const PARTER: &str = "__";

/// The part of the environment that configures us.
#[derive(Clone, Default)]
pub struct Environment {
    /// Our variables; `None`: the value is not UTF-8.
    variables: BTreeMap<String, Option<String>>,
    /// `$CREDENTIALS_DIRECTORY`, as systemd sets it.
    pub credentials: Option<PathBuf>,
}

impl Environment {
    /// Of a process: `std::env::vars_os()`.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Environment::default();
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            if name == "CREDENTIALS_DIRECTORY" {
                environment.credentials = Some(PathBuf::from(value));
            } else if name.starts_with(PREFIX) && !is_link(&name) {
                environment.variables.insert(name, value.into_string().ok());
            }
        }
        environment
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }
}

impl std::fmt::Debug for Environment {
    /// Without values: somebody may have tried to hand over a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// Whether a variable is one that Kubernetes and Docker set for a service called `walletwatch…`, such as
/// `WALLETWATCH_SERVICE_HOST` and `WALLETWATCH_PORT_9464_TCP_ADDR`. None of ours looks so.
fn is_link(name: &str) -> bool {
    let end = |words: &[&str]| words.iter().any(|word| name.ends_with(word));
    !name.contains(PARTER)
        && (end(&["_SERVICE_HOST", "_PORT", "_TCP", "_UDP", "_SCTP", "_PROTO", "_ADDR"])
            || name.contains("_SERVICE_PORT"))
}

/// One variable with its place in the configuration.
struct Variable {
    /// `$NAME` and what problems show of its value.
    file: Arc<SourceFile>,
    /// Its value.
    text: String,
    section: Vec<String>,
    key: Key,
    /// Where its value begins among the bytes that problems count: behind the file's.
    base: usize,
}

impl Variable {
    fn is(&self, section: &str, key: &str) -> bool {
        self.key.key == key && self.section.join(".") == section
    }

    fn name(&self) -> &str {
        self.file.path.trim_start_matches('$')
    }
}

/// The variables as they lie over a file.
#[derive(Default)]
pub struct Overlay {
    variables: Vec<Variable>,
    /// What is wrong with variables that are no key.
    problems: Vec<Problem>,
    /// Bytes of the file below.
    file_bytes: usize,
    /// What problems do not show.
    pub covered: Covered,
}

impl Overlay {
    /// Of an environment, over a file of so many bytes.
    pub fn new(environment: &Environment, file_bytes: usize) -> Self {
        let keys = keys();
        let mut overlay = Overlay { file_bytes, ..Overlay::default() };
        let mut base = file_bytes + 1;
        for (name, value) in &environment.variables {
            let Some((section, key)) = meant(name, &keys) else {
                overlay.problems.push(unknown(name, &keys));
                continue;
            };
            let Some(text) = value.clone() else {
                overlay.problems.push(Problem::nowhere("C010", format!("the value of `{name}` is not UTF-8")));
                continue;
            };
            let bytes = text.len();
            let shown = mask::variable(name, &text);
            overlay.covered.add(&shown.covered);
            let file = Arc::new(SourceFile { path: format!("${name}"), text: shown.text });
            overlay.variables.push(Variable { file, text, section, key, base });
            base += bytes + 1;
        }
        overlay
    }

    /// Puts the variables in place of what the file says.
    pub fn lay_over<'t>(&'t self, root: &mut DeTable<'t>) {
        for variable in &self.variables {
            let Some(table) = section_of(root, &variable.section) else { continue };
            table.remove(variable.key.key);
            let at = variable.base..variable.base + variable.text.len();
            let value = typed(&variable.text, variable.key.kind, variable.base);
            table.insert(Spanned::new(at.clone(), variable.key.key.into()), Spanned::new(at, value));
        }
    }

    /// The variable that a key's value comes from.
    pub fn variable(&self, section: &str, key: &str) -> Option<&str> {
        self.variables.iter().find(|variable| variable.is(section, key)).map(Variable::name)
    }

    /// Where a place behind the file's end stands: in a variable.
    pub fn placed(&self, span: &Range<usize>) -> Option<(Arc<SourceFile>, Range<usize>)> {
        let variable = self.at(span)?;
        Some((Arc::clone(&variable.file), span.start - variable.base..span.end - variable.base))
    }

    /// Problems at their places: those behind the file's end are problems of a variable's value. With those of
    /// variables that mean nothing.
    pub fn place(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        for problem in &mut problems {
            let Some((_, at)) = &problem.at else { continue };
            let Some(variable) = self.at(at) else { continue };
            let shift = |span: &Range<usize>| span.start - variable.base..span.end - variable.base;
            let at = shift(at);
            problem.at = Some((Arc::clone(&variable.file), at));
            if let Some(fix) = &mut problem.fix {
                fix.span = shift(&fix.span);
                fix.with = fix.with.trim_matches('"').to_owned();
            }
        }
        problems.extend(self.problems.iter().cloned());
        problems
    }

    fn at(&self, span: &Range<usize>) -> Option<&Variable> {
        let behind = self.variables.iter().take_while(|variable| variable.base <= span.start);
        behind.last().filter(|variable| span.start > self.file_bytes && span.end >= variable.base)
    }
}

/// A section, made if it is not there; `None` where the file says that it is none, which is told.
fn section_of<'a, 't>(table: &'a mut DeTable<'t>, path: &'t [String]) -> Option<&'a mut DeTable<'t>> {
    let Some((name, rest)) = path.split_first() else { return Some(table) };
    if !table.contains_key(name.as_str()) {
        let made = DeValue::Table(DeTable::new());
        table.insert(Spanned::new(0..0, name.as_str().into()), Spanned::new(0..0, made));
    }
    match table.get_mut(name.as_str()).map(Spanned::get_mut) {
        Some(DeValue::Table(inner)) => section_of(inner, rest),
        _ => None,
    }
}

/// The value that a text stands for. What does not read as its kind stays a text, which the reader refuses.
fn typed(text: &str, kind: Kind, base: usize) -> DeValue<'_> {
    match kind {
        Kind::Text => DeValue::String(text.into()),
        Kind::Texts => {
            let mut list = DeArray::new();
            let mut at = base;
            for part in text.split(',').filter(|_| !text.trim().is_empty()) {
                let entry = part.trim();
                let start = at + (part.len() - part.trim_start().len());
                list.push(Spanned::new(start..start + entry.len(), DeValue::String(entry.into())));
                at += part.len() + 1;
            }
            DeValue::Array(list)
        }
        Kind::Flag | Kind::Number => match DeValue::parse(text.trim()) {
            Ok(value) if matches!(value.get_ref(), DeValue::Boolean(_) | DeValue::Integer(_)) => value.into_inner(),
            _ => DeValue::String(text.into()),
        },
    }
}

/// The section and key that a variable's name stands for.
fn meant(name: &str, keys: &[Key]) -> Option<(Vec<String>, Key)> {
    let rest = name.strip_prefix(PREFIX)?;
    if rest.bytes().any(|b| b.is_ascii_lowercase()) {
        return None;
    }
    let parts: Vec<String> = rest.split(PARTER).map(str::to_ascii_lowercase).collect();
    let (key, section) = parts.split_last()?;
    let is_it = |known: &&Key| {
        known.key == key
            && match section {
                [family, name] => known.is_named() && known.family() == family && !name.is_empty(),
                [section] => !known.is_named() && known.section == section,
                _ => false,
            }
    };
    keys.iter().find(is_it).map(|known| (section.to_vec(), *known))
}

fn unknown(name: &str, keys: &[Key]) -> Problem {
    let problem = Problem::nowhere("C010", format!("unknown variable `{name}`"));
    if meant(&format!("{name}_FILE"), keys).is_some() {
        let help = format!("secrets are read from files only: write it into a file and name that in `{name}_FILE`");
        return problem.help(help);
    }
    let own = name.strip_prefix(PREFIX).and_then(|rest| rest.split(PARTER).nth(1)).unwrap_or("NAME");
    let known: Vec<String> = keys.iter().map(|key| variable_of(key, own)).collect();
    match did_you_mean(&name.to_ascii_uppercase(), known.iter().map(String::as_str)) {
        Some(near) => problem.help(format!("write `{near}`")),
        None => {
            problem.help(format!("a key is written {PREFIX}SECTION{PARTER}KEY, such as {PREFIX}KAFKA{PARTER}BROKERS"))
        }
    }
}

/// The variable of a key; `own` stands for the name of a webhook.
fn variable_of(key: &Key, own: &str) -> String {
    let section = if key.is_named() { format!("{}{PARTER}{own}", key.family()) } else { key.section.to_owned() };
    format!("{PREFIX}{section}{PARTER}{}", key.key).to_ascii_uppercase()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The variables that say what a manual's example says.
    pub fn examples(is_wanted: impl Fn(&Key) -> bool) -> Vec<(OsString, OsString)> {
        let text = |key: &Key| {
            let plain = key.value.trim_start_matches('[').trim_end_matches(']');
            let parts: Vec<&str> = plain.split(',').map(|part| part.trim().trim_matches('"')).collect();
            parts.join(" , ")
        };
        let keys = keys().into_iter().filter(is_wanted);
        keys.map(|key| (variable_of(&key, "SOC").into(), text(&key).into())).collect()
    }

    #[test]
    fn links_to_services_are_none_of_ours() {
        for name in [
            "WALLETWATCH_SERVICE_HOST",
            "WALLETWATCH_SERVICE_PORT",
            "WALLETWATCH_SERVICE_PORT_METRICS",
            "WALLETWATCH_METRICS_SERVICE_HOST",
            "WALLETWATCH_PORT",
            "WALLETWATCH_PORT_9464_TCP",
            "WALLETWATCH_PORT_9464_TCP_PROTO",
            "WALLETWATCH_PORT_9464_TCP_PORT",
            "WALLETWATCH_PORT_9464_TCP_ADDR",
        ] {
            let environment = Environment::of([(name.into(), "tcp://10.0.0.1".into())]);
            assert!(environment.is_empty(), "{name}");
        }
        assert!(!Environment::of([("WALLETWATCH_EMAIL__PORT".into(), "25".into())]).is_empty());
    }

    #[test]
    fn values_are_not_shown_by_accident() {
        let environment = Environment::of([("WALLETWATCH_EMAIL__PASSWORD".into(), "canary".into())]);
        assert!(!format!("{environment:?}").contains("canary"));
    }
}
