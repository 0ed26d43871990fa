//! What Alertmanager is told about an anomaly. Pure: event and time in, alert out.
//!
//! Labels are an alert's identity and stay the same over its life; all that changes stands in annotations.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use larnax_core::{AnomalyKind, Event, MetricEvidence, Timestamp};
use serde::Serialize;

use crate::names;
use crate::sinks::alertmanager::AlertmanagerOptions;

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

/// The alert for the latest event of an anomaly. `late`: it began and ended before Alertmanager heard of it.
pub(super) fn alert(event: &Event, options: &AlertmanagerOptions, now: Timestamp, late: bool) -> Alert {
    let anomaly = &event.data.anomaly;
    let holds = holds_for(options);
    // Alertmanager refuses an alert that ends before it starts, as one may after the clock was set back.
    let ends_at = match anomaly.closed {
        Some(closed) if !late => closed.max(anomaly.onset.plus(Duration::from_millis(1))),
        _ => now.plus(holds).max(anomaly.onset.plus(holds)),
    };
    Alert {
        labels: labels(event, options),
        annotations: annotations(event, options, late),
        starts_at: anomaly.onset,
        ends_at,
        generator_url: options.evidence_url.as_deref().map(|base| names::anomaly_link(base, anomaly.id)),
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

fn labels(event: &Event, options: &AlertmanagerOptions) -> BTreeMap<String, String> {
    let (anomaly, component) = (&event.data.anomaly, &event.data.component);
    let (alertname, severity) = names::alert_of(anomaly.kind);
    let own = [
        (names::LABEL_ALERTNAME, alertname),
        (names::LABEL_COMPONENT, component.id.as_str()),
        (names::LABEL_COMPONENT_KIND, component.id.kind()),
        (names::LABEL_GROUP, &component.group),
        (names::LABEL_ANOMALY_KIND, anomaly.kind.as_str()),
        (names::LABEL_SEVERITY, severity),
    ];
    let mut labels: BTreeMap<String, String> =
        own.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
    for (label, value) in &component.labels {
        let taken = own.iter().any(|(name, _)| name == label);
        let label = if taken { format!("{}{label}", names::LABEL_EXPORTED_PREFIX) } else { label.clone() };
        labels.insert(label, value.clone());
    }
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

fn annotations(event: &Event, options: &AlertmanagerOptions, late: bool) -> BTreeMap<&'static str, String> {
    let (anomaly, component) = (&event.data.anomaly, &event.data.component);
    let mut summary = match anomaly.kind {
        AnomalyKind::Deviation => format!("{} behaves unlike normal", component.id),
        AnomalyKind::TargetAbsent => format!("{} stopped sending metrics", component.id),
        AnomalyKind::MetricAbsent => format!("{} lost metrics that it always had", component.id),
    };
    let top: Vec<String> =
        anomaly.metrics.iter().map(|metric| format!("{}:{:+.1}", metric.metric, metric.deviation)).collect();
    if let Some(first) = top.first().filter(|_| anomaly.kind == AnomalyKind::Deviation) {
        let _ = write!(summary, ", most of all {first}");
    }
    if let Some(closed) = anomaly.closed.filter(|_| late) {
        let _ = write!(summary, " (reported late: it ended at {closed})");
    }
    let mut all = BTreeMap::from([
        ("summary", summary),
        ("description", description(event)),
        ("anomaly_id", anomaly.id.to_string()),
        ("score", number(anomaly.score.get())),
        ("peak_score", number(anomaly.peak.get())),
        ("onset", anomaly.onset.to_string()),
        ("opened", anomaly.opened.to_string()),
        ("last_seen", anomaly.last_seen.to_string()),
    ]);
    if !top.is_empty() {
        all.insert("top_metrics", top.join(";"));
    }
    if let Some(closed) = anomaly.closed {
        all.insert("closed", closed.to_string());
    }
    if let Some(url) = &options.runbook_url {
        all.insert("runbook_url", url.clone());
    }
    all
}

/// Score, then one line per metric: value, expectation, band, distance.
fn description(event: &Event) -> String {
    let anomaly = &event.data.anomaly;
    let (score, peak) = (number(anomaly.score.get()), number(anomaly.peak.get()));
    let mut text = format!("Score {score}, at most {peak} (above 1 is anomalous), since {}.", anomaly.onset);
    let evidence = event.data.evidence.as_ref().map_or(&[][..], |evidence| &evidence.metrics);
    for metric in evidence {
        let _ = write!(text, "\n{}", metric_line(metric));
    }
    if evidence.is_empty() {
        for metric in &anomaly.metrics {
            let _ = write!(text, "\n{}: {:+.1} half-widths of its band", metric.metric, metric.deviation);
        }
    }
    text
}

fn metric_line(metric: &MetricEvidence) -> String {
    let mut line = format!("{} = {}", metric.metric, metric.value.map_or("missing".to_owned(), number));
    if let Some(expected) = metric.expected {
        let _ = write!(line, ", expected {}", number(expected));
    }
    if let (Some(lower), Some(upper)) = (metric.lower, metric.upper) {
        let _ = write!(line, " within {}..{}", number(lower), number(upper));
    }
    if let Some(deviation) = metric.deviation {
        let _ = write!(line, " ({deviation:+.1})");
    }
    line
}

/// Four significant digits, as short as that can be written.
fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor();
    if !(-4.0..15.0).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = (3.0 - magnitude).max(0.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (0.012_345_6, "0.01235"),
            (123_456.7, "123457"),
            (-2.0, "-2"),
            (1e-9, "1.000e-9"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn label_names_are_made_acceptable_and_empty_labels_left_out() {
        let raw = [("app.kubernetes.io/name", "a"), ("0day", "b"), ("ok", "c"), ("empty", "")];
        let labels = sanitized(raw.map(|(label, value)| (label.to_owned(), value.to_owned())).into());
        let names: Vec<&str> = labels.keys().map(String::as_str).collect();
        assert_eq!(names, ["_0day", "app_kubernetes_io_name", "ok"]);
    }
}
