//! A planted scene: one attack or look-alike, with the history that its rule asks for.
//!
//! Guarantees: the events of the deed, and no others, stand in its truth; history lies in the learning period,
//! so it is older than the deed by hours at least. Does not know which scenes there are.

use std::net::IpAddr;

use super::SimError;
use super::draft::Draft;
use super::people::{DAY_MS, HOUR_MS, People, Person};
use super::random::Random;
use super::traffic;
use super::world::{City, Range, World};
use crate::event::{Channel, EventType, Method, Millis, Outcome, Reason};

/// The minute, ms.
pub const MINUTE_MS: i64 = 60_000;
/// The second, ms.
pub const SECOND_MS: i64 = 1000;
/// The office of the shipped lists.
const OFFICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
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
    /// How long it takes at the most, ms: it ends before the stream does.
    pub length_ms: i64,
    /// Plays it.
    pub play: fn(&mut Scene<'_>) -> Result<(), SimError>,
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

    /// A history of the victim from the telephone at home over two weeks: good logins, the contact on the
    /// first two, small payments to the first two regular payees. Does nothing without a learning period.
    pub fn history(&mut self) {
        let (from, to) = self.learning;
        if to.since(from) < (HISTORY_LOGINS + 1) * DAY_MS {
            return;
        }
        let person = self.victim;
        for day in 0..HISTORY_LOGINS {
            let time = from.plus(day * DAY_MS + self.random.between(HOUR_MS, 20 * HOUR_MS));
            let mut event = traffic::login_ok(self.people, &person, 0, time, self.random.bits());
            event.contact = (day < 2).then(|| traffic::contact(self.people, &person));
            self.events.push((event, false));
        }
        for nth in 0..2 * HISTORY_PAYMENTS {
            let time = from.plus(nth * 2 * DAY_MS + self.random.between(21 * HOUR_MS, 24 * HOUR_MS));
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
        if to.since(from) < DAY_MS {
            return;
        }
        let time = from.plus(self.random.between(0, to.since(from) - HOUR_MS));
        let mut event = traffic::login_ok(self.people, person, 0, time, self.random.bits());
        event.contact = Some(traffic::contact(self.people, person));
        self.events.push((event, false));
    }

    /// An event of the deed.
    pub fn deed(&mut self, event: Draft) {
        self.events.push((event, true));
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
