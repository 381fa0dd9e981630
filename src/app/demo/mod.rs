//! `demo`: a day of an invented wallet through the very pipeline of `run`, on an embedded broker.
//!
//! Around the pipeline stand a broker, a mail server and an SMS gateway of its own on the loopback; a player
//! sends what the generator makes, a watcher reads the alerts, and a view tells the story.
//! Guarantees: nothing leaves this machine; what was sent was taken, to the unit, or it fails; it ends by itself.
//! Not for measuring: the played day is slowed to its clock.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Controls, Prepared, Role, RunError, Until, prepare};
use crate::clock;
use crate::report::Problem;
use crate::ruleset::{Audience, Band, Policy, Route, State};
use crate::shutdown::Shutdown;
use crate::sim::{Generator, Line, Plan, Profile, SimError};
use crate::telemetry::Metrics;
use crate::telemetry::events::Summary;

mod broker;
mod fact;
mod folder;
mod gateway;
mod mail_server;
mod model;
mod pace;
mod plain;
mod player;
mod screen;
mod summary;
mod table;
mod view;
mod watcher;
mod words;

use broker::Broker;
use fact::{Fact, Teller};
use folder::Folder;
use model::{Counts, Model, Setting, Stage};
use player::Player;
use screen::Screen;
pub use summary::Outcome;
use watcher::Watcher;

/// Records of a demo that nobody asked otherwise of.
pub const EVENTS_DEFAULT: u64 = 40_000;
/// The seed of a demo that nobody asked otherwise of: its first victim reads English.
pub const SEED_DEFAULT: u64 = 3;
/// Records at the least and at the most: fewer have no room for the attacks, more no room in the broker.
pub const EVENTS: std::ops::RangeInclusive<u64> = 10_000..=1_000_000;
/// The day is whole from so many records on; fewer are the part of a day.
const DAY_EVENTS: u64 = 40_000;
/// Ends so long before now, ms, that no event lies in the future.
const BEFORE_NOW_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// So soon in the played day the first attack is over, ms: within a second of the command's time.
const FIRST_ATTACK_MS: i64 = 30 * 60_000;
/// Attacks and look-alikes of each kind.
const SCENES_PER_KIND: u64 = 2;
/// How often the view is drawn.
const FRAME: Duration = Duration::from_millis(50);
/// How long the last alerts may take to be read.
const LAST_ALERTS_MAX: Duration = Duration::from_secs(10);
/// No number of alerts is known to be all of them.
const UNKNOWN: u64 = u64::MAX;

/// What somebody asked of the demo.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of everything that comes of it.
    pub out: PathBuf,
    /// Records.
    pub events: u64,
    /// The seed.
    pub seed: u64,
    /// Stays up, with metrics, when the day is over.
    pub keep: bool,
    /// How it is shown.
    pub show: Show,
}

/// How the demo is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// On the whole terminal, in colours or without.
    Screen {
        /// With colours.
        is_colored: bool,
    },
    /// In lines.
    Lines {
        /// Now and then a line that says how far it is.
        with_progress: bool,
    },
}

/// Why a demo ends badly.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The folder holds something else.
    #[error("{0} is not empty and was not made by an earlier demo: nothing was touched; name another with --out")]
    NotEmpty(PathBuf),
    /// The folder cannot be used.
    #[error("failed to use {path}: {source}")]
    Folder {
        /// The folder, or a file in it.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its own configuration or rules are wrong.
    #[error("the demo's own configuration is refused: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Problems(Vec<Problem>),
    /// The embedded broker.
    #[error("the embedded broker could not {what}: {source}")]
    Broker {
        /// What it could not do.
        what: &'static str,
        /// The client's word.
        source: rdkafka::error::KafkaError,
    },
    /// The broker dropped records.
    #[error("the embedded broker dropped records, so nothing that was found means anything: {0}")]
    Trimmed(String),
    /// Sent, written and taken differ.
    #[error("{sent} records were sent, {written} stand in the broker and {taken} were taken: they must be equal")]
    Counts {
        /// Records sent.
        sent: u64,
        /// Records in the broker.
        written: u64,
        /// Records the detector took.
        taken: u64,
    },
    /// A record was not acknowledged.
    #[error("the embedded broker did not take a record")]
    NotWritten,
    /// The detector takes nothing.
    #[error("the detector has stopped taking records: it took {taken} of {sent}")]
    Stalled {
        /// Records sent.
        sent: u64,
        /// Records taken.
        taken: u64,
    },
    /// An alert is missing.
    #[error("{made} alerts were made, but only {seen} stand in the topic of alerts")]
    AlertsMissing {
        /// Made by the detector.
        made: u64,
        /// Seen in Kafka.
        seen: u64,
    },
    /// The generator.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The pipeline.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file of results cannot be written.
    #[error("failed to write the alerts: {0}")]
    Alerts(#[source] std::io::Error),
    /// Nobody reads what it says.
    #[error("failed to write: {0}")]
    Write(#[source] std::io::Error),
    /// Ports, threads, the terminal.
    #[error("failed to {0}: {1}")]
    System(&'static str, #[source] std::io::Error),
    /// A thread ended by a panic.
    #[error("the demo's {0} ended by a bug")]
    Panic(&'static str),
}

impl DemoError {
    fn broker(what: &'static str) -> impl FnOnce(rdkafka::error::KafkaError) -> DemoError {
        move |source| DemoError::Broker { what, source }
    }
}

/// Runs it: lines and the final table go to `out`, what is said meanwhile to stderr.
pub fn run(options: &Options, out: &mut dyn std::io::Write) -> Result<Outcome, DemoError> {
    let (teller, told) = Teller::new(Instant::now());
    let folder = Folder::make(&options.out)?;
    log(&folder)?;
    let screen = Screen::open(options.show)?;
    let broker = Broker::start(options.events)?;
    let servers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| DemoError::System("start the runtime", e))?;
    let listen = |e| DemoError::System("listen on the loopback", e);
    let mail = mail_server::start(folder.path().to_owned(), teller.clone(), servers.handle()).map_err(listen)?;
    let sms = gateway::start(folder.path().to_owned(), teller.clone(), servers.handle()).map_err(listen)?;
    let http = options.keep.then(free_port).transpose().map_err(listen)?;
    let config = folder.configure(&broker.address(), mail, sms, http)?;
    let mut prepared = prepare(Some(config), Vec::new()).map_err(DemoError::Problems)?;
    prepared.in_force.policy = Arc::new(policy(&prepared.in_force.policy));
    let generator = generator(options.events, options.seed)?;
    let model = Model::new(Setting { http, ..setting(&generator, options.events, &prepared) });
    let stage = Play { options, folder: &folder, broker: &broker, teller, controls: Controls::new()? };
    let result = stage.run(prepared, generator, model, &told, screen, out);
    servers.shutdown_timeout(Duration::from_millis(200));
    result
}

/// An address of the loopback that was free a moment ago.
fn free_port() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Lines of the log go into the folder: the terminal belongs to the story.
fn log(folder: &Folder) -> Result<(), DemoError> {
    let path = folder.file("walletwatch.log");
    let file = std::fs::File::create(&path).map_err(|source| DemoError::Folder { path, source })?;
    crate::telemetry::log::start_in(file, "info");
    Ok(())
}

/// The shipped policy keeps the SMS for alerts in the band `critical`; here one is sent from `high` on, so that
/// there is something to see.
fn policy(shipped: &Policy) -> Policy {
    let channels = ["email", "sms"].map(str::to_owned).to_vec();
    let both = Route { audience: Audience::User, from: Band::High, channels, all: true };
    let routes = std::iter::once(both).chain(shipped.routes.iter().cloned()).collect();
    Policy { bands: shipped.bands, routes }
}

/// A day, or the part of it that so many records are, after a time of learning.
fn plan(events: u64, seed: u64) -> Plan {
    let plan = Plan::new(events, seed, Profile::Wallet);
    // The learning period has a fifth of the records.
    let watched = events - events / 5;
    let rate_milli =
        u64::try_from(i128::from(watched.max(DAY_EVENTS - DAY_EVENTS / 5)) * 1_000_000 / i128::from(DAY_MS));
    let rate_milli = rate_milli.unwrap_or(u64::MAX).max(1);
    Plan {
        rate_milli: Some(rate_milli),
        first_attack_within_ms: Some(FIRST_ATTACK_MS),
        scenes_per_kind: Some(SCENES_PER_KIND),
        ..plan
    }
}

/// The generator of such a day that ends now.
fn generator(events: u64, seed: u64) -> Result<Generator, DemoError> {
    let plan = plan(events, seed);
    // How long a stream is does not depend on when it begins.
    let ends = Generator::new(&plan)?.watched_to();
    let start = clock::now().plus(-(ends.since(plan.start) + BEFORE_NOW_MS));
    Ok(Generator::new(&Plan { start, ..plan })?)
}

fn setting(generator: &Generator, events: u64, prepared: &Prepared) -> Setting {
    let shadow =
        prepared.in_force.ruleset.rules.iter().filter(|rule| rule.state != State::Live).map(|rule| rule.id.clone());
    Setting {
        people: plan(events, 0).accounts(),
        events,
        learning_days: generator.watched_from().since(generator.start()) / DAY_MS,
        day: (generator.watched_from(), generator.watched_to()),
        planted: generator.truth().collect(),
        shadow: shadow.collect(),
        policy: Policy::clone(&prepared.in_force.policy),
        http: None,
    }
}

/// Everything that is there while the day is played.
struct Play<'p> {
    options: &'p Options,
    folder: &'p Folder,
    broker: &'p Broker,
    teller: Teller,
    controls: Controls,
}

/// What is under way beside the view.
struct Threads {
    pipeline: Option<JoinHandle<Result<Summary, RunError>>>,
    player: Option<JoinHandle<Result<u64, DemoError>>>,
    watcher: Option<JoinHandle<Result<(), DemoError>>>,
    /// Nothing more will come: the pipeline may end.
    end: Shutdown,
    /// How many alerts are all of them, once that is known.
    all_alerts: Arc<AtomicU64>,
}

/// How the day went.
#[derive(Default)]
struct Day {
    /// Records sent.
    sent: u64,
    /// All of them were.
    is_whole: bool,
    /// What the pipeline counted, once it has ended.
    summary: Option<Summary>,
    /// Since when only the last alerts are waited for.
    ended: Option<Instant>,
}

impl Play<'_> {
    fn run(
        &self,
        prepared: Prepared,
        generator: Generator,
        mut model: Model,
        told: &Receiver<(u64, Fact)>,
        screen: Option<Screen>,
        out: &mut dyn std::io::Write,
    ) -> Result<Outcome, DemoError> {
        let planted = model.setting.planted.clone();
        let mut threads = self.start(prepared, generator, &planted)?;
        let mut lines = plain::Lines::new(out, self.options.show == Show::Lines { with_progress: true });
        let mut display = screen.map_or_else(|| Display::Lines(&mut lines), Display::Screen);
        let played = self.play(&mut threads, &mut model, told, &mut display);
        drop(display);
        // Whatever happened, everybody is asked to end, and waited for.
        self.controls.shutdown.request();
        threads.all_alerts.fetch_min(0, Ordering::Relaxed);
        join(threads.pipeline.take(), "pipeline")?.transpose()?;
        let _ = join(threads.player.take(), "player")?;
        let watched = join(threads.watcher.take(), "watcher")?;
        let day = played?;
        watched.transpose()?;
        let summary = day.summary.unwrap_or_default();
        if day.is_whole {
            self.broker.audit()?.check(day.sent, &summary)?;
        }
        model.sent = day.sent;
        let outcome = self.outcome(&model, &summary, day.is_whole)?;
        // A picture is gone from the terminal; what it told stays there in lines.
        let written = lines.story(&model).and_then(|()| table::table(&model, &outcome, self.folder.path(), out));
        written.map_err(DemoError::Write)?;
        Ok(outcome)
    }

    fn start(&self, prepared: Prepared, mut generator: Generator, planted: &[Line]) -> Result<Threads, DemoError> {
        let watcher = Watcher::open(self.broker, &self.folder.file("alerts.ndjson"), self.teller.clone())?;
        let (address, day_from) = (self.broker.address(), generator.watched_from());
        let shutdown = self.controls.shutdown.clone();
        let geo = Arc::clone(&prepared.in_force.geo);
        let player = Player::new(&address, day_from, planted, geo, self.teller.clone(), shutdown)?;
        let (end, all_alerts) = (Shutdown::default(), Arc::new(AtomicU64::new(UNKNOWN)));
        let (until, controls) = (Until::Said(end.clone()), self.controls.clone());
        let pipeline = thread("pipeline", move || super::run(prepared, Role::Both, &until, controls))?;
        let metrics = self.controls.metrics.clone();
        let player = thread("player", move || player.play(&mut generator, &|| super::detect::taken(&metrics)))?;
        let all = Arc::clone(&all_alerts);
        let known = move || Some(all.load(Ordering::Relaxed)).filter(|all| *all != UNKNOWN);
        let watcher = thread("watcher", move || watcher.watch(&known))?;
        Ok(Threads { pipeline: Some(pipeline), player: Some(player), watcher: Some(watcher), end, all_alerts })
    }

    /// Shows what happens until the day is over, everything is taken, everybody is told and every alert is read.
    fn play(
        &self,
        threads: &mut Threads,
        model: &mut Model,
        told: &Receiver<(u64, Fact)>,
        display: &mut Display<'_, '_>,
    ) -> Result<Day, DemoError> {
        let mut day = Day::default();
        loop {
            self.show(model, told, display)?;
            if ended(&threads.player) {
                day.sent = join(threads.player.take(), "player")?.transpose()?.unwrap_or(0);
                // A player that was asked to stop has not sent everything.
                day.is_whole = !self.controls.shutdown.is_requested();
                match self.options.keep && day.is_whole {
                    true => self.keep(model)?,
                    false => threads.end.request(),
                }
            }
            if ended(&threads.pipeline) {
                day.summary = join(threads.pipeline.take(), "pipeline")?.transpose()?;
                day.ended = Some(Instant::now());
                let made = day.summary.as_ref().map_or(0, |summary| summary.alerts);
                threads.all_alerts.store(made, Ordering::Relaxed);
            }
            if ended(&threads.watcher) {
                join(threads.watcher.take(), "watcher")?.transpose()?;
                self.show(model, told, display)?;
                return Ok(day);
            }
            if day.ended.is_some_and(|since| since.elapsed() > LAST_ALERTS_MAX) {
                let made = day.summary.map_or(0, |summary| summary.alerts);
                return Err(DemoError::AlertsMissing { made, seen: model.alerts });
            }
        }
    }

    /// The day is over, and everything stays up until somebody asks it to stop.
    fn keep(&self, model: &mut Model) -> Result<(), DemoError> {
        model.stage = Stage::Kept;
        let summary = super::detect::summary(&self.controls.metrics);
        self.outcome(model, &summary, true).map(|_| ())
    }

    fn outcome(&self, model: &Model, summary: &Summary, is_whole: bool) -> Result<Outcome, DemoError> {
        let outcome = Outcome::new(model, summary, self.options.seed, is_whole);
        outcome.write(&self.folder.file("summary.json"))?;
        Ok(outcome)
    }

    /// Takes what was told for the length of a frame, then draws one.
    fn show(
        &self,
        model: &mut Model,
        told: &Receiver<(u64, Fact)>,
        display: &mut Display<'_, '_>,
    ) -> Result<(), DemoError> {
        let frame_ends = Instant::now() + FRAME;
        while let Ok((at_ms, fact)) = told.recv_timeout(frame_ends.saturating_duration_since(Instant::now())) {
            let news = model.apply(at_ms, &fact);
            display.tell(model, news)?;
        }
        model.count(self.teller.elapsed_ms(), counts(&self.controls.metrics, model));
        if display.draw(model)? == Wish::End {
            self.controls.shutdown.request();
        }
        Ok(())
    }
}

fn ended<T>(thread: &Option<JoinHandle<T>>) -> bool {
    thread.as_ref().is_some_and(JoinHandle::is_finished)
}

fn counts(metrics: &Metrics, model: &Model) -> Counts {
    let seen = |rule: &String| {
        let findings = metrics.findings.with_label_values(&[rule.as_str(), "shadow", "fired"]);
        (rule.clone(), findings.get())
    };
    Counts {
        taken: super::detect::taken(metrics),
        alerts: super::detect::alerts(metrics),
        shadow: model.setting.shadow.iter().map(seen).collect(),
    }
}

fn thread<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, DemoError> {
    std::thread::Builder::new()
        .name(format!("demo {name}"))
        .spawn(work)
        .map_err(|e| DemoError::System("start a thread", e))
}

/// What a thread that has ended, or ends soon, came to; `None` where it was taken before.
fn join<T>(thread: Option<JoinHandle<T>>, name: &'static str) -> Result<Option<T>, DemoError> {
    thread.map(|thread| thread.join().map_err(|_| DemoError::Panic(name))).transpose()
}

/// What whoever watches wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// More.
    GoOn,
    /// No more.
    End,
}

/// Where the story is told.
enum Display<'d, 'o> {
    Screen(Screen),
    Lines(&'d mut plain::Lines<'o>),
}

impl Display<'_, '_> {
    fn tell(&mut self, model: &Model, news: Option<model::News>) -> Result<(), DemoError> {
        match self {
            Display::Screen(_) => Ok(()),
            Display::Lines(lines) => lines.tell(model, news).map_err(DemoError::Write),
        }
    }

    fn draw(&mut self, model: &Model) -> Result<Wish, DemoError> {
        match self {
            Display::Screen(screen) => screen.draw(model),
            Display::Lines(lines) => lines.draw(model).map(|()| Wish::GoOn).map_err(DemoError::Write),
        }
    }
}
