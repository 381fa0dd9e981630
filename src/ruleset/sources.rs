//! What a rule set is made of: texts by their path below the rules directory.
//!
//! Guarantees: the digest depends on every path and byte and on nothing else. Does not read files:
//! `files.rs` does, and the shipped pack is compiled in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::codes;
use crate::event::Millis;
use crate::report::{Problem, SourceFile};
use crate::yaml;

/// The texts of a rule set.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// What stands before a path where people read it: the directory as they named it.
    shown: String,
    /// Rule files, policy, overlay and list files.
    files: BTreeMap<String, Source>,
    /// Files that are there but are not read, such as runbooks.
    present: BTreeSet<String>,
    /// What could not be read.
    pub(super) unreadable: Vec<Problem>,
}

/// One text.
#[derive(Debug, Clone)]
struct Source {
    bytes: Vec<u8>,
    modified: Option<Millis>,
}

impl Sources {
    /// None yet; `shown` is the directory as people named it.
    pub fn new(shown: impl Into<String>) -> Self {
        Sources { shown: shown.into(), ..Sources::default() }
    }

    /// The pack that ships with the program, compiled in.
    pub fn builtin() -> Self {
        let mut sources = Sources::new("rules");
        for (path, text) in super::pack::FILES {
            sources.add(*path, text.as_bytes().to_vec(), None);
        }
        super::pack::RUNBOOKS.iter().for_each(|path| sources.add_present(*path));
        sources
    }

    /// Adds a text: `x.yaml` or `lists/x.txt`, below the rules directory, with `/`.
    pub fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>, modified: Option<Millis>) {
        self.files.insert(path.into(), Source { bytes: bytes.into(), modified });
    }

    /// Says that a file is there.
    pub fn add_present(&mut self, path: impl Into<String>) {
        self.present.insert(path.into());
    }

    /// Says that something could not be read.
    pub fn add_unreadable(&mut self, path: &str, why: &str) {
        let shown = self.shown_path(path);
        self.unreadable.push(Problem::nowhere(codes::FILE, format!("cannot read {shown}: {why}")));
    }

    /// `b3:` and the BLAKE3 digest of all texts with their paths, in hex.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (path, source) in &self.files {
            for part in [path.as_bytes(), &source.bytes] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        format!("b3:{}", hasher.finalize().to_hex())
    }

    /// Whether a file of this path is there, read or not.
    pub(super) fn is_present(&self, path: &str) -> bool {
        self.present.contains(path) || self.files.contains_key(path)
    }

    /// The paths of the rule files, without policy and overlay.
    pub(super) fn rule_files(&self) -> impl Iterator<Item = &str> {
        let is_rules = |path: &&str| path.ends_with(".yaml") && !path.contains('/');
        self.files.keys().map(String::as_str).filter(is_rules).filter(|p| !matches!(*p, "policy.yaml" | "overlay.yaml"))
    }

    /// When a text was last changed.
    pub(super) fn modified(&self, path: &str) -> Option<Millis> {
        self.files.get(path).and_then(|source| source.modified)
    }

    /// A text as problems show it; `None` where there is none. What is not UTF-8 is a problem.
    pub(super) fn text(&self, path: &str, problems: &mut Vec<Problem>) -> Option<Arc<SourceFile>> {
        let source = self.files.get(path)?;
        let file = |text: String| Arc::new(SourceFile { path: self.shown_path(path), text });
        match std::str::from_utf8(&source.bytes) {
            Ok(text) => Some(file(text.to_owned())),
            Err(error) => {
                let at = error.valid_up_to();
                let file = file(String::from_utf8_lossy(&source.bytes).into_owned());
                problems.push(Problem::error(yaml::codes::UTF8, &file, at..at + 1, "the file is not UTF-8 here"));
                None
            }
        }
    }

    fn shown_path(&self, path: &str) -> String {
        match self.shown.trim_end_matches('/') {
            "" => path.to_owned(),
            shown => format!("{shown}/{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Sources {
        let mut sources = Sources::new("rules/");
        files.iter().for_each(|(path, text)| sources.add(*path, text.as_bytes(), None));
        sources
    }

    #[test]
    fn the_digest_knows_paths_and_bytes() {
        let digest = of(&[("a.yaml", "x"), ("b.yaml", "y")]).digest();
        assert_eq!(digest, of(&[("b.yaml", "y"), ("a.yaml", "x")]).digest());
        assert_ne!(digest, of(&[("a.yaml", "xb.yaml"), ("", "y")]).digest());
        assert_ne!(digest, of(&[("a.yaml", "y"), ("b.yaml", "x")]).digest());
        assert!(digest.starts_with("b3:") && digest.len() == 67);
    }

    #[test]
    fn what_is_not_utf8_is_told_where_it_begins() {
        let mut sources = Sources::new("rules");
        sources.add("x.yaml", b"version: 1\nbad: \xff\xfe\n".to_vec(), None);
        let mut problems = Vec::new();
        assert!(sources.text("x.yaml", &mut problems).is_none());
        let told = crate::report::render(&problems, false);
        assert!(told.contains("rules/x.yaml:2:6"), "{told}");
    }

    #[test]
    fn policy_and_lists_are_no_rule_files() {
        let sources =
            of(&[("a.yaml", ""), ("policy.yaml", ""), ("overlay.yaml", ""), ("lists/l.txt", ""), ("n/x.yaml", "")]);
        assert_eq!(sources.rule_files().collect::<Vec<_>>(), ["a.yaml"]);
    }
}
