//! `/metrics`: what the agent says of itself. All names stand in this file.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::agent::Agent;
use crate::watched::{SourceState, Watched};
use crate::{process, report};

/// OpenMetrics where the scraper asks for it, else the text format, which reads the same lines.
pub(super) fn content_type(accept: &str) -> &'static str {
    if accept.contains("application/openmetrics-text") {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    }
}

/// The whole page.
pub(super) fn render(agent: &Agent) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot::of(agent)));
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => text,
        // Writing to a string fails only when a value refuses to be written; then half a page would mislead.
        Err(_) => "# EOF\n".to_owned(),
    }
}

type Labels = Vec<(&'static str, String)>;

/// One metric with its samples.
#[derive(Debug)]
struct Family {
    /// Without the `_total` of counters, which the encoder adds.
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<(Labels, f64)>,
}

/// Everything at one moment.
#[derive(Debug)]
struct Snapshot(Vec<Family>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for (labels, value) in &family.samples {
                let sample = metric.encode_family(labels)?;
                match family.kind {
                    MetricType::Counter => ConstCounter::new(*value).encode(sample)?,
                    _ => ConstGauge::new(*value).encode(sample)?,
                }
            }
        }
        Ok(())
    }
}

impl Snapshot {
    fn of(agent: &Agent) -> Self {
        let status = report::status(agent);
        let mut families = Vec::new();
        let mut add = |name, help, kind, samples| families.push(Family { name, help, kind, samples });
        let one = |value: f64| vec![(Labels::new(), value)];
        let (counter, gauge) = (MetricType::Counter, MetricType::Gauge);

        let build = vec![(vec![("version", status.version.clone())], 1.0)];
        add("larnax_build_info", "Version of the program", gauge, build);
        add("process_cpu_seconds", "CPU used, user and system", counter, one(status.cpu_seconds));
        let resident = one(process::resident_bytes() as f64);
        add("process_resident_memory_bytes", "Resident memory", gauge, resident);
        add(
            "process_start_time_seconds",
            "Start, as seconds since the epoch",
            gauge,
            one(agent.started.seconds()),
        );

        let each = |value: &dyn Fn(&Watched) -> f64| -> Vec<(Labels, f64)> {
            agent
                .components
                .iter()
                .map(|c| (vec![("component", c.component().id.to_string())], value(c)))
                .collect()
        };
        let score = each(&|c| c.watch.verdict().score.get());
        add("anomaly_score", "How far from normal: at most 1 is normal", gauge, score);
        let open = each(&|c| c.watch.open_anomalies().count() as f64);
        add("larnax_open_anomalies", "Anomalies that are open", gauge, open);
        let metrics = each(&|c| c.watch.schema().len() as f64);
        add("larnax_component_metrics", "Metrics that are watched", gauge, metrics);
        let rows = each(&|c| c.pipeline().counters().rows_out as f64);
        add("larnax_pipeline_rows", "Samples that were judged", counter, rows);
        let refused = each(&|c| c.pipeline().counters().metrics_refused as f64);
        add("larnax_pipeline_refused_metrics", "Metrics above the limit of a component", gauge, refused);
        let dropped = each(&|c| {
            let counters = c.pipeline().counters();
            (counters.duplicate_time + counters.backwards + counters.no_metrics) as f64
        });
        add("larnax_pipeline_dropped_rows", "Samples not later than the one before", counter, dropped);
        add(
            "larnax_anomalies_opened",
            "Anomalies opened since the start",
            counter,
            one(agent.journal.opened as f64),
        );

        let source = |value: &dyn Fn(&SourceState) -> f64| -> Vec<(Labels, f64)> {
            let mut samples = Vec::new();
            for component in &agent.components {
                for source in &component.sources {
                    let id = component.component().id.to_string();
                    samples.push((vec![("component", id), ("source", source.name.clone())], value(source)));
                }
            }
            samples
        };
        let up = source(&|s| f64::from(u8::from(s.tried && s.error.is_none())));
        add("larnax_source_up", "Whether the last collection gave samples", gauge, up);
        let took = source(&|s| s.last_took.as_secs_f64());
        add("larnax_source_duration_seconds", "How long the last collection took", gauge, took);
        let collections = source(&|s| s.cost.collections as f64);
        add("larnax_source_collections", "Collections that gave samples", counter, collections);
        let failures = source(&|s| s.cost.failures as f64);
        add("larnax_source_failures", "Collections that failed", counter, failures);
        let refused = source(&|s| s.cost.refused_samples as f64);
        add("larnax_source_refused_samples", "Values that a limit refused", counter, refused);
        let bad = source(&|s| s.cost.bad_samples as f64);
        add("larnax_source_bad_samples", "Lines or values that could not be used", counter, bad);
        let read = source(&|s| s.cost.bytes_read as f64);
        add("larnax_source_read_bytes", "Bytes read", counter, read);
        let sent = source(&|s| s.cost.bytes_sent as f64);
        add("larnax_source_sent_bytes", "Bytes sent to the source", counter, sent);

        let budget = |value: &dyn Fn(&super::api::BudgetReport) -> f64| -> Vec<(Labels, f64)> {
            status.budgets.iter().map(|b| (vec![("group", b.group.clone())], value(b))).collect()
        };
        add("larnax_alert_budget_allowed", "Alerts allowed in the period", gauge, budget(&|b| b.allowed));
        let given = budget(&|b| b.given as f64);
        add("larnax_alert_budget_given", "Alerts given in the period that ends now", gauge, given);
        add("larnax_alert_budget_bar", "Score that an alert must exceed", gauge, budget(&|b| b.bar));

        let sink = |value: &dyn Fn(&super::api::SinkReport) -> f64| -> Vec<(Labels, f64)> {
            status.sinks.iter().map(|s| (vec![("sink", s.name.clone())], value(s))).collect()
        };
        add("larnax_sink_pending_events", "Events that wait for a sink", gauge, sink(&|s| s.pending as f64));
        add(
            "larnax_sink_delivered_events",
            "Events that a sink took",
            counter,
            sink(&|s| s.delivered as f64),
        );
        add(
            "larnax_sink_refused_events",
            "Events that a sink will never take",
            counter,
            sink(&|s| s.refused as f64),
        );
        add("larnax_sink_sent_bytes", "Bytes sent to a sink", counter, sink(&|s| s.sent_bytes as f64));
        let outbox = &status.outbox;
        add(
            "larnax_outbox_pending_events",
            "Events that some sink still has to get",
            gauge,
            one(outbox.pending as f64),
        );
        add("larnax_outbox_held_events", "Events in memory only", gauge, one(outbox.held_in_memory as f64));
        let dropped = one(outbox.dropped_events as f64);
        add("larnax_outbox_dropped_events", "Events given up because the outbox was full", counter, dropped);
        Self(families)
    }
}
