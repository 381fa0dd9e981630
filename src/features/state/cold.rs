//! Entities of all kinds that leave memory for a store and are read back from it.
//!
//! Guarantees: changes no result, and nothing that is saved: who leaves is decided by what is in memory at the moment,
//! who is forgotten never. Nobody leaves while a save is on its way to the store. Once a read has failed nothing that is
//! decided counts.

use std::sync::Arc;

use super::State;
use crate::features::entity::{Leaving, Table};
use crate::features::marks::Rank;
use crate::features::store::{Shelf, Source, Space, StoreError};
use crate::ruleset::KeyField;

/// Who leaves, one after the other.
const RANKS: [Rank; 3] = [Rank::Once, Rank::Idle, Rank::Any];

/// What the state knows of the store that entities leave for.
#[derive(Debug, Default)]
pub struct Leave {
    shelf: Option<Arc<Shelf>>,
    /// All that was saved is in the store.
    is_at_rest: bool,
    /// Who leaves now, by its place among the ranks.
    rank: usize,
}

impl Leave {
    /// For a state that was read from this store.
    pub fn of(shelf: Option<Arc<Shelf>>) -> Self {
        Leave { is_at_rest: shelf.is_some(), shelf, rank: RANKS.len() }
    }

    /// Whether all that was saved is in the store.
    pub fn is_at_rest(&self) -> bool {
        self.is_at_rest
    }

    /// Something was saved, which the store does not have yet.
    pub fn saved(&mut self) {
        self.is_at_rest = false;
    }
}

/// Where the entities of a kind are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Residence {
    /// How many are not in memory.
    pub away: usize,
    /// How many left it since the start.
    pub left: u64,
    /// How many were read back.
    pub came_back: u64,
}

impl State {
    /// From now on entities may leave for this store, in which the state is saved.
    pub fn keep_in(&mut self, stored: Source) {
        let shelf = Arc::new(Shelf::new(stored));
        self.accounts.keep_in(Arc::clone(&shelf), Space::Account);
        for kind in KeyField::all().filter(|kind| *kind != KeyField::Account) {
            if let Some(table) = self.others.get_mut(kind as usize) {
                table.keep_in(Arc::clone(&shelf), Space::of(kind));
            }
        }
        self.leave = Leave { is_at_rest: false, rank: RANKS.len(), shelf: Some(shelf) };
    }

    /// All that was saved so far is in the store.
    pub fn at_rest(&mut self) {
        self.leave.is_at_rest = true;
        self.leave.rank = 0;
        self.ask_all();
    }

    /// Whether anything could not be read back: what was decided since is worth nothing.
    pub fn has_failed(&self) -> bool {
        self.leave.shelf.as_ref().is_some_and(|shelf| shelf.has_failed())
    }

    /// The same with the reason.
    pub fn check(&self) -> Result<(), StoreError> {
        self.leave.shelf.as_ref().map_or(Ok(()), |shelf| shelf.check())
    }

    /// An account whose event is not counted will be asked about: it is read back if it is away.
    pub fn bring_back(&mut self, account: u64) {
        drop(self.accounts.peek(account, crate::features::NOWHERE));
    }

    /// Memory that entities are accounted to take, without those that left it, bytes.
    pub fn resident_bytes(&self) -> usize {
        self.accounts.resident_bytes() + self.others.iter().map(Table::resident_bytes).sum::<usize>()
    }

    /// Where the entities of a kind are.
    pub fn residence(&self, kind: KeyField) -> Residence {
        let of = |away, [left, came_back]: [u64; 2]| Residence { away, left, came_back };
        match kind {
            KeyField::Account => of(self.accounts.away(), self.accounts.moves()),
            kind => {
                let table = self.others.get(kind as usize);
                table.map_or_else(Residence::default, |table| of(table.away(), table.moves()))
            }
        }
    }

    /// Lets entities leave until those that stay take no more than `resident_bytes_max`, at most `entities_max` of them:
    /// who came only once, then the idle, and everybody only where `also_busy`. How many left.
    pub fn send_away(&mut self, resident_bytes_max: usize, entities_max: usize, also_busy: bool) -> usize {
        let ranks = if also_busy { RANKS.len() } else { RANKS.len() - 1 };
        let mut wanted_bytes = self.resident_bytes().saturating_sub(resident_bytes_max);
        let mut left = entities_max;
        while self.leave.is_at_rest && self.leave.rank < ranks && wanted_bytes > 0 && left > 0 {
            let Some(rank) = RANKS.get(self.leave.rank).copied() else { break };
            let over_ms = self.plan.over_ms.as_slice();
            let mut leaving = Leaving { rank, entities_max: left, wanted_bytes, over_ms };
            self.others.iter_mut().for_each(|table| table.send_away(&mut leaving));
            self.accounts.send_away(&mut leaving);
            (left, wanted_bytes) = (leaving.entities_max, leaving.wanted_bytes);
            if wanted_bytes > 0 && left > 0 {
                self.leave.rank += 1;
                self.ask_all();
            }
        }
        entities_max - left
    }

    fn ask_all(&mut self) {
        self.accounts.ask_all();
        self.others.iter_mut().for_each(Table::ask_all);
    }

    /// Windows changed, perhaps: of entities that are away it is not known any more what a sweep would do.
    pub(super) fn change_windows(&mut self, before_ms: &[i64]) {
        if before_ms.iter().zip(&self.plan.over_ms).any(|(before, now)| before != now) {
            self.accounts.change_windows();
            self.others.iter_mut().for_each(Table::change_windows);
        }
    }
}
