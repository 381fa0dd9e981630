//! Addresses that many people share: offices in working hours, and the gateways behind which mobile carriers
//! put everybody.
//!
//! Guarantees: an office and a gateway stand in the city of the people who use them, so nobody travels by
//! going to work; a place has so few people that a bad quarter of an hour of all of them is no attack. Does
//! not know who works: `people` says that.

use std::net::{IpAddr, Ipv6Addr};

use super::random::{choose, hash, scale};
use super::world::World;

/// The part of people who work in an office, percent.
pub const OFFICE_WORKERS_PERCENT: u64 = 40;
/// People of one office, about.
const OFFICE_PEOPLE: u64 = 20;
/// People behind one gateway of a carrier, about.
const GATEWAY_PEOPLE: u64 = 50;

/// The places of one city.
#[derive(Debug, Clone, Default)]
struct Shared {
    /// The ranges they are in: indices of the world's.
    ranges: Vec<u16>,
    /// How many there are.
    places: u64,
}

/// The shared places of every city.
#[derive(Debug, Clone, Default)]
pub struct Places {
    seed: u64,
    offices: Vec<Shared>,
    gateways: Vec<Shared>,
}

impl Places {
    /// As many in each city as `accounts` people need.
    pub fn new(seed: u64, world: &World, accounts: u64) -> Places {
        let shared = |ranges: &[u16], people: u64, each: u64| Shared {
            ranges: ranges.to_vec(),
            places: people.div_ceil(each).max(1),
        };
        let (mut offices, mut gateways) = (Vec::new(), Vec::new());
        for (city, per_million) in world.cities.iter().zip(world.population()) {
            let people = accounts.saturating_mul(per_million) / 1_000_000;
            offices.push(shared(&city.offices, people * OFFICE_WORKERS_PERCENT / 100, OFFICE_PEOPLE));
            gateways.push(shared(&city.gateways, people, GATEWAY_PEOPLE));
        }
        Places { seed, offices, gateways }
    }

    /// The address of a person's office in a city; none where the city has none.
    pub fn office(&self, world: &World, city: u16, person_bits: u64) -> Option<IpAddr> {
        self.offices.get(usize::from(city))?.address(self.seed, world, u64::from(city), person_bits)
    }

    /// The address that a person's telephone has on the street; none where the carrier gives each one of its own.
    pub fn gateway(&self, world: &World, city: u16, person_bits: u64) -> Option<IpAddr> {
        self.gateways.get(usize::from(city))?.address(self.seed, world, 0x1_0000 + u64::from(city), person_bits)
    }
}

impl Shared {
    fn address(&self, seed: u64, world: &World, of: u64, person_bits: u64) -> Option<IpAddr> {
        let place = scale(person_bits, self.places);
        let bits = hash(seed, super::people::salt::PLACE, (of << 40).wrapping_add(place));
        let range = world.range(*choose(&self.ranges, bits.rotate_left(29))?)?;
        Some(match range.address(bits) {
            // Behind one line of IPv6 everybody has an address of their own.
            IpAddr::V6(line) => {
                IpAddr::V6(Ipv6Addr::from((u128::from(line) >> 64 << 64) | u128::from(person_bits | 1)))
            }
            v4 => v4,
        })
    }
}
