//! The functions of the language: their names, what they take and what they give.
//!
//! Guarantees: one list is the truth for the checker, "did you mean" and the documentation. What a function
//! computes is the compiler's.

use std::ops::Range;
use std::sync::Arc;

use regex::RegexBuilder;

use super::ast::Expr;
use super::check::{Checker, NO_CLOCK};
use super::money::ONE_CURRENCY;
use super::operands::{a, hint, is_number, joined};
use super::typed::{Node, Typed};
use super::{Ty, codes};
use crate::event::Value;
use crate::report::{Problem, did_you_mean};

/// Size of one compiled pattern, at most, bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A function. `matches` is not among them: its pattern is part of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// Kilometres between two points.
    DistanceKm,
    /// Kilometres per hour from one point to the other in a duration; infinite over no time, 0 where the
    /// points are the same.
    SpeedKmh,
    /// The text in lower case.
    Lower,
    /// Does the text start with the other?
    StartsWith,
    /// Does the text end with the other?
    EndsWith,
    /// Does the text contain the other?
    Contains,
    /// What stands after the last `@`, in lower case; missing without one.
    Domain,
    /// Hour of the day in a zone, 0 to 23.
    Hour,
    /// Day of the week in a zone, 1 (Monday) to 7, as ISO 8601 numbers them.
    Weekday,
    /// Day of the month in a zone, 1 to 31.
    DayOfMonth,
    /// Without its sign.
    Abs,
    /// The least.
    Min,
    /// The largest.
    Max,
}

/// What a function takes at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Place,
    Duration,
    Time,
    Text,
    /// An IANA zone; a literal one is looked up now.
    Zone,
    /// A literal regular expression.
    Pattern,
    /// A number, money or a duration.
    Quantity,
    /// A quantity or a time, of the type of the first; two or more of them.
    Alike,
}

/// How a function of this name is written.
pub(super) fn usage(name: &str) -> Option<&'static str> {
    CATALOGUE.iter().find(|row| row.name == name).map(|row| row.usage)
}

/// The names of all functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CATALOGUE.iter().map(|row| row.name)
}

impl Takes {
    fn named(self) -> &'static str {
        match self {
            Takes::Place => "a place",
            Takes::Duration => "a duration",
            Takes::Time => "a time",
            Takes::Text => "text",
            Takes::Zone => "a time zone",
            Takes::Pattern => "a literal pattern",
            Takes::Quantity => "a number, money or a duration",
            Takes::Alike => "a number, money, a duration or a time",
        }
    }

    fn takes(self, ty: Ty) -> bool {
        match self {
            Takes::Place => ty == Ty::Geo,
            Takes::Duration => ty == Ty::Duration,
            Takes::Time => ty == Ty::Time,
            Takes::Text => matches!(ty, Ty::Text | Ty::Id(_)),
            Takes::Zone | Takes::Pattern => ty == Ty::Text,
            Takes::Quantity => is_number(ty) || matches!(ty, Ty::Money | Ty::Duration),
            Takes::Alike => is_number(ty) || matches!(ty, Ty::Money | Ty::Duration | Ty::Time),
        }
    }
}

/// A row of the catalogue. Without a function: `matches`.
struct Row {
    name: &'static str,
    function: Option<Function>,
    takes: &'static [Takes],
    gives: Ty,
    nullable: bool,
    /// As the help shows it.
    usage: &'static str,
}

#[rustfmt::skip]
const CATALOGUE: &[Row] = &[
    row("distance_km", Function::DistanceKm, &[Takes::Place, Takes::Place], Ty::Float, "distance_km(place, place)"),
    row("speed_kmh", Function::SpeedKmh, &[Takes::Place, Takes::Place, Takes::Duration], Ty::Float,
        "speed_kmh(place, place, duration)"),
    row("lower", Function::Lower, &[Takes::Text], Ty::Text, "lower(text)"),
    row("starts_with", Function::StartsWith, &[Takes::Text, Takes::Text], Ty::Bool, "starts_with(text, start)"),
    row("ends_with", Function::EndsWith, &[Takes::Text, Takes::Text], Ty::Bool, "ends_with(text, end)"),
    row("contains", Function::Contains, &[Takes::Text, Takes::Text], Ty::Bool, "contains(text, part)"),
    Row { function: None,
        ..row("matches", Function::Contains, &[Takes::Text, Takes::Pattern], Ty::Bool, "matches(text, \"pattern\")") },
    Row { nullable: true, ..row("domain", Function::Domain, &[Takes::Text], Ty::Text, "domain(text)") },
    Row { nullable: true, ..row("hour", Function::Hour, &[Takes::Time, Takes::Zone], Ty::Int, "hour(time, zone)") },
    Row { nullable: true,
        ..row("weekday", Function::Weekday, &[Takes::Time, Takes::Zone], Ty::Int, "weekday(time, zone)") },
    Row { nullable: true,
        ..row("day_of_month", Function::DayOfMonth, &[Takes::Time, Takes::Zone], Ty::Int, "day_of_month(time, zone)") },
    row("abs", Function::Abs, &[Takes::Quantity], Ty::Float, "abs(x)"),
    row("min", Function::Min, &[Takes::Alike, Takes::Alike], Ty::Float, "min(a, b)"),
    row("max", Function::Max, &[Takes::Alike, Takes::Alike], Ty::Float, "max(a, b)"),
];

const fn row(name: &'static str, function: Function, takes: &'static [Takes], gives: Ty, usage: &'static str) -> Row {
    Row { name, function: Some(function), takes, gives, nullable: false, usage }
}

impl Row {
    /// `min` and `max` take any number from two on.
    fn is_open(&self) -> bool {
        self.takes.first() == Some(&Takes::Alike)
    }

    fn fits(&self, count: usize) -> bool {
        count == self.takes.len() || self.is_open() && count > self.takes.len()
    }
}

impl Checker<'_, '_> {
    /// A call: the function exists, and so many arguments of these types fit.
    pub(super) fn call(
        &mut self,
        name: &str,
        name_span: &Range<usize>,
        arguments: &[Expr],
        span: &Range<usize>,
    ) -> Option<Typed> {
        let typed: Vec<Option<Typed>> = arguments.iter().map(|one| self.expr(one)).collect();
        let Some(row) = CATALOGUE.iter().find(|row| row.name == name) else {
            let problem = self.problem(codes::UNKNOWN_FUNCTION, name_span, format!("unknown function `{name}`"));
            let near = did_you_mean(name, names());
            let known = || names().collect::<Vec<_>>().join(", ");
            self.tell(match (near, name) {
                (_, "now" | "today") => problem.help(NO_CLOCK),
                (_, "upper" | "uppercase" | "to_upper") => {
                    problem.help("there is only `lower`: compare with a text in lower case")
                }
                (Some(near), _) => problem.fix(name_span.clone(), near),
                (None, _) => problem.help(format!("there are: {}", known())),
            });
            return None;
        };
        if !row.fits(arguments.len()) {
            self.wrong_count(row, arguments.len(), span);
            return None;
        }
        // Each argument is looked at, so that two wrong ones are told together.
        let fit: Vec<Option<Typed>> = typed
            .into_iter()
            .enumerate()
            .map(|(at, typed)| self.argument(row, at, typed?, &arguments[at].span))
            .collect();
        let fit: Vec<Typed> = fit.into_iter().collect::<Option<_>>()?;
        if let Some(problem) = self.never_part(row, &fit, arguments) {
            self.tell(problem);
            return None;
        }
        let nullable = row.nullable || fit.iter().any(|one| one.nullable);
        match row.function {
            Some(Function::Abs | Function::Min | Function::Max) => self.alike(row, fit, arguments, span),
            Some(function) => Some(self.typed(Node::Call(function, fit), row.gives, nullable, span)),
            None => self.matches(fit, arguments, span),
        }
    }

    /// What is said of a part that a text in lower case never has.
    fn never_part(&self, row: &Row, fit: &[Typed], arguments: &[Expr]) -> Option<Problem> {
        let looks_for = matches!(row.function, Some(Function::StartsWith | Function::EndsWith | Function::Contains));
        let ([text, part], [text_at, part_at]) = (fit, arguments) else { return None };
        let Node::Constant(Value::Text(literal)) = &part.node else { return None };
        looks_for.then(|| self.never_lower(literal, &part_at.span, text, &text_at.span))?
    }

    fn wrong_count(&mut self, row: &Row, count: usize, span: &Range<usize>) {
        let least = row.takes.len();
        let wanted = match (least, row.is_open()) {
            (1, _) => "one argument".to_string(),
            (n, true) => format!("at least {n} arguments"),
            (n, false) => format!("{n} arguments"),
        };
        let message = format!("`{}` takes {wanted}, not {count}", row.name);
        let problem = self.problem(codes::ARGUMENT_COUNT, span, message).help(format!("write `{}`", row.usage));
        self.tell(problem);
    }

    fn argument(&mut self, row: &Row, at: usize, typed: Typed, span: &Range<usize>) -> Option<Typed> {
        let takes = *row.takes.get(at).or(row.takes.last())?;
        if !takes.takes(typed.ty) {
            let message = format!("`{}` takes {} here, not {}", row.name, takes.named(), a(typed.ty));
            let problem = self.problem(codes::ARGUMENT_TYPE, span, message).help(format!("write `{}`", row.usage));
            self.tell(problem);
            return None;
        }
        if takes == Takes::Zone
            && let Node::Constant(Value::Text(zone)) = &typed.node
            && jiff::tz::TimeZone::get(zone).is_err()
        {
            let problem = self.problem(codes::UNKNOWN_ZONE, span, format!("unknown time zone \"{zone}\""));
            let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
            let near = did_you_mean(zone, names.iter().map(String::as_str));
            let problem = match near {
                Some(_) => self.instead(problem, span, near),
                None => problem.help("zones are called as `Asia/Shanghai`"),
            };
            self.tell(problem);
            return None;
        }
        Some(typed)
    }

    /// `abs`, `min`, `max`: of the type of what they are given.
    fn alike(&mut self, row: &Row, fit: Vec<Typed>, arguments: &[Expr], span: &Range<usize>) -> Option<Typed> {
        let function = row.function?;
        let first = fit.first()?.ty;
        let mut ty = first;
        for (one, argument) in fit.iter().zip(arguments) {
            let Some(both) = joined(ty, one.ty) else {
                let message = format!("`{}` takes values of one type, not {} and {}", row.name, a(first), a(one.ty));
                let problem = hint(self.problem(codes::ARGUMENT_TYPE, &argument.span, message), first, one);
                self.tell(problem);
                return None;
            };
            ty = both;
        }
        for (at, one) in fit.iter().enumerate() {
            let other = fit.iter().take(at).find_map(|other| self.two_currencies(other, one));
            if let Some((one, other)) = other {
                let message = format!("`{}` takes amounts of one currency, not {one} and {other}", row.name);
                let problem = self.problem(codes::OPERAND_TYPES, span, message).help(ONE_CURRENCY);
                self.tell(problem);
                return None;
            }
        }
        // Two amounts can be of two currencies.
        let nullable = fit.iter().any(|one| one.nullable) || ty == Ty::Money && fit.len() > 1;
        Some(self.typed(Node::Call(function, fit), ty, nullable, span))
    }

    fn matches(&mut self, mut fit: Vec<Typed>, arguments: &[Expr], span: &Range<usize>) -> Option<Typed> {
        let (pattern, text) = (fit.pop()?, fit.pop()?);
        let pattern_span = &arguments.last()?.span;
        let Node::Constant(Value::Text(pattern)) = &pattern.node else {
            let problem = self.problem(codes::NOT_CONSTANT, pattern_span, "the pattern of `matches` is a literal text");
            self.tell(problem);
            return None;
        };
        let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build();
        match built {
            Ok(regex) => {
                let nullable = text.nullable;
                Some(self.typed(Node::Matches(Box::new(text), Arc::new(regex)), Ty::Bool, nullable, span))
            }
            Err(error) => {
                let problem = self.problem(codes::BAD_PATTERN, pattern_span, why(&error));
                self.tell(problem);
                None
            }
        }
    }
}

/// The one line of a pattern's error that says what is wrong.
fn why(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => format!("this pattern needs more than {} KiB", PATTERN_BYTES_MAX / 1024),
        other => {
            let text = other.to_string();
            let line = text.lines().last().unwrap_or_default();
            format!("this pattern cannot be used: {}", line.strip_prefix("error: ").unwrap_or(line))
        }
    }
}
