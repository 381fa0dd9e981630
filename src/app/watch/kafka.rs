//! What the watcher asks Kafka, and what it makes of the answers: lag, silence, readers and writers that stand still.
//!
//! Guarantees: a reader is said to stand still only where another one can read what it does not take. Decides nothing
//! about events.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Watcher;
use super::topics::{Reader, Reading, Topics, Turn};
use crate::clock;
use crate::ingest::kafka::lag::{TopicLag, has_records};
use crate::ingest::kafka::producer::WaitingTopic;
use crate::telemetry::events::{TopicFellSilent, TopicSpeaks};
use crate::telemetry::health::State;

/// How long a question to Kafka may take.
const ASK_TIME_MAX: Duration = Duration::from_secs(3);
/// From so long without an acknowledgement on, while something waits for one, `/readyz` fails.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(5);

/// What it remembers from one look to the next.
#[derive(Default)]
pub struct Seen {
    topics: Topics,
    readers: Vec<Reader>,
}

impl Watcher {
    /// How long topics may be silent: the limits as metrics, for the alert rules.
    pub(super) fn tell_limits(&self) {
        let metrics = &self.stages.metrics;
        let config = &self.stages.prepared.config;
        metrics.lag_limit.set(i64::try_from(config.http.ready_lag_records_max).unwrap_or(i64::MAX));
        for (topic, ms) in &config.kafka.topic_silent_ms_max {
            let limit = Duration::from_millis(*ms).as_secs_f64();
            metrics.silence_limit.with_label_values(&[topic]).set(limit);
        }
    }

    /// Asks Kafka. One reader that gets no answer stands for all: they have the same brokers.
    pub(super) fn kafka(&mut self) {
        if self.watched.lags.is_empty() {
            return;
        }
        let mut by_reader: BTreeMap<usize, Vec<TopicLag>> = BTreeMap::new();
        for (reader, lag) in self.watched.lags.iter().enumerate() {
            match lag.ask(ASK_TIME_MAX) {
                Ok(found) => _ = by_reader.insert(reader, found.unwrap_or_default()),
                Err(error) => {
                    let now = Instant::now();
                    self.stages.health.tell("kafka", State::Failed, error.to_string(), now);
                    for check in ["lag", "polling"] {
                        self.stages.health.tell(check, State::Warning, "not known: Kafka does not answer", now);
                    }
                    return;
                }
            }
        }
        let now = Instant::now();
        self.stages.health.tell("kafka", State::Ok, "it answers", now);
        self.watched.sight.kafka(by_reader.values().flatten(), clock::now());
        self.lag(by_reader.values().flatten(), now);
        for lag in by_reader.values().flatten() {
            self.silence(lag, now);
        }
        self.polling(&by_reader, now);
    }

    fn lag<'l>(&self, all: impl Iterator<Item = &'l TopicLag>, now: Instant) {
        let mut sum = 0_u64;
        for TopicLag { topic, records, .. } in all {
            self.stages.metrics.lag.with_label_values(&[topic]).set(i64::try_from(*records).unwrap_or(i64::MAX));
            sum = sum.saturating_add(*records);
        }
        let limit = self.stages.prepared.config.http.ready_lag_records_max;
        let state = if sum > limit { State::Failed } else { State::Ok };
        self.stages.health.tell("lag", state, format!("{sum} records behind, at most {limit}"), now);
    }

    fn silence(&mut self, lag: &TopicLag, now: Instant) {
        let topic = lag.topic.as_str();
        let limit =
            self.stages.prepared.config.kafka.topic_silent_ms_max.get(topic).copied().map(Duration::from_millis);
        let seen = self.seen.topics.look(topic, lag.position, limit, now);
        self.stages.metrics.silence.with_label_values(&[topic]).set(seen.silence.as_secs_f64());
        let Some(limit) = limit else { return };
        match seen.turn {
            Some(Turn::FellSilent) => TopicFellSilent { topic, silence: seen.silence, limit }.tell(),
            Some(Turn::Speaks(after)) => TopicSpeaks { topic, after }.tell(),
            None => {}
        }
        let (silent_s, limit_s) = (seen.silence.as_secs(), limit.as_secs());
        let (state, detail) = match seen.silence > limit {
            true => (
                State::Failed,
                format!(
                    "nothing has come for {silent_s} s, it may be {limit_s} s: does its producer still write there?"
                ),
            ),
            false => (State::Ok, format!("the last record came {silent_s} s ago, it may be {limit_s} s")),
        };
        self.stages.health.tell(&format!("silence.{topic}"), state, detail, now);
    }

    /// Whether the readers take what is there.
    fn polling(&mut self, by_reader: &BTreeMap<usize, Vec<TopicLag>>, now: Instant) {
        let mut stands = None;
        for (number, lags) in by_reader {
            if self.seen.readers.len() <= *number {
                self.seen.readers.resize_with(number + 1, Reader::default);
            }
            let Some(reader) = self.seen.readers.get_mut(*number) else { continue };
            let Reading::Stands(silence) = reader.look(lags, now) else { continue };
            let kafka = &self.stages.prepared.config.kafka;
            let waiting: Vec<&TopicLag> = lags.iter().filter(|lag| lag.records > 0).collect();
            // Who gets no answer in that time knows nothing better than the numbers.
            if !waiting.iter().any(|lag| has_records(kafka, lag, ASK_TIME_MAX).unwrap_or(true)) {
                reader.has_nothing(lags);
                continue;
            }
            let records: u64 = waiting.iter().map(|lag| lag.records).fold(0, u64::saturating_add);
            let names: Vec<&str> = waiting.iter().map(|lag| lag.topic.as_str()).collect();
            let (names, seconds) = (names.join(", "), silence.as_secs());
            stands =
                Some(format!("{names}: {records} records are there to be read, and none was taken for {seconds} s"));
        }
        let (state, detail) = match stands {
            Some(detail) => (State::Failed, detail),
            None => (State::Ok, "what is written is taken".to_owned()),
        };
        // Looking closely takes its time.
        self.stages.health.tell("polling", state, detail, Instant::now());
    }

    /// Whether Kafka takes alerts, contacts and dead letters. Asked of the writer's own books, so that it shows while
    /// detection waits, too.
    pub(super) fn writing(&self) {
        let Some(writing) = &self.watched.writing else { return };
        let (state, detail) = writing_state(&writing.over(WRITE_WAIT_MAX));
        self.stages.health.tell("writing", state, detail, Instant::now());
    }
}

/// How the check of writing stands, with the topics that have taken nothing for too long.
fn writing_state(stuck: &[WaitingTopic]) -> (State, String) {
    let Some(waits) = stuck.iter().map(|topic| topic.waits).max() else {
        return (State::Ok, "Kafka acknowledges what is written".to_owned());
    };
    let names: Vec<&str> = stuck.iter().map(|topic| topic.topic.as_str()).collect();
    let records: u64 = stuck.iter().map(|topic| u64::from(topic.records)).sum();
    let detail = format!(
        "{} cannot be written: Kafka has acknowledged nothing there for {} s, {records} records wait; nothing is \
         skipped, detection waits and then stops",
        names.join(", "),
        waits.as_secs()
    );
    (State::Failed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_fails_where_a_topic_has_taken_nothing_for_too_long_and_names_it() {
        assert_eq!(writing_state(&[]).0, State::Ok);
        let stuck = [("wallet.alerts", 7, 3), ("wallet.events.dead", 6, 1)].map(|(topic, seconds, records)| {
            WaitingTopic { topic: topic.to_owned(), waits: Duration::from_secs(seconds), records }
        });
        let (state, detail) = writing_state(&stuck);
        assert_eq!(state, State::Failed);
        assert_eq!(
            detail,
            "wallet.alerts, wallet.events.dead cannot be written: Kafka has acknowledged nothing there for 7 s, 4 records \
             wait; nothing is skipped, detection waits and then stops"
        );
    }
}
