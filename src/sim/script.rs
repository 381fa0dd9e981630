//! A planted scene: one attack or look-alike, with the history that its rule asks for.
//!
//! Guarantees: the events of the deed, and no others, stand in its truth; history lies in the learning period,
//! so it is older than the deed by hours at least. Does not know which scenes there are.

use std::net::IpAddr;

use super::SimError;
use super::draft::Draft;
use super::episodes::{self, Episode};
use super::people::{DAY_MS, HOUR_MS, People, Person};
use super::random::Random;
use super::rhythm::Clock;
use super::traffic;
use super::world::{City, HOME_COUNTRY, Range, World};
use crate::event::{Channel, EventType, Method, Millis, Outcome, Reason};

/// The minute, ms.
pub const MINUTE_MS: i64 = 60_000;
/// The second, ms.
pub const SECOND_MS: i64 = 1000;
/// The office of the shipped lists.
const OFFICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
/// The clock of the wallet's own country: UTC+8.
const HOME_CLOCK: Clock = Clock { ahead_min: 8 * 60 };
/// Good logins before the deed: rules that learn ask for 10.
const HISTORY_LOGINS: i64 = 14;
/// Payments to each of two regular payees before the deed.
const HISTORY_PAYMENTS: i64 = 3;

/// What a scene is and what must come of it.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name in the truth.
    pub name: &'static str,
    /// The rules that must fire; none for a look-alike.
    pub expect: &'static [&'static str],
    /// When it happens, by the clock of the wallet's own country.
    pub when: When,
    /// How long it takes at the most, ms: it ends before the stream does.
    pub length_ms: i64,
    /// Plays it.
    pub play: fn(&mut Scene<'_>) -> Result<(), SimError>,
}

/// When a scene happens, where the watched days are long enough to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// An attacker's clock is not ours.
    Anytime,
    /// While the owner is awake.
    Day,
    /// In the first hours of the working week.
    MondayMorning,
}

impl When {
    /// Whether a moment fits.
    pub fn fits(self, time: Millis) -> bool {
        let hour = HOME_CLOCK.hour(time);
        match self {
            When::Anytime => true,
            When::Day => hour.is_day(),
            When::MondayMorning => hour.is_monday_morning(),
        }
    }
}

/// What the truth says of one scene.
#[derive(Debug, Clone)]
pub struct Planted {
    /// The kind's name.
    pub kind: &'static str,
    /// The account it is about, where it is about one.
    pub account: Option<u64>,
    /// The address it comes from, where it is one.
    pub ip: Option<IpAddr>,
    /// The device it comes from, where it is one.
    pub device: Option<u64>,
    /// The rules that must fire.
    pub expect: &'static [&'static str],
    /// The deed's events: serial number and time.
    pub events: Vec<(u64, Millis)>,
}

/// One scene being played.
pub struct Scene<'p> {
    /// Everybody.
    pub people: &'p People,
    /// The number of this scene among all.
    pub nth: u64,
    /// The draws of this scene.
    pub random: Random,
    /// When the deed begins.
    pub at: Millis,
    /// When the learning period begins and ends.
    pub learning: (Millis, Millis),
    /// The person it happens to.
    pub victim: Person,
    /// The number of the next person nobody else plays.
    pub next_person: u64,
    /// What the truth will say.
    pub account: Option<u64>,
    /// The address of the truth.
    pub ip: Option<IpAddr>,
    /// The device of the truth.
    pub device: Option<u64>,
    /// What happens, and whether it is part of the deed.
    pub events: Vec<(Draft, bool)>,
}

impl<'p> Scene<'p> {
    /// The world.
    pub fn world(&self) -> &'p World {
        self.people.world()
    }

    /// Another person of this scene.
    pub fn extra(&mut self) -> Result<Person, SimError> {
        let person = self.people.person(self.next_person)?;
        self.next_person += 1;
        Ok(person)
    }

    /// Another person of this scene who lives far from every attacker.
    pub fn extra_victim(&mut self) -> Result<Person, SimError> {
        loop {
            let person = self.extra()?;
            if self.people.lives_in(&person, HOME_COUNTRY) {
                return Ok(person);
            }
        }
    }

    /// A history of the victim.
    pub fn history(&mut self) {
        self.history_of(self.victim);
    }

    /// A history of somebody from the telephone at home over two weeks: good logins, the contact on the first two,
    /// small payments to the first two regular payees. Does nothing without a learning period.
    pub fn history_of(&mut self, person: Person) {
        let (from, to) = self.learning;
        if to.since(from) < (HISTORY_LOGINS + 1) * DAY_MS {
            return;
        }
        let mut logins = Vec::new();
        for day in 0..HISTORY_LOGINS {
            let time = self.waking(from.plus(day * DAY_MS), 13 * HOUR_MS);
            let mut event = traffic::login_ok(self.people, &person, 0, time, self.random.bits());
            event.contact = (day < 2).then(|| traffic::contact(self.people, &person));
            self.events.push((event, false));
            logins.push(time);
        }
        for nth in 0..2 * HISTORY_PAYMENTS {
            let login = usize::try_from(2 * nth).ok().and_then(|at| logins.get(at)).copied().unwrap_or(from);
            let time = login.plus(self.random.between(SECOND_MS * 30, 20 * MINUTE_MS));
            let amount = (self.random.between(2_000, 40_000), traffic::currency(&person));
            let payee = self.people.payee(person.number, nth.unsigned_abs() % 2);
            let draw = self.random.bits();
            let event = traffic::pay(self.people, &person, EventType::Transfer, time, amount, payee, draw);
            self.events.push((event, false));
        }
    }

    /// One early good login with the contact, so that the person can be told.
    pub fn known(&mut self, person: &Person) {
        let (from, to) = self.learning;
        if to.since(from) < 2 * DAY_MS {
            return;
        }
        let days = to.since(from) / DAY_MS - 1;
        let day = from.plus(self.random.between(0, days - 1) * DAY_MS);
        let time = self.waking(day, 14 * HOUR_MS);
        let mut event = traffic::login_ok(self.people, person, 0, time, self.random.bits());
        event.contact = Some(traffic::contact(self.people, person));
        self.events.push((event, false));
    }

    /// A moment within `ms` after the first waking hour of the 24 hours from `day` on.
    fn waking(&mut self, day: Millis, ms: i64) -> Millis {
        let morning = (0..24).map(|hour| day.plus(hour * HOUR_MS)).find(|time| HOME_CLOCK.hour(*time).hour == 8);
        morning.unwrap_or(day).plus(self.random.between(0, ms))
    }

    /// An event of the deed.
    pub fn deed(&mut self, event: Draft) {
        self.events.push((event, true));
    }

    /// Changes the event that was added last.
    pub fn amend(&mut self, change: impl FnOnce(&mut Draft)) {
        if let Some((event, _)) = self.events.last_mut() {
            change(event);
        }
    }

    /// Makes the event that was added last come from an address and device, in that device's first session.
    pub fn come_from(&mut self, ip: IpAddr, device: u64) {
        let mut of_device = self.events.iter().filter(|(event, _)| event.device == Some(device));
        let session = of_device.find_map(|(event, _)| event.session);
        self.amend(|event| (event.ip, event.device, event.session) = (Some(ip), Some(device), session));
    }

    /// An event around the deed that is no part of it.
    pub fn aside(&mut self, event: Draft) {
        self.events.push((event, false));
    }

    /// The moment so much after the deed's beginning.
    pub fn after(&self, ms: i64) -> Millis {
        self.at.plus(ms)
    }

    /// A moment `low` to `high` ms after the deed's beginning.
    pub fn some_time(&mut self, low: i64, high: i64) -> Millis {
        self.at.plus(self.random.between(low, high))
    }

    /// `n` moments from the deed's beginning on, spread over `ms` with a little chance, rising.
    pub fn moments(&mut self, n: i64, ms: i64) -> Vec<Millis> {
        let step = ms / n.max(1);
        (0..n).map(|nth| self.at.plus(nth * step + self.random.between(0, step / 3))).collect()
    }

    /// A range that satisfies a condition.
    pub fn range(&mut self, which: impl Fn(&Range, &City) -> bool) -> Result<&'p Range, SimError> {
        let found = self.world().find(which);
        self.random.pick(&found).copied().ok_or(SimError::Empty)
    }

    /// An address in a range that satisfies a condition; not the one that the shipped lists call the office,
    /// which rules make exceptions for.
    pub fn address(&mut self, which: impl Fn(&Range, &City) -> bool) -> Result<IpAddr, SimError> {
        let range = self.range(which)?;
        loop {
            let ip = range.address(self.random.bits());
            if ip != OFFICE {
                return Ok(ip);
            }
        }
    }

    /// A device nobody has.
    pub fn strange_device(&mut self) -> u64 {
        self.random.bits()
    }

    /// A failed login of the victim by somebody else.
    pub fn guess(&mut self, time: Millis, ip: IpAddr, device: u64) {
        let victim = self.victim;
        let event = foreign_login(&victim, time, ip, device);
        self.deed(Draft { result: Some(Outcome::Failure), reason: Some(Reason::WrongPassword), ..event });
    }

    /// Something that takes several events, done by the victim from the deed's beginning on.
    pub fn play(&mut self, episode: Episode) {
        let victim = self.victim;
        for event in episodes::play(episode, self.people, &victim, self.at, &mut self.random) {
            self.deed(event);
        }
        self.account = Some(victim.number);
        self.device = Some(self.people.device(victim.number, 0));
    }

    /// Money to a payee from the victim's own telephone.
    pub fn pay(&mut self, time: Millis, minor: i64, payee: u64) {
        let victim = self.victim;
        let draw = self.random.bits();
        let amount = (minor, traffic::currency(&victim));
        self.deed(traffic::pay(self.people, &victim, EventType::Transfer, time, amount, payee, draw));
    }

    /// A good login to the victim's account from an address and device.
    pub fn enter(&mut self, time: Millis, ip: IpAddr, device: u64) {
        let victim = self.victim;
        let event = foreign_login(&victim, time, ip, device);
        self.deed(Draft { result: Some(Outcome::Success), mfa: Some(false), ..event });
    }
}

/// A login to an account from an address and device of the caller's choice; its result is to be filled in.
pub fn foreign_login(person: &Person, time: Millis, ip: IpAddr, device: u64) -> Draft {
    Draft {
        account: Some(person.number),
        ip: Some(ip),
        device: Some(device),
        session: Some(device.rotate_left(9) ^ (time.0.unsigned_abs() / 3_600_000)),
        channel: Some(Channel::App),
        platform: Some("android"),
        app_version: Some("7.2.1"),
        method: Some(Method::Password),
        locale: Some("en"),
        ..Draft::new(EventType::Login, time)
    }
}
