//! The ceiling of the state's memory, the entities' part of it: who is forgotten for good when all takes too much.
//!
//! Guarantees: decided by accounted bytes in input order, never by what the system says. First go those that came only
//! once, of the kind that takes most, then the idle. Whoever holds the rest of the state says when.

use super::State;
use crate::features::entity::{Kept, Table, Went};
use crate::features::slots::{AccountKept, Slots};
use crate::ruleset::KeyField;

/// Above it there is no ceiling, bytes.
pub const NO_CEILING: usize = usize::MAX;

/// Who loses one first: a kind of which many came only once, then the one that takes most.
pub type Weight = (bool, usize);

impl State {
    /// Memory all entities are accounted to take, bytes; without a ceiling only the tables' own.
    pub fn accounted_bytes(&self) -> usize {
        self.accounts.accounted_bytes() + self.others.iter().map(Table::accounted_bytes).sum::<usize>()
    }

    /// How many entities of a kind are remembered no more.
    pub fn went(&self, kind: KeyField) -> Went {
        match kind {
            KeyField::Account => self.accounts.went(),
            kind => self.others.get(kind as usize).map(Table::went).unwrap_or_default(),
        }
    }

    /// Accounts what entities point to from now on, where there is a ceiling.
    pub(super) fn account(&mut self) {
        if self.limits.accounts() {
            self.accounts.account();
            self.others.iter_mut().for_each(Table::account);
        }
    }

    /// How many entities there are of all kinds, away or not.
    pub fn all_entities(&self) -> usize {
        self.accounts.len() + self.others.iter().map(Table::len).sum::<usize>()
    }

    /// The weight of the kind that is the first to lose one.
    pub fn heaviest(&self) -> Weight {
        let of_others = self.others.iter().map(weight).max();
        of_others.unwrap_or_default().max(weight(&self.accounts))
    }

    /// Forgets one entity of that kind. False: there is none.
    pub fn forget_one(&mut self) -> bool {
        let largest = self.others.iter_mut().max_by_key(|table| weight::<Slots>(table));
        match largest.filter(|table| weight::<Slots>(table) > weight::<AccountKept>(&self.accounts)) {
            Some(table) => table.forget_one(),
            None => self.accounts.forget_one(),
        }
    }
}

fn weight<T: Kept>(table: &Table<T>) -> Weight {
    (table.has_many_once(), table.accounted_bytes())
}
