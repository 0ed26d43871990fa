//! What Alertmanager is told about an anomaly or an incident. Pure: event and time in, alert out.
//!
//! Labels are an alert's identity and stay the same over its life; all that changes stands in annotations.

use std::collections::BTreeMap;
use std::time::Duration;

use larnax_core::Timestamp;
use serde::Serialize;

use crate::names;
use crate::sinks::alertmanager::AlertmanagerOptions;
use crate::told::Told;

/// How many resends may be missed before Alertmanager takes the alert for resolved, as Prometheus does it
/// (`rules/manager.go`: four times the resend delay or interval).
const MISSED_RESENDS: u32 = 4;

/// One alert of `POST /api/v2/alerts`.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<String>,
}

/// Until when an alert holds if nothing more is heard.
pub(super) fn holds_for(options: &AlertmanagerOptions) -> Duration {
    options.resend_every.saturating_mul(MISSED_RESENDS)
}

/// The alert for the latest event of a subject. `late`: it began and ended before Alertmanager heard of it.
pub(super) fn alert(told: &impl Told, options: &AlertmanagerOptions, now: Timestamp, late: bool) -> Alert {
    let holds = holds_for(options);
    let began = told.began();
    // Alertmanager refuses an alert that ends before it starts, as one may after the clock was set back.
    let ends_at = match told.ended() {
        Some(ended) if !late => ended.max(began.plus(Duration::from_millis(1))),
        _ => now.plus(holds).max(began.plus(holds)),
    };
    let mut annotations = told.annotations(late);
    if let Some(url) = &options.runbook_url {
        annotations.insert("runbook_url", url.clone());
    }
    Alert {
        labels: labels(told, options),
        annotations,
        starts_at: began,
        ends_at,
        generator_url: options.evidence_url.as_deref().map(|base| told.link(base)),
    }
}

/// An alert that fires as long as the agent lives.
pub(super) fn heartbeat(options: &AlertmanagerOptions, started: Timestamp, now: Timestamp) -> Alert {
    let mut labels = options.external_labels.clone();
    for (label, value) in [
        (names::LABEL_ALERTNAME, names::ALERT_HEARTBEAT),
        (names::LABEL_SEVERITY, "none"),
        (names::LABEL_INSTANCE, &options.instance),
    ] {
        labels.insert(label.to_owned(), value.to_owned());
    }
    let summary = format!("The Larnax agent on {} is alive", options.instance);
    let description =
        "This alert always fires. Route it to a dead man's switch that tells you when it stops.";
    Alert {
        labels: sanitized(labels),
        annotations: BTreeMap::from([("summary", summary), ("description", description.to_owned())]),
        starts_at: started.min(now),
        ends_at: now.plus(holds_for(options)),
        generator_url: options.evidence_url.clone(),
    }
}

fn labels(told: &impl Told, options: &AlertmanagerOptions) -> BTreeMap<String, String> {
    let mut labels = told.labels();
    for (label, value) in &options.external_labels {
        labels.entry(label.clone()).or_insert_with(|| value.clone());
    }
    labels.entry(names::LABEL_INSTANCE.to_owned()).or_insert_with(|| options.instance.clone());
    sanitized(labels)
}

/// Names as Alertmanager takes them (`[a-zA-Z_][a-zA-Z0-9_]*`); labels without a value don't exist.
fn sanitized(labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let name = |label: String| -> String {
        let mut name: String =
            label.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            name.insert(0, '_');
        }
        name
    };
    labels
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(label, value)| (name(label), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_names_are_made_acceptable_and_empty_labels_left_out() {
        let raw = [("app.kubernetes.io/name", "a"), ("0day", "b"), ("ok", "c"), ("empty", "")];
        let labels = sanitized(raw.map(|(label, value)| (label.to_owned(), value.to_owned())).into());
        let names: Vec<&str> = labels.keys().map(String::as_str).collect();
        assert_eq!(names, ["_0day", "app_kubernetes_io_name", "ok"]);
    }
}
