//! What was seen in the last while, and when it has to be told. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use larnax_core::{Component, ComponentId, Edge, Timestamp, TopologyDelta, TopologySource};

/// Edges kept at most. One machine's components hardly have more; what is seen first stays.
const MAX_EDGES: usize = 4096;

/// The edges that were seen, and what was told of them.
#[derive(Debug, Default)]
pub(super) struct Memory {
    seen: BTreeMap<Edge, Timestamp>,
    told: Option<(Timestamp, Vec<Component>, BTreeSet<Edge>)>,
}

/// How long things hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    /// How long an edge is kept after it was last seen.
    pub(super) keep: Duration,
    /// How long a delta holds.
    pub(super) ttl: Duration,
}

impl Memory {
    /// Takes what is seen now. `components` are all that are known, with their own edges only: an edge of a component that
    /// is no longer known is forgotten at once; who is only known by an address is no component here. Gives the whole topology as a delta when it differs from what was told, or
    /// when half of the time is over that the last one holds for: so one that is lost is made good by the next.
    pub(super) fn update(
        &mut self,
        by: &str,
        mut components: Vec<Component>,
        edges: impl IntoIterator<Item = Edge>,
        spans: Spans,
        now: Timestamp,
    ) -> Option<TopologyDelta> {
        components.sort_by(|a, b| a.id.cmp(&b.id));
        let known: BTreeSet<&ComponentId> = components.iter().map(|component| &component.id).collect();
        self.seen.retain(|edge, at| {
            // A clock that was set back must not keep an edge for ever.
            *at = (*at).min(now);
            now.since(*at) < spans.keep.as_secs_f64()
                && (known.contains(&edge.from) || edge.from.is_address())
                && known.contains(&edge.to)
        });
        for edge in edges {
            if self.seen.len() < MAX_EDGES || self.seen.contains_key(&edge) {
                self.seen.insert(edge, now);
            }
        }
        let edges: BTreeSet<Edge> = self.seen.keys().cloned().collect();
        let (mut removed_components, mut removed_edges) = (Vec::new(), Vec::new());
        match &self.told {
            None if components.is_empty() => return None,
            None => {}
            Some((at, old_components, old_edges)) => {
                let half = spans.ttl.as_secs_f64() / 2.0;
                let due = now.since(*at) >= half || now < *at;
                if !due && *old_components == components && *old_edges == edges {
                    return None;
                }
                let gone = old_components.iter().filter(|old| !known.contains(&old.id));
                removed_components.extend(gone.map(|component| component.id.clone()));
                removed_edges.extend(old_edges.difference(&edges).cloned());
            }
        }
        self.told = Some((now, components.clone(), edges.clone()));
        Some(TopologyDelta {
            source: TopologySource::Agent,
            by: by.to_owned(),
            ttl_seconds: Some(spans.ttl.as_secs_f64()),
            components,
            edges: edges.into_iter().collect(),
            removed_components,
            removed_edges,
        })
    }
}

#[cfg(test)]
mod tests {
    use larnax_core::EdgeKind;

    use super::*;

    const SPANS: Spans = Spans { keep: Duration::from_secs(100), ttl: Duration::from_secs(60) };

    fn component(name: &str) -> Component {
        let id = ComponentId::from_parts("service", "shop", name);
        Component { id, group: "shop".to_owned(), labels: BTreeMap::new() }
    }

    fn edge(from: &str, to: &str) -> Edge {
        Edge { from: component(from).id, to: component(to).id, kind: EdgeKind::Calls }
    }

    fn update(memory: &mut Memory, names: &[&str], edges: &[Edge], now: f64) -> Option<TopologyDelta> {
        let components = names.iter().map(|name| component(name)).collect();
        memory.update("edge-1", components, edges.iter().cloned(), SPANS, Timestamp::from_seconds(now))
    }

    #[test]
    fn it_is_told_when_it_changes_and_when_half_of_its_time_is_over() {
        let mut memory = Memory::default();
        assert_eq!(update(&mut memory, &[], &[], 0.0), None);
        let first = update(&mut memory, &["b", "a"], &[edge("a", "b")], 0.0).unwrap();
        assert_eq!((first.components.len(), first.edges.len(), first.ttl_seconds), (2, 1, Some(60.0)));
        assert_eq!(update(&mut memory, &["a", "b"], &[edge("a", "b")], 29.0), None);
        let again = update(&mut memory, &["a", "b"], &[], 30.0).unwrap();
        assert_eq!(again, first, "whole, though nothing was seen this time");
        let more = update(&mut memory, &["a", "b"], &[edge("b", "a")], 31.0).unwrap();
        assert_eq!(more.edges, [edge("a", "b"), edge("b", "a")]);
        assert!(update(&mut memory, &["a", "b"], &[], 5.0).is_some(), "a clock that was set back");
    }

    #[test]
    fn what_is_no_longer_seen_or_known_is_taken_back() {
        let mut memory = Memory::default();
        update(&mut memory, &["a", "b", "c"], &[edge("a", "b"), edge("b", "c")], 0.0);
        update(&mut memory, &["a", "b", "c"], &[edge("b", "c")], 50.0);
        let gone = update(&mut memory, &["a", "b", "c"], &[], 100.0).unwrap();
        assert_eq!((gone.edges, gone.removed_edges), (vec![edge("b", "c")], vec![edge("a", "b")]));
        let gone = update(&mut memory, &["a", "b"], &[], 101.0).unwrap();
        assert_eq!(gone.removed_components, [component("c").id]);
        assert_eq!((gone.edges, gone.removed_edges), (vec![], vec![edge("b", "c")]));
        let gone = update(&mut memory, &[], &[], 102.0).unwrap();
        assert_eq!(gone.removed_components.len(), 2);
    }
}
