//! The names that other systems see: alerts, labels, annotations, links. Routes and silences are built on them, so they
//! stay as they are.

use larnax_core::{AnomalyId, AnomalyKind, IncidentId};

/// The alert for values that differ from what was learnt.
pub const ALERT_ANOMALY: &str = "LarnaxAnomaly";
/// The alert for a component that stopped sending.
pub const ALERT_TARGET_ABSENT: &str = "LarnaxTargetAbsent";
/// The alert for metrics that vanished.
pub const ALERT_METRIC_ABSENT: &str = "LarnaxMetricAbsent";
/// The alert for an incident, however many anomalies it gathers.
pub const ALERT_INCIDENT: &str = "LarnaxIncident";
/// Always firing while the agent lives, where it is switched on: route it to a dead man's switch.
pub const ALERT_HEARTBEAT: &str = "LarnaxHeartbeat";

/// The alert's name.
pub const LABEL_ALERTNAME: &str = "alertname";
/// The whole component id.
pub const LABEL_COMPONENT: &str = "component";
/// The first part of the component id.
pub const LABEL_COMPONENT_KIND: &str = "component_kind";
/// The group whose alert budget the component shares.
pub const LABEL_GROUP: &str = "group";
/// `deviation`, `target_absent` or `metric_absent`.
pub const LABEL_ANOMALY_KIND: &str = "anomaly_kind";
/// The incident's id.
pub const LABEL_INCIDENT: &str = "incident";
/// `critical`, `warning` or, for the heartbeat, `none`.
pub const LABEL_SEVERITY: &str = "severity";
/// The component's own `instance` where it has one (a scraped target), else the agent's name.
pub const LABEL_INSTANCE: &str = "instance";
/// Stands before a component's label that has the name of one of the above.
pub const LABEL_EXPORTED_PREFIX: &str = "exported_";

/// What an anomaly of a kind is called and how urgent it is. Severity belongs to an alert's identity, so it depends on
/// the kind and never on the score: a label that changed would end one alert and begin another.
pub const fn alert_of(kind: AnomalyKind) -> (&'static str, &'static str) {
    match kind {
        AnomalyKind::Deviation => (ALERT_ANOMALY, "warning"),
        AnomalyKind::TargetAbsent => (ALERT_TARGET_ABSENT, "critical"),
        AnomalyKind::MetricAbsent => (ALERT_METRIC_ABSENT, "warning"),
    }
}

/// The page about an anomaly under an agent's base URL.
pub fn anomaly_link(base: &str, id: AnomalyId) -> String {
    format!("{}/anomalies/{id}", base.trim_end_matches('/'))
}

/// The page about an incident under a hub's base URL.
pub fn incident_link(base: &str, id: IncidentId) -> String {
    format!("{}/incidents/{id}", base.trim_end_matches('/'))
}
