//! What no rule uses is checked all the same: defs and shared exceptions.
//!
//! Guarantees: a mistake in one is told before the first rule takes it, each once, and nothing is told that only
//! the use decides, such as on which events it runs. Does not say that they are unused.

use std::collections::{BTreeMap, BTreeSet};

use super::consequences::text_at;
use super::declare::Declared;
use super::expr;
use super::names::{Constant, Here, Names};
use super::rule::RuleDraft;
use crate::event::TypeSet;
use crate::report::{Level, Problem};

/// Types of the defs and shared exceptions that no rule uses, as far as that goes without event types.
pub(super) fn problems(
    declared: &Declared<'_>,
    drafts: &[RuleDraft<'_>],
    mentioned: &BTreeSet<String>,
) -> Vec<Problem> {
    let params: BTreeMap<String, Constant> = BTreeMap::new();
    let rule_params: BTreeSet<&str> = drafts.iter().flat_map(|draft| draft.params()).map(|(name, _)| name).collect();
    let taken: BTreeSet<&str> = drafts.iter().flat_map(RuleDraft::shared).collect();
    let shared = declared.exceptions.iter().filter(|(name, _)| !taken.contains(name.as_str()));
    let specs = shared.map(|(_, spec)| spec).chain(&declared.untakeable);
    let exceptions: Vec<&expr::Ast> = specs.filter_map(|spec| spec.when.as_ref()).collect();
    let defs = defs_alone(&declared.names, mentioned, &exceptions);
    let check = |on: TypeSet| {
        let here = Here::of_event(&declared.names, &params, on);
        let (mut told, mut of_defs) = (Vec::new(), Vec::new());
        exceptions.iter().for_each(|ast| drop(expr::check_condition(ast, &here, &mut told)));
        defs.iter().for_each(|ast| drop(expr::check_condition(ast, &here, &mut of_defs)));
        // Whether a def is a condition is known where it is used.
        told.extend(of_defs.into_iter().filter(|problem| problem.code != expr::codes::NOT_BOOL));
        told
    };
    // On no type every field exists, on all types every word does.
    let (mut told, words) = (check(TypeSet::NONE), check(TypeSet::ALL));
    told.retain(|problem| problem.code != expr::codes::NEVER_EQUAL);
    told.extend(words.into_iter().filter(|problem| problem.code == expr::codes::NEVER_EQUAL));
    // So is on which events it runs.
    let depends_on_use = |problem: &Problem| {
        let is_param = problem.code == expr::codes::UNKNOWN_NAME
            && text_at(problem).is_some_and(|text| rule_params.contains(text));
        is_param || problem.code == expr::codes::NOT_ON_TYPE || problem.level == Level::Warning
    };
    told.retain(|problem| !depends_on_use(problem));
    told
}

/// The defs that are checked on their own, because neither a rule, nor one of these exceptions, nor another def
/// checks them with it. Of defs that only read each other it is the first.
fn defs_alone<'n>(names: &'n Names, mentioned: &BTreeSet<String>, exceptions: &[&expr::Ast]) -> Vec<&'n expr::Ast> {
    let reads = |ast: &expr::Ast, into: &mut Vec<String>| ast.names(&mut |name, _| into.push(name.to_owned()));
    let mut checked = mentioned.clone();
    let mut pending = Vec::new();
    exceptions.iter().for_each(|ast| reads(ast, &mut pending));
    let mut read_by_another = BTreeSet::new();
    for (name, def) in &names.defs {
        let Some(ast) = &def.ast else { continue };
        ast.names(&mut |read, _| {
            if read != name {
                read_by_another.insert(read.to_owned());
            }
        });
    }
    let (inner, outer): (Vec<_>, Vec<_>) = names.defs.iter().partition(|(name, _)| read_by_another.contains(*name));
    let mut alone = Vec::new();
    for root in std::iter::once(None).chain(outer.into_iter().chain(inner).map(Some)) {
        if let Some((name, def)) = root
            && let Some(ast) = &def.ast
            && !checked.contains(name)
        {
            alone.push(ast);
            pending.push(name.clone());
        }
        while let Some(name) = pending.pop() {
            let ast = names.defs.get(&name).and_then(|def| def.ast.as_ref());
            if let Some(ast) = ast.filter(|_| checked.insert(name)) {
                reads(ast, &mut pending);
            }
        }
    }
    alone
}
