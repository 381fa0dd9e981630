//! Whether the service does its work: named checks, each with a state and a detail.
//!
//! Guarantees: a check that is not refreshed within its time fails by itself, so that whoever would tell of the
//! trouble may be the one in trouble; a warning never makes the service unready. Pure: time is an argument. Looks
//! at nothing: the stages tell.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// The check of the service as a whole: starting, running, stopping.
pub const SERVICE: &str = "service";

/// How a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It holds.
    Ok,
    /// Something needs a person, but the service does its work.
    Warning,
    /// It does not hold: `/readyz` fails.
    Failed,
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Which check.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// Why, for people.
    pub detail: String,
}

impl Told {
    /// Whether it makes the service unready.
    pub fn has_failed(&self) -> bool {
        self.state == State::Failed
    }
}

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether no check fails.
    pub ready: bool,
    /// Every check, by name.
    pub checks: Vec<Told>,
}

/// All checks. Clones share them.
#[derive(Debug, Clone)]
pub struct Health {
    began: Instant,
    checks: Arc<Mutex<BTreeMap<String, Check>>>,
}

#[derive(Debug)]
struct Check {
    state: State,
    detail: String,
    /// When it was refreshed, ms since the beginning.
    refreshed_ms: Arc<AtomicU64>,
    /// How long it stands without being refreshed.
    fresh_for: Option<Duration>,
}

/// The sign of life of one stage: cheap enough for every turn of its loop.
#[derive(Debug, Clone)]
pub struct Pulse {
    began: Instant,
    refreshed_ms: Arc<AtomicU64>,
}

impl Pulse {
    /// Gives a sign of life.
    pub fn beat(&self, now: Instant) {
        self.refreshed_ms.store(ms_since(self.began, now), Ordering::Relaxed);
    }

    /// Time since the last one.
    pub fn silence(&self, now: Instant) -> Duration {
        Duration::from_millis(ms_since(self.began, now).saturating_sub(self.refreshed_ms.load(Ordering::Relaxed)))
    }
}

impl Health {
    /// Not ready: the service is starting.
    pub fn new(now: Instant) -> Self {
        let health = Health { began: now, checks: Arc::default() };
        health.tell(SERVICE, State::Failed, "starting", now);
        health
    }

    /// Adds a check that somebody will tell of, again and again within `fresh_for`. Until then it fails.
    pub fn expect(&self, name: &str, fresh_for: Duration, now: Instant) {
        self.put(name, State::Failed, "not known yet", Some(fresh_for), now);
    }

    /// Adds a stage that gives signs of life: it fails where there was none for `silence_max`.
    pub fn pulse(&self, name: &str, silence_max: Duration, now: Instant) -> Pulse {
        let refreshed_ms = self.put(name, State::Ok, "alive", Some(silence_max), now);
        Pulse { began: self.began, refreshed_ms }
    }

    /// Tells how a check stands.
    pub fn tell(&self, name: &str, state: State, detail: impl Into<String>, now: Instant) {
        let detail = detail.into();
        let mut checks = self.lock();
        match checks.get_mut(name) {
            Some(check) => {
                (check.state, check.detail) = (state, detail);
                check.refreshed_ms.store(ms_since(self.began, now), Ordering::Relaxed);
            }
            None => {
                drop(checks);
                self.put(name, state, &detail, None, now);
            }
        }
    }

    /// A reload of `what` (rules, lists, policy, notices, geo, mappings) failed: the old one stays in force. A warning.
    pub fn reload_failed(&self, what: &str, message: &str, now: Instant) {
        self.tell(&format!("reload.{what}"), State::Warning, format!("the old one stays in force: {message}"), now);
    }

    /// A reload of `what` succeeded: a warning about it is over.
    pub fn reloaded(&self, what: &str, now: Instant) {
        self.tell(&format!("reload.{what}"), State::Ok, "the newest is in force", now);
    }

    /// Takes a check away: what it is about has ended as it should.
    pub fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// How everything stands.
    pub fn report(&self, now: Instant) -> Report {
        let now_ms = ms_since(self.began, now);
        let checks: Vec<Told> = self.lock().iter().map(|(name, check)| check.told(name, now_ms)).collect();
        Report { ready: !checks.iter().any(Told::has_failed), checks }
    }

    fn put(&self, name: &str, state: State, detail: &str, fresh_for: Option<Duration>, now: Instant) -> Arc<AtomicU64> {
        let refreshed_ms = Arc::new(AtomicU64::new(ms_since(self.began, now)));
        let check = Check { state, detail: detail.to_owned(), refreshed_ms: Arc::clone(&refreshed_ms), fresh_for };
        self.lock().insert(name.to_owned(), check);
        refreshed_ms
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Check>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    fn told(&self, name: &str, now_ms: u64) -> Told {
        let silence_ms = now_ms.saturating_sub(self.refreshed_ms.load(Ordering::Relaxed));
        let is_stale = self.fresh_for.is_some_and(|limit| u128::from(silence_ms) > limit.as_millis());
        let (state, detail) = if is_stale {
            (State::Failed, format!("no sign of life for {} s (before: {})", silence_ms / 1000, self.detail))
        } else {
            (self.state, self.detail.clone())
        };
        Told { name: name.to_owned(), state, detail }
    }
}

fn ms_since(began: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(began).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn told(report: &Report, name: &str) -> (State, String) {
        let found = report.checks.iter().find(|told| told.name == name).unwrap_or_else(|| panic!("{name}: {report:?}"));
        (found.state, found.detail.clone())
    }

    #[test]
    fn it_is_ready_when_no_check_fails_and_says_which_does() {
        let start = Instant::now();
        let health = Health::new(start);
        assert!(!health.report(start).ready, "starting");
        health.tell(SERVICE, State::Ok, "running", start);
        assert!(health.report(start).ready);
        health.tell("desk", State::Failed, "disk full", start);
        let report = health.report(start);
        assert!(!report.ready);
        assert_eq!(told(&report, "desk"), (State::Failed, "disk full".to_owned()));
        health.tell("desk", State::Ok, "writable", start);
        assert!(health.report(start).ready);
    }

    #[test]
    fn what_is_not_refreshed_in_its_time_fails_by_itself() {
        let start = Instant::now();
        let health = Health::new(start);
        health.tell(SERVICE, State::Ok, "running", start);
        health.expect("kafka", 10 * S, start);
        assert_eq!(told(&health.report(start), "kafka"), (State::Failed, "not known yet".to_owned()));
        health.tell("kafka", State::Ok, "reachable", start + S);
        assert!(health.report(start + 11 * S).ready, "ten seconds after it was told");
        let late = health.report(start + 12 * S);
        assert_eq!(told(&late, "kafka"), (State::Failed, "no sign of life for 11 s (before: reachable)".to_owned()));
    }

    #[test]
    fn a_stage_that_blocks_is_unready_until_it_goes_on() {
        let start = Instant::now();
        let health = Health::new(start);
        health.tell(SERVICE, State::Ok, "running", start);
        let pulse = health.pulse("detection", 10 * S, start);
        pulse.beat(start + 5 * S);
        assert!(health.report(start + 15 * S).ready);
        assert!(!health.report(start + 16 * S).ready);
        assert_eq!(pulse.silence(start + 16 * S), 11 * S);
        pulse.beat(start + 17 * S);
        assert!(health.report(start + 18 * S).ready);
        health.forget("detection");
        assert!(health.report(start + 1000 * S).ready, "it has ended");
    }

    #[test]
    fn a_failed_reload_is_told_and_leaves_the_service_ready() {
        let start = Instant::now();
        let health = Health::new(start);
        health.tell(SERVICE, State::Ok, "running", start);
        health.reload_failed("rules", "rules/x.yaml:3:1: unknown key", start);
        let report = health.report(start + 1000 * S);
        assert!(report.ready);
        let detail = "the old one stays in force: rules/x.yaml:3:1: unknown key".to_owned();
        assert_eq!(told(&report, "reload.rules"), (State::Warning, detail));
        let json = serde_json::to_string(&report.checks[0]).expect("JSON");
        assert!(json.starts_with(r#"{"name":"reload.rules","state":"warning","detail":"the old"#), "{json}");
        health.reloaded("rules", start);
        assert_eq!(told(&health.report(start), "reload.rules").0, State::Ok);
    }
}
