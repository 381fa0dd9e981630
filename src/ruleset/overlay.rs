//! `overlay.yaml`: what a team changes about rules without touching their files: state, score, params, exceptions.
//!
//! Guarantees: an overlay never touches a condition; every param keeps its own type and limits; what does not fit
//! is told at its place. The rules' revisions stay: only the digest of the set differs. Does not build rules.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::declare::{check_version, first_stands};
use super::exception::{Unless, read_unless};
use super::model::State;
use super::pack;
use super::params::NotTaken;
use super::read;
use super::rule::{LATER_KEYS, RULE_KEYS, RuleDraft, STATES};
use crate::report::{Level, Lines, Problem, SourceFile};
use crate::yaml::{Entry, Kind, Node, Reader};

const FILE_KEYS: &[&str] = &["version", "rules"];
/// What rule files have and overlays have not.
const RULE_FILE_KEYS: &[&str] = &["lists", "amounts", "features", "defs", "params", "defaults", "exceptions"];
/// What is said of a param that is no rule's own.
const SHARED_PARAM: &str = "declare it under the `params` of the rule, `limit: {value: 8, min: 3, max: 50}`, and set it \
     under the rule's id: `rules: {ID: {params: {limit: 12}}}`; or change it in its own file";
const OVERLAY_KEYS: &[&str] = &["state", "score", "params", "exceptions"];

/// What an overlay says of one rule's state and score; its params and exceptions stand in the rule itself.
#[derive(Debug, Default)]
pub(super) struct Overlaid {
    /// The state, and where it is set.
    pub state: Option<(State, Arc<SourceFile>, Range<usize>)>,
    pub score: Option<u8>,
    /// Whether a param has another value: then a test's `{max}` is another number, too.
    pub has_params: bool,
}

impl Overlaid {
    /// Makes warnings of what is wrong with tests where the overlay has changed a param. With the rule's own values
    /// they are read too, and there it is an error.
    pub fn soften<'p>(&self, problems: impl Iterator<Item = &'p mut Problem>) {
        for problem in problems.filter(|_| self.has_params) {
            (problem.level, problem.code) = (Level::Warning, codes::OVERLAY_TEST);
            problem.message = format!("with the overlay's params {}", problem.message);
        }
    }
}

/// Where each param stands that all rules of a set share.
type Shared = BTreeMap<String, (Arc<SourceFile>, Range<usize>)>;

/// Reads an overlay and lays it over the rules. `is_partial`: some rules could not be read, so that a rule that is
/// not there may be among them.
pub(super) fn lay_over(
    reader: &mut Reader<'_>,
    tree: &Node,
    drafts: &mut [RuleDraft<'_>],
    shared: &Shared,
    is_partial: bool,
) {
    let Some(map) = reader.map(tree, "an overlay") else { return };
    let known: Vec<&str> = FILE_KEYS.iter().chain(RULE_FILE_KEYS).copied().collect();
    reader.keys(map, &known, &[]);
    for entry in map.entries.iter().filter(|entry| RULE_FILE_KEYS.contains(&entry.key.as_str())) {
        tell_key_of_rule_files(reader, entry);
    }
    reader.require(tree, "an overlay", FILE_KEYS);
    if let Some(node) = map.get("version") {
        check_version(reader, node);
    }
    let Some(rules) = map.get("rules").filter(|node| !node.is_null()) else { return };
    let Some(rules) = reader.map(rules, "`rules` of an overlay") else { return };
    // Of two rules with one id the first counts; that there are two was told.
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        places.entry(draft.id.clone()).or_insert(at);
    }
    let ids: Vec<&str> = places.keys().map(String::as_str).collect();
    for entry in &rules.entries {
        match places.get(&entry.key).and_then(|at| drafts.get_mut(*at)) {
            Some(draft) => lay_over_rule(reader, entry, draft, shared),
            None if is_partial => {}
            None => tell_unknown_rule(reader, entry, &ids),
        }
    }
}

/// An overlay says what it says of rules, by their id.
fn tell_key_of_rule_files(reader: &mut Reader<'_>, entry: &Entry) {
    let key = entry.key.as_str();
    let message = format!("an overlay has no `{key}` of its own: it tunes rules, by their id");
    let help = match key {
        "params" => SHARED_PARAM.to_owned(),
        "exceptions" => "write `rules: {ID: {exceptions: […]}}`".to_owned(),
        _ => format!("`{key}` stands in a rule file: put a file of your own beside the others"),
    };
    reader.error_help(codes::OVERLAY, entry.key_span.clone(), message, &help);
}

fn tell_unknown_rule(reader: &mut Reader<'_>, entry: &Entry, ids: &[&str]) {
    let message = format!("there is no rule `{}`", entry.key);
    let span = entry.key_span.clone();
    if pack::has_rule(&entry.key) {
        let help = "the shipped pack has it: `pack = \"builtin\"` in the configuration's [rules], or `--pack builtin`, \
                    puts the pack beside this directory";
        return reader.error_help(codes::OVERLAY_RULE, span, message, help);
    }
    reader.unknown_word(codes::OVERLAY_RULE, span, message, &entry.key, ids.iter().copied());
}

fn lay_over_rule(reader: &mut Reader<'_>, entry: &Entry, draft: &mut RuleDraft<'_>, shared: &Shared) {
    let Some(map) = reader.map(&entry.value, "what an overlay says of a rule") else { return };
    for entry in &map.entries {
        let key = entry.key.as_str();
        if OVERLAY_KEYS.contains(&key) {
            continue;
        }
        let span = entry.key_span.clone();
        if key == "unless" {
            let message = "an overlay adds `exceptions`; it does not touch the rule's own `unless`";
            let problem = Problem::error(codes::OVERLAY, reader.file, span.clone(), message);
            reader.problems.push(problem.fix(span, "exceptions"));
        } else if RULE_KEYS.contains(&key) || LATER_KEYS.contains(&key) {
            let message = format!("an overlay cannot touch the `{key}` of a rule");
            let help = "it sets `state`, `score` and `params` and adds `exceptions`; for more take a copy of the rule \
                        under an id of its own, and switch this one `off`";
            reader.error_help(codes::OVERLAY, span, message, help);
        } else {
            let message = format!("unknown key `{key}`");
            reader.unknown_word(codes::UNKNOWN_KEY, span, message, key, OVERLAY_KEYS.iter().copied());
        }
    }
    if let Some(node) = map.get("state")
        && let Some(state) = reader.word(node, "state", STATES)
    {
        draft.overlaid.state = Some((state, Arc::clone(reader.file), node.span.clone()));
    }
    if let Some(node) = map.get("score") {
        let score = reader.int(node, "score", 0..=100);
        draft.overlaid.score = score.and_then(|score| u8::try_from(score).ok());
    }
    if let Some(node) = map.get("params").filter(|node| !node.is_null()) {
        lay_over_params(reader, node, draft, shared);
    }
    if let Some(node) = map.get("exceptions").filter(|node| !node.is_null()) {
        add_exceptions(reader, node, draft);
    }
}

fn lay_over_params(reader: &mut Reader<'_>, node: &Node, draft: &mut RuleDraft<'_>, shared: &Shared) {
    let Some(map) = reader.map(node, "`params`") else { return };
    for entry in &map.entries {
        let name = entry.key.as_str();
        let (Some(own), Some(limits)) = (draft.params.get(name), draft.limits.get(name)) else {
            // One that the rule has and that could not be read was told there.
            let known: Vec<&str> = draft.params().into_iter().map(|(name, _)| name).collect();
            if known.contains(&name) {
                continue;
            }
            let span = entry.key_span.clone();
            if let Some((file, _)) = shared.get(name) {
                let message =
                    format!("`{name}` is shared by the rules that read it, in {}: no overlay sets it", file.path);
                reader.error_help(codes::OVERLAY_PARAM, span, message, SHARED_PARAM);
            } else {
                let message = format!("the rule `{}` has no param `{name}`", draft.id);
                reader.unknown_word(codes::OVERLAY_PARAM, span, message, name, known);
            }
            continue;
        };
        let span = entry.value.span.clone();
        if matches!(entry.value.kind, Kind::Map(_)) {
            let help = format!("write `{name}: VALUE`; its `min` and `max` stay as the rule has them");
            let message = "an overlay sets the value of a param and nothing else of it";
            reader.error_help(codes::OVERLAY_PARAM, entry.value.head(), message, &help);
            continue;
        }
        if reader.scalar(&entry.value, "the value of a param").is_none() {
            continue;
        }
        let Some(value) = read::constant(&entry.value) else {
            let message = "a param is a number, a time, an amount of money, true or false, or a text";
            reader.error_help(codes::OVERLAY_PARAM, span, message, "a text goes under quotes");
            continue;
        };
        match limits.take(own, value) {
            Ok(value) => {
                draft.params.insert(name.to_owned(), value);
                draft.overlaid.has_params = true;
            }
            Err(NotTaken::OtherType(what)) => {
                let message = format!("the param `{name}` of `{}` is {what}", draft.id);
                reader.error(codes::OVERLAY_PARAM, span, message);
            }
            Err(NotTaken::Beyond(limit, value)) => {
                let side = if limit == "max" { "above" } else { "below" };
                let message = format!("`{name}` lies {side} the `{limit}` of `{}`, {value}", draft.id);
                reader.error(codes::OVERLAY_PARAM, span, message);
            }
        }
    }
}

fn add_exceptions(reader: &mut Reader<'_>, node: &Node, draft: &mut RuleDraft<'_>) {
    let mut lines = Lines::default();
    for added in read_unless(reader, node, "`exceptions`") {
        let (name, _, span) = added.named();
        let own = draft.unless.iter().map(Unless::named).find(|(own, ..)| *own == name);
        if let Some((_, file, at)) = own {
            let help = first_stands(&mut lines, file, at);
            let message = format!("the rule `{}` has an exception `{name}` already", draft.id);
            reader.error_help(codes::NAME, span.clone(), message, &help);
            continue;
        }
        draft.unless.push(added);
    }
}
