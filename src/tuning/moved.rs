//! Alerts that only one of two rule sets makes, held until it is known whether the other makes the same moments apart.
//!
//! Guarantees: an alert has *moved* where the other rule set makes one of the same account and of the same rules about
//! another event, at most [`MOVED_MS_MAX`] earlier or later; the nearest one is taken, and each only once. What is
//! told depends on the order of the alerts alone. Holds at most [`HELD_MAX`] alerts. Does not count.

use std::collections::{BTreeMap, HashMap};

use super::labels::Verdict;
use crate::detect::document::AlertDocument;
use crate::event::Millis;

/// How far apart two alerts of one account and the same rules are one that moved, ms of event time.
pub const MOVED_MS_MAX: i64 = 5 * 60_000;
/// An alert is held until the newest is so much later, ms of event time: longer than [`MOVED_MS_MAX`], for events do
/// not come in the order of their times.
const HELD_MS_MAX: i64 = 20 * 60_000;
/// Alerts that are held, at most; beyond it the first ones are told as they are.
pub const HELD_MAX: usize = 10_000;

/// Which of the two rule sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The rules as they are.
    Old,
    /// The rules as they would be.
    New,
}

/// An alert of one of the rule sets that the other has not made of this event.
#[derive(Debug, Clone, PartialEq)]
pub struct Alone {
    /// Whose it is.
    pub of: Of,
    /// The alert.
    pub alert: Box<AlertDocument>,
    /// What is labelled of it.
    pub verdict: Option<Verdict>,
}

impl Alone {
    fn time_ms(&self) -> i64 {
        Millis::parse(&self.alert.time).unwrap_or_default().0
    }

    /// The account and the rules; `None` without account: nothing then says that two alerts are about the same.
    fn key(&self) -> Option<Key> {
        let mut rules: Vec<String> = self.alert.findings.iter().map(|finding| finding.rule.clone()).collect();
        rules.sort_unstable();
        Some((self.alert.account.clone()?, rules))
    }
}

/// Account and rules.
type Key = (String, Vec<String>);

/// What is held.
#[derive(Debug)]
pub struct Held {
    /// By the order in which they came.
    all: BTreeMap<u64, Alone>,
    by_key: HashMap<Key, Vec<u64>>,
    came: u64,
    newest_ms: i64,
}

impl Default for Held {
    fn default() -> Self {
        Held { all: BTreeMap::new(), by_key: HashMap::new(), came: 0, newest_ms: i64::MIN }
    }
}

impl Held {
    /// Takes an alert and gives the one of the other rule set that it is, moments apart; where there is none it is
    /// held. `settled` gets those that are held no longer, in the order in which they came.
    pub fn take(&mut self, alone: Alone, settled: &mut dyn FnMut(Alone)) -> Option<Alone> {
        let time_ms = alone.time_ms();
        self.newest_ms = self.newest_ms.max(time_ms);
        self.settle(settled);
        let key = alone.key();
        let near = key.as_ref().and_then(|key| self.nearest(key, alone.of, time_ms));
        if let (Some(number), Some(key)) = (near, &key) {
            self.let_go(number, key);
            return self.all.remove(&number);
        }
        self.came += 1;
        if let Some(key) = key {
            self.by_key.entry(key).or_default().push(self.came);
        }
        self.all.insert(self.came, alone);
        if self.all.len() > HELD_MAX {
            self.first().into_iter().for_each(settled);
        }
        None
    }

    /// All that are still held, in the order in which they came.
    pub fn end(&mut self) -> impl Iterator<Item = Alone> {
        self.by_key.clear();
        std::mem::take(&mut self.all).into_values()
    }

    fn nearest(&self, key: &Key, of: Of, time_ms: i64) -> Option<u64> {
        let held = self.by_key.get(key)?.iter().filter_map(|number| Some((*number, self.all.get(number)?)));
        let apart = held.filter(|(_, other)| other.of != of);
        let apart = apart.map(|(number, other)| (other.time_ms().saturating_sub(time_ms).saturating_abs(), number));
        apart.filter(|(apart_ms, _)| *apart_ms <= MOVED_MS_MAX).min().map(|(_, number)| number)
    }

    fn settle(&mut self, settled: &mut dyn FnMut(Alone)) {
        let until_ms = self.newest_ms.saturating_sub(HELD_MS_MAX);
        while self.all.first_key_value().is_some_and(|(_, alone)| alone.time_ms() < until_ms) {
            self.first().into_iter().for_each(&mut *settled);
        }
    }

    fn first(&mut self) -> Option<Alone> {
        let (number, alone) = self.all.pop_first()?;
        if let Some(key) = alone.key() {
            self.let_go(number, &key);
        }
        Some(alone)
    }

    fn let_go(&mut self, number: u64, key: &Key) {
        let Some(numbers) = self.by_key.get_mut(key) else { return };
        numbers.retain(|held| *held != number);
        if numbers.is_empty() {
            self.by_key.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tuning::backtest::{Change, Comparison, Difference};
    use crate::tuning::trial::Said;

    const START_MS: i64 = 1_767_225_600_000;

    fn alert(event: &str, account: Option<&str>, rules: &[&str], at_ms: i64) -> AlertDocument {
        let finding = |rule: &&str| {
            json!({"rule": rule, "revision": 1, "score": 50, "share": 1.0, "group": "g", "audience": [], "text": "",
                   "evidence": {}})
        };
        let findings: Vec<_> = rules.iter().map(finding).collect();
        let document = json!({
            "schema": 1, "id": format!("al-{event}"), "time": Millis(START_MS + at_ms).rfc3339(), "account": account,
            "score": 50, "band": "medium", "audience": [], "action": "none", "notice": "", "findings": findings,
            "event": {"id": event}, "geo": {}, "usual": {"countries": [], "devices": 0},
            "versions": {"rules": "", "walletwatch": ""},
        });
        serde_json::from_value(document).expect("an alert")
    }

    /// What is told of alerts: whose, and the alert. A record each; so many records at once.
    fn told(alerts: &[(Of, AlertDocument)], at_once: usize) -> Vec<Difference> {
        let mut comparison = Comparison::new(None, 1);
        let mut differences = Vec::new();
        for batch in alerts.chunks(at_once) {
            let said = |of: Of| -> Vec<Said> {
                let own = batch.iter().enumerate().filter(|(_, (whose, _))| *whose == of);
                own.map(|(at, (_, alert))| Said::Alert { at, alert: Box::new(alert.clone()) }).collect()
            };
            comparison.take(&said(Of::Old), &said(Of::New), &mut |difference| differences.push(difference));
        }
        comparison.end(&mut |difference| differences.push(difference));
        differences
    }

    fn changes(alerts: &[(Of, AlertDocument)]) -> Vec<String> {
        let line = |d: &Difference| {
            let from = d.from.as_ref().map(|from| format!(" from {}", from.event)).unwrap_or_default();
            format!("{:?} {}{from}", d.change, d.event)
        };
        told(alerts, 1).iter().map(line).collect()
    }

    #[test]
    fn the_same_attack_told_a_minute_earlier_has_moved() {
        let (a, rules) = (Some("a"), ["r", "s"]);
        let moved = [
            (Of::New, alert("e1", a, &["s", "r"], 0)),
            (Of::Old, alert("e2", a, &rules, 60_000)),
            (Of::Old, alert("e3", a, &rules, 500_000)),
            (Of::New, alert("e4", a, &rules, 500_000 + MOVED_MS_MAX)),
        ];
        assert_eq!(changes(&moved), ["Moved e1 from e2", "Moved e4 from e3"]);
    }

    #[test]
    fn another_account_other_rules_no_account_and_a_later_time_are_gained_and_lost() {
        let (a, r) = (Some("a"), ["r"]);
        for (account, rules, at_ms) in
            [(Some("b"), &r[..], 0), (a, &["r", "s"][..], 0), (a, &["q"][..], 0), (a, &r[..], MOVED_MS_MAX + 1)]
        {
            let both = [(Of::Old, alert("e1", a, &r, 0)), (Of::New, alert("e2", account, rules, at_ms))];
            assert_eq!(changes(&both), ["Lost e1", "Gained e2"], "{account:?} {rules:?} {at_ms}");
        }
        let nobody = [(Of::Old, alert("e1", None, &r, 0)), (Of::New, alert("e2", None, &r, 0))];
        assert_eq!(changes(&nobody), ["Lost e1", "Gained e2"]);
    }

    #[test]
    fn each_moves_once_and_to_the_nearest() {
        let at = |of, event: &str, minute: i64| (of, alert(event, Some("a"), &["r"], minute * 60_000));
        let alerts = [
            at(Of::Old, "o1", 0),
            at(Of::Old, "o2", 3),
            at(Of::New, "n1", 4),
            at(Of::New, "n2", 5),
            at(Of::New, "n3", 6),
        ];
        assert_eq!(changes(&alerts), ["Moved n1 from o2", "Moved n2 from o1", "Gained n3"]);
    }

    #[test]
    fn what_is_held_is_told_in_time_and_never_too_many() {
        let at = |event: usize, at_ms: i64| (Of::Old, alert(&format!("e{event}"), Some("a"), &["r"], at_ms));
        let mut held = Held::default();
        let mut settled = Vec::new();
        let alone = |(of, alert): (Of, AlertDocument)| Alone { of, alert: Box::new(alert), verdict: None };
        assert!(held.take(alone(at(0, 0)), &mut |alone| settled.push(alone)).is_none());
        held.take(alone(at(1, HELD_MS_MAX)), &mut |alone| settled.push(alone));
        assert_eq!(settled.len(), 0);
        held.take(alone(at(2, HELD_MS_MAX + 1)), &mut |alone| settled.push(alone));
        assert_eq!(settled.len(), 1, "it cannot have moved any more");
        for n in 0..HELD_MAX {
            held.take(alone(at(n + 3, HELD_MS_MAX)), &mut |alone| settled.push(alone));
        }
        assert_eq!((settled.len(), held.all.len(), held.by_key.values().map(Vec::len).sum()), (3, HELD_MAX, HELD_MAX));
    }

    #[test]
    fn how_many_records_come_at_once_changes_nothing() {
        let mut random = 1u64;
        let mut below = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        let mut alerts = Vec::new();
        for n in 0..600 {
            let of = if below(2) == 0 { Of::Old } else { Of::New };
            let account = ["a", "b"][below(2) as usize];
            let rules: &[&str] = if below(2) == 0 { &["r"] } else { &["r", "s"] };
            alerts.push((of, alert(&format!("e{n}"), Some(account), rules, n * 40_000 - below(900_000) as i64)));
        }
        let once = told(&alerts, 1);
        let of = |change: Change| once.iter().filter(|d| d.change == change).count();
        assert!(of(Change::Moved) > 50 && of(Change::Gained) > 50 && of(Change::Lost) > 50);
        assert_eq!(of(Change::Moved) * 2 + of(Change::Gained) + of(Change::Lost), alerts.len());
        for at_once in [2, 7, 600] {
            assert_eq!(told(&alerts, at_once), once, "{at_once} at once");
        }
    }
}
