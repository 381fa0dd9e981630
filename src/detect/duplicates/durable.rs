//! Event ids in a store: in segments that are written once and deleted as a whole.
//!
//! Guarantees: a save writes the ids accepted since the last one and no other, but where these were more than are
//! kept: then all that live. What is read back is known and forgotten exactly as before. Orders nothing inside a turn.

use super::{Duplicates, FULL_PERCENT, LINE_IDS, Line, Turn};
use crate::features::codec::{DecodeError, Decoder, Encoder, decode_each};
use crate::features::store::{Changes, Space, StoreError, Stored};

/// Ids of one segment, at most.
const SEGMENT_IDS_MAX: usize = 8192;

/// A segment that is stored.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    number: u64,
    /// With this turn its last id dies.
    last_turn: u32,
}

/// What is stored already.
#[derive(Debug, Default)]
pub struct Saved {
    segments: Vec<Segment>,
    next_number: u64,
    /// The last turn of which something is stored, and how many of its ids.
    last: Option<(u32, u32)>,
}

/// What the ids have once, read before them.
#[derive(Debug)]
pub struct Head {
    newest_ms: i64,
    oldest_ms: i64,
    oldest: u32,
    turns: usize,
    living: usize,
}

impl Head {
    /// Reads it.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let head = Head {
            newest_ms: from.signed()?,
            oldest_ms: from.signed()?,
            oldest: from.narrow()?,
            turns: from.narrow()?,
            living: from.narrow()?,
        };
        if head.turns > head.living { Err(DecodeError::Wrong("the number of event ids")) } else { Ok(head) }
    }
}

impl Head {
    /// The newest time of an accepted event, ms; `None`: there was none.
    pub fn newest_ms(&self) -> Option<i64> {
        (self.newest_ms != i64::MIN).then_some(self.newest_ms)
    }
}

impl Duplicates {
    /// Writes what they have once.
    pub fn encode_head(&self, to: &mut Encoder) {
        to.signed(self.newest_ms);
        to.signed(self.oldest_ms);
        to.number(self.oldest);
        to.count(self.turns.len());
        to.count(self.living);
    }

    /// Hands over the ids accepted since the last time and takes away segments of which none lives.
    pub fn save(&mut self, out: &mut dyn Changes, value: &mut Encoder) {
        let fresh = self.fresh.replace(Vec::new());
        let keeps = |segment: &Segment| fresh.is_some() && self.is_alive(segment.last_turn);
        let (kept, gone): (Vec<Segment>, Vec<Segment>) = self.saved.segments.iter().copied().partition(keeps);
        gone.iter().for_each(|segment| out.delete(Space::EventIds, &segment.number.to_be_bytes()));
        self.saved.segments = kept;
        let ids = match fresh {
            Some(fresh) => self.with_turns(&fresh),
            None => self.living_ids(),
        };
        for ids in ids.chunks(SEGMENT_IDS_MAX) {
            self.write_segment(ids, out, value);
        }
        self.saved.last = self.last_turn();
    }

    /// The newest living turn and how many ids it has.
    fn last_turn(&self) -> Option<(u32, u32)> {
        let number = self.oldest.wrapping_add(self.turns.len() as u32).wrapping_sub(1);
        self.turns.back().map(|last| (number, last.ids))
    }

    /// The living of the ids accepted since the last save, each with its turn, counted from the oldest.
    fn with_turns(&self, fresh: &[u64]) -> Vec<(u32, u64)> {
        let last = self.saved.last.filter(|(turn, _)| self.is_alive(*turn));
        let (first, stored) = last.map_or((0, 0), |(turn, ids)| (turn.wrapping_sub(self.oldest), ids));
        let mut turns = Vec::with_capacity(fresh.len());
        for (number, turn) in (0u32..).zip(&self.turns).skip(first as usize) {
            let of_turn = turn.ids.saturating_sub(if number == first { stored } else { 0 });
            turns.extend(std::iter::repeat_n(number, of_turn as usize));
        }
        // What came before these is forgotten already.
        let forgotten = fresh.len().saturating_sub(turns.len());
        turns.into_iter().zip(fresh.iter().skip(forgotten).copied()).collect()
    }

    /// All living ids with their turns, counted from the oldest, in order.
    fn living_ids(&self) -> Vec<(u32, u64)> {
        let of_line = |line: &Line| line.ids.into_iter().zip(line.turns);
        let known = self.lines.iter().flat_map(of_line).filter(|(id, turn)| *id != 0 && self.is_alive(*turn));
        let mut ids: Vec<(u32, u64)> = known.map(|(id, turn)| (turn.wrapping_sub(self.oldest), id)).collect();
        ids.sort_unstable();
        ids
    }

    fn write_segment(&mut self, ids: &[(u32, u64)], out: &mut dyn Changes, value: &mut Encoder) {
        let Some((last, _)) = ids.last() else { return };
        value.clear();
        let runs: Vec<&[(u32, u64)]> = ids.chunk_by(|(a, _), (b, _)| a == b).collect();
        value.count(runs.len());
        for run in runs {
            let Some((turn, _)) = run.first() else { continue };
            value.number(self.oldest.wrapping_add(*turn));
            value.number(self.turns.get(*turn as usize).map_or(0, |turn| turn.after_ms));
            value.count(run.len());
            run.iter().for_each(|(_, id)| value.hash(*id));
        }
        let number = self.saved.next_number;
        self.saved.next_number += 1;
        self.saved.segments.push(Segment { number, last_turn: self.oldest.wrapping_add(*last) });
        let key = number.to_be_bytes();
        out.put(Space::EventIds, &key, value.seal(Space::EventIds, &key));
    }

    /// Reads all ids that had this head.
    pub fn restored(head: &Head, window_ms: i64, ids_max: usize, stored: &dyn Stored) -> Result<Self, StoreError> {
        let mut known = Duplicates::new(window_ms, ids_max);
        (known.newest_ms, known.oldest_ms, known.oldest) = (head.newest_ms, head.oldest_ms, head.oldest);
        known.lines = vec![Line::default(); head.living * 100 / (LINE_IDS * FULL_PERCENT) + 1];
        // How many of each are read is counted as they come.
        known.turns = vec![Turn { after_ms: 0, ids: 0 }; head.turns].into();
        stored.each(Space::EventIds, &mut |key, value| {
            known.take_segment(key, value).map_err(|e| e.under(Space::EventIds, key))
        })?;
        if known.living != head.living || known.turns.iter().any(|turn| turn.ids == 0) {
            let what = format!("there are {} event ids where {} were saved", known.living, head.living);
            return Err(StoreError::Damaged { space: Some(Space::EventIds), what });
        }
        known.fresh = Some(Vec::new());
        known.saved.last = known.last_turn();
        Ok(known)
    }

    fn take_segment(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        let mut from = Decoder::unseal(Space::EventIds, key, value)?;
        let number = u64::from_be_bytes(key.try_into().map_err(|_| DecodeError::Wrong("a key"))?);
        let mut last_turn = self.oldest.wrapping_sub(1);
        for _ in 0..from.count(3)? {
            let (number, after_ms): (u32, u32) = (from.narrow()?, from.narrow()?);
            let ids: Vec<u64> = decode_each(&mut from, 8, |from| from.hash())?;
            last_turn = number;
            let Some(turn) = self.turns.get_mut(number.wrapping_sub(self.oldest) as usize) else { continue };
            turn.after_ms = after_ms;
            let more = u32::try_from(ids.len()).map_err(|_| DecodeError::Wrong("a number"))?;
            turn.ids = turn.ids.checked_add(more).ok_or(DecodeError::Wrong("a number"))?;
            self.living += ids.len();
            if self.living * 100 > self.lines.len() * LINE_IDS * FULL_PERCENT + 100 {
                return Err(DecodeError::Wrong("the number of event ids"));
            }
            ids.into_iter().for_each(|id| self.insert(id.max(1), number));
        }
        from.end()?;
        self.saved.segments.push(Segment { number, last_turn });
        self.saved.next_number = number.checked_add(1).ok_or(DecodeError::Wrong("a key"))?;
        Ok(())
    }

    /// Takes all of them into a digest.
    pub fn digest(&self, hasher: &mut blake3::Hasher) {
        let mut all = Encoder::default();
        all.signed(self.newest_ms);
        all.signed(self.oldest_ms);
        for turn in &self.turns {
            all.number(turn.after_ms);
            all.number(turn.ids);
        }
        self.living_ids().iter().for_each(|(_, id)| all.hash(*id));
        hasher.update(all.bytes());
    }
}
