//! After a crash: batches taken again as they were logged, what is gone told by name, new partitions found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use walletwatch::disk::RealDisk;
use walletwatch::ingest::batch_log::{Digests, Logged};
use walletwatch::ingest::kafka::consumer::batches;
use walletwatch::ingest::kafka::error::Kind;
use walletwatch::ingest::kafka::{Begin, Consumer, Error, Follower, KafkaConfig, Standing};
use walletwatch::ingest::{Batch, BatchLog, Partition};

use super::{backlog, config, plain_producer, three_topics, write};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;

/// A record as its taker sees it: lane, offset, timestamp, key and value.
type Seen = (u16, i64, i64, Vec<u8>, Vec<u8>);

/// A batch as its taker sees it: number it was logged under, whether it was taken again, moment, ends and records.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Whole {
    number: u64,
    again: bool,
    moment: i64,
    at_end: Vec<bool>,
    records: Vec<Seen>,
}

fn whole(batch: &Batch, number: u64) -> Whole {
    let record = |record: walletwatch::ingest::Record<'_>| {
        let bytes = |part: Option<&[u8]>| part.unwrap_or_default().to_vec();
        (record.lane, record.position.offset, record.stamp.0, bytes(record.key), bytes(record.value))
    };
    Whole {
        number,
        again: batch.again.is_some(),
        moment: batch.moment.0,
        at_end: batch.at_end.clone(),
        records: batch.records().map(record).collect(),
    }
}

/// What one run took, and where its offsets stood after each batch.
#[derive(Default)]
struct Run {
    batches: Vec<Whole>,
    next: Vec<Vec<(Partition, i64)>>,
}

/// Takes batches as detection does, each into the log first, until the ends or until `enough`.
fn take(
    config: &KafkaConfig,
    begin: Begin,
    log: &mut BatchLog,
    until_end: bool,
    enough: impl Fn(&Run) -> bool,
) -> Result<Run, Error> {
    let consumer = Consumer::open(config, begin)?;
    let (mut offsets, names) = (consumer.offsets(), consumer.names());
    let (full, taken) = batches();
    let stop = AtomicBool::new(false);
    let mut run = Run::default();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| consumer.run(full, until_end, &|| stop.load(Ordering::Relaxed)));
        while let Ok(batch) = taken.next(Duration::from_secs(30)) {
            let Some(batch) = batch else {
                // Else the scope would wait for the reader before it lets the panic through.
                stop.store(true, Ordering::Relaxed);
                panic!("nothing came for 30 s after {} batches", run.batches.len());
            };
            if !stop.load(Ordering::Relaxed) {
                let number = log.append(&batch, &names, &Digests::default()).expect("logged");
                run.batches.push(whole(&batch, number));
                offsets.handled(&batch);
                run.next.push(offsets.next());
            }
            taken.give_back(batch);
            if enough(&run) {
                stop.store(true, Ordering::Relaxed);
            }
        }
        reader.join().expect("the reader")
    })?;
    Ok(run)
}

fn open(folder: &tempfile::TempDir, after: u64) -> (BatchLog, Vec<Logged>) {
    let opened = BatchLog::open(Arc::new(RealDisk), folder.path(), after, true).expect("opened");
    assert_eq!(opened.cut, None);
    (opened.log, opened.again)
}

#[test]
fn what_was_logged_is_taken_again_to_the_byte_and_then_it_goes_on_live() {
    let topics = three_topics("again");
    let written = backlog(&topics, 8000);
    let config = config(topics.to_vec());
    let folder = tempfile::tempdir().expect("a folder");
    let (mut log, _) = open(&folder, 0);
    let first = take(&config, Begin::Fresh, &mut log, false, |run| run.batches.len() >= 9).expect("the first run");
    assert!(first.batches.len() >= 9 && first.batches.len() < 24, "{} batches", first.batches.len());
    drop(log);

    // The checkpoint covers three batches; all after that is taken again, whatever Kafka's queues bring first.
    let (mut log, mut again) = open(&folder, 3);
    // Which partitions are at their end is what the log says, not what is so now.
    let forged: Vec<bool> = (0..again[0].taken.at_end.len()).map(|lane| lane % 3 == 1).collect();
    again[0].taken.at_end.clone_from(&forged);
    let standing = Standing { next: first.next[2].clone(), again: again.into() };
    let logged = standing.again.len();
    let second = take(&config, Begin::State(standing), &mut log, true, |_| false).expect("the second run");
    let mut expected: Vec<Whole> =
        first.batches[3..].iter().map(|batch| Whole { again: true, ..batch.clone() }).collect();
    expected[0].at_end = forged;
    assert_eq!(logged, expected.len());
    for (batch, expected) in second.batches.iter().zip(&expected) {
        assert!(
            batch == expected,
            "batch {}: {} and {} records",
            expected.number,
            batch.records.len(),
            expected.records.len()
        );
    }
    assert!(second.batches[logged..].iter().all(|batch| !batch.again));
    drop(log);

    // The kept log covers every offset of every partition once, in rising order, and so do the batches.
    let kept = BatchLog::kept(&RealDisk, folder.path()).expect("every batch");
    assert_eq!(kept.iter().map(|l| l.taken.number).collect::<Vec<_>>(), (1..=kept.len() as u64).collect::<Vec<_>>());
    let lanes = kept.last().expect("a batch").lanes.len();
    let mut reached = vec![0; lanes];
    for span in kept.iter().flat_map(|logged| &logged.taken.spans) {
        assert_eq!(span.first, reached[usize::from(span.lane)], "no offset is left out");
        reached[usize::from(span.lane)] = span.last + 1;
    }
    assert_eq!(reached.iter().sum::<i64>(), written.len() as i64);
    let taken: usize = first.batches[..3].iter().chain(&second.batches).map(|batch| batch.records.len()).sum();
    assert_eq!(taken, written.len());
}

#[test]
fn an_empty_state_where_the_group_has_read_is_lost_and_that_is_told() {
    let topics = three_topics("lost");
    backlog(&topics, 300);
    let config = config(topics.to_vec());
    super::read(&config, true, usize::MAX).expect("read, and committed");
    let error = Consumer::open(&config, Begin::Fresh).err().expect("the state was lost");
    assert_eq!(error.kind(), Kind::Configuration);
    let told = error.to_string();
    for word in ["state rebuild --from", "backfill", "--cold", &config.group] {
        assert!(told.contains(word), "no {word} in: {told}");
    }
    // With --cold it goes on where the group stands.
    let cold = Consumer::open(&config, Begin::Group).expect("it begins");
    assert!(cold.goes_on() && cold.lanes().iter().all(|lane| lane.start == lane.end));
}

/// Deletes the records of a partition before an offset, as retention does.
fn delete_before(topic: &str, partition: i32, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("a partition");
    runtime().block_on(admin().delete_records(&list, &AdminOptions::new())).expect("deleted");
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("an admin client")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn what_kafka_no_longer_has_is_named_with_what_to_do() {
    let topic = broker().topic("gone", 2);
    let producer = plain_producer();
    for n in 0..200 {
        write(&producer, &topic, n % 2, 1_767_225_600_000 + i64::from(n), "x");
    }
    producer.flush(Duration::from_secs(30)).expect("written");
    let config = config(vec![topic.clone()]);
    let folder = tempfile::tempdir().expect("a folder");
    let (mut log, _) = open(&folder, 0);
    let first = take(&config, Begin::Fresh, &mut log, true, |_| false).expect("read");
    assert_eq!(first.batches.iter().map(|batch| batch.records.len()).sum::<usize>(), 200);
    let at = |offset| vec![(Partition::new(&topic, 0), 100), (Partition::new(&topic, 1), offset)];
    let standing = |next| Begin::State(Standing { next, again: Arc::default() });
    delete_before(&topic, 1, 60);
    let error = Consumer::open(&config, standing(at(59))).err().expect("offset 59 is gone");
    assert_eq!(error.kind(), Kind::Configuration);
    let told = error.to_string();
    assert!(told.starts_with(&format!("{topic}[1]: the state goes on at offset 59, and the topic holds 60 to 100")));
    assert!(told.contains("state rebuild --from"), "{told}");
    // Offsets behind the end: the topic was made anew.
    Consumer::open(&config, standing(at(101))).err().expect("offset 101 was never written");
    // Everything was logged and nothing is covered by a checkpoint: the log asks for what is gone.
    let (_, again) = open(&folder, 0);
    let next = vec![(Partition::new(&topic, 0), 0), (Partition::new(&topic, 1), 60)];
    let (mut unused, _) = open(&tempfile::tempdir().expect("a folder"), 0);
    let error = take(&config, Begin::State(Standing { next, again: again.into() }), &mut unused, true, |_| false).err();
    let error = error.expect("batch 1 cannot be taken again");
    assert!(matches!(&error, Error::NotAgain { batch: 1, partition: 1, first: 0, .. }), "{error}");
    assert_eq!(error.kind(), Kind::Configuration);
}

#[test]
fn a_topic_that_was_taken_out_keeps_its_lane_and_is_missed_only_by_the_log() {
    let topics = three_topics("retired");
    backlog(&topics, 600);
    let all = config(topics.to_vec());
    let folder = tempfile::tempdir().expect("a folder");
    let (mut log, _) = open(&folder, 0);
    let first = take(&all, Begin::Fresh, &mut log, true, |_| false).expect("read");
    let fewer = KafkaConfig { topics: vec![topics[2].clone(), topics[0].clone()], ..all.clone() };
    let next = first.next.last().expect("a batch").clone();
    let consumer = Consumer::open(&fewer, Begin::State(Standing { next: next.clone(), again: Arc::default() }));
    let consumer = consumer.expect("it goes on");
    assert_eq!(consumer.names().all(), next.iter().map(|(lane, _)| lane.clone()).collect::<Vec<_>>());
    let read: Vec<bool> = consumer.lanes().iter().map(|lane| lane.topic.is_some()).collect();
    assert_eq!(read, next.iter().map(|(lane, _)| lane.topic != topics[1]).collect::<Vec<_>>());
    let (_, again) = open(&folder, 0);
    let starts = next.iter().map(|(lane, _)| (lane.clone(), 0)).collect();
    let error = Consumer::open(&fewer, Begin::State(Standing { next: starts, again: again.into() }))
        .err()
        .expect("it is needed");
    assert!(matches!(&error, Error::Retired { topic } if *topic == topics[1]), "{error}");
}

/// Time between two looks: what is written at once after a partition was made is there when it is found.
const LOOK_MS: u64 = 3000;

/// Gives a topic more partitions; the producer learns of them, nobody who reads the topic is told.
fn grow(producer: &BaseProducer, topic: &str, partitions: usize) {
    let new = NewPartitions::new(topic, partitions);
    runtime().block_on(admin().create_partitions([&new], &AdminOptions::new())).expect("grown");
    wait_until("the new partitions take records", Duration::from_secs(30), || {
        let metadata = producer.client().fetch_metadata(Some(topic), Duration::from_secs(5)).ok()?;
        (metadata.topics().first()?.partitions().len() == partitions).then_some(())
    });
}

#[test]
fn notification_reads_a_partition_that_is_new_too() {
    let topics = ["follow.alerts", "follow.contacts"].map(|name| broker().topic(name, 1));
    let [alerts_topic, contacts_topic] = topics.clone();
    let config = KafkaConfig { partitions_look_ms: LOOK_MS, alerts_topic, contacts_topic, ..config(Vec::new()) };
    let producer = plain_producer();
    let put = |topic: &str, partition: i32, value: &str| {
        write(&producer, topic, partition, 1_767_225_600_000, value);
        producer.flush(Duration::from_secs(30)).expect("written");
    };
    put(&topics[0], 0, "first");
    let mut follower = Follower::open(&config, &std::collections::BTreeMap::new()).expect("it reads");
    let mut taken = Vec::new();
    let mut read = |wanted: usize| {
        wait_until(&format!("{wanted} alerts"), Duration::from_secs(30), || {
            let records = follower.read(Duration::from_millis(20)).expect("read");
            taken.extend(records.into_iter().map(|r| String::from_utf8(r.value.expect("a value")).expect("text")));
            (taken.len() >= wanted).then(|| taken.clone())
        })
    };
    assert_eq!(read(1), ["first"]);
    grow(&producer, &topics[0], 2);
    put(&topics[0], 1, "second");
    assert_eq!(read(2), ["first", "second"]);
}

#[test]
fn a_partition_that_is_new_is_found_and_read_from_its_oldest_record() {
    let topics = [broker().topic("grown.a", 2), broker().topic("grown.b", 1)];
    let config = KafkaConfig { partitions_look_ms: LOOK_MS, ..config(topics.to_vec()) };
    let producer = plain_producer();
    let stamp = 1_767_225_600_000;
    let put = |partition: i32, value: &str| {
        write(&producer, &topics[0], partition, stamp, value);
        producer.flush(Duration::from_secs(30)).expect("written");
    };
    put(0, "a0");
    put(1, "a1");
    let folder = tempfile::tempdir().expect("a folder");
    let (mut log, _) = open(&folder, 0);
    let grown = AtomicBool::new(false);
    let values = |run: &Run| run.batches.iter().flat_map(|batch| &batch.records).count();
    let first = take(&config, Begin::Fresh, &mut log, false, |run| {
        if values(run) == 2 && !grown.swap(true, Ordering::Relaxed) {
            grow(&producer, &topics[0], 4);
            for (partition, value) in [(3, "a3"), (2, "a2"), (3, "a3 too"), (0, "a0 too")] {
                put(partition, value);
            }
        }
        values(run) >= 6
    });
    let first = first.expect("read");
    let mut taken: Vec<(u16, i64, String)> = first
        .batches
        .iter()
        .flat_map(|batch| &batch.records)
        .map(|(lane, offset, _, _, value)| (*lane, *offset, String::from_utf8_lossy(value).into_owned()))
        .collect();
    taken.sort();
    let expected = [(0, 0, "a0"), (0, 1, "a0 too"), (1, 0, "a1"), (3, 0, "a2"), (4, 0, "a3"), (4, 1, "a3 too")];
    assert_eq!(taken, expected.map(|(lane, offset, value)| (lane, offset, value.to_owned())), "lane 2 is topic b's");
    let next: Vec<i64> = first.next.last().expect("a batch").iter().map(|(_, next)| *next).collect();
    assert_eq!(next, [2, 1, 0, 1, 2], "the checkpoint and the commits know the new ones");
    drop(log);

    // The numbers stay over a restart, for the checkpoint and for the log; the log alone knows the new ones too.
    let (mut log, again) = open(&folder, 0);
    let next = vec![
        (Partition::new(&topics[0], 0), 0),
        (Partition::new(&topics[0], 1), 0),
        (Partition::new(&topics[1], 0), 0),
    ];
    put(2, "a2 too");
    let second =
        take(&config, Begin::State(Standing { next, again: again.into() }), &mut log, true, |_| false).expect("read");
    let (retaken, live) = second.batches.split_at(first.batches.len());
    assert!(retaken.iter().zip(&first.batches).all(|(second, first)| second.records == first.records));
    let live: Vec<_> = live.iter().flat_map(|batch| &batch.records).map(|record| (record.0, record.1)).collect();
    assert_eq!(live, [(3, 1)], "lane 3 is still partition 2 of topic a");
}
