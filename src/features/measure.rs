//! What an event brings to a feature: a value to tell apart, or an amount to add.
//!
//! Guarantees: equal values give equal numbers; IPv6 is folded to its /64; what the event lacks is `None`.

use super::Ids;
use super::sum::{MICROS, NO_CURRENCY};
use super::zones::Zones;
use crate::event::{Closed, Event, Field, Value};
use crate::ruleset::{KeyField, Measure};

/// The value of a measure as a number to compare, for `distinct`, `spread` and `habit`.
pub fn value(measure: Measure, event: &Event<'_>, ids: &mut Ids, zones: &mut Zones) -> Option<u64> {
    let field = match measure {
        Measure::Field(field) => field,
        Measure::Hour | Measure::Weekday => {
            let (hour, weekday) = zones.hour_and_weekday(event.time, event.zone.as_deref()?)?;
            return Some(u64::from(if measure == Measure::Hour { hour } else { weekday }));
        }
        // A field that only findings have.
        Measure::Finding(_) => return None,
    };
    let id = match field {
        Field::Account => KeyField::Account,
        Field::LoginName => KeyField::LoginName,
        Field::Ip => KeyField::Ip,
        Field::Device => KeyField::Device,
        Field::Session => KeyField::Session,
        Field::Payee => KeyField::Payee,
        Field::Merchant => KeyField::Merchant,
        Field::Client => KeyField::Client,
        Field::AppVersion => KeyField::AppVersion,
        Field::GeoAsn => KeyField::Asn,
        Field::GeoCountry => KeyField::Country,
        other => return other_value(other, event, ids),
    };
    Some(ids.of(id, event)).filter(|hash| *hash != 0)
}

fn other_value(field: Field, event: &Event<'_>, ids: &Ids) -> Option<u64> {
    let word = match field {
        Field::Type => Some(event.kind.index()),
        Field::Result => event.result.map(Closed::index),
        Field::Reason => event.reason.map(Closed::index),
        Field::Status => event.status.map(Closed::index),
        Field::Channel => event.channel.map(Closed::index),
        Field::GeoNetwork => event.geo.network.map(Closed::index),
        _ => return hashed_value(field, event, ids),
    };
    word.map(|index| u64::from(index) + 1)
}

/// The rare ones, by their text.
fn hashed_value(field: Field, event: &Event<'_>, ids: &Ids) -> Option<u64> {
    let key = ids.key();
    match field.value(event) {
        Value::Missing => None,
        Value::Text(text) => Some(key.text(&text)),
        Value::Word(word) => Some(key.text(word)),
        Value::Money(money) => {
            let mut bytes = [0; 9];
            bytes[..8].copy_from_slice(&money.minor.to_be_bytes());
            bytes[8] = money.currency.number();
            Some(key.bytes(&bytes))
        }
        Value::Geo(point) => {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&point.latitude.to_be_bytes());
            bytes[8..].copy_from_slice(&point.longitude.to_be_bytes());
            Some(key.bytes(&bytes))
        }
        Value::Bool(v) => Some(key.bytes(&[u8::from(v)])),
        Value::Int(v) | Value::Duration(v) => Some(key.bytes(&v.to_be_bytes())),
        Value::Float(v) => Some(key.bytes(&v.to_be_bytes())),
        Value::Time(v) => Some(key.bytes(&v.0.to_be_bytes())),
        Value::Country(v) => Some(key.bytes(&v.number().to_be_bytes())),
        Value::Asn(v) => Some(key.bytes(&v.to_be_bytes())),
        Value::Ip(ip) => Some(ids.address(ip)),
    }
}

/// The amount of a field: its unit (a currency's number or [`NO_CURRENCY`]) and its size, for `sum` and `stats`.
pub fn amount(field: Field, event: &Event<'_>) -> Option<(u8, i64)> {
    match field.value(event) {
        Value::Money(money) => Some((money.currency.number(), money.minor)),
        Value::Int(v) | Value::Duration(v) => Some((NO_CURRENCY, v)),
        Value::Float(v) if v.is_finite() => Some((NO_CURRENCY, (v * MICROS).round() as i64)),
        _ => None,
    }
}

/// The unit in which an event reads sums and statistics of money: its own currency.
pub fn unit(event: &Event<'_>) -> Option<crate::event::Currency> {
    event.amount.or(event.balance).map(|money| money.currency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Currency, EventType, Millis, Money, Outcome};
    use crate::ruleset::HashKey;

    #[test]
    fn what_the_event_lacks_is_no_value() {
        let event = Event::new("e", EventType::Login, Millis(0));
        let mut ids = Ids::new(HashKey::new([0; 16]));
        for field in Field::all().filter(|f| !matches!(f, Field::Id | Field::Type | Field::Time | Field::Count)) {
            assert_eq!(value(Measure::Field(field), &event, &mut ids, &mut Zones::default()), None, "{}", field.name());
        }
        assert_eq!(value(Measure::Hour, &event, &mut ids, &mut Zones::default()), None);
    }

    #[test]
    fn currencies_and_words_differ() {
        let mut a = Event::new("a", EventType::Transfer, Millis(0));
        let mut b = a.clone();
        a.amount = Some(Money { minor: 5, currency: Currency::parse("CNY").unwrap() });
        b.amount = Some(Money { minor: 5, currency: Currency::parse("USD").unwrap() });
        a.result = Some(Outcome::Success);
        b.result = Some(Outcome::Failure);
        let of = |field, event: &Event<'_>| {
            let mut ids = Ids::new(HashKey::new([0; 16]));
            value(Measure::Field(field), event, &mut ids, &mut Zones::default())
        };
        assert_ne!(of(Field::Amount, &a), of(Field::Amount, &b));
        assert_ne!(of(Field::Result, &a), of(Field::Result, &b));
    }
}
