//! What is kept of every account besides features: risk, age, logins, and its owner's profile.
//!
//! Guarantees: `known_for` counts from the oldest time seen, `logins` counts good ones up to an event's time,
//! `risk` halves every 24 h; the profile is bounded, whatever an attacker sends. Keeps no personal field.

use compact_str::CompactString;
use smallvec::SmallVec;

use super::last::text_bytes;
use super::window::{Span, Window, spilled_bytes};
use crate::event::{Country, Event, Network, Place};

/// In which time `account.risk` halves, ms.
pub const RISK_HALF_LIFE_MS: f64 = 86_400_000.0;
/// Countries the profile keeps, the most usual ones.
pub const USUAL_COUNTRIES_MAX: usize = 8;
/// Devices the profile counts.
pub const USUAL_DEVICES_MAX: usize = 32;
/// Characters of a device's or city's name that the profile keeps.
const PROFILE_TEXT_BYTES_MAX: usize = 128;

/// What is kept of one account.
#[derive(Debug, Clone)]
pub struct Account {
    first_ms: i64,
    risk: f64,
    risk_ms: i64,
    logins: Option<Box<Logins>>,
    /// From good logins; none before the first.
    pub profile: Option<Box<Profile>>,
}

impl Default for Account {
    fn default() -> Self {
        Account { first_ms: i64::MAX, risk: 0.0, risk_ms: i64::MIN, logins: None, profile: None }
    }
}

#[derive(Debug, Clone, Default)]
struct Logins {
    settled: i128,
    recent: Window,
}

impl Account {
    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        let logins = |logins: &Logins| size_of::<Logins>() + logins.recent.heap_bytes();
        let profile = |profile: &Profile| {
            let texts: usize = [&profile.last.device, &profile.last.city].into_iter().flatten().map(text_bytes).sum();
            size_of::<Profile>() + texts + spilled_bytes(&profile.countries) + spilled_bytes(&profile.devices)
        };
        self.logins.as_deref().map_or(0, logins) + self.profile.as_deref().map_or(0, profile)
    }

    /// Whether anything is kept of it.
    pub fn is_known(&self) -> bool {
        self.first_ms != i64::MAX || self.risk_ms != i64::MIN || self.logins.is_some() || self.profile.is_some()
    }

    /// Time since the account was first seen; `None` at or before that.
    pub fn known_for_ms(&self, time_ms: i64) -> Option<i64> {
        (self.first_ms < time_ms).then(|| time_ms.saturating_sub(self.first_ms))
    }

    /// Takes the time of one of its events.
    pub fn see(&mut self, time_ms: i64) {
        self.first_ms = self.first_ms.min(time_ms);
    }

    /// Good logins of time ≤ `time_ms`.
    pub fn logins(&self, time_ms: i64) -> i128 {
        self.logins.as_deref().map_or(0, |logins| logins.settled + logins.recent.sum(time_ms, i64::MAX))
    }

    /// Takes good logins at a time. What is older than the horizon is settled: no event can be before it.
    pub fn log_in(&mut self, time_ms: i64, count: u32, horizon_ms: i64) {
        let logins = self.logins.get_or_insert_default();
        logins.settled += logins.recent.settle(horizon_ms);
        logins.recent.add(time_ms, i64::from(count), Span { over_ms: i64::MAX, horizon_ms });
    }

    /// The decayed sum of past scores: at an older time than the newest score, what has been counted so far.
    pub fn risk(&self, time_ms: i64) -> f64 {
        if self.risk_ms == i64::MIN {
            return 0.0;
        }
        self.risk * halved(time_ms.max(self.risk_ms).saturating_sub(self.risk_ms))
    }

    /// Adds a score at its own time.
    pub fn add_risk(&mut self, time_ms: i64, score: f64) {
        let newest = time_ms.max(self.risk_ms);
        self.risk = self.risk(newest) + score * halved(newest.saturating_sub(time_ms));
        self.risk_ms = newest;
    }
}

fn halved(age_ms: i64) -> f64 {
    (-(age_ms as f64) / RISK_HALF_LIFE_MS).exp2()
}

/// The last good login.
#[derive(Debug, Clone, PartialEq)]
pub struct LastLogin {
    /// When, ms.
    pub time_ms: i64,
    /// From which device.
    pub device: Option<CompactString>,
    /// City.
    pub city: Option<CompactString>,
    /// Country.
    pub country: Option<Country>,
    /// Radius of uncertainty, km.
    pub accuracy_km: Option<f32>,
    /// Autonomous system.
    pub asn: Option<u32>,
    /// Kind of network.
    pub network: Option<Network>,
}

/// What an account's owner usually does, from good logins.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The newest good login.
    pub last: LastLogin,
    countries: SmallVec<[(Country, u16); 2]>,
    devices: SmallVec<[u32; 4]>,
    hours: [u8; 24],
}

impl Profile {
    /// Takes a good login. `device` is the device's hash, 0 where there is none.
    pub fn take(kept: &mut Option<Box<Profile>>, event: &Event<'_>, device: u64, hour: Option<u8>) {
        let profile = match kept {
            Some(profile) => {
                if event.time.0 >= profile.last.time_ms {
                    profile.last.take(event);
                }
                profile
            }
            None => kept.insert(Box::new(Profile::new(event))),
        };
        if device != 0 {
            profile.count_device(device as u32);
        }
        if let Some(country) = event.geo.country {
            profile.count_country(country);
        }
        if let Some(count) = hour.and_then(|hour| profile.hours.get_mut(usize::from(hour))) {
            *count += 1;
            if *count == u8::MAX {
                // Halving keeps the proportions, and lets an old habit fade.
                profile.hours.iter_mut().for_each(|n| *n /= 2);
            }
        }
    }

    fn new(event: &Event<'_>) -> Self {
        let last = LastLogin {
            time_ms: event.time.0,
            device: None,
            city: None,
            country: None,
            accuracy_km: None,
            asn: None,
            network: None,
        };
        let (countries, devices) = (SmallVec::new(), SmallVec::new());
        let mut profile = Profile { last, countries, devices, hours: [0; 24] };
        profile.last.take(event);
        profile
    }

    /// Reads a little of each of its parts, so that their memory is near when it is needed.
    pub fn bring_near(&self) -> u64 {
        let country = self.countries.first().map_or(0, |(_, n)| u64::from(*n));
        self.last.time_ms as u64 ^ country ^ u64::from(self.hours[12]) ^ self.devices.len() as u64
    }

    fn count_device(&mut self, device: u32) {
        if self.devices.len() < USUAL_DEVICES_MAX && !self.devices.contains(&device) {
            self.devices.push(device);
        }
    }

    fn count_country(&mut self, country: Country) {
        if let Some((_, n)) = self.countries.iter_mut().find(|(c, _)| *c == country) {
            *n += 1;
            if *n == u16::MAX {
                self.countries.iter_mut().for_each(|(_, n)| *n /= 2);
            }
        } else if self.countries.len() < USUAL_COUNTRIES_MAX {
            self.countries.push((country, 1));
        } else if let Some(rarest) = self.countries.iter_mut().min_by_key(|(_, n)| *n) {
            *rarest = (country, 1);
        }
    }

    /// Countries with at least a tenth of the good logins, most usual first, then by code.
    pub fn countries(&self) -> Vec<Country> {
        let all: u32 = self.countries.iter().map(|(_, n)| u32::from(*n)).sum();
        let mut usual: Vec<(Country, u16)> =
            self.countries.iter().filter(|(_, n)| u32::from(*n) * 10 >= all && *n > 0).copied().collect();
        usual.sort_by_key(|(country, n)| (std::cmp::Reverse(*n), *country));
        usual.into_iter().map(|(country, _)| country).collect()
    }

    /// How many devices good logins came from, at most `USUAL_DEVICES_MAX`.
    pub fn devices(&self) -> u32 {
        self.devices.len() as u32
    }

    /// The first and last hour of the shortest run that holds nine tenths of the good logins.
    pub fn hours(&self) -> Option<[u8; 2]> {
        let all: u32 = self.hours.iter().map(|n| u32::from(*n)).sum();
        if all == 0 {
            return None;
        }
        for length in 1..=24u8 {
            for first in 0..24u8 {
                let hours = (0..length).map(|n| usize::from((first + n) % 24));
                let held: u32 = hours.map(|hour| self.hours.get(hour).map_or(0, |n| u32::from(*n))).sum();
                if held * 10 >= all * 9 {
                    return Some([first, (first + length - 1) % 24]);
                }
            }
        }
        None
    }
}

impl LastLogin {
    fn take(&mut self, event: &Event<'_>) {
        let Place { country, city, accuracy_km, asn, network, .. } = &event.geo;
        self.time_ms = event.time.0;
        keep_text(&mut self.device, event.device.as_deref());
        keep_text(&mut self.city, city.as_deref());
        self.country = *country;
        self.accuracy_km = accuracy_km.map(|km| km as f32);
        self.asn = *asn;
        self.network = *network;
    }
}

fn keep_text(kept: &mut Option<CompactString>, text: Option<&str>) {
    match (kept.as_mut(), text) {
        (_, None) => *kept = None,
        (Some(kept), Some(text)) => {
            kept.clear();
            kept.push_str(&text[..text.floor_char_boundary(PROFILE_TEXT_BYTES_MAX)]);
        }
        (None, Some(text)) => *kept = Some(text[..text.floor_char_boundary(PROFILE_TEXT_BYTES_MAX)].into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, Millis};

    #[test]
    fn risk_halves_in_a_day_and_late_scores_count_at_their_own_time() {
        let day = 86_400_000;
        let mut account = Account::default();
        assert_eq!(account.risk(5), 0.0);
        account.add_risk(day, 40.0);
        assert!((account.risk(2 * day) - 20.0).abs() < 1e-9);
        assert!((account.risk(0) - 40.0).abs() < 1e-9, "an older event reads what has been counted so far");
        account.add_risk(0, 40.0);
        assert!((account.risk(day) - 60.0).abs() < 1e-9);
    }

    #[test]
    fn logins_are_those_up_to_the_events_time() {
        let mut account = Account::default();
        for time in [1000, 5000, 3000] {
            account.log_in(time, 2, 500);
        }
        assert_eq!([999, 1000, 3000, 4999, 5000].map(|t| account.logins(t)), [0, 2, 4, 4, 6]);
        account.log_in(9000, 1, 4000);
        assert_eq!(account.logins(4000), 4);
        assert_eq!(account.logins(9000), 7);
    }

    #[test]
    fn known_for_is_missing_at_the_first_moment() {
        let mut account = Account::default();
        assert_eq!(account.known_for_ms(10), None);
        account.see(10);
        assert_eq!((account.known_for_ms(10), account.known_for_ms(11)), (None, Some(1)));
        account.see(5);
        assert_eq!(account.known_for_ms(10), Some(5));
    }

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
}
