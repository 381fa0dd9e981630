//! What an account's owner usually does, from good logins, and the last of these: what an alert shows.
//!
//! Guarantees: bounded, whatever an attacker sends; counts are halved before they run over, so proportions stay
//! and old habits fade. Nearly every account has one, so it is packed. Keeps no personal field.

use smallvec::SmallVec;

use super::window::spilled_bytes;
use crate::event::{Country, Event, Network, Place};

mod durable;

/// Countries the profile keeps, the most usual ones.
pub const USUAL_COUNTRIES_MAX: usize = 8;
/// Devices the profile counts.
pub const USUAL_DEVICES_MAX: usize = 32;
/// Bytes of a device's or city's name that the profile keeps.
const TEXT_BYTES_MAX: usize = 128;
/// A country's letters and its count; a device's hash.
const RECORD_BYTES: usize = 4;
/// Packed bytes that stand in the profile itself: one or two countries, devices and names of common length.
const PACKED_INLINE_BYTES: usize = 40;

/// The last good login.
#[derive(Debug, Clone, PartialEq)]
pub struct LastLogin<'p> {
    /// When, ms.
    pub time_ms: i64,
    /// From which device.
    pub device: Option<&'p str>,
    /// City.
    pub city: Option<&'p str>,
    /// Country.
    pub country: Option<Country>,
    /// Radius of uncertainty, km.
    pub accuracy_km: Option<f32>,
    /// Autonomous system.
    pub asn: Option<u32>,
    /// Kind of network.
    pub network: Option<Network>,
}

/// An account's profile.
#[derive(Debug, Clone)]
pub struct Profile {
    last_ms: i64,
    /// Not a number where it is not known.
    last_accuracy_km: f32,
    last_asn: u32,
    has_asn: bool,
    last_country: Option<Country>,
    last_network: Option<Network>,
    /// Which hours have a count: bit 0 is midnight.
    hours: u32,
    countries: u8,
    devices: u8,
    /// Bytes of the names; `None` where there is none.
    device_bytes: Option<u8>,
    city_bytes: Option<u8>,
    /// One after the other: countries, devices, counts of the hours, the device's name, the city's.
    packed: SmallVec<[u8; PACKED_INLINE_BYTES]>,
}

impl Profile {
    /// Takes a good login. `device` is the device's hash, 0 where there is none.
    pub fn take(kept: &mut Option<Box<Profile>>, event: &Event<'_>, device: u64, hour: Option<u8>) {
        let is_first = kept.is_none();
        let profile = kept.get_or_insert_with(|| Box::new(Profile::new()));
        if is_first || event.time.0 >= profile.last_ms {
            profile.take_last(event);
        }
        if device != 0 {
            profile.count_device((device as u32).to_le_bytes());
        }
        if let Some(country) = event.geo.country {
            profile.count_country(country);
        }
        if let Some(hour) = hour.filter(|hour| *hour < 24) {
            profile.count_hour(hour);
        }
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        spilled_bytes(&self.packed)
    }

    fn new() -> Self {
        Profile {
            last_ms: 0,
            last_accuracy_km: f32::NAN,
            last_asn: 0,
            has_asn: false,
            last_country: None,
            last_network: None,
            hours: 0,
            countries: 0,
            devices: 0,
            device_bytes: None,
            city_bytes: None,
            packed: SmallVec::new(),
        }
    }

    fn devices_at(&self) -> usize {
        usize::from(self.countries) * RECORD_BYTES
    }

    fn hours_at(&self) -> usize {
        self.devices_at() + usize::from(self.devices) * RECORD_BYTES
    }

    fn names_at(&self) -> usize {
        self.hours_at() + self.hours.count_ones() as usize
    }

    fn take_last(&mut self, event: &Event<'_>) {
        let Place { country, city, accuracy_km, asn, network, .. } = &event.geo;
        self.last_ms = event.time.0;
        self.last_country = *country;
        self.last_accuracy_km = accuracy_km.map_or(f32::NAN, |km| km as f32);
        (self.last_asn, self.has_asn) = (asn.unwrap_or_default(), asn.is_some());
        self.last_network = *network;
        self.packed.truncate(self.names_at());
        let mut keep = |text: Option<&str>| {
            let text = text.map(|text| &text[..text.floor_char_boundary(TEXT_BYTES_MAX)])?;
            self.packed.extend_from_slice(text.as_bytes());
            Some(text.len() as u8)
        };
        let names = (keep(event.device.as_deref()), keep(city.as_deref()));
        (self.device_bytes, self.city_bytes) = names;
    }

    fn count_device(&mut self, device: [u8; RECORD_BYTES]) {
        let (from, to) = (self.devices_at(), self.hours_at());
        let known = self.packed.get(from..to).unwrap_or_default().as_chunks().0;
        if known.len() < USUAL_DEVICES_MAX && !known.contains(&device) {
            self.packed.insert_from_slice(to, &device);
            self.devices += 1;
        }
    }

    fn count_country(&mut self, country: Country) {
        let to = self.devices_at();
        let [high, low] = country.number().to_be_bytes();
        let known = self.packed.get_mut(..to).unwrap_or_default().as_chunks_mut::<RECORD_BYTES>().0;
        if let Some([.., n_low, n_high]) = known.iter_mut().find(|[a, b, ..]| (*a, *b) == (high, low)) {
            let n = u16::from_le_bytes([*n_low, *n_high]) + 1;
            [*n_low, *n_high] = n.to_le_bytes();
            if n == u16::MAX {
                for [.., n_low, n_high] in known {
                    [*n_low, *n_high] = (u16::from_le_bytes([*n_low, *n_high]) / 2).to_le_bytes();
                }
            }
        } else if known.len() < USUAL_COUNTRIES_MAX {
            self.packed.insert_from_slice(to, &[high, low, 1, 0]);
            self.countries += 1;
        } else if let Some(rarest) = known.iter_mut().min_by_key(|[.., n_low, n_high]| [*n_high, *n_low]) {
            *rarest = [high, low, 1, 0];
        }
    }

    fn count_hour(&mut self, hour: u8) {
        let bit = 1u32 << hour;
        let from = self.hours_at();
        let at = from + (self.hours & (bit - 1)).count_ones() as usize;
        if self.hours & bit == 0 {
            self.packed.insert(at, 0);
            self.hours |= bit;
        }
        let to = self.names_at();
        let Some(count) = self.packed.get_mut(at) else { return };
        *count += 1;
        if *count == u8::MAX {
            self.packed.get_mut(from..to).unwrap_or_default().iter_mut().for_each(|n| *n /= 2);
        }
    }

    /// The newest good login.
    pub fn last(&self) -> LastLogin<'_> {
        let device_at = self.names_at();
        let city_at = device_at + self.device_bytes.map_or(0, usize::from);
        let name = |at: usize, bytes: Option<u8>| {
            let bytes = self.packed.get(at..at + usize::from(bytes?))?;
            std::str::from_utf8(bytes).ok()
        };
        LastLogin {
            time_ms: self.last_ms,
            device: name(device_at, self.device_bytes),
            city: name(city_at, self.city_bytes),
            country: self.last_country,
            accuracy_km: Some(self.last_accuracy_km).filter(|km| !km.is_nan()),
            asn: self.has_asn.then_some(self.last_asn),
            network: self.last_network,
        }
    }

    /// Countries with at least a tenth of the good logins, most usual first, then by code.
    pub fn countries(&self) -> Vec<Country> {
        let packed = self.packed.get(..self.devices_at()).unwrap_or_default().as_chunks::<RECORD_BYTES>().0;
        let counted = packed.iter().filter_map(|[high, low, n_low, n_high]| {
            let country = Country::from_number(u16::from_be_bytes([*high, *low]))?;
            Some((country, u16::from_le_bytes([*n_low, *n_high])))
        });
        let all: u32 = counted.clone().map(|(_, n)| u32::from(n)).sum();
        let mut usual: Vec<(Country, u16)> = counted.filter(|(_, n)| u32::from(*n) * 10 >= all && *n > 0).collect();
        usual.sort_by_key(|(country, n)| (std::cmp::Reverse(*n), *country));
        usual.into_iter().map(|(country, _)| country).collect()
    }

    /// How many devices good logins came from, at most `USUAL_DEVICES_MAX`.
    pub fn devices(&self) -> u32 {
        u32::from(self.devices)
    }

    /// The first and last hour of the shortest run that holds nine tenths of the good logins.
    pub fn hours(&self) -> Option<[u8; 2]> {
        let counts = self.packed.get(self.hours_at()..self.names_at()).unwrap_or_default();
        let mut hours = [0u32; 24];
        let known = hours.iter_mut().enumerate().filter(|(hour, _)| self.hours >> hour & 1 == 1);
        known.zip(counts).for_each(|((_, hour), n)| *hour = u32::from(*n));
        let all: u32 = hours.iter().sum();
        if all == 0 {
            return None;
        }
        for length in 1..=24u8 {
            for first in 0..24u8 {
                let run = (0..length).map(|n| usize::from((first + n) % 24));
                let held: u32 = run.map(|hour| hours.get(hour).copied().unwrap_or_default()).sum();
                if held * 10 >= all * 9 {
                    return Some([first, (first + length - 1) % 24]);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{EventType, Millis};

    #[test]
    fn usual_hours_are_the_shortest_run_and_may_pass_midnight() {
        let mut kept = None;
        for hour in [22, 23, 23, 0, 0, 1, 1, 1, 1, 12] {
            let event = Event::new("e", EventType::Login, Millis(1));
            Profile::take(&mut kept, &event, 7, Some(hour));
        }
        let profile = kept.unwrap();
        assert_eq!(profile.hours(), Some([22, 1]));
        assert_eq!(profile.devices(), 1);
    }

    #[test]
    fn a_profile_is_small() {
        assert_eq!(size_of::<Profile>(), 80);
    }

    /// The same, unpacked.
    #[derive(Default)]
    struct Plain {
        last: Option<(i64, Option<String>, Option<String>)>,
        countries: Vec<(Country, u16)>,
        devices: Vec<u32>,
        hours: [u8; 24],
    }

    impl Plain {
        fn take(&mut self, event: &Event<'_>, device: u32, hour: u8) {
            if self.last.as_ref().is_none_or(|(time, ..)| event.time.0 >= *time) {
                let cut = |t: &str| t[..t.floor_char_boundary(TEXT_BYTES_MAX)].to_owned();
                self.last = Some((event.time.0, event.device.as_deref().map(cut), event.geo.city.as_deref().map(cut)));
            }
            if device != 0 && self.devices.len() < USUAL_DEVICES_MAX && !self.devices.contains(&device) {
                self.devices.push(device);
            }
            if let Some(country) = event.geo.country {
                match self.countries.iter().position(|(c, _)| *c == country) {
                    Some(at) => {
                        self.countries[at].1 += 1;
                        if self.countries[at].1 == u16::MAX {
                            self.countries.iter_mut().for_each(|(_, n)| *n /= 2);
                        }
                    }
                    None if self.countries.len() < USUAL_COUNTRIES_MAX => self.countries.push((country, 1)),
                    None => *self.countries.iter_mut().min_by_key(|(_, n)| *n).unwrap() = (country, 1),
                }
            }
            let count = &mut self.hours[usize::from(hour)];
            *count += 1;
            if *count == u8::MAX {
                self.hours.iter_mut().for_each(|n| *n /= 2);
            }
        }
    }

    proptest! {
        #[test]
        fn packed_says_what_plain_says(
            logins in prop::collection::vec(
                (0i64..50, 0u32..40, 0u8..12, prop::option::of("[a-z北]{0,60}"), prop::option::of("[A-Z京]{0,90}"), 0u8..24, 1u16..400),
                1..60,
            ),
        ) {
            let (mut kept, mut plain) = (None, Plain::default());
            for (time, device, country, name, city, hour, times) in logins {
                let mut event = Event::new("e", EventType::Login, Millis(time));
                event.device = name.map(Into::into);
                event.geo.city = city.map(Into::into);
                event.geo.country = Country::parse(&format!("A{}", char::from(b'A' + country)));
                let hash = if device == 0 { 0 } else { u64::from(device) | 1 << 40 };
                for _ in 0..times {
                    Profile::take(&mut kept, &event, hash, Some(hour));
                    plain.take(&event, device, hour);
                }
                let profile = kept.as_ref().unwrap();
                let last = profile.last();
                let said = (last.time_ms, last.device.map(str::to_owned), last.city.map(str::to_owned));
                prop_assert_eq!(Some(&said), plain.last.as_ref());
                prop_assert_eq!(profile.devices() as usize, plain.devices.len());
                let all: u32 = plain.countries.iter().map(|(_, n)| u32::from(*n)).sum();
                let mut usual: Vec<_> = plain.countries.iter().filter(|(_, n)| u32::from(*n) * 10 >= all && *n > 0).collect();
                usual.sort_by_key(|(country, n)| (std::cmp::Reverse(*n), *country));
                prop_assert_eq!(profile.countries(), usual.iter().map(|(c, _)| *c).collect::<Vec<_>>());
                let from = profile.hours_at();
                let mut counts = profile.packed[from..profile.names_at()].iter();
                for (hour, n) in plain.hours.iter().enumerate() {
                    let packed = if profile.hours >> hour & 1 == 1 { *counts.next().unwrap() } else { 0 };
                    prop_assert_eq!(packed, *n);
                }
            }
        }
    }
}
