//! Reads labels: NDJSON, one object a line, or the truth that the generator writes.
//!
//! Guarantees: every problem has its line and column; after [`PROBLEMS_MAX`] of them the rest is not read. Does not
//! know which events there are.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Labels, Span, Verdict};
use crate::event::Millis;
use crate::report::{Problem, SourceFile, did_you_mean};
use crate::ruleset::codes::tools::{
    LABEL_CONTRADICTION as CONTRADICTION, LABEL_LIMIT as LIMIT, LABEL_SHAPE as SHAPE, LABEL_TIME as TIME,
    LABEL_WORD as LABEL,
};

/// Labels of one file, at most.
pub const LABELS_MAX: usize = 5_000_000;
/// Bytes of one file of labels, at most.
pub const LABELS_BYTES_MAX: u64 = 1 << 30;
/// Problems after which a file is not read further.
const PROBLEMS_MAX: usize = 200;

const LABELS: [(&str, Verdict); 2] = [("fraud", Verdict::Fraud), ("legit", Verdict::Legit)];
const KEYS: [&str; 5] = ["event", "account", "from", "to", "label"];
const HELP: &str = "write {\"event\":\"…\",\"label\":\"fraud\"} or {\"account\":\"…\",\"from\":\"2026-01-31T08:00:00Z\",\
                    \"to\":\"2026-01-31T09:00:00Z\",\"label\":\"legit\"}";

/// Reads a whole file; `path` is how people call it.
pub fn read(path: &str, text: &str) -> Result<Labels, Vec<Problem>> {
    let file = Arc::new(SourceFile { path: path.to_owned(), text: text.to_owned() });
    let mut reader = Reader { file: &file, problems: Vec::new(), labels: Labels::default(), lines: Vec::new() };
    let mut from = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        reader.line(content, from..from + content.len());
        from += line.len();
        if reader.problems.len() >= PROBLEMS_MAX {
            return Err(reader.problems);
        }
    }
    reader.contradictions();
    if reader.problems.is_empty() { Ok(reader.labels) } else { Err(reader.problems) }
}

struct Reader<'f> {
    file: &'f Arc<SourceFile>,
    problems: Vec<Problem>,
    labels: Labels,
    /// Where each case stands.
    lines: Vec<Range<usize>>,
}

impl Reader<'_> {
    fn line(&mut self, content: &str, at: Range<usize>) {
        if content.trim().is_empty() {
            return;
        }
        let object: Map<String, Value> = match serde_json::from_str(content) {
            Ok(object) => object,
            Err(error) => {
                let column = at.start + error.column().saturating_sub(1).min(content.len());
                let why = error.to_string();
                let why = why.split(" at line ").next().unwrap_or_default();
                return self.tell(SHAPE, column..column + 1, format!("this is no JSON object: {why}"), Some(HELP));
            }
        };
        if self.labels.cases.len() >= LABELS_MAX {
            return self.tell(LIMIT, at, format!("a file has at most {LABELS_MAX} labels"), None);
        }
        match object.get("kind").and_then(Value::as_str) {
            Some("totals") => {}
            _ if object.contains_key("expect") => self.truth(&object, at),
            _ => self.label(&object, content, at),
        }
    }

    /// A planted scene: fraud where some rule must fire, else a look-alike.
    fn truth(&mut self, object: &Map<String, Value>, at: Range<usize>) {
        let list = |key: &str| object.get(key).and_then(Value::as_array);
        let (Some(events), Some(expect)) = (list("events"), list("expect")) else {
            return self.tell(SHAPE, at, "a line of the truth has `events` and `expect`, both lists", None);
        };
        let Some(ids) = events.iter().map(|id| id.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>() else {
            return self.tell(SHAPE, at, "`events` is a list of event ids", None);
        };
        let verdict = if expect.is_empty() { Verdict::Legit } else { Verdict::Fraud };
        let case = self.case(verdict, at);
        for id in ids {
            self.labels.events.entry(id).or_default().push(case);
        }
    }

    fn label(&mut self, object: &Map<String, Value>, content: &str, at: Range<usize>) {
        let place = |word: &str| {
            let quoted = format!("\"{word}\"");
            content.find(&quoted).map_or(at.clone(), |found| at.start + found..at.start + found + quoted.len())
        };
        if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let near = did_you_mean(key, KEYS).map(|near| format!("did you mean `{near}`?"));
            return self.tell(SHAPE, place(key), format!("a label has no `{key}`"), near.as_deref().or(Some(HELP)));
        }
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let Some(word) = text("label") else {
            return self.tell(SHAPE, at, "a label says `fraud` or `legit`", Some(HELP));
        };
        let Some((_, verdict)) = LABELS.iter().find(|(known, _)| *known == word) else {
            let near = did_you_mean(word, LABELS.map(|(known, _)| known)).unwrap_or("fraud` or `legit");
            return self.tell(LABEL, place(word), format!("unknown label `{word}`"), Some(&format!("write `{near}`")));
        };
        match (text("event"), text("account"), object.get("from"), object.get("to")) {
            (Some(event), None, None, None) => {
                let event = event.to_owned();
                let case = self.case(*verdict, at);
                self.labels.events.entry(event).or_default().push(case);
            }
            (None, Some(account), Some(from), Some(to)) => {
                let (Some(from), Some(to)) = (time(from), time(to)) else {
                    let message = "`from` and `to` are times such as 2026-01-31T08:00:00Z, or ms since 1970";
                    return self.tell(TIME, at, message, None);
                };
                if to < from {
                    return self.tell(TIME, at, "`to` lies before `from`: no event lies between them", None);
                }
                let account = account.to_owned();
                let case = self.case(*verdict, at);
                self.labels.accounts.entry(account).or_default().push(Span { from, to, case });
            }
            _ => {
                self.tell(SHAPE, at, "a label is about an event, or about an account from a time to a time", Some(HELP))
            }
        }
    }

    fn case(&mut self, verdict: Verdict, at: Range<usize>) -> u32 {
        self.labels.cases.push(verdict);
        self.lines.push(at);
        u32::try_from(self.labels.cases.len() - 1).unwrap_or(u32::MAX)
    }

    /// Tells what is said twice and differently, at the later of both; sorts the times of each account.
    fn contradictions(&mut self) {
        let Labels { cases, events, accounts } = &mut self.labels;
        let verdict = |case: u32| cases.get(case as usize);
        let mut pairs: Vec<(u32, u32, String)> = Vec::new();
        for (event, of_event) in events.iter() {
            let first = of_event.first().copied().unwrap_or_default();
            let other = of_event.iter().find(|case| verdict(**case) != verdict(first));
            pairs.extend(other.map(|other| (first, *other, format!("the event `{event}`"))));
        }
        for (account, spans) in accounts.iter_mut() {
            spans.sort_by_key(|span| (span.from, span.case));
            // For each verdict the span that reaches furthest so far: what a later one may overlap.
            let mut furthest: HashMap<Verdict, Span> = HashMap::new();
            for span in spans.iter() {
                let Some(own) = verdict(span.case) else { continue };
                let other = furthest.values().find(|held| verdict(held.case) != Some(own) && held.to >= span.from);
                pairs.extend(other.map(|other| (other.case, span.case, format!("a time of the account `{account}`"))));
                let held = furthest.entry(*own).or_insert(*span);
                if held.to < span.to {
                    *held = *span;
                }
            }
        }
        pairs.sort();
        for (one, two, what) in pairs.into_iter().take(PROBLEMS_MAX) {
            let (early, late) = (one.min(two), one.max(two));
            let at = |case: u32| self.lines.get(case as usize).cloned().unwrap_or_default();
            let (line, _) = crate::report::place(self.file, at(early).start);
            let message = format!("{what} is labelled differently in line {line}");
            let problem = Problem::error(CONTRADICTION, self.file, at(late), message);
            self.problems.push(problem.help("an alert cannot be right and wrong: keep one of them"));
        }
    }

    fn tell(&mut self, code: &'static str, at: Range<usize>, message: impl Into<String>, help: Option<&str>) {
        let problem = Problem::error(code, self.file, at, message);
        self.problems.push(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }
}

fn time(value: &Value) -> Option<Millis> {
    match value {
        Value::String(text) => Millis::parse(text),
        Value::Number(ms) => ms.as_i64().map(Millis),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let text = r#"{"event":"e1","label":"fraud"}
{"event":"e2","label":"frod"}
{"event":"e2","label":"bad"}
{"evnt":"e2","label":"fraud"}
{"event":"e3"}
{"event":"e3","account":"a","label":"legit"}
{"account":"a","from":"yesterday","to":"2026-01-01T11:00:00Z","label":"legit"}
{"account":"a","from":"2026-01-01T12:00:00Z","to":"2026-01-01T11:00:00Z","label":"legit"}
e4,fraud
{"kind":"drain","events":[1],"expect":[]}
{"event":"e1","label":"legit"}
{"account":"b","from":0,"to":1000,"label":"fraud"}
{"account":"b","from":10,"to":20,"label":"fraud"}
{"account":"b","from":1000,"to":2000,"label":"legit"}
{"account":"b","from":2001,"to":3000,"label":"fraud"}
"#;
        let problems = read("labels.ndjson", text).expect_err("problems");
        insta::assert_snapshot!(crate::report::render(&problems, false));
    }

    #[test]
    fn nothing_is_no_problem() {
        assert_eq!(read("labels.ndjson", "").map(|labels| labels.cases().len()), Ok(0));
    }
}
