//! Which features an event of each type updates and reads, worked out once per rule set.
//!
//! Guarantees: a feature that an event neither counts for nor is asked about costs nothing. Over a change of the
//! rules a feature whose definition stays keeps its number, under which entities hold its state, whatever its
//! name and place; a number is given to another feature only when no entity holds anything under it. Holds no
//! state.

use super::shape::{KeptField, Shape};
use crate::event::{Closed, EventType, TypeSet};
use crate::ruleset::expr::{Condition, Ty};
use crate::ruleset::row::Cell;
use crate::ruleset::{Aggregate, Feature, FindingField, KeyField, Measure, Name, Ruleset};

mod durable;

/// The window of a number whose feature is gone: entities drop what they hold under it when they are swept.
pub const RETIRED_MS: i64 = i64::MIN;
/// Numbers without a feature, at most; beyond it all entities are swept at once, and the numbers are free.
pub const RETIRED_MAX: usize = 256;

/// What a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A feature of the rule set in force.
    InForce,
    /// A feature that was; entities may still hold something of it.
    Retired,
    /// Nothing.
    Free,
}

/// A feature with what its upkeep needs.
#[derive(Debug)]
pub struct Planned {
    /// The hash of its definition.
    identity: u64,
    /// Its name, to tell two features of one definition apart.
    name: String,
    standing: Standing,
    /// What it keeps and where its value goes.
    pub shape: Shape,
    /// What it looks at.
    pub measure: Option<Measure>,
    /// Which events it counts.
    pub filter: Option<Condition>,
    /// The second entity of a pair.
    pub second: Option<KeyField>,
    /// Whether this event is in its own window.
    pub include_current: bool,
}

impl Planned {
    fn new(feature: &Feature, kept_before: &[KeptField]) -> Self {
        Planned {
            identity: feature.identity,
            name: feature.name.clone(),
            standing: Standing::InForce,
            shape: Shape::new(feature, kept_before),
            measure: feature.measure,
            filter: feature.filter.clone(),
            second: feature.by.second,
            include_current: feature.include_current,
        }
    }

    /// Lets go of everything but the number. Its filter may hold lists of a rule set that is gone.
    fn left(&self) -> Self {
        let standing = if self.standing == Standing::Free { Standing::Free } else { Standing::Retired };
        Planned::without_feature(standing)
    }

    /// Whether reading it needs this event's own value.
    pub fn reads_value(&self) -> bool {
        self.shape.aggregate == Aggregate::Habit
    }
}

/// One feature on events of one type.
#[derive(Debug, Clone, Copy)]
pub struct Use {
    /// Its number in the plan.
    pub feature: u16,
    /// Whether these events count.
    pub updates: bool,
    /// Whether some rule asks for it on these events.
    pub reads: bool,
}

/// The features of one kind of entity on events of one type.
#[derive(Debug)]
pub struct OfKind {
    /// The kind.
    pub kind: KeyField,
    /// The features.
    pub uses: Vec<Use>,
}

/// Where the built-in values of accounts go.
#[derive(Debug, Default, Clone, Copy)]
pub struct AccountCells {
    /// `account.risk`.
    pub risk: Option<Cell>,
    /// `account.known_for`.
    pub known_for: Option<Cell>,
    /// `account.logins`.
    pub logins: Option<Cell>,
}

/// The plan of a rule set.
#[derive(Debug, Default)]
pub struct Plan {
    /// The features by number.
    pub features: Vec<Planned>,
    /// Per event type.
    pub types: Vec<Vec<OfKind>>,
    /// What findings count for.
    pub of_findings: Vec<OfKind>,
    /// Where a finding's own fields go, for the features that ask.
    pub finding_cells: Vec<(FindingField, Cell)>,
    /// The built-in values.
    pub account: AccountCells,
    /// The window of each number.
    pub over_ms: Vec<i64>,
    /// The features of the rule set, by their place there, that nothing is known of yet.
    pub cold: Vec<usize>,
}

impl Plan {
    /// The plan of a rule set.
    pub fn new(rules: &Ruleset) -> Self {
        Plan::default().followed_by(rules)
    }

    /// The plan of the rule set that comes after this one's.
    pub fn followed_by(&self, rules: &Ruleset) -> Self {
        let numbers = self.numbers(rules);
        let mut features: Vec<Planned> = self.features.iter().map(Planned::left).collect();
        let mut cold = Vec::new();
        for (at, (feature, number)) in rules.features.iter().zip(&numbers).enumerate() {
            let number = usize::from(*number);
            let before = self.features.get(number).filter(|before| before.standing == Standing::InForce);
            let planned = Planned::new(feature, before.map(|b| b.shape.kept.as_slice()).unwrap_or_default());
            if before.is_none() {
                cold.push(at);
            }
            match features.get_mut(number) {
                Some(place) => *place = planned,
                None => features.push(planned),
            }
        }
        Plan {
            over_ms: features.iter().map(|planned| planned.shape.over_ms).collect(),
            features,
            types: TypeSet::ALL.iter().map(|kind| of_type(rules, &numbers, kind)).collect(),
            of_findings: of_findings(rules, &numbers),
            finding_cells: rules.layout.cells().iter().filter_map(finding_cell).collect(),
            account: account_cells(rules),
            cold,
        }
    }

    /// The number under which entities hold a feature of the rule set in force.
    pub fn number_of(&self, feature: &Feature) -> Option<u16> {
        let is_it = |planned: &Planned| {
            planned.standing == Standing::InForce
                && planned.identity == feature.identity
                && planned.name == feature.name
        };
        self.features.iter().position(is_it).and_then(|at| u16::try_from(at).ok())
    }

    /// The number of each feature of the next rule set: that of the same definition, if any, else a free one.
    fn numbers(&self, rules: &Ruleset) -> Vec<u16> {
        let mut taken = vec![false; self.features.len()];
        let mut numbers: Vec<Option<usize>> = vec![None; rules.features.len()];
        // Of several features of one definition each finds its own by name; a renamed one takes what is left.
        for by_name in [true, false] {
            for (number, feature) in numbers.iter_mut().zip(&rules.features).filter(|(number, _)| number.is_none()) {
                *number = self.features.iter().enumerate().position(|(at, before)| {
                    before.standing == Standing::InForce
                        && before.identity == feature.identity
                        && (!by_name || before.name == feature.name)
                        && taken.get(at) == Some(&false)
                });
                if let Some(taken) = number.and_then(|number| taken.get_mut(number)) {
                    *taken = true;
                }
            }
        }
        let mut free = (0..).filter(|at| self.features.get(*at).is_none_or(|f| f.standing == Standing::Free));
        numbers.into_iter().map(|number| number.or_else(|| free.next()).unwrap_or_default() as u16).collect()
    }

    /// Whether each number stands for the same definition in both.
    pub fn is_alike(&self, other: &Plan) -> bool {
        let identities = |plan: &Plan| plan.features.iter().map(|f| (f.identity, f.standing)).collect::<Vec<_>>();
        let kept = |plan: &Plan| plan.features.iter().map(|f| f.shape.kept.clone()).collect::<Vec<_>>();
        identities(self) == identities(other) && kept(self) == kept(other)
    }

    /// Whether so many numbers are without a feature that entities should be swept for them.
    pub fn is_cluttered(&self) -> bool {
        self.features.iter().filter(|planned| planned.standing == Standing::Retired).count() > RETIRED_MAX
    }

    /// No entity holds anything under a number without a feature any more.
    pub fn swept(&mut self) {
        for planned in self.features.iter_mut().filter(|planned| planned.standing == Standing::Retired) {
            planned.standing = Standing::Free;
        }
    }
}

fn account_cells(rules: &Ruleset) -> AccountCells {
    let mut account = AccountCells::default();
    for (name, _, cell) in rules.layout.cells() {
        match name {
            Name::AccountRisk => account.risk = Some(*cell),
            Name::AccountKnownFor => account.known_for = Some(*cell),
            Name::AccountLogins => account.logins = Some(*cell),
            _ => {}
        }
    }
    account
}

impl Plan {
    /// The features of an event type.
    pub fn of(&self, kind: EventType) -> &[OfKind] {
        self.types.get(usize::from(kind.index())).map(Vec::as_slice).unwrap_or_default()
    }
}

fn of_type(rules: &Ruleset, numbers: &[u16], kind: EventType) -> Vec<OfKind> {
    uses(rules, numbers, |feature| (feature.types.has(kind), feature.read_on.has(kind)))
}

fn of_findings(rules: &Ruleset, numbers: &[u16]) -> Vec<OfKind> {
    uses(rules, numbers, |feature| (feature.of_findings, false))
}

fn finding_cell((name, _, cell): &(Name, Ty, Cell)) -> Option<(FindingField, Cell)> {
    match name {
        Name::Finding(field) => Some((*field, *cell)),
        _ => None,
    }
}

/// The features that are updated or read, as `of` tells of each, by their first entity.
fn uses(rules: &Ruleset, numbers: &[u16], of: impl Fn(&Feature) -> (bool, bool)) -> Vec<OfKind> {
    let mut kinds: Vec<OfKind> = Vec::new();
    for (feature, number) in rules.features.iter().zip(numbers) {
        let (updates, reads) = of(feature);
        if !updates && !reads {
            continue;
        }
        let used = Use { feature: *number, updates, reads };
        match kinds.iter_mut().find(|k| k.kind == feature.by.first) {
            Some(of_kind) => of_kind.uses.push(used),
            None => kinds.push(OfKind { kind: feature.by.first, uses: vec![used] }),
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::{HashKey, Sources, load};

    /// Rules that each read one feature: a count of failed logins over so many minutes.
    fn rules(minutes: &[u32]) -> Ruleset {
        let tests = "tests: [{name: t, given: {type: login, account: a, result: failure}, events: [{expect: fire}, {expect: quiet}]}]";
        let features = minutes.iter().map(|m| format!("  f{m}: {{count: login, by: account, over: {m}m}}\n"));
        let rules = minutes.iter().map(|m| {
            format!(
                "  - {{id: r{m}, title: t, revision: 1, state: live, owner: t, severity: low, score: 1, audience: \
                 [security], on: login, when: f{m} > 1, runbook: \"https://example.com\", explain: x, {tests}}}\n"
            )
        });
        let (features, rules): (String, String) = (features.collect(), rules.collect());
        let mut sources = Sources::new("rules");
        sources.add("r.yaml", format!("version: 1\nfeatures:\n{features}rules:\n{rules}"), None);
        load(&sources, HashKey::new([1; 16]), None).unwrap_or_else(|problems| panic!("{problems:#?}")).ruleset
    }

    /// The window of the number that each feature of the rules has.
    fn windows(plan: &Plan) -> Vec<i64> {
        let mut used: Vec<u16> = plan.types.iter().flatten().flat_map(|kind| &kind.uses).map(|u| u.feature).collect();
        used.sort_unstable();
        used.dedup();
        used.iter().map(|number| plan.over_ms[usize::from(*number)] / 60_000).collect()
    }

    #[test]
    fn a_number_stays_with_its_definition_and_is_free_only_after_a_sweep() {
        let first = Plan::new(&rules(&[10, 20, 30]));
        assert_eq!(first.cold, [0, 1, 2]);
        let second = first.followed_by(&rules(&[15, 30]));
        assert_eq!(second.over_ms, [RETIRED_MS, RETIRED_MS, 30 * 60_000, 15 * 60_000], "no number is used again");
        assert_eq!(second.cold, [0], "only what is new");
        let mut back = second.followed_by(&rules(&[10, 30]));
        assert_eq!(windows(&back), [30, 10]);
        assert_eq!(back.over_ms.len(), 5, "what was retired has a gap: it begins anew under a new number");
        back.swept();
        let reused = back.followed_by(&rules(&[10, 30, 40]));
        assert_eq!(reused.over_ms[0], 40 * 60_000, "after a sweep a number is free");
    }

    #[test]
    fn a_thousand_changes_need_no_more_numbers_than_the_limit() {
        let mut plan = Plan::new(&rules(&[1, 2]));
        let mut sweeps = 0;
        for minutes in 3..1000 {
            plan = plan.followed_by(&rules(&[1, minutes]));
            assert_eq!(windows(&plan).len(), 2);
            if plan.is_cluttered() {
                plan.swept();
                sweeps += 1;
            }
        }
        assert!(plan.features.len() <= RETIRED_MAX + 4, "{}", plan.features.len());
        assert!((2..5).contains(&sweeps), "{sweeps}");
    }
}
