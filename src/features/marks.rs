//! What is known of each place of a table beside who stands there: a bit each.
//!
//! Guarantees: which entity goes when there are too many depends on the input and nothing else: those that came only
//! once before those that came again, of these the ones that did not come since the hand passed; a touch reads one
//! line of memory. Does not know keys.

use prefetch_index::prefetch_index;

use super::codec::{DecodeError, Decoder, Encoder};

/// Places of one line.
pub const PLACES: usize = u64::BITS as usize;
/// Of so many entities one may have come only once before such are the first to go: room in which a new one can
/// come again.
const PROBATION_PART: usize = 10;

/// What is stored of a place's marks, by bits.
const AGAIN: u8 = 1;
const LATELY: u8 = 2;

/// The marks of 64 places: one line of a cache.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Line {
    /// Somebody stands there.
    taken: u64,
    /// It changed since the last save.
    dirty: u64,
    /// A store has a value of it.
    stored: u64,
    /// It came again after it was made.
    again: u64,
    /// It came since the hand passed.
    lately: u64,
    /// It came again since the hand passed that sends entities out of memory. Decides no result and is not stored.
    warm: u64,
    /// It is not in memory.
    away: u64,
}

/// Who leaves memory before whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Who came only once.
    Once,
    /// Who did not come since the hand passed.
    Idle,
    /// Everybody.
    Any,
}

/// The marks of all places.
#[derive(Debug, Default)]
pub struct Marks {
    lines: Vec<Line>,
    /// How many came again.
    established: usize,
    /// From where the next to go is looked for among those that came only once.
    once_hand: u32,
    /// The same among the others.
    again_hand: u32,
}

fn bit(at: u32) -> u64 {
    1 << (at as usize % PLACES)
}

/// The bits of a line from a place on.
fn from(at: u32) -> u64 {
    u64::MAX << (at as usize % PLACES)
}

impl Marks {
    fn line(&mut self, at: u32) -> Option<&mut Line> {
        self.lines.get_mut(at as usize / PLACES)
    }

    /// Memory, bytes.
    pub fn bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }

    /// Asks for the memory of a place's marks.
    pub fn bring_near(&self, at: u32) {
        prefetch_index(&self.lines, at as usize / PLACES);
    }

    /// A new entity stands at a place.
    pub fn insert(&mut self, at: u32) {
        let line = at as usize / PLACES;
        if line >= self.lines.len() {
            self.lines.resize(line + 1, Line::default());
        }
        let bit = bit(at);
        if let Some(line) = self.line(at) {
            line.taken |= bit;
            line.dirty |= bit;
        }
    }

    /// The entity came again, and changes.
    pub fn visit(&mut self, at: u32) {
        let bit = bit(at);
        let Some(line) = self.line(at) else { return };
        let is_first = line.again & bit == 0;
        line.dirty |= bit;
        line.again |= bit;
        line.lately |= bit;
        line.warm |= bit;
        self.established += usize::from(is_first);
    }

    /// The entity changes without having come.
    pub fn change(&mut self, at: u32) {
        let bit = bit(at);
        if let Some(line) = self.line(at) {
            line.dirty |= bit;
        }
    }

    /// Nobody stands there any more. Returns whether a store has a value of who did.
    pub fn remove(&mut self, at: u32) -> bool {
        let bit = bit(at);
        let Some(line) = self.line(at) else { return false };
        let (was_again, was_stored) = (line.again & bit != 0, line.stored & bit != 0);
        let Line { taken, dirty, stored, again, lately, warm, away } = line;
        for marks in [taken, dirty, stored, again, lately, warm, away] {
            *marks &= !bit;
        }
        self.established -= usize::from(was_again);
        was_stored
    }

    /// How many of `len` entities came only once.
    pub fn once(&self, len: usize) -> usize {
        len.saturating_sub(self.established)
    }

    /// Who goes next, of `len` entities.
    pub fn next_to_go(&mut self, len: usize, entities_max: usize) -> Option<u32> {
        let once = self.once(len);
        if once > entities_max / PROBATION_PART { self.next_once() } else { self.next_idle() }
    }

    fn next_once(&mut self) -> Option<u32> {
        let lines = self.lines.len();
        let start = if self.once_hand as usize / PLACES < lines { self.once_hand } else { 0 };
        // The first line comes twice: from the hand on, and in the end up to it.
        for step in 0..=lines {
            let number = (start as usize / PLACES + step) % lines.max(1);
            let line = self.lines.get(number)?;
            let asked = if step == 0 { from(start) } else { u64::MAX };
            let found = line.taken & !line.again & asked;
            if found != 0 {
                let at = (number * PLACES) as u32 + found.trailing_zeros();
                self.once_hand = at + 1;
                return Some(at);
            }
        }
        None
    }

    /// The hand goes over all who came again: who came since it last passed stays, and is asked anew next time.
    fn next_idle(&mut self) -> Option<u32> {
        let lines = if self.established == 0 { return None } else { self.lines.len() };
        for _ in 0..=2 * lines + 1 {
            let hand = if self.again_hand as usize / PLACES < lines { self.again_hand } else { 0 };
            let number = hand as usize / PLACES;
            let line = self.lines.get_mut(number)?;
            let known = line.taken & line.again & from(hand);
            let idle = known & !line.lately;
            let passed = if idle == 0 { known } else { known & !from(idle.trailing_zeros()) };
            line.lately &= !passed;
            line.dirty |= passed;
            let first = (number * PLACES) as u32;
            if idle != 0 {
                self.again_hand = first + idle.trailing_zeros() + 1;
                return Some(first + idle.trailing_zeros());
            }
            self.again_hand = first + PLACES as u32;
        }
        None
    }

    /// Those of a line that may leave memory: who stands there is in a store as it is. As a mask of the line's places.
    pub fn may_leave(&self, number: usize, rank: Rank, only_clean: bool) -> u64 {
        let Line { taken, dirty, stored, again, warm, away, .. } = self.lines.get(number).copied().unwrap_or_default();
        let may = taken & stored & !away & if only_clean { !dirty } else { u64::MAX };
        match rank {
            Rank::Once => may & !again,
            Rank::Idle => may & !warm,
            Rank::Any => may,
        }
    }

    /// The hand passes a line: who does not come again is idle.
    pub fn pass(&mut self, number: usize) {
        if let Some(line) = self.lines.get_mut(number) {
            line.warm = 0;
        }
    }

    /// The entity at a place left memory, or is back.
    pub fn set_away(&mut self, at: u32, is_away: bool) {
        let bit = bit(at);
        if let Some(line) = self.line(at) {
            line.away = if is_away { line.away | bit } else { line.away & !bit };
        }
    }

    /// Whether what a store has of a place is what it is.
    pub fn is_clean(&self, at: u32) -> bool {
        self.lines.get(at as usize / PLACES).is_some_and(|line| line.stored & !line.dirty & bit(at) != 0)
    }

    /// How many lines there are.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// The places of a line that changed since they were saved; from now on they are saved.
    pub fn save_line(&mut self, number: usize) -> impl Iterator<Item = u32> + use<> {
        let mut left = 0;
        if let Some(line) = self.lines.get_mut(number) {
            left = std::mem::take(&mut line.dirty);
            line.stored |= left;
        }
        let first = (number * PLACES) as u32;
        std::iter::from_fn(move || {
            let at = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (at < u64::BITS).then_some(first + at)
        })
    }

    /// What is stored of a place's marks.
    pub fn stored(&self, at: u32) -> u8 {
        let line = self.lines.get(at as usize / PLACES).copied().unwrap_or_default();
        let mark = |marks: u64, mark: u8| if marks & bit(at) == 0 { 0 } else { mark };
        mark(line.again, AGAIN) | mark(line.lately, LATELY)
    }

    /// The entity at a place is in a store, with these marks.
    pub fn restore(&mut self, at: u32, marks: u8) {
        self.insert(at);
        let bit = bit(at);
        let Some(line) = self.line(at) else { return };
        line.dirty &= !bit;
        line.stored |= bit;
        if marks & LATELY != 0 {
            line.lately |= bit;
        }
        if marks & AGAIN != 0 {
            line.again |= bit;
            self.established += 1;
        }
    }

    /// Forgets that the entity at a place came again: a fault that a test must find.
    pub fn restore_once(&mut self, at: u32) {
        let bit = bit(at);
        let Some(line) = self.line(at) else { return };
        let was_again = line.again & bit != 0;
        (line.again, line.lately) = (line.again & !bit, line.lately & !bit);
        self.established -= usize::from(was_again);
    }

    /// Writes where the hands stand.
    pub fn encode_hands(&self, to: &mut Encoder) {
        to.number(self.once_hand);
        to.number(self.again_hand);
    }

    /// No places yet; the hands as they stood.
    pub fn decode_hands(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Marks { once_hand: from.narrow()?, again_hand: from.narrow()?, ..Marks::default() })
    }

    /// There are so many places, some of which nobody stands at.
    pub fn reach(&mut self, places: u32) {
        self.lines.resize((places as usize).div_ceil(PLACES), Line::default());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The same, told place by place.
    #[derive(Default)]
    struct Told {
        /// By place: came again, came lately.
        taken: BTreeMap<u32, (bool, bool)>,
        once_hand: u32,
        again_hand: u32,
    }

    impl Told {
        fn in_turn(&self, hand: u32, lines: u32) -> Vec<u32> {
            let hand = if hand < lines * 64 { hand } else { 0 };
            let (before, after): (Vec<u32>, Vec<u32>) = self.taken.keys().partition(|at| **at < hand);
            [after, before].concat()
        }

        fn next_to_go(&mut self, entities_max: usize, lines: u32) -> Option<u32> {
            let once = self.taken.values().filter(|(again, _)| !again).count();
            if once > entities_max / 10 {
                let turn = self.in_turn(self.once_hand, lines);
                let at = turn.into_iter().find(|at| !self.taken[at].0)?;
                self.once_hand = at + 1;
                return Some(at);
            }
            for _ in 0..2 {
                for at in self.in_turn(self.again_hand, lines) {
                    let (again, lately) = self.taken[&at];
                    if again && !lately {
                        self.again_hand = at + 1;
                        return Some(at);
                    }
                    self.taken.insert(at, (again, lately && !again));
                }
            }
            let first = self.in_turn(self.again_hand, lines).into_iter().find(|at| self.taken[at].0)?;
            self.again_hand = first + 1;
            Some(first)
        }
    }

    proptest! {
        #[test]
        fn who_goes_is_who_a_naive_hand_finds(steps in prop::collection::vec((0u32..200, 0u8..6), 1..400)) {
            let (mut marks, mut told) = (Marks::default(), Told::default());
            for (at, step) in steps {
                let is_taken = told.taken.contains_key(&at);
                match step {
                    0 | 1 if !is_taken => {
                        marks.insert(at);
                        told.taken.insert(at, (false, false));
                    }
                    0..=3 if is_taken => {
                        marks.visit(at);
                        told.taken.insert(at, (true, true));
                    }
                    4 if is_taken => {
                        marks.remove(at);
                        told.taken.remove(&at);
                    }
                    5 => {
                        let lines = marks.lines() as u32;
                        let gone = marks.next_to_go(told.taken.len(), 60);
                        prop_assert_eq!(gone, told.next_to_go(60, lines));
                        if let Some(gone) = gone {
                            marks.remove(gone);
                            told.taken.remove(&gone);
                        }
                    }
                    _ => {}
                }
                let again = told.taken.values().filter(|(again, _)| *again).count();
                prop_assert_eq!(marks.established, again);
            }
        }
    }

    #[test]
    fn a_save_takes_what_changed_once() {
        let mut marks = Marks::default();
        [3, 70, 64].into_iter().for_each(|at| marks.insert(at));
        let saved = |marks: &mut Marks| {
            (0..marks.lines()).flat_map(|n| marks.save_line(n).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        assert_eq!(saved(&mut marks), [3, 64, 70]);
        assert_eq!(saved(&mut marks), [0u32; 0]);
        marks.visit(64);
        marks.change(3);
        assert!(marks.remove(70), "it is stored");
        marks.insert(71);
        assert_eq!(saved(&mut marks), [3, 64, 71]);
        marks.insert(5);
        assert!(!marks.remove(5), "it was never stored");
    }
}
