//! One detector: whose the group is, by marks that travel as metadata of its commits.
//!
//! Guarantees: somebody else's group is taken over only after it was silent for a whole watch, or on purpose, and only
//! by the one whose mark still stands after a wait; of two at the same epoch the larger run wins, on both sides. Pure:
//! the times and what stands in the group are arguments. Does not talk to Kafka: `claim.rs` does.

use std::time::Duration;

use crate::event::Millis;

/// What a mark begins with.
const WORD: &str = "walletwatch";
/// How often a claim is written again over a smaller mark before it is given up.
const CLAIMS_MAX: u32 = 3;

/// Who works on a group, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Rises by one with each taking over.
    pub epoch: u64,
    /// Which start of the owner: later ones are larger.
    pub run: u64,
    /// The owner's id: it lives in the state folder.
    pub owner: String,
    /// When it was written, by the owner's clock.
    pub time: Millis,
}

impl Mark {
    /// As metadata of a commit.
    pub fn text(&self) -> String {
        let Mark { epoch, run, owner, time } = self;
        format!("{WORD} epoch={epoch} run={run} time={} owner={owner}", time.0)
    }

    /// From metadata of a commit; `None` where it is none of ours.
    pub fn parse(text: &str) -> Option<Mark> {
        let mut words = text.split(' ');
        if words.next()? != WORD {
            return None;
        }
        let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let epoch = value("epoch")?.parse().ok()?;
        let run = value("run")?.parse().ok()?;
        let time = Millis(value("time")?.parse().ok()?);
        let owner = value("owner").filter(|owner| !owner.is_empty())?.to_owned();
        words.next().is_none().then_some(Mark { epoch, run, owner, time })
    }

    /// Whether it stands before another: the epoch decides, then the run, then the owner.
    pub fn is_before(&self, other: &Mark) -> bool {
        self.key() > other.key()
    }

    /// Whether it is the same detector, run and epoch: only its time may be another.
    pub fn is_same(&self, other: &Mark) -> bool {
        self.key() == other.key()
    }

    fn key(&self) -> (u64, u64, &str) {
        (self.epoch, self.run, &self.owner)
    }
}

/// How long claiming takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long another owner's marks are watched before it counts as silent. Three times the time between commits.
    pub watch: Duration,
    /// Time between two looks.
    pub look: Duration,
    /// How long a claim must stand.
    pub claim: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing { watch: Duration::from_secs(15), look: Duration::from_secs(1), claim: Duration::from_secs(5) }
    }
}

/// What stands in the group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether it has any commit.
    pub has_commits: bool,
    /// The mark that stands before all others.
    pub mark: Option<Mark>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Commit this mark, then ask again.
    Commit(Mark),
    /// Look again after this time.
    Look(Duration),
    /// The group is ours, under this mark.
    Owned(Mark),
    /// It is somebody else's.
    Refused(Mark),
}

/// One start's claim.
#[derive(Debug)]
pub struct Claiming {
    owner: String,
    take_over: bool,
    timing: Timing,
    at: At,
}

#[derive(Debug)]
enum At {
    Begin,
    /// Another owner's mark is watched since then.
    Watching(Option<Mark>, Duration),
    /// Our mark was written then, so often.
    Claimed(Mark, Duration, u32),
    /// Our mark was written where nobody else's stood.
    Sure(Mark),
}

impl Claiming {
    /// A start of `owner`.
    pub fn new(owner: &str, take_over: bool, timing: Timing) -> Self {
        Claiming { owner: owner.to_owned(), take_over, timing, at: At::Begin }
    }

    /// The next step. `now` is a monotonic time, `clock` the time that marks carry.
    pub fn next(&mut self, now: Duration, clock: Millis, seen: Seen) -> Step {
        match &self.at {
            At::Begin => self.begin(now, clock, seen),
            At::Sure(mark) => Step::Owned(mark.clone()),
            At::Watching(first, since) => {
                if let Some(mark) = seen.mark.as_ref().filter(|mark| Some(*mark) != first.as_ref()) {
                    return Step::Refused(mark.clone());
                }
                match now.saturating_sub(*since) >= self.timing.watch {
                    true => self.claim(now, clock, seen.mark.as_ref(), 1),
                    false => Step::Look(self.timing.look),
                }
            }
            At::Claimed(mark, since, times) => {
                let (mark, times) = (mark.clone(), *times);
                let waits = self.timing.claim.saturating_sub(now.saturating_sub(*since));
                match seen.mark {
                    Some(other) if other.is_before(&mark) => Step::Refused(other),
                    _ if !waits.is_zero() => Step::Look(waits.min(self.timing.look)),
                    Some(other) if other.is_same(&mark) => Step::Owned(mark),
                    // A smaller one was written over it; whoever did that looks before it commits again.
                    Some(other) if times >= CLAIMS_MAX => Step::Refused(other),
                    _ => {
                        let mark = Mark { time: clock, ..mark };
                        self.at = At::Claimed(mark.clone(), now, times + 1);
                        Step::Commit(mark)
                    }
                }
            }
        }
    }

    /// The mark was written only now: its time begins anew.
    pub fn wrote(&mut self, now: Duration) {
        if let At::Claimed(_, since, _) = &mut self.at {
            *since = now;
        }
    }

    fn begin(&mut self, now: Duration, clock: Millis, seen: Seen) -> Step {
        let mark = match &seen.mark {
            // A later start of our own: who holds the state's folder is the only one of this name.
            Some(mark) if mark.owner == self.owner => self.mark(mark.epoch, Some(mark), clock),
            None if !seen.has_commits => self.mark(1, None, clock),
            other if self.take_over => return self.claim(now, clock, other.as_ref(), 1),
            other => {
                self.at = At::Watching(other.clone(), now);
                return Step::Look(self.timing.look);
            }
        };
        self.at = At::Sure(mark.clone());
        Step::Commit(mark)
    }

    fn claim(&mut self, now: Duration, clock: Millis, other: Option<&Mark>, times: u32) -> Step {
        let epoch = other.map_or(1, |other| other.epoch.saturating_add(1));
        let mark = self.mark(epoch, other, clock);
        self.at = At::Claimed(mark.clone(), now, times);
        Step::Commit(mark)
    }

    fn mark(&self, epoch: u64, last: Option<&Mark>, clock: Millis) -> Mark {
        // A clock that went back must not make a later start smaller.
        let after = last.map_or(1, |last| last.run.saturating_add(1));
        let run = u64::try_from(clock.0).unwrap_or(0).max(after);
        Mark { epoch, run, owner: self.owner.clone(), time: clock }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMING: Timing =
        Timing { watch: Duration::from_secs(15), look: Duration::from_secs(1), claim: Duration::from_secs(5) };

    fn mark(epoch: u64, run: u64, owner: &str, time: i64) -> Mark {
        Mark { epoch, run, owner: owner.to_owned(), time: Millis(time) }
    }

    fn seen(mark: Mark) -> Seen {
        Seen { has_commits: true, mark: Some(mark) }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_nothing_else_is_one() {
        let written = mark(3, 1_763_856_000_123, "host-3f9a", 1_763_856_005_123);
        assert_eq!(written.text(), "walletwatch epoch=3 run=1763856000123 time=1763856005123 owner=host-3f9a");
        assert_eq!(Mark::parse(&written.text()), Some(written.clone()));
        for other in ["", "other", "walletwatch", "walletwatch epoch=x run=1 time=1 owner=a"] {
            assert_eq!(Mark::parse(other), None, "{other}");
        }
        assert_eq!(Mark::parse(&(written.text() + " more")), None);
    }

    #[test]
    fn a_first_start_and_a_restart_wait_for_nobody() {
        let mut first = Claiming::new("a", false, TIMING);
        let own = mark(1, 1000, "a", 1000);
        assert_eq!(first.next(s(0), Millis(1000), Seen::default()), Step::Commit(own.clone()));
        assert_eq!(first.next(s(0), Millis(1000), seen(own.clone())), Step::Owned(own.clone()));
        let mut again = Claiming::new("a", false, TIMING);
        // The clock went back.
        assert_eq!(again.next(s(0), Millis(900), seen(own)), Step::Commit(mark(1, 1001, "a", 900)));
    }

    #[test]
    fn a_detector_that_lives_is_named_and_left_alone() {
        let mut second = Claiming::new("b", false, TIMING);
        assert_eq!(second.next(s(0), Millis(0), seen(mark(4, 7, "a", 100))), Step::Look(s(1)));
        assert_eq!(second.next(s(4), Millis(0), seen(mark(4, 7, "a", 100))), Step::Look(s(1)));
        let refused = second.next(s(5), Millis(0), seen(mark(4, 7, "a", 5100)));
        assert_eq!(refused, Step::Refused(mark(4, 7, "a", 5100)));
    }

    #[test]
    fn one_that_is_silent_for_the_whole_watch_is_taken_over() {
        let old = || seen(mark(4, 7, "a", 100));
        let mut second = Claiming::new("b", false, TIMING);
        assert_eq!(second.next(s(0), Millis(50_000), old()), Step::Look(s(1)));
        assert_eq!(second.next(Duration::from_millis(14_999), Millis(64_999), old()), Step::Look(s(1)));
        let own = mark(5, 65_000, "b", 65_000);
        assert_eq!(second.next(s(15), Millis(65_000), old()), Step::Commit(own.clone()));
        assert_eq!(second.next(s(15), Millis(65_000), seen(own.clone())), Step::Look(s(1)));
        assert_eq!(second.next(s(20), Millis(70_000), seen(own.clone())), Step::Owned(own));
    }

    #[test]
    fn taking_over_on_purpose_watches_nobody_but_waits_for_its_claim() {
        let mut second = Claiming::new("b", true, TIMING);
        let own = mark(5, 1000, "b", 1000);
        assert_eq!(second.next(s(0), Millis(1000), seen(mark(4, 7, "a", 900))), Step::Commit(own.clone()));
        // The older one wrote once more: it had looked before.
        assert_eq!(
            second.next(s(5), Millis(6000), seen(mark(4, 7, "a", 1100))),
            Step::Commit(mark(5, 1000, "b", 6000))
        );
        assert_eq!(second.next(s(9), Millis(10_000), seen(own.clone())), Step::Look(s(1)));
        assert!(matches!(second.next(s(10), Millis(11_000), seen(own)), Step::Owned(_)));
    }

    #[test]
    fn a_claim_stands_from_when_it_was_written() {
        let mut second = Claiming::new("b", true, TIMING);
        let own = mark(5, 1000, "b", 1000);
        assert_eq!(second.next(s(0), Millis(1000), seen(mark(4, 7, "a", 900))), Step::Commit(own.clone()));
        // Between deciding and writing the state was read.
        second.wrote(s(9));
        assert_eq!(second.next(s(9), Millis(10_000), seen(own.clone())), Step::Look(s(1)));
        assert_eq!(second.next(s(13), Millis(14_000), seen(own.clone())), Step::Look(s(1)));
        assert_eq!(second.next(s(14), Millis(15_000), seen(own.clone())), Step::Owned(own));
    }

    #[test]
    fn commits_without_a_mark_are_watched_too() {
        let mut second = Claiming::new("b", false, TIMING);
        let unmarked = Seen { has_commits: true, mark: None };
        assert_eq!(second.next(s(0), Millis(0), unmarked.clone()), Step::Look(s(1)));
        assert_eq!(second.next(s(15), Millis(3), unmarked), Step::Commit(mark(1, 3, "b", 3)));
    }

    /// Several detectors that claim the group at once, on virtual time: commits overwrite each other, and between
    /// looking and writing anything can happen.
    #[derive(Debug)]
    struct Claimant {
        claiming: Claiming,
        /// When it does what it decided last.
        at_ms: u64,
        decided: Option<Step>,
        owned: Option<Mark>,
        refused: bool,
    }

    proptest! {
        #[test]
        fn of_many_that_claim_at_once_one_is_left(
            delays in prop::collection::vec((0..3000_u64, 0..2000_u64, any::<bool>()), 2..5),
        ) {
            let mut group = seen(mark(4, 7, "old", 0));
            let mut all: Vec<Claimant> = delays.iter().enumerate().map(|(at, (begin, _, take_over))| Claimant {
                claiming: Claiming::new(&format!("d{at}"), *take_over, TIMING),
                at_ms: *begin, decided: None, owned: None, refused: false,
            }).collect();
            // Owners commit every five seconds; before that they look.
            for now in 0..120_000_u64 {
                for (claimant, (_, delay, _)) in all.iter_mut().zip(&delays) {
                    if claimant.at_ms != now || claimant.refused {
                        continue;
                    }
                    let clock = Millis(1_000_000 + now as i64);
                    match claimant.decided.take() {
                        Some(Step::Commit(mark)) => {
                            group = seen(mark);
                            claimant.at_ms = now + 1;
                            continue;
                        }
                        _ if claimant.owned.is_some() => {
                            let own = claimant.owned.clone().expect("owned");
                            let other = group.mark.clone().expect("a mark");
                            if other.is_before(&own) {
                                claimant.refused = true;
                                claimant.owned = None;
                            } else {
                                claimant.decided = Some(Step::Commit(Mark { time: clock, ..own }));
                                claimant.at_ms = now + 5000 - *delay;
                            }
                            continue;
                        }
                        _ => {}
                    }
                    match claimant.claiming.next(Duration::from_millis(now), clock, group.clone()) {
                        // What it decided is written a while after it has looked.
                        commit @ Step::Commit(_) => {
                            claimant.decided = Some(commit);
                            claimant.at_ms = now + 1 + delay;
                        }
                        Step::Look(after) => claimant.at_ms = now + after.as_millis() as u64,
                        Step::Owned(mark) => {
                            claimant.owned = Some(mark);
                            claimant.at_ms = now + 1;
                        }
                        Step::Refused(_) => claimant.refused = true,
                    }
                }
            }
            let owners: Vec<_> = all.iter().filter_map(|claimant| claimant.owned.clone()).collect();
            prop_assert_eq!(owners.len(), 1, "{:#?}", all);
        }
    }
}
