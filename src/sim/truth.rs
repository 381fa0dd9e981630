//! The truth about a stream: what was planted and what must come of it, and the totals.
//!
//! Guarantees: one JSON object a line, its keys are a contract: `{"kind","account","ip","device","first",
//! "last","events","expect"}` for each scene in the order of time, then the totals. `account`, `ip` and
//! `device` are null where the scene is not about one.

use std::collections::BTreeMap;

use serde::Serialize;

use super::names::{Names, write_hex};
use super::script::Planted;
use crate::event::Millis;

/// One planted attack, or look-alike where `expect` is empty.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What it is.
    pub kind: &'static str,
    /// The account it happens to.
    pub account: Option<String>,
    /// The address it comes from.
    pub ip: Option<String>,
    /// The device it comes from.
    pub device: Option<String>,
    /// The time of its first event.
    pub first: Millis,
    /// The time of its last event.
    pub last: Millis,
    /// The ids of its events, in the order of time.
    pub events: Vec<String>,
    /// The rules that must fire.
    pub expect: &'static [&'static str],
}

/// The last line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Always `totals`.
    pub kind: &'static str,
    /// Records written.
    pub events: u64,
    /// Records that must be refused, by reason.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Records that repeat an accepted one.
    pub duplicates: u64,
    /// Accepted records older by more than `lateness_max` (10 min) than the lower median of the times of the
    /// last 9 accepted ones before them.
    pub late: u64,
}

impl Line {
    /// The line of a scene.
    pub fn new(planted: &Planted, names: &Names) -> Self {
        let time = |pick: fn(std::slice::Iter<'_, (u64, Millis)>) -> Option<Millis>| {
            pick(planted.events.iter()).unwrap_or_default()
        };
        Line {
            kind: planted.kind,
            account: planted.account.map(|n| names.text(|names, out| names.account(n, out))),
            ip: planted.ip.map(|ip| ip.to_string()),
            device: planted.device.map(|n| names.text(|_, out| write_hex(b"dev-", n, out))),
            first: time(|events| events.map(|e| e.1).min()),
            last: time(|events| events.map(|e| e.1).max()),
            events: planted.events.iter().map(|(n, t)| names.text(|names, out| names.id(*n, *t, out))).collect(),
            expect: planted.expect,
        }
    }
}

/// How many records the rule of lateness looks back on.
const LATENESS_RECORDS: usize = 9;
/// How much older than their median is late, ms.
pub const LATENESS_MS_MAX: i64 = 600_000;

/// Counts late records as the engine must.
#[derive(Debug, Default)]
pub struct Lateness {
    newest: [i64; LATENESS_RECORDS],
    seen: usize,
}

impl Lateness {
    /// Whether an accepted record of this time is late; it then is one of the records looked back on.
    pub fn is_late(&mut self, time: Millis) -> bool {
        let mut sorted = self.newest;
        let held = self.seen.min(LATENESS_RECORDS);
        let late = match sorted.get_mut(..held) {
            Some(held_times) if held > 0 => {
                held_times.sort_unstable();
                let median = held_times.get((held - 1) / 2).copied().unwrap_or(i64::MIN);
                median.saturating_sub(time.0) > LATENESS_MS_MAX
            }
            _ => false,
        };
        if let Some(slot) = self.newest.get_mut(self.seen % LATENESS_RECORDS) {
            *slot = time.0;
        }
        self.seen += 1;
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_by_the_lower_median_of_nine() {
        let mut lateness = Lateness::default();
        assert!(!lateness.is_late(Millis(0)), "nothing before it");
        for at in 1..=8 {
            assert!(!lateness.is_late(Millis(at * 100_000)));
        }
        // The nine are 0 to 800 000; their median is 400 000.
        assert!(!lateness.is_late(Millis(-200_000)));
        // Now -200 000, 100 000 … 800 000: the median is still 400 000.
        assert!(lateness.is_late(Millis(-200_001)));
    }
}
