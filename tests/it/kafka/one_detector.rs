//! One detector: a second one is refused by name, a silent one is taken over, and the older one stops.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::Producer as _;
use rdkafka::topic_partition_list::TopicPartitionList;
use walletwatch::ingest::Batch;
use walletwatch::ingest::kafka::consumer::batches;
use walletwatch::ingest::kafka::error::Kind;
use walletwatch::ingest::kafka::owner::{Mark, Timing};
use walletwatch::ingest::kafka::{Begin, Claim, Consumer, Error, KafkaConfig, Offsets};

use super::{config, plain_producer, write};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;

/// As in production, a hundredth as long.
const TIMING: Timing =
    Timing { watch: Duration::from_millis(1500), look: Duration::from_millis(100), claim: Duration::from_millis(500) };

fn group(name: &str) -> KafkaConfig {
    let topic = broker().topic(name, 3);
    let producer = plain_producer();
    for n in 0..30 {
        write(&producer, &topic, n % 3, 1_767_225_600_000, "x");
    }
    producer.flush(Duration::from_secs(30)).expect("written");
    KafkaConfig { commit_interval_ms: 100, ..config(vec![topic]) }
}

fn claim(config: &KafkaConfig, owner: &str, take_over: bool) -> Result<(Consumer, Offsets), Error> {
    let consumer = Consumer::open(config, Begin::Group)?;
    let offsets = consumer.claim(&Claim { owner: owner.to_owned(), take_over, timing: TIMING }, &|| false)?;
    Ok((consumer, offsets))
}

/// Takes everything there is, as if it were handled.
fn take_all(consumer: Consumer, offsets: &mut Offsets) {
    let (full, taken) = batches();
    std::thread::scope(|scope| {
        scope.spawn(|| consumer.run(full, true, &|| false).expect("read"));
        while let Ok(Some(batch)) = taken.next(Duration::from_secs(30)) {
            offsets.handled(&batch);
            taken.give_back(batch);
        }
        offsets.closed(&offsets.next());
    });
}

/// What stands in the group: by partition the offset, and the mark.
fn standing(config: &KafkaConfig) -> Vec<(Option<i64>, Option<Mark>)> {
    let reader: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &broker().bootstrap)
        .set("group.id", &config.group)
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    (0..3).for_each(|partition| _ = list.add_partition(&config.topics[0], partition));
    let found = reader.committed_offsets(list, Duration::from_secs(10)).expect("committed");
    found.elements().iter().map(|e| (e.offset().to_raw().filter(|n| *n >= 0), Mark::parse(e.metadata()))).collect()
}

fn owner_and_epoch(config: &KafkaConfig) -> (String, u64) {
    let mark = standing(config)[0].1.clone().expect("a mark");
    (mark.owner, mark.epoch)
}

#[test]
fn every_commit_carries_the_mark_idle_or_not() {
    let config = group("one.marks");
    let began = Instant::now();
    let (_consumer, mut offsets) = claim(&config, "host-a", false).expect("the first");
    assert!(began.elapsed() < TIMING.watch, "a first start watches nobody");
    let first = standing(&config);
    assert_eq!(first.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [Some(0); 3], "nothing was moved");
    let mark = first[2].1.clone().expect("a mark on every partition");
    assert_eq!((mark.owner.as_str(), mark.epoch), ("host-a", 1));
    offsets.handled(&Batch::default());
    wait_until("an idle one commits", Duration::from_secs(10), || {
        let later = standing(&config)[2].1.clone().expect("a mark");
        (later.time > mark.time && later.is_same(&mark)).then_some(())
    });
}

#[test]
fn a_second_one_is_refused_by_name_and_changes_nothing() {
    let config = group("one.second");
    let (_consumer, offsets) = claim(&config, "host-a", false).expect("the first");
    let error = claim(&config, "host-b", false).err().expect("host-a is at work");
    assert_eq!(error.kind(), Kind::Refused);
    let told = error.to_string();
    assert!(told.starts_with("detector host-a works on group ") && told.contains("--take-over"), "{told}");
    offsets.check().expect("the first one goes on");
    assert_eq!(owner_and_epoch(&config), ("host-a".to_owned(), 1));
}

#[test]
fn the_same_owner_goes_on_at_once_and_keeps_its_epoch() {
    let config = group("one.restart");
    let (consumer, mut offsets) = claim(&config, "host-a", false).expect("the first");
    take_all(consumer, &mut offsets);
    offsets.finish().expect("committed");
    let last = standing(&config)[0].clone();
    assert_eq!(last.0, Some(10));
    drop(offsets);
    let began = Instant::now();
    let (consumer, _offsets) = claim(&config, "host-a", false).expect("again");
    assert!(began.elapsed() < TIMING.watch, "it watches nobody");
    assert!(consumer.lanes().iter().all(|lane| lane.start == 10));
    let (offset, mark) = standing(&config)[0].clone();
    let (mark, last) = (mark.expect("a mark"), last.1.expect("a mark"));
    assert_eq!((offset, mark.epoch), (Some(10), 1));
    assert!(mark.run > last.run);
}

#[test]
fn one_that_is_silent_is_taken_over_after_the_watch_and_stops_when_it_thaws() {
    let config = group("one.silent");
    let (consumer, mut offsets) = claim(&config, "host-a", false).expect("the first");
    take_all(consumer, &mut offsets);
    offsets.finish().expect("committed");
    drop(offsets);
    let began = Instant::now();
    let (_consumer, _offsets) = claim(&config, "host-b", false).expect("host-a is silent");
    assert!(began.elapsed() >= TIMING.watch + TIMING.claim, "{:?}", began.elapsed());
    assert_eq!(owner_and_epoch(&config), ("host-b".to_owned(), 2));
    assert_eq!(standing(&config)[0].0, Some(10), "no offset was moved");
}

#[test]
fn a_take_over_on_purpose_stops_the_older_one_and_it_commits_nothing_more() {
    let config = group("one.takeover");
    let (consumer, mut older) = claim(&config, "host-a", false).expect("the first");
    let (_newer_consumer, _newer) = claim(&config, "host-b", true).expect("on purpose");
    assert_eq!(owner_and_epoch(&config), ("host-b".to_owned(), 2));
    let error = wait_until("the older one sees it", Duration::from_secs(10), || older.check().err());
    assert_eq!(error.kind(), Kind::GivesWay);
    let told = error.to_string();
    assert!(told.starts_with("detector host-b has taken over group ") && told.contains("epoch 2, ours is 1"), "{told}");
    // Whatever it has handled since.
    take_all(consumer, &mut older);
    older.finish().expect_err("not any more");
    let after = standing(&config);
    assert_eq!(after.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [Some(0); 3]);
    assert_eq!(owner_and_epoch(&config).0, "host-b");
}

#[test]
fn a_start_that_watches_can_be_stopped() {
    let config = group("one.stopped");
    let (_consumer, _offsets) = claim(&config, "host-a", false).expect("the first");
    drop(_offsets);
    let consumer = Consumer::open(&config, Begin::Group).expect("opened");
    let asked = AtomicBool::new(false);
    let timing = Timing { watch: Duration::from_secs(600), ..TIMING };
    let claim = Claim { owner: "host-b".to_owned(), take_over: false, timing };
    let stop = || asked.swap(true, Ordering::Relaxed);
    let stopped = consumer.claim(&claim, &stop).err();
    assert!(matches!(stopped, Some(Error::StoppedEarly)));
    assert_eq!(owner_and_epoch(&config), ("host-a".to_owned(), 1));
}
