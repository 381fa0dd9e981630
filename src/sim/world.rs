//! The invented world: which range of addresses stands where, read from `world.csv`.
//!
//! Guarantees: every address it gives is of a documentation or benchmark range and is in the databases that
//! are made from the same file. Does not know people.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::SimError;
use super::random::{choose, scale};
use crate::event::{Closed, Country, Network};

/// The file, compiled in so that the program needs nothing beside it.
const FILE: &str = include_str!("world.csv");

/// One range.
#[derive(Debug, Clone)]
pub struct Range {
    /// Its first address.
    pub first: IpAddr,
    /// Bits of the prefix.
    pub bits: u8,
    /// Where it stands: an index of [`World::cities`].
    pub city: u16,
    /// Kind of network.
    pub network: Network,
}

/// One city with what a person who lives there uses.
#[derive(Debug, Clone)]
pub struct City {
    /// Country.
    pub country: Country,
    /// Name.
    pub name: String,
    /// IANA zone.
    pub zone: &'static str,
    /// Its standard time, minutes ahead of UTC.
    pub offset_min: i64,
    /// Offices: indices of [`World::ranges`].
    pub offices: Vec<u16>,
    /// Gateways of mobile carriers that many people share.
    pub gateways: Vec<u16>,
    /// Home lines: indices of [`World::ranges`].
    pub fixed: Vec<u16>,
    /// Mobile carriers, IPv4 and IPv6: `[v6]`.
    pub mobile: [Vec<u16>; 2],
}

/// All of it.
#[derive(Debug, Default)]
pub struct World {
    /// The ranges, in the order of the file.
    pub ranges: Vec<Range>,
    /// The cities, in the order of their first range.
    pub cities: Vec<City>,
    /// Home lines in the wallet's own country and elsewhere, IPv4 and IPv6: `[domestic][v6]`.
    homes: [[Vec<u16>; 2]; 2],
    /// Gateways that many people share, carrier NAT and offices: `[v6]`, the first of which is used.
    shared: [Vec<u16>; 2],
}

/// The country most users live in.
pub const HOME_COUNTRY: &str = "CN";

impl World {
    /// Reads the file that is compiled in.
    pub fn new() -> Result<Self, SimError> {
        let mut world = World::default();
        let rows = FILE.lines().enumerate().filter(|(_, l)| !l.starts_with('#') && !l.starts_with("prefix,"));
        for (at, line) in rows {
            world.read(line).ok_or(SimError::World { line: at + 1 })?;
        }
        Ok(world)
    }

    fn read(&mut self, line: &str) -> Option<()> {
        let mut cells = line.split(',');
        let (first, bits) = cells.next()?.split_once('/')?;
        let country = Country::parse(cells.next()?)?;
        let name = cells.next()?;
        let network = Network::parse(cells.nth(5)?)?;
        let known = self.cities.iter().position(|c| c.country == country && c.name == name);
        let city = known.unwrap_or(self.cities.len());
        if known.is_none() {
            let (zone, offset_min) = zone_of(country.code());
            let none = Vec::new;
            let (offices, gateways, fixed, mobile) = (none(), none(), none(), Default::default());
            let name = name.to_owned();
            self.cities.push(City { country, name, zone, offset_min, offices, gateways, fixed, mobile });
        }
        let index = u16::try_from(self.ranges.len()).ok()?;
        let first: IpAddr = first.parse().ok()?;
        let v6 = usize::from(first.is_ipv6());
        let abroad = usize::from(country.code() != HOME_COUNTRY);
        match network {
            Network::Fixed => {
                self.cities.get_mut(city)?.fixed.push(index);
                self.homes.get_mut(abroad)?.get_mut(v6)?.push(index);
            }
            Network::Mobile => self.cities.get_mut(city)?.mobile.get_mut(v6)?.push(index),
            Network::CarrierNat | Network::Business if abroad == 0 => self.shared.get_mut(v6)?.push(index),
            _ => {}
        }
        match network {
            Network::Business => self.cities.get_mut(city)?.offices.push(index),
            Network::CarrierNat => self.cities.get_mut(city)?.gateways.push(index),
            _ => {}
        }
        self.ranges.push(Range { first, bits: bits.parse().ok()?, city: u16::try_from(city).ok()?, network });
        Some(())
    }

    /// The range of an index.
    pub fn range(&self, index: u16) -> Option<&Range> {
        self.ranges.get(usize::from(index))
    }

    /// The city of an index.
    pub fn city(&self, index: u16) -> Option<&City> {
        self.cities.get(usize::from(index))
    }

    /// A home by 64 random bits: its range and address, or a gateway of many people.
    pub fn home(&self, bits: u64, is_shared: bool) -> Option<(&Range, IpAddr)> {
        let v6 = usize::from(scale(bits.rotate_left(11), 100) < SHARE_V6_PERCENT);
        let abroad = usize::from(scale(bits.rotate_left(23), 100) < SHARE_ABROAD_PERCENT);
        let of = if is_shared { self.shared.first()? } else { self.homes.get(abroad)?.get(v6)? };
        let range = self.range(*choose(of, bits.rotate_left(37))?)?;
        Some((range, range.address(bits)))
    }

    /// How many of a million people live in each city, in the order of the cities.
    pub fn population(&self) -> Vec<u64> {
        let mut people = vec![0; self.cities.len()];
        for (abroad, by_version) in self.homes.iter().enumerate() {
            for (v6, homes) in by_version.iter().enumerate() {
                let share = [100 - SHARE_ABROAD_PERCENT, SHARE_ABROAD_PERCENT].get(abroad).copied().unwrap_or(0)
                    * [100 - SHARE_V6_PERCENT, SHARE_V6_PERCENT].get(v6).copied().unwrap_or(0);
                for index in homes {
                    let city = self.range(*index).and_then(|range| people.get_mut(usize::from(range.city)));
                    if let Some(city) = city {
                        *city += share * 100 / (homes.len() as u64).max(1);
                    }
                }
            }
        }
        people
    }

    /// The range of a mobile carrier in a city, IPv6 as often as at home.
    pub fn mobile(&self, city: u16, bits: u64) -> Option<&Range> {
        let v6 = usize::from(scale(bits.rotate_left(11), 100) < SHARE_V6_PERCENT);
        self.range(*choose(self.city(city)?.mobile.get(v6)?, bits)?)
    }

    /// All ranges that satisfy a condition, in the order of the file.
    pub fn find(&self, which: impl Fn(&Range, &City) -> bool) -> Vec<&Range> {
        self.ranges.iter().filter(|r| self.city(r.city).is_some_and(|c| which(r, c))).collect()
    }

    /// Where an address stands, by the file. For checks; it looks at every range.
    #[cfg(test)]
    pub fn locate(&self, ip: IpAddr) -> Option<(&Range, &City)> {
        let range = self.ranges.iter().find(|r| r.holds(ip))?;
        Some((range, self.city(range.city)?))
    }
}

/// The part of home lines that are IPv6.
const SHARE_V6_PERCENT: u64 = 30;
/// The part of people who live outside [`HOME_COUNTRY`].
const SHARE_ABROAD_PERCENT: u64 = 12;

impl Range {
    /// An address in it: never the first (a network's own) nor, in IPv4, the last sixteen (a range may be
    /// unlisted there). In IPv6 the /64 and the host both vary.
    pub fn address(&self, bits: u64) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => {
                let hosts = 1u64 << 32u8.saturating_sub(self.bits).min(31);
                let host = 1 + scale(bits, hosts.saturating_sub(2).max(1));
                IpAddr::V4(Ipv4Addr::from(u32::from(first).wrapping_add(host as u32)))
            }
            IpAddr::V6(first) => {
                let nets = 1u64 << 64u8.saturating_sub(self.bits).min(63);
                let net = u128::from(scale(bits, nets)) << 64;
                let host = u128::from(bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16 | 1);
                IpAddr::V6(Ipv6Addr::from(u128::from(first) | net | host))
            }
        }
    }

    /// Whether an address is in it.
    #[cfg(test)]
    pub fn holds(&self, ip: IpAddr) -> bool {
        match (self.first, ip) {
            (IpAddr::V4(first), IpAddr::V4(ip)) => {
                let shift = 32u32.saturating_sub(u32::from(self.bits));
                u32::from(first).checked_shr(shift) == u32::from(ip).checked_shr(shift)
            }
            (IpAddr::V6(first), IpAddr::V6(ip)) => {
                let shift = 128u32.saturating_sub(u32::from(self.bits));
                u128::from(first).checked_shr(shift) == u128::from(ip).checked_shr(shift)
            }
            _ => false,
        }
    }
}

/// The zone people of a country live in, and its standard time in minutes ahead of UTC; of a wide country, that
/// of its largest city. Written here, and summer time left out, so that the bytes do not depend on a machine's
/// database of zones: who sleeps an hour earlier sleeps as well.
fn zone_of(country: &str) -> (&'static str, i64) {
    match country {
        "CN" => ("Asia/Shanghai", 480),
        "HK" => ("Asia/Hong_Kong", 480),
        "MO" => ("Asia/Macau", 480),
        "TW" => ("Asia/Taipei", 480),
        "SG" => ("Asia/Singapore", 480),
        "MY" => ("Asia/Kuala_Lumpur", 480),
        "JP" => ("Asia/Tokyo", 540),
        "KR" => ("Asia/Seoul", 540),
        "TH" => ("Asia/Bangkok", 420),
        "VN" => ("Asia/Ho_Chi_Minh", 420),
        "KH" => ("Asia/Phnom_Penh", 420),
        "ID" => ("Asia/Jakarta", 420),
        "PH" => ("Asia/Manila", 480),
        "IN" => ("Asia/Kolkata", 330),
        "PK" => ("Asia/Karachi", 300),
        "AE" => ("Asia/Dubai", 240),
        "SA" => ("Asia/Riyadh", 180),
        "TR" => ("Europe/Istanbul", 180),
        "RU" => ("Europe/Moscow", 180),
        "UA" => ("Europe/Kyiv", 120),
        "PL" => ("Europe/Warsaw", 60),
        "RO" => ("Europe/Bucharest", 120),
        "DE" => ("Europe/Berlin", 60),
        "FR" => ("Europe/Paris", 60),
        "NL" => ("Europe/Amsterdam", 60),
        "ES" => ("Europe/Madrid", 60),
        "IT" => ("Europe/Rome", 60),
        "GB" => ("Europe/London", 0),
        "NG" => ("Africa/Lagos", 60),
        "KE" => ("Africa/Nairobi", 180),
        "ZA" => ("Africa/Johannesburg", 120),
        "EG" => ("Africa/Cairo", 120),
        "US" | "CA" => ("America/New_York", -300),
        "MX" => ("America/Mexico_City", -360),
        "BR" => ("America/Sao_Paulo", -180),
        "AR" => ("America/Argentina/Buenos_Aires", -180),
        "CO" => ("America/Bogota", -300),
        "AU" => ("Australia/Sydney", 600),
        "NZ" => ("Pacific/Auckland", 720),
        _ => ("Etc/UTC", 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_home_is_where_its_range_says() {
        let world = World::new().expect("the file is well-formed");
        let mut random = super::super::random::Random::new(1, 0);
        for at in 0..5000 {
            let (range, ip) = world.home(random.bits(), at % 10 == 0).expect("a home");
            assert!(range.holds(ip), "{ip} is not in its range {range:?}");
            assert!(std::ptr::eq(world.locate(ip).expect("known").0, range), "{ip} is in an earlier range");
        }
    }

    #[test]
    fn nearly_everybody_lives_somewhere() {
        let world = World::new().expect("well-formed");
        let people: u64 = world.population().iter().sum();
        assert!((990_000..=1_000_000).contains(&people), "{people}");
    }

    #[test]
    fn every_country_has_a_zone_that_exists() {
        for city in World::new().expect("well-formed").cities {
            assert!(city.zone != "Etc/UTC", "{:?} has no zone", city.country);
            let zone = jiff::tz::TimeZone::get(city.zone).expect("a zone");
            let offset = |second| zone.to_offset(jiff::Timestamp::from_second(second).expect("a time")).seconds() / 60;
            // January and July 2026: one of them is standard time, the lesser one.
            let standard = offset(1_767_571_200).min(offset(1_782_864_000));
            assert_eq!(i64::from(standard), city.offset_min, "{}", city.zone);
        }
    }
}
