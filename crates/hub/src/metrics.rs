//! `/metrics`: what the hub says of itself. All names stand in this file, but those of every process.

use larnax_alert::sinks::SinkReport;
use larnax_serve::metrics::{Labels, MetricType, Page};

use crate::report::HubReport;

/// The whole page.
pub(crate) fn render(report: &HubReport) -> String {
    let mut page = Page::of_process(&report.version, report.started.seconds());
    page.gauge(
        "larnax_hub_acting",
        "Whether this hub builds incidents; of several on one store one does",
        f64::from(u8::from(report.acting)),
    );
    page.gauge("larnax_hub_agents", "Edges that are connected", report.agents as f64);
    page.gauge("larnax_hub_open_incidents", "Incidents that have not ended", report.open_incidents as f64);
    page.gauge(
        "larnax_hub_topology_components",
        "Components of the topology",
        report.topology_components as f64,
    );
    page.gauge("larnax_hub_topology_edges", "Edges of the topology", report.topology_edges as f64);
    let counters = &report.counters;
    page.counter("larnax_hub_events", "Events taken", counters.events_taken as f64);
    page.counter(
        "larnax_hub_refused_events",
        "Events that will never be taken",
        counters.events_refused as f64,
    );
    page.counter("larnax_hub_pulls", "Questions for evidence", counters.pulls as f64);
    page.counter("larnax_hub_failed_pulls", "Questions that nobody answered", counters.pulls_failed as f64);
    page.counter("larnax_hub_evidence_bytes", "Bytes of evidence pulled", counters.evidence_bytes as f64);
    page.counter("larnax_hub_diagnoses", "Causes looked for", counters.diagnoses as f64);
    page.counter(
        "larnax_hub_models_kept",
        "Models kept for others of their kind",
        counters.models_kept as f64,
    );
    page.counter(
        "larnax_hub_models_given",
        "Components that were told what others of their kind have learnt",
        counters.models_given as f64,
    );
    let sinks = |value: &dyn Fn(&SinkReport) -> f64| -> Vec<(Labels, f64)> {
        report.sinks.iter().map(|sink| (vec![("sink", sink.name.clone())], value(sink))).collect()
    };
    let pending = sinks(&|sink| sink.pending as f64);
    page.add("larnax_sink_pending_events", "Events that wait for a sink", MetricType::Gauge, pending);
    let delivered = sinks(&|sink| sink.delivered as f64);
    page.add("larnax_sink_delivered_events", "Events that a sink took", MetricType::Counter, delivered);
    let refused = sinks(&|sink| sink.refused as f64);
    page.add(
        "larnax_sink_refused_events",
        "Events that a sink will never take",
        MetricType::Counter,
        refused,
    );
    page.render()
}
