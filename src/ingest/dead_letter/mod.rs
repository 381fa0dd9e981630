//! A record that cannot be used, as it is written to the dead letter topic.
//!
//! Guarantees: it always fits, whatever the record was: a value over [`VALUE_BYTES_MAX`] is cut to its first
//! [`CUT_BYTES`], a key over [`CUT_BYTES`] likewise; headers say why and where from. Pure: writes nothing.

use super::batch::Record;
use crate::event::{Closed, Rejection};

pub mod found;
pub mod replayed;

pub use found::{Entry, Letter, LetterId, Origin};
pub use replayed::{Mark, Replays, Standing, Step};

/// A value up to here is kept whole, bytes.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;
/// What is kept of a longer one, and of a key that is longer, bytes.
pub const CUT_BYTES: usize = 64 * 1024;
/// What a dead letter takes at most, with its headers, bytes: the topic must allow it.
pub const RECORD_BYTES_MAX: usize = VALUE_BYTES_MAX + CUT_BYTES + 16 * 1024;

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter<'r> {
    /// `reason`, `field`, `detail`, `topic`, `partition`, `offset`, `timestamp` (ms), and what was cut.
    pub headers: Vec<(&'static str, String)>,
    /// The original key.
    pub key: Option<&'r [u8]>,
    /// The original value.
    pub value: Option<&'r [u8]>,
}

impl<'r> DeadLetter<'r> {
    /// The dead letter of a record of `topic` that was refused.
    pub fn new(record: &Record<'r>, topic: &str, rejection: &Rejection) -> Self {
        let mut headers = vec![("reason", rejection.reason.word().to_owned())];
        if let Some(field) = rejection.field {
            headers.push(("field", field.to_owned()));
        }
        headers.push(("detail", rejection.detail.clone()));
        headers.push(("topic", topic.to_owned()));
        headers.push(("partition", record.position.partition.to_string()));
        headers.push(("offset", record.position.offset.to_string()));
        headers.push(("timestamp", record.stamp.0.to_string()));
        let value = record.value.map(|value| {
            if value.len() <= VALUE_BYTES_MAX {
                return value;
            }
            headers.push(("cut", CUT_BYTES.to_string()));
            headers.push(("value_bytes", value.len().to_string()));
            value.get(..CUT_BYTES).unwrap_or(value)
        });
        let key = record.key.map(|key| {
            if key.len() <= CUT_BYTES {
                return key;
            }
            headers.push(("key_bytes", key.len().to_string()));
            key.get(..CUT_BYTES).unwrap_or(key)
        });
        DeadLetter { headers, key, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Millis, RejectReason};
    use crate::ingest::Position;

    fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Record<'a> {
        let position = Position { topic: 0, partition: 3, offset: 17 };
        Record { position, lane: 0, stamp: Millis(5), key, value }
    }

    #[test]
    fn says_why_and_where_from_and_keeps_key_and_value() {
        let rejection = Rejection::of("amount", RejectReason::BadValue, "a decimal number");
        let record = record(Some(b"acc-1"), Some(b"{}"));
        let letter = DeadLetter::new(&record, "wallet.transactions", &rejection);
        let headers: Vec<String> = letter.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            headers.join(" "),
            "reason=bad_value field=amount detail=a decimal number topic=wallet.transactions partition=3 offset=17 \
             timestamp=5"
        );
        assert_eq!((letter.key, letter.value), (Some(&b"acc-1"[..]), Some(&b"{}"[..])));
    }

    #[test]
    fn a_value_over_the_limit_is_cut_and_says_so() {
        let rejection = Rejection::new(RejectReason::TooLarge, "at most 65536 bytes");
        let (fits, long) = (vec![b'x'; VALUE_BYTES_MAX], vec![b'x'; VALUE_BYTES_MAX + 1]);
        let whole = record(None, Some(&fits));
        assert_eq!(DeadLetter::new(&whole, "t", &rejection).value.map(<[u8]>::len), Some(VALUE_BYTES_MAX));
        let (key, record) = (vec![b'k'; CUT_BYTES + 1], record(None, Some(&long)));
        let record = Record { key: Some(&key), ..record };
        let letter = DeadLetter::new(&record, "t", &rejection);
        assert_eq!((letter.value.map(<[u8]>::len), letter.key.map(<[u8]>::len)), (Some(CUT_BYTES), Some(CUT_BYTES)));
        assert!(letter.headers.contains(&("cut", "65536".to_owned())));
        assert!(letter.headers.contains(&("value_bytes", "262145".to_owned())));
        assert!(letter.headers.contains(&("key_bytes", "65537".to_owned())));
    }

    #[test]
    fn null_stays_null() {
        let rejection = Rejection::new(RejectReason::NoValue, "a value");
        let letter = DeadLetter::new(&record(None, None), "t", &rejection).value.is_none();
        assert!(letter);
    }
}
