//! A feature by a pair of entities: the second's values inside the first.
//!
//! Guarantees: at most [`PAIR_KEYS_MAX`] second keys per entity and feature; what can no longer be asked for
//! goes first, then the longest unused.

use super::aggregate::Aggregate;
use super::codec::{DecodeError, Decoder, Durable, Encoder, decode_each};
use super::first_seen::is_asked_to_make_room;
use super::window::{Span, room_bytes};

/// Second keys of a pair that one entity keeps.
pub const PAIR_KEYS_MAX: usize = 256;

/// The second keys, sorted.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    keys: Vec<(u64, Aggregate)>,
}

impl Pairs {
    /// What is kept of a second key.
    pub fn get(&self, key: u64) -> Option<&Aggregate> {
        let at = self.keys.binary_search_by_key(&key, |(k, _)| *k).ok()?;
        self.keys.get(at).map(|(_, kept)| kept)
    }

    /// Every second key with what is kept of it.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Aggregate)> {
        self.keys.iter().map(|(key, kept)| (*key, kept))
    }

    /// The same, made by `make` where there is none.
    pub fn entry(&mut self, key: u64, span: Span, make: impl FnOnce() -> Aggregate) -> Option<&mut Aggregate> {
        let at = match self.keys.binary_search_by_key(&key, |(k, _)| *k) {
            Ok(at) => at,
            Err(_) => {
                if is_asked_to_make_room(self.keys.len(), PAIR_KEYS_MAX) {
                    self.make_room(span);
                }
                let at = self.keys.partition_point(|(k, _)| *k < key);
                self.keys.insert(at, (key, make()));
                at
            }
        };
        self.keys.get_mut(at).map(|(_, kept)| kept)
    }

    fn make_room(&mut self, span: Span) {
        self.keys.retain_mut(|(_, kept)| !kept.is_dead(span));
        if self.keys.len() >= PAIR_KEYS_MAX
            && let Some(oldest) = (0..self.keys.len()).min_by_key(|at| self.keys.get(*at).map(|(_, k)| k.newest_ms()))
        {
            self.keys.remove(oldest);
        }
    }

    /// Takes in what another one of the same feature and entity holds; `merge` does so for one second key.
    pub fn merge(&mut self, other: Self, merge: impl Fn(&mut Aggregate, Aggregate)) {
        for (key, kept) in other.keys {
            match self.keys.binary_search_by_key(&key, |(k, _)| *k) {
                Ok(at) => {
                    if let Some((_, known)) = self.keys.get_mut(at) {
                        merge(known, kept);
                    }
                }
                Err(at) => self.keys.insert(at, (key, kept)),
            }
        }
        while self.keys.len() > PAIR_KEYS_MAX {
            let oldest = (0..self.keys.len()).min_by_key(|at| self.keys.get(*at).map(|(k, a)| (a.newest_ms(), *k)));
            self.keys.remove(oldest.unwrap_or_default());
        }
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        let kept: usize = self.keys.iter().map(|(_, kept)| kept.heap_bytes()).sum();
        room_bytes::<(u64, Aggregate)>(self.keys.len()) + kept
    }

    /// Whether nothing in it can be asked for any more.
    pub fn is_dead(&self, span: Span) -> bool {
        self.keys.iter().all(|(_, kept)| kept.is_dead(span))
    }

    /// The first horizon at which it is dead, ms.
    pub fn ends_ms(&self, over_ms: i64) -> i64 {
        self.keys.iter().map(|(_, kept)| kept.ends_ms(over_ms)).max().unwrap_or(i64::MIN)
    }

    /// The newest time in it.
    pub fn newest_ms(&self) -> i64 {
        self.keys.iter().map(|(_, kept)| kept.newest_ms()).max().unwrap_or(i64::MIN)
    }
}

impl Durable for Pairs {
    fn encode(&self, to: &mut Encoder) {
        to.count(self.keys.len());
        for (key, kept) in &self.keys {
            to.hash(*key);
            kept.encode(to);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Pairs { keys: decode_each(from, 9, |from| Ok((from.hash()?, Aggregate::decode_single(from)?)))? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::features::window::Window;

    proptest! {
        /// What is forgotten depends on what is kept, not on the room it happens to have.
        #[test]
        fn pairs_that_were_stored_in_between_are_the_same(steps in prop::collection::vec((0u64..60, 0i64..40, any::<bool>()), 1..300)) {
            let (mut steady, mut stored) = (Pairs::default(), Pairs::default());
            let (mut now, mut bytes) = (0, [Encoder::default(), Encoder::default()]);
            for (key, ahead, stores) in steps {
                now += ahead;
                let span = Span { over_ms: 300, horizon_ms: now - 50 };
                for (pairs, to) in [&mut steady, &mut stored].into_iter().zip(&mut bytes) {
                    if let Some(Aggregate::Count(window)) = pairs.entry(key, span, || Aggregate::Count(Window::default())) {
                        window.add(now, 1, span);
                    }
                    to.clear();
                    pairs.encode(to);
                }
                prop_assert_eq!(bytes[0].bytes(), bytes[1].bytes());
                if stores {
                    stored = Pairs::decode(&mut Decoder::new(bytes[1].bytes())).unwrap();
                }
            }
        }
    }
}
