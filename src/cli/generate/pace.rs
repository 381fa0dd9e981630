//! How fast records go out: as fast as they can, or by their stamps, at a multiple of real time.
//!
//! Guarantees: a paced record goes out neither before its stamp nor before its share of the time; SIGINT and SIGTERM
//! end a wait at once. Changes no byte of what goes out.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::cli::{Exit, fail};
use crate::clock;
use crate::event::Millis;
use crate::shutdown::Shutdown;

/// How far ahead of its time a record may go out: shorter waits cost more than they are worth.
const EARLY_MS_MAX: i64 = 2;
/// The clock is looked at again after so long, whatever is waited for: it may have been set.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// When the next record goes out.
#[derive(Debug)]
pub struct Pace {
    /// Event time for each second of real time; `None`: as fast as it can.
    speed: Option<f64>,
    start: Millis,
    began: Instant,
    stop: Shutdown,
}

impl Pace {
    /// For a stream that begins at `start`; `speed`: event time for each second of real time. Where it waits, it
    /// listens to signals from now on.
    pub fn new(speed: Option<f64>, start: Millis) -> anyhow::Result<Self> {
        let stop = Shutdown::default();
        if speed.is_some() {
            if start > clock::now() {
                return Err(fail(Exit::Usage, "--speed: the stream must not begin after now"));
            }
            listen(stop.clone()).context("cannot listen to signals")?;
        }
        Ok(Pace { speed, start, began: Instant::now(), stop })
    }

    /// Whether somebody has asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_requested()
    }

    /// Whether a record with this stamp has to wait, and so what was written before should be seen meanwhile.
    pub fn is_early(&self, stamp: Millis) -> bool {
        self.wait_ms(stamp) > EARLY_MS_MAX
    }

    /// Waits for its time.
    pub fn wait(&self, stamp: Millis) {
        while !self.is_stopped() && self.is_early(stamp) {
            let wait = u64::try_from(self.wait_ms(stamp)).unwrap_or(0);
            std::thread::park_timeout(Duration::from_millis(wait).min(WAIT_MAX));
        }
    }

    /// What a stream will do whose first record is stamped `first` and whose busy days begin at `watched_from`.
    pub fn forecast(&self, first: Millis, watched_from: Millis) -> Option<Forecast> {
        self.speed.map(|_| Forecast {
            first_ms: self.wait_ms(first),
            busy_ms: self.wait_ms(watched_from),
            history_ms: watched_from.since(self.start),
        })
    }

    fn wait_ms(&self, stamp: Millis) -> i64 {
        self.speed.map_or(0, |speed| wait_ms(speed, self.start, self.began.elapsed(), stamp, clock::now()))
    }
}

/// What somebody who has no three weeks may do.
const HURRY: &str = "With --start now-21d --speed 20000 the history is over in 91 s";

/// What somebody who starts a paced stream has to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Until the first record, ms.
    pub first_ms: i64,
    /// Until the busy days with the attacks, ms.
    pub busy_ms: i64,
    /// How much event time is history before these, ms; 0 where a profile has none.
    pub history_ms: i64,
}

impl Forecast {
    /// Whether the history will not be hurried through: most of its time is still to come.
    fn is_slow(self) -> bool {
        self.busy_ms > self.history_ms / 2
    }
}

impl std::fmt::Display for Forecast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.first_ms {
            ..1000 => write!(f, "the first event goes out at once")?,
            ms => write!(f, "the first event goes out in {}", span(ms))?,
        }
        if self.history_ms <= 0 {
            return Ok(());
        }
        let (history, busy) = (span(self.history_ms), span(self.busy_ms));
        write!(f, "; {history} of quiet history come first, the busy days with the attacks in {busy}")?;
        if self.is_slow() {
            write!(f, ".\nNothing goes out before the time it is stamped with. {HURRY}")?;
        }
        Ok(())
    }
}

/// A time to wait, in its two largest units.
fn span(ms: i64) -> String {
    let s = ms / 1000;
    let parts = [(s / 86_400, "d"), (s / 3600 % 24, "h"), (s / 60 % 60, "min"), (s % 60, "s")];
    let from = parts.iter().position(|(number, _)| *number > 0).unwrap_or(parts.len() - 1);
    let shown = parts.iter().skip(from).take(2).enumerate().filter(|(nth, (number, _))| *nth == 0 || *number > 0);
    shown.map(|(_, (number, unit))| format!("{number} {unit}")).collect::<Vec<_>>().join(" ")
}

/// How long a record stamped `stamp` has to wait, ms: until its share of the time since the start has passed, and
/// until its stamp has come. So history is caught up with, and what follows is live.
fn wait_ms(speed: f64, start: Millis, elapsed: Duration, stamp: Millis, now: Millis) -> i64 {
    let share_ms = stamp.since(start) as f64 / speed - elapsed.as_secs_f64() * 1000.0;
    // A float beyond the range becomes the nearest number in it.
    (share_ms as i64).max(stamp.since(now)).max(0)
}

/// Asks to stop on SIGINT and SIGTERM, from its return on, and wakes the thread that calls this.
fn listen(stop: Shutdown) -> std::io::Result<()> {
    let waiting = std::thread::current();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    let listen = move || {
        // Without handlers a signal ends the process, as everywhere. They are there once the first was polled.
        let _ = runtime.block_on(async { tokio::join!(stop.on_signals(), async { ready.send(()) }) });
        waiting.unpark();
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    // A thread that ends before it is ready has no handlers to wait for.
    let _ = is_ready.recv();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1000;
    const START: Millis = Millis(1_767_571_200_000);

    fn wait_s(speed: f64, elapsed_s: u64, stamp_s: i64, now_s: i64) -> i64 {
        let elapsed = Duration::from_secs(elapsed_s);
        wait_ms(speed, START, elapsed, START.plus(stamp_s * S), START.plus(now_s * S)) / S
    }

    #[test]
    fn history_goes_by_its_share_of_the_time() {
        let long_after = 1_000_000;
        assert_eq!(wait_s(1.0, 0, 60, long_after), 60);
        assert_eq!(wait_s(60.0, 0, 600, long_after), 10);
        assert_eq!(wait_s(60.0, 9, 600, long_after), 1);
        assert_eq!(wait_s(60.0, 11, 600, long_after), 0, "late already");
        assert_eq!(wait_s(0.5, 0, 60, long_after), 120, "slow motion");
    }

    #[test]
    fn what_has_caught_up_is_live() {
        // An hour of history at a thousandfold: after 4 s it is where the clock is.
        assert_eq!(wait_s(1000.0, 4, 3600, 3604), 0);
        assert_eq!(wait_s(1000.0, 4, 3610, 3604), 6, "not before its stamp");
        assert_eq!(wait_s(1000.0, 600, 4205, 4200), 5);
        assert_eq!(wait_ms(1e-3, START, Duration::ZERO, Millis(i64::MAX), START), i64::MAX, "no overflow");
    }

    #[test]
    fn somebody_who_waits_is_told_for_what() {
        let day_ms = 86_400 * S;
        let told = |first_ms, busy_ms, history_ms| Forecast { first_ms, busy_ms, history_ms }.to_string();
        assert_eq!(told(20, 20, 0), "the first event goes out at once");
        assert_eq!(
            told(10, 90_720, 21 * day_ms),
            "the first event goes out at once; 21 d of quiet history come first, the busy days with the attacks in \
             1 min 30 s"
        );
        assert_eq!(
            told(4 * 60 * S, 21 * day_ms, 21 * day_ms),
            "the first event goes out in 4 min; 21 d of quiet history come first, the busy days with the attacks in 21 d.\n\
             Nothing goes out before the time it is stamped with. With --start now-21d --speed 20000 the history is \
             over in 91 s"
        );
        let pace = Pace::new(None, START).expect("no signals are listened to");
        assert_eq!(pace.forecast(START, START), None, "nobody waits");
        assert_eq!([0, 59_999, 3_600_000, 90_061_000].map(span), ["0 s", "59 s", "1 h", "1 d 1 h"]);
    }

    #[test]
    fn what_is_not_paced_never_waits() {
        let pace = Pace::new(None, Millis(i64::MAX)).expect("no signals are listened to");
        assert!(!pace.is_early(Millis(i64::MAX)));
        assert!(Pace::new(Some(1.0), Millis(i64::MAX)).is_err(), "a start that never comes");
    }
}
