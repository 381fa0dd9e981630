//! The names of a record's fields: what the decoder looks up for every key it meets.
//!
//! Guarantees: each name of the schema has one [`Key`]; which event types have it agrees with the
//! catalogue of `fields.rs`. Does not read values.

use super::closed::{Closed, EventType};
use super::fields::{Field, TypeSet};

/// The names of one kind of object.
pub(super) trait Name: Copy + 'static {
    /// The key of a name.
    fn parse(name: &str) -> Option<Self>;
    /// Every key, in the order in which problems are told.
    fn all() -> impl Iterator<Item = Self>;
    /// The name as the schema spells it, from the top of the record: `geo.country`.
    fn path(self) -> &'static str;
    /// A bit of its own.
    fn bit(self) -> u64;
}

/// A name at the top of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Key {
    Id,
    Type,
    Time,
    Account,
    LoginName,
    Count,
    Ip,
    Device,
    Session,
    UserAgent,
    Channel,
    Client,
    Geo,
    SourceRisk,
    Platform,
    AppVersion,
    Connection,
    Locale,
    Zone,
    Contact,
    Result,
    Reason,
    Method,
    Mfa,
    By,
    Stage,
    Via,
    Change,
    Field,
    Old,
    Amount,
    Currency,
    Status,
    Payee,
    PayeeCountry,
    Balance,
    Merchant,
    MerchantCategory,
    About,
    Answer,
    State,
    Scope,
    Until,
}

/// Key, name, the event types that have it. In the order of the enum: problems are told in this order.
const TABLE: &[(Key, &str, TypeSet)] = &[
    (Key::Id, "id", Field::Id.types()),
    (Key::Type, "type", Field::Type.types()),
    (Key::Time, "time", Field::Time.types()),
    (Key::Account, "account", Field::Account.types()),
    (Key::LoginName, "login_name", Field::LoginName.types()),
    (Key::Count, "count", Field::Count.types()),
    (Key::Ip, "ip", Field::Ip.types()),
    (Key::Device, "device", Field::Device.types()),
    (Key::Session, "session", Field::Session.types()),
    (Key::UserAgent, "user_agent", Field::UserAgent.types()),
    (Key::Channel, "channel", Field::Channel.types()),
    (Key::Client, "client", Field::Client.types()),
    (Key::Geo, "geo", Field::Geo.types()),
    (Key::SourceRisk, "source_risk", Field::SourceRisk.types()),
    (Key::Platform, "platform", Field::Platform.types()),
    (Key::AppVersion, "app_version", Field::AppVersion.types()),
    (Key::Connection, "connection", Field::Connection.types()),
    (Key::Locale, "locale", Field::Locale.types()),
    (Key::Zone, "zone", Field::Zone.types()),
    (Key::Contact, "contact", TypeSet::ALL),
    (Key::Result, "result", Field::Result.types()),
    (Key::Reason, "reason", Field::Reason.types()),
    (Key::Method, "method", Field::Method.types()),
    (Key::Mfa, "mfa", Field::Mfa.types()),
    (Key::By, "by", Field::By.types()),
    (Key::Stage, "stage", Field::Stage.types()),
    (Key::Via, "via", Field::Via.types()),
    (Key::Change, "change", Field::Change.types()),
    (Key::Field, "field", Field::Field.types()),
    (Key::Old, "old", TypeSet::of(&[EventType::ContactChanged])),
    (Key::Amount, "amount", Field::Amount.types()),
    (Key::Currency, "currency", Field::Amount.types()),
    (Key::Status, "status", Field::Status.types()),
    (Key::Payee, "payee", Field::Payee.types()),
    (Key::PayeeCountry, "payee_country", Field::PayeeCountry.types()),
    (Key::Balance, "balance", Field::Balance.types()),
    (Key::Merchant, "merchant", Field::Merchant.types()),
    (Key::MerchantCategory, "merchant_category", Field::MerchantCategory.types()),
    (Key::About, "about", Field::About.types()),
    (Key::Answer, "answer", Field::Answer.types()),
    (Key::State, "state", Field::State.types()),
    (Key::Scope, "scope", Field::Scope.types()),
    (Key::Until, "until", Field::Until.types()),
];

/// For each event type, the keys it has.
const ALLOWED: [KeySet; EventType::WORDS.len()] = {
    let mut allowed = [KeySet(0); EventType::WORDS.len()];
    let mut kind = 0;
    while kind < allowed.len() {
        let mut at = 0;
        while at < TABLE.len() {
            if TABLE[at].2.has_index(kind as u32) {
                allowed[kind].0 |= 1 << at;
            }
            at += 1;
        }
        kind += 1;
    }
    allowed
};

impl Name for Key {
    /// The length is looked at first: that leaves few names to compare.
    #[inline]
    fn parse(name: &str) -> Option<Self> {
        let find = |candidates: &[Key]| candidates.iter().copied().find(|key| key.path() == name);
        Some(match (name.len(), name) {
            (2, "id") => Key::Id,
            (2, "ip") => Key::Ip,
            (2, "by") => Key::By,
            (3, "geo") => Key::Geo,
            (3, "mfa") => Key::Mfa,
            (3, "via") => Key::Via,
            (3, "old") => Key::Old,
            (4, "type") => Key::Type,
            (4, "time") => Key::Time,
            (4, "zone") => Key::Zone,
            (5, _) => {
                return find(&[
                    Key::Count,
                    Key::Payee,
                    Key::State,
                    Key::Scope,
                    Key::Until,
                    Key::Stage,
                    Key::Field,
                    Key::About,
                ]);
            }
            (6, _) => {
                return find(&[
                    Key::Device,
                    Key::Result,
                    Key::Reason,
                    Key::Amount,
                    Key::Status,
                    Key::Method,
                    Key::Locale,
                    Key::Client,
                    Key::Change,
                    Key::Answer,
                ]);
            }
            (7, _) => return find(&[Key::Account, Key::Session, Key::Channel, Key::Balance, Key::Contact]),
            (8, _) => return find(&[Key::Currency, Key::Platform, Key::Merchant]),
            (10, _) => return find(&[Key::Connection, Key::UserAgent, Key::LoginName]),
            (11, _) => return find(&[Key::AppVersion, Key::SourceRisk]),
            (13, "payee_country") => Key::PayeeCountry,
            (17, "merchant_category") => Key::MerchantCategory,
            _ => return None,
        })
    }

    fn all() -> impl Iterator<Item = Key> {
        TABLE.iter().map(|row| row.0)
    }

    #[inline]
    fn path(self) -> &'static str {
        TABLE[self as usize].1
    }

    #[inline]
    fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// A name in `geo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum PlaceKey {
    Country,
    City,
    Latitude,
    Longitude,
    AccuracyKm,
    Asn,
    Network,
}

impl Name for PlaceKey {
    fn parse(name: &str) -> Option<Self> {
        Self::all().find(|key| key.path().strip_prefix("geo.") == Some(name))
    }

    fn all() -> impl Iterator<Item = Self> {
        use PlaceKey::*;
        [Country, City, Latitude, Longitude, AccuracyKm, Asn, Network].into_iter()
    }

    fn path(self) -> &'static str {
        match self {
            PlaceKey::Country => "geo.country",
            PlaceKey::City => "geo.city",
            PlaceKey::Latitude => "geo.latitude",
            PlaceKey::Longitude => "geo.longitude",
            PlaceKey::AccuracyKm => "geo.accuracy_km",
            PlaceKey::Asn => "geo.asn",
            PlaceKey::Network => "geo.network",
        }
    }

    fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// A name in `contact`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ContactKey {
    Email,
    Phone,
    Locale,
    Zone,
    AntiPhishing,
}

impl Name for ContactKey {
    fn parse(name: &str) -> Option<Self> {
        Self::all().find(|key| key.path().strip_prefix("contact.") == Some(name))
    }

    fn all() -> impl Iterator<Item = Self> {
        use ContactKey::*;
        [Email, Phone, Locale, Zone, AntiPhishing].into_iter()
    }

    fn path(self) -> &'static str {
        match self {
            ContactKey::Email => "contact.email",
            ContactKey::Phone => "contact.phone",
            ContactKey::Locale => "contact.locale",
            ContactKey::Zone => "contact.zone",
            ContactKey::AntiPhishing => "contact.anti_phishing",
        }
    }

    fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// A set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct KeySet(u64);

impl KeySet {
    /// The keys an event of this type has.
    pub(super) fn of(kind: EventType) -> Self {
        ALLOWED[kind as usize]
    }

    /// Adds a key.
    #[inline]
    pub(super) fn insert(&mut self, key: Key) {
        self.0 |= key.bit();
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, key: Key) {
        self.0 &= !key.bit();
    }

    /// Whether a key is in the set.
    pub(super) fn has(self, key: Key) -> bool {
        self.0 & key.bit() != 0
    }

    /// What this set has and `other` has not.
    pub(super) fn without(self, other: KeySet) -> KeySet {
        KeySet(self.0 & !other.0)
    }

    /// Whether it is empty.
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its keys.
    pub(super) fn iter(self) -> impl Iterator<Item = Key> {
        Key::all().filter(move |key| self.has(*key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, at, "{}", row.1);
        }
        assert_eq!(TABLE.len(), Key::Until as usize + 1);
    }

    #[test]
    fn every_name_is_found_and_nothing_else() {
        for key in Key::all() {
            assert_eq!(Key::parse(key.path()), Some(key));
        }
        for name in ["", "Id", "idd", "geo.country", "reason_class", "merchant_categorx", "currencx", "état"] {
            assert_eq!(Key::parse(name), None, "{name}");
        }
    }

    #[test]
    fn what_rules_can_name_is_what_records_carry() {
        for field in Field::all().filter(|f| !f.name().contains('.') && *f != Field::ReasonClass) {
            let key = Key::parse(field.name()).expect("a key");
            for kind in TypeSet::ALL.iter() {
                assert_eq!(KeySet::of(kind).has(key), field.types().has(kind), "{} on {kind}", field.name());
            }
        }
    }
}
