//! The counters and gauges of the process, as `/metrics` serves them.
//!
//! Guarantees: every family of the catalogue is here and no other; a counter only grows; whoever counts often
//! holds the children of labels and does not look them up. Counts nothing by itself.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::catalogue::{self, Family};
use super::health::{Report, State};
use crate::event::Millis;

/// All metrics of the process. Fields are named after the constants of the catalogue, which say what they mean.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is told in the catalogue")]
pub struct Metrics {
    registry: Registry,
    pub events: IntCounterVec,
    pub rejected: IntCounterVec,
    pub ignored: IntCounterVec,
    pub with_account: IntCounterVec,
    pub other_keys: IntCounterVec,
    pub unknown_fields: IntCounter,
    pub batches: IntCounter,
    pub replayed: IntCounterVec,
    pub findings: IntCounterVec,
    pub sequence_overflow: IntCounterVec,
    pub sequences_forgotten: IntCounter,
    pub alerts: IntCounterVec,
    pub alert_latency: Histogram,
    pub contacts: IntCounter,
    pub geo: IntCounterVec,
    pub geo_errors: IntCounterVec,
    pub geo_age: GaugeVec,
    pub list_age: GaugeVec,
    pub list_age_limit: GaugeVec,
    pub list_entries: IntGaugeVec,
    build: IntGaugeVec,
    pub ruleset: IntGaugeVec,
    pub rules: IntGaugeVec,
    pub lag: IntGaugeVec,
    pub lag_limit: IntGauge,
    pub silence: GaugeVec,
    pub silence_limit: GaugeVec,
    pub order_given_up: IntCounter,
    pub acknowledged: IntCounterVec,
    pub queue_length: IntGaugeVec,
    pub queue_capacity: IntGaugeVec,
    pub stage_silence: GaugeVec,
    pub entities: IntGaugeVec,
    pub entities_limit: IntGauge,
    pub state_bytes: IntGaugeVec,
    pub state_away: IntGaugeVec,
    pub state_left: IntCounterVec,
    pub state_came_back: IntCounterVec,
    pub state_resident: IntGauge,
    pub state_resident_limit: IntGauge,
    pub room_wait: Histogram,
    pub event_ids: IntGauge,
    pub event_ids_limit: IntGauge,
    pub event_ids_held: Gauge,
    pub checkpoint: Histogram,
    pub checkpoint_close: Histogram,
    pub checkpoint_age: Gauge,
    pub commit_age: Gauge,
    pub checkpoint_changes: IntGauge,
    pub checkpoint_bytes: IntGauge,
    pub store_bytes: IntGauge,
    pub desk_alerts: IntCounterVec,
    pub decisions: IntCounterVec,
    pub notices: IntCounterVec,
    pub contacts_late: IntCounter,
    pub outbox: IntGaugeVec,
    pub sends: IntGaugeVec,
    pub sends_limit: IntGaugeVec,
    pub channel_failures: IntGaugeVec,
    pub reloads: IntCounterVec,
    pub reload_success: IntGaugeVec,
    pub warming: IntGaugeVec,
    ready: IntGauge,
    check_failed: IntGaugeVec,
    check_warning: IntGaugeVec,
}

impl Metrics {
    /// All of them at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        Self::build(&mut Maker::default())
    }

    fn build(make: &mut Maker) -> Result<Self, prometheus::Error> {
        use catalogue as c;
        let metrics = Metrics {
            events: make.counters(&c::EVENTS)?,
            rejected: make.counters(&c::EVENTS_REJECTED)?,
            ignored: make.counters(&c::EVENTS_IGNORED)?,
            with_account: make.counters(&c::EVENTS_WITH_ACCOUNT)?,
            other_keys: make.counters(&c::EVENTS_KEY_NOT_ACCOUNT)?,
            unknown_fields: make.counter(&c::EVENT_FIELDS_UNKNOWN)?,
            batches: make.counter(&c::BATCHES)?,
            replayed: make.counters(&c::REPLAYED)?,
            findings: make.counters(&c::FINDINGS)?,
            sequence_overflow: make.counters(&c::SEQUENCE_OVERFLOW)?,
            sequences_forgotten: make.counter(&c::SEQUENCES_FORGOTTEN)?,
            alerts: make.counters(&c::ALERTS)?,
            alert_latency: make.histogram(&c::ALERT_LATENCY, c::LATENCY_BUCKETS_S)?,
            contacts: make.counter(&c::CONTACTS)?,
            geo: make.counters(&c::GEO_LOOKUPS)?,
            geo_errors: make.counters(&c::GEO_LOOKUP_ERRORS)?,
            geo_age: make.seconds(&c::GEO_AGE)?,
            list_age: make.seconds(&c::LIST_AGE)?,
            list_age_limit: make.seconds(&c::LIST_AGE_LIMIT)?,
            list_entries: make.gauges(&c::LIST_ENTRIES)?,
            build: make.gauges(&c::BUILD)?,
            ruleset: make.gauges(&c::RULESET)?,
            rules: make.gauges(&c::RULES)?,
            lag: make.gauges(&c::CONSUMER_LAG)?,
            lag_limit: make.gauge(&c::CONSUMER_LAG_LIMIT)?,
            silence: make.seconds(&c::CONSUMER_SILENCE)?,
            silence_limit: make.seconds(&c::CONSUMER_SILENCE_LIMIT)?,
            order_given_up: make.counter(&c::ORDER_GIVEN_UP)?,
            acknowledged: make.counters(&c::WRITTEN)?,
            queue_length: make.gauges(&c::QUEUE_LENGTH)?,
            queue_capacity: make.gauges(&c::QUEUE_CAPACITY)?,
            stage_silence: make.seconds(&c::STAGE_SILENCE)?,
            entities: make.gauges(&c::STATE_ENTITIES)?,
            entities_limit: make.gauge(&c::STATE_ENTITIES_LIMIT)?,
            state_bytes: make.gauges(&c::STATE_BYTES)?,
            state_away: make.gauges(&c::STATE_AWAY)?,
            state_left: make.counters(&c::STATE_LEFT)?,
            state_came_back: make.counters(&c::STATE_CAME_BACK)?,
            state_resident: make.gauge(&c::STATE_RESIDENT)?,
            state_resident_limit: make.gauge(&c::STATE_RESIDENT_LIMIT)?,
            room_wait: make.histogram(&c::STATE_ROOM_WAIT, c::CHECKPOINT_BUCKETS_S)?,
            event_ids: make.gauge(&c::EVENT_IDS)?,
            event_ids_limit: make.gauge(&c::EVENT_IDS_LIMIT)?,
            event_ids_held: make.kept(&c::EVENT_IDS_HELD, Gauge::with_opts(opts(&c::EVENT_IDS_HELD))?)?,
            checkpoint: make.histogram(&c::CHECKPOINT, c::CHECKPOINT_BUCKETS_S)?,
            checkpoint_close: make.histogram(&c::CHECKPOINT_CLOSE, c::CHECKPOINT_BUCKETS_S)?,
            checkpoint_age: make.kept(&c::CHECKPOINT_AGE, Gauge::with_opts(opts(&c::CHECKPOINT_AGE))?)?,
            commit_age: make.kept(&c::COMMIT_AGE, Gauge::with_opts(opts(&c::COMMIT_AGE))?)?,
            checkpoint_changes: make.gauge(&c::CHECKPOINT_CHANGES)?,
            checkpoint_bytes: make.gauge(&c::CHECKPOINT_BYTES)?,
            store_bytes: make.gauge(&c::STORE_BYTES)?,
            desk_alerts: make.counters(&c::DESK_ALERTS)?,
            decisions: make.counters(&c::DESK_DECISIONS)?,
            notices: make.counters(&c::NOTICES)?,
            contacts_late: make.counter(&c::NOTICE_CONTACTS_LATE)?,
            outbox: make.gauges(&c::OUTBOX_NOTICES)?,
            sends: make.gauges(&c::CHANNEL_SENDS)?,
            sends_limit: make.gauges(&c::CHANNEL_SENDS_LIMIT)?,
            channel_failures: make.gauges(&c::CHANNEL_FAILURES)?,
            reloads: make.counters(&c::RELOADS)?,
            reload_success: make.gauges(&c::RELOAD_SUCCESS)?,
            warming: make.gauges(&c::RULE_WARMING)?,
            ready: make.gauge(&c::READY)?,
            check_failed: make.gauges(&c::CHECK_FAILED)?,
            check_warning: make.gauges(&c::CHECK_WARNING)?,
            registry: make.registry.clone(),
        };
        metrics.build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        make.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// Takes a rule set that came into force: its digest, and how many rules are in which state.
    pub fn rules_in_force(&self, digest: &str, states: &BTreeMap<&'static str, usize>) {
        self.ruleset.reset();
        self.ruleset.with_label_values(&[digest]).set(1);
        self.rules.reset();
        for (state, rules) in states {
            self.rules.with_label_values(&[state]).set(whole(*rules));
        }
    }

    /// Something that can be reloaded was read, and is in force.
    pub fn reload_is_known(&self, what: &str, now: Millis) {
        self.reload_success.with_label_values(&[what]).set(now.0 / 1000);
        for outcome in ["applied", "refused"] {
            // There from the beginning: an alert on its growth sees the first one too.
            self.reloads.with_label_values(&[what, outcome]);
        }
    }

    /// All of them in the text format, the checks of `/readyz` as they stand in `report`.
    pub fn text(&self, report: &Report) -> Result<String, prometheus::Error> {
        self.ready.set(i64::from(report.ready));
        for check in &report.checks {
            self.check_failed.with_label_values(&[&check.name]).set(i64::from(check.has_failed()));
            self.check_warning.with_label_values(&[&check.name]).set(i64::from(check.state == State::Warning));
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// A count of things as a gauge takes it.
pub fn whole(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A counter of something that is counted elsewhere: it takes over the growth of that total.
#[derive(Debug)]
pub struct Growth {
    counter: IntCounter,
    seen: u64,
}

impl Growth {
    /// Of a total that is 0 now.
    pub fn new(counter: IntCounter) -> Self {
        Growth { counter, seen: 0 }
    }

    /// The total as it stands.
    pub fn reach(&mut self, total: u64) {
        if total > self.seen {
            self.counter.inc_by(total - self.seen);
            self.seen = total;
        }
    }

    /// The total as it stands; its growth was counted elsewhere.
    pub fn pass(&mut self, total: u64) {
        self.seen = self.seen.max(total);
    }
}

/// Makes metrics and registers them.
#[derive(Default)]
struct Maker {
    registry: Registry,
    made: Vec<&'static str>,
}

fn opts(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

impl Maker {
    fn kept<C: Collector + Clone + 'static>(&mut self, family: &Family, made: C) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(made.clone()))?;
        self.made.push(family.name);
        Ok(made)
    }

    fn counters(&mut self, family: &Family) -> Result<IntCounterVec, prometheus::Error> {
        let made = IntCounterVec::new(opts(family), family.labels)?;
        self.kept(family, made)
    }

    fn counter(&mut self, family: &Family) -> Result<IntCounter, prometheus::Error> {
        let made = IntCounter::with_opts(opts(family))?;
        self.kept(family, made)
    }

    fn gauges(&mut self, family: &Family) -> Result<IntGaugeVec, prometheus::Error> {
        let made = IntGaugeVec::new(opts(family), family.labels)?;
        self.kept(family, made)
    }

    fn gauge(&mut self, family: &Family) -> Result<IntGauge, prometheus::Error> {
        let made = IntGauge::with_opts(opts(family))?;
        self.kept(family, made)
    }

    fn seconds(&mut self, family: &Family) -> Result<GaugeVec, prometheus::Error> {
        let made = GaugeVec::new(opts(family), family.labels)?;
        self.kept(family, made)
    }

    fn histogram(&mut self, family: &Family, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        let made = Histogram::with_opts(HistogramOpts::new(family.name, family.help).buckets(buckets.to_vec()))?;
        self.kept(family, made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::health::Health;

    #[test]
    fn every_family_of_the_catalogue_is_made_once_as_it_says() {
        let mut make = Maker::default();
        let metrics = Metrics::build(&mut make).expect("metrics");
        let listed: Vec<&str> = catalogue::ALL.iter().map(|family| family.name).collect();
        let mut made = make.made.clone();
        made.sort_unstable();
        let mut sorted = listed.clone();
        sorted.sort_unstable();
        assert_eq!(made, sorted);
        let families = metrics.registry.gather();
        let kind = |name: &str| families.iter().find(|family| family.name() == name).map(|f| f.get_field_type());
        for family in catalogue::ALL.iter().filter(|family| family.labels.is_empty()) {
            let word = format!("{:?}", kind(family.name).unwrap_or_else(|| panic!("{}", family.name)));
            assert_eq!(word.to_lowercase(), family.kind.word(), "{}", family.name);
        }
        for family in catalogue::PROCESS {
            assert!(kind(family.name).is_some(), "{}", family.name);
        }
    }

    #[test]
    fn a_total_counted_elsewhere_is_taken_over_as_its_growth() {
        let metrics = Metrics::new().expect("metrics");
        let mut growth = Growth::new(metrics.contacts.clone());
        for total in [3, 3, 7] {
            growth.reach(total);
        }
        let mut anew = Growth::new(metrics.contacts.clone());
        anew.reach(2);
        assert_eq!(metrics.contacts.get(), 9, "a count that began anew adds to what was there");
    }

    #[test]
    fn rules_that_came_into_force_replace_the_old_ones() {
        let metrics = Metrics::new().expect("metrics");
        let health = Health::new(std::time::Instant::now());
        metrics.rules_in_force("b3:old", &BTreeMap::from([("live", 3)]));
        metrics.rules_in_force("b3:new", &BTreeMap::from([("shadow", 2)]));
        health.tell("desk", State::Failed, "it is full", std::time::Instant::now());
        let text = metrics.text(&health.report(std::time::Instant::now())).expect("text");
        let told: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(told.contains(&"walletwatch_ruleset_info{digest=\"b3:new\"} 1"), "{text}");
        assert!(told.contains(&"walletwatch_rules{state=\"shadow\"} 2") && !text.contains("old"), "{text}");
        assert!(told.contains(&"walletwatch_check_failed{check=\"desk\"} 1"), "{text}");
        assert!(told.contains(&"walletwatch_ready 0"), "{text}");
    }
}
