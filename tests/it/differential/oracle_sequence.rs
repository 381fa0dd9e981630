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

/// A chain that took its last step.
#[derive(Debug, Clone)]
pub struct Whole {
    pub chain: Vec<(String, Event)>,
    key: Vec<String>,
    /// The input order of the last step.
    order: usize,
}

/// A whole chain that waits for what must not follow.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub rule: String,
    pub whole: Whole,
    /// Whether an exception was true at the last step.
    pub is_excepted: bool,
    /// The latest time at which something may still follow.
    end: Ms,
}

impl Waiting {
    pub fn last(&self) -> &Event {
        &self.whole.chain.last().expect("a chain has steps").1
    }
}

/// The partials of all rules and keys.
#[derive(Default)]
pub struct Chains {
    /// By rule and key: the partials that have taken so many steps.
    partials: BTreeMap<(String, Vec<String>), Vec<Vec<Partial>>>,
    waiting: Vec<Waiting>,
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
    /// An event at a sequence. The newest chain it completes.
    pub fn take(
        &mut self,
        rules: &RuleSet,
        past: &Past,
        rule: &Rule,
        sequence: &Sequence,
        event: &Event,
    ) -> Option<Whole> {
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
        Some(Whole { chain: complete?.chain(sequence), key, order })
    }

    /// Waits whether something follows. The last step is a step: of a rule and key the newest events are kept.
    pub fn wait(&mut self, rule: &Rule, sequence: &Sequence, whole: Whole, is_excepted: bool) {
        let key = whole.key.clone();
        let mut waiting = Waiting { rule: rule.id.clone(), whole, is_excepted, end: 0 };
        let longest = sequence.absent.iter().map(|(_, within)| *within).max().unwrap_or_default();
        waiting.end = waiting.last().time + longest;
        self.waiting.push(waiting);
        let is_own = |w: &&Waiting| w.rule == rule.id && w.whole.key == key;
        let newest = |w: &Waiting| (w.last().time, w.whole.order);
        let mut own: Vec<(Ms, usize)> = self.waiting.iter().filter(is_own).map(newest).collect();
        own.sort_unstable();
        if own.len() > EVENTS_MAX {
            self.waiting.retain(|w| !is_own(&w) || newest(w) != own[0]);
        }
    }

    /// What this event is the following of waits no longer.
    fn follow(&mut self, at: &At<'_>, rule: &Rule, key: &[String]) {
        self.waiting.retain(|waiting| {
            let last = waiting.last().time;
            let follows = |(arm, within): &(Arm, Ms)| {
                (last..=last + within).contains(&at.event.time) && at.is_match(arm, &waiting.whole.chain)
            };
            waiting.rule != rule.id || waiting.whole.key != key || !at.sequence.absent.iter().any(follows)
        });
    }

    /// Those whose end the watermark has passed, by (end, input order of the last step).
    pub fn due(&mut self, watermark: Ms) -> Vec<Waiting> {
        let (mut due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|w| watermark > w.end);
        self.waiting = waiting;
        due.sort_by_key(|w| (w.end, w.whole.order, w.rule.clone()));
        due
    }
}

fn reads_alias(expr: &Expr) -> bool {
    let is_alias = |term: &Term| matches!(term, Term::Alias(..));
    match expr {
        Expr::All(arms) | Expr::Any(arms) => arms.iter().any(reads_alias),
        Expr::Not(arm) => reads_alias(arm),
        Expr::Compare(a, _, b) => is_alias(a) || is_alias(b),
        Expr::In(term, ..) | Expr::InList(term, ..) | Expr::IsMissing(term) | Expr::IsNotMissing(term) => {
            is_alias(term)
        }
        Expr::Def(_) => false,
    }
}
