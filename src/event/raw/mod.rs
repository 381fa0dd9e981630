//! The record as JSON has it: flat structs that borrow from the bytes.
//!
//! Guarantees: parsing it is what the limit of the performance page measures; a field twice or of a
//! wrong JSON type is an error; unknown fields are counted; null and empty text are absent.
//! Judges no value: `decode` does.

mod read;

use serde::de::DeserializeSeed;

use super::Text;
use super::key::{ContactKey, Key, KeySet, Name, PlaceKey};
use read::{Filled, ObjectSeed};
pub(super) use read::{Str, whole_millis};

/// Every field of the schema as it came.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each is documented at the event's own field")]
pub struct Raw<'a> {
    pub id: Option<Text<'a>>,
    pub kind: Option<Text<'a>>,
    pub time: Option<Moment<'a>>,
    pub account: Option<Text<'a>>,
    pub login_name: Option<Text<'a>>,
    pub count: Option<u64>,
    pub ip: Option<Text<'a>>,
    pub device: Option<Text<'a>>,
    pub session: Option<Text<'a>>,
    pub user_agent: Option<Text<'a>>,
    pub channel: Option<Text<'a>>,
    pub client: Option<Text<'a>>,
    pub geo: Option<RawPlace<'a>>,
    pub source_risk: Option<Text<'a>>,
    pub platform: Option<Text<'a>>,
    pub app_version: Option<Text<'a>>,
    pub connection: Option<Text<'a>>,
    pub locale: Option<Text<'a>>,
    pub zone: Option<Text<'a>>,
    pub contact: Option<RawContact<'a>>,
    pub result: Option<Text<'a>>,
    pub reason: Option<Text<'a>>,
    pub method: Option<Text<'a>>,
    pub mfa: Option<bool>,
    pub by: Option<Text<'a>>,
    pub stage: Option<Text<'a>>,
    pub via: Option<Text<'a>>,
    pub change: Option<Text<'a>>,
    pub field: Option<Text<'a>>,
    pub old: Option<Text<'a>>,
    pub amount: Option<RawAmount<'a>>,
    pub currency: Option<Text<'a>>,
    pub status: Option<Text<'a>>,
    pub payee: Option<Text<'a>>,
    pub payee_country: Option<Text<'a>>,
    pub balance: Option<RawAmount<'a>>,
    pub merchant: Option<Text<'a>>,
    pub merchant_category: Option<Text<'a>>,
    pub about: Option<Text<'a>>,
    pub answer: Option<Text<'a>>,
    pub state: Option<Text<'a>>,
    pub scope: Option<Text<'a>>,
    pub until: Option<Moment<'a>>,
    /// Names the schema does not have.
    pub unknown_fields: u32,
    /// The fields that are there.
    pub(super) present: KeySet,
}

/// `geo` as it came.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each is documented at the place's own field")]
pub struct RawPlace<'a> {
    pub country: Option<Text<'a>>,
    pub city: Option<Text<'a>>,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    pub accuracy_km: Option<f64>,
    pub asn: Option<RawAsn<'a>>,
    pub network: Option<Text<'a>>,
    pub unknown_fields: u32,
}

/// `contact` as it came.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each is documented at the contact's own field")]
pub struct RawContact<'a> {
    pub email: Option<Text<'a>>,
    pub phone: Option<Text<'a>>,
    pub locale: Option<Text<'a>>,
    pub zone: Option<Text<'a>>,
    pub anti_phishing: Option<Text<'a>>,
    pub unknown_fields: u32,
}

/// A moment as it came.
#[derive(Debug)]
pub enum Moment<'a> {
    /// A text that should be RFC 3339.
    Text(Text<'a>),
    /// Milliseconds since 1970; what 64 bits do not hold is the least or the largest they do.
    Millis(i64),
}

/// An amount as it came: never a float.
#[derive(Debug)]
pub enum RawAmount<'a> {
    /// A text that should be a decimal number.
    Text(Text<'a>),
    /// The text of a JSON number.
    Number(&'a str),
}

/// An autonomous system as it came.
#[derive(Debug)]
pub enum RawAsn<'a> {
    /// A text that should be `AS` and digits.
    Text(Text<'a>),
    /// The number.
    Number(u64),
}

impl<'a> Raw<'a> {
    /// Reads one JSON object.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        let mut raw = Raw::default();
        raw.read(text)?;
        Ok(raw)
    }

    /// Reads one JSON object in place: the struct is large, and is not moved. After an error it holds
    /// what was read before.
    pub(super) fn read(&mut self, text: &'a str) -> serde_json::Result<()> {
        let mut json = serde_json::Deserializer::from_str(text);
        ObjectSeed { object: self }.deserialize(&mut json)?;
        json.end()
    }

    /// Forgets a field as if it had not come.
    pub(super) fn forget(&mut self, key: Key) {
        self.present.remove(key);
        self.slot(key).clear();
    }
}

// === Objects and their slots ===

/// A struct that is filled key by key.
pub(super) trait Object<'a>: Default {
    /// Its names.
    type Key: Name;
    /// Where the value of a key goes.
    fn slot(&mut self, key: Self::Key) -> Slot<'_, 'a>;
    /// Told of a key whose value is there.
    fn note(&mut self, _key: Self::Key) {}
    /// The counter of names it does not have.
    fn unknown(&mut self) -> &mut u32;
}

/// Where a value goes, by the JSON type the schema wants there.
pub(super) enum Slot<'s, 'a> {
    Text(&'s mut Option<Text<'a>>),
    Moment(&'s mut Option<Moment<'a>>),
    Whole(&'s mut Option<u64>),
    Bool(&'s mut Option<bool>),
    Number(&'s mut Option<f64>),
    Amount(&'s mut Option<RawAmount<'a>>),
    Asn(&'s mut Option<RawAsn<'a>>),
    Place(&'s mut Option<RawPlace<'a>>),
    Contact(&'s mut Option<RawContact<'a>>),
}

/// Gives one JSON value as the type that is asked for, null as `None`.
pub(super) trait OneValue<'a> {
    /// Why it could not.
    type Error;
    /// The value.
    fn take<T: serde::Deserialize<'a>>(self) -> Result<Option<T>, Self::Error>;
}

impl<'a> Slot<'_, 'a> {
    /// Reads the value into its place; false where it is absent: null or an empty text.
    #[inline]
    pub(super) fn read<V: OneValue<'a>>(self, value: V) -> Result<bool, V::Error> {
        Ok(match self {
            // An empty text says as little as none.
            Slot::Text(to) => put(to, value.take::<Str<'a>>()?.map(|s| s.0).filter(|text| !text.is_empty())),
            Slot::Moment(to) => put(to, value.take()?.filter(|m| !matches!(m, Moment::Text(t) if t.is_empty()))),
            Slot::Whole(to) => put(to, value.take()?),
            Slot::Bool(to) => put(to, value.take()?),
            Slot::Number(to) => put(to, value.take()?),
            Slot::Amount(to) => put(to, value.take()?.filter(|a| !matches!(a, RawAmount::Text(t) if t.is_empty()))),
            Slot::Asn(to) => put(to, value.take()?.filter(|a| !matches!(a, RawAsn::Text(t) if t.is_empty()))),
            Slot::Place(to) => put(to, value.take::<Filled<RawPlace<'a>>>()?.map(|f| f.0)),
            Slot::Contact(to) => put(to, value.take::<Filled<RawContact<'a>>>()?.map(|f| f.0)),
        })
    }

    fn clear(self) {
        match self {
            Slot::Text(to) => *to = None,
            Slot::Moment(to) => *to = None,
            Slot::Whole(to) => *to = None,
            Slot::Bool(to) => *to = None,
            Slot::Number(to) => *to = None,
            Slot::Amount(to) => *to = None,
            Slot::Asn(to) => *to = None,
            Slot::Place(to) => *to = None,
            Slot::Contact(to) => *to = None,
        }
    }
}

#[inline]
fn put<T>(to: &mut Option<T>, value: Option<T>) -> bool {
    *to = value;
    to.is_some()
}

impl<'a> Object<'a> for Raw<'a> {
    type Key = Key;

    #[inline]
    fn slot(&mut self, key: Key) -> Slot<'_, 'a> {
        Slot::Text(match key {
            Key::Time => return Slot::Moment(&mut self.time),
            Key::Until => return Slot::Moment(&mut self.until),
            Key::Count => return Slot::Whole(&mut self.count),
            Key::Mfa => return Slot::Bool(&mut self.mfa),
            Key::Geo => return Slot::Place(&mut self.geo),
            Key::Contact => return Slot::Contact(&mut self.contact),
            Key::Amount => return Slot::Amount(&mut self.amount),
            Key::Balance => return Slot::Amount(&mut self.balance),
            Key::Id => &mut self.id,
            Key::Type => &mut self.kind,
            Key::Account => &mut self.account,
            Key::LoginName => &mut self.login_name,
            Key::Ip => &mut self.ip,
            Key::Device => &mut self.device,
            Key::Session => &mut self.session,
            Key::UserAgent => &mut self.user_agent,
            Key::Channel => &mut self.channel,
            Key::Client => &mut self.client,
            Key::SourceRisk => &mut self.source_risk,
            Key::Platform => &mut self.platform,
            Key::AppVersion => &mut self.app_version,
            Key::Connection => &mut self.connection,
            Key::Locale => &mut self.locale,
            Key::Zone => &mut self.zone,
            Key::Result => &mut self.result,
            Key::Reason => &mut self.reason,
            Key::Method => &mut self.method,
            Key::By => &mut self.by,
            Key::Stage => &mut self.stage,
            Key::Via => &mut self.via,
            Key::Change => &mut self.change,
            Key::Field => &mut self.field,
            Key::Old => &mut self.old,
            Key::Currency => &mut self.currency,
            Key::Status => &mut self.status,
            Key::Payee => &mut self.payee,
            Key::PayeeCountry => &mut self.payee_country,
            Key::Merchant => &mut self.merchant,
            Key::MerchantCategory => &mut self.merchant_category,
            Key::About => &mut self.about,
            Key::Answer => &mut self.answer,
            Key::State => &mut self.state,
            Key::Scope => &mut self.scope,
        })
    }

    #[inline]
    fn note(&mut self, key: Key) {
        self.present.insert(key);
    }

    fn unknown(&mut self) -> &mut u32 {
        &mut self.unknown_fields
    }
}

impl<'a> Object<'a> for RawPlace<'a> {
    type Key = PlaceKey;

    fn slot(&mut self, key: PlaceKey) -> Slot<'_, 'a> {
        match key {
            PlaceKey::Country => Slot::Text(&mut self.country),
            PlaceKey::City => Slot::Text(&mut self.city),
            PlaceKey::Latitude => Slot::Number(&mut self.latitude),
            PlaceKey::Longitude => Slot::Number(&mut self.longitude),
            PlaceKey::AccuracyKm => Slot::Number(&mut self.accuracy_km),
            PlaceKey::Asn => Slot::Asn(&mut self.asn),
            PlaceKey::Network => Slot::Text(&mut self.network),
        }
    }

    fn unknown(&mut self) -> &mut u32 {
        &mut self.unknown_fields
    }
}

impl<'a> Object<'a> for RawContact<'a> {
    type Key = ContactKey;

    fn slot(&mut self, key: ContactKey) -> Slot<'_, 'a> {
        Slot::Text(match key {
            ContactKey::Email => &mut self.email,
            ContactKey::Phone => &mut self.phone,
            ContactKey::Locale => &mut self.locale,
            ContactKey::Zone => &mut self.zone,
            ContactKey::AntiPhishing => &mut self.anti_phishing,
        })
    }

    fn unknown(&mut self) -> &mut u32 {
        &mut self.unknown_fields
    }
}
