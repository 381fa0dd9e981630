//! What one entity keeps: its features, and of an account what is kept besides.
//!
//! Guarantees: a feature that nothing was counted for takes no room; what can no longer be asked for goes when
//! the entity is swept. Does not know events.

use prefetch_index::prefetch_index;
use smallvec::SmallVec;

use super::account::Account;
use super::aggregate::Aggregate;
use super::codec::{DecodeError, Decoder, Durable, Encoder, decode_each};
use super::entity::{Ends, Kept, Swept};
use super::plan::{Planned, RETIRED_MS};
use super::window::{Span, spilled_bytes};

/// An entity without an event for so long gives back memory that it does not need, ms: who comes every hour keeps it.
const IDLE_MS: i64 = 3_600_000;

/// The features of one entity that something is kept of, by feature.
#[derive(Debug, Default)]
pub struct Slots {
    kept: SmallVec<[(u16, Aggregate); 1]>,
}

impl Slots {
    /// What is kept of a feature.
    pub fn get(&self, feature: u16) -> Option<&Aggregate> {
        self.kept.iter().find(|(f, _)| *f == feature).map(|(_, kept)| kept)
    }

    /// Everything that is kept, by the number of its feature.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Aggregate)> {
        self.kept.iter().map(|(feature, kept)| (*feature, kept))
    }

    /// The same, made where there is none.
    pub fn entry(&mut self, feature: u16, planned: &Planned) -> Option<&mut Aggregate> {
        let at = match self.kept.iter().position(|(f, _)| *f == feature) {
            Some(at) => at,
            None => {
                if self.kept.len() == self.kept.capacity() {
                    self.kept.reserve_exact(1);
                }
                self.kept.push((feature, planned.shape.empty()));
                self.kept.len() - 1
            }
        };
        self.kept.get_mut(at).map(|(_, kept)| kept)
    }
}

impl Slots {
    /// Takes in what is kept of the same entity elsewhere, under the same numbers.
    pub fn merge(&mut self, other: Slots, over_ms: &[i64], horizon_ms: i64) {
        for (feature, kept) in other.kept {
            let over_ms = over_ms.get(usize::from(feature)).copied().unwrap_or_default();
            match self.kept.iter_mut().find(|(f, _)| *f == feature) {
                Some((_, known)) => known.merge(kept, Span { over_ms, horizon_ms }),
                None => self.kept.push((feature, kept)),
            }
        }
    }

    /// Asks for the memory they point to.
    pub fn bring_near(&self) {
        if self.kept.spilled() {
            // What these point to in turn is not known before they are here.
            prefetch_index(&self.kept, 0);
            prefetch_index(&self.kept, 1);
        } else if let Some((_, kept)) = self.kept.first() {
            kept.bring_near();
        }
    }

    /// Asks for what several features point to, once these have had time to come near themselves.
    pub fn bring_rest_near(&self) {
        if self.kept.spilled() {
            self.kept.iter().for_each(|(_, kept)| kept.bring_near());
        }
    }
}

impl Kept for Slots {
    fn bring_heap_near(&self) {
        self.bring_near();
    }

    fn heap_bytes(&self) -> usize {
        let kept: usize = self.kept.iter().map(|(_, kept)| kept.heap_bytes()).sum();
        spilled_bytes(&self.kept) + kept
    }

    fn sweep(&mut self, horizon_ms: i64, over_ms: &[i64]) -> Swept {
        let before = self.kept.len();
        self.kept.retain(|(feature, kept)| {
            let over_ms = over_ms.get(usize::from(*feature)).copied().unwrap_or_default();
            over_ms != RETIRED_MS && !kept.is_dead(Span { over_ms, horizon_ms })
        });
        let idle_ms = horizon_ms.saturating_sub(IDLE_MS);
        if self.kept.iter().all(|(_, kept)| kept.newest_ms() < idle_ms) {
            self.kept.shrink_to_fit();
            self.kept.iter_mut().for_each(|(_, kept)| kept.shrink());
        }
        Swept::of(before, self.kept.len())
    }

    fn ends(&self, over_ms: &[i64]) -> Ends {
        let each = self.kept.iter().map(|(feature, kept)| {
            let over_ms = over_ms.get(usize::from(*feature)).copied().unwrap_or_default();
            if over_ms == RETIRED_MS { i64::MIN } else { kept.ends_ms(over_ms) }
        });
        let (first, last) = each.fold((i64::MAX, i64::MIN), |(first, last), ends| (first.min(ends), last.max(ends)));
        // Of one who keeps nothing nothing is left at once.
        Ends { ms: first.min(last), whole: first >= last }
    }
}

/// What is kept of one account. In this order: the account ends the second line of an entity, which its key begins the first of.
#[derive(Debug, Default)]
#[repr(C)]
pub struct AccountKept {
    /// Its features.
    pub slots: Slots,
    /// What is kept of every account.
    pub account: Account,
}

impl Kept for AccountKept {
    fn bring_heap_near(&self) {
        self.slots.bring_near();
    }

    fn heap_bytes(&self) -> usize {
        self.slots.heap_bytes() + self.account.heap_bytes()
    }

    fn sweep(&mut self, horizon_ms: i64, over_ms: &[i64]) -> Swept {
        let had_features = !self.slots.kept.is_empty();
        match self.slots.sweep(horizon_ms, over_ms) {
            Swept::Gone if !self.account.is_known() => Swept::Gone,
            Swept::Gone if had_features => Swept::Less,
            Swept::Gone => Swept::Same,
            swept => swept,
        }
    }

    fn ends(&self, over_ms: &[i64]) -> Ends {
        let ends = self.slots.ends(over_ms);
        match self.account.is_known() {
            false => ends,
            true if self.slots.kept.is_empty() => Ends { ms: i64::MAX, whole: false },
            true => Ends { whole: false, ..ends },
        }
    }

    fn bring_near(&self) {
        prefetch_index(std::slice::from_ref(&self.account), 0);
    }
}

impl Durable for Slots {
    fn encode(&self, to: &mut Encoder) {
        to.count(self.kept.len());
        for (feature, kept) in &self.kept {
            to.number(*feature);
            kept.encode(to);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Slots { kept: decode_each(from, 3, |from| Ok((from.narrow()?, Aggregate::decode(from)?)))? })
    }
}

impl Durable for AccountKept {
    fn encode(&self, to: &mut Encoder) {
        self.slots.encode(to);
        self.account.encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(AccountKept { slots: Slots::decode(from)?, account: Account::decode(from)? })
    }
}
