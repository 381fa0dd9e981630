//! Makes a case of a seed: features, lists, defs, exceptions and rules over them, and a stream that goes to their edges.
//!
//! Guarantees: the same seed makes the same case; what it makes loads. Thresholds of values that are no whole
//! numbers lie where no two ways of adding up can disagree.

use super::describe::*;
use super::make_rules;
use super::make_stream;

/// A generator of random numbers (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below another.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True once in so many times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// The case of a seed.
pub fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let rules = make_rules::rules(&mut dice);
    let records = make_stream::records(&mut dice, &rules);
    let partitions = dice.pick(&[1, 1, 1, 2, 3]);
    let lanes = lanes(&mut dice, partitions);
    let reads = reads(&mut dice, partitions);
    Case { rules, records, batch: dice.pick(&[1, 7, 32, 1000]), lanes, reads }
}

/// Which partition each record is of: runs, so that another one is silent for a while.
fn lanes(dice: &mut Dice, partitions: usize) -> Vec<u16> {
    let mut lanes = Vec::new();
    for _ in 0..1 + dice.below(12) {
        let lane = dice.below(partitions) as u16;
        lanes.extend(std::iter::repeat_n(lane, 1 + dice.below(8)));
    }
    lanes
}

/// When batches are read, and what is at its end then. Of the one partition of a file nobody tells.
fn reads(dice: &mut Dice, partitions: usize) -> Vec<Read> {
    let is_told = partitions > 1 || dice.once_in(2);
    let mut moment = 0;
    let mut reads = Vec::new();
    for _ in 0..1 + dice.below(30) {
        moment += dice.pick(&[0, 0, 10 * SECOND, 59 * SECOND, MINUTE, MINUTE + 1]);
        let at_end = (0..if is_told { partitions } else { 0 }).map(|_| !dice.once_in(3)).collect();
        reads.push(Read { moment, at_end });
    }
    reads
}
