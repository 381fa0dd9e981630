//! Plans the scenes of a stream: which, when, with whom.
//!
//! Guarantees: scenes of all kinds in turn, spread over the watched days, each in people of its own; the one that
//! is asked for first is first; planted records are at most a fixed part of the stream. What happens in a scene
//! is the scene's own affair.

use super::SimError;
use super::draft::Draft;
use super::people::{People, Person};
use super::plan::Plan;
use super::random::Random;
use super::script::{Kind, MINUTE_MS, Planted, Scene, When};
use super::timeline::Timeline;
use super::world::HOME_COUNTRY;
use super::{attacks, lookalikes};
use crate::event::{EventType, Millis, Scope, ServiceState};

/// Planted scenes are at most this part of all records, percent.
const PLANTED_PERCENT_MAX: u64 = 40;
/// The service says twice how it is: at the beginning of an outage and at its end.
const ANNOUNCEMENTS: u64 = 2;
/// How many moments are tried until one suits a scene.
const MOMENTS_MAX: u32 = 256;
/// When the scenes of an outage begin, ms after it; in a shorter outage than this there are none.
const OUTAGE_SCENE_MS: (i64, i64) = (4 * MINUTE_MS, 12 * MINUTE_MS);
const OUTAGE_SCENES_MS_MIN: i64 = 25 * MINUTE_MS;
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
    /// Scenes so far.
    nth: u64,
    planted: Vec<Planted>,
    waiting: Vec<Waiting>,
}

impl<'p> Planner<'p> {
    /// Nothing is planned yet.
    pub fn new(plan: &'p Plan, people: &'p People, timeline: &'p Timeline) -> Self {
        let random = Random::new(plan.seed, 1);
        let next_person = people.accounts;
        let (planted, waiting) = (Vec::new(), Vec::new());
        Planner { plan, people, timeline, random, next_person, nth: 0, planted, waiting }
    }

    /// Plays scenes of all kinds in turn until there are enough, or no room for more.
    pub fn plant(mut self, outage: Option<(Millis, Millis)>) -> Result<(Vec<Planted>, Vec<Waiting>), SimError> {
        let rounds = self.plan.scenes();
        if let Some((from, to)) = outage.filter(|_| self.room() >= ANNOUNCEMENTS) {
            self.announce(from, to);
        }
        let mut from = self.timeline.watched_from();
        if let Some(within_ms) = self.plan.first_attack_within_ms.filter(|_| self.plan.has_people()) {
            from = from.plus(self.open(within_ms)?);
        }
        if let Some((outage_from, outage_to)) = outage {
            self.strike(outage_from, outage_to)?;
        }
        let kinds = self.plan.kinds();
        for round in 0..rounds {
            for kind in &kinds {
                self.nth += 1;
                if let Some(at) = self.moment(kind, from, round, rounds) {
                    self.play(kind, at)?;
                }
            }
        }
        self.number();
        Ok((self.planted, self.waiting))
    }

    /// How many records may be planted.
    fn room(&self) -> u64 {
        self.plan.events * PLANTED_PERCENT_MAX / 100
    }

    /// The takeover that is asked for first, and how much of the watched days is its own, ms.
    fn open(&mut self, within_ms: i64) -> Result<i64, SimError> {
        let latest = within_ms - attacks::FIRST_MS;
        if latest < 0 || within_ms > self.timeline.watched_ms() {
            return Ok(0);
        }
        self.nth += 1;
        let at = self.timeline.watched_from().plus(self.random.between(0, latest));
        self.play(&attacks::FIRST, at)?;
        Ok(within_ms)
    }

    /// An attack in the middle of an outage, and somebody who will not believe that it is one.
    fn strike(&mut self, from: Millis, to: Millis) -> Result<(), SimError> {
        if to.since(from) < OUTAGE_SCENES_MS_MIN {
            return Ok(());
        }
        for kind in [attacks::IN_OUTAGE, lookalikes::IN_OUTAGE] {
            self.nth += 1;
            let at = from.plus(self.random.between(OUTAGE_SCENE_MS.0, OUTAGE_SCENE_MS.1));
            self.play(&kind, at)?;
        }
        Ok(())
    }

    /// When the scene of a round happens; none where the watched days are too short for it.
    fn moment(&mut self, kind: &Kind, from: Millis, round: u64, rounds: u64) -> Option<Millis> {
        let span = self.timeline.watched_from().plus(self.timeline.watched_ms()).since(from);
        let room = span - span / 20 - kind.length_ms;
        if room <= 0 {
            return None;
        }
        // Each round has its own part of the days, each kind its own moment in it.
        let rounds = i64::try_from(rounds).unwrap_or(1).max(1);
        let part = room / rounds;
        let first = from.plus(span / 40 + part * i64::try_from(round).unwrap_or(0));
        let at = first.plus(self.random.between(0, part));
        if kind.when.fits(at) {
            return Some(at);
        }
        // A week has one Monday: it is looked for in all of the days.
        let (first, part) = if kind.when == When::MondayMorning { (from.plus(span / 40), room) } else { (first, part) };
        let mut tries = (0..MOMENTS_MAX).map(|_| first.plus(self.random.between(0, part)));
        Some(tries.find(|at| kind.when.fits(*at)).unwrap_or(at))
    }

    /// One scene, where there is room for it.
    fn play(&mut self, kind: &Kind, at: Millis) -> Result<(), SimError> {
        let nth = self.nth;
        let victim = self.victim()?;
        let mut scene = Scene {
            people: self.people,
            nth,
            random: Random::new(self.plan.seed, 1 + nth),
            at,
            learning: (self.plan.start, self.timeline.watched_from()),
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
        let waiting: Vec<Waiting> = waiting.collect();
        if (self.waiting.len() + waiting.len()) as u64 <= self.room() {
            self.waiting.extend(waiting);
            self.planted.push(planted);
        }
        Ok(())
    }

    /// Somebody nobody else plays, far from every attacker.
    fn victim(&mut self) -> Result<Person, SimError> {
        loop {
            let person = self.people.person(self.next_person)?;
            self.next_person += 1;
            if self.people.lives_in(&person, HOME_COUNTRY) {
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
