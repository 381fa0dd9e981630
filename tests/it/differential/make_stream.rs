//! Makes streams: few entities, equal times, times exactly a window apart, late and repeated events, missing fields.

use std::collections::BTreeMap;

use super::describe::*;
use super::make::Dice;

/// 2026-03-01T23:40:00Z, twenty minutes before midnight, so that a day ends within most streams.
const START: Ms = 1_772_408_400_000;

pub const IPS: [&str; 6] =
    ["203.0.113.9", "203.0.113.10", "198.51.100.7", "2001:db8:1:1::5", "2001:db8:1:1::6", "2001:db8:1:2::5"];
/// Amounts, minor units: far enough apart for quantiles to be told apart.
const AMOUNTS: [i64; 7] = [100, 1999, 2000, 5000, 9999, 10_000, 50_000];
const SHANGHAI: Ms = 8 * 60 * MINUTE;

/// The moments and how they move.
struct Clock {
    now: Ms,
    /// Times that the rules name: edges lie there.
    spans: Vec<Ms>,
    accepted: Vec<Ms>,
}

impl Clock {
    /// Mostly forward, often not at all or by exactly what some rule names, sometimes back.
    fn tick(&mut self, dice: &mut Dice) -> Ms {
        let span = dice.pick(&self.spans);
        self.now += match dice.below(16) {
            0..=3 => 0,
            4 => 1,
            5..=8 => SECOND,
            9 | 10 => 20 * SECOND,
            11 => MINUTE,
            12 => span,
            13 => (span - 1).min(12 * MINUTE),
            14 => span / 2,
            _ => 5 * MINUTE,
        };
        if dice.once_in(6) {
            // Exactly so long after something before, or a hair beside it.
            let since = dice.below(12) + 1;
            let before = self.accepted.iter().rev().nth(since).copied().unwrap_or(self.now);
            self.now = self.now.max(before + span + dice.pick(&[-1, 0, 0, 1]));
        }
        let time = match dice.below(24) {
            0 => self.now - span,
            1 => self.now - dice.below(9 * 60) as Ms * SECOND,
            2 => self.now - SECOND,
            3 => self.now - 11 * MINUTE - dice.below(20) as Ms * MINUTE,
            4 => self.edge_of_lateness() - dice.below(3) as Ms + 1,
            _ => self.now,
        };
        self.accepted.push(time);
        time
    }

    /// About ten minutes before the lower median of the last nine, as far as they are known here.
    fn edge_of_lateness(&self) -> Ms {
        let mut last: Vec<Ms> = self.accepted.iter().rev().take(9).copied().collect();
        last.sort_unstable();
        last.get(last.len().saturating_sub(1) / 2).copied().unwrap_or(self.now) - 10 * MINUTE
    }
}

pub fn records(dice: &mut Dice, rules: &RuleSet) -> Vec<Record> {
    let mut clock = Clock { now: START + dice.below(40) as Ms * MINUTE, spans: spans(rules), accepted: Vec::new() };
    let kinds = kinds(rules);
    let mut records: Vec<Record> = Vec::new();
    // What is forgotten as time goes on is only forgotten in long ones.
    let many = if dice.once_in(50) { 400 } else { 20 + dice.below(100) };
    for i in 0..many {
        if dice.once_in(25) && !records.is_empty() {
            // Redelivered: mostly soon, sometimes when the id is forgotten.
            let back = if dice.once_in(2) { dice.below(records.len()) } else { dice.below(records.len().min(4)) };
            let (Record::Event(event) | Record::Refused(event)) = &records[records.len() - 1 - back];
            records.push(Record::Event(event.clone()));
            continue;
        }
        let burst = if dice.once_in(20) { 2 + dice.below(18) } else { 1 };
        let apart = dice.pick(&[0, SECOND]);
        let time = clock.tick(dice);
        let model = event(dice, &kinds, time, format!("e{i}"));
        for n in 0..burst {
            let mut one = model.clone();
            if n > 0 {
                one.id = format!("e{i}.{n}");
                one.time += n as Ms * apart;
                clock.now = clock.now.max(one.time);
                clock.accepted.push(one.time);
                // The same key again at the same time, or another.
                if !dice.once_in(3) {
                    one.fields.insert("device", Val::word(format!("d{}", dice.below(6))));
                }
                set_local_time(&mut one);
            }
            records.push(if dice.once_in(60) { Record::Refused(one) } else { Record::Event(one) });
        }
    }
    records
}

/// Times that the rules name.
fn spans(rules: &RuleSet) -> Vec<Ms> {
    let windows = rules.features.iter().map(|f| f.over);
    let dedups = rules.rules.iter().filter_map(|r| r.dedup.as_ref()).map(|d| d.lasts);
    let sequences = rules.rules.iter().filter_map(|r| match &r.trigger {
        Trigger::Sequence(s) => Some(s),
        Trigger::When(..) => None,
    });
    let within = sequences.flat_map(|s| s.absent.iter().map(|(_, w)| *w).chain([s.within]));
    windows.chain(dedups).chain(within).chain([10 * MINUTE]).filter(|span| *span <= 20 * MINUTE).collect()
}

/// The types that the rules look at, and one more.
fn kinds(rules: &RuleSet) -> Vec<&'static str> {
    let mut kinds: Vec<&'static str> = rules.features.iter().flat_map(|f| f.kinds.clone()).collect();
    for rule in &rules.rules {
        match &rule.trigger {
            Trigger::When(on, _) => kinds.extend(on),
            Trigger::Sequence(s) => {
                let arms = s.steps.iter().map(|(_, a)| a).chain(&s.without).chain(s.absent.iter().map(|(a, _)| a));
                kinds.extend(arms.flat_map(|a| a.kinds.clone()));
            }
        }
    }
    kinds.retain(|kind| *kind != "finding");
    kinds.push("login");
    kinds
}

fn event(dice: &mut Dice, kinds: &[&'static str], time: Ms, id: String) -> Event {
    let kind = dice.pick(kinds);
    let mut fields = BTreeMap::new();
    let mut put = |name: &'static str, value: String| fields.insert(name, Val::word(value));
    match kind {
        "login" => {
            let is_good = dice.once_in(2);
            put("result", if is_good { "success" } else { "failure" }.into());
            if !is_good {
                let (reason, class) = dice.pick(&[
                    ("wrong_password", "credential"),
                    ("unknown_account", "credential"),
                    ("timeout", "service"),
                ]);
                put("reason", reason.into());
                put("reason_class", class.into());
            }
        }
        "mfa" => drop(put("result", dice.pick(&["success", "denied", "failure"]).into())),
        "password_reset" => {
            put("stage", dice.pick(&["requested", "completed"]).into());
            put("via", dice.pick(&["email", "call_center"]).into());
        }
        _ => {}
    }
    let needs_account = !matches!(kind, "password_reset") && fields_reason(&fields) != Some("unknown_account");
    if needs_account || dice.once_in(2) {
        fields.insert("account", Val::word(format!("a{}", dice.below(3).min(dice.below(3)))));
    }
    let mut maybe = |dice: &mut Dice, name: &'static str, from: &[&str]| {
        if !dice.once_in(5) {
            fields.insert(name, Val::word(dice.pick(from)));
        }
    };
    maybe(dice, "ip", &IPS);
    maybe(dice, "device", &["d0", "d1", "d2"]);
    maybe(dice, "session", &["s0", "s1"]);
    maybe(dice, "channel", &["app", "web", "api", "call_center"]);
    maybe(dice, "country", &["CN", "NG", "NO"]);
    maybe(dice, "zone", &["UTC", "Asia/Shanghai"]);
    if matches!(kind, "transfer" | "payment") {
        maybe(dice, "payee", &["p0", "p1"]);
        maybe(dice, "status", &["requested", "completed", "declined"]);
        let currency = dice.pick(&["CNY", "CNY", "USD", "EUR"]);
        let mut money = || Val::Money(dice.pick(&AMOUNTS) as f64, currency);
        let (amount, balance) = (money(), money());
        fields.insert("amount", amount);
        if dice.once_in(2) {
            fields.insert("balance", balance);
        }
    }
    let count = if dice.once_in(6) { 2 + dice.below(3) as i64 } else { 1 };
    let mut event = Event { id, kind, time, count, fields };
    set_local_time(&mut event);
    event
}

fn fields_reason<'f>(fields: &'f BTreeMap<&'static str, Val>) -> Option<&'f str> {
    match fields.get("reason") {
        Some(Val::Word(reason)) => Some(reason),
        _ => None,
    }
}

/// Hour and weekday in the event's own zone: these two have no summer time.
fn set_local_time(event: &mut Event) {
    let offset = match event.get("zone") {
        Val::Word(zone) if zone == "UTC" => 0,
        Val::Word(_) => SHANGHAI,
        _ => return,
    };
    let hours = (event.time + offset).div_euclid(60 * MINUTE);
    event.fields.insert("hour", Val::word(hours.rem_euclid(24).to_string()));
    event.fields.insert("weekday", Val::word(hours.div_euclid(24).rem_euclid(7).to_string()));
}
