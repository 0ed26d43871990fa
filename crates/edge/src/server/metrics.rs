//! `/metrics`: what the agent says of itself. All names stand in this file, but those of every process.

use larnax_serve::metrics::{Labels, MetricType, Page};

use crate::agent::Agent;
use crate::report;
use crate::watched::{SourceState, Watched};

/// The whole page.
pub(super) fn render(agent: &Agent) -> String {
    let status = report::status(agent);
    let mut page = Page::of_process(&status.version, agent.started.seconds());
    let mut add = |name, help, kind, samples| page.add(name, help, kind, samples);
    let one = |value: f64| vec![(Labels::new(), value)];
    let (counter, gauge) = (MetricType::Counter, MetricType::Gauge);

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
    add("larnax_sink_delivered_events", "Events that a sink took", counter, sink(&|s| s.delivered as f64));
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
    page.render()
}
