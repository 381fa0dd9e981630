//! Amounts as bytes.
//!
//! Guarantees: equal amounts are equal bytes. Judges nothing.

use super::{Amount, Moments, Series, Stats, Step};
use crate::features::codec::{DecodeError, Decoder, Durable, Encoder, decode_all, decode_each, encode_all};
use crate::features::histogram::Histogram;

impl Durable for Moments {
    fn encode(&self, to: &mut Encoder) {
        to.number(self.count);
        to.signed(self.max);
        to.large_signed(self.sum);
        to.large(self.squares);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Moments { count: from.number()?, max: from.signed()?, sum: from.large_signed()?, squares: from.large()? })
    }
}

impl Durable for Step {
    fn encode(&self, to: &mut Encoder) {
        to.signed(self.time_ms);
        self.moments.encode(to);
        self.histogram.encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Step { time_ms: from.signed()?, moments: Moments::decode(from)?, histogram: Histogram::decode(from)? })
    }
}

impl Durable for Series {
    fn encode(&self, to: &mut Encoder) {
        to.signed(self.newest_ms);
        to.count(self.amounts.len());
        let mut before_ms = self.newest_ms;
        for amount in &self.amounts {
            to.time(amount.time_ms, &mut before_ms);
            to.signed(amount.value);
            to.number(amount.n);
        }
        encode_all(self.steps.iter(), to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let newest_ms = from.signed()?;
        let mut before_ms = newest_ms;
        let amounts = decode_each(from, 3, |from| {
            Ok(Amount { time_ms: from.time(&mut before_ms)?, value: from.signed()?, n: from.narrow()? })
        })?;
        Ok(Series { newest_ms, amounts, steps: decode_all(from)? })
    }
}

impl Durable for Stats {
    fn encode(&self, to: &mut Encoder) {
        to.count(self.units.len());
        for (unit, series) in &self.units {
            to.byte(*unit);
            series.encode(to);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Stats { units: decode_each(from, 4, |from| Ok((from.byte()?, Series::decode(from)?)))? })
    }
}
