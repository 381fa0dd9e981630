//! Why a change of an expression is probably none: where the arm that goes says no more than the arms that stay.
//!
//! Guarantees: looks at the arms of one `and` or `or` alone, so that what it says can be checked by reading them; only
//! guesses, and proves nothing.

use std::ops::Range;

use super::ast::{Ast, Comparison, Expr, Kind, Set};

/// Fields that only a failed event has.
const OF_FAILURES: &[&str] = &["reason", "reason_class"];

impl Ast {
    /// Why dropping the arm of these bytes probably changes nothing. `kept_by`: the entities a feature is kept for, by
    /// its name.
    pub fn doubt<'k>(&self, arm: &Range<usize>, kept_by: &dyn Fn(&str) -> Vec<&'k str>) -> Option<String> {
        let (all, is_or) = arms_around(&self.root, arm)?;
        let dropped = all.iter().find(|one| one.span == *arm)?;
        let others = || all.iter().filter(|one| one.span != *arm);
        match &dropped.kind {
            Kind::IsMissing(inner, false) if is_or => {
                let entity = name_of(inner)?;
                let path = others().filter_map(missing).find(|path| kept_by(first_of(path)).contains(&entity))?;
                Some(format!("`{path}` is missing wherever `{entity}` is: the feature is kept by it"))
            }
            Kind::IsMissing(inner, true) if !is_or => {
                let name = name_of(inner)?;
                let compares = |one: &&Expr| matches!(&one.kind, Kind::Compare(..) | Kind::In(..)) && reads(one, name);
                others().find(compares).map(|_| format!("what compares `{name}` is not true where it is missing"))
            }
            Kind::Compare(Comparison::Equal, left, right) if !is_or => {
                let is_failure = name_of(left)? == "result" && matches!(&right.kind, Kind::Text(t) if t == "failure");
                let of_failures = |one: &&Expr| OF_FAILURES.iter().any(|name| reads(one, name)) && asks(one);
                let other = others().find(of_failures).filter(|_| is_failure);
                other.map(|_| "only what failed has a reason".to_owned())
            }
            _ => None,
        }
    }
}

/// The arms of the innermost `and` or `or` that holds an arm, and whether it is `or`.
fn arms_around<'e>(expr: &'e Expr, arm: &Range<usize>) -> Option<(&'e [Expr], bool)> {
    let own = match &expr.kind {
        Kind::And(all) => Some((all.as_slice(), false)),
        Kind::Or(all) => Some((all.as_slice(), true)),
        _ => None,
    };
    own.filter(|(all, _)| all.iter().any(|one| one.span == *arm))
        .or_else(|| expr.below().into_iter().find_map(|below| arms_around(below, arm)))
}

fn name_of(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        Kind::Name(name) => Some(name),
        _ => None,
    }
}

fn first_of(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

/// The name an arm asks for being missing.
fn missing(arm: &Expr) -> Option<&str> {
    match &arm.kind {
        Kind::IsMissing(inner, false) => name_of(inner),
        _ => None,
    }
}

/// Whether a condition asks for a value, so that it is not true where that is missing.
fn asks(arm: &Expr) -> bool {
    matches!(&arm.kind, Kind::Compare(Comparison::Equal, ..) | Kind::In(_, false, _))
}

/// Whether it reads a name, without another value for where it is missing.
fn reads(expr: &Expr, name: &str) -> bool {
    match &expr.kind {
        Kind::Name(path) => path == name,
        Kind::Coalesce(..) => false,
        Kind::In(a, _, Set::List(..)) => reads(a, name),
        _ => expr.below().into_iter().any(|below| reads(below, name)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::report::SourceFile;
    use crate::ruleset::expr::{self, Snippet};

    /// The doubts of an expression's changes; the feature `dev` is kept by account and device.
    fn doubts(text: &str) -> Vec<String> {
        let file = Arc::new(SourceFile { path: "x".to_owned(), text: text.to_owned() });
        let snippet = Snippet { file: &file, text: text.into(), places: Vec::new(), start: 0 };
        let ast = expr::parse(&snippet, &mut Vec::new()).expect("an expression");
        let kept_by = |name: &str| if name == "dev" { vec!["account", "device"] } else { Vec::new() };
        ast.changes().iter().filter_map(|c| Some(format!("{}: {}", c.what, ast.doubt(&c.span, &kept_by)?))).collect()
    }

    #[test]
    fn an_arm_that_says_no_more_than_the_others_is_doubted() {
        for (text, doubt) in [
            (
                "x > 1 and (device is missing or dev.age is missing or dev.age < 1h)",
                "without device is missing: `dev.age` is missing wherever `device` is: the feature is kept by it",
            ),
            (
                "result == \"failure\" and reason in [\"timeout\"]",
                "without result == \"failure\": only what failed has a reason",
            ),
            (
                "f.age is not missing and f.age > 1h",
                "without f.age is not missing: what compares `f.age` is not true where it is missing",
            ),
        ] {
            assert_eq!(doubts(text), [doubt], "{text}");
        }
    }

    #[test]
    fn an_arm_that_says_more_is_not() {
        for text in [
            "device is missing or other.age is missing",
            "ip is missing or dev.age is missing",
            "device is missing and dev.age is missing",
            "result == \"failure\" and reason != \"timeout\"",
            "result == \"failure\" or reason == \"timeout\"",
            "result == \"success\" and reason == \"timeout\"",
            "f.age is not missing and (f.age ?? 2h) > 1h",
            "f.age is not missing and (f.age > 1h or f.age is missing)",
        ] {
            assert_eq!(doubts(text), [""; 0], "{text}");
        }
    }
}
