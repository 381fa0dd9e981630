//! The names of a set: which of them mean two things, which are mentioned, and which nobody reads.
//!
//! Guarantees: a name is followed through defs and exceptions to all that it stands for. Does not resolve types.

use std::collections::{BTreeMap, BTreeSet};

use super::Loader;
use crate::event::Field;
use crate::report::{Lines, Problem};
use crate::ruleset::codes;
use crate::ruleset::declare::first_stands;
use crate::ruleset::rule::RuleDraft;

impl Loader<'_> {
    /// Tells names that mean two things, and ids that stand twice.
    pub(super) fn check_names(&mut self, drafts: &[RuleDraft<'_>]) {
        let names = &self.declared.names;
        let mut told = Vec::new();
        let declared = names.defs.iter().map(|(name, def)| (name, "def", &def.file, &def.span));
        let features = names.features.iter().map(|(name, (_, spec))| (name, "feature", &spec.file, &spec.span));
        for (name, what, file, span) in declared.chain(features) {
            let other = match () {
                () if Field::parse(name).is_some() => Some("a field of events"),
                () if names.params.contains_key(name) => Some("a param"),
                () if what == "def" && names.features.contains_key(name) => Some("a feature"),
                () => None,
            };
            if let Some(other) = other {
                let message = format!("the {what} `{name}` has the name of {other}");
                told.push(Problem::error(codes::NAME, file, span.clone(), message).help("give it another name"));
            }
        }
        let (mut ids, mut lines) = (BTreeMap::new(), Lines::default());
        for draft in drafts {
            let first: &RuleDraft<'_> = ids.entry(draft.id.as_str()).or_insert(draft);
            if !std::ptr::eq(first, draft) {
                let message = format!("there are two rules with the id `{}`", draft.id);
                let help = first_stands(&mut lines, first.file, &first.id_span);
                told.push(Problem::error(codes::DUPLICATE_ID, draft.file, draft.id_span.clone(), message).help(help));
            }
            for (name, span) in draft.params() {
                if !draft.has_param(name) {
                    self.declared.broken.insert(name.to_owned());
                }
                let is_taken = Field::parse(name).is_some()
                    || names.defs.contains_key(name)
                    || names.features.contains_key(name)
                    || names.params.contains_key(name);
                if is_taken {
                    let message = format!("the param `{name}` has the name of a field, feature, def or shared param");
                    told.push(Problem::error(codes::NAME, draft.file, span, message).help("give it another name"));
                }
            }
        }
        self.problems.extend(told);
    }

    /// The first parts of the names that rules mention, and of those that their defs and exceptions do.
    pub(super) fn mentioned<'d>(&self, drafts: impl Iterator<Item = &'d RuleDraft<'d>> + Clone) -> BTreeSet<String> {
        let mut mentioned = BTreeSet::new();
        let mut pending: Vec<String> = Vec::new();
        let mut mention = |name: &str| {
            let first = name.split('.').next().unwrap_or(name).to_owned();
            pending.push(first);
        };
        drafts.clone().for_each(|draft| draft.mentions(&mut mention));
        let shared: BTreeSet<&str> = drafts.flat_map(RuleDraft::shared).collect();
        let asts = self.declared.exceptions.iter().filter(|(name, _)| shared.contains(name.as_str()));
        asts.filter_map(|(_, spec)| spec.when.as_ref()).for_each(|ast| ast.names(&mut |name, _| mention(name)));
        while let Some(name) = pending.pop() {
            if !mentioned.insert(name.clone()) {
                continue;
            }
            if let Some(ast) = self.declared.names.defs.get(&name).and_then(|def| def.ast.as_ref()) {
                ast.names(&mut |name, _| pending.push(name.split('.').next().unwrap_or(name).to_owned()));
            }
        }
        mentioned
    }

    /// Warns of params that nothing reads; of a default's, that no rule of its file does.
    pub(super) fn params_not_read(&mut self, drafts: &[RuleDraft<'_>]) {
        let mut params: BTreeMap<_, (&str, bool)> = BTreeMap::new();
        for draft in drafts.iter().filter(|draft| !draft.params.is_empty()) {
            let mentioned = self.mentioned(std::iter::once(draft));
            for (name, span) in draft.params() {
                let place = (draft.file.path.as_str(), span.start, span.end);
                params.entry(place).or_insert((name, false)).1 |= mentioned.contains(name);
            }
        }
        let files = |path: &str| drafts.iter().map(|draft| draft.file).find(|file| file.path == path);
        let of_rules = params.iter().filter(|(_, (_, is_read))| !is_read);
        let of_rules = of_rules.filter_map(|((path, start, end), (name, _))| Some((*name, files(path)?, *start..*end)));
        let used = self.declared.names.used.borrow();
        let shared = self.declared.params_at.iter().filter(|(name, _)| !used.contains(*name));
        let shared = shared.map(|(name, (file, span))| (name.as_str(), file, span.clone()));
        for (name, file, span) in of_rules.chain(shared) {
            let message = format!("nothing reads the param `{name}`: to turn it changes nothing");
            self.problems.push(Problem::warning(codes::UNUSED, file, span, message));
        }
    }
}
