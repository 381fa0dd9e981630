//! Tree → typed tree: what each name means, and whether the types fit.
//!
//! Guarantees: every problem is reported at its place and one cause is told once: what stands above a part
//! that was reported is not judged. Defs are taken in as whole values, never as text, and cannot go round
//! in a circle. Does not know how types are compared (`operands.rs`) or which functions exist.

use std::ops::Range;
use std::sync::Arc;

use super::ast::{Ast, Comparison, DEPTH_MAX, Expr, Kind, Set};
use super::functions::usage;
use super::lint;
use super::operands::{a, several};
use super::typed::{Node, Typed};
use super::{Meaning, Scope, Ty, codes};
use crate::event::{Currency, TypeSet, Value};
use crate::report::{Problem, SourceFile, did_you_mean};
use crate::ruleset::model::Name;

/// Nodes of one typed tree, its defs taken in, at most.
pub(super) const NODES_MAX: usize = 8192;

/// Height of one typed tree, its defs taken in, at most.
const TYPED_DEPTH_MAX: usize = 4 * DEPTH_MAX;

/// For how many unknown names of one expression a near one is looked for.
const SUGGESTIONS_MAX: usize = 50;

/// Lists that are named where an unknown one was.
const LISTS_NAMED_MAX: usize = 10;

/// What is said where somebody asks for the clock.
pub(super) const NO_CLOCK: &str = "no condition reads the clock: `time` is the event's own, compared with other times, \
     such as `time - last_ok.time < 24h`";

/// What is said where money that was summed up is read on an event without any.
const OWN_CURRENCY: &str =
    "sums and statistics of money are kept by currency and read in that of the event's own amount";

/// Checks a tree that must be a condition.
pub(super) fn check_condition(ast: &Ast, scope: &dyn Scope, problems: &mut Vec<Problem>) -> Option<Typed> {
    let before = problems.len();
    let mut checker = Checker::new(&ast.file, scope, problems);
    let typed = checker.condition(&ast.root);
    let has_failed = checker.failed || !ast.is_sound;
    ast.escape_fixes(problems.get_mut(before..).unwrap_or_default());
    if has_failed {
        return None;
    }
    let typed = typed?;
    lint::nullable(&typed, problems);
    Some(typed)
}

/// One check of one expression.
pub(super) struct Checker<'s, 'p> {
    scope: &'s dyn Scope,
    problems: &'p mut Vec<Problem>,
    /// The file of what is being checked: another one inside a def.
    file: Arc<SourceFile>,
    /// The defs that are being taken in, outermost first.
    defs: Vec<String>,
    depth: usize,
    nodes: usize,
    suggestions: usize,
    /// Whether a limit was reached.
    is_given_up: bool,
    /// Whether anything was wrong.
    failed: bool,
}

impl<'s, 'p> Checker<'s, 'p> {
    /// A check of what stands in a file.
    pub fn new(file: &Arc<SourceFile>, scope: &'s dyn Scope, problems: &'p mut Vec<Problem>) -> Self {
        Checker {
            scope,
            problems,
            file: Arc::clone(file),
            defs: Vec::new(),
            depth: 0,
            nodes: 0,
            suggestions: 0,
            is_given_up: false,
            failed: false,
        }
    }

    /// A problem at a place of the file that is being checked.
    pub fn problem(&self, code: &'static str, span: &Range<usize>, message: impl Into<String>) -> Problem {
        Problem::error(code, &self.file, span.clone(), message)
    }

    /// Tells a problem; those of a def once, however often it is used.
    pub fn tell(&mut self, problem: Problem) {
        self.failed = true;
        if self.defs.is_empty() || !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// What was written at a place.
    pub fn written(&self, span: &Range<usize>) -> &str {
        self.file.text.get(span.clone()).unwrap_or_default()
    }

    /// The event types the expression runs on.
    pub fn on(&self) -> TypeSet {
        self.scope.on()
    }

    /// The currencies that a value of the row can be in; `None`: any.
    pub fn currencies_of(&self, name: Name) -> Option<Vec<Currency>> {
        self.scope.currencies(name)
    }

    /// Whether a name means something here.
    pub fn knows(&self, path: &str) -> bool {
        self.scope.name(path).is_some()
    }

    /// A node of the typed tree.
    pub fn typed(&mut self, node: Node, ty: Ty, nullable: bool, span: &Range<usize>) -> Typed {
        self.nodes += 1;
        Typed { node, ty, nullable, at: (Arc::clone(&self.file), span.clone()) }
    }

    /// Whether the expression, its defs taken in, has grown beyond its limits. Told once; the walk ends then.
    fn is_too_large(&mut self, span: &Range<usize>) -> bool {
        if !self.is_given_up && (self.nodes >= NODES_MAX || self.depth >= TYPED_DEPTH_MAX) {
            self.is_given_up = true;
            let problem = self.problem(codes::TOO_LARGE, span, "this is too large with all its defs");
            self.tell(problem);
        }
        self.is_given_up
    }

    /// Something that must be true or false.
    fn condition(&mut self, expr: &Expr) -> Option<Typed> {
        let typed = self.expr(expr)?;
        if typed.ty == Ty::Bool {
            return Some(typed);
        }
        let message = format!("a condition is true or false, but this is {}", a(typed.ty));
        let mut problem = self.problem(codes::NOT_BOOL, &expr.span, message);
        if matches!(expr.kind, Kind::Name(_)) {
            let example = match typed.ty {
                Ty::Int | Ty::Float => "> 3",
                Ty::Money => ">= 5000 CNY",
                Ty::Duration => "< 24h",
                _ => "is not missing",
            };
            problem =
                problem.help(format!("write what must hold of it, such as `{} {example}`", self.written(&expr.span)));
        }
        self.tell(problem);
        None
    }

    /// Any expression. `None`: something in it was reported.
    pub fn expr(&mut self, expr: &Expr) -> Option<Typed> {
        if self.is_too_large(&expr.span) {
            return None;
        }
        // What comes to nothing costs as well: a def of two unknown names, used by one that uses it twice, …
        self.nodes += 1;
        self.depth += 1;
        let typed = self.by_kind(expr);
        self.depth -= 1;
        typed
    }

    fn by_kind(&mut self, expr: &Expr) -> Option<Typed> {
        let span = &expr.span;
        match &expr.kind {
            Kind::Broken(parts) => {
                self.failed = true;
                for part in parts {
                    self.expr(part);
                }
                None
            }
            Kind::Bool(v) => self.constant(Value::Bool(*v), Ty::Bool, span),
            Kind::Int(v) => self.constant(Value::Int(*v), Ty::Int, span),
            Kind::Float(v) => self.constant(Value::Float(*v), Ty::Float, span),
            Kind::Text(v) => self.constant(Value::Text(v.clone().into()), Ty::Text, span),
            Kind::Duration(v) => self.constant(Value::Duration(*v), Ty::Duration, span),
            Kind::Money(v) => self.constant(Value::Money(*v), Ty::Money, span),
            Kind::Asn(v) => self.constant(Value::Asn(*v), Ty::Asn, span),
            Kind::Name(path) => self.name(path, span),
            Kind::Call { function, function_span, arguments } => self.call(function, function_span, arguments, span),
            Kind::Not(inner) => {
                let inner = self.condition(inner)?;
                let nullable = inner.nullable;
                Some(self.typed(Node::Not(Box::new(inner)), Ty::Bool, nullable, span))
            }
            Kind::And(parts) => self.connected(parts, Node::And, span),
            Kind::Or(parts) => {
                self.warn_mixed(parts);
                self.connected(parts, Node::Or, span)
            }
            Kind::IsMissing(inner, negated) => {
                let inner = self.expr(inner)?;
                let missing = self.typed(Node::IsMissing(Box::new(inner)), Ty::Bool, false, span);
                self.unless(*negated, missing, span)
            }
            Kind::In(left, negated, set) => {
                let membership = self.membership(left, set, span)?;
                self.unless(*negated, membership, span)
            }
            Kind::Compare(op, left, right) => self.compare(*op, left, right, span),
            Kind::Arithmetic(op, left, right) => self.arithmetic(*op, left, right, span),
            Kind::Negate(inner) => self.negate(inner, span),
            Kind::Coalesce(left, right) => self.coalesce(left, right, span),
        }
    }

    fn constant(&mut self, value: Value<'static>, ty: Ty, span: &Range<usize>) -> Option<Typed> {
        Some(self.typed(Node::Constant(value), ty, false, span))
    }

    fn unless(&mut self, negated: bool, typed: Typed, span: &Range<usize>) -> Option<Typed> {
        if !negated {
            return Some(typed);
        }
        let nullable = typed.nullable;
        Some(self.typed(Node::Not(Box::new(typed)), Ty::Bool, nullable, span))
    }

    /// Warns of an `and` that stands beside an `or` without brackets.
    fn warn_mixed(&mut self, parts: &[Expr]) {
        for part in parts {
            let Kind::And(inner) = &part.kind else { continue };
            let (Some(first), Some(last)) = (inner.first(), inner.last()) else { continue };
            if part.span.start != first.span.start || part.span.end != last.span.end {
                continue;
            }
            let message = "`and` binds closer than `or`: this is one arm of it, as if it stood in brackets";
            let problem = Problem::warning(codes::MIXED, &self.file, part.span.clone(), message);
            let problem = problem.help("write `(a and b) or c`, or `a and (b or c)` if that is meant");
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
    }

    /// An arm of `and` or `or`: a condition of its own, not a second value for the one before it.
    fn arm(&mut self, before: Option<&Expr>, arm: &Expr) -> Option<Typed> {
        let is_literal =
            matches!(arm.kind, Kind::Text(_) | Kind::Int(_) | Kind::Money(_) | Kind::Duration(_) | Kind::Asn(_));
        let (true, Some(Kind::Compare(Comparison::Equal, left, right))) = (is_literal, before.map(|one| &one.kind))
        else {
            return self.condition(arm);
        };
        let all = [left, right].map(|one| self.written(&one.span).to_owned());
        let [name, first] = all;
        let message = "each arm of `and` and `or` is a condition of its own, and this is a value";
        let help = format!("write `{name} in [{first}, {}]`", self.written(&arm.span));
        let problem = self.problem(codes::NOT_BOOL, &arm.span, message).help(help);
        self.tell(problem);
        None
    }

    fn connected(&mut self, parts: &[Expr], make: fn(Vec<Typed>) -> Node, span: &Range<usize>) -> Option<Typed> {
        let arm = |at: usize| self.arm(at.checked_sub(1).and_then(|before| parts.get(before)), parts.get(at)?);
        let all: Vec<Option<Typed>> = (0..parts.len()).map(arm).collect();
        let all: Vec<Typed> = all.into_iter().collect::<Option<_>>()?;
        let nullable = all.iter().any(|one| one.nullable);
        Some(self.typed(make(all), Ty::Bool, nullable, span))
    }

    // === names ===

    fn name(&mut self, path: &str, span: &Range<usize>) -> Option<Typed> {
        match self.resolve(path, span)? {
            Meaning::Constant(value, ty) => self.constant(value, ty, span),
            Meaning::Def(ast) => self.def(path, ast, span),
            Meaning::Broken => None,
            Meaning::Value { name, ty, nullable, .. } => Some(self.typed(Node::Name(name), ty, nullable, span)),
        }
    }

    /// What a name stands for here. `None`: nothing, or nothing on these event types, and that was told.
    pub fn resolve(&mut self, path: &str, span: &Range<usize>) -> Option<Meaning<'s>> {
        let scope = self.scope;
        let Some(meaning) = scope.name(path) else {
            self.unknown_name(path, span);
            return None;
        };
        if matches!(meaning, Meaning::Broken) {
            self.failed = true;
            return None;
        }
        if let Meaning::Value { types, .. } = &meaning
            && let Some(problem) = self.not_on(path, *types, span)
        {
            let is_in_own_currency = matches!(&meaning, Meaning::Value { name: Name::Feature(..), ty: Ty::Money, .. });
            self.tell(if is_in_own_currency { problem.help(OWN_CURRENCY) } else { problem });
            return None;
        }
        Some(meaning)
    }

    /// Whether anything was wrong.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    fn unknown_name(&mut self, path: &str, span: &Range<usize>) {
        let problem = if let Some((code, message)) = self.scope.refusal(path) {
            self.problem(code, span, message)
        } else if path.starts_with("lists.") {
            self.problem(codes::LIST_ALONE, span, format!("`{path}` stands only after `in`"))
        } else {
            let problem = self.problem(codes::UNKNOWN_NAME, span, format!("unknown name `{path}`"));
            match path {
                "null" | "none" | "None" | "nil" | "undefined" => problem.help("write `x is missing`"),
                "if" | "when" | "where" | "case" => {
                    problem.help("a condition is true or false by itself: `a > 1 and b == \"x\"`")
                }
                "now" | "today" => problem.help(NO_CLOCK),
                _ => match usage(path) {
                    Some(usage) => problem.help(format!("it is a function: write `{usage}`")),
                    None => self.suggest(problem, path, span),
                },
            }
        };
        self.tell(problem);
    }

    /// With the known name that is nearest, if one is near.
    fn suggest(&mut self, problem: Problem, path: &str, span: &Range<usize>) -> Problem {
        self.suggestions += 1;
        if self.suggestions > SUGGESTIONS_MAX {
            return problem;
        }
        let names = self.scope.names();
        // Whoever writes `country` means `geo.country`, not `count`.
        let part = names.iter().filter(|name| name.rsplit('.').next() == Some(path));
        if let Some(whole) = part.min_by_key(|name| (!name.starts_with("geo."), name.len())) {
            return problem.fix(span.clone(), whole.as_str());
        }
        match did_you_mean(path, names.iter().map(String::as_str)) {
            Some(near) => problem.fix(span.clone(), near),
            None => problem,
        }
    }

    /// What is said of a name that does not exist on every event type in question.
    fn not_on(&self, path: &str, types: TypeSet, span: &Range<usize>) -> Option<Problem> {
        let on = self.on();
        if on.within(types) {
            return None;
        }
        let lacking: Vec<&str> = words(on).into_iter().filter(|w| !words(types).contains(w)).collect();
        let exists = if types.is_empty() { "no".into() } else { enumerate(&words(types)) };
        let message = format!("`{path}` exists on {exists} events, but this runs on {} events", enumerate(&lacking));
        Some(self.problem(codes::NOT_ON_TYPE, span, message))
    }

    /// A def is one value: its own tree, in its own file.
    fn def(&mut self, path: &str, ast: &Ast, span: &Range<usize>) -> Option<Typed> {
        if self.defs.iter().any(|def| def == path) {
            let problem = self.problem(codes::DEF_CYCLE, span, format!("`{path}` uses itself"));
            self.tell(problem);
            return None;
        }
        let here = std::mem::replace(&mut self.file, Arc::clone(&ast.file));
        self.defs.push(path.to_string());
        let before = self.problems.len();
        let typed = self.expr(&ast.root);
        ast.escape_fixes(self.problems.get_mut(before..).unwrap_or_default());
        self.failed |= !ast.is_sound;
        self.defs.pop();
        self.file = here;
        typed
    }

    // === sets ===

    fn membership(&mut self, left: &Expr, set: &Set, span: &Range<usize>) -> Option<Typed> {
        let typed = self.expr(left);
        match set {
            Set::Broken => {
                self.failed = true;
                None
            }
            Set::List(path, list_span) => self.in_list(typed, path, list_span, span),
            Set::Literals(literals) => self.in_literals(typed?, left, literals, span),
        }
    }

    fn in_list(
        &mut self,
        left: Option<Typed>,
        path: &str,
        list_span: &Range<usize>,
        span: &Range<usize>,
    ) -> Option<Typed> {
        let name = path.strip_prefix("lists.").unwrap_or(path);
        let Some(list) = self.scope.list(name).map(Arc::clone) else {
            let problem = self.problem(codes::UNKNOWN_LIST, list_span, format!("unknown list `{path}`"));
            let known = self.scope.lists();
            let problem = match (did_you_mean(name, known.iter().copied()), known.get(..LISTS_NAMED_MAX)) {
                (Some(near), _) => problem.fix(list_span.clone(), format!("lists.{near}")),
                (None, _) if known.is_empty() => problem.help("lists are declared under `lists:`"),
                (None, some) => problem.help(format!("there are: {}", some.unwrap_or(&known).join(", "))),
            };
            self.tell(problem);
            return None;
        };
        let left = left?;
        if list.ty != left.ty {
            let message = format!("`{path}` holds {}, but this is {}", several(list.ty), a(left.ty));
            let problem = self.problem(codes::LIST_TYPE, span, message);
            self.tell(problem);
            return None;
        }
        let nullable = left.nullable;
        Some(self.typed(Node::InList(Box::new(left), list), Ty::Bool, nullable, span))
    }

    fn in_literals(&mut self, left: Typed, at: &Expr, literals: &[Expr], span: &Range<usize>) -> Option<Typed> {
        let values: Vec<Option<Value<'static>>> =
            literals.iter().map(|literal| self.literal_of(&left, at, literal)).collect();
        let values: Vec<Value<'static>> = values.into_iter().collect::<Option<_>>()?;
        // An amount of another currency is unknown.
        let nullable = left.nullable || left.ty == Ty::Money;
        Some(self.typed(Node::InSet(Box::new(left), values), Ty::Bool, nullable, span))
    }
}

/// The names of event types, sorted.
fn words(types: TypeSet) -> Vec<&'static str> {
    use crate::event::Closed;
    let mut words: Vec<&str> = types.iter().map(Closed::word).collect();
    words.sort_unstable();
    words
}

/// `a, b and c`.
fn enumerate(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_string(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
