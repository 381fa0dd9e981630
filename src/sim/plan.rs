//! What is asked of the generator, and the defaults where nothing is asked.
//!
//! Guarantees: every number is in its range before anything is made. Makes nothing.

use super::SimError;
use super::script::Kind;
use super::velocity::Twist;
use super::{attacks, lookalikes, velocity};
use crate::event::Millis;

/// When a stream begins where nothing is said: Monday 2026-01-05, midnight UTC.
pub const START: Millis = Millis(1_767_571_200_000);
/// Accounts at the most: the ids have ten digits, and the scripts need some of them.
const ACCOUNTS_MAX: u64 = 100_000_000;
/// Accounts where nothing is said: one for so many events …
const EVENTS_PER_ACCOUNT: u64 = 5;
/// … between these.
const ACCOUNTS_DEFAULT: (u64, u64) = (200, 1_000_000);
/// One address for so many accounts, between these.
const ACCOUNTS_PER_ADDRESS: u64 = 5;
const ADDRESSES: (u64, u64) = (1000, 200_000);
/// A scene of each kind for so many events.
const EVENTS_PER_SCENE: u64 = 50_000;
/// Scenes of each kind at the most: they are kept in memory.
const SCENES_MAX: u64 = 120;
/// How soon the first attack can be asked for, ms of the watched days: it needs its time, and more than a day is
/// not soon.
const FIRST_ATTACK_MS: (u64, u64) = (30 * 60_000, 24 * 3_600_000);
/// The event rate's range, thousandths of an event per second.
const RATE_MILLI: (u64, u64) = (1, 1_000_000_000);

/// What kind of wallet, and what kind of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// People with homes, devices and habits; attackers of each kind; look-alikes.
    Wallet,
    /// The bare workload of three velocity rules.
    W3,
    /// The same with a fifth of all events on one account.
    HotKey,
    /// The same with an address never seen before on each event.
    KeyAttack,
    /// The wallet with half an hour in which the login service fails for everybody.
    Outage,
}

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Records, all kinds together.
    pub events: u64,
    /// The seed.
    pub seed: u64,
    /// Ordinary accounts; `None`: one for five events, 200 to 1 million.
    pub accounts: Option<u64>,
    /// Kind of wallet.
    pub profile: Profile,
    /// The stream's first moment.
    pub start: Millis,
    /// Events per second of the watched days in thousandths; `None`: by the number of accounts.
    pub rate_milli: Option<u64>,
    /// Records of the learning period at the most, the planted ones aside; `None`: a fifth of all.
    pub learning_records_max: Option<u64>,
    /// The domain of the users' mail addresses.
    pub mail_domain: String,
    /// Wallet and outage: one takeover more, the first of all scenes, over before so many ms of the watched days
    /// have passed (30 min to a day; nothing where the watched days are shorter). All other scenes come later.
    /// For who plays a stream and wants to show something soon; the days begin at `Generator::watched_from`.
    pub first_attack_within_ms: Option<i64>,
    /// Scenes of each kind; `None`: by the number of records.
    pub scenes_per_kind: Option<u64>,
}

impl Plan {
    /// So many events of a profile, everything else as by default.
    pub fn new(events: u64, seed: u64, profile: Profile) -> Self {
        Plan {
            events,
            seed,
            accounts: None,
            profile,
            start: START,
            rate_milli: None,
            learning_records_max: None,
            mail_domain: "wallet.example".to_owned(),
            first_attack_within_ms: None,
            scenes_per_kind: None,
        }
    }

    /// Every number in its range.
    pub(super) fn check(&self) -> Result<(), SimError> {
        let range = |what, low, high, value: u64| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(SimError::Range { what, low, high }),
        };
        range("the number of events", 1, 1 << 40, self.events)?;
        range("the number of accounts", 1, ACCOUNTS_MAX, self.accounts())?;
        range("the event rate in thousandths", RATE_MILLI.0, RATE_MILLI.1, self.rate_milli.unwrap_or(1000))?;
        let (low, high) = FIRST_ATTACK_MS;
        let within_ms = self.first_attack_within_ms.map_or(low, |ms| u64::try_from(ms).unwrap_or(0));
        range("the time to the first attack in ms", low, high, within_ms)?;
        range("the start in ms since 1970", 0, 7_258_118_400_000, u64::try_from(self.start.0).unwrap_or(u64::MAX))
    }

    /// Ordinary accounts.
    pub fn accounts(&self) -> u64 {
        let (low, high) = ACCOUNTS_DEFAULT;
        self.accounts.unwrap_or_else(|| (self.events / EVENTS_PER_ACCOUNT).clamp(low, high))
    }

    /// Home addresses.
    pub(super) fn addresses(&self) -> u32 {
        let addresses = (self.accounts() / ACCOUNTS_PER_ADDRESS).clamp(ADDRESSES.0, ADDRESSES.1);
        u32::try_from(addresses).unwrap_or(u32::MAX)
    }

    /// Whether people have homes and habits, and so need time to be learned.
    pub(super) fn has_people(&self) -> bool {
        matches!(self.profile, Profile::Wallet | Profile::Outage)
    }

    /// How ordinary events of a bare workload depart from it.
    pub(super) fn twist(&self) -> Twist {
        match self.profile {
            Profile::HotKey => Twist::HotKey,
            Profile::KeyAttack => Twist::KeyAttack,
            Profile::Wallet | Profile::Outage | Profile::W3 => Twist::None,
        }
    }

    /// Scenes of each kind.
    pub(super) fn scenes(&self) -> u64 {
        self.scenes_per_kind.unwrap_or(self.events / EVENTS_PER_SCENE).clamp(1, SCENES_MAX)
    }

    /// The kinds of scenes, attacks first.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        match self.has_people() {
            true => attacks::KINDS.into_iter().chain(lookalikes::KINDS).collect(),
            false => velocity::KINDS.to_vec(),
        }
    }
}
