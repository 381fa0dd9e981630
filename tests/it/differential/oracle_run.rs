//! A whole rule set over a whole stream, as the page says it: the second implementation of the engine.
//!
//! Guarantees: keeps every event and scans all of them for every value; shares nothing with the engine.

use std::collections::{BTreeMap, BTreeSet};

use super::describe::*;
use super::oracle_sequence::{Chains, Waiting};
use super::oracle_truth::Scene;
use super::oracle_values::{Past, entity};
use super::oracle_watermark::Watermark;
use super::probe;
use super::told::{Told, finding_line};

const LATENESS_MAX: Ms = 10 * MINUTE;
const EVENT_ID_WINDOW: Ms = 10 * MINUTE;
/// The records before an event whose lower median tells whether it is late.
const LATENESS_OF_LAST: usize = 9;
const DAY: Ms = 24 * 60 * MINUTE;
/// What findings have of their event.
const IDS: [&str; 6] = ["account", "ip", "device", "session", "payee", "country"];

/// What became of a true condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Fired,
    Repeated,
    Excepted,
}

struct Run<'a> {
    rules: &'a RuleSet,
    past: Past,
    /// Partition and event time of what was accepted, in input order.
    accepted: Vec<(u16, Ms)>,
    /// By id: the newest accepted event time when it was accepted.
    ids: BTreeMap<String, Ms>,
    /// By rule and entity of its dedup.
    newest_fired: BTreeMap<(String, Vec<String>), Ms>,
    chains: Chains,
    watermark: Watermark,
    told: Told,
}

/// Everything the rules say about the records.
pub fn run(case: &Case) -> Told {
    let mut run = Run {
        rules: &case.rules,
        past: Past::default(),
        accepted: Vec::new(),
        ids: BTreeMap::new(),
        newest_fired: BTreeMap::new(),
        chains: Chains::default(),
        watermark: Watermark::default(),
        told: Told::default(),
    };
    for (read, records) in case.batches() {
        run.watermark.read(&read);
        for (partition, record) in records {
            run.watermark.spoke(partition);
            run.decide_absent();
            match record {
                // Ids of refused records are not remembered.
                Record::Refused(_) => run.told.fates.push("refused".into()),
                Record::Event(event) => run.take(event, partition),
            }
        }
    }
    run.told
}

impl Run<'_> {
    fn take(&mut self, event: &Event, partition: u16) {
        if self.is_duplicate(event) {
            self.told.fates.push("duplicate".into());
            return;
        }
        let is_late = self.is_late(event, partition);
        self.told.fates.push(if is_late { "late" } else { "accepted" }.into());
        self.accepted.push((partition, event.time));
        let newest = self.newest();
        self.ids.insert(event.id.clone(), newest);
        self.watermark.accepted(partition, event.time);
        self.decide_absent();
        self.evaluate(event, is_late);
    }

    /// Decides what the watermark has passed.
    fn decide_absent(&mut self) {
        let Some(watermark) = self.watermark.at() else { return };
        for due in self.chains.due(watermark) {
            self.absent(&due);
        }
    }

    fn newest(&self) -> Ms {
        self.accepted.iter().map(|(_, time)| *time).max().unwrap_or(Ms::MIN)
    }

    /// Accepted no longer than the window ago, by the newest accepted event time.
    fn is_duplicate(&self, event: &Event) -> bool {
        self.ids.get(&event.id).is_some_and(|then| self.newest() - then <= EVENT_ID_WINDOW)
    }

    /// Older by more than `lateness_max` than the lower median of the times of the last 9 accepted before it in its
    /// partition.
    fn is_late(&self, event: &Event, partition: u16) -> bool {
        let own = self.accepted.iter().rev().filter(|(of, _)| *of == partition);
        let mut last: Vec<Ms> = own.take(LATENESS_OF_LAST).map(|(_, time)| *time).collect();
        last.sort_unstable();
        !last.is_empty() && event.time < last[(last.len() - 1) / 2] - LATENESS_MAX
    }

    fn evaluate(&mut self, event: &Event, is_late: bool) {
        // A rule that reads what is kept is not asked of a late event.
        if self.rules.has_probes && !is_late {
            let scene = Scene::of(self.rules, &self.past, event);
            let values = probe::asked(self.rules, event.kind)
                .into_iter()
                .map(|term| (super::render::term(&term), scene.value(&term)));
            self.told.values.push((event.id.clone(), values.collect()));
        }
        let mut rules: Vec<&Rule> = self.rules.rules.iter().filter(|r| matches!(r.state, "live" | "shadow")).collect();
        rules.sort_by_key(|r| &r.id);
        let mut fired = Vec::new();
        for rule in rules {
            if is_late && reads_state(self.rules, rule) {
                continue;
            }
            let outcome = match &rule.trigger {
                Trigger::When(on, when) => {
                    let is_hit = on.contains(&event.kind) && Scene::of(self.rules, &self.past, event).is_true(when);
                    is_hit.then(|| self.judge(rule, event, self.is_excepted(rule, event, &[])))
                }
                Trigger::Sequence(sequence) => {
                    let whole = self.chains.take(self.rules, &self.past, rule, sequence, event);
                    whole.and_then(|whole| {
                        let is_excepted = self.is_excepted(rule, event, &whole.chain);
                        if sequence.absent.is_empty() {
                            return Some(self.judge(rule, event, is_excepted));
                        }
                        self.chains.wait(rule, sequence, whole, is_excepted);
                        None
                    })
                }
            };
            if let Some(outcome) = outcome {
                self.told.findings.push(finding_line(rule, event, outcome));
                if outcome == Outcome::Fired && rule.state == "live" {
                    fired.push(rule);
                }
            }
        }
        self.settle(event, &fired);
        if !is_late {
            self.past.events.push(event.clone());
            self.past.events.extend(fired.iter().map(|rule| as_event(rule, event)));
        }
    }

    /// Nothing followed: the finding names the event of the last step, scores alone and makes its own alert.
    fn absent(&mut self, due: &Waiting) {
        let rule = self.rules.rules.iter().find(|r| r.id == due.rule).expect("the rule of a chain");
        let event = due.last();
        let outcome = self.judge(rule, event, due.is_excepted);
        self.told.findings.push(finding_line(rule, event, outcome));
        if outcome == Outcome::Fired && rule.state == "live" {
            self.settle(event, &[rule]);
            self.past.events.push(as_event(rule, event));
        }
    }

    /// Whether any exception in force is true. Expiry is judged by event time.
    fn is_excepted(&self, rule: &Rule, event: &Event, chain: &[(String, Event)]) -> bool {
        let chain: Vec<(&str, &Event)> = chain.iter().map(|(alias, e)| (alias.as_str(), e)).collect();
        let scene = Scene { chain: &chain, ..Scene::of(self.rules, &self.past, event) };
        let is_in_force = |e: &Exception| event.time < (e.expires + 1) * DAY;
        exceptions(self.rules, rule).any(|e| is_in_force(e) && scene.is_true(&e.when))
    }

    /// Condition → exceptions → dedup → finding.
    fn judge(&mut self, rule: &Rule, event: &Event, is_excepted: bool) -> Outcome {
        if is_excepted {
            return Outcome::Excepted;
        }
        let Some(dedup) = &rule.dedup else { return Outcome::Fired };
        let Some(entity) = entity(&dedup.by, event) else { return Outcome::Fired };
        let key = (rule.id.clone(), entity);
        let newest = self.newest_fired.get(&key).copied();
        if newest.is_some_and(|newest| event.time < newest + dedup.lasts) {
            return Outcome::Repeated;
        }
        self.newest_fired.insert(key, newest.map_or(event.time, |newest| newest.max(event.time)));
        Outcome::Fired
    }

    /// The score of what fired, the alert where it reaches the lowest band or tells a fact, and the account's risk.
    fn settle(&mut self, event: &Event, fired: &[&Rule]) {
        if fired.is_empty() {
            return;
        }
        let group = |rule: &Rule| rule.group.clone().unwrap_or_else(|| format!("the rule {}", rule.id));
        let mut most: BTreeMap<String, f64> = BTreeMap::new();
        for rule in fired {
            let most = most.entry(group(rule)).or_default();
            *most = most.max(f64::from(rule.score));
        }
        let score = 100.0 * (1.0 - most.values().map(|g| 1.0 - g / 100.0).product::<f64>());
        let all: f64 = most.values().sum();
        let share = |rule: &Rule| {
            let own = f64::from(rule.score);
            let is_most = most.get(&group(rule)) == Some(&own);
            if is_most && all > 0.0 { (own / all * 100.0).round() / 100.0 } else { 0.0 }
        };
        let shares: BTreeSet<String> = fired.iter().map(|rule| format!("{} {:.2}", rule.id, share(rule))).collect();
        let facts = fired.iter().filter(|rule| rule.informs).map(|rule| format!("{} 0.00", rule.id)).collect();
        self.told.alert(&event.id, score, &shares, &facts);
        // A score of nothing is none.
        if let (Val::Word(account), true) = (event.get("account"), score > 0.0) {
            self.past.scores.push((account, event.time, score));
        }
    }
}

/// A finding as features see it: it happened at its event's time and has its event's ids.
fn as_event(rule: &Rule, event: &Event) -> Event {
    let mut fields: BTreeMap<&'static str, Val> = IDS.iter().map(|id| (*id, event.get(id))).collect();
    fields.insert("rule", Val::word(&rule.id));
    fields.insert("group", Val::word(rule.group.as_ref().unwrap_or(&rule.id)));
    fields.insert("score", Val::Number(f64::from(rule.score)));
    Event { id: event.id.clone(), kind: "finding", time: event.time, count: 1, fields }
}

fn exceptions<'r>(rules: &'r RuleSet, rule: &'r Rule) -> impl Iterator<Item = &'r Exception> {
    rule.unless.iter().map(|unless| match unless {
        Unless::Own(exception) => exception,
        Unless::Shared(name) => rules.exceptions.iter().find(|e| e.name == *name).expect("a shared exception"),
    })
}

/// Whether a rule reads a feature, `account.…` or a sequence: in its condition, defs or exceptions.
fn reads_state(rules: &RuleSet, rule: &Rule) -> bool {
    let own = match &rule.trigger {
        Trigger::When(_, when) => reads(rules, when),
        Trigger::Sequence(_) => true,
    };
    own || exceptions(rules, rule).any(|e| reads(rules, &e.when))
}

fn reads(rules: &RuleSet, expr: &Expr) -> bool {
    match expr {
        Expr::All(arms) | Expr::Any(arms) => arms.iter().any(|arm| reads(rules, arm)),
        Expr::Not(arm) => reads(rules, arm),
        Expr::Compare(a, _, b) => is_state(a) || is_state(b),
        Expr::In(term, ..) | Expr::InList(term, ..) | Expr::IsMissing(term) | Expr::IsNotMissing(term) => {
            is_state(term)
        }
        Expr::Def(name) => rules.defs.iter().any(|(def, e)| def == name && reads(rules, e)),
    }
}

fn is_state(term: &Term) -> bool {
    match term {
        Term::Feature(..) | Term::Account(_) => true,
        Term::Else(a, b) => is_state(a) || is_state(b),
        Term::Times(_, a) => is_state(a),
        Term::Field(_) | Term::Alias(..) | Term::Literal(_) | Term::Param(..) | Term::Amount(_) => false,
    }
}
