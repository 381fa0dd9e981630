//! One pass over a record's text: what stands at the places that are asked for.
//!
//! Guarantees: as `paths.rs` says; what lies in a text is read within the same limits of depth.

use std::fmt;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::paths::{Holds, Leaf, Place};
use super::pointer::Step;

/// Base64 with or without its padding: both are written.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a text cannot be read.
pub(super) enum Failure {
    Json(serde_json::Error),
    Refused(usize, Refused),
}

/// What a record is refused for while it is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refused {
    Twice,
    NoJson,
    NoBase64,
}

/// Goes through one value.
pub(super) struct Walk<'w, 'a> {
    pub place: &'w Place,
    /// What is found, by slot.
    pub found: &'w mut [Leaf<'a>],
    /// Why it is refused, and the slot to blame.
    pub refused: &'w mut Option<(usize, Refused)>,
}

impl<'a> Walk<'_, 'a> {
    fn refuse<E: Error>(&mut self, what: Refused) -> E {
        self.refused.get_or_insert((self.place.any_slot(), what));
        E::custom("refused")
    }

    fn keep<E: Error>(&mut self, slot: usize, json: &'a str) -> Result<(), E> {
        let leaf = Leaf::of(json).map_err(E::custom)?;
        match self.found.get_mut(slot) {
            // Once with points in its name, and once without.
            Some(to) if *to != Leaf::Absent && leaf != Leaf::Absent => {
                self.refused.get_or_insert((slot, Refused::Twice));
                return Err(E::custom("refused"));
            }
            Some(to) if leaf != Leaf::Absent => *to = leaf,
            _ => {}
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
            let (at, place) = match child {
                Some(Child::Near(at, place)) => (at, place),
                Some(Child::Far(place)) => {
                    map.next_value_seed(Walk { place, found: &mut *self.found, refused: &mut *self.refused })?;
                    continue;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
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

/// A place that a name leads to.
enum Child<'w> {
    /// The name itself is asked for; its number.
    Near(usize, &'w Place),
    /// Its parts are.
    Far(&'w Place),
}

/// Looks a name up without keeping its text.
struct NameOf<'w>(&'w Place);

impl<'a, 'w> DeserializeSeed<'a> for NameOf<'w> {
    type Value = Option<Child<'w>>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'w> Visitor<'_> for NameOf<'w> {
    type Value = Option<Child<'w>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let near = self.0.child(name).and_then(|at| self.0.names.get(at).map(|(_, place)| Child::Near(at, place)));
        Ok(near.or_else(|| self.0.far_child(name).map(Child::Far)))
    }
}
