//! The catalogue of the event's fields: name, kind, the event types that have it, and how to read it.
//!
//! Guarantees: one list is the truth for the decoder, the rule language and the documentation.
//! Does not say what a field means; the schema does.

use std::borrow::Cow;

use super::closed::*;
use super::{Event, Value};

/// The kinds of ids. They compare only with their own kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named after its field")]
pub enum IdKind {
    Event,
    Account,
    LoginName,
    Device,
    Session,
    Payee,
    Merchant,
    Client,
}

/// What kind of value a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A word of a closed list; the words each event type allows come from [`Field::words`].
    Word,
    /// Free text.
    Text,
    /// An id.
    Id(IdKind),
    /// An address.
    Ip,
    /// An autonomous system.
    Asn,
    /// A country.
    Country,
    /// Coordinates.
    Geo,
    /// A number with a fraction.
    Float,
    /// A whole number.
    Int,
    /// true or false.
    Bool,
    /// Money.
    Money,
    /// A moment.
    Time,
}

/// A set of event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeSet(u32);

impl TypeSet {
    /// No type.
    pub const NONE: TypeSet = TypeSet(0);
    /// Every type.
    pub const ALL: TypeSet = TypeSet((1 << EventType::WORDS.len()) - 1);

    /// The set of some types.
    pub const fn of(types: &[EventType]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < types.len() {
            bits |= 1 << types[at] as u32;
            at += 1;
        }
        TypeSet(bits)
    }

    /// Whether `kind` is in the set.
    pub fn has(self, kind: EventType) -> bool {
        self.has_index(kind as u32)
    }

    /// Whether the type of this index is in the set.
    pub(super) const fn has_index(self, index: u32) -> bool {
        self.0 & (1 << index) != 0
    }

    /// Whether every type of this set is in `other`.
    pub fn within(self, other: TypeSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// Both sets together.
    pub fn or(self, other: TypeSet) -> TypeSet {
        TypeSet(self.0 | other.0)
    }

    /// What both sets have.
    pub fn and(self, other: TypeSet) -> TypeSet {
        TypeSet(self.0 & other.0)
    }

    /// What is here and not in the other.
    pub fn without(self, other: TypeSet) -> TypeSet {
        TypeSet(self.0 & !other.0)
    }

    /// Whether no type is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The types, in the order of their indices.
    pub fn iter(self) -> impl Iterator<Item = EventType> {
        EventType::WORDS.iter().filter_map(|w| EventType::parse(w)).filter(move |t| self.has(*t))
    }
}

use EventType as T;
const MONEY: TypeSet = TypeSet::of(&[T::Transfer, T::Payment, T::Withdrawal, T::TopUp]);
const AMOUNT: TypeSet = MONEY.or_const(TypeSet::of(&[T::LimitChanged]));
const LOGIN: TypeSet = TypeSet::of(&[T::Login]);
const LOGIN_MFA: TypeSet = TypeSet::of(&[T::Login, T::Mfa]);
const RESET: TypeSet = TypeSet::of(&[T::PasswordReset]);
const STATUS: TypeSet = TypeSet::of(&[T::ServiceStatus]);
const REPORT: TypeSet = TypeSet::of(&[T::Report]);

impl TypeSet {
    const fn or_const(self, other: TypeSet) -> TypeSet {
        TypeSet(self.0 | other.0)
    }
}

/// A field that rules can name. `contact`, `old` and `currency` are not among them: the first two are
/// personal, the last is part of the amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is documented at the event's own field")]
pub enum Field {
    Id,
    Type,
    Time,
    Count,
    Account,
    LoginName,
    Ip,
    Device,
    Session,
    UserAgent,
    Client,
    Channel,
    Geo,
    GeoCountry,
    GeoCity,
    GeoAccuracyKm,
    GeoAsn,
    GeoNetwork,
    SourceRisk,
    Platform,
    AppVersion,
    Connection,
    Locale,
    Zone,
    Result,
    Reason,
    ReasonClass,
    Method,
    Mfa,
    By,
    Stage,
    Via,
    Change,
    Field,
    Amount,
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

/// One row of the catalogue.
struct Row {
    field: Field,
    name: &'static str,
    kind: FieldKind,
    types: TypeSet,
    words: &'static [&'static str],
}

const fn row(field: Field, name: &'static str, kind: FieldKind, types: TypeSet) -> Row {
    Row { field, name, kind, types, words: &[] }
}

const fn words(field: Field, name: &'static str, types: TypeSet, words: &'static [&'static str]) -> Row {
    Row { field, name, kind: FieldKind::Word, types, words }
}

const ALL: TypeSet = TypeSet::ALL;

#[rustfmt::skip]
const CATALOGUE: &[Row] = &[
    row(Field::Id, "id", FieldKind::Id(IdKind::Event), ALL),
    words(Field::Type, "type", ALL, EventType::WORDS),
    row(Field::Time, "time", FieldKind::Time, ALL),
    row(Field::Count, "count", FieldKind::Int, ALL),
    row(Field::Account, "account", FieldKind::Id(IdKind::Account), ALL),
    row(Field::LoginName, "login_name", FieldKind::Id(IdKind::LoginName), ALL),
    row(Field::Ip, "ip", FieldKind::Ip, ALL),
    row(Field::Device, "device", FieldKind::Id(IdKind::Device), ALL),
    row(Field::Session, "session", FieldKind::Id(IdKind::Session), ALL),
    row(Field::UserAgent, "user_agent", FieldKind::Text, ALL),
    row(Field::Client, "client", FieldKind::Id(IdKind::Client), ALL),
    words(Field::Channel, "channel", ALL, Channel::WORDS),
    row(Field::Geo, "geo", FieldKind::Geo, ALL),
    row(Field::GeoCountry, "geo.country", FieldKind::Country, ALL),
    row(Field::GeoCity, "geo.city", FieldKind::Text, ALL),
    row(Field::GeoAccuracyKm, "geo.accuracy_km", FieldKind::Float, ALL),
    row(Field::GeoAsn, "geo.asn", FieldKind::Asn, ALL),
    words(Field::GeoNetwork, "geo.network", ALL, Network::WORDS),
    words(Field::SourceRisk, "source_risk", ALL, SourceRisk::WORDS),
    row(Field::Platform, "platform", FieldKind::Text, ALL),
    row(Field::AppVersion, "app_version", FieldKind::Text, ALL),
    words(Field::Connection, "connection", ALL, Connection::WORDS),
    row(Field::Locale, "locale", FieldKind::Text, ALL),
    row(Field::Zone, "zone", FieldKind::Text, ALL),
    words(Field::Result, "result", LOGIN_MFA, Outcome::WORDS),
    words(Field::Reason, "reason", LOGIN, Reason::WORDS),
    words(Field::ReasonClass, "reason_class", LOGIN, ReasonClass::WORDS),
    words(Field::Method, "method", LOGIN_MFA, Method::WORDS),
    row(Field::Mfa, "mfa", FieldKind::Bool, LOGIN),
    words(Field::By, "by", TypeSet::of(&[T::Logout, T::Lock, T::Report]), Actor::WORDS),
    words(Field::Stage, "stage", RESET, Stage::WORDS),
    words(Field::Via, "via", RESET, Via::WORDS),
    words(Field::Change, "change", TypeSet::of(&[T::MfaChanged, T::Lock]), Change::WORDS),
    words(Field::Field, "field", TypeSet::of(&[T::ContactChanged]), ContactField::WORDS),
    row(Field::Amount, "amount", FieldKind::Money, AMOUNT),
    words(Field::Status, "status", MONEY, Status::WORDS),
    row(Field::Payee, "payee", FieldKind::Id(IdKind::Payee),
        MONEY.or_const(TypeSet::of(&[T::PayeeAdded, T::Report]))),
    row(Field::PayeeCountry, "payee_country", FieldKind::Country, MONEY),
    row(Field::Balance, "balance", FieldKind::Money, MONEY),
    row(Field::Merchant, "merchant", FieldKind::Id(IdKind::Merchant), MONEY),
    row(Field::MerchantCategory, "merchant_category", FieldKind::Text, MONEY),
    row(Field::About, "about", FieldKind::Text, REPORT),
    words(Field::Answer, "answer", REPORT, Answer::WORDS),
    words(Field::State, "state", STATUS, ServiceState::WORDS),
    words(Field::Scope, "scope", STATUS, Scope::WORDS),
    row(Field::Until, "until", FieldKind::Time, STATUS),
];

impl Field {
    /// Every field, in the catalogue's order.
    pub fn all() -> impl Iterator<Item = Field> {
        CATALOGUE.iter().map(|row| row.field)
    }

    /// The field of a name. `country`, `city`, `asn`, `network` alone mean `geo.…`.
    pub fn parse(name: &str) -> Option<Field> {
        let is = |row: &&Row| {
            row.name == name
                || (row.name.strip_prefix("geo.") == Some(name)
                    && matches!(name, "country" | "city" | "asn" | "network"))
        };
        CATALOGUE.iter().find(is).map(|row| row.field)
    }

    const fn row(self) -> &'static Row {
        // The catalogue is written in the order of the enum; a test holds it there.
        &CATALOGUE[self as usize]
    }

    /// The name rules use.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The kind of its values.
    pub fn kind(self) -> FieldKind {
        self.row().kind
    }

    /// The event types that have it.
    pub const fn types(self) -> TypeSet {
        self.row().types
    }

    /// All words of a [`FieldKind::Word`] field, in the order of their indices.
    pub fn words(self) -> &'static [&'static str] {
        self.row().words
    }

    /// The words this field takes on events of one type: `result` of a login is success or failure.
    pub fn words_on(self, kind: EventType) -> &'static [&'static str] {
        match (self, kind) {
            (Field::Result, T::Login) => &["success", "failure"],
            (Field::Method, T::Login) => &["password", "biometric", "code", "passkey", "sso"],
            (Field::Method, T::Mfa) => &["sms", "totp", "push", "email"],
            (Field::Change, T::MfaChanged) => &["enabled", "disabled", "replaced"],
            (Field::Change, T::Lock) => &["locked", "unlocked"],
            _ => self.words(),
        }
    }

    /// Whether an explanation or evidence must not show it.
    pub fn is_personal(self) -> bool {
        matches!(self, Field::LoginName | Field::UserAgent)
    }

    /// Its value on an event.
    pub fn value<'e>(self, event: &'e Event<'_>) -> Value<'e> {
        fn text<'e>(text: &'e Option<Cow<'_, str>>) -> Value<'e> {
            text.as_deref().map_or(Value::Missing, |t| Value::Text(Cow::Borrowed(t)))
        }
        fn word<C: Closed>(value: Option<C>) -> Value<'static> {
            value.map_or(Value::Missing, |v| Value::Word(v.word()))
        }
        fn or<'e, V>(value: Option<V>, make: impl Fn(V) -> Value<'e>) -> Value<'e> {
            value.map_or(Value::Missing, make)
        }
        match self {
            Field::Id => Value::Text(Cow::Borrowed(&event.id)),
            Field::Type => Value::Word(event.kind.word()),
            Field::Time => Value::Time(event.time),
            Field::Count => Value::Int(i64::from(event.count)),
            Field::Account => text(&event.account),
            Field::LoginName => text(&event.login_name),
            Field::Ip => or(event.ip, Value::Ip),
            Field::Device => text(&event.device),
            Field::Session => text(&event.session),
            Field::UserAgent => text(&event.user_agent),
            Field::Client => text(&event.client),
            Field::Channel => word(event.channel),
            Field::Geo => or(event.geo.point, Value::Geo),
            Field::GeoCountry => or(event.geo.country, Value::Country),
            Field::GeoCity => text(&event.geo.city),
            Field::GeoAccuracyKm => or(event.geo.accuracy_km, Value::Float),
            Field::GeoAsn => or(event.geo.asn, Value::Asn),
            Field::GeoNetwork => word(event.geo.network),
            Field::SourceRisk => word(event.source_risk),
            Field::Platform => text(&event.platform),
            Field::AppVersion => text(&event.app_version),
            Field::Connection => word(event.connection),
            Field::Locale => text(&event.locale),
            Field::Zone => text(&event.zone),
            Field::Result => word(event.result),
            Field::Reason => word(event.reason),
            Field::ReasonClass => word(event.reason.map(super::Reason::class)),
            Field::Method => word(event.method),
            Field::Mfa => or(event.mfa, Value::Bool),
            Field::By => word(event.by),
            Field::Stage => word(event.stage),
            Field::Via => word(event.via),
            Field::Change => word(event.change),
            Field::Field => word(event.field),
            Field::Amount => or(event.amount, Value::Money),
            Field::Status => word(event.status),
            Field::Payee => text(&event.payee),
            Field::PayeeCountry => or(event.payee_country, Value::Country),
            Field::Balance => or(event.balance, Value::Money),
            Field::Merchant => text(&event.merchant),
            Field::MerchantCategory => text(&event.merchant_category),
            Field::About => text(&event.about),
            Field::Answer => word(event.answer),
            Field::State => word(event.state),
            Field::Scope => word(event.scope),
            Field::Until => or(event.until, Value::Time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_in_the_order_of_the_enum() {
        for (at, row) in CATALOGUE.iter().enumerate() {
            assert_eq!(row.field as usize, at, "{}", row.name);
        }
        assert_eq!(Field::all().count(), Field::Until as usize + 1);
    }

    #[test]
    fn bare_parts_of_the_place_are_names() {
        assert_eq!(Field::parse("country"), Some(Field::GeoCountry));
        assert_eq!(Field::parse("accuracy_km"), None);
        assert_eq!(Field::parse("geo.accuracy_km"), Some(Field::GeoAccuracyKm));
    }
}
