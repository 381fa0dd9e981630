//! `walletwatch demo`: a day of an invented wallet, with planted attacks, on an embedded broker.
//!
//! Guarantees: needs no configuration and no server, and nothing leaves this machine; exit code 1 where an attack
//! was missed, a user was told of a look-alike, or somebody ended it early. What it does stands in `app::demo`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use super::{Exit, fail, run as service};
use crate::app::demo::{self, DemoError, EVENTS, EVENTS_DEFAULT, Options, SEED_DEFAULT, Show};

/// Plays a day of an invented wallet, with planted attacks, through the whole service.
///
/// Needs nothing: it brings a broker, a mail server and an SMS gateway of its own, on this machine only. A day
/// takes about 45 s. On a terminal it is a picture; elsewhere, and with --no-progress, lines.
///
/// Exit code 0: every attack of a live rule was found and no user was told of a look-alike. 1: not so, or somebody
/// ended it (q, Ctrl-C) before the day was over. With --keep that is how it ends, once the day is over.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  walletwatch demo\n  walletwatch demo --out /tmp/demo --events 100000 --seed 7 --no-progress"
)]
pub struct Args {
    /// A folder for mails, SMS requests, alerts and the summary; an earlier demo's is replaced.
    #[arg(long, value_name = "DIR", default_value = "walletwatch-demo")]
    out: PathBuf,
    /// Records, the days before the played one included: 10000 to 1000000.
    #[arg(long, value_name = "N", default_value_t = EVENTS_DEFAULT, value_parser = events)]
    events: u64,
    /// Everything but the time of day follows from this number.
    #[arg(long, value_name = "N", default_value_t = SEED_DEFAULT)]
    seed: u64,
    /// Stays up when the day is over, with its metrics, until q or Ctrl-C; this changes no exit code.
    #[arg(long)]
    keep: bool,
    /// Tells the story in lines, and nothing of how far it is.
    #[arg(long)]
    no_progress: bool,
}

fn events(text: &str) -> Result<u64, String> {
    let (low, high) = (EVENTS.start(), EVENTS.end());
    text.parse().ok().filter(|events| EVENTS.contains(events)).ok_or_else(|| format!("a number from {low} to {high}"))
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { out, events, seed, keep, no_progress } = args;
    let options = Options { out, events, seed, keep, show: show(no_progress) };
    let outcome = demo::run(&options, &mut std::io::stdout()).map_err(failure)?;
    Ok(if outcome.is_good() { Exit::Done } else { Exit::No })
}

/// The picture needs a terminal to draw on and to read keys from.
fn show(no_progress: bool) -> Show {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    match is_terminal && !is_dumb && !no_progress {
        true => Show::Screen { is_colored: !is_set("NO_COLOR") },
        false => Show::Lines { with_progress: !no_progress },
    }
}

/// A reader that went away is not an error of ours, and whoever reports failures knows it by its own error.
fn failure(error: DemoError) -> anyhow::Error {
    match error {
        DemoError::Write(error) => error.into(),
        error => fail(exit(&error), error.to_string()),
    }
}

/// What an error means for whoever started us.
fn exit(error: &DemoError) -> Exit {
    match error {
        DemoError::NotEmpty(_) => Exit::Usage,
        DemoError::Folder { .. } | DemoError::Alerts(_) | DemoError::Write(_) | DemoError::System(..) => Exit::Io,
        DemoError::Run(error) => service::exit(error),
        DemoError::Problems(_)
        | DemoError::Broker { .. }
        | DemoError::Trimmed(_)
        | DemoError::Counts { .. }
        | DemoError::NotWritten
        | DemoError::Stalled { .. }
        | DemoError::AlertsMissing { .. }
        | DemoError::Sim(_)
        | DemoError::Panic(_) => Exit::Bug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_records_has_a_range() {
        assert_eq!(events("10000"), Ok(10_000));
        assert!(events("9999").is_err() && events("1000001").is_err() && events("many").is_err());
    }

    #[test]
    fn a_broker_that_dropped_records_is_no_success() {
        assert_eq!(exit(&DemoError::Trimmed("wallet.logins[0]: 1".to_owned())), Exit::Bug);
        assert_eq!(exit(&DemoError::Counts { sent: 2, written: 2, taken: 1 }), Exit::Bug);
    }
}
