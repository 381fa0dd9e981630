//! What is said of conditions that do not depend on the event.
//!
//! Guarantees: warnings only, each at the part it is about, with the reason where one value is the reason.

use super::super::codes as rule_codes;
use super::super::exception::ExceptionSpec;
use super::super::expr::{Node, Ty, Typed, codes};
use super::{Doubt, Finding, Variable};
use crate::event::Value;
use crate::report::Problem;

/// Characters of another part that are shown.
const SHOWN_MAX: usize = 60;

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
                warning(codes::IMPLIED, None, format!("this changes nothing beside `{}`", shown(other)))
            }
        };
        problems.push(problem);
    }
}

/// Warns of an exception that leaves nothing of a rule.
pub(in super::super) fn tell_unreachable(spec: &ExceptionSpec, rule: &str, problems: &mut Vec<Problem>) {
    let message = format!("this exception is true wherever the rule `{rule}` is: the rule never fires");
    let problem = Problem::warning(rule_codes::UNREACHABLE, &spec.file, spec.span.clone(), message);
    problems.push(problem.help("narrow the exception, or set the rule's `state` to `off`"));
}

fn shown(typed: &Typed) -> String {
    let text = typed.text().split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Adds why, where it is the values that one name can have.
fn with_reason(problem: Problem, finding: &Finding<'_>) -> Problem {
    let Some(Variable { typed, domain, .. }) = &finding.variable else { return problem };
    let name = shown(typed);
    let is_about_absence = match &finding.at.node {
        Node::IsMissing(_) => true,
        Node::Not(inner) => matches!(inner.node, Node::IsMissing(_)),
        _ => false,
    };
    let reason = match (domain.ty, domain.range) {
        _ if is_about_absence && !domain.is_nullable => format!("`{name}` is never missing here"),
        (Ty::Word(all), _) if domain.words.len() < all.len() => {
            format!("`{name}` is only {} here", domain.words.join(", "))
        }
        (Ty::Int | Ty::Float, (least, largest)) if least.is_finite() && largest.is_finite() => {
            format!("`{name}` lies between {least} and {largest}")
        }
        (Ty::Duration, (_, largest)) if largest.is_finite() => {
            let window = Value::Duration(largest as i64 + 1);
            format!("`{name}` is less than {window}, the window of its feature: what is older is forgotten")
        }
        (Ty::Int | Ty::Float, (least, _)) if least.is_finite() => format!("`{name}` is at least {least}"),
        _ => return problem,
    };
    problem.help(reason)
}
