//! From a record's fields to an event: every rule of the schema that JSON types do not say.
//!
//! Guarantees: what passes is a valid [`Event`]; the first problem in the order of the schema is told,
//! the type's first of all. Does not parse JSON.

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::value::RawValue;

use super::{Decoded, Limits};
use crate::event::key::{Key, KeySet};
use crate::event::raw::{Moment, Raw, RawAsn, RawContact, RawPlace};
use crate::event::{
    Closed, Contact, Country, Currency, Event, EventType, Field, Millis, Money, Outcome, Place, Point, Reason,
    RejectReason, Rejection, Text,
};

/// Judges a record's fields, taking them out of `raw`.
pub(super) fn judge<'a>(raw: &mut Raw<'a>, now: Millis, limits: &Limits) -> Result<Decoded<'a>, Rejection> {
    let kind = kind(raw)?;
    let mut unknown_fields = raw.unknown_fields.saturating_add(drop_foreign(raw, kind));
    let place = raw.geo.take();
    let contact = raw.contact.take();
    unknown_fields = unknown_fields
        .saturating_add(place.as_ref().map_or(0, |p| p.unknown_fields))
        .saturating_add(contact.as_ref().map_or(0, |c| c.unknown_fields));
    let texts = Texts { limits };
    let words = Words { kind };
    let id = required("id", texts.id("id", raw.id.take())?)?;
    let time = time(raw.time.take(), now, limits)?;
    let account = texts.id("account", raw.account.take())?;
    let result = words.read(Field::Result, &raw.result)?;
    let currency = currency(&raw.currency)?;
    let event = Event {
        id,
        kind,
        time,
        account,
        login_name: texts.read("login_name", raw.login_name.take())?,
        count: count(raw.count)?,
        ip: ip(&raw.ip)?,
        device: texts.read("device", raw.device.take())?,
        session: texts.read("session", raw.session.take())?,
        user_agent: texts.read("user_agent", raw.user_agent.take())?,
        channel: words.read(Field::Channel, &raw.channel)?,
        client: texts.read("client", raw.client.take())?,
        geo: match place {
            Some(place) => geo(place, &texts, &words)?,
            None => Place::default(),
        },
        source_risk: words.read(Field::SourceRisk, &raw.source_risk)?,
        platform: texts.read("platform", raw.platform.take())?,
        app_version: texts.read("app_version", raw.app_version.take())?,
        connection: words.read(Field::Connection, &raw.connection)?,
        locale: texts.read("locale", raw.locale.take())?,
        zone: texts.read("zone", raw.zone.take())?,
        contact: match contact {
            Some(contact) => read_contact(contact, &texts)?,
            None => None,
        },
        result,
        reason: reason(kind, result, &raw.reason),
        method: words.read(Field::Method, &raw.method)?,
        mfa: raw.mfa,
        by: words.read(Field::By, &raw.by)?,
        stage: words.read(Field::Stage, &raw.stage)?,
        via: words.read(Field::Via, &raw.via)?,
        change: words.read(Field::Change, &raw.change)?,
        field: words.read(Field::Field, &raw.field)?,
        old: texts.read("old", raw.old.take())?,
        amount: money("amount", raw.amount, currency)?,
        status: words.read(Field::Status, &raw.status)?,
        payee: texts.read("payee", raw.payee.take())?,
        payee_country: country("payee_country", &raw.payee_country)?,
        balance: money("balance", raw.balance, currency)?,
        merchant: texts.read("merchant", raw.merchant.take())?,
        merchant_category: texts.read("merchant_category", raw.merchant_category.take())?,
        about: texts.read("about", raw.about.take())?,
        answer: words.read(Field::Answer, &raw.answer)?,
        state: words.read(Field::State, &raw.state)?,
        scope: words.read(Field::Scope, &raw.scope)?,
        until: match raw.until.take() {
            Some(moment) => read_moment("until", moment)?,
            None => None,
        },
    };
    complete(&event)?;
    Ok(Decoded { event, unknown_fields })
}

fn kind(raw: &Raw<'_>) -> Result<EventType, Rejection> {
    let word = required("type", present(&raw.kind))?;
    EventType::parse(word).ok_or_else(|| unknown_word("type", RejectReason::UnknownType, EventType::WORDS))
}

/// Forgets the fields that the type does not have, and a success's reason. How many there were.
fn drop_foreign(raw: &mut Raw<'_>, kind: EventType) -> u32 {
    let mut foreign = raw.present.without(KeySet::of(kind));
    if kind == EventType::Login && raw.present.has(Key::Reason) && raw.result.as_deref() == Some("success") {
        foreign.insert(Key::Reason);
    }
    if foreign.is_empty() {
        return 0;
    }
    foreign.iter().inspect(|key| raw.forget(*key)).fold(0, |n, _| n + 1)
}

/// The fields that the type cannot be without.
fn complete(event: &Event<'_>) -> Result<(), Rejection> {
    use EventType::*;
    let may_lack_account = match event.kind {
        Login => event.result == Some(Outcome::Failure),
        PasswordReset | ServiceStatus => true,
        _ => false,
    };
    let needs = |field, is_there| if is_there { Ok(()) } else { Err(missing(field)) };
    // Without its result a login is not known to be a failed one: the result is what is missing.
    if matches!(event.kind, Login | Mfa) {
        needs("result", event.result.is_some())?;
    }
    needs("account", event.account.is_some() || may_lack_account)?;
    match event.kind {
        PasswordReset => needs("stage", event.stage.is_some()),
        MfaChanged | Lock => needs("change", event.change.is_some()),
        ContactChanged => needs("field", event.field.is_some()),
        PayeeAdded => needs("payee", event.payee.is_some()),
        // Where there is an amount, there was a currency to read it by.
        LimitChanged | Transfer | Payment | Withdrawal | TopUp => needs("amount", event.amount.is_some()),
        Report => {
            needs("about", event.about.is_some())?;
            needs("answer", event.answer.is_some())
        }
        ServiceStatus => needs("state", event.state.is_some()),
        Login | Logout | Mfa | PasswordChanged | SimChanged | DeviceBound | DeviceRemoved => Ok(()),
    }
}

// === Texts ===

struct Texts<'l> {
    limits: &'l Limits,
}

impl Texts<'_> {
    /// A text within its limit; an empty one is absent.
    #[inline]
    fn read<'a>(&self, field: &'static str, text: Option<Text<'a>>) -> Result<Option<Text<'a>>, Rejection> {
        match text {
            Some(text) if text.len() > self.limits.text_bytes_max => Err(self.too_long(field)),
            Some(text) if text.is_empty() => Ok(None),
            other => Ok(other),
        }
    }

    /// An id within its limit; an empty one is absent.
    #[inline]
    fn id<'a>(&self, field: &'static str, text: Option<Text<'a>>) -> Result<Option<Text<'a>>, Rejection> {
        let max = self.limits.id_chars_max;
        match text {
            // No text has more characters than bytes.
            Some(text) if text.len() > max && text.chars().nth(max).is_some() => Err(self.too_long_id(field)),
            Some(text) if text.is_empty() => Ok(None),
            other => Ok(other),
        }
    }

    #[cold]
    fn too_long(&self, field: &'static str) -> Rejection {
        let detail = format!("at most {} bytes are expected", self.limits.text_bytes_max);
        Rejection::of(field, RejectReason::TooLong, detail)
    }

    #[cold]
    fn too_long_id(&self, field: &'static str) -> Rejection {
        let detail = format!("at most {} characters are expected", self.limits.id_chars_max);
        Rejection::of(field, RejectReason::TooLong, detail)
    }
}

/// The text of a field, empty being absent.
#[inline]
fn present<'t>(text: &'t Option<Text<'_>>) -> Option<&'t str> {
    text.as_deref().filter(|t| !t.is_empty())
}

fn read_contact<'a>(raw: RawContact<'a>, texts: &Texts<'_>) -> Result<Option<Box<Contact<'a>>>, Rejection> {
    let contact = Contact {
        email: texts.read("contact.email", raw.email)?,
        phone: texts.read("contact.phone", raw.phone)?,
        locale: texts.read("contact.locale", raw.locale)?,
        zone: texts.read("contact.zone", raw.zone)?,
        anti_phishing: texts.read("contact.anti_phishing", raw.anti_phishing)?,
    };
    Ok((contact != Contact::default()).then(|| Box::new(contact)))
}

// === Words ===

struct Words {
    kind: EventType,
}

impl Words {
    /// A word that this event type allows in the field.
    #[inline]
    fn read<C: Closed>(&self, field: Field, text: &Option<Text<'_>>) -> Result<Option<C>, Rejection> {
        let Some(word) = present(text) else { return Ok(None) };
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
    failed.then(|| present(text).and_then(Reason::parse).unwrap_or(Reason::Other))
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
    let Some(text) = present(text) else { return Ok(None) };
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(Some(ip.to_canonical())),
        Err(_) => Err(bad("ip", "an IPv4 or IPv6 address is expected")),
    }
}

fn time(moment: Option<Moment<'_>>, now: Millis, limits: &Limits) -> Result<Millis, Rejection> {
    let moment = match moment {
        Some(moment) => read_moment("time", moment)?,
        None => None,
    };
    let time = required("time", moment)?;
    if time.since(now) > limits.future_ms_max {
        let detail = format!("at most {} ms after now are expected", limits.future_ms_max);
        return Err(Rejection::of("time", RejectReason::TimeInFuture, detail));
    }
    Ok(time)
}

fn read_moment(field: &'static str, moment: Moment<'_>) -> Result<Option<Millis>, Rejection> {
    let read = match moment {
        Moment::Text(text) if text.is_empty() => return Ok(None),
        Moment::Text(text) => Millis::parse(&text),
        Moment::Millis(ms) => Millis(ms).checked(),
    };
    read.map(Some)
        .ok_or_else(|| bad(field, "RFC 3339 with an offset, or whole milliseconds since 1970, years 0 to 9999"))
}

fn currency(code: &Option<Text<'_>>) -> Result<Option<Currency>, Rejection> {
    let Some(code) = present(code) else { return Ok(None) };
    match Currency::parse(code) {
        Some(currency) => Ok(Some(currency)),
        None => Err(bad("currency", "an ISO 4217 code such as CNY is expected")),
    }
}

/// An amount from the JSON text of a decimal text or a number; it needs a currency.
fn money(field: &'static str, json: Option<&RawValue>, currency: Option<Currency>) -> Result<Option<Money>, Rejection> {
    let Some(json) = json else { return Ok(None) };
    let decimal = match json.get().as_bytes() {
        [b'"', ..] => unquote(json.get()),
        [b'-' | b'0'..=b'9', ..] => Some(Cow::Borrowed(json.get())),
        _ => None,
    };
    let decimal = decimal.ok_or_else(|| bad(field, "a decimal number, as text or number, is expected"))?;
    if decimal.is_empty() {
        return Ok(None);
    }
    let currency = required("currency", currency)?;
    Money::parse(&decimal, currency).map(Some).map_err(|e| bad(field, &e.to_string()))
}

/// The text that a JSON text stands for.
fn unquote(json: &str) -> Option<Text<'_>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

fn country(field: &'static str, code: &Option<Text<'_>>) -> Result<Option<Country>, Rejection> {
    let Some(code) = present(code) else { return Ok(None) };
    match Country::parse(code) {
        Some(country) => Ok(Some(country)),
        None => Err(bad(field, "a code of two letters is expected")),
    }
}

fn geo<'a>(raw: RawPlace<'a>, texts: &Texts<'_>, words: &Words) -> Result<Place<'a>, Rejection> {
    let latitude = degrees("geo.latitude", raw.latitude, 90.0)?;
    let longitude = degrees("geo.longitude", raw.longitude, 180.0)?;
    if raw.accuracy_km.is_some_and(|km| km < 0.0) {
        return Err(bad("geo.accuracy_km", "0 or more is expected"));
    }
    Ok(Place {
        country: country("geo.country", &raw.country)?,
        city: texts.read("geo.city", raw.city)?,
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
        Some(RawAsn::Text(text)) if text.is_empty() => return Ok(None),
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
