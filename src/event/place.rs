//! Where something happened, as far as it is known.
//!
//! Guarantees: what is not known is `None`, never a default. Does not look anything up.

use super::{Network, Text};

/// An ISO 3166-1 alpha-2 code, upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// A code of two ASCII letters; lower case is folded.
    pub fn parse(code: &str) -> Option<Self> {
        match code.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Country([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    /// The two letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }

    /// The number a compiled condition compares: the letters as a big-endian 16-bit number.
    pub fn number(self) -> u16 {
        u16::from_be_bytes(self.0)
    }

    /// The country of a number made by [`Country::number`].
    pub fn from_number(number: u16) -> Option<Self> {
        std::str::from_utf8(&number.to_be_bytes()).ok().and_then(Self::parse)
    }
}

impl serde::Serialize for Country {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.code())
    }
}

/// A point on the earth, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// −90 to 90, north is positive.
    pub latitude: f64,
    /// −180 to 180, east is positive.
    pub longitude: f64,
}

/// What is known of a place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Place<'a> {
    /// Country.
    pub country: Option<Country>,
    /// City, in English.
    pub city: Option<Text<'a>>,
    /// Coordinates.
    pub point: Option<Point>,
    /// Radius around the point in which the address is thought to be, km.
    pub accuracy_km: Option<f64>,
    /// Autonomous system.
    pub asn: Option<u32>,
    /// Kind of network.
    pub network: Option<Network>,
}

impl<'a> Place<'a> {
    /// Fills what this place does not know from `other`, part by part.
    pub fn fill_from(&mut self, other: Place<'a>) {
        self.country = self.country.or(other.country);
        self.city = self.city.take().or(other.city);
        if self.point.is_none() {
            self.point = other.point;
            self.accuracy_km = self.accuracy_km.or(other.accuracy_km);
        }
        self.asn = self.asn.or(other.asn);
        self.network = self.network.or(other.network);
    }
}
