//! The features of a set: which of them something reads, in which order they stand, and what is wrong with them.
//!
//! Guarantees: those that rules that run read come first, so that the rest can be left out; every feature is checked,
//! read or not. Does not keep anything: `features` does.

use std::collections::{BTreeMap, BTreeSet};

use super::Loader;
use crate::event::TypeSet;
use crate::report::Problem;
use crate::ruleset::constant;
use crate::ruleset::feature::{FeatureSpec, Kind};
use crate::ruleset::hash::HashKey;
use crate::ruleset::model::{Feature, NamedAmount};
use crate::ruleset::names::Here;
use crate::ruleset::row::Layout;
use crate::ruleset::rule::RuleDraft;
use crate::ruleset::{codes, expr, finding};

/// A feature that something reads, checked.
pub(super) struct Placed {
    pub place: u16,
    name: String,
    filter: Option<expr::Typed>,
}

impl Loader<'_> {
    /// Gives the features that something reads their place, those of rules that run first. Tells all first parts
    /// of names mentioned, and how many features rules that run read.
    pub(super) fn place_features(&mut self, drafts: &[RuleDraft<'_>]) -> (BTreeSet<String>, usize) {
        let mentioned = self.mentioned(drafts.iter());
        let in_force = self.mentioned(drafts.iter().filter(|draft| draft.runs()));
        let mut at = 0u16;
        let names = &mut self.declared.names;
        let mut place = |wanted: &dyn Fn(&str) -> bool| {
            for (name, (place, spec)) in &mut names.features {
                if wanted(name) {
                    names.kinds.push(spec.kind);
                    *place = Some(at);
                    at += 1;
                }
            }
            usize::from(at)
        };
        let features_in_force = place(&|name| in_force.contains(name));
        place(&|name| mentioned.contains(name) && !in_force.contains(name));
        (mentioned, features_in_force)
    }

    /// Checks all features and gives those that something reads.
    pub(super) fn features(&mut self, drafts: &[RuleDraft<'_>]) -> Vec<Placed> {
        let rules = drafts.iter().map(|draft| draft.id.as_str()).collect();
        let known = finding::Known { rules, groups: drafts.iter().map(RuleDraft::group).collect() };
        let all_read = !self.unread.is_partial && self.unread.files.is_empty();
        let (mut features, no_params) = (Vec::new(), BTreeMap::new());
        for (name, (place, spec)) in &self.declared.names.features {
            let here = Here::of_event(&self.declared.names, &no_params, spec.types);
            let filter = match &spec.filter {
                Some(ast) if spec.of_findings => {
                    finding::check_filter(ast, here, all_read.then_some(&known), &mut self.problems)
                }
                Some(ast) if !spec.types.is_empty() => expr::check_condition(ast, &here, &mut self.problems),
                _ => None,
            };
            if let Some(typed) = &filter
                && typed.reads_state()
            {
                let (file, span) = &typed.at;
                let message = "a feature's `where` reads the event's own fields, geo and lists only";
                self.problems.push(Problem::error(codes::VALUE, file, span.clone(), message));
            }
            if let (Some(ast), Some(typed), false) = (&spec.filter, &filter, spec.of_findings) {
                let let_in = self.declared.names.judge(spec.types, |judge| {
                    constant::tell(&constant::findings(judge, ast, typed), &mut self.problems);
                    constant::let_in(judge, ast, typed)
                });
                let place = place.filter(|_| spec.kind == Some(Kind::Last));
                self.declared.names.let_in.borrow_mut().extend(place.map(|place| (place, let_in)));
            }
            features.extend(place.map(|place| Placed { place, name: name.clone(), filter }));
        }
        features
    }

    /// Warns of rules that run and read what rules find that are not live.
    pub(super) fn findings_of_silent(&mut self, placed: &[Placed], drafts: &[RuleDraft<'_>]) {
        let is_of_findings =
            |name: &str| self.declared.names.features.get(name).is_some_and(|(_, spec)| spec.of_findings);
        let of_findings: Vec<&Placed> = placed.iter().filter(|placed| is_of_findings(&placed.name)).collect();
        if of_findings.is_empty() {
            return;
        }
        let running: Vec<_> = drafts.iter().filter(|draft| draft.runs()).collect();
        let read: Vec<_> = running.iter().map(|draft| self.mentioned(std::iter::once(*draft))).collect();
        for Placed { name, filter, .. } in of_findings {
            let reader = running.iter().zip(&read).find(|(_, read)| read.contains(name));
            if let (Some((reader, _)), Some(filter)) = (reader, filter) {
                finding::warn_of_silent(filter, name, reader, drafts, &mut self.problems);
            }
        }
    }

    /// Compiles features, without their parts.
    pub(super) fn build_features(&self, placed: &[Placed], layout: &mut Layout, key: HashKey) -> Vec<Feature> {
        let names = &self.declared.names;
        let built = placed.iter().filter_map(|Placed { name, filter, .. }| {
            let (_, spec) = names.features.get(name)?;
            build_feature(name, spec, filter.as_ref(), &names.amounts, layout, key)
        });
        built.collect()
    }
}

fn build_feature(
    name: &str,
    spec: &FeatureSpec,
    filter: Option<&expr::Typed>,
    amounts: &[NamedAmount],
    layout: &mut Layout,
    key: HashKey,
) -> Option<Feature> {
    Some(Feature {
        name: name.to_owned(),
        aggregate: spec.kind?.aggregate(),
        types: spec.types,
        of_findings: spec.of_findings,
        measure: spec.measure,
        filter: filter.map(|typed| expr::compile(typed, layout, key)),
        by: spec.by?,
        over_ms: spec.over_ms,
        include_current: spec.include_current,
        identity: spec.identity(filter, amounts),
        parts: Vec::new(),
        read_on: TypeSet::NONE,
    })
}
