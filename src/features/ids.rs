//! The keyed hashes of one event's entities, each computed at most once.
//!
//! Guarantees: a missing entity is 0; IPv6 is folded to its /64, a subnet to /24 or /64 (/56, /48 where asked
//! for); the hash of a text is the one its row slot holds. Keeps nothing between events.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::event::{Event, Value};
use crate::ruleset::{HashKey, Key, KeyField};

/// How many kinds of entities there are.
pub(crate) const KINDS: usize = KeyField::All as usize + 1;

/// The hashes of one event.
#[derive(Debug, Clone)]
pub struct Ids {
    key: HashKey,
    known: u32,
    hashes: [u64; KINDS],
    event: u64,
    /// Where each entity stood when it was looked up ahead.
    places: [u32; KINDS],
}

/// The place of an entity that was not looked up.
pub(crate) const NOWHERE: u32 = u32::MAX;

impl Ids {
    /// Nothing computed yet.
    pub fn new(key: HashKey) -> Self {
        Ids { key, known: 0, hashes: [0; KINDS], event: 0, places: [NOWHERE; KINDS] }
    }

    /// Forgets: the next event begins.
    pub fn clear(&mut self) {
        self.known = 0;
        self.event = 0;
        self.places = [NOWHERE; KINDS];
    }

    /// Where an entity stood when it was looked up ahead; it may have moved or gone since.
    pub(crate) fn place(&self, field: KeyField) -> u32 {
        self.places.get(field as usize).copied().unwrap_or(NOWHERE)
    }

    /// Keeps where an entity stands.
    pub fn set_place(&mut self, field: KeyField, place: u32) {
        if let Some(kept) = self.places.get_mut(field as usize) {
            *kept = place;
        }
    }

    /// Forgets what depends on the place: it has just been filled.
    pub fn forget_place(&mut self) {
        self.known &= !(1 << KeyField::Asn as u32 | 1 << KeyField::Country as u32);
    }

    /// The hash of the event's id.
    pub fn event(&mut self, event: &Event<'_>) -> u64 {
        if self.event == 0 {
            self.event = self.key.text(&event.id);
        }
        self.event
    }

    /// The key all hashes are made with.
    pub fn key(&self) -> HashKey {
        self.key
    }

    /// The hash of an event's entity, 0 where the event has none.
    pub fn of(&mut self, field: KeyField, event: &Event<'_>) -> u64 {
        let at = field as usize;
        let bit = 1u32 << at;
        if self.known & bit == 0 {
            self.known |= bit;
            let hash = self.hash(field, event);
            if let Some(slot) = self.hashes.get_mut(at) {
                *slot = hash;
            }
        }
        self.hashes.get(at).copied().unwrap_or_default()
    }

    /// The hashes of a key: `None` where the event lacks a part; the second is 0 where the key has none.
    pub fn pair(&mut self, key: Key, event: &Event<'_>) -> Option<(u64, u64)> {
        let first = self.of(key.first, event);
        let second = key.second.map_or(Some(0), |second| Some(self.of(second, event)).filter(|hash| *hash != 0))?;
        (first != 0).then_some((first, second))
    }

    fn hash(&self, field: KeyField, event: &Event<'_>) -> u64 {
        let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map_or(0, |t| self.key.text(t));
        let ip = |bits: u32| event.ip.map_or(0, |ip| self.key.bytes(&folded(ip, bits).octets()));
        match field {
            KeyField::Account => text(&event.account),
            KeyField::LoginName => text(&event.login_name),
            KeyField::Device => text(&event.device),
            KeyField::Session => text(&event.session),
            KeyField::Payee => text(&event.payee),
            KeyField::Merchant => text(&event.merchant),
            KeyField::Client => text(&event.client),
            KeyField::AppVersion => text(&event.app_version),
            KeyField::Ip => event.ip.map_or(0, |ip| self.address(ip)),
            KeyField::Subnet => ip(64),
            KeyField::Subnet56 => ip(56),
            KeyField::Subnet48 => ip(48),
            KeyField::Asn => event.geo.asn.map_or(0, |asn| self.key.bytes(&asn.to_be_bytes())),
            KeyField::Country => event.geo.country.map_or(0, |c| self.key.bytes(&c.number().to_be_bytes())),
            KeyField::All => 1,
        }
    }

    /// The hash of an address, IPv6 folded to its /64.
    pub fn address(&self, ip: IpAddr) -> u64 {
        self.key.bytes(&address_entity(ip).octets())
    }
}

/// The address an address stands for: itself, or its /64.
fn address_entity(ip: IpAddr) -> Ipv6Addr {
    match canonical(ip) {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        v6 => folded(v6, 64),
    }
}

fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        v4 => v4,
    }
}

/// The network of an address: /24 for IPv4, the first `v6_bits` for IPv6.
fn folded(ip: IpAddr, v6_bits: u32) -> Ipv6Addr {
    match canonical(ip) {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & 0xffff_ff00).to_ipv6_mapped(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - v6_bits))),
    }
}

/// The entity of an event as people read it; missing where it is personal.
pub fn key_value(field: KeyField, event: &Event<'_>) -> (&'static str, Value<'static>) {
    let text = |text: &Option<std::borrow::Cow<'_, str>>| {
        text.as_deref().map_or(Value::Missing, |t| Value::Text(t.to_owned().into()))
    };
    let network = |bits: u32| {
        event.ip.map_or(Value::Missing, |ip| {
            let net = folded(ip, bits);
            let shown = net.to_ipv4_mapped().map_or_else(|| format!("{net}/{bits}"), |v4| format!("{v4}/24"));
            Value::Text(shown.into())
        })
    };
    match field {
        KeyField::Account => ("account", text(&event.account)),
        KeyField::LoginName => ("login_name", Value::Missing),
        KeyField::Device => ("device", text(&event.device)),
        KeyField::Session => ("session", text(&event.session)),
        KeyField::Payee => ("payee", text(&event.payee)),
        KeyField::Merchant => ("merchant", text(&event.merchant)),
        KeyField::Client => ("client", text(&event.client)),
        KeyField::AppVersion => ("app_version", text(&event.app_version)),
        KeyField::Ip => match event.ip.map(canonical) {
            Some(IpAddr::V6(_)) => ("ip", network(64)),
            Some(v4) => ("ip", Value::Ip(v4)),
            None => ("ip", Value::Missing),
        },
        KeyField::Subnet => ("subnet", network(64)),
        KeyField::Subnet56 => ("subnet_56", network(56)),
        KeyField::Subnet48 => ("subnet_48", network(48)),
        KeyField::Asn => ("asn", event.geo.asn.map_or(Value::Missing, Value::Asn)),
        KeyField::Country => ("country", event.geo.country.map_or(Value::Missing, Value::Country)),
        KeyField::All => ("all", Value::Bool(true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, Millis};

    fn hash(field: KeyField, ip: &str) -> u64 {
        let mut event = Event::new("e", EventType::Login, Millis(0));
        event.ip = Some(ip.parse().unwrap());
        Ids::new(HashKey::new([7; 16])).of(field, &event)
    }

    #[test]
    fn an_ipv6_address_is_its_64() {
        assert_eq!(hash(KeyField::Ip, "2001:db8:1:1::5"), hash(KeyField::Ip, "2001:db8:1:1::6"));
        assert_ne!(hash(KeyField::Ip, "2001:db8:1:1::5"), hash(KeyField::Ip, "2001:db8:1:2::5"));
        assert_ne!(hash(KeyField::Ip, "203.0.113.1"), hash(KeyField::Ip, "203.0.113.2"));
        assert_eq!(hash(KeyField::Ip, "203.0.113.1"), hash(KeyField::Ip, "::ffff:203.0.113.1"));
    }

    #[test]
    fn subnets_are_24_and_64_56_48() {
        assert_eq!(hash(KeyField::Subnet, "203.0.113.1"), hash(KeyField::Subnet, "203.0.113.200"));
        assert_ne!(hash(KeyField::Subnet, "203.0.113.1"), hash(KeyField::Subnet, "203.0.114.1"));
        assert_eq!(hash(KeyField::Subnet56, "2001:db8:1:100::1"), hash(KeyField::Subnet56, "2001:db8:1:1ff::1"));
        assert_ne!(hash(KeyField::Subnet56, "2001:db8:1:100::1"), hash(KeyField::Subnet56, "2001:db8:1:200::1"));
        assert_eq!(hash(KeyField::Subnet48, "2001:db8:1:100::1"), hash(KeyField::Subnet48, "2001:db8:1:ff00::1"));
    }

    #[test]
    fn an_absent_entity_is_nothing() {
        let event = Event::new("e", EventType::Login, Millis(0));
        let mut ids = Ids::new(HashKey::new([7; 16]));
        for field in [KeyField::Account, KeyField::Ip, KeyField::Subnet, KeyField::Asn, KeyField::Country] {
            assert_eq!(ids.of(field, &event), 0);
        }
        assert_eq!(ids.of(KeyField::All, &event), 1);
    }
}
