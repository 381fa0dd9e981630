//! The generator: its bytes repeat, its counts are what its truth says, its shares are the stated ones, and the
//! command writes to files and to Kafka.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::{Command, Output};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use walletwatch::event::{Closed, EventType, Limits, Millis, Outcome, decode};
use walletwatch::sim::{Generator, Plan, Profile, Topic};

use crate::kit::kafka;

const PROFILES: [(&str, Profile); 5] = [
    ("wallet", Profile::Wallet),
    ("w3", Profile::W3),
    ("hot-key", Profile::HotKey),
    ("key-attack", Profile::KeyAttack),
    ("outage", Profile::Outage),
];

/// The moment the records are decoded at: after all of them.
const NOW: Millis = Millis(4_000_000_000_000);

fn digest(plan: &Plan) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut generator = Generator::new(plan).expect("a plan");
    while let Some(record) = generator.next_record().expect("a record") {
        hasher.update(record.topic.name().as_bytes()).update(record.key).update(b"\t").update(record.value);
        hasher.update(&record.stamp.0.to_le_bytes());
    }
    for line in generator.truth() {
        hasher.update(&serde_json::to_vec(&line).expect("JSON"));
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[test]
fn the_same_seed_gives_the_same_bytes_for_ever() {
    let digests: Vec<String> = PROFILES
        .iter()
        .map(|(name, profile)| {
            let plan = Plan::new(100_000, 7, *profile);
            let first = digest(&plan);
            assert_eq!(first, digest(&plan), "{name}");
            assert_ne!(first, digest(&Plan { seed: 8, ..plan }), "{name}: another seed, the same bytes");
            format!("{name}: {first}")
        })
        .collect();
    insta::assert_snapshot!(digests.join("\n"));
}

#[test]
fn exactly_as_many_records_as_asked_for() {
    for events in [1, 2, 10, 999, 5_000, 20_000] {
        for (name, profile) in PROFILES {
            let mut generator = Generator::new(&Plan::new(events, 1, profile)).expect("a plan");
            let mut written = 0;
            let mut last = Millis(i64::MIN);
            while let Some(record) = generator.next_record().expect("a record") {
                assert!(record.stamp >= last, "{name}: stamps go backwards");
                last = record.stamp;
                written += 1;
            }
            assert_eq!((written, generator.totals().events), (events, events), "{name}");
        }
    }
}

/// What a reader of the records counts, by itself.
#[derive(Default)]
struct Counted {
    accepted: u64,
    duplicates: u64,
    late: u64,
    malformed: BTreeMap<&'static str, u64>,
    kinds: HashMap<EventType, u64>,
    failures: u64,
    behind: u64,
    bytes: u64,
    v6: u64,
    contacts: u64,
}

/// The rule of lateness, written down once more: the lower median of the last nine accepted times.
fn is_late(before: &mut Vec<i64>, time: i64) -> bool {
    let mut nine = before[before.len().saturating_sub(9)..].to_vec();
    nine.sort_unstable();
    before.push(time);
    !nine.is_empty() && nine[(nine.len() - 1) / 2] - time > 600_000
}

fn count(plan: &Plan) -> (Counted, Generator) {
    let mut generator = Generator::new(plan).expect("a plan");
    let limits = Limits::default();
    let mut counted = Counted::default();
    let mut seen: HashMap<String, Millis> = HashMap::new();
    let mut before = Vec::new();
    let mut newest = Millis(i64::MIN);
    while let Some(record) = generator.next_record().expect("a record") {
        assert!(!record.value.contains(&b'\n'));
        let event = match decode(Some(record.value), NOW, &limits) {
            Ok(decoded) => {
                assert_eq!(decoded.unknown_fields, 0, "{}", String::from_utf8_lossy(record.value));
                decoded.event
            }
            Err(refused) => {
                *counted.malformed.entry(refused.reason.word()).or_default() += 1;
                continue;
            }
        };
        let delay = record.stamp.since(event.time);
        if let Some(first) = seen.get(&*event.id) {
            assert!(newest.since(*first) <= 600_000, "a repeat outside the window");
            counted.duplicates += 1;
            continue;
        }
        newest = newest.max(event.time);
        seen.insert(event.id.clone().into_owned(), newest);
        let late = is_late(&mut before, event.time.0);
        assert!(late || delay <= 60_000, "{delay} ms behind and not late");
        counted.late += u64::from(late);
        counted.accepted += 1;
        counted.bytes += record.value.len() as u64;
        counted.behind += u64::from((2_001..=60_000).contains(&delay));
        *counted.kinds.entry(event.kind).or_default() += 1;
        counted.failures += u64::from(event.kind == EventType::Login && event.result == Some(Outcome::Failure));
        counted.v6 += u64::from(event.ip.is_some_and(|ip| ip.is_ipv6()));
        counted.contacts += u64::from(event.contact.is_some());
        let key = event.account.as_deref().or(event.login_name.as_deref()).unwrap_or("");
        assert_eq!(record.key, key.as_bytes());
    }
    (counted, generator)
}

#[test]
fn the_totals_are_what_a_reader_counts() {
    for (name, profile) in PROFILES {
        let (counted, generator) = count(&Plan::new(100_000, 7, profile));
        let totals = generator.totals();
        assert_eq!(totals.malformed, counted.malformed, "{name}");
        assert_eq!(totals.malformed.len(), 11, "{name}: {:?}", totals.malformed);
        assert_eq!((totals.duplicates, totals.late), (counted.duplicates, counted.late), "{name}");
        let refused: u64 = counted.malformed.values().sum();
        assert_eq!(counted.accepted + counted.duplicates + refused, 100_000, "{name}");
    }
}

#[test]
fn the_shares_are_the_stated_ones() {
    for (name, profile) in [("wallet", Profile::Wallet), ("w3", Profile::W3)] {
        let (counted, _) = count(&Plan::new(200_000, 2, profile));
        let share = |n: u64| n as f64 / counted.accepted as f64;
        let of = |kinds: &[EventType]| kinds.iter().map(|k| counted.kinds.get(k).copied().unwrap_or(0)).sum::<u64>();
        let logins = of(&[EventType::Login]);
        let money = of(&[EventType::Transfer, EventType::Payment, EventType::Withdrawal, EventType::TopUp]);
        let within = |what: &str, is: f64, low: f64, high: f64| {
            assert!((low..=high).contains(&is), "{name}: {what} is {is:.4}, not {low} to {high}");
        };
        within("logins", share(logins), 0.38, 0.42);
        within("money", share(money), 0.56, 0.62);
        within("failed logins", counted.failures as f64 / logins as f64, 0.14, 0.16);
        within("repeats", share(counted.duplicates), 0.008, 0.012);
        within("late up to a minute", share(counted.behind), 0.017, 0.023);
        within("too late", share(counted.late), 0.0008, 0.0012);
        within("IPv6", share(counted.v6), 0.25, 0.35);
        within("bytes", counted.bytes as f64 / counted.accepted as f64, 290.0, 335.0);
        let refused: u64 = counted.malformed.values().sum();
        within("malformed", share(refused), 0.000_09, 0.000_12);
        if name == "wallet" {
            // Each first login has one, and one later login in 25.
            within("contacts", share(counted.contacts), 0.05, 0.15);
        }
    }
}

/// In Kafka each partition has its own median: what is late in the file must be late there, and nothing else.
#[test]
fn late_in_the_file_is_late_in_every_partition() {
    for events in [20_000, 100_000] {
        for (name, profile) in [("wallet", Profile::Wallet), ("w3", Profile::W3)] {
            let mut generator = Generator::new(&Plan::new(events, 3, profile)).expect("a plan");
            let limits = Limits::default();
            let mut partitions: HashMap<(Topic, u64), Vec<i64>> = HashMap::new();
            let mut seen = HashSet::new();
            let mut late = 0;
            while let Some(record) = generator.next_record().expect("a record") {
                let Ok(decoded) = decode(Some(record.value), NOW, &limits) else { continue };
                if !seen.insert(decoded.event.id.into_owned()) {
                    continue;
                }
                let of = match record.topic {
                    Topic::Logins => 3,
                    Topic::Accounts => 6,
                    Topic::Transactions => 7,
                };
                let hash = u64::from_le_bytes(blake3::hash(record.key).as_bytes()[..8].try_into().expect("8"));
                let partition = partitions.entry((record.topic, hash % of)).or_default();
                late += u64::from(is_late(partition, decoded.event.time.0));
            }
            assert_eq!(late, generator.totals().late, "{name}, {events} events");
        }
    }
}

// === the command

fn generate(args: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_walletwatch");
    Command::new(binary).arg("generate").args(args).output().expect("the binary runs")
}

#[test]
fn the_command_writes_events_and_truth() {
    let folder = tempfile::tempdir().expect("a folder");
    let (out, truth) = (folder.path().join("events.ndjson"), folder.path().join("truth.ndjson"));
    let (out, truth) = (out.to_str().expect("a path"), truth.to_str().expect("a path"));
    let args = ["--events", "20000", "--seed", "5", "--truth", truth];
    let to_file = generate(&[args.as_slice(), &["--out", out]].concat());
    assert!(to_file.status.success(), "{}", String::from_utf8_lossy(&to_file.stderr));
    assert!(to_file.stdout.is_empty());
    let bytes = std::fs::read(out).expect("events");
    assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 20_000);
    let to_stdout = generate(&[args.as_slice(), &["--no-progress"]].concat());
    assert!(to_stdout.stdout == bytes, "stdout is not what the file is");
    assert!(to_stdout.stderr.is_empty());

    let truth = std::fs::read_to_string(truth).expect("truth");
    let lines: Vec<serde_json::Value> = truth.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let (totals, planted) = lines.split_last().expect("lines");
    assert_eq!((&totals["kind"], &totals["events"]), (&"totals".into(), &20_000.into()));
    for line in planted {
        let keys: Vec<&String> = line.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["account", "device", "events", "expect", "first", "ip", "kind", "last"]);
        assert!(!line["events"].as_array().expect("ids").is_empty());
    }
    assert!(planted.iter().any(|l| l["expect"].as_array().is_some_and(Vec::is_empty)));
}

#[test]
fn wrong_arguments_end_with_64() {
    for args in [
        ["--events", "0", "--seed", "1"].as_slice(),
        &["--events", "10", "--accounts", "0"],
        &["--events", "10", "--start", "yesterday"],
        &["--events", "10", "--profile", "casino"],
        &["--events", "10", "--out", "-", "--brokers", "127.0.0.1:1"],
        &["--events", "10", "--topics", "a,b", "--brokers", "127.0.0.1:1"],
        &["--events", "10", "--topic-order", "wallet.logins,wallet.accounts", "--brokers", "127.0.0.1:1"],
        &["--events", "10", "--rate", "0"],
        &["--seed", "10"],
    ] {
        let output = generate(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty());
    }
    assert_eq!(generate(&["--events", "10", "--out", "/nowhere/at/all"]).status.code(), Some(74));
}

/// Every record of a topic, by partition, in order: key, value, timestamp.
fn consume(broker: &str, topic: &str, records: usize) -> Vec<(i32, Vec<u8>, Vec<u8>, i64)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("group.id", "generate-test")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(20)).expect("metadata");
    let mut from = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        from.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("an offset");
    }
    consumer.assign(&from).expect("assigned");
    let mut read = Vec::new();
    while read.len() < records {
        let message = consumer
            .poll(Duration::from_secs(30))
            .unwrap_or_else(|| panic!("{topic}: only {} of {records} records", read.len()))
            .expect("no error");
        let (key, value) = (message.key().unwrap_or_default().to_vec(), message.payload().unwrap_or_default().to_vec());
        read.push((message.partition(), key, value, message.timestamp().to_millis().expect("a timestamp")));
    }
    assert!(consumer.poll(Duration::from_secs(1)).is_none(), "{topic} has more");
    read
}

#[test]
fn kafka_holds_what_the_file_holds() {
    let broker = kafka::broker();
    let names = ["generate-l", "generate-a", "generate-m"];
    let topics: Vec<String> = names.iter().zip([3, 2, 4]).map(|(n, p)| broker.topic(n, p)).collect();
    let (all, order) = (topics.join(","), format!("{},{},{}", topics[2], topics[1], topics[0]));
    let args = ["--events", "20000", "--seed", "5", "--brokers", &broker.bootstrap, "--topics", &all];
    let output = generate(&[args.as_slice(), &["--topic-order", &order]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    type KeyValueStamp = (Vec<u8>, Vec<u8>, i64);
    let mut expected: HashMap<Topic, Vec<KeyValueStamp>> = HashMap::new();
    let mut generator = Generator::new(&Plan::new(20_000, 5, Profile::Wallet)).expect("a plan");
    while let Some(record) = generator.next_record().expect("a record") {
        let topic = expected.entry(record.topic).or_default();
        topic.push((record.key.to_vec(), record.value.to_vec(), record.stamp.0));
    }
    for (topic, name) in Topic::ALL.into_iter().zip(&topics) {
        let wanted = &mut expected.remove(&topic).expect("records");
        let mut read = consume(&broker.bootstrap, name, wanted.len());
        let mut partition_of: HashMap<Vec<u8>, i32> = HashMap::new();
        for (partition, key, _, _) in read.iter().filter(|r| !r.1.is_empty()) {
            assert_eq!(partition_of.entry(key.clone()).or_insert(*partition), partition, "a key in two partitions");
        }
        for pair in read.windows(2).filter(|w| w[0].0 == w[1].0) {
            assert!(pair[0].3 <= pair[1].3, "stamps go backwards in a partition");
        }
        let mut found: Vec<_> = read.drain(..).map(|(_, key, value, stamp)| (key, value, stamp)).collect();
        found.sort();
        wanted.sort();
        assert!(found == *wanted, "{name} differs from the file");
    }
}

#[test]
fn a_kafka_that_is_not_there_ends_with_69() {
    let output = generate(&["--events", "10", "--brokers", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(69), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn topics_that_are_not_there_are_named_before_anything_is_written() {
    let broker = kafka::broker();
    let there = broker.topic("generate.there", 1);
    let topics = format!("{there},no.such.accounts,no.such.money");
    let began = std::time::Instant::now();
    let output = generate(&["--events", "10", "--brokers", &broker.bootstrap, "--topics", &topics]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{told}");
    assert!(told.contains("no.such.accounts, no.such.money") && !told.contains(&there), "{told}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_plan_that_is_refused_empties_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (out, truth) = (folder.path().join("out"), folder.path().join("truth"));
    let (out_name, truth_name) = (out.to_string_lossy().into_owned(), truth.to_string_lossy().into_owned());
    for file in [&out, &truth] {
        std::fs::write(file, "kept").expect("written");
    }
    for args in [["--events", "0", "--truth", truth_name.as_str()], ["--events", "10", "--truth", out_name.as_str()]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
        let done = command.arg("generate").args(args).args(["--out", &out_name]).output().expect("it runs");
        assert_eq!(done.status.code(), Some(64), "{}", String::from_utf8_lossy(&done.stderr));
        for file in [&out, &truth] {
            assert_eq!(std::fs::read_to_string(file).expect("there"), "kept", "{args:?}");
        }
    }
}
