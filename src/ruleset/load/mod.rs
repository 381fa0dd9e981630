//! From texts to a rule set: reads every file, resolves names, builds rules.
//!
//! Guarantees: pure; a set loads whole or not at all, and every problem of every file is told at once, one
//! cause once. The place of a rule, feature or list in its files changes nothing but the digest. Does not
//! run tests and does not watch files.

mod features;
mod names;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::consequences::{Unread, drop_consequences};
use super::declare::Declared;
use super::hash::HashKey;
use super::in_force::with_parts;
use super::model::{Audience, Rule, Ruleset};
use super::policy::Policy;
use super::read::RULE_FILES;
use super::row::Layout;
use super::rule::RuleDraft;
use super::rule_build::Builder;
use super::sources::{FilePath, Layer, OVERLAY, POLICY, Sources};
use super::{checks, currencies, not_used, overlay, policy, state_bytes};
use crate::event::Millis;
use crate::report::{Level, Problem, SourceFile};
use crate::yaml::{self, Node, Reader};

/// Rules of a set, at most.
pub const RULES_MAX: usize = 2000;
/// Problems after which no further rule is built.
const PROBLEMS_MAX: usize = 2000;

/// A rule set with the policy beside it.
#[derive(Debug)]
pub struct Loaded {
    /// The rules.
    pub ruleset: Ruleset,
    /// The policy, the default one where there is no file.
    pub policy: Policy,
    /// The same rules with their files' own values, where an overlay has others: what inline tests are written for.
    pub own_values: Option<Ruleset>,
}

/// A word of a rule set for something that others have, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// The word.
    pub word: String,
    /// Where it stands.
    pub at: (Arc<SourceFile>, Range<usize>),
}

/// What a rule set names that others have. It is known of a set that does not load, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Notices, by rules.
    pub notices: Vec<Mention>,
    /// Channels, by the routes of a policy other than the default one, with whom they are to reach.
    pub channels: Vec<(Mention, Audience)>,
}

/// Loads a rule set. `key` hashes the ids in conditions, so it is that of the state. `today` is when lists and
/// exceptions are judged by their age; without it they are not. The error holds every problem, warnings too.
pub fn load(sources: &Sources, key: HashKey, today: Option<Millis>) -> Result<Loaded, Vec<Problem>> {
    load_partly(sources, key, today).0
}

/// The same, with what the set names that others have, so that this can be checked even if it does not load.
pub fn load_partly(sources: &Sources, key: HashKey, today: Option<Millis>) -> (Result<Loaded, Vec<Problem>>, Mentions) {
    let (loaded, mentions) = load_once(sources, key, today, Values::InForce);
    let has_overlay = sources.is_present(OVERLAY);
    let loaded = loaded.and_then(|loaded| {
        // What an overlay hides of the rules' own mistakes is told all the same.
        let own = has_overlay.then(|| load_once(sources, key, today, Values::Own).0).transpose()?;
        Ok(Loaded { own_values: own.map(|own| own.ruleset), ..loaded })
    });
    (loaded, mentions)
}

/// Whose values rules have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    /// The overlay's, where it says some.
    InForce,
    /// Those of the rules' own files.
    Own,
}

fn load_once(
    sources: &Sources,
    key: HashKey,
    today: Option<Millis>,
    values: Values,
) -> (Result<Loaded, Vec<Problem>>, Mentions) {
    let mut loader = Loader::new(sources);
    let trees = loader.trees();
    for (path, file, tree) in &trees {
        let mut reader = Reader { file, dialect: &RULE_FILES, problems: &mut loader.problems };
        loader.declared.read(&mut reader, *path, tree);
    }
    let mut drafts = Vec::new();
    for (_, file, tree) in &trees {
        loader.drafts(file, tree, &mut drafts);
    }
    if values == Values::InForce {
        loader.lay_over(&mut drafts);
    }
    let notices = drafts.iter().filter_map(RuleDraft::notice).collect();
    let (policy, channels) = policy_of(sources, &mut loader.problems);
    (loader.build(&drafts, policy, key, today), Mentions { notices, channels })
}

/// The policy of a rules directory and the channels it names; the default one where it has no `policy.yaml`.
fn policy_of(sources: &Sources, problems: &mut Vec<Problem>) -> (Policy, Vec<(Mention, Audience)>) {
    let place = sources.find(POLICY);
    let file = place.and_then(|place| sources.text(place, problems));
    let policy = file.and_then(|file| {
        let tree = yaml::parse(&file, &RULE_FILES, problems)?;
        let mut channels = Vec::new();
        let policy = policy::read(&mut Reader { file: &file, dialect: &RULE_FILES, problems }, &tree, &mut channels)?;
        // A pack's policy takes the channels that are there, and so does the default one, written out too.
        let is_own = place.is_some_and(|place| place.layer == Layer::Own) && policy != Policy::default();
        Some((policy, if is_own { channels } else { Vec::new() }))
    });
    policy.unwrap_or_default()
}

struct Loader<'s> {
    sources: &'s Sources,
    problems: Vec<Problem>,
    declared: Declared<'s>,
    unread: Unread,
}

impl<'s> Loader<'s> {
    fn new(sources: &'s Sources) -> Self {
        Loader {
            sources,
            problems: sources.unreadable.clone(),
            declared: Declared::new(sources),
            unread: Unread { is_partial: !sources.unreadable.is_empty(), files: Vec::new() },
        }
    }

    fn trees(&mut self) -> Vec<(FilePath<'s>, Arc<SourceFile>, Node)> {
        let mut trees = Vec::new();
        for path in self.sources.rule_files() {
            let file = self.sources.text(path, &mut self.problems);
            self.unread.is_partial |= file.is_none();
            let tree = file.and_then(|file| {
                let before = self.problems.len();
                let (tree, is_whole) = yaml::parse_partly(&file, &RULE_FILES, &mut self.problems);
                if !is_whole {
                    self.unread.files.push(Arc::clone(&file));
                }
                if tree.is_none() && self.problems.len() == before {
                    let problem = Problem::error(codes::SHAPE, &file, 0..0, "there is nothing in this file");
                    self.problems.push(problem.help("a rule file begins with `version: 1`"));
                }
                Some((path, Arc::clone(&file), tree?))
            });
            trees.extend(tree);
        }
        if self.sources.rule_files().next().is_none() && self.problems.is_empty() {
            let problem = Problem::nowhere(codes::FILE, "there is no rule file here");
            self.problems.push(problem.help("rule files are `*.yaml` directly in the rules directory"));
        }
        trees
    }

    /// Resolves names and builds everything; the whole set, or every problem.
    fn build(
        mut self,
        drafts: &[RuleDraft<'_>],
        policy: Policy,
        key: HashKey,
        today: Option<Millis>,
    ) -> Result<Loaded, Vec<Problem>> {
        self.check_names(drafts);
        let (mentioned, features_in_force) = self.place_features(drafts);
        let mut layout = Layout::default();
        let mut placed = self.features(drafts);
        placed.sort_by_key(|placed| placed.place);
        self.findings_of_silent(&placed, drafts);
        let of_others = placed.split_off(features_in_force.min(placed.len()));
        self.problems.extend(not_used::problems(&self.declared, drafts, &mentioned));
        // What rules that run read is laid out first, so that the rest can be left out.
        let mut features = self.build_features(&placed, &mut layout, key);
        let mut rules = self.rules(drafts.iter().filter(|draft| draft.runs()), &mut layout, key, today);
        layout.close_in_force();
        features.extend(self.build_features(&of_others, &mut layout, key));
        rules.extend(self.rules(drafts.iter().filter(|draft| !draft.runs()), &mut layout, key, today));
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        checks::stale(&self.declared.names, today, &mut self.problems);
        drop_consequences(&mut self.problems, &self.declared, &self.unread);
        if self.problems.iter().any(|problem| problem.level == Level::Error) {
            return Err(self.problems);
        }
        currencies::forgotten(&self.declared.names.covered.borrow(), &self.declared.names.amounts, &mut self.problems);
        state_bytes::over_budget(&self.declared.names, &mut self.problems);
        checks::unused(&self.declared.names, &mentioned, &mut self.problems);
        let taken: BTreeSet<&str> = drafts.iter().flat_map(RuleDraft::shared).collect();
        checks::exceptions_not_taken(&self.declared.exceptions, &taken, &mut self.problems);
        self.params_not_read(drafts);
        let features = with_parts(features, &layout, &rules);
        let ruleset = Ruleset {
            digest: self.sources.digest(),
            defs: self.declared.names.def_places(),
            rules,
            features,
            features_in_force,
            amounts: self.declared.names.amounts,
            lists: self.declared.names.lists.into_values().map(|named| named.set).collect(),
            layout,
            warnings: self.problems,
        };
        Ok(Loaded { ruleset, policy, own_values: None })
    }

    /// Lays the overlay over the rules, where there is one.
    fn lay_over(&mut self, drafts: &mut [RuleDraft<'_>]) {
        let Some(file) = self.sources.find(OVERLAY).and_then(|file| self.sources.text(file, &mut self.problems)) else {
            return;
        };
        let before = self.problems.len();
        let Some(tree) = yaml::parse(&file, &RULE_FILES, &mut self.problems) else {
            if self.problems.len() == before {
                let problem = Problem::error(codes::SHAPE, &file, 0..0, "there is nothing in this file");
                self.problems
                    .push(problem.help("an overlay begins with `version: 1` and `rules:`; or remove the file"));
            }
            return;
        };
        let is_partial = self.unread.is_partial || !self.unread.files.is_empty();
        let mut reader = Reader { file: &file, dialect: &RULE_FILES, problems: &mut self.problems };
        overlay::lay_over(&mut reader, &tree, drafts, &self.declared.params_at, is_partial);
    }

    fn drafts<'f>(&mut self, file: &'f Arc<SourceFile>, tree: &'f Node, drafts: &mut Vec<RuleDraft<'f>>) {
        let Some(map) = tree.as_map() else { return };
        let mut reader = Reader { file, dialect: &RULE_FILES, problems: &mut self.problems };
        let defaults = map.get("defaults").and_then(Node::as_map);
        let Some(rules) = map.get("rules") else { return };
        for node in reader.seq(rules, "`rules`").unwrap_or_default() {
            if drafts.len() >= RULES_MAX {
                reader.error(codes::LIMIT, node.head(), format!("a rule set has at most {RULES_MAX} rules"));
                break;
            }
            drafts.extend(RuleDraft::read(&mut reader, file, node, defaults));
        }
    }

    fn rules<'d>(
        &mut self,
        drafts: impl Iterator<Item = &'d RuleDraft<'d>>,
        layout: &mut Layout,
        key: HashKey,
        today: Option<Millis>,
    ) -> Vec<Rule> {
        let sources = self.sources;
        let is_present = |path: &str| sources.is_present(path);
        let mut rules = Vec::new();
        for draft in drafts {
            if self.problems.len() > PROBLEMS_MAX {
                break;
            }
            let mut builder = Builder {
                names: &self.declared.names,
                exceptions: &self.declared.exceptions,
                layout: &mut *layout,
                key,
                today,
                is_present: &is_present,
                problems: &mut self.problems,
            };
            rules.extend(builder.build(draft));
        }
        rules
    }
}
