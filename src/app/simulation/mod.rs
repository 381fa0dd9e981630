//! The whole detector in one thread, on a disk that loses and tears and with brokers that are late, forget and repeat.
//!
//! Each seed is a life: it takes some hundred records, crashes at any step, in a start too, and comes to its end. Then
//! what the topics hold and what the engine knows are those of an engine that ran once, undisturbed; and no offset ever
//! stood past what a start would have found. `SIM_SEED=n` lives one again, `SIM_SEEDS=n` or `SIM_SEEDS=from..to` others
//! than the usual ones. Faults that are put into the code on purpose have to be found, and those that a fault of the
//! disk or of the brokers is needed for are not found without it.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mutant::{self, Mutant};
use life::{Arrival, Faults, Life};
use world::World;

mod broker;
mod dice;
mod judge;
mod life;
mod reader;
mod stream;
mod world;

/// Lives that are lived in CI.
const SEEDS: u64 = 6000;
/// With all faults each mutant is found much sooner.
const SEEDS_OF_MUTANTS: u64 = 2000;
/// As many without the fault that finds it.
const SEEDS_OF_SURVIVORS: u64 = 300;

const ALL: Faults = Faults { power: true, flips: true, broker: true };

/// The worlds of both ways in which records arrive.
struct Worlds {
    backlog: World,
    live: World,
}

/// Made once: they cost more than some hundred lives.
static WORLDS: LazyLock<Worlds> = LazyLock::new(|| Worlds { backlog: World::new(false), live: World::new(true) });

impl Worlds {
    /// One life; what was wrong in it.
    fn live(&self, seed: u64, faults: Faults) -> Result<(), String> {
        let (world, arrival) = match seed % 2 {
            0 => (&self.backlog, Arrival::Backlog),
            _ => (&self.live, Arrival::Live),
        };
        let life = AssertUnwindSafe(|| Life::new(world, arrival, faults, seed).live());
        let lived = catch_unwind(life).unwrap_or_else(|_| Err("it panicked".to_owned()));
        lived.map_err(|wrong| format!("SIM_SEED={seed}: {wrong}"))
    }

    /// The first of so many seeds in which something is wrong, of those that were lived: all cores live some.
    fn first_wrong(&self, seeds: Range<u64>, faults: Faults, mutant: Option<Mutant>) -> Option<String> {
        let next = AtomicU64::new(seeds.start);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let live = || {
            mutant::with(mutant, || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return None;
                    }
                    if let Err(wrong) = self.live(seed, faults) {
                        next.store(seeds.end, Ordering::Relaxed);
                        return Some((seed, wrong));
                    }
                }
            })
        };
        let found = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..cores).map(|_| scope.spawn(live)).collect();
            threads.into_iter().filter_map(|thread| thread.join().expect("it lets no panic through")).min()
        });
        found.map(|(_, wrong)| wrong)
    }
}

/// The seeds that are asked for.
fn seeds() -> Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    if let Ok(seed) = std::env::var("SIM_SEED") {
        return number(&seed)..number(&seed) + 1;
    }
    match std::env::var("SIM_SEEDS") {
        Err(_) => 0..SEEDS,
        Ok(text) => text.split_once("..").map_or_else(|| 0..number(&text), |(from, to)| number(from)..number(to)),
    }
}

#[test]
fn whatever_crashes_loses_or_repeats_it_says_and_knows_what_an_undisturbed_run_does() {
    let wrong = WORLDS.first_wrong(seeds(), ALL, None);
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

/// What has to be found with all faults.
const MUTANTS: [Mutant; 10] = [
    Mutant::NoFileSync,
    Mutant::IgnoresRedo,
    Mutant::LogsNothing,
    Mutant::LogsAfterwards,
    Mutant::DropsLogAtBegin,
    Mutant::CutsAgainOtherwise,
    Mutant::CommitsBeforeClosed,
    Mutant::ClosesBeforeAcknowledged,
    Mutant::AcknowledgedWhenSent,
    Mutant::CountedIds,
];

#[test]
fn each_step_left_out_or_done_wrongly_is_found() {
    let survivors: Vec<Mutant> = MUTANTS
        .into_iter()
        .filter(|mutant| WORLDS.first_wrong(0..SEEDS_OF_MUTANTS, ALL, Some(*mutant)).is_none())
        .collect();
    assert_eq!(survivors, []);
}

#[test]
fn without_a_fault_of_the_disk_or_the_brokers_the_mutants_of_that_fault_survive() {
    let no_power = Faults { power: false, ..ALL };
    let no_flips = Faults { flips: false, ..ALL };
    let no_delays = Faults { broker: false, ..ALL };
    for (mutant, faults) in [
        (Mutant::NoFileSync, no_power),
        (Mutant::NoFolderSync, no_power),
        (Mutant::DropsLogWhenClosed, no_flips),
        (Mutant::ClosesBeforeAcknowledged, no_delays),
        (Mutant::AcknowledgedWhenSent, no_delays),
    ] {
        let found = WORLDS.first_wrong(0..SEEDS_OF_MUTANTS, ALL, Some(mutant));
        assert!(found.is_some(), "{mutant:?} is not found with all faults");
        let found = WORLDS.first_wrong(0..SEEDS_OF_SURVIVORS, faults, Some(mutant));
        assert_eq!(found, None, "{mutant:?} is found without the fault that it is about");
    }
}
