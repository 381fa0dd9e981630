//! How progress looks on stderr: a bar that is rewritten on a terminal, a line every few seconds elsewhere.
//!
//! Guarantees: silent with `--no-progress`; no colours with `NO_COLOR` set, and no bar on a terminal that says it
//! is dumb. Says nothing itself: each command has its own words.

use std::io::IsTerminal;
use std::time::Duration;

/// Cells of the bar.
pub const BAR_CELLS: usize = 20;
/// A terminal's line is made so wide that nothing of a longer one before it is left, columns.
const LINE_COLUMNS: usize = 78;
/// What begins and ends the bar's colour.
const COLOR: (&str, &str) = ("\x1b[36m", "\x1b[0m");

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
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
    pub fn here(is_quiet: bool) -> Look {
        let text = |name| std::env::var(name).ok();
        let (term, no_color) = (text("TERM"), text("NO_COLOR"));
        Look::new(is_quiet, std::io::stderr().is_terminal(), term.as_deref(), no_color.as_deref())
    }

    fn new(is_quiet: bool, is_terminal: bool, term: Option<&str>, no_color: Option<&str>) -> Look {
        match (is_quiet, is_terminal && term != Some("dumb")) {
            (true, _) => Look::Silent,
            (false, false) => Look::Lines,
            (false, true) => Look::Bar { is_colored: no_color.is_none_or(str::is_empty) },
        }
    }

    /// How often progress is told; `None`: never.
    pub fn every(self) -> Option<Duration> {
        match self {
            Look::Silent => None,
            Look::Lines => Some(Duration::from_secs(5)),
            Look::Bar { .. } => Some(Duration::from_millis(200)),
        }
    }
}

/// A bar of which `full` cells are, with words before and after it, over what stood in the line before.
pub fn bar(what: &str, full: u64, after: &str, is_colored: bool) -> String {
    let full = usize::try_from(full).unwrap_or(BAR_CELLS).min(BAR_CELLS);
    let (on, off) = if is_colored { COLOR } else { ("", "") };
    let width = LINE_COLUMNS.saturating_sub(what.len() + " []".len() + BAR_CELLS);
    format!("\r{what} [{on}{}{off}{}]{after:<width$}", "#".repeat(full), ".".repeat(BAR_CELLS - full))
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
}
