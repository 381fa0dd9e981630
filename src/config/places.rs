//! Where the keys of a configuration stand, for the stages that judge their values.
//!
//! Guarantees: a key that is not written is placed at the section it belongs to; what was told about a place is
//! not told again by a stage that was given nothing for it. Does not read values.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::mask::Covered;
use super::recover::Unread;
use crate::report::{Problem, SourceFile};

/// A file, or a variable of the environment, and the bytes in it.
type Place = (Arc<SourceFile>, Range<usize>);

/// The places of the keys by name: `sms`, `sms.url`, `geo.files[1]`.
#[derive(Clone, Default)]
pub struct Places {
    file: Option<Arc<SourceFile>>,
    places: BTreeMap<String, Place>,
    /// Sections of which a part could not be read at all.
    unread: Unread,
    /// What no problem may repeat.
    covered: Covered,
}

impl Places {
    /// Of a file, none yet.
    pub(super) fn of(file: &Arc<SourceFile>, unread: Unread) -> Self {
        Places { file: Some(Arc::clone(file)), unread, ..Places::default() }
    }

    /// Keeps where a key's value, or a section's head, stands.
    pub(super) fn insert(&mut self, key: String, span: Range<usize>) {
        if let Some(file) = &self.file {
            self.places.insert(key, (Arc::clone(file), span));
        }
    }

    /// With those places elsewhere that `to` knows.
    pub(super) fn moved(mut self, to: impl Fn(&Range<usize>) -> Option<Place>) -> Self {
        for place in self.places.values_mut() {
            if let Some(moved) = to(&place.1) {
                *place = moved;
            }
        }
        self
    }

    /// With what no problem may repeat.
    pub(super) fn without(mut self, covered: Covered) -> Self {
        self.covered = covered;
        self
    }

    /// Whether everything the file says of a section could be read.
    pub fn is_read(&self, section: &str) -> bool {
        !self.unread.contains(section)
    }

    /// Whether it is known which channels there are.
    pub fn are_channels_known(&self) -> bool {
        !self.unread.are_channels_lost()
    }

    /// A stage's problem at the place of the key it is about.
    pub fn put(&self, mut problem: Problem) -> Problem {
        if let (None, Some(key)) = (&problem.at, &problem.about) {
            problem.at = self.nearest(key);
        }
        // Others' words about other files are theirs.
        if problem.about.is_some() { self.covered.clean(problem) } else { problem }
    }

    /// Takes a stage's problems in. Those at a place that was told already follow from what was told: the stage
    /// was given nothing for it. So do those about a section that could not be read.
    pub fn add(&self, found: Vec<Problem>, problems: &mut Vec<Problem>) {
        let told: Vec<_> = problems.iter().filter_map(|problem| problem.at.clone()).collect();
        let was_told =
            |(file, span): &Place| told.iter().any(|(f, s)| f == file && span.start <= s.start && s.end <= span.end);
        let is_unread = |key: &String| self.unread.contains(section_of(key));
        let found = found.into_iter().filter(|problem| !problem.about.as_ref().is_some_and(is_unread));
        let placed = found.map(|problem| self.put(problem));
        problems.extend(placed.filter(|p| p.about.is_none() || !p.at.as_ref().is_some_and(&was_told)));
    }

    fn nearest(&self, key: &str) -> Option<Place> {
        let mut key = key;
        loop {
            if let Some(place) = self.places.get(key) {
                return Some(place.clone());
            }
            (key, _) = key.rsplit_once(['.', '['])?;
        }
    }
}

/// `sms` of `sms.url`, `webhook.soc` of `webhook.soc.url`.
fn section_of(key: &str) -> &str {
    let parts = if key.starts_with("webhook.") { 2 } else { 1 };
    key.match_indices('.').nth(parts - 1).map_or(key, |(at, _)| key.get(..at).unwrap_or(key))
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_where_it_is_written_or_at_its_section() {
        let file = Arc::new(SourceFile { path: "w.toml".to_owned(), text: "[sms]\nurl = \"x\"\n".to_owned() });
        let mut places = Places::of(&file, Unread::default());
        places.insert("sms".to_owned(), 0..5);
        places.insert("sms.url".to_owned(), 12..15);
        let at = |key: &str| places.put(Problem::nowhere("N030", "m").about(key)).at.map(|(_, span)| span);
        assert_eq!(at("sms.url"), Some(12..15));
        assert_eq!(at("sms.secret_file"), Some(0..5));
        assert_eq!(at("sms.allowed_prefixes[2]"), Some(0..5));
        assert_eq!(at("email.host"), None);
        let mut problems = vec![Problem::error("C006", &file, 12..15, "told")];
        let follows = Problem::nowhere("N030", "follows").about("sms.url");
        let own = Problem::nowhere("N031", "its own").about("sms.secret_file");
        places.add(vec![follows, own, Problem::nowhere("N001", "of no key")], &mut problems);
        assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), ["C006", "N031", "N001"]);
    }

    #[test]
    fn sections_are_called_as_channels_are() {
        assert_eq!(section_of("sms.allowed_prefixes[0]"), "sms");
        assert_eq!(section_of("webhook.soc.url"), "webhook.soc");
        assert_eq!((section_of("webhook.soc"), section_of("sms")), ("webhook.soc", "sms"));
    }
}
