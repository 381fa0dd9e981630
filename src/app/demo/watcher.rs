//! A reader of `wallet.alerts`, as any other system of the wallet might be one.
//!
//! Guarantees: every alert goes into `alerts.ndjson` as it stands in Kafka, one a line, and is told. Does not
//! decide anything.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use super::DemoError;
use super::broker::{ALERTS_TOPIC, Broker};
use super::fact::{Fact, Teller};
use crate::detect::document::Document;

/// How long one look waits for something.
const WAIT: Duration = Duration::from_millis(20);

/// The reader.
pub struct Watcher {
    consumer: BaseConsumer,
    out: BufWriter<File>,
    teller: Teller,
    seen: u64,
}

impl Watcher {
    /// Stands at the beginning of the topic.
    pub fn open(broker: &Broker, file: &Path, teller: Teller) -> Result<Self, DemoError> {
        let failed = DemoError::broker("be read for alerts");
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.address())
            .set("group.id", "demo.watcher")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            // The embedded broker answers a fetch that finds nothing only when this is over.
            .set("fetch.wait.max.ms", "4")
            .set_log_level(RDKafkaLogLevel::Error)
            .create()
            .map_err(DemoError::broker("be read for alerts"))?;
        let mut list = TopicPartitionList::new();
        for partition in 0..broker.alerts_partitions() {
            list.add_partition_offset(ALERTS_TOPIC, partition, Offset::Offset(0))
                .map_err(DemoError::broker("be read for alerts"))?;
        }
        consumer.assign(&list).map_err(failed)?;
        let out = File::create(file).map_err(|source| DemoError::Folder { path: file.to_owned(), source })?;
        Ok(Watcher { consumer, out: BufWriter::new(out), teller, seen: 0 })
    }

    /// Reads until told that so many alerts are all of them.
    pub fn watch(mut self, all: &dyn Fn() -> Option<u64>) -> Result<(), DemoError> {
        while all().is_none_or(|all| self.seen < all) {
            match self.consumer.poll(WAIT) {
                // Whoever looks meanwhile finds what there is.
                None => self.out.flush().map_err(DemoError::Alerts)?,
                Some(Ok(message)) => {
                    let value = message.payload().unwrap_or_default();
                    let written = self.out.write_all(value).and_then(|()| self.out.write_all(b"\n"));
                    written.map_err(DemoError::Alerts)?;
                    self.seen += 1;
                    if let Ok(Document::Alert(alert)) = serde_json::from_slice(value) {
                        self.teller.tell(Fact::Alert(alert));
                    }
                }
                Some(Err(error)) if error.rdkafka_error_code().is_some_and(passes) => {}
                Some(Err(error)) => return Err(DemoError::broker("be read for alerts")(error)),
            }
        }
        self.out.flush().map_err(DemoError::Alerts)
    }
}

/// Errors that a client mends by itself.
fn passes(code: rdkafka::types::RDKafkaErrorCode) -> bool {
    use rdkafka::types::RDKafkaErrorCode as C;
    !matches!(code, C::AutoOffsetReset | C::OffsetOutOfRange | C::UnknownTopicOrPartition)
}
