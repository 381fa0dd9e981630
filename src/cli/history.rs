//! What the commands that make a state out of history have in common: how they are stopped, and what they tell.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Exit, fail};
use crate::app::history::Made;
use crate::event::{Closed, EventType, Millis, RejectReason};
use crate::shutdown::Shutdown;

/// The wish to stop, which SIGTERM and SIGINT make from now on.
pub fn stopped_by_signals() -> anyhow::Result<Shutdown> {
    let shutdown = Shutdown::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| fail(Exit::Io, format!("failed to start the runtime: {error}")))?;
    let asked = shutdown.clone();
    let body = move || {
        // Without it a signal ends the process at once, and what is unfinished says so all the same.
        let _ = runtime.block_on(asked.on_signals());
    };
    let started = std::thread::Builder::new().name("signals".to_owned()).spawn(body);
    started.map(|_| shutdown).map_err(|error| fail(Exit::Io, format!("failed to start a thread: {error}")))
}

/// What was taken, for people.
pub fn counts(made: &Made) -> String {
    let counters = &made.counters;
    let (accepted, rejected) = (counters.accepted_total(), counters.rejected_total());
    let records = accepted + counters.duplicates + rejected + counters.ignored_total();
    let mut rows = vec![
        ("records", records.to_string()),
        ("accepted", format!("{accepted}, {} of them late", counters.late)),
        ("duplicates", counters.duplicates.to_string()),
        ("refused", rejected.to_string()),
        ("ignored", counters.ignored_total().to_string()),
        ("newest event", made.newest.map_or_else(|| "none".to_owned(), Millis::rfc3339)),
        ("alerts not told", counters.alerts.iter().sum::<u64>().to_string()),
    ];
    rows.retain(|(name, value)| !(value == "0" && matches!(*name, "refused" | "ignored" | "duplicates")));
    let mut text: String = rows.iter().map(|(name, value)| format!("{name:<16} {value}\n")).collect();
    for (reason, n) in rejected_by_reason(made) {
        text.push_str(&format!("  refused, {reason}: {n}\n"));
    }
    let entities: Vec<String> = made.entities.iter().map(|(kind, n)| format!("{} {n}", kind.name())).collect();
    text.push_str(&format!(
        "{:<16} {}\n",
        "kept",
        if entities.is_empty() { "nothing".to_owned() } else { entities.join(", ") }
    ));
    text
}

/// The same as JSON.
pub fn counts_json(made: &Made) -> Value {
    let counters = &made.counters;
    let entities: BTreeMap<&str, usize> = made.entities.iter().map(|(kind, n)| (kind.name(), *n)).collect();
    let by_type = EventType::WORDS.iter().zip(&counters.accepted).filter(|(_, n)| **n > 0);
    json!({
        "accepted": counters.accepted_total(),
        "accepted_by_type": by_type.collect::<BTreeMap<_, _>>(),
        "late": counters.late,
        "duplicates": counters.duplicates,
        "rejected": counters.rejected_total(),
        "rejected_by_reason": rejected_by_reason(made),
        "ignored": counters.ignored_total(),
        "alerts_not_told": counters.alerts.iter().sum::<u64>(),
        "newest_event": made.newest,
        "entities": entities,
        "contacts_left_out": made.contacts_left_out,
    })
}

fn rejected_by_reason(made: &Made) -> BTreeMap<&'static str, u64> {
    let all = RejectReason::WORDS.iter().copied().zip(made.counters.rejected.iter().copied());
    all.filter(|(_, n)| *n > 0).collect()
}
