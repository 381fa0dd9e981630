//! The tree of an expression as it was written: names unresolved, types unknown.
//!
//! Guarantees: every node has its bytes in the file; no tree is higher than [`DEPTH_MAX`], so walking one
//! cannot exhaust the stack. A part that could not be read is [`Kind::Broken`] and was reported.

use std::ops::Range;
use std::sync::Arc;

use crate::event::Money;
use crate::report::{Problem, SourceFile};

/// Length of one expression, at most, bytes.
pub const EXPRESSION_BYTES_MAX: usize = 16 * 1024;

/// Height of an expression's tree, at most.
pub const DEPTH_MAX: usize = 64;

/// A parsed expression.
#[derive(Debug, Clone)]
pub struct Ast {
    pub(super) file: Arc<SourceFile>,
    pub(super) root: Expr,
    /// Whether it was read without a problem.
    pub(super) is_sound: bool,
    /// Whether the file has it under double quotes, where a text's own quotes are escaped.
    pub(super) is_double_quoted: bool,
}

impl Ast {
    /// The file it stands in.
    pub fn file(&self) -> &Arc<SourceFile> {
        &self.file
    }

    /// Its bytes in the file.
    pub fn span(&self) -> Range<usize> {
        self.root.span.clone()
    }

    /// Escapes the quotes in what problems of this expression say to write, where the file needs that.
    pub(super) fn escape_fixes(&self, problems: &mut [Problem]) {
        if !self.is_double_quoted {
            return;
        }
        for problem in problems {
            let is_here = problem.at.as_ref().is_some_and(|(file, at)| {
                Arc::ptr_eq(file, &self.file) && self.root.span.start <= at.start && at.end <= self.root.span.end
            });
            if let Some(fix) = problem.fix.as_mut().filter(|fix| is_here && !fix.with.contains('\\')) {
                fix.with = fix.with.replace('"', "\\\"");
            }
        }
    }

    /// Calls `each` with every dotted name it holds, `lists.NAME` included, in the order of the text.
    pub fn names(&self, each: &mut dyn FnMut(&str, Range<usize>)) {
        names(&self.root, each);
    }
}

fn names(expr: &Expr, each: &mut dyn FnMut(&str, Range<usize>)) {
    match &expr.kind {
        Kind::Name(path) => each(path, expr.span.clone()),
        Kind::Not(a) | Kind::Negate(a) | Kind::IsMissing(a, _) => names(a, each),
        Kind::In(a, _, set) => {
            names(a, each);
            if let Set::List(path, span) = set {
                each(path, span.clone());
            }
        }
        Kind::Compare(_, a, b) | Kind::Arithmetic(_, a, b) | Kind::Coalesce(a, b) => {
            names(a, each);
            names(b, each);
        }
        Kind::And(all) | Kind::Or(all) | Kind::Broken(all) | Kind::Call { arguments: all, .. } => {
            all.iter().for_each(|one| names(one, each));
        }
        _ => {}
    }
}

/// One node.
#[derive(Debug, Clone)]
pub(super) struct Expr {
    /// What it is.
    pub kind: Kind,
    /// Its bytes in the file.
    pub span: Range<usize>,
    /// Nodes on the longest way down, this one included.
    pub height: usize,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Could not be read as a whole; reported. What could be read of it is still checked.
    Broken(Vec<Expr>),
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Duration(i64),
    Money(Money),
    Asn(u32),
    /// A dotted name, or `NAME.share(n)` as it is written.
    Name(String),
    Call {
        function: String,
        function_span: Range<usize>,
        arguments: Vec<Expr>,
    },
    Not(Box<Expr>),
    Negate(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    Coalesce(Box<Expr>, Box<Expr>),
    /// `true`: `not in`.
    In(Box<Expr>, bool, Set),
    /// `true`: `is not missing`.
    IsMissing(Box<Expr>, bool),
}

/// What stands after `in`.
#[derive(Debug, Clone)]
pub(super) enum Set {
    /// `lists.NAME`, the whole of it, and its bytes.
    List(String, Range<usize>),
    /// Literals.
    Literals(Vec<Expr>),
    /// Could not be read; reported.
    Broken,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the usual six")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// True exactly where this one is false, of values that are known.
    pub fn negated(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    /// The same with its operands exchanged.
    pub fn mirrored(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    /// Whether it asks which of two is larger, not only whether they are the same.
    pub fn orders(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the usual four")]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}
