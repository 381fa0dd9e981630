//! The places of a record that a mapping asks for, found in one pass over its text.
//!
//! Guarantees: what is not asked for is skipped without being kept; texts without escapes are borrowed; a name
//! that is asked for and stands twice is a refusal, never a choice. Texts that hold JSON are gone into where the
//! mapping says so, and nowhere else. Judges no value.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::pointer::{Pointer, Step};
use crate::event::{RejectReason, Rejection};

/// Names of one object that a mapping may ask for, at most.
pub(super) const NAMES_MAX: usize = 128;
/// Places of one mapping, at most.
pub(super) const PLACES_MAX: usize = 1024;

/// Base64 with or without its padding: both are written.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a text holds that pointers go into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// JSON.
    Json,
    /// JSON in base64.
    Base64,
}

/// What stands at a place.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Leaf<'a> {
    /// Nothing, null, or an empty text.
    #[default]
    Absent,
    /// A text.
    Text(Cow<'a, str>),
    /// A number, as it is written.
    Number(Cow<'a, str>),
    /// true or false.
    Bool(bool),
    /// A list, as it is written.
    List(Cow<'a, str>),
    /// An object.
    Object,
}

impl<'a> Leaf<'a> {
    /// The value of a JSON text.
    pub fn of(json: &'a str) -> Result<Leaf<'a>, serde_json::Error> {
        Ok(match json.as_bytes() {
            [b'"', ..] => match serde_json::from_str::<crate::event::raw::Str<'a>>(json)?.0 {
                text if text.is_empty() => Leaf::Absent,
                text => Leaf::Text(text),
            },
            [b'{', ..] => Leaf::Object,
            [b'[', ..] => Leaf::List(Cow::Borrowed(json)),
            [b'n', ..] => Leaf::Absent,
            [b't', ..] => Leaf::Bool(true),
            [b'f', ..] => Leaf::Bool(false),
            _ => Leaf::Number(Cow::Borrowed(json)),
        })
    }

    fn into_owned(self) -> Leaf<'static> {
        match self {
            Leaf::Absent => Leaf::Absent,
            Leaf::Text(text) => Leaf::Text(Cow::Owned(text.into_owned())),
            Leaf::Number(text) => Leaf::Number(Cow::Owned(text.into_owned())),
            Leaf::Bool(value) => Leaf::Bool(value),
            Leaf::List(text) => Leaf::List(Cow::Owned(text.into_owned())),
            Leaf::Object => Leaf::Object,
        }
    }

    /// A scalar as text; `None` for what is none.
    pub fn text(&self) -> Option<&str> {
        match self {
            Leaf::Text(text) | Leaf::Number(text) => Some(text),
            Leaf::Bool(true) => Some("true"),
            Leaf::Bool(false) => Some("false"),
            Leaf::Absent | Leaf::List(_) | Leaf::Object => None,
        }
    }
}

/// The items of a list, as they are written.
pub(super) fn items(list: &str) -> Vec<&RawValue> {
    serde_json::from_str(list).unwrap_or_default()
}

// === The places, resolved when the mapping is loaded ===

/// All places of a mapping.
#[derive(Debug, Default)]
pub(super) struct Paths {
    root: Place,
    pointers: Vec<Pointer>,
}

/// One place, and those below it.
#[derive(Debug, Default)]
struct Place {
    /// Where its value is kept.
    slot: Option<usize>,
    holds: Option<Holds>,
    /// The places below, by name, sorted.
    names: Vec<(Box<str>, Place)>,
    /// The places below the first object of a list with such a value.
    picks: Vec<(Box<str>, Box<str>, Place)>,
}

impl Paths {
    /// The slot of a place; a place asked for twice has one. The error says which limit is reached.
    pub fn slot(&mut self, pointer: &Pointer) -> Result<usize, &'static str> {
        if self.pointers.len() >= PLACES_MAX {
            return Err("a mapping asks for at most 1024 places");
        }
        let next = self.pointers.len();
        let place = self.root.below(&pointer.steps)?;
        let slot = *place.slot.get_or_insert(next);
        if slot == next {
            self.pointers.push(pointer.clone());
        }
        Ok(slot)
    }

    /// Says that texts at a place hold JSON.
    pub fn holds(&mut self, pointer: &Pointer, holds: Holds) -> Result<(), &'static str> {
        self.root.below(&pointer.steps)?.holds = Some(holds);
        Ok(())
    }

    /// Whether a pointer goes below a place.
    pub fn goes_below(&self, pointer: &Pointer) -> bool {
        self.pointers.iter().any(|p| p.steps.len() > pointer.steps.len() && p.steps.starts_with(&pointer.steps))
    }

    /// The pointer of a slot.
    pub fn pointer(&self, slot: usize) -> Option<&Pointer> {
        self.pointers.get(slot)
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.pointers.len()
    }

    /// Reads a record's text into `found`, which has [`Paths::len`] leaves.
    pub fn read<'a>(&self, text: &'a str, found: &mut [Leaf<'a>]) -> Result<(), Rejection> {
        if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
            if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
                return Err(Rejection::new(RejectReason::NotJson, error.to_string()));
            }
            return Err(Rejection::new(RejectReason::NotObject, "one JSON object is expected"));
        }
        self.root.read(text, found).map_err(|failure| match failure {
            Failure::Json(error) => Rejection::new(RejectReason::NotJson, error.to_string()),
            Failure::Refused(slot, what) => {
                let pointer = self.pointer(slot).map(Pointer::to_string).unwrap_or_default();
                match what {
                    Refused::Twice => {
                        let detail = format!("`{pointer}`, or what it goes through, is there more than once");
                        Rejection::new(RejectReason::DuplicateField, detail)
                    }
                    Refused::NoJson => {
                        Rejection::new(RejectReason::NotJson, format!("the text that `{pointer}` goes into is no JSON"))
                    }
                    Refused::NoBase64 => {
                        let detail = format!("the text that `{pointer}` goes into is no base64 of UTF-8");
                        Rejection::new(RejectReason::BadValue, detail)
                    }
                }
            }
        })
    }
}

impl Place {
    fn below(&mut self, steps: &[Step]) -> Result<&mut Place, &'static str> {
        let mut place = self;
        for step in steps {
            place = match step {
                Step::Name(name) => {
                    let at = match place.names.binary_search_by(|(known, _)| known.as_ref().cmp(name)) {
                        Ok(at) => at,
                        Err(_) if place.names.len() >= NAMES_MAX => {
                            return Err("a mapping asks one object for at most 128 names");
                        }
                        Err(at) => {
                            place.names.insert(at, (name.as_str().into(), Place::default()));
                            at
                        }
                    };
                    place.names.get_mut(at).map(|(_, place)| place)
                }
                Step::Pick { name, value } => {
                    let found = place.picks.iter().position(|(n, v, _)| **n == **name && **v == **value);
                    let at = found.unwrap_or(place.picks.len());
                    if found.is_none() {
                        place.picks.push((name.as_str().into(), value.as_str().into(), Place::default()));
                    }
                    place.picks.get_mut(at).map(|(_, _, place)| place)
                }
            }
            .ok_or("a pointer has a step that cannot be followed")?;
        }
        Ok(place)
    }

    fn has_places_below(&self) -> bool {
        !self.names.is_empty() || !self.picks.is_empty()
    }

    /// A slot at or below it, for messages.
    fn any_slot(&self) -> usize {
        let below = self.names.iter().map(|(_, p)| p).chain(self.picks.iter().map(|(_, _, p)| p));
        self.slot.unwrap_or_else(|| below.map(Place::any_slot).next().unwrap_or_default())
    }

    fn child(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok()
    }

    /// Reads one JSON text.
    fn read<'a>(&self, json: &'a str, found: &mut [Leaf<'a>]) -> Result<(), Failure> {
        let mut refused = None;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let read = Walk { place: self, found, refused: &mut refused }
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end());
        match (refused, read) {
            (Some((slot, what)), _) => Err(Failure::Refused(slot, what)),
            (None, Err(error)) => Err(Failure::Json(error)),
            (None, Ok(())) => Ok(()),
        }
    }

    /// Reads JSON that is not part of the record's own bytes: what is found is copied.
    fn read_copied(&self, json: &str, found: &mut [Leaf<'_>]) -> Result<(), Failure> {
        let mut here = vec![Leaf::Absent; found.len()];
        self.read(json, &mut here)?;
        for (to, leaf) in found.iter_mut().zip(here) {
            if leaf != Leaf::Absent {
                *to = leaf.into_owned();
            }
        }
        Ok(())
    }
}

// === Reading ===

enum Failure {
    Json(serde_json::Error),
    Refused(usize, Refused),
}

#[derive(Debug, Clone, Copy)]
enum Refused {
    Twice,
    NoJson,
    NoBase64,
}

/// Goes through one value.
struct Walk<'w, 'a> {
    place: &'w Place,
    found: &'w mut [Leaf<'a>],
    refused: &'w mut Option<(usize, Refused)>,
}

impl<'a> Walk<'_, 'a> {
    fn refuse<E: Error>(&mut self, what: Refused) -> E {
        self.refused.get_or_insert((self.place.any_slot(), what));
        E::custom("refused")
    }

    fn keep<E: Error>(&mut self, slot: usize, json: &'a str) -> Result<(), E> {
        let leaf = Leaf::of(json).map_err(E::custom)?;
        if let Some(to) = self.found.get_mut(slot) {
            *to = leaf;
        }
        Ok(())
    }

    /// Goes on in a text that holds JSON.
    fn inside<E: Error>(mut self, text: &str) -> Result<(), E> {
        let decoded;
        let (json, what) = match self.place.holds {
            None => return Ok(()),
            Some(_) if text.is_empty() => return Ok(()),
            Some(Holds::Json) => (text, Refused::NoJson),
            Some(Holds::Base64) => {
                let bytes = BASE64.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                let Some(text) = bytes else { return Err(self.refuse(Refused::NoBase64)) };
                decoded = text;
                (decoded.as_str(), Refused::NoJson)
            }
        };
        // The depth of the text itself was judged, that of what it holds was not.
        if super::too_deep(json) {
            return Err(self.refuse(what));
        }
        match self.place.read_copied(json, self.found) {
            Ok(()) => Ok(()),
            Err(Failure::Refused(slot, refused)) => {
                self.refused.get_or_insert((slot, refused));
                Err(E::custom("refused"))
            }
            Err(Failure::Json(_)) => Err(self.refuse(what)),
        }
    }

    /// Takes what is picked out of a list's object, where `taken` does not say that it was found before.
    fn pick<E: Error>(&mut self, item: &'a str, taken: &mut u128) -> Result<(), E> {
        for (at, (name, value, place)) in self.place.picks.iter().enumerate() {
            let bit = 1u128.checked_shl(u32::try_from(at).unwrap_or(u32::MAX)).unwrap_or_default();
            if *taken & bit == 0 && item.starts_with('{') && has(item, name, value) {
                *taken |= bit;
                self.go_on(place, item)?;
            }
        }
        Ok(())
    }

    fn go_on<E: Error>(&mut self, place: &Place, json: &'a str) -> Result<(), E> {
        if let Some(slot) = place.slot {
            self.keep(slot, json)?;
        }
        match place.read(json, self.found) {
            Ok(()) => Ok(()),
            Err(Failure::Refused(slot, what)) => {
                self.refused.get_or_insert((slot, what));
                Err(E::custom("refused"))
            }
            Err(Failure::Json(error)) => Err(E::custom(error)),
        }
    }
}

/// Whether an object's `name` is the text `value`.
fn has(object: &str, name: &str, value: &str) -> bool {
    let mut paths = Place::default();
    let step = [Step::Name(name.to_owned())];
    let Ok(place) = paths.below(&step) else { return false };
    place.slot = Some(0);
    let mut found = [Leaf::Absent];
    paths.read(object, &mut found).is_ok() && found.first().and_then(Leaf::text) == Some(value)
}

impl<'a> DeserializeSeed<'a> for Walk<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(mut self, deserializer: D) -> Result<(), D::Error> {
        let Some(slot) = self.place.slot else { return deserializer.deserialize_any(self) };
        let json = <&'a RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        self.keep(slot, json)?;
        if self.place.has_places_below() {
            // Once more, for what lies below: places that are asked for whole and in parts are few.
            let mut again = serde_json::Deserializer::from_str(json);
            return (&mut again).deserialize_any(self).map_err(D::Error::custom);
        }
        Ok(())
    }
}

impl<'a> Visitor<'a> for Walk<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let mut seen = 0u128;
        while let Some(child) = map.next_key_seed(NameOf(self.place))? {
            let Some((at, (_, place))) = child.and_then(|at| self.place.names.get(at).map(|child| (at, child))) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let bit = 1u128.checked_shl(u32::try_from(at).unwrap_or(u32::MAX)).unwrap_or_default();
            if seen & bit != 0 {
                self.refused.get_or_insert((place.any_slot(), Refused::Twice));
                return Err(M::Error::custom("refused"));
            }
            seen |= bit;
            map.next_value_seed(Walk { place, found: &mut *self.found, refused: &mut *self.refused })?;
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(mut self, mut items: S) -> Result<(), S::Error> {
        let mut taken = 0;
        let mut number = 0usize;
        while let Some(item) = items.next_element::<&'a RawValue>()? {
            if !self.place.names.is_empty()
                && let Some((_, place)) = self.place.child(&number.to_string()).and_then(|at| self.place.names.get(at))
            {
                self.go_on(place, item.get())?;
            }
            self.pick(item.get(), &mut taken)?;
            number = number.saturating_add(1);
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.inside(text)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Looks a name up without keeping its text.
struct NameOf<'w>(&'w Place);

impl<'a> DeserializeSeed<'a> for NameOf<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameOf<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.child(name))
    }
}
