//! Reading a record's fields by serde: in place, and borrowing what can be borrowed.
//!
//! Guarantees: a name is looked up without keeping its text; a number that is money or a moment never
//! becomes a float. Knows no field: the structs' slots do.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Moment, Object, OneValue, RawAmount, RawAsn};
use crate::event::Text;
use crate::event::key::Name;

/// Reads an object in place.
pub(super) struct ObjectSeed<'o, O> {
    pub(super) object: &'o mut O,
}

impl<'a, O: Object<'a>> DeserializeSeed<'a> for ObjectSeed<'_, O> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, O: Object<'a>> Visitor<'a> for ObjectSeed<'_, O> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let mut seen = 0u64;
        while let Some(key) = map.next_key_seed(NameSeed(PhantomData::<O::Key>))? {
            let Some(key) = key else {
                map.next_value::<IgnoredAny>()?;
                let unknown = self.object.unknown();
                *unknown = unknown.saturating_add(1);
                continue;
            };
            if seen & key.bit() != 0 {
                return Err(M::Error::custom("a field twice"));
            }
            seen |= key.bit();
            if self.object.slot(key).read(&mut map)? {
                self.object.note(key);
            }
        }
        Ok(())
    }
}

impl<'a, M: MapAccess<'a>> OneValue<'a> for &mut M {
    type Error = M::Error;

    #[inline]
    fn take<T: serde::Deserialize<'a>>(self) -> Result<Option<T>, M::Error> {
        self.next_value()
    }
}

/// Looks a name up without keeping its text.
struct NameSeed<K>(PhantomData<K>);

impl<'a, K: Name> DeserializeSeed<'a> for NameSeed<K> {
    type Value = Option<K>;

    #[inline]
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Option<K>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<K: Name> Visitor<'_> for NameSeed<K> {
    type Value = Option<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    #[inline]
    fn visit_str<E: Error>(self, name: &str) -> Result<Option<K>, E> {
        Ok(K::parse(name))
    }
}

/// An object that is read as a value.
pub(super) struct Filled<O>(pub(super) O);

impl<'a, O: Object<'a>> serde::Deserialize<'a> for Filled<O> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = O::default();
        ObjectSeed { object: &mut object }.deserialize(deserializer)?;
        Ok(Filled(object))
    }
}

/// A text that borrows where it can: serde's own `Option<Cow>` always allocates.
pub(in crate::event) struct Str<'a>(pub(in crate::event) Text<'a>);

impl<'a> serde::Deserialize<'a> for Str<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(StrVisitor).map(Str)
    }
}

struct StrVisitor;

impl<'a> Visitor<'a> for StrVisitor {
    type Value = Text<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    #[inline]
    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Text<'a>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'a>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'a> serde::Deserialize<'a> for Moment<'a> {
    /// By the text of the number, for serde_json makes a float of one that is larger than 64 bits.
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        match json.as_bytes() {
            [b'-' | b'0'..=b'9', ..] => {
                whole_millis(json).map(Moment::Millis).ok_or_else(|| D::Error::custom("a whole number is expected"))
            }
            _ => serde_json::from_str(json).map(|Str(text)| Moment::Text(text)).map_err(D::Error::custom),
        }
    }
}

/// The milliseconds of a JSON number: `None` where it is not whole, which `-0` is not either. Beyond 64 bits it is
/// the nearest they hold: as a time that is too late or too early, not a value of another type.
pub(in crate::event) fn whole_millis(number: &str) -> Option<i64> {
    let (digits, nearest) = number.strip_prefix('-').map_or((number, i64::MAX), |digits| (digits, i64::MIN));
    let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit()) && number != "-0";
    is_whole.then(|| number.parse().unwrap_or(nearest))
}

impl<'a> serde::Deserialize<'a> for RawAmount<'a> {
    /// The text of a number can be had from serde_json only by way of the whole value's.
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        match json.as_bytes() {
            [b'-' | b'0'..=b'9', ..] => Ok(RawAmount::Number(json)),
            _ => serde_json::from_str(json).map(|Str(text)| RawAmount::Text(text)).map_err(D::Error::custom),
        }
    }
}

impl<'a> serde::Deserialize<'a> for RawAsn<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsnVisitor;
        impl<'a> Visitor<'a> for AsnVisitor {
            type Value = RawAsn<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<RawAsn<'a>, E> {
                Ok(RawAsn::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawAsn<'a>, E> {
                Ok(RawAsn::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<RawAsn<'a>, E> {
                Ok(RawAsn::Number(number))
            }
        }
        deserializer.deserialize_any(AsnVisitor)
    }
}
