//! The schemas of databases that are read, recognised by the fields of their records.
//!
//! Guarantees: a schema is told by what the records hold, not by what the file calls itself; one that is not
//! accepted is never half read. Does not read files and does not know what a field means (`record.rs` does).

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::network;

/// What kind of database a file is, told by the fields of its records, not by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Schema {
    /// MaxMind's nested city schema (GeoIP2, GeoLite2, Enterprise, DB-IP).
    City,
    /// MaxMind's nested country schema.
    Country,
    /// Autonomous systems: MaxMind's ASN and ISP, and ip-location-db's, which have the same fields.
    Asn,
    /// MaxMind's Anonymous IP flags, with or without our own `network`.
    AnonymousIp,
    /// MaxMind's connection types.
    ConnectionType,
    /// ip-location-db's flat schema: `country_code`, `city`, `latitude`, `longitude`.
    Flat,
    /// A database of one's own that names only `network`, a kind of network of the event schema.
    Network,
}

impl Schema {
    /// What is accepted, as people are told it.
    pub const ACCEPTED: &'static str = "MaxMind's City, Country, ASN, ISP, Anonymous-IP and Connection-Type (GeoIP2, \
         GeoLite2, and DB-IP's of the same shape), ip-location-db's flat one (country_code, city, latitude, longitude, \
         autonomous_system_number), and one of your own with `network`";

    /// The schema of records with these top-level fields, if it is one of those accepted.
    pub fn recognise(fields: &Fields<'_>) -> Option<Schema> {
        let is = |name: &str, shape: Shape| fields.0.get(name) == Some(&shape);
        // The same word in another shape is another vendor's schema, and half of it would be read wrongly.
        let mixed = is("country", Shape::Text) || is("asn", Shape::Map) || is("location", Shape::Text);
        if mixed {
            None
        } else if is("city", Shape::Map) || is("location", Shape::Map) {
            Some(Schema::City)
        } else if is("country", Shape::Map) || is("registered_country", Shape::Map) || is("traits", Shape::Map) {
            Some(Schema::Country)
        } else if is("country_code", Shape::Text) {
            Some(Schema::Flat)
        } else if network::FLAG_FIELDS.iter().any(|flag| is(flag, Shape::Bool)) {
            Some(Schema::AnonymousIp)
        } else if is("autonomous_system_number", Shape::Number) {
            Some(Schema::Asn)
        } else if is("connection_type", Shape::Text) {
            Some(Schema::ConnectionType)
        } else if is("network", Shape::Text) {
            Some(Schema::Network)
        } else {
            None
        }
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Schema::City => "city",
            Schema::Country => "country",
            Schema::Asn => "asn",
            Schema::AnonymousIp => "anonymous-ip",
            Schema::ConnectionType => "connection-type",
            Schema::Flat => "flat",
            Schema::Network => "network",
        })
    }
}

/// What a top-level field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A map.
    Map,
    /// A text.
    Text,
    /// A whole or floating-point number.
    Number,
    /// True or false.
    Bool,
    /// Anything else.
    Other,
}

/// The top-level fields of a record and their shapes. Decoding one visits the whole record, every pointer followed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields<'a>(pub BTreeMap<&'a str, Shape>);

impl<'a> Fields<'a> {
    /// Takes in the fields of another record; a field seen first keeps its shape.
    pub fn extend(&mut self, other: Fields<'a>) {
        for (name, shape) in other.0 {
            self.0.entry(name).or_insert(shape);
        }
    }

    /// The first `max` names, for a message.
    pub fn names(&self, max: usize) -> String {
        let names: Vec<&str> = self.0.keys().take(max).copied().collect();
        let more = self.0.len().saturating_sub(max);
        match (names.is_empty(), more) {
            (true, _) => "none".to_owned(),
            (false, 0) => names.join(", "),
            (false, more) => format!("{} and {more} more", names.join(", ")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TopLevel;
        impl<'de> Visitor<'de> for TopLevel {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
                let mut fields = Fields::default();
                while let Some(name) = map.next_key::<&str>()? {
                    fields.0.insert(name, map.next_value::<Visited>()?.0);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(TopLevel)
    }
}

/// A value visited to its last leaf. `IgnoredAny` would not follow pointers, where damage hides.
struct Visited(Shape);

impl<'de> Deserialize<'de> for Visited {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VisitAll).map(Visited)
    }
}

struct VisitAll;

impl<'de> Visitor<'de> for VisitAll {
    type Value = Shape;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Bool)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }
    fn visit_u128<E>(self, _: u128) -> Result<Shape, E> {
        Ok(Shape::Number)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }
    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Text)
    }
    fn visit_bytes<E>(self, _: &[u8]) -> Result<Shape, E> {
        Ok(Shape::Other)
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Shape, S::Error> {
        while seq.next_element::<Visited>()?.is_some() {}
        Ok(Shape::Other)
    }
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Shape, M::Error> {
        while map.next_entry::<&str, Visited>()?.is_some() {}
        Ok(Shape::Map)
    }
}
