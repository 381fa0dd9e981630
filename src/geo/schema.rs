//! The shapes of database records: which schemas are read, and what a record of one says.
//!
//! Guarantees: a part that a record lacks, or fills with a placeholder (`ZZ`, 0° 0°, AS0, an empty name), is
//! `None`; a record of another shape is an error, never a guess. Decodes only what a place is made of, borrowing
//! the city's name. Does not read files and does not choose among several databases.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::network::{self, Kind};
use crate::event::{Country, Point};

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

/// What one record says, without placeholders.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Known<'a> {
    /// Country.
    pub country: Option<Country>,
    /// City, in English, as the file's bytes hold it.
    pub city: Option<&'a str>,
    /// Coordinates.
    pub point: Option<Point>,
    /// Radius around the point, km.
    pub accuracy_km: Option<f64>,
    /// Autonomous system.
    pub asn: Option<u32>,
    /// Kind of network and the evidence for it.
    pub kind: Option<Kind>,
}

impl Known<'_> {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Known::default()
    }
}

/// A record, as far as it is read. One type for all schemas: their fields do not contradict each other.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Record<'a> {
    #[serde(borrow)]
    country: Coded<'a>,
    #[serde(borrow)]
    country_code: Option<&'a str>,
    #[serde(borrow)]
    city: Name<'a>,
    location: Location,
    latitude: Number,
    longitude: Number,
    autonomous_system_number: Number,
    #[serde(borrow)]
    traits: Traits<'a>,
    #[serde(borrow)]
    mobile_country_code: Option<&'a str>,
    #[serde(borrow)]
    connection_type: Option<&'a str>,
    is_anonymous: bool,
    is_anonymous_vpn: bool,
    is_hosting_provider: bool,
    is_public_proxy: bool,
    is_residential_proxy: bool,
    is_tor_exit_node: bool,
    #[serde(borrow)]
    network: Option<&'a str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Coded<'a> {
    #[serde(borrow)]
    iso_code: Option<&'a str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Number,
    longitude: Number,
    accuracy_radius: Number,
}

/// The traits of City and Enterprise records that say something of the network.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Traits<'a> {
    autonomous_system_number: Number,
    #[serde(borrow)]
    connection_type: Option<&'a str>,
    #[serde(borrow)]
    user_type: Option<&'a str>,
    #[serde(borrow)]
    mobile_country_code: Option<&'a str>,
    is_anonymous_proxy: bool,
    is_anycast: bool,
    is_satellite_provider: bool,
}

/// A city: `{names: {en: …}}` in the nested schema, a text in the flat one.
#[derive(Debug, Default)]
struct Name<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Names<'n> {
            #[serde(borrow)]
            en: Option<&'n str>,
        }
        struct EitherShape;
        impl<'de> Visitor<'de> for EitherShape {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a city's name or a map of its names")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Some(name)))
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Name<'de>, M::Error> {
                let mut name = None;
                while let Some(key) = map.next_key::<&str>()? {
                    if key == "names" {
                        name = map.next_value::<Names<'de>>()?.en;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Name(name))
            }
        }
        deserializer.deserialize_any(EitherShape)
    }
}

/// A number in whatever type the writer chose: vendors differ, and the decoder converts nothing by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Number(Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNumber;
        impl Visitor<'_> for AnyNumber {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }
        }
        deserializer.deserialize_any(AnyNumber)
    }
}

impl Number {
    fn or(self, other: Number) -> Number {
        Number(self.0.or(other.0))
    }

    /// The number as an autonomous system's; 0 is nobody's.
    fn asn(self) -> Option<u32> {
        let number = self.0.filter(|n| n.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(n))?;
        // Whole and in range, so nothing is cut off.
        Some(number as u32)
    }
}

impl<'a> Record<'a> {
    /// What the record says, its placeholders taken out.
    pub fn known(&self) -> Known<'a> {
        let location = &self.location;
        let point = point(location.latitude.or(self.latitude).0, location.longitude.or(self.longitude).0);
        let asn = self.autonomous_system_number.or(self.traits.autonomous_system_number);
        Known {
            country: self.country.iso_code.or(self.country_code).and_then(country),
            city: self.city.0.filter(|name| !name.trim().is_empty()),
            point,
            accuracy_km: location.accuracy_radius.0.filter(|km| point.is_some() && km.is_finite() && *km > 0.0),
            asn: asn.asn(),
            kind: self.kind(),
        }
    }

    fn kind(&self) -> Option<Kind> {
        let traits = &self.traits;
        Kind::named(self.network)
            .or_else(|| {
                Kind::flagged(&network::Flags {
                    anonymous: self.is_anonymous,
                    vpn: self.is_anonymous_vpn,
                    hosting: self.is_hosting_provider,
                    public_proxy: self.is_public_proxy,
                    residential_proxy: self.is_residential_proxy,
                    tor: self.is_tor_exit_node,
                })
            })
            .or_else(|| {
                let mobile_country = self.mobile_country_code.or(traits.mobile_country_code);
                Kind::connected(self.connection_type.or(traits.connection_type), mobile_country)
            })
            .or_else(|| {
                Kind::of_traits(
                    traits.user_type,
                    traits.is_satellite_provider,
                    traits.is_anonymous_proxy,
                    traits.is_anycast,
                )
            })
    }
}

/// A country of a code, where it is one: vendors use `ZZ` and `XX` for nobody knows, `EU` and `AP` for a region.
fn country(code: &str) -> Option<Country> {
    let placeholder = ["ZZ", "XX", "EU", "AP"].iter().any(|p| p.eq_ignore_ascii_case(code));
    if placeholder { None } else { Country::parse(code) }
}

/// A point on the earth. 0° 0° is open sea and what some files write for nobody knows.
fn point(latitude: Option<f64>, longitude: Option<f64>) -> Option<Point> {
    let (latitude, longitude) = (latitude?, longitude?);
    let on_earth = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    (on_earth && (latitude, longitude) != (0.0, 0.0)).then_some(Point { latitude, longitude })
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
    fn visit_seq<S: serde::de::SeqAccess<'de>>(self, mut seq: S) -> Result<Shape, S::Error> {
        while seq.next_element::<Visited>()?.is_some() {}
        Ok(Shape::Other)
    }
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Shape, M::Error> {
        while map.next_entry::<&str, Visited>()?.is_some() {}
        Ok(Shape::Map)
    }
}
