//! The day while it is played: the threads around the pipeline, and what is shown of them.
//!
//! Guarantees: whatever happens, every thread is asked to end and waited for; what was sent is held against what was
//! taken, to the unit, before anything is called found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::broker::Broker;
use super::fact::{Fact, Teller};
use super::folder::Folder;
use super::looker::{Looker, Sent};
use super::model::{Counts, Model, News, Stage};
use super::player::Player;
use super::screen::Screen;
use super::summary::Outcome;
use super::watcher::Watcher;
use super::{DemoError, Options, Show, plain, table};
use crate::app::{self, Controls, Prepared, Role, RunError, Until, detect};
use crate::shutdown::Shutdown;
use crate::sim::{Generator, Line};
use crate::telemetry::events::Summary;

/// How often the view is drawn.
const FRAME: Duration = Duration::from_millis(50);
/// How long the last alerts may take to be read.
const LAST_ALERTS_MAX: Duration = Duration::from_secs(10);
/// No number of alerts is known to be all of them.
const UNKNOWN: u64 = u64::MAX;

/// Everything that is there while the day is played.
pub struct Play<'p> {
    pub options: &'p Options,
    pub folder: &'p Folder,
    pub broker: &'p Broker,
    pub teller: Teller,
    pub controls: Controls,
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
    /// Plays it to its end.
    pub fn run(
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
        let sent = Sent::default();
        let player = Player::new(&address, day_from, planted, geo, self.teller.clone(), shutdown, sent.clone())?;
        let (end, all_alerts) = (Shutdown::default(), Arc::new(AtomicU64::new(UNKNOWN)));
        let looker = Arc::new(Looker::new(self.teller.clone(), planted, sent));
        let (until, controls) = (Until::Said(end.clone()), Controls { witness: Some(looker), ..self.controls.clone() });
        let pipeline = thread("pipeline", move || app::run(prepared, Role::Both, &until, controls))?;
        let metrics = self.controls.metrics.clone();
        let player = thread("player", move || player.play(&mut generator, &|| detect::taken(&metrics)))?;
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
                if !self.options.keep || !day.is_whole {
                    threads.end.request();
                }
            }
            // Kept up is what is whole: its last alerts may still be on their way.
            let is_read = model.alerts >= model.counts.alerts;
            if self.options.keep && day.is_whole && is_read && model.stage != Stage::Kept {
                // The clock was heard a little before the last record was sent.
                model.sent = day.sent;
                self.keep(model)?;
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
        let summary = detect::summary(&self.controls.metrics);
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
        let metrics = &self.controls.metrics;
        model
            .count(self.teller.elapsed_ms(), Counts { taken: detect::taken(metrics), alerts: detect::alerts(metrics) });
        if display.draw(model)? == Wish::End {
            self.controls.shutdown.request();
        }
        Ok(())
    }
}

fn ended<T>(thread: &Option<JoinHandle<T>>) -> bool {
    thread.as_ref().is_some_and(JoinHandle::is_finished)
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
    fn tell(&mut self, model: &Model, news: Option<News>) -> Result<(), DemoError> {
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
