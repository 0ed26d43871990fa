//! Calls whose duration both ends measure: what the way between two components adds is a metric of neither.

use std::collections::{BTreeMap, BTreeSet};

use larnax_core::{ComponentId, Edge, EdgeKind};
use larnax_diagnose::topology::Topology;
use larnax_diagnose::{CallLatency, Observed, Series};

/// How names of durations end, as Prometheus wants it.
const UNIT: &str = "_seconds";

/// Labels of components by whose values metrics of others may call them: what a pod is one of, and the services that lead to it.
const NAMING: [&str; 2] = ["workload", "services"];

/// What metrics of others may call components beside the last parts of their ids.
pub(crate) fn names(topology: &Topology, components: &[ComponentId]) -> BTreeMap<ComponentId, Vec<String>> {
    let mut all = BTreeMap::new();
    for id in components {
        let Some(component) = topology.component(id) else { continue };
        let said = NAMING.iter().filter_map(|label| component.labels.get(*label));
        // A workload is its kind and its name; services are a list.
        let names = said.flat_map(|value| value.split(',')).filter_map(|name| name.rsplit('/').next());
        let names: BTreeSet<&str> = names.filter(|name| !name.is_empty() && *name != id.name()).collect();
        if !names.is_empty() {
            all.insert(id.clone(), names.into_iter().map(str::to_owned).collect());
        }
    }
    all
}

/// Takes the durations of calls from the components that measured them, and puts the two ends of each together. The duration of a
/// call is a metric in seconds with a label that names the component at the other end of an edge, by its id or by what it is also
/// called. What only the caller measured stays with it.
pub(crate) fn take(
    observed: &mut [Observed],
    edges: &[Edge],
    also_called: &BTreeMap<ComponentId, Vec<String>>,
) -> Vec<CallLatency> {
    let mut calls = Vec::new();
    for edge in edges.iter().filter(|edge| edge.kind == EdgeKind::Calls && edge.from != edge.to) {
        let Some(caller) = observed.iter().position(|one| one.component == edge.from) else { continue };
        let Some(callee) = observed.iter_mut().find(|one| one.component == edge.to) else { continue };
        let answered: Vec<Series> =
            callee.series.extract_if(.., |series| is_call(series, &edge.from, also_called)).collect();
        for callee_view in answered {
            let seen = observed.get_mut(caller).and_then(|caller| {
                let same = |series: &Series| {
                    series.metric.family() == callee_view.metric.family()
                        && is_call(series, &edge.to, also_called)
                };
                let at = caller.series.iter().position(same)?;
                Some(caller.series.remove(at))
            });
            calls.push(CallLatency {
                caller: edge.from.clone(),
                callee: edge.to.clone(),
                caller_view: seen,
                callee_view: Some(callee_view),
            });
        }
    }
    calls
}

fn is_call(series: &Series, other: &ComponentId, also_called: &BTreeMap<ComponentId, Vec<String>>) -> bool {
    let metric = series.metric.as_str();
    let mut names =
        std::iter::once(other.name()).chain(also_called.get(other).into_iter().flatten().map(String::as_str));
    series.metric.family().ends_with(UNIT) && names.any(|name| metric.contains(&format!("=\"{name}\"")))
}

#[cfg(test)]
mod tests {
    use larnax_core::{MetricName, Timestamp};

    use super::*;

    fn id(name: &str) -> ComponentId {
        ComponentId::from_parts("service", "shop", name)
    }

    fn observed(name: &str, metrics: &[&str]) -> Observed {
        let series = metrics.iter().map(|metric| Series {
            metric: MetricName::new(metric).unwrap(),
            times: [Timestamp::from_seconds(1.0)].into(),
            values: vec![1.0],
        });
        Observed { component: id(name), series: series.collect() }
    }

    #[test]
    fn both_ends_of_a_call_are_put_together_and_what_only_the_caller_saw_stays() {
        let mut all = [
            observed(
                "web",
                &["call_seconds{to=\"api\"}", "wait_seconds{to=\"api\"}", "call_seconds{to=\"db\"}"],
            ),
            observed("api", &["call_seconds{by=\"web\"}", "calls_total{by=\"web\"}", "cpu_seconds"]),
        ];
        let edges = [Edge { from: id("web"), to: id("api"), kind: EdgeKind::Calls }];
        let calls = take(&mut all, &edges, &BTreeMap::new());
        assert_eq!(calls.len(), 1);
        assert_eq!((&calls[0].caller, &calls[0].callee), (&id("web"), &id("api")));
        let view = |series: &Option<Series>| series.as_ref().unwrap().metric.to_string();
        assert_eq!(view(&calls[0].caller_view), "call_seconds{to=\"api\"}");
        assert_eq!(view(&calls[0].callee_view), "call_seconds{by=\"web\"}");
        let left = |at: usize| all[at].series.iter().map(|series| series.metric.as_str()).collect::<Vec<_>>();
        assert_eq!(left(0), ["wait_seconds{to=\"api\"}", "call_seconds{to=\"db\"}"]);
        assert_eq!(left(1), ["calls_total{by=\"web\"}", "cpu_seconds"]);
    }
}
