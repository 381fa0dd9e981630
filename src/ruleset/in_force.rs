//! What of a rule set runs: drafts and rules that are off stand in it by name only.
//!
//! Guarantees: a draft costs nothing in production. Its condition is not asked, its features are neither kept nor
//! read, its fields have no slot in the row. Features of rules that run keep their identity, and rules their place.

use std::sync::Arc;

use super::expr::Condition;
use super::model::{Feature, Name, Piece, Rule, Ruleset, Sightings, State};
use super::row::{Cell, Layout};
use super::terms::Terms;
use crate::event::TypeSet;

impl State {
    /// Whether rules of this state are asked of events.
    pub fn runs(self) -> bool {
        matches!(self, State::Live | State::Shadow)
    }
}

impl Ruleset {
    /// The rules that are asked of events.
    pub fn running(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.state.runs())
    }

    /// The same without what only drafts and rules that are off need.
    pub fn in_force(self: &Arc<Self>) -> Arc<Ruleset> {
        if self.rules.iter().all(|rule| rule.state.runs()) {
            return Arc::clone(self);
        }
        let layout = self.layout.in_force();
        let rules: Vec<Rule> =
            self.rules.iter().map(|rule| if rule.state.runs() { rule.clone() } else { named(rule) }).collect();
        let features = self.features.iter().take(self.features_in_force);
        let bare = features.map(|feature| Feature { parts: Vec::new(), read_on: TypeSet::NONE, ..feature.clone() });
        Arc::new(Ruleset {
            digest: self.digest.clone(),
            features: with_parts(bare.collect(), &layout, &rules),
            features_in_force: self.features_in_force,
            rules,
            amounts: self.amounts.clone(),
            lists: self.lists.clone(),
            defs: self.defs.clone(),
            layout,
            warnings: self.warnings.clone(),
        })
    }
}

/// A rule that is never asked: what it reads has no place.
fn named(rule: &Rule) -> Rule {
    Rule {
        when: Condition::from_fn(|_| false),
        sequence: None,
        unless: Vec::new(),
        explain: Vec::new(),
        evidence: Vec::new(),
        sightings: Sightings::default(),
        terms: Terms::default(),
        tests: Vec::new(),
        reads_state: false,
        ..rule.clone()
    }
}

/// Features with the parts that something reads, which the layout knows once all is compiled, and the event
/// types on which a rule reads them.
pub(super) fn with_parts(mut features: Vec<Feature>, layout: &Layout, rules: &[Rule]) -> Vec<Feature> {
    for (name, ty, cell) in layout.cells() {
        if let Name::Feature(at, part) = name
            && let Some(feature) = features.get_mut(usize::from(*at))
        {
            feature.parts.push((*part, *ty, *cell));
            let readers = rules.iter().filter(|rule| may_read(rule, *cell));
            feature.read_on = readers.fold(feature.read_on, |types, rule| types.or(rule.on));
            let sequences = rules.iter().filter_map(|rule| rule.sequence.as_ref());
            let readers = sequences.filter(|sequence| sequence.reads.contains(cell));
            feature.read_on = readers.fold(feature.read_on, |types, sequence| types.or(sequence.types()));
        }
    }
    features
}

/// Whether a rule may read a cell. Which ones an exception reads is not kept: one that reads any may read all.
fn may_read(rule: &Rule, cell: Cell) -> bool {
    let explained = |piece: &Piece| matches!(piece, Piece::Value(_, read) if *read == cell);
    rule.evidence.iter().chain(&rule.sightings.kept).any(|(_, _, read)| *read == cell)
        || rule.explain.iter().any(explained)
        || (rule.reads_state && !rule.unless.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::{HashKey, Sources, load};

    const HEAD: &str = "version: 1
amounts: {large: {CNY: 100}, small: {CNY: 1}}
features:
  a_draft_only: {distinct: login.account, by: device, over: 1h}
  both:         {last: login, by: account, over: 1h}
  by_draft_def: {count: finding, by: merchant, over: 1h}
  live_only:    {count: transfer, by: account, over: 1h}
defs: {deep: by_draft_def > 1}
defaults: {owner: t, severity: low, score: 40, audience: [security], runbook: \"https://example.com\"}
rules:
";
    const LIVE: &str = "
  - id: m-live
    title: t
    state: live
    on: transfer
    when: live_only > 0 and both.device != device and amount > amounts.large
    explain: 'x {both.age}'
    tests: [{name: t, given: {type: transfer, account: a, device: d}, set: {both.device: e}, events: [{amount: 200 CNY, expect: fire}, {amount: 2 CNY, expect: quiet}]}]
";
    const DRAFT: &str = "
  - {id: a-draft, title: t, on: login, when: a_draft_only > 2 and both.session != session and zone is missing, explain: '{locale}'}
  - {id: z-draft, title: t, on: payment, when: deep and amount > amounts.small and account.risk > 3, explain: x}
  - id: y-draft
    title: t
    explain: '{second.city}'
    sequence: {by: account, within: 1h, steps: [{on: login, as: first}, {on: login, as: second, where: device != first.device and both.platform is missing}]}
";

    fn rules(parts: &[&str]) -> Arc<Ruleset> {
        let mut sources = Sources::new("rules");
        sources.add("r.yaml", parts.concat(), None);
        let loaded = load(&sources, HashKey::new([1; 16]), None).unwrap_or_else(|problems| panic!("{problems:#?}"));
        Arc::new(loaded.ruleset)
    }

    /// What the engine works by: every slot of a row, and every feature with its parts and readers.
    fn work(rules: &Ruleset) -> String {
        let Layout { numbers, ids, texts, .. } = rules.layout;
        let features = rules.features.iter().map(|f| (&f.name, f.identity, &f.parts, f.read_on));
        format!("{:#?}", (rules.layout.cells(), numbers, ids, texts, features.collect::<Vec<_>>()))
    }

    #[test]
    fn a_draft_and_a_rule_that_is_off_cost_nothing() {
        let alone = rules(&[HEAD, LIVE]);
        let both = rules(&[HEAD, LIVE, DRAFT]);
        assert_ne!(work(&both), work(&alone), "all of it is there for tests");
        assert_eq!(work(&both.in_force()), work(&alone));
        assert_eq!(work(&rules(&[HEAD, DRAFT, LIVE]).in_force()), work(&alone), "wherever they stand");
        let ids: Vec<String> = both.in_force().rules.iter().map(|rule| rule.id.clone()).collect();
        assert_eq!(ids, ["a-draft", "m-live", "y-draft", "z-draft"], "by name they are still there");
        let off = LIVE.replace("state: live", "state: off").replace("m-live", "off");
        assert_eq!(work(&rules(&[HEAD, LIVE, &off]).in_force()), work(&alone));
        assert!(rules(&[HEAD, &off]).in_force().features.is_empty());
        assert!(Arc::ptr_eq(&alone, &alone.in_force()), "where everything runs nothing is copied");
    }

    #[test]
    fn what_the_shipped_drafts_read_is_not_kept() {
        let pack = load(&Sources::builtin(), HashKey::new([1; 16]), None).unwrap_or_else(|p| panic!("{p:#?}"));
        let pack = Arc::new(pack.ruleset);
        let in_force = pack.in_force();
        assert!(in_force.features.len() < pack.features.len() / 3);
        assert!(in_force.layout.cells().len() < pack.layout.cells().len() / 2);
    }
}
