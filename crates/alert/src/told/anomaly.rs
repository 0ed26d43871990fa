//! What is told of an anomaly.

use std::collections::BTreeMap;
use std::fmt::Write;

use larnax_core::event::AnomalyEvent;
use larnax_core::{AnomalyKind, MetricEvidence, Timestamp, Transition};

use super::{Told, number};
use crate::names;

impl Told for AnomalyEvent {
    fn subject(&self) -> u64 {
        self.anomaly.id.number()
    }

    fn goes_on(&self) -> bool {
        self.transition != Transition::Closed
    }

    fn is_alerted(&self) -> bool {
        self.anomaly.alerted
    }

    fn clean(&mut self) {
        self.anomaly.metrics.retain(|metric| metric.deviation.is_finite());
    }

    fn shorten(&mut self) {
        self.evidence = None;
    }

    fn began(&self) -> Timestamp {
        self.anomaly.onset
    }

    fn ended(&self) -> Option<Timestamp> {
        self.anomaly.closed
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let (anomaly, component) = (&self.anomaly, &self.component);
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
            let label =
                if taken { format!("{}{label}", names::LABEL_EXPORTED_PREFIX) } else { label.clone() };
            labels.insert(label, value.clone());
        }
        labels
    }

    fn annotations(&self, late: bool) -> BTreeMap<&'static str, String> {
        annotations(self, late)
    }

    fn link(&self, base: &str) -> String {
        names::anomaly_link(base, self.anomaly.id)
    }
}

fn annotations(event: &AnomalyEvent, late: bool) -> BTreeMap<&'static str, String> {
    let (anomaly, component) = (&event.anomaly, &event.component);
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
    all
}

/// Score, then one line per metric: value, expectation, band, distance.
fn description(event: &AnomalyEvent) -> String {
    let anomaly = &event.anomaly;
    let (score, peak) = (number(anomaly.score.get()), number(anomaly.peak.get()));
    let mut text = format!("Score {score}, at most {peak} (above 1 is anomalous), since {}.", anomaly.onset);
    let evidence = event.evidence.as_ref().map_or(&[][..], |evidence| &evidence.metrics);
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
