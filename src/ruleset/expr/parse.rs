//! Tokens → tree, by recursive descent.
//!
//! Guarantees: the grammar of the rule language and nothing more; after a mistake reading goes on at the
//! next place that makes sense, so that one mistake gives one problem and the rest is still checked; time
//! is linear in the text and depth is limited. Does not know names or types.

use std::ops::Range;
use std::sync::Arc;

use super::Snippet;
use super::ast::{Arithmetic, Ast, DEPTH_MAX, EXPRESSION_BYTES_MAX, Expr, Kind, Set};
use super::codes;
use super::lex::{Token, TokenKind as T, lex};
use crate::event::Money;
use crate::report::Problem;

/// How often a missing bracket's place is looked for before the rest is given up; it keeps time linear.
const SKIPS_MAX: usize = 32;

/// Parses a snippet.
pub(super) fn parse(snippet: &Snippet<'_>, problems: &mut Vec<Problem>) -> Option<Ast> {
    if snippet.text.len() > EXPRESSION_BYTES_MAX {
        let message = format!("an expression has at most {} KiB", EXPRESSION_BYTES_MAX / 1024);
        let start = snippet.span(0..0).start;
        problems.push(Problem::error(codes::TOO_LONG, snippet.file, start..start, message));
        return None;
    }
    let before = problems.len();
    let tokens = lex(snippet, problems);
    let is_empty = tokens.is_empty();
    let mut parser = Parser { snippet, tokens, at: 0, depth: 0, told_depth: false, skips: 0, problems };
    let root = parser.whole();
    let is_sound = problems.len() == before;
    let is_double_quoted = snippet.is_double_quoted();
    let ast = Ast { file: Arc::clone(snippet.file), root, is_sound, is_double_quoted };
    ast.escape_fixes(problems.get_mut(before..).unwrap_or_default());
    (!is_empty).then_some(ast)
}

pub(super) struct Parser<'s, 'p> {
    pub snippet: &'s Snippet<'s>,
    pub tokens: Vec<Token>,
    pub at: usize,
    /// Brackets, calls and signs open at this moment.
    depth: usize,
    /// Whether the depth was complained of: once is enough.
    pub told_depth: bool,
    /// How often a closing bracket was looked for.
    skips: usize,
    pub problems: &'p mut Vec<Problem>,
}

impl Parser<'_, '_> {
    // === the stream of tokens ===

    pub fn peek(&self) -> Option<&T> {
        self.tokens.get(self.at).map(|t| &t.kind)
    }

    pub fn peek_after(&self) -> Option<&T> {
        self.tokens.get(self.at + 1).map(|t| &t.kind)
    }

    pub fn eat(&mut self, kind: &T) -> bool {
        let is_it = self.peek() == Some(kind);
        self.at += usize::from(is_it);
        is_it
    }

    /// The bytes of the token here in the file; at the end the place after the last one.
    pub fn span(&self) -> Range<usize> {
        match self.tokens.get(self.at) {
            Some(token) => self.snippet.span(token.range.clone()),
            None => {
                let end = self.tokens.last().map_or(0, |t| t.range.end);
                self.snippet.span(end..end)
            }
        }
    }

    /// Where the token before this one ends in the file.
    pub fn end_before(&self) -> usize {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        before.map_or(0, |t| self.snippet.span(t.range.clone()).end)
    }

    pub fn text(&self) -> &str {
        self.tokens.get(self.at).and_then(|t| self.snippet.text.get(t.range.clone())).unwrap_or_default()
    }

    pub fn found(&self) -> String {
        if self.peek().is_none() { "end of the expression".into() } else { format!("`{}`", self.text()) }
    }

    // === problems ===

    pub fn problem(&self, code: &'static str, span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem::error(code, self.snippet.file, span, message)
    }

    /// Says what was expected here; a token that the lexer reported is not reported again.
    pub fn expected(&mut self, code: &'static str, what: &str, help: Option<&str>) {
        if self.peek() == Some(&T::Broken) {
            return;
        }
        let problem = self.problem(code, self.span(), format!("expected {what}, found {}", self.found()));
        self.problems.push(Problem { help: help.map(str::to_string), ..problem });
    }

    pub fn node(&mut self, kind: Kind, span: Range<usize>) -> Expr {
        let below = match &kind {
            Kind::Not(a) | Kind::Negate(a) | Kind::IsMissing(a, _) | Kind::In(a, _, _) => a.height,
            Kind::Compare(_, a, b) | Kind::Arithmetic(_, a, b) | Kind::Coalesce(a, b) => a.height.max(b.height),
            Kind::And(all) | Kind::Or(all) | Kind::Broken(all) | Kind::Call { arguments: all, .. } => {
                all.iter().map(|one| one.height).max().unwrap_or(0)
            }
            _ => 0,
        };
        if below >= DEPTH_MAX {
            self.too_deep(span.clone());
            return self.broken(span);
        }
        Expr { kind, span, height: below + 1 }
    }

    pub fn broken(&self, span: Range<usize>) -> Expr {
        Expr { kind: Kind::Broken(Vec::new()), span, height: 1 }
    }

    fn too_deep(&mut self, span: Range<usize>) {
        if !self.told_depth {
            self.told_depth = true;
            let message = format!("this is nested more than {DEPTH_MAX} deep");
            let problem = self.problem(codes::TOO_DEEP, span, message);
            self.problems.push(problem.help("name parts of it under `defs`"));
        }
    }

    /// Reads something nested; beyond the limit the rest of the expression is given up.
    pub fn nested(&mut self, read: impl FnOnce(&mut Self) -> Expr) -> Expr {
        if self.depth >= DEPTH_MAX {
            let span = self.span();
            self.too_deep(span.clone());
            self.at = self.tokens.len();
            return self.broken(span);
        }
        self.depth += 1;
        let expr = read(self);
        self.depth -= 1;
        expr
    }

    // === the grammar ===

    /// The whole expression. What stands after its end is reported, and reading goes on behind the next
    /// `and` or `or`.
    fn whole(&mut self) -> Expr {
        let first = self.or();
        if self.peek().is_none() {
            return first;
        }
        let start = first.span.start;
        let mut parts = vec![first];
        while self.peek().is_some() && !self.told_depth {
            match self.peek() {
                Some(T::Close | T::CloseSet) => {
                    let message = format!("{} closes nothing", self.found());
                    let problem = self.problem(codes::EXPECTED_OPERATOR, self.span(), message);
                    self.problems.push(problem);
                }
                _ => {
                    // `5,000 CNY` is one number: its beginning is not judged.
                    if self.is_grouped_number() {
                        parts.pop();
                    }
                    let help = self.instead_of_operator();
                    self.expected(codes::EXPECTED_OPERATOR, "an operator", help);
                }
            }
            while !matches!(self.peek(), None | Some(T::And | T::Or)) {
                self.at += 1;
            }
            if self.peek().is_some() {
                self.at += 1;
                parts.push(self.or());
            }
        }
        self.node(Kind::Broken(parts), start..self.end_before())
    }

    /// A comma between two whole numbers.
    fn is_grouped_number(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map(|token| &token.kind);
        matches!((before, self.peek(), self.peek_after()), (Some(T::Int(_)), Some(T::Comma), Some(T::Int(_))))
    }

    /// What this language has in place of what other languages write here.
    fn instead_of_operator(&self) -> Option<&'static str> {
        match self.text() {
            _ if self.is_grouped_number() => Some("digits are written without `,`"),
            "like" | "LIKE" | "ilike" => {
                Some("write `starts_with(x, \"…\")`, `contains(x, \"…\")` or `matches(x, \"…\")`")
            }
            "between" | "BETWEEN" => Some("write `a <= x and x <= b`"),
            "contains" | "CONTAINS" | "includes" => Some("write `contains(x, \"…\")`"),
            "matches" | "regex" => Some("write `matches(x, \"…\")`"),
            "starts_with" | "startswith" => Some("write `starts_with(x, \"…\")`"),
            "ends_with" | "endswith" => Some("write `ends_with(x, \"…\")`"),
            _ => None,
        }
    }

    fn joined(&mut self, mut parts: Vec<Expr>, make: fn(Vec<Expr>) -> Kind) -> Expr {
        if parts.len() == 1
            && let Some(only) = parts.pop()
        {
            return only;
        }
        let start = parts.first().map_or(0, |p| p.span.start);
        let end = parts.last().map_or(start, |p| p.span.end.max(start));
        self.node(make(parts), start..end)
    }

    pub fn or(&mut self) -> Expr {
        let mut parts = vec![self.and()];
        while self.eat(&T::Or) {
            parts.push(self.and());
        }
        self.joined(parts, Kind::Or)
    }

    fn and(&mut self) -> Expr {
        let mut parts = vec![self.not()];
        while self.eat(&T::And) {
            parts.push(self.not());
        }
        self.joined(parts, Kind::And)
    }

    fn not(&mut self) -> Expr {
        let start = self.span().start;
        if !self.eat(&T::Not) {
            return self.comparison();
        }
        let operand = self.nested(Self::not);
        let span = start..operand.span.end;
        self.node(Kind::Not(Box::new(operand)), span)
    }

    fn comparison(&mut self) -> Expr {
        let left = self.alternative();
        let expr = self.compared(left);
        let mut is_first = true;
        while self.at_comparison() {
            if is_first {
                let problem = self.problem(codes::CHAINED, self.span(), "comparisons cannot be chained");
                self.problems.push(problem.help("write `a <= x and x <= b`"));
                is_first = false;
            }
            // Read only to get past it: one mistake, one problem.
            let silent = self.broken(self.span());
            let kept = self.problems.len();
            self.compared(silent);
            self.problems.truncate(kept);
        }
        if is_first {
            return expr;
        }
        let span = expr.span.clone();
        self.node(Kind::Broken(vec![expr]), span)
    }

    fn at_comparison(&self) -> bool {
        match self.peek() {
            Some(T::Compare(_) | T::In | T::Is) => true,
            Some(T::Not) => self.peek_after() == Some(&T::In),
            _ => false,
        }
    }

    /// What may follow the left side of a comparison.
    fn compared(&mut self, left: Expr) -> Expr {
        let start = left.span.start;
        match self.peek() {
            Some(T::Compare(op)) => {
                let op = *op;
                self.at += 1;
                let right = self.alternative();
                let span = start..right.span.end;
                self.node(Kind::Compare(op, Box::new(left), Box::new(right)), span)
            }
            Some(T::Is) => {
                self.at += 1;
                let negated = self.eat(&T::Not);
                if !self.eat(&T::Missing) {
                    self.expected(
                        codes::EXPECTED_MISSING,
                        "`missing`",
                        Some("write `x is missing` or `x is not missing`"),
                    );
                    if !matches!(self.peek(), None | Some(T::And | T::Or | T::Close)) {
                        self.alternative();
                    }
                    return self.node(Kind::Broken(vec![left]), start..self.end_before());
                }
                self.node(Kind::IsMissing(Box::new(left), negated), start..self.end_before())
            }
            Some(T::In) => self.membership(left, false),
            Some(T::Not) if self.peek_after() == Some(&T::In) => {
                self.at += 1;
                self.membership(left, true)
            }
            _ => left,
        }
    }

    fn membership(&mut self, left: Expr, negated: bool) -> Expr {
        let start = left.span.start;
        self.at += 1;
        let set = self.set();
        self.node(Kind::In(Box::new(left), negated, set), start..self.end_before())
    }

    fn set(&mut self) -> Set {
        match self.peek() {
            Some(T::Name) if self.text().starts_with("lists.") => {
                let list = Set::List(self.text().to_string(), self.span());
                self.at += 1;
                list
            }
            Some(T::OpenSet) => {
                self.at += 1;
                self.literals()
            }
            _ => {
                self.expected(codes::EXPECTED_SET, "a set", Some("write `in [\"a\", \"b\"]` or `in lists.NAME`"));
                if self.eat(&T::Open) {
                    self.skip_to(&T::Close);
                } else if !matches!(self.peek(), None | Some(T::And | T::Or | T::Close)) {
                    let kept = self.problems.len();
                    self.alternative();
                    self.problems.truncate(kept);
                }
                Set::Broken
            }
        }
    }

    /// Skips to behind the bracket that closes what is open here, but never past an `and` or `or` outside
    /// of inner brackets when that bracket is missing.
    pub fn skip_to(&mut self, close: &T) {
        self.skips += 1;
        if self.skips > SKIPS_MAX {
            self.at = self.tokens.len();
            return;
        }
        let mut open = 0_usize;
        let from = self.at;
        let mut word = None;
        while let Some(kind) = self.peek() {
            match kind {
                T::Open | T::OpenSet => open += 1,
                _ if kind == close && open == 0 => {
                    self.at += 1;
                    return;
                }
                T::Close | T::CloseSet if open > 0 => open -= 1,
                T::Close | T::CloseSet => break,
                T::And | T::Or if open == 0 && word.is_none() => word = Some(self.at),
                _ => {}
            }
            self.at += 1;
        }
        self.at = word.unwrap_or(self.at).max(from);
    }

    fn alternative(&mut self) -> Expr {
        let first = self.sum();
        if !self.eat(&T::Coalesce) {
            return first;
        }
        let second = self.sum();
        let span = first.span.start..second.span.end;
        let expr = self.node(Kind::Coalesce(Box::new(first), Box::new(second)), span);
        if self.peek() != Some(&T::Coalesce) {
            return expr;
        }
        let problem = self.problem(codes::CHAINED, self.span(), "`??` cannot be chained");
        self.problems.push(problem.help("write `a ?? (b ?? c)`"));
        while self.eat(&T::Coalesce) {
            self.sum();
        }
        let span = expr.span.clone();
        self.node(Kind::Broken(vec![expr]), span)
    }

    fn sum(&mut self) -> Expr {
        let mut left = self.product();
        loop {
            let op = match self.peek() {
                Some(T::Plus) => Arithmetic::Add,
                Some(T::Minus) => Arithmetic::Subtract,
                _ => return left,
            };
            self.at += 1;
            let right = self.product();
            let span = left.span.start..right.span.end;
            left = self.node(Kind::Arithmetic(op, Box::new(left), Box::new(right)), span);
        }
    }

    fn product(&mut self) -> Expr {
        let mut left = self.sign();
        loop {
            let op = match self.peek() {
                Some(T::Star) => Arithmetic::Multiply,
                Some(T::Slash) => Arithmetic::Divide,
                _ => return left,
            };
            self.at += 1;
            let right = self.sign();
            let span = left.span.start..right.span.end;
            left = self.node(Kind::Arithmetic(op, Box::new(left), Box::new(right)), span);
        }
    }

    pub fn sign(&mut self) -> Expr {
        let start = self.span().start;
        if !self.eat(&T::Minus) {
            return self.primary();
        }
        let operand = self.nested(Self::sign);
        let span = start..operand.span.end;
        match operand.kind {
            Kind::Int(n) => self.node(Kind::Int(-n), span),
            Kind::Float(n) => self.node(Kind::Float(-n), span),
            Kind::Duration(ms) => self.node(Kind::Duration(-ms), span),
            Kind::Money(m) => self.node(Kind::Money(Money { minor: -m.minor, ..m }), span),
            _ => self.node(Kind::Negate(Box::new(operand)), span),
        }
    }
}
