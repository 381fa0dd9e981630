//! What one record says of a place.
//!
//! Guarantees: a part that a record lacks, or fills with a placeholder (`ZZ`, 0° 0°, AS0, an empty name), is
//! `None`; a field of another type is an error, never a guess. Decodes only what a place is made of, borrowing the
//! city's name. Does not choose among several records.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::network::{self, Kind};
use crate::event::{Country, Point};

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
        let flags = network::Flags {
            anonymous: self.is_anonymous,
            vpn: self.is_anonymous_vpn,
            hosting: self.is_hosting_provider,
            public_proxy: self.is_public_proxy,
            residential_proxy: self.is_residential_proxy,
            tor: self.is_tor_exit_node,
        };
        let connection = self.connection_type.or(traits.connection_type);
        let mobile_country = self.mobile_country_code.or(traits.mobile_country_code);
        let (satellite, proxy) = (traits.is_satellite_provider, traits.is_anonymous_proxy);
        [
            Kind::named(self.network),
            Kind::flagged(&flags),
            Kind::connected(connection, mobile_country),
            Kind::of_traits(traits.user_type, satellite, proxy, traits.is_anycast),
        ]
        .into_iter()
        .fold(None, Kind::stronger)
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
