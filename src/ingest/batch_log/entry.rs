//! Entries: what the batch log says, as types and as bytes.
//!
//! Guarantees: what is read back is what was written; a content with a byte too many or too few is none. Knows no file.

use crate::event::Millis;
use crate::ingest::lanes::Partition;

/// The format that this build writes: 2 says which mappings were in force.
pub const FORMAT: u16 = 2;
/// The oldest format that this build reads.
pub const FORMAT_OLDEST: u16 = 1;

const HEADER: u8 = 1;
const LANES: u8 = 2;
const IN_FORCE: u8 = 3;
const BATCH: u8 = 4;
/// The same as `IN_FORCE` with mappings.
const IN_FORCE_WHOLE: u8 = 5;

/// What the engine decided with: the digests of rules, lists and geo files, in the words of whoever made them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Digests {
    /// Of the rule set.
    pub rules: String,
    /// Of its lists.
    pub lists: String,
    /// Of the geo files; empty without any.
    pub geo: String,
    /// Of the mappings, `none` without any; empty where the log does not say it, being of format 1.
    pub mappings: String,
}

/// The records of one partition in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The partition.
    pub lane: u16,
    /// The offset of the first record.
    pub first: i64,
    /// The offset of the last one.
    pub last: i64,
    /// How many they are: a compacted topic has gaps.
    pub records: u32,
}

/// One batch, without its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its number, from 1, without gaps.
    pub number: u64,
    /// The moment it was taken at.
    pub moment: Millis,
    /// By lane, whether its partition was at its end.
    pub at_end: Vec<bool>,
    /// Its records by partition, in the order in which equal timestamps are taken. The order in the batch is the
    /// merge of these.
    pub spans: Vec<Span>,
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file begins: its format, and the number of its first batch.
    Header(u16, u64),
    /// All lanes from now on.
    Lanes(Vec<Partition>),
    /// What is in force from now on.
    InForce(Digests),
    /// A batch.
    Batch(Taken),
}

impl Entry {
    /// Its kind, and its content behind `out`.
    pub fn put(&self, out: &mut Vec<u8>) -> u8 {
        match self {
            Entry::Header(format, first) => {
                out.extend_from_slice(&format.to_le_bytes());
                out.extend_from_slice(&first.to_le_bytes());
                HEADER
            }
            Entry::Lanes(lanes) => {
                put_lanes(lanes, out);
                LANES
            }
            Entry::InForce(digests) => {
                put_digests(digests, out);
                IN_FORCE_WHOLE
            }
            Entry::Batch(taken) => {
                put_batch(taken, out);
                BATCH
            }
        }
    }

    /// The entry of a kind and a content; `None` where that is none.
    pub fn read(kind: u8, content: &[u8]) -> Option<Entry> {
        let mut rest = Reader(content);
        let entry = match kind {
            HEADER => Entry::Header(u16::from_le_bytes(rest.array()?), u64::from_le_bytes(rest.array()?)),
            LANES => Entry::Lanes(rest.lanes()?),
            IN_FORCE => Entry::InForce(rest.digests()?),
            IN_FORCE_WHOLE => {
                let digests = rest.digests()?;
                Entry::InForce(Digests { mappings: rest.text()?, ..digests })
            }
            BATCH => Entry::Batch(rest.batch()?),
            _ => return None,
        };
        rest.0.is_empty().then_some(entry)
    }
}

/// A batch as an entry, without a copy of it.
pub fn put_batch(taken: &Taken, out: &mut Vec<u8>) -> u8 {
    out.extend_from_slice(&taken.number.to_le_bytes());
    out.extend_from_slice(&taken.moment.0.to_le_bytes());
    // A lane is a `u16`.
    out.extend_from_slice(&u16::try_from(taken.at_end.len()).unwrap_or(u16::MAX).to_le_bytes());
    for eight in taken.at_end.chunks(8) {
        out.push(eight.iter().rev().fold(0, |byte, at_end| byte << 1 | u8::from(*at_end)));
    }
    out.extend_from_slice(&u16::try_from(taken.spans.len()).unwrap_or(u16::MAX).to_le_bytes());
    for span in &taken.spans {
        out.extend_from_slice(&span.lane.to_le_bytes());
        out.extend_from_slice(&span.first.to_le_bytes());
        out.extend_from_slice(&span.last.to_le_bytes());
        out.extend_from_slice(&span.records.to_le_bytes());
    }
    BATCH
}

fn put_lanes(lanes: &[Partition], out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(lanes.len()).unwrap_or(u16::MAX).to_le_bytes());
    for lane in lanes {
        put_text(&lane.topic, out);
        out.extend_from_slice(&lane.partition.to_le_bytes());
    }
}

fn put_digests(digests: &Digests, out: &mut Vec<u8>) {
    let Digests { rules, lists, geo, mappings } = digests;
    [rules, lists, geo, mappings].into_iter().for_each(|text| put_text(text, out));
}

/// Names of topics and digests are far shorter than 64 KiB; a longer text does not fit and is refused on reading.
fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

struct Reader<'c>(&'c [u8]);

impl Reader<'_> {
    fn take(&mut self, bytes: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn count(&mut self) -> Option<usize> {
        Some(usize::from(u16::from_le_bytes(self.array()?)))
    }

    fn text(&mut self) -> Option<String> {
        let bytes = self.count()?;
        std::str::from_utf8(self.take(bytes)?).ok().map(str::to_owned)
    }

    fn digests(&mut self) -> Option<Digests> {
        Some(Digests { rules: self.text()?, lists: self.text()?, geo: self.text()?, mappings: String::new() })
    }

    fn lanes(&mut self) -> Option<Vec<Partition>> {
        let count = self.count()?;
        let mut lane = || Some(Partition { topic: self.text()?, partition: i32::from_le_bytes(self.array()?) });
        (0..count).map(|_| lane()).collect()
    }

    fn batch(&mut self) -> Option<Taken> {
        let number = u64::from_le_bytes(self.array()?);
        let moment = Millis(i64::from_le_bytes(self.array()?));
        let lanes = self.count()?;
        let bits = self.take(lanes.div_ceil(8))?;
        let at_end = (0..lanes).map(|lane| bits.get(lane / 8).is_some_and(|byte| byte >> (lane % 8) & 1 == 1));
        let at_end = at_end.collect();
        let spans = self.count()?;
        let spans = (0..spans).map(|_| self.span()).collect::<Option<Vec<_>>>()?;
        Some(Taken { number, moment, at_end, spans })
    }

    fn span(&mut self) -> Option<Span> {
        Some(Span {
            lane: u16::from_le_bytes(self.array()?),
            first: i64::from_le_bytes(self.array()?),
            last: i64::from_le_bytes(self.array()?),
            records: u32::from_le_bytes(self.array()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Entry> {
        let span = (any::<u16>(), any::<i64>(), any::<i64>(), any::<u32>())
            .prop_map(|(lane, first, last, records)| Span { lane, first, last, records });
        let batch = (
            any::<u64>(),
            any::<i64>(),
            prop::collection::vec(any::<bool>(), 0..40),
            prop::collection::vec(span, 0..20),
        );
        let partition = (".{0,20}", any::<i32>()).prop_map(|(topic, partition)| Partition { topic, partition });
        prop_oneof![
            (any::<u16>(), any::<u64>()).prop_map(|(format, first)| Entry::Header(format, first)),
            prop::collection::vec(partition, 0..9).prop_map(Entry::Lanes),
            (".{0,20}", ".{0,20}", ".{0,20}", ".{0,20}")
                .prop_map(|(rules, lists, geo, mappings)| Entry::InForce(Digests { rules, lists, geo, mappings })),
            batch.prop_map(|(number, moment, at_end, spans)| {
                Entry::Batch(Taken { number, moment: Millis(moment), at_end, spans })
            }),
        ]
    }

    #[test]
    fn what_format_1_says_to_be_in_force_is_read_without_mappings() {
        let mut content = Vec::new();
        ["r", "l", "g"].into_iter().for_each(|text| put_text(text, &mut content));
        let text = str::to_owned;
        let digests = Digests { rules: text("r"), lists: text("l"), geo: text("g"), mappings: String::new() };
        assert_eq!(Entry::read(IN_FORCE, &content), Some(Entry::InForce(digests)));
    }

    proptest! {
        #[test]
        fn what_is_read_back_is_what_was_written(entry in entries()) {
            let mut content = Vec::new();
            let kind = entry.put(&mut content);
            prop_assert_eq!(Entry::read(kind, &content), Some(entry));
            content.push(0);
            prop_assert_eq!(Entry::read(kind, &content), None, "a byte too many");
            for length in 0..content.len() - 1 {
                prop_assert_eq!(Entry::read(kind, &content[..length]), None, "cut to {}", length);
            }
        }
    }
}
