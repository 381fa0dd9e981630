//! Checkpoints on a disk that crashes: at any step, with the power or without, again while it recovers.
//!
//! Each seed is a life of a store: it begins checkpoints, crashes, starts again, goes on. After each start the store
//! has to hold exactly the last checkpoint that was closed, or the one that was being closed. Faults that are put into
//! the store on purpose have to be found; `WALLETWATCH_SEEDS=FROM..TO` runs others than the usual seeds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::checkpoint::{Checkpoint, Mark, Progress};
use super::*;
use crate::disk::{Crash, Disk as _, SimulatedDisk};
use crate::mutant::{self, Mutant};

const KEY: &str = "k-1";
const CHECKPOINTS: u64 = 6;
const SEEDS: u64 = 3000;
/// With all faults each mutant is found much sooner.
const SEEDS_OF_SURVIVORS: u64 = 600;

type Values = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

/// Which faults the disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Faults {
    /// The power fails, beside the process being killed.
    power: bool,
    /// A byte of a redo file is flipped while nothing runs.
    flips: bool,
}

const ALL: Faults = Faults { power: true, flips: true };

struct Life {
    disk: SimulatedDisk,
    store: SimulatedStore,
    place: Place,
    /// The state after each checkpoint; the first is empty.
    history: Vec<Values>,
    /// Redo files that were flipped and still have to be found.
    flipped: Option<u64>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let disk = SimulatedDisk::new(seed);
        let store = SimulatedStore::new(&disk);
        let place = Place { disk: Arc::new(disk.clone()), folder: "/state".into(), store: Arc::new(store.clone()) };
        Life { disk, store, place, history: vec![Values::new()], flipped: None }
    }

    /// The changes of the next checkpoint, which the history has after this.
    fn change(&mut self) -> (Mark, Vec<Vec<u8>>) {
        let mut values = self.history.last().cloned().unwrap_or_default();
        let mut redo = Redo::new();
        // Now and then more than a chunk, mostly some sectors.
        let value_bytes = if self.disk.random(20) == 0 { 9000 } else { 40 };
        for _ in 0..self.disk.random(60) {
            let space = Space::ALL[self.disk.random(Space::ALL.len() as u64) as usize];
            let key = vec![self.disk.random(8) as u8];
            if self.disk.random(4) == 0 {
                redo.delete(space, &key);
                values.remove(&(space, key));
            } else {
                let value = vec![self.disk.random(256) as u8; self.disk.random(value_bytes) as usize];
                redo.put(space, &key, &value);
                values.insert((space, key), value);
            }
        }
        let number = self.history.len() as u64;
        self.history.push(values);
        let progress = Progress { batch: number * 10, ..Progress::default() };
        (Mark::new(KEY, Checkpoint { number, progress }), redo.into_chunks().expect("small"))
    }

    /// Starts again, crashing now and then while it does. The number of the checkpoint it goes on from.
    fn start(&mut self, faults: Faults, closed: u64) -> Result<u64, String> {
        if faults.flips && self.disk.random(8) == 0 {
            self.flip();
        }
        loop {
            if self.disk.random(3) == 0 {
                self.disk.crash_after(self.disk.random(6));
            }
            let result = recover(&self.place, Path::new("/state/hash.key"), KEY);
            if self.disk.is_down() {
                self.restart(faults);
                continue;
            }
            let crash_free = u64::MAX / 2;
            self.disk.crash_after(crash_free);
            return self.judge(result, closed);
        }
    }

    fn restart(&self, faults: Faults) {
        let crash = if faults.power && self.disk.random(4) > 0 { Crash::Power } else { Crash::Process };
        self.disk.restart(crash);
        self.store.restart(crash);
    }

    fn flip(&mut self) {
        let Ok(names) = self.disk.names(&self.place.folder) else { return };
        let Some(name) = names.last() else { return };
        let path = self.place.folder.join(name);
        let bytes = self.disk.bytes(&path).unwrap_or_default() as u64;
        if bytes > 0 {
            self.disk.flip(&path, self.disk.random(bytes) as usize, 1 << self.disk.random(8));
            self.flipped = name.strip_prefix("redo-").and_then(|number| number.parse().ok());
        }
    }

    /// Whether what a start made is what it promises.
    fn judge(&mut self, result: Result<Recovered, StoreError>, closed: u64) -> Result<u64, String> {
        let flipped = self.flipped.take();
        let recovered = match result {
            Ok(recovered) => recovered,
            Err(error) => return Err(format!("refused: {error}")),
        };
        let number = recovered.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.number);
        let lowest = if flipped == Some(closed) { closed.saturating_sub(1) } else { closed };
        if number < lowest || number >= self.history.len() as u64 {
            return Err(format!("goes on from {number}, closed was {closed}"));
        }
        if let Some(checkpoint) = &recovered.checkpoint
            && checkpoint.progress.batch != number * 10
        {
            return Err("another progress".to_owned());
        }
        let mut values = Values::new();
        for space in Space::ALL {
            let mut take = |key: &[u8], value: &[u8]| {
                values.insert((space, key.to_vec()), value.to_vec());
                Ok(())
            };
            self.store.each(space, &mut take).map_err(|error| error.to_string())?;
        }
        if Some(&values) != self.history.get(number as usize) {
            return Err(format!("what it holds is not checkpoint {number}"));
        }
        self.history.truncate(number as usize + 1);
        Ok(number)
    }
}

/// One life. What it did that it must not, if anything.
fn live(seed: u64, faults: Faults) -> Result<(), String> {
    let mut life = Life::new(seed);
    let mut closed = 0;
    let mut crashes = 0;
    while closed < CHECKPOINTS && crashes < 20 {
        if life.disk.random(2) == 0 {
            life.disk.crash_after(life.disk.random(12));
        }
        let (mark, chunks) = life.change();
        let done = life.place.close(&mark, &chunks).and_then(|_| {
            // From here on Kafka's offsets may be committed up to it.
            closed = mark.checkpoint.number;
            life.place.apply(&mark, &chunks)
        });
        if done.is_ok() && life.disk.random(5) > 0 {
            continue;
        }
        if let Err(error) = &done
            && !life.disk.is_down()
        {
            return Err(format!("failed without a crash: {error}"));
        }
        crashes += 1;
        life.restart(faults);
        let number = life.start(faults, closed);
        closed = number.map_err(|wrong| format!("seed {seed}, after crash {crashes}: {wrong}"))?;
    }
    Ok(())
}

fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("WALLETWATCH_SEEDS").ok();
    let range = given.as_deref().and_then(|text| text.split_once(".."));
    range.map_or(0..SEEDS, |(from, to)| from.parse().expect("a number")..to.parse().expect("a number"))
}

#[test]
fn after_a_crash_at_any_step_the_store_holds_the_last_closed_checkpoint_and_nothing_between() {
    let wrong: Vec<String> = seeds().filter_map(|seed| live(seed, ALL).err()).take(5).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The first seed that finds a fault put in on purpose.
fn found(mutant: Mutant, faults: Faults, seeds: u64) -> Option<u64> {
    mutant::with(Some(mutant), || (0..seeds).find(|seed| live(*seed, faults).is_err()))
}

#[test]
fn each_step_left_out_or_done_wrongly_is_found() {
    let mutants = [
        Mutant::NoFileSync,
        Mutant::NoFolderSync,
        Mutant::NoChecksums,
        Mutant::NoClosingMark,
        Mutant::DropsFirst,
        Mutant::DropsAtOnce,
    ];
    let survivors: Vec<Mutant> = mutants.into_iter().filter(|mutant| found(*mutant, ALL, SEEDS).is_none()).collect();
    assert_eq!(survivors, []);
}

#[test]
fn a_disk_without_a_fault_would_let_the_mutant_of_that_fault_survive() {
    let no_power = Faults { power: false, flips: true };
    assert_eq!(
        found(Mutant::NoFileSync, no_power, SEEDS_OF_SURVIVORS),
        None,
        "only a failure of the power loses what is not synced"
    );
    assert_eq!(found(Mutant::NoFolderSync, no_power, SEEDS_OF_SURVIVORS), None);
    let neither = Faults { power: false, flips: false };
    assert_eq!(
        found(Mutant::NoChecksums, neither, SEEDS_OF_SURVIVORS),
        None,
        "only tearing and flips make checksums wrong"
    );
}
