//! The alert document of an event that reached a band.
//!
//! Guarantees: equal input gives equal bytes; the id depends on the event's id and account alone, so the same
//! cause never makes two; personal fields are left out. Decides neither score nor band.

use std::collections::BTreeMap;

use super::document::{AlertDocument, FindingDocument, GeoDocument, LastGood, SCHEMA, Usual, Versions};
use crate::event::{Event, EventType, Millis, Place, encode};
use crate::features::{LastLogin, Profile};
use crate::ruleset::{Action, Audience, Band, Rule};

/// Characters of an alert's id after `al_`: 130 bits.
const ID_CHARS: usize = 26;

/// What an alert is made of.
#[derive(Debug)]
pub struct Cause<'c> {
    /// The event, its place filled.
    pub event: &'c Event<'c>,
    /// The alert's id.
    pub id: String,
    /// The live rules that fired, with their documents, in the order of rule ids.
    pub fired: Vec<(&'c Rule, FindingDocument)>,
    /// The rounded score.
    pub score: u8,
    /// Its band.
    pub band: Band,
    /// What the account's owner did before this event.
    pub profile: Option<&'c Profile>,
    /// The newest contact published for the account.
    pub contact_as_of: Option<Millis>,
    /// Until when no SMS may be sent.
    pub no_sms_until: Option<Millis>,
    /// What decided.
    pub versions: Versions,
}

impl Cause<'_> {
    /// The document.
    pub fn document(mut self) -> AlertDocument {
        // Equal shares stay in the order of rule ids: the sort is stable.
        self.fired.sort_by(|(_, a), (_, b)| b.share.total_cmp(&a.share));
        let notice = self.notice();
        let mut audience: Vec<Audience> = self.fired.iter().flat_map(|(r, _)| r.audience.iter().copied()).collect();
        audience.sort_unstable();
        audience.dedup();
        let event = self.event;
        AlertDocument {
            schema: SCHEMA,
            id: self.id,
            time: event.time.rfc3339(),
            account: event.account.as_deref().map(str::to_owned),
            score: self.score,
            band: self.band,
            audience,
            action: self.fired.iter().map(|(r, _)| r.action).max().unwrap_or(Action::None),
            notice,
            findings: self.fired.into_iter().map(|(_, finding)| finding).collect(),
            event: public_fields(event),
            geo: geo(&event.geo, self.profile),
            incident: None,
            no_sms_until: self.no_sms_until.map(Millis::rfc3339),
            contact_as_of: self.contact_as_of.map(Millis::rfc3339),
            usual: self.profile.map(usual).unwrap_or_default(),
            versions: self.versions,
        }
    }

    /// The notice of the weightiest finding a user may hear of that names one, else by the event's type.
    fn notice(&self) -> String {
        let for_user = self.fired.iter().filter(|(rule, _)| rule.audience.contains(&Audience::User));
        if let Some(named) = for_user.filter_map(|(rule, _)| rule.notice.as_deref()).next() {
            return named.to_owned();
        }
        use EventType::{Payment, TopUp, Transfer, Withdrawal};
        let moves_money = matches!(self.event.kind, Transfer | Payment | Withdrawal | TopUp);
        if moves_money { "unusual-payment" } else { "unusual-login" }.to_owned()
    }
}

/// The id of the alert about an event of an account: `al_` and a digest.
pub fn id(event: &str, account: Option<&str>) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("walletwatch alert id 1");
    hasher.update(&(event.len() as u64).to_be_bytes());
    hasher.update(event.as_bytes());
    hasher.update(&[u8::from(account.is_some())]);
    hasher.update(account.unwrap_or_default().as_bytes());
    let mut id = "al_".to_owned();
    crockford(hasher.finalize().as_bytes(), ID_CHARS, &mut id);
    id
}

/// The id of the alert that nothing followed an event: by the rule, the entity of its sequence and the event's
/// time; where the entity is personal, by the event in its place.
pub fn absent_id(rule: &str, by: &BTreeMap<String, serde_json::Value>, event: &Event<'_>) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("walletwatch absent alert id 1");
    let entity = if by.is_empty() { event.id.to_string() } else { serde_json::to_string(by).unwrap_or_default() };
    for part in [rule, &entity] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(&[u8::from(by.is_empty())]);
    hasher.update(&event.time.0.to_be_bytes());
    let mut id = "al_".to_owned();
    crockford(hasher.finalize().as_bytes(), ID_CHARS, &mut id);
    id
}

/// The first `chars` groups of five bits, in Crockford's base 32.
fn crockford(bytes: &[u8], chars: usize, out: &mut String) {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    for at in 0..chars {
        let bit = at * 5;
        let byte = |n: usize| bytes.get(n).copied().map_or(0, u16::from);
        let window = byte(bit / 8) << 8 | byte(bit / 8 + 1);
        let five = window >> (11 - bit % 8) & 31;
        out.push(char::from(ALPHABET[usize::from(five)]));
    }
}

/// The event, but for personal fields.
pub fn without_personal_fields<'e>(event: &Event<'e>) -> Event<'e> {
    Event { login_name: None, user_agent: None, contact: None, old: None, ..event.clone() }
}

/// The event as its own JSON has it, but for personal fields.
fn public_fields(event: &Event<'_>) -> BTreeMap<String, serde_json::Value> {
    let public = without_personal_fields(event);
    let mut json = Vec::new();
    match encode(&public, &mut json) {
        Ok(()) => serde_json::from_slice(&json).unwrap_or_default(),
        Err(_) => BTreeMap::new(),
    }
}

fn geo(place: &Place<'_>, profile: Option<&Profile>) -> GeoDocument {
    GeoDocument {
        country: place.country.map(|c| c.code().to_owned()),
        city: place.city.as_deref().map(str::to_owned),
        accuracy_km: place.accuracy_km,
        asn: place.asn,
        network: place.network.map(|n| n.to_string()),
        last_good: profile.map(|profile| Box::new(last_good(&profile.last()))),
    }
}

fn last_good(last: &LastLogin<'_>) -> LastGood {
    LastGood {
        time: Millis(last.time_ms).rfc3339(),
        device: last.device.map(str::to_owned),
        place: GeoDocument {
            country: last.country.map(|c| c.code().to_owned()),
            city: last.city.map(str::to_owned),
            accuracy_km: last.accuracy_km.map(f64::from),
            asn: last.asn,
            network: last.network.map(|n| n.to_string()),
            last_good: None,
        },
    }
}

fn usual(profile: &Profile) -> Usual {
    Usual {
        countries: profile.countries().iter().map(|c| c.code().to_owned()).collect(),
        devices: profile.devices(),
        hours: profile.hours(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_26_characters_and_tell_causes_apart() {
        let ids =
            [id("e1", Some("a1")), id("e1", None), id("e1", Some("")), id("e1a", Some("1")), id("e2", Some("a1"))];
        for (at, one) in ids.iter().enumerate() {
            assert_eq!(one.len(), 29);
            assert!(!ids[at + 1..].contains(one));
        }
        assert_eq!(ids[0], id("e1", Some("a1")));
    }

    #[test]
    fn base_32_is_crockfords() {
        let mut out = String::new();
        crockford(&[0b0000_1000, 0b1000_0110, 0b0100_0010, 0xff, 0xff], 8, &mut out);
        assert_eq!(out, "12345ZZZ");
    }
}
