//! From a record's fields to an event: every rule of the schema that JSON types do not say.
//!
//! Guarantees: what passes is a valid [`Event`]; the first problem in the order of the schema is told,
//! the type's first of all. Does not parse JSON.

use std::net::IpAddr;

use super::{Decoded, Limits};
use crate::event::key::{Key, KeySet, Name};
use crate::event::raw::{Moment, Raw, RawAmount, RawAsn, RawContact, RawPlace};
use crate::event::time::{TIME_MS_MAX, TIME_MS_MIN};
use crate::event::{
    Closed, Contact, Country, Currency, Event, EventType, Field, Millis, Money, Outcome, Place, Point, Reason,
    RejectReason, Rejection, Text,
};

/// Judges the fields of a record of `record_bytes`, taking them out of `raw`.
pub(super) fn judge<'a>(
    raw: &mut Raw<'a>,
    record_bytes: usize,
    now: Millis,
    limits: &Limits,
) -> Result<Decoded<'a>, Rejection> {
    let kind = kind(raw)?;
    let dropped = drop_foreign(raw, kind);
    let id = required("id", raw.id.take())?;
    let time = required("time", time(raw.time.take())?)?;
    complete(raw, kind)?;
    ids(&id, raw, limits)?;
    // No text is longer than its record.
    if record_bytes > limits.text_bytes_max {
        texts(raw, limits)?;
    }
    if time.0 > TIME_MS_MAX || time.since(now) > limits.future_ms_max {
        return Err(in_future(limits));
    }
    let words = Words { kind };
    let result = words.read(Field::Result, &raw.result)?;
    let currency = currency(&raw.currency)?;
    let unknown_fields = unknown_fields(raw).saturating_add(dropped);
    let event = Event {
        id,
        kind,
        time,
        account: raw.account.take(),
        login_name: raw.login_name.take(),
        count: count(raw.count)?,
        ip: ip(&raw.ip)?,
        device: raw.device.take(),
        session: raw.session.take(),
        user_agent: raw.user_agent.take(),
        channel: words.read(Field::Channel, &raw.channel)?,
        client: raw.client.take(),
        geo: match raw.geo.take() {
            Some(place) => geo(place, &words)?,
            None => Place::default(),
        },
        source_risk: words.read(Field::SourceRisk, &raw.source_risk)?,
        platform: raw.platform.take(),
        app_version: raw.app_version.take(),
        connection: words.read(Field::Connection, &raw.connection)?,
        locale: raw.locale.take(),
        zone: raw.zone.take(),
        contact: raw.contact.take().and_then(contact),
        result,
        reason: reason(kind, result, &raw.reason),
        method: words.read(Field::Method, &raw.method)?,
        mfa: raw.mfa,
        by: words.read(Field::By, &raw.by)?,
        stage: words.read(Field::Stage, &raw.stage)?,
        via: words.read(Field::Via, &raw.via)?,
        change: words.read(Field::Change, &raw.change)?,
        field: words.read(Field::Field, &raw.field)?,
        old: raw.old.take(),
        amount: money("amount", &raw.amount, currency)?,
        status: words.read(Field::Status, &raw.status)?,
        payee: raw.payee.take(),
        payee_country: country("payee_country", &raw.payee_country)?,
        balance: money("balance", &raw.balance, currency)?,
        merchant: raw.merchant.take(),
        merchant_category: raw.merchant_category.take(),
        about: raw.about.take(),
        answer: words.read(Field::Answer, &raw.answer)?,
        state: words.read(Field::State, &raw.state)?,
        scope: words.read(Field::Scope, &raw.scope)?,
        until: moment("until", raw.until.take())?,
    };
    Ok(Decoded { event, unknown_fields })
}

fn kind(raw: &Raw<'_>) -> Result<EventType, Rejection> {
    let word = required("type", raw.kind.as_deref())?;
    EventType::parse(word).ok_or_else(|| unknown_word("type", RejectReason::UnknownType, EventType::WORDS))
}

/// Forgets the fields that the type does not have, and a success's reason. How many there were.
fn drop_foreign(raw: &mut Raw<'_>, kind: EventType) -> u32 {
    let mut foreign = raw.present.without(KeySet::of(kind));
    if raw.present.has(Key::Reason) && raw.result.as_deref() == Some("success") {
        foreign.insert(Key::Reason);
    }
    if foreign.is_empty() {
        return 0;
    }
    foreign.iter().inspect(|key| raw.forget(*key)).fold(0, |n, _| n + 1)
}

fn unknown_fields(raw: &Raw<'_>) -> u32 {
    let of_place = raw.geo.as_ref().map_or(0, |place| place.unknown_fields);
    let of_contact = raw.contact.as_ref().map_or(0, |contact| contact.unknown_fields);
    raw.unknown_fields.saturating_add(of_place).saturating_add(of_contact)
}

/// The fields that the type cannot be without.
pub(super) fn needed(kind: EventType, is_success: bool) -> &'static [Key] {
    use EventType::*;
    match kind {
        Login if !is_success => &[Key::Result],
        Login | Mfa => &[Key::Result, Key::Account],
        PasswordReset => &[Key::Stage],
        MfaChanged | Lock => &[Key::Account, Key::Change],
        ContactChanged => &[Key::Account, Key::Field],
        PayeeAdded => &[Key::Account, Key::Payee],
        LimitChanged | Transfer | Payment | Withdrawal | TopUp => &[Key::Account, Key::Amount, Key::Currency],
        Report => &[Key::Account, Key::About, Key::Answer],
        ServiceStatus => &[Key::State],
        Logout | PasswordChanged | SimChanged | DeviceBound | DeviceRemoved => &[Key::Account],
    }
}

fn complete(raw: &Raw<'_>, kind: EventType) -> Result<(), Rejection> {
    let needed = needed(kind, raw.result.as_deref() == Some("success"));
    match needed.iter().find(|key| !raw.present.has(**key)) {
        Some(key) => Err(missing(key.path())),
        None => Ok(()),
    }
}

// === Texts ===

fn ids(id: &str, raw: &Raw<'_>, limits: &Limits) -> Result<(), Rejection> {
    let max = limits.id_chars_max;
    // No text has more characters than bytes.
    let fits = |text: &str| text.len() <= max || text.chars().nth(max).is_none();
    let detail = || format!("at most {max} characters are expected");
    if !fits(id) {
        return Err(Rejection::of("id", RejectReason::TooLong, detail()));
    }
    if !raw.account.as_deref().is_none_or(fits) {
        return Err(Rejection::of("account", RejectReason::TooLong, detail()));
    }
    Ok(())
}

/// Whether every free text is within its limit.
fn texts(raw: &Raw<'_>, limits: &Limits) -> Result<(), Rejection> {
    let (place, contact) = (raw.geo.as_ref(), raw.contact.as_ref());
    let texts = [
        ("login_name", raw.login_name.as_deref()),
        ("device", raw.device.as_deref()),
        ("session", raw.session.as_deref()),
        ("user_agent", raw.user_agent.as_deref()),
        ("client", raw.client.as_deref()),
        ("geo.city", place.and_then(|p| p.city.as_deref())),
        ("platform", raw.platform.as_deref()),
        ("app_version", raw.app_version.as_deref()),
        ("locale", raw.locale.as_deref()),
        ("zone", raw.zone.as_deref()),
        ("contact.email", contact.and_then(|c| c.email.as_deref())),
        ("contact.phone", contact.and_then(|c| c.phone.as_deref())),
        ("contact.locale", contact.and_then(|c| c.locale.as_deref())),
        ("contact.zone", contact.and_then(|c| c.zone.as_deref())),
        ("contact.anti_phishing", contact.and_then(|c| c.anti_phishing.as_deref())),
        ("old", raw.old.as_deref()),
        ("payee", raw.payee.as_deref()),
        ("merchant", raw.merchant.as_deref()),
        ("merchant_category", raw.merchant_category.as_deref()),
        ("about", raw.about.as_deref()),
    ];
    match texts.iter().find(|(_, text)| text.is_some_and(|t| t.len() > limits.text_bytes_max)) {
        Some((field, _)) => {
            let detail = format!("at most {} bytes are expected", limits.text_bytes_max);
            Err(Rejection::of(field, RejectReason::TooLong, detail))
        }
        None => Ok(()),
    }
}

/// A contact that says nothing is none.
fn contact(raw: RawContact<'_>) -> Option<Box<Contact<'_>>> {
    let RawContact { email, phone, locale, zone, anti_phishing, unknown_fields: _ } = raw;
    let contact = Contact { email, phone, locale, zone, anti_phishing };
    (contact != Contact::default()).then(|| Box::new(contact))
}

// === Words ===

struct Words {
    kind: EventType,
}

impl Words {
    /// A word that this event type allows in the field.
    #[inline]
    fn read<C: Closed>(&self, field: Field, text: &Option<Text<'_>>) -> Result<Option<C>, Rejection> {
        let Some(word) = text.as_deref() else { return Ok(None) };
        match C::parse(word) {
            Some(value) if self.allows(field, value) => Ok(Some(value)),
            _ => Err(unknown_word(field.name(), RejectReason::BadValue, field.words_on(self.kind))),
        }
    }

    /// Whether the type takes this word of the field's list; most fields take all of theirs.
    #[inline]
    fn allows<C: Closed>(&self, field: Field, value: C) -> bool {
        !matches!(field, Field::Result | Field::Method | Field::Change)
            || field.words_on(self.kind).contains(&value.word())
    }
}

/// Why a login failed; `None` where none did.
fn reason(kind: EventType, result: Option<Outcome>, text: &Option<Text<'_>>) -> Option<Reason> {
    let failed = kind == EventType::Login && result == Some(Outcome::Failure);
    failed.then(|| text.as_deref().and_then(Reason::parse).unwrap_or(Reason::Other))
}

// === Values ===

fn count(count: Option<u64>) -> Result<u32, Rejection> {
    match count.map_or(Ok(1), u32::try_from) {
        Ok(count) if count >= 1 => Ok(count),
        _ => Err(bad("count", "a whole number from 1 to 4294967295 is expected")),
    }
}

/// An IPv4 address written as IPv6 is the IPv4 address.
fn ip(text: &Option<Text<'_>>) -> Result<Option<IpAddr>, Rejection> {
    let Some(text) = text.as_deref() else { return Ok(None) };
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(Some(ip.to_canonical())),
        Err(_) => Err(bad("ip", "an IPv4 or IPv6 address is expected")),
    }
}

/// When it happened. There is no latest: a time of the year 9999 or later is a time, of a clock that is wrong.
fn time(time: Option<Moment<'_>>) -> Result<Option<Millis>, Rejection> {
    let Some(time) = time else { return Ok(None) };
    unbounded(&time).filter(|time| time.0 >= TIME_MS_MIN).map(Some).ok_or_else(|| no_moment("time"))
}

fn moment(field: &'static str, moment: Option<Moment<'_>>) -> Result<Option<Millis>, Rejection> {
    let Some(moment) = moment else { return Ok(None) };
    unbounded(&moment).and_then(Millis::checked).map(Some).ok_or_else(|| no_moment(field))
}

fn unbounded(moment: &Moment<'_>) -> Option<Millis> {
    match moment {
        Moment::Text(text) => Millis::parse_unbounded(text),
        Moment::Millis(ms) => Some(Millis(*ms)),
    }
}

#[cold]
fn no_moment(field: &'static str) -> Rejection {
    bad(field, "RFC 3339 with an offset, or whole milliseconds since 1970, years 0 to 9999, is expected")
}

#[cold]
fn in_future(limits: &Limits) -> Rejection {
    let detail = format!("at most {} ms after now are expected", limits.future_ms_max);
    Rejection::of("time", RejectReason::TimeInFuture, detail)
}

fn currency(code: &Option<Text<'_>>) -> Result<Option<Currency>, Rejection> {
    let Some(code) = code.as_deref() else { return Ok(None) };
    match Currency::parse(code) {
        Some(currency) => Ok(Some(currency)),
        None => Err(bad("currency", "an ISO 4217 code such as CNY is expected")),
    }
}

/// An amount; it needs a currency.
fn money(
    field: &'static str,
    amount: &Option<RawAmount<'_>>,
    currency: Option<Currency>,
) -> Result<Option<Money>, Rejection> {
    let decimal: &str = match amount {
        None => return Ok(None),
        Some(RawAmount::Text(text)) => text,
        Some(RawAmount::Number(number)) => number,
    };
    let currency = required("currency", currency)?;
    Money::parse(decimal, currency).map(Some).map_err(|e| bad(field, &e.to_string()))
}

fn country(field: &'static str, code: &Option<Text<'_>>) -> Result<Option<Country>, Rejection> {
    let Some(code) = code.as_deref() else { return Ok(None) };
    match Country::parse(code) {
        Some(country) => Ok(Some(country)),
        None => Err(bad(field, "a code of two letters is expected")),
    }
}

fn geo<'a>(raw: RawPlace<'a>, words: &Words) -> Result<Place<'a>, Rejection> {
    let latitude = degrees("geo.latitude", raw.latitude, 90.0)?;
    let longitude = degrees("geo.longitude", raw.longitude, 180.0)?;
    if raw.accuracy_km.is_some_and(|km| km < 0.0) {
        return Err(bad("geo.accuracy_km", "0 or more is expected"));
    }
    Ok(Place {
        country: country("geo.country", &raw.country)?,
        city: raw.city,
        // Half a point is none.
        point: latitude.zip(longitude).map(|(latitude, longitude)| Point { latitude, longitude }),
        accuracy_km: raw.accuracy_km,
        asn: asn(raw.asn)?,
        network: words.read(Field::GeoNetwork, &raw.network)?,
    })
}

fn degrees(field: &'static str, value: Option<f64>, max: f64) -> Result<Option<f64>, Rejection> {
    match value {
        Some(degrees) if degrees.abs() > max => Err(bad(field, &format!("-{max} to {max} degrees are expected"))),
        other => Ok(other),
    }
}

fn asn(asn: Option<RawAsn<'_>>) -> Result<Option<u32>, Rejection> {
    let number = match asn {
        None => return Ok(None),
        Some(RawAsn::Number(number)) => u32::try_from(number).ok(),
        Some(RawAsn::Text(text)) => text
            .strip_prefix("AS")
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok()),
    };
    number.map(Some).ok_or_else(|| bad("geo.asn", "a whole number of 32 bits, or a text such as AS64500, is expected"))
}

// === Refusals ===

fn required<T>(field: &'static str, value: Option<T>) -> Result<T, Rejection> {
    value.ok_or_else(|| missing(field))
}

#[cold]
fn missing(field: &'static str) -> Rejection {
    let who = if matches!(field, "id" | "type" | "time") { "every event" } else { "the event's type" };
    Rejection::of(field, RejectReason::MissingField, format!("{who} needs it"))
}

#[cold]
fn bad(field: &'static str, detail: &str) -> Rejection {
    Rejection::of(field, RejectReason::BadValue, detail)
}

#[cold]
fn unknown_word(field: &'static str, reason: RejectReason, words: &[&str]) -> Rejection {
    Rejection::of(field, reason, format!("one of {} is expected", words.join(", ")))
}
