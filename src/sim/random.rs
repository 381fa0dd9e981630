//! Chance with a seed: a stream of draws, and a hash that gives every person their fixed traits.
//!
//! Guarantees: the same seed gives the same draws on every platform: whole numbers only, ChaCha 8 below.
//! Is not for secrets.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of draws.
pub struct Random(ChaCha8Rng);

impl Random {
    /// Stream `stream` of `seed`: streams of one seed do not overlap, so that one more draw in one of them
    /// moves nothing in another.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut inner = ChaCha8Rng::seed_from_u64(seed);
        inner.set_stream(stream);
        Random(inner)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `limit`; 0 where `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        scale(self.0.next_u64(), limit)
    }

    /// A number of `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high.saturating_sub(low)).unwrap_or(0).saturating_add(1);
        low.saturating_add(i64::try_from(self.below(width)).unwrap_or(0))
    }

    /// True `per_million` times in a million.
    pub fn chance(&mut self, per_million: u64) -> bool {
        self.below(1_000_000) < per_million
    }

    /// One of some; the first where the draw has nothing to choose from.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(usize::try_from(self.below(of.len() as u64)).unwrap_or(0))
    }
}

/// Maps 64 random bits to `0..limit`, each value as likely as the others up to one in 2⁶⁴ / `limit`.
pub fn scale(bits: u64, limit: u64) -> u64 {
    // The high half of a 128-bit product is below `limit`, so it fits.
    ((u128::from(bits) * u128::from(limit)) >> 64) as u64
}

/// A trait of a person or a thing: 64 bits that depend on nothing but the arguments (SplitMix64's finalizer,
/// a bijection of `of` for each seed and salt).
pub fn hash(seed: u64, salt: u64, of: u64) -> u64 {
    let mut z = of.wrapping_add(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(salt.rotate_left(32));
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One of some, chosen by a hash.
pub fn choose<T>(of: &[T], bits: u64) -> Option<&T> {
    of.get(usize::try_from(scale(bits, of.len() as u64)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_and_differs_from_the_next() {
        let draw = |seed, stream| {
            let mut random = Random::new(seed, stream);
            [random.below(1000), random.below(1000), random.below(1000)]
        };
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        assert_ne!(draw(1, 0), draw(2, 0));
    }

    #[test]
    fn draws_stay_inside_and_reach_both_ends() {
        let mut random = Random::new(7, 0);
        let drawn: Vec<i64> = (0..1000).map(|_| random.between(-2, 2)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&-2), Some(&2)));
        assert_eq!(random.below(0), 0);
    }
}
