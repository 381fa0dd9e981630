//! What each rule means, as digests: whether it changed, in which keys, and whether its revision says so.
//!
//! Guarantees: the meaning depends on everything that decides what a rule does, with the values of what it reads put
//! in the place of their names, and on nothing else: not on comments, blanks, the order of keys, titles or tests. An
//! overlay is no part of it: that changes the digest of the set. Expects a set that loads; tells nothing about one
//! that does not.

mod spelling;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::codes;
use super::read::RULE_FILES;
use super::sources::Sources;
use crate::report::{Problem, SourceFile};
use crate::yaml::{self, Node};
use spelling::{Declared, Speller};

/// Keys of a rule that decide nothing about what it does. Its state says whether it counts, which is not what it
/// means.
const NO_MEANING: &[&str] = &[
    "id",
    "title",
    "description",
    "revision",
    "state",
    "owner",
    "severity",
    "explain",
    "attack",
    "references",
    "runbook",
    "false_positives",
    "params",
    "tests",
    "mutants",
];
/// Parts of a rule or of a set, by name, each with the digest of what it says.
pub type Parts = BTreeMap<String, String>;

/// What one rule means.
#[derive(Debug, Clone)]
pub struct Meaning {
    /// Its revision.
    pub revision: u32,
    /// Where that stands in the rule, or the rule's id where it does not.
    pub at: (Arc<SourceFile>, Range<usize>),
    /// Whether the rule itself says its revision.
    has_revision: bool,
    /// The digest of all that decides what it does.
    pub digest: String,
    /// Every key, title and tests too, and what it reads: ``feature `x` ``.
    pub parts: Parts,
}

/// What every rule of a set means, by its id.
pub fn meanings(sources: &Sources) -> BTreeMap<String, Meaning> {
    // Whoever asks has loaded the set, and has told what is wrong with it.
    let mut unheard = Vec::new();
    let trees: Vec<(Arc<SourceFile>, Node)> = sources
        .rule_files()
        .filter_map(|path| {
            let file = sources.text(path, &mut unheard)?;
            let tree = yaml::parse(&file, &RULE_FILES, &mut unheard)?;
            Some((file, tree))
        })
        .collect();
    let declared = Declared::of(&trees);
    let mut meanings = BTreeMap::new();
    for (file, tree) in &trees {
        let Some(map) = tree.as_map() else { continue };
        let defaults = map.get("defaults").and_then(Node::as_map);
        for rule in map.get("rules").map(Node::items).unwrap_or_default().iter().filter_map(Node::as_map) {
            let Some(id) = rule.get("id").and_then(Node::as_text) else { continue };
            meanings.entry(id.to_owned()).or_insert_with(|| Speller::new(&declared, file, rule, defaults).meaning(id));
        }
    }
    meanings
}

/// The rules whose meaning is another than in `base` while their revision did not grow.
pub fn not_raised(base: &BTreeMap<String, Meaning>, now: &BTreeMap<String, Meaning>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (id, new) in now {
        let Some(old) = base.get(id).filter(|old| old.digest != new.digest && new.revision <= old.revision) else {
            continue;
        };
        let means = |part: &&String| !NO_MEANING.contains(&part.as_str());
        let changed: Vec<String> = differing(&old.parts, &new.parts);
        let changed: Vec<&str> = changed.iter().filter(means).map(String::as_str).collect();
        let what = if changed.is_empty() { String::new() } else { format!(": {}", changed.join(", ")) };
        let message = format!("the rule `{id}` means something else than at revision {}{what}", old.revision);
        let (file, span) = &new.at;
        let problem = Problem::error(codes::REVISION, file, span.clone(), message);
        let next = old.revision.saturating_add(1);
        problems.push(match new.has_revision {
            true => problem.fix(span.clone(), next.to_string()),
            false => problem.help(format!("add `revision: {next}` to the rule itself")),
        });
    }
    problems
}

/// The names of the parts that are not the same in both.
pub fn differing(a: &Parts, b: &Parts) -> Vec<String> {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

/// The first 16 bytes of a text's BLAKE3, in hex.
pub(super) fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::rule::RULE_KEYS;

    const BASE: &str = "version: 1
lists:
  partners: {type: ip, owner: o, max_age: 30d, items: [192.0.2.1, 192.0.2.2]}
  tor: {type: ip, owner: o, max_age: 1d, file: lists/tor.txt}
amounts:
  large: {CNY: 5000}
params:
  shared: {value: 3}
features:
  failed: {count: login, where: result == \"failure\" and not (ip in lists.partners), by: account, over: 10m}
defs:
  often: failed >= max and failed > shared
exceptions:
  - {name: office, when: ip in lists.tor, reason: r, owner: o, expires: 2030-12-31}
defaults: {owner: team}
rules:
  - id: r
    title: T
    revision: 3
    severity: low
    score: 10
    audience: [security, user]
    on: login
    params: {max: {value: 8, min: 5}}
    when: often and channel == \"web\" # why
    unless: [office]
    dedup: {by: account, for: 1h}
    explain: e
    runbook: https://example.org
  - {id: other, title: T, severity: low, score: 10, audience: user, on: transfer, when: amount > amounts.large}
";

    fn of(text: &str) -> BTreeMap<String, Meaning> {
        let mut sources = Sources::new("rules");
        sources.add("r.yaml", text, None);
        meanings(&sources)
    }

    fn changed(from: &str, to: &str) -> Vec<&'static str> {
        assert!(BASE.contains(from), "{from}");
        let (old, new) = (of(BASE), of(&BASE.replacen(from, to, 1)));
        ["r", "other"].into_iter().filter(|id| old[*id].digest != new[*id].digest).collect()
    }

    #[test]
    fn whatever_changes_what_a_rule_does_changes_its_meaning() {
        for (from, to) in [
            ("failed >= max", "failed > max"),
            ("value: 8", "value: 9"),
            ("shared: {value: 3}", "shared: {value: 4}"),
            ("over: 10m", "over: 11m"),
            ("by: account, over", "by: ip, over"),
            ("result == \"failure\"", "result == \"success\""),
            ("192.0.2.2", "192.0.2.3"),
            ("channel == \"web\"", "channel == \"app\""),
            ("    unless: [office]\n", ""),
            ("expires: 2030-12-31", "expires: 2031-12-31"),
            ("when: ip in lists.tor", "when: ip in lists.partners"),
            ("for: 1h", "for: 2h"),
            ("    score: 10\n", "    score: 11\n"),
            ("[security, user]", "[security]"),
            ("    on: login\n", "    on: [login, mfa]\n"),
            ("    score: 10\n", "    score: 10\n    group: g\n"),
            ("    score: 10\n", "    score: 10\n    action: step_up\n"),
        ] {
            assert_eq!(changed(from, to), ["r"], "{from} to {to}");
        }
        assert_eq!(changed("CNY: 5000", "CNY: 6000"), ["other"]);
    }

    #[test]
    fn of_every_key_it_is_decided_whether_it_means_something() {
        let means =
            ["score", "group", "audience", "notice", "inform", "on", "when", "sequence", "unless", "dedup", "action"];
        for key in RULE_KEYS {
            assert_ne!(means.contains(key), NO_MEANING.contains(key), "{key}");
        }
    }

    #[test]
    fn how_it_is_written_and_what_is_said_about_it_changes_nothing() {
        for (from, to) in [
            ("# why", "# because"),
            ("often and channel", "(often)   and channel"),
            ("over: 10m", "over: 600s"),
            ("    on: login\n", "    on: [login]\n"),
            ("[security, user]", "[user, security]"),
            ("by: account, over: 10m}", "over: 10m, by: account}"),
            ("    title: T\n", "    title: Another\n    description: words\n    state: live\n"),
            ("min: 5", "min: 1"),
            ("explain: e", "explain: other"),
            ("reason: r", "reason: why"),
            ("    score: 10\n", "    score: 10\n    group: r\n    action: none\n"),
            ("    runbook", "    tests: []\n    runbook"),
            ("    runbook", "    mutants: [{keep: 'when: 8 -> 9', reason: r}]\n    runbook"),
            ("    revision: 3\n", "    revision: 4\n"),
        ] {
            assert_eq!(changed(from, to), [""; 0], "{from} to {to}");
        }
        let renamed = BASE
            .replace("failed", "missed")
            .replace("often", "frequent")
            .replace(">= max", ">= top")
            .replace("{max:", "{top:");
        assert_eq!(of(&renamed)["r"].digest, of(BASE)["r"].digest, "names mean nothing");
    }

    #[test]
    fn a_changed_rule_needs_a_higher_revision() {
        let told = |text: &str| {
            let problems = not_raised(&of(BASE), &of(text));
            crate::report::render(&problems, false)
        };
        assert_eq!(told(BASE), "");
        assert_eq!(told(&BASE.replace("over: 10m", "over: 20m").replace("revision: 3", "revision: 4")), "");
        insta::assert_snapshot!(told(
            &BASE
                .replace("over: 10m", "over: 20m")
                .replace("score: 10\n", "score: 20\n")
                .replace("CNY: 5000", "CNY: 1")
        ));
    }

    #[test]
    fn a_revision_by_default_is_raised_in_the_rule_alone() {
        let by_default = BASE.replace("defaults: {owner: team}", "defaults: {owner: team, revision: 2}");
        let problems = not_raised(&of(&by_default), &of(&by_default.replace("CNY: 5000", "CNY: 1")));
        assert!(problems.iter().all(|problem| problem.fix.is_none()), "that would raise every rule of the file");
        insta::assert_snapshot!(crate::report::render(&problems, false));
    }
}
