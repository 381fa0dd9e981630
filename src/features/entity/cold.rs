//! Entities that are not in memory: they leave it once a store has them as they are, and are read back when they come.
//!
//! Guarantees: who is away is known by key, place and marks, so who is forgotten and what a sweep does is the same as
//! had nobody left; who changed since the last save never leaves; who cannot be read back is a failure, never unknown.
//! Does not know when a save has come to rest: whoever asks entities to leave says so by asking.

use std::sync::Arc;

use super::ceiling::OVERHEAD_BYTES;
use super::thin::{Away, Ends, Thin};
use super::{CHUNK, Entity, Kept, Swept, Table};
use crate::features::codec::{DecodeError, Decoder, Durable};
use crate::features::marks::{self, Rank};
use crate::features::store::{Shelf, Space};
use crate::mutant::{self, Mutant};

/// What stays in memory of an entity that is away, bytes: its note, its part of the index, its marks, its place.
pub const AWAY_BYTES: usize = 48;
/// Of so many entities in a whole piece of memory one must be able to leave, or it is not worth thinning.
const THIN_PART: usize = 16;
/// Lines of marks in a piece of memory.
const LINES: usize = CHUNK / marks::PLACES;

/// Who is not in memory, and where they are.
#[derive(Debug)]
pub struct Elsewhere<T> {
    shelf: Option<OnShelf<T>>,
    away: usize,
    /// What those who are away point to, bytes.
    heap_bytes: usize,
    /// Counts changes of windows: what was worked out under others holds no more.
    windows: u16,
    /// The piece of memory from which somebody leaves next.
    hand: usize,
    /// Pieces that were not asked yet.
    unasked: usize,
    left: u64,
    came_back: u64,
}

impl<T> Default for Elsewhere<T> {
    fn default() -> Self {
        let (left, came_back) = (0, 0);
        Elsewhere { shelf: None, away: 0, heap_bytes: 0, windows: 0, hand: 0, unasked: 0, left, came_back }
    }
}

/// The store of a table.
#[derive(Debug)]
struct OnShelf<T> {
    shelf: Arc<Shelf>,
    space: Space,
    decode: fn(&mut Decoder<'_>) -> Result<T, DecodeError>,
}

/// How many entities may leave, and what that must bring.
#[derive(Debug)]
pub struct Leaving<'l> {
    /// Who.
    pub rank: Rank,
    /// At most so many.
    pub entities_max: usize,
    /// Bytes that are still wanted.
    pub wanted_bytes: usize,
    /// Each feature's window.
    pub over_ms: &'l [i64],
}

impl Leaving<'_> {
    fn is_over(&self) -> bool {
        self.entities_max == 0 || self.wanted_bytes == 0
    }
}

/// What is kept of an entity, as it lies in memory or as a store has it.
#[derive(Debug)]
pub enum Seen<'t, T> {
    /// In memory.
    Here(&'t T),
    /// A copy of what the store has.
    Away(T),
}

impl<T> std::ops::Deref for Seen<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Seen::Here(kept) => kept,
            Seen::Away(kept) => kept,
        }
    }
}

/// What a restore may bring into memory.
#[derive(Debug)]
pub struct Room<'r> {
    /// Where the rest is read back from.
    pub shelf: Arc<Shelf>,
    /// What is left of it, bytes.
    pub bytes: usize,
    /// Each feature's window.
    pub over_ms: &'r [i64],
}

impl<T: Kept + Durable> Table<T> {
    /// From now on entities may leave for a store in which this table is saved.
    pub fn keep_in(&mut self, shelf: Arc<Shelf>, space: Space) {
        self.elsewhere.shelf = Some(OnShelf { shelf, space, decode: T::decode });
    }
}

impl<T: Kept> Table<T> {
    /// How many are not in memory.
    pub fn away(&self) -> usize {
        self.elsewhere.away
    }

    /// What those who are away point to, bytes.
    pub(super) fn away_heap_bytes(&self) -> usize {
        self.elsewhere.heap_bytes
    }

    /// How many left memory, and how many came back.
    pub fn moves(&self) -> [u64; 2] {
        [self.elsewhere.left, self.elsewhere.came_back]
    }

    /// Memory that those who are in it are accounted to take, and what is kept of the others, bytes.
    pub fn resident_bytes(&self) -> usize {
        let here = (self.len() - self.away()) * (size_of::<Entity<T>>() + OVERHEAD_BYTES);
        let heap_bytes = self.heap_bytes.unwrap_or_default().saturating_sub(self.elsewhere.heap_bytes);
        here + heap_bytes + self.away() * AWAY_BYTES
    }

    /// Windows changed: of whoever is away it is not known what a sweep would do.
    pub fn change_windows(&mut self) {
        match self.elsewhere.windows.checked_add(1) {
            Some(windows) => self.elsewhere.windows = windows,
            None => {
                // Nobody may be taken for known under windows of the same number that were long before.
                let all: Vec<u32> = (0..self.places).filter(|at| self.note(*at).is_some()).collect();
                for at in all {
                    if let Some(away) = self.take_note(at) {
                        let ends = Ends { ms: i64::MIN, whole: false };
                        self.put_note(at, Away::new(away.key, ends, away.heap_bytes, 1));
                    }
                }
                self.elsewhere.windows = 0;
            }
        }
    }

    /// What so many entities will about take, bytes.
    pub(super) fn expected_bytes(&self, len: usize) -> usize {
        len.saturating_mul(2 * size_of::<Entity<T>>() + OVERHEAD_BYTES)
    }

    /// Somebody who was read from a store stands at a place where nobody does: in memory while there is room.
    pub(super) fn settle(&mut self, at: u32, entity: Entity<T>, room: Option<&mut Room<'_>>) {
        let heap_bytes = entity.kept.heap_bytes();
        let Some(room) = room else { return self.stand(at, entity) };
        let bytes = size_of::<Entity<T>>() + OVERHEAD_BYTES + heap_bytes;
        let is_thinned = self.thin(at).is_some();
        match u32::try_from(heap_bytes) {
            Ok(noted) if is_thinned && bytes > room.bytes => {
                let away = Away::new(entity.key, entity.kept.ends(room.over_ms), noted, self.elsewhere.windows);
                self.put_note(at, away);
            }
            _ => {
                room.bytes = room.bytes.saturating_sub(bytes);
                self.stand(at, entity);
            }
        }
    }

    /// All may be asked to leave again.
    pub fn ask_all(&mut self) {
        self.elsewhere.unasked = self.chunks.len();
    }

    /// Sends entities out of memory, from where the hand stands on, each piece once until all are asked again.
    pub fn send_away(&mut self, leaving: &mut Leaving<'_>) {
        if self.elsewhere.shelf.is_none() {
            return;
        }
        while self.elsewhere.unasked > 0 && !leaving.is_over() {
            let number = if self.elsewhere.hand < self.chunks.len() { self.elsewhere.hand } else { 0 };
            self.thin_out(number, leaving);
            if leaving.is_over() {
                // The rest of it is asked the next time.
                return;
            }
            (self.elsewhere.hand, self.elsewhere.unasked) = (number + 1, self.elsewhere.unasked - 1);
        }
    }

    fn thin_out(&mut self, number: usize, leaving: &mut Leaving<'_>) {
        let lines = number * LINES..(number + 1) * LINES;
        let may_leave: usize = lines.clone().map(|n| self.may_leave(n, leaving.rank).count_ones() as usize).sum();
        let whole = self.chunks.get(number).map_or(0, Vec::len);
        if may_leave == 0 || may_leave * THIN_PART < whole {
            return self.pass(lines, leaving.rank);
        }
        self.thin_chunk(number, may_leave);
        for line in lines.clone() {
            let mut may_leave = self.may_leave(line, leaving.rank);
            while may_leave != 0 && !leaving.is_over() {
                let at = (line * marks::PLACES) as u32 + may_leave.trailing_zeros();
                may_leave &= may_leave - 1;
                let freed = self.send_one(at, leaving.over_ms);
                self.elsewhere.left += u64::from(freed > 0);
                leaving.entities_max -= usize::from(freed > 0);
                leaving.wanted_bytes = leaving.wanted_bytes.saturating_sub(freed);
            }
        }
        if let Some(Some(thin)) = self.thinned.get_mut(number) {
            thin.shrink();
        }
        if !leaving.is_over() {
            self.pass(lines, leaving.rank);
        }
    }

    fn may_leave(&self, line: usize, rank: Rank) -> u64 {
        self.marks.may_leave(line, rank, !mutant::is(Mutant::SendsTheDirty))
    }

    /// Who does not come until the hand passes again is idle.
    fn pass(&mut self, lines: std::ops::Range<usize>, rank: Rank) {
        if rank == Rank::Idle {
            lines.for_each(|line| self.marks.pass(line));
        }
    }

    fn thin_chunk(&mut self, number: usize, may_leave: usize) {
        if self.thinned.len() <= number {
            self.thinned.resize_with(number + 1, || None);
        }
        let (Some(thin), Some(chunk)) = (self.thinned.get_mut(number), self.chunks.get_mut(number)) else { return };
        if thin.is_none() {
            let here = chunk.len().saturating_sub(may_leave);
            *thin = Some(Box::new(Thin::of(std::mem::take(chunk), here)));
        }
    }

    /// One leaves a thinned piece: accounted bytes that it brings; 0: it stays.
    fn send_one(&mut self, at: u32, over_ms: &[i64]) -> usize {
        let windows = self.elsewhere.windows;
        let Some(Some(thin)) = self.thinned.get_mut(at as usize / CHUNK) else { return 0 };
        let within = at as usize % CHUNK;
        let Some(entity) = thin.get(within) else { return 0 };
        let heap_bytes = entity.kept.heap_bytes();
        let Ok(noted) = u32::try_from(heap_bytes) else { return 0 };
        let away = Away::new(entity.key, entity.kept.ends(over_ms), noted, windows);
        drop(thin.take(within));
        self.put_note(at, away);
        (size_of::<Entity<T>>() + OVERHEAD_BYTES + heap_bytes).saturating_sub(AWAY_BYTES).max(1)
    }

    /// Notes that somebody is away who stood, or stands by a store, at a place of a thinned piece.
    pub(super) fn put_note(&mut self, at: u32, away: Away) {
        if let Some(Some(thin)) = self.thinned.get_mut(at as usize / CHUNK) {
            self.elsewhere.away += 1;
            self.elsewhere.heap_bytes += away.heap_bytes as usize;
            thin.note(at as usize % CHUNK, away);
            self.marks.set_away(at, true);
        }
    }

    fn note(&self, at: u32) -> Option<&Away> {
        self.thin(at)?.away(at as usize % CHUNK)
    }

    /// Takes the note of who is away from a place; then nobody stands there.
    pub(super) fn take_note(&mut self, at: u32) -> Option<Away> {
        let thin = self.thinned.get_mut(at as usize / CHUNK)?.as_mut()?;
        let away = thin.take_note(at as usize % CHUNK)?;
        self.elsewhere.away -= 1;
        self.elsewhere.heap_bytes = self.elsewhere.heap_bytes.saturating_sub(away.heap_bytes as usize);
        self.marks.set_away(at, false);
        Some(away)
    }

    #[cold]
    pub(super) fn thin(&self, at: u32) -> Option<&Thin<T>> {
        self.thinned.get(at as usize / CHUNK)?.as_deref()
    }

    /// Reads back who is away from a place. False: that failed, and they stay away.
    #[cold]
    pub(super) fn bring_back(&mut self, at: u32) -> bool {
        let Some(away) = self.note(at).copied() else { return false };
        let Some(OnShelf { shelf, space, decode }) = &self.elsewhere.shelf else { return false };
        let (space, key) = (*space, away.key.to_be_bytes());
        let kept = shelf.read(space, &key, |value| {
            let kept = read(space, &key, value, at, decode).map_err(|error| error.under(space, &key))?;
            let is_it = kept.heap_bytes() == away.heap_bytes as usize;
            is_it.then_some(kept).ok_or_else(|| DecodeError::Wrong("its size").under(space, &key))
        });
        let Some(kept) = kept else { return false };
        self.take_note(at);
        if mutant::is(Mutant::ForgetsMarks) {
            self.marks.restore_once(at);
        }
        self.elsewhere.came_back += 1;
        self.stand(at, Entity { key: away.key, kept });
        self.make_whole(at as usize / CHUNK);
        true
    }

    /// A piece from which nobody is away any more, and in which most places are taken, is whole again.
    fn make_whole(&mut self, number: usize) {
        let Some(place) = self.thinned.get_mut(number) else { return };
        let is_whole = place.as_ref().is_some_and(|thin| thin.notes() == 0 && thin.here() > CHUNK - CHUNK / THIN_PART);
        if let Some(thin) = place.take_if(|_| is_whole)
            && let Some(chunk) = self.chunks.get_mut(number)
        {
            let places = (self.places as usize).saturating_sub(number * CHUNK);
            *chunk = thin.into_chunk(places, || Entity { key: 0, kept: T::default() });
        }
    }

    /// The next to be swept is not in memory, or nobody: it is read back only if something of it may go.
    #[cold]
    pub(super) fn sweep_away(&mut self, at: u32, horizon_ms: i64, over_ms: &[i64]) {
        let Some(away) = self.note(at).copied().filter(|_| !mutant::is(Mutant::SweepsOnlyHere)) else { return };
        let is_known = away.windows == self.elsewhere.windows || mutant::is(Mutant::KeepsEnds);
        if is_known && horizon_ms < away.ends_ms {
            return;
        }
        if is_known && away.ends_whole() {
            return self.remove(at);
        }
        let was_clean = self.marks.is_clean(at);
        if self.bring_back(at)
            && self.sweep_one(at, horizon_ms, over_ms) == Swept::Same
            && was_clean
            && self.thin(at).is_some()
        {
            self.send_one(at, over_ms);
        }
    }

    /// What is kept of an entity, wherever it is, for whoever only looks: nobody comes back for it.
    pub fn look(&self, key: u64) -> Option<Seen<'_, T>> {
        let at = self.find(key)?;
        if let Some(entity) = self.entity(at) {
            return Some(Seen::Here(&entity.kept));
        }
        let OnShelf { decode, .. } = self.elsewhere.shelf.as_ref()?;
        decode(&mut Decoder::new(&self.body_away(at)?)).ok().map(Seen::Away)
    }

    /// What a store has of who is away from a place, behind the number of the place and its marks.
    pub(super) fn body_away(&self, at: u32) -> Option<Vec<u8>> {
        let key = self.note(at)?.key.to_be_bytes();
        let OnShelf { shelf, space, .. } = self.elsewhere.shelf.as_ref()?;
        shelf.read(*space, &key, |value| {
            let mut from = Decoder::unseal(*space, &key, value).map_err(|error| error.under(*space, &key))?;
            super::durable::place_of(&mut from, at).map_err(|error| error.under(*space, &key))?;
            Ok(from.rest().to_vec())
        })
    }
}

fn read<T>(
    space: Space,
    key: &[u8],
    value: &[u8],
    at: u32,
    decode: &fn(&mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut from = Decoder::unseal(space, key, value)?;
    super::durable::place_of(&mut from, at)?;
    let kept = decode(&mut from)?;
    from.end()?;
    Ok(kept)
}
