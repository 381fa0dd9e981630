//! The manual as data: every key with its section, the type of its value, and its default.
//!
//! Guarantees: holds what `default.toml` holds, in its order; that the reader asks for exactly these keys, and that
//! the defaults are the true ones, is tested beside the reader.

use toml::de::DeValue;

use super::MANUAL;

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// Texts.
    Texts,
    /// true or false.
    Flag,
    /// A whole number.
    Number,
}

/// One key of the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its section, such as `kafka`; of a webhook `webhook.soc`, where `soc` stands for any name.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// Its default, as TOML; of a key without one an example.
    pub value: &'static str,
    /// Whether the value is a default.
    pub has_default: bool,
    /// What it takes.
    pub kind: Kind,
}

impl Key {
    /// Whether its section is one of several that people give names to.
    pub fn is_named(&self) -> bool {
        self.section.contains('.')
    }

    /// The section without the name that stands for any.
    pub fn family(&self) -> &'static str {
        self.section.split('.').next().unwrap_or(self.section)
    }
}

/// Every key, in the manual's order.
pub fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    let mut section = "";
    for line in MANUAL.lines() {
        let (text, has_default) = line.strip_prefix("# ").map_or((line, true), |text| (text, false));
        if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = text.split_once(" = ")
            && !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            && let Some(kind) = kind(value)
        {
            keys.push(Key { section, key, value, has_default, kind });
        }
    }
    keys
}

fn kind(value: &str) -> Option<Kind> {
    match DeValue::parse(value).ok()?.get_ref() {
        DeValue::String(_) => Some(Kind::Text),
        DeValue::Array(_) => Some(Kind::Texts),
        DeValue::Boolean(_) => Some(Kind::Flag),
        DeValue::Integer(_) => Some(Kind::Number),
        _ => None,
    }
}
