//! Counts by size, for quantiles of many amounts: buckets whose width is a fixed part of what they hold.
//!
//! Guarantees: what a bucket stands for is within 1 % of every amount in it, whole numbers below 64 exactly; two
//! histograms add up to that of both. At most [`BUCKETS_MAX`] buckets, for there are no more.

use super::codec::{DecodeError, Decoder, Durable, Encoder, decode_each};

/// Buckets of one power of two: 64, each at most 1/64 wide, its middle at most 1/128 off.
const PER_OCTAVE: u32 = 64;
const OCTAVE_BITS: u32 = PER_OCTAVE.trailing_zeros();
/// Buckets of sizes from 0 on.
const SIDE: usize = (65 - OCTAVE_BITS as usize) * PER_OCTAVE as usize;
/// All there are, those below zero as well.
pub const BUCKETS_MAX: usize = 2 * SIDE;

/// The bucket of an amount, in the order of amounts.
fn bucket(value: i64) -> u16 {
    let size = value.unsigned_abs();
    let octave = (64 - size.leading_zeros()).saturating_sub(OCTAVE_BITS + 1);
    let at = octave * PER_OCTAVE + (size >> octave) as u32;
    let at = (at as usize).min(SIDE - 1);
    if value < 0 { (SIDE - 1 - at) as u16 } else { (SIDE + at) as u16 }
}

/// What a bucket stands for: the middle of it.
fn middle(bucket: usize) -> f64 {
    let (at, sign) = if bucket < SIDE { (SIDE - 1 - bucket, -1.0) } else { (bucket - SIDE, 1.0) };
    let octave = (at / PER_OCTAVE as usize).saturating_sub(1);
    let first = (at - octave * PER_OCTAVE as usize) as f64;
    let width = 2f64.powi(octave as i32);
    sign * (first * width + (width - 1.0) / 2.0)
}

/// A histogram at rest: the buckets that hold something, in order.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    buckets: Vec<(u16, u32)>,
}

impl Histogram {
    /// Takes `n` equal amounts.
    pub fn add(&mut self, value: i64, n: u64) {
        self.add_to(bucket(value), n);
    }

    /// Takes in another one.
    pub fn add_all(&mut self, other: &Histogram) {
        other.buckets.iter().for_each(|(bucket, n)| self.add_to(*bucket, u64::from(*n)));
    }

    fn add_to(&mut self, bucket: u16, n: u64) {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let at = self.buckets.partition_point(|(b, _)| *b < bucket);
        match self.buckets.get_mut(at) {
            Some((same, held)) if *same == bucket => *held = held.saturating_add(n),
            _ => self.buckets.insert(at, (bucket, n)),
        }
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        super::window::room_bytes::<(u16, u32)>(self.buckets.len())
    }
}

/// Several histograms added up, in memory of the caller's that is used again.
#[derive(Debug)]
pub struct Dense<'s> {
    counts: &'s mut Vec<u64>,
}

impl<'s> Dense<'s> {
    /// An empty one.
    pub fn new(counts: &'s mut Vec<u64>) -> Self {
        counts.clear();
        counts.resize(BUCKETS_MAX, 0);
        Dense { counts }
    }

    /// Takes `n` equal amounts.
    pub fn add(&mut self, value: i64, n: u64) {
        self.add_to(bucket(value), n);
    }

    /// Takes in a histogram.
    pub fn add_all(&mut self, other: &Histogram) {
        other.buckets.iter().for_each(|(bucket, n)| self.add_to(*bucket, u64::from(*n)));
    }

    fn add_to(&mut self, bucket: u16, n: u64) {
        if let Some(count) = self.counts.get_mut(usize::from(bucket)) {
            *count = count.saturating_add(n);
        }
    }

    /// The amount of a rank, counted from 1; the largest where there are fewer.
    pub fn at_rank(&self, rank: u64) -> Option<f64> {
        let mut passed = 0u64;
        let held = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        let mut largest = None;
        for (at, n) in held {
            passed = passed.saturating_add(*n);
            largest = Some(middle(at));
            if passed >= rank {
                break;
            }
        }
        largest
    }
}

impl Durable for Histogram {
    fn encode(&self, to: &mut Encoder) {
        to.count(self.buckets.len());
        for (bucket, n) in &self.buckets {
            to.number(*bucket);
            to.number(*n);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Histogram { buckets: decode_each(from, 2, |from| Ok((from.narrow()?, from.narrow()?)))? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_stands_for_what_it_holds(value in prop_oneof![-70i64..200, any::<i64>(), -1_000_000i64..1_000_000]) {
            let stands = middle(usize::from(bucket(value)));
            prop_assert!((stands - value as f64).abs() <= 0.01 * value.unsigned_abs() as f64, "{} for {}", stands, value);
            prop_assert!(value.unsigned_abs() >= 64 || stands == value as f64, "{} for {}", stands, value);
        }

        #[test]
        fn buckets_are_in_the_order_of_amounts(a in any::<i64>(), b in any::<i64>()) {
            let (a, b) = (a.min(b), a.max(b));
            prop_assert!(bucket(a) <= bucket(b));
        }
    }
}
