//! Who is busy: a Zipf distribution over ranks, flattened at its head.
//!
//! Guarantees: rank r (from 0) has the weight 1 / (r + 1 + shift); exact whole-number weights, the same on
//! every platform. The shift keeps the busiest few from being half of all traffic.

use super::random::scale;

/// What a weight of 1 is kept as.
const ONE: u64 = 1 << 40;
/// How many ranks share one entry of the guide, at the least.
const GUIDE_MAX: usize = 1 << 16;

/// The distribution.
pub struct Zipf {
    /// The sum of the weights up to and with each rank.
    upto: Vec<u64>,
    /// For equal steps of the whole weight, the first rank that can be meant: makes the search short.
    guide: Vec<u32>,
}

impl Zipf {
    /// Over `ranks` ranks (at least one, at most 2³² − 1).
    pub fn new(ranks: u32, shift: u32) -> Self {
        let mut sum = 0u64;
        let upto: Vec<u64> = (0..ranks.max(1))
            .map(|rank| {
                sum += ONE / (u64::from(rank) + 1 + u64::from(shift));
                sum
            })
            .collect();
        let steps = upto.len().min(GUIDE_MAX);
        let guide = (0..steps)
            .map(|step| {
                let weight = scale_back(step as u64, sum, steps as u64);
                u32::try_from(upto.partition_point(|&u| u <= weight)).unwrap_or(0)
            })
            .collect();
        Zipf { upto, guide }
    }

    /// The rank that 64 random bits mean.
    pub fn rank(&self, bits: u64) -> u32 {
        let whole = self.upto.last().copied().unwrap_or(0);
        let weight = scale(bits, whole);
        let step = usize::try_from(scale(bits, self.guide.len() as u64)).unwrap_or(0);
        let from = self.guide.get(step).map_or(0, |&r| r as usize);
        // One more than the next entry, because that entry is itself a possible answer.
        let to = self.guide.get(step + 1).map_or(self.upto.len(), |&r| (r as usize + 1).min(self.upto.len()));
        let within = self.upto.get(from..to).unwrap_or(&[]).partition_point(|&u| u <= weight);
        u32::try_from(from + within).unwrap_or(0)
    }

    /// How many of `draws` draws are expected to mean `rank`.
    pub fn expected(&self, rank: u32, draws: u64) -> u64 {
        let before = match rank {
            0 => 0,
            r => self.upto.get(r as usize - 1).copied().unwrap_or(0),
        };
        let weight = self.upto.get(rank as usize).map_or(0, |u| u - before);
        let whole = self.upto.last().copied().unwrap_or(1).max(1);
        (u128::from(draws) * u128::from(weight) / u128::from(whole)) as u64
    }
}

/// The least weight of a step.
fn scale_back(step: u64, whole: u64, steps: u64) -> u64 {
    (u128::from(step) * u128::from(whole) / u128::from(steps.max(1))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_finds_what_a_plain_search_finds() {
        for (ranks, shift) in [(1, 50), (7, 0), (1000, 50), (200_000, 400)] {
            let zipf = Zipf::new(ranks, shift);
            let mut random = super::super::random::Random::new(3, 0);
            for _ in 0..20_000 {
                let bits = random.bits();
                let weight = scale(bits, zipf.upto[zipf.upto.len() - 1]);
                assert_eq!(zipf.rank(bits) as usize, zipf.upto.partition_point(|&u| u <= weight));
            }
            assert_eq!((zipf.rank(0), zipf.rank(u64::MAX)), (0, ranks - 1));
        }
    }

    #[test]
    fn the_head_is_flat_and_the_tail_is_long() {
        let zipf = Zipf::new(1_000_000, 50);
        let head = zipf.expected(0, 1_000_000);
        assert!((1900..2100).contains(&head), "{head}");
        assert!(zipf.expected(50, 1_000_000) > head / 3);
    }
}
