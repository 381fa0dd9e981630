//! The disk under the whole service: full, failing, read-only. It stops with 74 and says what failed where, commits no
//! offset past what is durable, and goes on after the next start.
//!
//! Three ways, each a test: a library between the service and the system's calls fails single ones (always runs); a
//! limit of the kernel's (`RLIMIT_FSIZE`, always runs); a file system of its own that fills up or is mounted read-only
//! (where mounting is allowed: the test says so on stdout where it is not).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use walletwatch::disk::RealDisk;
use walletwatch::features::store::{FjallStore, Place, StateKey, recover};

use super::{BACK_WITHIN, Record, Wallet};
use crate::kit::faulty::{DEVICE, Faulty, HANGS, NO_SPACE, READ_ONLY};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// Records of a run.
const RECORDS: u32 = 20_000;
/// So long after a record the checkpoint has begun that it is in.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(2);
/// Input or output failed.
const IO: Option<i32> = Some(74);

fn wallet(name: &str) -> Wallet {
    let broker = broker();
    let wallet = Wallet::new(broker.topic(name, 1), &broker.bootstrap, &broker.bootstrap, "");
    wallet.writes_checkpoints_often();
    wallet
}

/// What its log says of trouble, in one text.
fn said(service: &Running) -> String {
    let trouble = |line: &Value| line["level"] == "ERROR" || line.is_string();
    let lines = service.log().into_iter().filter(trouble);
    lines.map(|line| line.to_string()).collect::<Vec<_>>().join("\n")
}

/// Where the group stands.
fn committed(wallet: &Wallet) -> i64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &wallet.bootstrap)
        .set("group.id", &wallet.topic)
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition(&wallet.topic, 0);
    let committed = consumer.committed_offsets(list, Duration::from_secs(30)).expect("the group's offsets");
    match committed.elements()[0].offset() {
        Offset::Offset(offset) => offset,
        _ => 0,
    }
}

/// Up to where the state on disk reaches, as the next start would find it: of a copy, so that it finds it all.
fn durable(state: &Path) -> i64 {
    let copy = tempfile::tempdir().expect("a folder");
    let copied = Command::new("cp").arg("-a").arg(state).arg(copy.path()).status().expect("cp");
    assert!(copied.success());
    let folder = copy.path().join(state.file_name().expect("a name"));
    let key = StateKey::of(&folder, [7; 16]).expect("its key");
    let store = Arc::new(FjallStore::open(&folder).expect("a store"));
    let place = Place { disk: Arc::new(RealDisk), folder, store };
    let recovered = recover(&place, &key.path, &key.id).expect("a state");
    recovered.checkpoint.map_or(0, |checkpoint| checkpoint.progress.offsets[0].offset)
}

/// Writes the records while a service runs and `fault` comes over it in their middle; it must end with 74, and have
/// committed nothing that is not durable. What it said.
fn stops(wallet: &Wallet, command: Command, records: &[Record], fault: impl FnOnce()) -> String {
    let mut service = Running::spawn(command);
    let (early, late) = records.split_at(records.len() / 2);
    wallet.write(early);
    wait_until("it is under way", BACK_WITHIN, || (wallet.taken(&service)? > 0).then_some(()));
    fault();
    // A file is made for what comes behind a checkpoint: of a service that is quick, all would lie before it.
    let (late, last) = late.split_at(late.len() / 2);
    wallet.write(late);
    let behind = Instant::now() + CHECKPOINT_WITHIN;
    wait_until("it stops, or a checkpoint lies behind", BACK_WITHIN, || {
        let stops = service.log().iter().any(|line| line["message"] == "stopping");
        (stops || Instant::now() >= behind).then_some(())
    });
    wallet.write(last);
    let code = service.exit_code(Duration::from_secs(60));
    let said = said(&service);
    assert_eq!(code, IO, "{said}");
    assert!(said.contains("\"message\":\"stopping\""), "it says why it stops: {said}");
    let (committed, durable) = (committed(wallet), durable(&wallet.folder.path().join("state")));
    assert!(committed <= durable, "committed up to {committed}, but the state reaches to {durable}: {said}");
    said
}

/// The rest of it: everything is taken.
fn goes_on(wallet: &Wallet) {
    let service = wallet.start();
    wallet.has_caught_up(&service);
    service.terminate();
}

/// All of it together is what an undisturbed engine says.
fn agrees(wallet: &Wallet) {
    let agreement = wallet.agrees();
    assert!(agreement.alerts > 10, "nothing to compare: {agreement:?}");
}

#[test]
fn every_write_that_can_fail_stops_it_and_the_next_start_goes_on() {
    // Calls, error, a part of the path; what it says.
    let faults: [(&str, i32, &str, &str); 12] = [
        ("w", NO_SPACE, "state/redo-", "failed to write"),
        ("s", DEVICE, "state/redo-", "failed to sync"),
        ("c", READ_ONLY, "state/redo-", "failed to create"),
        ("w", NO_SPACE, "state/batches/", "batch log: failed to "),
        ("s", DEVICE, "state/batches/", "failed to sync the batch log"),
        ("c", READ_ONLY, "state/batches/", "failed to create"),
        ("w", DEVICE, "state/store/", "state"),
        ("s", DEVICE, "state/store/", "state"),
        ("c", READ_ONLY, "state/store/", "state"),
        ("w", NO_SPACE, "state/desk.db", "desk.db"),
        ("s", DEVICE, "state/desk.db", "desk.db"),
        ("wcs", READ_ONLY, "state/", "state"),
    ];
    let wallet = wallet("faulty-disk");
    let faulty = Faulty::new(wallet.folder.path());
    let records = wallet.generate(RECORDS);
    let parts: Vec<&[Record]> = records.chunks(records.len() / faults.len() + 1).collect();
    assert_eq!(parts.len(), faults.len());
    for ((calls, error, part, says), records) in faults.into_iter().zip(parts) {
        let mut command = Running::command(wallet.folder.path(), &[]);
        faulty.given(&mut command);
        let said = stops(&wallet, command, records, || faulty.fail(calls, error, part));
        println!("{calls} {error} {part}: {said}");
        let reason = std::io::Error::from_raw_os_error(error).to_string();
        let reason = reason.split(" (").next().expect("words");
        let of_sqlite = if error == NO_SPACE { "database or disk is full" } else { "disk I/O error" };
        let reasons = [reason, of_sqlite, "is the disk full, or failing?"];
        assert!(said.contains(says) && reasons.iter().any(|reason| said.contains(reason)), "{calls} {part}: {said}");
        faulty.mend();
    }
    goes_on(&wallet);
    agrees(&wallet);
}

#[test]
fn a_limit_on_the_size_of_files_stops_it_and_without_it_it_goes_on() {
    let wallet = wallet("file-limit");
    let records = wallet.generate(RECORDS);
    let (first, rest) = records.split_at(records.len() / 3);
    let (early, late) = rest.split_at(rest.len() / 2);
    // What a new state takes at once is there already.
    wallet.write(first);
    wallet.walletwatch(&["run", "--until-end"]);
    let plain = Running::command(wallet.folder.path(), &["--role", "detect"]);
    let mut limited = Command::new("sh");
    // 64 blocks of 512 bytes; who goes beyond is told by an error, not by a signal.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""]);
    limited.arg(plain.get_program()).args(plain.get_args()).current_dir(wallet.folder.path());
    let said = stops(&wallet, limited, early, || ());
    assert!(said.contains("File too large"), "{said}");
    wallet.write(late);
    goes_on(&wallet);
    agrees(&wallet);
}

/// A file system of its own at `path`, until it is dropped; `None` where mounting is not allowed.
struct Mounted<'p>(&'p Path);

impl<'p> Mounted<'p> {
    fn at(path: &'p Path, options: &str) -> Option<Self> {
        std::fs::create_dir(path).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Mounted(path))
    }

    fn again(&self, options: &str) {
        let options = format!("remount,{options}");
        let status = Command::new("mount").args(["-o", &options]).arg(self.0).status().expect("mount");
        assert!(status.success(), "{options}");
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_file_system_that_fills_up_or_is_read_only_stops_it_and_mended_it_goes_on() {
    let wallet = wallet("small-disk");
    let state = wallet.folder.path().join("state");
    let Some(mounted) = Mounted::at(&state, "size=4m,mode=700") else {
        println!("mounting is not allowed here: the limit and the faulty calls stand for it");
        return;
    };
    println!("on a tmpfs of its own");
    let records = wallet.generate(RECORDS);
    let (early, late) = records.split_at(records.len() / 2);
    let said = stops(&wallet, Running::command(wallet.folder.path(), &[]), early, || {
        // Somebody else fills it.
        let filled = std::fs::write(state.join("somebody's"), vec![0; 4 << 20]);
        assert!(filled.is_err(), "it is full");
    });
    assert!(said.contains("No space left on device") || said.contains("full"), "{said}");
    std::fs::remove_file(state.join("somebody's")).expect("room again");
    mounted.again("size=200m");
    mounted.again("ro");
    let mut service = wallet.start();
    let code = service.exit_code(Duration::from_secs(60));
    let log = format!("{:?}", service.log());
    assert_eq!(code, IO, "{log}");
    assert!(log.contains("Read-only file system"), "{log}");
    mounted.again("rw");
    wallet.write(late);
    goes_on(&wallet);
    // Its batches lie on a file system of their own, where nobody can keep them: the order is that of one partition.
    let ids = |alerts: Vec<Value>| -> BTreeMap<String, Value> {
        alerts.into_iter().map(|alert| (alert["id"].to_string(), alert)).collect()
    };
    let (told, expected) = (ids(wallet.told("alerts")), ids(wallet.replay(&records).0));
    assert!(expected.len() > 10, "nothing to compare");
    assert_eq!(told, expected);
}

#[test]
fn a_disk_that_hangs_is_named_its_age_shows_and_detection_goes_on_meanwhile() {
    let wallet = wallet("hanging-disk");
    let faulty = Faulty::new(wallet.folder.path());
    let records = wallet.generate(RECORDS);
    let (early, late) = records.split_at(records.len() / 2);
    let mut command = Running::command(wallet.folder.path(), &[]);
    faulty.given(&mut command);
    let service = Running::spawn(command);
    service.is_ready();
    let before = committed(&wallet);
    faulty.fail("s", HANGS, "state/redo-");
    wallet.write(early);
    wait_until("it is said to be slow", Duration::from_secs(30), || {
        let (state, detail) = service.check("state")?;
        (state == "warning" && detail.contains("the disk is slow")).then_some(())
    });
    wallet.write(late);
    wait_until("detection goes on", BACK_WITHIN, || (wallet.taken(&service)? >= records.len() as u64).then_some(()));
    assert_eq!(committed(&wallet), before, "nothing that is not durable is committed");
    let scrape = service.scrape().expect("a scrape");
    assert!(scrape["walletwatch_checkpoint_age_seconds"] > 10.0, "{scrape:#?}");
    // Commits go on, of what was durable before.
    assert!(scrape["walletwatch_commit_age_seconds"] < 10.0, "{scrape:#?}");
    faulty.mend();
    service.is_ready();
    wait_until("the last checkpoint is new", BACK_WITHIN, || {
        (service.scrape()?["walletwatch_checkpoint_age_seconds"] < 5.0).then_some(())
    });
    wallet.has_caught_up(&service);
    service.terminate();
    agrees(&wallet);
}
