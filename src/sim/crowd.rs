//! Who does the next ordinary thing of a wallet with people: the busy more often, nobody from the air, and
//! nobody before a first good login from the telephone.
//!
//! Guarantees: the first event of an account is a good login from its first device, so that no payment comes
//! from a device that was never seen. Memory: one bit an account. What is done is `traffic`'s affair.

use super::SimError;
use super::people::{People, Whereabouts};
use super::random::Random;
use super::traffic::{self, Act};
use super::zipf::Zipf;
use crate::event::{EventType, Millis, Outcome, Reason};

use super::draft::Draft;

/// People who log in at least so often by expectation do it first at the very beginning, or the busiest would
/// have ten logins on their first day, and the first day of a device is what rules look at.
const REGULAR_LOGINS: u64 = 4;
/// How many people are asked before somebody new comes instead.
const ASKED_MAX: u32 = 64;
/// The part of logins that fail while the service is down, per million.
const OUTAGE_FAILURES_PER_MILLION: u64 = 850_000;

/// Everybody's first steps.
pub struct Crowd {
    /// How many of the busiest people log in first of all.
    regulars: u64,
    /// How many of them did.
    came: u64,
    /// One bit an account: has logged in.
    known: Vec<u64>,
    /// While the login service is down.
    outage: Option<(Millis, Millis)>,
}

/// What the next event must be like.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// When it happens.
    pub time: Millis,
    /// Its number, which makes invented names unique.
    pub serial: u64,
    /// It will not be counted: it comes too late or damaged. So it must be nobody's first, and not of the thin
    /// topic, whose partitions look back too far for it to be late in all of them.
    pub is_lost: bool,
}

impl Crowd {
    /// Nobody has come yet, of `people` who will do `records` things, `learning` of them in the learning period.
    pub fn new(
        people: &People,
        accounts: &Zipf,
        records: u64,
        learning: u64,
        outage: Option<(Millis, Millis)>,
    ) -> Self {
        let words = usize::try_from(people.accounts.div_ceil(64)).unwrap_or(0);
        Crowd { regulars: regulars(accounts, records, learning), came: 0, known: vec![0; words], outage }
    }

    /// The next event.
    pub fn next(
        &mut self,
        people: &People,
        accounts: &Zipf,
        wanted: Wanted,
        random: &mut Random,
    ) -> Result<Draft, SimError> {
        if self.came < self.regulars && !wanted.is_lost {
            self.came += 1;
            return self.first(people, self.came - 1, wanted.time, random);
        }
        let act = Act::draw(random);
        for _ in 0..ASKED_MAX {
            let number = u64::from(accounts.rank(random.bits()));
            let is_known = self.is_known(number);
            if people.whereabouts(number, wanted.time) == Whereabouts::Flying || !is_known && wanted.is_lost {
                continue;
            }
            match act {
                Act::Enter if !is_known => return self.first(people, number, wanted.time, random),
                Act::Account if wanted.is_lost => return self.act(people, number, Act::Pay, wanted, random),
                _ if is_known => return self.act(people, number, act, wanted, random),
                _ => {}
            }
        }
        self.first(people, u64::from(accounts.rank(random.bits())), wanted.time, random)
    }

    fn is_known(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|at| self.known.get(at));
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// A person's first event, which says how to reach them.
    fn first(&mut self, people: &People, number: u64, time: Millis, random: &mut Random) -> Result<Draft, SimError> {
        if let Some(word) = usize::try_from(number / 64).ok().and_then(|at| self.known.get_mut(at)) {
            *word |= 1 << (number % 64);
        }
        let person = people.person(number)?;
        let mut event = traffic::login_ok(people, &person, 0, time, random.bits());
        event.contact = Some(traffic::contact(people, &person));
        Ok(event)
    }

    fn act(
        &self,
        people: &People,
        number: u64,
        act: Act,
        wanted: Wanted,
        random: &mut Random,
    ) -> Result<Draft, SimError> {
        let person = people.person(number)?;
        let mut event = traffic::ordinary(people, &person, act, wanted.time, wanted.serial, random);
        let is_down = self.outage.is_some_and(|(from, to)| (from..to).contains(&wanted.time));
        if is_down && event.kind == EventType::Login && random.chance(OUTAGE_FAILURES_PER_MILLION) {
            event.result = Some(Outcome::Failure);
            event.reason = Some(if wanted.serial.is_multiple_of(3) { Reason::Timeout } else { Reason::ServerError });
            (event.mfa, event.account, event.login_name) = (None, Some(number), None);
        }
        Ok(event)
    }
}

/// How many of the busiest people log in often enough to be expected at the beginning.
fn regulars(accounts: &Zipf, records: u64, learning: u64) -> u64 {
    let logins = records * 2 / 5;
    let (mut low, mut high) = (0, u32::try_from(learning / 2).unwrap_or(u32::MAX));
    while low < high {
        let middle = low + (high - low) / 2;
        if accounts.expected(middle, logins) >= REGULAR_LOGINS {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    u64::from(low)
}
