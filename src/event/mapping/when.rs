//! Reads conditions out of a mapping file.
//!
//! Guarantees: a condition asks something; every mistake is told at its place, and reading goes on.

use super::codes;
use super::condition::{Condition, Is, Test};
use super::parts::Parts;
use super::pointer::Pointer;
use crate::yaml::{Entry, Kind, Map, Node};

impl Parts<'_, '_> {
    /// A condition: places and what they hold; of a list of such, one.
    pub fn condition(&mut self, node: &Node) -> Option<Condition> {
        let groups = self.reader.one_or_more(node, "a condition");
        let any_of: Vec<Option<Vec<Test>>> = groups.iter().map(|group| self.tests(group)).collect();
        any_of.into_iter().collect::<Option<Vec<_>>>().map(|any_of| Condition { any_of })
    }

    fn tests(&mut self, node: &Node) -> Option<Vec<Test>> {
        let map = self.reader.map(node, "a condition")?;
        if map.entries.is_empty() {
            self.reader.error(codes::VALUE, node.head(), "a condition asks something");
            return None;
        }
        let tests: Vec<Option<Test>> = map.entries.iter().map(|entry| self.test(entry)).collect();
        tests.into_iter().collect()
    }

    fn test(&mut self, entry: &Entry) -> Option<Test> {
        let slot = match Pointer::parse(&entry.key) {
            Ok(pointer) => self.slot_of(&pointer, &entry.value),
            Err(why) => {
                let message = format!("`{}` is no pointer", entry.key);
                self.reader.error_help(codes::POINTER, entry.key_span.clone(), message, why);
                None
            }
        };
        let is = self.is(&entry.value);
        Some(Test { slot: slot?, is: is? })
    }

    fn is(&mut self, node: &Node) -> Option<Is> {
        match &node.kind {
            Kind::Broken => None,
            Kind::Scalar(_) if node.is_null() => Some(Is::Absent),
            Kind::Scalar(_) => self.reader.scalar(node, "a value").map(|text| Is::OneOf(vec![text.to_owned()])),
            Kind::Seq(items) if !items.is_empty() => {
                let any: Vec<Option<Is>> = items.iter().map(|item| self.is(item)).collect();
                let any: Vec<Is> = any.into_iter().collect::<Option<_>>()?;
                let words = any.iter().map(|is| match is {
                    Is::OneOf(words) => Some(words.clone()),
                    _ => None,
                });
                // Words alone, as they mostly are, are one look.
                match words.collect::<Option<Vec<_>>>() {
                    Some(words) => Some(Is::OneOf(words.concat())),
                    None => Some(Is::Any(any)),
                }
            }
            Kind::Seq(_) => {
                self.reader.error(codes::VALUE, node.head(), "one of no values is never true");
                None
            }
            Kind::Map(map) => self.asked(node, map),
        }
    }

    fn asked(&mut self, node: &Node, map: &Map) -> Option<Is> {
        let known = ["is", "not", "starts_with", "ends_with", "contains", "at_least", "at_most"];
        self.reader.keys(map, &known, &["matches"]);
        let mut all = Vec::new();
        for entry in &map.entries {
            let value = &entry.value;
            let text = |parts: &mut Self| parts.reader.scalar(value, "a text").map(str::to_owned);
            all.push(match entry.key.as_str() {
                "is" => {
                    let is_present = self.reader.word(value, "state", &[("present", true), ("absent", false)]);
                    is_present.map(|is_present| if is_present { Is::Present } else { Is::Absent })
                }
                "not" => self.is(value).map(|is| Is::Not(Box::new(is))),
                "starts_with" => text(self).map(Is::StartsWith),
                "ends_with" => text(self).map(Is::EndsWith),
                "contains" => text(self).map(Is::Contains),
                "at_least" => self.number(value).map(Is::AtLeast),
                "at_most" => self.number(value).map(Is::AtMost),
                _ => None,
            });
        }
        if map.entries.is_empty() {
            self.reader.error(codes::VALUE, node.head(), "a condition asks something");
            return None;
        }
        let mut all: Vec<Is> = all.into_iter().collect::<Option<_>>()?;
        if all.len() == 1 { all.pop() } else { Some(Is::All(all)) }
    }

    fn number(&mut self, node: &Node) -> Option<f64> {
        let text = self.reader.scalar(node, "a number")?;
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        if number.is_none() {
            self.reader.error(codes::VALUE, node.span.clone(), format!("`{text}` is no number"));
        }
        number
    }
}
