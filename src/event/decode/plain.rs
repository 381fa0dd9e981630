//! The fast way to read a record: one pass over JSON that is plain, as machines write it.
//!
//! Guarantees: plain is a strict part of JSON (no escapes, no control characters, no values within
//! values but `geo` and `contact`, no field twice, every value of the type the schema wants); of what is
//! plain it reads what serde_json reads. Refuses nothing: the rest is left to serde_json.

use std::borrow::Cow;

use crate::event::key::Name;
use crate::event::raw::{Moment, Object, Raw, RawAmount, RawAsn, RawContact, RawPlace, Slot, whole_millis};

/// How deep plain records nest.
pub(super) const DEPTH_MAX: usize = 2;

/// Reads a record that is plain. `None` where it is not: `raw` then holds some part of it.
pub(super) fn read_plain<'a>(text: &'a str, raw: &mut Raw<'a>) -> Option<()> {
    // One look at every byte, which compiles to vector instructions, spares one at each text.
    if text.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == b'\\')) {
        return None;
    }
    let mut cursor = Cursor { text, at: 0 };
    cursor.skip_spaces();
    cursor.object(raw)?;
    cursor.skip_spaces();
    (cursor.at == text.len()).then_some(())
}

/// One value that is no object and no array.
enum Scalar<'a> {
    Text(&'a str),
    Number(&'a str),
    Bool(bool),
    Null,
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn skip_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// Takes one byte, which must be `byte`.
    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Takes an object of known fields.
    fn object<O: Object<'a>>(&mut self, object: &mut O) -> Option<()> {
        self.expect(b'{')?;
        self.skip_spaces();
        if self.peek()? == b'}' {
            return self.expect(b'}');
        }
        let mut seen = 0u64;
        loop {
            let key = O::Key::parse(self.quoted()?);
            self.skip_spaces();
            self.expect(b':')?;
            self.skip_spaces();
            match key {
                Some(key) if seen & key.bit() != 0 => return None,
                Some(key) => {
                    seen |= key.bit();
                    if self.value(object.slot(key))? {
                        object.note(key);
                    }
                }
                None => {
                    self.scalar()?;
                    let unknown = object.unknown();
                    *unknown = unknown.saturating_add(1);
                }
            }
            self.skip_spaces();
            match self.peek()? {
                b',' => self.at += 1,
                _ => return self.expect(b'}'),
            }
            self.skip_spaces();
        }
    }

    /// Takes a value into its slot; false where it is absent.
    #[inline]
    fn value(&mut self, slot: Slot<'_, 'a>) -> Option<bool> {
        if self.peek()? == b'{' {
            match slot {
                Slot::Place(to) => self.object(to.insert(RawPlace::default()))?,
                Slot::Contact(to) => self.object(to.insert(RawContact::default()))?,
                _ => return None,
            }
            return Some(true);
        }
        fill(slot, self.scalar()?)
    }

    #[inline]
    fn scalar(&mut self) -> Option<Scalar<'a>> {
        match self.peek()? {
            b'"' => self.quoted().map(Scalar::Text),
            b'-' | b'0'..=b'9' => self.number().map(Scalar::Number),
            b'n' => self.literal("null").map(|()| Scalar::Null),
            b't' => self.literal("true").map(|()| Scalar::Bool(true)),
            b'f' => self.literal("false").map(|()| Scalar::Bool(false)),
            _ => None,
        }
    }

    fn literal(&mut self, word: &str) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        rest.starts_with(word).then(|| self.at += word.len())
    }

    /// Takes a text with its quotes. There are no escapes, so it ends at the next quote.
    #[inline]
    fn quoted(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        let end = start + first_quote(self.text.as_bytes().get(start..)?)?;
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// Takes a number, by JSON's grammar.
    fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.text.get(start..self.at)
    }

    /// Takes one digit or more.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

/// Where the first quote is: eight bytes at a time, as texts are short.
#[inline]
fn first_quote(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    let mut rest = bytes;
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        // A byte that is a quote becomes 0; the lowest byte whose high bit is then set is the first 0.
        let zeroed = u64::from_le_bytes(*eight) ^ (ONES * b'"' as u64);
        let found = zeroed.wrapping_sub(ONES) & !zeroed & HIGHS;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
        rest = after;
    }
    rest.iter().position(|byte| *byte == b'"').map(|more| at + more)
}

/// Puts a value into its slot; false where it is absent, `None` where it is not of the slot's type.
#[inline]
fn fill<'a>(slot: Slot<'_, 'a>, value: Scalar<'a>) -> Option<bool> {
    match (slot, value) {
        (_, Scalar::Null) => return Some(false),
        (Slot::Text(_) | Slot::Moment(_) | Slot::Amount(_) | Slot::Asn(_), Scalar::Text("")) => return Some(false),
        (Slot::Text(to), Scalar::Text(text)) => *to = Some(Cow::Borrowed(text)),
        (Slot::Moment(to), Scalar::Text(text)) => *to = Some(Moment::Text(Cow::Borrowed(text))),
        (Slot::Moment(to), Scalar::Number(number)) => *to = Some(Moment::Millis(whole_millis(number)?)),
        (Slot::Whole(to), Scalar::Number(number)) => *to = Some(whole(number)?),
        (Slot::Bool(to), Scalar::Bool(value)) => *to = Some(value),
        // The float is the one that serde_json would read.
        (Slot::Number(to), Scalar::Number(number)) => *to = Some(serde_json::from_str(number).ok()?),
        (Slot::Amount(to), Scalar::Text(text)) => *to = Some(RawAmount::Text(Cow::Borrowed(text))),
        (Slot::Amount(to), Scalar::Number(number)) => *to = Some(RawAmount::Number(number)),
        (Slot::Asn(to), Scalar::Text(text)) => *to = Some(RawAsn::Text(Cow::Borrowed(text))),
        (Slot::Asn(to), Scalar::Number(number)) => *to = Some(RawAsn::Number(whole(number)?)),
        _ => return None,
    }
    Some(true)
}

/// A whole number, which JSON's `-0` is not.
fn whole<N: std::str::FromStr>(number: &str) -> Option<N> {
    if number == "-0" { None } else { number.parse().ok() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Leaving a record to serde_json changes nothing that other tests can see, but the time it takes.
    #[test]
    fn records_as_machines_write_them_are_plain() {
        for text in [
            r#"{"id":"01JDA3","type":"login","time":"2026-11-22T03:04:05.678Z","account":"acc-1029","mfa":true}"#,
            r#"{"id": "é", "time": 1795316645678, "amount": 12.50, "count": 2, "unknown": -1.5e+3, "zone": null}"#,
            r#" {"geo":{"latitude":31.2,"asn":4134,"x":false},"contact":{"email":"n@example.com"},"balance":"1"} "#,
            "{}",
        ] {
            let (mut plain, mut serde) = (Raw::default(), Raw::default());
            assert_eq!(read_plain(text, &mut plain), Some(()), "{text}");
            serde.read(text).expect("an object");
            assert_eq!(format!("{plain:?}"), format!("{serde:?}"));
        }
    }

    #[test]
    fn what_is_not_plain_is_left() {
        for text in
            [r#"{"id":"\u0061"}"#, "{\n}", r#"{"id":5}"#, r#"{"x":[]}"#, r#"{"x":{}}"#, r#"{"count":-0}"#, "[]", ""]
        {
            assert_eq!(read_plain(text, &mut Raw::default()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_first_quote_is_found(bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'#'), Just(b'!'), any::<u8>()], 0..40)) {
            prop_assert_eq!(first_quote(&bytes), bytes.iter().position(|byte| *byte == b'"'));
        }
    }
}
