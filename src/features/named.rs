//! An entity as people name it: `account:1234`, `ip:203.0.113.9`, `asn:64496`.
//!
//! Guarantees: it is found under the same hash as events find it. Looks nothing up.

use std::borrow::Cow;

use super::Ids;
use crate::event::{Country, Event, EventType, Millis};
use crate::ruleset::{HashKey, KeyField};

/// Why a text names no entity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no such kind.
    #[error("`{0}` names no entity: write KIND:VALUE, where the kind is one of {kinds}", kinds = kinds())]
    Kind(String),
    /// The value cannot be of this kind.
    #[error("`{value}` is no {kind}: {wanted}")]
    Value {
        /// The kind.
        kind: &'static str,
        /// What was given.
        value: String,
        /// What is wanted.
        wanted: &'static str,
    },
}

fn kinds() -> String {
    KeyField::all().map(KeyField::name).collect::<Vec<_>>().join(", ")
}

/// The entity of a text: its kind, and the hash it is kept under.
pub fn named(text: &str, key: HashKey) -> Result<(KeyField, u64), NameError> {
    let (word, value) = text.split_once(':').unwrap_or((text, ""));
    let kind = KeyField::all().find(|kind| kind.name() == word).ok_or_else(|| NameError::Kind(text.to_owned()))?;
    let wrong = |wanted| NameError::Value { kind: kind.name(), value: value.to_owned(), wanted };
    if value.is_empty() && kind != KeyField::All {
        return Err(wrong("it has a value after the colon"));
    }
    let mut event = Event::new("", EventType::Login, Millis(0));
    let owned = Some(Cow::Borrowed(value));
    match kind {
        KeyField::Account => event.account = owned,
        KeyField::LoginName => event.login_name = owned,
        KeyField::Device => event.device = owned,
        KeyField::Session => event.session = owned,
        KeyField::Payee => event.payee = owned,
        KeyField::Merchant => event.merchant = owned,
        KeyField::Client => event.client = owned,
        KeyField::AppVersion => event.app_version = owned,
        KeyField::Ip | KeyField::Subnet | KeyField::Subnet56 | KeyField::Subnet48 => {
            // Networks are shown with their length: `203.0.113.0/24` is any address of it.
            let address = value.split('/').next().unwrap_or(value);
            event.ip = Some(address.parse().map_err(|_| wrong("an IPv4 or IPv6 address"))?);
        }
        KeyField::Asn => event.geo.asn = Some(value.parse().map_err(|_| wrong("a number"))?),
        KeyField::Country => {
            event.geo.country = Some(Country::parse(value).ok_or_else(|| wrong("a code of two letters"))?);
        }
        KeyField::All => {}
    }
    Ok((kind, Ids::new(key).of(kind, &event)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HashKey = HashKey::new([3; 16]);

    #[test]
    fn each_kind_is_found_under_the_hash_of_events() {
        let mut event = Event::new("e", EventType::Login, Millis(9));
        event.account = Some("a:1".into());
        event.device = Some("d".into());
        event.ip = Some("2001:db8:1:2:3::4".parse().expect("an address"));
        event.geo.asn = Some(64496);
        event.geo.country = Country::parse("cn");
        let mut ids = Ids::new(KEY);
        for (text, kind) in [
            ("account:a:1", KeyField::Account),
            ("device:d", KeyField::Device),
            ("ip:2001:db8:1:2::", KeyField::Ip),
            ("subnet_48:2001:db8:1::/48", KeyField::Subnet48),
            ("asn:64496", KeyField::Asn),
            ("country:CN", KeyField::Country),
            ("all", KeyField::All),
        ] {
            assert_eq!(named(text, KEY), Ok((kind, ids.of(kind, &event))), "{text}");
        }
    }

    #[test]
    fn what_names_no_entity_is_told() {
        let told = |text| named(text, KEY).expect_err("none").to_string();
        assert_eq!(
            told("acount:1"),
            "`acount:1` names no entity: write KIND:VALUE, where the kind is one of account, login_name, ip, subnet, \
             subnet_56, subnet_48, asn, country, device, session, payee, merchant, client, app_version, all"
        );
        assert_eq!(told("ip:1.2.3"), "`1.2.3` is no ip: an IPv4 or IPv6 address");
        assert_eq!(told("account:"), "`` is no account: it has a value after the colon");
        assert_eq!(told("asn:AS1"), "`AS1` is no asn: a number");
        assert_eq!(told("country:CHN"), "`CHN` is no country: a code of two letters");
    }
}
