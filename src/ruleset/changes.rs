//! What differs between rule sets: two, or three where a team's copy of a pack meets a newer pack.
//!
//! Guarantees: each rule, policy and list stands in one row; a difference of blanks, comments or the order of keys is
//! none. Does not read files and does not judge which side is right.

use std::collections::{BTreeMap, BTreeSet};

use super::revisions::{Parts, differing, digest, meanings};
use super::sources::{Sources, is_rule_file};

/// What of a set is compared, by kind and name, each with its parts.
pub type Contents = BTreeMap<(Kind, String), Parts>;

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A rule.
    Rule,
    /// Policy or a list, by its path.
    File,
}

/// What happened to something on the way from the old pack to the new one and to the team's own copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Nothing.
    Unchanged,
    /// The team changed it, the pack did not.
    YouChanged,
    /// The pack changed it, the team did not.
    PackChanged,
    /// Both did, each in its own way.
    BothChanged,
    /// Both did, and now they are the same.
    Taken,
    /// The team has added it.
    YouAdded,
    /// The pack has added it.
    PackAdded,
    /// The team has removed it.
    YouRemoved,
    /// The pack has removed it.
    PackRemoved,
}

impl Change {
    /// Whether somebody has to look: the pack goes another way than the team's copy.
    pub fn needs_look(self) -> bool {
        matches!(self, Change::PackChanged | Change::BothChanged | Change::PackAdded | Change::PackRemoved)
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    /// What it is about.
    pub kind: Kind,
    /// The rule's id, or the file's path.
    pub name: String,
    /// What happened.
    pub change: Change,
    /// The parts that the team changed.
    pub yours: Vec<String>,
    /// The parts that the pack changed.
    pub pack: Vec<String>,
}

/// What of a set is compared: its rules, its policy and its lists.
pub fn contents(sources: &Sources) -> Contents {
    let rules = meanings(sources).into_iter().map(|(id, meaning)| ((Kind::Rule, id), meaning.parts));
    let files = sources.files().filter(|(file, ..)| !is_rule_file(file.path)).map(|(file, bytes, _)| {
        let text = digest(&String::from_utf8_lossy(bytes));
        ((Kind::File, file.path.to_owned()), Parts::from([("contents".to_owned(), text)]))
    });
    rules.chain(files).collect()
}

/// Compares three ways: the old pack, the new one, and the team's own copy of the old one.
pub fn three_ways(old: &Contents, new: &Contents, own: &Contents) -> Vec<Row> {
    let names: BTreeSet<_> = old.keys().chain(new.keys()).chain(own.keys()).collect();
    let row = |name: &(Kind, String)| {
        let (old, new, own) = (old.get(name), new.get(name), own.get(name));
        let none = Parts::new();
        let parts = |other: Option<&Parts>| match (old, other) {
            (Some(old), Some(other)) => differing(old, other),
            _ => Vec::new(),
        };
        let (yours, pack) = (parts(own), parts(new));
        let is_same = new.unwrap_or(&none) == own.unwrap_or(&none) && new.is_some() == own.is_some();
        let change = match (old, new, own) {
            (Some(_), Some(_), Some(_)) => match (yours.is_empty(), pack.is_empty()) {
                (true, true) => Change::Unchanged,
                (false, true) => Change::YouChanged,
                (true, false) => Change::PackChanged,
                (false, false) if is_same => Change::Taken,
                (false, false) => Change::BothChanged,
            },
            (None, Some(_), Some(_)) if is_same => Change::Taken,
            (None, Some(_), Some(_)) => Change::BothChanged,
            (None, Some(_), None) => Change::PackAdded,
            (None, None, _) => Change::YouAdded,
            (Some(_), Some(_), None) => Change::YouRemoved,
            (Some(_), None, Some(_)) if yours.is_empty() => Change::PackRemoved,
            (Some(_), None, Some(_)) => Change::BothChanged,
            (Some(_), None, None) => Change::Taken,
        };
        Row { kind: name.0, name: name.1.clone(), change, yours, pack }
    };
    names.into_iter().map(row).collect()
}

/// Compares two: what `new` has changed, added and removed stands on the side of the pack.
pub fn two_ways(old: &Contents, new: &Contents) -> Vec<Row> {
    three_ways(old, new, old)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a=1 b=2` as contents of rules whose one key has that value.
    fn of(text: &str) -> Contents {
        let one = |word: &str| {
            let (name, value) = word.split_once('=').expect("a value");
            ((Kind::Rule, name.to_owned()), Parts::from([("when".to_owned(), value.to_owned())]))
        };
        text.split_whitespace().map(one).collect()
    }

    #[test]
    fn each_way_of_three_has_its_word() {
        use Change::*;
        for (old, new, own, change) in [
            ("r=1", "r=1", "r=1", Unchanged),
            ("r=1", "r=1", "r=2", YouChanged),
            ("r=1", "r=2", "r=1", PackChanged),
            ("r=1", "r=2", "r=3", BothChanged),
            ("r=1", "r=2", "r=2", Taken),
            ("", "r=1", "", PackAdded),
            ("", "", "r=1", YouAdded),
            ("", "r=1", "r=1", Taken),
            ("", "r=1", "r=2", BothChanged),
            ("r=1", "r=1", "", YouRemoved),
            ("r=1", "", "r=1", PackRemoved),
            ("r=1", "", "r=2", BothChanged),
            ("r=1", "", "", Taken),
        ] {
            let rows = three_ways(&of(old), &of(new), &of(own));
            assert_eq!(rows.iter().map(|row| row.change).collect::<Vec<_>>(), [change], "{old} | {new} | {own}");
        }
        let rows = three_ways(&of("r=1"), &of("r=1"), &of("r=2"));
        assert_eq!((rows[0].yours.as_slice(), rows[0].pack.len()), (["when".to_owned()].as_slice(), 0));
    }
}
