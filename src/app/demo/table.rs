//! The table at the end, and where everything lies: what stays on the terminal.
//!
//! Guarantees: what was missed, and what was told of a look-alike, is in capitals. Judges nothing: the outcome does.

use std::io::{self, Write};
use std::path::Path;

use super::model::Model;
use super::summary::Outcome;
use super::words::{count, thousands};

/// What came of it, and where it lies.
pub fn table(model: &Model, outcome: &Outcome, folder: &Path, out: &mut dyn Write) -> io::Result<()> {
    let stopped = if outcome.complete { "" } else { ", stopped before its end" };
    writeln!(out, "\nwalletwatch demo{stopped}: {:.0} s\n", seconds(outcome.elapsed_ms))?;
    kinds(outcome, out)?;
    numbers(model, outcome, out)?;
    files(model, folder, out)?;
    if !outcome.complete {
        writeln!(out, "\n  It was stopped before its end, so it has shown nothing: exit code 1.")?;
    }
    out.flush()
}

fn kinds(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  {:<22}  planted  found", "attack")?;
    for kind in &outcome.kinds {
        let note = match (kind.shadow, kind.found < kind.planted) {
            (true, _) => "  by rules in shadow: nobody is told",
            (false, true) if outcome.complete => "  MISSED",
            _ => "",
        };
        writeln!(out, "  {:<22}  {:>7}  {:>5}{note}", kind.kind, kind.planted, kind.found)?;
    }
    let shadow = match outcome.found_shadow {
        0 => String::new(),
        seen => format!("  {} by live rules, {seen} in shadow", outcome.found),
    };
    let (planted, found) = (outcome.planted + outcome.planted_shadow, outcome.found + outcome.found_shadow);
    writeln!(out, "  {:<22}  {planted:>7}  {found:>5}{shadow}", "all attacks")?;
    let told = match outcome.lookalikes_told {
        0 => "no user was told of one".to_owned(),
        told => format!("A USER WAS TOLD OF {told}"),
    };
    writeln!(out, "  {:<22}  {:>7}      -  {told}\n", "look-alikes", outcome.lookalikes)
}

fn numbers(model: &Model, outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let mut row = |name: &str, value: String| writeln!(out, "  {name:<12}  {value}");
    let days = model.setting.learning_days;
    let [all, before] = [outcome.events, outcome.events_learning].map(thousands);
    row("events", format!("{all}, {before} of them of the {days} days before"))?;
    row("", format!("the day's own: {} a second", thousands(outcome.events_per_second)))?;
    let [accepted, duplicates, refused] = [outcome.accepted, outcome.duplicates, outcome.rejected].map(thousands);
    row("", format!("{accepted} accepted, {duplicates} duplicates, {refused} refused"))?;
    let (similar, strays) = (outcome.alerts_lookalikes, outcome.alerts_not_planted);
    let on_attacks = outcome.alerts.saturating_sub(similar).saturating_sub(strays);
    let [all, on_attacks, similar] = [outcome.alerts, on_attacks, similar].map(thousands);
    let strays = if strays == 0 { "none".to_owned() } else { thousands(strays) };
    row("alerts", format!("{all}: {on_attacks} on attacks, {similar} on look-alikes, {strays} on anything else"))?;
    row("told", format!("{}, {} SMS", count(outcome.mails, "mail", "mails"), thousands(outcome.sms)))?;
    if let (Some(p50), Some(p99)) = (outcome.latency_ms.p50, outcome.latency_ms.p99) {
        row("latency", format!("event to alert {p50} ms at the median, {p99} ms at the 99th percentile"))?;
    }
    if let Some(told_ms) = outcome.first_attack_told_ms {
        row("first attack", format!("told whole {:.1} s after the start", seconds(told_ms)))?;
    }
    Ok(())
}

fn files(model: &Model, folder: &Path, out: &mut dyn Write) -> io::Result<()> {
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
    Ok(())
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
