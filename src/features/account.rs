//! What is kept of every account besides features: risk, age, logins, and its owner's profile.
//!
//! Guarantees: `known_for` counts from the oldest time seen, `logins` counts good ones up to an event's time,
//! `risk` halves every 24 h. Keeps no personal field.

use prefetch_index::prefetch_index;

use super::Profile;
use super::codec::{DecodeError, Decoder, Durable, Encoder};
use super::decayed::Decayed;
use super::window::{Span, Window};

/// In which time `account.risk` halves, ms.
pub const RISK_HALF_LIFE_MS: i64 = 86_400_000;

/// What is kept of one account.
#[derive(Debug, Clone)]
pub struct Account {
    first_ms: i64,
    risk: Decayed,
    logins: Option<Box<Logins>>,
    /// From good logins; none before the first.
    pub profile: Option<Box<Profile>>,
}

impl Default for Account {
    fn default() -> Self {
        Account { first_ms: i64::MAX, risk: Decayed::default(), logins: None, profile: None }
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
        let profile = |profile: &Profile| size_of::<Profile>() + profile.heap_bytes();
        self.logins.as_deref().map_or(0, logins) + self.profile.as_deref().map_or(0, profile)
    }

    /// Whether anything is kept of it.
    pub fn is_known(&self) -> bool {
        self.first_ms != i64::MAX
            || self.risk.newest_ms() != i64::MIN
            || self.logins.is_some()
            || self.profile.is_some()
    }

    /// Takes in what is kept of the same account elsewhere, but for the profile: it shows habits and decides
    /// nothing, and is left as it is.
    pub fn merge(&mut self, other: Self) {
        self.first_ms = self.first_ms.min(other.first_ms);
        self.risk.merge(other.risk, RISK_HALF_LIFE_MS);
        if let Some(other) = other.logins {
            let logins = self.logins.get_or_insert_default();
            logins.settled += other.settled;
            logins.recent.merge(other.recent, Span { over_ms: i64::MAX, horizon_ms: i64::MIN });
        }
        if self.profile.is_none() {
            self.profile = other.profile;
        }
    }

    /// Asks for the memory it points to.
    pub fn bring_near(&self) {
        if let Some(profile) = self.profile.as_deref() {
            prefetch_index(std::slice::from_ref(profile), 0);
        }
    }

    /// Time since the account was first seen; `None` at or before that.
    pub fn known_for_ms(&self, time_ms: i64) -> Option<i64> {
        (self.first_ms < time_ms).then(|| time_ms.saturating_sub(self.first_ms))
    }

    /// Since when it is known; `None` where nothing asked for that.
    pub fn first_ms(&self) -> Option<i64> {
        (self.first_ms != i64::MAX).then_some(self.first_ms)
    }

    /// When it last scored; `None`: never.
    pub fn scored_ms(&self) -> Option<i64> {
        Some(self.risk.newest_ms()).filter(|newest| *newest != i64::MIN)
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
        self.risk.value(time_ms, RISK_HALF_LIFE_MS)
    }

    /// Adds a score at its own time.
    pub fn add_risk(&mut self, time_ms: i64, score: f64) {
        self.risk.add(time_ms, score, RISK_HALF_LIFE_MS);
    }
}

/// What an account has, by bits of one byte.
const HAS_FIRST: u8 = 1;
const HAS_RISK: u8 = 2;
const HAS_LOGINS: u8 = 4;
const HAS_PROFILE: u8 = 8;

impl Durable for Account {
    fn encode(&self, to: &mut Encoder) {
        let has_first = self.first_ms != i64::MAX;
        let has_risk = self.risk.newest_ms() != i64::MIN;
        let has = [
            (has_first, HAS_FIRST),
            (has_risk, HAS_RISK),
            (self.logins.is_some(), HAS_LOGINS),
            (self.profile.is_some(), HAS_PROFILE),
        ];
        to.byte(has.iter().filter(|(has, _)| *has).fold(0, |bits, (_, bit)| bits | bit));
        if has_first {
            to.signed(self.first_ms);
        }
        if has_risk {
            self.risk.encode(to);
        }
        if let Some(logins) = &self.logins {
            to.large_signed(logins.settled);
            logins.recent.encode(to);
        }
        if let Some(profile) = &self.profile {
            profile.encode(to);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let has = from.byte()?;
        let mut account = Account::default();
        if has & HAS_FIRST != 0 {
            account.first_ms = from.signed()?;
        }
        if has & HAS_RISK != 0 {
            account.risk = Decayed::decode(from)?;
        }
        if has & HAS_LOGINS != 0 {
            account.logins = Some(Box::new(Logins { settled: from.large_signed()?, recent: Window::decode(from)? }));
        }
        if has & HAS_PROFILE != 0 {
            account.profile = Some(Box::decode(from)?);
        }
        Ok(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
