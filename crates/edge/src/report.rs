//! What the agent knows, in the words of the API.

use larnax_alert::Health;
use larnax_core::{ComponentId, Event};
use larnax_detect::{Explanation, WatchState};

use crate::agent::Agent;
use crate::history::Point;
use crate::hub;
use crate::server::api::{
    AnomalyReport, BudgetReport, ComponentReport, HistoryReport, MetricHistory, MetricReport, OutboxReport,
    SinkReport, SourceReport, StatusReport, finite,
};
use crate::watched::Watched;

/// How many of the deviating metrics stand in a component's report.
const TOP: usize = 5;

/// The agent and how it is doing.
pub(crate) fn status(agent: &Agent) -> StatusReport {
    let now = agent.clock.now();
    StatusReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: agent.journal.instance.clone(),
        started: agent.started,
        now,
        interval_seconds: agent.interval.as_secs_f64(),
        components: agent.components.len(),
        open_anomalies: agent.components.iter().map(|c| c.watch.open_anomalies().count()).sum(),
        state: agent.state.as_ref().map(|path| path.display().to_string()),
        cpu_seconds: larnax_serve::process::cpu_seconds(),
        resident_bytes: larnax_serve::process::resident_bytes(),
        budgets: agent
            .budgets
            .iter()
            .map(|(group, budget)| {
                let doing = budget.status(now);
                BudgetReport {
                    group: group.clone(),
                    allowed: doing.allowed,
                    period_seconds: doing.period_seconds,
                    given: doing.given,
                    bar: doing.bar,
                }
            })
            .collect(),
        sinks: sinks(agent),
        outbox: {
            let outbox = agent.journal.outbox.stats();
            OutboxReport {
                pending: outbox.pending,
                held_in_memory: outbox.held,
                dropped_events: outbox.dropped_events,
                problem: outbox.problem,
            }
        },
        notices: agent.noticed().cloned().collect(),
        listeners: agent.listeners.clone(),
    }
}

/// Everybody that is told: the sinks, and the hub.
fn sinks(agent: &Agent) -> Vec<SinkReport> {
    let outbox = &agent.journal.outbox;
    let sink = |(name, health): (&str, Health)| SinkReport::of(name, outbox.pending_count(name), health);
    let hub = agent.link.as_ref().map(|link| {
        let health = link.health();
        SinkReport {
            name: hub::SINK.to_owned(),
            pending: outbox.pending_count(hub::SINK),
            delivered: health.delivered,
            refused: health.refused,
            sent_bytes: health.sent_bytes,
            error: health.error,
        }
    });
    agent.sinks.health().map(sink).chain(hub).collect()
}

/// Every component.
pub(crate) fn components(agent: &Agent) -> Vec<ComponentReport> {
    agent.components.iter().map(component).collect()
}

fn component(watched: &Watched) -> ComponentReport {
    let component = watched.component();
    let (state, remaining) = match watched.watch.state() {
        WatchState::WarmingUp { remaining } => ("warming_up", Some(remaining)),
        WatchState::Normal => ("normal", None),
        WatchState::Anomalous => ("anomalous", None),
        WatchState::Absent => ("absent", None),
        WatchState::Unknown => ("unknown", None),
    };
    ComponentReport {
        id: component.id.clone(),
        group: component.group.clone(),
        labels: component.labels.clone(),
        state: state.to_owned(),
        warm_up_remaining_seconds: remaining,
        score: watched.watch.verdict().score.get(),
        last_sample: watched.watch.last_seen(),
        interval_seconds: watched.interval.as_secs_f64(),
        metrics: watched.watch.schema().len(),
        cost_plan: watched.watch.cost_plan().map(|plan| plan.to_string()),
        sources: watched
            .sources
            .iter()
            .map(|source| SourceReport {
                name: source.name.clone(),
                up: source.tried && source.error.is_none(),
                error: source.error.as_ref().map(ToString::to_string),
                collections: source.cost.collections,
                failures: source.cost.failures,
                refused_samples: source.cost.refused_samples,
                bad_samples: source.cost.bad_samples,
                last_seconds: source.last_took.as_secs_f64(),
            })
            .collect(),
        top: watched.watch.verdict().contributions(watched.watch.schema(), TOP),
        open_anomalies: watched.watch.open_anomalies().map(|anomaly| anomaly.id).collect(),
    }
}

/// Every metric of a component, with what is expected of it.
pub(crate) fn metrics(agent: &Agent, id: &ComponentId) -> Option<Vec<MetricReport>> {
    let watched = agent.component(id)?;
    let schema = watched.watch.schema();
    let expected = &watched.watch.verdict().metrics;
    let one = |(i, metric): (usize, &larnax_core::Metric)| MetricReport {
        metric: metric.name.to_string(),
        y: watched.watch.values().get(i).copied().and_then(finite),
        yhat: expected.get(i).and_then(|m| finite(m.expected)),
        yhat_lower: expected.get(i).and_then(|m| finite(m.lower)),
        yhat_upper: expected.get(i).and_then(|m| finite(m.upper)),
        deviation: expected.get(i).and_then(|m| finite(m.deviation)),
    };
    Some(schema.metrics().iter().enumerate().map(one).collect())
}

/// The last hour of a component, and of the metrics that are named.
pub(crate) fn history(agent: &Agent, id: &ComponentId, names: &[String]) -> Option<HistoryReport> {
    let history = agent.component(id)?.history.as_ref()?;
    let (times, anomaly_score) =
        history.scores().map(|(time, score)| (time.seconds(), f64::from(score))).unzip();
    let line = |points: &[Point], field: fn(&Point) -> f32| {
        points.iter().map(|p| finite(f64::from(field(p)))).collect()
    };
    let metrics = names.iter().filter_map(|name| {
        let points: Vec<Point> = history.metric(name)?.collect();
        Some(MetricHistory {
            metric: name.clone(),
            y: line(&points, |p| p.y),
            yhat: line(&points, |p| p.yhat),
            yhat_lower: line(&points, |p| p.lower),
            yhat_upper: line(&points, |p| p.upper),
        })
    });
    Some(HistoryReport {
        component: id.clone(),
        step_seconds: history.step().as_secs_f64(),
        times,
        anomaly_score,
        metrics: metrics.collect(),
    })
}

/// Why a component did or didn't alert.
pub(crate) fn explain(agent: &Agent, id: &ComponentId) -> Option<Explanation> {
    let watched = agent.component(id)?;
    let budget = agent.budgets.get(&watched.component().group)?;
    Some(watched.watch.explain(budget))
}

/// Recent anomalies, newest first. Their evidence is ten kilobytes each: a page that asks every second does without.
pub(crate) fn anomalies(agent: &Agent, open_only: bool, with_evidence: bool) -> Vec<AnomalyReport> {
    let report = |event: &Event| AnomalyReport {
        anomaly: event.data.anomaly.clone(),
        component: event.data.component.clone(),
        evidence: event.data.evidence.clone().filter(|_| with_evidence),
    };
    agent.journal.recent().filter(|e| !open_only || e.data.anomaly.is_open()).map(report).collect()
}
