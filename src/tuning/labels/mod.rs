//! Labels: what people know of recorded events, so that precision and recall can be worked out.
//!
//! A label is a *case*: one event, some time of an account, or the events of a planted scene. Guarantees: a file
//! of labels is taken whole or not at all, every problem with its place; no two labels contradict each other on
//! one event or one moment of an account; what no label speaks of is unlabelled, never legitimate.

mod read;

use std::collections::HashMap;

use crate::event::Millis;

pub use read::{LABELS_BYTES_MAX, LABELS_MAX, read};

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It was an attack.
    Fraud,
    /// It was the owner, or somebody with a right to it.
    Legit,
}

/// Some time of an account, both ends within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: Millis,
    to: Millis,
    case: u32,
}

/// A file of labels.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// What each case is, by the order of the file.
    cases: Vec<Verdict>,
    /// The cases an event belongs to.
    events: HashMap<String, Vec<u32>>,
    /// The labelled times of an account, by their beginning.
    accounts: HashMap<String, Vec<Span>>,
}

impl Labels {
    /// What each case is; its number is its place here.
    pub fn cases(&self) -> &[Verdict] {
        &self.cases
    }

    /// Calls `each` with every case an event belongs to. `account` and `time` are the event's.
    pub fn cases_of(&self, event: &str, account: Option<&str>, time: Millis, each: &mut dyn FnMut(u32)) {
        self.events.get(event).into_iter().flatten().for_each(|case| each(*case));
        let Some(spans) = account.and_then(|account| self.accounts.get(account)) else { return };
        let begun = spans.partition_point(|span| span.from <= time);
        let within = spans.iter().take(begun).filter(|span| time <= span.to);
        within.for_each(|span| each(span.case));
    }

    /// What an event is: its own label before that of its account's time; `None` where nobody said.
    pub fn verdict(&self, event: &str, account: Option<&str>, time: Millis) -> Option<Verdict> {
        let mut found = None;
        self.cases_of(event, account, time, &mut |case| {
            found = found.or_else(|| self.cases.get(case as usize).copied());
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Labels {
        read("labels.ndjson", text).unwrap_or_else(|problems| panic!("{}", crate::report::render(&problems, false)))
    }

    #[test]
    fn an_event_a_time_of_an_account_and_a_planted_scene() {
        let labels = of(r#"{"event":"e1","label":"fraud"}

{"account":"a","from":"2026-01-01T10:00:00Z","to":"2026-01-01T11:00:00Z","label":"legit"}
{"kind":"drain","account":"b","ip":null,"first":1,"last":2,"events":["e7","e8"],"expect":["new-payee-large"]}
{"kind":"traveller","account":"c","events":["e9"],"expect":[]}
{"kind":"totals","events":9,"malformed":{},"duplicates":0,"late":0}
"#);
        use Verdict::{Fraud, Legit};
        assert_eq!(labels.cases(), [Fraud, Legit, Fraud, Legit]);
        let at = |hour: i64| Millis(1_767_225_600_000 + hour * 3_600_000);
        let verdict = |event, account, hour| labels.verdict(event, account, at(hour));
        assert_eq!(verdict("e1", Some("a"), 10), Some(Fraud), "an event's own label stands before its account's");
        assert_eq!(verdict("e2", Some("a"), 10), Some(Legit));
        assert_eq!(verdict("e2", Some("a"), 11), Some(Legit), "both ends belong to it");
        assert_eq!(verdict("e2", Some("a"), 12), None);
        assert_eq!(verdict("e2", Some("b"), 10), None);
        assert_eq!((verdict("e8", None, 0), verdict("e9", None, 0)), (Some(Fraud), Some(Legit)));
        let mut cases = Vec::new();
        labels.cases_of("e1", Some("a"), at(10), &mut |case| cases.push(case));
        assert_eq!(cases, [0, 1]);
    }
}
