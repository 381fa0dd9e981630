//! Compiled pairs of numbers: money (minor units, currency) and places (latitude, longitude).
//!
//! Guarantees: a pair is missing where one of its numbers is; two currencies never meet in one amount or
//! one comparison.

use super::Row;
use super::Ty;
use super::ast::{Arithmetic, Comparison};
use super::compile::{Compiler, Test, slot};
use super::functions::Function;
use super::numbers::{Number, calculate, holds, keeps, ordered};
use super::typed::{Node, Typed};
use crate::event::Value;

/// Two compiled numbers: minor units and currency, or latitude and longitude.
type PairFn = Box<dyn Fn(&Row<'_>) -> (f64, f64) + Send + Sync>;

const MISSING_PAIR: (f64, f64) = (f64::NAN, f64::NAN);

/// Where a pair comes from.
pub(super) enum Pair {
    Slot(usize),
    Constant(f64, f64),
    Computed(PairFn),
}

impl Pair {
    pub fn read(&self, row: &Row<'_>) -> (f64, f64) {
        match self {
            Pair::Slot(at) => (slot(row, *at), slot(row, at + 1)),
            Pair::Constant(first, second) => (*first, *second),
            Pair::Computed(pair) => pair(row),
        }
    }

    /// Amounts compare where their currencies are equal.
    pub fn compared_as_money(self, op: Comparison, other: Pair) -> Test {
        match (self, other) {
            (Pair::Slot(at), Pair::Constant(minor, currency)) => {
                let amount = ordered(op, move |row| slot(row, at), move |_| minor);
                Box::new(move |row| slot(row, at + 1) == currency && amount(row))
            }
            (left, right) => Box::new(move |row| {
                let ((left, one), (right, other)) = (left.read(row), right.read(row));
                one == other && holds(op, left, right)
            }),
        }
    }

    /// Places are the same or not.
    pub fn compared_as_place(self, want: bool, other: Pair) -> Test {
        Box::new(move |row| {
            let ((a, b), (c, d)) = (self.read(row), other.read(row));
            let is_known = !(a.is_nan() || b.is_nan() || c.is_nan() || d.is_nan());
            is_known && (a == c && b == d) == want
        })
    }
}

/// Money or a place as a row lays it out.
pub(super) fn pair_of(value: &Value<'_>) -> (f64, f64) {
    match value {
        Value::Money(money) => (money.minor as f64, f64::from(money.currency.number())),
        Value::Geo(point) => (point.latitude, point.longitude),
        _ => MISSING_PAIR,
    }
}

impl Compiler<'_> {
    /// Money or a place.
    pub fn pair(&mut self, typed: &Typed) -> Pair {
        match &typed.node {
            Node::Constant(value) => {
                let (first, second) = pair_of(value);
                Pair::Constant(first, second)
            }
            Node::Name(name) => Pair::Slot(self.cell(*name, typed.ty).at.into()),
            Node::Coalesce(left, right) => {
                let (left, right) = (self.pair(left), self.pair(right));
                Pair::Computed(Box::new(move |row| match left.read(row) {
                    (first, second) if first.is_nan() || second.is_nan() => right.read(row),
                    known => known,
                }))
            }
            Node::Negate(inner) => self.scaled(inner, Number::Constant(-1.0), Arithmetic::Multiply),
            Node::Arithmetic(op, left, right) => match (left.ty == Ty::Money, right.ty == Ty::Money) {
                (true, true) => self.added(*op, left, right),
                (true, false) => {
                    let by = self.number(right);
                    self.scaled(left, by, *op)
                }
                _ => {
                    let by = self.number(left);
                    self.scaled(right, by, *op)
                }
            },
            Node::Call(function, arguments) => self.picked(*function, arguments),
            _ => Pair::Constant(f64::NAN, f64::NAN),
        }
    }

    fn scaled(&mut self, money: &Typed, by: Number, op: Arithmetic) -> Pair {
        let (money, by) = (self.pair(money), by.boxed());
        Pair::Computed(Box::new(move |row| {
            let (minor, currency) = money.read(row);
            (calculate(op, minor, by(row)), currency)
        }))
    }

    fn added(&mut self, op: Arithmetic, left: &Typed, right: &Typed) -> Pair {
        let (left, right) = (self.pair(left), self.pair(right));
        Pair::Computed(Box::new(move |row| {
            let ((left, one), (right, other)) = (left.read(row), right.read(row));
            if one == other { (calculate(op, left, right), one) } else { MISSING_PAIR }
        }))
    }

    /// `abs`, `min` and `max` of money.
    fn picked(&mut self, function: Function, arguments: &[Typed]) -> Pair {
        let all: Vec<Pair> = arguments.iter().map(|one| self.pair(one)).collect();
        let keep = keeps(function);
        Pair::Computed(Box::new(move |row| {
            let values = all.iter().map(|one| one.read(row));
            let best = values.reduce(|best, next| match () {
                () if best.0.is_nan() || best.1 == next.1 && keep(best.0, next.0) => best,
                () if best.1 == next.1 => next,
                () => MISSING_PAIR,
            });
            match (function, best) {
                (Function::Abs, Some((minor, currency))) => (minor.abs(), currency),
                (_, best) => best.unwrap_or(MISSING_PAIR),
            }
        }))
    }
}
