//! The batch log on a real folder: what comes back, what is cut, what is refused, what is dropped.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::disk::RealDisk;
use crate::event::Millis;
use crate::ingest::{Partition, Position, Record};

const LANES: usize = 3;

fn lanes() -> Lanes {
    Lanes::new(["logins", "accounts", "transactions"].map(|topic| Partition::new(topic, 0)).to_vec())
}

fn digests(rules: &str) -> Digests {
    Digests { rules: rules.to_owned(), lists: "lists".to_owned(), geo: String::new() }
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
        RealDisk.list(self.0.path()).expect("listed")
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
    assert_eq!(opened.log.append(&batch(9, [1; LANES], &mut [103; LANES]), &lanes(), &digests("r")).expect("written"), 4);
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
    let missing = folder.open(2).err().expect("batch 3 is gone");
    assert!(matches!(missing, LogError::Missing { after: 2, found: 4 }), "{missing}");
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
    let error = folder.open(0).err().expect("offset 100 of lane 0 was taken before");
    assert!(matches!(error, LogError::Ranges { batch: 2, lane: 0 }), "{error}");
}

#[test]
fn a_write_that_fails_is_the_last_one() {
    #[derive(Debug)]
    struct Full(RealDisk);
    struct NoRoom(Box<dyn DiskFile>, usize);
    impl DiskFile for NoRoom {
        fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.1 += 1;
            match self.1 > 3 {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => self.0.write(bytes),
            }
        }
        fn sync(&mut self) -> io::Result<()> {
            self.0.sync()
        }
    }
    impl Disk for Full {
        fn make_folder(&self, folder: &Path) -> io::Result<()> {
            self.0.make_folder(folder)
        }
        fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
            self.0.list(folder)
        }
        fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
            self.0.read(file)
        }
        fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
            Ok(Box::new(NoRoom(self.0.create(file)?, 0)))
        }
        fn cut(&self, file: &Path, bytes: u64) -> io::Result<()> {
            self.0.cut(file, bytes)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.0.rename(from, to)
        }
        fn remove(&self, file: &Path) -> io::Result<()> {
            self.0.remove(file)
        }
        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            self.0.sync_folder(folder)
        }
    }
    let folder = Folder::new();
    let mut log = BatchLog::open(Arc::new(Full(RealDisk)), folder.0.path(), 0, false).expect("opened").log;
    let mut next = [100; LANES];
    let mut write = |log: &mut BatchLog| log.append(&batch(7, [1; LANES], &mut next), &lanes(), &digests("r"));
    assert_eq!((write(&mut log).expect("written"), write(&mut log).expect("written")), (1, 2));
    let told = write(&mut log).expect_err("the disk is full").to_string();
    assert!(told.starts_with("batch log: failed to write /") && told.contains("00001.log"), "{told}");
    assert!(matches!(write(&mut log), Err(LogError::Poisoned { .. })), "nothing is decided any more");
    assert_eq!(numbers(&folder.open(0).expect("opened").again), [1, 2]);
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
    assert!(matches!(error, LogError::Format { found: 2, .. }) && error.is_damage(), "{error}");
}

#[test]
fn pages_that_were_never_written_out_end_the_log_and_files_behind_them_go() {
    let folder = Folder::with(4);
    let path = folder.files()[0].clone();
    let whole = fs::read(&path).expect("read");
    let mut log = folder.open(0).expect("opened").log;
    log.append(&batch(9, [1; LANES], &mut [104; LANES]), &lanes(), &digests("r")).expect("written");
    assert_eq!(folder.files().len(), 2);
    // A page of the first file was lost, one behind it was not.
    let third = (0..whole.len()).filter(|at| frame::at(&whole, 1, *at).is_ok()).nth(5).expect("a place");
    let fourth = (third + 1..whole.len()).find(|at| frame::at(&whole, 1, *at).is_ok()).expect("a place");
    let mut holed = whole.clone();
    holed[third..fourth].fill(0);
    fs::write(&path, &holed).expect("written");
    let opened = folder.open(0).expect("opened");
    assert_eq!(numbers(&opened.again), [1, 2]);
    assert_eq!(opened.torn.expect("torn").at, third as u64);
    assert_eq!(folder.files().len(), 1, "what comes behind follows on nothing");
    assert_eq!(opened.log.next_number(), 3);
    // The same place with other bytes was damaged.
    holed[fourth - 1] = 1;
    fs::write(&path, &holed).expect("written");
    let told = folder.open(0).err().expect("damaged").to_string();
    assert!(told.contains(&format!("{} is damaged at byte {third}: ", path.display())), "{told}");
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
        let last = frames(&bytes_before(&bytes, at, bit)).map(|end| end as u64).collect::<Vec<_>>();
        fs::write(&path, &bytes).expect("written");
        let begin_of_last = last[last.len() - 2];
        match folder.open(0) {
            Err(LogError::Damaged { file, at: told, .. }) => {
                prop_assert_eq!(file, path);
                prop_assert!(told <= at as u64 && (at as u64) < begin_of_last);
            }
            Err(error) => prop_assert!(false, "{}", error),
            Ok(opened) => {
                prop_assert!(at as u64 >= begin_of_last);
                prop_assert_eq!(opened.torn.expect("it is told").at, begin_of_last);
                prop_assert_eq!(opened.again.len() as i64, batches - 1);
            }
        }
    }
}

fn bytes_before(bytes: &[u8], at: usize, bit: u8) -> Vec<u8> {
    let mut before = bytes.to_vec();
    before[at] ^= 1 << bit;
    before
}

/// Where each record of a first file ends: header, lanes, what is in force, batches.
fn frames(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let next = |place: &usize| frame::at(bytes, 1, *place).ok().map(|frame| frame::end(&frame));
    std::iter::successors(next(&0), next)
}
