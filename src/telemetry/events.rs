//! The operational facts: one struct each, told once, as a line of the log.
//!
//! Guarantees: names of fields carry their unit; no fact holds personal data.

use std::collections::BTreeMap;
use std::time::Duration;

/// The detector has started.
#[derive(Debug)]
pub struct DetectionStarted<'a> {
    /// Topics it reads.
    pub topics: &'a [String],
    /// Their partitions, all together.
    pub partitions: usize,
    /// Records up to the ends at the start.
    pub behind_records: i64,
    /// Where it begins.
    pub begins: Begins,
    /// The rule set.
    pub rules_digest: &'a str,
    /// How many rules.
    pub rules: usize,
    /// Build date of the oldest geo database.
    pub geo: Option<&'a str>,
}

/// Where detection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// Where its state stands.
    State,
    /// At the group's offsets, with an empty state.
    Cold,
    /// Where `kafka.start` says.
    Start,
}

impl DetectionStarted<'_> {
    /// Tells it.
    pub fn tell(&self) {
        tracing::info!(
            topics = self.topics.join(","),
            partitions = self.partitions,
            behind_records = self.behind_records,
            rules_digest = self.rules_digest,
            rules = self.rules,
            geo = self.geo.unwrap_or("none"),
            "detection started"
        );
        match self.begins {
            // What was found is told where it is opened.
            Begins::State => {}
            Begins::Cold => tracing::warn!(
                "detection is cold: it goes on at the group's offsets with an empty state, and what happened before is \
                 not remembered"
            ),
            Begins::Start => tracing::info!("this is the first start of this group: it begins where kafka.start says"),
        }
    }
}

/// Rules read lists that are compiled in: examples, to be replaced by one's own.
#[derive(Debug)]
pub struct ListsAreExamples<'a> {
    /// Their names.
    pub lists: &'a [&'a str],
}

impl ListsAreExamples<'_> {
    /// Tells it.
    pub fn tell(&self) {
        tracing::info!(
            lists = self.lists.join(","),
            "these lists of the shipped rules are examples, as old as their files say: `walletwatch rules eject` makes \
             them yours, to be filled and renewed"
        );
    }
}

/// Over one in a hundred records of a topic have a key that is not their account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysAreNotAccounts<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Records with an account since the topic was looked at last.
    pub records: u64,
    /// Those with another key.
    pub others: u64,
}

impl KeysAreNotAccounts<'_> {
    /// Tells it.
    pub fn tell(&self) {
        tracing::warn!(
            topic = self.topic,
            records = self.records,
            key_not_account = self.others,
            "the records' key is not the account: Kafka does not keep the order of an account's events here, it \
             rests on the records' timestamps; let the producer use the account as the key"
        );
    }
}

/// A topic has been silent for longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicFellSilent<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Time since its last record, or since the start.
    pub silence: Duration,
    /// How long it may be silent.
    pub limit: Duration,
}

impl TopicFellSilent<'_> {
    /// Tells it.
    pub fn tell(&self) {
        tracing::warn!(
            topic = self.topic,
            silent_s = self.silence.as_secs(),
            silent_s_max = self.limit.as_secs(),
            "a topic is silent for longer than kafka.topic_silent_ms_max allows: the rules that need it are blind"
        );
    }
}

/// A topic that was silent for too long speaks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicSpeaks<'a> {
    /// The topic.
    pub topic: &'a str,
    /// How long it was silent.
    pub after: Duration,
}

impl TopicSpeaks<'_> {
    /// Tells it.
    pub fn tell(&self) {
        tracing::info!(topic = self.topic, silent_s = self.after.as_secs(), "a topic that was silent speaks again");
    }
}

/// Everything that was counted, at a clean stop.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records taken.
    pub records: u64,
    /// Records taken again after a crash, which an earlier run counted: not among these.
    pub replayed: u64,
    /// Accepted events, duplicates not among them.
    pub accepted: u64,
    /// Duplicates.
    pub duplicates: u64,
    /// Refused records, all reasons.
    pub rejected: u64,
    /// Refused records by reason.
    pub rejected_by_reason: BTreeMap<String, u64>,
    /// Records that mappings leave out on purpose, all reasons.
    pub ignored: u64,
    /// The same by reason.
    pub ignored_by_reason: BTreeMap<String, u64>,
    /// Late ones among the accepted.
    pub late: u64,
    /// Findings of live rules.
    pub findings: u64,
    /// Alerts.
    pub alerts: u64,
    /// Contact documents.
    pub contacts: u64,
    /// Records in Kafka: alerts, contacts, dead letters.
    pub acknowledged: u64,
    /// Alerts that were new to the desk.
    pub desk_alerts: u64,
    /// Alerts the desk already had.
    pub desk_known: u64,
    /// Notices by `channel outcome reason`.
    pub notices: BTreeMap<String, u64>,
}

impl Summary {
    /// Tells it in one line.
    pub fn tell(&self) {
        let map = |map: &BTreeMap<String, u64>| serde_json::to_string(map).unwrap_or_default();
        tracing::info!(
            records = self.records,
            replayed = self.replayed,
            accepted = self.accepted,
            duplicates = self.duplicates,
            rejected = self.rejected,
            rejected_by_reason = map(&self.rejected_by_reason),
            ignored = self.ignored,
            ignored_by_reason = map(&self.ignored_by_reason),
            late = self.late,
            findings = self.findings,
            alerts = self.alerts,
            contacts = self.contacts,
            acknowledged = self.acknowledged,
            desk_alerts = self.desk_alerts,
            desk_known = self.desk_known,
            notices = map(&self.notices),
            "summary"
        );
    }
}
