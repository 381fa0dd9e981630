//! How far a command is that reads recorded events, on stderr.
//!
//! Guarantees: looks as all progress does. Decides nothing.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::cli::look::{BAR_CELLS, Look, bar};

/// Tells on stderr how far it is.
#[derive(Debug)]
pub struct Progress {
    what: String,
    look: Look,
    began: Instant,
    told: Instant,
    has_told: bool,
}

impl Progress {
    /// Of a command called `what`.
    pub fn new(what: impl Into<String>, is_quiet: bool) -> Self {
        let now = Instant::now();
        let look = Look::here(is_quiet);
        Progress { what: what.into(), look, began: now, told: now, has_told: false }
    }

    /// So many events are done, which are so many bytes of all, where that is known.
    pub fn tell(&mut self, events: u64, bytes: u64, total_bytes: Option<u64>) {
        let Some(every) = self.look.every() else { return };
        if self.told.elapsed() >= every {
            self.told = Instant::now();
            self.has_told = true;
            let text = text(self.look, &self.what, events, (bytes, total_bytes), self.began.elapsed());
            let end = if self.look == Look::Lines { "\n" } else { "" };
            // Nobody is left to tell when stderr is gone.
            let _ = write!(std::io::stderr(), "{text}{end}");
        }
    }

    /// Everything is done: how fast it was.
    pub fn done(&self, events: u64) {
        if self.look == Look::Silent {
            return;
        }
        let before = if self.has_told && self.look != Look::Lines { "\n" } else { "" };
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let (what, speed) = (&self.what, events as f64 / seconds);
        let _ = writeln!(std::io::stderr(), "{before}{what}: {events} records in {seconds:.1} s, {speed:.0} a second");
    }
}

fn text(look: Look, what: &str, events: u64, (bytes, total): (u64, Option<u64>), elapsed: Duration) -> String {
    let per_second = events as f64 / elapsed.as_secs_f64().max(0.001);
    let parts = |whole: u64| {
        let total = total.filter(|total| *total > 0)?;
        u64::try_from(u128::from(bytes.min(total)) * u128::from(whole) / u128::from(total)).ok()
    };
    let percent = parts(100).map_or(String::new(), |percent| format!(" ({percent} %)"));
    let line = format!("{events} records{percent}, {per_second:.0} a second");
    match look {
        Look::Bar { is_colored } => bar(what, parts(BAR_CELLS as u64).unwrap_or(0), &format!(" {line}"), is_colored),
        _ => format!("{what}: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_a_bar() {
        let told = |look, total| text(look, "backtest", 500, (250, total), Duration::from_secs(2));
        assert_eq!(told(Look::Lines, Some(1000)), "backtest: 500 records (25 %), 250 a second");
        assert_eq!(told(Look::Lines, None), "backtest: 500 records, 250 a second");
        let bar = told(Look::Bar { is_colored: false }, Some(1000));
        assert_eq!(bar.trim_end(), "\rbacktest [#####...............] 500 records (25 %), 250 a second");
    }
}
