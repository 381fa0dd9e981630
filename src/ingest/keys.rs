//! Whether the keys of a topic are the accounts of its events: only then does Kafka itself keep the order of an
//! account; elsewhere it rests on timestamps.
//!
//! Guarantees: counts are exact and only grow; a topic is named at most once in [`NAMED_EVERY_MS`], and only on
//! [`RECORDS_MIN`] records or more. An event without account does not count: its key is not an account's. Pure:
//! writes no line and reads no clock.

use crate::event::Millis;

/// The part of a topic's records whose key may be another, beyond which the topic is named: 1 in so many.
pub const ONE_IN: u64 = 100;
/// Records that are looked at before a topic is judged.
pub const RECORDS_MIN: u64 = 100;
/// Time between two times that a topic is named, ms.
pub const NAMED_EVERY_MS: i64 = 600_000;

/// What was seen of every topic.
#[derive(Debug)]
pub struct Keys {
    topics: Vec<Seen>,
}

/// What was seen of one topic.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// Records whose event has an account.
    records: u64,
    /// Those whose key is not that account.
    others: u64,
    /// The same since it was judged last.
    window: [u64; 2],
    /// When the window began.
    since: Option<Millis>,
    /// When it was named last.
    named: Option<Millis>,
}

/// A topic whose keys are not the accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherKeys {
    /// The topic, by its place in the source's list.
    pub topic: usize,
    /// Records with an account since it was looked at last.
    pub records: u64,
    /// Those with another key.
    pub others: u64,
}

impl Keys {
    /// Nothing seen yet, of so many topics.
    pub fn new(topics: usize) -> Self {
        Keys { topics: vec![Seen::default(); topics] }
    }

    /// Counts an accepted event of a topic.
    #[inline]
    pub fn count(&mut self, topic: u16, key: Option<&[u8]>, account: Option<&str>) {
        let (Some(account), Some(seen)) = (account, self.topics.get_mut(usize::from(topic))) else { return };
        let is_other = !key.is_some_and(|key| is_account(key, account));
        seen.records += 1;
        seen.others += u64::from(is_other);
        seen.window[0] += 1;
        seen.window[1] += u64::from(is_other);
    }

    /// Records with an account, and those with another key, of each topic since the start.
    pub fn totals(&self) -> impl Iterator<Item = [u64; 2]> {
        self.topics.iter().map(|seen| [seen.records, seen.others])
    }

    /// The topics that are to be named at a moment.
    pub fn to_name(&mut self, moment: Millis) -> impl Iterator<Item = OtherKeys> {
        self.topics.iter_mut().enumerate().filter_map(move |(topic, seen)| {
            let [records, others] = seen.window;
            let since = *seen.since.get_or_insert(moment);
            if records < RECORDS_MIN {
                return None;
            }
            let is_over = others.saturating_mul(ONE_IN) > records;
            let may = seen.named.is_none_or(|named| moment.since(named) >= NAMED_EVERY_MS);
            if is_over && !may || !is_over && moment.since(since) < NAMED_EVERY_MS {
                return None;
            }
            seen.window = [0; 2];
            seen.since = Some(moment);
            if !is_over {
                return None;
            }
            seen.named = Some(moment);
            Some(OtherKeys { topic, records, others })
        })
    }
}

/// Whether a key is the account, as it is or as a JSON text: some producers write keys so.
fn is_account(key: &[u8], account: &str) -> bool {
    let quoted = key.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    key == account.as_bytes() || quoted == Some(account.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(keys: &mut Keys, times: u64, key: &str) {
        (0..times).for_each(|_| keys.count(0, Some(key.as_bytes()), Some("acc-1")));
    }

    fn named(keys: &mut Keys, minute: i64) -> Vec<OtherKeys> {
        keys.to_name(Millis(minute * 60_000)).collect()
    }

    #[test]
    fn the_key_is_the_account_as_it_is_or_as_json() {
        assert!(is_account(b"acc-1", "acc-1") && is_account(b"\"acc-1\"", "acc-1"));
        assert!(!is_account(b"acc-2", "acc-1") && !is_account(b"", "acc-1") && !is_account(b"\"acc-1", "acc-1"));
    }

    #[test]
    fn an_event_without_account_does_not_count() {
        let mut keys = Keys::new(1);
        for _ in 0..1000 {
            keys.count(0, Some(b"b3c7"), None);
            keys.count(0, None, None);
        }
        assert_eq!(keys.totals().collect::<Vec<_>>(), [[0, 0]]);
        assert_eq!(named(&mut keys, 0), []);
    }

    #[test]
    fn one_in_a_hundred_is_allowed_and_more_is_named() {
        let mut keys = Keys::new(1);
        count(&mut keys, 99, "acc-1");
        count(&mut keys, 1, "realm");
        assert_eq!(named(&mut keys, 0), [], "1 % is not over 1 %");
        keys.count(0, None, Some("acc-1"));
        assert_eq!(named(&mut keys, 0), [OtherKeys { topic: 0, records: 101, others: 2 }]);
        assert_eq!(keys.totals().collect::<Vec<_>>(), [[101, 2]]);
    }

    #[test]
    fn a_topic_is_named_once_in_its_time_and_again_while_it_lasts() {
        let mut keys = Keys::new(2);
        let mut times = Vec::new();
        for minute in 0..25 {
            count(&mut keys, 60, "realm");
            if !named(&mut keys, minute).is_empty() {
                times.push(minute);
            }
        }
        assert_eq!(times, [1, 11, 21]);
    }

    #[test]
    fn what_was_mended_is_forgotten() {
        let mut keys = Keys::new(1);
        count(&mut keys, 100, "realm");
        assert_eq!(named(&mut keys, 0).len(), 1);
        for minute in 1..40 {
            count(&mut keys, 1000, "acc-1");
            assert_eq!(named(&mut keys, minute), []);
        }
        // A few among the many of one time are not summed up over all times.
        count(&mut keys, 50, "realm");
        assert_eq!(named(&mut keys, 41).len(), 0, "the window holds thousands that are right");
        assert_eq!(keys.totals().collect::<Vec<_>>(), [[39_150, 150]]);
    }
}
