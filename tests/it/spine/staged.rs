//! The generator's records as they stand in Kafka, kept aside so that a test can write them piece by piece.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tempfile::TempDir;

use super::EVENTS;
use super::wallet::GENERATOR;
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;

/// One record.
pub struct Record {
    /// 0 logins, 1 accounts, 2 money.
    pub topic: usize,
    /// Its partition.
    pub partition: i32,
    /// Its timestamp.
    pub stamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Vec<u8>,
}

/// All records in the order of their timestamps, and the truth.
pub struct Staged {
    /// The records.
    pub records: Vec<Record>,
    /// The truth's file.
    pub truth: PathBuf,
    _folder: TempDir,
}

impl Staged {
    /// Generates into topics of its own and reads them back.
    pub fn generate(name: &str) -> Staged {
        let folder = tempfile::tempdir().expect("a folder");
        let topics = [("logins", 3), ("accounts", 6), ("transactions", 7)]
            .map(|(topic, partitions)| (broker().topic(&format!("{name}.{topic}"), partitions), partitions));
        let names = topics.clone().map(|(topic, _)| topic);
        let status = Command::new(env!("CARGO_BIN_EXE_walletwatch"))
            .args(GENERATOR)
            .args(["--mail-domain", "seam.wallet.example", "--brokers", &broker().bootstrap])
            .args(["--topics", &names.join(",")])
            .current_dir(folder.path())
            .status()
            .expect("it runs");
        assert!(status.success());
        let mut records = read(&topics, &names);
        // The sort is stable: what one partition holds keeps its order.
        records.sort_by_key(|record| record.stamp);
        Staged { records, truth: folder.path().join("truth.ndjson"), _folder: folder }
    }
}

fn read(topics: &[(String, i32); 3], names: &[String; 3]) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &broker().bootstrap)
        .set("group.id", "test.staged")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    for (topic, partitions) in topics {
        for partition in 0..*partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition");
        }
    }
    consumer.assign(&list).expect("assigned");
    let mut records = Vec::new();
    wait_until("everything generated is read", Duration::from_secs(60), || {
        while let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
            records.push(Record {
                topic: names.iter().position(|name| name == message.topic()).expect("one of ours"),
                partition: message.partition(),
                stamp: message.timestamp().to_millis().expect("a timestamp"),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().unwrap_or_default().to_vec(),
            });
        }
        (records.len() as u64 == EVENTS).then_some(())
    });
    records
}
