//! One entity as people read it: what is kept of it, which rules fired for it, which chains it has begun.
//!
//! Guarantees: the same of a running engine and of one value read out of a store. Values are read at the newest event
//! time, whoever's event that was. Names no contact, only when it was last told. Changes nothing.

use serde::Serialize;

use super::Engine;
use super::durable::{HEAD, Head, RestoreError, read_head};
use crate::detect::contact::Contacts;
use crate::detect::dedup::{Fired, FiredShown};
use crate::detect::output::Options;
use crate::detect::sequence::{ChainsShown, Sequences};
use crate::event::Millis;
use crate::features::store::{Space, Stored};
use crate::features::{AccountShown, Asked, FeatureShown, KeptShown};
use crate::ruleset::{HashKey, KeyField, Ruleset};

/// An entity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntityShown {
    /// The time at which values are read: the newest event's, whoever's it was.
    pub as_of: Millis,
    /// What is kept of an account besides features.
    pub account: Option<AccountShown>,
    /// When the contact of an account was last told.
    pub contact_as_of: Option<Millis>,
    /// Until when no SMS goes to an account, for its SIM was changed.
    pub no_sms_until: Option<Millis>,
    /// Features that something is kept of, in the order of their names.
    pub features: Vec<FeatureShown>,
    /// Features of this kind that nothing is kept of.
    pub features_empty: usize,
    /// Rules that fired for it, and until when they are silent.
    pub findings: Vec<FiredShown>,
    /// Chains under way.
    pub chains: Vec<ChainsShown>,
}

/// The entity, and the second of its pairs where one was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whose {
    /// Kind and hash.
    pub one: (KeyField, u64),
    /// The same of the second.
    pub with: Option<(KeyField, u64)>,
}

impl Whose {
    fn asked(self, newest_ms: Option<i64>) -> Asked {
        let (kind, hash) = self.one;
        Asked { kind, hash, with: self.with, at_ms: newest_ms.unwrap_or_default() }
    }
}

impl Engine {
    /// What is known of an entity; `None`: nothing.
    pub fn show(&self, whose: Whose) -> Option<EntityShown> {
        let asked = whose.asked(self.duplicates.newest_ms());
        let findings = self.fired.shown(&asked);
        let chains = self.sequences.shown(&self.rules, &asked);
        shown(&asked, self.state.show(&self.rules, &asked), &self.contacts, findings, chains)
    }

    /// The same of what is saved. `rules` and `key` as for [`Engine::restore`].
    pub fn show_stored(
        rules: &std::sync::Arc<Ruleset>,
        options: &Options,
        key: HashKey,
        whose: Whose,
        stored: &dyn Stored,
    ) -> Result<Option<EntityShown>, RestoreError> {
        let head = stored.get(Space::Meta, HEAD)?.ok_or(RestoreError::Empty)?;
        let Head { state, duplicates, fired, sequences, .. } = read_head(&head, options, key)?;
        let rules = super::of_rules(rules, options);
        let asked = whose.asked(duplicates.newest_ms());
        let (space, hash) = (Space::of(asked.kind), asked.hash.to_be_bytes());
        let value = stored.get(space, &hash)?;
        let kept = value.map(|value| state.show(&rules, &asked, &value)).transpose();
        let kept = kept.map_err(|e| e.under(space, &hash))?;
        let findings = Fired::of_stored(fired, &asked, stored)?.shown(&asked);
        let chains = Sequences::of_stored(sequences, &rules, key, &asked, stored)?.shown(&rules, &asked);
        let contacts = Contacts::of_stored(asked.hash, stored)?;
        Ok(shown(&asked, kept, &contacts, findings, chains))
    }
}

fn shown(
    asked: &Asked,
    kept: Option<KeptShown>,
    contacts: &Contacts,
    findings: Vec<FiredShown>,
    chains: Vec<ChainsShown>,
) -> Option<EntityShown> {
    let as_of = Millis(asked.at_ms);
    let account = Some(asked.hash).filter(|_| asked.kind == KeyField::Account);
    let contact_as_of = account.and_then(|account| contacts.as_of(account));
    let no_sms_until = account.and_then(|account| contacts.no_sms_until(account, as_of));
    let is_known = kept.is_some()
        || contact_as_of.is_some()
        || no_sms_until.is_some()
        || !findings.is_empty()
        || !chains.is_empty();
    let KeptShown { features, features_empty, account } = kept.unwrap_or_default();
    is_known.then_some(EntityShown {
        as_of,
        account,
        contact_as_of,
        no_sms_until,
        features,
        features_empty,
        findings,
        chains,
    })
}
