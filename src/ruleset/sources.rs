//! What a rule set is made of: texts by their path below the rules directory, and the pack beside them.
//!
//! Guarantees: the digest depends on every path and byte and on nothing else; a team's rule files stand beside the
//! pack's, its lists, policy and runbooks in place of the pack's of the same path. Does not read files: `files.rs`
//! does, and the shipped pack is compiled in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::codes;
use crate::event::Millis;
use crate::report::{Problem, SourceFile};
use crate::yaml;

/// What stands before a path of the pack where a team's own files stand beside it.
const PACK_SHOWN: &str = "<builtin>";

/// The policy's file.
pub const POLICY: &str = "policy.yaml";
/// The overlay's file.
pub const OVERLAY: &str = "overlay.yaml";

/// Whose a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The pack. It comes first: of two of one name the team's is the second, for that one they can rename.
    Pack,
    /// The team's own directory.
    Own,
}

/// One text of a set: whose, and its path below the rules directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilePath<'s> {
    /// Whose it is.
    pub layer: Layer,
    /// `x.yaml` or `lists/x.txt`.
    pub path: &'s str,
}

/// The texts of a rule set.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    /// What stands before a path where people read it: the directory as they named it.
    shown: String,
    /// The same of the pack's files.
    pack_shown: String,
    /// Rule files, policy, overlay and list files.
    files: BTreeMap<(Layer, String), Source>,
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
        Sources { shown: shown.into(), pack_shown: PACK_SHOWN.to_owned(), ..Sources::default() }
    }

    /// The pack that ships with the program, compiled in.
    pub fn builtin() -> Self {
        Sources { pack_shown: "rules".to_owned(), ..Sources::new("rules").with_builtin() }
    }

    /// The same set with the shipped pack beside it. A list, a policy or a runbook of its own stands in place of the
    /// pack's of the same path.
    #[must_use]
    pub fn with_builtin(mut self) -> Self {
        for (path, text) in super::pack::FILES {
            self.add_pack(*path, text.as_bytes(), None);
        }
        super::pack::RUNBOOKS.iter().for_each(|(path, _)| self.add_present(*path));
        self
    }

    /// Adds a text of a pack, unless one of the set's own stands in its place.
    pub fn add_pack(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>, modified: Option<Millis>) {
        let path = path.into();
        if is_rule_file(&path) || !self.files.contains_key(&(Layer::Own, path.clone())) {
            self.files.insert((Layer::Pack, path), Source { bytes: bytes.into(), modified });
        }
    }

    /// Adds a text: `x.yaml` or `lists/x.txt`, below the rules directory, with `/`.
    pub fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>, modified: Option<Millis>) {
        self.files.insert((Layer::Own, path.into()), Source { bytes: bytes.into(), modified });
    }

    /// The same with another text in place of one.
    pub(super) fn replaced(&self, file: FilePath<'_>, text: String) -> Self {
        let mut changed = self.clone();
        if let Some(source) = changed.files.get_mut(&(file.layer, file.path.to_owned())) {
            source.bytes = text.into_bytes();
        }
        changed
    }

    /// The same without the overlay: with the values that the files themselves say.
    pub(super) fn without_overlay(&self) -> Self {
        let mut changed = self.clone();
        changed.files.remove(&(Layer::Own, OVERLAY.to_owned()));
        changed
    }

    /// Says that a file is there.
    pub fn add_present(&mut self, path: impl Into<String>) {
        self.present.insert(path.into());
    }

    /// Says that something could not be read.
    pub fn add_unreadable(&mut self, path: &str, why: &str) {
        let shown = self.shown_path(FilePath { layer: Layer::Own, path });
        self.unreadable.push(Problem::nowhere(codes::FILE, format!("cannot read {shown}: {why}")));
    }

    /// `b3:` and the BLAKE3 digest of all texts with their paths, in hex. A pack has the same one compiled in and
    /// taken out into a directory.
    pub fn digest(&self) -> String {
        let is_beside = self.files.keys().any(|(layer, _)| *layer == Layer::Pack);
        let mut hasher = blake3::Hasher::new();
        for ((layer, path), source) in &self.files {
            let path = if is_beside && *layer == Layer::Own { format!("own/{path}") } else { path.clone() };
            for part in [path.as_bytes(), &source.bytes] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        format!("b3:{}", hasher.finalize().to_hex())
    }

    /// Every text: whose it is, its path, its bytes, and when it was last changed.
    pub fn files(&self) -> impl Iterator<Item = (FilePath<'_>, &[u8], Option<Millis>)> {
        self.files
            .iter()
            .map(|((layer, path), source)| (FilePath { layer: *layer, path }, source.bytes.as_slice(), source.modified))
    }

    /// The files that are there but are not read.
    pub fn present(&self) -> impl Iterator<Item = &str> {
        self.present.iter().map(String::as_str)
    }

    /// Whether a file of this path is there, read or not.
    pub(super) fn is_present(&self, path: &str) -> bool {
        self.present.contains(path) || self.find(path).is_some()
    }

    /// The text of this path that counts: the set's own before the pack's.
    pub(super) fn find<'p>(&self, path: &'p str) -> Option<FilePath<'p>> {
        let is_there = |layer: &Layer| self.files.contains_key(&(*layer, path.to_owned()));
        [Layer::Own, Layer::Pack].into_iter().find(is_there).map(|layer| FilePath { layer, path })
    }

    /// The rule files, without policy and overlay.
    pub(super) fn rule_files(&self) -> impl Iterator<Item = FilePath<'_>> {
        self.files().map(|(file, ..)| file).filter(|file| is_rule_file(file.path))
    }

    /// When a text was last changed.
    pub(super) fn modified(&self, file: FilePath<'_>) -> Option<Millis> {
        self.source(file).and_then(|source| source.modified)
    }

    /// A text as problems show it; `None` where there is none. What is not UTF-8 is a problem.
    pub(super) fn text(&self, path: FilePath<'_>, problems: &mut Vec<Problem>) -> Option<Arc<SourceFile>> {
        let source = self.source(path)?;
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

    fn source(&self, file: FilePath<'_>) -> Option<&Source> {
        self.files.get(&(file.layer, file.path.to_owned()))
    }

    fn shown_path(&self, FilePath { layer, path }: FilePath<'_>) -> String {
        let shown = if layer == Layer::Pack { &self.pack_shown } else { &self.shown };
        match shown.trim_end_matches('/') {
            "" => path.to_owned(),
            shown => format!("{shown}/{path}"),
        }
    }
}

/// Whether a path is that of a rule file, neither policy nor overlay nor list.
pub(super) fn is_rule_file(path: &str) -> bool {
    path.ends_with(".yaml") && !path.contains('/') && path != POLICY && path != OVERLAY
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
        let file = sources.find("x.yaml").expect("it is there");
        assert!(sources.text(file, &mut problems).is_none());
        let told = crate::report::render(&problems, false);
        assert!(told.contains("rules/x.yaml:2:6"), "{told}");
    }

    #[test]
    fn policy_and_lists_are_no_rule_files() {
        let sources =
            of(&[("a.yaml", ""), ("policy.yaml", ""), ("overlay.yaml", ""), ("lists/l.txt", ""), ("n/x.yaml", "")]);
        assert_eq!(sources.rule_files().map(|file| file.path).collect::<Vec<_>>(), ["a.yaml"]);
    }

    #[test]
    fn own_rules_stand_beside_the_pack_and_own_lists_and_policy_in_its_place() {
        let alone = Sources::builtin();
        assert_eq!(of(&[]).with_builtin().digest(), alone.digest(), "an empty directory adds nothing");
        let own = of(&[("logins.yaml", "mine"), ("policy.yaml", "mine"), ("lists/tor_exits.txt", "192.0.2.1")]);
        let both = own.with_builtin();
        assert_ne!(both.digest(), alone.digest());
        let mut problems = Vec::new();
        let logins: Vec<String> = both
            .rule_files()
            .filter(|file| file.path == "logins.yaml")
            .filter_map(|file| both.text(file, &mut problems))
            .map(|file| file.path.clone())
            .collect();
        assert_eq!(logins, ["<builtin>/logins.yaml", "rules/logins.yaml"]);
        for path in ["policy.yaml", "lists/tor_exits.txt"] {
            assert_eq!(both.find(path).map(|file| file.layer), Some(Layer::Own), "{path}");
            assert_eq!(both.files().filter(|(file, ..)| file.path == path).count(), 1, "{path}");
        }
    }
}
