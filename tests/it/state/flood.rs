//! Addresses that an attacker invents, millions of them, in a process of its own with its checkpoints on disk.
//!
//! Guarantees: its memory, as the system sees it, stays under the ceiling and a tenth; a slow spray from one address, one
//! that rotates inside its /64 and one from ever new addresses are all found among them. `FLOOD_ADDRESSES` says how many
//! (2 000 000; the whole check takes 10 000 000 under 512 MiB).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use walletwatch::app::room::{Need, Room};
use walletwatch::detect::document::{AlertDocument, ContactDocument};
use walletwatch::detect::memory::Accounted;
use walletwatch::detect::{Engine, FindingRecord, Input, Options, Sink};
use walletwatch::disk::RealDisk;
use walletwatch::event::{Event, Millis, Rejection};
use walletwatch::features::store::{
    Checkpoints, FjallStore, Hands, Place, Progress, Redo, Source, StateConfig, recover,
};
use walletwatch::ruleset::{Bands, KeyField, Sources, load};
use walletwatch::telemetry::Metrics;

use super::twins::KEY;

const ADDRESSES: &str = "FLOOD_ADDRESSES";
const CEILING: &str = "FLOOD_CEILING_BYTES";
/// The whole check's.
const ALL_ADDRESSES: u64 = 10_000_000;
const ALL_CEILING_BYTES: u64 = 512 << 20;

const START_MS: u64 = 1_772_408_400_000;
const BATCH: u64 = 512;
/// What is written at a time: as many as come in half a minute at 60 000 a second.
const CHECKPOINT_EVENTS: u64 = 1_800_000;
/// The store's cache, what it merges and what it writes, whatever it holds.
const STORE_BYTES: u64 = 64 << 20;
/// The last so many parts of ten of the flood hide attacks.
const HIDDEN_FROM: u64 = 7;

/// Three rules by account and address, and one by the network.
fn rules() -> Sources {
    let by_network = r#"
version: 1
features:
  failing_accounts_asn: {distinct: login.account, where: result == "failure", by: asn, over: 1h}
rules:
  - id: accounts-per-network
    revision: 1
    state: live
    owner: test
    severity: low
    score: 40
    audience: [security]
    runbook: "https://example.com/spray"
    title: Failed logins of more than fifty accounts from a network in an hour
    on: login
    when: result == "failure" and failing_accounts_asn > 50
    dedup: {by: asn, for: 1h}
    explain: "{failing_accounts_asn} accounts"
    tests:
      - name: the fifty-first fires
        given: {type: login, result: failure, geo: {asn: 64500}, account: "a{n}"}
        events: [{repeat: 51, every: 10s, expect: fire-last}]
"#;
    let mut sources = Sources::new("rules");
    sources.add("w3.yaml", include_str!("../../data/rules/w3/w3.yaml"), None);
    sources.add("network.yaml", by_network, None);
    sources
}

/// The event at a place of the flood: nearly all are logins from addresses that never come again.
fn event(at: u64, of: u64, line: &mut String) {
    line.clear();
    // All of it within an hour: no address has ended by itself.
    let time = START_MS + at * 3_000_000 / of;
    let hidden = (at * 10 / of >= HIDDEN_FROM).then_some(at % 5_000);
    let step = at / 5_000;
    let (result, account, ip, asn) = match hidden {
        // Twenty-one accounts from one address, with thousands of new addresses between any two.
        Some(0) => ("failure", format!("victim-{step}"), "203.0.113.9".to_owned(), 64_501),
        // The same, from a network of its own, another address of it each time.
        Some(1) => {
            ("failure", format!("rotated-{step}"), format!("2001:db8:dead:beef::{:x}:{step:x}", step % 999), 64_502)
        }
        // Each from an address of its own: what they share is the network.
        Some(2) => ("failure", format!("spread-{step}"), invented(at), 64_500),
        // One account, guessed from ever new addresses.
        Some(3) => ("failure", "guessed".to_owned(), invented(at), 64_503),
        _ => ("success", format!("known-{}", at % 400_000), invented(at), 64_504 + at % 500),
    };
    let reason = if result == "failure" { r#","reason":"wrong_password""# } else { "" };
    let _ = write!(
        line,
        r#"{{"id":"e{at}","type":"login","result":"{result}"{reason},"time":{time},"account":"{account}","ip":"{ip}","geo":{{"asn":{asn}}}}}"#
    );
}

/// An address that comes once: every third of the newer kind, in a /64 of its own.
fn invented(at: u64) -> String {
    let low = at as u32;
    match at % 3 {
        0 => format!("2001:{:x}:{:x}:{:x}::1", 0xa00 + (low >> 24), low >> 12 & 0xfff, low & 0xfff),
        _ => format!("{}.{}.{}.{}", 11 + (low >> 24), low >> 16 & 255, low >> 8 & 255, low & 255),
    }
}

/// Which rules fired, for whom.
#[derive(Default)]
struct Found(BTreeSet<(String, String)>);

impl Sink for Found {
    fn rejected(&mut self, input: usize, rejection: &Rejection) {
        panic!("{input}: {rejection}");
    }
    fn duplicate(&mut self, input: usize) {
        panic!("{input} is no duplicate");
    }
    fn accepted(&mut self, _: usize, _: &Event<'_>, _: bool) {}
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, record: FindingRecord) {
        self.0.insert((record.rule, record.by.values().map(ToString::to_string).collect()));
    }
    fn alert(&mut self, _: usize, _: AlertDocument) {}
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A line of what the system says of this process, bytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is one");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is told");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// A detector that is flooded, without its Kafka: engine, redo files, store.
#[test]
#[ignore = "the process that `a_flood_of_invented_addresses_stays_under_the_ceiling` starts"]
fn child() {
    let (Some(addresses), Some(ceiling)) = (number(ADDRESSES), number(CEILING)) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(FjallStore::open(folder.path()).expect("made"));
    let source: Source = store.clone();
    let place = Place { disk: Arc::new(RealDisk), folder: folder.path().to_path_buf(), store };
    let recovered = recover(&place, &folder.path().join("hash.key"), "k").expect("new");
    let metrics = Metrics::new().expect("metrics");
    let mut checkpoints =
        Checkpoints::start(Hands::Thread, place, &recovered, "k", Duration::ZERO, metrics).expect("a thread");
    let rules = Arc::new(load(&rules(), KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}")).ruleset);
    let state = StateConfig { memory_max_bytes: ceiling, ..StateConfig::default() };
    let options = Options {
        state_memory_max_bytes: usize::try_from(state.kept_max_bytes).expect("64 bits"),
        state_resident_max_bytes: state.engine_bytes_max(),
        findings: true,
        ..Options::default()
    };
    let room = Room::of(&state);
    let mut engine = Engine::new(rules, Bands::default(), options, KEY);
    engine.keep_in(source);
    let base = status("VmRSS:");
    let (mut found, mut lines, mut most) =
        (Found::default(), vec![String::new(); BATCH as usize], (Accounted::default(), 0));
    let (mut unstored, mut waited) = (None, 0);
    let begun = Instant::now();
    for first in (0..addresses).step_by(BATCH as usize) {
        let batch = lines.iter_mut().zip(first..addresses);
        let batch: Vec<&mut String> = batch
            .map(|(line, at)| {
                event(at, addresses, line);
                line
            })
            .collect();
        let inputs = batch.iter().map(|line| Input { lane: 0, value: Some(line.as_bytes()) });
        engine.take(inputs, Millis(i64::MAX / 2), None, &mut found);
        let (accounted, resident) = (engine.accounted(), engine.resident_bytes());
        if resident > most.1 {
            most = (accounted, resident);
        }
        if unstored.take_if(|number| checkpoints.applied() >= Some(*number)).is_some() {
            engine.at_rest();
        }
        let is_time = first / CHECKPOINT_EVENTS != (first + BATCH) / CHECKPOINT_EVENTS;
        let waits = room.make(&mut engine) == Need::Wait;
        if waits || is_time {
            checkpoints.wait(None);
            checkpoints.check().expect("written");
            let mut redo = Redo::new();
            engine.save(&mut redo);
            engine.check().expect("readable");
            eprintln!("at {first}: redo {} MB, RSS {} MB", redo.bytes() >> 20, status("VmRSS:") >> 20);
            unstored = Some(checkpoints.begin(redo, Progress::default()).expect("begun"));
        }
        if waits {
            waited += 1;
            checkpoints.wait(None);
            checkpoints.check().expect("written");
            unstored = None;
            engine.at_rest();
            assert_ne!(room.make(&mut engine), Need::Wait, "all that changed is in the store");
        }
    }
    let per_event_ns = begun.elapsed().as_nanos() as u64 / addresses;
    checkpoints.wait(None);
    checkpoints.check().expect("written");
    for (rule, by) in &found.0 {
        println!("found {rule} {by}");
    }
    println!("resident {} of {:?}", most.1, most.0);
    println!("away {}", engine.residence(KeyField::Ip).away);
    println!("waited {waited}");
    println!("forgotten {}", engine.went(KeyField::Ip).forgotten());
    println!("event_ns {per_event_ns}");
    println!("base {base}");
    println!("peak {}", status("VmHWM:"));
}

#[test]
fn a_flood_of_invented_addresses_stays_under_the_ceiling() {
    let addresses = number(ADDRESSES).unwrap_or(ALL_ADDRESSES / 5);
    let ceiling = ALL_CEILING_BYTES * addresses / ALL_ADDRESSES;
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["state::flood::child", "--exact", "--ignored", "--nocapture"]);
    command.env(ADDRESSES, addresses.to_string()).env(CEILING, ceiling.to_string());
    let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    let figure = |name: &str| -> u64 {
        let line =
            told.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}in {told}"));
        line.trim().parse().expect("a number")
    };
    println!("{}{told}", String::from_utf8_lossy(&output.stderr));
    for (rule, by) in [
        ("w3-accounts-per-address", "203.0.113.9"),
        ("w3-accounts-per-address", "2001:db8:dead:beef::"),
        ("accounts-per-network", "64500"),
        ("w3-failed-logins", "guessed"),
    ] {
        let is_it = |line: &str| line.starts_with(&format!("found {rule} ")) && line.contains(by);
        assert!(told.lines().any(is_it), "{rule} of {by} is not found among {addresses}: {told}");
    }
    assert!(figure("forgotten ") + figure("away ") > addresses / 4, "there was not room for all: {told}");
    // What a process and its store take whatever they hold is in the whole check's ceiling, and more than a smaller one.
    let base = if addresses < ALL_ADDRESSES { figure("base ") + STORE_BYTES } else { 0 };
    let peak = figure("peak ").saturating_sub(base);
    assert!(peak <= ceiling + ceiling / 10, "{} MiB under a ceiling of {}: {told}", peak >> 20, ceiling >> 20);
}
