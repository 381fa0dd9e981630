//! The places of a record that a mapping asks for, found in one pass over its text.
//!
//! Guarantees: what is not asked for is skipped without being kept; texts without escapes are borrowed; a name
//! that is asked for and stands twice is a refusal, never a choice. Texts that hold JSON are gone into where the
//! mapping says so, and nowhere else. Judges no value.

use std::borrow::Cow;

use serde::de::{DeserializeSeed as _, IgnoredAny};
use serde_json::value::RawValue;

use super::pointer::{Pointer, Step};
use super::walk::{Failure, Refused, Walk};
use crate::event::{RejectReason, Rejection};

/// Names of one object that a mapping may ask for, at most.
pub(super) const NAMES_MAX: usize = 128;
/// Places of one mapping, at most.
pub(super) const PLACES_MAX: usize = 1024;

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
pub(super) struct Place {
    /// Where its value is kept.
    pub slot: Option<usize>,
    pub holds: Option<Holds>,
    /// The places below, by name, sorted.
    pub names: Vec<(Box<str>, Place)>,
    /// A name with points that is not asked for itself leads down: `a.b` is the `b` of `a`.
    pub dotted: bool,
    /// The places below the first object of a list with such a value.
    pub picks: Vec<(Box<str>, Box<str>, Place)>,
}

impl Paths {
    /// None yet, of records whose names may hold points in place of objects.
    pub fn dotted() -> Self {
        Paths { root: Place { dotted: true, ..Place::default() }, pointers: Vec::new() }
    }

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
    pub fn below(&mut self, steps: &[Step]) -> Result<&mut Place, &'static str> {
        let mut place = self;
        let dotted = place.dotted;
        let new = || Place { dotted, ..Place::default() };
        for step in steps {
            place = match step {
                Step::Name(name) => {
                    let at = match place.names.binary_search_by(|(known, _)| known.as_ref().cmp(name)) {
                        Ok(at) => at,
                        Err(_) if place.names.len() >= NAMES_MAX => {
                            return Err("a mapping asks one object for at most 128 names");
                        }
                        Err(at) => {
                            place.names.insert(at, (name.as_str().into(), new()));
                            at
                        }
                    };
                    place.names.get_mut(at).map(|(_, place)| place)
                }
                Step::Pick { name, value } => {
                    let found = place.picks.iter().position(|(n, v, _)| **n == **name && **v == **value);
                    let at = found.unwrap_or(place.picks.len());
                    if found.is_none() {
                        place.picks.push((name.as_str().into(), value.as_str().into(), new()));
                    }
                    place.picks.get_mut(at).map(|(_, _, place)| place)
                }
            }
            .ok_or("a pointer has a step that cannot be followed")?;
        }
        Ok(place)
    }

    pub fn has_places_below(&self) -> bool {
        !self.names.is_empty() || !self.picks.is_empty()
    }

    /// A slot at or below it, for messages.
    pub fn any_slot(&self) -> usize {
        let below = self.names.iter().map(|(_, p)| p).chain(self.picks.iter().map(|(_, _, p)| p));
        self.slot.unwrap_or_else(|| below.map(Place::any_slot).next().unwrap_or_default())
    }

    pub fn child(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok()
    }

    /// The place that a name with points leads down to.
    pub fn far_child(&self, name: &str) -> Option<&Place> {
        let names = name.split('.').filter(|_| self.dotted && name.contains('.'));
        let mut far = None;
        for name in names {
            let place = far.unwrap_or(self);
            far = Some(place.child(name).and_then(|at| place.names.get(at)).map(|(_, place)| place)?);
        }
        far
    }

    /// Reads one JSON text.
    pub fn read<'a>(&self, json: &'a str, found: &mut [Leaf<'a>]) -> Result<(), Failure> {
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
    pub fn read_copied(&self, json: &str, found: &mut [Leaf<'_>]) -> Result<(), Failure> {
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
