//! The contact of each account, as its events tell it.
//!
//! Guarantees: a document is made whenever what is known changes, and only then; an older event never undoes
//! a newer one; what was replaced is kept with the time it was replaced. Only accounts that have a contact
//! cost memory. Personal: it leaves detection as [`ContactDocument`] only.

use compact_str::CompactString;
use hashbrown::HashMap;

use super::changed::Changed;
use super::document::{ContactDocument, Previous, SCHEMA};
use crate::event::{Contact, ContactField, Event, EventType, Millis};

mod durable;

pub use durable::Head;

/// Accounts whose contact is remembered; of more, every contact seen is published again.
pub const CONTACTS_MAX: usize = 20_000_000;
/// For how long no SMS may be sent after a SIM change, ms.
pub const NO_SMS_AFTER_SIM_CHANGE_MS: i64 = 72 * 3_600_000;
/// Below this many changed SIMs, what no longer holds anything back is not looked for.
const SWEEP_FROM: usize = 1024;

/// An account's contact without its long texts, bytes: its place in a map that may be half empty, and that it changed.
const KNOWN_BYTES: usize = size_of::<Known>() + 64;
/// A changed SIM, bytes: the same.
const SIM_BYTES: usize = 64;
/// Changed SIMs have one of so many parts of the room, which contacts leave free: to a SIM that was stolen nothing is sent.
const SIMS_PART: usize = 8;
/// By so many a changed SIM for which there is no room brings nearer that those are looked for which hold nothing back.
const SWEEP_SOONER: usize = 16;

#[derive(Debug, Clone, PartialEq)]
struct Replaced {
    value: CompactString,
    until_ms: i64,
}

/// One part that can be warned at its old value.
#[derive(Debug, Clone, Default, PartialEq)]
struct Address {
    now: Option<CompactString>,
    before: Option<Box<Replaced>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Parts {
    email: Address,
    phone: Address,
    locale: Option<CompactString>,
    zone: Option<CompactString>,
    anti_phishing: Option<CompactString>,
}

#[derive(Debug, Clone)]
struct Known {
    parts: Parts,
    /// The newest contact seen.
    seen_ms: i64,
    /// The newest that changed something: what has been published.
    as_of_ms: i64,
}

/// All accounts' contacts.
#[derive(Debug)]
pub struct Contacts {
    known: HashMap<u64, Box<Known>, foldhash::fast::RandomState>,
    sim_changed: HashMap<u64, i64, foldhash::fast::RandomState>,
    /// How many changed SIMs there may be until those are looked for that no longer hold anything back.
    sim_sweep_at: usize,
    changed: Changed<u64>,
    /// Memory they may be accounted to take, bytes.
    bytes_max: usize,
    /// Memory of what is known, as accounted, bytes.
    known_bytes: usize,
    /// Contacts and changed SIMs that were not remembered, since the start.
    not_kept: u64,
}

/// What a text takes beside itself, bytes: a short one stands in its own place.
fn text_bytes(text: &str) -> usize {
    if text.len() > size_of::<CompactString>() { text.len() } else { 0 }
}

impl Default for Contacts {
    fn default() -> Self {
        Contacts {
            known: HashMap::default(),
            sim_changed: HashMap::default(),
            sim_sweep_at: SWEEP_FROM,
            changed: Changed::everything(),
            bytes_max: usize::MAX,
            known_bytes: 0,
            not_kept: 0,
        }
    }
}

impl Contacts {
    /// Takes what an event says; a document where it changes what is known.
    pub fn take(&mut self, event: &Event<'_>, account: u64) -> Option<ContactDocument> {
        if event.kind == EventType::SimChanged && account != 0 {
            self.change_sim(account, event.time.0);
        }
        if event.contact.is_none() && event.old.is_none() {
            return None;
        }
        let name = event.account.as_deref().filter(|_| account != 0)?;
        let room_bytes = (self.bytes_max - self.bytes_max / SIMS_PART).saturating_sub(self.known_bytes);
        let mut fresh = None;
        let known = match self.known.get_mut(&account) {
            Some(known) => known,
            None => fresh.insert(Box::new(Known { parts: Parts::default(), seen_ms: i64::MIN, as_of_ms: i64::MIN })),
        };
        let (seen_ms, before_bytes) = (known.seen_ms, known.bytes());
        let changed = known.take(event);
        if changed || known.seen_ms != seen_ms {
            self.changed.note(account);
        }
        let document = changed.then(|| known.document(name));
        let after_bytes = known.bytes();
        match fresh.filter(|_| changed) {
            Some(known) if self.known.len() < CONTACTS_MAX && after_bytes <= room_bytes => {
                self.known_bytes += after_bytes;
                self.known.insert(account, known);
            }
            Some(_) => self.not_kept += 1,
            None => self.known_bytes = (self.known_bytes + after_bytes).saturating_sub(before_bytes),
        }
        document
    }

    /// Forgets every contact, for none was published: each is with the next event that carries it. Changed SIMs stay.
    /// Returns how many they were.
    pub fn forget_unpublished(&mut self) -> usize {
        let Contacts { known, changed, .. } = self;
        known.keys().for_each(|account| changed.note(*account));
        let count = known.len();
        known.clear();
        self.known_bytes = 0;
        count
    }

    /// The same, of at most so many bytes as accounted: what is known already stays.
    pub fn limited(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// Memory they are accounted to take, bytes.
    pub fn accounted_bytes(&self) -> usize {
        self.known_bytes + self.sim_changed.len() * SIM_BYTES
    }

    /// How many contacts were published and not remembered, and SIMs changed and not remembered, for want of room, since
    /// the start.
    pub fn not_kept(&self) -> u64 {
        self.not_kept
    }

    /// The time of the newest contact that was published for an account.
    pub fn as_of(&self, account: u64) -> Option<Millis> {
        self.known.get(&account).map(|known| Millis(known.as_of_ms))
    }

    /// Until when no SMS may be sent to an account, where that is after `now`.
    pub fn no_sms_until(&self, account: u64, now: Millis) -> Option<Millis> {
        let until = Millis(*self.sim_changed.get(&account)?).plus(NO_SMS_AFTER_SIM_CHANGE_MS);
        (until > now).then_some(until)
    }

    fn change_sim(&mut self, account: u64, time_ms: i64) {
        if self.sim_changed.len() >= self.sim_sweep_at {
            let noted = &mut self.changed;
            self.sim_changed.retain(|account, changed_ms| {
                let stays = time_ms.saturating_sub(*changed_ms) <= 2 * NO_SMS_AFTER_SIM_CHANGE_MS;
                if !stays {
                    noted.note(*account);
                }
                stays
            });
            self.sim_sweep_at = (2 * self.sim_changed.len()).max(SWEEP_FROM);
        }
        let has_room = (self.sim_changed.len() + 1) * SIM_BYTES <= self.bytes_max / SIMS_PART;
        if self.sim_changed.contains_key(&account) || has_room && self.sim_changed.len() < CONTACTS_MAX {
            self.changed.note(account);
            let changed = self.sim_changed.entry(account).or_insert(time_ms);
            *changed = time_ms.max(*changed);
        } else {
            self.not_kept += 1;
            self.sim_sweep_at = self.sim_sweep_at.saturating_sub(SWEEP_SOONER);
        }
    }
}

impl Known {
    /// Memory it takes, by its lengths, bytes.
    fn bytes(&self) -> usize {
        let text = |text: &Option<CompactString>| text.as_deref().map_or(0, text_bytes);
        let address = |address: &Address| {
            let before = |replaced: &Replaced| size_of::<Replaced>() + text_bytes(&replaced.value);
            text(&address.now) + address.before.as_deref().map_or(0, before)
        };
        let Parts { email, phone, locale, zone, anti_phishing } = &self.parts;
        let addresses = address(email) + address(phone);
        KNOWN_BYTES + addresses + [locale, zone, anti_phishing].into_iter().map(text).sum::<usize>()
    }

    /// Whether the event changed anything.
    fn take(&mut self, event: &Event<'_>) -> bool {
        let time_ms = event.time.0;
        let is_newest = time_ms >= self.seen_ms;
        let mut changed = false;
        if let Some(old) = event.old.as_deref() {
            let address = match event.field {
                Some(ContactField::Phone) => &mut self.parts.phone,
                _ => &mut self.parts.email,
            };
            changed |= address.replace(old, time_ms, is_newest);
        }
        if is_newest {
            self.seen_ms = time_ms;
            if let Some(contact) = event.contact.as_deref() {
                changed |= self.parts.take(contact, time_ms);
            }
        }
        if changed {
            self.as_of_ms = self.as_of_ms.max(time_ms);
        }
        changed
    }

    fn document(&self, account: &str) -> ContactDocument {
        let text = |text: &Option<CompactString>| text.as_ref().map(ToString::to_string);
        let previous = |address: &Address| {
            let before = address.before.as_deref()?;
            Some(Previous { value: before.value.to_string(), until: Millis(before.until_ms).rfc3339() })
        };
        ContactDocument {
            schema: SCHEMA,
            account: account.to_owned(),
            as_of: Millis(self.as_of_ms).rfc3339(),
            email: text(&self.parts.email.now),
            phone: text(&self.parts.phone.now),
            locale: text(&self.parts.locale),
            zone: text(&self.parts.zone),
            anti_phishing: text(&self.parts.anti_phishing),
            previous_email: previous(&self.parts.email),
            previous_phone: previous(&self.parts.phone),
        }
    }
}

impl Parts {
    /// Takes the parts a contact has; what it does not say stays known.
    fn take(&mut self, contact: &Contact<'_>, time_ms: i64) -> bool {
        let mut changed = self.email.set(contact.email.as_deref(), time_ms);
        changed |= self.phone.set(contact.phone.as_deref(), time_ms);
        changed |= set(&mut self.locale, contact.locale.as_deref());
        changed |= set(&mut self.zone, contact.zone.as_deref());
        changed | set(&mut self.anti_phishing, contact.anti_phishing.as_deref())
    }
}

fn set(kept: &mut Option<CompactString>, said: Option<&str>) -> bool {
    match said {
        Some(said) if kept.as_deref() != Some(said) => {
            *kept = Some(said.into());
            true
        }
        _ => false,
    }
}

impl Address {
    /// A new value; the one before is kept with the time it was replaced.
    fn set(&mut self, said: Option<&str>, time_ms: i64) -> bool {
        let old = self.now.clone();
        let changed = set(&mut self.now, said);
        if let Some(old) = old.filter(|_| changed) {
            self.retire(old, time_ms);
        }
        changed
    }

    /// The event says what was replaced: it is no longer the account's.
    fn replace(&mut self, old: &str, time_ms: i64, is_newest: bool) -> bool {
        let mut changed = self.retire(old.into(), time_ms);
        if is_newest && self.now.as_deref() == Some(old) {
            self.now = None;
            changed = true;
        }
        changed
    }

    fn retire(&mut self, value: CompactString, until_ms: i64) -> bool {
        if self.before.as_deref().is_some_and(|before| before.until_ms > until_ms) {
            return false;
        }
        let replaced = Replaced { value, until_ms };
        let changed = self.before.as_deref() != Some(&replaced);
        self.before = Some(Box::new(replaced));
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::codec::{Decoder, Encoder};
    use crate::features::store::MemoryStore;

    fn with_contact(time: i64, email: &'static str) -> Event<'static> {
        let mut event = Event::new("e", EventType::Login, Millis(time));
        event.account = Some("a1".into());
        event.contact = Some(Box::new(Contact { email: Some(email.into()), ..Contact::default() }));
        event
    }

    #[test]
    fn changed_sims_that_are_stored_in_between_are_forgotten_as_ever() {
        let (mut steady, mut stopped, mut store) = (Contacts::default(), Contacts::default(), MemoryStore::new());
        let digest = |contacts: &Contacts| {
            let mut hasher = blake3::Hasher::new();
            contacts.digest(&mut hasher);
            hasher.finalize()
        };
        for n in 0..6000u64 {
            let time_ms = n as i64 * NO_SMS_AFTER_SIM_CHANGE_MS / 700;
            [&mut steady, &mut stopped].into_iter().for_each(|contacts| contacts.change_sim(n % 3000, time_ms));
            if n % 333 == 0 {
                stopped.save(&mut store, &mut Encoder::default());
                let mut head = Encoder::default();
                stopped.encode_head(&mut head);
                let head = Head::decode(&mut Decoder::new(head.bytes())).unwrap();
                stopped = Contacts::restored(&head, &store).unwrap();
            }
            assert!(n % 50 != 0 || digest(&steady) == digest(&stopped), "after {n}");
        }
        assert!(steady.sim_changed.len() < 3000, "some went");
    }

    #[test]
    fn contacts_leave_room_for_changed_sims_and_what_is_not_kept_is_counted() {
        let mut contacts = Contacts::default().limited(16_000);
        for n in 1..=200u64 {
            assert!(contacts.take(&with_contact(1000, "someone.with.a.long.name@example.test"), n).is_some());
        }
        let without_room = contacts.not_kept();
        assert!(without_room > 100 && contacts.known_bytes <= 14_000, "{without_room}");
        let hour = |n: i64| Millis(n * 3_600_000);
        (1..=40u64).for_each(|n| contacts.change_sim(n, hour(1).0));
        assert_eq!(contacts.not_kept() - without_room, 40 - 31, "31 have room");
        assert!(contacts.no_sms_until(31, hour(2)).is_some() && contacts.no_sms_until(32, hour(2)).is_none());
        // Long after, whoever holds nothing back makes room, though there are far fewer than would be looked for.
        (0..2000u64).for_each(|n| contacts.change_sim(1000 + n % 40, hour(200).0));
        assert_eq!(contacts.no_sms_until(1000, hour(201)), Some(hour(272)));
        assert!(contacts.accounted_bytes() <= 16_000);
        contacts.forget_unpublished();
        assert_eq!(contacts.accounted_bytes(), contacts.sim_changed.len() * SIM_BYTES);
    }

    #[test]
    fn only_a_change_makes_a_document() {
        let mut contacts = Contacts::default();
        let first = contacts.take(&with_contact(1000, "a@x.test"), 1).unwrap();
        assert_eq!((first.email.as_deref(), first.previous_email), (Some("a@x.test"), None));
        assert_eq!(contacts.take(&with_contact(2000, "a@x.test"), 1), None);
        assert_eq!(contacts.as_of(1), Some(Millis(1000)));
        assert_eq!(contacts.take(&with_contact(1500, "old@x.test"), 1), None, "an older event undoes nothing");
        let second = contacts.take(&with_contact(3000, "b@x.test"), 1).unwrap();
        let previous = second.previous_email.unwrap();
        assert_eq!((previous.value.as_str(), previous.until.as_str()), ("a@x.test", "1970-01-01T00:00:03.000Z"));
        assert_eq!(contacts.as_of(1), Some(Millis(3000)));
    }

    #[test]
    fn a_change_names_the_old_contact() {
        let mut contacts = Contacts::default();
        contacts.take(&with_contact(1000, "a@x.test"), 1);
        let mut change = Event::new("e", EventType::ContactChanged, Millis(2000));
        change.account = Some("a1".into());
        change.field = Some(ContactField::Email);
        change.old = Some("a@x.test".into());
        let document = contacts.take(&change, 1).unwrap();
        assert_eq!(document.email, None, "the new one is not known, the old one is not the account's");
        assert_eq!(document.previous_email.map(|p| p.value).as_deref(), Some("a@x.test"));
        let after = contacts.take(&with_contact(3000, "b@x.test"), 1).unwrap();
        assert_eq!(after.email.as_deref(), Some("b@x.test"));
        assert_eq!(after.previous_email.map(|p| p.value).as_deref(), Some("a@x.test"));
    }

    #[test]
    fn a_sim_change_holds_sms_for_three_days() {
        let mut contacts = Contacts::default();
        let mut change = Event::new("e", EventType::SimChanged, Millis(1000));
        change.account = Some("a1".into());
        assert_eq!(contacts.take(&change, 1), None);
        let until = Millis(1000 + NO_SMS_AFTER_SIM_CHANGE_MS);
        assert_eq!(contacts.no_sms_until(1, Millis(5000)), Some(until));
        assert_eq!(contacts.no_sms_until(1, until), None);
        assert_eq!(contacts.no_sms_until(2, Millis(5000)), None);
    }
}
