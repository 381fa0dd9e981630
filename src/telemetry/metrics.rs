//! The counters, ready for a Prometheus endpoint.
//!
//! Guarantees: children of labels are made once; a counter only grows; a total that was counted elsewhere is
//! taken over as its growth.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::event::Millis;

/// All counters of the process.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// `walletwatch_events_total{type}`: accepted events.
    pub events: IntCounterVec,
    /// `walletwatch_events_rejected_total{reason}`: each is a dead letter.
    pub rejected: IntCounterVec,
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
    /// `walletwatch_reload_total{what,outcome}`: `applied`, `refused`.
    pub reloads: IntCounterVec,
    /// `walletwatch_reload_last_success_timestamp_seconds{what}`; the start counts.
    pub reload_success: IntGaugeVec,
    /// `walletwatch_rule_warming_until_timestamp_seconds{rule}`: event time.
    pub warming: IntGaugeVec,
}

impl Metrics {
    /// All of them at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            kept(&registry, IntCounterVec::new(Opts::new(format!("walletwatch_{name}"), help), labels)?)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            kept(&registry, IntGaugeVec::new(Opts::new(format!("walletwatch_{name}"), help), labels)?)
        };
        let counter = |name: &str, help: &str| {
            kept(&registry, IntCounter::with_opts(Opts::new(format!("walletwatch_{name}"), help))?)
        };
        Ok(Metrics {
            events: counters("events_total", "Accepted events.", &["type"])?,
            rejected: counters("events_rejected_total", "Records that became dead letters.", &["reason"])?,
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
            reloads: counters("reload_total", "Reloads.", &["what", "outcome"])?,
            reload_success: gauges(
                "reload_last_success_timestamp_seconds",
                "When what is in force was read.",
                &["what"],
            )?,
            warming: gauges(
                "rule_warming_until_timestamp_seconds",
                "Event time at which the windows that a changed rule reads are full.",
                &["rule"],
            )?,
            registry,
        })
    }

    /// Something was read, and is in force.
    pub fn reload_is_known(&self, what: &str, now: Millis) {
        self.reload_success.with_label_values(&[what]).set(now.0 / 1000);
        for outcome in ["applied", "refused"] {
            // There from the beginning: an alert on its growth sees the first one too.
            self.reloads.with_label_values(&[what, outcome]);
        }
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
