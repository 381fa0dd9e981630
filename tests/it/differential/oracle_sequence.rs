//! Sequences, as the page says them: every partial is a list of whole events.

use std::collections::BTreeMap;

use super::describe::*;
use super::oracle_truth::Scene;
use super::oracle_values::{Past, entity};

/// The newest events kept at a step.
const EVENTS_MAX: usize = 16;
/// The newest partials kept of one event.
const PARTIALS_MAX: usize = 4;

/// The events that took the first steps, each with its place in input order.
#[derive(Debug, Clone)]
struct Partial(Vec<(usize, Event)>);

/// Newest by (event time, input order) of its last event, then of the one before.
fn age(partial: &Partial) -> Vec<(Ms, usize)> {
    partial.0.iter().rev().map(|(order, e)| (e.time, *order)).collect()
}

impl Partial {
    fn begun(&self) -> Ms {
        self.0[0].1.time
    }

    fn last(&self) -> (Ms, usize) {
        age(self)[0]
    }

    fn chain(&self, sequence: &Sequence) -> Vec<(String, Event)> {
        sequence.steps.iter().zip(&self.0).map(|((alias, _), (_, e))| (alias.clone(), e.clone())).collect()
    }
}

/// A whole chain that waits for what must not follow.
#[derive(Debug, Clone)]
pub struct Due {
    pub rule: String,
    pub chain: Vec<(String, Event)>,
    key: Vec<String>,
    /// The latest time at which something may still follow.
    end: Ms,
    /// The input order of the last step.
    order: usize,
}

impl Due {
    pub fn last(&self) -> &Event {
        &self.chain.last().expect("a chain has steps").1
    }
}

/// The partials of all rules and keys.
#[derive(Default)]
pub struct Chains {
    /// By rule and key: the partials that have taken so many steps.
    partials: BTreeMap<(String, Vec<String>), Vec<Vec<Partial>>>,
    waiting: Vec<Due>,
}

/// One sequence at one event.
struct At<'a> {
    rules: &'a RuleSet,
    past: &'a Past,
    sequence: &'a Sequence,
    event: &'a Event,
}

impl At<'_> {
    fn is_match(&self, arm: &Arm, chain: &[(String, Event)]) -> bool {
        let chain: Vec<(&str, &Event)> = chain.iter().map(|(alias, e)| (alias.as_str(), e)).collect();
        let scene = Scene { chain: &chain, ..Scene::of(self.rules, self.past, self.event) };
        arm.kinds.contains(&self.event.kind) && arm.filter.as_ref().is_none_or(|filter| scene.is_true(filter))
    }

    /// Removes what `without` cancels; whether the event takes no step.
    fn cancel(&self, steps: &mut [Vec<Partial>]) -> bool {
        let mut takes_none = false;
        for arm in &self.sequence.without {
            if !arm.filter.as_ref().is_some_and(reads_alias) && self.is_match(arm, &[]) {
                takes_none = true;
            }
            for partials in steps.iter_mut() {
                let before = partials.len();
                partials.retain(|p| p.begun() > self.event.time || !self.is_match(arm, &p.chain(self.sequence)));
                takes_none |= partials.len() < before;
            }
        }
        takes_none
    }

    /// The chains this event makes at a step.
    fn step(&self, steps: &[Vec<Partial>], at: usize, order: usize) -> Vec<Partial> {
        let (_, arm) = &self.sequence.steps[at];
        let begin = [Partial(Vec::new())];
        let before = if at == 0 { &begin[..] } else { &steps[at - 1] };
        let may_follow = |p: &&Partial| {
            // Steps in order of event time; last minus first is at most `within`.
            p.0.is_empty() || p.last().0 <= self.event.time && self.event.time - p.begun() <= self.sequence.within
        };
        let taken = before.iter().filter(may_follow).filter(|p| self.is_match(arm, &p.chain(self.sequence)));
        taken.map(|p| Partial([p.0.clone(), vec![(order, self.event.clone())]].concat())).collect()
    }

    /// Keeps the newest events and of each the newest partials; where there are too many, expired ones go first.
    fn keep(&self, partials: &mut Vec<Partial>) {
        let overflows = |partials: &[Partial]| {
            let mut of_event: BTreeMap<(Ms, usize), usize> = BTreeMap::new();
            partials.iter().for_each(|p| *of_event.entry(p.last()).or_default() += 1);
            of_event.len() > EVENTS_MAX || of_event.values().any(|n| *n > PARTIALS_MAX)
        };
        if overflows(partials) {
            partials.retain(|p| self.event.time - p.begun() <= self.sequence.within);
        }
        partials.sort_by_key(|p| std::cmp::Reverse(age(p)));
        let mut of_event: BTreeMap<(Ms, usize), usize> = BTreeMap::new();
        partials.retain(|p| {
            let is_new = !of_event.contains_key(&p.last());
            if is_new && of_event.len() == EVENTS_MAX {
                return false;
            }
            let n = of_event.entry(p.last()).or_default();
            *n += 1;
            *n <= PARTIALS_MAX
        });
    }
}

impl Chains {
    /// An event at a sequence. The newest chain it completes, where nothing has to stay away after it.
    pub fn take(
        &mut self,
        rules: &RuleSet,
        past: &Past,
        rule: &Rule,
        sequence: &Sequence,
        event: &Event,
    ) -> Option<Vec<(String, Event)>> {
        let key = entity(&sequence.by, event)?;
        let at = At { rules, past, sequence, event };
        self.follow(&at, rule, &key);
        // Of the events so far, each has made the past longer.
        let order = past.events.len();
        let last = sequence.steps.len() - 1;
        let steps = self.partials.entry((rule.id.clone(), key.clone())).or_insert_with(|| vec![Vec::new(); last]);
        if at.cancel(steps) {
            return None;
        }
        let complete = at.step(steps, last, order).into_iter().max_by_key(age);
        for i in (0..last).rev() {
            let new = at.step(steps, i, order);
            steps[i].extend(new);
            at.keep(&mut steps[i]);
        }
        let chain = complete?.chain(sequence);
        let Some(longest) = sequence.absent.iter().map(|(_, within)| *within).max() else { return Some(chain) };
        self.waiting.push(Due { rule: rule.id.clone(), chain, key, end: event.time + longest, order });
        None
    }

    /// What this event is the following of waits no longer.
    fn follow(&mut self, at: &At<'_>, rule: &Rule, key: &[String]) {
        self.waiting.retain(|due| {
            let last = due.last().time;
            let follows = |(arm, within): &(Arm, Ms)| {
                (last..=last + within).contains(&at.event.time) && at.is_match(arm, &due.chain)
            };
            due.rule != rule.id || due.key != key || !at.sequence.absent.iter().any(follows)
        });
    }

    /// Those whose end the watermark has passed, by (end, input order of the last step).
    pub fn due(&mut self, watermark: Ms) -> Vec<Due> {
        let (mut due, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|d| watermark > d.end);
        self.waiting = waiting;
        let by_end = |due: &mut Vec<Due>| due.sort_by_key(|d| (d.end, d.order, d.rule.clone()));
        by_end(&mut due);
        due
    }
}

fn reads_alias(expr: &Expr) -> bool {
    let is_alias = |term: &Term| matches!(term, Term::Alias(..));
    match expr {
        Expr::All(arms) | Expr::Any(arms) => arms.iter().any(reads_alias),
        Expr::Not(arm) => reads_alias(arm),
        Expr::Compare(a, _, b) => is_alias(a) || is_alias(b),
        Expr::In(term, ..) | Expr::InList(term, ..) | Expr::IsMissing(term) | Expr::IsNotMissing(term) => is_alias(term),
        Expr::Def(_) => false,
    }
}
