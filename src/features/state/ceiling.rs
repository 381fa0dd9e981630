//! The ceiling of the entities' memory: who is forgotten for good when all kinds together take too much.
//!
//! Guarantees: decided by accounted bytes in input order, never by what the system says. First go those that came only
//! once, of the kind that takes most, then the idle. What chains, contacts and event ids take is not in it: each has
//! a limit of its own.

use super::State;
use crate::features::entity::{AWAY_BYTES, Table};
use crate::features::slots::{AccountKept, Slots};
use crate::ruleset::KeyField;

/// What is kept in memory of entities that are not in it takes so much of the room for all at most, one part of.
const NOTES_PART: usize = 2;

/// Above it there is no ceiling, bytes.
pub const NO_CEILING: usize = usize::MAX;

impl State {
    /// Memory all entities are accounted to take, bytes; without a ceiling only the tables' own.
    pub fn accounted_bytes(&self) -> usize {
        self.accounts.accounted_bytes() + self.others.iter().map(Table::accounted_bytes).sum::<usize>()
    }

    /// How many entities of a kind were forgotten for want of room.
    pub fn forgotten(&self, kind: KeyField) -> u64 {
        match kind {
            KeyField::Account => self.accounts.forgotten(),
            kind => self.others.get(kind as usize).map_or(0, Table::forgotten),
        }
    }

    /// Accounts what entities point to from now on, where there is a ceiling.
    pub(super) fn account(&mut self) {
        if self.limits.accounts() {
            self.accounts.account();
            self.others.iter_mut().for_each(Table::account);
        }
    }

    /// Forgets entities until they take no more than the ceiling.
    pub(super) fn make_room(&mut self) {
        let limits = self.limits;
        if limits.memory_bytes_max != NO_CEILING {
            while self.accounted_bytes() > limits.memory_bytes_max && self.forget_one() {}
        }
        if limits.resident_bytes_max != NO_CEILING {
            let notes_max = limits.resident_bytes_max / NOTES_PART / AWAY_BYTES;
            while self.all_entities() > notes_max && self.forget_one() {}
        }
    }

    fn all_entities(&self) -> usize {
        self.accounts.len() + self.others.iter().map(Table::len).sum::<usize>()
    }

    fn forget_one(&mut self) -> bool {
        let of_accounts = |table: &Table<AccountKept>| (table.has_many_once(), table.accounted_bytes());
        let of_others = |table: &Table<Slots>| (table.has_many_once(), table.accounted_bytes());
        let largest = self.others.iter_mut().max_by_key(|table| of_others(table));
        match largest.filter(|table| of_others(table) > of_accounts(&self.accounts)) {
            Some(table) => table.forget_one(),
            None => self.accounts.forget_one(),
        }
    }
}
