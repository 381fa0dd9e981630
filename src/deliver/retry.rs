//! When a notice is tried again: the schedule, and what each outcome of a try means.
//!
//! Guarantees: pure; time and randomness are arguments. Full jitter: each delay is even between nothing and its
//! step, so that many notices of one outage do not come back together. Does not wait or send.

use crate::alert::Step;
use crate::event::Millis;

/// The delays after the first, second … failed try, ms. After the last one its step repeats, until the notice
/// is too late.
pub const RETRY_STEPS_MS: [i64; 8] = [5_000, 30_000, 120_000, 600_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000];

/// A receiver that asks for more patience than this is asked again after this, ms.
pub const RETRY_AFTER_MS_MAX: i64 = 12 * 3_600_000;

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It may work later.
    Transient {
        /// What failed: a word for metric and log.
        reason: &'static str,
        /// How long the receiver asks us to wait, ms.
        retry_after_ms: Option<i64>,
    },
    /// This message will never be taken here.
    Permanent {
        /// What failed.
        reason: &'static str,
    },
    /// The endpoint is gone for good (410): nothing more is sent there.
    Gone,
}

impl Outcome {
    /// A failure that may pass, with no word on when.
    pub fn transient(reason: &'static str) -> Self {
        Outcome::Transient { reason, retry_after_ms: None }
    }

    /// Whether it speaks of the channel rather than of the one message: a refusal shows that somebody is there.
    pub fn blames_channel(self) -> bool {
        matches!(self, Outcome::Transient { .. } | Outcome::Gone)
    }

    /// The reason as a metric label.
    pub fn reason(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Transient { reason, .. } | Outcome::Permanent { reason } => reason,
            Outcome::Gone => "gone",
        }
    }
}

/// What becomes of a notice after a try that ended at `now`. `attempts` are the tries before this one;
/// `random` is even over all its values.
pub fn after_try(outcome: Outcome, attempts: u32, now: Millis, expires: Millis, random: u64) -> Step {
    match outcome {
        Outcome::Delivered => Step::Sent,
        Outcome::Permanent { reason } => Step::NextChannel { reason },
        Outcome::Gone => Step::NextChannel { reason: "gone" },
        Outcome::Transient { reason, retry_after_ms } => {
            let asked_ms = retry_after_ms.unwrap_or(0).clamp(0, RETRY_AFTER_MS_MAX);
            let at = now.plus(jittered_ms(attempts, random).max(asked_ms));
            if at >= expires { Step::Expired } else { Step::Retry { at, reason } }
        }
    }
}

fn jittered_ms(attempts: u32, random: u64) -> i64 {
    let at = (attempts as usize).min(RETRY_STEPS_MS.len() - 1);
    let step_ms = RETRY_STEPS_MS.get(at).copied().unwrap_or_default();
    // The upper half of the product is even over 0..=step.
    let product = u128::from(random) * (u128::from(step_ms.unsigned_abs()) + 1);
    i64::try_from(product >> 64).unwrap_or(step_ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_MS: i64 = 24 * 3_600_000;
    const FAILED: Outcome = Outcome::Transient { reason: "status_5xx", retry_after_ms: None };

    /// The moments of all tries of a channel that never answers, with the same random number each time.
    fn tries_s(random: u64, ttl_ms: i64) -> Vec<i64> {
        let mut now = Millis(0);
        let mut tries = vec![0];
        for attempts in 0..100 {
            match after_try(FAILED, attempts, now, Millis(ttl_ms), random) {
                Step::Retry { at, reason: "status_5xx" } => now = at,
                Step::Expired => return tries,
                other => panic!("{other:?}"),
            }
            tries.push(now.0 / 1000);
        }
        panic!("never ends");
    }

    #[test]
    fn the_schedule_at_its_slowest_is_the_one_on_the_page() {
        assert_eq!(tries_s(u64::MAX, DAY_MS), [0, 5, 35, 155, 755, 2555, 9755, 27755, 63755]);
    }

    #[test]
    fn the_last_step_repeats_until_it_is_too_late() {
        assert_eq!(tries_s(u64::MAX, 2 * DAY_MS).len(), 12);
        assert_eq!(*tries_s(u64::MAX, 2 * DAY_MS).last().expect("a try"), 63_755 + 3 * 36_000);
    }

    #[test]
    fn the_receiver_may_ask_for_more_patience_never_for_less() {
        let asks = |ms| Outcome::Transient { reason: "status_429", retry_after_ms: Some(ms) };
        let at = |outcome| after_try(outcome, 0, Millis(0), Millis(DAY_MS), u64::MAX);
        assert_eq!(at(asks(90_000)), Step::Retry { at: Millis(90_000), reason: "status_429" });
        assert_eq!(at(asks(1)), Step::Retry { at: Millis(5_000), reason: "status_429" });
        assert_eq!(at(asks(i64::MAX)), Step::Retry { at: Millis(RETRY_AFTER_MS_MAX), reason: "status_429" });
        assert_eq!(at(asks(-5)), Step::Retry { at: Millis(5_000), reason: "status_429" });
    }

    #[test]
    fn what_will_never_work_goes_to_the_next_channel() {
        let after = |outcome| after_try(outcome, 3, Millis(0), Millis(DAY_MS), 1);
        assert_eq!(after(Outcome::Delivered), Step::Sent);
        assert_eq!(after(Outcome::Permanent { reason: "smtp_5xx" }), Step::NextChannel { reason: "smtp_5xx" });
        assert_eq!(after(Outcome::Gone), Step::NextChannel { reason: "gone" });
    }

    proptest! {
        #[test]
        fn never_early_never_late(attempts in 0_u32..1000, random: u64, now in 0..DAY_MS, asked in 0..DAY_MS) {
            let outcome = Outcome::Transient { reason: "x", retry_after_ms: Some(asked) };
            let (now, expires) = (Millis(now), Millis(DAY_MS));
            match after_try(outcome, attempts, now, expires, random) {
                Step::Retry { at, .. } => {
                    prop_assert!(at >= now.plus(asked.min(RETRY_AFTER_MS_MAX)) && at < expires);
                    let step = RETRY_STEPS_MS[(attempts as usize).min(7)];
                    prop_assert!(at <= now.plus(step.max(asked)));
                }
                Step::Expired => prop_assert!(now.plus(36_000_000.max(asked)) >= expires),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
