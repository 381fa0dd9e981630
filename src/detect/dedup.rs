//! For how long a rule stays silent about an entity it has fired for.
//!
//! Guarantees: silent while the event's time is before the newest time fired plus the rule's `for`; an entity
//! the event lacks is never silenced. At [`FIRED_MAX`] entries nothing more is remembered: rules then speak
//! too often rather than too seldom. A change of the rules forgets nothing of a rule that keeps its id and the
//! entity of its dedup, but where it was in shadow and goes live: what nobody heard silences nothing.

use hashbrown::HashMap;

use super::changed::Changed;
use crate::ruleset::{Key, Ruleset, State};

mod durable;
mod shown;

pub use durable::Head;
pub use shown::FiredShown;

/// Pairs of rule and entity that are remembered.
pub const FIRED_MAX: usize = 4_000_000;
/// Below this many, what has ended is not looked for.
const SWEEP_FROM: usize = 1024;

/// The hashes of an entity, the second 0 where there is only one.
pub type Entity = (u64, u64);

/// A rule with a dedup, under the number by which its firings are kept.
#[derive(Debug)]
struct Silenced {
    id: String,
    by: Key,
    for_ms: i64,
    /// The state in which it was evaluated last: shadow or live.
    evaluated: State,
}

/// When each rule last fired for each entity.
#[derive(Debug)]
pub struct Fired {
    newest_ms: HashMap<(u16, u64, u64), i64, foldhash::fast::RandomState>,
    sweep_at: usize,
    /// By number; `None`: the number is free.
    silenced: Vec<Option<Silenced>>,
    /// The number of each rule, by its place in the rule set; `None`: it never repeats.
    numbers: Vec<Option<u16>>,
    changed: Changed<(u16, u64, u64)>,
}

impl Fired {
    /// Nothing has fired yet.
    pub fn new(rules: &Ruleset) -> Self {
        let mut fired = Fired {
            newest_ms: HashMap::default(),
            sweep_at: SWEEP_FROM,
            silenced: Vec::new(),
            numbers: Vec::new(),
            changed: Changed::everything(),
        };
        fired.follow(rules);
        fired
    }

    /// Goes over to another rule set.
    pub fn follow(&mut self, rules: &Ruleset) {
        let mut before = std::mem::take(&mut self.silenced);
        let mut kept: Vec<Option<Silenced>> = before.iter().map(|_| None).collect();
        let mut numbers: Vec<Option<usize>> = vec![None; rules.rules.len()];
        for (number, rule) in numbers.iter_mut().zip(&rules.rules) {
            let Some(dedup) = rule.dedup else { continue };
            let goes_on = |old: &Option<Silenced>| {
                old.as_ref().is_some_and(|old| {
                    let was_heard = old.evaluated == State::Live || rule.state != State::Live;
                    old.id == rule.id && old.by == dedup.by && was_heard
                })
            };
            *number = before.iter().position(goes_on);
            if let Some(at) = *number
                && let (Some(place), Some(old)) = (kept.get_mut(at), before.get_mut(at).and_then(Option::take))
            {
                let is_asked = matches!(rule.state, State::Live | State::Shadow);
                let evaluated = if is_asked { rule.state } else { old.evaluated };
                *place = Some(Silenced { for_ms: dedup.for_ms, evaluated, ..old });
            }
        }
        if before.iter().any(Option::is_some) {
            let changed = &mut self.changed;
            self.newest_ms.retain(|fired, _| {
                let stays = kept.get(usize::from(fired.0)).is_some_and(Option::is_some);
                if !stays {
                    changed.note(*fired);
                }
                stays
            });
        }
        for (number, rule) in numbers.iter_mut().zip(&rules.rules).filter(|(number, _)| number.is_none()) {
            let Some(dedup) = rule.dedup else { continue };
            let made = Silenced { id: rule.id.clone(), by: dedup.by, for_ms: dedup.for_ms, evaluated: rule.state };
            let at = kept.iter().position(Option::is_none).unwrap_or(kept.len());
            match kept.get_mut(at) {
                Some(free) => *free = Some(made),
                None => kept.push(Some(made)),
            }
            *number = Some(at);
        }
        self.silenced = kept;
        self.numbers = numbers.into_iter().map(|number| number.and_then(|at| u16::try_from(at).ok())).collect();
    }

    /// Whether the rule at a place of the rule set is still silent about the entity; if not, it fires now.
    /// Nothing that ended before `horizon_ms` is asked for any more.
    pub fn fires(&mut self, rule: u16, entity: Entity, time_ms: i64, horizon_ms: i64) -> bool {
        let Some(number) = self.numbers.get(usize::from(rule)).copied().flatten() else { return true };
        let fired = (number, entity.0, entity.1);
        let for_ms = for_ms(&self.silenced, number);
        if self.newest_ms.get(&fired).is_some_and(|newest| time_ms < newest.saturating_add(for_ms)) {
            return false;
        }
        self.keep(fired, time_ms, horizon_ms);
        true
    }

    /// Forgets every firing: nobody heard of any.
    pub fn forget_all(&mut self) {
        let Fired { newest_ms, changed, .. } = self;
        newest_ms.keys().for_each(|fired| changed.note(*fired));
        newest_ms.clear();
        self.sweep_at = SWEEP_FROM;
    }

    /// Until when a rule is silent about an entity, ms of event time; `None`: it never fired for it.
    pub fn silent_until_ms(&self, rule: usize, entity: Entity) -> Option<i64> {
        let number = self.numbers.get(rule).copied().flatten()?;
        let newest = self.newest_ms.get(&(number, entity.0, entity.1))?;
        Some(newest.saturating_add(for_ms(&self.silenced, number)))
    }

    fn keep(&mut self, fired: (u16, u64, u64), time_ms: i64, horizon_ms: i64) {
        if self.newest_ms.len() >= self.sweep_at {
            let (silenced, changed) = (&self.silenced, &mut self.changed);
            self.newest_ms.retain(|fired, newest| {
                let stays = newest.saturating_add(for_ms(silenced, fired.0)) > horizon_ms;
                if !stays {
                    changed.note(*fired);
                }
                stays
            });
            self.sweep_at = (2 * self.newest_ms.len()).max(SWEEP_FROM);
        }
        self.changed.note(fired);
        if let Some(newest) = self.newest_ms.get_mut(&fired) {
            *newest = time_ms.max(*newest);
        } else if self.newest_ms.len() < FIRED_MAX {
            self.newest_ms.insert(fired, time_ms);
        }
    }
}

fn for_ms(silenced: &[Option<Silenced>], number: u16) -> i64 {
    silenced.get(usize::from(number)).and_then(Option::as_ref).map_or(0, |silenced| silenced.for_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::codec::{Decoder, Encoder};
    use crate::features::store::MemoryStore;
    use crate::ruleset::{HashKey, Sources, load};

    /// Rules with a dedup by account: `(id, state, for)`.
    fn rules(of: &[(&str, &str, &str)]) -> Ruleset {
        let tests = "tests: [{name: t, given: {type: login, account: a, result: success}, events: [{expect: fire}, {expect: quiet}]}]";
        let mut text = "version: 1\ndefaults: {revision: 1, owner: t, severity: low, score: 0, audience: [security], \
                        runbook: \"https://example.com\", explain: x, on: login, title: t}\nrules:\n"
            .to_owned();
        for (id, state, time) in of {
            text.push_str(&format!(
                "  - {{id: {id}, state: {state}, when: result == \"success\", dedup: {{by: account, for: {time}}}, {tests}}}\n"
            ));
        }
        let mut sources = Sources::new("rules");
        sources.add("t.yaml", text, None);
        load(&sources, HashKey::new([1; 16]), None).unwrap_or_else(|problems| panic!("{problems:#?}")).ruleset
    }

    const A: Entity = (7, 0);

    #[test]
    fn firings_that_are_stored_in_between_are_forgotten_as_ever() {
        let rules = rules(&[("a", "live", "1s")]);
        let (mut steady, mut stopped, mut store) = (Fired::new(&rules), Fired::new(&rules), MemoryStore::new());
        let digest = |fired: &Fired| {
            let mut hasher = blake3::Hasher::new();
            fired.digest(&mut hasher);
            hasher.finalize()
        };
        for n in 0..20_000u64 {
            let (entity, time_ms) = ((n % 7000 + 1, 0), n as i64);
            let fires = [&mut steady, &mut stopped].map(|fired| fired.fires(0, entity, time_ms, time_ms - 500));
            assert_eq!(fires[0], fires[1]);
            if n % 777 == 0 {
                stopped.save(&mut store, &mut Encoder::default());
                let mut head = Encoder::default();
                stopped.encode_head(&mut head);
                let head = Head::decode(&mut Decoder::new(head.bytes())).unwrap();
                stopped = Fired::restored(head, &rules, &store).unwrap();
            }
            assert!(n % 100 != 0 || digest(&steady) == digest(&stopped), "after {n}");
        }
    }

    #[test]
    fn it_counts_from_the_newest_firing_and_ends_after_exactly_its_time() {
        let mut fired = Fired::new(&rules(&[("a", "live", "1s"), ("b", "live", "1s")]));
        assert!(fired.fires(0, A, 1000, 0) && !fired.fires(0, A, 400, 0));
        assert!(!fired.fires(0, A, 1999, 0) && !fired.fires(0, A, 3, 0));
        assert!(fired.fires(0, (8, 0), 1000, 0) && fired.fires(1, A, 1000, 0));
        assert!(fired.fires(0, A, 2000, 0));
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let mut fired = Fired::new(&rules(&[("a", "live", "1s")]));
        for n in 0..100_000u64 {
            fired.fires(0, (n + 1, 0), 2 * n as i64, 2 * n as i64 - 10);
        }
        assert!(fired.newest_ms.len() < 2500, "{}", fired.newest_ms.len());
    }

    #[test]
    fn another_rule_set_forgets_nothing_of_the_rules_that_stay() {
        let mut fired = Fired::new(&rules(&[("b", "live", "10s"), ("c", "live", "10s")]));
        assert!(fired.fires(0, A, 0, 0) && fired.fires(1, A, 0, 0));
        fired.follow(&rules(&[("a", "live", "10s"), ("b", "live", "5s"), ("c", "live", "20s")]));
        assert!(fired.fires(0, A, 4000, 0), "a new rule has said nothing yet");
        assert!(!fired.fires(1, A, 4999, 0) && fired.fires(1, A, 5000, 0), "b stays silent for its new time");
        assert!(!fired.fires(2, A, 19_999, 0) && fired.fires(2, A, 20_000, 0), "and so does c");
        fired.follow(&rules(&[("c", "live", "20s")]));
        assert_eq!(fired.newest_ms.len(), 1, "nothing is kept of rules that are gone");
        fired.follow(&rules(&[("a", "live", "10s"), ("c", "live", "20s")]));
        assert!(fired.fires(0, A, 20_001, 0) && !fired.fires(1, A, 20_001, 0));
    }

    #[test]
    fn what_nobody_heard_silences_nothing() {
        let mut fired = Fired::new(&rules(&[("a", "shadow", "1h"), ("b", "live", "1h")]));
        assert!(fired.fires(0, A, 0, 0) && fired.fires(1, A, 0, 0));
        fired.follow(&rules(&[("a", "live", "1h"), ("b", "off", "1h")]));
        assert!(fired.fires(0, A, 1, 0), "it was in shadow");
        fired.follow(&rules(&[("a", "live", "1h"), ("b", "live", "1h")]));
        assert!(!fired.fires(1, A, 2, 0), "it was heard before it was off");
        fired.follow(&rules(&[("a", "shadow", "1h"), ("b", "shadow", "1h")]));
        assert!(!fired.fires(0, A, 3, 0) && !fired.fires(1, A, 3, 0));
    }
}
