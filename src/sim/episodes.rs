//! What people do that takes several events: a visit, a mistyped or forgotten password, a second factor, a first
//! payment to somebody, a lock and its end.
//!
//! Guarantees: the events of one episode come from one device and account and follow each other in time; none
//! of them is what a rule looks for. Does not decide who plays which, or how late a record is.

use super::draft::Draft;
use super::people::{PAYEES, People, Person};
use super::random::{Random, scale};
use super::traffic;
use crate::event::{Actor, Change, Channel, EventType, Method, Millis, Outcome, Reason, Stage, Via};

/// Wrong passwords after which the wallet locks an account: fewer than any rule calls guessing.
const LOCK_FAILURES: u64 = 5;
/// New payees a person may come to have beside the regular ones.
const NEW_PAYEES: u64 = 32;

/// A thing that takes several events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Episode {
    /// A login, some payments, often a logout.
    Visit,
    /// One or two wrong passwords, then the right one.
    Mistyped,
    /// A code is sent and typed, then the login; a second device may be bound.
    SecondFactor,
    /// A payee is added, and paid for the first time.
    NewPayee,
    /// Two or three wrong passwords, a reset by code, a new password, a login.
    Forgotten,
    /// Too many wrong passwords: locked, refused, unlocked after a while, a login.
    LockedOut,
}

/// One episode being told.
struct Telling<'a> {
    people: &'a People,
    person: &'a Person,
    random: &'a mut Random,
    /// The device, 0 the telephone.
    which: u64,
    /// The time of the next event.
    time: Millis,
    /// One draw for all events, so that they come from one address.
    draw: u64,
    events: Vec<Draft>,
}

/// The events of an episode from `time` on, in the order of time; at least two.
pub fn play(episode: Episode, people: &People, person: &Person, time: Millis, random: &mut Random) -> Vec<Draft> {
    let which = match episode {
        Episode::Mistyped | Episode::SecondFactor => traffic::which_device(people, person, time, random),
        _ => 0,
    };
    let draw = random.bits();
    let mut telling = Telling { people, person, random, which, time, draw, events: Vec::new() };
    match episode {
        Episode::Visit => telling.visit(),
        Episode::Mistyped => telling.mistyped(),
        Episode::SecondFactor => telling.second_factor(),
        Episode::NewPayee => telling.new_payee(),
        Episode::Forgotten => telling.forgotten(),
        Episode::LockedOut => telling.locked_out(),
    }
    telling.events
}

impl Telling<'_> {
    fn visit(&mut self) {
        self.enter();
        for _ in 0..1 + self.random.below(3) {
            self.wait(20, 240);
            let event = traffic::money(self.people, self.person, self.time, self.random);
            self.events.push(self.in_one_place(event));
        }
        if self.random.below(10) < 3 {
            self.leave();
        }
    }

    fn mistyped(&mut self) {
        let wrong = if self.random.below(100) < 15 { 2 } else { 1 };
        let reason = if self.random.below(100) < 15 { Reason::MfaFailed } else { Reason::WrongPassword };
        self.fail(wrong, reason);
        self.enter_by_password();
    }

    fn second_factor(&mut self) {
        let method = match scale(self.draw.rotate_left(53), 10) {
            0..6 => Method::Sms,
            6..8 => Method::Push,
            8 => Method::Email,
            _ => Method::Totp,
        };
        let mut said = vec![Outcome::Sent, Outcome::Success];
        if self.random.below(10) == 0 {
            said.insert(1, Outcome::Failure);
        }
        for result in said {
            self.push(EventType::Mfa, |event| Draft { result: Some(result), method: Some(method), ..event });
            self.wait(6, 40);
        }
        self.enter_by_password();
        if let Some(login) = self.events.last_mut() {
            login.mfa = Some(true);
        }
        if self.which > 0 && self.random.below(4) == 0 {
            self.wait(5, 30);
            self.push(EventType::DeviceBound, |event| event);
        }
    }

    fn new_payee(&mut self) {
        self.enter();
        let payee = self.people.payee(self.person.number, PAYEES + self.random.below(NEW_PAYEES));
        self.wait(30, 120);
        self.push(EventType::PayeeAdded, |event| Draft { payee: Some(payee), ..event });
        self.wait(20, 120);
        let amount = traffic::amount(self.person, EventType::Transfer, self.random);
        let amount = (amount, traffic::currency(self.person));
        let (people, person, time) = (self.people, self.person, self.time);
        let event = traffic::pay(people, person, EventType::Transfer, time, amount, payee, self.draw);
        self.events.push(event);
        if self.random.below(2) == 0 {
            self.leave();
        }
    }

    fn forgotten(&mut self) {
        let wrong = 2 + self.random.below(2);
        self.fail(wrong, Reason::WrongPassword);
        let via = if self.random.below(10) < 6 { Via::Sms } else { Via::Email };
        let mut stages = vec![Stage::Requested, Stage::CodeSent, Stage::Completed];
        if self.random.below(8) == 0 {
            stages.insert(2, Stage::CodeFailed);
        }
        for stage in stages {
            self.push(EventType::PasswordReset, |event| Draft { stage: Some(stage), via: Some(via), ..event });
            let most = if stage == Stage::Requested { 5 } else { 60 };
            self.wait(2, most);
        }
        self.push(EventType::PasswordChanged, |event| event);
        self.wait(5, 30);
        self.enter_by_password();
    }

    fn locked_out(&mut self) {
        self.fail(LOCK_FAILURES, Reason::WrongPassword);
        let by = |change, by| move |event| Draft { change: Some(change), by: Some(by), ..event };
        self.push(EventType::Lock, by(Change::Locked, Actor::System));
        self.wait(10, 60);
        self.fail(1, Reason::AccountLocked);
        self.wait(600, 2400);
        // Support unlocks from its own desk: no device or address of the user.
        self.push(EventType::Lock, by(Change::Unlocked, Actor::Support));
        if let Some(lock) = self.events.last_mut() {
            (lock.ip, lock.device, lock.session) = (None, None, None);
            lock.channel = Some(Channel::CallCenter);
        }
        self.wait(60, 600);
        self.enter_by_password();
    }

    /// Time passes, seconds.
    fn wait(&mut self, low_s: i64, high_s: i64) {
        self.time = self.time.plus(self.random.between(low_s * 1000, high_s * 1000));
    }

    /// Wrong tries, each after a moment's thought.
    fn fail(&mut self, times: u64, reason: Reason) {
        for _ in 0..times {
            self.events.push(traffic::login_bad(self.people, self.person, self.which, self.time, reason, self.draw));
            self.wait(6, 30);
        }
    }

    fn enter(&mut self) {
        self.events.push(traffic::login_ok(self.people, self.person, self.which, self.time, self.draw));
    }

    fn enter_by_password(&mut self) {
        self.enter();
        if let Some(login) = self.events.last_mut() {
            login.method = Some(Method::Password);
        }
    }

    fn leave(&mut self) {
        self.wait(10, 120);
        self.push(EventType::Logout, |event| Draft { by: Some(Actor::User), ..event });
    }

    fn push(&mut self, kind: EventType, with: impl FnOnce(Draft) -> Draft) {
        let event = traffic::act(self.people, self.person, kind, self.which, self.time, self.draw);
        self.events.push(with(event));
    }

    /// An event of the same address and session as the ones before it.
    fn in_one_place(&self, event: Draft) -> Draft {
        let first = self.events.first();
        Draft { ip: first.and_then(|f| f.ip), session: first.and_then(|f| f.session), ..event }
    }
}

#[cfg(test)]
mod tests {
    use super::super::people::{DAY_MS, HOUR_MS};
    use super::*;

    const ALL: [Episode; 6] = [
        Episode::Visit,
        Episode::Mistyped,
        Episode::SecondFactor,
        Episode::NewPayee,
        Episode::Forgotten,
        Episode::LockedOut,
    ];

    #[test]
    fn an_episode_is_of_one_account_and_rises_in_time() {
        let start = Millis(1_767_571_200_000);
        let people = People::new(5, 2000, 1000, start).expect("people").going_out().lasting(16 * DAY_MS);
        let mut random = Random::new(1, 0);
        for number in 0..600 {
            let person = people.person(number).expect("a person");
            for episode in ALL {
                let events = play(episode, &people, &person, start, &mut random);
                assert!(events.len() >= 2, "{episode:?}");
                assert!(events.windows(2).all(|w| w[0].time < w[1].time), "{episode:?}");
                assert!(events.iter().all(|e| e.account == Some(number) && e.time.since(start) < HOUR_MS));
                let failed = |e: &&Draft| e.reason.is_some_and(|r| r == Reason::WrongPassword);
                assert!(events.iter().filter(failed).count() <= 5, "{episode:?}");
            }
        }
    }
}
