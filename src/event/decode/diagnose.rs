//! The slow way to read a record: field by field, when reading it in one go has failed.
//!
//! Guarantees: reads what the fast way reads; forgives a wrong value in a field that the event's type
//! does not have; else names the reason and the first field to blame, in the order of the schema.
//! Does not judge values of the right JSON type.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::key::{Key, KeySet, Name};
use crate::event::raw::{Object, OneValue, Raw, RawContact, RawPlace, Slot, Str};
use crate::event::{Closed, EventType, RejectReason, Rejection};

/// Reads a record that [`Raw::parse`] refused.
pub(super) fn read_carefully(text: &str) -> Result<Raw<'_>, Rejection> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        // Nothing was asked for, so the message is about the syntax and repeats no value.
        return Err(Rejection::new(RejectReason::NotJson, error.to_string()));
    }
    let Some(entries) = entries(text) else {
        return Err(Rejection::new(RejectReason::NotObject, "one JSON object is expected"));
    };
    let mut raw = Raw { unknown_fields: unknown(&entries), ..Raw::default() };
    read_all(&mut raw, &entries, |_, key| key == Key::Type)?;
    // Without a type that is known nothing else can be judged, and `judge` says that first.
    let Some(kind) = raw.kind.as_deref().and_then(EventType::parse) else { return Ok(raw) };
    let own = KeySet::of(kind);
    let applies =
        |raw: &Raw<'_>, key| own.has(key) && !(key == Key::Reason && raw.result.as_deref() == Some("success"));
    read_all(&mut raw, &entries, applies)?;
    let is_there = |value: &RawValue| !matches!(value.get(), "null" | "\"\"");
    let dropped = entries.iter().filter(|e| is_there(e.value) && e.key.is_some_and(|k| !applies(&raw, k))).count();
    raw.unknown_fields = raw.unknown_fields.saturating_add(u32::try_from(dropped).unwrap_or(u32::MAX));
    Ok(raw)
}

/// One name and its value.
struct Entry<'a, K> {
    /// `None` for a name the object does not have.
    key: Option<K>,
    value: &'a RawValue,
}

fn unknown<K>(entries: &[Entry<'_, K>]) -> u32 {
    u32::try_from(entries.iter().filter(|e| e.key.is_none()).count()).unwrap_or(u32::MAX)
}

/// The names and values of a JSON object, `None` where the text is none.
fn entries<K: Name>(text: &str) -> Option<Vec<Entry<'_, K>>> {
    struct Entries<K>(std::marker::PhantomData<K>);
    impl<'a, K: Name> Visitor<'a> for Entries<K> {
        type Value = Vec<Entry<'a, K>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut entries = Vec::new();
            while let Some((Str(name), value)) = map.next_entry()? {
                entries.push(Entry { key: K::parse(&name), value });
            }
            Ok(entries)
        }
    }
    serde_json::Deserializer::from_str(text).deserialize_map(Entries(std::marker::PhantomData)).ok()
}

/// Reads the fields that apply, in the order of the schema.
fn read_all<'a, O: Object<'a>>(
    object: &mut O,
    entries: &[Entry<'a, O::Key>],
    applies: impl Fn(&O, O::Key) -> bool,
) -> Result<(), Rejection> {
    for key in O::Key::all() {
        if !applies(object, key) {
            continue;
        }
        let mut values = entries.iter().filter(|e| e.key.is_some_and(|k| k.bit() == key.bit())).map(|e| e.value);
        let Some(value) = values.next() else { continue };
        if values.next().is_some() {
            return Err(Rejection::of(key.path(), RejectReason::DuplicateField, "the field is there more than once"));
        }
        let slot = object.slot(key);
        let wanted = Wanted::of(&slot);
        match slot.read(Part(value)) {
            Ok(true) => object.note(key),
            Ok(false) => {}
            Err(WrongType) => return Err(wanted.blame(key.path(), value)),
        }
    }
    Ok(())
}

/// One value of an object.
struct Part<'a>(&'a RawValue);

/// The value is not of the JSON type that the schema wants.
struct WrongType;

impl<'a> OneValue<'a> for Part<'a> {
    type Error = WrongType;

    fn take<T: serde::Deserialize<'a>>(self) -> Result<Option<T>, WrongType> {
        serde_json::from_str(self.0.get()).map_err(|_| WrongType)
    }
}

/// What a slot takes.
enum Wanted {
    Plain(&'static str),
    Place,
    Contact,
}

impl Wanted {
    fn of(slot: &Slot<'_, '_>) -> Self {
        match slot {
            Slot::Text(_) => Wanted::Plain("a text is expected"),
            Slot::Moment(_) => Wanted::Plain("RFC 3339 text or whole milliseconds since 1970 are expected"),
            Slot::Whole(_) => Wanted::Plain("a whole number is expected"),
            Slot::Bool(_) => Wanted::Plain("true or false is expected"),
            Slot::Number(_) => Wanted::Plain("a number is expected"),
            Slot::Amount(_) => Wanted::Plain("a decimal number is expected"),
            Slot::Asn(_) => Wanted::Plain("a whole number, or a text such as AS64500, is expected"),
            Slot::Place(_) => Wanted::Place,
            Slot::Contact(_) => Wanted::Contact,
        }
    }

    /// The refusal: of the part of an object that is to blame, where one is.
    fn blame(self, path: &'static str, value: &RawValue) -> Rejection {
        fn part<'a, O: Object<'a>>(value: &'a RawValue) -> Option<Rejection> {
            read_all(&mut O::default(), &entries(value.get())?, |_, _| true).err()
        }
        let (inner, detail) = match self {
            Wanted::Plain(detail) => (None, detail),
            Wanted::Place => (part::<RawPlace<'_>>(value), "an object is expected"),
            Wanted::Contact => (part::<RawContact<'_>>(value), "an object is expected"),
        };
        inner.unwrap_or_else(|| Rejection::of(path, RejectReason::BadValue, detail))
    }
}
