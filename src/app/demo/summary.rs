//! What came of a demo: `summary.json`.
//!
//! Guarantees: its keys are a contract (scripts read them) and may only grow. Judges: [`Outcome::is_good`].

use std::path::Path;

use serde::Serialize;

use super::DemoError;
use super::model::Model;
use super::tally::KindRow;
use crate::telemetry::events::Summary;

/// What came of it. The kinds add up to what is planted, in shadow or not, and so do those found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Nobody stopped it before its end.
    pub complete: bool,
    /// Attacks planted that a live rule must find.
    pub planted: usize,
    /// Those that were found.
    pub found: usize,
    /// Those that were not.
    pub missed: usize,
    /// Attacks planted that only rules in shadow look for.
    pub planted_shadow: usize,
    /// Those that they saw; nobody is told of them.
    pub found_shadow: usize,
    /// Look-alikes planted.
    pub lookalikes: usize,
    /// Those that a user was told of.
    pub lookalikes_told: usize,
    /// Alerts.
    pub alerts: u64,
    /// Those of them on look-alikes; a user may hear of none of these.
    pub alerts_lookalikes: u64,
    /// Those of them on what nobody planted, neither as an attack nor as a look-alike.
    pub alerts_not_planted: u64,
    /// Mails that arrived.
    pub mails: u64,
    /// Text messages that arrived at the gateway.
    pub sms: u64,
    /// Records sent: accepted, duplicates and refused together, where it is complete.
    pub events: u64,
    /// Those of them before the played day: what the service learns from, three thin weeks.
    pub events_learning: u64,
    /// Records accepted.
    pub accepted: u64,
    /// Records that came twice.
    pub duplicates: u64,
    /// Records refused.
    pub rejected: u64,
    /// Records of the played day in a second, on average: the day is slowed to its clock.
    pub events_per_second: u64,
    /// From sending an event to its alert: median, 99th percentile and longest, ms.
    pub latency_ms: Latency,
    /// Until the first attack was told whole, ms since the start.
    pub first_attack_told_ms: Option<u64>,
    /// How long all of it took, ms.
    pub elapsed_ms: u64,
    /// The seed.
    pub seed: u64,
    /// The kinds of attacks.
    pub kinds: Vec<Kind>,
    /// The version of the program.
    pub walletwatch: &'static str,
}

/// Latencies, ms; `null` without an alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    pub p50: Option<u64>,
    pub p99: Option<u64>,
    pub max: Option<u64>,
}

/// One kind of attack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kind {
    /// Its name in the truth.
    pub kind: &'static str,
    /// Scenes of it.
    pub planted: usize,
    /// Those found, or seen by rules in shadow.
    pub found: usize,
    /// Only rules in shadow look for it: nobody is told, and it counts as `planted_shadow`.
    pub shadow: bool,
}

impl Outcome {
    /// From what was seen and what the pipeline counted.
    pub fn new(model: &Model, summary: &Summary, seed: u64, complete: bool) -> Self {
        let (planted, found) = model.score();
        let (planted_shadow, found_shadow) = model.shadow_score();
        let look_alikes = model.look_alikes();
        let kind =
            |row: KindRow| Kind { kind: row.name, planted: row.planted, found: row.found, shadow: row.is_shadow };
        let latency = |percent| model.latency_ms(percent);
        Outcome {
            complete,
            planted,
            found,
            missed: planted - found,
            planted_shadow,
            found_shadow,
            lookalikes: look_alikes.planted,
            lookalikes_told: look_alikes.told,
            alerts: model.alerts,
            alerts_lookalikes: model.alerts_on_look_alikes,
            alerts_not_planted: model.strays,
            mails: model.mails,
            sms: model.texts,
            events: model.sent,
            events_learning: model.setting.learning_records.min(model.sent),
            accepted: summary.accepted,
            duplicates: summary.duplicates,
            rejected: summary.rejected,
            events_per_second: model.day_rate().unwrap_or(0),
            latency_ms: Latency { p50: latency(50), p99: latency(99), max: latency(100) },
            first_attack_told_ms: model.story.told_ms,
            elapsed_ms: model.elapsed_ms,
            seed,
            kinds: model.kinds().into_iter().map(kind).collect(),
            walletwatch: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Every attack of a live rule was found and no user was told of a look-alike. One that somebody stopped
    /// before its end has shown neither.
    pub fn is_good(&self) -> bool {
        self.complete && self.lookalikes_told == 0 && self.missed == 0
    }

    /// Writes it.
    pub fn write(&self, path: &Path) -> Result<(), DemoError> {
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other);
        let written = text.and_then(|text| std::fs::write(path, text + "\n"));
        written.map_err(|source| DemoError::Folder { path: path.to_owned(), source })
    }
}
