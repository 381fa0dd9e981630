//! What loads but is doubtful.
//!
//! Guarantees: a warning for each name that can be missing under `!=` or `not`, unless the condition
//! decides about its absence: `is missing` of it stands beside, or it is under `??`. Changes nothing.

use super::ast::Comparison;
use super::codes;
use super::typed::{Node, Typed};
use crate::report::Problem;
use crate::ruleset::model::Name;

/// Warns of names that can be missing where that is easily overlooked.
pub(super) fn nullable(typed: &Typed, problems: &mut Vec<Problem>) {
    Lint { decided: Vec::new(), problems }.walk(typed);
}

struct Lint<'p> {
    /// Names whose absence the condition decides about at this point.
    decided: Vec<Name>,
    problems: &'p mut Vec<Problem>,
}

impl Lint<'_> {
    fn walk(&mut self, typed: &Typed) {
        match &typed.node {
            Node::And(parts) | Node::Or(parts) => {
                let before = self.decided.len();
                self.decided.extend(parts.iter().filter_map(asked));
                parts.iter().for_each(|part| self.walk(part));
                self.decided.truncate(before);
            }
            Node::Not(inner) => {
                self.warn("not", inner);
                self.walk(inner);
            }
            Node::Compare(Comparison::NotEqual, left, right) => {
                self.warn("!=", left);
                self.warn("!=", right);
            }
            _ => typed.parts().into_iter().for_each(|part| self.walk(part)),
        }
    }

    /// Warns of what can be missing in an operand. Inside, other `and` and `or` may decide.
    fn warn(&mut self, operator: &str, typed: &Typed) {
        match &typed.node {
            Node::IsMissing(_) | Node::Constant(_) => {}
            Node::Coalesce(_, right) => self.warn(operator, right),
            Node::Name(name) if typed.nullable && !self.decided.contains(name) => self.tell(operator, typed),
            Node::And(parts) | Node::Or(parts) => {
                let before = self.decided.len();
                self.decided.extend(parts.iter().filter_map(asked));
                parts.iter().for_each(|part| self.warn(operator, part));
                self.decided.truncate(before);
            }
            _ => typed.parts().into_iter().for_each(|part| self.warn(operator, part)),
        }
    }

    fn tell(&mut self, operator: &str, typed: &Typed) {
        let name = typed.text();
        let (file, span) = &typed.at;
        let message = format!("`{name}` can be missing, and then `{operator}` is neither true nor false");
        let help = format!("write `{name} is missing or …`, or give it a value with `{name} ?? …`");
        let is_told = self.problems.iter().any(|p| p.code == codes::NULLABLE && p.at.as_ref() == Some(&typed.at));
        if !is_told {
            self.problems.push(Problem::warning(codes::NULLABLE, file, span.clone(), message).help(help));
        }
    }
}

/// The name of `x is missing` or `x is not missing`.
fn asked(part: &Typed) -> Option<Name> {
    match &part.node {
        Node::Not(inner) => asked(inner),
        Node::IsMissing(inner) => match inner.node {
            Node::Name(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}
