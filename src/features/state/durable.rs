//! The state in a store: what changed, all of it again, and a digest of it.
//!
//! Guarantees: a state that is read back goes on as the one that was saved, under the same rules or under others: each
//! definition has its own value. Does not know where the store keeps it.

use std::sync::Arc;

use super::cold::Leave;
use super::{State, StateLimits};
use crate::features::codec::{DecodeError, Decoder, Encoder};
use crate::features::entity::{Head, Room, Table};
use crate::features::plan::Plan;
use crate::features::store::{Changes, Shelf, Source, Space, StoreError, Stored};
use crate::ruleset::{KeyField, Ruleset};

/// A restore leaves one of so many parts of the room free for what comes.
const RESTORED_PARTS: usize = 4;

/// What a state has once, read before its entities.
#[derive(Debug)]
pub struct StateHead {
    pub(super) plan: Plan,
    unswept: usize,
    accounts: Head,
    others: Vec<(KeyField, Head)>,
}

impl StateHead {
    /// Reads it.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let plan = Plan::decode_numbers(from)?;
        let unswept = from.narrow()?;
        let accounts = Head::decode(from)?;
        let others = kinds().map(|kind| Ok((kind, Head::decode(from)?))).collect::<Result<_, _>>()?;
        Ok(StateHead { plan, unswept, accounts, others })
    }
}

/// Every kind of entity but the account, in the order in which their heads are written.
fn kinds() -> impl Iterator<Item = KeyField> {
    KeyField::all().filter(|kind| *kind != KeyField::Account)
}

impl State {
    /// Writes what it has once.
    pub fn encode_head(&self, to: &mut Encoder) {
        self.plan.encode_numbers(to);
        to.count(self.unswept);
        self.accounts.encode_head(to);
        for kind in kinds() {
            if let Some(table) = self.others.get(kind as usize) {
                table.encode_head(to);
            }
        }
    }

    /// Hands over what changed since the last time; `value` is memory used again.
    pub fn save(&mut self, out: &mut dyn Changes, value: &mut Encoder) {
        self.leave.saved();
        self.accounts.save(Space::Account, out, value);
        for kind in kinds() {
            if let Some(table) = self.others.get_mut(kind as usize) {
                table.save(Space::of(kind), out, value);
            }
        }
    }

    /// Reads all entities of a state that had this head, and goes over to these rules. Returns with it the features
    /// that begin with nothing, by their place in the rule set. `shelf`: where entities above the room for them stay and
    /// are read back from; it holds what `stored` does.
    pub fn restored(
        head: StateHead,
        rules: &Ruleset,
        limits: StateLimits,
        horizon_ms: i64,
        stored: &dyn Stored,
        shelf: Option<Source>,
    ) -> Result<(Self, Vec<usize>), StoreError> {
        let mut state = State::new(rules, limits);
        let over_ms = head.plan.followed_by(rules).over_ms;
        let shelf = shelf.map(|stored| Arc::new(Shelf::new(stored)));
        let bytes = limits.resident_bytes_max / RESTORED_PARTS * (RESTORED_PARTS - 1);
        let mut room = shelf.clone().map(|shelf| Room { shelf, bytes, over_ms: &over_ms });
        (state.plan, state.unswept) = (head.plan, head.unswept);
        state.leave = Leave::of(shelf);
        let entities_max = limits.entities_max;
        state.accounts = Table::restored(head.accounts, entities_max, Space::Account, stored, room.as_mut())?;
        for (kind, head) in head.others {
            if let Some(table) = state.others.get_mut(kind as usize) {
                *table = Table::restored(head, entities_max, Space::of(kind), stored, room.as_mut())?;
            }
        }
        state.account();
        if state.leave.is_at_rest() {
            state.at_rest();
        }
        let cold = state.follow(rules, limits, horizon_ms);
        Ok((state, cold))
    }

    /// Takes all of it into a digest.
    pub fn digest(&self, hasher: &mut blake3::Hasher) {
        let mut head = Encoder::default();
        self.encode_head(&mut head);
        hasher.update(head.bytes());
        self.accounts.digest(hasher);
        for kind in kinds() {
            if let Some(table) = self.others.get(kind as usize) {
                table.digest(hasher);
            }
        }
    }
}
