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

    fn wait_ms(&self, stamp: Millis) -> i64 {
        self.speed.map_or(0, |speed| wait_ms(speed, self.start, self.began.elapsed(), stamp, clock::now()))
    }
}

/// How long a record stamped `stamp` has to wait, ms: until its share of the time since the start has passed, and
/// until its stamp has come. So history is caught up with, and what follows is live.
fn wait_ms(speed: f64, start: Millis, elapsed: Duration, stamp: Millis, now: Millis) -> i64 {
    let share_ms = stamp.since(start) as f64 / speed - elapsed.as_secs_f64() * 1000.0;
    // A float beyond the range becomes the nearest number in it.
    (share_ms as i64).max(stamp.since(now)).max(0)
}

/// Asks to stop on SIGINT and SIGTERM, and wakes the thread that calls this.
fn listen(stop: Shutdown) -> std::io::Result<()> {
    let waiting = std::thread::current();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listen = move || {
        // Without handlers a signal ends the process, as everywhere.
        let _ = runtime.block_on(stop.on_signals());
        waiting.unpark();
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map(drop)
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
    fn what_is_not_paced_never_waits() {
        let pace = Pace::new(None, Millis(i64::MAX)).expect("no signals are listened to");
        assert!(!pace.is_early(Millis(i64::MAX)));
        assert!(Pace::new(Some(1.0), Millis(i64::MAX)).is_err(), "a start that never comes");
    }
}
