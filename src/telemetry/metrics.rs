//! The counters, ready for a Prometheus endpoint.
//!
//! Guarantees: children of labels are made once; a counter only grows; a total that was counted elsewhere is
//! taken over as its growth.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// All counters of the process.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// `walletwatch_events_total{type}`: accepted events.
    pub events: IntCounterVec,
    /// `walletwatch_events_rejected_total{reason}`: each is a dead letter.
    pub rejected: IntCounterVec,
    /// `walletwatch_records_ignored_total{reason}`: records that a mapping leaves out on purpose.
    pub ignored: IntCounterVec,
    /// `walletwatch_records_with_account_total{topic}`: accepted events with an account.
    pub with_account: IntCounterVec,
    /// `walletwatch_records_key_not_account_total{topic}`: those whose key is not that account.
    pub other_keys: IntCounterVec,
    /// `walletwatch_events_duplicate_total`.
    pub duplicates: IntCounter,
    /// `walletwatch_events_late_total`: among the accepted.
    pub late: IntCounter,
    /// `walletwatch_event_fields_unknown_total`: dropped fields.
    pub unknown_fields: IntCounter,
    /// `walletwatch_findings_total{rule,state,outcome}`.
    pub findings: IntCounterVec,
    /// `walletwatch_alerts_total{band}`.
    pub alerts: IntCounterVec,
    /// `walletwatch_contacts_total`: contact documents.
    pub contacts: IntCounter,
    /// `walletwatch_geo_lookups_total{outcome}`: `asked`, and among those `unknown`.
    pub geo: IntCounterVec,
    /// `walletwatch_batches_total`.
    pub batches: IntCounter,
    /// `walletwatch_kafka_acknowledged`: alerts, contacts and dead letters that are in Kafka.
    pub acknowledged: IntGauge,
    /// `walletwatch_desk_alerts_total{outcome}`: `new`, `known`, `unreadable`.
    pub desk_alerts: IntCounterVec,
    /// `walletwatch_desk_decisions_total{audience,reason}`.
    pub decisions: IntCounterVec,
    /// `walletwatch_notices_total{channel,outcome,reason}`.
    pub notices: IntCounterVec,
}

impl Metrics {
    /// All of them at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            kept(&registry, IntCounterVec::new(Opts::new(format!("walletwatch_{name}"), help), labels)?)
        };
        let counter = |name: &str, help: &str| {
            kept(&registry, IntCounter::with_opts(Opts::new(format!("walletwatch_{name}"), help))?)
        };
        Ok(Metrics {
            events: counters("events_total", "Accepted events.", &["type"])?,
            rejected: counters("events_rejected_total", "Records that became dead letters.", &["reason"])?,
            ignored: counters("records_ignored_total", "Records that a mapping leaves out on purpose.", &["reason"])?,
            with_account: counters("records_with_account_total", "Accepted events with an account.", &["topic"])?,
            other_keys: counters(
                "records_key_not_account_total",
                "Accepted events whose record's key is not their account.",
                &["topic"],
            )?,
            duplicates: counter("events_duplicate_total", "Events that had been accepted before.")?,
            late: counter("events_late_total", "Accepted events that were late.")?,
            unknown_fields: counter("event_fields_unknown_total", "Fields that the schema does not have.")?,
            findings: counters("findings_total", "Rules that were true.", &["rule", "state", "outcome"])?,
            alerts: counters("alerts_total", "Alerts.", &["band"])?,
            contacts: counter("contacts_total", "Contact documents.")?,
            geo: counters("geo_lookups_total", "Addresses asked for.", &["outcome"])?,
            batches: counter("batches_total", "Batches taken.")?,
            acknowledged: kept(
                &registry,
                IntGauge::new("walletwatch_kafka_acknowledged", "Records we wrote that Kafka acknowledged.")?,
            )?,
            desk_alerts: counters("desk_alerts_total", "Alerts the desk took.", &["outcome"])?,
            decisions: counters("desk_decisions_total", "What the desk decided.", &["audience", "reason"])?,
            notices: counters("notices_total", "What became of notices.", &["channel", "outcome", "reason"])?,
            registry,
        })
    }

    /// What an endpoint serves.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

fn kept<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// Takes a total that was counted elsewhere.
pub fn grow(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
