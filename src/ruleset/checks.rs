//! What is doubtful about a rule set that loads: thresholds no window reaches exactly, things nobody reads; and which
//! defs no rule checks with it.
//!
//! Guarantees: warnings only. Does not find what a compiler of types finds: `expr` does.

use std::collections::{BTreeMap, BTreeSet};

use super::codes;
use super::exception::ExceptionSpec;
use super::expr::{Comparison, Node, Typed};
use super::feature::Kind;
use super::model::{Name, Part};
use super::names::Names;
use crate::event::{Millis, Value};
use crate::report::Problem;

/// Events that a window counts exactly, per entity.
pub const WINDOW_EXACT_MAX: i64 = 1024;

/// Warns where a count is compared with more than a window counts exactly.
pub(super) fn threshold_above_cap(typed: &Typed, names: &Names, problems: &mut Vec<Problem>) {
    if let Node::Compare(how, a, b) = &typed.node {
        for (value, limit, how) in [(a, b, *how), (b, a, how.mirrored())] {
            if counts(value, names)
                && above_cap(limit)
                && matches!(how, Comparison::Greater | Comparison::GreaterOrEqual)
            {
                let (file, span) = &typed.at;
                let message = format!("a window counts exactly up to {WINDOW_EXACT_MAX} events");
                let help = "beyond that it is an estimate or “at least”; take a shorter window and a lower number";
                problems.push(Problem::warning(codes::ABOVE_CAP, file, span.clone(), message).help(help));
            }
        }
    }
    typed.parts().into_iter().for_each(|part| threshold_above_cap(part, names, problems));
}

/// Warns where the age of a `first_seen` is compared with more than the window after which it forgets a key.
pub(super) fn age_above_window(typed: &Typed, names: &Names, problems: &mut Vec<Problem>) {
    if let Node::Compare(how, a, b) = &typed.node {
        for (value, limit) in [(a, b), (b, a)] {
            let Node::Constant(Value::Duration(limit_ms)) = limit.node else { continue };
            let Some((name, over_ms)) = first_seen(value, names).filter(|_| how.orders()) else { continue };
            if limit_ms <= over_ms {
                continue;
            }
            let (file, span) = &typed.at;
            let (over, limit) = (Value::Duration(over_ms), Value::Duration(limit_ms));
            let message =
                format!("`{name}` forgets what it has not seen for {over}, and here it is asked about {limit}");
            let help = format!("what comes back after more than {over} is new to it: give the feature `over: {limit}`");
            problems.push(Problem::warning(codes::AGE_ABOVE_WINDOW, file, span.clone(), message).help(help));
        }
    }
    typed.parts().into_iter().for_each(|part| age_above_window(part, names, problems));
}

/// The feature whose first sighting a value is the age of, with its window.
fn first_seen<'n>(typed: &Typed, names: &'n Names) -> Option<(&'n str, i64)> {
    let at = match &typed.node {
        Node::Name(Name::Feature(at, Part::Age)) => *at,
        Node::Coalesce(value, _) => return first_seen(value, names),
        _ => return None,
    };
    let (name, (_, spec)) = names.features.iter().find(|(_, (place, _))| *place == Some(at))?;
    (spec.kind == Some(Kind::FirstSeen) && spec.over_ms > 0).then_some((name.as_str(), spec.over_ms))
}

fn counts(typed: &Typed, names: &Names) -> bool {
    let Node::Name(Name::Feature(at, _)) = typed.node else { return false };
    matches!(names.kinds.get(usize::from(at)), Some(Some(Kind::Count | Kind::Distinct | Kind::Spread)))
}

fn above_cap(typed: &Typed) -> bool {
    match typed.node {
        Node::Constant(Value::Int(n)) => n > WINDOW_EXACT_MAX,
        Node::Constant(Value::Float(n)) => n > WINDOW_EXACT_MAX as f64,
        _ => false,
    }
}

/// Warns of shared exceptions that no rule takes.
pub(super) fn exceptions_not_taken(
    exceptions: &BTreeMap<String, ExceptionSpec>,
    taken: &BTreeSet<&str>,
    problems: &mut Vec<Problem>,
) {
    for (name, spec) in exceptions.iter().filter(|(name, _)| !taken.contains(name.as_str())) {
        let message = format!("no rule takes the shared exception `{name}`");
        problems.push(Problem::warning(codes::UNUSED, &spec.file, spec.span.clone(), message));
    }
}

/// Warns of features, lists, amounts and defs that nothing reads. `mentioned` holds the first parts of all names.
pub(super) fn unused(names: &Names, mentioned: &BTreeSet<String>, problems: &mut Vec<Problem>) {
    for (name, (_, spec)) in &names.features {
        if !mentioned.contains(name) {
            let message = format!("nothing reads the feature `{name}`: it is not kept");
            problems.push(Problem::warning(codes::UNUSED_FEATURE, &spec.file, spec.span.clone(), message));
        }
    }
    for (name, def) in &names.defs {
        if !mentioned.contains(name) {
            let message = format!("nothing reads the def `{name}`");
            problems.push(Problem::warning(codes::UNUSED_DEF, &def.file, def.span.clone(), message));
        }
    }
    let used = names.used.borrow();
    for (name, (file, span)) in &names.amounts_at {
        if !used.contains(&format!("amounts.{name}")) {
            let message = format!("nothing reads the amount `{name}`");
            problems.push(Problem::warning(codes::UNUSED, file, span.clone(), message));
        }
    }
    let used = names.lists_used.borrow();
    for (name, list) in &names.lists {
        if !used.contains(name) {
            let message = format!("nothing reads the list `{name}`");
            problems.push(Problem::warning(codes::UNUSED_LIST, &list.file, list.span.clone(), message));
        }
    }
}

/// Warns of lists that are older than they may be.
pub(super) fn stale(names: &Names, today: Option<Millis>, problems: &mut Vec<Problem>) {
    for (name, list) in &names.lists {
        let (Some(today), Some(as_of), false) = (today, list.set.as_of, list.set.is_shipped) else { continue };
        let age = today.since(as_of);
        if age > list.set.max_age_ms {
            let message = format!(
                "the list `{name}` is {} old, and may be {}",
                Value::Duration(age),
                Value::Duration(list.set.max_age_ms)
            );
            problems.push(Problem::warning(codes::STALE_LIST, &list.file, list.span.clone(), message));
        }
    }
}
