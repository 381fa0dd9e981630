//! The embedded broker: librdkafka's mock cluster, which speaks Kafka's protocol on a port of the loopback.
//!
//! Guarantees: every topic is there before anybody asks; it keeps everything that is written, or [`Broker::audit`]
//! says what it dropped: a partition drops its oldest records in silence once it holds more than 5 MiB, so
//! there are as many partitions as keep clear of that. It is no place to keep anything: it dies with the process.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::DemoError;
use crate::telemetry::events::Summary;

/// Bytes the mock cluster keeps in a partition (librdkafka, `rdkafka_mock.c`).
const PARTITION_BYTES_MAX: u64 = 5 * 1024 * 1024;
/// Partitions of a topic at the least: the order between them is something to see.
const PARTITIONS_MIN: u64 = 3;
/// How long the cluster, in this very process, may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The topics of events, in the order of the configuration.
pub const EVENT_TOPICS: [&str; 3] = ["wallet.logins", "wallet.accounts", "wallet.transactions"];
/// The topic of alerts.
pub const ALERTS_TOPIC: &str = "wallet.alerts";
/// The topics with what they come to hold for each event of the stream, bytes, before compression: a quarter more
/// than what a stream was measured to bring. Each partition costs time at the start.
const TOPICS: [(&str, u64); 6] = [
    (EVENT_TOPICS[0], 250),
    (EVENT_TOPICS[1], 10),
    (EVENT_TOPICS[2], 250),
    (ALERTS_TOPIC, 20),
    ("wallet.contacts", 50),
    ("wallet.events.dead", 10),
];

/// A running cluster of one broker. Ends when it is dropped.
pub struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    topics: Vec<(&'static str, i32)>,
}

/// What stands in the broker at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// Records written to the topics of events.
    pub events: u64,
    /// Records written to the topic of alerts.
    pub alerts: u64,
    /// Partitions that lost records, and how many: `wallet.logins[2]: 17`.
    pub trimmed: Vec<(String, u64)>,
}

impl Broker {
    /// Starts it, with topics that can hold so many events.
    pub fn start(events: u64) -> Result<Self, DemoError> {
        let cluster = MockCluster::new(1).map_err(DemoError::broker("start"))?;
        let topics = TOPICS.map(|(topic, bytes)| (topic, partitions(events, bytes))).to_vec();
        for (topic, partitions) in &topics {
            cluster.create_topic(topic, *partitions, 1).map_err(DemoError::broker("make its topics"))?;
        }
        Ok(Broker { cluster, topics })
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Partitions of the topic of alerts.
    pub fn alerts_partitions(&self) -> i32 {
        self.topics.iter().find(|(topic, _)| *topic == ALERTS_TOPIC).map_or(0, |(_, partitions)| *partitions)
    }

    /// What was written, and what of that is gone.
    pub fn audit(&self) -> Result<Audit, DemoError> {
        let asks: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.address())
            .create()
            .map_err(DemoError::broker("be asked what it holds"))?;
        let mut audit = Audit::default();
        for (topic, partitions) in &self.topics {
            for partition in 0..*partitions {
                let (low, high) = asks
                    .fetch_watermarks(topic, partition, ANSWER_MAX)
                    .map_err(DemoError::broker("be asked what it holds"))?;
                audit.add(topic, partition, low, high);
            }
        }
        Ok(audit)
    }
}

impl Audit {
    /// Takes the offsets of a partition's oldest record and of the next one to be written.
    fn add(&mut self, topic: &str, partition: i32, low: i64, high: i64) {
        let written = u64::try_from(high).unwrap_or(0);
        match topic {
            ALERTS_TOPIC => self.alerts += written,
            topic if EVENT_TOPICS.contains(&topic) => self.events += written,
            _ => {}
        }
        if low > 0 {
            self.trimmed.push((format!("{topic}[{partition}]"), low.unsigned_abs()));
        }
    }

    /// Whether everything that was sent is still there, and was taken.
    pub fn check(&self, sent: u64, summary: &Summary) -> Result<(), DemoError> {
        let taken = summary.records;
        if !self.trimmed.is_empty() {
            let trimmed: Vec<String> = self.trimmed.iter().map(|(place, lost)| format!("{place}: {lost}")).collect();
            return Err(DemoError::Trimmed(trimmed.join(", ")));
        }
        if self.events != sent || taken != sent {
            return Err(DemoError::Counts { sent, written: self.events, taken });
        }
        if self.alerts != summary.alerts {
            return Err(DemoError::AlertsMissing { made: summary.alerts, seen: self.alerts });
        }
        Ok(())
    }
}

/// How many partitions keep so many times so many bytes: twice what it takes, as accounts differ in size.
fn partitions(events: u64, bytes: u64) -> i32 {
    let needed = (events * bytes).div_ceil(PARTITION_BYTES_MAX / 2);
    i32::try_from(needed.max(PARTITIONS_MIN)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    use super::*;

    #[test]
    fn what_the_broker_drops_is_told() {
        let broker = Broker::start(1000).expect("a broker");
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", broker.address())
            .set("batch.num.messages", "1")
            .create()
            .expect("a producer");
        let value = vec![b'x'; 600_000];
        for _ in 0..12 {
            let record = BaseRecord::<(), [u8]>::to(EVENT_TOPICS[0]).partition(0).payload(&value);
            producer.send(record).expect("room in the queue");
            producer.flush(Duration::from_secs(10)).expect("written");
        }
        let audit = broker.audit().expect("an answer");
        assert_eq!(audit.events, 12);
        let (place, lost) = audit.trimmed.first().expect("it holds 5 MiB");
        assert_eq!(place, "wallet.logins[0]");
        assert!((3..12).contains(lost), "{lost}");
        let taken = Summary { records: 12, ..Summary::default() };
        assert!(matches!(audit.check(12, &taken), Err(DemoError::Trimmed(_))), "though all of it was taken");
    }

    #[test]
    fn counts_that_differ_are_told() {
        let audit = |events| Audit { events, alerts: 2, ..Audit::default() };
        let counted = |records, alerts| Summary { records, alerts, ..Summary::default() };
        assert!(audit(10).check(10, &counted(10, 2)).is_ok());
        assert!(matches!(audit(9).check(10, &counted(10, 2)), Err(DemoError::Counts { written: 9, .. })));
        assert!(matches!(audit(10).check(10, &counted(9, 2)), Err(DemoError::Counts { taken: 9, .. })));
        assert!(matches!(audit(10).check(10, &counted(10, 3)), Err(DemoError::AlertsMissing { made: 3, seen: 2 })));
    }

    #[test]
    fn partitions_grow_with_the_events() {
        assert_eq!([100, 40_000, 1_000_000].map(|events| partitions(events, 250)), [3, 4, 96]);
        assert_eq!(partitions(1_000_000, 10), 4);
    }
}
