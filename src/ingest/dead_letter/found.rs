//! A dead letter as it is read back from its topic.
//!
//! Guarantees: what stands there is a letter, a mark about one, or somebody else's record, and never a panic; what a
//! list shows of a letter holds no value and no key. Pure: reads nothing.

use std::fmt;
use std::str::FromStr;

use super::replayed::Mark;
use crate::event::Millis;

/// Where a letter stands in the dead letter topic: `PARTITION:OFFSET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl fmt::Display for LetterId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for LetterId {
    type Err = String;

    /// `0:17`; an offset alone is of partition 0.
    fn from_str(text: &str) -> Result<Self, String> {
        let (partition, offset) = text.split_once(':').unwrap_or(("0", text));
        match (partition.parse::<i32>(), offset.parse::<i64>()) {
            (Ok(partition @ 0..), Ok(offset @ 0..)) => Ok(LetterId { partition, offset }),
            _ => Err("a letter is PARTITION:OFFSET as `dead list` shows it, such as 0:17".to_owned()),
        }
    }
}

/// Where the record stood that became a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
}

/// A letter, without what its record held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Where it stands.
    pub id: LetterId,
    /// When it was written.
    pub written: Millis,
    /// Why the record was refused.
    pub reason: String,
    /// The field to blame.
    pub field: Option<String>,
    /// What was expected, without the value.
    pub detail: String,
    /// Where the record stood.
    pub origin: Origin,
    /// The record's own timestamp, where the letter keeps it.
    pub stamp: Option<Millis>,
    /// Bytes of the record's value; `None`: it was null.
    pub value_bytes: Option<u64>,
    /// Only the beginning of key or value is kept: the whole stands where it came from.
    pub is_cut: bool,
}

/// What a record of the dead letter topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A letter.
    Letter(Letter),
    /// What was done about one.
    Mark(Mark),
    /// Neither: somebody else wrote it.
    Foreign,
}

impl Entry {
    /// Reads a record by its headers. `value_bytes` is what is kept of the value.
    pub fn read<'h>(
        id: LetterId,
        written: Millis,
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
        value_bytes: Option<usize>,
    ) -> Entry {
        let headers = Headers::new(headers);
        if let Some(mark) = Mark::read(id, written, &headers) {
            return Entry::Mark(mark);
        }
        letter(id, written, &headers, value_bytes).map_or(Entry::Foreign, Entry::Letter)
    }
}

fn letter(id: LetterId, written: Millis, headers: &Headers<'_>, value_bytes: Option<usize>) -> Option<Letter> {
    let origin = Origin {
        topic: headers.owned("topic")?,
        partition: headers.number("partition")?,
        offset: headers.number("offset")?,
    };
    let kept = value_bytes.and_then(|bytes| u64::try_from(bytes).ok());
    Some(Letter {
        id,
        written,
        reason: headers.owned("reason")?,
        field: headers.owned("field"),
        detail: headers.owned("detail").unwrap_or_default(),
        origin,
        stamp: headers.number("timestamp").map(Millis),
        value_bytes: headers.number("value_bytes").or(kept),
        is_cut: headers.text("cut").is_some() || headers.text("key_bytes").is_some(),
    })
}

/// The headers of a record that are texts.
#[derive(Debug)]
pub(super) struct Headers<'h>(Vec<(&'h str, &'h str)>);

impl<'h> Headers<'h> {
    fn new(headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Self {
        Headers(headers.filter_map(|(name, value)| Some((name, std::str::from_utf8(value).ok()?))).collect())
    }

    pub(super) fn text(&self, name: &str) -> Option<&'h str> {
        self.0.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
    }

    pub(super) fn number<N: FromStr>(&self, name: &str) -> Option<N> {
        self.text(name)?.parse().ok()
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{RejectReason, Rejection};
    use crate::ingest::{DeadLetter, Position, Record};

    const ID: LetterId = LetterId { partition: 2, offset: 9 };

    fn read(headers: &[(&'static str, String)], value: Option<&[u8]>) -> Entry {
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        Entry::read(ID, Millis(7), headers, value.map(<[u8]>::len))
    }

    #[test]
    fn what_is_written_is_what_is_read_back() {
        let value = vec![b'x'; super::super::VALUE_BYTES_MAX + 1];
        let position = Position { topic: 0, partition: 3, offset: 17 };
        for (value, is_cut) in [(&value[..5], false), (&value[..], true)] {
            let record = Record { position, lane: 0, stamp: Millis(5), key: None, value: Some(value) };
            let rejection = Rejection::of("amount", RejectReason::BadValue, "a decimal number");
            let written = DeadLetter::new(&record, "wallet.transactions", &rejection);
            let Entry::Letter(found) = read(&written.headers, written.value) else { panic!("a letter") };
            let origin = Origin { topic: "wallet.transactions".to_owned(), partition: 3, offset: 17 };
            let expected = Letter {
                id: ID,
                written: Millis(7),
                reason: "bad_value".to_owned(),
                field: Some("amount".to_owned()),
                detail: "a decimal number".to_owned(),
                origin,
                stamp: Some(Millis(5)),
                value_bytes: Some(value.len() as u64),
                is_cut,
            };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_somebody_else_wrote_is_no_letter() {
        assert_eq!(read(&[], Some(b"{}")), Entry::Foreign);
        let half = [("reason", "bad_value".to_owned()), ("topic", "t".to_owned()), ("partition", "x".to_owned())];
        assert_eq!(read(&half, None), Entry::Foreign);
    }

    #[test]
    fn a_letter_is_named_by_partition_and_offset() {
        assert_eq!("2:9".parse(), Ok(ID));
        assert_eq!("9".parse(), Ok(LetterId { partition: 0, offset: 9 }));
        assert_eq!(ID.to_string(), "2:9");
        for wrong in ["", ":", "-1:2", "1:-2", "1:2:3", "a:1", "99999999999:1"] {
            assert!(wrong.parse::<LetterId>().is_err(), "{wrong}");
        }
    }
}
