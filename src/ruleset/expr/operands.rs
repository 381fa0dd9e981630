//! Which types an operator takes, and what it makes of them.
//!
//! Guarantees: ids compare only with their own kind, money only with money, a literal text becomes a value
//! of the type it meets or is reported. Everything not written here is an error with a hint. Does not walk
//! the tree.

use std::net::IpAddr;
use std::ops::Range;

use super::ast::{Arithmetic, Comparison, Expr, Kind};
use super::check::Checker;
use super::functions::Function;
use super::money::{ONE_CURRENCY, are_literals};
use super::typed::{Node, Typed};
use super::{Ty, codes, countries};
use crate::event::{Closed, EventType, Field, IdKind, Value};
use crate::report::{Problem, did_you_mean};
use crate::ruleset::model::Name;

/// What the language has where somebody looks for a date.
const NO_DATES: &str = "expressions hold no dates: compare two times, such as `time - last_ok.time < 24h`, or a part \
     of one, such as `hour(time, zone) >= 22`";

/// What of a place can be compared with a word.
const PARTS_OF_PLACE: &str = "compare a part of it: `geo.country`, `geo.city`, `geo.asn` or `geo.network`";

/// What other languages call something missing.
pub(super) const NULLS: [&str; 5] = ["null", "none", "None", "nil", "undefined"];

/// A type as people say it: `an amount of money`.
pub(in crate::ruleset) fn a(ty: Ty) -> &'static str {
    match ty {
        Ty::Bool => "true or false",
        Ty::Int => "a whole number",
        Ty::Float => "a number",
        Ty::Money => "an amount of money",
        Ty::Duration => "a duration",
        Ty::Time => "a time",
        Ty::Text => "text",
        Ty::Geo => "a place",
        Ty::Ip => "an ip",
        Ty::Asn => "an asn",
        Ty::Country => "a country",
        Ty::Id(IdKind::Event) => "an event id",
        Ty::Id(IdKind::Account) => "an account",
        Ty::Id(IdKind::LoginName) => "a login name",
        Ty::Id(IdKind::Device) => "a device",
        Ty::Id(IdKind::Session) => "a session",
        Ty::Id(IdKind::Payee) => "a payee",
        Ty::Id(IdKind::Merchant) => "a merchant",
        Ty::Id(IdKind::Client) => "a client",
        Ty::Word(_) => "a word of a closed list",
    }
}

/// A type in the plural: `accounts`.
pub(super) fn several(ty: Ty) -> &'static str {
    match ty {
        Ty::Bool => "truth values",
        Ty::Int => "whole numbers",
        Ty::Float => "numbers",
        Ty::Money => "amounts of money",
        Ty::Duration => "durations",
        Ty::Time => "times",
        Ty::Text => "texts",
        Ty::Geo => "places",
        Ty::Ip => "ips",
        Ty::Asn => "asns",
        Ty::Country => "countries",
        Ty::Id(IdKind::Event) => "event ids",
        Ty::Id(IdKind::Account) => "accounts",
        Ty::Id(IdKind::LoginName) => "login names",
        Ty::Id(IdKind::Device) => "devices",
        Ty::Id(IdKind::Session) => "sessions",
        Ty::Id(IdKind::Payee) => "payees",
        Ty::Id(IdKind::Merchant) => "merchants",
        Ty::Id(IdKind::Client) => "clients",
        Ty::Word(_) => "words of a closed list",
    }
}

/// Whether a type is a number of either kind.
pub(super) fn is_number(ty: Ty) -> bool {
    matches!(ty, Ty::Int | Ty::Float)
}

/// The type of two values that may stand in each other's place.
pub(super) fn joined(left: Ty, right: Ty) -> Option<Ty> {
    match (left, right) {
        _ if left == right => Some(left),
        _ if is_number(left) && is_number(right) => Some(Ty::Float),
        _ => None,
    }
}

fn has_order(ty: Ty) -> bool {
    matches!(ty, Ty::Int | Ty::Float | Ty::Money | Ty::Duration | Ty::Time)
}

fn constant(typed: &Typed) -> Option<&Value<'static>> {
    match &typed.node {
        Node::Constant(value) => Some(value),
        _ => None,
    }
}

fn constant_text(typed: &Typed) -> Option<&str> {
    match constant(typed) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// What a literal text is where a value of some type is wanted.
enum Met {
    Value(Value<'static>),
    /// Nothing, and why was told.
    Told,
    /// No text stands for a value of that type.
    Never,
}

impl Checker<'_, '_> {
    // === literals ===

    /// A literal text where a value like `like` is wanted; `like_span` is where that was written.
    fn meet(&mut self, text: &str, span: &Range<usize>, like: &Typed, like_span: &Range<usize>) -> Met {
        let told = |checker: &mut Self, problem: Problem| {
            checker.tell(problem);
            Met::Told
        };
        match like.ty {
            Ty::Text | Ty::Id(_) if text.is_empty() => {
                let message = format!("`{}` is never \"\"", self.written(like_span));
                let problem =
                    self.problem(codes::NEVER_EQUAL, span, message).help("empty text is missing: write `is missing`");
                told(self, problem)
            }
            Ty::Text | Ty::Id(_) => match self.never_lower(text, span, like, like_span) {
                Some(problem) => told(self, problem),
                None => Met::Value(Value::Text(text.to_string().into())),
            },
            Ty::Word(words) => match words.iter().find(|word| **word == text) {
                Some(word) => match self.never_here(word, span, like, like_span) {
                    Some(problem) => told(self, problem),
                    None => Met::Value(Value::Word(word)),
                },
                None => {
                    let message = format!("`{}` is never \"{text}\"", self.written(like_span));
                    let problem = self.problem(codes::NEVER_EQUAL, span, message);
                    let near = did_you_mean(&text.to_lowercase(), self.words(like).iter().copied());
                    let problem = match near {
                        Some(_) => self.instead(problem, span, near),
                        None => problem.help(format!("it is one of {}", self.words(like).join(", "))),
                    };
                    told(self, problem)
                }
            },
            Ty::Country => match countries::parse(text) {
                Ok(country) => Met::Value(Value::Country(country)),
                Err(near) => {
                    let problem = self.problem(codes::UNKNOWN_COUNTRY, span, format!("unknown country \"{text}\""));
                    let problem = match near {
                        Some(_) => self.instead(problem, span, near),
                        None => problem.help("countries are the codes of ISO 3166, such as \"CN\""),
                    };
                    told(self, problem)
                }
            },
            Ty::Ip => match text.parse::<IpAddr>() {
                Ok(ip) => Met::Value(Value::Ip(ip)),
                Err(_) => {
                    let problem = self.problem(codes::NOT_AN_ADDRESS, span, format!("\"{text}\" is not an address"));
                    let is_network = text.parse::<ipnet::IpNet>().is_ok();
                    let problem = if is_network {
                        problem.help("a network stands in a list: `ip in lists.NAME`")
                    } else {
                        problem
                    };
                    told(self, problem)
                }
            },
            _ => Met::Never,
        }
    }

    /// What is said of a text with large letters where a text in lower case is looked at.
    pub(super) fn never_lower(
        &self,
        text: &str,
        span: &Range<usize>,
        like: &Typed,
        like_span: &Range<usize>,
    ) -> Option<Problem> {
        let lower = text.to_lowercase();
        if lower == text || !is_lower(like) {
            return None;
        }
        let message = format!("`{}` is in lower case, and \"{text}\" is not", self.written(like_span));
        let problem = self.problem(codes::NEVER_EQUAL, span, message);
        Some(match self.written(span).contains('"') {
            true => self.instead(problem, span, Some(&lower)),
            false => problem.help(format!("it would have to be \"{lower}\"")),
        })
    }

    /// With another text in place of a literal's. In a quoted scalar the literal's own quotes are escaped.
    pub(super) fn instead(&self, problem: Problem, span: &Range<usize>, near: Option<&str>) -> Problem {
        let Some(near) = near else { return problem };
        let quote = if self.written(span).starts_with('\\') { "\\\"" } else { "\"" };
        problem.fix(span.clone(), format!("{quote}{near}{quote}"))
    }

    /// The words a value takes where the expression runs: `result` of a login is success or failure.
    fn words(&self, like: &Typed) -> Vec<&'static str> {
        let Ty::Word(words) = like.ty else { return Vec::new() };
        match like.node {
            Node::Name(Name::Field(field)) if field != Field::Type => {
                let types = self.on().and(field.types());
                if types.is_empty() {
                    return words.to_vec();
                }
                let is_here = |word: &str| types.iter().any(|ty| field.words_on(ty).contains(&word));
                words.iter().copied().filter(|word| is_here(word)).collect()
            }
            _ => words.to_vec(),
        }
    }

    /// What is said of a word that exists, but not on these event types.
    fn never_here(&self, word: &str, span: &Range<usize>, like: &Typed, like_span: &Range<usize>) -> Option<Problem> {
        let words = self.words(like);
        if words.contains(&word) {
            return None;
        }
        let on: Vec<&str> = self.on().iter().map(EventType::word).collect();
        let message = format!("`{}` is never \"{word}\" on {} events", self.written(like_span), on.join(", "));
        Some(self.problem(codes::NEVER_EQUAL, span, message).help(format!("it is one of {}", words.join(", "))))
    }

    /// A literal of a set, as a value of the type its left side has.
    pub(super) fn literal_of(&mut self, left: &Typed, left_at: &Expr, literal: &Expr) -> Option<Value<'static>> {
        let typed = self.expr(literal)?;
        if let Some(text) = constant_text(&typed) {
            match self.meet(text, &literal.span, left, &left_at.span) {
                Met::Value(value) => return Some(value),
                Met::Told => return None,
                Met::Never => {}
            }
        }
        if let Some((one, other)) = self.two_currencies(left, &typed) {
            let problem =
                self.problem(codes::OPERAND_TYPES, &literal.span, format!("cannot compare {one} with {other}"));
            self.tell(problem.help(ONE_CURRENCY));
            return None;
        }
        match (joined(left.ty, typed.ty), constant(&typed)) {
            (Some(_), Some(value)) => Some(value.clone()),
            _ => {
                let message = format!("cannot compare {} with {}", a(left.ty), a(typed.ty));
                let problem = self.problem(codes::OPERAND_TYPES, &literal.span, message);
                let problem = hint(problem, left.ty, &typed);
                self.tell(problem);
                None
            }
        }
    }

    // === comparisons ===

    pub(super) fn compare(&mut self, op: Comparison, l: &Expr, r: &Expr, span: &Range<usize>) -> Option<Typed> {
        let left = self.expr(l);
        if let Some(problem) = self.no_null(op, l, r, span) {
            self.tell(problem);
            return None;
        }
        if let Some(left) = &left
            && let Some(problem) = self.bare_word(left, r)
        {
            self.tell(problem);
            return None;
        }
        let right = self.expr(r);
        let (mut left, mut right) = (left?, right?);
        if let Some(text) = constant_text(&right).map(str::to_string) {
            let value = self.compared_text(op, &text, &r.span, (&left, &l.span), true)?;
            (right.node, right.ty) = (Node::Constant(value), left.ty);
        } else if let Some(text) = constant_text(&left).map(str::to_string) {
            let value = self.compared_text(op, &text, &l.span, (&right, &r.span), false)?;
            (left.node, left.ty) = (Node::Constant(value), right.ty);
        }
        if let Some(problem) = self.not_comparable(op, &left, &right, span) {
            self.tell(problem);
            return None;
        }
        // Two amounts can be of two currencies, which is unknown.
        let nullable = left.nullable || right.nullable || left.ty == Ty::Money;
        Some(self.typed(Node::Compare(op, Box::new(left), Box::new(right)), Ty::Bool, nullable, span))
    }

    /// A literal text on one side of a comparison, as a value of the type on the other side.
    fn compared_text(
        &mut self,
        op: Comparison,
        text: &str,
        span: &Range<usize>,
        (other, other_span): (&Typed, &Range<usize>),
        is_right: bool,
    ) -> Option<Value<'static>> {
        if has_order(other.ty) || matches!(other.ty, Ty::Bool | Ty::Asn | Ty::Geo) || op.orders() {
            let (left, right) = if is_right { (a(other.ty), "text") } else { ("text", a(other.ty)) };
            let message = format!("cannot compare {left} with {right} using `{}`", op.symbol());
            let problem = self.problem(codes::OPERAND_TYPES, span, message);
            let problem = if other.ty == Ty::Time {
                problem.help(NO_DATES)
            } else if other.ty == Ty::Geo {
                problem.help(PARTS_OF_PLACE)
            } else if other.ty != Ty::Bool && text.starts_with(|c: char| c.is_ascii_digit())
                || other.ty == Ty::Asn && text.starts_with("AS")
                || other.ty == Ty::Bool && matches!(text, "true" | "false")
            {
                problem.help("remove the quotes")
            } else {
                problem
            };
            self.tell(problem);
            return None;
        }
        match self.meet(text, span, other, other_span) {
            Met::Value(value) => Some(value),
            Met::Told | Met::Never => None,
        }
    }

    /// `device != null`: what other languages have for something missing.
    fn no_null(&self, op: Comparison, l: &Expr, r: &Expr, span: &Range<usize>) -> Option<Problem> {
        let Kind::Name(path) = &r.kind else { return None };
        if !NULLS.contains(&path.as_str()) || op.orders() || self.knows(path) {
            return None;
        }
        let not = if op == Comparison::NotEqual { "not " } else { "" };
        let problem = self.problem(codes::UNKNOWN_NAME, &r.span, format!("unknown name `{path}`"));
        Some(problem.fix(span.clone(), format!("{} is {not}missing", self.written(&l.span))))
    }

    /// `result == failure`: a word without its quotes.
    fn bare_word(&mut self, left: &Typed, right: &Expr) -> Option<Problem> {
        let Kind::Name(path) = &right.kind else { return None };
        let is_word = match left.ty {
            Ty::Word(words) => words.contains(&path.as_str()),
            Ty::Country => countries::parse(path).is_ok(),
            _ => false,
        };
        if !is_word || self.knows(path) {
            return None;
        }
        let problem = self.problem(codes::UNKNOWN_NAME, &right.span, format!("unknown name `{path}`"));
        Some(self.instead(problem, &right.span, Some(path)))
    }

    fn not_comparable(&self, op: Comparison, left: &Typed, right: &Typed, span: &Range<usize>) -> Option<Problem> {
        let (l, r) = (left.ty, right.ty);
        if joined(l, r).is_none() {
            let message = format!("cannot compare {} with {}", a(l), a(r));
            let problem = hint(self.problem(codes::OPERAND_TYPES, span, message), l, right);
            return Some(match (l, r) {
                (Ty::Word(_), Ty::Word(_)) => problem.help("these are words of different lists"),
                (Ty::Asn, Ty::Int) if !op.orders() => problem.help("an asn is written like `AS9808`"),
                _ => problem,
            });
        }
        if op.orders() && !has_order(l) {
            let message = format!("cannot compare {} with {} using `{}`", a(l), a(r), op.symbol());
            let help = format!("{} have no order: only `==` and `!=` compare them", several(l));
            return Some(self.problem(codes::OPERAND_TYPES, span, message).help(help));
        }
        let (one, other) = self.two_currencies(left, right)?;
        let problem = self.problem(codes::OPERAND_TYPES, span, format!("cannot compare {one} with {other}"));
        Some(if are_literals(left, right) { problem } else { problem.help(ONE_CURRENCY) })
    }

    // === arithmetic ===

    pub(super) fn arithmetic(&mut self, op: Arithmetic, l: &Expr, r: &Expr, span: &Range<usize>) -> Option<Typed> {
        let (left, right) = (self.expr(l), self.expr(r));
        let (left, right) = (left?, right?);
        let ty = result(op, left.ty, right.ty);
        let currencies = ty.and_then(|_| self.two_currencies(&left, &right));
        let (Some(ty), None) = (ty, &currencies) else {
            let (one, other) = currencies.clone().unwrap_or((a(left.ty).to_owned(), a(right.ty).to_owned()));
            let message = match op {
                Arithmetic::Add => format!("cannot add {one} and {other}"),
                Arithmetic::Subtract => format!("cannot subtract {other} from {one}"),
                Arithmetic::Multiply => format!("cannot multiply {one} by {other}"),
                Arithmetic::Divide => format!("cannot divide {one} by {other}"),
            };
            let problem = hint(self.problem(codes::OPERAND_TYPES, span, message), left.ty, &right);
            let is_plain = currencies.is_none() || are_literals(&left, &right);
            self.tell(if is_plain { problem } else { problem.help(ONE_CURRENCY) });
            return None;
        };
        let is_two_moneys = left.ty == Ty::Money && right.ty == Ty::Money;
        // A speed can be infinite, and infinite times nothing, or less itself, is no number.
        let is_open = ty == Ty::Float || op == Arithmetic::Divide;
        let nullable = left.nullable || right.nullable || is_two_moneys || is_open;
        Some(self.typed(Node::Arithmetic(op, Box::new(left), Box::new(right)), ty, nullable, span))
    }

    pub(super) fn negate(&mut self, inner: &Expr, span: &Range<usize>) -> Option<Typed> {
        let inner = self.expr(inner)?;
        if !matches!(inner.ty, Ty::Int | Ty::Float | Ty::Money | Ty::Duration) {
            let problem = self.problem(codes::OPERAND_TYPES, span, format!("cannot negate {}", a(inner.ty)));
            self.tell(problem);
            return None;
        }
        let (ty, nullable) = (inner.ty, inner.nullable);
        Some(self.typed(Node::Negate(Box::new(inner)), ty, nullable, span))
    }

    pub(super) fn coalesce(&mut self, l: &Expr, r: &Expr, span: &Range<usize>) -> Option<Typed> {
        let (left, right) = (self.expr(l), self.expr(r));
        let (left, mut right) = (left?, right?);
        if let Some(text) = constant_text(&right).map(str::to_string) {
            match self.meet(&text, &r.span, &left, &l.span) {
                Met::Value(value) => (right.node, right.ty) = (Node::Constant(value), left.ty),
                Met::Told => return None,
                Met::Never => {}
            }
        }
        let Some(ty) = joined(left.ty, right.ty) else {
            let message = format!("`??` takes two values of one type, not {} and {}", a(left.ty), a(right.ty));
            let problem = hint(self.problem(codes::OPERAND_TYPES, span, message), left.ty, &right);
            self.tell(problem);
            return None;
        };
        let nullable = left.nullable && right.nullable;
        Some(self.typed(Node::Coalesce(Box::new(left), Box::new(right)), ty, nullable, span))
    }
}

/// With words on what is missing where a bare number or a quoted one meets something with a unit.
pub(super) fn hint(problem: Problem, wanted: Ty, given: &Typed) -> Problem {
    let is_number_type = is_number(given.ty);
    let is_number = is_number_type && constant(given).is_some();
    let is_quoted = constant_text(given).is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit()));
    match wanted {
        Ty::Money if is_number => problem.help("give the currency, for example `5000 CNY`"),
        Ty::Time if is_number_type || is_quoted => problem.help(NO_DATES),
        Ty::Geo if constant_text(given).is_some() => problem.help(PARTS_OF_PLACE),
        Ty::Duration if is_number => problem.help("give the unit, for example `10m`"),
        Ty::Money | Ty::Duration | Ty::Int | Ty::Float if is_quoted => problem.help("remove the quotes"),
        _ => problem,
    }
}

/// Whether a text is in lower case whatever the event says.
fn is_lower(typed: &Typed) -> bool {
    match &typed.node {
        Node::Call(Function::Lower | Function::Domain, _) => true,
        Node::Constant(Value::Text(text)) => text.to_lowercase() == *text,
        Node::Coalesce(one, other) => is_lower(one) && is_lower(other),
        _ => false,
    }
}

/// The type an arithmetic operator makes of two, if it takes them.
fn result(op: Arithmetic, left: Ty, right: Ty) -> Option<Ty> {
    use Arithmetic as A;
    match (op, left, right) {
        (A::Divide, l, r) if is_number(l) && is_number(r) => Some(Ty::Float),
        (_, l, r) if is_number(l) && is_number(r) => joined(l, r),
        (A::Add | A::Subtract, Ty::Money, Ty::Money) => Some(Ty::Money),
        (A::Add | A::Subtract, Ty::Duration, Ty::Duration) => Some(Ty::Duration),
        (A::Subtract, Ty::Time, Ty::Time) => Some(Ty::Duration),
        (A::Add | A::Subtract, Ty::Time, Ty::Duration) | (A::Add, Ty::Duration, Ty::Time) => Some(Ty::Time),
        (A::Multiply, Ty::Money | Ty::Duration, r) if is_number(r) => Some(left),
        (A::Multiply, l, Ty::Money | Ty::Duration) if is_number(l) => Some(right),
        (A::Divide, Ty::Money | Ty::Duration, r) if is_number(r) => Some(left),
        (A::Divide, Ty::Money, Ty::Money) | (A::Divide, Ty::Duration, Ty::Duration) => Some(Ty::Float),
        _ => None,
    }
}
