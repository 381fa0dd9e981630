//! Conditions on a record: which entry takes it, and which of two sources counts.
//!
//! Guarantees: a value that is absent fulfils only `absent` and what is negated; a list fulfils a condition where
//! one of its values does. Compares texts as they are written; numbers also by value.

use super::paths::{Leaf, items};

/// One of some groups holds; in a group, every test. No group at all: always true.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition {
    pub any_of: Vec<Vec<Test>>,
}

/// What is asked of one place.
#[derive(Debug, Clone)]
pub(super) struct Test {
    pub slot: usize,
    pub is: Is,
}

/// What a value is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Is {
    OneOf(Vec<String>),
    Present,
    Absent,
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    AtLeast(f64),
    AtMost(f64),
    Not(Box<Is>),
    /// One of several.
    Any(Vec<Is>),
    /// All of several.
    All(Vec<Is>),
}

/// Whether it holds.
pub(super) fn is_true(condition: &Condition, found: &[Leaf<'_>]) -> bool {
    let holds = |test: &Test| found.get(test.slot).is_some_and(|leaf| test.is.holds(leaf));
    condition.any_of.is_empty() || condition.any_of.iter().any(|tests| tests.iter().all(holds))
}

impl Is {
    fn holds(&self, leaf: &Leaf<'_>) -> bool {
        match self {
            Is::Absent => *leaf == Leaf::Absent,
            Is::Present => *leaf != Leaf::Absent,
            Is::Not(is) => !is.holds(leaf),
            Is::Any(any) => any.iter().any(|is| is.holds(leaf)),
            Is::All(all) => all.iter().all(|is| is.holds(leaf)),
            _ => match leaf {
                Leaf::List(json) => {
                    items(json).iter().any(|item| Leaf::of(item.get()).is_ok_and(|leaf| self.fits(&leaf)))
                }
                leaf => self.fits(leaf),
            },
        }
    }

    /// Whether one value is as asked.
    fn fits(&self, leaf: &Leaf<'_>) -> bool {
        let Some(text) = leaf.text() else { return false };
        let number = || text.parse::<f64>().ok();
        match self {
            Is::OneOf(words) => words.iter().any(|word| {
                word == text
                    || matches!(leaf, Leaf::Number(_)) && word.parse::<f64>().ok().is_some_and(|n| number() == Some(n))
            }),
            Is::StartsWith(head) => text.starts_with(head.as_str()),
            Is::EndsWith(tail) => text.ends_with(tail.as_str()),
            Is::Contains(part) => text.contains(part.as_str()),
            Is::AtLeast(least) => number().is_some_and(|number| number >= *least),
            Is::AtMost(most) => number().is_some_and(|number| number <= *most),
            Is::Present | Is::Absent | Is::Not(_) | Is::Any(_) | Is::All(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(is: &Is, json: &str) -> bool {
        is.holds(&Leaf::of(json).expect("a value"))
    }

    #[test]
    fn values_are_compared_as_they_are_written_and_numbers_by_value() {
        let three = Is::OneOf(vec!["3".to_owned()]);
        assert!(holds(&three, "3") && holds(&three, "\"3\"") && holds(&three, "3.0") && !holds(&three, "\"3.0\""));
        let is_true = Is::OneOf(vec!["true".to_owned()]);
        assert!(holds(&is_true, "true") && holds(&is_true, "\"true\"") && !holds(&is_true, "1"));
        assert!(
            holds(&Is::AtLeast(2.0), "2") && holds(&Is::AtMost(2.0), "\"1.5\"") && !holds(&Is::AtLeast(2.0), "\"x\"")
        );
    }

    #[test]
    fn a_list_fulfils_what_one_of_its_values_does() {
        let is = Is::OneOf(vec!["authentication".to_owned()]);
        assert!(holds(&is, r#"["iam","authentication"]"#) && !holds(&is, r#"["iam"]"#) && !holds(&is, "[]"));
        assert!(holds(&Is::Present, "[]") && holds(&Is::Absent, "null") && holds(&Is::Absent, "\"\""));
    }

    #[test]
    fn what_is_absent_fulfils_no_comparison() {
        for is in [Is::OneOf(vec![String::new()]), Is::Contains(String::new()), Is::StartsWith(String::new())] {
            assert!(!holds(&is, "null"), "{is:?}");
            assert!(holds(&Is::Not(Box::new(is)), "null"));
        }
    }
}
