//! The batch log on a real folder: what comes back, what is cut, what is refused, what is dropped.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::disk::{Crash, RealDisk, SimulatedDisk};
use crate::event::Millis;
use crate::ingest::{Partition, Position, Record};

const LANES: usize = 3;

fn lanes() -> Lanes {
    Lanes::new(["logins", "accounts", "transactions"].map(|topic| Partition::new(topic, 0)).to_vec())
}

fn digests(rules: &str) -> Digests {
    Digests { rules: rules.to_owned(), lists: "lists".to_owned(), geo: String::new(), mappings: "none".to_owned() }
}

/// A batch of `records` from each lane, from `next` on.
fn batch(moment: i64, records: [i64; LANES], next: &mut [i64; LANES]) -> Batch {
    let mut batch = Batch::default();
    batch.clear(Millis(moment));
    batch.at_end = vec![true, false, moment % 2 == 0];
    for (lane, (count, next)) in records.into_iter().zip(next.iter_mut()).enumerate() {
        for _ in 0..count {
            let position = Position { topic: lane as u16, partition: 0, offset: *next };
            let stamp = Millis(moment);
            batch.push(Record { position, lane: lane as u16, stamp, key: None, value: None });
            *next += 1;
        }
    }
    batch
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn open(&self, after: u64) -> Result<Opened, LogError> {
        BatchLog::open(Arc::new(RealDisk), self.0.path(), after, false)
    }

    fn files(&self) -> Vec<PathBuf> {
        read::files(&RealDisk, self.0.path()).expect("listed").into_iter().map(|file| file.path).collect()
    }

    /// A log of so many batches, each of one record of each lane, closed.
    fn with(batches: i64) -> Self {
        let folder = Folder::new();
        let mut log = folder.open(0).expect("opened").log;
        let mut next = [100; LANES];
        for number in 0..batches {
            log.append(&batch(1000 + number, [1; LANES], &mut next), &lanes(), &digests("r")).expect("written");
        }
        folder
    }
}

fn numbers(again: &[Logged]) -> Vec<u64> {
    again.iter().map(|logged| logged.taken.number).collect()
}

#[test]
fn a_batch_comes_back_whole() {
    let folder = Folder::new();
    let mut log = folder.open(0).expect("opened").log;
    let (mut next, lanes) = ([100, 200, 300], lanes());
    let first = batch(1001, [2, 0, 1], &mut next);
    assert_eq!(log.append(&first, &lanes, &digests("r1")).expect("written"), 1);
    lanes.add(Partition::new("logins", 1));
    assert_eq!(log.append(&batch(1002, [1, 1, 0], &mut next), &lanes, &digests("r2")).expect("written"), 2);
    let again = folder.open(0).expect("opened").again;
    let span = |lane, first, last, records| Span { lane, first, last, records };
    let taken = Taken {
        number: 1,
        moment: Millis(1001),
        at_end: vec![true, false, false],
        spans: vec![span(0, 100, 101, 2), span(2, 300, 300, 1)],
    };
    assert_eq!(again[0].taken, taken);
    assert_eq!((again[0].lanes.len(), again[0].in_force.rules.as_str()), (3, "r1"));
    assert_eq!((again[1].lanes[3].to_string().as_str(), again[1].in_force.rules.as_str()), ("logins[1]", "r2"));
}

#[test]
fn one_that_is_taken_again_is_not_written_again() {
    let folder = Folder::with(3);
    let mut opened = folder.open(1).expect("opened");
    assert_eq!(numbers(&opened.again), [2, 3]);
    let mut again = batch(1, [1; LANES], &mut [102; LANES]);
    again.again = Some(3);
    assert_eq!(opened.log.append(&again, &lanes(), &digests("r")).expect("taken"), 3);
    assert_eq!(
        opened.log.append(&batch(9, [1; LANES], &mut [103; LANES]), &lanes(), &digests("r")).expect("written"),
        4
    );
    assert_eq!(numbers(&folder.open(1).expect("opened").again), [2, 3, 4]);
}

#[test]
fn what_a_closed_checkpoint_covers_is_dropped_and_nothing_else() {
    let folder = Folder::new();
    let mut log = folder.open(0).expect("opened").log;
    let mut next = [100; LANES];
    let mut write = |log: &mut BatchLog| log.append(&batch(7, [1; LANES], &mut next), &lanes(), &digests("r"));
    for _ in 0..3 {
        write(&mut log).expect("written");
    }
    let mut file = log.roll().expect("rolled").expect("a file");
    write(&mut log).expect("written");
    file.sync().expect("synced");
    log.drop_before(3).expect("kept");
    assert_eq!(folder.files().len(), 2, "batch 3 is needed");
    log.drop_before(4).expect("dropped");
    assert_eq!(folder.files().len(), 1);
    assert!(log.waiting_bytes() > 0);
    assert_eq!(numbers(&folder.open(3).expect("opened").again), [4]);
    let opened = folder.open(2).expect("opened");
    assert_eq!((opened.again.len(), opened.cut.expect("batch 3 is gone").why), (0, Why::Missing));
    assert_eq!(opened.log.next_number(), 3);
}

#[test]
fn a_log_behind_its_checkpoint_begins_anew() {
    let folder = Folder::with(3);
    let mut opened = folder.open(5).expect("opened");
    assert!(opened.again.is_empty() && folder.files().is_empty());
    assert_eq!(opened.log.append(&batch(7, [1; LANES], &mut [9; LANES]), &lanes(), &digests("r")).expect("written"), 6);
    assert_eq!(numbers(&folder.open(5).expect("opened").again), [6]);
}

#[test]
fn everything_is_kept_for_an_oracle() {
    let folder = Folder::new();
    let open = |after| BatchLog::open(Arc::new(RealDisk), folder.0.path(), after, true).expect("opened");
    let mut next = [100; LANES];
    for after in [0, 2, 4] {
        let mut log = open(after).log;
        for _ in 0..2 {
            log.append(&batch(7, [1; LANES], &mut next), &lanes(), &digests("r")).expect("written");
        }
        log.roll().expect("rolled");
        log.drop_before(99).expect("kept");
    }
    let kept = BatchLog::kept(&RealDisk, folder.0.path()).expect("read");
    assert_eq!(numbers(&kept), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn two_batches_never_take_the_same_record() {
    let folder = Folder::with(1);
    let mut log = folder.open(0).expect("opened").log;
    log.append(&batch(9, [1, 0, 0], &mut [100; LANES]), &lanes(), &digests("r")).expect("written");
    let opened = folder.open(0).expect("opened");
    assert_eq!(numbers(&opened.again), [1]);
    assert_eq!(opened.cut.expect("offset 100 of lane 0 was taken before").why, Why::Overlap);
}

#[test]
fn a_write_that_fails_is_the_last_one() {
    let disk = SimulatedDisk::new(1);
    let open = || BatchLog::open(Arc::new(disk.clone()), Path::new("/log"), 0, false).expect("opened");
    let mut log = open().log;
    let mut next = [100; LANES];
    let mut write = |log: &mut BatchLog| log.append(&batch(7, [1; LANES], &mut next), &lanes(), &digests("r"));
    assert_eq!((write(&mut log).expect("written"), write(&mut log).expect("written")), (1, 2));
    disk.fail_after(0, io::ErrorKind::StorageFull);
    let told = write(&mut log).expect_err("the disk is full").to_string();
    assert!(told.starts_with("batch log: failed to write /log/batches-00000000000000000001.log: "), "{told}");
    assert!(matches!(write(&mut log), Err(LogError::Poisoned { .. })), "nothing is decided any more");
    assert_eq!(numbers(&open().again), [1, 2]);
}

#[test]
fn a_later_format_is_refused() {
    let folder = Folder::new();
    let path = folder.0.path().join("batches-00000000000000000001.log");
    let (mut bytes, mut content) = (Vec::new(), Vec::new());
    let kind = Entry::Header(FORMAT + 1, 1).put(&mut content);
    frame::put(&mut bytes, 1, 0, kind, &content);
    fs::write(&path, bytes).expect("written");
    let error = folder.open(0).err().expect("another format");
    assert!(matches!(error, LogError::Format { found, .. } if found == FORMAT + 1), "{error}");
}

#[test]
fn damage_ends_the_log_and_files_behind_it_go() {
    let folder = Folder::with(4);
    let path = folder.files()[0].clone();
    let mut log = folder.open(0).expect("opened").log;
    log.append(&batch(9, [1; LANES], &mut [104; LANES]), &lanes(), &digests("r")).expect("written");
    assert_eq!(folder.files().len(), 2);
    let mut bytes = fs::read(&path).expect("read");
    let ends: Vec<usize> = frames(&bytes).collect();
    // Header, lanes, what is in force, two batches: the third batch is damaged.
    bytes[ends[4] + 20] ^= 1;
    fs::write(&path, &bytes).expect("written");
    let opened = folder.open(0).expect("opened");
    assert_eq!(numbers(&opened.again), [1, 2]);
    let cut = opened.cut.expect("cut");
    assert_eq!((cut.file, cut.at, cut.why), (path, ends[4] as u64, Why::Damaged));
    assert!(cut.bytes > (bytes.len() - ends[4]) as u64, "and the file behind it");
    assert_eq!((folder.files().len(), opened.log.next_number()), (1, 3));
    let error = folder.open(0).expect("opened").cut;
    assert_eq!(error, None, "what is left is right");
}

#[test]
fn an_oracle_is_told_that_not_every_batch_is_there() {
    let folder = Folder::with(4);
    let path = folder.files()[0].clone();
    let mut bytes = fs::read(&path).expect("read");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(&path, &bytes).expect("written");
    let told = BatchLog::kept(&RealDisk, folder.0.path()).expect_err("the last is torn").to_string();
    assert!(told.contains("00001.log is torn at byte "), "{told}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Wherever the writing was torn, the batches before are there, and the log goes on behind them.
    #[test]
    fn a_torn_end_is_cut_at_the_last_whole_batch(batches in 1..6_i64, cut in 0.0..1.0_f64, garbage in prop::collection::vec(any::<u8>(), 0..40)) {
        let folder = Folder::with(batches);
        let path = folder.files()[0].clone();
        let whole = fs::read(&path).expect("read");
        let length = (whole.len() as f64 * cut) as usize;
        let expected: Vec<u64> = (1..).take((0..batches).filter(|n| {
            // A batch is there if its frame lies before the cut.
            frames(&whole).nth(3 + *n as usize).is_some_and(|end| end <= length)
        }).count()).collect();
        let mut torn = whole[..length].to_vec();
        torn.extend(&garbage);
        fs::write(&path, &torn).expect("written");
        let mut opened = folder.open(0).expect("opened");
        prop_assert_eq!(numbers(&opened.again), expected.clone());
        prop_assert_eq!(opened.cut.is_some(), torn.len() != frames(&whole).take_while(|end| *end <= length).last().unwrap_or(0));
        let number = opened.log.append(&batch(9, [1; LANES], &mut [500; LANES]), &lanes(), &digests("r")).expect("written");
        prop_assert_eq!(number, expected.len() as u64 + 1);
        let again = numbers(&folder.open(0).expect("opened").again);
        prop_assert_eq!(again, (1..=number).collect::<Vec<_>>());
    }

    /// Whichever byte is flipped, it is told, or what it damaged was the last record.
    #[test]
    fn a_flipped_byte_is_never_silent(batches in 2..6_i64, place in 0.0..1.0_f64, bit in 0..8_u8) {
        let folder = Folder::with(batches);
        let path = folder.files()[0].clone();
        let mut bytes = fs::read(&path).expect("read");
        let at = (bytes.len() as f64 * place) as usize;
        bytes[at] ^= 1 << bit;
        let ends: Vec<u64> = frames(&bytes_before(&bytes, at, bit)).map(|end| end as u64).collect();
        fs::write(&path, &bytes).expect("written");
        let opened = folder.open(0).expect("opened");
        let begin = ends.iter().rev().find(|end| **end <= at as u64).copied().unwrap_or(0);
        let is_last = begin == ends[ends.len() - 2];
        let why = if is_last { Why::Torn } else { Why::Damaged };
        let cut = opened.cut.expect("it is told");
        prop_assert_eq!((cut.file, cut.at, cut.why), (path, begin, why));
        // Three records stand before the first batch.
        let before = ends.iter().filter(|end| **end <= begin).count().saturating_sub(3);
        prop_assert_eq!(numbers(&opened.again), (1..=before as u64).collect::<Vec<_>>());
    }

    /// The power fails at any step: what comes back is a beginning of what was written, at least up to what was
    /// synced, and the log goes on behind it. The end of the process alone loses nothing.
    #[test]
    fn a_crash_at_any_step_leaves_a_beginning(
        seed in any::<u64>(),
        steps in 0..60_u64,
        is_power in any::<bool>(),
        rolls in 1..7_usize,
    ) {
        let disk = SimulatedDisk::new(seed);
        let folder = Path::new("/log");
        let mut log = BatchLog::open(Arc::new(disk.clone()), folder, 0, true).expect("opened").log;
        disk.crash_after(steps);
        let mut next = [100; LANES];
        let (mut written, mut synced) = (0, 0);
        for at in 1..40 {
            let batch = batch(at as i64, [1, at as i64 % 3, 40], &mut next);
            let Ok(number) = log.append(&batch, &lanes(), &digests("r")) else { break };
            written = number;
            if at % rolls == 0 {
                let Ok(file) = log.roll() else { break };
                let Ok(()) = file.map_or(Ok(()), |mut file| file.sync()) else { break };
                synced = number;
            }
        }
        let crash = if is_power { Crash::Power } else { Crash::Process };
        disk.restart(crash);
        let opened = BatchLog::open(Arc::new(disk.clone()), folder, 0, true).expect("opened");
        let last = opened.again.len() as u64;
        prop_assert_eq!(numbers(&opened.again), (1..=last).collect::<Vec<_>>());
        prop_assert!(last >= if is_power { synced } else { written }, "{} of {} and {}", last, synced, written);
        prop_assert!(last <= written + 1);
        let mut log = opened.log;
        let mut next = opened.again.last().map_or([100; LANES], |logged| {
            let mut reached = [0; LANES];
            opened.again.iter().chain([logged]).flat_map(|l| &l.taken.spans).for_each(|span| {
                reached[usize::from(span.lane)] = span.last + 1;
            });
            reached
        });
        prop_assert_eq!(log.append(&batch(9, [1; LANES], &mut next), &lanes(), &digests("r")).expect("written"), last + 1);
        prop_assert_eq!(BatchLog::kept(&disk, folder).expect("whole").len() as u64, last + 1);
    }
}

fn bytes_before(bytes: &[u8], at: usize, bit: u8) -> Vec<u8> {
    let mut before = bytes.to_vec();
    before[at] ^= 1 << bit;
    before
}

/// Where each record of a first file ends: header, lanes, what is in force, batches.
fn frames(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let next = |place: &usize| frame::at(bytes, 1, *place).map(|frame| frame::end(&frame));
    std::iter::successors(next(&0), next)
}
