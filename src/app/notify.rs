//! Notification's thread: alerts and contacts from Kafka to the desk; the service sends what it queues.
//!
//! Guarantees: what is read is in the desk, with its offsets, before more is read; the desk's offsets, not a
//! group's, say where it goes on. Does not decide and does not send.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use tokio::runtime::Handle;

use super::current::Version;
use super::watch::Watched;
use super::{RunError, Stages};
use crate::alert::{Compose, Desk, Offset, Record, Taken};
use crate::deliver::channel::Channels;
use crate::deliver::compose::Composer;
use crate::deliver::service::{CONTACTS, Drained, Service, View};
use crate::deliver::worker::WallTime;
use crate::failpoint::{self, reach};
use crate::ingest::kafka::Follower;
use crate::ingest::kafka::follow::{Followed, Kind};
use crate::ruleset::Policy;
use crate::telemetry::Metrics;
use crate::telemetry::health::Pulse;
use crate::telemetry::metrics::Growth;

/// How long one reading waits for something.
const WAIT: Duration = Duration::from_millis(100);
/// How long a stop waits for notices in flight, of the ten seconds a stop may take.
const IN_FLIGHT_TIME_MAX: Duration = Duration::from_secs(8);

/// Notification, ready to run.
pub struct Notify {
    stages: Stages,
    follower: Follower,
    service: Service,
    composer: Arc<Composer>,
    /// How far it has followed the reloads.
    version: Version,
    runtime: Handle,
    counts: Counts,
    pulse: Pulse,
}

impl Notify {
    /// Opens the desk and both topics and starts the channels.
    pub fn open(stages: &Stages, runtime: &tokio::runtime::Runtime, watched: &mut Watched) -> Result<Self, RunError> {
        let prepared = &stages.prepared;
        let folder = &prepared.config.state_directory;
        super::private_folder(folder).map_err(|error| RunError::StateDirectory(folder.clone(), error))?;
        let desk = Desk::open(prepared.config.desk.clone()).map_err(desk_failed)?;
        let known = desk.offsets().map_err(desk_failed)?;
        let next: BTreeMap<(String, i32), i64> =
            known.into_iter().map(|offset| ((offset.topic, offset.partition), offset.next)).collect();
        let follower = Follower::open(&prepared.config.kafka, &next)?;
        let in_force = &prepared.in_force;
        let (policy, templates) = (Arc::clone(&in_force.policy), Arc::clone(&in_force.templates));
        let composer = Arc::new(Composer::new(policy, prepared.channels.clone(), templates));
        let handle = runtime.handle().clone();
        let shared: Arc<dyn Compose> = Arc::clone(&composer) as Arc<dyn Compose>;
        let service = Service::start(Arc::new(desk), shared, &prepared.channels, Arc::new(WallTime), &handle);
        let channels: Vec<&str> = prepared.channels.names().collect();
        tell_absent(&in_force.policy, &prepared.channels);
        tracing::info!(channels = channels.join(","), goes_on = !next.is_empty(), "notification started");
        watched.lags.extend(follower.lags());
        watched.notices = Some(service.view());
        let counts = Counts::new(&stages.metrics, service.view());
        let pulse = stages.pulse("notification", watched);
        let (stages, version) = (stages.clone(), Version::default());
        Ok(Notify { stages, follower, service, composer, version, runtime: handle, counts, pulse })
    }

    /// Goes over to what was reloaded.
    fn follow(&mut self) {
        let Some(next) = self.stages.current.newer_than(&mut self.version) else { return };
        tell_absent(&next.policy, &self.stages.prepared.channels);
        self.composer.change(next.policy, next.templates);
    }

    /// Runs until asked to stop; with `until_end`, until every notice of what was to be read was tried.
    pub fn run(mut self, until_end: bool, waits_for_detection: bool) -> Result<(), RunError> {
        let mut ends_are_set = !waits_for_detection;
        let result = loop {
            if self.stages.shutdown.is_requested() {
                break Ok(());
            }
            if until_end && !ends_are_set && self.stages.detected.load(Ordering::Acquire) {
                self.follower.until_now()?;
                ends_are_set = true;
            }
            if let Err(error) = self.step() {
                break Err(error);
            }
            if until_end && ends_are_set && self.follower.has_caught_up() {
                break self.idle();
            }
        };
        self.stages.health.forget("notification");
        let drained = self.runtime.clone().block_on(self.service.stop(IN_FLIGHT_TIME_MAX));
        self.counts.tries();
        tracing::info!(in_flight = drained == Drained::CutOff, "notification stopped");
        result
    }

    fn step(&mut self) -> Result<(), RunError> {
        self.pulse.beat(Instant::now());
        self.counts.tries();
        let records = self.follower.read(WAIT)?;
        // After the reading: what was made with newer rules may name newer notices.
        self.follow();
        if !records.is_empty() {
            reach(failpoint::DESK_READ);
            self.take(&records)?;
        }
        // A desk that fails stops the channels; nothing may be read past it.
        let failed = self.service.failed();
        let failed = self.runtime.block_on(async { tokio::time::timeout(Duration::ZERO, failed).await.ok() });
        failed.map_or(Ok(()), |error| Err(RunError::Desk(error)))
    }

    fn take(&mut self, followed: &[Followed]) -> Result<(), RunError> {
        let kafka = &self.stages.prepared.config.kafka;
        let mut records = Vec::with_capacity(followed.len());
        let mut next: HashMap<(Kind, i32), i64> = HashMap::new();
        for record in followed {
            let account = || record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
            match (record.kind, record.value.as_deref()) {
                (Kind::Alert, Some(value)) => records.push(Record::Alert(value)),
                (Kind::Contact, Some(value)) => records.push(Record::Contact(value)),
                (Kind::Contact, None) => records.extend(account().map(Record::NoContact)),
                // Nobody can take an alert back.
                (Kind::Alert, None) => {}
            }
            next.insert((record.kind, record.partition), record.offset + 1);
        }
        let topic = |kind| match kind {
            Kind::Alert => kafka.alerts_topic.clone(),
            Kind::Contact => kafka.contacts_topic.clone(),
        };
        let mut offsets: Vec<Offset> =
            next.into_iter().map(|((kind, partition), next)| Offset { topic: topic(kind), partition, next }).collect();
        offsets.sort();
        let taken = self.service.take(&records, &offsets).map_err(desk_failed)?;
        self.counts.take(&taken);
        Ok(())
    }

    /// Waits until every notice was tried, unless a stop comes first.
    fn idle(&self) -> Result<(), RunError> {
        let shutdown = self.stages.shutdown.clone();
        // Waiting for the last notices is no silence.
        self.stages.health.forget("notification");
        self.runtime.block_on(async {
            tokio::select! {
                idle = self.service.idle() => idle.map_err(RunError::Desk),
                () = shutdown.requested() => Ok(()),
            }
        })
    }
}

/// What notification counts, as metrics: the children of labels are made when they are first needed, once.
struct Counts {
    metrics: Metrics,
    view: View,
    desk: [(&'static str, IntCounter); 3],
    decisions: HashMap<(&'static str, &'static str), IntCounter>,
    undeliverable: HashMap<&'static str, IntCounter>,
    tries: HashMap<(String, &'static str, &'static str), Growth>,
}

impl Counts {
    fn new(metrics: &Metrics, view: View) -> Self {
        let desk = ["new", "known", "unreadable"].map(|word| (word, metrics.desk_alerts.with_label_values(&[word])));
        let mut counts = Counts {
            metrics: metrics.clone(),
            desk,
            decisions: HashMap::new(),
            undeliverable: HashMap::new(),
            tries: HashMap::new(),
            view,
        };
        // There from the start, so that the first one shows as growth.
        for channel in counts.view.channels().into_keys() {
            counts.tried((channel, "sent", "delivered"), 0);
        }
        counts
    }

    /// What the desk said of a batch.
    fn take(&mut self, taken: &Taken) {
        let Counts { metrics, desk, decisions, undeliverable, .. } = self;
        for ((_, counter), total) in desk.iter().zip([taken.alerts, taken.known, taken.unreadable]) {
            counter.inc_by(total);
        }
        for ((audience, reason), total) in &taken.decisions {
            let make = || metrics.decisions.with_label_values(&[audience, reason]);
            decisions.entry((audience, reason)).or_insert_with(make).inc_by(*total);
        }
        for (reason, total) in &taken.undeliverable {
            let make = || metrics.notices.with_label_values(&["none", "undeliverable", reason]);
            undeliverable.entry(reason).or_insert_with(make).inc_by(*total);
        }
        metrics.contacts_late.inc_by(taken.contact_late);
    }

    /// What the channels have done since the last look.
    fn tries(&mut self) {
        for (what, total) in self.view.tally() {
            self.tried(what, total);
        }
    }

    fn tried(&mut self, what: (String, &'static str, &'static str), total: u64) {
        let metrics = &self.metrics;
        let growth = self.tries.entry(what).or_insert_with_key(|(channel, outcome, reason)| {
            Growth::new(match channel.as_str() {
                // The desk's own word for a contact that did not come in time.
                CONTACTS => metrics.contacts_late.clone(),
                channel => metrics.notices.with_label_values(&[channel, outcome, reason]),
            })
        });
        growth.reach(total);
    }
}

/// The channels of the routes that reach nobody, because none of their channels is configured. A route that has
/// another channel does without the missing one.
fn absent_channels<'p>(policy: &'p Policy, channels: &Channels) -> Vec<&'p str> {
    let is_there = |name: &String| channels.get(name).is_some();
    let routes = policy.routes.iter().filter(|route| !route.channels.iter().any(is_there));
    let absent: BTreeSet<&str> = routes.flat_map(|route| &route.channels).map(String::as_str).collect();
    absent.into_iter().collect()
}

fn tell_absent(policy: &Policy, channels: &Channels) {
    let absent = absent_channels(policy, channels);
    if !absent.is_empty() {
        let absent = absent.join(",");
        tracing::warn!(
            absent,
            "routes of the policy name channels that are not configured and no other: nobody is notified by them"
        );
    }
}

fn desk_failed(error: crate::alert::DeskError) -> RunError {
    RunError::Desk(Arc::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::config::{ChannelsConfig, EmailConfig};

    #[test]
    fn a_channel_is_missed_only_where_a_route_has_no_other() {
        let policy = Policy::default();
        assert_eq!(absent_channels(&policy, &Channels::default()), ["email", "sms"]);
        crate::deliver::tls::install_provider();
        let email = Some(EmailConfig::new("smtp.wallet.example", 587, "Wallet <security@wallet.example>"));
        let mail_only = Channels::build(&ChannelsConfig { email, ..ChannelsConfig::default() }).expect("a channel");
        assert!(absent_channels(&policy, &mail_only).is_empty());
    }
}
