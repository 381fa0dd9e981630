//! What the service's parts tell of themselves, without the service: a reader's lag and silence, what another reader
//! could take, and records that nobody acknowledges.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use walletwatch::ingest::kafka::consumer::{BATCHES_MAX, batches};
use walletwatch::ingest::kafka::lag::{PartitionLag, TopicLag, has_records};
use walletwatch::ingest::kafka::{Begin, Consumer, KafkaConfig, Outgoing, Producer, Start};
use walletwatch::telemetry::health::{self, Health, State};

use super::write;
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::service::records_in;

/// A reader of these topics from their beginning; its group is called as the first.
fn reader_of(topics: &[String]) -> KafkaConfig {
    KafkaConfig {
        tls: None,
        topics: topics.to_vec(),
        group: topics[0].clone(),
        start: Some(Start::Earliest),
        ..KafkaConfig::new(vec![broker().bootstrap.clone()])
    }
}

#[test]
fn a_lag_is_counted_to_the_unit_for_a_reader_that_stands_still() {
    let topics = [broker().topic("lag.one", 3), broker().topic("lag.two", 1)];
    let records = |topic: &str, n: usize| {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a producer");
        for at in 0..n {
            let partition = if topic.contains("one") { at % 3 } else { 0 };
            producer.send(BaseRecord::<(), str>::to(topic).partition(partition as i32).payload("x")).expect("taken");
        }
        producer.flush(Duration::from_secs(60)).expect("written");
    };
    records(&topics[0], 10);
    let config = reader_of(&topics);
    let consumer = Consumer::open(&config, Begin::Group).expect("a consumer");
    let mut offsets = consumer.offsets();
    let lag = consumer.lag();
    let ask = || {
        let lags = lag.ask(Duration::from_secs(10)).expect("an answer").expect("a reader");
        lags.into_iter().map(|lag| (lag.topic, lag.records)).collect::<Vec<_>>()
    };
    let both = |one, two| vec![(topics[0].clone(), one), (topics[1].clone(), two)];
    assert_eq!(ask(), both(10, 0), "nothing was read yet");
    records(&topics[1], 3);
    assert_eq!(ask(), both(10, 3));

    let (full, taken) = batches();
    std::thread::scope(|scope| {
        let taken = taken;
        let reader = scope.spawn(|| consumer.run(full, true, &|| false));
        while let Ok(batch) = taken.next(Duration::from_secs(20)) {
            let batch = batch.expect("a batch in time");
            offsets.handled(&batch);
            taken.give_back(batch);
        }
        reader.join().expect("the reader").expect("read");
    });
    // What was written after the reader had opened lies behind the ends it reads to.
    assert_eq!(ask(), both(0, 3));
    records(&topics[0], 4);
    assert_eq!(ask(), both(4, 3), "an idle reader");
    drop(offsets);
    assert_eq!(lag.ask(Duration::from_secs(10)).expect("no question"), None, "the reader has ended");
}

#[test]
fn what_another_reader_can_take_is_told_apart_from_markers_of_transactions() {
    let topic = broker().topic("markers", 1);
    let config = reader_of(std::slice::from_ref(&topic));
    let look = |next: i64| {
        let end = ends(&topic);
        let partitions = vec![PartitionLag { partition: 0, next, end }];
        let lag = TopicLag { topic: topic.clone(), records: (end - next).unsigned_abs(), position: next, partitions };
        has_records(&config, &lag, Duration::from_secs(20)).expect("an answer")
    };
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &broker().bootstrap)
        .set("transactional.id", &topic)
        .create()
        .expect("a producer");
    producer.init_transactions(Duration::from_secs(30)).expect("transactions");
    producer.begin_transaction().expect("begun");
    producer.send(BaseRecord::<str, str>::to(&topic).payload("x")).map_err(|(e, _)| e).expect("taken");
    producer.commit_transaction(Duration::from_secs(30)).expect("committed");
    // The brokers write a marker after they have answered.
    let has_marker =
        |end| wait_until("the marker is written", Duration::from_secs(30), || (ends(&topic) == end).then_some(()));
    has_marker(2);
    assert!(look(0), "a record");
    assert!(!look(1), "the marker behind it");
    producer.begin_transaction().expect("begun");
    producer.send(BaseRecord::<str, str>::to(&topic).payload("y")).map_err(|(e, _)| e).expect("taken");
    producer.flush(Duration::from_secs(30)).expect("written");
    producer.abort_transaction(Duration::from_secs(30)).expect("aborted");
    has_marker(4);
    assert!(!look(1), "nobody reads what was aborted");
    write(broker(), &[(topic.as_str(), &"z".to_owned())]);
    assert!(look(1), "a record behind all that");
}

#[test]
fn a_reader_whose_taker_stands_still_is_silent_until_it_goes_on() {
    let topic = broker().topic("standstill", 1);
    let nothing = String::new();
    write(broker(), &vec![(topic.as_str(), &nothing); 10_000]);
    let config = reader_of(std::slice::from_ref(&topic));
    let health = Health::new(Instant::now());
    health.tell(health::SERVICE, State::Ok, "running", Instant::now());
    let pulse = health.pulse("reading", Duration::from_millis(500), Instant::now());
    let consumer = Consumer::open(&config, Begin::Group).expect("a consumer");
    let (full, taken) = batches();
    std::thread::scope(|scope| {
        // Inside, so that a failure here ends the reader too.
        let taken = taken;
        // As the service does: each turn of the loop asks whether to stop.
        let reader = scope.spawn(|| {
            consumer.run(full, true, &|| {
                pulse.beat(Instant::now());
                false
            })
        });
        wait_until("the queue is full, and one batch is in its hand", Duration::from_secs(30), || {
            (taken.waiting() == BATCHES_MAX + 1).then_some(())
        });
        wait_until("its silence shows", Duration::from_secs(30), || {
            (!health.report(Instant::now()).ready).then_some(())
        });
        let mut records = 0;
        while let Ok(batch) = taken.next(Duration::from_secs(20)) {
            let batch = batch.expect("a batch in time");
            records += batch.len();
            taken.give_back(batch);
        }
        assert_eq!((records, taken.waiting()), (10_000, 0));
        reader.join().expect("the reader").expect("read");
    });
}

#[test]
fn what_nobody_acknowledges_is_known_by_its_number_and_age() {
    let mut config = KafkaConfig { tls: None, ..KafkaConfig::new(vec!["127.0.0.1:1".to_owned()]) };
    config.produce_wait_ms_max = 60_000;
    let producer = Producer::open(&config).expect("a producer");
    assert_eq!((producer.unacknowledged(), producer.oldest_wait()), (0, Duration::ZERO));
    let outgoing = Outgoing { topic: "t", key: None, value: Some(b"x"), headers: &[] };
    for ticket in [1, 1, 2] {
        producer.send(ticket, &outgoing).expect("taken");
    }
    assert_eq!(producer.unacknowledged(), 3);
    wait_until("it waits", Duration::from_secs(5), || {
        (producer.oldest_wait() > Duration::from_millis(100)).then_some(())
    });
}

/// The end of a topic of one partition.
fn ends(topic: &str) -> i64 {
    records_in(topic).expect("the topic")
}
