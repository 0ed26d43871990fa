//! For any topology and any events, in any order.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use larnax_core::{AnomalyId, ComponentId, Edge, EdgeKind, IncidentId, TopologyDelta, TopologySource};
use larnax_diagnose::incidents::{Heard, Options};
use larnax_diagnose::{Incidents, Topology};
use proptest::prelude::*;
use support::{Seen, at, delta, id};

fn name() -> impl Strategy<Value = String> {
    (0..12u8).prop_map(|i| if i < 9 { format!("c{i}") } else { format!("node/local/n{i}") })
}

fn edge() -> impl Strategy<Value = Edge> {
    (name(), name(), any::<bool>()).prop_map(|(from, to, calls)| Edge {
        from: id(&from),
        to: id(&to),
        kind: if calls { EdgeKind::Calls } else { EdgeKind::RunsOn },
    })
}

fn source() -> impl Strategy<Value = TopologySource> {
    prop::sample::select(vec![TopologySource::Agent, TopologySource::Platform, TopologySource::Config])
}

fn a_delta() -> impl Strategy<Value = TopologyDelta> {
    let lists = (prop::collection::vec(edge(), 0..8), prop::collection::vec(edge(), 0..3));
    let ttl = prop::option::of(0.0..100.0f64);
    (source(), 0..3u8, lists, prop::collection::vec(name(), 0..2), ttl).prop_map(
        |(source, by, (edges, removed), gone, ttl)| TopologyDelta {
            ttl_seconds: ttl,
            removed_edges: removed,
            removed_components: gone.iter().map(|name| id(name)).collect(),
            ..delta(source, &by.to_string(), &edges)
        },
    )
}

fn an_anomaly() -> impl Strategy<Value = Seen> {
    // It is told of 5 s after its onset, and does not end before.
    let closed = prop::option::of(5..300u32);
    (name(), 0..3u8, 0..900u32, closed, any::<bool>()).prop_map(|(name, agent, onset, lasted, alerted)| {
        Seen {
            name,
            agent: format!("/larnax/edge/{agent}"),
            onset: f64::from(onset),
            closed: lasted.map(|lasted| f64::from(onset + lasted)),
            alerted,
        }
    })
}

/// Anomalies, a topology, and two orders in which the anomalies are heard.
fn a_story() -> impl Strategy<Value = (Vec<Seen>, Topology, Vec<Seen>)> {
    let anomalies = prop::collection::vec(an_anomaly(), 0..40).prop_map(|all| {
        // The same component and onset is the same anomaly, and there is one truth about it.
        let once: BTreeMap<AnomalyId, Seen> = all.into_iter().map(|seen| (seen.anomaly(), seen)).collect();
        once.into_values().collect::<Vec<_>>()
    });
    let events = anomalies.prop_flat_map(|all| {
        let opened = |seen: &Seen| Seen { closed: None, ..seen.clone() };
        let events: Vec<Seen> = all.iter().map(opened).chain(all.iter().cloned()).collect();
        (Just(events.clone()).prop_shuffle(), Just(events).prop_shuffle())
    });
    (events, prop::collection::vec(edge(), 0..12)).prop_map(|((first, second), edges)| {
        let mut topology = Topology::default();
        topology.apply(&delta(TopologySource::Agent, "x", &edges), at(0.0));
        (first, topology, second)
    })
}

fn hear_all(incidents: &mut Incidents, events: &[Seen], topology: &Topology) {
    for seen in events {
        incidents.hear(Heard::of(&seen.event()), topology, at(2_000.0));
    }
}

fn groups(incidents: &Incidents) -> BTreeSet<BTreeSet<AnomalyId>> {
    incidents.all().map(|incident| incident.anomalies.iter().map(|anomaly| anomaly.id).collect()).collect()
}

proptest! {
    #[test]
    fn the_order_of_events_does_not_change_the_groups((first, topology, second) in a_story()) {
        let (mut one, mut other) = (Incidents::default(), Incidents::default());
        hear_all(&mut one, &first, &topology);
        hear_all(&mut other, &second, &topology);
        prop_assert_eq!(groups(&one), groups(&other));
        // Again, and looked at again: nothing is new.
        one.changes();
        let before: Vec<_> = one.all().cloned().collect();
        hear_all(&mut one, &second, &topology);
        one.regroup(&topology, at(1_000.0));
        prop_assert_eq!(one.changes(), Vec::new());
        prop_assert_eq!(one.all().cloned().collect::<Vec<_>>(), before);
    }

    #[test]
    fn each_anomaly_is_in_one_incident_and_what_is_told_holds_together(
        (events, topology, _) in a_story(),
        asked in prop::collection::vec(any::<bool>(), 80),
    ) {
        let mut incidents = Incidents::default();
        let mut last: BTreeMap<IncidentId, larnax_core::Incident> = BTreeMap::new();
        let mut alerted = BTreeSet::new();
        for (seen, asked) in events.iter().zip(asked) {
            if seen.alerted {
                alerted.insert(seen.anomaly());
            }
            incidents.hear(Heard::of(&seen.event()), &topology, at(2_000.0));
            if !asked {
                continue;
            }
            for change in incidents.changes() {
                let now = change.incident;
                prop_assert!(now.anomalies.iter().any(|anomaly| IncidentId::of(anomaly.id) == now.id));
                prop_assert!(now.anomalies.is_sorted_by_key(|anomaly| anomaly.onset));
                prop_assert_eq!(Some(now.onset), now.anomalies.first().map(|anomaly| anomaly.onset));
                prop_assert_eq!(now.alerted, now.anomalies.iter().any(|anomaly| alerted.contains(&anomaly.id)));
                if let Some(before) = last.insert(now.id, now.clone()) {
                    prop_assert_eq!(now.sequence, before.sequence + 1);
                    prop_assert!(before.merged_into.is_none(), "nothing is told of what was merged");
                    prop_assert!(now.anomalies.len() >= before.anomalies.len());
                }
            }
            let mut known = BTreeSet::new();
            for incident in incidents.all() {
                prop_assert_eq!(last.get(&incident.id), Some(incident));
                for anomaly in &incident.anomalies {
                    prop_assert!(known.insert(anomaly.id), "in two incidents");
                }
            }
            for merged in last.values().filter(|incident| incident.merged_into.is_some()) {
                let mut to = merged.id;
                for _ in 0..100 {
                    to = last.get(&to).and_then(|incident| incident.merged_into).unwrap_or(to);
                }
                let into = incidents.get(to);
                prop_assert!(into.is_some(), "a pointer ends at an incident that goes on");
                let ids: BTreeSet<_> = into.iter().flat_map(|one| &one.anomalies).map(|one| one.id).collect();
                prop_assert!(merged.anomalies.iter().all(|anomaly| ids.contains(&anomaly.id)));
            }
        }
    }

    #[test]
    fn a_restart_between_any_two_events_changes_no_group((events, topology, _) in a_story(), cut in 0..80usize) {
        let mut all = Incidents::default();
        hear_all(&mut all, &events, &topology);
        let (before, after) = events.split_at(cut.min(events.len()));
        let mut first = Incidents::default();
        hear_all(&mut first, before, &topology);
        let stored = first.changes().into_iter().map(|change| change.incident);
        let mut second = Incidents::restore(Options::default(), stored, at(2_000.0));
        hear_all(&mut second, after, &topology);
        prop_assert_eq!(groups(&second), groups(&all));
    }

    #[test]
    fn memory_is_bounded_whatever_comes(
        (events, topology, _) in a_story(),
        (anomalies, incidents_kept, tracked) in (1..6usize, 1..6usize, 1..12usize),
        hold in 0..40u64,
    ) {
        let options = Options {
            max_anomalies: anomalies,
            max_incidents: incidents_kept,
            max_tracked: tracked,
            hold: std::time::Duration::from_secs(hold),
            remember: std::time::Duration::from_secs(60),
            ..Options::default()
        };
        let mut incidents = Incidents::new(options);
        for (i, seen) in events.iter().enumerate() {
            let now = at(2_000.0 + 10.0 * i as f64);
            incidents.hear(Heard::of(&seen.event()), &topology, now);
            incidents.pass(now);
            if i % 3 == 0 {
                incidents.changes();
            }
            prop_assert!(incidents.all().count() <= incidents_kept);
            prop_assert!(incidents.all().map(|one| one.anomalies.len()).sum::<usize>() <= tracked);
            prop_assert!(incidents.all().all(|one| one.anomalies.len() <= anomalies));
        }
    }

    #[test]
    fn an_edge_is_there_when_somebody_says_so_and_no_person_says_otherwise(
        deltas in prop::collection::vec(a_delta(), 0..12),
    ) {
        // The same by a plain reading of the rules: for each source, what it says and until when.
        let mut said: BTreeMap<(TopologySource, String), BTreeMap<Edge, (bool, f64)>> = BTreeMap::new();
        let mut topology = Topology::default();
        for (i, delta) in deltas.iter().enumerate() {
            let now = 10.0 * i as f64;
            topology.apply(delta, at(now));
            let until = delta.ttl_seconds.map_or(f64::INFINITY, |ttl| now + ttl);
            let words = said.entry((delta.source, delta.by.clone())).or_default();
            if delta.source == TopologySource::Config {
                words.clear();
            } else {
                let gone = |id: &ComponentId| delta.removed_components.contains(id);
                words.retain(|edge, _| {
                    !(delta.removed_edges.contains(edge) || gone(&edge.from) || gone(&edge.to))
                });
            }
            let edges = delta.edges.iter().map(|edge| (edge, true));
            let vetoes = delta.removed_edges.iter().filter(|_| delta.source == TopologySource::Config);
            for (edge, there) in edges.chain(vetoes.map(|edge| (edge, false))) {
                if edge.from != edge.to {
                    words.insert(edge.clone(), (there, until));
                }
            }
        }
        let now = 10.0 * deltas.len() as f64;
        topology.expire(at(now));
        let holding = |source: &TopologySource, edge: &Edge, wanted: bool| {
            said.iter().any(|((of, _), words)| {
                of == source && words.get(edge).is_some_and(|(there, until)| *there == wanted && *until > now)
            })
        };
        let all = [TopologySource::Config, TopologySource::Platform, TopologySource::Agent];
        let trust = |edge: &Edge| {
            let vetoed = holding(&TopologySource::Config, edge, false);
            all.iter().copied().filter(|source| !vetoed && holding(source, edge, true)).max()
        };
        let edges: BTreeSet<&Edge> = said.values().flat_map(|words| words.keys()).collect();
        let outranked = |edge: &Edge| {
            edges.iter().any(|other| {
                edge.kind == EdgeKind::RunsOn
                    && other.kind == EdgeKind::RunsOn
                    && other.from == edge.from
                    && other.to.kind() == edge.to.kind()
                    && trust(other) > trust(edge)
            })
        };
        let expected: Vec<&Edge> =
            edges.iter().filter(|edge| trust(edge).is_some() && !outranked(edge)).copied().collect();
        prop_assert_eq!(topology.edges().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn near_is_the_same_in_both_directions_and_independent_of_the_order_of_deltas(
        deltas in prop::collection::vec(a_delta(), 0..6),
        hops in 0..5usize,
    ) {
        let (mut one, mut other) = (Topology::default(), Topology::default());
        let mut last: BTreeMap<(TopologySource, String), TopologyDelta> = BTreeMap::new();
        for delta in deltas {
            let clean = TopologyDelta { removed_components: Vec::new(), ..delta };
            last.insert((clean.source, clean.by.clone()), clean);
        }
        for delta in last.values() {
            one.apply(delta, at(0.0));
        }
        for delta in last.values().rev() {
            other.apply(delta, at(0.0));
        }
        prop_assert_eq!(one.edges().collect::<Vec<_>>(), other.edges().collect::<Vec<_>>());
        prop_assert_eq!(one.snapshot(at(0.0)), other.snapshot(at(0.0)));
        let ids: BTreeSet<ComponentId> = one.edges().flat_map(|e| [e.from.clone(), e.to.clone()]).collect();
        for from in &ids {
            let near = one.near(from, hops);
            prop_assert_eq!(&near, &other.near(from, hops));
            for (to, distance) in near {
                prop_assert!(distance >= 1 && distance <= hops);
                prop_assert!(one.near(&to, hops).contains(&(from.clone(), distance)));
            }
        }
    }
}
