//! The wallet's users: home, sleep, devices, payees, places, travels, contact. Each trait is a hash of seed and
//! number, so a million people need no memory.
//!
//! Guarantees: one person has one home city, one clock, stable devices, regular payees; who travels is out of
//! sight for the length of a flight both ways. Does not say what people do.

use std::net::IpAddr;

use super::SimError;
use super::places::{OFFICE_WORKERS_PERCENT, Places};
use super::random::{choose, hash, scale};
use super::rhythm::{Clock, Week, week_of};
use super::world::{Range, World};
use super::zipf::Zipf;
use crate::event::{Connection, Millis, Network};

/// The hour, ms.
pub const HOUR_MS: i64 = 3_600_000;
/// The day, ms.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// How long a traveller is not heard of between home and the destination: at 900 km/h the whole way round.
const FLIGHT_MS: i64 = 24 * HOUR_MS;
/// The part of people who go abroad once while the stream lasts, per million.
const TRAVELLERS_PER_MILLION: u64 = 10_000;
/// The part of people with one device who use a VPN, per million, and how often they do, percent.
const VPN_USERS_PER_MILLION: u64 = 10_000;
const VPN_PERCENT: u64 = 30;
/// The part of people who sleep by day, percent, and by how much their clock differs, minutes.
const NIGHT_WORKERS_PERCENT: u64 = 2;
const NIGHT_WORK_MIN: i64 = 12 * 60;
/// How much later than others a person rises, in steps of half an hour: from an hour before to an hour after.
const RISING_STEP_MIN: i64 = 30;
const RISING_STEPS: i64 = 2;
/// How often an address is the office's in its hours and the mobile carrier's otherwise, percent.
const OFFICE_PERCENT: u64 = 65;
const MOBILE_PERCENT: u64 = 30;
/// How many people are asked how busy an hour is.
const WEEK_PEOPLE: u64 = 2048;
/// How many payees a person pays regularly.
pub const PAYEES: u64 = 4;
/// One of so many home addresses is a gateway of many people.
const SHARED_ADDRESS_IN: u32 = 1000;
/// The flattening of the addresses' Zipf distribution, ranks.
pub const ADDRESS_SHIFT: u32 = 400;

/// What each trait is drawn with: numbers that differ, nothing else.
pub(super) mod salt {
    pub const HOME: u64 = 1;
    pub const ADDRESS: u64 = 2;
    pub const MOBILE: u64 = 3;
    pub const DEVICE: u64 = 4;
    pub const PLATFORM: u64 = 5;
    pub const PAYEE: u64 = 6;
    pub const TRIP: u64 = 7;
    pub const LOCALE: u64 = 8;
    pub const PHRASE: u64 = 9;
    pub const SESSION: u64 = 10;
    pub const EVENT: u64 = 11;
    pub const PHONE: u64 = 12;
    pub const NAME: u64 = 13;
    pub const VPN: u64 = 14;
    pub const SLEEP: u64 = 15;
    pub const OFFICE: u64 = 16;
    pub const PLACE: u64 = 17;
}

/// One person, as far as most events need.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    /// The person's number: the rank of their account, from the busiest.
    pub number: u64,
    /// Home city, an index of the world's.
    pub city: u16,
    /// Address at home.
    pub home: IpAddr,
    /// Operating system of the telephone.
    pub platform: &'static str,
    /// Version of the app.
    pub app_version: &'static str,
    /// Language.
    pub locale: &'static str,
    /// Zone of the home city.
    pub zone: &'static str,
    /// How many devices, at least the telephone.
    pub devices: u64,
}

/// Where a person is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// In the home city.
    Home,
    /// In the air: no event comes from them.
    Flying,
    /// In another country, on this range of a mobile carrier.
    Abroad(u16),
}

/// Everybody.
pub struct People {
    seed: u64,
    /// How many ordinary people; higher numbers belong to the scripts and never travel on their own.
    pub accounts: u64,
    start: Millis,
    span_ms: i64,
    addresses: Zipf,
    shared: u32,
    world: World,
    /// Offices and gateways; none in a bare workload.
    places: Places,
    /// Mobile carriers outside the wallet's country.
    abroad: Vec<u16>,
    /// Exits of VPNs.
    vpns: Vec<u16>,
}

impl People {
    /// `accounts` ordinary people at `addresses` home addresses, from `start` on; a moment until they are
    /// [`lasting`](Self::lasting).
    pub fn new(seed: u64, accounts: u64, addresses: u32, start: Millis) -> Result<Self, SimError> {
        let world = World::new()?;
        let is_abroad = |city: u16| world.city(city).is_some_and(|c| c.country.code() != super::world::HOME_COUNTRY);
        let all = |which: &dyn Fn(&Range) -> bool| -> Vec<u16> {
            (0u16..).zip(&world.ranges).filter(|(_, range)| which(range)).map(|(index, _)| index).collect()
        };
        let abroad = all(&|range| range.network == Network::Mobile && is_abroad(range.city));
        let vpns = all(&|range| range.network == Network::Vpn);
        let shared = addresses / SHARED_ADDRESS_IN;
        let addresses = Zipf::new(addresses, ADDRESS_SHIFT);
        let places = Places::default();
        Ok(People { seed, accounts, start, span_ms: 0, addresses, shared, world, places, abroad, vpns })
    }

    /// The same people, with offices to go to and carriers that put many behind one address.
    pub fn going_out(mut self) -> Self {
        self.places = Places::new(self.seed, &self.world, self.accounts);
        self
    }

    /// The same people, living for `span_ms`: it says when who travels.
    pub fn lasting(mut self, span_ms: i64) -> Self {
        self.span_ms = span_ms;
        self
    }

    /// How busy each hour of the week is for all of them together.
    pub fn week(&self) -> Week {
        let clocks: Vec<Clock> =
            (0..self.accounts.min(WEEK_PEOPLE)).map(|n| self.clock(n, Whereabouts::Home)).collect();
        week_of(clocks.iter().copied())
    }

    /// The world they live in.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The range and address of a person's home.
    fn home(&self, number: u64) -> Option<(&Range, IpAddr)> {
        let rank = self.addresses.rank(hash(self.seed, salt::HOME, number));
        // A shared gateway stands for whoever is behind it; people of the scripts live alone.
        let is_shared = rank < self.shared && number < self.accounts;
        let of = if number < self.accounts { u64::from(rank) } else { number };
        self.world.home(hash(self.seed, salt::ADDRESS, of), is_shared)
    }

    /// The clock a person lives by, where they are.
    pub fn clock(&self, number: u64, at: Whereabouts) -> Clock {
        let range = match at {
            Whereabouts::Abroad(range) => self.world.range(range),
            Whereabouts::Home | Whereabouts::Flying => self.home(number).map(|home| home.0),
        };
        let city = range.and_then(|range| self.world.city(range.city));
        let bits = hash(self.seed, salt::SLEEP, number);
        let steps = scale(bits, 2 * RISING_STEPS.unsigned_abs() + 1) as i64 - RISING_STEPS;
        let is_at_night = scale(bits.rotate_left(17), 100) < NIGHT_WORKERS_PERCENT;
        let night_min = if is_at_night { NIGHT_WORK_MIN } else { 0 };
        Clock { ahead_min: city.map_or(0, |c| c.offset_min) - steps * RISING_STEP_MIN - night_min }
    }

    /// The person of a number.
    pub fn person(&self, number: u64) -> Result<Person, SimError> {
        let (range, home) = self.home(number).ok_or(SimError::Empty)?;
        let city = self.world.city(range.city).ok_or(SimError::Empty)?;
        let bits = hash(self.seed, salt::PLATFORM, number);
        let platform = if scale(bits, 100) < 58 { "android" } else { "ios" };
        let app_version = choose(&["7.2.1", "7.2.1", "7.2.1", "7.2.0", "7.1.4"], bits.rotate_left(17)).copied();
        let chinese = matches!(city.country.code(), "CN" | "HK" | "MO" | "TW");
        let other = scale(hash(self.seed, salt::LOCALE, number), 100);
        let locale = if chinese && other >= 4 || !chinese && other < 10 { "zh-CN" } else { "en" };
        let devices = match scale(bits.rotate_left(31), 100) {
            0..55 => 1,
            55..90 => 2,
            _ => 3,
        };
        let app_version = app_version.unwrap_or("7.2.1");
        Ok(Person { number, city: range.city, home, platform, app_version, locale, zone: city.zone, devices })
    }

    /// Whether a person's home is in a country.
    pub fn lives_in(&self, person: &Person, country: &str) -> bool {
        self.world.city(person.city).is_some_and(|city| city.country.code() == country)
    }

    /// A device of a person: 0 is the telephone they pay with.
    pub fn device(&self, number: u64, which: u64) -> u64 {
        hash(self.seed, salt::DEVICE, number.wrapping_mul(16).wrapping_add(which))
    }

    /// A payee a person pays regularly, `which` of [`PAYEES`], or one never paid so far for larger numbers.
    pub fn payee(&self, number: u64, which: u64) -> u64 {
        hash(self.seed, salt::PAYEE, number.wrapping_mul(64).wrapping_add(which))
    }

    /// A trait of something by the seed of these people.
    pub fn hash(&self, salt: u64, of: u64) -> u64 {
        hash(self.seed, salt, of)
    }

    /// Where the person is at `time`.
    pub fn whereabouts(&self, number: u64, time: Millis) -> Whereabouts {
        let bits = hash(self.seed, salt::TRIP, number);
        if number >= self.accounts || scale(bits, 1_000_000) >= TRAVELLERS_PER_MILLION || self.span_ms < 4 * FLIGHT_MS {
            return Whereabouts::Home;
        }
        let span = u64::try_from(self.span_ms).unwrap_or(0);
        let leave = self.start.plus(scale(bits.rotate_left(13), span) as i64);
        let stay_ms = HOUR_MS * (24 + scale(bits.rotate_left(29), 96) as i64);
        match time.since(leave) {
            away if away < 0 || away >= 2 * FLIGHT_MS + stay_ms => Whereabouts::Home,
            away if away < FLIGHT_MS || away >= FLIGHT_MS + stay_ms => Whereabouts::Flying,
            _ => choose(&self.abroad, bits.rotate_left(41)).map_or(Whereabouts::Home, |r| Whereabouts::Abroad(*r)),
        }
    }

    /// Whether this time a person comes through a VPN: only people with one device, so that a strange country
    /// is never seen together with a strange device.
    fn uses_vpn(&self, person: &Person, draw: u64) -> bool {
        person.devices == 1
            && person.number < self.accounts
            && scale(hash(self.seed, salt::VPN, person.number), 1_000_000) < VPN_USERS_PER_MILLION
            && scale(draw.rotate_left(5), 100) < VPN_PERCENT
    }

    /// The exit of a person's VPN.
    fn vpn(&self, number: u64) -> Option<IpAddr> {
        let bits = hash(self.seed, salt::VPN, number).rotate_left(32);
        Some(self.world.range(*choose(&self.vpns, bits)?)?.address(bits.rotate_left(7)))
    }

    /// The office of a person who is in it at a moment.
    fn office(&self, person: &Person, time: Millis, draw: u64) -> Option<IpAddr> {
        let bits = hash(self.seed, salt::OFFICE, person.number);
        let works = person.number < self.accounts && scale(bits.rotate_left(43), 100) < OFFICE_WORKERS_PERCENT;
        if !works || scale(draw.rotate_left(47), 100) >= OFFICE_PERCENT {
            return None;
        }
        // Cheaper questions first: most people and moments are none of an office.
        let office = self.places.office(&self.world, person.city, bits)?;
        self.clock(person.number, Whereabouts::Home).hour(time).is_at_work().then_some(office)
    }

    /// The carrier's gateway that a person's telephone is behind.
    fn gateway(&self, person: &Person) -> Option<IpAddr> {
        let bits = hash(self.seed, salt::MOBILE, person.number).rotate_left(19);
        (person.number < self.accounts).then(|| self.places.gateway(&self.world, person.city, bits))?
    }

    /// The address and connection a person uses, by a draw: in working hours perhaps the office's; at home mostly
    /// the home line, else the mobile carrier of the city; abroad the carrier there. Mobile addresses change by
    /// the day, but for those of a gateway.
    pub fn address(&self, person: &Person, at: Whereabouts, time: Millis, draw: u64) -> (IpAddr, Connection) {
        let day = u64::try_from(time.0 / DAY_MS).unwrap_or(0);
        let bits = hash(self.seed, salt::MOBILE, person.number.wrapping_mul(4096).wrapping_add(day));
        let on = |range: &Range| (range.address(bits), Connection::Cellular);
        let mobile = match at {
            _ if self.uses_vpn(person, draw) => {
                return (self.vpn(person.number).unwrap_or(person.home), Connection::Wifi);
            }
            Whereabouts::Abroad(range) => self.world.range(range),
            Whereabouts::Home | Whereabouts::Flying => {
                if let Some(office) = self.office(person, time, draw) {
                    return (office, Connection::Wifi);
                }
                let is_out = scale(draw, 100) < MOBILE_PERCENT;
                let bits = hash(self.seed, salt::MOBILE, person.number);
                let mobile = is_out.then(|| self.world.mobile(person.city, bits)).flatten();
                // IPv6 has addresses for all: only IPv4 is shared.
                if let Some(gateway) = mobile.filter(|r| r.first.is_ipv4()).and_then(|_| self.gateway(person)) {
                    return (gateway, Connection::Cellular);
                }
                mobile
            }
        };
        mobile.map_or((person.home, Connection::Wifi), on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> People {
        let people = People::new(5, 20_000, 4000, Millis(1_767_571_200_000)).expect("people");
        people.going_out().lasting(16 * DAY_MS)
    }

    #[test]
    fn everybody_stays_in_one_city_unless_they_fly() {
        let people = people();
        let mut travellers = 0;
        for number in 0..20_000 {
            let person = people.person(number).expect("a person");
            let mut last: Option<(Millis, u16)> = None;
            let mut was_away = false;
            for step in 0..(16 * 12) {
                let time = people.start.plus(step * 2 * HOUR_MS);
                let at = people.whereabouts(number, time);
                if at == Whereabouts::Flying {
                    continue;
                }
                was_away |= at != Whereabouts::Home;
                let draw = people.hash(99, step as u64);
                let (ip, _) = people.address(&person, at, time, draw);
                if number < 300 || at != Whereabouts::Home {
                    let (range, _) = people.world.locate(ip).expect("a known address");
                    if range.network == Network::Vpn {
                        continue;
                    }
                    if let Some((before, city)) = last {
                        assert!(city == range.city || time.since(before) >= FLIGHT_MS, "{number} jumped");
                    }
                    last = Some((time, range.city));
                }
            }
            travellers += u32::from(was_away);
        }
        assert!((100..300).contains(&travellers), "{travellers}");
    }

    #[test]
    fn three_in_ten_homes_are_ipv6() {
        let people = people();
        let v6 = (0..5000).filter(|n| people.person(*n).expect("a person").home.is_ipv6()).count();
        assert!((1350..1650).contains(&v6), "{v6}");
    }
}
