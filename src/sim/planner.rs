//! Plans the scenes of a stream: which, when, with whom.
//!
//! Guarantees: scenes of all kinds in turn, spread over the watched days, each in people of its own; planted
//! records are at most a fixed part of the stream. What happens in a scene is the scene's own affair.

use super::SimError;
use super::attacks;
use super::draft::Draft;
use super::people::{People, Person};
use super::plan::Plan;
use super::random::Random;
use super::script::{Kind, MINUTE_MS, Planted, Scene};
use super::timeline::Timeline;
use crate::event::{EventType, Millis, Scope, ServiceState};

/// Planted scenes are at most this part of all records, percent.
const PLANTED_PERCENT_MAX: u64 = 40;
/// The service says twice how it is: at the beginning of an outage and at its end.
const ANNOUNCEMENTS: u64 = 2;
/// How long a planted record takes to Kafka, ms.
const PLANTED_DELAY_MS: (i64, i64) = (100, 1_000);

/// A planted event, waiting for its moment.
#[derive(Debug)]
pub struct Waiting {
    /// When it is sent.
    pub stamp: Millis,
    /// The event.
    pub draft: Draft,
}

/// Writes the scenes.
pub struct Planner<'p> {
    plan: &'p Plan,
    people: &'p People,
    timeline: &'p Timeline,
    random: Random,
    next_person: u64,
    planted: Vec<Planted>,
    waiting: Vec<Waiting>,
}

impl<'p> Planner<'p> {
    /// Nothing is planned yet.
    pub fn new(plan: &'p Plan, people: &'p People, timeline: &'p Timeline) -> Self {
        let random = Random::new(plan.seed, 1);
        let next_person = people.accounts;
        Planner { plan, people, timeline, random, next_person, planted: Vec::new(), waiting: Vec::new() }
    }

    /// Plays scenes of all kinds in turn until there are enough, or no room for more.
    pub fn plant(mut self, outage: Option<(Millis, Millis)>) -> Result<(Vec<Planted>, Vec<Waiting>), SimError> {
        let rounds = self.plan.scenes();
        let room = self.plan.events * PLANTED_PERCENT_MAX / 100;
        if let Some((from, to)) = outage.filter(|_| room >= ANNOUNCEMENTS) {
            self.announce(from, to);
        }
        let kinds = self.plan.kinds();
        let mut nth = 0;
        for round in 0..rounds {
            for kind in &kinds {
                nth += 1;
                let (events, planted) = self.play(kind, round, rounds, nth)?;
                if (self.waiting.len() + events.len()) as u64 <= room {
                    self.waiting.extend(events);
                    self.planted.extend(planted);
                }
            }
        }
        self.number();
        Ok((self.planted, self.waiting))
    }

    /// One scene; nothing where the watched days are too short for it.
    fn play(
        &mut self,
        kind: &Kind,
        round: u64,
        rounds: u64,
        nth: u64,
    ) -> Result<(Vec<Waiting>, Option<Planted>), SimError> {
        let (from, span) = (self.timeline.watched_from(), self.timeline.watched_ms());
        let room = span - span / 20 - kind.length_ms;
        if room <= 0 {
            return Ok((Vec::new(), None));
        }
        // Each round has its own part of the days, each kind its own moment in it.
        let rounds = i64::try_from(rounds).unwrap_or(1).max(1);
        let part = room / rounds;
        let at = from.plus(span / 40 + part * i64::try_from(round).unwrap_or(0) + self.random.between(0, part));
        let victim = self.victim()?;
        let mut scene = Scene {
            people: self.people,
            nth,
            random: Random::new(self.plan.seed, 1 + nth),
            at,
            learning: (self.plan.start, from),
            victim,
            next_person: self.next_person,
            account: None,
            ip: None,
            device: None,
            events: Vec::new(),
        };
        (kind.play)(&mut scene)?;
        self.next_person = scene.next_person;
        let index = self.planted.len();
        let (account, ip, device) = (scene.account, scene.ip, scene.device);
        let planted = Planted { kind: kind.name, account, ip, device, expect: kind.expect, events: Vec::new() };
        let mut random = scene.random;
        let waiting = scene.events.into_iter().map(|(mut draft, is_deed)| {
            // Until ids are given, the serial says which scene the event is of.
            draft.serial = if is_deed { index as u64 + 1 } else { 0 };
            Waiting { stamp: draft.time.plus(random.between(PLANTED_DELAY_MS.0, PLANTED_DELAY_MS.1)), draft }
        });
        Ok((waiting.collect(), Some(planted)))
    }

    /// Somebody nobody else plays, far from every attacker.
    fn victim(&mut self) -> Result<Person, SimError> {
        loop {
            let person = self.people.person(self.next_person)?;
            self.next_person += 1;
            if self.people.world().city(person.city).is_some_and(attacks::is_victims_home) {
                return Ok(person);
            }
        }
    }

    /// The service says that it is down, and that it is back.
    fn announce(&mut self, from: Millis, to: Millis) {
        let index = self.planted.len() as u64 + 1;
        for (time, state, until) in
            [(from.plus(MINUTE_MS), ServiceState::Degraded, Some(to)), (to, ServiceState::Normal, None)]
        {
            let event = Draft::new(EventType::ServiceStatus, time);
            let draft = Draft { serial: index, state: Some(state), scope: Some(Scope::Login), until, ..event };
            self.waiting.push(Waiting { stamp: time.plus(PLANTED_DELAY_MS.0), draft });
        }
        let (account, ip, device) = (None, None, None);
        self.planted.push(Planted { kind: "outage", account, ip, device, expect: &[], events: Vec::new() });
    }

    /// Gives the events their ids in the order of their stamps, and the truth the ids of its events.
    fn number(&mut self) {
        self.waiting.sort_by_key(|w| w.stamp);
        for (at, waiting) in self.waiting.iter_mut().enumerate() {
            let scene = usize::try_from(waiting.draft.serial).ok().and_then(|s| s.checked_sub(1));
            waiting.draft.serial = at as u64 + 1;
            if let Some(planted) = scene.and_then(|s| self.planted.get_mut(s)) {
                planted.events.push((waiting.draft.serial, waiting.draft.time));
            }
        }
        self.planted.sort_by_key(|p| p.events.first().map(|e| e.1));
    }
}

/// Half an hour of the watched days, or a tenth of them where they are shorter.
pub fn outage(timeline: &Timeline) -> (Millis, Millis) {
    let from = timeline.watched_from().plus(timeline.watched_ms() / 2);
    (from, from.plus((30 * MINUTE_MS).min(timeline.watched_ms() / 10)))
}
