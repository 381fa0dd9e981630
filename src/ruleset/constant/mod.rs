//! Conditions that are never or always true, arms that add nothing, exceptions that leave nothing.
//!
//! Guarantees: what is found holds for every value of the names in question, missing included; a name has the
//! values that its type, its event types and its range allow. Looks at one value at a time, so it finds
//! `x > 5 and x < 3` and not `x > y and y > x`: it is no solver. Its work is bounded over a whole rule set.

mod currency;
mod domain;
mod form;
mod reckon;
mod tell;

use std::cell::Cell;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use self::currency::Supposed;
pub(super) use self::domain::range;
use self::form::{Domain, Form, Known, values};
pub(super) use self::tell::{tell, tell_unreachable};
use super::expr::{Ast, Node, Ty, Typed};
use super::model::{Name, NamedAmount, Part};
use crate::event::{Field, TypeSet, Value};

/// Values tried in parts of one rule set, at most; what comes after is not looked at.
const EFFORT_MAX: usize = 20_000_000;
/// Arms of one value that are compared with each other, at most.
const ARMS_MAX: usize = 64;

/// What is doubtful about a part of a condition.
#[derive(Debug, Clone, Copy)]
pub(super) enum Doubt<'t> {
    /// It is never true; these arms of it exclude each other, where it has arms.
    Never(Option<(&'t Typed, &'t Typed)>),
    /// It is always true; one of these arms always is, where it has arms.
    Always(Option<(&'t Typed, &'t Typed)>),
    /// This arm changes nothing beside another one.
    Implied(&'t Typed),
}

/// A part of a condition with what is doubtful about it.
#[derive(Debug, Clone)]
pub(super) struct Finding<'t> {
    pub at: &'t Typed,
    pub doubt: Doubt<'t>,
    /// Whether it is so because all of it is in one currency.
    is_by_currency: bool,
    /// The value it is about.
    variable: Option<Variable<'t>>,
    /// What it says of that value.
    form: Rc<Form>,
}

/// A value on which a condition depends.
#[derive(Debug, Clone)]
struct Variable<'t> {
    /// Equal for the same value, wherever it stands.
    shape: u64,
    typed: &'t Typed,
    domain: Rc<Domain>,
}

/// What conditions of one place are judged by.
pub(super) struct Judge<'n> {
    /// The event types they run on.
    pub on: TypeSet,
    /// The least and the largest value of a number.
    pub range: &'n dyn Fn(Name) -> (f64, f64),
    /// The named amounts of the rule set.
    pub amounts: &'n [NamedAmount],
    /// What the features let in whose newest event is kept, by their place.
    pub let_in: &'n BTreeMap<u16, LetIn>,
    /// How much was tried so far in the rule set.
    pub effort: &'n Cell<usize>,
}

/// What a feature's `where` asks of single fields: what it keeps of an event is so.
#[derive(Debug, Clone, Default)]
pub(super) struct LetIn(Vec<(Field, Rc<Form>)>);

/// What a condition can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcomes {
    yes: bool,
    no: bool,
    missing: bool,
}

impl Outcomes {
    const ANY: Outcomes = Outcomes { yes: true, no: true, missing: true };

    fn of(values: impl Iterator<Item = Known>) -> Outcomes {
        let mut outcomes = Outcomes { yes: false, no: false, missing: false };
        for value in values {
            match value.truth() {
                Some(true) => outcomes.yes = true,
                Some(false) => outcomes.no = true,
                None => outcomes.missing = true,
            }
        }
        outcomes
    }

    fn is_never(self) -> bool {
        !self.yes
    }

    fn is_always(self) -> bool {
        self.yes && !self.no && !self.missing
    }

    fn is_constant(self) -> bool {
        self.is_never() || self.is_always()
    }
}

/// A part of a condition that was looked at.
#[derive(Debug, Clone)]
struct Seen<'t> {
    typed: &'t Typed,
    /// Equal where two parts say the same.
    shape: u64,
    form: Rc<Form>,
    /// Nodes of the form.
    nodes: usize,
    /// The one value it depends on; `None`: on none.
    variable: Option<Variable<'t>>,
    outcomes: Outcomes,
}

impl Seen<'_> {
    /// The least and the largest number it can be.
    fn range(&self) -> (f64, f64) {
        self.form.range(self.variable.as_ref().map_or(reckon::ANY, |variable| variable.domain.range))
    }
}

/// Everything doubtful about a condition; `ast` is the tree it was made from.
pub(super) fn findings<'t>(judge: &Judge<'_>, ast: &Ast, condition: &'t Typed) -> Vec<Finding<'t>> {
    let mut walk = Walk::new(judge, ast, None);
    let seen = walk.see(condition);
    if matches!(condition.node, Node::Constant(Value::Bool(false))) && is_written(condition) {
        walk.tell(&seen, Doubt::Never(None));
    }
    let in_no_currency = currency::never(judge, ast, condition, &walk.never);
    walk.found.extend(in_no_currency);
    walk.found
}

/// What a feature's `where` asks of single fields.
pub(super) fn let_in(judge: &Judge<'_>, ast: &Ast, filter: &Typed) -> LetIn {
    let mut walk = Walk::new(judge, ast, None);
    let arms = match &filter.node {
        Node::And(arms) => arms.iter().collect(),
        _ => vec![filter],
    };
    let of_field = |seen: Seen<'_>| match seen.variable.as_ref()?.typed.node {
        Node::Name(Name::Field(field)) => Some((field, seen.form)),
        _ => None,
    };
    LetIn(arms.into_iter().filter_map(|arm| of_field(walk.see(arm))).collect())
}

/// Whether an exception is true wherever a rule's condition is.
pub(super) fn covers(judge: &Judge<'_>, exception: (&Ast, &Typed), when: (&Ast, &Typed)) -> bool {
    let mut of_rule = Walk::new(judge, when.0, None);
    let parts: Vec<Seen<'_>> = match &when.1.node {
        Node::And(parts) => parts.iter().map(|part| of_rule.see(part)).collect(),
        _ => vec![of_rule.see(when.1)],
    };
    if parts.iter().any(|part| part.outcomes.is_never()) {
        return false;
    }
    Walk::new(judge, exception.0, None).covered(exception.1, &parts)
}

struct Walk<'j, 't> {
    judge: &'j Judge<'j>,
    /// The condition as it is written: what stands outside of it is a def, which others use elsewhere.
    home: &'j Ast,
    /// The currency that the event's own amount is in, where one is supposed.
    supposed: Option<Supposed>,
    found: Vec<Finding<'t>>,
    /// The conditions that are never true, by their place in memory.
    never: HashSet<*const Typed>,
}

impl<'j, 't> Walk<'j, 't> {
    fn new(judge: &'j Judge<'j>, home: &'j Ast, supposed: Option<Supposed>) -> Self {
        Walk { judge, home, supposed, found: Vec::new(), never: HashSet::new() }
    }

    /// Looks at a part and at what it is made of.
    fn see(&mut self, typed: &'t Typed) -> Seen<'t> {
        let parts: Vec<Seen<'t>> = typed.parts().into_iter().map(|part| self.see(part)).collect();
        let shape = shape(typed, &parts);
        let mut seen = Seen {
            typed,
            shape,
            form: Rc::new(Form::Variable),
            nodes: 1 + parts.iter().map(|part| part.nodes).sum::<usize>(),
            variable: None,
            outcomes: Outcomes::ANY,
        };
        let named = self.supposed.and_then(|supposed| supposed.amount(typed, self.judge.amounts));
        let form = named.or_else(|| form(typed, &parts));
        let variable = match &form {
            // Whatever it is made of: it is always the same.
            Some(Form::Constant(_)) => Ok(None),
            _ => one_variable(&parts),
        };
        match (form, variable) {
            (Some(form), Ok(variable)) => {
                seen.form = Rc::new(form);
                seen.variable = variable;
                if typed.ty == Ty::Bool {
                    let none = Rc::new(Domain::none());
                    let domain = seen.variable.as_ref().map_or(&none, |variable| &variable.domain);
                    if let Some(truths) = self.truths(domain, &[&seen]).and_then(|mut truths| truths.pop()) {
                        seen.outcomes = Outcomes::of(truths.into_iter());
                    }
                }
            }
            _ => {
                seen.nodes = 1;
                seen.outcomes = self.of_parts(typed, &parts);
                let ranges: Vec<(f64, f64)> = parts.iter().map(Seen::range).collect();
                let domain = Domain::of(typed, seen.outcomes, self.judge, self.is_home(typed), &ranges);
                let supposed = self.supposed.filter(|_| currency::is_own(typed));
                let domain = Rc::new(Domain { supposed, only: self.only(typed), ..domain });
                seen.variable = Some(Variable { shape, typed, domain });
            }
        }
        if typed.ty == Ty::Bool && seen.outcomes.is_never() {
            self.never.insert(std::ptr::from_ref(typed));
        }
        self.judge_part(&seen, &parts);
        seen
    }

    /// What is true of a field of the event that a feature keeps.
    fn only(&self, typed: &Typed) -> Vec<Rc<Form>> {
        let Node::Name(Name::Feature(at, Part::Field(field))) = typed.node else { return Vec::new() };
        let let_in = self.judge.let_in.get(&at).map(|let_in| let_in.0.as_slice()).unwrap_or_default();
        let_in.iter().filter(|(of, _)| *of == field).map(|(_, form)| Rc::clone(form)).collect()
    }

    /// The values of some parts of one variable, for each of its values; `None` where that is too much.
    fn truths(&self, domain: &Domain, parts: &[&Seen<'t>]) -> Option<Vec<Vec<Known>>> {
        let forms: Vec<&Form> = parts.iter().map(|part| &*part.form).collect();
        let tried = values(domain, &forms)?;
        let effort = self.judge.effort.get() + tried.len() * parts.iter().map(|part| part.nodes).sum::<usize>();
        if effort > EFFORT_MAX {
            return None;
        }
        self.judge.effort.set(effort);
        Some(forms.iter().map(|form| tried.iter().map(|value| form.value(value)).collect()).collect())
    }

    /// What a condition of several variables can be, by its parts.
    fn of_parts(&self, typed: &Typed, parts: &[Seen<'t>]) -> Outcomes {
        let all = |is: fn(Outcomes) -> bool| parts.iter().all(|part| is(part.outcomes));
        let any = |is: fn(Outcomes) -> bool| parts.iter().any(|part| is(part.outcomes));
        let missing = any(|part| part.missing);
        match &typed.node {
            Node::And(_) => {
                let never = groups(parts).into_iter().any(|group| self.together(&group, false).is_never());
                Outcomes { yes: all(|part| part.yes) && !never, no: any(|part| part.no), missing }
            }
            Node::Or(_) => {
                let always = groups(parts).into_iter().any(|group| self.together(&group, true).is_always());
                let no = all(|part| part.no) && !always;
                Outcomes { yes: any(|part| part.yes), no, missing: missing && !always }
            }
            Node::Not(_) => match parts.first().map(|part| part.outcomes) {
                Some(inner) => Outcomes { yes: inner.no, no: inner.yes, missing: inner.missing },
                None => Outcomes::ANY,
            },
            _ => Outcomes { missing: typed.nullable || !self.is_home(typed), ..Outcomes::ANY },
        }
    }

    /// What arms of one variable are together, under `or` or under `and`.
    fn together(&self, group: &[&Seen<'t>], or: bool) -> Outcomes {
        let Some(first) = group.first() else { return Outcomes::ANY };
        let Some(Variable { domain, .. }) = &first.variable else { return Outcomes::ANY };
        let forms = group.iter().map(|part| Rc::clone(&part.form)).collect();
        let form = if or { Form::Or(forms) } else { Form::And(forms) };
        let nodes = group.iter().map(|part| part.nodes).sum();
        let whole = Seen { form: Rc::new(form), nodes, ..(*first).clone() };
        match self.truths(domain, &[&whole]).and_then(|mut truths| truths.pop()) {
            Some(truths) => Outcomes::of(truths.into_iter()),
            None => Outcomes::ANY,
        }
    }

    /// Tells what is doubtful about a part whose own parts were judged.
    fn judge_part(&mut self, seen: &Seen<'t>, parts: &[Seen<'t>]) {
        if seen.typed.ty != Ty::Bool {
            return;
        }
        match &seen.typed.node {
            Node::Constant(_) => {}
            Node::Not(inner) => self.judge_not(seen, inner, parts),
            Node::And(_) | Node::Or(_) => {
                let or = matches!(seen.typed.node, Node::Or(_));
                let written = parts.iter().filter(|part| is_written(part.typed));
                for part in written {
                    let is = matches!(part.typed.node, Node::Constant(Value::Bool(true)));
                    self.tell(part, if is { Doubt::Always(None) } else { Doubt::Never(None) });
                }
                for group in groups(parts) {
                    self.judge_arms(&group, or, seen);
                }
            }
            _ if seen.outcomes.is_never() => self.tell(seen, Doubt::Never(None)),
            _ if seen.outcomes.is_always() => self.tell(seen, Doubt::Always(None)),
            _ => {}
        }
    }

    /// `x is not missing` is one part: what was told of `x is missing` is told of the whole, the other way round.
    fn judge_not(&mut self, seen: &Seen<'t>, inner: &'t Typed, parts: &[Seen<'t>]) {
        if inner.at != seen.typed.at {
            // What is false where it is known and so never this way, without a reason that was told of its parts.
            let is_new = parts.iter().all(|part| !part.outcomes.is_constant());
            if seen.outcomes.is_never() && is_new {
                self.tell(seen, Doubt::Never(None));
            }
            return;
        }
        for finding in self.found.iter_mut().filter(|finding| std::ptr::eq(finding.at, inner)) {
            finding.at = seen.typed;
            finding.doubt = if seen.outcomes.is_always() { Doubt::Always(None) } else { Doubt::Never(None) };
        }
    }

    /// Arms of one variable: do they exclude each other, is one of them always true, does one change nothing?
    fn judge_arms(&mut self, group: &[&Seen<'t>], or: bool, whole: &Seen<'t>) {
        let arms: Vec<&Seen<'t>> = group.iter().copied().filter(|arm| !arm.outcomes.is_constant()).collect();
        let [first, .., last] = arms.as_slice() else { return };
        let together = self.together(&arms, or);
        let ends = Some((first.typed, last.typed));
        if !or && together.is_never() {
            return self.tell(whole, Doubt::Never(ends));
        }
        if or && together.is_always() {
            return self.tell(whole, Doubt::Always(ends));
        }
        let variable = first.variable.as_ref().filter(|_| arms.len() <= ARMS_MAX);
        let Some(Variable { domain, .. }) = variable else { return };
        let Some(truths) = self.truths(domain, &arms) else { return };
        let changes_nothing = |arm: &[Known], other: &[Known]| {
            arm.iter().map(Known::truth).zip(other.iter().map(Known::truth)).all(|(arm, other)| match or {
                true => (arm != Some(true) || other == Some(true)) && (other != Some(false) || arm == Some(false)),
                false => (other != Some(true) || arm == Some(true)) && (arm != Some(false) || other == Some(false)),
            })
        };
        for (at, (arm, truth)) in arms.iter().zip(&truths).enumerate() {
            // Of two that say the same the first stays.
            let other = arms.iter().zip(&truths).enumerate().find(|(other, (_, others))| {
                *other != at && changes_nothing(truth, others) && (*other < at || !changes_nothing(others, truth))
            });
            if let Some((_, (other, _))) = other.filter(|_| self.is_home(arm.typed)) {
                self.tell(arm, Doubt::Implied(other.typed));
            }
        }
    }

    fn tell(&mut self, seen: &Seen<'t>, doubt: Doubt<'t>) {
        let (variable, form) = (seen.variable.clone(), Rc::clone(&seen.form));
        self.found.push(Finding { at: seen.typed, doubt, is_by_currency: false, variable, form });
    }

    /// Whether a part stands in the condition itself, and not in a def.
    fn is_home(&self, typed: &Typed) -> bool {
        let ((file, span), whole) = (&typed.at, self.home.span());
        std::sync::Arc::ptr_eq(file, self.home.file()) && whole.start <= span.start && span.end <= whole.end
    }

    /// Whether a condition is true wherever all of these parts are.
    fn covered(&mut self, exception: &'t Typed, parts: &[Seen<'_>]) -> bool {
        let seen = self.see(exception);
        if seen.outcomes.is_always() {
            return true;
        }
        if let Some(Variable { shape, domain, .. }) = &seen.variable {
            let is_alike = |part: &&Seen<'_>| part.variable.as_ref().is_some_and(|other| other.shape == *shape);
            let alike: Vec<&Form> = parts.iter().filter(is_alike).map(|part| &*part.form).collect();
            let forms: Vec<&Form> = alike.iter().copied().chain([&*seen.form]).collect();
            let is_true = |form: &Form, value: &Known| form.value(value).truth() == Some(true);
            let holds = |value: &Known| is_true(&seen.form, value) || alike.iter().any(|form| !is_true(form, value));
            if !alike.is_empty() && values(domain, &forms).is_some_and(|tried| tried.iter().all(holds)) {
                return true;
            }
        }
        match &exception.node {
            Node::Or(arms) => arms.iter().any(|arm| self.covered(arm, parts)),
            Node::And(arms) => arms.iter().all(|arm| self.covered(arm, parts)),
            _ => false,
        }
    }
}

/// Whether a constant is written out as `true` or `false`; a param is turned on and off on purpose.
fn is_written(typed: &Typed) -> bool {
    matches!(typed.node, Node::Constant(Value::Bool(_))) && matches!(typed.text(), "true" | "false")
}

/// What a part says about the one variable of its parts; `None` where it is a value of its own.
fn form(typed: &Typed, parts: &[Seen<'_>]) -> Option<Form> {
    let of = |at: usize| parts.get(at).map(|part| Rc::clone(&part.form));
    let all = || parts.iter().map(|part| Rc::clone(&part.form)).collect();
    Some(match &typed.node {
        Node::Constant(value) => Form::Constant(Known::of(value)),
        Node::Not(_) => Form::Not(of(0)?),
        Node::And(_) => Form::And(all()),
        Node::Or(_) => Form::Or(all()),
        Node::Compare(how, ..) => Form::Compare(*how, of(0)?, of(1)?),
        Node::InSet(_, set) => Form::InSet(of(0)?, set.iter().map(Known::of).collect()),
        Node::IsMissing(_) => Form::IsMissing(of(0)?),
        Node::Coalesce(..) => Form::Coalesce(of(0)?, of(1)?),
        Node::Arithmetic(..) | Node::Negate(_) | Node::Call(..) => {
            let parts: Vec<&Form> = parts.iter().map(|part| &*part.form).collect();
            Form::Constant(reckon::constant(typed, &parts)?)
        }
        _ => return None,
    })
}

/// The variable that all parts share; an error where they have several.
fn one_variable<'t>(parts: &[Seen<'t>]) -> Result<Option<Variable<'t>>, ()> {
    let mut found: Option<&Variable<'t>> = None;
    for variable in parts.iter().filter_map(|part| part.variable.as_ref()) {
        if found.is_some_and(|known| known.shape != variable.shape) {
            return Err(());
        }
        found = found.or(Some(variable));
    }
    Ok(found.cloned())
}

/// Arms by the variable they are about, where there are two or more of one.
fn groups<'s, 't>(parts: &'s [Seen<'t>]) -> Vec<Vec<&'s Seen<'t>>> {
    let mut by_variable: BTreeMap<u64, Vec<&Seen<'t>>> = BTreeMap::new();
    let mut order = Vec::new();
    let mut met = HashSet::new();
    for part in parts {
        let Some(Variable { shape, .. }) = &part.variable else { continue };
        by_variable.entry(*shape).or_default().push(part);
        if met.insert(*shape) {
            order.push(*shape);
        }
    }
    let groups = order.into_iter().filter_map(|shape| by_variable.remove(&shape));
    groups.filter(|group| group.len() > 1).collect()
}

/// A number that is equal where two parts say the same.
fn shape(typed: &Typed, parts: &[Seen<'_>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    std::mem::discriminant(&typed.node).hash(&mut hasher);
    match &typed.node {
        Node::Constant(value) => format!("{value:?}").hash(&mut hasher),
        Node::Name(name) => name.hash(&mut hasher),
        Node::Compare(how, ..) => how.hash(&mut hasher),
        Node::InList(_, list) => list.name.hash(&mut hasher),
        Node::InSet(_, set) => format!("{set:?}").hash(&mut hasher),
        Node::Arithmetic(how, ..) => how.hash(&mut hasher),
        Node::Call(function, _) => function.hash(&mut hasher),
        Node::Matches(_, pattern) => pattern.as_str().hash(&mut hasher),
        Node::Not(_) | Node::And(_) | Node::Or(_) | Node::IsMissing(_) | Node::Coalesce(..) | Node::Negate(_) => {}
    }
    parts.iter().for_each(|part| part.shape.hash(&mut hasher));
    hasher.finish()
}
