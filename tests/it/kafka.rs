//! Reading and writing on a real broker: order, ends, offsets, dead letters.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use walletwatch::event::{Millis, RejectReason, Rejection};
use walletwatch::ingest::kafka::consumer::{End, batches};
use walletwatch::ingest::kafka::{Begin, Consumer, Error, KafkaConfig, Outgoing, Producer, Start, topics};
use walletwatch::ingest::{DeadLetter, Position, Record};

use crate::kit::kafka::broker;

mod again;
mod one_detector;
mod secure;

/// Records as the test wrote or read them: (stamp, topic, partition, value).
type Seen = (i64, u16, i32, String);

fn config(topics: Vec<String>) -> KafkaConfig {
    let mut config = KafkaConfig::new(vec![broker().bootstrap.clone()]);
    config.tls = None;
    config.group = format!("group.{}", topics.join("."));
    config.topics = topics;
    config.start = Some(Start::Earliest);
    config
}

fn plain_producer() -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", &broker().bootstrap)
        .set("linger.ms", "5")
        .create()
        .expect("a producer")
}

fn write(producer: &BaseProducer, topic: &str, partition: i32, stamp: i64, value: &str) {
    loop {
        let record = BaseRecord::to(topic).partition(partition).timestamp(stamp).key("k").payload(value);
        match producer.send(record) {
            Ok(()) => break,
            Err(_) => producer.poll(Duration::from_millis(10)),
        }
    }
}

/// Reads until the ends, or until `stop_after` records were handled; commits what was handled.
fn read(config: &KafkaConfig, until_end: bool, stop_after: usize) -> Result<Vec<Seen>, Error> {
    let consumer = Consumer::open(config, Begin::Group)?;
    let mut offsets = consumer.offsets();
    let (full, taken) = batches();
    let stop = AtomicBool::new(false);
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| consumer.run(full, until_end, &|| stop.load(Ordering::Relaxed)));
        while let Ok(batch) = taken.next(Duration::from_secs(20)) {
            let Some(batch) = batch else { panic!("nothing came for 20 s after {} records", seen.len()) };
            if seen.len() < stop_after {
                for record in batch.records() {
                    let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                    seen.push((record.stamp.0, record.position.topic, record.position.partition, value));
                }
                offsets.handled(&batch);
            }
            if seen.len() >= stop_after {
                stop.store(true, Ordering::Relaxed);
            }
            taken.give_back(batch);
        }
        let end = reader.join().expect("the reader")?;
        assert_eq!(end, if stop_after == usize::MAX { End::Reached } else { End::Stopped });
        offsets.closed(&offsets.next());
        offsets.finish()
    })?;
    Ok(seen)
}

/// A backlog of an hour over 16 partitions of three topics: each partition's stamps rise.
fn backlog(topics: &[String; 3], records: usize) -> Vec<Seen> {
    let producer = plain_producer();
    let begin = 1_767_225_600_000_i64;
    let mut all = Vec::new();
    // The last topic is written first.
    for (number, partitions) in [(2_u16, 7), (0, 3), (1, 6)] {
        for n in 0..records {
            let partition = (n % partitions) as i32;
            let stamp = begin + (n as i64 * 3_600_000) / records as i64 + i64::from(number);
            let value = format!("{number}.{partition}.{n}");
            write(&producer, &topics[usize::from(number)], partition, stamp, &value);
            all.push((stamp, number, partition, value));
        }
    }
    producer.flush(Duration::from_secs(60)).expect("written");
    all
}

fn three_topics(name: &str) -> [String; 3] {
    [("logins", 3), ("accounts", 6), ("transactions", 7)].map(|(t, n)| broker().topic(&format!("{name}.{t}"), n))
}

#[test]
fn a_backlog_over_three_topics_is_taken_in_the_order_it_was_written() {
    let topics = three_topics("order");
    let mut written = backlog(&topics, 20_000);
    let taken = read(&config(topics.to_vec()), true, usize::MAX).expect("read");
    written.sort_by_key(|seen| (seen.0, seen.1, seen.2));
    assert_eq!(taken.len(), written.len());
    let out_of_order = taken.windows(2).filter(|pair| pair[0].0 > pair[1].0).count();
    assert_eq!(out_of_order, 0, "records out of order");
    assert!(taken == written, "the same records");
}

#[test]
fn a_restart_goes_on_where_the_first_run_committed() {
    let topics = three_topics("restart");
    let mut written = backlog(&topics, 3000);
    let config = config(topics.to_vec());
    let first = read(&config, false, 4000).expect("the first half");
    assert!(first.len() >= 4000 && first.len() < written.len(), "{}", first.len());
    // `start` is no longer needed: the group has offsets.
    let second = read(&KafkaConfig { start: None, ..config }, true, usize::MAX).expect("the second half");
    let mut both: Vec<Seen> = first.into_iter().chain(second).collect();
    both.sort();
    written.sort();
    assert_eq!(both.len(), written.len());
    assert!(both == written, "nothing is lost or repeated");
}

#[test]
fn the_first_start_must_be_told_where_to_begin() {
    let topic = broker().topic("start", 2);
    let producer = plain_producer();
    for n in 0..10 {
        write(&producer, &topic, n % 2, 1_767_225_600_000 + i64::from(n) * 1000, &n.to_string());
    }
    producer.flush(Duration::from_secs(30)).expect("written");
    let unset = KafkaConfig { start: None, ..config(vec![topic]) };
    let error = read(&unset, true, usize::MAX).expect_err("no start");
    assert!(error.to_string().contains("kafka.start"), "{error}");
    let at = |start, group: &str| KafkaConfig { start: Some(start), group: group.to_owned(), ..unset.clone() };
    assert_eq!(read(&at(Start::Earliest, "start.e"), true, usize::MAX).expect("read").len(), 10);
    assert_eq!(read(&at(Start::Latest, "start.l"), true, usize::MAX).expect("read").len(), 0);
    let time = Start::Time(Millis(1_767_225_604_000));
    assert_eq!(read(&at(time, "start.t"), true, usize::MAX).expect("read").len(), 6);
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let error = read(&config(vec!["nowhere.to.be.found".to_owned()]), true, usize::MAX).expect_err("no topic");
    assert!(error.to_string().contains("`nowhere.to.be.found` does not exist"), "{error}");
}

/// The topics we write to, with names of their own.
fn own_topics(name: &str) -> KafkaConfig {
    let mut config = config(vec![]);
    let of = |topic: &str| format!("{name}.{topic}.{}", std::process::id());
    (config.alerts_topic, config.contacts_topic, config.dead_letter_topic) = (of("alerts"), of("contacts"), of("dead"));
    config
}

#[test]
fn a_dead_letter_carries_reason_place_key_and_value() {
    let config = own_topics("letters");
    topics::prepare(&config).expect("topics are made");
    topics::prepare(&config).expect("and found right the second time");
    let producer = Producer::open(&config).expect("a producer");
    let long = vec![b'x'; 300 * 1024];
    let values: [Option<&[u8]>; 3] = [Some(b"not json"), None, Some(&long)];
    for (ticket, value) in values.into_iter().enumerate() {
        let position = Position { topic: 0, partition: 2, offset: 40 + ticket as i64 };
        let record = Record { position, lane: 0, stamp: Millis(0), key: Some(b"acc-1"), value };
        let rejection = Rejection::new(RejectReason::NotJson, "one JSON object");
        let letter = DeadLetter::new(&record, "wallet.logins", &rejection);
        let (key, value, headers) = (letter.key, letter.value, &letter.headers);
        producer.send(ticket, &Outgoing { topic: &config.dead_letter_topic, key, value, headers }).expect("sent");
    }
    assert!(producer.flush(Instant::now() + Duration::from_secs(30)).expect("written"));
    assert_eq!(producer.acknowledged_below(), usize::MAX);

    let letters = read_all(&config.dead_letter_topic, 3);
    let told: Vec<String> =
        letters.iter().map(|l| format!("{} {:?} {}", l.0.join(" "), l.1, l.2.map_or(-1, |n| n as i64))).collect();
    insta::assert_snapshot!(told.join("\n"));
}

/// Headers, key and length of the value of every record of a topic, by offset header.
fn read_all(topic: &str, records: usize) -> Vec<(Vec<String>, String, Option<usize>)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &broker().bootstrap)
        .set("group.id", "test.reader")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut found = Vec::new();
    while found.len() < records {
        assert!(Instant::now() < deadline, "{} of {records} records in 30 s", found.len());
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        let headers = message.headers().map_or(Vec::new(), |headers| {
            headers
                .iter()
                .map(|h| format!("{}={}", h.key, String::from_utf8_lossy(h.value.unwrap_or_default())))
                .collect()
        });
        let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
        found.push((headers, key, message.payload().map(<[u8]>::len)));
    }
    found.sort();
    found
}

#[test]
fn what_cannot_be_written_in_time_is_an_error_and_never_skipped() {
    let mut config = own_topics("silent");
    config.brokers = vec!["127.0.0.1:1".to_owned()];
    config.produce_wait_ms_max = 1000;
    let producer = Producer::open(&config).expect("a producer");
    let outgoing = Outgoing { topic: "wallet.alerts", key: None, value: Some(b"{}"), headers: &[] };
    producer.send(7, &outgoing).expect("it is queued");
    assert_eq!(producer.acknowledged_below(), 7, "no offset of batch 7 may be committed");
    let error = producer.flush(Instant::now() + Duration::from_secs(20)).expect_err("nobody took it");
    assert_eq!(
        error.to_string(),
        "topic `wallet.alerts` took nothing for 1000 ms; nothing was skipped, its offset is not committed"
    );
    producer.send(8, &outgoing).expect_err("after a failure nothing more is taken");
}

#[test]
fn a_full_queue_makes_the_writer_wait_and_then_stop() {
    let mut config = own_topics("full");
    config.brokers = vec!["127.0.0.1:1".to_owned()];
    config.produce_wait_ms_max = 2000;
    let producer = Producer::open(&config).expect("a producer");
    let value = vec![b'x'; 1024];
    let outgoing = Outgoing { topic: "wallet.alerts", key: None, value: Some(&value), headers: &[] };
    let began = Instant::now();
    let failed = (0..50_000).find_map(|ticket| producer.send(ticket, &outgoing).err()).expect("the queue has a limit");
    assert!(failed.to_string().contains("took nothing for"), "{failed}");
    assert!(began.elapsed() >= Duration::from_secs(1) && began.elapsed() < Duration::from_secs(20));
}
