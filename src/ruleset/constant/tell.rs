//! What is said of conditions that do not depend on the event.
//!
//! Guarantees: warnings only, each at the part it is about, with the reason where one value is the reason.

use super::super::codes as rule_codes;
use super::super::exception::ExceptionSpec;
use super::super::expr::{Arithmetic, Function, Node, Ty, Typed, codes};
use super::super::model::{Name, Part};
use super::domain::APART_KM_MAX;
use super::form::{Domain, Known};
use super::{Doubt, Finding, Variable};
use crate::event::Value;
use crate::report::Problem;

/// Why no currency makes a condition true.
const OWN_CURRENCY: &str = "named amounts, sums and statistics are read in the currency of the event's own amount, and \
     in no currency all of this holds; name an amount once for all of them, or join what is for different ones by `or`";

/// Warns of what was found.
pub(in super::super) fn tell(findings: &[Finding<'_>], problems: &mut Vec<Problem>) {
    for finding in findings {
        let (file, span) = &finding.at.at;
        let at = |ends: Option<(&Typed, &Typed)>| match ends {
            // Arms of another file are a def's.
            Some((first, last)) if [first, last].iter().all(|arm| std::sync::Arc::ptr_eq(&arm.at.0, file)) => {
                first.at.1.start.max(span.start)..last.at.1.end.min(span.end).max(first.at.1.start.max(span.start))
            }
            _ => span.clone(),
        };
        let warning = |code, ends, message: String| Problem::warning(code, file, at(ends), message);
        let problem = match finding.doubt {
            Doubt::Never(None) => with_reason(warning(codes::NEVER_TRUE, None, "this is never true".into()), finding),
            Doubt::Never(ends) => {
                let message = "these exclude each other, so that this is never true";
                warning(codes::NEVER_TRUE, ends, message.into())
            }
            Doubt::Always(None) => {
                with_reason(warning(codes::ALWAYS_TRUE, None, "this is always true".into()), finding)
            }
            Doubt::Always(ends) => warning(codes::ALWAYS_TRUE, ends, "one of these is always true".into()),
            Doubt::Implied(other) if other.text() == finding.at.text() => {
                warning(codes::IMPLIED, None, "this stands here twice".into())
            }
            Doubt::Implied(other) => {
                warning(codes::IMPLIED, None, format!("this changes nothing beside `{}`", other.shown()))
            }
        };
        problems.push(if finding.is_by_currency { problem.help(OWN_CURRENCY) } else { problem });
    }
}

/// Warns of an exception that leaves nothing of a rule.
pub(in super::super) fn tell_unreachable(spec: &ExceptionSpec, rule: &str, problems: &mut Vec<Problem>) {
    let message = format!("this exception is true wherever the rule `{rule}` is: the rule never fires");
    let problem = Problem::warning(rule_codes::UNREACHABLE, &spec.file, spec.span.clone(), message);
    problems.push(problem.help("narrow the exception, or set the rule's `state` to `off`"));
}

/// Adds why, where it is the values that one name can have, or a division that has none.
fn with_reason(problem: Problem, finding: &Finding<'_>) -> Problem {
    if let Some(quotient) = divided_by_zero(finding.at) {
        return problem.help(format!("`{}` is always missing: nothing is divided by zero", quotient.shown()));
    }
    let Some(Variable { typed, domain, .. }) = &finding.variable else { return problem };
    match reason(typed, domain, finding) {
        Some(reason) => problem.help(reason),
        None => problem,
    }
}

fn reason(typed: &Typed, domain: &Domain, finding: &Finding<'_>) -> Option<String> {
    if let Node::Not(inner) = &finding.at.node
        && matches!(inner.node, Node::And(_) | Node::Or(_))
    {
        return Some(format!("`{}` is true wherever it is known", inner.shown()));
    }
    let name = typed.shown();
    let is_about_absence = match &finding.at.node {
        Node::IsMissing(_) => true,
        Node::Not(inner) => matches!(inner.node, Node::IsMissing(_)),
        _ => false,
    };
    if is_about_absence && !domain.is_nullable {
        return Some(format!("`{name}` is never missing here"));
    }
    if !domain.only.is_empty() {
        return Some(format!("`{name}` is that of an event which the feature's own `where` lets in"));
    }
    let (least, largest) = domain.range;
    let (mut constants, mut numbers) = (Vec::new(), Vec::new());
    finding.form.constants(&mut constants);
    numbers.extend(constants.iter().filter_map(|known| match known {
        Known::Number(n) | Known::Money(n, _) => Some(*n),
        _ => None,
    }));
    let is_within = |n: &f64| least < *n && *n < largest;
    if domain.is_whole && numbers.iter().any(|n| n.fract() != 0.0 && is_within(n)) {
        return Some(format!("`{name}` is a whole number"));
    }
    let is_low = largest.is_infinite() || numbers.iter().any(|n| *n < least);
    Some(match domain.ty {
        Ty::Word(all) if domain.words.len() < all.len() => {
            format!("`{name}` is only {} here", domain.words.join(", "))
        }
        Ty::Float if matches!(typed.node, Node::Call(Function::DistanceKm, _)) && !is_low => {
            format!("no two places are more than {APART_KM_MAX:.0} km apart: that is half the way round the Earth")
        }
        Ty::Int | Ty::Float if least.is_finite() && largest.is_finite() && least < largest => {
            format!("`{name}` lies between {least} and {largest}")
        }
        Ty::Duration | Ty::Money if least == 0.0 && is_low => format!("`{name}` is never negative"),
        Ty::Duration if largest.is_finite() && is_last(typed) => {
            let window = Value::Duration(largest as i64 + 1);
            format!("`{name}` is less than {window}, the window of its feature: what is older is forgotten")
        }
        Ty::Int | Ty::Float if least.is_finite() && is_low => format!("`{name}` is at least {least}"),
        Ty::Int | Ty::Float if largest.is_finite() => format!("`{name}` is at most {largest}"),
        _ => return None,
    })
}

/// The age of a feature that keeps its window's newest event.
fn is_last(typed: &Typed) -> bool {
    matches!(typed.node, Node::Name(Name::Feature(_, Part::Age)))
}

/// What in a part is divided by a number that is zero, as it is written or by its param.
fn divided_by_zero(typed: &Typed) -> Option<&Typed> {
    let is_zero = |by: &Typed| match &by.node {
        Node::Constant(Value::Int(n) | Value::Duration(n)) => *n == 0,
        Node::Constant(Value::Float(n)) => *n == 0.0,
        Node::Constant(Value::Money(money)) => money.minor == 0,
        _ => false,
    };
    match &typed.node {
        Node::Arithmetic(Arithmetic::Divide, _, by) if is_zero(by) => Some(typed),
        _ => typed.parts().into_iter().find_map(divided_by_zero),
    }
}
