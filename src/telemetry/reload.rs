//! What is told of reloads: log and metrics at once.
//!
//! Guarantees: a refused reload is told with every problem, as `walletwatch check` shows them.

use crate::event::Millis;
use crate::report::{self, Level, Problem};

use std::time::Instant;

use super::health::State;
use super::{Health, Metrics};

/// Something new is in force.
#[derive(Debug)]
pub struct Reloaded<'a> {
    /// `rules`, `notices`, `geo` or `mappings`.
    pub what: &'static str,
    /// What is in force now: a digest, or names.
    pub version: &'a str,
}

impl Reloaded<'_> {
    /// Tells it.
    pub fn tell(&self, metrics: &Metrics, health: &Health, now: Millis) {
        metrics.reloads.with_label_values(&[self.what, "applied"]).inc();
        health.reloaded(self.what, Instant::now());
        metrics.reload_is_known(self.what, now);
        tracing::info!(what = self.what, version = self.version, "reloaded");
    }
}

/// The engine decides with other rules.
#[derive(Debug)]
pub struct RulesSwapped<'a> {
    /// Their digest.
    pub digest: &'a str,
    /// How many they are.
    pub rules: usize,
    /// Features that go on with what they know.
    pub features_kept: usize,
    /// Features that begin with nothing.
    pub features_new: &'a [String],
    /// How long the engine stood still.
    pub took_us: u64,
}

impl RulesSwapped<'_> {
    /// Tells it.
    pub fn tell(&self) {
        tracing::info!(
            rules_digest = self.digest,
            rules = self.rules,
            features_kept = self.features_kept,
            features_new = self.features_new.join(","),
            took_us = self.took_us,
            "rules swapped"
        );
    }
}

/// A rule reads something of which nothing is known yet.
#[derive(Debug)]
pub struct RuleWarming<'a> {
    /// The rule.
    pub rule: &'a str,
    /// The event time at which what it reads is whole; `None` where no event was seen yet.
    pub until: Option<Millis>,
}

impl RuleWarming<'_> {
    /// Tells it.
    pub fn tell(&self, metrics: &Metrics) {
        let Some(until) = self.until else { return };
        metrics.warming.with_label_values(&[self.rule]).set(until.0 / 1000);
        tracing::info!(rule = self.rule, until = until.rfc3339(), "warming: its windows are not full yet");
    }
}

/// The rules of the configuration are bad: the service has started with the last good copy of them.
#[derive(Debug)]
pub struct StartedWithLastGood<'a> {
    /// The digest of the copy.
    pub digest: &'a str,
    /// When it was kept.
    pub kept: Millis,
    /// What is wrong with the others.
    pub problems: &'a [Problem],
}

impl StartedWithLastGood<'_> {
    /// Tells it.
    pub fn tell(&self, metrics: &Metrics, health: &Health) {
        let kept = self.kept.rfc3339();
        let detail = format!("started with the last good copy, of {kept}: {}", first(self.problems));
        health.tell("reload.rules", State::Warning, detail, Instant::now());
        metrics.reloads.with_label_values(&["rules", "last_good"]).inc();
        metrics.reload_is_known("rules", self.kept);
        let diagnostics = report::render(self.problems, false);
        tracing::error!(
            rules_digest = self.digest,
            kept,
            %diagnostics,
            "the rules are refused: started with the last good copy of them"
        );
    }
}

/// A reload was refused: the old one stays in force.
#[derive(Debug)]
pub struct Refused<'a> {
    /// `rules`, `notices`, `geo` or `mappings`.
    pub what: &'static str,
    /// Why; warnings may be among them.
    pub problems: &'a [Problem],
}

impl Refused<'_> {
    /// Tells it.
    pub fn tell(&self, metrics: &Metrics, health: &Health) {
        health.reload_failed(self.what, &first(self.problems), Instant::now());
        metrics.reloads.with_label_values(&[self.what, "refused"]).inc();
        let problems = self.problems.iter().filter(|problem| problem.level == Level::Error).count();
        let diagnostics = report::render(self.problems, false);
        // As it is, not quoted: on a terminal it has its lines.
        tracing::error!(what = self.what, problems, %diagnostics, "reload refused: the old one stays in force");
    }
}

/// The first problem in one line, with its place.
fn first(problems: &[Problem]) -> String {
    let sorted = report::sorted(problems);
    let Some(first) = sorted.iter().find(|problem| problem.level == Level::Error) else { return String::new() };
    let place = first.at.as_ref().map(|(file, span)| {
        let (line, column) = report::place(file, span.start);
        format!("{}:{line}:{column}: ", file.path)
    });
    format!("{}{first}", place.unwrap_or_default())
}
