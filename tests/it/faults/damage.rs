//! What lies in the state folder is not what was written: flipped, torn, or of another version. The service falls back
//! and takes again what it then lacks, or refuses with a message and touches nothing; it is never silent.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use walletwatch::features::store::{FORMAT, FjallStore, Mark, Merged, Store as _};

use super::{BACK_WITHIN, Record, Wallet};
use crate::kit::faulty::{DEVICE, Faulty};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// Records of a run.
const RECORDS: u32 = 20_000;
/// Data that is not what was written.
const DATA: Option<i32> = Some(65);
/// Nothing was started.
const CONFIG: Option<i32> = Some(78);

fn wallet(name: &str) -> Wallet {
    let broker = broker();
    let wallet = Wallet::new(broker.topic(name, 1), &broker.bootstrap, &broker.bootstrap, "");
    wallet.writes_checkpoints_often();
    wallet
}

fn state(wallet: &Wallet) -> PathBuf {
    wallet.folder.path().join("state")
}

/// The files below a folder whose path contains `part`, sorted.
fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path, part)),
            false if path.to_string_lossy().contains(part) => found.push(path),
            false => {}
        }
    }
    found.sort_unstable();
    found
}

/// Turns a bit around in the middle of a file.
fn flip(path: &Path) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("a file");
    let at = file.metadata().expect("its size").len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("written");
}

/// Takes away the last third of a file.
fn tear(path: &Path) {
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("a file");
    let bytes = file.metadata().expect("its size").len();
    file.set_len(bytes * 2 / 3).expect("cut");
}

/// The lines of a log with this message.
fn told(service: &Running, message: &str) -> Vec<Value> {
    service.log().into_iter().filter(|line| line["message"].as_str().is_some_and(|m| m.contains(message))).collect()
}

/// Takes these records under way; then the disk fails at the store: a redo file is closed that the store has not.
fn leaves_a_closed_redo_file(wallet: &Wallet, records: &[Record]) -> PathBuf {
    let faulty = Faulty::new(wallet.folder.path());
    let mut command = Running::command(wallet.folder.path(), &[]);
    faulty.given(&mut command);
    let mut service = Running::spawn(command);
    let (early, late) = records.split_at(records.len() / 2);
    wallet.write(early);
    wait_until("it is under way", BACK_WITHIN, || (wallet.taken(&service)? > 0).then_some(()));
    faulty.fail("w", DEVICE, "state/store/");
    wallet.write(late);
    assert_eq!(service.exit_code(Duration::from_secs(60)), Some(74), "{:#?}", service.log());
    faulty.mend();
    files(&state(wallet), "state/redo-").pop().expect("a redo file")
}

#[test]
fn a_redo_file_that_is_flipped_or_torn_is_told_and_its_records_are_taken_again() {
    let wallet = wallet("bad-redo");
    let records = wallet.generate(RECORDS);
    let parts: Vec<&[Record]> = records.chunks(records.len() / 2).collect();
    type Damage = fn(&Path);
    let damages: [(Damage, &str, &str); 2] =
        [(flip, "a redo file is damaged", "ERROR"), (tear, "a redo file that was never finished is deleted", "INFO")];
    for (part, (damage, message, level)) in parts.iter().zip(damages) {
        let redo = leaves_a_closed_redo_file(&wallet, part);
        damage(&redo);
        let service = wallet.start();
        wallet.has_caught_up(&service);
        let lines = told(&service, message);
        let number = redo.to_string_lossy().rsplit('-').next().and_then(|n| n.parse::<u64>().ok());
        assert_eq!(lines.len(), 1, "{:#?}", service.log());
        assert_eq!((lines[0]["checkpoint"].as_u64(), lines[0]["level"].as_str()), (number, Some(level)), "{lines:?}");
        service.terminate();
    }
    let agreement = wallet.agrees();
    println!("{agreement:?}");
    assert!(agreement.alerts > 3, "nothing to compare");
}

#[test]
fn a_batch_log_that_is_flipped_or_torn_is_cut_there_and_told_and_its_records_come_again_from_kafka() {
    let wallet = wallet("bad-log");
    // What follows the first checkpoint is in the log alone.
    let path = wallet.folder.path().join("walletwatch.toml");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, config.replace("checkpoint_ms = 1000", "checkpoint_ms = 60000")).expect("written");
    let records = wallet.generate(RECORDS);
    let parts: Vec<&[Record]> = records.chunks(records.len() / 2).collect();
    type Damage = fn(&Path);
    let damages: [(Damage, &str); 2] = [(flip, "damaged"), (tear, "torn")];
    for (part, (damage, why)) in parts.iter().zip(damages) {
        let service = wallet.start();
        for some in part.chunks(part.len() / 8) {
            let before = wallet.taken(&service).unwrap_or(0);
            wallet.write(some);
            let enough = before + some.len() as u64;
            wait_until("it has taken them", BACK_WITHIN, || (wallet.taken(&service)? >= enough).then_some(()));
        }
        service.signal("KILL");
        drop(service);
        let log = files(&state(&wallet), "state/batches/").pop().expect("a batch log");
        damage(&log);
        let service = wallet.start();
        wallet.has_caught_up(&service);
        let lines = told(&service, "the batch log is not whole");
        assert_eq!(lines.len(), 1, "{:#?}", service.log());
        assert_eq!((lines[0]["why"].as_str(), lines[0]["level"].as_str()), (Some(why), Some("WARN")), "{lines:?}");
        assert!(lines[0]["file"].as_str().is_some_and(|file| log.ends_with(file)), "{lines:?}");
        service.terminate();
    }
    let agreement = wallet.agrees();
    println!("{agreement:?}");
    assert!(agreement.alerts > 3, "nothing to compare");
}

/// A wallet whose service has taken all and was stopped.
fn at_rest(name: &str, records: u32) -> Wallet {
    let wallet = wallet(name);
    wallet.write(&wallet.generate(records));
    wallet.walletwatch(&["run", "--until-end"]);
    wallet
}

/// Every file below a folder, whole, but the lists of tables: opening a store takes away those that no longer count.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| std::fs::read(&path).map(|bytes| (path, bytes)).expect("a file");
    let counts = |path: &PathBuf| path.is_file() && !is_list(&path.to_string_lossy());
    files(folder, "").into_iter().filter(counts).map(read).collect()
}

/// Whether it is one of fjall's numbered lists of tables.
fn is_list(path: &str) -> bool {
    let name = path.rsplit('/').next().and_then(|name| name.strip_prefix('v'));
    name.is_some_and(|number| number.parse::<u64>().is_ok())
}

#[test]
fn a_byte_that_is_flipped_in_any_file_of_the_store_is_found_or_harms_nothing() {
    let wallet = at_rest("bad-store", 6000);
    let state = state(&wallet);
    let kept = wallet.folder.path().join("kept");
    std::fs::rename(&state, &kept).expect("renamed");
    let (mut refused, mut harmless) = (Vec::new(), Vec::new());
    for file in files(&kept, "kept/store/") {
        if std::fs::metadata(&file).expect("a file").len() == 0 {
            continue;
        }
        // A start that goes on changes the folder: each has one as it was.
        let copied = Command::new("cp").arg("-a").args([&kept, &state]).status().expect("cp");
        assert!(copied.success());
        let path = state.join(file.strip_prefix(&kept).expect("below"));
        flip(&path);
        let mut service = Running::start(wallet.folder.path(), &["--role", "detect"]);
        let started = Instant::now();
        let name = path.strip_prefix(&state).expect("below").display().to_string();
        let ended = wait_until("it runs or is refused", BACK_WITHIN, || {
            let log = service.log();
            let runs = log.iter().any(|line| line["message"] == "detection started");
            let is_refused = log.iter().any(Value::is_string);
            assert!(started.elapsed() < Duration::from_secs(60), "{name}: {log:#?}");
            (runs || is_refused).then_some(is_refused)
        });
        if ended {
            assert_eq!(service.exit_code(Duration::from_secs(20)), DATA, "{name}: {:#?}", service.log());
            let log = format!("{:?}", service.log());
            assert!(log.contains("the state store is damaged") && log.contains("walletwatch state rebuild"), "{log}");
            refused.push(name);
        } else {
            service.signal("KILL");
            harmless.push(name);
        }
        drop(service);
        std::fs::remove_dir_all(&state).expect("away");
    }
    println!("found in {refused:?}; harmless in {harmless:?}");
    assert!(refused.iter().any(|name| name.contains("tables")), "{refused:?}");
    // Of the lists of tables only the last one counts.
    assert!(harmless.iter().all(|name| name.ends_with(".jnl") || is_list(name)), "{harmless:?}");
    assert!(refused.iter().any(|name| is_list(name)), "{refused:?}");
}

#[test]
fn a_state_of_another_version_is_refused_by_name_and_left_as_it_is() {
    let wallet = at_rest("other-version", 2000);
    let state = state(&wallet);
    {
        let store = FjallStore::open(&state).expect("a store");
        let mark = store.mark().expect("readable").expect("a checkpoint");
        store.apply(&Merged::default(), &Mark { format: FORMAT + 1, ..mark }).expect("written");
    }
    let before = contents(&state);
    for _ in 0..2 {
        let mut service = wallet.start();
        assert_eq!(service.exit_code(Duration::from_secs(30)), CONFIG, "{:#?}", service.log());
        let log = format!("{:?}", service.log());
        let says = format!("has format {}, this version reads format {FORMAT} only", FORMAT + 1);
        assert!(log.contains(&says) && log.contains("walletwatch state rebuild"), "{log}");
    }
    let after = contents(&state);
    let changed = before.iter().filter(|(path, bytes)| after.get(*path) != Some(bytes)).map(|(path, _)| path);
    assert_eq!(changed.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}
