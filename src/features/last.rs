//! `last`: the newest event by (time, input order).
//!
//! Guarantees: keeps the fields some rule reads and nothing else; missing where the newest is later than the
//! asking event or outside the window; a field that a rule began to read later is missing until the next event.
//! Keeps one event.

use compact_str::CompactString;
use smallvec::SmallVec;

use super::Banks;
use super::codec::{DecodeError, Decoder, Durable, Encoder, decode_all, decode_each, encode_all};
use super::shape::KeptField;
use super::window::{room_bytes, spilled_bytes};
use crate::ruleset::row::Rep;

/// The newest event of one entity.
#[derive(Debug, Clone)]
pub struct Last {
    time_ms: i64,
    numbers: SmallVec<[f64; 2]>,
    ids: SmallVec<[u64; 2]>,
    texts: SmallVec<[CompactString; 1]>,
}

impl Default for Last {
    fn default() -> Self {
        Last { time_ms: i64::MIN, numbers: SmallVec::new(), ids: SmallVec::new(), texts: SmallVec::new() }
    }
}

impl Last {
    /// Takes an event whose fields stand in `from`, where it is the newest.
    pub fn take(&mut self, time_ms: i64, fields: &[KeptField], from: &mut Banks) {
        if time_ms < self.time_ms {
            return;
        }
        self.time_ms = time_ms;
        self.numbers.clear();
        self.ids.clear();
        let mut texts = 0;
        for field in fields {
            let Some(cell) = field.cell else {
                self.take_nothing(field.rep, &mut texts);
                continue;
            };
            match cell.rep {
                Rep::Num => self.numbers.extend_from_slice(from.numbers_at(cell.at, 1)),
                Rep::Money | Rep::Geo => self.numbers.extend_from_slice(from.numbers_at(cell.at, 2)),
                Rep::Ip => self.ids.extend_from_slice(from.ids_at(cell.at, 2)),
                Rep::Id => {
                    self.ids.extend_from_slice(from.ids_at(cell.at, 1));
                    if self.texts.len() == texts {
                        self.texts.push(CompactString::default());
                    }
                    if let (Some(kept), Some(text)) = (self.texts.get_mut(texts), from.text_at(cell.text)) {
                        kept.clear();
                        kept.push_str(text);
                    }
                    texts += 1;
                }
            }
        }
    }

    /// Holds the place of a field that no rule reads.
    fn take_nothing(&mut self, rep: Rep, texts: &mut usize) {
        match rep {
            Rep::Num => self.numbers.push(f64::NAN),
            Rep::Money | Rep::Geo => self.numbers.extend_from_slice(&[f64::NAN; 2]),
            Rep::Ip => self.ids.extend_from_slice(&[0; 2]),
            Rep::Id => {
                self.ids.push(0);
                match self.texts.get_mut(*texts) {
                    Some(kept) => kept.clear(),
                    None => self.texts.push(CompactString::default()),
                }
                *texts += 1;
            }
        }
    }

    /// Takes in another one of the same feature and entity: the newer stays. Of two at one instant, whose order
    /// a split of the input lost, it is one and the same whichever way round they are merged.
    pub fn merge(&mut self, other: Self) {
        if self.in_order(&other).is_lt() {
            *self = other;
        }
    }

    fn in_order(&self, other: &Self) -> std::cmp::Ordering {
        let numbers = |last: &Last| last.numbers.iter().map(|n| n.to_bits()).collect::<SmallVec<[u64; 8]>>();
        let by_time = self.time_ms.cmp(&other.time_ms);
        by_time.then_with(|| (&self.ids, numbers(self), &self.texts).cmp(&(&other.ids, numbers(other), &other.texts)))
    }

    /// How old it is at a time; `None` where it is missing.
    pub fn age_ms(&self, time_ms: i64, over_ms: i64) -> Option<i64> {
        let inside = self.time_ms <= time_ms && self.time_ms > time_ms.saturating_sub(over_ms);
        inside.then(|| time_ms.saturating_sub(self.time_ms))
    }

    /// Writes the kept fields. `fields` may have become longer since they were taken: what is not held stays
    /// missing.
    pub fn give(&self, fields: &[KeptField], to: &mut Banks) {
        let (mut numbers, mut ids, mut texts) = (self.numbers.as_slice(), self.ids.as_slice(), self.texts.iter());
        fn next<T: Copy>(kept: &mut &[T], to: &mut [T]) {
            for slot in to {
                if let Some((first, rest)) = kept.split_first() {
                    *slot = *first;
                    *kept = rest;
                }
            }
        }
        fn pass<T>(kept: &mut &[T], n: usize) {
            *kept = kept.get(n..).unwrap_or_default();
        }
        for field in fields {
            let Some(cell) = field.cell else {
                match field.rep {
                    Rep::Num => pass(&mut numbers, 1),
                    Rep::Money | Rep::Geo => pass(&mut numbers, 2),
                    Rep::Ip => pass(&mut ids, 2),
                    Rep::Id => {
                        pass(&mut ids, 1);
                        texts.next();
                    }
                }
                continue;
            };
            match cell.rep {
                Rep::Num => next(&mut numbers, to.numbers_at(cell.at, 1)),
                Rep::Money | Rep::Geo => next(&mut numbers, to.numbers_at(cell.at, 2)),
                Rep::Ip => next(&mut ids, to.ids_at(cell.at, 2)),
                Rep::Id => {
                    next(&mut ids, to.ids_at(cell.at, 1));
                    if let (Some(slot), Some(text)) = (to.text_at(cell.text), texts.next()) {
                        slot.clear();
                        slot.push_str(text);
                    }
                }
            }
        }
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(text_bytes).sum();
        spilled_bytes(&self.numbers) + spilled_bytes(&self.ids) + spilled_bytes(&self.texts) + texts
    }

    /// Its time.
    pub fn newest_ms(&self) -> i64 {
        self.time_ms
    }
}

/// Memory of a text beyond itself, bytes.
pub fn text_bytes(text: &CompactString) -> usize {
    if text.len() > size_of::<CompactString>() { room_bytes::<u8>(text.len()) } else { 0 }
}

impl Durable for Last {
    fn encode(&self, to: &mut Encoder) {
        to.signed(self.time_ms);
        to.count(self.numbers.len());
        self.numbers.iter().for_each(|number| to.round_float(*number));
        to.count(self.ids.len());
        self.ids.iter().for_each(|id| to.hash(*id));
        encode_all(self.texts.iter(), to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Last {
            time_ms: from.signed()?,
            numbers: decode_each(from, 1, Decoder::round_float)?,
            ids: decode_each(from, 8, Decoder::hash)?,
            texts: decode_all(from)?,
        })
    }
}
