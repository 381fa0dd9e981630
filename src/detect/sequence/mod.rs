//! Sequences: which chains of events each rule and entity has begun, and what becomes of them with each event.
//!
//! Guarantees: an event is tried on later steps before earlier ones and never takes two steps of one partial; a
//! chain is in order of event time and completes nothing backwards; entities are at most `entities_max`; an event
//! that takes no step costs no allocation. Over a change of the rules what is kept of a definition that stays goes
//! on. Judges neither exceptions nor dedup, and makes no finding.

mod durable;
mod kept;
#[cfg(test)]
mod oracle;
mod room;
mod shown;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeSet;
use std::sync::Arc;

use smallvec::SmallVec;

pub use durable::Head;
pub use kept::Values;
pub use room::Partial;
use room::{Room, Taken};
pub use shown::ChainsShown;
pub use waiting::Waiting;

use super::watermark::Watermark;
use crate::event::{Closed, Event, EventType, TypeSet};
use crate::features::{Banks, Ids, Kept, NOWHERE, Swept, Table};
use crate::ruleset::sequence::{Filter, Sequence};
use crate::ruleset::{HashKey, Rule, Ruleset, State};

/// What is kept of one rule and entity.
#[derive(Debug, Default)]
struct Chains {
    /// That of the sequence that is followed.
    number: u32,
    within_ms: i64,
    /// By step, but for the last: its chain is a finding.
    rooms: Box<[Room]>,
    waiting: Vec<Waiting>,
}

impl Chains {
    /// Chains that are kept, those that wait among them.
    fn len(&self) -> usize {
        self.rooms.iter().map(Room::len).sum::<usize>() + self.waiting.len()
    }
}

impl Kept for Chains {
    fn sweep(&mut self, horizon_ms: i64, _: &[i64]) -> Swept {
        let before_ms = horizon_ms.saturating_sub(self.within_ms);
        let before = self.len();
        self.rooms.iter_mut().for_each(|room| room.drop_begun_before(before_ms));
        Swept::of(before, self.len())
    }

    fn heap_bytes(&self) -> usize {
        let rooms: usize = self.rooms.iter().map(|room| size_of::<Room>() + room.heap_bytes()).sum();
        let waiting: usize = self.waiting.iter().map(|w| size_of::<Waiting>() + w.heap_bytes()).sum();
        rooms + waiting
    }
}

/// When something that waits is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    end_ms: i64,
    /// Input order of the last step.
    order: u64,
    number: u32,
    key: u64,
}

/// A sequence that is followed, under the number by which its chains are kept.
#[derive(Debug, Clone)]
struct Followed {
    number: u32,
    identity: u64,
    rule: String,
}

/// All chains.
#[derive(Debug)]
pub struct Sequences {
    /// By the place of the rule in the rule set.
    followed: Vec<Option<Followed>>,
    /// The places of the rules that an event type means something to, in order.
    by_type: Vec<Vec<u16>>,
    /// Numbers are never used again.
    next_number: u32,
    chains: Table<Chains>,
    due: BTreeSet<Due>,
    /// Input order: accepted events so far.
    order: u64,
    key: HashKey,
}

/// Whether an event takes a step.
enum Asked {
    No,
    Yes,
    /// It depends on the partial.
    OfEach,
}

impl Sequences {
    /// No chain yet. `also`: a rule that is followed in whatever state.
    pub fn new(rules: &Ruleset, also: Option<usize>, entities_max: usize, key: HashKey) -> Self {
        let mut sequences = Sequences {
            followed: Vec::new(),
            by_type: Vec::new(),
            next_number: 0,
            chains: Table::new(entities_max),
            due: BTreeSet::new(),
            order: 0,
            key,
        };
        sequences.follow(rules, also);
        sequences
    }

    /// Goes over to another rule set. Chains of a definition that stays go on, whatever its rule is called. Returns
    /// the rules whose sequences begin with nothing, by their place.
    pub fn follow(&mut self, rules: &Ruleset, also: Option<usize>) -> Vec<usize> {
        let mut before: Vec<Followed> = self.followed.drain(..).flatten().collect();
        let is_asked =
            |(at, rule): &(usize, &Rule)| matches!(rule.state, State::Live | State::Shadow) || also == Some(*at);
        let asked: Vec<Option<&Sequence>> =
            rules.rules.iter().enumerate().map(|one| one.1.sequence.as_ref().filter(|_| is_asked(&one))).collect();
        self.followed = vec![None; rules.rules.len()];
        // Of several rules of one definition each finds its own; a renamed one takes what is left.
        for by_rule in [true, false] {
            for ((followed, rule), sequence) in self.followed.iter_mut().zip(&rules.rules).zip(&asked) {
                let Some(sequence) = sequence.filter(|_| followed.is_none()) else { continue };
                let is_it = |old: &Followed| old.identity == sequence.identity && (!by_rule || old.rule == rule.id);
                if let Some(at) = before.iter().position(is_it) {
                    *followed = Some(Followed { rule: rule.id.clone(), ..before.swap_remove(at) });
                }
            }
        }
        let mut fresh = Vec::new();
        for (at, ((followed, rule), sequence)) in self.followed.iter_mut().zip(&rules.rules).zip(&asked).enumerate() {
            let Some(sequence) = sequence.filter(|_| followed.is_none()) else { continue };
            fresh.push(at);
            let (number, identity) = (self.next_number, sequence.identity);
            self.next_number = self.next_number.wrapping_add(1);
            *followed = Some(Followed { number, identity, rule: rule.id.clone() });
        }
        let of_type = |kind: EventType| {
            let means = |(_, sequence): &(u16, &Option<&Sequence>)| sequence.is_some_and(|s| s.types().has(kind));
            (0u16..).zip(&asked).filter(means).map(|(at, _)| at).collect()
        };
        self.by_type = TypeSet::ALL.iter().map(of_type).collect();
        fresh
    }

    /// Counts an event that was accepted.
    pub fn count(&mut self) {
        self.order += 1;
    }

    /// The places of the rules that an event type means something to.
    pub fn rules(&self, kind: EventType) -> &[u16] {
        self.by_type.get(usize::from(kind.index())).map(Vec::as_slice).unwrap_or_default()
    }

    /// Rules and entities that something is kept of.
    pub fn len(&self) -> usize {
        self.chains.len()
    }

    /// Their memory, estimated, bytes.
    pub fn bytes(&self) -> usize {
        self.chains.bytes()
    }

    /// How many were forgotten because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.chains.forgotten()
    }

    fn number(&self, rule: u16) -> Option<u32> {
        Some(self.followed.get(usize::from(rule))?.as_ref()?.number)
    }

    fn entity(&self, number: u32, sequence: &Sequence, event: &Event<'_>, ids: &mut Ids) -> Option<u64> {
        Some(self.key_of(number, ids.pair(sequence.by, event)?))
    }

    /// Under what the chains of a sequence are kept for an entity.
    fn key_of(&self, number: u32, (first, second): (u64, u64)) -> u64 {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        bytes[4..12].copy_from_slice(&first.to_be_bytes());
        bytes[12..].copy_from_slice(&second.to_be_bytes());
        self.key.bytes(&bytes)
    }

    /// How many chains of what an event is about stand behind each step, and when the newest of them took it, ms:
    /// for whoever explains a rule. Behind the last step stand those that wait for what must not follow.
    pub fn begun(
        &mut self,
        rule: u16,
        sequence: &Sequence,
        event: &Event<'_>,
        ids: &mut Ids,
    ) -> Vec<(usize, Option<i64>)> {
        let none = vec![(0, None); sequence.steps.len()];
        let Some(number) = self.number(rule) else { return none };
        let Some(key) = self.entity(number, sequence, event, ids) else { return none };
        let Some(chains) = self.chains.get(key) else { return none };
        let of_room = |at: usize| {
            let room = chains.rooms.get(at)?;
            let newest = room.len().checked_sub(1).and_then(|last| room.get(last)).map(Partial::last_ms);
            Some((room.len(), newest))
        };
        let last = sequence.steps.len().saturating_sub(1);
        let waiting = (chains.waiting.len(), chains.waiting.iter().map(|waiting| waiting.age().0).max());
        (0..=last).map(|at| if at == last { waiting } else { of_room(at).unwrap_or_default() }).collect()
    }

    /// The newest chain behind each step but the last that an event could go on with in time, whatever the next
    /// step's condition says: for whoever explains a rule.
    pub fn newest(&mut self, rule: u16, sequence: &Sequence, event: &Event<'_>, ids: &mut Ids) -> Vec<Option<Partial>> {
        let Some(number) = self.number(rule) else { return Vec::new() };
        let Some(key) = self.entity(number, sequence, event, ids) else { return Vec::new() };
        let Some(chains) = self.chains.get(key) else { return Vec::new() };
        let time_ms = event.time.0;
        let is_in_time = |chain: &&Partial| {
            chain.last_ms() <= time_ms && time_ms.saturating_sub(chain.first_ms()) <= sequence.within_ms
        };
        let newest = |room: &Room| (0..room.len()).rev().filter_map(|at| room.get(at)).find(is_in_time).cloned();
        chains.rooms.iter().map(newest).collect()
    }

    /// What an event is to the sequence of a rule, its fields and features standing in `banks`. Returns the newest
    /// chain that it completes. `overflow` counts what had to go for want of room.
    pub fn watch(
        &mut self,
        rule: u16,
        sequence: &Sequence,
        event: &Event<'_>,
        ids: &mut Ids,
        banks: &mut Banks,
        overflow: &mut u64,
    ) -> Option<Partial> {
        let number = self.number(rule)?;
        let key = self.entity(number, sequence, event, ids)?;
        let mut chains = self.chains.peek(key, NOWHERE);
        let known = chains.as_deref().map(Chains::len);
        if let Some(chains) = &mut chains {
            cancel_waiting(sequence, chains, event, banks, |waiting| {
                self.due.remove(&due(waiting, number, key));
            });
        }
        let is_cancelled = is_cancelled(sequence, chains.as_deref_mut(), event, banks);
        if chains.as_deref().map(Chains::len) != known {
            // Some went: that is a change to save.
            chains = self.chains.get_mut(key, NOWHERE);
        }
        if is_cancelled {
            return None;
        }
        let last = sequence.steps.len().checked_sub(1)?;
        let (mut completed, mut goes_on) = (None, false);
        for (at, step) in sequence.steps.iter().enumerate().rev().filter(|(_, step)| step.types.has(event.kind)) {
            let before = at.checked_sub(1);
            let matched = match ask(step.filter.as_ref(), event, banks) {
                Asked::No => continue,
                asked => match before {
                    None => SmallVec::new(),
                    Some(before) => {
                        let Some(room) = chains.as_deref().and_then(|chains| chains.rooms.get(before)) else {
                            continue;
                        };
                        let found = matches(sequence, room, &asked, (step.filter.as_ref(), at == last), event, banks);
                        if found.is_empty() {
                            continue;
                        }
                        found
                    }
                },
            };
            let values = Values::of_event(&step.kept, event, ids, banks);
            let taken = Arc::new(Taken { time_ms: event.time.0, order: self.order, values });
            let room = |chains: &Chains, at: usize| before.and_then(|b| chains.rooms.get(b)?.get(at).cloned());
            let made: SmallVec<[Partial; 4]> = match before {
                None => SmallVec::from_iter([Partial::begun(taken)]),
                Some(_) => {
                    let longer = |at: &usize| Some(room(chains.as_deref()?, *at)?.with(Arc::clone(&taken)));
                    matched.iter().filter_map(longer).collect()
                }
            };
            if at == last {
                completed = made.into_iter().next();
                continue;
            }
            if chains.is_none() {
                chains = self.chains.entry(key, NOWHERE);
            }
            let Some(chains) = &mut chains else { continue };
            (chains.number, chains.within_ms) = (number, sequence.within_ms);
            if chains.rooms.len() != last {
                chains.rooms = std::iter::repeat_with(Room::default).take(last).collect();
            }
            if let Some(room) = chains.rooms.get_mut(at) {
                *overflow += room.take(&made, sequence.within_ms) as u64;
                goes_on = known.is_some();
            }
        }
        if goes_on {
            self.chains.entry(key, NOWHERE);
        }
        completed
    }

    /// Waits from the last step of a chain on whether something follows.
    pub fn wait(
        &mut self,
        rule: u16,
        sequence: &Sequence,
        event: &Event<'_>,
        ids: &mut Ids,
        waiting: Waiting,
        overflow: &mut u64,
    ) {
        let Some(number) = self.number(rule) else { return };
        let Some(key) = self.entity(number, sequence, event, ids) else { return };
        let Some(chains) = self.chains.entry(key, NOWHERE) else { return };
        (chains.number, chains.within_ms) = (number, sequence.within_ms);
        self.due.insert(due(&waiting, number, key));
        if let Some(gone) = waiting::take(&mut chains.waiting, waiting) {
            self.due.remove(&due(&gone, number, key));
            *overflow += 1;
        }
    }

    /// Whether something is decided by now.
    pub fn is_due(&self, watermark: &Watermark) -> bool {
        self.due.first().is_some_and(|due| watermark.has_passed(due.end_ms))
    }

    /// What nothing followed, with the places of the rules, in the order of (end, input order of the last step,
    /// rule).
    pub fn decided(&mut self, watermark: &Watermark) -> Vec<(u16, Waiting)> {
        let mut decided = Vec::new();
        while let Some(first) = self.due.first().copied().filter(|due| watermark.has_passed(due.end_ms)) {
            self.due.remove(&first);
            let is_it = |followed: &Option<Followed>| followed.as_ref().is_some_and(|f| f.number == first.number);
            let rule = self.followed.iter().position(is_it).and_then(|at| u16::try_from(at).ok());
            let Some(chains) = self.chains.get_mut(first.key, NOWHERE) else { continue };
            let is_it = |waiting: &Waiting| waiting.end_ms() == first.end_ms && waiting.age().1 == first.order;
            let at = chains.waiting.iter().position(is_it);
            let waiting = at.map(|at| chains.waiting.remove(at));
            decided.extend(rule.zip(waiting).map(|(rule, waiting)| (first.end_ms, first.order, rule, waiting)));
        }
        decided.sort_by_key(|(end_ms, order, rule, _)| (*end_ms, *order, *rule));
        decided.into_iter().map(|(_, _, rule, waiting)| (rule, waiting)).collect()
    }

    /// Gives back memory of what no event at or after `horizon_ms` can go on with; a bounded step.
    pub fn sweep(&mut self, entities: usize, horizon_ms: i64) {
        self.chains.sweep(entities, horizon_ms, &[]);
    }
}

fn due(waiting: &Waiting, number: u32, key: u64) -> Due {
    Due { end_ms: waiting.end_ms(), order: waiting.age().1, number, key }
}

/// Puts the fields of a chain's events where conditions read them; steps it has not taken are missing.
pub fn load(sequence: &Sequence, chain: &Partial, banks: &mut Banks) {
    for (at, step) in sequence.steps.iter().enumerate() {
        match chain.events.get(at) {
            Some(taken) => taken.values.give(step.kept.iter().map(|(_, kept)| kept), banks),
            None => step.kept.iter().for_each(|(_, kept)| kept::clear(kept.cell, banks)),
        }
    }
}

fn ask(filter: Option<&Filter>, event: &Event<'_>, banks: &Banks) -> Asked {
    match filter {
        None => Asked::Yes,
        Some(filter) if filter.reads_aliases => Asked::OfEach,
        Some(filter) if filter.when.is_true(&banks.row(event)) => Asked::Yes,
        Some(_) => Asked::No,
    }
}

fn holds_of(filter: &Filter, sequence: &Sequence, chain: &Partial, event: &Event<'_>, banks: &mut Banks) -> bool {
    load(sequence, chain, banks);
    filter.when.is_true(&banks.row(event))
}

/// The partials that an event goes on with, by their places, newest first; of the last step only the newest.
fn matches(
    sequence: &Sequence,
    room: &Room,
    asked: &Asked,
    (filter, is_last): (Option<&Filter>, bool),
    event: &Event<'_>,
    banks: &mut Banks,
) -> SmallVec<[usize; 8]> {
    let time_ms = event.time.0;
    let mut found = SmallVec::new();
    for at in (0..room.len()).rev() {
        let Some(partial) = room.get(at) else { continue };
        let is_in_time =
            partial.last_ms() <= time_ms && time_ms.saturating_sub(partial.first_ms()) <= sequence.within_ms;
        let goes_on = is_in_time
            && match (asked, filter) {
                (Asked::OfEach, Some(filter)) => holds_of(filter, sequence, partial, event, banks),
                (Asked::Yes, _) => true,
                _ => false,
            };
        if goes_on {
            found.push(at);
            if is_last {
                break;
            }
        }
    }
    found
}

/// Whether an event cancels; then what it cancels is gone, and it takes no step.
fn is_cancelled(sequence: &Sequence, mut chains: Option<&mut Chains>, event: &Event<'_>, banks: &mut Banks) -> bool {
    let mut cancels = false;
    for item in sequence.without.iter().filter(|item| item.types.has(event.kind)) {
        let asked = ask(item.filter.as_ref(), event, banks);
        cancels |= matches!(asked, Asked::Yes);
        for room in chains.iter_mut().flat_map(|chains| &mut chains.rooms) {
            let went = room.retain(|partial| {
                let holds = match (&asked, &item.filter) {
                    _ if partial.first_ms() > event.time.0 => false,
                    (Asked::Yes, _) => true,
                    (Asked::OfEach, Some(filter)) => holds_of(filter, sequence, partial, event, banks),
                    _ => false,
                };
                !holds
            });
            cancels |= went;
        }
    }
    cancels
}

/// Ends the waiting of last steps that an event follows.
fn cancel_waiting(
    sequence: &Sequence,
    chains: &mut Chains,
    event: &Event<'_>,
    banks: &mut Banks,
    mut ended: impl FnMut(&Waiting),
) {
    for (at, item) in sequence.absent.iter().enumerate().filter(|(_, item)| item.types.has(event.kind)) {
        if chains.waiting.is_empty() {
            return;
        }
        let asked = ask(item.filter.as_ref(), event, banks);
        chains.waiting.retain(|waiting| {
            let follows = waiting.takes(at, event.time.0)
                && match (&asked, &item.filter) {
                    (Asked::Yes, _) => true,
                    (Asked::OfEach, Some(filter)) => holds_of(filter, sequence, &waiting.chain, event, banks),
                    _ => false,
                };
            if follows {
                ended(waiting);
            }
            !follows
        });
    }
}
