//! The state: every entity's features, updated and read by one event after the other.
//!
//! Guarantees: an event sees what came before it in input order, and itself where its feature says so; nothing
//! is counted backwards; nothing is updated by an event the caller calls late. Memory of what no event can ask
//! for any more is given back in bounded steps.

use prefetch_index::prefetch_index;
use smallvec::SmallVec;

use super::account::Account;
use super::aggregate::{Aggregate, Observation};
use super::entity::{Kept, Table};
use super::ids::{KINDS, NOWHERE};
use super::measure;
use super::plan::{OfKind, Plan, Planned, RETIRED_MS, Use};
use super::window::{Span, spilled_bytes};
use super::zones::Zones;
use super::{Banks, Ids, Profile, fill};
use crate::event::{Event, EventType, Outcome};
use crate::ruleset::row::Layout;
use crate::ruleset::{KeyField, Ruleset};

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
    /// Whether accounts keep a profile for alerts.
    pub profiles: bool,
}

/// The features of one entity that something is kept of, by feature.
#[derive(Debug, Default)]
struct Slots {
    kept: SmallVec<[(u16, Aggregate); 1]>,
}

impl Slots {
    fn get(&self, feature: u16) -> Option<&Aggregate> {
        self.kept.iter().find(|(f, _)| *f == feature).map(|(_, kept)| kept)
    }

    fn entry(&mut self, feature: u16, planned: &Planned) -> Option<&mut Aggregate> {
        let at = match self.kept.iter().position(|(f, _)| *f == feature) {
            Some(at) => at,
            None => {
                if self.kept.len() == self.kept.capacity() {
                    self.kept.reserve_exact(1);
                }
                self.kept.push((feature, planned.shape.empty()));
                self.kept.len() - 1
            }
        };
        self.kept.get_mut(at).map(|(_, kept)| kept)
    }
}

impl Slots {
    /// Asks for the memory they point to.
    fn bring_near(&self) {
        if self.kept.spilled() {
            // What these point to in turn is not known before they are here.
            prefetch_index(&self.kept, 0);
            prefetch_index(&self.kept, 1);
        } else if let Some((_, kept)) = self.kept.first() {
            kept.bring_near();
        }
    }

    /// Asks for what several features point to, once these have had time to come near themselves.
    fn bring_rest_near(&self) {
        if self.kept.spilled() {
            self.kept.iter().for_each(|(_, kept)| kept.bring_near());
        }
    }
}

impl Kept for Slots {
    fn bring_heap_near(&self) {
        self.bring_near();
    }

    fn heap_bytes(&self) -> usize {
        let kept: usize = self.kept.iter().map(|(_, kept)| kept.heap_bytes()).sum();
        spilled_bytes(&self.kept) + kept
    }

    fn sweep(&mut self, horizon_ms: i64, over_ms: &[i64]) -> bool {
        self.kept.retain(|(feature, kept)| {
            let over_ms = over_ms.get(usize::from(*feature)).copied().unwrap_or_default();
            over_ms != RETIRED_MS && !kept.is_dead(Span { over_ms, horizon_ms })
        });
        !self.kept.is_empty()
    }
}

/// In this order: the account ends the second line of an entity, which its key begins the first of.
#[derive(Debug, Default)]
#[repr(C)]
struct AccountKept {
    slots: Slots,
    account: Account,
}

impl Kept for AccountKept {
    fn bring_heap_near(&self) {
        self.slots.bring_near();
    }

    fn heap_bytes(&self) -> usize {
        self.slots.heap_bytes() + self.account.heap_bytes()
    }

    fn sweep(&mut self, horizon_ms: i64, over_ms: &[i64]) -> bool {
        self.slots.sweep(horizon_ms, over_ms) || self.account.is_known()
    }

    fn bring_near(&self) {
        prefetch_index(std::slice::from_ref(&self.account), 0);
    }
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
    wanted: Vec<bool>,
    /// What the events of a chunk will need.
    ahead: Vec<Ahead>,
    /// Events since the last step of sweeping.
    unswept: usize,
}

impl State {
    /// An empty state for a rule set.
    pub fn new(rules: &Ruleset, limits: StateLimits) -> Self {
        State {
            plan: Plan::new(rules),
            limits,
            accounts: Table::new(limits.entities_max),
            others: (0..KINDS).map(|_| Table::new(limits.entities_max)).collect(),
            zones: Zones::default(),
            captured: Banks::new(&captured_layout(rules)),
            scratch: Vec::new(),
            wanted: Vec::new(),
            ahead: Vec::new(),
            unswept: 0,
        }
    }

    /// Goes over to another rule set: what is kept of a definition that stays is kept on, of one that is new
    /// nothing is known yet. Returns the new ones, by their place in the rule set. No entity is touched, but for
    /// one change in hundreds.
    pub fn follow(&mut self, rules: &Ruleset, limits: StateLimits, horizon_ms: i64) -> Vec<usize> {
        self.plan = self.plan.followed_by(rules);
        self.limits = limits;
        self.captured = Banks::new(&captured_layout(rules));
        if self.plan.is_cluttered() {
            self.accounts.sweep(usize::MAX, horizon_ms, &self.plan.over_ms);
            for table in &mut self.others {
                table.sweep(usize::MAX, horizon_ms, &self.plan.over_ms);
            }
            self.plan.swept();
        }
        self.plan.cold.clone()
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
        let State { plan, accounts, others, zones, captured, scratch, wanted, .. } = self;
        let mut upkeep = Upkeep { event, horizon_ms, ids, zones, captured, scratch, wanted };
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
            let slots = if updates { table.entry(key, place) } else { table.get_mut(key, place) };
            upkeep.run(uses, &plan.features, slots, banks);
        }
        if account == 0 {
            return;
        }
        let updates = upkeep.filter(account_features, &plan.features, banks);
        let logs_in = plan.account.logins.is_some() && is_good_login(event);
        let makes = updates || logs_in || plan.account.known_for.is_some();
        let place = upkeep.ids.place(KeyField::Account);
        let mut kept = if makes { accounts.entry(account, place) } else { accounts.get_mut(account, place) };
        upkeep.run(account_features, &plan.features, kept.as_mut().map(|k| &mut k.slots), banks);
        let mut fresh = Account::default();
        let account = kept.map_or(&mut fresh, |kept| &mut kept.account);
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
            && let Some(kept) = self.accounts.entry(account, ids.place(KeyField::Account))
        {
            Profile::take(&mut kept.account.profile, event, device, Some(hour));
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

    /// `account.risk` as it stands, for an event whose features were not read.
    pub fn risk(&self, account: u64, time_ms: i64) -> f64 {
        self.accounts.get(account).map_or(0.0, |kept| kept.account.risk(time_ms))
    }

    /// The profile of an account.
    pub fn profile(&self, account: u64) -> Option<&Profile> {
        self.accounts.get(account)?.account.profile.as_deref()
    }

    /// Gives back memory of what no event at or after `horizon_ms` can ask for; a bounded step per event.
    pub fn sweep(&mut self, events: usize, horizon_ms: i64) {
        self.unswept += events;
        let steps = self.unswept / SWEEP_EVENTS_PER_STEP;
        self.unswept %= SWEEP_EVENTS_PER_STEP;
        self.accounts.sweep(steps, horizon_ms, &self.plan.over_ms);
        for table in &mut self.others {
            table.sweep(steps, horizon_ms, &self.plan.over_ms);
        }
    }
}

fn is_good_login(event: &Event<'_>) -> bool {
    event.kind == EventType::Login && event.result == Some(Outcome::Success)
}

/// The captured fields stand where the feature's own slots are.
fn captured_layout(rules: &Ruleset) -> Layout {
    rules.layout.clone()
}

/// One event on its way through the features.
struct Upkeep<'u, 'e> {
    event: &'u Event<'e>,
    horizon_ms: i64,
    ids: &'u mut Ids,
    zones: &'u mut Zones,
    captured: &'u mut Banks,
    scratch: &'u mut Vec<u64>,
    wanted: &'u mut Vec<bool>,
}

impl Upkeep<'_, '_> {
    /// Which features this event counts for.
    fn filter(&mut self, uses: &[Use], features: &[Planned], banks: &Banks) -> bool {
        self.wanted.clear();
        let row = banks.row(self.event);
        let counts = |used: &Use| {
            let planned = features.get(usize::from(used.feature)).filter(|_| used.updates);
            planned.is_some_and(|p| p.filter.as_ref().is_none_or(|filter| filter.is_true(&row)))
        };
        self.wanted.extend(uses.iter().map(counts));
        self.wanted.contains(&true)
    }

    fn run(&mut self, uses: &[Use], features: &[Planned], mut slots: Option<&mut Slots>, banks: &mut Banks) {
        for (at, used) in uses.iter().enumerate() {
            let Some(planned) = features.get(usize::from(used.feature)) else { continue };
            let wanted = self.wanted.get(at).copied().unwrap_or_default();
            let Some(seen) = self.observation(planned, wanted) else { continue };
            if wanted && planned.include_current {
                self.update(used.feature, planned, &seen, slots.as_deref_mut());
            }
            if used.reads {
                match slots.as_deref().and_then(|s| s.get(used.feature)) {
                    Some(kept) => kept.fill(&planned.shape, &seen, banks, self.scratch),
                    None => planned.shape.fill_empty(&seen, banks),
                }
            }
            if wanted && !planned.include_current {
                self.update(used.feature, planned, &seen, slots.as_deref_mut());
            }
        }
    }

    /// What this event brings; `None` where it lacks the second entity of a pair.
    fn observation(&mut self, planned: &Planned, wanted: bool) -> Option<Observation> {
        use crate::ruleset::{Aggregate as Kind, Measure};
        let second = match planned.second {
            Some(kind) => Some(self.ids.of(kind, self.event)).filter(|key| *key != 0)?,
            None => 0,
        };
        let mut seen = Observation {
            time_ms: self.event.time.0,
            count: self.event.count,
            second,
            value: None,
            amount: None,
            unit: None,
        };
        match (planned.shape.aggregate, planned.measure) {
            (Kind::Sum, Some(Measure::Field(field))) => {
                seen.amount = if wanted { measure::amount(field, self.event) } else { None };
                seen.unit = measure::unit(self.event);
            }
            (Kind::Distinct | Kind::Habit, Some(measure)) if wanted || planned.reads_value() => {
                seen.value = measure::value(measure, self.event, self.ids, self.zones);
            }
            _ => {}
        }
        Some(seen)
    }

    fn update(&mut self, feature: u16, planned: &Planned, seen: &Observation, slots: Option<&mut Slots>) {
        use crate::ruleset::Aggregate as Kind;
        let nothing = match planned.shape.aggregate {
            Kind::Sum => seen.amount.is_none(),
            Kind::Distinct | Kind::Habit => seen.value.is_none(),
            _ => false,
        };
        let Some(slots) = slots.filter(|_| !nothing) else { return };
        if planned.shape.aggregate == Kind::Last {
            for kept in &planned.shape.kept {
                if let Some(cell) = kept.cell {
                    clear(cell, self.captured);
                    fill(kept.field, self.event, self.ids, cell, self.captured);
                }
            }
        }
        let span = Span { over_ms: planned.shape.over_ms, horizon_ms: self.horizon_ms };
        if let Some(kept) = slots.entry(feature, planned) {
            kept.update(&planned.shape, seen, span, self.captured);
        }
    }
}

fn clear(cell: crate::ruleset::row::Cell, banks: &mut Banks) {
    use crate::ruleset::row::Rep;
    match cell.rep {
        Rep::Num => banks.numbers_at(cell.at, 1).fill(f64::NAN),
        Rep::Money | Rep::Geo => banks.numbers_at(cell.at, 2).fill(f64::NAN),
        Rep::Ip => banks.ids_at(cell.at, 2).fill(0),
        Rep::Id => {
            banks.ids_at(cell.at, 1).fill(0);
            if let Some(text) = banks.text_at(cell.text) {
                text.clear();
            }
        }
    }
}
