//! One entity of a state, shown: of the one in memory, or of one value of a store.
//!
//! Guarantees: the same of both. Changes nothing.

use super::{State, StateHead};
use crate::features::codec::DecodeError;
use crate::features::entity::stored;
use crate::features::shown::{AccountShown, Asked, KeptShown};
use crate::features::slots::{AccountKept, Slots};
use crate::features::store::Space;
use crate::ruleset::{KeyField, Ruleset};

impl State {
    /// What is kept of an entity; `None`: nothing is.
    pub fn show(&self, rules: &Ruleset, asked: &Asked) -> Option<KeptShown> {
        match asked.kind {
            KeyField::Account => {
                let kept = self.accounts.look(asked.hash)?;
                let account = Some(AccountShown::of(&kept.account, asked.at_ms));
                Some(KeptShown { account, ..KeptShown::of(&self.plan, rules, &kept.slots, asked) })
            }
            kind => {
                let slots = self.others.get(kind as usize)?.look(asked.hash)?;
                Some(KeptShown::of(&self.plan, rules, &slots, asked))
            }
        }
    }
}

impl StateHead {
    /// What is kept of an entity whose value stands in the store. The rules are those in force.
    pub fn show(&self, rules: &Ruleset, asked: &Asked, value: &[u8]) -> Result<KeptShown, DecodeError> {
        let plan = self.plan.followed_by(rules);
        let (space, key) = (Space::of(asked.kind), asked.hash.to_be_bytes());
        match asked.kind {
            KeyField::Account => {
                let kept: AccountKept = stored(space, &key, value)?;
                let account = Some(AccountShown::of(&kept.account, asked.at_ms));
                Ok(KeptShown { account, ..KeptShown::of(&plan, rules, &kept.slots, asked) })
            }
            _ => Ok(KeptShown::of(&plan, rules, &stored::<Slots>(space, &key, value)?, asked)),
        }
    }
}
