//! The mutants of a rule set: each constant a step up and down, each arm, `not`, exception and step dropped.
//!
//! Guarantees: a mutant is an edit of the files' text, so that what is judged is what somebody could have
//! written; what several rules read (a def, an amount, a shared exception) is one mutant with all its readers.
//! Does not load mutants and runs no test.

mod find;
mod kept;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::sources::{FilePath, Sources};
use crate::report::SourceFile;
use crate::yaml::{Kind, Map, Node};
use find::Finder;

pub use kept::Kept;
pub(super) use kept::{KEPT_KEYS, read_kept};

/// One change that some test should notice.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// The file's path below the rules directory.
    pub path: String,
    /// The file.
    pub file: Arc<SourceFile>,
    /// Where it is: the bytes that people are shown.
    pub span: Range<usize>,
    /// The file's edits, sorted, none inside another. More than one where limits or tests name the value.
    edits: Vec<(Range<usize>, String)>,
    /// What it is called, unique among the mutants of a rule: `when: 8 -> 9`.
    pub name: String,
    /// The value that would show it.
    pub hint: String,
    /// Why probably nothing shows it, where its place tells.
    pub doubt: Option<String>,
    /// The rules that read it, by id.
    pub readers: Vec<String>,
    /// Whether it is in what a feature keeps (its window, its `where`): listed apart.
    pub is_apart: bool,
}

/// A rule set's texts, read for its mutants.
#[derive(Debug)]
pub struct Survey<'s> {
    sources: &'s Sources,
    /// Each rule file with its tree.
    files: Vec<File<'s>>,
    /// The mutants, in the order of files and places.
    pub mutants: Vec<Mutant>,
    /// Rules that hear of other rules: through `account.risk`, or findings that a feature counts.
    hears_others: BTreeSet<String>,
    /// Rules that features name: without them the set would not load.
    named: BTreeSet<String>,
}

#[derive(Debug)]
struct File<'s> {
    path: FilePath<'s>,
    file: Arc<SourceFile>,
    tree: Node,
}

/// Surveys a rule set that loads; of one that does not, what can be read.
pub fn survey(sources: &Sources) -> Survey<'_> {
    let files = survey_files(sources);
    let (mut mutants, hears_others) = Finder::new(&files).find();
    number_names(&mut mutants);
    let named = named_by_features(&files);
    Survey { sources, files, mutants, hears_others, named }
}

/// The ids of rules that stand in the `where` of a feature, and of one rule of each group that does.
fn named_by_features(files: &[File<'_>]) -> BTreeSet<String> {
    let maps = || files.iter().filter_map(|file| file.tree.as_map());
    let features = maps().filter_map(|map| map.get("features")?.as_map()).flat_map(|features| &features.entries);
    let filters: Vec<&str> = features.filter_map(|feature| text_of(feature.value.as_map()?, "where")).collect();
    let is_named = |word: &str| filters.iter().any(|filter| filter.contains(&format!("\"{word}\"")));
    let (mut named, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for map in maps() {
        let by_default = map.get("defaults").and_then(Node::as_map).and_then(|defaults| text_of(defaults, "group"));
        let Some(Kind::Seq(items)) = map.get("rules").map(|rules| &rules.kind) else { continue };
        for (item, id) in items.iter().filter_map(|item| Some((item, id_of(item)?))) {
            let group = item.as_map().and_then(|rule| text_of(rule, "group")).or(by_default).unwrap_or(id);
            if is_named(id) || (is_named(group) && groups.insert(group.to_owned())) {
                named.insert(id.to_owned());
            }
        }
    }
    named
}

/// The rule files that can be read; what is wrong with the others is told by whoever loads them.
fn survey_files(sources: &Sources) -> Vec<File<'_>> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for path in sources.rule_files() {
        let Some(file) = sources.text(path, &mut problems) else { continue };
        let Some(tree) = crate::yaml::parse(&file, &super::read::RULE_FILES, &mut problems) else { continue };
        files.push(File { path, file, tree });
    }
    files
}

/// Whether some file has a rule of this id, whatever else is wrong with it.
pub fn declares_rule(sources: &Sources, id: &str) -> bool {
    survey_files(sources).iter().any(|file| {
        let Kind::Map(map) = &file.tree.kind else { return false };
        let Some(Kind::Seq(rules)) = map.get("rules").map(|rules| &rules.kind) else { return false };
        rules.iter().any(|rule| id_of(rule) == Some(id))
    })
}

/// Mutants of one name get numbers, in the order of their places.
fn number_names(mutants: &mut [Mutant]) {
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    for mutant in mutants {
        let nth = mutant.readers.iter().map(|reader| {
            let count = seen.entry((reader.clone(), mutant.name.clone())).or_default();
            *count += 1;
            *count
        });
        let nth = nth.max().unwrap_or(1);
        if nth > 1 {
            mutant.name = format!("{} ({nth})", mutant.name);
        }
    }
}

impl Survey<'_> {
    /// The sources with a mutant in them, or without any, for the tests of one rule. Rules that this one cannot
    /// hear of are left out, which only saves time; the overlay is left out, for tests are written for the values of
    /// their own file.
    pub fn sources(&self, mutant: Option<&Mutant>, rule: &str) -> Sources {
        let mut sources = self.sources.without_overlay();
        let keeps_others = self.hears_others.contains(rule);
        for File { path, file, tree } in &self.files {
            let mut edits: Vec<(Range<usize>, &str)> = Vec::new();
            if let Some(mutant) = mutant.filter(|mutant| Arc::ptr_eq(&mutant.file, file)) {
                edits.extend(mutant.edits.iter().map(|(span, with)| (span.clone(), with.as_str())));
            }
            if !keeps_others {
                edits.extend(
                    others(&file.text, tree, |id| id == rule || self.named.contains(id))
                        .into_iter()
                        .map(|span| (span, "")),
                );
            }
            if !edits.is_empty() {
                sources = sources.replaced(*path, edited(&file.text, edits));
            }
        }
        sources
    }
}

/// A text with its edits; one that lies inside another is dropped with it.
fn edited(text: &str, mut edits: Vec<(Range<usize>, &str)>) -> String {
    edits.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
    let mut changed = String::with_capacity(text.len());
    let mut at = 0;
    for (span, with) in edits {
        if span.start < at {
            continue;
        }
        changed.push_str(text.get(at..span.start).unwrap_or_default());
        changed.push_str(with);
        at = span.end.max(span.start);
    }
    changed.push_str(text.get(at..).unwrap_or_default());
    changed
}

/// The lines of the rules of a file but those kept; none where the file does not have one rule after the other, each in
/// lines of its own.
fn others(text: &str, tree: &Node, is_kept: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let Kind::Map(map) = &tree.kind else { return Vec::new() };
    let Some(entry) = map.entries.iter().find(|entry| entry.key == "rules") else { return Vec::new() };
    let Kind::Seq(items) = &entry.value.kind else { return Vec::new() };
    let spans: Option<Vec<(bool, Range<usize>)>> = (0..items.len())
        .map(|at| {
            let item = items.get(at)?;
            Some((id_of(item).is_some_and(&is_kept), item_lines(text, items, at)?))
        })
        .collect();
    let Some(spans) = spans else { return Vec::new() };
    if spans.iter().any(|(is_it, _)| *is_it) {
        return spans.into_iter().filter(|(is_it, _)| !is_it).map(|(_, span)| span).collect();
    }
    let end = spans.last().map_or(entry.key_span.end, |(_, span)| span.end);
    let start = line_start(text, entry.key_span.start);
    std::iter::once(start..end).collect()
}

fn id_of(rule: &Node) -> Option<&str> {
    text_of(rule.as_map()?, "id")
}

fn text_of<'n>(map: &'n Map, key: &str) -> Option<&'n str> {
    map.get(key)?.as_text()
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |n| n + 1)
}

/// The end of a line, its break included.
fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |n| at + n + 1)
}

/// The lines of an item of a block list, from its dash to before the next item's; `None` where it is written in
/// another way.
fn item_lines(text: &str, items: &[Node], at: usize) -> Option<Range<usize>> {
    let dash_line = |node: &Node| {
        let start = line_start(text, node.span.start);
        let before = text.get(start..node.span.start)?;
        (before.trim() == "-").then_some(start)
    };
    let item = items.get(at)?;
    let start = dash_line(item)?;
    let end = match items.get(at + 1) {
        Some(next) => dash_line(next)?,
        None => line_end(text, item.span.end.saturating_sub(1).max(item.span.start)),
    };
    Some(start..end)
}
