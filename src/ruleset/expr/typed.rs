//! The typed tree: names resolved, defs put in their place, literals turned into values of their type.
//!
//! Guarantees: operands have the types their operator takes; every node knows its type, whether it can be
//! missing, and where it was written. It is what the compiler reads, and enough for a second evaluator.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use regex::Regex;

use super::Ty;
use super::ast::{Arithmetic, Comparison};
use super::functions::Function;
use crate::event::Value;
use crate::report::SourceFile;
use crate::ruleset::lists::ListSet;
use crate::ruleset::model::Name;

/// Characters of a part that are shown in a message.
const SHOWN_MAX: usize = 60;

/// A typed expression.
#[derive(Debug, Clone)]
pub struct Typed {
    /// What it is.
    pub node: Node,
    /// The type of its value.
    pub ty: Ty,
    /// Whether its value can be missing.
    pub nullable: bool,
    /// The file and the bytes where it was written; a def's parts stand where the def stands.
    pub at: (Arc<SourceFile>, Range<usize>),
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Node {
    /// A literal or a param.
    Constant(Value<'static>),
    /// A value of the row.
    Name(Name),
    /// True where its operand is false.
    Not(Box<Typed>),
    /// All of them.
    And(Vec<Typed>),
    /// At least one of them.
    Or(Vec<Typed>),
    /// Both sides have comparable types.
    Compare(Comparison, Box<Typed>, Box<Typed>),
    /// Is it in the list?
    InList(Box<Typed>, Arc<ListSet>),
    /// Is it one of these constants, all of its own type?
    InSet(Box<Typed>, Vec<Value<'static>>),
    /// Is it missing?
    IsMissing(Box<Typed>),
    /// The first, or the second where the first is missing.
    Coalesce(Box<Typed>, Box<Typed>),
    /// Plus, minus, times, divided by.
    Arithmetic(Arithmetic, Box<Typed>, Box<Typed>),
    /// Minus.
    Negate(Box<Typed>),
    /// A function of its arguments.
    Call(Function, Vec<Typed>),
    /// `matches`: is the pattern somewhere in the text?
    Matches(Box<Typed>, Arc<Regex>),
}

impl Typed {
    /// As it was written.
    pub fn text(&self) -> &str {
        self.at.0.text.get(self.at.1.clone()).unwrap_or_default()
    }

    /// As it was written, on one line and no longer than 60 characters: for messages.
    pub fn shown(&self) -> String {
        let text = self.text().split_whitespace().collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(SHOWN_MAX) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text,
        }
    }

    /// The parts of a node, in the order of the text.
    pub fn parts(&self) -> Vec<&Typed> {
        match &self.node {
            Node::Constant(_) | Node::Name(_) => Vec::new(),
            Node::Not(a)
            | Node::IsMissing(a)
            | Node::Negate(a)
            | Node::InList(a, _)
            | Node::InSet(a, _)
            | Node::Matches(a, _) => vec![a],
            Node::Compare(_, a, b) | Node::Coalesce(a, b) | Node::Arithmetic(_, a, b) => vec![a, b],
            Node::And(all) | Node::Or(all) | Node::Call(_, all) => all.iter().collect(),
        }
    }

    /// Every name it reads, each once, in the order of the text.
    pub fn names(&self) -> Vec<(Name, Ty)> {
        let mut names = Vec::new();
        self.collect_names(&mut HashSet::new(), &mut names);
        names
    }

    fn collect_names(&self, met: &mut HashSet<Name>, names: &mut Vec<(Name, Ty)>) {
        if let Node::Name(name) = self.node
            && met.insert(name)
        {
            names.push((name, self.ty));
        }
        for part in self.parts() {
            part.collect_names(met, names);
        }
    }

    /// Every list it asks, each once.
    pub fn lists(&self) -> Vec<&Arc<ListSet>> {
        let mut lists: Vec<&Arc<ListSet>> = Vec::new();
        self.collect_lists(&mut lists);
        lists
    }

    fn collect_lists<'t>(&'t self, lists: &mut Vec<&'t Arc<ListSet>>) {
        if let Node::InList(_, list) = &self.node
            && !lists.iter().any(|l| Arc::ptr_eq(l, list))
        {
            lists.push(list);
        }
        for part in self.parts() {
            part.collect_lists(lists);
        }
    }

    /// Whether its value depends on earlier events: then it is not evaluated on a late one.
    pub fn reads_state(&self) -> bool {
        self.names().iter().any(|(name, _)| match name {
            Name::Alias(..) | Name::Feature(..) | Name::AccountRisk | Name::AccountKnownFor | Name::AccountLogins => {
                true
            }
            Name::Field(_) | Name::Amount(_) | Name::Finding(_) => false,
        })
    }
}
