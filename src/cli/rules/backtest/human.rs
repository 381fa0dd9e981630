//! A backtest for people: what would change, first as figures, then as examples.
//!
//! Guarantees: what there is nothing to say about is left out, but for changes: none is an answer too.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::cli::rules::table::Table;
use crate::tuning::backtest::{Backtest, Brief, Sample};
use crate::tuning::figures::{Figure, counted, figures, number, percent, plain};
use crate::tuning::notices::Notices;
use crate::tuning::tally::RuleOutcome;

/// The text.
pub fn text(found: &Backtest) -> String {
    let mut text = String::new();
    // Writing into a text cannot fail.
    let _ = write(&mut text, found);
    text
}

fn write(out: &mut String, found: &Backtest) -> std::fmt::Result {
    let events = &found.events;
    let span = match (&events.first, &events.last) {
        (Some(first), Some(last)) => format!(", {first} to {last} ({})", counted(events.days, "day")),
        _ => String::new(),
    };
    writeln!(out, "{}{span}", counted(events.accepted, "event"))?;
    let beside = [(events.late, "late"), (events.duplicates, "repeated"), (events.rejected, "refused")];
    let beside: Vec<String> =
        beside.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{} {word}", number(*n))).collect();
    if !beside.is_empty() {
        writeln!(out, "{}", beside.join(", "))?;
    }
    for (word, side) in [("old", &found.old), ("new", &found.new)] {
        writeln!(out, "{word}: {} ({})", side.source, side.outcome.digest.get(..11).unwrap_or_default())?;
    }
    let mut table = Table::new(&["", "old", "new", "change"]);
    for Figure { name, is_part, old, new, change } in figures(&found.old, &found.new) {
        table.row(vec![format!("{}{name}", if is_part { "  " } else { "" }), old, new, change]);
    }
    write!(out, "\n{}", table.text(""))?;
    absent(out, found)?;
    changes(out, found)?;
    let rules = rules(found);
    if !rules.is_empty() {
        write!(out, "\n{}", rules.text(""))?;
    }
    for (word, samples, all) in [
        ("gained", &found.gained, found.changes.gained),
        ("lost", &found.lost, found.changes.lost),
        ("moved", &found.moved, found.changes.moved),
        ("of another band", &found.other_band, found.changes.rose + found.changes.fell),
    ] {
        if !samples.is_empty() {
            writeln!(out, "\nalerts {word}, {} of {}:", samples.len(), number(all))?;
            samples.iter().try_for_each(|one| sample(out, one))?;
        }
    }
    notices(out, &found.new.notices)
}

fn absent(out: &mut String, found: &Backtest) -> std::fmt::Result {
    match &found.new.outcome.labelled {
        Some(labelled) if labelled.absent > 0 => {
            let cases = counted(labelled.absent, "case");
            writeln!(out, "{cases} labelled as fraud not among these events: recall leaves them out")
        }
        _ => Ok(()),
    }
}

fn changes(out: &mut String, found: &Backtest) -> std::fmt::Result {
    let all = &found.changes;
    let (same, gained, lost) = (number(all.same), number(all.gained), number(all.lost));
    let (moved, minutes) = (number(all.moved), found.moved_ms_max / 60_000);
    write!(out, "\nalerts: {same} the same, {gained} gained, {lost} lost, {moved} moved by at most {minutes} min")?;
    if all.rose + all.fell > 0 {
        write!(out, ", {} in a higher band, {} in a lower one", number(all.rose), number(all.fell))?;
    }
    let all = &found.accounts;
    let (both, gained, lost) = (number(all.both), number(all.gained), number(all.lost));
    writeln!(out, "\naccounts: {both} in both, {gained} gained, {lost} lost")?;
    if let Some(cases) = &found.cases {
        let (both, gained, lost) = (number(cases.both), number(cases.gained), number(cases.lost));
        let missed = number(cases.missed);
        writeln!(out, "cases of fraud: {both} found by both, {gained} gained, {lost} lost, {missed} found by neither")?;
    }
    for (word, some) in [("accounts gained", &all.gained_sample), ("accounts lost", &all.lost_sample)] {
        if !some.is_empty() {
            writeln!(out, "  {word}: {}", some.join(", "))?;
        }
    }
    Ok(())
}

fn rules(found: &Backtest) -> Table {
    let (old, new) = (&found.old.outcome, &found.new.outcome);
    let is_labelled = new.labelled.is_some();
    let mut heads = vec!["rule", "fired: old", "new", "of alerts: old", "new"];
    if is_labelled {
        heads.extend(["precision: old", "new"]);
    }
    let mut table = Table::new(&heads);
    let names: BTreeSet<&String> = old.rules.keys().chain(new.rules.keys()).collect();
    for name in names {
        let sides = [old.rules.get(name), new.rules.get(name)];
        if sides.iter().flatten().all(|rule| rule.fired == 0) {
            continue;
        }
        let is_shadow = sides.iter().flatten().any(|rule| rule.is_shadow);
        let mut row = vec![format!("{name}{}", if is_shadow { " (shadow)" } else { "" })];
        let mut both = |cell: &dyn Fn(&RuleOutcome) -> String| {
            row.extend(sides.iter().map(|rule| rule.map_or("-".to_owned(), cell)));
        };
        both(&|rule| number(rule.fired));
        both(&|rule| percent(rule.share));
        if is_labelled {
            both(&|rule| percent(rule.precision));
        }
        table.row(row);
    }
    table
}

fn sample(out: &mut String, sample: &Sample) -> std::fmt::Result {
    let it = &sample.difference;
    let account = it.account.as_deref().unwrap_or("no account");
    let label = it.label.map_or(String::new(), |label| format!(" [{label}]"));
    let brief = |brief: &Brief| format!("{} {}", brief.band.word(), brief.score);
    let weight = match (&it.old, &it.new) {
        (Some(old), Some(new)) => format!("{} → {}", brief(old), brief(new)),
        (old, new) => new.as_ref().or(old.as_ref()).map(brief).unwrap_or_default(),
    };
    let from = it.from.as_ref().map_or(String::new(), |from| format!(", was {} {}", from.time, from.event));
    writeln!(out, "  {} {account} {} {weight}{label}{from}", it.time, it.event)?;
    for finding in &sample.findings {
        writeln!(out, "    {}@{}: {}", finding.rule, finding.revision, finding.text)?;
        let evidence: Vec<String> =
            finding.evidence.iter().map(|(name, value)| format!("{name} = {}", plain(value))).collect();
        if !evidence.is_empty() {
            writeln!(out, "      {}", evidence.join(", "))?;
        }
    }
    Ok(())
}

fn notices(out: &mut String, notices: &Notices) -> std::fmt::Result {
    for (channel, word) in [("email", "mails"), ("sms", "SMS")] {
        let of_channel = || notices.samples.iter().filter(|sample| sample.channel == channel);
        let all = notices.sent.get(channel).copied().unwrap_or_default();
        if of_channel().next().is_none() {
            continue;
        }
        writeln!(out, "\n{word} the new rules would send, {} of {}:", of_channel().count(), number(all))?;
        for sample in of_channel() {
            let account = sample.account.as_deref().unwrap_or("no account");
            let segments = sample.segments.map_or(String::new(), |n| format!(", {}", counted(n as u64, "segment")));
            writeln!(out, "  {} {account} {} ({}{segments})", sample.time, sample.event, sample.band)?;
            // Of a mail the subject says what it is; the report shows all of it.
            writeln!(out, "    {}", sample.subject.as_ref().unwrap_or(&sample.text))?;
        }
    }
    Ok(())
}
