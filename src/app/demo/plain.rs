//! The story in lines, for where there is no terminal to draw on; and the table at the end, which everybody gets.
//!
//! Guarantees: lines are told as things happen, without colours or cursor movements; how far it is goes to
//! stderr, and only where it is wanted. Decides nothing.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::model::{Entry, Model, News, Scene, Stage};
use super::summary::Outcome;
use super::view::wrap::wrapped;
use super::words::{action, clock, count, day_and_clock, last_seen, thousands, usual};
use crate::detect::document::AlertDocument;

/// How often it is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Columns of a text message on the telephone.
const PHONE_COLUMNS: usize = 44;
/// Columns of an explanation.
const TEXT_COLUMNS: usize = 96;

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
            let (people, days) = (thousands(model.setting.people), model.setting.learning_days);
            writeln!(
                self.out,
                "walletwatch demo: a wallet of {people} people, on an embedded Kafka, through the whole service"
            )?;
            writeln!(self.out, "{}  learning what is usual: the {days} days before", at_s(model))?;
        }
        if model.stage == Stage::Playing {
            let (planted, _) = model.score();
            let speed = super::pace::SPEED;
            writeln!(
                self.out,
                "{}  {} the day begins, {speed} times as fast as life, with {planted} attacks in it",
                at_s(model),
                day_and_clock(model.setting.day.0)
            )?;
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

    /// The first attack, whole, once all of it is known.
    fn story(&mut self, model: &Model) -> io::Result<()> {
        let story = &model.story;
        if self.story_told || story.entries.is_empty() {
            return Ok(());
        }
        self.story_told = true;
        let scene = story.scene.and_then(|at| model.scenes.get(at));
        let kind = scene.map_or("", |scene| scene.kind);
        let whom = scene.and_then(|scene| scene.account.as_deref()).unwrap_or("many accounts");
        writeln!(self.out, "\n{}  THE FIRST ATTACK: {kind} of {whom}\n", at_s(model))?;
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
            writeln!(self.out, "         mail to {}: {} ({})", mail.to, mail.text, mail.file)?;
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
    format!("{:>5.1} s", model.elapsed_ms as f64 / 1000.0)
}

/// What came of it, and where it lies.
pub fn table(model: &Model, outcome: &Outcome, folder: &Path, out: &mut dyn Write) -> io::Result<()> {
    let stopped = if outcome.complete { "" } else { ", stopped before its end" };
    writeln!(out, "\nwalletwatch demo{stopped}: {:.0} s\n", outcome.elapsed_ms as f64 / 1000.0)?;
    writeln!(out, "  {:<22}  planted  found", "attack")?;
    for kind in &outcome.kinds {
        let note = match (kind.shadow, kind.found < kind.planted) {
            (true, _) => "  seen by a rule in shadow; nobody is told",
            (false, true) if outcome.complete => "  MISSED",
            _ => "",
        };
        writeln!(out, "  {:<22}  {:>7}  {:>5}{note}", kind.kind, kind.planted, kind.found)?;
    }
    let told = match outcome.lookalikes_told {
        0 => "no user was told of one".to_owned(),
        told => format!("A USER WAS TOLD OF {told}"),
    };
    writeln!(out, "  {:<22}  {:>7}      -  {told}\n", "look-alikes", outcome.lookalikes)?;
    let mut row = |name: &str, value: String| writeln!(out, "  {name:<10}  {value}");
    row(
        "events",
        format!(
            "{}: {} accepted, {} duplicates, {} refused; {} a second",
            thousands(outcome.events),
            thousands(outcome.accepted),
            thousands(outcome.duplicates),
            thousands(outcome.rejected),
            thousands(outcome.events_per_second),
        ),
    )?;
    let strays = match outcome.alerts_not_planted {
        0 => "none on anything that was not planted".to_owned(),
        strays => format!("{strays} of them on what nobody planted"),
    };
    row("alerts", format!("{}, {strays}", thousands(outcome.alerts)))?;
    row("told", format!("{}, {} SMS", count(outcome.mails, "mail", "mails"), thousands(outcome.sms)))?;
    if let (Some(p50), Some(p99)) = (outcome.latency_ms.p50, outcome.latency_ms.p99) {
        row("latency", format!("event to alert {p50} ms at the median, {p99} ms at the 99th percentile"))?;
    }
    if let Some(told_ms) = outcome.first_attack_told_ms {
        row("first", format!("attack told whole {:.1} s after the start", told_ms as f64 / 1000.0))?;
    }
    writeln!(out, "\n  In {}:", folder.display())?;
    let mail = model.story.mails.last().map_or("mails/001.eml", |mail| mail.file.as_str());
    let text = model.story.texts.last().map_or("sms/001.json", |text| text.file.as_str());
    let page = mail.replace(".eml", ".html");
    let lies = [
        (mail, format!("and its page {page}: open it in a browser")),
        (text, "a signed request to the SMS gateway".to_owned()),
        ("alerts.ndjson", "what wallet.alerts holds".to_owned()),
        ("summary.json", "these numbers".to_owned()),
    ];
    for (file, what) in lies {
        writeln!(out, "    {file:<14}  {what}")?;
    }
    out.flush()
}
