//! Contacts in a store, with the time of the newest SIM change of the same account. Personal: erased with the account.
//!
//! Guarantees: what is read back is what was published, no more and no less.

use super::{Address, Contacts, Known, Parts, Replaced};
use crate::detect::changed::Changed;
use crate::features::codec::{DecodeError, Decoder, Durable, Encoder};
use crate::features::store::{Changes, Space, StoreError, Stored};

/// What there is once, read before the contacts.
#[derive(Debug)]
pub struct Head {
    known: usize,
    sim_changed: usize,
    sim_sweep_at: usize,
}

impl Head {
    /// Reads it.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Head { known: from.narrow()?, sim_changed: from.narrow()?, sim_sweep_at: from.narrow()? })
    }
}

impl Contacts {
    /// Writes what there is once.
    pub fn encode_head(&self, to: &mut Encoder) {
        to.count(self.known.len());
        to.count(self.sim_changed.len());
        to.count(self.sim_sweep_at);
    }

    /// Hands over what changed since the last time; `value` is memory used again.
    pub fn save(&mut self, out: &mut dyn Changes, value: &mut Encoder) {
        let changed = self.changed.take().unwrap_or_else(|| self.accounts());
        for account in changed {
            let key = account.to_be_bytes();
            value.clear();
            if self.encode_account(account, value) {
                out.put(Space::Contact, &key, value.seal(Space::Contact, &key));
            } else {
                out.delete(Space::Contact, &key);
            }
        }
    }

    /// Every account something is known of, in order.
    fn accounts(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.known.keys().chain(self.sim_changed.keys()).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Writes what is known of an account; whether that is anything.
    fn encode_account(&self, account: u64, to: &mut Encoder) -> bool {
        let (known, sim_changed) = (self.known.get(&account), self.sim_changed.get(&account));
        sim_changed.copied().encode(to);
        to.byte(u8::from(known.is_some()));
        if let Some(known) = known {
            known.encode(to);
        }
        known.is_some() || sim_changed.is_some()
    }

    /// Reads all contacts that had this head.
    pub fn restored(head: &Head, stored: &dyn Stored) -> Result<Self, StoreError> {
        let mut contacts =
            Contacts { sim_sweep_at: head.sim_sweep_at, changed: Changed::nothing(), ..Contacts::default() };
        stored.each(Space::Contact, &mut |key, value| {
            contacts.take_stored(key, value).map_err(|e| e.under(Space::Contact, key))
        })?;
        let found = (contacts.known.len(), contacts.sim_changed.len());
        if found != (head.known, head.sim_changed) {
            let saved = (head.known, head.sim_changed);
            let what = format!("there are {found:?} contacts and changed SIMs where {saved:?} were saved");
            return Err(StoreError::Damaged { space: Some(Space::Contact), what });
        }
        Ok(contacts)
    }

    /// The contact of a store that is an account's, and no others.
    pub fn of_stored(account: u64, stored: &dyn Stored) -> Result<Self, StoreError> {
        let (mut contacts, key) = (Contacts::default(), account.to_be_bytes());
        if let Some(value) = stored.get(Space::Contact, &key)? {
            contacts.take_stored(&key, &value).map_err(|e| e.under(Space::Contact, &key))?;
        }
        Ok(contacts)
    }

    fn take_stored(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        let mut from = Decoder::unseal(Space::Contact, key, value)?;
        let account = u64::from_be_bytes(key.try_into().map_err(|_| DecodeError::Wrong("a key"))?);
        if let Some(changed_ms) = Option::decode(&mut from)? {
            self.sim_changed.insert(account, changed_ms);
        }
        if from.flag()? {
            self.known.insert(account, Box::decode(&mut from)?);
        }
        from.end()
    }

    /// Takes all of it into a digest.
    pub fn digest(&self, hasher: &mut blake3::Hasher) {
        let mut bytes = Encoder::default();
        self.encode_head(&mut bytes);
        hasher.update(bytes.bytes());
        for account in self.accounts() {
            bytes.clear();
            bytes.hash(account);
            self.encode_account(account, &mut bytes);
            hasher.update(bytes.bytes());
        }
    }
}

impl Durable for Known {
    fn encode(&self, to: &mut Encoder) {
        let Parts { email, phone, locale, zone, anti_phishing } = &self.parts;
        email.encode(to);
        phone.encode(to);
        [locale, zone, anti_phishing].into_iter().for_each(|text| text.encode(to));
        to.signed(self.seen_ms);
        to.signed(self.as_of_ms);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let parts = Parts {
            email: Address::decode(from)?,
            phone: Address::decode(from)?,
            locale: Option::decode(from)?,
            zone: Option::decode(from)?,
            anti_phishing: Option::decode(from)?,
        };
        Ok(Known { parts, seen_ms: from.signed()?, as_of_ms: from.signed()? })
    }
}

impl Durable for Address {
    fn encode(&self, to: &mut Encoder) {
        self.now.encode(to);
        self.before.encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Address { now: Option::decode(from)?, before: Option::decode(from)? })
    }
}

impl Durable for Replaced {
    fn encode(&self, to: &mut Encoder) {
        self.value.encode(to);
        to.signed(self.until_ms);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Replaced { value: Durable::decode(from)?, until_ms: from.signed()? })
    }
}
