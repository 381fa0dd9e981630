//! Mappings: other systems' records read as our own events, as a YAML file per topic says.
//!
//! Guarantees: what a mapping makes of a record passes the schema like one of our own (the decoder judges it);
//! a record is an event, ignored for a reason the file gives, or refused for one of the closed list: no fourth
//! way; a file is checked whole before it is used. Pointers are resolved when it is loaded. Reads no file.

mod builtin;
pub mod codes;
mod condition;
mod constant;
mod load;
mod parts;
mod paths;
mod pointer;
mod source;
mod target;
mod test;
mod walk;
mod when;

use std::sync::Arc;

use smallvec::SmallVec;

use condition::{Condition, is_true};
use paths::{Leaf, Paths};
use source::{Scene, Source};
use target::Target;

use super::decode::{Decoded, Limits, judge_mapped, readable, shallow};
use super::{Millis, Raw, RejectReason, Rejection};
use crate::report::SourceFile;

pub use builtin::{Builtin, builtin};
pub use load::{MAPPING_FILES, load, load_bytes};
pub use test::{Failure, Test, failed, run as run_tests, untested};

/// Places of a record kept without an allocation.
const PLACES_INLINE: usize = 48;
/// Nesting of JSON that stands in a text.
const DEPTH_MAX: usize = 32;
/// What to do about records that say who it was by name only. No mapping that ships takes a name for an account: where
/// others have ids, whoever types a name would make accounts of their own.
const NAME_ONLY: &str = "; there is a login name: where accounts are known by it, name its place behind those of \
                         `account` in a mapping of your own";
/// Characters of an event's id, at most.
const ID_CHARS_MAX: usize = 128;

/// What a file says of the records of a topic.
#[derive(Debug)]
pub struct Mapping {
    name: String,
    file: Arc<SourceFile>,
    paths: Paths,
    entries: Vec<Entry>,
    tests: Vec<Test>,
}

/// What becomes of some records.
#[derive(Debug)]
struct Entry {
    when: Condition,
    then: Then,
    /// Where it stands in its file.
    at: std::ops::Range<usize>,
}

#[derive(Debug)]
enum Then {
    /// Counted by this reason, and nothing else.
    Ignore(String),
    /// An event with these fields.
    Event(Vec<(Target, Source)>),
}

/// What Kafka says of a record.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Its topic; of a file, the mapping's name.
    pub topic: &'a str,
    /// Its partition; 0 for a file.
    pub partition: i32,
    /// Its offset; the line, from 1, for a file.
    pub offset: i64,
    /// Its timestamp; none for a file.
    pub stamp: Option<Millis>,
    /// Its key.
    pub key: Option<&'a [u8]>,
}

/// What became of a record that was not refused.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is matched at once, and a box would cost each event an allocation")]
pub enum Mapped<'a> {
    /// An event. Fields of the record that nobody asked for are not counted as unknown: there are always some.
    Event(Decoded<'a>),
    /// Nothing, on purpose: the reason of the mapping's entry.
    Ignored(&'a str),
}

impl Mapping {
    /// Its file: path and text.
    pub fn source(&self) -> &SourceFile {
        &self.file
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file.
    pub fn file(&self) -> &Arc<SourceFile> {
        &self.file
    }

    /// How many entries it has: kinds of events, and kinds of records that are ignored.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// The tests in its file.
    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// Every reason for which it ignores records.
    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match &entry.then {
            Then::Ignore(reason) => Some(reason.as_str()),
            Then::Event(_) => None,
        })
    }

    /// Reads a record. `now` is the moment of its batch.
    pub fn decode<'a>(
        &'a self,
        value: Option<&'a [u8]>,
        origin: &Origin<'a>,
        now: Millis,
        limits: &Limits,
    ) -> Result<Mapped<'a>, Rejection> {
        self.take(value, origin, now, limits).1
    }

    /// The entry that takes a record, and what becomes of it.
    fn take<'a>(
        &'a self,
        value: Option<&'a [u8]>,
        origin: &Origin<'a>,
        now: Millis,
        limits: &Limits,
    ) -> (Option<usize>, Result<Mapped<'a>, Rejection>) {
        let mut found: SmallVec<[Leaf<'a>; PLACES_INLINE]> = SmallVec::new();
        found.resize(self.paths.len(), Leaf::Absent);
        let read = readable(value, limits)
            .and_then(|text| shallow(text, limits).map(|()| text))
            .and_then(|text| self.paths.read(text, &mut found));
        if let Err(rejection) = read {
            return (None, Err(rejection));
        }
        let Some((at, entry)) = self.entries.iter().enumerate().find(|(_, entry)| is_true(&entry.when, &found)) else {
            let detail = format!("no entry of the mapping `{}` takes this record", self.name);
            return (None, Err(Rejection::of("type", RejectReason::UnknownType, detail)));
        };
        let mapped = match &entry.then {
            Then::Ignore(reason) => Ok(Mapped::Ignored(reason)),
            Then::Event(fields) => self.event(fields, Scene { found: &found, origin }, now, limits).map(Mapped::Event),
        };
        (Some(at), mapped)
    }

    fn event<'a>(
        &'a self,
        fields: &'a [(Target, Source)],
        scene: Scene<'_, 'a>,
        now: Millis,
        limits: &Limits,
    ) -> Result<Decoded<'a>, Rejection> {
        let mut raw = Raw::default();
        for (target, source) in fields {
            let refused = |expected| Rejection::of(target.name(), RejectReason::BadValue, expected);
            let value = source.value(scene).map_err(refused);
            let put = value.and_then(|value| value.map_or(Ok(()), |value| target.put(value, &mut raw)));
            put.map_err(|rejection| self.with_places(rejection, fields))?;
        }
        let has_name = raw.login_name.is_some();
        judge_mapped(&mut raw, now, limits).map_err(|rejection| {
            let is_nobody = rejection.reason == RejectReason::MissingField && rejection.field == Some("account");
            let mut rejection = self.with_places(rejection, fields);
            if is_nobody && has_name {
                rejection.detail.push_str(NAME_ONLY);
            }
            rejection
        })
    }

    /// The refusal of a field, with the places that it comes from.
    #[cold]
    fn with_places(&self, mut rejection: Rejection, fields: &[(Target, Source)]) -> Rejection {
        let blamed = fields.iter().find(|(target, _)| Some(target.name()) == rejection.field);
        let mut slots = Vec::new();
        blamed.inspect(|(_, source)| source.slots(&mut slots));
        slots.dedup();
        let places: Vec<String> =
            slots.iter().filter_map(|slot| self.paths.pointer(*slot)).map(|pointer| format!("`{pointer}`")).collect();
        if !places.is_empty() {
            rejection.detail = format!("{}; it comes from {}", rejection.detail, places.join(", "));
        }
        rejection
    }
}

impl<'a> Origin<'a> {
    /// An id for a record that has none: topic, partition, offset and timestamp. The timestamp tells a record
    /// from the one of a topic that was deleted and made again.
    fn position(&self) -> String {
        let stamp = self.stamp.map(|stamp| format!(":{}", stamp.0)).unwrap_or_default();
        let tail = format!(":{}:{}{stamp}", self.partition, self.offset);
        let room = ID_CHARS_MAX.saturating_sub(tail.len());
        if self.topic.len() <= room {
            return format!("{}{tail}", self.topic);
        }
        // Topics that begin alike still differ.
        let hash = format!("~{:016x}", fnv(self.topic.as_bytes()));
        let head: String = self.topic.chars().take(room.saturating_sub(hash.len())).collect();
        format!("{head}{hash}{tail}")
    }

    /// The key as text.
    fn key_text(&self) -> Option<&'a str> {
        self.key.and_then(|key| std::str::from_utf8(key).ok()).filter(|key| !key.is_empty())
    }
}

/// FNV-1a, 64 bits: the same on every machine and in every version.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether JSON in a text nests too deep to be parsed.
fn too_deep(text: &str) -> bool {
    super::decode::too_deep(text, DEPTH_MAX)
}

#[cfg(test)]
mod tests;
