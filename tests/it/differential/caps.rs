//! Beyond what an aggregate keeps apart its value is as exact as the page says and no less: counts and sums by a step of
//! 1/64 of the window, distinct values and spreads *at least*, quantiles within 1 %, the rest exact.

use std::collections::BTreeMap;

use super::describe::*;
use super::make::Dice;
use super::oracle_truth::Scene;
use super::oracle_values::Past;
use super::{engine, probe, render};

const EVENTS: usize = 2600;
/// Entries that an aggregate keeps apart.
const EXACT_MAX: usize = 1024;
/// Events between two that the oracle is asked about: it scans all of them for each value.
const ASKED_EVERY: usize = 97;
const START: Ms = 1_772_408_400_000;
/// More than [`EXACT_MAX`] events lie within it, and it slides.
const WINDOW: Ms = 32 * MINUTE;
/// Longer than the stream: nothing leaves it.
const ALL: Ms = 48 * 60 * MINUTE;

/// Features of one account, with a window that slides and one that holds everything.
fn rules() -> RuleSet {
    let feature = |name: &str, aggregate, kind, field, over| Feature {
        name: name.into(),
        aggregate,
        kinds: vec![kind],
        field,
        filter: (aggregate == Aggregate::Share)
            .then(|| Expr::Compare(Term::Field("channel"), Op::Eq, Term::Literal(Val::word("app")))),
        by: vec!["account"],
        over,
        include: Some(true),
    };
    let features = vec![
        feature("n", Aggregate::Count, "transfer", None, WINDOW),
        feature("rate", Aggregate::Rate, "transfer", None, WINDOW),
        feature("sum", Aggregate::Sum, "transfer", Some("amount"), WINDOW),
        feature("part", Aggregate::Share, "transfer", None, WINDOW),
        feature("devices", Aggregate::Distinct, "transfer", Some("device"), WINDOW),
        feature("lie", Aggregate::Spread, "transfer", Some("device"), WINDOW),
        feature("stats", Aggregate::Stats, "transfer", Some("amount"), ALL),
        feature("fading", Aggregate::Decayed, "transfer", None, WINDOW),
        feature("last", Aggregate::Last, "transfer", None, WINDOW),
        feature("first", Aggregate::FirstSeen, "transfer", None, WINDOW),
    ];
    RuleSet { features, has_probes: true, ..RuleSet::default() }
}

fn events(seed: u64) -> Vec<Event> {
    let mut dice = Dice::new(seed);
    let mut now = START;
    let event = |at| {
        now += dice.pick(&[0, 1, 500, SECOND, 2 * SECOND]);
        let back = if dice.once_in(8) { dice.below(120) as Ms * SECOND } else { 0 };
        let large = 1 << (4 + dice.below(18));
        let amount = (100 + dice.below(large)) as f64;
        let fields = [
            ("account", Val::word("a1")),
            ("device", Val::word(format!("d{}", dice.below(2000)))),
            ("channel", Val::word(dice.pick(&["app", "web"]))),
            ("amount", Val::Money(amount, "CNY")),
        ];
        let count = if dice.once_in(5) { 3 } else { 1 };
        Event { id: format!("e{at}"), kind: "transfer", time: now - back, count, fields: BTreeMap::from(fields) }
    };
    (0..EVENTS).map(event).collect()
}

/// The value of a feature's part at an event, over a window of its own.
fn exact(rules: &RuleSet, past: &Past, at: &Event, name: &str, part: &str, over: Ms) -> Val {
    let mut feature = rules.features.iter().find(|f| f.name == name).expect("a feature").clone();
    feature.over = over;
    past.feature(rules, &feature, part, at)
}

fn size(value: &Val) -> f64 {
    match value {
        Val::Number(n) | Val::Money(n, _) | Val::Span(n) => *n,
        other => panic!("{other:?} has no size"),
    }
}

/// What a value may be at least and at most.
fn bounds(rules: &RuleSet, past: &Past, at: &Event, name: &str, part: &str) -> (f64, f64) {
    let of = |over| size(&exact(rules, past, at, name, part, over));
    // Where an entry stands a little longer than it should, a step of the window is the error.
    let longer = WINDOW + WINDOW / 64;
    match (name, part) {
        ("n" | "sum", _) => (of(WINDOW), of(longer)),
        // Per minute of the window, whose length stays.
        ("rate", _) => (of(WINDOW), of(longer) * (longer as f64 / WINDOW as f64)),
        ("part", _) => {
            let n = |over| size(&exact(rules, past, at, "n", "", over));
            (of(WINDOW) * n(WINDOW) / n(longer), (of(longer) * n(longer) / n(WINDOW)).min(1.0))
        }
        ("devices", _) | ("lie", "keys" | "max_per_key") => (at_least(rules, past, at, name, part), of(WINDOW)),
        ("stats", "p50" | "p95") => (of(ALL) * 0.99 - 0.5, of(ALL) * 1.01 + 0.5),
        ("stats", _) => (of(ALL) - 0.51, of(ALL) + 0.51),
        _ => (of(WINDOW) * (1.0 - 1e-9) - 1e-6, of(WINDOW) * (1.0 + 1e-9) + 1e-6),
    }
}

/// The value over the newest entries alone, which are kept apart.
fn at_least(rules: &RuleSet, past: &Past, at: &Event, name: &str, part: &str) -> f64 {
    let mut newest = past.events.clone();
    newest.sort_by_key(|e| e.time);
    let beyond = newest.len().saturating_sub(EXACT_MAX - 1);
    let newest = Past { events: newest.split_off(beyond), scores: Vec::new() };
    size(&exact(rules, &newest, at, name, part, WINDOW))
}

#[test]
fn beyond_the_caps_values_are_as_exact_as_the_page_says() {
    let rules = rules();
    let events = events(7);
    let asked = probe::asked(&rules, "transfer");
    let records = events.iter().cloned().map(Record::Event).collect();
    let case = Case { rules: rules.clone(), records, batch: 32, lanes: vec![0], reads: Vec::new() };
    let told = engine::run(&case).expect("it loads");
    let told: BTreeMap<&str, &BTreeMap<String, Val>> =
        told.values.iter().map(|(id, values)| (id.as_str(), values)).collect();
    let mut past = Past::default();
    let (mut checked, mut inexact) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        if at % ASKED_EVERY == ASKED_EVERY - 1 {
            for term in &asked {
                let Term::Feature(name, part) = term else { continue };
                let Some(value) = told.get(event.id.as_str()).and_then(|values| values.get(&render::term(term))) else {
                    panic!("nothing of {}", event.id)
                };
                let exact = Scene::of(&rules, &past, event).value(term);
                // A share is of what was counted so far, up to the newest time: its bounds are those of counts up to now.
                let is_behind = name == "part" && past.events.iter().any(|e| e.time > event.time);
                if matches!(exact, Val::Missing | Val::Word(_)) || part.starts_with("share(") || is_behind {
                    continue;
                }
                let (least, most) = bounds(&rules, &past, event, name, part);
                let size = size(value);
                let room = 1e-9 * most.abs();
                assert!(
                    (least - room..=most + room).contains(&size),
                    "{} at {}: {size}, exact {exact:?}, allowed {least} to {most}",
                    render::term(term),
                    event.id
                );
                checked += 1;
                inexact += usize::from(!probe::is_same(&exact, value));
            }
        }
        past.events.push(event.clone());
    }
    assert!(checked > 300 && inexact > 20, "{checked} values, {inexact} of them not exact: the caps are not reached");
}
