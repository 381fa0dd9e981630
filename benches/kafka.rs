//! From a real Kafka to the decision, checkpoints on, three velocity rules: events per CPU-second of the whole service
//! beside the limit L of the same run.
//!
//! L: librdkafka's consumer and the parse into the borrowed struct, the same records, in a process of its own. CPU
//! time is that of all threads of a process (`/proc/self/stat` of its parent), its start and its end with it. Rounds
//! are interleaved, L before and after the service: where the two differ by more than 5 % the round is void. What the
//! service found is held against `replay` of the same records. Then the service is started again on the last round's
//! state. Needs Java. Arguments: events (1 000 000), rounds (10), ms between checkpoints (30 000).

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench prints its figures and stops where it cannot")]

#[expect(dead_code, reason = "the tests' harness, of which a bench needs the broker and the service")]
#[path = "../tests/it/kit/mod.rs"]
mod kit;
mod workload;

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Message as _};
use serde_json::Value;
use walletwatch::event::Raw;

use kit::kafka::broker;

const PARTITIONS: i32 = 6;
/// Of L, page 9.
const MUST: f64 = 0.5;
const AIM: f64 = 0.7;
/// Two measurements of L in one round that differ by more make it void.
const DRIFT_MAX: f64 = 0.05;
/// Under this name the bench starts itself to measure L.
const LIMIT: &str = "--limit-of";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == LIMIT) {
        return limit(&args[at + 1], &args[at + 2]);
    }
    let is_test = args.iter().any(|arg| arg == "--test");
    let numbers: Vec<u64> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let number = |at: usize, default: u64| numbers.get(at).copied().unwrap_or(default);
    let (events, rounds, checkpoint_ms) = match is_test {
        true => (5000, 1, 1000),
        false => (number(0, 1_000_000), number(1, 10), number(2, 30_000)),
    };
    measure(events, rounds, checkpoint_ms, is_test);
}

/// Reads the topic to its end, and parses.
fn limit(bootstrap: &str, topic: &str) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "bench.limit")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "100")
        .create()
        .expect("a consumer");
    let (mut list, mut left) = (TopicPartitionList::new(), 0);
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition");
        let (low, high) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(30)).expect("the ends");
        left += high - low;
    }
    consumer.assign(&list).expect("assigned");
    while left > 0 {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            if let Ok(text) = std::str::from_utf8(message.payload().unwrap_or_default()) {
                black_box(Raw::parse(text).is_ok());
            }
            left -= 1;
        }
    }
}

/// CPU time of all children that were waited for, s: user and system, in ticks of 10 ms.
fn of_children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("ticks");
    (ticks(13) + ticks(14)) / 100.0
}

/// CPU and wall time of a process from its start to its end, s; its stderr.
fn cost(command: &mut Command) -> (f64, f64, Vec<u8>) {
    let (cpu, began) = (of_children(), Instant::now());
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (of_children() - cpu, began.elapsed().as_secs_f64(), output.stderr)
}

fn produce(bootstrap: &str, topic: &str, lines: &[Vec<u8>]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "100000")
        .create()
        .expect("a producer");
    for (n, line) in lines.iter().enumerate() {
        // One partition after the other, a moment each: the order over all of them is that of the stamps.
        let partition = (n as i32) % PARTITIONS;
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(line);
        record = record.timestamp(1_767_225_600_000 + n as i64);
        while let Err((_, again)) = producer.send(record) {
            producer.poll(Duration::from_millis(10));
            record = again;
        }
    }
    producer.flush(Duration::from_secs(120)).expect("written");
}

fn configure(folder: &Path, topic: &str, group: &str, checkpoint_ms: u64) {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rules/w3");
    let config = format!(
        "[kafka]\nbrokers = [{:?}]\ntls = false\ntopics = [{topic:?}]\ngroup = {group:?}\nstart = \"earliest\"\n\
         alerts_topic = \"{group}.alerts\"\ncontacts_topic = \"{group}.contacts\"\n\
         dead_letter_topic = \"{group}.dead\"\n[state]\ndirectory = \"state\"\ncheckpoint_ms = {checkpoint_ms}\n\
         [rules]\npack = \"none\"\ndirectory = {rules:?}\n[http]\nlisten = \"127.0.0.1:0\"\n",
        broker().bootstrap
    );
    std::fs::write(folder.join("walletwatch.toml"), config).expect("a configuration");
}

fn service(folder: &Path, args: &[&str]) -> Command {
    let mut command = kit::running::Running::command(folder, &["--role", "detect"]);
    command.args(args);
    command
}

/// The ids of the alerts that a replay of the same records makes.
fn replayed(folder: &Path, lines: &[Vec<u8>]) -> BTreeSet<String> {
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    std::fs::write(folder.join("records.ndjson"), text).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rules/w3");
    command.args(["replay", "records.ndjson", "--alerts", "alerts.ndjson", "--no-progress", "--rules"]).arg(rules);
    assert!(command.current_dir(folder).output().expect("it runs").status.success());
    let alerts = std::fs::read_to_string(folder.join("alerts.ndjson")).expect("alerts");
    alerts.lines().map(|line| id(line.as_bytes())).collect()
}

fn id(alert: &[u8]) -> String {
    serde_json::from_slice::<Value>(alert).expect("JSON")["id"].to_string()
}

fn told(group: &str) -> BTreeSet<String> {
    kit::service::records(&format!("{group}.alerts")).iter().map(|record| id(&record.value)).collect()
}

fn median(figures: &mut [f64]) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let at = |part: usize| figures.get(figures.len().saturating_sub(1) * part / 2).copied().unwrap_or(f64::NAN);
    (at(1), at(0), at(2))
}

fn measure(events: u64, rounds: u64, checkpoint_ms: u64, is_test: bool) {
    let lines = workload::w3(events, if is_test { 1000 } else { 1_000_000 });
    let topic = broker().topic("bench.w3", PARTITIONS);
    produce(&broker().bootstrap, &topic, &lines);
    let folder = tempfile::tempdir().expect("a folder");
    let expected = replayed(folder.path(), &lines);
    println!("W3, {} records, {PARTITIONS} partitions, a checkpoint every {checkpoint_ms} ms", lines.len());
    let (mut ratios, mut limits, mut services, mut void) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let (mut home, mut group) = (None, String::new());
    let per_second = |cpu_s: f64| lines.len() as f64 / cpu_s / 1e6;
    for round in 0..rounds {
        let limit = || {
            let mut command = Command::new(std::env::current_exe().expect("this bench"));
            cost(command.args([LIMIT, &broker().bootstrap, &topic])).0
        };
        let state = tempfile::tempdir().expect("a folder");
        group = format!("{topic}.{round}");
        configure(state.path(), &topic, &group, checkpoint_ms);
        let first = limit();
        let (cpu, wall, log) = cost(&mut service(state.path(), &["--until-end"]));
        let second = limit();
        let (l, drift) = ((first + second) / 2.0, (first - second).abs() / first);
        let is_void = !is_test && drift > DRIFT_MAX;
        println!(
            "  round {round:2}: L {:.2} and {:.2} CPU-s, the service {cpu:.2} CPU-s ({wall:.1} s wall): {:.2} L{}",
            first,
            second,
            l / cpu,
            if is_void { ", void: L drifted" } else { "" }
        );
        let summary = kit::service::summary_of(&log);
        assert_eq!(summary["records"].as_u64(), Some(lines.len() as u64), "{summary}");
        assert_eq!(told(&group), expected, "the alerts are those of a replay");
        match is_void {
            true => void += 1,
            false => {
                ratios.push(l / cpu);
                limits.push(per_second(l));
                services.push(per_second(cpu));
            }
        }
        home = Some(state);
    }
    let ((l, l_min, l_max), (s, s_min, s_max)) = (median(&mut limits), median(&mut services));
    let (ratio, least, most) = median(&mut ratios);
    println!("  L           {l:.2} M events per CPU-s ({l_min:.2} to {l_max:.2})");
    println!("  the service {s:.2} M events per CPU-s ({s_min:.2} to {s_max:.2})");
    let verdict = match ratio {
        _ if is_test => "too few to judge",
        ratio if ratio >= AIM => "the aim is reached",
        ratio if ratio >= MUST => "it holds",
        _ => "MISSED",
    };
    println!(
        "  {ratio:.2} L ({least:.2} to {most:.2}), must {MUST}, aim {AIM}: {verdict}; {} alerts as replayed, {void} of \
         {rounds} rounds void",
        expected.len()
    );
    if let Some(home) = home {
        restart(home.path(), &topic, &group, &lines);
    }
}

/// From the start of the process to the first decision, with the state of the last round.
fn restart(folder: &Path, topic: &str, group: &str, lines: &[Vec<u8>]) {
    produce(&broker().bootstrap, topic, &lines[..PARTITIONS as usize]);
    let began = Instant::now();
    let service = kit::running::Running::spawn(service(folder, &[]));
    let address = service.address();
    let decided = kit::process::wait_until("it decides", Duration::from_secs(60), || {
        let scrape = kit::running::scrape(&address)?;
        let taken = scrape.iter().filter(|(series, _)| series.starts_with("walletwatch_events_total{"));
        (taken.map(|(_, events)| events).sum::<f64>() > 0.0).then(|| began.elapsed())
    });
    let read = service.log().iter().find_map(|line| line["took_ms"].as_u64());
    println!(
        "  started again on its state ({group}): the first decision after {:.2} s wall, {} ms of it reading the state",
        decided.as_secs_f64(),
        read.unwrap_or_default()
    );
    service.terminate();
}
