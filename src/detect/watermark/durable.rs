//! The watermark as bytes.
//!
//! Guarantees: what is read back moves with the next record as what was written.

use super::{Lane, Watermark};
use crate::event::Millis;
use crate::features::codec::{DecodeError, Decoder, Durable, Encoder, decode_all, encode_all};

impl Durable for Lane {
    fn encode(&self, to: &mut Encoder) {
        self.newest_ms.encode(to);
        to.signed(self.spoke.0);
        to.byte(u8::from(self.at_end) | u8::from(self.is_idle) << 1);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (newest_ms, spoke, bits) = (Option::decode(from)?, Millis(from.signed()?), from.byte()?);
        Ok(Lane { newest_ms, spoke, at_end: bits & 1 != 0, is_idle: bits & 2 != 0 })
    }
}

impl Durable for Watermark {
    fn encode(&self, to: &mut Encoder) {
        encode_all(self.lanes.iter(), to);
        to.signed(self.moment.0);
        self.at_ms.encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Watermark { lanes: decode_all(from)?, moment: Millis(from.signed()?), at_ms: Option::decode(from)? })
    }
}
