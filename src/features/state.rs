//! The state: every entity's features, updated and read by one event after the other.
//!
//! Guarantees: an event sees what came before it in input order, and itself where its feature says so; nothing
//! is counted backwards; nothing is updated by an event the caller calls late. Memory of what no event can ask
//! for any more is given back in bounded steps.

use super::account::Account;
use super::entity::{Kept, Table};
use super::ids::{KINDS, NOWHERE};
use super::plan::{OfKind, Plan, Use};
use super::slots::{AccountKept, Slots};
use super::upkeep::{Counts, Upkeep};
use super::zones::Zones;
use super::{Banks, Finding, Ids, Profile};
use crate::event::{Event, EventType, Outcome};
use crate::ruleset::{KeyField, Ruleset};

mod ceiling;
mod cold;
mod durable;
mod shown;

pub use ceiling::NO_CEILING;
pub use cold::Residence;
pub use durable::StateHead;

/// One entity of each kind is looked at for so many events, to find what is idle.
const SWEEP_EVENTS_PER_STEP: usize = 8;

/// An entity that an event will need soon.
#[derive(Debug, Clone, Copy)]
pub struct Ahead {
    /// Whose event.
    pub event: usize,
    /// Its kind.
    pub kind: KeyField,
    /// Where it probably stands.
    pub place: u32,
    key: u64,
}

/// What the state may grow to.
#[derive(Debug, Clone, Copy)]
pub struct StateLimits {
    /// Entities of one kind, at most.
    pub entities_max: usize,
    /// Memory all entities may be accounted to take, bytes; [`NO_CEILING`]: it is not asked.
    pub memory_bytes_max: usize,
    /// Memory that may be asked for beside a store to which entities leave, bytes; [`NO_CEILING`]: it is not asked. What
    /// is kept of those that left must find room in a part of it: above that entities are forgotten.
    pub resident_bytes_max: usize,
    /// Whether accounts keep a profile for alerts.
    pub profiles: bool,
}

/// All that is kept.
#[derive(Debug)]
pub struct State {
    plan: Plan,
    limits: StateLimits,
    accounts: Table<AccountKept>,
    others: Vec<Table<Slots>>,
    zones: Zones,
    /// Where `last` finds the fields it keeps.
    captured: Banks,
    scratch: Vec<u64>,
    counts: Vec<Counts>,
    /// What the events of a chunk will need.
    ahead: Vec<Ahead>,
    /// Events since the last step of sweeping.
    unswept: usize,
    /// Who may leave memory.
    leave: cold::Leave,
}

impl State {
    /// An empty state for a rule set.
    pub fn new(rules: &Ruleset, limits: StateLimits) -> Self {
        let mut state = State {
            plan: Plan::new(rules),
            limits,
            accounts: Table::new(limits.entities_max),
            others: (0..KINDS).map(|_| Table::new(limits.entities_max)).collect(),
            zones: Zones::default(),
            captured: Banks::new(&rules.layout),
            scratch: Vec::new(),
            counts: Vec::new(),
            ahead: Vec::new(),
            unswept: 0,
            leave: cold::Leave::default(),
        };
        state.account();
        state
    }

    /// Goes over to another rule set: what is kept of a definition that stays is kept on, of one that is new
    /// nothing is known yet. Returns the new ones, by their place in the rule set. No entity is touched, but for
    /// one change in hundreds.
    pub fn follow(&mut self, rules: &Ruleset, limits: StateLimits, horizon_ms: i64) -> Vec<usize> {
        let next = self.plan.followed_by(rules);
        let before = std::mem::replace(&mut self.plan, next);
        self.change_windows(&before.over_ms);
        self.limits = limits;
        self.captured = Banks::new(&rules.layout);
        if self.plan.is_cluttered() {
            self.accounts.sweep(usize::MAX, horizon_ms, &self.plan.over_ms);
            for table in &mut self.others {
                table.sweep(usize::MAX, horizon_ms, &self.plan.over_ms);
            }
            self.plan.swept();
        }
        self.plan.cold.clone()
    }

    /// Takes in the state of other events under the same rules: of each entity what is kept in either. Below the
    /// caps of each aggregate the parts of a stream come, in whatever grouping and order they are merged, to the
    /// state of the whole; a `baseline` stays the one that knows the newer event, and a profile is not merged.
    /// Where the rules differ, or some of the others are not in memory, nothing is taken, and that is false.
    pub fn merge(&mut self, other: State, horizon_ms: i64) -> bool {
        let is_whole = KeyField::all().all(|kind| other.residence(kind).away == 0);
        if !is_whole || !self.plan.is_alike(&other.plan) {
            return false;
        }
        let over_ms = self.plan.over_ms.as_slice();
        for (key, kept) in other.accounts.into_entities() {
            if let Some(known) = self.accounts.entry(key, NOWHERE) {
                known.slots.merge(kept.slots, over_ms, horizon_ms);
                known.account.merge(kept.account);
            }
        }
        for (table, other) in self.others.iter_mut().zip(other.others) {
            for (key, kept) in other.into_entities() {
                if let Some(known) = table.entry(key, NOWHERE) {
                    known.merge(kept, over_ms, horizon_ms);
                }
            }
        }
        self.account();
        true
    }

    /// How many entities of a kind there are.
    pub fn entities(&self, kind: KeyField) -> usize {
        match kind {
            KeyField::Account => self.accounts.len(),
            other => self.others.get(other as usize).map_or(0, Table::len),
        }
    }

    /// Memory of the entities of a kind, estimated, bytes.
    pub fn bytes(&self, kind: KeyField) -> usize {
        match kind {
            KeyField::Account => self.accounts.bytes(),
            other => self.others.get(other as usize).map_or(0, Table::bytes),
        }
    }

    /// Begins a chunk: nothing is noted.
    pub fn forget_ahead(&mut self) {
        self.ahead.clear();
    }

    /// Notes the entities an event will need, and asks for the memory that tells where they stand; `at` is the
    /// event's place in its chunk.
    pub fn note(&mut self, at: usize, event: &Event<'_>, ids: &mut Ids) {
        let account = ids.of(KeyField::Account, event);
        if account != 0 {
            self.accounts.bring_place_near(account);
            self.ahead.push(Ahead { event: at, kind: KeyField::Account, place: NOWHERE, key: account });
        }
        for OfKind { kind, .. } in self.plan.of(event.kind) {
            if matches!(kind, KeyField::Account | KeyField::Asn | KeyField::Country | KeyField::All) {
                // The account is noted; the place may not be known yet; there is only one `all`.
                continue;
            }
            let key = ids.of(*kind, event);
            if key != 0 {
                if let Some(table) = self.others.get(*kind as usize) {
                    table.bring_place_near(key);
                }
                self.ahead.push(Ahead { event: at, kind: *kind, place: NOWHERE, key });
            }
        }
    }

    /// Looks up all that was noted, in steps: first where each stands, then the entity, then what it points to.
    /// Each step only asks for the memory of the next one, so no step waits for what it asked for itself, and
    /// the memory is near when its event comes. Last what the sweep after these `events` will look at.
    pub fn bring_near(&mut self, events: usize) {
        let State { ahead, accounts, others, .. } = self;
        for one in ahead.iter_mut() {
            one.place = match one.kind {
                KeyField::Account => accounts.find_place(one.key),
                kind => others.get(kind as usize).map_or(NOWHERE, |table| table.find_place(one.key)),
            };
        }
        let slots = |one: &Ahead| match one.kind {
            KeyField::Account => accounts.at(one.place).map(|kept| &kept.slots),
            kind => others.get(kind as usize).and_then(|table| table.at(one.place)),
        };
        for one in ahead.iter() {
            match one.kind {
                KeyField::Account => {
                    if let Some(kept) = accounts.at(one.place) {
                        kept.account.bring_near();
                        kept.slots.bring_near();
                    }
                }
                _ => slots(one).into_iter().for_each(Slots::bring_near),
            }
        }
        for slots in ahead.iter().filter_map(slots) {
            slots.bring_rest_near();
        }
        let steps = events.div_ceil(SWEEP_EVENTS_PER_STEP);
        accounts.bring_sweep_near(steps);
        others.iter().for_each(|table| table.bring_sweep_near(steps));
    }

    /// What was noted, looked up.
    pub fn ahead(&self) -> &[Ahead] {
        &self.ahead
    }

    /// Updates and reads the features of an event. Its fields stand in `banks` already; the values of its
    /// features are written there. No event counted from now on is older than `horizon_ms`.
    pub fn observe(&mut self, event: &Event<'_>, ids: &mut Ids, banks: &mut Banks, horizon_ms: i64) {
        let State { plan, limits, accounts, others, zones, captured, scratch, counts, .. } = self;
        let mut upkeep = Upkeep { event, finding: None, horizon_ms, ids, zones, captured, scratch, counts };
        let account = upkeep.ids.of(KeyField::Account, event);
        let mut account_features: &[Use] = &[];
        for OfKind { kind, uses } in plan.of(event.kind) {
            if *kind == KeyField::Account {
                account_features = uses;
                continue;
            }
            let key = upkeep.ids.of(*kind, event);
            let Some(table) = others.get_mut(*kind as usize).filter(|_| key != 0) else { continue };
            let updates = upkeep.filter(uses, &plan.features, banks);
            let place = upkeep.ids.place(*kind);
            let mut slots = if updates { table.entry(key, place) } else { table.peek(key, place) };
            let before = limits.accounted(slots.as_deref());
            upkeep.run(uses, &plan.features, slots.as_deref_mut(), banks);
            let after = limits.accounted(slots.as_deref());
            table.reaccount(before, after);
        }
        if account == 0 {
            return;
        }
        let updates = upkeep.filter(account_features, &plan.features, banks);
        let logs_in = plan.account.logins.is_some() && is_good_login(event);
        let makes = updates || logs_in || plan.account.known_for.is_some();
        let place = upkeep.ids.place(KeyField::Account);
        let mut kept = if makes { accounts.entry(account, place) } else { accounts.peek(account, place) };
        let before = limits.accounted(kept.as_deref());
        upkeep.run(account_features, &plan.features, kept.as_mut().map(|k| &mut k.slots), banks);
        let mut fresh = Account::default();
        let account = kept.as_mut().map_or(&mut fresh, |kept| &mut kept.account);
        let time = event.time.0;
        if let Some(cell) = plan.account.risk {
            banks.number(cell, account.risk(time));
        }
        if let Some(cell) = plan.account.known_for {
            if let Some(known_for) = account.known_for_ms(time) {
                banks.number(cell, known_for as f64);
            }
            account.see(time);
        }
        if let Some(cell) = plan.account.logins {
            banks.number(cell, account.logins(time) as f64);
            if logs_in {
                account.log_in(time, event.count, horizon_ms);
            }
        }
        let after = limits.accounted(kept.as_deref());
        accounts.reaccount(before, after);
    }

    /// Takes a finding of an event for the features over findings; the next events see it. The event's row stands
    /// in `banks` still, and the finding's own fields are written there.
    pub fn find(&mut self, event: &Event<'_>, finding: Finding<'_>, ids: &mut Ids, banks: &mut Banks, horizon_ms: i64) {
        let State { plan, limits, accounts, others, zones, captured, scratch, counts, .. } = self;
        if plan.of_findings.is_empty() {
            return;
        }
        for (field, cell) in &plan.finding_cells {
            finding.fill(*field, ids, *cell, banks);
        }
        let mut upkeep = Upkeep { event, finding: Some(finding), horizon_ms, ids, zones, captured, scratch, counts };
        for OfKind { kind, uses } in &plan.of_findings {
            let key = upkeep.ids.of(*kind, event);
            if key == 0 || !upkeep.filter(uses, &plan.features, banks) {
                continue;
            }
            let place = upkeep.ids.place(*kind);
            let mut slots = match kind {
                KeyField::Account => accounts.entry(key, place).map(|kept| &mut kept.slots),
                kind => others.get_mut(*kind as usize).and_then(|table| table.entry(key, place)),
            };
            let before = limits.accounted(slots.as_deref());
            upkeep.run(uses, &plan.features, slots.as_deref_mut(), banks);
            let after = limits.accounted(slots.as_deref());
            match kind {
                KeyField::Account => accounts.reaccount(before, after),
                kind => others.get_mut(*kind as usize).into_iter().for_each(|table| table.reaccount(before, after)),
            }
        }
    }

    /// Whether some feature is over findings.
    pub fn takes_findings(&self) -> bool {
        !self.plan.of_findings.is_empty()
    }

    /// What comes after the event was decided: its profile, so that an alert shows what was before it.
    pub fn learn(&mut self, event: &Event<'_>, ids: &mut Ids) {
        if !self.limits.profiles || !is_good_login(event) {
            return;
        }
        let (account, device) = (ids.of(KeyField::Account, event), ids.of(KeyField::Device, event));
        let zoned = event.zone.as_deref().and_then(|zone| self.zones.hour_and_weekday(event.time, zone));
        let hour = zoned.map_or(event.time.0.div_euclid(3_600_000).rem_euclid(24) as u8, |(hour, _)| hour);
        if account != 0
            && let Some(kept) = self.accounts.entry_of_same(account, ids.place(KeyField::Account))
        {
            let before = self.limits.accounted(Some(&*kept));
            Profile::take(&mut kept.account.profile, event, device, Some(hour));
            let after = self.limits.accounted(Some(&*kept));
            self.accounts.reaccount(before, after);
        }
    }

    /// Adds a score to `account.risk`, where some rule reads it.
    pub fn add_risk(&mut self, account: u64, time_ms: i64, score: f64) {
        if self.plan.account.risk.is_some()
            && account != 0
            && let Some(kept) = self.accounts.entry(account, NOWHERE)
        {
            kept.account.add_risk(time_ms, score);
        }
    }

    /// The profile of an account, which must be in memory: it came just now, or was asked back.
    pub fn profile(&self, account: u64) -> Option<&Profile> {
        self.accounts.get(account)?.account.profile.as_deref()
    }

    /// Gives back memory of what no event at or after `horizon_ms` can ask for, a bounded step per event, and forgets
    /// what is above the ceiling.
    pub fn sweep(&mut self, events: usize, horizon_ms: i64) {
        self.unswept += events;
        let steps = self.unswept / SWEEP_EVENTS_PER_STEP;
        self.unswept %= SWEEP_EVENTS_PER_STEP;
        self.accounts.sweep(steps, horizon_ms, &self.plan.over_ms);
        for table in &mut self.others {
            table.sweep(steps, horizon_ms, &self.plan.over_ms);
        }
        self.make_room();
    }
}

impl StateLimits {
    /// Whether what entities point to is accounted.
    fn accounts(&self) -> bool {
        self.memory_bytes_max != NO_CEILING || self.resident_bytes_max != NO_CEILING
    }

    /// What an entity points to, bytes, where that is accounted.
    fn accounted<T: Kept>(&self, kept: Option<&T>) -> usize {
        if !self.accounts() { 0 } else { kept.map_or(0, Kept::heap_bytes) }
    }
}

fn is_good_login(event: &Event<'_>) -> bool {
    event.kind == EventType::Login && event.result == Some(Outcome::Success)
}
