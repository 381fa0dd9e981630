//! The expression language of conditions: text → tokens → tree → typed tree → closures.
//!
//! Guarantees: a condition is a pure function of one row and its cost is bounded by its text; a comparison
//! with something missing is neither true nor false; every problem is reported with its place. Does not
//! know where names come from: a [`Scope`] tells.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::hash::HashKey;
use super::lists::ListSet;
use super::model::{Name, Piece};
use super::row::{Layout, Rep, Row};
use crate::event::{Currency, Field, FieldKind, IdKind, TypeSet, Value};
use crate::report::{Problem, SourceFile};

mod ast;
mod changes;
mod check;
pub mod codes;
mod compile;
pub mod countries;
mod doubt;
mod functions;
mod lex;
mod lint;
mod members;
mod money;
mod numbers;
mod operands;
mod pairs;
mod parse;
mod primary;
mod spelling;
mod template;
#[cfg(test)]
mod tests;
mod texts;
mod typed;

pub use ast::{Arithmetic, Ast, Comparison, DEPTH_MAX, EXPRESSION_BYTES_MAX};
pub use changes::{Change, duration, one_line, spoken, steps};
pub use functions::Function;
pub(super) use numbers::calculate;
pub(super) use operands::a as a_type;
pub use typed::{Node, Typed};

/// The type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ty {
    /// true or false.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Float,
    /// Money.
    Money,
    /// A span of time.
    Duration,
    /// A moment.
    Time,
    /// Free text.
    Text,
    /// Coordinates.
    Geo,
    /// An address.
    Ip,
    /// An autonomous system.
    Asn,
    /// A country.
    Country,
    /// An id of one kind.
    Id(IdKind),
    /// A word of a closed list.
    Word(&'static [&'static str]),
}

impl Ty {
    /// The type of a field's values.
    pub fn of(field: Field) -> Ty {
        match field.kind() {
            FieldKind::Word => Ty::Word(field.words()),
            FieldKind::Text => Ty::Text,
            FieldKind::Id(kind) => Ty::Id(kind),
            FieldKind::Ip => Ty::Ip,
            FieldKind::Asn => Ty::Asn,
            FieldKind::Country => Ty::Country,
            FieldKind::Geo => Ty::Geo,
            FieldKind::Float => Ty::Float,
            FieldKind::Int => Ty::Int,
            FieldKind::Bool => Ty::Bool,
            FieldKind::Money => Ty::Money,
            FieldKind::Time => Ty::Time,
        }
    }

    /// How a value of this type is laid out in a row.
    pub fn rep(self) -> Rep {
        match self {
            Ty::Money => Rep::Money,
            Ty::Geo => Rep::Geo,
            Ty::Ip => Rep::Ip,
            Ty::Text | Ty::Id(_) => Rep::Id,
            _ => Rep::Num,
        }
    }
}

/// A piece of a file that holds an expression: a YAML scalar.
#[derive(Debug, Clone)]
pub struct Snippet<'f> {
    /// The file.
    pub file: &'f Arc<SourceFile>,
    /// The text to lex: the file's own bytes for plain and block scalars, the decoded text of a quoted one.
    pub text: Cow<'f, str>,
    /// For each byte of `text`, and one past its end, where it stands in the file; empty where `text` is the
    /// file's own bytes from `start` on.
    pub places: Vec<usize>,
    /// Where `text` begins in the file.
    pub start: usize,
}

impl Snippet<'_> {
    /// Whether the file has it under double quotes.
    fn is_double_quoted(&self) -> bool {
        !self.places.is_empty() && self.file.text.get(self.start..).is_some_and(|text| text.starts_with('"'))
    }

    /// The bytes of the file that bytes of `text` came from.
    pub fn span(&self, range: Range<usize>) -> Range<usize> {
        match (self.places.get(range.start), self.places.get(range.end)) {
            (Some(start), Some(end)) => *start..*end,
            _ => self.start + range.start..self.start + range.end,
        }
    }
}

/// What a name stands for where an expression is read.
#[derive(Debug, Clone)]
pub enum Meaning<'s> {
    /// A value of the row. `types`: the event types on which it exists; `nullable`: it can be missing there.
    Value {
        /// What it is.
        name: Name,
        /// Its type.
        ty: Ty,
        /// Where it exists.
        types: TypeSet,
        /// Whether it can be missing there.
        nullable: bool,
    },
    /// A constant: a param.
    Constant(Value<'static>, Ty),
    /// A def: a whole expression, one value and not text.
    Def(&'s Ast),
    /// Something that could not be read and was reported where it stands: its users are not blamed.
    Broken,
}

/// What names and lists mean at one place of a rule file.
pub trait Scope {
    /// The meaning of a dotted name.
    fn name(&self, path: &str) -> Option<Meaning<'_>>;
    /// Why a name that would mean something elsewhere has no meaning here: a code and what is told.
    fn refusal(&self, _path: &str) -> Option<(&'static str, String)> {
        None
    }
    /// Every name that has a meaning here, for "did you mean".
    fn names(&self) -> Vec<String>;
    /// `lists.NAME`.
    fn list(&self, name: &str) -> Option<&Arc<ListSet>>;
    /// Every list's name.
    fn lists(&self) -> Vec<&str>;
    /// The currencies that a value can be in, where that is declared; `None`: any.
    fn currencies(&self, _name: Name) -> Option<Vec<Currency>> {
        None
    }
    /// The event types the expression is evaluated on.
    fn on(&self) -> TypeSet;
}

/// A compiled condition.
#[derive(Clone)]
pub struct Condition {
    is_true: Arc<dyn Fn(&Row<'_>) -> bool + Send + Sync>,
}

impl Condition {
    /// Whether it is true of this row; unknown is not true.
    pub fn is_true(&self, row: &Row<'_>) -> bool {
        (self.is_true)(row)
    }

    /// From a closure, for tests and benches.
    pub fn from_fn(is_true: impl Fn(&Row<'_>) -> bool + Send + Sync + 'static) -> Self {
        Condition { is_true: Arc::new(is_true) }
    }
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Condition(…)")
    }
}

/// A compiled number.
#[derive(Clone)]
pub struct Quantity {
    number: Arc<dyn Fn(&Row<'_>) -> f64 + Send + Sync>,
}

impl Quantity {
    /// Its value on this row, NaN where it is missing.
    pub fn value(&self, row: &Row<'_>) -> f64 {
        (self.number)(row)
    }
}

impl std::fmt::Debug for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Quantity(…)")
    }
}

/// Parses a snippet. Reports every problem it finds. A tree comes back even then, so that what can be read
/// of it is checked too: its types are still worth telling. `None` where there is nothing to check.
pub fn parse(snippet: &Snippet<'_>, problems: &mut Vec<Problem>) -> Option<Ast> {
    parse::parse(snippet, problems)
}

/// Checks the types of a tree that must be a condition. Reports every problem; `None` where there was an error,
/// in the parser's part too. Warnings are problems as well and do not hinder. What is found inside a def is
/// told once, however many expressions use it with the same `problems`.
pub fn check_condition(ast: &Ast, scope: &dyn Scope, problems: &mut Vec<Problem>) -> Option<Typed> {
    check::check_condition(ast, scope, problems)
}

/// Compiles a typed condition; the names it reads get their cells in `layout`.
pub fn compile(typed: &Typed, layout: &mut Layout, key: HashKey) -> Condition {
    compile::compile(typed, layout, key)
}

/// Compiles a typed number; the names it reads get their cells in `layout`.
pub fn compile_quantity(typed: &Typed, layout: &mut Layout, key: HashKey) -> Quantity {
    compile::compile_quantity(typed, layout, key)
}

/// Parses and checks the template of an explanation, `"{acct_fail_10m} failed logins from {ip}"`; the names in
/// braces get their cells in `layout`. Reports every problem; `None` where there was an error.
pub fn parse_template(
    snippet: &Snippet<'_>,
    scope: &dyn Scope,
    layout: &mut Layout,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Piece>> {
    template::parse(snippet, scope, layout, problems)
}
