//! The engine's run over a case: the rendered rule file and the rendered lines, nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use walletwatch::detect::document::{AlertDocument, ContactDocument};
use walletwatch::detect::{Engine, FindingRecord, Input, Options, RuleOutcome, Sink};
use walletwatch::event::{Event, Millis, Rejection};
use walletwatch::ruleset::{Bands, HashKey, Sources, load};

use super::describe::Case;
use super::oracle_run::Outcome;
use super::told::{self, Told};
use super::{probe, render};

const KEY: HashKey = HashKey::new([7; 16]);
/// Moments are so late that no time is in the future.
const FAR: i64 = i64::MAX / 2;

#[derive(Default)]
struct Seen {
    told: Told,
}

impl Sink for Seen {
    fn rejected(&mut self, _: usize, _: &Rejection) {
        self.told.fates.push("refused".into());
    }

    fn duplicate(&mut self, _: usize) {
        self.told.fates.push("duplicate".into());
    }

    fn accepted(&mut self, _: usize, _: &Event<'_>, late: bool) {
        self.told.fates.push(if late { "late" } else { "accepted" }.into());
    }

    fn contact(&mut self, _: usize, _: ContactDocument) {}

    fn finding(&mut self, _: usize, record: FindingRecord) {
        if record.rule.starts_with(probe::PREFIX) {
            let values = record.evidence.iter().map(|(name, value)| (name.clone(), probe::read(value)));
            return self.told.values.push((record.event.clone(), values.collect()));
        }
        let outcome = match record.outcome {
            RuleOutcome::Fired => Outcome::Fired,
            RuleOutcome::Repeated => Outcome::Repeated,
            RuleOutcome::Excepted => Outcome::Excepted,
        };
        let by: Vec<String> = record
            .by
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_str().map_or(value.to_string(), told::shown)))
            .collect();
        self.told.findings.push(told::line(&record.event, &record.rule, outcome, &by, record.score));
    }

    fn alert(&mut self, _: usize, alert: AlertDocument) {
        let shares: BTreeSet<String> = alert.findings.iter().map(|f| format!("{} {:.2}", f.rule, f.share)).collect();
        let event = alert.event.get("id").and_then(Value::as_str).unwrap_or_default();
        self.told.alerts.push(told::alert_line(event, alert.score, &format!("{:?}", alert.band), &shares));
    }
}

/// What the engine tells, or why the rule file does not load.
pub fn run(case: &Case) -> Result<Told, String> {
    let mut sources = Sources::new("rules");
    sources.add("case.yaml", render::rule_file(&case.rules), None);
    let loaded = load(&sources, KEY, None).map_err(|problems| walletwatch::report::render(&problems, false))?;
    let options = Options { findings: true, ..Options::default() };
    let mut engine = Engine::new(Arc::new(loaded.ruleset), Bands::default(), options, KEY);
    let mut seen = Seen::default();
    for (read, records) in case.batches() {
        if !read.at_end.is_empty() {
            engine.partitions(read.at_end.iter().copied());
        }
        let lines: Vec<(u16, String)> = records.iter().map(|(lane, record)| (*lane, render::line(record))).collect();
        let inputs = lines.iter().map(|(lane, line)| Input { lane: *lane, value: Some(line.as_bytes()) });
        engine.take(inputs, Millis(FAR + read.moment), None, &mut seen);
    }
    Ok(seen.told)
}
