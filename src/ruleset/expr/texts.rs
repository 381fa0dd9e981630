//! Compiled texts and ids: hashes for comparing, the texts themselves for functions that read them.
//!
//! Guarantees: equal texts have equal hashes under the set's key; missing is hash 0 and `None`; a slot or a
//! constant is read without allocating. Folding is Unicode's, of no particular language.

use std::borrow::Cow;

use compact_str::CompactString;

use super::compile::{Compiler, Test, id};
use super::functions::Function;
use super::typed::{Node, Typed};
use super::{HashKey, Row};
use crate::event::{Millis, Value};

/// Where the hash of a text or an id comes from.
pub(super) enum Hash {
    Slot(usize),
    Constant(u64),
    /// The first, or the second where that is missing.
    Either(Box<(Hash, Hash)>),
    /// A text that is made while evaluating.
    Computed(TextSource, HashKey),
}

impl Hash {
    /// The hash; 0 where missing.
    pub fn read(&self, row: &Row<'_>) -> u64 {
        match self {
            Hash::Slot(at) => id(row, *at),
            Hash::Constant(hash) => *hash,
            Hash::Either(both) => match both.0.read(row) {
                0 => both.1.read(row),
                found => found,
            },
            Hash::Computed(text, key) => text.read(row).map_or(0, |text| key.text(&text)),
        }
    }

    /// Whether two are the same, or are not: both false where one is missing.
    pub fn compared(self, want: bool, other: Hash) -> Test {
        match (self, other) {
            (Hash::Slot(at), Hash::Constant(hash)) | (Hash::Constant(hash), Hash::Slot(at)) if want => {
                Box::new(move |row| id(row, at) == hash)
            }
            (Hash::Slot(one), Hash::Slot(other)) if want => Box::new(move |row| {
                let found = id(row, one);
                found != 0 && found == id(row, other)
            }),
            (left, right) => Box::new(move |row| {
                let (left, right) = (left.read(row), right.read(row));
                left != 0 && right != 0 && (left == right) == want
            }),
        }
    }
}

/// Where a text comes from.
pub(super) enum TextSource {
    Slot(usize),
    Constant(CompactString),
    Lower(Box<TextSource>),
    Domain(Box<TextSource>),
    /// The first, or the second where that is missing.
    Either(Box<(TextSource, TextSource)>),
    Missing,
}

impl TextSource {
    /// The text; `None` where missing.
    pub fn read<'a>(&'a self, row: &Row<'a>) -> Option<Cow<'a, str>> {
        match self {
            TextSource::Slot(at) => match row.texts.get(*at).map(CompactString::as_str) {
                None | Some("") => None,
                Some(text) => Some(Cow::Borrowed(text)),
            },
            TextSource::Constant(text) => Some(Cow::Borrowed(text)),
            TextSource::Lower(inner) => Some(lower(inner.read(row)?)),
            TextSource::Domain(inner) => domain(inner.read(row)?),
            TextSource::Either(both) => both.0.read(row).or_else(|| both.1.read(row)),
            TextSource::Missing => None,
        }
    }
}

fn lower(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.chars().any(|c| c.to_lowercase().next() != Some(c)) { Cow::Owned(text.to_lowercase()) } else { text }
}

/// What stands after the last `@`, in lower case.
fn domain(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let at = text.rfind('@')? + 1;
    let part = match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(at..)?),
        Cow::Owned(text) => Cow::Owned(text.get(at..)?.to_string()),
    };
    if part.is_empty() { None } else { Some(lower(part)) }
}

/// Where a time zone comes from.
pub(super) enum Zone {
    Constant(jiff::tz::TimeZone),
    Named(TextSource),
}

impl Zone {
    /// The clock on the wall there; `None` where the zone is missing or unknown.
    pub fn local(&self, time: Millis, row: &Row<'_>) -> Option<jiff::civil::DateTime> {
        let time = jiff::Timestamp::from_millisecond(time.0).ok()?;
        match self {
            Zone::Constant(zone) => Some(zone.to_datetime(time)),
            Zone::Named(name) => Some(jiff::tz::TimeZone::get(&name.read(row)?).ok()?.to_datetime(time)),
        }
    }
}

impl Compiler<'_> {
    /// A text or an id, to be compared.
    pub fn hash(&mut self, typed: &Typed) -> Hash {
        match &typed.node {
            Node::Name(name) => Hash::Slot(self.cell(*name, typed.ty).at.into()),
            Node::Constant(Value::Text(text)) => Hash::Constant(self.key.text(text)),
            Node::Coalesce(left, right) => Hash::Either(Box::new((self.hash(left), self.hash(right)))),
            _ => Hash::Computed(self.text(typed), self.key),
        }
    }

    /// A text or an id, to be read.
    pub fn text(&mut self, typed: &Typed) -> TextSource {
        match &typed.node {
            Node::Name(name) => TextSource::Slot(self.cell(*name, typed.ty).text.into()),
            Node::Constant(Value::Text(text)) => TextSource::Constant(text.as_ref().into()),
            Node::Coalesce(left, right) => TextSource::Either(Box::new((self.text(left), self.text(right)))),
            Node::Call(Function::Lower, arguments) => match arguments.first() {
                Some(inner) => TextSource::Lower(Box::new(self.text(inner))),
                None => TextSource::Missing,
            },
            Node::Call(Function::Domain, arguments) => match arguments.first() {
                Some(inner) => TextSource::Domain(Box::new(self.text(inner))),
                None => TextSource::Missing,
            },
            _ => TextSource::Missing,
        }
    }

    /// A time zone.
    pub fn zone(&mut self, typed: &Typed) -> Zone {
        match &typed.node {
            Node::Constant(Value::Text(name)) => match jiff::tz::TimeZone::get(name) {
                Ok(zone) => Zone::Constant(zone),
                Err(_) => Zone::Named(TextSource::Missing),
            },
            _ => Zone::Named(self.text(typed)),
        }
    }
}
