//! The keys of a rule that depend on nothing else: words, numbers, lists of ids.
//!
//! Guarantees: each value is what its key takes, or is told with its place. Decides nothing.

use super::codes;
use super::entity::{check_entity, read_key};
use super::model::{Audience, Dedup, InlineTest, State};
use super::rule::{AUDIENCES, DEDUP_KEYS, RuleDraft};
use super::rule_kind;
use super::test_case::expectations;
use crate::report::Problem;
use crate::yaml::{Kind, Reader};

/// The keys of a rule that depend on nothing else.
pub(super) struct RuleFields<'r, 'f> {
    pub reader: Reader<'r>,
    pub draft: &'r RuleDraft<'f>,
    pub is_present: &'r dyn Fn(&str) -> bool,
}

impl RuleFields<'_, '_> {
    pub fn text(&mut self, key: &str) -> String {
        self.draft.get(key).and_then(|node| self.reader.text(node, &format!("`{key}`"))).unwrap_or_default()
    }

    pub fn word<T: Copy>(&mut self, key: &str, what: &str, words: &[(&str, T)]) -> Option<T> {
        self.draft.get(key).and_then(|node| self.reader.word(node, what, words))
    }

    pub fn int(&mut self, key: &str, range: std::ops::RangeInclusive<i64>) -> Option<u32> {
        let n = self.draft.get(key).and_then(|node| self.reader.int(node, key, range))?;
        u32::try_from(n).ok()
    }

    pub fn score(&mut self) -> u8 {
        if self.draft.informs {
            return 0;
        }
        self.int("score", 0..=100).and_then(|score| u8::try_from(score).ok()).unwrap_or(0)
    }

    pub fn id(&mut self, key: &str) -> Option<String> {
        self.draft.get(key).and_then(|node| self.reader.id(node, &format!("a {key}")))
    }

    pub fn audience(&mut self) -> Vec<Audience> {
        let named = self.named_audience();
        if self.draft.informs { rule_kind::audience(&mut self.reader, self.draft, named) } else { named }
    }

    pub fn named_audience(&mut self) -> Vec<Audience> {
        let Some(node) = self.draft.get("audience") else { return Vec::new() };
        let items = self.reader.one_or_more(node, "`audience`");
        let mut audience: Vec<Audience> =
            items.iter().filter_map(|item| self.reader.word(item, "audience", AUDIENCES)).collect();
        audience.sort_unstable();
        audience.dedup();
        audience
    }

    pub fn dedup(&mut self) -> Option<Dedup> {
        let node = self.draft.get("dedup")?;
        let map = self.reader.map(node, "`dedup`")?;
        self.reader.keys(map, DEDUP_KEYS, &[]);
        self.reader.require(node, "`dedup`", &["by", "for"]);
        let by = map.get("by").and_then(|node| {
            let by = read_key(&mut self.reader, node)?;
            check_entity(&mut self.reader, node, by, self.draft.on);
            Some(by)
        });
        let for_ms = map.get("for").and_then(|node| self.reader.some_time(node, "`for`"));
        Some(Dedup { by: by?, for_ms: for_ms? })
    }

    pub fn attack(&mut self) -> Vec<String> {
        let Some(node) = self.draft.get("attack") else { return Vec::new() };
        let items = self.reader.seq(node, "`attack`").unwrap_or_default();
        let mut ids = Vec::new();
        for item in items {
            let Some(id) = self.reader.scalar(item, "an id of `attack`") else { continue };
            if is_attack_id(id) {
                ids.push(id.to_owned());
            } else {
                let message = format!("`{id}` is no id of ATT&CK or F3, such as `T1110.003` or `F1005`");
                self.reader.error(codes::VALUE, item.span.clone(), message);
            }
        }
        ids
    }

    pub fn runbook(&mut self) -> String {
        let runbook = self.text("runbook");
        let is_url = runbook.starts_with("https://") || runbook.starts_with("http://");
        if let Some(node) = self.draft.get("runbook")
            && !runbook.is_empty()
            && !is_url
            && !(self.is_present)(&runbook)
        {
            let message = format!("there is no runbook `{runbook}` in the rules directory");
            let problem = Problem::warning(codes::RUNBOOK, self.draft.file, node.span.clone(), message);
            self.reader.problems.push(problem);
        }
        runbook
    }

    /// Keys that only people read.
    pub fn check_for_people(&mut self) {
        if let Some(node) = self.draft.get("description") {
            self.reader.text(node, "`description`");
        }
        for key in ["references", "false_positives"] {
            let Some(node) = self.draft.get(key) else { continue };
            for item in self.reader.one_or_more(node, &format!("`{key}`")) {
                self.reader.text(item, &format!("an item of `{key}`"));
            }
        }
    }

    pub fn check_tests(&mut self, state: State, tests: &[InlineTest]) {
        if state == State::Draft {
            return;
        }
        let message = match (expectations(tests), tests.is_empty()) {
            ((true, true), _) => return,
            (_, true) => "a rule that is not a draft needs tests: one that fires and one that stays quiet",
            ((false, _), _) => "a rule that is not a draft needs a test that fires",
            _ => "a rule that is not a draft needs a test that stays quiet",
        };
        // Tests that could not be read are told already.
        let unread = self.draft.own.get("tests").is_some_and(|node| match &node.kind {
            Kind::Seq(items) => items.len() != tests.len(),
            _ => true,
        });
        if unread {
            return;
        }
        match &self.draft.overlaid.state {
            Some((_, file, span)) => {
                self.reader.problems.push(Problem::error(codes::TESTS_MISSING, file, span.clone(), message));
            }
            None => self.reader.error(codes::TESTS_MISSING, self.draft.id_span.clone(), message),
        }
    }
}

/// `T1110`, `T1110.003`, `F1005`, `F1005.003`.
fn is_attack_id(id: &str) -> bool {
    let Some(rest) = id.strip_prefix(['T', 'F']) else { return false };
    let (technique, sub) = rest.split_once('.').map_or((rest, None), |(t, s)| (t, Some(s)));
    let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    digits(technique, 4) && sub.is_none_or(|sub| digits(sub, 3))
}
