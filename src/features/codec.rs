//! The state as bytes: whole numbers in as few bytes as they need, everything else bit by bit.
//!
//! Guarantees: what is decoded equals what was encoded, to the last bit of a float; bytes that are cut, flipped or
//! somebody else's are an error with its name, never a panic and never memory they do not pay for. Does not know what
//! the bytes mean: each type says that of itself by [`Durable`].

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::store::{Space, StoreError};

mod lists;

pub use lists::{decode_all, decode_each, encode_all};

/// Bytes of the checksum that ends every value.
const CHECKSUM_BYTES: usize = 4;
/// Length of a text, at most, bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There should be more.
    #[error("it ends too early")]
    Short,
    /// There should be less.
    #[error("it has {0} bytes too many")]
    Long(usize),
    /// The checksum is not that of the bytes under this key.
    #[error("its checksum is wrong")]
    Checksum,
    /// A number that stands for nothing.
    #[error("{what} {found} is unknown")]
    Unknown {
        /// Of what.
        what: &'static str,
        /// Which.
        found: u64,
    },
    /// Something that cannot be.
    #[error("{0} cannot be right")]
    Wrong(&'static str),
}

impl DecodeError {
    /// The value of a key is what cannot be read.
    pub fn under(self, space: Space, key: &[u8]) -> StoreError {
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        StoreError::Damaged { space: Some(space), what: format!("the value of key {key} cannot be read: {self}") }
    }
}

/// What can be kept as bytes.
pub trait Durable: Sized {
    /// Writes it.
    fn encode(&self, to: &mut Encoder);
    /// Reads it.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError>;
}

/// Bytes that are written.
#[derive(Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// Forgets what was written; the memory is used again.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ends a value with its checksum, which holds under its own key only.
    pub fn seal(&mut self, space: Space, key: &[u8]) -> &[u8] {
        let sum = checksum(space, key, &self.bytes);
        self.bytes.extend_from_slice(&sum);
        &self.bytes
    }

    /// A byte.
    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Bytes, without how many.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A hash: eight bytes.
    pub fn hash(&mut self, hash: u64) {
        self.raw(&hash.to_le_bytes());
    }

    /// A whole number, small ones in few bytes.
    pub fn number(&mut self, number: impl Into<u64>) {
        let mut left = number.into();
        while left > 0x7f {
            self.byte(left as u8 | 0x80);
            left >>= 7;
        }
        self.byte(left as u8);
    }

    /// How many of something follow.
    pub fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    /// A whole number with a sign.
    pub fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    /// A time after another one.
    pub fn time(&mut self, time_ms: i64, before_ms: &mut i64) {
        self.signed(time_ms.wrapping_sub(*before_ms));
        *before_ms = time_ms;
    }

    /// A large whole number.
    pub fn large(&mut self, number: u128) {
        let mut left = number;
        while left > 0x7f {
            self.byte(left as u8 | 0x80);
            left >>= 7;
        }
        self.byte(left as u8);
    }

    /// A large whole number with a sign.
    pub fn large_signed(&mut self, number: i128) {
        self.large(((number << 1) ^ (number >> 127)) as u128);
    }

    /// A float that may be anything.
    pub fn float(&mut self, float: f64) {
        self.hash(float.to_bits());
    }

    /// A float that is mostly missing or whole: those take few bytes.
    pub fn round_float(&mut self, float: f64) {
        self.number(float.to_bits().swap_bytes());
    }

    /// Bytes and how many.
    pub fn blob(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }
}

/// Bytes that are read.
#[derive(Debug, Clone)]
pub struct Decoder<'b> {
    rest: &'b [u8],
}

impl<'b> Decoder<'b> {
    /// Reads bare bytes.
    pub fn new(bytes: &'b [u8]) -> Self {
        Decoder { rest: bytes }
    }

    /// Reads a value that was sealed under this key.
    pub fn unseal(space: Space, key: &[u8], value: &'b [u8]) -> Result<Self, DecodeError> {
        let (body, sum) = value.split_last_chunk::<CHECKSUM_BYTES>().ok_or(DecodeError::Short)?;
        if *sum == checksum(space, key, body) { Ok(Decoder { rest: body }) } else { Err(DecodeError::Checksum) }
    }

    /// What is left.
    pub fn rest(&self) -> &'b [u8] {
        self.rest
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Long(self.rest.len())) }
    }

    /// A byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    /// So many bytes.
    pub fn raw(&mut self, n: usize) -> Result<&'b [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A hash.
    pub fn hash(&mut self) -> Result<u64, DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*taken))
    }

    /// A whole number.
    pub fn number(&mut self) -> Result<u64, DecodeError> {
        let number = self.large()?;
        u64::try_from(number).map_err(|_| DecodeError::Wrong("a number"))
    }

    /// A whole number of a narrower type.
    pub fn narrow<N: TryFrom<u64>>(&mut self) -> Result<N, DecodeError> {
        N::try_from(self.number()?).map_err(|_| DecodeError::Wrong("a number"))
    }

    /// How many of something follow that takes at least `bytes_min` each.
    pub fn count(&mut self, bytes_min: usize) -> Result<usize, DecodeError> {
        let count: usize = self.narrow()?;
        if count <= self.rest.len() / bytes_min.max(1) { Ok(count) } else { Err(DecodeError::Short) }
    }

    /// A whole number with a sign.
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A time after another one.
    pub fn time(&mut self, before_ms: &mut i64) -> Result<i64, DecodeError> {
        *before_ms = before_ms.wrapping_add(self.signed()?);
        Ok(*before_ms)
    }

    /// A large whole number.
    pub fn large(&mut self) -> Result<u128, DecodeError> {
        let mut number = 0u128;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(DecodeError::Wrong("a number"));
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(DecodeError::Wrong("a number"))
    }

    /// A large whole number with a sign.
    pub fn large_signed(&mut self) -> Result<i128, DecodeError> {
        let number = self.large()?;
        Ok((number >> 1) as i128 ^ -((number & 1) as i128))
    }

    /// A float that may be anything.
    pub fn float(&mut self) -> Result<f64, DecodeError> {
        self.hash().map(f64::from_bits)
    }

    /// A float that is mostly missing or whole.
    pub fn round_float(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_bits(self.number()?.swap_bytes()))
    }

    /// Bytes and how many.
    pub fn blob(&mut self) -> Result<&'b [u8], DecodeError> {
        let n = self.count(1)?;
        self.raw(n)
    }

    /// A text.
    pub fn text(&mut self) -> Result<&'b str, DecodeError> {
        let bytes = self.blob()?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Wrong("a text"))?;
        if text.len() <= TEXT_BYTES_MAX { Ok(text) } else { Err(DecodeError::Wrong("the length of a text")) }
    }

    /// True or false.
    pub fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Wrong("a flag")),
        }
    }
}

fn checksum(space: Space, key: &[u8], body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = SipHasher13::new();
    hasher.write_u8(space.number());
    hasher.write(key);
    hasher.write(body);
    (hasher.finish() as u32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(n: u64, s: i64, l: u128, ls: i128, bits: u64, text: String, shift in 0u32..64) {
            let mut to = Encoder::default();
            to.number(n >> shift);
            to.signed(s >> shift);
            to.large(l >> shift);
            to.large_signed(ls >> shift);
            to.float(f64::from_bits(bits));
            to.round_float(f64::from_bits(bits));
            to.text(&text);
            let mut from = Decoder::new(to.bytes());
            prop_assert_eq!(from.number(), Ok(n >> shift));
            prop_assert_eq!(from.signed(), Ok(s >> shift));
            prop_assert_eq!(from.large(), Ok(l >> shift));
            prop_assert_eq!(from.large_signed(), Ok(ls >> shift));
            prop_assert_eq!(from.float().map(f64::to_bits), Ok(bits));
            prop_assert_eq!(from.round_float().map(f64::to_bits), Ok(bits));
            prop_assert_eq!(from.text(), Ok(text.as_str()));
            prop_assert_eq!(from.end(), Ok(()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut from = Decoder::new(&bytes);
            while from.large_signed().and_then(|_| from.blob()).and_then(|_| from.signed()).is_ok() {}
        }
    }

    #[test]
    fn whole_and_missing_numbers_are_short() {
        let bytes = |float: f64| {
            let mut to = Encoder::default();
            to.round_float(float);
            to.bytes().len()
        };
        assert_eq!([f64::NAN, 0.0, 1.0, 200.0, 0.1].map(bytes), [3, 1, 3, 3, 10]);
    }

    #[test]
    fn a_value_is_read_under_its_own_key_only_and_whole() {
        let mut to = Encoder::default();
        to.text("kept");
        let sealed = to.seal(Space::Account, b"a").to_vec();
        let read = |space, key: &[u8], value: &[u8]| {
            Decoder::unseal(space, key, value).and_then(|mut d| d.text().map(str::to_owned))
        };
        assert_eq!(read(Space::Account, b"a", &sealed), Ok("kept".to_owned()));
        assert_eq!(read(Space::Account, b"b", &sealed), Err(DecodeError::Checksum));
        assert_eq!(read(Space::Ip, b"a", &sealed), Err(DecodeError::Checksum));
        assert_eq!(read(Space::Account, b"a", &sealed[..3]), Err(DecodeError::Short));
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 4;
            assert_eq!(read(Space::Account, b"a", &flipped), Err(DecodeError::Checksum), "byte {at}");
        }
    }
}
