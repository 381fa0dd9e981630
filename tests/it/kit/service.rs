//! The service as a process, and what stands in its topics.

use std::io::Read as _;
use std::process::{Child, Command};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use super::kafka::broker;
use super::process::wait_until;

/// The one line of a log that counts everything.
pub fn summary_of(stderr: &[u8]) -> Value {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    lines.into_iter().rfind(|line| line["message"] == "summary").unwrap_or_else(|| panic!("no summary in:\n{text}"))
}

/// SIGTERM; it must be out within ten seconds, with 0. Returns the summary.
pub fn terminate(child: &mut Child) -> Value {
    signal(child, "TERM");
    ended(child)
}

/// Sends a signal, by its name without `SIG`.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().expect("kill");
    assert!(status.success());
}

/// It was told to stop: it must be out within ten seconds, with 0. Returns the summary.
pub fn ended(child: &mut Child) -> Value {
    let mut stderr = child.stderr.take().expect("its log");
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).expect("the log");
        text
    });
    let status = wait_until("it is out", Duration::from_secs(10), || child.try_wait().expect("a child"));
    let log = reader.join().expect("the log");
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&log));
    summary_of(&log)
}

/// A record as it stands in a topic.
#[derive(Default)]
pub struct Found {
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp, ms.
    pub stamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Vec<u8>,
    /// The header `reason`, empty where there is none.
    pub reason: String,
    /// Where a dead letter comes from: its headers `topic`, `partition` and `offset`, empty where there is none.
    pub origin: (String, String, String),
}

/// Every record of a topic of the tests' own broker.
pub fn records(topic: &str) -> Vec<Found> {
    records_at(&broker().bootstrap, topic)
}

/// Every record of a topic, each partition's in order.
pub fn records_at(bootstrap: &str, topic: &str) -> Vec<Found> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "test.run")
        .create()
        .expect("a consumer");
    let limit = Duration::from_secs(60);
    let metadata = consumer.fetch_metadata(Some(topic), limit).expect("metadata");
    let mut list = TopicPartitionList::new();
    let mut expected = 0;
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), limit).expect("the ends");
        expected += high - low;
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("a partition");
    }
    consumer.assign(&list).expect("assigned");
    let mut found = Vec::new();
    wait_until(&format!("{expected} records of {topic}"), limit, || {
        while let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
            let header = |key: &str| {
                let found = message.headers().and_then(|headers| headers.iter().find(|h| h.key == key));
                text(found.and_then(|header| header.value).unwrap_or_default())
            };
            found.push(Found {
                partition: message.partition(),
                offset: message.offset(),
                stamp: message.timestamp().to_millis().expect("a timestamp"),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().unwrap_or_default().to_vec(),
                reason: header("reason"),
                origin: (header("topic"), header("partition"), header("offset")),
            });
        }
        (found.len() as i64 >= expected).then_some(())
    });
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every record of a topic: key, value, and the header `reason`.
pub fn read_topic(topic: &str) -> Vec<(String, String, String)> {
    let found = records(topic).into_iter();
    found.map(|r| (text(r.key.as_deref().unwrap_or_default()), text(&r.value), r.reason)).collect()
}

/// How many records a topic holds, once it is there.
pub fn records_in(topic: &str) -> Option<i64> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).set("log_level", "0").create().ok()?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(5)).ok()?;
    let ends = metadata.topics().first()?.partitions().iter().map(|partition| {
        consumer.fetch_watermarks(topic, partition.id(), Duration::from_secs(5)).map_or(0, |(low, high)| high - low)
    });
    Some(ends.sum())
}
