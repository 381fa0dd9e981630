//! The merge on virtual time: properties over random arrivals, and each limit by hand.

use proptest::prelude::*;

use super::*;

/// What one lane will bring: (arrival ms, stamp) in offset order; after the last, its end.
type Script = Vec<(u64, i64)>;

const NOW_MS: i64 = 1_000_000;

/// Drives a merge as the consumer does, on virtual time. Returns (stamp, lane, offset) by batch.
struct Drive {
    scripts: Vec<Script>,
    places: Vec<(u16, i32)>,
    limits: Limits,
    end_after_ms: u64,
    batch_max: usize,
    longest_wait_ms: u64,
    waited_for_live: bool,
    /// The moment of each batch.
    moments: Vec<i64>,
}

impl Drive {
    fn new(scripts: Vec<Script>) -> Self {
        let limits = Limits { start_wait_ms_max: 500, ..Limits::default() };
        Drive {
            places: places(scripts.len()).collect(),
            scripts,
            limits,
            end_after_ms: 20,
            batch_max: 7,
            longest_wait_ms: 0,
            waited_for_live: false,
            moments: Vec::new(),
        }
    }

    fn run(&mut self) -> Vec<Vec<(i64, u16, usize)>> {
        let mut merge = Merge::new(self.places.iter().copied(), self.limits);
        let mut brought = vec![0_usize; self.scripts.len()];
        let mut ended = vec![false; self.scripts.len()];
        let total: usize = self.scripts.iter().map(Vec::len).sum();
        let (mut now, mut taken, mut batches) = (0_u64, 0_usize, Vec::new());
        while taken < total {
            let moment = Millis(NOW_MS + now as i64);
            merge.begin(moment);
            let mut batch = Vec::new();
            let wait = loop {
                if batch.len() == self.batch_max {
                    break None;
                }
                match merge.next(now) {
                    Next::Ask(lane) => {
                        self.bring(&mut merge, lane, now, &mut brought, &mut ended);
                        merge.asked(lane, now);
                    }
                    Next::Take(lane, stamp, offset) => batch.push((stamp.0, lane, offset)),
                    Next::Wait(until) => break Some(until),
                    Next::Nothing => break Some(u64::MAX),
                    Next::Missing(lane) => panic!("lane {lane}: nothing is taken again"),
                }
            };
            taken += batch.len();
            if let Some(until) = wait
                && batch.is_empty()
            {
                self.check_wait(&brought, &ended, moment, now, until);
                let arrival = self.next_arrival(&brought, &ended);
                let waited = if until == u64::MAX { 0 } else { until - now };
                self.longest_wait_ms = self.longest_wait_ms.max(waited);
                now = arrival.min(until).max(now + 1);
            }
            if !batch.is_empty() {
                batches.push(batch);
                self.moments.push(moment.0);
            }
        }
        batches
    }

    fn bring(&self, merge: &mut Merge<usize>, lane: u16, now: u64, brought: &mut [usize], ended: &mut [bool]) {
        let at = usize::from(lane);
        let script = &self.scripts[at];
        while brought[at] < script.len() && script[brought[at]].0 <= now {
            merge.arrived(lane, Millis(script[brought[at]].1), brought[at]);
            brought[at] += 1;
        }
        let end = script.last().map_or(0, |(arrival, _)| *arrival) + self.end_after_ms;
        if brought[at] == script.len() && now >= end && !ended[at] {
            merge.at_end(lane);
            ended[at] = true;
        }
    }

    fn next_arrival(&self, brought: &[usize], ended: &[bool]) -> u64 {
        let of = |(at, script): (usize, &Script)| match script.get(brought[at]) {
            Some((arrival, _)) => Some(*arrival),
            None if !ended[at] => Some(script.last().map_or(0, |(a, _)| *a) + self.end_after_ms),
            None => None,
        };
        self.scripts.iter().enumerate().filter_map(of).min().unwrap_or(0)
    }

    /// A wait needs somebody who is behind.
    fn check_wait(&mut self, brought: &[usize], ended: &[bool], moment: Millis, now: u64, until: u64) {
        if until == u64::MAX || until <= now {
            return;
        }
        let behind = self.scripts.iter().enumerate().any(|(at, script)| {
            let last = brought[at].checked_sub(1).map(|l| script[l].1);
            !ended[at] && last.is_none_or(|last| moment.0 - last > self.limits.live_ms)
        });
        self.waited_for_live |= !behind;
    }
}

/// Takes batches again by their ranges, with other arrivals.
struct Again {
    drive: Drive,
    now: u64,
}

impl Again {
    fn run(
        &mut self,
        batches: &[Vec<(i64, u16, usize)>],
        moments: &[i64],
        skipped: &[usize],
    ) -> Vec<Vec<(i64, u16, usize)>> {
        let drive = &self.drive;
        let mut merge = Merge::new(drive.places.iter().copied(), drive.limits);
        let mut brought = vec![0; drive.scripts.len()];
        let mut ended = vec![false; drive.scripts.len()];
        let mut taken = Vec::new();
        for (batch, moment) in batches.iter().zip(moments) {
            let mut ranges: Vec<(u16, u32)> = Vec::new();
            for record in batch {
                match ranges.iter_mut().find(|(lane, _)| *lane == record.1) {
                    Some((_, records)) => *records += 1,
                    None => ranges.push((record.1, 1)),
                }
            }
            ranges.sort_by_key(|(lane, _)| drive.places[usize::from(*lane)]);
            merge.begin_again(Millis(*moment), ranges.into_iter());
            let mut again = Vec::new();
            loop {
                match merge.next(self.now) {
                    Next::Ask(lane) => {
                        drive.bring(&mut merge, lane, self.now, &mut brought, &mut ended);
                        merge.asked(lane, self.now);
                    }
                    Next::Take(lane, stamp, offset) => again.push((stamp.0, lane, offset + skipped[usize::from(lane)])),
                    Next::Wait(_) => {
                        self.now = drive.next_arrival(&brought, &ended).max(self.now + 1);
                        merge.resume();
                    }
                    Next::Nothing => break,
                    Next::Missing(lane) => panic!("lane {lane} has no more after {again:?}"),
                }
            }
            taken.push(again);
        }
        taken
    }
}

/// So many partitions of one topic.
fn places(lanes: usize) -> impl Iterator<Item = (u16, i32)> {
    (0..lanes as i32).map(|partition| (0, partition))
}

/// Arrivals rise, as a queue brings them.
fn rising(mut script: Script) -> Script {
    let mut last = 0;
    for (arrival, _) in &mut script {
        last = last.max(*arrival);
        *arrival = last;
    }
    script
}

fn scripts(stamps: std::ops::Range<i64>, arrivals: u64) -> impl Strategy<Value = Vec<Script>> {
    let script = prop::collection::vec((0..arrivals, stamps), 0..40).prop_map(rising);
    prop::collection::vec(script, 1..6)
}

proptest! {
    #[test]
    fn nothing_is_lost_repeated_or_turned_round(scripts in scripts(NOW_MS - 5000..NOW_MS + 3000, 2000)) {
        let mut drive = Drive::new(scripts.clone());
        let taken: Vec<_> = drive.run().into_iter().flatten().collect();
        for (lane, script) in (0_u16..).zip(&scripts) {
            let offsets: Vec<usize> = taken.iter().filter(|t| t.1 == lane).map(|t| t.2).collect();
            prop_assert_eq!(offsets, (0..script.len()).collect::<Vec<_>>());
        }
        prop_assert!(drive.longest_wait_ms <= 500, "waited {} ms", drive.longest_wait_ms);
        prop_assert!(!drive.waited_for_live);
    }

    #[test]
    fn a_backlog_is_worked_off_in_the_order_it_was_written(scripts in scripts(NOW_MS - 90_000..NOW_MS - 5000, 400)) {
        // Each lane's stamps rise, as a topic written in real time has them; arrivals are up to 400 ms apart.
        let scripts: Vec<Script> = scripts
            .into_iter()
            .map(|script| {
                let mut stamps: Vec<i64> = script.iter().map(|r| r.1).collect();
                stamps.sort_unstable();
                script.iter().zip(stamps).map(|((arrival, _), stamp)| (*arrival, stamp)).collect()
            })
            .collect();
        let taken: Vec<_> = Drive::new(scripts.clone()).run().into_iter().flatten().collect();
        let mut written: Vec<_> = (0_u16..)
            .zip(&scripts)
            .flat_map(|(lane, script)| script.iter().enumerate().map(move |(o, (_, stamp))| (*stamp, lane, o)))
            .collect();
        written.sort_unstable();
        prop_assert_eq!(taken, written);
    }

    #[test]
    fn inside_a_batch_the_order_is_the_merge_of_its_ranges(
        scripts in scripts(NOW_MS - 5000..NOW_MS + 3000, 900),
        turned in any::<bool>(),
    ) {
        let mut drive = Drive::new(scripts.clone());
        if turned {
            // Lanes are numbered as they became known, not by topic and partition.
            drive.places.reverse();
        }
        let batches = drive.run();
        for (batch, moment) in batches.iter().zip(&drive.moments) {
            let mut ranges: Vec<VecDeque<_>> = vec![VecDeque::new(); scripts.len()];
            for record in batch {
                ranges[usize::from(record.1)].push_back(*record);
            }
            let mut again = Vec::new();
            let head = |r: &VecDeque<(i64, u16, usize)>| {
                r.front().map(|r| (r.0.min(*moment), drive.places[usize::from(r.1)], r.1))
            };
            while let Some(least) = ranges.iter().filter_map(head).min() {
                again.extend(ranges[usize::from(least.2)].pop_front());
            }
            prop_assert_eq!(batch, &again);
        }
    }

    /// However differently the records arrive the second time, and wherever the first run was cut off.
    #[test]
    fn a_batch_taken_again_by_its_ranges_is_the_same_batch(
        scripts in scripts(NOW_MS - 5000..NOW_MS + 3000, 900),
        arrivals in prop::collection::vec(0..3000_u64, 1..40),
        from in 0.0..1.0_f64,
        turned in any::<bool>(),
    ) {
        let mut first = Drive::new(scripts.clone());
        if turned {
            first.places.reverse();
        }
        let batches = first.run();
        let from = (batches.len() as f64 * from) as usize;
        // What the checkpoint covers is not read again.
        let mut skipped = vec![0; scripts.len()];
        batches[..from].iter().flatten().for_each(|record| skipped[usize::from(record.1)] += 1);
        let mut arrival = arrivals.iter().cycle();
        let others = scripts.iter().zip(&skipped).map(|(script, skipped)| {
            rising(script[*skipped..].iter().map(|(_, stamp)| (*arrival.next().expect("a cycle"), *stamp)).collect())
        });
        let others: Vec<Script> = others.collect();
        let mut again = Again { drive: Drive { places: first.places.clone(), ..Drive::new(others) }, now: 0 };
        let taken = again.run(&batches[from..], &first.moments[from..], &skipped);
        prop_assert_eq!(&batches[from..], &taken);
    }
}

#[test]
fn a_stamp_in_the_future_counts_as_the_moment() {
    let mut merge = Merge::new(places(2), Limits::default());
    merge.begin(Millis(100));
    merge.arrived(0, Millis(900), 'a');
    merge.arrived(1, Millis(500), 'b');
    merge.asked(0, 0);
    merge.asked(1, 0);
    assert_eq!(merge.next(0), Next::Take(0, Millis(900), 'a'));
}

#[test]
fn a_live_partition_is_not_waited_for() {
    let mut merge = Merge::new(places(2), Limits::default());
    merge.begin(Millis(10_000));
    merge.arrived(0, Millis(9500), 'a');
    merge.arrived(1, Millis(9400), 'b');
    merge.asked(0, 0);
    merge.asked(1, 0);
    assert_eq!(merge.next(0), Next::Take(1, Millis(9400), 'b'));
    assert_eq!(merge.next(0), Next::Ask(1));
    merge.asked(1, 0);
    assert_eq!(merge.next(0), Next::Take(0, Millis(9500), 'a'));
}

#[test]
fn one_that_is_behind_is_waited_for_once() {
    let mut merge = Merge::new(places(2), Limits::default());
    merge.begin(Millis(10_000));
    merge.arrived(0, Millis(3000), 'a');
    merge.arrived(1, Millis(2000), 'b');
    merge.asked(0, 0);
    merge.asked(1, 0);
    assert_eq!(merge.next(0), Next::Take(1, Millis(2000), 'b'));
    assert_eq!(merge.next(0), Next::Ask(1));
    merge.asked(1, 7);
    assert_eq!(merge.next(7), Next::Wait(507));
    merge.begin(Millis(10_507));
    assert_eq!(merge.next(507), Next::Ask(1));
    merge.asked(1, 507);
    assert_eq!(merge.next(507), Next::Take(0, Millis(3000), 'a'));
    assert_eq!(merge.given_up(), 1);
    merge.arrived(0, Millis(3001), 'c');
    merge.asked(0, 600);
    merge.begin(Millis(10_600));
    assert_eq!(merge.next(600), Next::Ask(1));
    merge.asked(1, 600);
    assert_eq!(merge.next(600), Next::Take(0, Millis(3001), 'c'), "it was given up: nobody waits again");
}

/// A merge of two lanes: lane 0 holds a record of age 5 s, lane 1 brought one of this age and is empty again.
fn second_is_empty(age_ms: i64) -> Merge<char> {
    let mut merge = Merge::new(places(2), Limits::default());
    merge.begin(Millis(100_000));
    merge.arrived(1, Millis(100_000 - age_ms), 'b');
    merge.asked(1, 0);
    merge.asked(0, 0);
    merge.at_end(0);
    assert!(matches!(merge.next(0), Next::Take(1, _, 'b')));
    merge.arrived(0, Millis(95_000), 'a');
    assert_eq!(merge.next(0), Next::Ask(1));
    merge.asked(1, 0);
    merge
}

#[test]
fn behind_is_older_than_the_limit_and_not_at_the_end() {
    assert_eq!(second_is_empty(1000).next(0), Next::Take(0, Millis(95_000), 'a'));
    assert_eq!(second_is_empty(1001).next(0), Next::Wait(500));
    let mut at_end = second_is_empty(1001);
    at_end.at_end(1);
    assert_eq!(at_end.next(0), Next::Take(0, Millis(95_000), 'a'));
}

#[test]
fn a_record_after_the_end_makes_it_behind_again() {
    let mut merge = second_is_empty(60_000);
    merge.at_end(1);
    merge.arrived(1, Millis(50_000), 'c');
    assert!(matches!(merge.next(1), Next::Take(1, _, 'c')));
    assert_eq!(merge.next(1), Next::Ask(1));
    merge.asked(1, 1);
    assert_eq!(merge.next(1), Next::Wait(501));
}

#[test]
fn the_wait_ends_at_its_limit_to_the_millisecond() {
    let mut merge = second_is_empty(1001);
    assert_eq!(merge.next(499), Next::Wait(500));
    assert_eq!(merge.next(500), Next::Take(0, Millis(95_000), 'a'));
}

#[test]
fn one_that_never_spoke_is_waited_for_longer() {
    let mut merge: Merge<char> = Merge::new(places(1), Limits::default());
    merge.begin(Millis(0));
    merge.asked(0, 3);
    assert_eq!(merge.next(3), Next::Wait(10_003));
}

#[test]
fn what_is_missing_of_a_batch_taken_again_is_told() {
    let mut merge = Merge::new(places(2), Limits::default());
    merge.begin_again(Millis(100), [(1, 2)].into_iter());
    assert_eq!(merge.next(0), Next::Ask(1), "nothing is asked of a lane that gives nothing");
    merge.arrived(1, Millis(7), 'a');
    merge.asked(1, 0);
    assert_eq!(merge.next(0), Next::Take(1, Millis(7), 'a'));
    assert_eq!(merge.next(0), Next::Ask(1));
    merge.asked(1, 0);
    assert_eq!(merge.next(90_000), Next::Wait(u64::MAX), "it is waited for as long as it takes");
    merge.resume();
    assert_eq!(merge.next(90_000), Next::Ask(1));
    merge.at_end(1);
    merge.asked(1, 90_000);
    assert_eq!(merge.next(90_000), Next::Missing(1));
}

#[test]
fn after_the_last_batch_taken_again_the_next_is_live() {
    let mut merge = Merge::new([(1, 0), (0, 0)].into_iter(), Limits::default());
    merge.begin_again(Millis(100), [(0, 1)].into_iter());
    merge.arrived(0, Millis(50), 'a');
    merge.arrived(0, Millis(60), 'b');
    merge.arrived(1, Millis(60), 'c');
    merge.asked(0, 0);
    assert_eq!(merge.next(0), Next::Take(0, Millis(50), 'a'));
    assert_eq!(merge.next(0), Next::Nothing);
    merge.begin(Millis(100));
    assert_eq!(merge.next(0), Next::Take(1, Millis(60), 'c'), "topic 0 comes before topic 1");
    assert_eq!(merge.next(0), Next::Ask(1));
    merge.asked(1, 0);
    assert_eq!(merge.next(0), Next::Take(0, Millis(60), 'b'));
}

#[test]
fn equal_timestamps_are_taken_again_in_the_order_of_the_ranges() {
    // The topics of the configuration have changed places since the batch was logged.
    let mut merge = Merge::new(places(2), Limits::default());
    merge.begin_again(Millis(100), [(1, 1), (0, 1)].into_iter());
    for (lane, item) in [(0, 'a'), (1, 'b')] {
        merge.arrived(lane, Millis(50), item);
        merge.asked(lane, 0);
    }
    assert_eq!(merge.next(0), Next::Take(1, Millis(50), 'b'));
    assert_eq!(merge.next(0), Next::Take(0, Millis(50), 'a'));
    assert_eq!(merge.next(0), Next::Nothing);
}
