//! The fields of our own event, as a mapping names and fills them.
//!
//! Guarantees: a field takes what its JSON type could be written as (a number where a text is wanted, digits in
//! a text where a number is); anything else is a refusal of that field. Judges no value: the decoder does.

use std::borrow::Cow;

use super::source::Val;
use crate::event::key::{ContactKey, Key, Name, PlaceKey};
use crate::event::raw::{Moment, Object, Raw, RawAmount, RawAsn, Slot};
use crate::event::{Currency, RejectReason, Rejection};

/// A field of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Top(Key),
    Place(PlaceKey),
    Contact(ContactKey),
}

impl Target {
    /// The field of a name such as `account` or `geo.country`.
    pub fn parse(name: &str) -> Option<Target> {
        Target::all().find(|target| target.name() == name)
    }

    /// Every field, in the order of the schema.
    pub fn all() -> impl Iterator<Item = Target> {
        Key::all().flat_map(|key| {
            let parts: Vec<Target> = match key {
                Key::Geo => PlaceKey::all().map(Target::Place).collect(),
                Key::Contact => ContactKey::all().map(Target::Contact).collect(),
                key => vec![Target::Top(key)],
            };
            parts
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Target::Top(key) => key.path(),
            Target::Place(key) => key.path(),
            Target::Contact(key) => key.path(),
        }
    }

    /// The field at the top of the event that it is, or is part of.
    pub fn key(self) -> Key {
        match self {
            Target::Top(key) => key,
            Target::Place(_) => Key::Geo,
            Target::Contact(_) => Key::Contact,
        }
    }

    /// Whether it is a time.
    pub fn is_time(self) -> bool {
        matches!(self, Target::Top(Key::Time | Key::Until))
    }

    /// Whether it is an amount of money.
    pub fn is_money(self) -> bool {
        matches!(self, Target::Top(Key::Amount | Key::Balance))
    }

    /// Fills it.
    pub fn put<'a>(self, value: Val<'a>, raw: &mut Raw<'a>) -> Result<(), Rejection> {
        let currency = raw.currency.as_deref().and_then(Currency::parse);
        let slot = match self {
            Target::Top(key) => raw.slot(key),
            Target::Place(key) => raw.geo.get_or_insert_default().slot(key),
            Target::Contact(key) => raw.contact.get_or_insert_default().slot(key),
        };
        let done = fill(slot, value, currency);
        raw.note(self.key());
        done.map_err(|expected| Rejection::of(self.name(), RejectReason::BadValue, expected))
    }
}

/// Puts a value where it belongs; the error says what is expected there.
fn fill<'a>(slot: Slot<'_, 'a>, value: Val<'a>, currency: Option<Currency>) -> Result<(), &'static str> {
    match slot {
        Slot::Text(to) => *to = Some(value.into_text()),
        Slot::Moment(to) => {
            *to = Some(match value {
                Val::Time(time) => Moment::Millis(time.0),
                Val::Number(text) => Moment::Millis(text.parse().map_err(|_| "a time is expected")?),
                other => Moment::Text(other.into_text()),
            });
        }
        Slot::Whole(to) => *to = Some(value.text().parse().map_err(|_| "a whole number is expected")?),
        Slot::Bool(to) => {
            *to = Some(match value.text().as_ref() {
                "true" => true,
                "false" => false,
                _ => return Err("true or false is expected"),
            });
        }
        Slot::Number(to) => {
            let number = value.text().parse::<f64>().ok().filter(|number| number.is_finite());
            *to = Some(number.ok_or("a number is expected")?);
        }
        Slot::Amount(to) => {
            *to = Some(match value {
                Val::Number(Cow::Borrowed(number)) => RawAmount::Number(number),
                Val::Minor(digits) => RawAmount::Text(Cow::Owned(in_units(&digits, currency))),
                other => RawAmount::Text(other.into_text()),
            });
        }
        Slot::Asn(to) => {
            *to = Some(match value.text().parse() {
                Ok(number) => RawAsn::Number(number),
                Err(_) => RawAsn::Text(value.into_text()),
            });
        }
        // No target names them: their parts are fields of their own.
        Slot::Place(_) | Slot::Contact(_) => {}
    }
    Ok(())
}

/// Minor units as a decimal number. Without a currency there is no amount, which is told then.
fn in_units(digits: &str, currency: Option<Currency>) -> String {
    let decimals = usize::from(currency.map_or(0, Currency::decimals));
    let padded = format!("{digits:0>width$}", width = decimals.saturating_add(1));
    match padded.split_at_checked(padded.len().saturating_sub(decimals)) {
        Some((whole, fraction)) if decimals > 0 => format!("{whole}.{fraction}"),
        _ => padded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_name_and_is_found_by_it() {
        for target in Target::all() {
            assert_eq!(Target::parse(target.name()), Some(target));
        }
        assert_eq!(Target::parse("geo"), None);
        assert_eq!(Target::parse("reason_class"), None);
        assert_eq!(Target::all().count(), Key::all().count() - 2 + 7 + 5);
    }

    #[test]
    fn minor_units_get_their_point() {
        let of = |digits, code| in_units(digits, Currency::parse(code));
        assert_eq!(of("1250", "CNY"), "12.50");
        assert_eq!(of("5", "CNY"), "0.05");
        assert_eq!(of("5", "JPY"), "5");
        assert_eq!(of("12345", "BHD"), "12.345");
        assert_eq!(of("5", "???"), "5");
    }
}
