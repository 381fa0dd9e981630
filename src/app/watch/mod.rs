//! The watcher: looks at the whole every two seconds and tells metrics and health.
//!
//! Guarantees: it asks and never changes what is watched (but for a mark in the desk, which shows that it can be
//! written); while a stop is under way it asks Kafka no more, so that it holds nobody up. What it cannot find out
//! fails its check, and so does its own silence. Decides nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

mod kafka;
mod topics;

use super::control::Sight;
use super::current::{InForce, Version};
use super::{RunError, Stages};
use crate::clock;
use crate::deliver::service::View;
use crate::features::store::{CHECK, CheckpointWatch};
use crate::geo::Databases;
use crate::ingest::kafka::Lag;
use crate::ingest::kafka::offsets::CommitWatch;
use crate::ingest::kafka::producer::Waiting;
use crate::telemetry::Metrics;
use crate::telemetry::health::{Pulse, State};
use crate::telemetry::metrics::{Growth, whole};

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(2);
/// A check it has not told of for so long fails.
const FRESH_FOR: Duration = Duration::from_secs(15);
/// A stage without a sign of life for so long fails.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How often it writes its mark into the desk.
const PROBE_INTERVAL: Duration = Duration::from_secs(4);
/// From so many failures in a row on a channel counts as dead.
const CHANNEL_FAILURES_MAX: u32 = 1;

/// What is watched; the stages add what they have.
#[derive(Default)]
pub struct Watched {
    /// The readers.
    pub lags: Vec<Lag>,
    /// What waits for Kafka to acknowledge it.
    pub writing: Option<Waiting>,
    /// The desk and the channels.
    pub notices: Option<View>,
    /// The stages' signs of life.
    pub pulses: Vec<(&'static str, Pulse)>,
    /// What was seen last, for whoever asks.
    pub sight: Sight,
    /// How often the order between partitions was given up.
    pub given_up: Option<Arc<AtomicU64>>,
    /// The checkpoints.
    pub checkpoints: Option<CheckpointWatch>,
    /// The commits of offsets.
    pub commits: Option<CommitWatch>,
}

/// The running watcher.
pub struct Watch {
    thread: JoinHandle<()>,
    ended: Arc<AtomicBool>,
}

impl Watch {
    /// Starts it.
    pub fn start(stages: Stages, watched: Watched) -> Result<Self, RunError> {
        let ended = Arc::new(AtomicBool::new(false));
        let mut watcher = Watcher::new(stages, watched, Arc::clone(&ended));
        let thread = std::thread::Builder::new()
            .name("watching".to_owned())
            .spawn(move || watcher.run())
            .map_err(|e| RunError::System("start a thread", e))?;
        Ok(Watch { thread, ended })
    }

    /// Ends it; it looks once more.
    pub fn stop(self) {
        self.ended.store(true, Ordering::Release);
        self.thread.thread().unpark();
        // It panics nowhere; if it did, nobody depends on it any more.
        let _ = self.thread.join();
    }
}

/// The files and where their errors are counted.
fn geo_errors(metrics: &Metrics, geo: &Databases) -> Vec<(String, Growth)> {
    let counted = |path: &Path| {
        let file = path.display().to_string();
        let counter = metrics.geo_errors.with_label_values(&[&file]);
        (file, Growth::new(counter))
    };
    geo.files().iter().map(|file| counted(file.path())).collect()
}

struct Watcher {
    stages: Stages,
    watched: Watched,
    ended: Arc<AtomicBool>,
    in_force: InForce,
    /// How far it has followed the reloads.
    version: Version,
    /// What it knows of the topics and their readers.
    seen: kafka::Seen,
    geo_errors: Vec<(String, Growth)>,
    given_up: Growth,
    probed: Option<Instant>,
}

impl Watcher {
    fn new(stages: Stages, watched: Watched, ended: Arc<AtomicBool>) -> Self {
        let now = Instant::now();
        let mut checks = Vec::new();
        if !watched.lags.is_empty() {
            checks.extend(["kafka", "lag", "polling"]);
        }
        if watched.checkpoints.is_some() {
            checks.push(CHECK);
        }
        if watched.notices.is_some() {
            checks.push("desk");
        }
        for check in checks {
            stages.health.expect(check, FRESH_FOR, now);
        }
        let in_force = stages.current.get();
        let geo_errors = geo_errors(&stages.metrics, &in_force.geo);
        let given_up = Growth::new(stages.metrics.order_given_up.clone());
        let (version, seen) = (Version::default(), kafka::Seen::default());
        let watcher = Watcher { stages, watched, ended, in_force, version, seen, geo_errors, given_up, probed: None };
        watcher.tell_limits();
        watcher
    }

    fn run(&mut self) {
        loop {
            let has_ended = self.ended.load(Ordering::Acquire);
            self.look();
            if has_ended {
                return;
            }
            std::thread::park_timeout(INTERVAL);
        }
    }

    fn look(&mut self) {
        self.ages();
        for (stage, pulse) in &self.watched.pulses {
            let silence = pulse.silence(Instant::now()).as_secs_f64();
            self.stages.metrics.stage_silence.with_label_values(&[stage]).set(silence);
        }
        if let Some(given_up) = &self.watched.given_up {
            self.given_up.reach(given_up.load(Ordering::Relaxed));
        }
        if let Some(checkpoints) = &self.watched.checkpoints {
            checkpoints.tell(&self.stages.health, &self.stages.metrics, Instant::now());
            let age_ms = i64::try_from(checkpoints.age(Instant::now()).as_millis()).unwrap_or(i64::MAX);
            self.watched.sight.checkpoint(clock::now().plus(age_ms.saturating_neg()));
        }
        if let Some(commits) = &self.watched.commits {
            self.stages.metrics.commit_age.set(commits.age(Instant::now()).as_secs_f64());
        }
        self.writing();
        if !self.stages.shutdown.is_requested() {
            self.kafka();
        }
        if let Some(view) = self.watched.notices.clone() {
            self.desk(&view);
            self.channels(&view);
        }
    }

    /// Goes over to what was reloaded. New databases count their errors from 0 on; lists may be gone.
    fn follow(&mut self) {
        let Some(next) = self.stages.current.newer_than(&mut self.version) else { return };
        let metrics = &self.stages.metrics;
        if !Arc::ptr_eq(&next.geo, &self.in_force.geo) {
            self.geo_errors = geo_errors(metrics, &next.geo);
        }
        metrics.list_age.reset();
        metrics.list_age_limit.reset();
        metrics.list_entries.reset();
        self.in_force = next;
    }

    fn desk(&mut self, view: &View) {
        if self.probed.is_some_and(|probed| probed.elapsed() < PROBE_INTERVAL) {
            return;
        }
        self.probed = Some(Instant::now());
        let probed = view.desk().probe(clock::now()).and_then(|()| view.desk().open_notices());
        let now = Instant::now();
        match probed {
            Ok(open) => {
                self.stages.health.tell("desk", State::Ok, "it can be written", now);
                for channel in view.channels().keys() {
                    let queued = open.get(&Some(channel.clone())).copied().unwrap_or(0);
                    self.outbox(channel, "queued", queued);
                }
                self.outbox("none", "waiting", open.get(&None).copied().unwrap_or(0));
            }
            Err(error) => self.stages.health.tell("desk", State::Failed, error.to_string(), now),
        }
    }

    fn outbox(&self, channel: &str, state: &str, notices: u64) {
        let gauge = self.stages.metrics.outbox.with_label_values(&[channel, state]);
        gauge.set(i64::try_from(notices).unwrap_or(i64::MAX));
    }

    fn channels(&self, view: &View) {
        let metrics = &self.stages.metrics;
        for (name, channel) in view.channels() {
            let labels = &[name.as_str()];
            metrics.sends.with_label_values(labels).set(whole(channel.in_flight));
            metrics.sends_limit.with_label_values(labels).set(whole(channel.sends_max));
            metrics.channel_failures.with_label_values(labels).set(i64::from(channel.failures_in_a_row));
            let (state, detail) = match channel.failures_in_a_row {
                0 => (State::Ok, "nothing has failed since the last success".to_owned()),
                n => {
                    let state = if n > CHANNEL_FAILURES_MAX { State::Failed } else { State::Warning };
                    (state, format!("{n} tries failed in a row, the last one: {}", channel.reason))
                }
            };
            self.stages.health.tell(&format!("channel.{name}"), state, detail, Instant::now());
        }
    }

    fn ages(&mut self) {
        self.follow();
        let metrics = &self.stages.metrics;
        let now = clock::now();
        let seconds = |ms: i64| ms as f64 / 1000.0;
        for (file, (name, errors)) in self.in_force.geo.files().iter().zip(&mut self.geo_errors) {
            let built_ms = i64::try_from(file.build_epoch()).unwrap_or(i64::MAX).saturating_mul(1000);
            metrics.geo_age.with_label_values(&[name]).set(seconds(now.0.saturating_sub(built_ms)));
            errors.reach(file.errors());
        }
        for list in &self.in_force.ruleset.lists {
            let labels = &[list.name.as_str()];
            metrics.list_entries.with_label_values(labels).set(whole(list.len()));
            // What is compiled in is an example, which nobody can renew: no alert may wait for it.
            if !list.is_shipped {
                metrics.list_age_limit.with_label_values(labels).set(seconds(list.max_age_ms));
            }
            if let Some(as_of) = list.as_of {
                metrics.list_age.with_label_values(labels).set(seconds(now.since(as_of)));
            }
        }
    }
}
