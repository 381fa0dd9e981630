//! Typed tree → closures over a row.
//!
//! Guarantees: a condition is compiled as *is true* or as *is false*, whichever is asked, so that no third
//! value exists at run time: both are false of what is unknown. Cost is bounded by the tree, nothing is
//! allocated but by functions on texts that change them. Does not fill rows.

use super::ast::Comparison;
use super::functions::Function;
use super::members::MISSING_ADDRESS;
use super::numbers::Number;
use super::texts::Hash;
use super::typed::{Node, Typed};
use super::{Condition, HashKey, Layout, Quantity, Row, Ty};
use crate::event::Value;
use crate::ruleset::model::Name;
use crate::ruleset::row::{Cell, Rep};

/// A compiled yes or no.
pub(super) type Test = Box<dyn Fn(&Row<'_>) -> bool + Send + Sync>;

/// Compiles a typed condition.
pub(super) fn compile(typed: &Typed, layout: &mut Layout, key: HashKey) -> Condition {
    let test = Compiler { layout, key }.test(typed, true);
    Condition { is_true: test.into() }
}

/// Compiles a typed number.
pub(super) fn compile_quantity(typed: &Typed, layout: &mut Layout, key: HashKey) -> Quantity {
    let number = Compiler { layout, key }.number(typed).boxed();
    Quantity { number: number.into() }
}

/// Makes closures of typed trees.
pub(super) struct Compiler<'l> {
    layout: &'l mut Layout,
    pub key: HashKey,
}

impl Compiler<'_> {
    /// The cell of a name.
    pub fn cell(&mut self, name: Name, ty: Ty) -> Cell {
        self.layout.cell(name, ty)
    }

    /// Whether a condition is true, or, where `want` is not, whether it is false.
    pub fn test(&mut self, typed: &Typed, want: bool) -> Test {
        match &typed.node {
            Node::Constant(value) => {
                let is_it = *value == Value::Bool(want);
                Box::new(move |_| is_it)
            }
            Node::Not(inner) => self.test(inner, !want),
            Node::And(parts) => self.connected(parts, want, want),
            Node::Or(parts) => self.connected(parts, want, !want),
            Node::Compare(op, left, right) => self.compare(if want { *op } else { op.negated() }, left, right),
            Node::IsMissing(inner) => self.missing(inner, want),
            Node::InList(left, list) => self.in_list(left, list, want),
            Node::InSet(left, values) => self.in_set(left, values, want),
            Node::Matches(text, regex) => {
                let (text, regex) = (self.text(text), regex.clone());
                Box::new(move |row| text.read(row).is_some_and(|text| regex.is_match(&text) == want))
            }
            Node::Call(Function::StartsWith, two) => self.texts(two, want, |text, start| text.starts_with(start)),
            Node::Call(Function::EndsWith, two) => self.texts(two, want, |text, end| text.ends_with(end)),
            Node::Call(Function::Contains, two) => self.texts(two, want, |text, part| text.contains(part)),
            Node::Name(_) | Node::Coalesce(..) | Node::Call(..) | Node::Arithmetic(..) | Node::Negate(_) => {
                let wanted = f64::from(u8::from(want));
                let op = Comparison::Equal;
                self.number(typed).compared(op, Number::Constant(wanted))
            }
        }
    }

    /// `and` wants all of its parts true, and is false with one that is false; `or` the other way round.
    /// The cheap parts come first: a condition has no effects, so their order cannot be seen.
    fn connected(&mut self, parts: &[Typed], want: bool, needs_all: bool) -> Test {
        let mut parts: Vec<&Typed> = parts.iter().collect();
        parts.sort_by_key(|part| cost(part));
        let tests: Vec<Test> = parts.into_iter().map(|part| self.test(part, want)).collect();
        if needs_all { all(tests) } else { any(tests) }
    }

    fn texts(&mut self, two: &[Typed], want: bool, holds: fn(&str, &str) -> bool) -> Test {
        let [text, part] = two else { return Box::new(|_| false) };
        let (text, part) = (self.text(text), self.text(part));
        Box::new(move |row| match (text.read(row), part.read(row)) {
            (Some(text), Some(part)) => holds(&text, &part) == want,
            _ => false,
        })
    }

    // === comparisons ===

    fn compare(&mut self, op: Comparison, left: &Typed, right: &Typed) -> Test {
        match left.ty.rep() {
            Rep::Num => {
                let left = self.number(left);
                left.compared(op, self.number(right))
            }
            Rep::Money => {
                let left = self.pair(left);
                left.compared_as_money(op, self.pair(right))
            }
            Rep::Geo => {
                let left = self.pair(left);
                left.compared_as_place(op == Comparison::Equal, self.pair(right))
            }
            Rep::Id => {
                let left = self.hash(left);
                left.compared(op == Comparison::Equal, self.hash(right))
            }
            Rep::Ip => {
                let (left, right) = (self.address(left), self.address(right));
                let want = op == Comparison::Equal;
                Box::new(move |row| match (left.read(row), right.read(row)) {
                    (MISSING_ADDRESS, _) | (_, MISSING_ADDRESS) => false,
                    (left, right) => (left == right) == want,
                })
            }
        }
    }

    fn missing(&mut self, typed: &Typed, want: bool) -> Test {
        match typed.ty.rep() {
            Rep::Num => match self.number(typed) {
                Number::Slot(at) => Box::new(move |row| slot(row, at).is_nan() == want),
                number => {
                    let number = number.boxed();
                    Box::new(move |row| number(row).is_nan() == want)
                }
            },
            Rep::Money | Rep::Geo => {
                let pair = self.pair(typed);
                Box::new(move |row| {
                    let (first, second) = pair.read(row);
                    (first.is_nan() || second.is_nan()) == want
                })
            }
            Rep::Id => match self.hash(typed) {
                Hash::Slot(at) => Box::new(move |row| (id(row, at) == 0) == want),
                hash => Box::new(move |row| (hash.read(row) == 0) == want),
            },
            Rep::Ip => {
                let address = self.address(typed);
                Box::new(move |row| (address.read(row) == MISSING_ADDRESS) == want)
            }
        }
    }
}

/// A number's slot; missing where there is none.
pub(super) fn slot(row: &Row<'_>, at: usize) -> f64 {
    row.numbers.get(at).copied().unwrap_or(f64::NAN)
}

/// An id's slot; missing where there is none.
pub(super) fn id(row: &Row<'_>, at: usize) -> u64 {
    row.ids.get(at).copied().unwrap_or(0)
}

/// What a condition costs, roughly, in comparisons of slots.
fn cost(typed: &Typed) -> u32 {
    let own = match &typed.node {
        Node::Constant(_) => 0,
        Node::InList(..) => 8,
        Node::Matches(..) => 100,
        Node::Call(Function::Abs | Function::Min | Function::Max, _) => 2,
        Node::Call(Function::DistanceKm | Function::SpeedKmh, _) => 40,
        Node::Call(..) => 60,
        _ => 1,
    };
    typed.parts().into_iter().map(cost).fold(own, u32::saturating_add)
}

/// All of them. Two, three and four are the usual: each call is then direct.
fn all(tests: Vec<Test>) -> Test {
    let tests = match <[Test; 2]>::try_from(tests) {
        Ok([a, b]) => return Box::new(move |row| a(row) && b(row)),
        Err(tests) => tests,
    };
    let tests = match <[Test; 3]>::try_from(tests) {
        Ok([a, b, c]) => return Box::new(move |row| a(row) && b(row) && c(row)),
        Err(tests) => tests,
    };
    match <[Test; 4]>::try_from(tests) {
        Ok([a, b, c, d]) => Box::new(move |row| a(row) && b(row) && c(row) && d(row)),
        Err(tests) => Box::new(move |row| tests.iter().all(|test| test(row))),
    }
}

/// At least one of them.
fn any(tests: Vec<Test>) -> Test {
    let tests = match <[Test; 2]>::try_from(tests) {
        Ok([a, b]) => return Box::new(move |row| a(row) || b(row)),
        Err(tests) => tests,
    };
    let tests = match <[Test; 3]>::try_from(tests) {
        Ok([a, b, c]) => return Box::new(move |row| a(row) || b(row) || c(row)),
        Err(tests) => tests,
    };
    match <[Test; 4]>::try_from(tests) {
        Ok([a, b, c, d]) => Box::new(move |row| a(row) || b(row) || c(row) || d(row)),
        Err(tests) => Box::new(move |row| tests.iter().any(|test| test(row))),
    }
}
