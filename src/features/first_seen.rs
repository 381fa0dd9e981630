//! `first_seen`: since when a key is known.
//!
//! Guarantees: two times per key, the first and the newest; a key not seen for the window is forgotten; of a
//! pair at most [`KEYS_MAX`] keys per entity, the longest unseen go first.

use super::codec::{DecodeError, Decoder, Durable, Encoder, decode_each};
use super::window::{Span, room_bytes};

/// Second keys of a pair that one entity keeps.
pub const KEYS_MAX: usize = 1024;

/// The times of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    first_ms: i64,
    newest_ms: i64,
}

impl Default for Seen {
    fn default() -> Self {
        Seen { first_ms: i64::MAX, newest_ms: i64::MIN }
    }
}

impl Seen {
    /// Takes an event's time.
    pub fn add(&mut self, time_ms: i64, over_ms: i64) {
        if self.newest_ms <= time_ms.saturating_sub(over_ms) {
            self.first_ms = time_ms;
        }
        self.first_ms = self.first_ms.min(time_ms);
        self.newest_ms = self.newest_ms.max(time_ms);
    }

    /// Takes in the times of another one of the same key. Two runs between which the key was not seen for the
    /// window stay apart, and the newer one is known; which event ended such a silence is not kept, so a merge
    /// gives what one would hold only where neither had forgotten the key.
    pub fn merge(&mut self, other: Self, over_ms: i64) {
        let (older, newer) = if self.newest_ms <= other.newest_ms { (*self, other) } else { (other, *self) };
        let joined = older.newest_ms > newer.first_ms.saturating_sub(over_ms);
        let first_ms = if joined { older.first_ms.min(newer.first_ms) } else { newer.first_ms };
        *self = Seen { first_ms, newest_ms: newer.newest_ms };
    }

    /// The age at a time; `None` where it is missing.
    pub fn age_ms(&self, time_ms: i64, over_ms: i64) -> Option<i64> {
        let known = self.first_ms <= time_ms && self.newest_ms > time_ms.saturating_sub(over_ms);
        known.then(|| time_ms.saturating_sub(self.first_ms))
    }

    /// The newest time.
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }
}

/// Whether a list of second keys looks for what is forgotten before it takes one more: at each power of two, and at
/// its limit. It depends on how many there are, not on the room they happen to have, which a restart changes.
pub fn is_asked_to_make_room(len: usize, len_max: usize) -> bool {
    len >= len_max || len.is_power_of_two()
}

/// The second keys of one entity, by key.
#[derive(Debug, Clone, Default)]
pub struct SeenKeys {
    keys: Vec<(u64, Seen)>,
}

impl SeenKeys {
    /// Takes an event's time for a key.
    pub fn add(&mut self, key: u64, time_ms: i64, span: Span) {
        match self.keys.binary_search_by_key(&key, |(k, _)| *k) {
            Ok(at) => {
                if let Some((_, seen)) = self.keys.get_mut(at) {
                    seen.add(time_ms, span.over_ms);
                }
            }
            Err(at) => {
                let at =
                    if is_asked_to_make_room(self.keys.len(), KEYS_MAX) { self.make_room(key, at, span) } else { at };
                if self.keys.len() == self.keys.capacity() {
                    self.keys.reserve_exact((self.keys.len() / 2).clamp(1, KEYS_MAX));
                }
                let mut seen = Seen::default();
                seen.add(time_ms, span.over_ms);
                self.keys.insert(at, (key, seen));
            }
        }
    }

    /// Takes in what another one of the same feature and entity holds.
    pub fn merge(&mut self, other: Self, span: Span) {
        for (key, seen) in other.keys {
            match self.keys.binary_search_by_key(&key, |(k, _)| *k) {
                Ok(at) => {
                    if let Some((_, known)) = self.keys.get_mut(at) {
                        known.merge(seen, span.over_ms);
                    }
                }
                Err(at) => self.keys.insert(at, (key, seen)),
            }
        }
        while self.keys.len() > KEYS_MAX {
            let oldest = (0..self.keys.len()).min_by_key(|i| self.keys.get(*i).map(|(k, s)| (s.newest_ms, *k)));
            self.keys.remove(oldest.unwrap_or_default());
        }
    }

    /// What is forgotten goes; then, at the limit, the longest unseen. Gives the place of `key` in what is left.
    fn make_room(&mut self, key: u64, at: usize, span: Span) -> usize {
        let before = self.keys.len();
        self.keys.retain(|(_, seen)| seen.newest_ms > span.dead());
        if self.keys.len() >= KEYS_MAX
            && let Some(oldest) = (0..self.keys.len()).min_by_key(|i| self.keys.get(*i).map(|(_, s)| s.newest_ms))
        {
            self.keys.remove(oldest);
        } else if self.keys.len() == before {
            return at;
        }
        self.keys.partition_point(|(k, _)| *k < key)
    }

    /// Every second key with its newest time.
    pub fn newest(&self) -> impl Iterator<Item = (u64, i64)> {
        self.keys.iter().map(|(key, seen)| (*key, seen.newest_ms))
    }

    /// The age of a key at a time; `None` where it is missing.
    pub fn age_ms(&self, key: u64, time_ms: i64, over_ms: i64) -> Option<i64> {
        let at = self.keys.binary_search_by_key(&key, |(k, _)| *k).ok()?;
        self.keys.get(at)?.1.age_ms(time_ms, over_ms)
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        room_bytes::<(u64, Seen)>(self.keys.len())
    }

    /// The newest time of any key.
    pub fn newest_ms(&self) -> i64 {
        self.keys.iter().map(|(_, seen)| seen.newest_ms).max().unwrap_or(i64::MIN)
    }
}

impl Durable for Seen {
    fn encode(&self, to: &mut Encoder) {
        let mut before_ms = 0;
        to.time(self.first_ms, &mut before_ms);
        to.time(self.newest_ms, &mut before_ms);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut before_ms = 0;
        Ok(Seen { first_ms: from.time(&mut before_ms)?, newest_ms: from.time(&mut before_ms)? })
    }
}

impl Durable for SeenKeys {
    fn encode(&self, to: &mut Encoder) {
        to.count(self.keys.len());
        for (key, seen) in &self.keys {
            to.hash(*key);
            seen.encode(to);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(SeenKeys { keys: decode_each(from, 10, |from| Ok((from.hash()?, Seen::decode(from)?)))? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is forgotten depends on what is kept, not on the room it happens to have.
        #[test]
        fn keys_that_were_stored_in_between_are_the_same(steps in prop::collection::vec((0u64..60, 0i64..40, any::<bool>()), 1..300)) {
            let (mut steady, mut stored) = (SeenKeys::default(), SeenKeys::default());
            let (mut now, mut bytes) = (0, [Encoder::default(), Encoder::default()]);
            for (key, ahead, stores) in steps {
                now += ahead;
                let span = Span { over_ms: 300, horizon_ms: now - 50 };
                steady.add(key, now, span);
                stored.add(key, now, span);
                for (keys, to) in [&steady, &stored].into_iter().zip(&mut bytes) {
                    to.clear();
                    keys.encode(to);
                }
                prop_assert_eq!(bytes[0].bytes(), bytes[1].bytes());
                if stores {
                    stored = SeenKeys::decode(&mut Decoder::new(bytes[1].bytes())).unwrap();
                }
            }
        }
    }

    #[test]
    fn the_longest_unseen_goes_first() {
        let span = Span { over_ms: 1_000_000, horizon_ms: 0 };
        let mut keys = SeenKeys::default();
        for key in 0..2000u64 {
            keys.add(key, key as i64, span);
        }
        assert_eq!(keys.keys.len(), KEYS_MAX);
        assert_eq!(keys.age_ms(0, 2000, 1_000_000), None);
        assert_eq!(keys.age_ms(1999, 2000, 1_000_000), Some(1));
        assert_eq!(keys.age_ms(2000 - KEYS_MAX as u64, 2000, 1_000_000), Some(KEYS_MAX as i64));
    }

    proptest! {
        /// The oracle keeps all times of a key and finds the run that is not broken by a silence of the window.
        #[test]
        fn equals_keeping_everything(
            steps in prop::collection::vec((0i64..900, -300i64..=0, 0u64..4), 1..150),
        ) {
            let over_ms = 1000;
            let mut keys = SeenKeys::default();
            let mut all: Vec<(i64, u64)> = Vec::new();
            let mut now = 0;
            for (ahead, back, key) in steps {
                now += ahead;
                let time_ms = now + back;
                let span = Span { over_ms, horizon_ms: now - 300 };
                let mut first_newest: Option<(i64, i64)> = None;
                for (t, _) in all.iter().filter(|(_, k)| *k == key) {
                    first_newest = match first_newest {
                        Some((first, newest)) if newest > t - over_ms => Some((first.min(*t), newest.max(*t))),
                        Some((_, newest)) if newest > *t => first_newest,
                        _ => Some((*t, *t)),
                    };
                }
                let expected = first_newest
                    .filter(|(first, newest)| *first <= time_ms && *newest > time_ms - over_ms)
                    .map(|(first, _)| time_ms - first);
                prop_assert_eq!(keys.age_ms(key, time_ms, over_ms), expected);
                keys.add(key, time_ms, span);
                all.push((time_ms, key));
            }
        }
    }
}
