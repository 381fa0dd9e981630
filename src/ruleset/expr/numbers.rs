//! Compiled numbers.
//!
//! Guarantees: missing is NaN and stays NaN through arithmetic; division by zero is missing. Whatever is one
//! number in a row is one here: durations and times in ms, words, countries and asns by their index, true
//! and false as 1 and 0. Pairs of numbers are `pairs.rs`.

use super::ast::{Arithmetic, Comparison};
use super::compile::{Compiler, Test, slot};
use super::functions::Function;
use super::typed::{Node, Typed};
use super::{Row, Ty};
use crate::event::{Millis, Point, Value};
use crate::ruleset::row::Rep;

/// A compiled number.
pub(super) type NumberFn = Box<dyn Fn(&Row<'_>) -> f64 + Send + Sync>;

const MS_PER_HOUR: f64 = 3_600_000.0;

/// Where a number comes from. Slots and constants are told apart so that the usual comparisons are one
/// closure each.
pub(super) enum Number {
    Slot(usize),
    Constant(f64),
    Computed(NumberFn),
}

impl Number {
    pub fn boxed(self) -> NumberFn {
        match self {
            Number::Slot(at) => Box::new(move |row| slot(row, at)),
            Number::Constant(n) => Box::new(move |_| n),
            Number::Computed(number) => number,
        }
    }

    /// A comparison that is false where one of both is missing.
    pub fn compared(self, op: Comparison, other: Number) -> Test {
        match (self, other) {
            (Number::Slot(at), Number::Constant(c)) => ordered(op, move |row| slot(row, at), move |_| c),
            (Number::Constant(c), Number::Slot(at)) => ordered(op.mirrored(), move |row| slot(row, at), move |_| c),
            (Number::Slot(a), Number::Slot(b)) => ordered(op, move |row| slot(row, a), move |row| slot(row, b)),
            (Number::Computed(left), Number::Constant(c)) => ordered(op, left, move |_| c),
            (left, right) => ordered(op, left.boxed(), right.boxed()),
        }
    }
}

pub(super) fn ordered<L, R>(op: Comparison, left: L, right: R) -> Test
where
    L: Fn(&Row<'_>) -> f64 + Send + Sync + 'static,
    R: Fn(&Row<'_>) -> f64 + Send + Sync + 'static,
{
    match op {
        Comparison::Equal => Box::new(move |row| left(row) == right(row)),
        Comparison::NotEqual => Box::new(move |row| differ(left(row), right(row))),
        Comparison::Less => Box::new(move |row| left(row) < right(row)),
        Comparison::LessOrEqual => Box::new(move |row| left(row) <= right(row)),
        Comparison::Greater => Box::new(move |row| left(row) > right(row)),
        Comparison::GreaterOrEqual => Box::new(move |row| left(row) >= right(row)),
    }
}

/// Both known and not the same: `!=` of floats alone would be true of NaN.
pub(super) fn differ(left: f64, right: f64) -> bool {
    left != right && !left.is_nan() && !right.is_nan()
}

/// Whether `op` holds of two numbers; false where one is NaN.
pub(super) fn holds(op: Comparison, left: f64, right: f64) -> bool {
    match op {
        Comparison::Equal => left == right,
        Comparison::NotEqual => differ(left, right),
        Comparison::Less => left < right,
        Comparison::LessOrEqual => left <= right,
        Comparison::Greater => left > right,
        Comparison::GreaterOrEqual => left >= right,
    }
}

/// A constant as a row lays it out; NaN for what is no number.
pub(super) fn of(value: &Value<'_>, ty: Ty) -> f64 {
    match value {
        Value::Bool(v) => f64::from(u8::from(*v)),
        Value::Int(v) | Value::Duration(v) => *v as f64,
        Value::Float(v) => *v,
        Value::Time(v) => v.0 as f64,
        Value::Asn(v) => f64::from(*v),
        Value::Country(v) => f64::from(v.number()),
        Value::Word(word) => match ty {
            Ty::Word(words) => word_index(words, word).unwrap_or(f64::NAN),
            _ => f64::NAN,
        },
        _ => f64::NAN,
    }
}

/// The number of a word.
pub(super) fn word_index(words: &[&str], word: &str) -> Option<f64> {
    let at = words.iter().position(|w| *w == word)?;
    u16::try_from(at).ok().map(f64::from)
}

impl Compiler<'_> {
    /// Anything that is one number in a row.
    pub fn number(&mut self, typed: &Typed) -> Number {
        match &typed.node {
            Node::Constant(value) => Number::Constant(of(value, typed.ty)),
            Node::Name(name) => Number::Slot(self.cell(*name, typed.ty).at.into()),
            Node::Negate(inner) => {
                let inner = self.number(inner).boxed();
                Number::Computed(Box::new(move |row| -inner(row)))
            }
            Node::Coalesce(left, right) => {
                let (left, right) = (self.number(left).boxed(), self.number(right).boxed());
                Number::Computed(Box::new(move |row| match left(row) {
                    n if n.is_nan() => right(row),
                    n => n,
                }))
            }
            Node::Arithmetic(Arithmetic::Divide, left, right) if left.ty == Ty::Money => self.ratio(left, right),
            Node::Arithmetic(op, left, right) => {
                let (left, right) = (self.number(left), self.number(right));
                calculated(*op, left, right)
            }
            Node::Call(function, arguments) if typed.ty != Ty::Bool => {
                Number::Computed(self.called(*function, arguments))
            }
            _ => Number::Computed(self.truth(typed)),
        }
    }

    /// Money by money.
    fn ratio(&mut self, left: &Typed, right: &Typed) -> Number {
        let (left, right) = (self.pair(left), self.pair(right));
        Number::Computed(Box::new(move |row| {
            let ((left, one), (right, other)) = (left.read(row), right.read(row));
            if one == other { divided(left, right) } else { f64::NAN }
        }))
    }

    /// A condition as a value: 1, 0 or NaN. Each part is evaluated once, so that conditions inside of
    /// comparisons cost what their text says.
    fn truth(&mut self, typed: &Typed) -> NumberFn {
        match &typed.node {
            Node::Not(inner) => {
                let inner = self.number(inner).boxed();
                Box::new(move |row| 1.0 - inner(row))
            }
            Node::And(parts) => self.decided_by(parts, 0.0),
            Node::Or(parts) => self.decided_by(parts, 1.0),
            Node::Compare(op, left, right) if left.ty.rep() == Rep::Num => {
                let (op, left, right) = (*op, self.number(left).boxed(), self.number(right).boxed());
                Box::new(move |row| {
                    let (left, right) = (left(row), right(row));
                    if left.is_nan() || right.is_nan() { f64::NAN } else { bit(holds(op, left, right)) }
                })
            }
            Node::IsMissing(_) => {
                let test = self.test(typed, true);
                Box::new(move |row| bit(test(row)))
            }
            Node::InSet(left, values) if left.ty.rep() == Rep::Num => {
                let values: Vec<f64> = values.iter().map(|value| of(value, left.ty)).collect();
                let left = self.number(left).boxed();
                Box::new(move |row| match left(row) {
                    n if n.is_nan() => n,
                    n => bit(values.contains(&n)),
                })
            }
            // What is left asks about values that hold no conditions.
            _ => {
                let (is_true, is_false) = (self.test(typed, true), self.test(typed, false));
                Box::new(move |row| match () {
                    () if is_true(row) => 1.0,
                    () if is_false(row) => 0.0,
                    () => f64::NAN,
                })
            }
        }
    }

    /// `and` and `or`: one part of the deciding value decides; otherwise one unknown part makes it unknown.
    fn decided_by(&mut self, parts: &[Typed], deciding: f64) -> NumberFn {
        let parts: Vec<NumberFn> = parts.iter().map(|part| self.number(part).boxed()).collect();
        Box::new(move |row| {
            let mut all = 1.0 - deciding;
            for part in &parts {
                match part(row) {
                    n if n == deciding => return deciding,
                    n if n.is_nan() => all = n,
                    _ => {}
                }
            }
            all
        })
    }

    fn called(&mut self, function: Function, arguments: &[Typed]) -> NumberFn {
        match (function, arguments) {
            (Function::DistanceKm, [from, to]) => {
                let (from, to) = (self.pair(from), self.pair(to));
                Box::new(move |row| distance_km(from.read(row), to.read(row)))
            }
            (Function::SpeedKmh, [from, to, time]) => {
                let (from, to, time) = (self.pair(from), self.pair(to), self.number(time).boxed());
                Box::new(move |row| speed_kmh(distance_km(from.read(row), to.read(row)), time(row)))
            }
            (Function::Hour | Function::Weekday | Function::DayOfMonth, [time, zone]) => {
                let (time, zone) = (self.number(time).boxed(), self.zone(zone));
                Box::new(move |row| {
                    let time = time(row);
                    let local = if time.is_nan() { None } else { zone.local(Millis(time as i64), row) };
                    local.map_or(f64::NAN, |local| {
                        f64::from(match function {
                            Function::Hour => local.hour(),
                            Function::Weekday => local.weekday().to_monday_one_offset(),
                            _ => local.day(),
                        })
                    })
                })
            }
            (Function::Abs, [one]) => {
                let one = self.number(one).boxed();
                Box::new(move |row| one(row).abs())
            }
            (Function::Min | Function::Max, all) => {
                let all: Vec<NumberFn> = all.iter().map(|one| self.number(one).boxed()).collect();
                let keep = keeps(function);
                Box::new(move |row| {
                    let values = all.iter().map(|one| one(row));
                    values
                        .reduce(|best, next| if best.is_nan() || keep(best, next) { best } else { next })
                        .unwrap_or(f64::NAN)
                })
            }
            _ => Box::new(|_| f64::NAN),
        }
    }
}

fn calculated(op: Arithmetic, left: Number, right: Number) -> Number {
    if let (Number::Constant(left), Number::Constant(right)) = (&left, &right) {
        return Number::Constant(calculate(op, *left, *right));
    }
    let (left, right) = (left.boxed(), right.boxed());
    Number::Computed(match op {
        Arithmetic::Add => Box::new(move |row| left(row) + right(row)),
        Arithmetic::Subtract => Box::new(move |row| left(row) - right(row)),
        Arithmetic::Multiply => Box::new(move |row| left(row) * right(row)),
        Arithmetic::Divide => Box::new(move |row| divided(left(row), right(row))),
    })
}

/// What an operator makes of two numbers; NaN is missing.
pub(in crate::ruleset) fn calculate(op: Arithmetic, left: f64, right: f64) -> f64 {
    match op {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => divided(left, right),
    }
}

/// Division by zero is missing, not infinite.
fn divided(left: f64, right: f64) -> f64 {
    if right == 0.0 { f64::NAN } else { left / right }
}

fn bit(is_true: bool) -> f64 {
    f64::from(u8::from(is_true))
}

/// Whether the first of two is kept before the second. A second that is missing is not: it stays missing.
pub(super) fn keeps(function: Function) -> fn(f64, f64) -> bool {
    match function {
        Function::Min => |best, next| best <= next,
        _ => |best, next| best >= next,
    }
}

fn distance_km(from: (f64, f64), to: (f64, f64)) -> f64 {
    let point = |(latitude, longitude)| Point { latitude, longitude };
    if from.0.is_nan() || to.0.is_nan() {
        return f64::NAN;
    }
    point(from).distance_km(point(to))
}

/// Over no time another place is infinitely fast, the same place is at rest.
fn speed_kmh(distance_km: f64, time_ms: f64) -> f64 {
    match () {
        () if distance_km.is_nan() || time_ms.is_nan() => f64::NAN,
        () if distance_km == 0.0 => 0.0,
        () if time_ms <= 0.0 => f64::INFINITY,
        () => distance_km / (time_ms / MS_PER_HOUR),
    }
}
