//! [`Event`] → the schema's JSON: what the generator writes and the decoder reads back.
//!
//! Guarantees: a valid event is read back equal; absent fields are not written; the same event gives the
//! same bytes. Does not check that an event is valid.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Contact, Event, Place};

/// Writes an event as one JSON object, without a line end, after what `out` holds.
pub fn encode(event: &Event<'_>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    serde_json::to_writer(out, &Record(event))
}

/// Writes a field where there is a value.
fn put<M: SerializeMap, V: Serialize>(map: &mut M, name: &'static str, value: Option<V>) -> Result<(), M::Error> {
    match value {
        Some(value) => map.serialize_entry(name, &value),
        None => Ok(()),
    }
}

struct Record<'e>(&'e Event<'e>);

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = s.serialize_map(None)?;
        common(&mut map, event)?;
        own(&mut map, event)?;
        map.end()
    }
}

/// The fields that every type has.
fn common<M: SerializeMap>(map: &mut M, event: &Event<'_>) -> Result<(), M::Error> {
    put(map, "id", Some(&event.id))?;
    put(map, "type", Some(event.kind))?;
    put(map, "time", Some(event.time))?;
    put(map, "account", event.account.as_deref())?;
    put(map, "login_name", event.login_name.as_deref())?;
    put(map, "count", Some(event.count).filter(|n| *n != 1))?;
    put(map, "ip", event.ip)?;
    put(map, "device", event.device.as_deref())?;
    put(map, "session", event.session.as_deref())?;
    put(map, "user_agent", event.user_agent.as_deref())?;
    put(map, "channel", event.channel)?;
    put(map, "client", event.client.as_deref())?;
    put(map, "geo", Some(PlacePart(&event.geo)).filter(|place| *place.0 != Place::default()))?;
    put(map, "source_risk", event.source_risk)?;
    put(map, "platform", event.platform.as_deref())?;
    put(map, "app_version", event.app_version.as_deref())?;
    put(map, "connection", event.connection)?;
    put(map, "locale", event.locale.as_deref())?;
    put(map, "zone", event.zone.as_deref())?;
    put(map, "contact", event.contact.as_deref().map(ContactPart))
}

/// The fields that only some types have.
fn own<M: SerializeMap>(map: &mut M, event: &Event<'_>) -> Result<(), M::Error> {
    put(map, "result", event.result)?;
    put(map, "reason", event.reason)?;
    put(map, "method", event.method)?;
    put(map, "mfa", event.mfa)?;
    put(map, "by", event.by)?;
    put(map, "stage", event.stage)?;
    put(map, "via", event.via)?;
    put(map, "change", event.change)?;
    put(map, "field", event.field)?;
    put(map, "old", event.old.as_deref())?;
    put(map, "amount", event.amount.map(|money| money.decimal()))?;
    put(map, "currency", event.amount.map(|money| money.currency.code()))?;
    put(map, "status", event.status)?;
    put(map, "payee", event.payee.as_deref())?;
    put(map, "payee_country", event.payee_country)?;
    put(map, "balance", event.balance.map(|money| money.decimal()))?;
    put(map, "merchant", event.merchant.as_deref())?;
    put(map, "merchant_category", event.merchant_category.as_deref())?;
    put(map, "about", event.about.as_deref())?;
    put(map, "answer", event.answer)?;
    put(map, "state", event.state)?;
    put(map, "scope", event.scope)?;
    put(map, "until", event.until)
}

struct PlacePart<'e>(&'e Place<'e>);

impl Serialize for PlacePart<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let place = self.0;
        let mut map = s.serialize_map(None)?;
        put(&mut map, "country", place.country)?;
        put(&mut map, "city", place.city.as_deref())?;
        put(&mut map, "latitude", place.point.map(|p| p.latitude))?;
        put(&mut map, "longitude", place.point.map(|p| p.longitude))?;
        put(&mut map, "accuracy_km", place.accuracy_km)?;
        put(&mut map, "asn", place.asn)?;
        put(&mut map, "network", place.network)?;
        map.end()
    }
}

struct ContactPart<'e>(&'e Contact<'e>);

impl Serialize for ContactPart<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let contact = self.0;
        let mut map = s.serialize_map(None)?;
        put(&mut map, "email", contact.email.as_deref())?;
        put(&mut map, "phone", contact.phone.as_deref())?;
        put(&mut map, "locale", contact.locale.as_deref())?;
        put(&mut map, "zone", contact.zone.as_deref())?;
        put(&mut map, "anti_phishing", contact.anti_phishing.as_deref())?;
        map.end()
    }
}
