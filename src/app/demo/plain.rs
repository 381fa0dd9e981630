//! The story in lines, for where there is no terminal to draw on.
//!
//! Guarantees: lines are told as things happen, without colours or cursor movements; how far it is goes to
//! stderr, and only where it is wanted. Decides nothing.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::model::{Entry, Model, News, Scene, Stage};
use super::view::wrap::wrapped;
use super::words::{action, clock, day_and_clock, last_seen, learning, thousands, usual};
use crate::detect::document::AlertDocument;

/// How often it is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Columns of a text message on the telephone.
const PHONE_COLUMNS: usize = 44;
/// Columns of an explanation: with what stands before it, those of a terminal.
const TEXT_COLUMNS: usize = 62;

/// The teller of lines.
pub struct Lines<'o> {
    out: &'o mut dyn Write,
    with_progress: bool,
    stage: Option<Stage>,
    progress_told: Instant,
    story_told: bool,
}

impl<'o> Lines<'o> {
    /// Nothing is told yet.
    pub fn new(out: &'o mut dyn Write, with_progress: bool) -> Self {
        Lines { out, with_progress, stage: None, progress_told: Instant::now(), story_told: false }
    }

    /// What the model made of a fact.
    pub fn tell(&mut self, model: &Model, news: Option<News>) -> io::Result<()> {
        self.stage(model)?;
        if model.story.told_ms.is_some() {
            self.story(model)?;
        }
        match news {
            None | Some(News::Story) => Ok(()),
            Some(News::Found(at)) => match model.scenes.get(at) {
                Some(scene) => self.found(model, scene),
                None => Ok(()),
            },
            Some(News::Disturbed(at)) => {
                let kind = model.scenes.get(at).map_or("", |scene| scene.kind);
                writeln!(self.out, "{}  WRONG: a user is told of {kind}, which only looks like an attack", at_s(model))
            }
            Some(News::Stray) => {
                let rules = model.recent.front().map(|recent| recent.rules.join(", ")).unwrap_or_default();
                writeln!(self.out, "{}  nobody planted this: {rules}", at_s(model))
            }
        }
    }

    /// Now and then, how far it is.
    pub fn draw(&mut self, model: &Model) -> io::Result<()> {
        self.tell(model, None)?;
        if self.with_progress && model.stage == Stage::Playing && self.progress_told.elapsed() >= PROGRESS_EVERY {
            self.progress_told = Instant::now();
            let (planted, found) = model.score();
            let rate = thousands(model.rate);
            let line = format!(
                "demo: {}, {:.0} % of the day, {rate} events/s, {found} of {planted} attacks found\n",
                day_and_clock(model.clock),
                model.day_part() * 100.0
            );
            // Nobody is left to tell when stderr is gone.
            let _ = io::stderr().write_all(line.as_bytes());
        }
        Ok(())
    }

    fn stage(&mut self, model: &Model) -> io::Result<()> {
        if self.stage >= Some(model.stage) {
            return Ok(());
        }
        let is_first = self.stage.is_none();
        self.stage = Some(model.stage);
        if is_first {
            let people = thousands(model.setting.people);
            writeln!(self.out, "walletwatch demo: the whole service for an invented wallet of {people} people")?;
            writeln!(self.out, "{}  {}", at_s(model), learning(model))?;
        }
        if model.stage == Stage::Playing {
            let ((live, _), (shadow, _)) = (model.score(), model.shadow_score());
            let (planted, speed, begins) = (live + shadow, super::pace::SPEED, day_and_clock(model.setting.day.0));
            let of_them = if shadow > 0 { format!(", {shadow} of them for rules in shadow") } else { String::new() };
            let at = at_s(model);
            writeln!(self.out, "{at}  {begins} the day begins, {speed} times as fast as life")?;
            writeln!(self.out, "         with {planted} attacks in it{of_them}")?;
        }
        if let (Stage::Kept, Some(http)) = (model.stage, model.setting.http) {
            writeln!(self.out, "\nThe day is over. Metrics: http://{http}/metrics   Ctrl-C ends it.")?;
        }
        self.out.flush()
    }

    fn found(&mut self, model: &Model, scene: &Scene) -> io::Result<()> {
        let Some(recent) = model.recent.front() else { return Ok(()) };
        let latency = recent.latency_ms.map(|ms| format!("{ms} ms")).unwrap_or_default();
        let rules: Vec<&str> = scene.found.iter().copied().collect();
        let (at, time, kind, band) = (at_s(model), clock(recent.time), scene.kind, recent.band.word());
        let score = recent.score;
        writeln!(self.out, "{at}  {time}  {kind:<22} {score:>3} {band:<8} {latency:>7}  {}", rules.join(", "))?;
        self.out.flush()
    }

    /// The first attack, whole, unless it was told before.
    pub fn story(&mut self, model: &Model) -> io::Result<()> {
        let story = &model.story;
        if self.story_told || story.entries.is_empty() {
            return Ok(());
        }
        self.story_told = true;
        let scene = story.scene.and_then(|at| model.scenes.get(at));
        let kind = scene.map_or("", |scene| scene.kind);
        let whom = scene.and_then(|scene| scene.account.as_deref()).unwrap_or("many accounts");
        // It may be told when the day is over.
        let at = story.told_ms.map_or_else(|| at_s(model), seconds);
        writeln!(self.out, "\n{at}  THE FIRST ATTACK: {kind} of {whom}\n")?;
        let mut is_first = true;
        for entry in &story.entries {
            match entry {
                Entry::Step(step) => writeln!(self.out, "  {}  {}", clock(step.time), step.text)?,
                Entry::Alert(alert, latency_ms) => {
                    self.alert(alert, *latency_ms)?;
                    // What was usual before the attack; after its first alert the attacker is part of it.
                    if std::mem::take(&mut is_first) {
                        self.usual(alert)?;
                    }
                }
            }
        }
        for mail in &story.mails {
            writeln!(self.out, "         mail to {} ({})", mail.to, mail.file)?;
            for line in wrapped(&mail.text, TEXT_COLUMNS) {
                writeln!(self.out, "           {line}")?;
            }
        }
        for text in &story.texts {
            writeln!(self.out, "         SMS to {} ({})", text.to, text.file)?;
            phone(self.out, &text.text)?;
        }
        writeln!(self.out)?;
        self.out.flush()
    }

    fn alert(&mut self, alert: &AlertDocument, latency_ms: u64) -> io::Result<()> {
        let action = action(alert.action).map(|action| format!(": {action}")).unwrap_or_default();
        writeln!(
            self.out,
            "         ALERT {} {}{action}, {latency_ms} ms after the event",
            alert.score,
            alert.band.word()
        )?;
        for finding in &alert.findings {
            writeln!(self.out, "           {:>3.0} %  {}", finding.share * 100.0, finding.rule)?;
            for line in wrapped(&finding.text, TEXT_COLUMNS) {
                writeln!(self.out, "                  {line}")?;
            }
        }
        Ok(())
    }

    fn usual(&mut self, alert: &AlertDocument) -> io::Result<()> {
        for (name, text) in [("usually", usual(alert)), ("last seen", last_seen(alert))] {
            if let Some(text) = text {
                writeln!(self.out, "           {name}: {text}")?;
            }
        }
        Ok(())
    }
}

/// A text message as a telephone shows it.
fn phone(out: &mut dyn Write, text: &str) -> io::Result<()> {
    let rule = "─".repeat(PHONE_COLUMNS + 2);
    writeln!(out, "         ╭{rule}╮")?;
    for line in wrapped(text, PHONE_COLUMNS) {
        let blanks = PHONE_COLUMNS.saturating_sub(super::view::wrap::columns(&line));
        writeln!(out, "         │ {line}{} │", " ".repeat(blanks))?;
    }
    writeln!(out, "         ╰{rule}╯")
}

fn at_s(model: &Model) -> String {
    seconds(model.elapsed_ms)
}

fn seconds(ms: u64) -> String {
    format!("{:>5.1} s", ms as f64 / 1000.0)
}
