//! What a condition says about one variable, and the values of that variable that decide it.
//!
//! Guarantees: two values between which no constant lies are never told apart by a [`Form`], so that trying one of
//! each is trying all; missing is tried where the variable can be missing. Does not know where variables come from.

use std::rc::Rc;

use super::super::expr::{Comparison, Ty};
use super::currency::Supposed;
use super::reckon::ANY;
use crate::event::{Currency, Value};

/// Constants beyond which a form is not tried.
const CONSTANTS_MAX: usize = 64;

/// A condition, or a value, in which one variable stands.
#[derive(Debug)]
pub(super) enum Form {
    Variable,
    Constant(Known),
    Not(Rc<Form>),
    And(Vec<Rc<Form>>),
    Or(Vec<Rc<Form>>),
    Compare(Comparison, Rc<Form>, Rc<Form>),
    InSet(Rc<Form>, Vec<Known>),
    IsMissing(Rc<Form>),
    Coalesce(Rc<Form>, Rc<Form>),
}

/// A value as far as comparisons can tell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Known {
    Missing,
    Bool(bool),
    /// A number; a duration and a time in ms.
    Number(f64),
    /// Minor units; without a currency: of one that no constant has.
    Money(f64, Option<Currency>),
    /// Anything that is only equal or not.
    Is(Value<'static>),
    /// One that no constant is.
    Other,
}

/// What values a variable can have.
#[derive(Debug, Clone)]
pub(super) struct Domain {
    pub ty: Ty,
    /// The least and the largest of a number.
    pub range: (f64, f64),
    /// Whether a number has no fraction.
    pub is_whole: bool,
    /// The words of a closed list that it can be.
    pub words: Vec<&'static str>,
    /// What a truth can be.
    pub truths: Vec<bool>,
    pub is_nullable: bool,
    /// The currency of an amount, where one is supposed.
    pub supposed: Option<Supposed>,
    /// What is true of every value but missing.
    pub only: Vec<Rc<Form>>,
}

impl Known {
    pub fn of(value: &Value<'static>) -> Known {
        match value {
            Value::Missing => Known::Missing,
            Value::Bool(v) => Known::Bool(*v),
            Value::Int(n) | Value::Duration(n) => Known::Number(*n as f64),
            Value::Float(n) => Known::Number(*n),
            Value::Time(time) => Known::Number(time.0 as f64),
            Value::Money(money) => Known::Money(money.minor as f64, Some(money.currency)),
            Value::Ip(ip) => Known::Is(Value::Ip(ip.to_canonical())),
            other => Known::Is(other.clone()),
        }
    }

    /// `None` is unknown.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Known::Bool(truth) => Some(*truth),
            _ => None,
        }
    }
}

impl Form {
    /// Its value where the variable has this one.
    pub fn value(&self, variable: &Known) -> Known {
        let truth = |form: &Form| form.value(variable).truth();
        let known = |truth: Option<bool>| truth.map_or(Known::Missing, Known::Bool);
        match self {
            Form::Variable => variable.clone(),
            Form::Constant(value) => value.clone(),
            Form::Not(inner) => known(truth(inner).map(|truth| !truth)),
            Form::And(parts) => known(joined(parts.iter().map(|part| truth(part)), false)),
            Form::Or(parts) => known(joined(parts.iter().map(|part| truth(part)), true)),
            Form::Compare(how, left, right) => known(compare(*how, &left.value(variable), &right.value(variable))),
            Form::InSet(inner, set) => {
                let left = inner.value(variable);
                known(joined(set.iter().map(|one| compare(Comparison::Equal, &left, one)), true))
            }
            Form::IsMissing(inner) => Known::Bool(inner.value(variable) == Known::Missing),
            Form::Coalesce(first, second) => match first.value(variable) {
                Known::Missing => second.value(variable),
                found => found,
            },
        }
    }

    /// Its value, where it is a constant.
    pub fn known(&self) -> Option<&Known> {
        match self {
            Form::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// The least and the largest number it can be, of one variable.
    pub fn range(&self, variable: (f64, f64)) -> (f64, f64) {
        match self {
            Form::Variable => variable,
            Form::Constant(Known::Number(n) | Known::Money(n, _)) => (*n, *n),
            Form::Coalesce(first, second) => {
                let (a, b) = (first.range(variable), second.range(variable));
                (a.0.min(b.0), a.1.max(b.1))
            }
            _ => ANY,
        }
    }

    /// Every constant in it.
    pub fn constants<'f>(&'f self, into: &mut Vec<&'f Known>) {
        match self {
            Form::Variable => {}
            Form::Constant(value) => into.push(value),
            Form::Not(inner) | Form::IsMissing(inner) => inner.constants(into),
            Form::And(parts) | Form::Or(parts) => parts.iter().for_each(|part| part.constants(into)),
            Form::Compare(_, a, b) | Form::Coalesce(a, b) => {
                a.constants(into);
                b.constants(into);
            }
            Form::InSet(inner, set) => {
                inner.constants(into);
                into.extend(set);
            }
        }
    }
}

/// What `and` (deciding: false) and `or` (deciding: true) make of their parts.
fn joined(mut parts: impl Iterator<Item = Option<bool>>, deciding: bool) -> Option<bool> {
    let folded = parts.try_fold(Some(!deciding), |all, part| match part {
        Some(truth) if truth == deciding => Err(()),
        Some(_) => Ok(all),
        None => Ok(None),
    });
    folded.unwrap_or(Some(deciding))
}

fn compare(how: Comparison, a: &Known, b: &Known) -> Option<bool> {
    let numbers = |a: f64, b: f64| match how {
        Comparison::Equal => a == b,
        Comparison::NotEqual => a != b,
        Comparison::Less => a < b,
        Comparison::LessOrEqual => a <= b,
        Comparison::Greater => a > b,
        Comparison::GreaterOrEqual => a >= b,
    };
    match (a, b) {
        (Known::Missing, _) | (_, Known::Missing) => None,
        (Known::Number(a), Known::Number(b)) => Some(numbers(*a, *b)),
        (Known::Money(a, one), Known::Money(b, other)) => (one == other).then(|| numbers(*a, *b)),
        (a, b) => Some((a == b) == (how == Comparison::Equal)),
    }
}

/// One value of each kind that these forms can tell apart; `None` where there are too many.
pub(super) fn values(domain: &Domain, forms: &[&Form]) -> Option<Vec<Known>> {
    let mut constants = Vec::new();
    forms.iter().for_each(|form| form.constants(&mut constants));
    domain.only.iter().for_each(|form| form.constants(&mut constants));
    constants.dedup();
    if constants.len() > CONSTANTS_MAX {
        return None;
    }
    let mut values = match domain.ty {
        Ty::Bool => domain.truths.iter().map(|truth| Known::Bool(*truth)).collect(),
        Ty::Word(_) => domain.words.iter().map(|word| Known::Is(Value::Word(word))).collect(),
        Ty::Int | Ty::Float | Ty::Duration | Ty::Time => {
            let points = constants.iter().filter_map(|value| match value {
                Known::Number(n) => Some(*n),
                _ => None,
            });
            around(points, domain).into_iter().map(Known::Number).collect()
        }
        Ty::Money => amounts(&constants, domain),
        _ => {
            let mut values: Vec<Known> = Vec::new();
            for value in constants.iter().filter(|value| matches!(value, Known::Is(_))) {
                if !values.contains(value) {
                    values.push((*value).clone());
                }
            }
            values.push(Known::Other);
            values
        }
    };
    values.retain(|value| domain.only.iter().all(|form| form.value(value).truth() == Some(true)));
    if domain.is_nullable {
        values.push(Known::Missing);
    }
    Some(values)
}

/// Amounts around the constants of each currency, and one of another.
fn amounts(constants: &[&Known], domain: &Domain) -> Vec<Known> {
    if let Some(Supposed(currency)) = domain.supposed {
        let points = constants.iter().filter_map(|value| match value {
            Known::Money(minor, of) if *of == currency => Some(*minor),
            _ => None,
        });
        return around(points, domain).into_iter().map(|minor| Known::Money(minor, currency)).collect();
    }
    let mut currencies: Vec<Currency> = Vec::new();
    for value in constants {
        if let Known::Money(_, Some(currency)) = value
            && !currencies.contains(currency)
        {
            currencies.push(*currency);
        }
    }
    let mut values = vec![Known::Money(0.0, None)];
    for currency in currencies {
        let points = constants.iter().filter_map(|value| match value {
            Known::Money(minor, of) if *of == Some(currency) => Some(*minor),
            _ => None,
        });
        values.extend(around(points, domain).into_iter().map(|minor| Known::Money(minor, Some(currency))));
    }
    values
}

/// Each point within the range, one between each two, one below all and one above all.
fn around(points: impl Iterator<Item = f64>, domain: &Domain) -> Vec<f64> {
    let (least, largest) = domain.range;
    let near = |n: f64| match domain.is_whole {
        true => [n.floor() - 1.0, n.floor(), n.ceil(), n.ceil() + 1.0],
        false => [n.next_down(), n, n, n.next_up()],
    };
    let ends = [least, largest].into_iter().filter(|end| end.is_finite());
    let mut all: Vec<f64> = points.chain(ends).flat_map(near).chain([0.0]).collect();
    all.retain(|n| (least..=largest).contains(n));
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}
