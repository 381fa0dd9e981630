//! Values inside values, and lists of them.
//!
//! Guarantees: a list makes no more room ahead than the bytes that are left could fill.

use compact_str::CompactString;

use super::{DecodeError, Decoder, Durable, Encoder};

impl Durable for i64 {
    fn encode(&self, to: &mut Encoder) {
        to.signed(*self);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        from.signed()
    }
}

impl Durable for CompactString {
    fn encode(&self, to: &mut Encoder) {
        to.text(self);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        from.text().map(CompactString::from)
    }
}

impl<T: Durable> Durable for Option<T> {
    fn encode(&self, to: &mut Encoder) {
        to.byte(u8::from(self.is_some()));
        if let Some(value) = self {
            value.encode(to);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        if from.flag()? { T::decode(from).map(Some) } else { Ok(None) }
    }
}

impl<T: Durable> Durable for Box<T> {
    fn encode(&self, to: &mut Encoder) {
        self.as_ref().encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        T::decode(from).map(Box::new)
    }
}

/// Writes how many there are and each of them.
pub fn encode_all<'a, T: Durable + 'a>(all: impl ExactSizeIterator<Item = &'a T>, to: &mut Encoder) {
    to.count(all.len());
    all.for_each(|one| one.encode(to));
}

/// Reads as many as were written.
pub fn decode_all<T: Durable, C: Room<T>>(from: &mut Decoder<'_>) -> Result<C, DecodeError> {
    decode_each(from, 1, T::decode)
}

/// Reads as many as were written, each with `read`, of at least `bytes_min` bytes.
pub fn decode_each<'b, T, C: Room<T>>(
    from: &mut Decoder<'b>,
    bytes_min: usize,
    mut read: impl FnMut(&mut Decoder<'b>) -> Result<T, DecodeError>,
) -> Result<C, DecodeError> {
    let count = from.count(bytes_min)?;
    let mut all = C::of(count);
    for _ in 0..count {
        all.add(read(from)?);
    }
    Ok(all)
}

/// A list that is made as long as it will be.
pub trait Room<T> {
    /// An empty one for so many.
    fn of(count: usize) -> Self;
    /// Takes one more.
    fn add(&mut self, one: T);
}

/// Entries for which room is made before they are read: the bytes may not pay for what their number promises.
const ROOM_AHEAD_MAX: usize = 4096;

impl<T> Room<T> for Vec<T> {
    fn of(count: usize) -> Self {
        Vec::with_capacity(count.min(ROOM_AHEAD_MAX))
    }

    fn add(&mut self, one: T) {
        self.push(one);
    }
}

impl<T, const N: usize> Room<T> for smallvec::SmallVec<[T; N]> {
    fn of(count: usize) -> Self {
        smallvec::SmallVec::with_capacity(count.min(ROOM_AHEAD_MAX))
    }

    fn add(&mut self, one: T) {
        self.push(one);
    }
}
