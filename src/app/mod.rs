//! Builds the stages from the configuration, joins them with bounded queues, starts and drains them.
//!
//! Guarantees: nothing starts half: every stage is built and every problem told before the first one runs; the
//! first failure stops everybody; a stop is over within [`DRAIN_TIME_MAX`]. In steps: prepare, start, wait,
//! drain.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::clock;
use crate::detect::{Engine, Options};
use crate::disk::RealDisk;
use crate::ingest::batch_log::Logged;
use crate::ingest::kafka::consumer::{Consumer, End, batches};
use crate::ingest::kafka::owner::Timing;
use crate::ingest::kafka::producer::Acknowledged;
use crate::ingest::kafka::{Begin, Claim, Error as KafkaError, Offsets, Producer, topics};
use crate::shutdown::{DRAIN_TIME_MAX, Shutdown};
use crate::telemetry::events::Summary;
use crate::telemetry::health::{self, State};
use crate::telemetry::http::Server;
use crate::telemetry::{Health, Metrics};

mod beginning;
pub mod control;
mod counts;
mod current;
pub mod demo;
mod detect;
mod durable;
mod error;
pub mod history;
mod last_good;
mod notify;
mod owner;
mod past;
mod prepare;
mod reload;
pub mod room;
pub mod shown;
#[cfg(test)]
mod simulation;
mod watch;
mod witness;

pub use error::RunError;
pub use prepare::{BadRules, KeyFrom, Prepared, prepare, rules_to_look};
pub use witness::Witness;

use current::{Current, InForce};
use durable::{Durable, Found};
use reload::Reloader;
use watch::{Watch, Watched};

/// How often the main thread looks whether somebody asked to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Which half runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Role {
    /// Detection and notification.
    #[default]
    Both,
    /// Events in, alerts out.
    Detect,
    /// Alerts in, notices out.
    Notify,
}

impl Role {
    fn detects(self) -> bool {
        self != Role::Notify
    }

    fn notifies(self) -> bool {
        self != Role::Detect
    }
}

/// When a run ends by itself.
#[derive(Debug, Clone)]
pub enum Until {
    /// Never: it is asked to stop.
    Stopped,
    /// Once everything that the topics hold at the start is taken, told and sent.
    End,
    /// Once somebody says that nothing more will come: then what was taken until then is told and sent.
    Said(Shutdown),
}

/// What whoever starts a run keeps in hand.
#[derive(Debug, Clone)]
pub struct Controls {
    /// The counters, which grow while it runs.
    pub metrics: Metrics,
    /// Asks it to stop.
    pub shutdown: Shutdown,
    /// Whoever plays the stream and looks on; nobody in the service.
    pub witness: Option<Arc<dyn Witness>>,
    /// Takes over from a detector that still works.
    pub take_over: bool,
    /// Goes on at the group's offsets with an empty state.
    pub cold: bool,
}

impl Controls {
    /// Counters at zero, nobody has asked, nobody looks on, and nothing is forced.
    pub fn new() -> Result<Self, RunError> {
        Ok(Controls {
            metrics: Metrics::new()?,
            shutdown: Shutdown::default(),
            witness: None,
            take_over: false,
            cold: false,
        })
    }
}

/// How a detector begins.
#[derive(Debug, Clone, Copy)]
struct Beginning {
    /// From another one that still works.
    take_over: bool,
    /// With an empty state where the group stands.
    cold: bool,
}

/// The group is ours: the reader, the engine with what writes its state down, and what commits.
type Reader = (Consumer, (Engine, Durable), Offsets, (InForce, Arc<[Logged]>));

/// What a thread ended with.
type Done = (&'static str, Result<(), RunError>);

/// Runs until asked to stop, or as long as `until` says.
pub fn run(prepared: Prepared, role: Role, until: &Until, controls: Controls) -> Result<Summary, RunError> {
    crate::deliver::tls::install_provider();
    let Controls { metrics, shutdown, witness, take_over, cold } = controls;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| RunError::System("start the runtime", e))?;
    let signals = shutdown.clone();
    runtime.spawn(async move {
        if let Err(error) = signals.on_signals().await {
            tracing::error!(%error, "signals cannot be caught: only a hard stop will end this process");
        }
    });
    let health = Health::new(Instant::now());
    let server = serve(&prepared, &metrics, &health, &runtime)?;
    let current = Arc::new(Current::new(prepared.in_force.clone()));
    let reloader = Reloader::new(&prepared, Arc::clone(&current), metrics.clone(), health.clone());
    let bell = reloader.bell();
    runtime.spawn(async move {
        if let Err(error) = reload::on_hangup(bell).await {
            tracing::error!(%error, "SIGHUP cannot be caught: it will end this process");
        }
    });
    let prepared = Arc::new(prepared);
    let stages = Stages { prepared, current, metrics, health, shutdown, witness, detected: Arc::default() };
    stages.start_reloading(reloader)?;
    let result = stages.run(role, until, Beginning { take_over, cold }, &runtime);
    if let Some(server) = server {
        runtime.block_on(server.stop());
    }
    // What still runs there is cut off: it repeats after the next start.
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

/// Serves metrics and health, where that was configured: from the first moment, and until the last stage has ended.
fn serve(
    prepared: &Prepared,
    metrics: &Metrics,
    health: &Health,
    runtime: &tokio::runtime::Runtime,
) -> Result<Option<Server>, RunError> {
    let Some(listen) = prepared.config.http.listen else {
        tracing::info!("http.listen is not set: /metrics and /readyz are not served");
        return Ok(None);
    };
    let server = Server::start(listen, metrics.clone(), health.clone(), runtime.handle())
        .map_err(|error| RunError::Listen(listen, error))?;
    tracing::info!(address = %server.address(), "serving /metrics, /healthz and /readyz");
    Ok(Some(server))
}

/// What the threads share.
#[derive(Clone)]
struct Stages {
    prepared: Arc<Prepared>,
    /// What is in force now.
    current: Arc<Current>,
    metrics: Metrics,
    health: Health,
    shutdown: Shutdown,
    witness: Option<Arc<dyn Witness>>,
    /// Detection has taken, and written, everything it was to take.
    detected: Arc<AtomicBool>,
}

impl Stages {
    fn run(
        &self,
        role: Role,
        until: &Until,
        beginning: Beginning,
        runtime: &tokio::runtime::Runtime,
    ) -> Result<Summary, RunError> {
        let config = &self.prepared.config;
        // What is read is looked at before anything is made: neither topics nor a desk come of a start that fails there.
        let opened = match role.detects().then(|| self.open_state(beginning)).transpose() {
            // Whoever is asked to stop while it watches has begun nothing.
            Err(RunError::Kafka(KafkaError::StoppedEarly)) => return Ok(detect::summary(&self.metrics)),
            opened => opened?,
        };
        topics::prepare(&config.kafka)?;
        // Both are built before either runs.
        let mut watched = Watched::default();
        let notify = role.notifies().then(|| notify::Notify::open(self, runtime, &mut watched)).transpose()?;
        // Last before anything runs: a start that fails has taken nothing over.
        let reader = match opened.map(|opened| self.claim(opened, beginning)).transpose() {
            Err(RunError::Kafka(KafkaError::StoppedEarly)) => return Ok(detect::summary(&self.metrics)),
            claimed => claimed?,
        };
        let mut detection = reader.map(|reader| self.open_detection(reader, &mut watched)).transpose()?;
        let asker = detection.as_mut().map(|(_, detection)| detection.asker());
        let _control = self.listen(role, asker, &watched, runtime.handle())?;
        // What the service runs with is good: a later start may need it, and be it for the first batch.
        if self.prepared.fell_back.is_none() {
            reload::keep_copy(&self.prepared.config, &self.prepared.sources, &self.current, &self.health);
        }
        reload::keep_mappings(&self.prepared.config, &self.prepared.in_force, self.prepared.key, &self.current);
        let (done, ended) = sync_channel::<Done>(4);
        let mut running = 0;
        if let Some((consumer, detection)) = detection {
            let (full, taken) = batches();
            let (shutdown, health) = (self.shutdown.clone(), self.health.clone());
            let pulse = self.pulse("reading", &mut watched);
            let until = until.clone();
            running += 2;
            spawn("reading", &done, move || {
                let is_said = || matches!(&until, Until::Said(end) if end.is_requested());
                let stop = || {
                    pulse.beat(Instant::now());
                    shutdown.is_requested() || is_said()
                };
                let end = consumer.run(full, matches!(until, Until::End), &stop)?;
                health.forget("reading");
                if end == End::Reached {
                    tracing::info!("everything up to the ends at the start is read");
                }
                Ok(())
            })?;
            spawn("detection", &done, move || detection.run(taken))?;
        }
        if let Some(notify) = notify {
            running += 1;
            let waits_for_detection = role.detects();
            let until_end = !matches!(until, Until::Stopped);
            spawn("notification", &done, move || notify.run(until_end, waits_for_detection))?;
        }
        drop(done);
        let watch = Watch::start(self.clone(), watched)?;
        self.health.tell(health::SERVICE, State::Ok, "running", Instant::now());
        let result = self.wait(running, &ended);
        watch.stop();
        result?;
        Ok(detect::summary(&self.metrics))
    }

    /// Answers commands by the socket in the state folder, until it is dropped.
    fn listen(
        &self,
        role: Role,
        asker: Option<control::Asker>,
        watched: &Watched,
        runtime: &tokio::runtime::Handle,
    ) -> Result<control::Server, RunError> {
        let folder = &self.prepared.config.state_directory;
        private_folder(folder).map_err(|error| RunError::StateDirectory(folder.clone(), error))?;
        let mut router = control::Router::default();
        router.on("status", control::status(watched.sight.clone(), role, clock::now()));
        if let Some(asker) = asker {
            router.on("state.show", control::show(asker, self.prepared.key));
        }
        let path = folder.join(control::socket(role));
        control::Server::start(&path, router, runtime).map_err(|error| RunError::Control(path, error))
    }

    /// Starts the thread that reloads. Nobody waits for it: a stop does not, for a database may take seconds to check.
    fn start_reloading(&self, reloader: Reloader) -> Result<(), RunError> {
        let shutdown = self.shutdown.clone();
        let body = move || reloader.run(&shutdown);
        let started = std::thread::Builder::new().name("reloading".to_owned()).spawn(body);
        started.map(|_| ()).map_err(|e| RunError::System("start a thread", e))
    }

    /// The state, where there is one, and the reader that goes on where it stands. Makes nothing.
    fn open_reader(&self, beginning: Beginning) -> Result<(Consumer, Option<Found>), RunError> {
        let kafka = &self.prepared.config.kafka;
        self.is_finished(beginning)?;
        let found = Found::existing(&self.prepared, &self.metrics)?;
        let consumer = Consumer::open(kafka, durable::begin(found.as_ref(), beginning.cold));
        if let Err(KafkaError::StateLost { .. }) = &consumer {
            // Perhaps the state is not lost, and it is at work elsewhere: whoever starts a second one is told that.
            let folder = &self.prepared.config.state_directory;
            let owner = owner::existing(&RealDisk, folder).map_err(|e| RunError::StateDirectory(folder.clone(), e))?;
            Consumer::open(kafka, Begin::Group)?
                .watch(&claim_of(owner.unwrap_or_default(), beginning), &|| self.shutdown.is_requested())?;
        }
        Ok((consumer?, found))
    }

    /// Makes the group ours: there is one detector.
    fn claim_as_it_is(
        &self,
        (consumer, found): (Consumer, Option<Found>),
        beginning: Beginning,
    ) -> Result<Reader, RunError> {
        let prepared = &self.prepared;
        let found = found.map_or_else(|| Found::open(prepared, &self.metrics), Ok)?;
        let folder = &prepared.config.state_directory;
        let owner = owner::id(&RealDisk, folder).map_err(|error| RunError::StateDirectory(folder.clone(), error))?;
        let stop = || self.shutdown.is_requested();
        // A second one leaves nothing behind: it watches before there is a checkpoint.
        let claimable = consumer.watch(&claim_of(owner, beginning), &stop)?;
        let options = Options { findings: self.witness.is_some(), ..room::options(prepared) };
        let again = found.again();
        let begins_with = self.begins_with(&again);
        let (mut engine, swapped) = found.engine_under(&begins_with, prepared, options)?;
        if let Some(swapped) = swapped {
            detect::tell_warming(&swapped, &self.metrics);
        }
        let (names, starts) = (consumer.names(), consumer.starts());
        let durable = found.start(&mut engine, names, starts, &begins_with.digests(&prepared.config.kafka.topics))?;
        // Only now may the group have commits: without the first checkpoint they would mean a lost state.
        let offsets = consumer.take(claimable, &stop)?;
        Ok((consumer, (engine, durable), offsets, (begins_with, again)))
    }

    fn open_detection(
        &self,
        (consumer, state, offsets, (begins_with, again)): Reader,
        watched: &mut Watched,
    ) -> Result<(Consumer, detect::Detection), RunError> {
        let pulse = self.pulse("detection", watched);
        watched.checkpoints = Some(state.1.watch());
        watched.commits = Some(offsets.watch());
        let producer = Producer::open_telling(&self.prepared.config.kafka, acknowledged(self))?;
        let mut detection = detect::Detection::new(self.clone(), state, producer, offsets, pulse);
        detection.begin_with(begins_with, &again, self.past());
        detection.tell_started(&consumer);
        watched.writing = Some(detection.waiting());
        watched.given_up = Some(consumer.given_up());
        watched.lags.push(consumer.lag());
        Ok((consumer, detection))
    }

    /// The sign of life of a stage.
    fn pulse(&self, stage: &'static str, watched: &mut Watched) -> health::Pulse {
        let pulse = self.health.pulse(stage, watch::SILENCE_MAX, Instant::now());
        watched.pulses.push((stage, pulse.clone()));
        pulse
    }

    /// Waits for all threads. The first failure stops the others and is the one that is told.
    fn wait(&self, mut running: usize, ended: &std::sync::mpsc::Receiver<Done>) -> Result<(), RunError> {
        let mut first = None;
        let mut stopping: Option<Instant> = None;
        while running > 0 {
            match ended.recv_timeout(LOOK) {
                Ok((_, Ok(()))) => running -= 1,
                Ok((stage, Err(error))) => {
                    running -= 1;
                    // A stage whose neighbour failed has nothing of its own to tell.
                    if !matches!(error, RunError::Kafka(KafkaError::NoTaker)) || running == 0 {
                        tracing::error!(stage, %error, "stopping");
                        first.get_or_insert(error);
                    }
                    self.shutdown.request();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.shutdown.is_requested() {
                self.health.tell(health::SERVICE, State::Failed, "stopping", Instant::now());
                let since = *stopping.get_or_insert_with(Instant::now);
                if since.elapsed() > DRAIN_TIME_MAX {
                    return Err(first.unwrap_or(RunError::DrainTooLong));
                }
            }
        }
        first.map_or(Ok(()), Err)
    }
}

/// Counts what Kafka acknowledged, and how long each alert took until then.
fn acknowledged(stages: &Stages) -> Acknowledged {
    let (metrics, config) = (&stages.metrics, &stages.prepared.config.kafka);
    let topics = [&config.alerts_topic, &config.contacts_topic, &config.dead_letter_topic];
    let counter = |topic: &String| (topic.clone(), metrics.acknowledged.with_label_values(&[topic]));
    let counters: HashMap<String, prometheus::IntCounter> = topics.into_iter().map(counter).collect();
    let (latency, witness) = (metrics.alert_latency.clone(), stages.witness.clone());
    Box::new(move |topic, cause| {
        if let Some(counter) = counters.get(topic) {
            counter.inc();
        }
        if let Some(stamp) = cause {
            let written = witness.as_ref().map_or(stamp, |witness| witness.written(stamp));
            // A record from the future took no time.
            latency.observe(clock::now().since(written).max(0) as f64 / 1000.0);
        }
    })
}

/// Starts a stage's thread; how it ended is told to `done`, a panic too.
fn spawn(
    name: &'static str,
    done: &SyncSender<Done>,
    stage: impl FnOnce() -> Result<(), RunError> + Send + 'static,
) -> Result<(), RunError> {
    let done = done.clone();
    let body = move || {
        let result = catch_unwind(AssertUnwindSafe(stage)).unwrap_or(Err(RunError::Panic(name)));
        // Nobody listens any more after a stop that took too long.
        let _ = done.send((name, result));
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(|_| ())
        .map_err(|e| RunError::System("start a thread", e))
}

/// A claim with the times of production.
fn claim_of(owner: String, beginning: Beginning) -> Claim {
    Claim { owner, take_over: beginning.take_over, timing: Timing::default() }
}

/// A folder that only we can read, made if it is missing.
fn private_folder(folder: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_that_cannot_be_made_is_named() {
        let error = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        let told = RunError::StateDirectory("/srv/state".into(), error).to_string();
        assert!(told.contains("state.directory = /srv/state: "), "{told}");
    }
}
