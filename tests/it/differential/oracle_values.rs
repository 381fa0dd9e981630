//! What features and `account.…` are at an event, as the page says them: every event is kept, and each value looks
//! through all of them again.

use std::collections::BTreeMap;

use super::describe::*;
use super::oracle_truth::{Scene, leading};

const HOURS_OF_A_WEEK: i64 = 168;

/// Everything that was counted, in input order.
#[derive(Default)]
pub struct Past {
    /// Events that were not late, each followed by the findings of it that are events.
    pub events: Vec<Event>,
    /// Past scores, unrounded, of late events too: account, event time, score.
    pub scores: Vec<(String, Ms, f64)>,
}

/// The entity an event has under a feature's, dedup's or sequence's `by`; addresses fold IPv6 to its /64.
pub fn entity(by: &[&'static str], event: &Event) -> Option<Vec<String>> {
    by.iter().map(|name| part_of_entity(name, event)).collect()
}

fn part_of_entity(name: &str, event: &Event) -> Option<String> {
    match (name, event.get(if name == "subnet" { "ip" } else { name })) {
        ("all", _) => Some(String::new()),
        ("ip", Val::Word(ip)) => Some(folded(&ip)),
        ("subnet", Val::Word(ip)) if ip.contains(':') => Some(folded(&ip)),
        ("subnet", Val::Word(ip)) => Some(format!("{:?}", leading(&ip, 24))),
        (_, Val::Word(word)) => Some(word),
        _ => None,
    }
}

/// An IPv4 address itself, an IPv6 address by its /64.
fn folded(ip: &str) -> String {
    if ip.contains(':') { format!("{:?}", leading(ip, 64)) } else { ip.to_owned() }
}

/// A field's value as state tells values apart.
fn told_apart(field: &str, event: &Event) -> Option<String> {
    match event.get(field) {
        Val::Word(word) if field == "ip" => Some(folded(&word)),
        Val::Word(word) => Some(word),
        _ => None,
    }
}

fn number(n: impl Into<f64>) -> Val {
    Val::Number(n.into())
}

fn times(events: &[&Event]) -> f64 {
    events.iter().map(|e| e.count as f64).sum()
}

impl Past {
    /// A part of a feature's value on an event.
    pub fn feature(&self, rules: &RuleSet, f: &Feature, part: &str, at: &Event) -> Val {
        // A feature has a value on every event that carries its `by` entities, of whatever type.
        let Some(entity) = entity(&f.by, at) else { return Val::Missing };
        let seen = Seen { past: self, rules, f, entity, at };
        match f.aggregate {
            Aggregate::Count => number(times(&seen.in_window())),
            Aggregate::Rate => number(times(&seen.in_window()) * MINUTE as f64 / f.over as f64),
            Aggregate::Sum => seen.sum(),
            Aggregate::Distinct => number(seen.attempts().len() as f64),
            Aggregate::Spread => seen.spread(part),
            Aggregate::Last => seen.last(part),
            Aggregate::FirstSeen => seen.first_seen(),
            Aggregate::Stats => seen.stats(part),
            Aggregate::Share => seen.share(),
            Aggregate::Decayed => seen.decayed(),
            Aggregate::Habit => seen.habit(part),
            Aggregate::Baseline => seen.baseline(part),
        }
    }

    /// `account.risk`, `account.known_for`, `account.logins`: missing without account.
    pub fn account(&self, part: &str, at: &Event) -> Val {
        let account = at.get("account");
        let Val::Word(name) = &account else { return Val::Missing };
        let own = || self.events.iter().filter(|e| e.kind != "finding" && e.get("account") == account);
        match part {
            "risk" => {
                let scores: Vec<_> = self.scores.iter().filter(|(a, ..)| a == name).collect();
                let until = scores.iter().map(|(_, time, _)| *time).chain([at.time]).max().unwrap_or(at.time);
                number(
                    scores.iter().map(|(_, time, score)| score * halved(until - time, 24 * 60 * MINUTE)).sum::<f64>(),
                )
            }
            "known_for" => match own().map(|e| e.time).min() {
                Some(first) if first < at.time => Val::Span((at.time - first) as f64),
                _ => Val::Missing,
            },
            "logins" => {
                let good = |e: &&Event| e.kind == "login" && e.get("result") == Val::word("success");
                number(times(&own().filter(good).filter(|e| e.time <= at.time).collect::<Vec<_>>()))
            }
            other => panic!("account.{other} is not known"),
        }
    }
}

/// What is left of 1 after a time.
fn halved(age: Ms, half_life: Ms) -> f64 {
    0.5f64.powf(age as f64 / half_life as f64)
}

/// What a feature sees at an event.
struct Seen<'a> {
    past: &'a Past,
    rules: &'a RuleSet,
    f: &'a Feature,
    entity: Vec<String>,
    at: &'a Event,
}

impl<'a> Seen<'a> {
    /// Events of the feature's types for this entity, in input order: those before, and this one where it is read.
    fn of_its_types(&self) -> Vec<&'a Event> {
        let with_this = self.f.include.unwrap_or(self.f.aggregate.is_with_current());
        let own = Some(self.at).filter(|_| with_this);
        let is_its =
            |e: &&Event| self.f.kinds.contains(&e.kind) && entity(&self.f.by, e).as_ref() == Some(&self.entity);
        self.past.events.iter().chain(own).filter(is_its).collect()
    }

    fn is_match(&self, event: &Event) -> bool {
        self.f.filter.as_ref().is_none_or(|filter| Scene::of(self.rules, self.past, event).is_true(filter))
    }

    fn matching(&self) -> Vec<&'a Event> {
        self.of_its_types().into_iter().filter(|e| self.is_match(e)).collect()
    }

    /// Times in (t − over, t].
    fn in_window(&self) -> Vec<&'a Event> {
        let mut events = self.matching();
        events.retain(|e| e.time > self.at.time - self.f.over && e.time <= self.at.time);
        events
    }

    /// What was counted so far, up to the newest time of it: the window ends there where this event is older.
    fn so_far(&self, events: &[&'a Event]) -> (Ms, Vec<&'a Event>) {
        let until = events.iter().map(|e| e.time).chain([self.at.time]).max().unwrap_or(self.at.time);
        (until, events.iter().copied().filter(|e| e.time > until - self.f.over).collect())
    }

    fn field(&self) -> &'static str {
        self.f.field.expect("an aggregate over a field")
    }

    /// Amounts in the event's own currency, each as often as it counts; `None` where it has no currency.
    fn sum(&self) -> Val {
        let Some(currency) = self.at.currency() else { return Val::Missing };
        let own = self.in_window().into_iter().filter_map(|e| match e.get(self.field()) {
            Val::Money(minor, c) if c == currency => Some(minor * e.count as f64),
            _ => None,
        });
        Val::Money(own.sum(), currency)
    }

    /// The values in the window and how often each was there.
    fn attempts(&self) -> BTreeMap<String, i64> {
        let mut attempts = BTreeMap::new();
        for e in self.in_window() {
            if let Some(key) = told_apart(self.field(), e) {
                *attempts.entry(key).or_default() += e.count;
            }
        }
        attempts
    }

    fn spread(&self, part: &str) -> Val {
        let attempts = self.attempts();
        match part {
            "keys" => number(attempts.len() as f64),
            "max_per_key" => number(attempts.values().max().copied().unwrap_or(0) as f64),
            _ => {
                let most: i64 = part.trim_start_matches("share(").trim_end_matches(')').parse().expect("share(n)");
                let few = attempts.values().filter(|n| **n <= most).count();
                if attempts.is_empty() { Val::Missing } else { number(few as f64 / attempts.len() as f64) }
            }
        }
    }

    /// The newest by (time, input order); missing where that is newer than this event.
    fn last(&self, part: &str) -> Val {
        let Some(newest) = self.matching().into_iter().max_by_key(|e| e.time) else { return Val::Missing };
        if newest.time > self.at.time || newest.time <= self.at.time - self.f.over {
            return Val::Missing;
        }
        if part == "age" { Val::Span((self.at.time - newest.time) as f64) } else { newest.get(part) }
    }

    /// Runs from the oldest time kept; a key not seen for `over` is forgotten.
    fn first_seen(&self) -> Val {
        let mut kept: Option<(Ms, Ms)> = None;
        for e in self.matching() {
            kept = match kept {
                Some((first, newest)) if newest > e.time - self.f.over => Some((first.min(e.time), newest.max(e.time))),
                _ => Some((e.time, e.time)),
            };
        }
        match kept {
            Some((first, newest)) if first <= self.at.time && newest > self.at.time - self.f.over => {
                Val::Span((self.at.time - first) as f64)
            }
            _ => Val::Missing,
        }
    }

    /// Mean and deviation of the population, quantiles by nearest rank, in the event's own currency.
    fn stats(&self, part: &str) -> Val {
        let Some(currency) = self.at.currency() else { return Val::Missing };
        let minor = |e: &Event| match e.get(self.field()) {
            Val::Money(minor, c) if c == currency => Some(minor),
            _ => None,
        };
        let own: Vec<&Event> = self.matching().into_iter().filter(|e| minor(e).is_some()).collect();
        let (_, own) = self.so_far(&own);
        let mut values: Vec<f64> =
            own.iter().flat_map(|e| vec![minor(e).unwrap_or_default(); e.count as usize]).collect();
        if values.is_empty() {
            return Val::Missing;
        }
        values.sort_by(f64::total_cmp);
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let rank = |percent: usize| values[(values.len() * percent).div_ceil(100).max(1) - 1];
        match part {
            "count" => number(n),
            "mean" => Val::Money(mean, currency),
            "stddev" => Val::Money((values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt(), currency),
            "p50" => Val::Money(rank(50), currency),
            "p95" => Val::Money(rank(95), currency),
            "max" => Val::Money(rank(100), currency),
            other => panic!("stats have no {other}"),
        }
    }

    /// The part of the type's events in the window that match.
    fn share(&self) -> Val {
        let (_, all) = self.so_far(&self.of_its_types());
        let matching: Vec<&Event> = all.iter().copied().filter(|e| self.is_match(e)).collect();
        if all.is_empty() { Val::Missing } else { number(times(&matching) / times(&all)) }
    }

    fn decayed(&self) -> Val {
        let events = self.matching();
        let (until, _) = self.so_far(&events);
        number(events.iter().map(|e| e.count as f64 * halved(until - e.time, self.f.over)).sum::<f64>())
    }

    /// What the hour of the week usually has, one sample per window's length, counted from 1970: of the whole ones
    /// after that of the first event and before that of the newest.
    fn baseline(&self, part: &str) -> Val {
        let matching = self.matching();
        let interval = |time: Ms| time.div_euclid(self.f.over);
        let all = || matching.iter().map(|e| interval(e.time));
        // Of what was never seen nothing is known, not even that there is none now.
        let (Some(first), Some(newest)) = (all().min(), all().max()) else { return Val::Missing };
        let now = times(&self.in_window());
        if part == "now" {
            return number(now);
        }
        let hour = |time: Ms| time.div_euclid(60 * MINUTE);
        let of_week = |time: Ms| hour(time).rem_euclid(HOURS_OF_A_WEEK);
        let begin = |i: &i64| i * self.f.over;
        let own = (first + 1..newest).filter(|i| of_week(begin(i)) == of_week(self.at.time));
        let of = |i: i64| times(&matching.iter().copied().filter(|e| interval(e.time) == i).collect::<Vec<_>>());
        let samples: Vec<(Ms, f64)> = own.map(|i| (hour(begin(&i)).div_euclid(HOURS_OF_A_WEEK), of(i))).collect();
        if samples.len() < 12 {
            return Val::Missing;
        }
        let week = samples.iter().map(|(week, _)| *week).max().unwrap_or_default();
        let weights: Vec<f64> = samples.iter().map(|(of, _)| halved(week - of, 4)).collect();
        let all: f64 = weights.iter().sum();
        let weighted = |of: &dyn Fn(f64) -> f64| {
            samples.iter().zip(&weights).map(|((_, n), weight)| weight * of(*n)).sum::<f64>() / all
        };
        let mean = weighted(&|n| n);
        match part {
            "mean" => number(mean),
            "stddev" => number(weighted(&|n| (n - mean).powi(2)).sqrt()),
            // Division by zero is missing.
            "ratio" if mean == 0.0 => Val::Missing,
            "ratio" => number(now / mean),
            other => panic!("a baseline has no {other}"),
        }
    }

    /// How usual this event's own value is; missing without one.
    fn habit(&self, part: &str) -> Val {
        let Some(own) = told_apart(self.field(), self.at) else { return Val::Missing };
        let mut with_field = self.matching();
        with_field.retain(|e| told_apart(self.field(), e).is_some());
        let (_, all) = self.so_far(&with_field);
        let same: Vec<&Event> =
            all.iter().copied().filter(|e| told_apart(self.field(), e).as_ref() == Some(&own)).collect();
        let (count, total) = (times(&same), times(&all));
        match part {
            _ if all.is_empty() => Val::Missing,
            "count" => number(count),
            "total" => number(total),
            "share" => number(count / total),
            other => panic!("a habit has no {other}"),
        }
    }
}
