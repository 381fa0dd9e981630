//! The configuration in force: every key's value and where it comes from.
//!
//! Guarantees: what is shown can be fed back and means the same, but for addresses, of which only scheme and host are
//! shown; a secret is never shown, only the name of its file. Decides nothing.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::environment::Overlay;
use super::manual::{Key, keys};
use super::mask;
use crate::report::{SourceFile, place};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything else.
    Default,
    /// The file, at a line.
    File {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: String,
    },
}

impl Origin {
    fn words(&self) -> String {
        match self {
            Origin::Default => "default".to_owned(),
            Origin::File { path, line } => format!("{path}:{line}"),
            Origin::Environment { variable } => format!("${variable}"),
        }
    }
}

/// One key.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Its section.
    pub section: String,
    /// The key.
    pub key: &'static str,
    /// Its value and where it comes from; `None`: it is not set, and that has a meaning of its own.
    pub value: Option<(Json, Origin)>,
}

/// Every key of the sections that are there, in the manual's order.
pub(super) fn effective(root: &DeTable<'_>, file: &Arc<SourceFile>, overlay: &Overlay, config: &Config) -> Vec<Shown> {
    let mut shown = Vec::new();
    let keys = keys();
    for of_section in keys.chunk_by(|a, b| a.section == b.section) {
        let Some(first) = of_section.first() else { continue };
        for (section, table) in sections(root, first, of_section.iter().any(|key| key.has_default)) {
            for key in of_section {
                let written = table.and_then(|table| table.iter().find(|(k, _)| k.get_ref().as_ref() == key.key));
                let value = match written {
                    Some((_, value)) => json_of(key.key, value.get_ref()).map(|json| {
                        let origin = match overlay.variable(&section, key.key) {
                            Some(variable) => Origin::Environment { variable: variable.to_owned() },
                            None => Origin::File { path: file.path.clone(), line: place(file, value.span().start).0 },
                        };
                        (json, origin)
                    }),
                    None => default_of(key, &section, config).map(|json| (json, Origin::Default)),
                };
                shown.push(Shown { section: section.clone(), key: key.key, value });
            }
        }
    }
    shown
}

type Table<'t> = Option<&'t DeTable<'t>>;

/// The sections that a key of the manual stands for: those that may be left out only where they are there.
fn sections<'t>(root: &'t DeTable<'t>, key: &Key, is_always: bool) -> Vec<(String, Table<'t>)> {
    let table_of = |value: &'t Spanned<DeValue<'t>>| match value.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    };
    let find = |table: &'t DeTable<'t>, name: &str| {
        table.iter().find(|(k, _)| k.get_ref().as_ref() == name).and_then(|(_, value)| table_of(value))
    };
    let found = find(root, key.family());
    if key.is_named() {
        let named = found.into_iter().flat_map(|table| table.iter());
        return named.map(|(k, value)| (format!("{}.{}", key.family(), k.get_ref()), table_of(value))).collect();
    }
    // A section with a default is always there; so is `state`, because it must be.
    if found.is_some() || is_always { vec![(key.section.to_owned(), found)] } else { Vec::new() }
}

fn json_of(key: &str, value: &DeValue<'_>) -> Option<Json> {
    match value {
        DeValue::String(text) => Some(Json::from(mask::origin(key, text))),
        DeValue::Boolean(flag) => Some(Json::from(*flag)),
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok().map(Json::from)
        }
        DeValue::Array(list) => {
            list.iter().map(|entry| json_of(key, entry.get_ref())).collect::<Option<Vec<_>>>().map(Json::from)
        }
        _ => None,
    }
}

/// The default of a key that nobody wrote; `None` where it has none.
fn default_of(key: &Key, section: &str, config: &Config) -> Option<Json> {
    if key.has_default {
        return DeValue::parse(key.value).ok().and_then(|value| json_of(key.key, value.get_ref()));
    }
    // What has a default only where its section is there, or one that depends on other keys.
    let email = config.channels.email.as_ref();
    let endpoint = match section.strip_prefix("webhook.") {
        Some(name) => config.channels.webhooks.get(name),
        None => config.channels.sms.as_ref().filter(|_| section == "sms").map(|sms| &sms.endpoint),
    };
    match (section, key.key) {
        ("alerts", "desk_file") => Some(config.desk.path.to_string_lossy().into()),
        ("email", "security") => Some("starttls".into()),
        ("email", "port") => email.map(|email| email.port.into()),
        ("email", "connections_max") => email.map(|email| email.connections_max.into()),
        ("email", "timeout_ms") => email.map(|email| email.timeout_ms.into()),
        (_, "requests_max") => endpoint.map(|endpoint| endpoint.requests_max.into()),
        (_, "timeout_ms") => endpoint.map(|endpoint| endpoint.timeout_ms.into()),
        _ => None,
    }
}

/// As TOML that means the same, each value with where it comes from.
pub fn toml(shown: &[Shown]) -> String {
    let mut text = String::from(
        "# The configuration in force, without secrets: those stand in the files that are named. Paths start at the\n\
         # folder of the file that this was read from.\n",
    );
    for of_section in shown.chunk_by(|a, b| a.section == b.section) {
        let Some(first) = of_section.first() else { continue };
        let _ = writeln!(text, "\n[{}]", first.section);
        let mut not_set = Vec::new();
        for one in of_section {
            match &one.value {
                // JSON's texts, numbers and lists are TOML's too.
                Some((value, origin)) => {
                    let _ = writeln!(text, "{} = {}  # {}", one.key, toml_of(value), clean(&origin.words()));
                }
                None => not_set.push(one.key),
            }
        }
        if !not_set.is_empty() {
            let _ = writeln!(text, "# not set: {}", not_set.join(", "));
        }
    }
    text
}

fn toml_of(value: &Json) -> String {
    match value {
        Json::Array(list) => format!("[{}]", list.iter().map(toml_of).collect::<Vec<_>>().join(", ")),
        Json::String(text) => ::toml::Value::String(text.clone()).to_string(),
        other => other.to_string(),
    }
}

fn clean(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// As JSON, one object a line: `key`, `value` (null where it is not set), `origin` (`default`, `file`,
/// `environment`, `none`), and `file` with `line`, or `variable`.
pub fn json_lines(shown: &[Shown]) -> String {
    let mut text = String::new();
    for Shown { section, key, value } in shown {
        let key = format!("{section}.{key}");
        let line = match value {
            None => json!({ "key": key, "value": null, "origin": "none" }),
            Some((value, Origin::Default)) => json!({ "key": key, "value": value, "origin": "default" }),
            Some((value, Origin::File { path, line })) => {
                json!({ "key": key, "value": value, "origin": "file", "file": path, "line": line })
            }
            Some((value, Origin::Environment { variable })) => {
                json!({ "key": key, "value": value, "origin": "environment", "variable": variable })
            }
        };
        let _ = writeln!(text, "{line}");
    }
    text
}
