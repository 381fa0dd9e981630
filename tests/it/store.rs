//! The state store in a process of its own that is killed, stopped at each failpoint, or given a disk that is full or
//! may not be written: the next start holds the last closed checkpoint, whole.
//!
//! The child is this binary: it writes checkpoints and says on stdout which it has closed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use walletwatch::disk::RealDisk;
use walletwatch::features::store::{
    Changes as _, Checkpoints, FjallStore, Hands, Place, Progress, Recovered, Redo, Space, StateKey, recover,
};
use walletwatch::telemetry::Metrics;

const FOLDER: &str = "WALLETWATCH_STORE_CHILD";
const COUNT: &str = "WALLETWATCH_STORE_CHECKPOINTS";
const KEYS: u64 = 3000;

/// What a checkpoint does to a key: nothing, or its new value, or takes it away.
fn change(key: u64, number: u64) -> Option<Option<Vec<u8>>> {
    match (key * 7 + number * 13) % 5 {
        0 => Some(Some(vec![(key + number) as u8; (key % 400) as usize])),
        1 if key.is_multiple_of(3) => Some(None),
        _ => None,
    }
}

/// The state after a checkpoint.
fn expected(number: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut values = BTreeMap::new();
    for key in 0..KEYS {
        let last = (1..=number).rev().find_map(|number| change(key, number)).flatten();
        if let Some(value) = last {
            values.insert(key.to_be_bytes().to_vec(), value);
        }
    }
    values
}

fn open(folder: &Path) -> Result<(Place, Recovered, StateKey), walletwatch::features::store::StoreError> {
    let mut key = StateKey::of(folder, [7; 16])?;
    key.keep()?;
    let store = Arc::new(FjallStore::open(folder)?);
    let place = Place { disk: Arc::new(RealDisk), folder: folder.to_path_buf(), store };
    let recovered = recover(&place, &key.path, &key.id)?;
    Ok((place, recovered, key))
}

/// The child's work. Says what it has closed, and what it failed with.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    let count: u64 = std::env::var(COUNT).expect("a count").parse().expect("a number");
    if let Err(error) = write_checkpoints(Path::new(&folder), count) {
        say(&format!("failed: {error}"));
    }
}

fn write_checkpoints(folder: &Path, count: u64) -> Result<(), walletwatch::features::store::StoreError> {
    let (place, recovered, key) = open(folder)?;
    let metrics = Metrics::new().expect("metrics");
    let mut checkpoints =
        Checkpoints::start(Hands::Thread, place, &recovered, &key.id, Duration::ZERO, metrics).expect("a thread");
    say("began");
    let first = recovered.checkpoint.map_or(1, |checkpoint| checkpoint.number + 1);
    for number in first..first + count {
        let mut redo = Redo::new();
        for key in 0..KEYS {
            match change(key, number) {
                Some(Some(value)) => redo.put(Space::Account, &key.to_be_bytes(), &value),
                Some(None) => redo.delete(Space::Account, &key.to_be_bytes()),
                None => {}
            }
        }
        checkpoints.begin(redo, Progress { batch: number, ..Progress::default() })?;
        checkpoints.wait(None);
        checkpoints.check()?;
        say(&format!("closed {}", checkpoints.closed().map_or(0, |checkpoint| checkpoint.number)));
    }
    Ok(())
}

/// Tells the parent, at once.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("the parent listens");
}

fn command(folder: &Path, count: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["store::child", "--exact", "--nocapture"]);
    command.env(FOLDER, folder).env(COUNT, count.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The last checkpoint that a child said it had closed.
fn told(output: &Output) -> u64 {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.strip_prefix("closed ")?.parse().ok()).next_back().unwrap_or(0)
}

fn failed(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(|line| line.strip_prefix("failed: ").map(str::to_owned))
}

/// Starts on what is left and looks at all of it. The checkpoint it goes on from.
fn is_whole(folder: &Path, closed: u64, what: &str) -> u64 {
    let (place, recovered, _) = open(folder).unwrap_or_else(|error| panic!("{what}: {error}"));
    let number = recovered.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.number);
    assert!(number == closed || number == closed + 1, "{what}: goes on from {number}, closed was {closed}");
    assert!(recovered.checkpoint.is_none_or(|checkpoint| checkpoint.progress.batch == number), "{what}");
    let mut values = BTreeMap::new();
    let mut take = |key: &[u8], value: &[u8]| {
        values.insert(key.to_vec(), value.to_vec());
        Ok(())
    };
    place.store.each(Space::Account, &mut take).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(values == expected(number), "{what}: what it holds is not checkpoint {number}");
    number
}

/// Lets a child write until it has closed so many, then kills it at once, wherever it is.
fn kill_after(mut child: Child, closed: u64) -> u64 {
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut last = 0;
    for line in lines.by_ref().map_while(Result::ok) {
        if let Some(number) = line.strip_prefix("closed ").and_then(|number| number.parse().ok()) {
            last = number;
        }
        if last >= closed && line != "began" {
            break;
        }
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    // What it said before the end came.
    lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("closed ")?.parse().ok()).last().unwrap_or(last)
}

#[test]
fn killed_anywhere_it_goes_on_from_the_last_closed_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut at = 0;
    for round in 0..12 {
        let child = command(folder.path(), 1000).spawn().expect("a child");
        let closed = kill_after(child, at + 1 + round % 3);
        at = is_whole(folder.path(), closed, &format!("round {round}"));
    }
    assert!(at >= 12, "{at}");
}

#[cfg(feature = "failpoints")]
#[test]
fn stopped_at_each_failpoint_it_goes_on_from_the_last_closed_checkpoint() {
    use std::os::unix::process::ExitStatusExt as _;
    let of_checkpoints = |name: &&&str| name.starts_with("state.");
    let mut reached = 0;
    for name in walletwatch::failpoint::ALL.iter().filter(of_checkpoints) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut closed = 0;
        for passes in [0, 2, 5] {
            let points = format!("{name}={passes}*off->return");
            let output = command(folder.path(), 8).env("FAILPOINTS", &points).output().expect("a child");
            assert_eq!(output.status.signal(), Some(6), "{points}: {}", String::from_utf8_lossy(&output.stdout));
            closed = told(&output).max(closed);
            closed = is_whole(folder.path(), closed, &points);
            reached += 1;
        }
    }
    assert!(reached >= 27, "{reached}");
}

/// Runs a child under a shell's limits, with its own arguments.
fn limited(folder: &Path, count: u64, limits: &str) -> Output {
    let child = command(folder, count);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{limits}; exec \"$0\" \"$@\"")).arg(child.get_program()).args(child.get_args());
    child.get_envs().for_each(|(name, value)| {
        command.env(name, value.unwrap_or_default());
    });
    command.stderr(Stdio::null()).output().expect("a shell")
}

#[test]
fn on_a_full_disk_it_says_so_and_goes_on_once_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(told(&command(folder.path(), 2).output().expect("a child")), 2);
    // No file may grow over 64 blocks of 512 bytes: a redo file of 120 kB does not fit.
    let output = limited(folder.path(), 5, "trap '' XFSZ; ulimit -f 64");
    let error = failed(&output).expect("it says so");
    assert!(error.starts_with("failed to write ") && error.contains("redo-000000000003: "), "{error}");
    assert!(error.contains("File too large"), "{error}");
    assert_eq!(is_whole(folder.path(), 2, "after the limit"), 2);
    assert_eq!(told(&command(folder.path(), 2).output().expect("a child")), 4);
    is_whole(folder.path(), 4, "with room");
}

/// A file system of its own with so much room, where mounting is allowed.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(options: &str) -> Option<Small> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Small(folder))
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", options]).arg(self.0.path()).status().expect("mount");
        assert!(status.success(), "{options}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn on_a_file_system_that_fills_up_or_is_read_only_it_says_so() {
    let Some(small) = Small::mount("size=3m") else {
        println!("mounting is not allowed here: RLIMIT_FSIZE and the simulated disk stand for it");
        return;
    };
    let folder = small.0.path();
    let output = command(folder, 100).output().expect("a child");
    let error = failed(&output).expect("it fills up");
    // Whichever comes first: a redo file or run of tables that does not fit, or the merging of tables.
    assert!(error.contains("No space left on device") || error.contains("is the disk full"), "{error}");
    let closed = told(&output);
    assert!(closed > 0, "{error}");
    small.remount("remount,size=30m");
    let at = is_whole(folder, closed, "with room again");
    small.remount("remount,ro");
    let error = failed(&command(folder, 1).output().expect("a child")).expect("it is read-only");
    assert!(error.contains("Read-only file system"), "{error}");
    small.remount("remount,rw");
    assert_eq!(is_whole(folder, at, "writable again"), at);
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (place, ..) = open(folder.path()).expect("opened");
    let error = failed(&command(folder.path(), 1).output().expect("a child")).expect("refused");
    assert!(error.contains("is in use by another process; stop that one first"), "{error}");
    drop(place);
    assert_eq!(told(&command(folder.path(), 1).output().expect("a child")), 1);
}
