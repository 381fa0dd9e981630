//! Who does the next ordinary thing of a wallet with people: the busy more often, nobody asleep or in the air, and
//! nobody before a first good login from the telephone.
//!
//! Guarantees: the first event of an account is a good login from its first device, so that no payment comes
//! from a device that was never seen. Memory: one bit an account, and at most [`LATER_MAX`] events of what was
//! begun and goes on. What is done is `traffic`'s and `episodes`' affair.

use std::collections::{BTreeMap, VecDeque};

use super::SimError;
use super::draft::Draft;
use super::episodes::{self, Episode};
use super::people::{People, Whereabouts};
use super::random::Random;
use super::rhythm::WEIGHT_MAX;
use super::traffic::{self, Act};
use super::zipf::Zipf;
use crate::event::{EventType, Millis, Outcome, Reason};

/// People who log in at least so often by expectation do it first at the very beginning, or the busiest would
/// have ten logins on their first day, and the first day of a device is what rules look at.
const REGULAR_LOGINS: u64 = 4;
/// How many of them may wait for their morning while others come.
const NEWCOMERS: usize = 32;
/// How many people are asked before somebody new comes instead.
const ASKED_MAX: u32 = 64;
/// The part of logins that fail while the service is down, per million, and of those who then try again.
const OUTAGE_FAILURES_PER_MILLION: u64 = 850_000;
const OUTAGE_RETRIES_PER_MILLION: u64 = 600_000;
/// How long they wait for that, ms.
const OUTAGE_RETRY_MS: (i64, i64) = (15_000, 120_000);
/// What an app makes of a service that is down: mostly what it is, now and then its own trouble.
const OUTAGE_REASONS: [Reason; 8] = [
    Reason::ServerError,
    Reason::Timeout,
    Reason::ServerError,
    Reason::Timeout,
    Reason::Maintenance,
    Reason::Timeout,
    Reason::NetworkError,
    Reason::AppError,
];
/// Events of episodes that wait for their time at the most; nobody begins another then.
pub const LATER_MAX: usize = 4096;
/// How long such an event takes to Kafka, ms.
const LATER_DELAY_MS: (i64, i64) = (100, 1000);

/// Everybody's first steps, and what they are in the middle of.
pub struct Crowd {
    /// How many of the busiest people log in first of all.
    regulars: u64,
    /// How many of them were called.
    called: u64,
    /// Those of them who sleep and come later.
    newcomers: VecDeque<u64>,
    /// One bit an account: has logged in.
    known: Vec<u64>,
    /// While the login service is down.
    outage: Option<(Millis, Millis)>,
    /// What was begun and goes on, by its stamp and the order in which it was begun.
    later: BTreeMap<(Millis, u64), Draft>,
    begun: u64,
    /// Who is in the middle of something, and by how many events: they do nothing else meanwhile.
    engaged: BTreeMap<u64, u32>,
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
        Crowd {
            regulars: regulars(accounts, records, learning),
            called: 0,
            newcomers: VecDeque::with_capacity(NEWCOMERS),
            known: vec![0; words],
            outage,
            later: BTreeMap::new(),
            begun: 0,
            engaged: BTreeMap::new(),
        }
    }

    /// The next event.
    pub fn next(
        &mut self,
        people: &People,
        accounts: &Zipf,
        wanted: Wanted,
        random: &mut Random,
    ) -> Result<Draft, SimError> {
        if !wanted.is_lost
            && let Some(number) = self.newcomer(people, wanted.time, random)
        {
            return self.first(people, number, wanted.time, random);
        }
        let act = if wanted.is_lost { Act::draw(random).single() } else { Act::draw(random) };
        for _ in 0..ASKED_MAX {
            let number = u64::from(accounts.rank(random.bits()));
            let is_known = self.is_known(number);
            if !is_known && (wanted.is_lost || act != Act::Enter) {
                continue;
            }
            let is_free = !self.engaged.contains_key(&number) && is_up(people, number, wanted.time, random);
            if !is_free || !is_known && !is_home(people, number, wanted.time) {
                continue;
            }
            match act {
                _ if !is_known => return self.first(people, number, wanted.time, random),
                Act::Account if wanted.is_lost => return self.act(people, number, Act::Pay, wanted, random),
                _ => return self.act(people, number, act, wanted, random),
            }
        }
        // At night, with everybody asleep, somebody is up all the same.
        let mut number = u64::from(accounts.rank(random.bits()));
        for _ in 0..ASKED_MAX {
            if is_home(people, number, wanted.time) {
                break;
            }
            number = u64::from(accounts.rank(random.bits()));
        }
        self.first(people, number, wanted.time, random)
    }

    /// When the next event of something begun is due.
    pub fn due(&self) -> Option<Millis> {
        self.later.first_key_value().map(|((stamp, _), _)| *stamp)
    }

    /// The event that is due.
    pub fn go_on(&mut self, random: &mut Random) -> Option<Draft> {
        let (_, event) = self.later.pop_first()?;
        if let Some(number) = event.account {
            match self.engaged.get_mut(&number) {
                Some(left) if *left > 1 => *left -= 1,
                _ => drop(self.engaged.remove(&number)),
            }
        }
        Some(self.through_outage(event, random))
    }

    /// The next of the busiest people who never came, the one who waits longest among those who are up.
    fn newcomer(&mut self, people: &People, time: Millis, random: &mut Random) -> Option<u64> {
        while self.newcomers.len() < NEWCOMERS && self.called < self.regulars {
            self.newcomers.push_back(self.called);
            self.called += 1;
        }
        let comes =
            |number: &u64, random: &mut Random| is_home(people, *number, time) && is_up(people, *number, time, random);
        let first = self.newcomers.iter().position(|number| comes(number, random));
        let first = first.or_else(|| self.newcomers.iter().position(|number| is_home(people, *number, time)));
        self.newcomers.remove(first.unwrap_or(0))
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
        &mut self,
        people: &People,
        number: u64,
        act: Act,
        wanted: Wanted,
        random: &mut Random,
    ) -> Result<Draft, SimError> {
        let person = people.person(number)?;
        let event = match act {
            Act::Play(episode) if self.can_begin(episode, number, wanted.time) => {
                let mut events = episodes::play(episode, people, &person, wanted.time, random).into_iter();
                let first = events.next();
                for event in events {
                    self.wait_for(event, random);
                }
                first
            }
            _ => None,
        };
        let event =
            event.unwrap_or_else(|| traffic::ordinary(people, &person, act, wanted.time, wanted.serial, random));
        Ok(if wanted.is_lost { event } else { self.through_outage(event, random) })
    }

    /// Whether somebody has the time for an episode. The busiest never forget their passwords:
    /// with all else that they do it would look like guessing.
    fn can_begin(&self, episode: Episode, number: u64, time: Millis) -> bool {
        let forgets = matches!(episode, Episode::Forgotten | Episode::LockedOut);
        self.later.len() < LATER_MAX && !self.is_down(time) && (number >= traffic::BUSY_RANKS || !forgets)
    }

    fn wait_for(&mut self, event: Draft, random: &mut Random) {
        let stamp = event.time.plus(random.between(LATER_DELAY_MS.0, LATER_DELAY_MS.1));
        self.later.insert((stamp, self.begun), event);
        self.begun += 1;
        if let Some(number) = event.account {
            *self.engaged.entry(number).or_default() += 1;
        }
    }

    fn is_down(&self, time: Millis) -> bool {
        self.outage.is_some_and(|(from, to)| (from..to).contains(&time))
    }

    /// The event as it comes while the login service is down: most logins fail, whoever tries and however well
    /// they type, and many try again.
    fn through_outage(&mut self, event: Draft, random: &mut Random) -> Draft {
        let is_login = event.kind == Some(EventType::Login) && event.account.is_some();
        if !is_login || !self.is_down(event.time) || !random.chance(OUTAGE_FAILURES_PER_MILLION) {
            return event;
        }
        if self.later.len() < LATER_MAX && random.chance(OUTAGE_RETRIES_PER_MILLION) {
            let time = event.time.plus(random.between(OUTAGE_RETRY_MS.0, OUTAGE_RETRY_MS.1));
            let (result, reason) = (Some(Outcome::Success), None);
            self.wait_for(Draft { time, result, reason, contact: None, ..event }, random);
        }
        let reason = random.pick(&OUTAGE_REASONS).copied();
        Draft { result: Some(Outcome::Failure), reason, mfa: None, ..event }
    }
}

/// Whether somebody is at home: who was first seen on a journey would seem to be on one when they come back.
fn is_home(people: &People, number: u64, time: Millis) -> bool {
    people.whereabouts(number, time) == Whereabouts::Home
}

/// Whether somebody does anything at a moment: not in the air, and seldom at night.
fn is_up(people: &People, number: u64, time: Millis, random: &mut Random) -> bool {
    let at = people.whereabouts(number, time);
    at != Whereabouts::Flying && random.below(WEIGHT_MAX) < people.clock(number, at).hour(time).weight()
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
