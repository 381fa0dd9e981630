//! A batch: what was at hand, copied out of the source into one buffer that is used again.
//!
//! Guarantees: records keep the order they were taken in; the buffers keep their memory between batches,
//! so a batch costs no allocation per record. Holds at most [`BATCH_RECORDS_MAX`] records.

use std::ops::Range;

use super::batch_log::Span;
use crate::event::Millis;

/// Records in one batch, at most.
pub const BATCH_RECORDS_MAX: usize = 1024;

/// Where a record stands in its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The topic, by its place in the source's list; 0 for a file.
    pub topic: u16,
    /// The partition; 0 for a file.
    pub partition: i32,
    /// The offset; the line number, from 1, for a file.
    pub offset: i64,
}

/// One record as it was taken.
#[derive(Debug, Clone, Copy)]
pub struct Record<'b> {
    /// Where it stands.
    pub position: Position,
    /// Which sequence of records it belongs to, for lateness: a number per (topic, partition), from 0.
    pub lane: u16,
    /// The record's timestamp.
    pub stamp: Millis,
    /// The key, as it came.
    pub key: Option<&'b [u8]>,
    /// The value, as it came.
    pub value: Option<&'b [u8]>,
}

#[derive(Debug)]
struct Kept {
    position: Position,
    lane: u16,
    stamp: Millis,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
}

/// Records taken together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The moment it was taken: the one use of a clock on events, written into the batch log.
    pub moment: Millis,
    /// By lane, whether its partition was at its end when the batch was taken; written into the batch log too. Empty
    /// for a file: its end moves nothing.
    pub at_end: Vec<bool>,
    /// The number it was logged under, where it is taken again.
    pub again: Option<u64>,
    bytes: Vec<u8>,
    kept: Vec<Kept>,
}

impl Batch {
    /// Empties it, keeping its memory, for records taken at `moment`.
    pub fn clear(&mut self, moment: Millis) {
        self.moment = moment;
        self.at_end.clear();
        self.again = None;
        self.bytes.clear();
        self.kept.clear();
    }

    /// Takes a record. False where the batch is full: nothing was taken.
    pub fn push(&mut self, record: Record<'_>) -> bool {
        if self.is_full() {
            return false;
        }
        let mut keep = |part: Option<&[u8]>| {
            part.map(|bytes| {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(bytes);
                start..self.bytes.len()
            })
        };
        let key = keep(record.key);
        let value = keep(record.value);
        self.kept.push(Kept { position: record.position, lane: record.lane, stamp: record.stamp, key, value });
        true
    }

    /// Whether it holds as many records as it may.
    pub fn is_full(&self) -> bool {
        self.kept.len() >= BATCH_RECORDS_MAX
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The records, in the order they were taken.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.kept.iter().map(|kept| self.whole(kept))
    }

    /// The record at a place in that order.
    pub fn record(&self, at: usize) -> Option<Record<'_>> {
        self.kept.get(at).map(|kept| self.whole(kept))
    }

    /// Its records by partition, in the order of topic and partition: that in which equal timestamps are taken.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<((u16, i32), Span)> = Vec::new();
        // Where in `spans` each lane stands.
        let mut places: Vec<Option<usize>> = vec![None; self.at_end.len()];
        for Kept { position, lane, .. } in &self.kept {
            let at = usize::from(*lane);
            if places.len() <= at {
                places.resize(at + 1, None);
            }
            let Some(place) = places.get_mut(at) else { continue };
            match place.and_then(|place| spans.get_mut(place)) {
                Some((_, span)) => {
                    span.last = position.offset;
                    span.records += 1;
                }
                None => {
                    *place = Some(spans.len());
                    let span = Span { lane: *lane, first: position.offset, last: position.offset, records: 1 };
                    spans.push(((position.topic, position.partition), span));
                }
            }
        }
        spans.sort_by_key(|(place, _)| *place);
        spans.into_iter().map(|(_, span)| span).collect()
    }

    fn whole(&self, kept: &Kept) -> Record<'_> {
        Record {
            position: kept.position,
            lane: kept.lane,
            stamp: kept.stamp,
            key: kept.key.clone().and_then(|range| self.bytes.get(range)),
            value: kept.value.clone().and_then(|range| self.bytes.get(range)),
        }
    }
}
