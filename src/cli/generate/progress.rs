//! How far the generator is, on stderr.
//!
//! Guarantees: looks as all progress does. Decides nothing.

use std::io::Write;
use std::time::{Duration, Instant};

use super::pace::Forecast;
use crate::cli::look::{BAR_CELLS, Look, bar};
use crate::sim::Generator;

/// The clock is looked at once for so many records, unless they come in their own time.
const PROGRESS_RECORDS: u64 = 1024;
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
        let look = Look::here(is_quiet);
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
        let Some(every) = self.look.every() else { return };
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
    bar("generate", part(BAR_CELLS as u64), &after, is_colored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_and_covers_what_stood_before() {
        let plain = Look::Bar { is_colored: false };
        let half = text(plain, 500, 1000, Duration::from_secs(1), false);
        assert_eq!(half.trim_end(), "\rgenerate [##########..........]  50 % of 1000, 500 a second, 1 s left");
        let whole = text(plain, 1000, 1000, Duration::from_secs(2), false);
        assert_eq!(whole.trim_end(), "\rgenerate [####################] 100 % of 1000, 500 a second");
        assert_eq!(half.len(), whole.len());
        assert!(text(plain, 0, 0, Duration::ZERO, false).contains("generate ["));
        let colored = text(Look::Bar { is_colored: true }, 500, 1000, Duration::from_secs(1), false);
        assert_eq!(colored.replace("\x1b[36m", "").replace("\x1b[0m", ""), half);
        assert!(!text(plain, 500, 1000, Duration::from_secs(1), true).contains("left"), "in its own time");
        let line = text(Look::Lines, 500, 1000, Duration::from_secs(1), false);
        assert_eq!(line, "generate: 500 of 1000 events, 500 a second");
    }
}
