//! A few of many, drawn so that the same seed draws the same: what people look at when counts are not enough.
//!
//! Guarantees: the draw depends on the seed and the names of what is drawn from, not on their order; every one is
//! as likely. Keeps no more than asked for.

use std::collections::BTreeMap;

/// A draw without putting back.
#[derive(Debug, Clone)]
pub struct Draw<T> {
    seed: u64,
    max: usize,
    /// By what the name comes to; the smallest stay.
    kept: BTreeMap<(u64, String), T>,
}

impl<T> Draw<T> {
    /// Draws at most `max`.
    pub fn new(seed: u64, max: usize) -> Self {
        Draw { seed, max, kept: BTreeMap::new() }
    }

    /// Offers one; `make` is only asked where it is drawn for now.
    pub fn offer(&mut self, name: &str, make: impl FnOnce() -> T) {
        let lot = lot(self.seed, name);
        let is_full = self.kept.len() >= self.max;
        if is_full && self.kept.last_key_value().is_none_or(|((worst, _), _)| lot >= *worst) {
            return;
        }
        self.kept.insert((lot, name.to_owned()), make());
        if self.kept.len() > self.max {
            self.kept.pop_last();
        }
    }

    /// What was drawn.
    pub fn into_drawn(self) -> Vec<T> {
        self.kept.into_values().collect()
    }
}

fn lot(seed: u64, name: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_be_bytes());
    hasher.update(name.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, names: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut draw = Draw::new(seed, 10);
        names.for_each(|n| draw.offer(&n.to_string(), || n));
        draw.into_drawn()
    }

    #[test]
    fn the_order_does_not_matter_and_the_seed_does() {
        assert_eq!(drawn(1, 0..1000), drawn(1, (0..1000).rev()));
        assert_ne!(drawn(1, 0..1000), drawn(2, 0..1000));
        assert_eq!(drawn(1, 0..7).len(), 7);
        assert_eq!(drawn(1, 0..1000).len(), 10);
    }

    #[test]
    fn every_one_is_as_likely() {
        let mut times = [0u32; 100];
        for seed in 0..1000 {
            drawn(seed, 0..100).into_iter().for_each(|n| times[n as usize] += 1);
        }
        assert!(times.iter().all(|n| (60..145).contains(n)), "{times:?}");
    }
}
