//! For how long a rule stays silent about an entity it has fired for.
//!
//! Guarantees: silent while the event's time is before the newest time fired plus the rule's `for`; an entity
//! the event lacks is never silenced. At [`FIRED_MAX`] entries nothing more is remembered: rules then speak
//! too often rather than too seldom.

use hashbrown::HashMap;

/// Pairs of rule and entity that are remembered.
pub const FIRED_MAX: usize = 4_000_000;
/// Below this many, what has ended is not looked for.
const SWEEP_FROM: usize = 1024;

/// A rule and the entity it fired for.
pub type FiredFor = (u16, u64, u64);

/// When each rule last fired for each entity.
#[derive(Debug)]
pub struct Fired {
    newest_ms: HashMap<FiredFor, i64, foldhash::fast::RandomState>,
    sweep_at: usize,
}

impl Default for Fired {
    fn default() -> Self {
        Fired { newest_ms: HashMap::default(), sweep_at: SWEEP_FROM }
    }
}

impl Fired {
    /// Whether the rule is still silent about the entity.
    pub fn is_silent(&self, fired: FiredFor, time_ms: i64, for_ms: i64) -> bool {
        self.newest_ms.get(&fired).is_some_and(|newest| time_ms < newest.saturating_add(for_ms))
    }

    /// Takes a firing. `for_ms` tells each rule's time, to know what has ended before `horizon_ms`.
    pub fn fire(&mut self, fired: FiredFor, time_ms: i64, horizon_ms: i64, for_ms: impl Fn(u16) -> i64) {
        if self.newest_ms.len() >= self.sweep_at {
            self.newest_ms.retain(|(rule, ..), newest| newest.saturating_add(for_ms(*rule)) > horizon_ms);
            self.sweep_at = (2 * self.newest_ms.len()).max(SWEEP_FROM);
        }
        if let Some(newest) = self.newest_ms.get_mut(&fired) {
            *newest = time_ms.max(*newest);
        } else if self.newest_ms.len() < FIRED_MAX {
            self.newest_ms.insert(fired, time_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_the_newest_firing_and_ends_after_exactly_its_time() {
        let mut fired = Fired::default();
        fired.fire((0, 7, 0), 1000, 0, |_| 600);
        fired.fire((0, 7, 0), 400, 0, |_| 600);
        assert!(fired.is_silent((0, 7, 0), 1599, 600) && fired.is_silent((0, 7, 0), 3, 600));
        assert!(!fired.is_silent((0, 7, 0), 1600, 600));
        assert!(!fired.is_silent((0, 8, 0), 1000, 600) && !fired.is_silent((1, 7, 0), 1000, 600));
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let mut fired = Fired::default();
        for n in 0..100_000u64 {
            fired.fire((0, n, 0), n as i64, n as i64 - 10, |_| 600);
        }
        assert!(fired.newest_ms.len() < 2500, "{}", fired.newest_ms.len());
    }
}
