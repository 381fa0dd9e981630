//! How far the command is, on stderr: a bar that is rewritten on a terminal, a line every few seconds elsewhere.
//!
//! Guarantees: silent with `--no-progress`; no colours with `NO_COLOR` set, and no bar on a terminal that says it
//! is dumb. Decides nothing.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::pace::Forecast;
use crate::sim::Generator;

/// How often progress is told, where nobody watches.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// … and on a terminal.
const PROGRESS_EVERY_TERMINAL: Duration = Duration::from_millis(200);
/// The clock is looked at once for so many records, unless they come in their own time.
const PROGRESS_RECORDS: u64 = 1024;
/// Cells of the bar.
const BAR_CELLS: u64 = 20;
/// A terminal's line is made so wide that nothing of a longer one before it is left, columns.
const LINE_COLUMNS: usize = 78;
/// What begins and ends the bar's colour.
const COLOR: (&str, &str) = ("\x1b[36m", "\x1b[0m");

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Not at all.
    Silent,
    /// A line every few seconds.
    Lines,
    /// A bar.
    Bar {
        /// In colour.
        is_colored: bool,
    },
}

impl Look {
    /// By the terminal and the environment's `TERM` and `NO_COLOR`.
    fn new(is_quiet: bool, is_terminal: bool, term: Option<&str>, no_color: Option<&str>) -> Look {
        match (is_quiet, is_terminal && term != Some("dumb")) {
            (true, _) => Look::Silent,
            (false, false) => Look::Lines,
            (false, true) => Look::Bar { is_colored: no_color.is_none_or(str::is_empty) },
        }
    }
}

/// Tells on stderr how far it is.
pub struct Progress {
    look: Look,
    began: Instant,
    told: Instant,
    of: u64,
    done: u64,
    is_paced: bool,
}

impl Progress {
    /// Nothing is done yet, of `of` records. `is_paced`: they go out in their own time.
    pub fn new(of: u64, is_quiet: bool, is_paced: bool) -> Self {
        let now = Instant::now();
        let text = |name| std::env::var(name).ok();
        let (term, no_color) = (text("TERM"), text("NO_COLOR"));
        let look = Look::new(is_quiet, std::io::stderr().is_terminal(), term.as_deref(), no_color.as_deref());
        Progress { look, began: now, told: now, of, done: 0, is_paced }
    }

    /// What a paced stream will do.
    pub fn foretell(&self, forecast: &Forecast) {
        if self.look != Look::Silent {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(std::io::stderr(), "generate: {forecast}");
        }
    }

    /// So many more are done.
    pub fn count(&mut self, records: u64) {
        self.done += records;
        let every = match self.look {
            Look::Silent => return,
            Look::Lines => PROGRESS_EVERY,
            Look::Bar { .. } => PROGRESS_EVERY_TERMINAL,
        };
        let is_looked = self.is_paced || self.done.is_multiple_of(PROGRESS_RECORDS);
        if is_looked && self.told.elapsed() >= every {
            self.told = Instant::now();
            self.tell(false);
        }
    }

    /// All are done: what there is in them.
    pub fn done(&mut self, generator: &Generator) {
        if self.look == Look::Silent {
            return;
        }
        self.tell(true);
        let totals = generator.totals();
        let attacks = generator.truth().filter(|line| !line.expect.is_empty()).count();
        let lookalikes = generator.truth().count() - attacks;
        let (from, to) = generator.span();
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(
            std::io::stderr(),
            "{} to {}: {} attacks, {} look-alikes, {} repeated, {} late, {} malformed",
            from.rfc3339(),
            to.rfc3339(),
            attacks,
            lookalikes,
            totals.duplicates,
            totals.late,
            totals.malformed.values().sum::<u64>(),
        );
    }

    /// Somebody has stopped it.
    pub fn stopped(&self) {
        if self.look != Look::Silent {
            let before = if self.look == Look::Lines { "" } else { "\n" };
            let (done, of) = (self.done, self.of);
            let told = "what it wrote is whole, no truth is told";
            let _ = writeln!(std::io::stderr(), "{before}generate: stopped after {done} of {of} events: {told}");
        }
    }

    fn tell(&self, is_last: bool) {
        let text = text(self.look, self.done, self.of, self.began.elapsed(), self.is_paced);
        let end = if is_last || self.look == Look::Lines { "\n" } else { "" };
        // Nobody is left to tell when stderr is gone.
        let _ = write!(std::io::stderr(), "{text}{end}");
    }
}

/// What is told when `done` of `of` records took `elapsed`.
fn text(look: Look, done: u64, of: u64, elapsed: Duration, is_paced: bool) -> String {
    let per_second = done as f64 / elapsed.as_secs_f64().max(0.001);
    let Look::Bar { is_colored } = look else {
        return format!("generate: {done} of {of} events, {per_second:.0} a second");
    };
    let part = |whole: u64| u64::try_from(u128::from(done) * u128::from(whole) / u128::from(of.max(1))).unwrap_or(0);
    let left_s = of.saturating_sub(done) as f64 / per_second.max(1.0);
    // What comes in its own time does not come at the rate of what came.
    let rest = if done < of && !is_paced { format!(", {left_s:.0} s left") } else { String::new() };
    let after = format!(" {:>3} % of {of}, {per_second:.0} a second{rest}", part(100));
    let full = usize::try_from(part(BAR_CELLS).min(BAR_CELLS)).unwrap_or(0);
    let empty = usize::try_from(BAR_CELLS).unwrap_or(0).saturating_sub(full);
    let (on, off) = if is_colored { COLOR } else { ("", "") };
    let used = "generate []".len() + full + empty;
    let width = LINE_COLUMNS.saturating_sub(used);
    format!("\rgenerate [{on}{}{off}{}]{after:<width$}", "#".repeat(full), ".".repeat(empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_look_is_the_terminals_and_the_users() {
        let bar = |is_colored| Look::Bar { is_colored };
        assert_eq!(Look::new(true, true, None, None), Look::Silent);
        assert_eq!(Look::new(false, false, Some("xterm"), None), Look::Lines);
        assert_eq!(Look::new(false, true, Some("dumb"), None), Look::Lines);
        assert_eq!(Look::new(false, true, Some("xterm"), None), bar(true));
        assert_eq!(Look::new(false, true, Some("xterm"), Some("")), bar(true));
        assert_eq!(Look::new(false, true, Some("xterm"), Some("1")), bar(false));
    }

    #[test]
    fn a_bar_fills_and_covers_what_stood_before() {
        let bar = Look::Bar { is_colored: false };
        let half = text(bar, 500, 1000, Duration::from_secs(1), false);
        assert_eq!(half.trim_end(), "\rgenerate [##########..........]  50 % of 1000, 500 a second, 1 s left");
        let whole = text(bar, 1000, 1000, Duration::from_secs(2), false);
        assert_eq!(whole.trim_end(), "\rgenerate [####################] 100 % of 1000, 500 a second");
        assert_eq!(half.len(), whole.len());
        assert!(text(bar, 0, 0, Duration::ZERO, false).contains("generate ["));
        let colored = text(Look::Bar { is_colored: true }, 500, 1000, Duration::from_secs(1), false);
        assert_eq!(colored.replace("\x1b[36m", "").replace("\x1b[0m", ""), half);
        assert!(!text(bar, 500, 1000, Duration::from_secs(1), true).contains("left"), "in its own time");
        let line = text(Look::Lines, 500, 1000, Duration::from_secs(1), false);
        assert_eq!(line, "generate: 500 of 1000 events, 500 a second");
    }
}
