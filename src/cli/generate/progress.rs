//! How far the command is, on stderr: a line that is rewritten on a terminal, a line every few seconds elsewhere.
//!
//! Guarantees: silent with `--no-progress`. Decides nothing.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::sim::Generator;

/// How often progress is told, where nobody watches.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// … and on a terminal.
const PROGRESS_EVERY_TERMINAL: Duration = Duration::from_millis(200);
/// The clock is looked at once for so many records.
const PROGRESS_RECORDS: u64 = 4096;

/// Tells on stderr how far it is.
pub struct Progress {
    is_quiet: bool,
    is_terminal: bool,
    began: Instant,
    told: Instant,
    of: u64,
    done: u64,
}

impl Progress {
    /// Nothing is done yet, of `of` records.
    pub fn new(of: u64, is_quiet: bool) -> Self {
        let now = Instant::now();
        let is_terminal = std::io::stderr().is_terminal();
        Progress { is_quiet, is_terminal, began: now, told: now, of, done: 0 }
    }

    /// So many more are done.
    pub fn count(&mut self, records: u64) {
        self.done += records;
        if self.is_quiet || !self.done.is_multiple_of(PROGRESS_RECORDS) {
            return;
        }
        let every = if self.is_terminal { PROGRESS_EVERY_TERMINAL } else { PROGRESS_EVERY };
        if self.told.elapsed() >= every {
            self.told = Instant::now();
            self.tell(if self.is_terminal { "\r" } else { "" }, if self.is_terminal { "" } else { "\n" });
        }
    }

    /// All are done: what there is in them.
    pub fn done(&mut self, generator: &Generator) {
        if self.is_quiet {
            return;
        }
        self.tell(if self.is_terminal { "\r" } else { "" }, "\n");
        let totals = generator.totals();
        let attacks = generator.truth().filter(|line| !line.expect.is_empty()).count();
        let lookalikes = generator.truth().count() - attacks;
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(
            std::io::stderr(),
            "{} attacks, {} look-alikes, {} repeated, {} late, {} malformed",
            attacks,
            lookalikes,
            totals.duplicates,
            totals.late,
            totals.malformed.values().sum::<u64>(),
        );
    }

    /// Somebody has stopped it.
    pub fn stopped(&self) {
        if !self.is_quiet {
            self.tell(
                if self.is_terminal { "\r" } else { "" },
                ": stopped, what it wrote is whole; no truth is told\n",
            );
        }
    }

    fn tell(&self, before: &str, after: &str) {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let per_second = self.done as f64 / seconds;
        // Nobody is left to tell when stderr is gone.
        let _ = write!(
            std::io::stderr(),
            "{before}generate: {} of {} events, {per_second:.0} a second{after}",
            self.done,
            self.of
        );
    }
}
