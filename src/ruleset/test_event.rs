//! The event of an inline test, field by field as the file writes it: the record that the engine will read.
//!
//! Guarantees: a value stands where the wire has it and is one that its field takes; short forms (`geo: LAT LON`,
//! `asn: AS1`, `amount: 5 CNY`) are written out; `{n}` stays for whoever repeats the event. Knows no places in files:
//! what is wrong is handed back.

use std::borrow::Cow;

use serde_json::{Map as Json, Value as JsonValue, json};

use super::lists::parse_asn;
use crate::event::{Closed, Country, Currency, EventType, Field, FieldKind, Millis, Money, Point, TypeSet};

/// A field of the wire: one that rules can name, or one of the few that they cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WireField {
    Field(Field),
    Currency,
    Contact,
    Old,
    Latitude,
    Longitude,
}

impl WireField {
    pub fn parse(key: &str) -> Option<Self> {
        match key {
            "currency" => Some(Self::Currency),
            "contact" => Some(Self::Contact),
            "old" => Some(Self::Old),
            "geo.latitude" => Some(Self::Latitude),
            "geo.longitude" => Some(Self::Longitude),
            key => Field::parse(key).map(Self::Field),
        }
    }

    pub fn types(self) -> TypeSet {
        match self {
            Self::Field(field) => field.types(),
            Self::Currency => Field::Amount.types(),
            Self::Old => Field::Field.types(),
            Self::Contact | Self::Latitude | Self::Longitude => TypeSet::ALL,
        }
    }
}

/// What a field takes, where it was given something else.
pub(super) struct Wanted {
    pub what: Cow<'static, str>,
    pub words: Option<&'static [&'static str]>,
}

impl Wanted {
    fn a(what: impl Into<Cow<'static, str>>) -> Self {
        Wanted { what: what.into(), words: None }
    }
}

/// An event while it is written.
pub(super) struct EventJson {
    kind: EventType,
    json: Json<String, JsonValue>,
    currency: Option<Currency>,
}

impl EventJson {
    pub fn new(kind: EventType) -> Self {
        let mut event = EventJson { kind, json: Json::new(), currency: None };
        event.put("type", json!(kind.word()));
        event
    }

    pub fn into_json(self) -> Json<String, JsonValue> {
        self.json
    }

    /// Puts what a file writes for a field; an error says what the field takes.
    pub fn put_text(&mut self, field: WireField, text: &str, is_plain: bool) -> Result<(), Wanted> {
        match field {
            WireField::Field(Field::Geo) => self.put_point(text)?,
            WireField::Field(field) if field.kind() == FieldKind::Money => self.put_money(field, text)?,
            WireField::Field(field) => self.put(field.name(), self.value(field, text, is_plain)?),
            WireField::Currency => self.put_currency(text)?,
            WireField::Latitude => self.put("geo.latitude", number(text)?),
            WireField::Longitude => self.put("geo.longitude", number(text)?),
            WireField::Old => self.put("old", json!(text)),
            WireField::Contact => return Err(Wanted::a("written by its parts")),
        }
        Ok(())
    }

    /// Puts a value where the wire has it: `geo.asn` inside `geo`.
    pub fn put(&mut self, name: &str, value: JsonValue) {
        match name.split_once('.') {
            Some((outer, inner)) => {
                let object = self.json.entry(outer).or_insert_with(|| JsonValue::Object(Json::new()));
                if let JsonValue::Object(object) = object {
                    object.insert(inner.to_owned(), value);
                }
            }
            None => {
                self.json.insert(name.to_owned(), value);
            }
        }
    }

    fn put_point(&mut self, text: &str) -> Result<(), Wanted> {
        let point = point(text).ok_or(Wanted::a("a place as `LATITUDE LONGITUDE`, in degrees"))?;
        self.put("geo.latitude", json!(point.latitude));
        self.put("geo.longitude", json!(point.longitude));
        Ok(())
    }

    fn put_money(&mut self, field: Field, text: &str) -> Result<(), Wanted> {
        // `{n}` stands for a number of its own.
        let (amount, currency) = text.trim().split_once(' ').ok_or(Wanted::a("an amount such as `5 CNY`"))?;
        let currency = currency.trim();
        let Some(parsed) = Currency::parse(currency) else {
            return Err(Wanted::a(format!("an amount such as `5 CNY`, and `{currency}` is no currency")));
        };
        if let Err(error) = Money::parse(&amount.replace("{n}", "1"), parsed) {
            return Err(Wanted::a(format!("an amount such as `5 CNY`: {error}")));
        }
        self.put_currency(currency)?;
        self.put(field.name(), json!(amount));
        Ok(())
    }

    fn put_currency(&mut self, text: &str) -> Result<(), Wanted> {
        let currency = Currency::parse(text).ok_or(Wanted::a("a currency such as `CNY`"))?;
        if self.currency.is_some_and(|c| c != currency) {
            return Err(Wanted::a(format!("in another currency; an event has one, here {}", self.json["currency"])));
        }
        self.currency = Some(currency);
        self.put("currency", json!(text));
        Ok(())
    }

    fn value(&self, field: Field, text: &str, is_plain: bool) -> Result<JsonValue, Wanted> {
        let with_number = text.contains("{n}");
        let checked = text.replace("{n}", "1");
        let is = |fits: bool, what: &'static str| match fits {
            true => Ok(json!(text)),
            false => Err(Wanted::a(what)),
        };
        match field.kind() {
            FieldKind::Word => {
                let words = field.words_on(self.kind);
                match words.contains(&text) || with_number {
                    true => Ok(json!(text)),
                    false => Err(Wanted { what: "another word".into(), words: Some(words) }),
                }
            }
            FieldKind::Ip => is(checked.parse::<std::net::IpAddr>().is_ok(), "an address"),
            FieldKind::Country => is(Country::parse(text).is_some(), "a country such as `CN`"),
            FieldKind::Time => is(moment(text).is_some(), "a moment such as `2026-01-01T00:00:00Z`"),
            FieldKind::Asn => {
                let asn = parse_asn(text).or_else(|| text.parse().ok());
                asn.map(|asn| json!(asn)).ok_or(Wanted::a("an asn such as `AS9808`"))
            }
            FieldKind::Int => text.parse::<i64>().map(|n| json!(n)).map_err(|_| Wanted::a("a whole number")),
            FieldKind::Float => {
                let number = text.parse::<f64>().ok().filter(|n| n.is_finite());
                number.map(|n| json!(n)).ok_or(Wanted::a("a number"))
            }
            FieldKind::Bool if is_plain && matches!(text, "true" | "false") => Ok(json!(text == "true")),
            FieldKind::Bool => Err(Wanted::a("`true` or `false`")),
            FieldKind::Text | FieldKind::Id(_) => Ok(json!(text)),
            FieldKind::Geo | FieldKind::Money => Err(Wanted::a("written in its short form")),
        }
    }
}

fn number(text: &str) -> Result<JsonValue, Wanted> {
    text.parse::<f64>().map(|n| json!(n)).map_err(|_| Wanted::a("a number"))
}

/// `LATITUDE LONGITUDE`.
pub(super) fn point(text: &str) -> Option<Point> {
    let mut parts = text.split_whitespace().map(|part| part.parse::<f64>().ok());
    let (latitude, longitude) = (parts.next()??, parts.next()??);
    let on_earth = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    (parts.next().is_none() && on_earth).then_some(Point { latitude, longitude })
}

/// RFC 3339.
pub(super) fn moment(text: &str) -> Option<Millis> {
    text.parse::<jiff::Timestamp>().ok().map(|time| Millis(time.as_millisecond()))
}
