//! Every metric there is: name, kind, labels, meaning. The one list; dashboards and alert rules are held against it.
//!
//! Guarantees: names follow the Prometheus conventions (base units, the unit last, `_total` on counters); labels
//! take their values from configuration and code, never from events. `deploy/prometheus/METRICS.md` says the same,
//! held by a test. Counts nothing.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of Prometheus")]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// The word in the text format.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric with all its label values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Histogram, labels, help }
}

/// A constant for each, and the list of all: they stay in step because each is written once.
macro_rules! catalogue {
    ($($constant:ident = $make:ident($name:literal, $labels:expr, $help:literal);)+) => {
        $(#[doc = $help] pub const $constant: Family = $make($name, &$labels, $help);)+
        /// All of them but those of [`PROCESS`].
        pub const ALL: &[Family] = &[$($constant),+];
    };
}

catalogue! {
    EVENTS = counter("walletwatch_events_total", ["type", "outcome"],
        "Events read. Outcome: accepted, late (accepted, but too late to update a feature), duplicate. With \
         walletwatch_events_rejected_total and walletwatch_events_ignored_total these are all records.");
    EVENTS_REJECTED = counter("walletwatch_events_rejected_total", ["reason"],
        "Records that cannot be used. Each is a dead letter.");
    EVENTS_IGNORED = counter("walletwatch_events_ignored_total", ["reason"],
        "Records that a topic's mapping leaves out on purpose, by the reason it gives.");
    EVENTS_WITH_ACCOUNT = counter("walletwatch_events_with_account_total", ["topic"],
        "Accepted events that have an account.");
    EVENTS_KEY_NOT_ACCOUNT = counter("walletwatch_events_key_not_account_total", ["topic"],
        "Those of walletwatch_events_with_account_total whose record's key is not their account: the order of an \
         account's events rests on timestamps there.");
    EVENT_FIELDS_UNKNOWN = counter("walletwatch_event_fields_unknown_total", [],
        "Fields that were dropped because the schema does not have them.");
    BATCHES = counter("walletwatch_batches_total", [], "Batches of records that were decided.");
    REPLAYED = counter("walletwatch_replayed_total", ["what"],
        "What was taken, or made, again after a crash, exactly as it was logged, and is in no other count of this \
         process: records, alerts, contacts, dead_letters. Those told before keep their ids.");
    FINDINGS = counter("walletwatch_findings_total", ["rule", "state", "outcome"],
        "Rules that were true. Outcome: fired, repeated (within its dedup time), excepted.");
    SEQUENCE_OVERFLOW = counter("walletwatch_sequence_overflow_total", ["rule"],
        "Chains that a sequence had begun and that went for want of room, by rule: more than 16 events of one step, or \
         more than 4 chains of one event.");
    SEQUENCES_FORGOTTEN = counter("walletwatch_sequences_forgotten_total", [],
        "Rules and entities whose chains were forgotten for want of room: more than limits.entities_max, or above \
         state.kept_max_bytes.");
    ALERTS = counter("walletwatch_alerts_total", ["band"], "Alerts made, by the band of their score.");
    ALERT_LATENCY = histogram("walletwatch_alert_latency_seconds", [],
        "Time from the timestamp of an event's record to the moment its alert is acknowledged in the alerts topic.");
    CONTACTS = counter("walletwatch_contacts_total", [], "Contact documents published.");
    GEO_LOOKUPS = counter("walletwatch_geo_lookups_total", ["outcome"],
        "Addresses looked up in the geo databases. Outcome: found, unknown.");
    GEO_LOOKUP_ERRORS = counter("walletwatch_geo_lookup_errors_total", ["file"],
        "Lookups that failed in a geo database; what failed counts as unknown.");
    GEO_AGE = gauge("walletwatch_geo_age_seconds", ["file"], "Time since a geo database was built.");
    LIST_AGE = gauge("walletwatch_list_age_seconds", ["list"],
        "Time since the entries of a list were last known to be right.");
    LIST_AGE_LIMIT = gauge("walletwatch_list_age_limit_seconds", ["list"],
        "The age from which on a list is stale, as its file says; the lists compiled into the program are examples and \
         have none.");
    LIST_ENTRIES = gauge("walletwatch_list_entries", ["list"], "Entries of a list.");
    BUILD = gauge("walletwatch_build_info", ["version"], "The program that runs. Always 1.");
    RULESET = gauge("walletwatch_ruleset_info", ["digest"], "The rule set in force. Always 1.");
    RULES = gauge("walletwatch_rules", ["state"], "Rules in force, by state.");
    CONSUMER_LAG = gauge("walletwatch_consumer_lag_records", ["topic"],
        "Records of a topic that are written but not decided (events) or not taken by the desk (alerts, contacts).");
    CONSUMER_LAG_LIMIT = gauge("walletwatch_consumer_lag_limit_records", [],
        "The lag of all topics together from which on /readyz fails: http.ready_lag_records_max.");
    CONSUMER_SILENCE = gauge("walletwatch_consumer_silence_seconds", ["topic"],
        "Time since the last record of a topic was taken, or since the start.");
    CONSUMER_SILENCE_LIMIT = gauge("walletwatch_consumer_silence_limit_seconds", ["topic"],
        "How long a topic may be silent before /readyz fails: kafka.topic_silent_ms_max. Only topics that have a limit.");
    ORDER_GIVEN_UP = counter("walletwatch_order_given_up_total", [],
        "How often a partition that was behind was no longer waited for: its order to the others rests on its own pace.");
    WRITTEN = counter("walletwatch_kafka_acknowledged_total", ["topic"],
        "Records we wrote that Kafka acknowledged: alerts, contacts, dead letters.");
    QUEUE_LENGTH = gauge("walletwatch_queue_length", ["queue"],
        "What stands in a bounded queue: batches between reader and detection, records Kafka has not acknowledged.");
    QUEUE_CAPACITY = gauge("walletwatch_queue_capacity", ["queue"], "What a queue may hold.");
    STAGE_SILENCE = gauge("walletwatch_stage_silence_seconds", ["stage"],
        "Time since a stage last gave a sign of life; a stage that blocks is silent.");
    STATE_ENTITIES = gauge("walletwatch_state_entities", ["entity"], "Entities that are remembered, by kind; of kind \
         sequence: rules and entities with chains that have begun.");
    STATE_ENTITIES_LIMIT = gauge("walletwatch_state_entities_limit", [],
        "Entities of one kind that are remembered at most: limits.entities_max.");
    STATE_BYTES = gauge("walletwatch_state_bytes", ["entity"],
        "Memory of the entities of a kind, estimated: their tables are counted, what the entities point to is \
         extrapolated from a sample.");
    STATE_AWAY = gauge("walletwatch_state_away_entities", ["entity"],
        "Entities that are remembered and not in memory: the state store has them.");
    STATE_LEFT = counter("walletwatch_state_left_total", ["entity"],
        "Entities that left memory for the state store; who changed since the last checkpoint stays.");
    STATE_CAME_BACK = counter("walletwatch_state_came_back_total", ["entity"],
        "Entities that were read back from the state store because they came again or were swept.");
    STATE_RESIDENT = gauge("walletwatch_state_resident_bytes", [],
        "Memory that what is remembered is accounted to take, without entities that are away.");
    STATE_RESIDENT_LIMIT = gauge("walletwatch_state_resident_limit_bytes", [],
        "What walletwatch_state_resident_bytes is kept below: three quarters of state.memory_max_bytes.");
    STATE_ROOM_WAIT = histogram("walletwatch_state_room_wait_seconds", [],
        "How long detection waited for a checkpoint because memory was full of what had changed since the last one.");
    STATE_ACCOUNTED = gauge("walletwatch_state_accounted_bytes", ["part"],
        "Memory that what is remembered is accounted to take, by its lengths: what is held against \
         walletwatch_state_memory_limit_bytes. Part: entities, sequences, contacts, silences (of rules, by dedup), event_ids.");
    STATE_MEMORY_LIMIT = gauge("walletwatch_state_memory_limit_bytes", [],
        "The sum of walletwatch_state_accounted_bytes above which somebody is forgotten: state.kept_max_bytes.");
    STATE_FORGOTTEN = counter("walletwatch_state_forgotten_total", ["entity", "why"],
        "What is remembered no more. Why: ended (nothing could be asked of it any more), once (no room, and it came only \
         once), idle (no room, and it came again but not lately), early (an event id, before its window ended), not_kept \
         (a contact, a changed SIM, or what a rule is silent about: no room to begin with).");
    EVENT_IDS = gauge("walletwatch_event_ids", [], "Event ids that are remembered to know an event that comes twice.");
    EVENT_IDS_LIMIT = gauge("walletwatch_event_ids_limit", [], "Event ids remembered at most: limits.event_ids_max.");
    EVENT_IDS_HELD = gauge("walletwatch_event_ids_held_seconds", [],
        "The time really held by the remembered ids, in event time: at the limit it is shorter than configured.");
    CHECKPOINT = histogram("walletwatch_checkpoint_seconds", [],
        "How long a checkpoint took, from its beginning until the store had it.");
    CHECKPOINT_CLOSE = histogram("walletwatch_checkpoint_close_seconds", [],
        "The part of walletwatch_checkpoint_seconds after which its redo file outlives everything: from then on Kafka's \
         offsets may be committed up to it.");
    CHECKPOINT_AGE = gauge("walletwatch_checkpoint_age_seconds", [],
        "Time since the last checkpoint was closed, or since the start.");
    COMMIT_AGE = gauge("walletwatch_commit_age_seconds", [],
        "Time since offsets were last committed, or since the start: they are every few seconds, idle or not.");
    CHECKPOINT_CHANGES = gauge("walletwatch_checkpoint_changes", [], "Keys that the last checkpoint changed.");
    CHECKPOINT_BYTES = gauge("walletwatch_checkpoint_bytes", [], "Size of the last checkpoint's redo file.");
    STORE_BYTES = gauge("walletwatch_state_store_bytes", [], "Size of the state store on disk.");
    DESK_ALERTS = counter("walletwatch_desk_alerts_total", ["outcome"],
        "Records the desk read. Outcome: new, known (a redelivery), unreadable.");
    DESK_DECISIONS = counter("walletwatch_desk_decisions_total", ["audience", "reason"],
        "What the desk decided about alerts, by audience, with the reason for telling or holding.");
    NOTICES = counter("walletwatch_notices_total", ["channel", "outcome", "reason"],
        "Tries to send a notice. Outcome: sent, retried, refused (goes to the next channel), failed; undeliverable \
         (no try, channel none).");
    NOTICE_CONTACTS_LATE = counter("walletwatch_notice_contacts_late_total", [],
        "Notices that went on without a contact as new as their alert names.");
    OUTBOX_NOTICES = gauge("walletwatch_outbox_notices", ["channel", "state"],
        "Notices in the outbox. State: queued (for a try or a retry), waiting (for a contact, channel none).");
    CHANNEL_SENDS = gauge("walletwatch_channel_sends", ["channel"], "Notices a channel is sending now.");
    CHANNEL_SENDS_LIMIT = gauge("walletwatch_channel_sends_limit", ["channel"], "Notices a channel sends at once, at most.");
    CHANNEL_FAILURES = gauge("walletwatch_channel_failures_in_a_row", ["channel"],
        "Tries that failed since the channel last took one; from 2 on /readyz fails.");
    RELOADS = counter("walletwatch_reload_total", ["what", "outcome"],
        "Reloads of rules (with lists and policy), notices, geo, mappings. Outcome: applied, refused (the old one stays), last_good (a start went on with the last good copy).");
    RELOAD_SUCCESS = gauge("walletwatch_reload_last_success_timestamp_seconds", ["what"],
        "When what is in force was read; the start counts.");
    RULE_WARMING = gauge("walletwatch_rule_warming_until_timestamp_seconds", ["rule"],
        "Event time at which the windows that a rule reads since a reload are full.");
    READY = gauge("walletwatch_ready", [], "1 where /readyz says 200, else 0.");
    CHECK_FAILED = gauge("walletwatch_check_failed", ["check"], "1 where a check of /readyz fails, else 0.");
    CHECK_WARNING = gauge("walletwatch_check_warning", ["check"],
        "1 where a check of /readyz warns, else 0: a refused reload warns until a good one.");
}

/// What the client library tells of the process (Linux).
pub const PROCESS: &[Family] = &[
    counter("process_cpu_seconds_total", &[], "Total user and system CPU time spent in seconds."),
    gauge("process_open_fds", &[], "Number of open file descriptors."),
    gauge("process_max_fds", &[], "Maximum number of open file descriptors."),
    gauge("process_virtual_memory_bytes", &[], "Virtual memory size in bytes."),
    gauge("process_resident_memory_bytes", &[], "Resident memory size in bytes."),
    gauge("process_start_time_seconds", &[], "Start time of the process since unix epoch in seconds."),
    gauge("process_threads", &[], "Number of OS threads in the process."),
];

/// The upper bounds of the latency's buckets, seconds: the measures 8, 15, 20, 50 and 250 ms are among them.
pub const LATENCY_BUCKETS_S: &[f64] =
    &[0.001, 0.002, 0.004, 0.008, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

/// The upper bounds of a checkpoint's buckets, seconds; the check `state` warns from 10 s on and fails from 60 s on.
pub const CHECKPOINT_BUCKETS_S: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the page.
    fn table() -> String {
        let mut text = "| metric | kind | labels | what it counts |\n|---|---|---|---|\n".to_owned();
        for family in ALL.iter().chain(PROCESS) {
            let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            let (name, kind, help) = (family.name, family.kind.word(), family.help);
            text.push_str(&format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", ")));
        }
        text
    }

    #[test]
    fn the_page_holds_every_metric_and_no_other() {
        let page = include_str!("../../deploy/prometheus/METRICS.md");
        let start = page.find("| metric |").expect("the table");
        let rows: Vec<&str> = page[start..].lines().take_while(|line| line.starts_with('|')).collect();
        let told = format!("{}\n", rows.join("\n"));
        assert!(told == table(), "the table of deploy/prometheus/METRICS.md must be:\n{}", table());
    }

    #[test]
    fn names_follow_the_conventions() {
        let units = ["_seconds", "_bytes", "_records", "_info"];
        for family in ALL {
            let name = family.name;
            assert!(name.starts_with("walletwatch_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
            for unit in units.iter().filter(|unit| name.contains(*unit)) {
                assert!(name.ends_with(unit), "{name}: the unit stands last");
            }
            assert!(!name.contains("_ms") && !name.contains("milli"), "{name}: base units");
            assert!(family.help.ends_with('.') || family.help.contains(": "), "{name}");
            assert!(!family.labels.contains(&"account") && !family.labels.contains(&"ip"), "{name}");
        }
        let mut names: Vec<&str> = ALL.iter().chain(PROCESS).map(|family| family.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
