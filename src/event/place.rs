//! Where something happened, as far as it is known.
//!
//! Guarantees: what is not known is `None`, never a default; a distance is finite for finite coordinates.
//! Does not look anything up.

use super::{Network, Text};

/// Mean radius of the earth, km: IUGG's R₁ of the GRS 80 ellipsoid (Moritz, Geodetic Reference System 1980).
/// A sphere of it is wrong by at most 0.56 % of a distance, less than any address is known.
pub const EARTH_RADIUS_KM: f64 = 6371.0088;

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

impl Point {
    /// Great-circle distance to `other`, km, by the haversine formula (R. W. Sinnott, Sky & Telescope 68, 1984).
    ///
    /// With `atan2` it stays exact for neighbours and for antipodes, where the arc sine and the arc cosine lose
    /// half of their digits.
    pub fn distance_km(self, other: Point) -> f64 {
        let half_latitude = (other.latitude - self.latitude).to_radians() / 2.0;
        let half_longitude = (other.longitude - self.longitude).to_radians() / 2.0;
        let cosines = self.latitude.to_radians().cos() * other.latitude.to_radians().cos();
        // Rounding may leave [0, 1] by a hair, and a root of less than 0 is no number.
        let haversine = (half_latitude.sin().powi(2) + cosines * half_longitude.sin().powi(2)).clamp(0.0, 1.0);
        2.0 * EARTH_RADIUS_KM * haversine.sqrt().atan2((1.0 - haversine).sqrt())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HALF_TURN_KM: f64 = std::f64::consts::PI * EARTH_RADIUS_KM;
    /// 1 mm: what floating point may cost.
    const TOLERANCE_KM: f64 = 1e-6;

    fn at(latitude: f64, longitude: f64) -> Point {
        Point { latitude, longitude }
    }

    fn near(a: f64, b: f64, tolerance_km: f64) -> bool {
        (a - b).abs() <= tolerance_km
    }

    fn any_point() -> impl Strategy<Value = Point> {
        let latitude = prop_oneof![8 => -90.0..=90.0, 1 => Just(90.0), 1 => Just(-90.0), 1 => Just(0.0)];
        let longitude = prop_oneof![8 => -180.0..=180.0, 1 => Just(180.0), 1 => Just(-180.0), 1 => Just(0.0)];
        (latitude, longitude).prop_map(|(latitude, longitude)| at(latitude, longitude))
    }

    /// The angle between two vectors from the centre: another road to the same number.
    fn by_vectors(a: Point, b: Point) -> f64 {
        let vector = |p: Point| {
            let (latitude, longitude) = (p.latitude.to_radians(), p.longitude.to_radians());
            [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
        };
        let ([ax, ay, az], [bx, by, bz]) = (vector(a), vector(b));
        let cross = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx];
        let sine = cross.iter().map(|c| c * c).sum::<f64>().sqrt();
        EARTH_RADIUS_KM * sine.atan2(ax * bx + ay * by + az * bz)
    }

    #[test]
    fn known_city_pairs_are_as_far_as_geographers_say() {
        let shanghai = at(31.2304, 121.4737);
        let lagos = at(6.4541, 3.3947);
        let beijing = at(39.9042, 116.4074);
        let new_york = at(40.7128, -74.006);
        let london = at(51.5074, -0.1278);
        let sydney = at(-33.8688, 151.2093);
        // Geodesic distances on WGS 84 by Vincenty's formulae, km; a sphere is within 0.56 % of them.
        for (a, b, geodesic_km) in [
            (shanghai, beijing, 1065.8),
            (new_york, london, 5585.2),
            (london, sydney, 16_989.3),
            (shanghai, lagos, 12_242.4),
        ] {
            let km = a.distance_km(b);
            assert!((km / geodesic_km - 1.0).abs() < 0.0056, "{km} is not about {geodesic_km}");
        }
    }

    #[test]
    fn antipodes_are_half_a_turn_apart_and_poles_have_no_longitude() {
        assert!(near(at(0.0, 0.0).distance_km(at(0.0, 180.0)), HALF_TURN_KM, TOLERANCE_KM));
        assert!(near(at(31.0, 121.0).distance_km(at(-31.0, -59.0)), HALF_TURN_KM, TOLERANCE_KM));
        assert!(near(at(90.0, 0.0).distance_km(at(-90.0, 77.0)), HALF_TURN_KM, TOLERANCE_KM));
        assert!(near(at(90.0, 10.0).distance_km(at(90.0, -170.0)), 0.0, TOLERANCE_KM));
        assert!(near(at(90.0, 10.0).distance_km(at(0.0, 133.0)), HALF_TURN_KM / 2.0, TOLERANCE_KM));
    }

    #[test]
    fn the_date_line_is_no_wall() {
        // Suva to Apia: 1 144 km over the line, not 39 000 the other way round.
        let km = at(-18.1416, 178.4419).distance_km(at(-13.8333, -171.7667));
        assert!((1100.0..1200.0).contains(&km), "{km}");
        assert!(near(at(10.0, 180.0).distance_km(at(10.0, -180.0)), 0.0, TOLERANCE_KM));
    }

    #[test]
    fn neighbours_keep_their_metres() {
        // One hundred-thousandth of a degree of latitude is 1.112 m.
        let km = at(31.0, 121.0).distance_km(at(31.000_01, 121.0));
        assert!(near(km, 0.001_111_951, 1e-8), "{km}");
    }

    proptest! {
        #[test]
        fn distance_is_a_metric(a in any_point(), b in any_point(), c in any_point()) {
            let ab = a.distance_km(b);
            prop_assert!(ab.is_finite() && ab >= 0.0);
            prop_assert!(ab <= HALF_TURN_KM + TOLERANCE_KM);
            prop_assert!(near(ab, b.distance_km(a), TOLERANCE_KM));
            prop_assert!(near(a.distance_km(a), 0.0, TOLERANCE_KM));
            prop_assert!(a.distance_km(c) <= ab + b.distance_km(c) + TOLERANCE_KM);
        }

        #[test]
        fn distance_is_the_angle_between_the_vectors(a in any_point(), b in any_point()) {
            // 10 cm: near the antipode the haversine keeps half of the digits of 1 − h.
            prop_assert!(near(a.distance_km(b), by_vectors(a, b), 1e-4), "{} {}", a.distance_km(b), by_vectors(a, b));
        }
    }
}
