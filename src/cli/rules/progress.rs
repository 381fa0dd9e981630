//! How far a command is, on stderr: a bar on a terminal, a line every few seconds elsewhere.
//!
//! Guarantees: silent with `--no-progress`; no colour with `NO_COLOR`, no bar on a dumb terminal. Decides nothing.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often progress is told, where nobody watches.
const EVERY: Duration = Duration::from_secs(5);
/// … and on a terminal.
const EVERY_TERMINAL: Duration = Duration::from_millis(200);
/// Cells of the bar.
const BAR_CELLS: u64 = 20;
/// A terminal's line is made so wide that nothing of a longer one before it is left, columns.
const LINE_COLUMNS: usize = 78;
/// What begins and ends the bar's colour.
const COLOR: (&str, &str) = ("\x1b[36m", "\x1b[0m");

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Silent,
    Lines,
    Bar { is_colored: bool },
}

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
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let look = match (is_quiet, std::io::stderr().is_terminal() && !is_dumb) {
            (true, _) => Look::Silent,
            (false, false) => Look::Lines,
            (false, true) => Look::Bar { is_colored: !set("NO_COLOR") },
        };
        Progress { what: what.into(), look, began: now, told: now, has_told: false }
    }

    /// So many events are done, which are so many bytes of all, where that is known.
    pub fn tell(&mut self, events: u64, bytes: u64, total_bytes: Option<u64>) {
        let every = match self.look {
            Look::Silent => return,
            Look::Lines => EVERY,
            Look::Bar { .. } => EVERY_TERMINAL,
        };
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
        Look::Bar { is_colored } => {
            let full = usize::try_from(parts(BAR_CELLS).unwrap_or(0)).unwrap_or(0);
            let empty = (BAR_CELLS as usize).saturating_sub(full);
            let (on, off) = if is_colored { COLOR } else { ("", "") };
            let width = LINE_COLUMNS.saturating_sub(what.len() + BAR_CELLS as usize + 4);
            format!("\r{what} [{on}{}{off}{}] {line:<width$}", "#".repeat(full), ".".repeat(empty))
        }
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
