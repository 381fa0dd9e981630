//! The stream: ordinary records, planted scenes, repeats, late ones and damaged ones, merged by stamp.
//!
//! Guarantees: exactly the plan's number of records; stamps never go backwards, and rise strictly where there
//! is room for it, so that the order in a file and in Kafka is one. Only ordinary records are repeated, late
//! or damaged. The totals are counted as a reader of the file must count them.

use std::collections::VecDeque;

use super::crowd::{Crowd, Wanted};
use super::draft::Draft;
use super::names::Names;
use super::people::People;
use super::plan::{Plan, Profile};
use super::planner::{Planner, Waiting, outage};
use super::random::Random;
use super::record::{Record, Topic};
use super::script::{MINUTE_MS, Planted};
use super::timeline::Timeline;
use super::truth::{Lateness, Line, Totals};
use super::velocity;
use super::zipf::Zipf;
use super::{SimError, malformed};
use crate::event::{Closed, Millis, RejectReason};

/// The flattening of the accounts' Zipf distribution, ranks.
const ACCOUNT_SHIFT: u32 = 50;
/// Records repeated, per million.
const DUPLICATES_PER_MILLION: u64 = 10_000;
/// A repeat comes at most so long after the first, ms: well inside the engine's window of 10 min.
const DUPLICATE_MS_MAX: i64 = 5 * MINUTE_MS;
/// How many records a repeat is chosen from.
const RECENT: usize = 32;
/// Late ones, per million, and how late, ms.
const LATE_PER_MILLION: u64 = 20_000;
const LATE_MS: (i64, i64) = (2_000, 60_000);
/// The delay of all others, ms.
const DELAY_MS: (i64, i64) = (100, 2_000);
/// One in so many is later than the engine accepts.
const TOO_LATE_IN: u64 = 1000;
/// How much later at the least, ms, to which the time of so many records is added: a partition of a thin topic
/// looks back on its last nine records, which may be a while ago.
const TOO_LATE_MS: i64 = 15 * MINUTE_MS;
const TOO_LATE_RECORDS: i64 = 1000;
/// One in so many is damaged …
const MALFORMED_IN: u64 = 10_000;
/// … but each way at least once in a stream of this length.
const MALFORMED_ALL_FROM: u64 = 100_000;
/// Stamps rise strictly where there are at least so many ms for each record.
const STRICT_MS_MIN: i64 = 8;

/// A record that may be repeated.
#[derive(Default)]
struct Sent {
    topic: Option<Topic>,
    key: Vec<u8>,
    value: Vec<u8>,
    stamp: Millis,
}

/// Makes the records, one by one.
pub struct Generator {
    plan: Plan,
    names: Names,
    people: People,
    accounts: Zipf,
    addresses: Zipf,
    timeline: Timeline,
    random: Random,
    planted: Vec<Planted>,
    waiting: std::iter::Peekable<std::vec::IntoIter<Waiting>>,
    /// Ordinary records in all, and those already made.
    ordinary: u64,
    made: u64,
    /// The stamp of the next ordinary record.
    next_stamp: Option<Millis>,
    /// The number of the next event's id.
    serial: u64,
    damaged: u64,
    damages: u64,
    /// The first ordinary record that may be too late, how many are, and how many were so far.
    too_late_from: u64,
    too_lates: u64,
    too_late: u64,
    too_late_ms: i64,
    /// Planted records of the learning period.
    planted_before: u64,
    crowd: Crowd,
    last_stamp: Millis,
    strict_ms: i64,
    recent: VecDeque<Sent>,
    out: Sent,
    lateness: Lateness,
    totals: Totals,
}

impl Generator {
    /// Plans the scenes and stands at the first record.
    pub fn new(plan: &Plan) -> Result<Self, SimError> {
        plan.check()?;
        let mut people = People::new(plan.seed, plan.accounts(), plan.addresses(), plan.start)?;
        if plan.has_people() {
            people = people.going_out();
        }
        let week = plan.has_people().then(|| people.week());
        let timeline = Timeline::new(plan, week.as_ref());
        let people = people.lasting(timeline.span_ms());
        let names = Names { seed: plan.seed, mail_domain: plan.mail_domain.clone() };
        let outage = (plan.profile == Profile::Outage).then(|| outage(&timeline));
        let (planted, waiting) = Planner::new(plan, &people, &timeline).plant(outage)?;
        let serial = waiting.len() as u64;
        let planted_before = waiting.iter().filter(|one| one.stamp < timeline.watched_from()).count() as u64;
        let ordinary = plan.events.saturating_sub(serial);
        let timeline = timeline.with_records(ordinary);
        let ms_per_record =
            timeline.watched_ms() / i64::try_from(timeline.watched_records()).unwrap_or(i64::MAX).max(1);
        let accounts = Zipf::new(u32::try_from(plan.accounts()).unwrap_or(u32::MAX), ACCOUNT_SHIFT);
        let crowd = Crowd::new(&people, &accounts, ordinary, timeline.learning_records(), outage);
        let too_late_from = timeline.learning_records() + timeline.watched_records() / 20;
        let all_ways = if plan.events >= MALFORMED_ALL_FROM { malformed::REASONS.len() as u64 } else { 0 };
        Ok(Generator {
            names,
            accounts,
            addresses: Zipf::new(plan.addresses(), super::people::ADDRESS_SHIFT),
            people,
            random: Random::new(plan.seed, 0),
            planted,
            waiting: waiting.into_iter().peekable(),
            ordinary,
            made: 0,
            next_stamp: None,
            serial,
            damaged: 0,
            damages: (plan.events / MALFORMED_IN).max(all_ways).min(ordinary),
            too_lates: plan.events / TOO_LATE_IN,
            too_late: 0,
            too_late_ms: TOO_LATE_MS + TOO_LATE_RECORDS * ms_per_record,
            too_late_from,
            planted_before,
            crowd,
            last_stamp: Millis(i64::MIN),
            strict_ms: i64::from(ms_per_record >= STRICT_MS_MIN),
            recent: VecDeque::with_capacity(RECENT),
            out: Sent::default(),
            lateness: Lateness::default(),
            totals: Totals { kind: "totals", ..Totals::default() },
            timeline,
            plan: plan.clone(),
        })
    }

    /// What was planted, in the order of time.
    pub fn truth(&self) -> impl Iterator<Item = Line> {
        self.planted.iter().map(|planted| Line::new(planted, &self.names))
    }

    /// The totals of the records made so far; of the stream, when there are no more.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The stream's first moment.
    pub fn start(&self) -> Millis {
        self.plan.start
    }

    /// When the watched days begin: what comes before is history, which a player may hurry through.
    pub fn watched_from(&self) -> Millis {
        self.timeline.watched_from()
    }

    /// Records before the watched days, about: some go on into them.
    pub fn learning_records(&self) -> u64 {
        self.timeline.learning_records() + self.planted_before
    }

    /// When the watched days end.
    pub fn watched_to(&self) -> Millis {
        self.timeline.watched_from().plus(self.timeline.watched_ms())
    }

    /// The first and the last moment of the stream, about.
    pub fn span(&self) -> (Millis, Millis) {
        (self.plan.start, self.plan.start.plus(self.timeline.span_ms()))
    }

    /// The next record; `None` when all are made.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, SimError> {
        let next = self.next_ordinary();
        match (self.waiting.next_if(|w| next.is_none_or(|n| w.stamp <= n)), next) {
            (Some(Waiting { stamp, draft }), _) => {
                let stamp = self.advance(stamp);
                self.write(&draft, stamp);
            }
            (None, Some(stamp)) => {
                let stamp = self.advance(stamp);
                self.ordinary_record(stamp)?;
                self.made += 1;
            }
            (None, None) => return Ok(None),
        }
        self.totals.events += 1;
        let Sent { topic, key, value, stamp } = &self.out;
        Ok(topic.map(|topic| Record { topic, key, value, stamp: *stamp }))
    }

    /// The stamp of the next ordinary record, be it something new or what goes on; none when all are made.
    fn next_ordinary(&mut self) -> Option<Millis> {
        if self.made >= self.ordinary {
            return None;
        }
        let new = match self.next_stamp {
            Some(stamp) => stamp,
            None => self.timeline.stamp(self.made, self.random.bits()),
        };
        self.next_stamp = Some(new);
        Some(self.crowd.due().map_or(new, |due| due.min(new)))
    }

    fn advance(&mut self, stamp: Millis) -> Millis {
        self.last_stamp = stamp.max(self.last_stamp.plus(self.strict_ms));
        self.last_stamp
    }

    fn ordinary_record(&mut self, stamp: Millis) -> Result<(), SimError> {
        let goes_on = self.crowd.due().zip(self.next_stamp).is_some_and(|(due, new)| due <= new);
        if !goes_on {
            self.next_stamp = None;
        }
        // Damaged ones lie evenly among the others.
        let due = (u128::from(self.made) + 1) * u128::from(self.damages) / u128::from(self.ordinary.max(1));
        if u128::from(self.damaged) < due {
            return self.damage(stamp);
        }
        if self.random.chance(DUPLICATES_PER_MILLION) && self.repeat(stamp) {
            return Ok(());
        }
        if goes_on && let Some(draft) = self.crowd.go_on(&mut self.random) {
            let serial = self.next_serial();
            self.write(&Draft { serial, ..draft }, stamp);
            self.remember();
            return Ok(());
        }
        let too_late = self.is_too_late();
        let draft = self.draft(stamp, too_late, too_late)?;
        self.write(&draft, stamp);
        if !too_late {
            self.remember();
        }
        Ok(())
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Whether the next record is one of those that come too late: they lie evenly among the later ones, because
    /// the first records of a partition have nothing to be late against.
    fn is_too_late(&mut self) -> bool {
        let (at, of) = (self.made.saturating_sub(self.too_late_from), self.ordinary.saturating_sub(self.too_late_from));
        let due = u128::from(at) * u128::from(self.too_lates + 1) / u128::from(of.max(1));
        let is_due = u128::from(self.too_late) < due.min(u128::from(self.too_lates));
        self.too_late += u64::from(is_due);
        is_due
    }

    /// An ordinary event that reaches Kafka at `stamp`.
    fn draft(&mut self, stamp: Millis, too_late: bool, is_lost: bool) -> Result<Draft, SimError> {
        let delay = match too_late {
            true => self.random.between(self.too_late_ms, self.too_late_ms + 20 * MINUTE_MS),
            false if self.random.chance(LATE_PER_MILLION) => self.random.between(LATE_MS.0, LATE_MS.1),
            false => self.random.between(DELAY_MS.0, DELAY_MS.1),
        };
        let time = stamp.plus(-delay);
        let serial = self.next_serial();
        let mut draft = match self.plan.has_people() {
            true => {
                let wanted = Wanted { time, serial, is_lost };
                self.crowd.next(&self.people, &self.accounts, wanted, &mut self.random)?
            }
            false => velocity::ordinary(
                &self.people,
                &self.accounts,
                &self.addresses,
                self.plan.twist(),
                serial,
                time,
                &mut self.random,
            )?,
        };
        draft.serial = serial;
        Ok(draft)
    }

    fn damage(&mut self, stamp: Millis) -> Result<(), SimError> {
        let ways = malformed::REASONS.len() as u64;
        let reason = usize::try_from(self.damaged % ways).ok().and_then(|at| malformed::REASONS.get(at));
        let reason = reason.copied().unwrap_or(RejectReason::NotJson);
        let draft = self.draft(stamp, false, true)?;
        self.damaged += 1;
        self.address_to(&draft, stamp);
        if reason == RejectReason::UnknownType {
            self.out.topic = Some(Topic::Accounts);
        }
        malformed::write(&draft, reason, &self.names, &mut self.out.value);
        *self.totals.malformed.entry(reason.word()).or_default() += 1;
        Ok(())
    }

    /// Sends one of the recent records again; false where there is none young enough.
    fn repeat(&mut self, stamp: Millis) -> bool {
        let from = self.recent.partition_point(|sent| stamp.since(sent.stamp) > DUPLICATE_MS_MAX);
        let young = (self.recent.len() - from) as u64;
        let at = from + usize::try_from(self.random.below(young)).unwrap_or(0);
        let Some(sent) = self.recent.get(at) else { return false };
        self.out.topic = sent.topic;
        self.out.key.clone_from(&sent.key);
        self.out.value.clone_from(&sent.value);
        self.out.stamp = stamp;
        self.totals.duplicates += 1;
        true
    }

    fn address_to(&mut self, draft: &Draft, stamp: Millis) {
        self.out.key.clear();
        self.out.value.clear();
        self.out.topic = draft.kind.map(Topic::of);
        self.out.stamp = stamp;
        match (draft.account, draft.login_name) {
            (Some(account), _) => self.names.account(account, &mut self.out.key),
            (None, Some(name)) => super::names::write_hex(b"ln-", name, &mut self.out.key),
            (None, None) => {}
        }
    }

    fn write(&mut self, draft: &Draft, stamp: Millis) {
        self.address_to(draft, stamp);
        draft.write(&self.names, &mut self.out.value);
        self.totals.late += u64::from(self.lateness.is_late(draft.time));
    }

    /// Keeps the record just written for a repeat.
    fn remember(&mut self) {
        let mut slot =
            if self.recent.len() < RECENT { Sent::default() } else { self.recent.pop_front().unwrap_or_default() };
        slot.topic = self.out.topic;
        slot.key.clone_from(&self.out.key);
        slot.value.clone_from(&self.out.value);
        slot.stamp = self.out.stamp;
        self.recent.push_back(slot);
    }
}
