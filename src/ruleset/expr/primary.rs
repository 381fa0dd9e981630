//! Tokens → the smallest parts of a tree: literals, names, calls, groups, sets.
//!
//! Guarantees: money is a number with a currency behind it, exact to the currency's decimals; a part that
//! cannot be read is reported once. Operators are `parse.rs`.

use std::ops::Range;

use super::ast::{Expr, Kind, Set};
use super::codes;
use super::lex::{TokenKind as T, UNITS};
use super::parse::Parser;
use crate::event::{Currency, Money};
use crate::report::did_you_mean;

impl Parser<'_, '_> {
    // === sets ===

    /// What stands between `[` and `]`, the latter included.
    pub(super) fn literals(&mut self) -> Set {
        let mut literals = Vec::new();
        loop {
            if self.peek() == Some(&T::CloseSet) && !literals.is_empty() {
                break;
            }
            literals.push(self.literal());
            if !self.eat(&T::Comma) {
                break;
            }
        }
        if !self.eat(&T::CloseSet) {
            if !literals.iter().any(|l| matches!(l.kind, Kind::Broken(_))) {
                self.expected(codes::EXPECTED_SYMBOL, "`,` or `]`", None);
            }
            self.skip_to(&T::CloseSet);
            return Set::Broken;
        }
        Set::Literals(literals)
    }

    fn literal(&mut self) -> Expr {
        let is_bare = self.peek() == Some(&T::Name) && self.peek_after() != Some(&T::Open);
        match self.peek() {
            Some(T::Int(_) | T::Float(_) | T::Duration(_) | T::Asn(_) | T::Text(_) | T::Bool(_) | T::Minus) => {
                self.sign()
            }
            _ => {
                let span = self.span();
                if is_bare {
                    let message = format!("expected a literal, found {}", self.found());
                    let quoted = format!("\"{}\"", self.text());
                    let problem = self.problem(codes::EXPECTED_VALUE, span.clone(), message).fix(span.clone(), quoted);
                    self.problems.push(problem);
                    self.at += 1;
                } else {
                    self.expected(codes::EXPECTED_VALUE, "a literal", None);
                    if self.peek() == Some(&T::Broken) {
                        self.at += 1;
                    }
                }
                self.broken(span)
            }
        }
    }

    // === values ===

    /// A value without operators.
    pub(super) fn primary(&mut self) -> Expr {
        let span = self.span();
        let Some(kind) = self.peek().cloned() else {
            self.expected(codes::EXPECTED_VALUE, "a value", None);
            return self.broken(span);
        };
        let kind = match kind {
            T::Int(_) | T::Float(_) => return self.number(),
            T::Name => return self.name(),
            T::Open => return self.group(),
            T::Duration(ms) => Kind::Duration(ms),
            T::Asn(asn) => Kind::Asn(asn),
            T::Text(text) => Kind::Text(text),
            T::Bool(value) => Kind::Bool(value),
            _ => return self.no_value(&kind),
        };
        self.at += 1;
        self.node(kind, span)
    }

    /// Something else stands where a value should.
    fn no_value(&mut self, kind: &T) -> Expr {
        let span = self.span();
        let help = match kind {
            T::Missing => Some("write `x is missing`"),
            T::OpenSet => Some("a set stands after `in`"),
            T::Compare(_) => Some("a comparison has a value on both sides: `a > 3 or a == 1`"),
            _ => None,
        };
        self.expected(codes::EXPECTED_VALUE, "a value", help);
        match kind {
            T::Broken | T::Missing => self.at += 1,
            T::OpenSet => {
                self.at += 1;
                self.skip_to(&T::CloseSet);
            }
            T::Not => {
                self.at += 1;
                self.nested(Self::sign);
            }
            // Whoever called knows what to do with operators, brackets and commas.
            _ => {}
        }
        self.broken(span)
    }

    fn group(&mut self) -> Expr {
        let start = self.span().start;
        self.at += 1;
        let inner = self.nested(Self::or);
        if !self.eat(&T::Close) {
            if !self.told_depth {
                self.expected(codes::EXPECTED_SYMBOL, "`)`", None);
            }
            self.skip_to(&T::Close);
            return self.node(Kind::Broken(vec![inner]), start..self.end_before());
        }
        Expr { span: start..self.end_before(), ..inner }
    }

    // === numbers, money, names, calls ===

    fn number(&mut self) -> Expr {
        let span = self.span();
        let digits = self.text().to_string();
        let plain = match self.peek() {
            Some(T::Int(n)) => Kind::Int(*n),
            Some(T::Float(n)) => Kind::Float(*n),
            _ => Kind::Broken(Vec::new()),
        };
        self.at += 1;
        if self.peek() != Some(&T::Name) {
            return self.node(plain, span);
        }
        let (unit, unit_span) = (self.text().to_string(), self.span());
        let whole = span.start..unit_span.end;
        if let Some((_, size)) = UNITS.iter().find(|(u, _)| *u == unit)
            && let Kind::Int(n) = plain
        {
            let problem = self.problem(codes::UNKNOWN_UNIT, whole.clone(), "a duration is written without a space");
            self.problems.push(problem.fix(whole.clone(), format!("{digits}{unit}")));
            self.at += 1;
            return self.node(Kind::Duration(n.saturating_mul(*size)), whole);
        }
        if unit.len() != 3 || !unit.bytes().all(|b| b.is_ascii_alphabetic()) {
            return self.node(plain, span);
        }
        self.at += 1;
        let code = unit.to_ascii_uppercase();
        let Some(currency) = Currency::parse(&code) else {
            let problem = self.problem(codes::UNKNOWN_UNIT, unit_span.clone(), format!("unknown currency `{unit}`"));
            let near = did_you_mean(&code, Currency::codes());
            self.problems.push(match near {
                Some(near) => problem.fix(unit_span, near),
                None => problem.help("currencies are those of ISO 4217, such as `CNY`"),
            });
            return self.broken(whole);
        };
        if code != unit {
            let problem = self.problem(codes::UNKNOWN_UNIT, unit_span.clone(), format!("unknown currency `{unit}`"));
            self.problems.push(problem.fix(unit_span, code));
        }
        match Money::parse(&digits, currency) {
            Ok(money) => self.node(Kind::Money(money), whole),
            Err(error) => {
                let problem = self.problem(codes::BAD_NUMBER, span, error.to_string());
                self.problems.push(problem);
                self.broken(whole)
            }
        }
    }

    fn name(&mut self) -> Expr {
        let span = self.span();
        let name = self.text().to_string();
        self.at += 1;
        if self.peek() != Some(&T::Open) {
            return self.node(Kind::Name(name), span);
        }
        if name.ends_with(".share")
            && let Some(T::Int(n)) = self.peek_after()
            && self.tokens.get(self.at + 2).map(|t| &t.kind) == Some(&T::Close)
        {
            let path = format!("{name}({n})");
            self.at += 3;
            return self.node(Kind::Name(path), span.start..self.end_before());
        }
        self.call(name, span)
    }

    fn call(&mut self, function: String, function_span: Range<usize>) -> Expr {
        let start = function_span.start;
        self.at += 1;
        let mut arguments = Vec::new();
        while self.peek() != Some(&T::Close) {
            arguments.push(self.nested(Self::or));
            if !self.eat(&T::Comma) {
                break;
            }
        }
        if !self.eat(&T::Close) {
            if !self.told_depth {
                self.expected(codes::EXPECTED_SYMBOL, "`,` or `)`", None);
            }
            self.skip_to(&T::Close);
            return self.broken(start..self.end_before());
        }
        self.node(Kind::Call { function, function_span, arguments }, start..self.end_before())
    }
}
